//! Writes the report as a page with pictures.
//!
//! The page is one file. It holds no script and loads nothing, which its content security policy
//! enforces. Text from logs and arguments goes through [`Excerpt`], and maud escapes it.

mod axis;
mod chart;

use maud::{DOCTYPE, Markup, PreEscaped, html};

use self::chart::{Plot, bar};
use super::numbers::{Excerpt, count, counted, duration, minute, moment, percent};
use super::{Candidate, Class, Client, File, Outcome, Report};

const STYLE: &str = include_str!("html/style.css");

/// Where the browser may load anything from: nowhere.
const SECURITY: &str = "default-src 'none'; style-src 'unsafe-inline'";

/// The most characters of a warning, of an error and of a malformed line.
const MAX_MESSAGE: usize = 1000;

/// Returns the page.
pub(crate) fn page(report: &Report) -> String {
    let policies = match report.policies.len() {
        1 => "1 policy".to_owned(),
        number => format!("{number} policies"),
    };
    let markup = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta http-equiv="Content-Security-Policy" content=(SECURITY);
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { "tollgate-replay: " (policies) ", " (counted(report.requests, "request")) }
                style { (PreEscaped(STYLE)) }
            }
            body {
                main {
                    h1 { "What " (policies) " would have denied" }
                    (headline(report))
                    (warnings(&report.warnings))
                    @if report.requests == 0 {
                        p.empty { "There was no request, so no policy could deny any." }
                    } @else {
                        (policies_side_by_side(report))
                        (suggestions(report))
                        (denials_over_time(report))
                        (distribution(report))
                        (worst_clients(report))
                    }
                    (files(&report.files))
                }
            }
        }
    };
    markup.into_string()
}

/// Shows a text that may be of any length, in its own direction of writing. It is cut at the
/// width of the line.
fn excerpt(text: &str) -> Markup {
    let Excerpt { shown, title } = Excerpt::of(text);
    html! { bdi.excerpt title=(title) { (shown) } }
}

/// Shows a message in full, within reason.
fn message(text: &str) -> Markup {
    html! { bdi.message { (Excerpt::within(text, MAX_MESSAGE).shown) } }
}

/// Shows the text of a policy, over several lines if need be.
fn policy(text: &str) -> Markup {
    let Excerpt { shown, title } = Excerpt::of(text);
    html! { bdi.policy title=(title) { (shown) } }
}

fn headline(report: &Report) -> Markup {
    let lines = report.requests.saturating_add(report.without_key);
    let lines = lines.saturating_add(report.malformed);
    let share = |part, whole, of: &str| {
        html! { @if part > 0 { (percent(part, whole)) " of " (of) } }
    };
    let numbers = [
        ("Requests", report.requests, html! {}),
        ("Clients", report.clients, html! {}),
        (
            "Late",
            report.late,
            share(report.late, report.requests, "requests"),
        ),
        (
            "Malformed",
            report.malformed,
            share(report.malformed, lines, "lines"),
        ),
        (
            "Without a key",
            report.without_key,
            share(report.without_key, lines, "lines"),
        ),
    ];
    html! {
        @if let (Some(first), Some(last)) = (report.first, report.last) {
            p.period {
                time datetime=(first) { (moment(first)) } " to "
                time datetime=(last) { (moment(last)) } ": "
                (duration(last.as_seconds().saturating_sub(first.as_seconds())))
            }
        }
        p.period { "Read as " (message(&report.reading)) }
        dl.headline {
            @for (name, number, note) in numbers {
                div {
                    dt { (name) }
                    dd { strong { (count(number)) } small { (note) } }
                }
            }
        }
    }
}

fn warnings(warnings: &[String]) -> Markup {
    html! {
        @if !warnings.is_empty() {
            section.warnings aria-labelledby="warnings" {
                h2 #warnings { (counted(warnings.len() as u64, "warning")) }
                ul { @for warning in warnings { li { (message(warning)) } } }
            }
        }
    }
}

fn policies_side_by_side(report: &Report) -> Markup {
    let rows = report.policies.iter().map(|outcome| Row {
        name: policy(&outcome.policy),
        cells: cells(report, outcome).into(),
        details: None,
    });
    html! {
        section {
            h2 { "Policies" }
            p { "A client is touched by a policy that denied it at least once." }
            (cards("policies", &[
                "Policy",
                "Admitted",
                "Denied",
                "Denied share",
                "Clients touched",
                "Worst client",
                "Busiest minute, UTC",
            ], rows))
        }
    }
}

/// A row of [`cards`].
struct Row {
    name: Markup,
    cells: Vec<Markup>,
    /// Stands below the cells.
    details: Option<Markup>,
}

/// Writes a table of which each row is a card on a narrow page. There, every cell carries the name
/// of its column. The roles tell screen readers that the cards are still a table.
fn cards(class: &str, columns: &[&str], rows: impl Iterator<Item = Row>) -> Markup {
    html! {
        table.cards.(class) role="table" {
            thead role="rowgroup" {
                tr role="row" {
                    @for name in columns { th scope="col" role="columnheader" { (name) } }
                }
            }
            @for row in rows {
                tbody role="rowgroup" {
                    tr role="row" {
                        th scope="row" role="rowheader" { (row.name) }
                        @for (name, cell) in columns.iter().skip(1).zip(row.cells) {
                            td role="cell" data-label=(name) { div { (cell) } }
                        }
                    }
                    @if let Some(details) = row.details {
                        tr.details role="row" {
                            td role="cell" colspan=(columns.len()) { (details) }
                        }
                    }
                }
            }
        }
    }
}

fn cells(report: &Report, outcome: &Outcome) -> [Markup; 6] {
    let Outcome {
        admitted,
        denied,
        touched,
        worst,
        busiest,
        ..
    } = outcome;
    [
        html! { (count(*admitted)) },
        html! { strong.denied[*denied > 0] { (count(*denied)) } },
        html! {
            (percent(*denied, report.requests))
            (bar(report.requests, *denied, report.requests))
        },
        html! { (count(*touched)) " " small { (percent(*touched, report.clients)) } },
        match worst.first() {
            Some(client) => html! {
                (excerpt(&client.key))
                small { (count(client.denied)) " of " (count(requests_of(client))) " denied" }
            },
            None => html! { "none" },
        },
        match busiest {
            Some(busiest) => html! {
                time datetime=(busiest.start) { (minute(busiest.start)) }
                small { (count(busiest.denied)) " denied" }
            },
            None => html! { "none" },
        },
    ]
}

fn requests_of(client: &Client) -> u64 {
    client.admitted.saturating_add(client.denied)
}

/// Names a policy above its picture or table.
fn heading(report: &Report, outcome: &Outcome) -> Markup {
    html! {
        h3 { (policy(&outcome.policy)) }
        p.share {
            @if outcome.denied == 0 {
                "no request denied"
            } @else {
                strong.denied { (count(outcome.denied)) " denied" }
                " (" (percent(outcome.denied, report.requests)) ")"
            }
        }
    }
}

fn denials_over_time(report: &Report) -> Markup {
    let Some(plot) = Plot::of(&report.timeline) else {
        return html! {};
    };
    html! {
        section {
            h2 { "Denials over time" }
            (plot.legend())
            @for (index, outcome) in report.policies.iter().enumerate() {
                figure {
                    figcaption { (heading(report, outcome)) }
                    (plot.draw(index))
                }
            }
        }
    }
}

fn distribution(report: &Report) -> Markup {
    let most = report.classes.iter().map(|class| class.clients).max();
    let most = most.unwrap_or(0);
    html! {
        section {
            h2 { "Distribution over clients" }
            p {
                "Clients are grouped by how many requests they made in the whole period. The bars "
                "of clients share one scale. Each bar of requests shows all requests of its group."
            }
            p.legend {
                span { i.swatch {} "clients or requests" }
                span { i.swatch.denied {} "of these, touched or denied" }
            }
            div.grid {
                @for (index, outcome) in report.policies.iter().enumerate() {
                    table.classes {
                        caption { (heading(report, outcome)) }
                        (head(&["Requests per client", "Clients touched", "Requests denied"]))
                        tbody { @for class in &report.classes { (class_row(class, index, most)) } }
                    }
                }
            }
        }
    }
}

/// Writes the names of the columns of a table.
fn head(columns: &[&str]) -> Markup {
    html! {
        thead { tr { @for name in columns { th scope="col" { (name) } } } }
    }
}

/// Shows what the policy with this index did to a class. `most` is the number of clients of the
/// largest class.
fn class_row(class: &Class, index: usize, most: u64) -> Markup {
    let touched = class.touched.get(index).copied().unwrap_or(0);
    let denied = class.denied.get(index).copied().unwrap_or(0);
    let part_of = |part, whole| {
        html! {
            strong.denied[part > 0] { (count(part)) } " of " (count(whole)) " "
            small { (percent(part, whole)) }
        }
    };
    html! {
        tr {
            th scope="row" { (count(class.at_least)) " to " (count(class.at_most)) }
            td { (part_of(touched, class.clients)) (bar(class.clients, touched, most)) }
            td { (part_of(denied, class.requests)) (bar(class.requests, denied, class.requests)) }
        }
    }
}

fn worst_clients(report: &Report) -> Markup {
    html! {
        section {
            h2 { "Worst clients" }
            p { "The clients with the most denials, at most ten for each policy." }
            div.grid {
                @for outcome in &report.policies {
                    @if outcome.worst.is_empty() {
                        div { (heading(report, outcome)) }
                    } @else {
                        table.worst {
                            caption { (heading(report, outcome)) }
                            (head(&["Client", "Denied", "Requests", "Share"]))
                            tbody { @for client in &outcome.worst { (client_row(client)) } }
                        }
                    }
                }
            }
        }
    }
}

fn client_row(client: &Client) -> Markup {
    let requests = requests_of(client);
    html! {
        tr {
            th scope="row" { (excerpt(&client.key)) }
            td { strong.denied { (count(client.denied)) } }
            td { (count(requests)) }
            td { (percent(client.denied, requests)) }
        }
    }
}

fn suggestions(report: &Report) -> Markup {
    let candidate = |candidate: &Candidate| {
        html! {
            strong { (policy(&candidate.policy)) } " would have denied " (count(candidate.denied))
            " (" (percent(candidate.denied, report.requests)) ")"
        }
    };
    html! {
        @if !report.suggestions.is_empty() {
            section {
                h2 { "Suggestions" }
                p {
                    "The tightest round policies that would have admitted enough requests. "
                    "Each has as much burst as units."
                }
                dl.suggestions {
                    @for suggestion in &report.suggestions {
                        dt {
                            "At least " (message(&suggestion.percent)) "% admitted, per "
                            (suggestion.per)
                        }
                        dd {
                            @match &suggestion.policy {
                                Some(policy) => p.found { (candidate(policy)) "." },
                                None => p { "None. Even the loosest would have denied too many." },
                            }
                            @if let Some(tighter) = &suggestion.tighter {
                                p { "Too tight: " (candidate(tighter)) "." }
                            } @else if suggestion.policy.is_some() {
                                p { "There is no tighter one." }
                            }
                        }
                    }
                }
            }
        }
    }
}

fn files(files: &[File]) -> Markup {
    let rows = files.iter().map(|file| Row {
        name: excerpt(&file.name),
        cells: [file.lines, file.requests, file.without_key, file.malformed]
            .map(|number| html! { (count(number)) })
            .into(),
        details: details(file),
    });
    html! {
        section {
            h2 { "Files" }
            (cards("files", &["File", "Lines", "Requests", "Without a key", "Malformed"], rows))
        }
    }
}

/// Shows the error of a file and its first malformed lines, if there are any.
fn details(file: &File) -> Option<Markup> {
    let is_clean = file.error.is_none() && file.shown.is_empty();
    (!is_clean).then(|| {
        html! {
            @if let Some(error) = &file.error {
                p.error { strong { "Error: " } (message(error)) }
            }
            @for line in &file.shown { p { (message(line)) } }
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::{Minute, Suggestion, Timeline};
    use crate::time::Time;

    const HOSTILE: &str = "</title><script>document.title='pwned'</script>\"'&\u{202e}";

    fn nothing() -> Report {
        Report {
            first: None,
            last: None,
            reading: "combined".into(),
            reorder_seconds: 60,
            requests: 0,
            late: 0,
            without_key: 0,
            malformed: 0,
            clients: 0,
            files: Vec::new(),
            policies: Vec::new(),
            classes: Vec::new(),
            timeline: Timeline {
                start: None,
                seconds_per_bin: 1,
                requests: Vec::new(),
                denied: Vec::new(),
            },
            suggestions: Vec::new(),
            warnings: Vec::new(),
        }
    }

    /// A report with one policy, and with `text` wherever it may come from outside.
    fn report(text: &str) -> Report {
        let start = Time::from_nanos(1_773_309_520_000_000_000).unwrap();
        let candidate = Candidate {
            policy: text.to_owned(),
            denied: 2,
        };
        Report {
            first: Some(start),
            last: Some(start),
            requests: 1000,
            late: 999,
            malformed: 1,
            clients: 7,
            files: vec![File {
                name: text.to_owned(),
                lines: 1001,
                requests: 1000,
                without_key: 0,
                malformed: 1,
                shown: vec![text.to_owned()],
                error: Some(text.to_owned()),
            }],
            policies: vec![Outcome {
                policy: text.to_owned(),
                admitted: 996,
                denied: 4,
                touched: 1,
                worst: vec![Client {
                    key: text.to_owned(),
                    admitted: 5,
                    denied: 4,
                }],
                busiest: Some(Minute { start, denied: 4 }),
                stored_at_peak: 1,
                stored_at_end: 1,
            }],
            classes: vec![Class {
                at_least: 1,
                at_most: 9,
                clients: 7,
                requests: 1000,
                touched: vec![1],
                denied: vec![4],
            }],
            timeline: Timeline {
                start: Some(start),
                seconds_per_bin: 1,
                requests: vec![1000],
                denied: vec![vec![4]],
            },
            suggestions: vec![Suggestion {
                percent: text.to_owned(),
                per: "minute",
                policy: Some(candidate.clone()),
                tighter: Some(candidate),
            }],
            warnings: vec![text.to_owned()],
            ..nothing()
        }
    }

    #[test]
    fn hostile_text_is_shown_and_does_nothing() {
        let html = page(&report(HOSTILE));
        assert!(html.contains("&lt;script&gt;"));
        for harmful in ["<script", "</script", "\"'&", "\u{202e}"] {
            assert!(!html.contains(harmful), "{harmful}");
        }
    }

    #[test]
    fn a_page_loads_nothing() {
        let html = page(&report("10/minute"));
        assert!(html.contains("content=\"default-src 'none'; style-src 'unsafe-inline'\""));
        for source in [
            "http:", "https:", "//", "url(", "@import", "<script", "src=", "href=",
        ] {
            assert!(!html.contains(source), "{source}");
        }
    }

    #[test]
    fn a_long_text_makes_no_long_page() {
        let short = page(&report("x")).len();
        let long = page(&report(&"x".repeat(65_000)));
        assert!(long.len() < short + 20_000, "{} bytes", long.len());
        assert!(long.contains("… (65,000 characters)"));
    }

    #[test]
    fn a_report_without_a_request_says_so() {
        let mut report = nothing();
        report.warnings.push("no request at all".to_owned());
        let html = page(&report);
        assert!(html.contains("There was no request"));
        assert!(html.contains("no request at all"));
        assert!(!html.contains("<svg"));
    }

    #[test]
    fn a_warning_stands_before_the_numbers_of_policies() {
        let html = page(&report("raise --reorder"));
        let warning = html.find("1 warning").unwrap();
        assert!(warning < html.find("<h2>Policies").unwrap());
        assert!(html.contains("99.90% of requests"));
    }

    #[test]
    fn a_report_whose_lists_have_other_lengths_is_a_page() {
        let mut report = report("10/minute");
        report.classes[0].touched.clear();
        report.classes[0].denied.clear();
        report.timeline.denied.clear();
        page(&report);
        report.timeline.start = None;
        report.classes.clear();
        report.policies[0].worst.clear();
        report.policies[0].busiest = None;
        assert!(!page(&report).contains("Denials over time"));
    }
}
