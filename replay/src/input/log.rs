//! A log file that is read: its requests, and what is wrong with its lines.

use std::borrow::Cow;
use std::io::{self, BufRead};

use super::lines::{Line, Lines};
use super::source::Source;
use super::{decode, decode::is_garbage};
use crate::flaw::MAX_LINE;
use crate::format::{Parser, Request};
use crate::progress::Progress;
use crate::report::File;

/// How many malformed lines of a file are shown.
const SHOWN: usize = 3;

/// How many characters are shown of each.
const EXCERPT: usize = 120;

/// A few long requests have fewer bytes.
const LONG_REQUESTS: u64 = 256 * 1024;

/// A log file from its opening to its end.
pub(super) struct Log {
    name: String,
    lines: Lines<Box<dyn BufRead>>,
    counts: Counts,
    /// The first malformed lines.
    shown: Vec<String>,
    /// What the first line may be that is no request.
    hint: Option<String>,
    /// Why the text ended, if not by its end.
    end: Option<io::Error>,
}

#[derive(Clone, Copy, Default)]
struct Counts {
    lines: u64,
    requests: u64,
    without_key: u64,
    malformed: u64,
    bytes: u64,
    malformed_bytes: u64,
}

impl Log {
    /// Opens a log. What is read of it counts as progress, if there is one.
    pub(super) fn open(source: &Source, progress: Option<&Progress>) -> io::Result<Log> {
        let raw = source.open()?;
        let text = match progress {
            Some(progress) => decode::text(progress.counting(raw))?,
            None => decode::text(raw)?,
        };
        Ok(Log {
            name: source.to_string(),
            lines: Lines::new(text, MAX_LINE),
            counts: Counts::default(),
            shown: Vec::new(),
            hint: None,
            end: None,
        })
    }

    /// Returns the next request, or `None` at the end.
    pub(super) fn next(&mut self, parser: &mut Parser) -> Option<Request> {
        self.next_within(u64::MAX, parser)
    }

    /// Does what [`next`](Log::next) does, but reads at most this many lines.
    pub(super) fn next_within(&mut self, lines: u64, parser: &mut Parser) -> Option<Request> {
        for _ in 0..lines {
            let Line { text: line, length } = match self.lines.next() {
                Ok(line) => line?,
                Err(error) => {
                    self.end = Some(error);
                    return None;
                }
            };
            self.counts.lines += 1;
            self.counts.bytes += length;
            match parser.parse(line) {
                Ok(Some(request)) => {
                    self.counts.requests += 1;
                    return Some(request);
                }
                Ok(None) => {
                    self.counts.without_key += 1;
                    // Most lines of a log may be such.
                    if self.counts.without_key == 1 {
                        self.hint = self.hint.take().or_else(|| parser.hint(line));
                    }
                }
                Err(flaw) => {
                    self.counts.malformed += 1;
                    self.counts.malformed_bytes += length;
                    if self.shown.is_empty() {
                        self.hint = self.hint.take().or_else(|| parser.hint(line));
                    }
                    if self.shown.len() < SHOWN {
                        let number = self.counts.lines;
                        let (name, excerpt) = (&self.name, excerpt(line));
                        self.shown
                            .push(format!("{name}:{number}: {flaw}: {excerpt}"));
                    }
                }
            }
        }
        None
    }

    /// Returns what was found, once there is no next request, and a warning.
    pub(super) fn finish(self, parser: &Parser) -> (File, Option<String>) {
        let Counts {
            lines,
            requests,
            without_key,
            malformed,
            bytes,
            malformed_bytes,
        } = self.counts;
        let mut errors = Vec::new();
        match self.end {
            Some(garbage) if is_garbage(&garbage) => errors.push(garbage.to_string()),
            Some(damage) => errors.push(format!(
                "damaged, and read up to there: {damage}; {lines} lines were read"
            )),
            None => {}
        }
        // One malformed line may be a whole file without line feeds. It may also be a long request.
        let hides_much = malformed_bytes > bytes / 2 && malformed_bytes > LONG_REQUESTS;
        if malformed > lines / 2 || hides_much {
            let shown = self.shown.first().map(String::as_str).unwrap_or_default();
            let expected = parser.expected();
            let hint = match &self.hint {
                Some(hint) => format!("\n  {hint}"),
                None => String::new(),
            };
            errors.push(format!(
                "{malformed} of {lines} lines are malformed, {malformed_bytes} of {bytes} bytes, such \
                 as\n  {shown}\n  expected: {expected}{hint}"
            ));
        }
        let warning = (requests == 0 && without_key > 0).then(|| {
            let hint = self.hint.as_deref().unwrap_or("it is - or missing");
            let (name, key) = (&self.name, parser.key_names());
            format!("{name}: no line has a value in {key}: {hint}")
        });
        let file = File {
            name: self.name,
            lines,
            requests,
            without_key,
            malformed,
            shown: self.shown,
            error: (!errors.is_empty()).then(|| errors.join("; ")),
        };
        (file, warning)
    }
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
