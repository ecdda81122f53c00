//! Parses a line of an access log, in the common or the combined format:
//!
//! ```text
//! 192.0.2.1 - alice [10/Oct/2000:13:55:36 -0700] "GET / HTTP/1.1" 200 2326 "referer" "agent"
//! ```
//!
//! Lines are bytes, as a client can put any byte into its request. The rules:
//!
//! 1. A line has at most [`MAX_LINE`] bytes. One carriage return at its end is ignored.
//! 2. The *host* is the text before the first space: one or more visible ASCII characters. It is
//!    the key, unchanged.
//! 3. The *time stamp* is the first text after the host of the form ` [stamp] "`. The stamp has the
//!    form of the line above: two digits, `/`, three letters, and so on. Ident and authuser, before
//!    it, may contain spaces and brackets. They cannot imitate a stamp, as servers escape a `"` in
//!    them.
//! 4. The stamp is a time that exists, from 1970 to 2069 in UTC, as a limiter counts 100 years. Its
//!    offset is at most 25:59. Second 60 is read as 59.
//! 5. The *request* ends before the next `"` that no `\` escapes.
//! 6. A space, the status (three digits or `-`), a space and the size (digits or `-`) follow. The
//!    line then ends, or continues with a space and any bytes.

use std::fmt;

use jiff::Timestamp;

/// The most bytes of a line, without the line feed.
pub(crate) const MAX_LINE: usize = 64 * 1024;

/// A request, as far as the replay needs it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Request {
    pub(crate) key: String,
    /// Seconds from the start of 1970, UTC.
    pub(crate) time: u64,
}

/// The first rule that a malformed line breaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flaw {
    TooLong,
    Host,
    Stamp,
    Time,
    Request,
    Status,
}

impl Request {
    /// Parses `line`, which has no line feed.
    pub(crate) fn parse(line: &[u8]) -> Result<Request, Flaw> {
        if line.len() > MAX_LINE {
            return Err(Flaw::TooLong);
        }
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let host_end = line.iter().position(|byte| *byte == b' ');
        let (host, rest) = line.split_at(host_end.ok_or(Flaw::Host)?);
        let key = host_text(host).ok_or(Flaw::Host)?;

        let (stamp, rest) = split_at_stamp(rest).ok_or(Flaw::Stamp)?;
        let time = seconds(stamp).ok_or(Flaw::Time)?;
        let rest = after_request(rest).ok_or(Flaw::Request)?;
        if !starts_with_status_and_size(rest) {
            return Err(Flaw::Status);
        }
        Ok(Request {
            key: key.to_owned(),
            time,
        })
    }
}

impl fmt::Display for Flaw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Flaw::TooLong => write!(f, "longer than {MAX_LINE} bytes"),
            Flaw::Host => f.write_str("no host"),
            Flaw::Stamp => f.write_str("no time stamp before a request"),
            Flaw::Time => f.write_str("no such time between 1970 and 2069"),
            Flaw::Request => f.write_str("no end of the request"),
            Flaw::Status => f.write_str("no status and size"),
        }
    }
}

/// 1970 to 2069: 100 years of 365.25 days, in seconds.
const HUNDRED_YEARS: u64 = 36_525 * 86_400;

/// `0` stands for any digit, a letter for any letter and `+` for either sign.
const STAMP: &[u8] = b"00/Aaa/0000:00:00:00 +0000";
const BEFORE_STAMP: &[u8] = b" [";
const AFTER_STAMP: &[u8] = b"] \"";

fn host_text(host: &[u8]) -> Option<&str> {
    let is_visible = !host.is_empty() && host.iter().all(u8::is_ascii_graphic);
    is_visible.then(|| str::from_utf8(host).ok()).flatten()
}

/// Returns the stamp, and the rest of the line from behind the opening quote of the request.
fn split_at_stamp(rest: &[u8]) -> Option<(&[u8], &[u8])> {
    let framed = BEFORE_STAMP.len() + STAMP.len() + AFTER_STAMP.len();
    let at = rest.windows(framed).position(|window| {
        window
            .strip_prefix(BEFORE_STAMP)
            .and_then(|window| window.strip_suffix(AFTER_STAMP))
            .is_some_and(is_like_a_stamp)
    })?;
    let (window, request) = rest[at..].split_at(framed);
    Some((&window[BEFORE_STAMP.len()..][..STAMP.len()], request))
}

fn is_like_a_stamp(text: &[u8]) -> bool {
    text.iter()
        .zip(STAMP)
        .all(|(found, expected)| match expected {
            b'0' => found.is_ascii_digit(),
            b'A' | b'a' => found.is_ascii_alphabetic(),
            b'+' => matches!(found, b'+' | b'-'),
            exactly => found == exactly,
        })
}

fn seconds(stamp: &[u8]) -> Option<u64> {
    let time = Timestamp::strptime("%d/%b/%Y:%H:%M:%S %z", stamp).ok()?;
    let seconds = u64::try_from(time.as_second()).ok()?;
    (seconds < HUNDRED_YEARS).then_some(seconds)
}

/// Returns the rest of the line after the closing quote of the request.
fn after_request(request: &[u8]) -> Option<&[u8]> {
    let mut is_escaped = false;
    let end = request.iter().position(|byte| {
        let is_end = *byte == b'"' && !is_escaped;
        is_escaped = *byte == b'\\' && !is_escaped;
        is_end
    })?;
    Some(&request[end + 1..])
}

fn starts_with_status_and_size(rest: &[u8]) -> bool {
    let is_number = |text: &[u8]| !text.is_empty() && text.iter().all(u8::is_ascii_digit);
    let mut words = rest.split(|byte| *byte == b' ');
    let before = words.next();
    let status = words.next().unwrap_or_default();
    let size = words.next().unwrap_or_default();
    before == Some(b"")
        && (status == b"-" || status.len() == 3 && is_number(status))
        && (size == b"-" || is_number(size))
}

#[cfg(test)]
mod tests {
    use super::*;

    const STAMPED: &str = "[10/Oct/2000:13:55:36 -0700]";
    /// 2000-10-10 20:55:36 UTC.
    const TIME: u64 = 971_211_336;

    fn key_and_time(line: impl AsRef<[u8]>) -> Result<(String, u64), Flaw> {
        Request::parse(line.as_ref()).map(|request| (request.key, request.time))
    }

    fn time(stamp: &str) -> Result<u64, Flaw> {
        key_and_time(format!("192.0.2.1 - - [{stamp}] \"GET /\" 200 1")).map(|(_, time)| time)
    }

    #[test]
    fn the_common_and_the_combined_format_are_read() {
        for end in [
            "2326",
            "-",
            "2326 \"-\" \"Agent \\\" of many words\"",
            "1 \"cut off in the",
            "1\r",
        ] {
            let line = format!("192.0.2.1 - alice {STAMPED} \"GET / HTTP/1.0\" 200 {end}");
            assert_eq!(
                key_and_time(&line),
                Ok(("192.0.2.1".into(), TIME)),
                "{line}"
            );
        }
    }

    #[test]
    fn the_key_is_the_host_as_it_stands() {
        for host in ["2001:db8::1", "[2001:DB8::1]", "Host.example", "-"] {
            let line = format!("{host} - - {STAMPED} \"\" 408 -");
            assert_eq!(key_and_time(line), Ok((host.into(), TIME)));
        }
    }

    #[test]
    fn ident_and_authuser_may_hold_anything_but_a_bare_quote() {
        for odd in [
            "- Alice Of Example",
            "- \"\"",
            "- a [b] c",
            "",
            "- [01/Jan/1999:00:00:00 +0000]",
            "- [01/Jan/1999:00:00:00 +0000] \\\"",
            "- [] [] [",
        ] {
            let line = format!("192.0.2.1 {odd} {STAMPED} \"GET /\" 200 1");
            assert_eq!(
                key_and_time(&line),
                Ok(("192.0.2.1".into(), TIME)),
                "{line}"
            );
        }
    }

    #[test]
    fn quotes_and_backslashes_in_the_request_are_escaped() {
        for request in [r#"GET /\"a\" b"#, r"GET /\\", r#"\\\""#, r"\x16\x03", ""] {
            let line = format!("192.0.2.1 - - {STAMPED} \"{request}\" 200 1");
            assert_eq!(
                key_and_time(&line),
                Ok(("192.0.2.1".into(), TIME)),
                "{line}"
            );
        }
    }

    #[test]
    fn bytes_that_are_not_utf_8_are_read_but_in_the_host() {
        let after = [
            b"192.0.2.1 - \xe9 ",
            STAMPED.as_bytes(),
            b" \"\xff\xc3\" 200 1 \xff",
        ];
        assert_eq!(key_and_time(after.concat()), Ok(("192.0.2.1".into(), TIME)));
        let within = [
            b"192.0.2.\xff - - ",
            STAMPED.as_bytes(),
            b" \"GET /\" 200 1",
        ];
        assert_eq!(key_and_time(within.concat()), Err(Flaw::Host));
    }

    #[test]
    fn offsets_from_utc_are_honoured() {
        let utc = time("10/Oct/2000:13:55:36 +0000").unwrap();
        assert_eq!(time("10/Oct/2000:13:55:36 -0000"), Ok(utc));
        assert_eq!(time("10/Oct/2000:15:55:36 +0200"), Ok(utc));
        assert_eq!(time("10/Oct/2000:08:25:36 -0530"), Ok(utc));
        assert_eq!(time("11/Oct/2000:13:40:36 +2345"), Ok(utc));
    }

    #[test]
    fn times_outside_the_hundred_years_are_malformed() {
        assert_eq!(time("01/Jan/1970:00:00:00 +0000"), Ok(0));
        assert_eq!(time("31/Dec/1969:23:59:59 +0000"), Err(Flaw::Time));
        assert_eq!(time("01/Jan/1970:00:00:00 +0001"), Err(Flaw::Time));
        assert_eq!(time("31/Dec/2069:23:59:59 +0000"), Ok(HUNDRED_YEARS - 1));
        assert_eq!(time("01/Jan/2070:00:00:00 +0000"), Err(Flaw::Time));
    }

    #[test]
    fn a_leap_second_is_the_second_before() {
        assert_eq!(
            time("31/Dec/2016:23:59:60 +0000"),
            time("31/Dec/2016:23:59:59 +0000")
        );
    }

    #[test]
    fn times_that_do_not_exist_are_malformed() {
        for stamp in [
            "31/Feb/2000:00:00:00 +0000",
            "00/Oct/2000:00:00:00 +0000",
            "10/Foo/2000:00:00:00 +0000",
            "10/Oct/2000:24:00:00 +0000",
            "10/Oct/2000:00:60:00 +0000",
            "10/Oct/2000:00:00:61 +0000",
            "10/Oct/2000:00:00:00 +2600",
            "10/Oct/2000:00:00:00 +0060",
        ] {
            assert_eq!(time(stamp), Err(Flaw::Time), "{stamp}");
        }
    }

    #[test]
    fn stamps_of_another_form_are_malformed() {
        for stamp in [
            "1/Oct/2000:00:00:00 +0000",
            "10/10/2000:00:00:00 +0000",
            "10/Oct/2000:00:00:00",
            "10/Oct/2000:00:00:00.5 +0000",
            "2000-10-10T00:00:00 +00:00",
            "",
        ] {
            assert_eq!(time(stamp), Err(Flaw::Stamp), "{stamp}");
        }
    }

    #[test]
    fn a_line_that_lacks_a_part_is_malformed() {
        for (line, flaw) in [
            ("".to_owned(), Flaw::Host),
            ("nothing".to_owned(), Flaw::Host),
            (format!(" - - {STAMPED} \"GET /\" 200 1"), Flaw::Host),
            ("192.0.2.1 - - ".to_owned(), Flaw::Stamp),
            (format!("192.0.2.1 - - {STAMPED}"), Flaw::Stamp),
            (
                format!("192.0.2.1 - - {STAMPED} \"GET /\\\" 200 1"),
                Flaw::Request,
            ),
            (format!("192.0.2.1 - - {STAMPED} \"GET /\""), Flaw::Status),
            (
                format!("192.0.2.1 - - {STAMPED} \"GET /\" 200"),
                Flaw::Status,
            ),
            (
                format!("192.0.2.1 - - {STAMPED} \"GET /\" 20 1"),
                Flaw::Status,
            ),
            (
                format!("192.0.2.1 - - {STAMPED} \"GET /\" 200 x"),
                Flaw::Status,
            ),
            (
                format!("192.0.2.1 - - {STAMPED} \"GET /\"200 1"),
                Flaw::Status,
            ),
            (
                format!("192.0.2.1 - - {STAMPED} \"GET /\" 200  1"),
                Flaw::Status,
            ),
        ] {
            assert_eq!(key_and_time(&line), Err(flaw), "{line}");
        }
    }

    #[test]
    fn a_line_may_be_as_long_as_the_bound_and_no_longer() {
        let mut line = format!("192.0.2.1 - - {STAMPED} \"GET /\" 200 1 ").into_bytes();
        line.resize(MAX_LINE, b'x');
        assert!(key_and_time(&line).is_ok());
        line.push(b'x');
        assert_eq!(key_and_time(&line), Err(Flaw::TooLong));
    }
}
