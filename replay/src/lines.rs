//! Splits a log into lines, in bounded memory.

use std::io::{self, BufRead, Read};

/// Splits a reader at line feeds.
///
/// The last line may lack one. A line of more than `longest` bytes is cut after `longest + 1`
/// bytes, by which the caller recognizes it. The rest of the line is skipped.
pub(crate) struct Lines<R> {
    reader: R,
    longest: usize,
    line: Vec<u8>,
}

impl<R: BufRead> Lines<R> {
    pub(crate) fn new(reader: R, longest: usize) -> Lines<R> {
        Lines {
            reader,
            longest,
            line: Vec::new(),
        }
    }

    /// Returns the next line without its line feed, or `None` at the end.
    pub(crate) fn next(&mut self) -> io::Result<Option<&[u8]>> {
        self.line.clear();
        let limit = self.longest as u64 + 1;
        let mut start = self.reader.by_ref().take(limit);
        if start.read_until(b'\n', &mut self.line)? == 0 {
            return Ok(None);
        }
        if self.line.last() == Some(&b'\n') {
            self.line.pop();
        } else {
            // The line was cut, or the log has ended.
            self.reader.skip_until(b'\n')?;
        }
        Ok(Some(&self.line))
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
            all.push(line.to_vec());
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
    fn the_rest_of_a_long_line_is_skipped() {
        assert_eq!(lines(b"1234\n5\n"), [&b"1234"[..], b"5"]);
        assert_eq!(lines(b"12345\n6\n"), [&b"12345"[..], b"6"]);
        assert_eq!(lines(b"123456789\n0"), [&b"12345"[..], b"0"]);
        assert_eq!(lines(b"1234"), [b"1234"]);
        assert_eq!(lines(b"123456789"), [b"12345"]);
    }
}
