//! Draws denials over time, and bars in tables.
//!
//! A plot has a fixed height and the width of the page. So its bars are in a nested image, which is
//! stretched, and its labels are not. All coordinates are integers.

use maud::{Markup, html};

use super::axis::{self, Tick};
use crate::report::Timeline;
use crate::report::numbers::{count, counted, duration, percent, proportion, second};

/// The height of the bars, in pixels, and the space above them.
const HEIGHT: u64 = 120;
const ABOVE: u64 = 8;

/// The height of the bars in their own units.
const UNITS: u64 = 10_000;

/// The fewest bins that a plot has room for, so that a bar is not as wide as the page.
const MIN_BINS: usize = 40;

/// The most bins with gaps between the bars.
const MAX_GAPS: usize = 120;

/// What the plots of all policies share: the requests and both scales.
pub(super) struct Plot<'a> {
    timeline: &'a Timeline,
    /// When the first bin starts, in seconds since 1970.
    start: u64,
    bins: usize,
    /// What the full height stands for.
    top: u64,
    levels: Vec<u64>,
    /// Times on a wide and on a narrow page.
    times: [Vec<Tick>; 2],
}

impl<'a> Plot<'a> {
    /// Returns `None` if there is no request.
    pub(super) fn of(timeline: &'a Timeline) -> Option<Plot<'a>> {
        let start = timeline.start?;
        let every = timeline.denied.iter().flatten().chain(&timeline.requests);
        let top = *every.max()?;
        let bins = timeline.requests.len().max(MIN_BINS);
        let length = u128::from(timeline.seconds_per_bin) * bins as u128 * 1_000_000_000;
        let times = |most| axis::times(start.as_nanos(), length, most);
        Some(Plot {
            timeline,
            start: start.as_seconds(),
            bins,
            top,
            levels: axis::levels(top),
            times: [times(9), times(4)],
        })
    }

    /// Explains the plots.
    pub(super) fn legend(&self) -> Markup {
        let width = duration(self.timeline.seconds_per_bin);
        html! {
            p.legend {
                span { i.swatch {} "requests" }
                span { i.swatch.denied {} "of these, denied" }
                span { "Each bar covers " (width) ". Times are in UTC." }
            }
        }
    }

    /// Draws the denials of the policy with this index.
    pub(super) fn draw(&self, policy: usize) -> Markup {
        let none = Vec::new();
        let denied = self.timeline.denied.get(policy).unwrap_or(&none);
        let widest = self.levels.last().map_or(1, |level| count(*level).len());
        let bottom = ABOVE + HEIGHT;
        html! {
            div.plot style=(format!("--labels:{widest}ch")) {
                svg.timeline data-policy=(policy) role="img"
                    aria-labelledby={ "timeline-" (policy) " timeline-text-" (policy) }
                    width="100%" height=(bottom + 40)
                {
                    title id={ "timeline-" (policy) } { "Denials over time, policy " (policy + 1) }
                    desc id={ "timeline-text-" (policy) } { (self.description(denied)) }
                    @for level in &self.levels {
                        @let y = bottom - scaled(*level, self.top, HEIGHT);
                        line.grid x1="0" x2="100%" y1=(y) y2=(y) {}
                        text.level x="-8" y=(y) dy=".35em" { (count(*level)) }
                    }
                    svg.bars y=(ABOVE) width="100%" height=(HEIGHT) preserveAspectRatio="none"
                        viewBox=(format!("0 0 {} {UNITS}", self.bins))
                    {
                        g transform={ "matrix(1 0 0 -1 0 " (UNITS) ")" } { (self.bars(denied)) }
                    }
                    @for (ticks, page) in self.times.iter().zip(["wide", "narrow"]) {
                        g.times.(page) { @for tick in ticks { (draw_tick(tick, bottom)) } }
                    }
                }
            }
        }
    }

    /// Draws a bar for each bin with a request, and its denied part over it.
    fn bars(&self, denied: &[u64]) -> Markup {
        html! {
            @for (bin, requests) in self.timeline.requests.iter().enumerate() {
                @let denied = denied.get(bin).copied().unwrap_or(0);
                @if *requests > 0 || denied > 0 {
                    g {
                        title {
                            (second(self.start_of(bin))) ": " (counted(*requests, "request")) ", "
                            (count(denied)) " denied"
                        }
                        path d=(self.bar(bin, *requests)) {}
                        @if denied > 0 { path.d d=(self.bar(bin, denied)) {} }
                    }
                }
            }
        }
    }

    /// Returns the outline of a bar. The line below it is not drawn.
    fn bar(&self, bin: usize, value: u64) -> String {
        let height = scaled(value, self.top, UNITS);
        if self.bins <= MAX_GAPS {
            format!("M{bin}.1 0v{height}h.8V0")
        } else {
            format!("M{bin} 0v{height}h1V0")
        }
    }

    /// Returns when a bin starts. All times of a log are before 2070, so nothing is cut off.
    fn start_of(&self, bin: usize) -> u64 {
        let offset = self.timeline.seconds_per_bin.saturating_mul(bin as u64);
        self.start.saturating_add(offset)
    }

    fn description(&self, denied: &[u64]) -> String {
        let requests = &self.timeline.requests;
        let mut text = format!(
            "{} of {} each. ",
            counted(requests.len() as u64, "bin"),
            duration(self.timeline.seconds_per_bin)
        );
        if let Some((bin, most)) = peak(requests) {
            let start = second(self.start_of(bin));
            text += &format!("Most requests: {}, from {start}. ", count(most));
        }
        match peak(denied) {
            Some((bin, most)) => {
                let start = second(self.start_of(bin));
                let share = percent(most, requests.get(bin).copied().unwrap_or(0));
                text += &format!("Most denials: {}, from {start} ({share}).", count(most));
            }
            None => text += "No request was denied.",
        }
        text
    }
}

/// Returns the first bin of those with the most, and how many that is, unless all are zero.
fn peak(bins: &[u64]) -> Option<(usize, u64)> {
    let most = *bins.iter().max()?;
    let bin = bins.iter().position(|value| *value == most)?;
    (most > 0).then_some((bin, most))
}

/// Like [`proportion`], for a `part` that is at most the `whole`.
fn scaled(part: u64, whole: u64, units: u64) -> u64 {
    u64::try_from(proportion(part, whole, units)).map_or(units, |scaled| scaled.min(units))
}

fn draw_tick(tick: &Tick, bottom: u64) -> Markup {
    let x = hundredths(tick.position);
    html! {
        line x1=(x) x2=(x) y1=(bottom) y2=(bottom + 5) {}
        text x=(x) y=(bottom + 18) { (tick.label) }
        @if let Some(below) = &tick.below {
            text x=(x) y=(bottom + 33) { (below) }
        }
    }
}

/// Writes hundredths of a percent as a length.
fn hundredths(position: u64) -> String {
    format!("{}.{:02}%", position / 100, position % 100)
}

/// Draws a bar across a cell of a table: `quiet` of `whole`, and in it `strong` of `whole`. The
/// numbers stand beside it as text.
pub(super) fn bar(quiet: u64, strong: u64, whole: u64) -> Markup {
    html! {
        svg.bar aria-hidden="true" width="100%" height="8" {
            @if quiet > 0 {
                rect height="8" width=(hundredths(scaled(quiet, whole, UNITS))) {}
            }
            @if strong > 0 {
                rect.d height="8" width=(hundredths(scaled(strong, whole, UNITS))) {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::Time;

    fn timeline(requests: Vec<u64>, denied: Vec<u64>) -> Timeline {
        Timeline {
            start: Time::from_nanos(1_773_309_520_250_000_000),
            seconds_per_bin: 8,
            requests,
            denied: vec![denied],
        }
    }

    fn bars(timeline: &Timeline) -> String {
        Plot::of(timeline).unwrap().draw(0).into_string()
    }

    #[test]
    fn heights_are_in_proportion_to_the_highest_bin() {
        let html = bars(&timeline(vec![4, 0, 1], vec![3, 0, 0]));
        assert_eq!(html.matches("<path").count(), 3);
        for outline in ["M0.1 0v10000h.8V0", "M0.1 0v7500h.8V0", "M2.1 0v2500h.8V0"] {
            assert!(html.contains(outline), "{outline}");
        }
    }

    #[test]
    fn a_bar_tells_its_time_and_numbers() {
        let html = bars(&timeline(vec![4, 1], vec![3, 0]));
        assert!(html.contains("<title>12 Mar 2026, 09:58:40 UTC: 4 requests, 3 denied</title>"));
        assert!(html.contains("<title>12 Mar 2026, 09:58:48 UTC: 1 request, 0 denied</title>"));
        assert!(html.contains("Most denials: 3, from 12 Mar 2026, 09:58:40 UTC (75.00%)."));
    }

    #[test]
    fn the_largest_numbers_are_drawn() {
        let mut timeline = timeline(vec![u64::MAX, 1], vec![u64::MAX, u64::MAX, 7]);
        timeline.seconds_per_bin = u64::MAX;
        assert!(bars(&timeline).contains("M0.1 0v10000h.8V0"));
        timeline.denied.clear();
        assert!(bars(&timeline).contains("No request was denied."));
        timeline.requests.clear();
        assert!(Plot::of(&timeline).is_none());
    }
}
