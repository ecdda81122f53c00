//! Prints the report.

use std::{borrow::Cow, fmt};

use jiff::Timestamp;

use crate::log_line::Flaw;
use crate::tally::{Counts, Minute};

/// How many malformed lines the report shows.
const SHOWN: usize = 3;

/// How many characters it shows of each.
const EXCERPT: usize = 60;

/// The result of a replay.
pub(crate) struct Report {
    pub(crate) policy: String,
    /// The window within which lines were put in order, in seconds.
    pub(crate) window: u64,
    /// When the first and the last request were replayed.
    pub(crate) span: Option<(u64, u64)>,
    pub(crate) all: Counts,
    pub(crate) keys: usize,
    pub(crate) late: u64,
    pub(crate) malformed: Malformed,
    pub(crate) most_denied: Vec<(String, Counts)>,
    pub(crate) busiest: Option<Minute>,
    pub(crate) stored: Stored,
}

/// The number of malformed lines, and the first [`SHOWN`] of them.
#[derive(Default)]
pub(crate) struct Malformed {
    count: u64,
    shown: Vec<String>,
}

/// How many keys the limiter stored.
#[derive(Clone, Copy, Default)]
pub(crate) struct Stored {
    /// At the peak.
    pub(crate) peak: usize,
    /// At the end, before the last sweep.
    pub(crate) before_sweep: usize,
    /// After the last sweep, at the same time.
    pub(crate) after_sweep: usize,
}

impl Malformed {
    pub(crate) fn add(&mut self, source: &dyn fmt::Display, number: u64, flaw: Flaw, line: &[u8]) {
        self.count += 1;
        if self.shown.len() < SHOWN {
            let excerpt = excerpt(line);
            self.shown
                .push(format!("{source}:{number}: {flaw}: {excerpt}"));
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        row(f, "policy", &self.policy)?;
        row(f, "reordered within", format_args!("{} s", self.window))?;
        if let Some((first, last)) = self.span {
            row(f, "first request", utc(first, "%F %T UTC"))?;
            row(f, "last request", utc(last, "%F %T UTC"))?;
        }
        row(f, "requests", self.all.admitted + self.all.denied)?;
        row(f, "keys", self.keys)?;
        row(f, "admitted", self.all.admitted)?;
        row(f, "denied", self.all.denied)?;
        row(f, "late", self.late)?;
        row(f, "malformed", self.malformed.count)?;
        for line in &self.malformed.shown {
            writeln!(f, "  {line}")?;
        }
        self.write_most_denied(f)?;
        match self.busiest {
            None => row(f, "busiest denied minute", "none")?,
            Some(Minute { start, denied }) => {
                let minute = utc(start, "%F %R UTC");
                row(
                    f,
                    "busiest denied minute",
                    format_args!("{minute}, {denied} denied"),
                )?;
            }
        }
        row(f, "stored at the peak", self.stored.peak)?;
        row(f, "stored before sweeping", self.stored.before_sweep)?;
        row(f, "stored after sweeping", self.stored.after_sweep)
    }
}

impl Report {
    fn write_most_denied(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.most_denied.is_empty() {
            return row(f, "most denied keys", "none");
        }
        writeln!(f, "most denied keys:")?;
        for (key, Counts { admitted, denied }) in &self.most_denied {
            writeln!(f, "  {denied:>8} denied {admitted:>8} admitted  {key}")?;
        }
        Ok(())
    }
}

fn row(f: &mut fmt::Formatter<'_>, label: &str, value: impl fmt::Display) -> fmt::Result {
    // The padding must include the colon.
    let label = format!("{label}:");
    writeln!(f, "{label:<24}{value}")
}

/// Formats `time`, in seconds from the start of 1970.
fn utc(time: u64, format: &'static str) -> impl fmt::Display {
    i64::try_from(time)
        .ok()
        .and_then(|time| Timestamp::from_second(time).ok())
        .expect("no time from 2070 on is read from a log")
        .strftime(format)
}

/// Returns the start of a line, escaped so that any byte is safe on a terminal.
fn excerpt(line: &[u8]) -> String {
    // A character has at most four bytes, so no shown character is cut.
    let start = &line[..line.len().min(4 * EXCERPT)];
    let text: Cow<'_, str> = String::from_utf8_lossy(start);
    let shown: String = text.chars().take(EXCERPT).collect();
    let more = if shown.len() < text.len() || start.len() < line.len() {
        "…"
    } else {
        ""
    };
    format!("{shown:?}{more}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_few_malformed_lines_are_shown_and_all_are_counted() {
        let mut malformed = Malformed::default();
        for number in 1..=5 {
            malformed.add(&"a.log", number, Flaw::Host, b"x");
        }
        assert_eq!(malformed.count, 5);
        assert_eq!(
            malformed.shown,
            [
                "a.log:1: no host: \"x\"",
                "a.log:2: no host: \"x\"",
                "a.log:3: no host: \"x\""
            ]
        );
    }

    #[test]
    fn an_excerpt_is_short_and_harmless_to_a_terminal() {
        assert_eq!(excerpt(b"\x1b[2J\xff\"\r"), "\"\\u{1b}[2J\u{fffd}\\\"\\r\"");
        assert_eq!(
            excerpt(&[b'x'; EXCERPT]),
            format!("\"{}\"", "x".repeat(EXCERPT))
        );
        for long in ["x".repeat(EXCERPT + 1), "x".repeat(100_000)] {
            assert_eq!(
                excerpt(long.as_bytes()),
                format!("\"{}\"…", "x".repeat(EXCERPT))
            );
        }
        let wide = "\u{1f6a7}".repeat(EXCERPT);
        assert_eq!(excerpt(wide.as_bytes()), format!("\"{wide}\""));
    }
}
