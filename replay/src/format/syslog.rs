//! Skips what syslog and container runtimes put in front of a line.

use crate::form::{is_digits, is_like};
use crate::time::RFC_3339;

/// Returns the message of a line that starts with a prefix of syslog (RFC 3164 or 5424, or one that
/// starts with an ISO 8601 time) or of a container runtime. Any other line is returned whole.
pub(crate) fn message(line: &[u8]) -> &[u8] {
    // Nearly all lines without a prefix end here.
    match line {
        [b'<' | b'A'..=b'Z', ..] => {}
        [b'0'..=b'9', _, _, _, b'-', ..] => {}
        _ => return line,
    }
    skip(line).unwrap_or(line)
}

fn skip(line: &[u8]) -> Option<&[u8]> {
    let priority = line.strip_prefix(b"<").and_then(|rest| {
        let end = rest.iter().position(|byte| *byte == b'>')?;
        let is_number = end <= 3 && is_digits(&rest[..end]);
        is_number.then_some(&rest[end + 1..])
    });
    if let Some(rest) = priority.and_then(|rest| rest.strip_prefix(b"1 ")) {
        return rfc_5424(rest);
    }
    let rest = priority.unwrap_or(line);
    match rest.split_at_checked(RFC_3164.len()) {
        Some((start, rest)) if is_rfc_3164(start) => return tagged(rest),
        _ => {}
    }
    let (time, rest) = word(rest)?;
    if !is_iso_time(time) {
        return None;
    }
    if priority.is_none() {
        for stream in [&b"stdout F "[..], b"stderr F "] {
            if let Some(message) = rest.strip_prefix(stream) {
                return Some(message);
            }
        }
    }
    tagged(rest)
}

/// The time of RFC 3164 and the space after it. The day may start with a space.
const RFC_3164: &[u8] = b"AAA 00 00:00:00 ";

fn is_rfc_3164(text: &[u8]) -> bool {
    let mut text = text.to_owned();
    if text[4] == b' ' {
        text[4] = b'0';
    }
    is_like(&text, RFC_3164)
}

fn is_iso_time(word: &[u8]) -> bool {
    word.get(..RFC_3339.len())
        .is_some_and(|start| start[10] == b'T' && is_like(start, RFC_3339))
}

/// Skips the host, if there is one, and the tag: one or two words, of which the last ends with a
/// colon.
fn tagged(text: &[u8]) -> Option<&[u8]> {
    let (first, rest) = word(text)?;
    if first.ends_with(b":") {
        return Some(rest);
    }
    let (second, rest) = word(rest)?;
    second.ends_with(b":").then_some(rest)
}

/// Skips the rest of the header of RFC 5424, from its time on.
fn rfc_5424(text: &[u8]) -> Option<&[u8]> {
    let mut rest = text;
    for _ in ["time", "host", "application", "process", "message id"] {
        rest = word(rest)?.1;
    }
    if let Some(message) = rest.strip_prefix(b"- ") {
        return Some(message);
    }
    while let Some(element) = rest.strip_prefix(b"[") {
        rest = &element[element_end(element)? + 1..];
    }
    rest.strip_prefix(b" ")
}

/// Returns where the bracket is that ends an element of structured data.
fn element_end(element: &[u8]) -> Option<usize> {
    let (mut is_quoted, mut is_escaped) = (false, false);
    element.iter().position(|byte| {
        let was_escaped = is_escaped;
        is_escaped = *byte == b'\\' && !was_escaped;
        is_quoted ^= *byte == b'"' && !was_escaped;
        *byte == b']' && !is_quoted && !was_escaped
    })
}

/// Splits at the first space, into a word that is not empty and what is after the space.
pub(super) fn word(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = text.iter().position(|byte| *byte == b' ')?;
    (end > 0).then(|| (&text[..end], &text[end + 1..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINE: &str = "192.0.2.1 - - [10/Oct/2000:13:55:36 -0700] \"GET /\" 200 1";

    fn is_skipped(prefix: &str) -> bool {
        let line = format!("{prefix}{LINE}");
        match message(line.as_bytes()) {
            rest if rest == LINE.as_bytes() => true,
            rest => {
                assert_eq!(rest, line.as_bytes());
                false
            }
        }
    }

    #[test]
    fn prefixes_of_syslog_are_skipped() {
        for prefix in [
            "<190>Mar 12 10:00:00 web1 nginx: ",
            "<190>Mar 12 10:00:00 nginx: ",
            "Mar  2 10:00:00 web1 nginx[812]: ",
            "2026-03-12T10:00:00.123456+01:00 web1 nginx[812]: ",
            "<6>2026-03-12T10:00:00Z nginx: ",
            "<190>1 2026-03-12T10:00:00Z web1 nginx 812 - - ",
            "<190>1 - - - - - - ",
            r#"<190>1 2026-03-12T10:00:00Z web1 nginx 812 ID [a@1 b="]\"] "][c@1] "#,
        ] {
            assert!(is_skipped(prefix), "{prefix}");
        }
    }

    #[test]
    fn prefixes_of_container_runtimes_are_skipped() {
        assert!(is_skipped("2026-03-12T10:00:00.123456789Z stdout F "));
        assert!(is_skipped("2026-03-12T10:00:00.123456789+01:00 stderr F "));
        // A part of a line is none.
        assert!(!is_skipped("2026-03-12T10:00:00.123456789Z stdout P "));
    }

    #[test]
    fn other_lines_are_whole() {
        for prefix in [
            "www.example:80 ",
            "Www.example:80 ",
            "2001:db8::1 ",
            "<190> ",
            "<1900>Mar 12 10:00:00 nginx: ",
            "Mar 12 10:00:00 web1 nginx ",
            "Mar 12 10:00 web1 nginx: ",
            "2026-03-12 10:00:00 web1 nginx: ",
            "2026-03-12T10:00:00Z web1 nginx ",
            "<190>1 2026-03-12T10:00:00Z web1 nginx 812 - ",
        ] {
            assert!(!is_skipped(prefix), "{prefix}");
        }
        assert_eq!(message(b"<"), b"<");
        assert_eq!(message(b""), b"");
    }
}
