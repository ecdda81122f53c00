"""The scripts that measure a page in the browser."""

# Returns what the browser has drawn. What is a flaw whatever the report says is found here.
PROBE = r"""
(() => {
  const flaws = [];
  const all = (selector, root = document) => [...root.querySelectorAll(selector)];
  const box = element => element.getBoundingClientRect();
  const isDrawn = element => element.getClientRects().length > 0;
  const excerpt = element => JSON.stringify(element.textContent.trim().slice(0, 40));
  const width = document.documentElement.clientWidth;

  // Nothing is wider than the page.
  if (document.documentElement.scrollWidth > width)
    flaws.push(['overflow', `the page is ${document.documentElement.scrollWidth} px wide`]);
  for (const element of all('body *')) {
    const { left, right } = box(element);
    if (isDrawn(element) && (left < -0.5 || right > width + 0.5))
      flaws.push(['overflow', `<${element.localName}> ${excerpt(element)} ends at ${right}`]);
  }

  // Labels of a picture do not overlap.
  for (const svg of all('svg')) {
    const labels = all('text', svg).filter(isDrawn);
    labels.forEach((a, index) => labels.slice(index + 1).forEach(b => {
      const [p, q] = [box(a), box(b)];
      if (p.left < q.right && q.left < p.right && p.top < q.bottom - 1 && q.top < p.bottom - 1)
        flaws.push(['overlap', `${excerpt(a)} and ${excerpt(b)}`]);
    }));
  }

  // Bars are inside their picture. A box is of the outline, without the stroke.
  const outline = shape => {
    const { x, y, width, height } = shape.getBBox();
    const matrix = shape.getScreenCTM();
    const a = new DOMPoint(x, y).matrixTransform(matrix);
    const b = new DOMPoint(x + width, y + height).matrixTransform(matrix);
    return { left: a.x, right: b.x, top: Math.min(a.y, b.y), bottom: Math.max(a.y, b.y),
             width: b.x - a.x, height: Math.abs(b.y - a.y) };
  };
  // The box of a nested image is that of what it shows, so the probe takes its place.
  const frame = svg => {
    if (!svg.ownerSVGElement) return box(svg);
    const outer = box(svg.ownerSVGElement);
    const { x, y, width, height } = svg;
    return new DOMRect(outer.left + x.baseVal.value, outer.top + y.baseVal.value,
                       width.baseVal.value, height.baseVal.value);
  };
  for (const shape of all('svg path, svg rect')) {
    const [inner, outer] = [outline(shape), frame(shape.ownerSVGElement)];
    if (inner.left < outer.left - 0.1 || inner.right > outer.right + 0.1
        || inner.top < outer.top - 0.1 || inner.bottom > outer.bottom + 0.1)
      flaws.push(['outside', `a bar ${JSON.stringify(inner)} of ${JSON.stringify(outer)}`]);
  }

  // Text has contrast to what is behind it.
  const channels = color => color.match(/[\d.]+/g).map(Number);
  const luminance = color => channels(color).slice(0, 3)
    .map(c => c / 255).map(c => c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4)
    .reduce((sum, c, index) => sum + c * [0.2126, 0.7152, 0.0722][index], 0);
  const behind = element => {
    for (; element; element = element.parentElement) {
      const color = getComputedStyle(element).backgroundColor;
      if ((channels(color)[3] ?? 1) === 1) return color;
    }
    return 'rgb(255, 255, 255)';
  };
  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  const colors = [];
  while (texts.nextNode()) {
    const element = texts.currentNode.parentElement;
    if (!texts.currentNode.data.trim() || !isDrawn(element)) continue;
    const style = getComputedStyle(element);
    colors.push([element, element instanceof SVGElement ? style.fill : style.color]);
  }
  for (const element of all('td')) {
    const style = getComputedStyle(element, '::before');
    if (isDrawn(element) && style.content !== 'none') colors.push([element, style.color]);
  }
  for (const [element, color] of colors) {
    const [dark, light] = [luminance(color), luminance(behind(element))].sort((a, b) => a - b);
    const contrast = (light + 0.05) / (dark + 0.05);
    if (contrast < 4.5) flaws.push(['contrast', `${contrast.toFixed(2)} of ${excerpt(element)}`]);
  }

  // Columns are wide enough for words, and for the start of keys.
  for (const head of all('thead th').filter(isDrawn)) {
    const range = document.createRange();
    range.selectNodeContents(head);
    const lines = new Set([...range.getClientRects()].map(rect => rect.top)).size;
    if (lines > head.textContent.split(' ').length)
      flaws.push(['narrow', `${excerpt(head)} has ${lines} lines`]);
  }
  for (const key of all('.excerpt').filter(isDrawn)) {
    const range = document.createRange();
    range.selectNodeContents(key);
    if (box(key).width < Math.min(60, range.getBoundingClientRect().width) || box(key).height > 40)
      flaws.push(['narrow', `${excerpt(key)} is ${box(key).width} by ${box(key).height} px`]);
  }

  // Readers of screens find names, and the scopes of headings.
  for (const svg of all('svg:not([aria-hidden]):not(svg svg)')) {
    const names = (svg.getAttribute('aria-labelledby') ?? '').split(' ');
    const named = names.every(id => document.getElementById(id)?.textContent);
    if (svg.getAttribute('role') !== 'img' || !named)
      flaws.push(['names', 'a picture has no name']);
  }
  if (!document.documentElement.lang) flaws.push(['names', 'the page has no language']);
  for (const head of all('th:not([scope])')) flaws.push(['names', `${excerpt(head)} has no scope`]);

  const cells = row => all('th, td', row).map(cell => cell.innerText.trim());
  const labels = (plot, selector, place) =>
    all(selector, plot).filter(isDrawn).map(text => [text.textContent, place(text)]);
  return {
    flaws, width,
    title: document.title,
    text: document.body.innerText.slice(0, 5000),
    fetched: performance.getEntriesByType('resource').map(entry => entry.name),
    headline: all('.headline strong').map(number => number.textContent),
    warnings: all('.warnings li').length,
    policies: all('.policies tbody tr').map(cells),
    worst: all('.worst tbody tr').map(row => [...row.cells].map(cell => cell.textContent)),
    classes: all('.classes').map(table => all('tbody tr', table).map(row =>
      all('td', row).map(cell => ({
        text: cell.innerText,
        bars: all('svg rect', cell).map(bar => outline(bar).width / box(bar.ownerSVGElement).width),
      })))),
    plots: all('.timeline').map(plot => {
      const bars = plot.querySelector('.bars');
      const [area, bins] = [frame(bars), bars.viewBox.baseVal.width];
      const across = text => text.x.baseVal[0].value / box(plot).width;
      return {
        bins,
        name: plot.textContent.slice(0, 40),
        box: (({ left, top, width, height }) =>
          [left + scrollX, top + scrollY, width, height])(box(plot)),
        bars: all('g > g', bars).map(group => ({
          title: group.querySelector('title').textContent,
          left: (outline(group.querySelector('path')).left - area.left) / area.width * bins + 0.01,
          heights: all('path', group).map(bar => outline(bar).height / area.height),
        })),
        // The first line of each label, and not the day or year below it.
        times: labels(plot, '.times line + text', across),
        levels: labels(plot, '.level', text =>
          (area.bottom - box(plot).top - text.y.baseVal[0].value) / area.height),
      };
    }),
  };
})()
"""


# Adds a script to the page, and returns the title that it tries to change.
INJECT = """
(() => {
  const script = document.createElement('script');
  script.textContent = "document.title = 'pwned'";
  document.body.append(script);
  return document.title;
})()
"""
