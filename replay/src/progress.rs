//! A bar on standard error while long logs are read. Where that is no terminal nothing is drawn.

use std::{cell::Cell, io::Read};

use indicatif::{HumanCount, ProgressBar, ProgressStyle};

/// Logs of fewer bytes than this are read before anybody could look.
const LONG: u64 = 16 * 1024 * 1024;

/// Writing the count costs more than counting.
const LINES_PER_MESSAGE: u64 = 4_096;

/// Draws how far the reading is, and clears it when dropped.
pub(crate) struct Progress {
    bar: ProgressBar,
    lines: Cell<u64>,
}

impl Progress {
    /// Over logs of these `lengths`: a bar if all are known and long together, and a spinner if
    /// one is not known.
    pub(crate) fn over(lengths: &[Option<u64>]) -> Progress {
        let (bar, template) = match lengths.iter().copied().sum::<Option<u64>>() {
            None => (
                ProgressBar::new_spinner(),
                "{spinner} {bytes} {msg} {elapsed}",
            ),
            Some(total) if total >= LONG => (
                ProgressBar::new(total),
                "{wide_bar} {bytes}/{total_bytes} {msg} {eta}",
            ),
            Some(_) => (ProgressBar::hidden(), "{bytes}"),
        };
        let style =
            ProgressStyle::with_template(template).expect("the templates above are well-formed");
        Progress {
            bar: bar.with_style(style),
            lines: Cell::new(0),
        }
    }

    /// Passes on what `reader` reads, and counts the bytes.
    pub(crate) fn counting<R: Read>(&self, reader: R) -> impl Read + use<R> {
        self.bar.wrap_read(reader)
    }

    pub(crate) fn count_line(&self) {
        let lines = self.lines.get() + 1;
        self.lines.set(lines);
        if lines.is_multiple_of(LINES_PER_MESSAGE) {
            self.bar.set_message(format!("{} lines", HumanCount(lines)));
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_long_logs_have_a_bar() {
        assert_eq!(Progress::over(&[Some(LONG)]).bar.length(), Some(LONG));
        assert_eq!(
            Progress::over(&[Some(LONG), Some(1)]).bar.length(),
            Some(LONG + 1)
        );
        assert_eq!(Progress::over(&[Some(LONG), None]).bar.length(), None);
        assert_eq!(Progress::over(&[Some(LONG - 1)]).bar.length(), None);
    }

    #[test]
    fn what_is_read_is_counted_and_passed_on() {
        let progress = Progress::over(&[None]);
        let mut text = String::new();
        progress
            .counting(&b"a line"[..])
            .read_to_string(&mut text)
            .unwrap();
        assert_eq!((text.as_str(), progress.bar.position()), ("a line", 6));
    }
}
