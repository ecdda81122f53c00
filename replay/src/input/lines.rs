//! Splits a log into lines, in bounded memory.

use std::io::{self, BufRead};

use memchr::memchr;

use super::decode::is_garbage;

/// Splits a reader at line feeds.
///
/// The last line may lack one. A line of more than `longest` bytes is cut after `longest + 1`
/// bytes, by which the caller recognizes it. The rest of the line is skipped.
pub(super) struct Lines<R> {
    reader: R,
    longest: usize,
    line: Vec<u8>,
    /// An error behind the last line.
    error: Option<io::Error>,
}

/// A line without its line feed.
pub(super) struct Line<'l> {
    /// What is kept of it.
    pub(super) text: &'l [u8],
    /// How many bytes it had.
    pub(super) length: u64,
}

impl<R: BufRead> Lines<R> {
    pub(super) fn new(reader: R, longest: usize) -> Lines<R> {
        Lines {
            reader,
            longest,
            line: Vec::new(),
            error: None,
        }
    }

    /// Returns the next line, without zeros at its start, or `None` at the end.
    ///
    /// An error ends the lines. A line that it cuts off is dropped, unless the text ended before it.
    pub(super) fn next(&mut self) -> io::Result<Option<Line<'_>>> {
        if let Some(error) = self.error.take() {
            return Err(error);
        }
        self.line.clear();
        let mut length = 0;
        loop {
            let text = match self.reader.fill_buf() {
                Ok([]) if length == 0 => return Ok(None),
                Ok([]) => return Ok(Some(self.line(length))),
                Ok(text) => text,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) if is_garbage(&error) && !self.line.is_empty() => {
                    self.error = Some(error);
                    return Ok(Some(self.line(length)));
                }
                Err(error) => return Err(error),
            };
            let end = memchr(b'\n', text);
            let mut part = &text[..end.unwrap_or(text.len())];
            let read = part.len() + usize::from(end.is_some());
            length += read as u64;
            if self.line.is_empty() {
                part = without_zeros(part);
            }
            let missing = self.longest + 1 - self.line.len();
            self.line
                .extend_from_slice(&part[..part.len().min(missing)]);
            self.reader.consume(read);
            if end.is_some() {
                return Ok(Some(self.line(length)));
            }
        }
    }

    fn line(&self, length: u64) -> Line<'_> {
        let text = &self.line;
        Line { text, length }
    }
}

/// Returns the part behind the zeros at its start: the hole that a log has after it was truncated
/// beneath a server that writes on at the old place.
fn without_zeros(part: &[u8]) -> &[u8] {
    match part {
        [0, rest @ ..] => &rest[rest.iter().take_while(|byte| **byte == 0).count()..],
        whole => whole,
    }
}

#[cfg(test)]
mod tests {
    use std::io::BufReader;

    use super::*;

    fn lines(text: &[u8]) -> Vec<Vec<u8>> {
        // The buffer is smaller than a line, so that lines span buffers.
        let mut lines = Lines::new(BufReader::with_capacity(3, text), 4);
        let mut all = Vec::new();
        while let Some(line) = lines.next().unwrap() {
            all.push(line.text.to_vec());
        }
        all
    }

    #[test]
    fn the_last_line_need_not_end() {
        assert_eq!(lines(b"ab\ncd\n"), [b"ab", b"cd"]);
        assert_eq!(lines(b"ab\ncd"), [b"ab", b"cd"]);
    }

    #[test]
    fn an_empty_line_is_a_line_and_an_empty_log_has_none() {
        assert_eq!(lines(b"\n\n"), [b"", b""]);
        assert_eq!(lines(b""), [b""; 0]);
    }

    #[test]
    fn zeros_at_the_start_of_a_line_are_skipped() {
        assert_eq!(
            lines(b"a\n\0\0\0\0\0\0\0\0\0b\nc\0\n"),
            [&b"a"[..], b"b", b"c\0"]
        );
        assert_eq!(lines(b"\0\0\0\0\0\0"), [b""]);
    }

    #[test]
    fn the_length_of_a_line_is_that_of_all_its_bytes() {
        let mut lines = Lines::new(&b"\0a\n123456789\nb"[..], 4);
        for length in [3, 10, 1] {
            assert_eq!(lines.next().unwrap().map(|line| line.length), Some(length));
        }
    }

    #[test]
    fn the_rest_of_a_long_line_is_skipped() {
        assert_eq!(lines(b"1234\n5\n"), [&b"1234"[..], b"5"]);
        assert_eq!(lines(b"12345\n6\n"), [&b"12345"[..], b"6"]);
        assert_eq!(lines(b"123456789\n0"), [&b"12345"[..], b"0"]);
        assert_eq!(lines(b"1234"), [b"1234"]);
        assert_eq!(lines(b"123456789"), [b"12345"]);
    }
}
