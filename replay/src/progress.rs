//! Draws a progress bar on standard error while long logs are read, if that is a terminal.

use std::{cell::Cell, io::Read};

use indicatif::{HumanCount, ProgressBar, ProgressStyle};

/// Logs of fewer bytes have no bar, as they are read in an instant.
const LONG: u64 = 16 * 1024 * 1024;

/// The bar shows the count once per this many requests, as showing it costs more than counting.
const REQUESTS_PER_MESSAGE: u64 = 4_096;

/// Draws how much has been read. Dropping it clears the bar.
pub(crate) struct Progress {
    bar: ProgressBar,
    requests: Cell<u64>,
}

impl Progress {
    /// Starts the progress over logs of these `lengths`: a spinner if a length is unknown, a bar if
    /// the sum is at least [`LONG`], and nothing otherwise.
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
            requests: Cell::new(0),
        }
    }

    /// Wraps `reader` and counts the bytes that are read from it.
    pub(crate) fn counting<R: Read>(&self, reader: R) -> impl Read + use<R> {
        self.bar.wrap_read(reader)
    }

    pub(crate) fn count_request(&self) {
        let requests = self.requests.get() + 1;
        self.requests.set(requests);
        if requests.is_multiple_of(REQUESTS_PER_MESSAGE) {
            let requests = HumanCount(requests);
            self.bar.set_message(format!("{requests} requests"));
        }
    }

    /// Prints a line on standard error, above the bar.
    pub(crate) fn print(&self, line: &str) {
        self.bar.suspend(|| eprintln!("{line}"));
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
