//! Parses a line of an access log, in the common or the combined format, with a virtual host or
//! without:
//!
//! ```text
//! www.example:443 192.0.2.1 - alice [10/Oct/2000:13:55:36 -0700] "GET / HTTP/1.1" 200 2326 "referer" "agent"
//! ```
//!
//! The rules are in the README of this package, under Formats.

use std::fmt;
use std::net::IpAddr;

use memchr::memchr_iter;

use super::syslog::{self, word};
use super::{Fields, Keys, Request};
use crate::flaw::Flaw;
use crate::form::{self, is_digits};
use crate::key::{Key, KeyType, last_address};
use crate::time::{COMMON, Stamps};

/// Where the client is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Layout {
    /// Where there is an address: at the first word or at the second.
    Auto,
    /// At the first word, also in the common format.
    #[value(alias = "common")]
    Combined,
    /// At the second word, behind the virtual host.
    #[value(name = "vhost_combined")]
    VhostCombined,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Field {
    Client,
    User,
    Vhost,
}

pub(crate) struct Access {
    layout: Layout,
    key: Field,
    stamps: Stamps,
}

/// What comes before the time stamp.
struct Start<'l> {
    vhost: Option<&'l [u8]>,
    client: &'l [u8],
    /// The last address of the client, if it has been read.
    address: Option<IpAddr>,
    /// From the space after the client on.
    rest: &'l [u8],
}

impl Access {
    /// Returns the parser, and what is known of its key.
    pub(crate) fn new(layout: Layout, fields: Fields) -> Result<(Access, Option<KeyType>), String> {
        let keys: Vec<_> = fields.keys.iter().map(String::as_str).collect();
        let key = match keys[..] {
            [] | ["client"] => Field::Client,
            ["user"] => Field::User,
            ["vhost"] => Field::Vhost,
            _ => {
                let keys = keys.join(" and ");
                return Err(format!(
                    "--key {keys}: expected client, user or vhost; other fields need --format \
                     with the server's log format, or json"
                ));
            }
        };
        let known = (key == Field::Client).then_some(KeyType::Address);
        let stamps = Stamps::default();
        Ok((
            Access {
                layout,
                key,
                stamps,
            },
            known,
        ))
    }

    pub(crate) fn parse(&mut self, line: &[u8], keys: &mut Keys) -> Result<Option<Request>, Flaw> {
        let line = syslog::message(line);
        let start = self.start(line)?;
        let (before, stamp, rest) = split_at_stamp(start.rest).ok_or(Flaw::NoStamp)?;
        // Either may be the client. This is also how a torn line shows.
        if has_address(before) {
            return Err(Flaw::TwoAddresses);
        }
        let time = self.stamps.read(stamp).ok_or(Flaw::Time)?;
        let rest = after_request(rest).ok_or(Flaw::Request)?;
        if !starts_with_status_and_size(rest) {
            return Err(Flaw::Status);
        }
        let key = match self.key {
            Field::Client => start.key(keys)?,
            Field::User => keys.key(user(before))?,
            Field::Vhost => keys.key(start.vhost.unwrap_or_default())?,
        };
        Ok(key.map(|key| Request { time, key }))
    }

    /// Finds the client. Where its place is known, it need not be an address.
    fn start<'l>(&self, line: &'l [u8]) -> Result<Start<'l>, Flaw> {
        let first = Start::at(line).ok_or(Flaw::NoClient);
        let second = || {
            let (vhost, rest) = word(line)?;
            Some(Start {
                vhost: Some(vhost),
                ..Start::at(rest)?
            })
        };
        match self.layout {
            Layout::Combined => first,
            Layout::VhostCombined => second().ok_or(Flaw::NoClient),
            Layout::Auto => {
                let with_address = first?.with_address();
                let with_address = with_address.or_else(|| second()?.with_address());
                with_address.ok_or(Flaw::NoAddress)
            }
        }
    }
}

impl<'l> Start<'l> {
    /// Takes a client at the start of `text`: a word, or several of which all but the last end with
    /// a comma.
    fn at(text: &'l [u8]) -> Option<Start<'l>> {
        let spaces = text.iter().enumerate().filter(|(_, byte)| **byte == b' ');
        let mut ends = spaces.map(|(at, _)| at);
        let end = ends.find(|end| !text[..*end].ends_with(b","))?;
        let (client, rest) = text.split_at(end);
        (end > 0).then_some(Start {
            vhost: None,
            client,
            address: None,
            rest,
        })
    }

    /// Returns this if the client is an address or a list of addresses.
    fn with_address(&self) -> Option<Start<'l>> {
        let address = Some(last_address(self.client)?);
        Some(Start { address, ..*self })
    }

    fn key(&self, keys: &mut Keys) -> Result<Option<Key>, Flaw> {
        match self.address {
            Some(address) if keys.key_type == KeyType::Address => {
                keys.addresses.key_of(self.client, address).map(Some)
            }
            _ => keys.key(self.client),
        }
    }
}

impl fmt::Display for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let vhost = match self.layout {
            Layout::Auto => "[vhost:port] ",
            Layout::Combined => "",
            Layout::VhostCombined => "vhost:port ",
        };
        write!(
            f,
            "{vhost}ADDRESS - USER [10/Oct/2000:13:55:36 -0700] \"GET /\" 200 2326 ..."
        )
    }
}

const BEFORE_STAMP: &[u8] = b" [";
const AFTER_STAMP: &[u8] = b"] \"";

/// Whether a word is an address, or ends a list of addresses.
fn has_address(words: &[u8]) -> bool {
    let mut words = words.split(|byte| *byte == b' ');
    words.any(|word| last_address(word).is_some())
}

/// Whether a line has a time stamp before a request.
pub(super) fn is_like(line: &[u8]) -> bool {
    split_at_stamp(line).is_some()
}

/// Returns what is before the stamp, the stamp, and what is behind the opening quote of the request.
fn split_at_stamp(rest: &[u8]) -> Option<(&[u8], &[u8; COMMON.len()], &[u8])> {
    let framed = BEFORE_STAMP.len() + COMMON.len() + AFTER_STAMP.len();
    let at = rest.windows(framed).position(|window| {
        window
            .strip_prefix(BEFORE_STAMP)
            .and_then(|window| window.strip_suffix(AFTER_STAMP))
            .is_some_and(|stamp| form::is_like(stamp, COMMON))
    })?;
    let (before, rest) = rest.split_at(at);
    let (window, request) = rest.split_at(framed);
    let stamp = window[BEFORE_STAMP.len()..].first_chunk()?;
    Some((before, stamp, request))
}

/// Returns the user in what stands between the client and the stamp: what is behind the ident.
fn user(before: &[u8]) -> &[u8] {
    let before = before.strip_prefix(b" ").unwrap_or_default();
    match before.iter().position(|byte| *byte == b' ') {
        Some(end) => &before[end + 1..],
        None => b"",
    }
}

/// Returns the rest of the line after the closing quote of the request.
fn after_request(request: &[u8]) -> Option<&[u8]> {
    let mut quotes = memchr_iter(b'"', request);
    let end = quotes.find(|quote| {
        let before = request[..*quote].iter().rev();
        let backslashes = before.take_while(|byte| **byte == b'\\').count();
        backslashes.is_multiple_of(2)
    })?;
    Some(&request[end + 1..])
}

fn starts_with_status_and_size(rest: &[u8]) -> bool {
    let mut words = rest.split(|byte| *byte == b' ');
    let before = words.next();
    let status = words.next().unwrap_or_default();
    let size = words.next().unwrap_or_default();
    before == Some(b"")
        && (status == b"-" || status.len() == 3 && is_digits(status))
        && (size == b"-" || is_digits(size))
}

#[cfg(test)]
mod tests {
    use crate::format::tests::{Told, told};

    const STAMPED: &str = "[10/Oct/2000:13:55:36 -0700]";

    fn read(arguments: &[&str], line: impl AsRef<[u8]>) -> Told {
        told(arguments, line.as_ref())
    }

    fn key(text: &str) -> Told {
        Ok(Some(("2000-10-10T20:55:36Z".into(), text.into())))
    }

    fn flaw(text: &str) -> Told {
        Err(text.into())
    }

    /// Returns a line whose client, ident and user are `start`.
    fn line(start: &str) -> String {
        format!("{start} {STAMPED} \"GET / HTTP/1.0\" 200 2326")
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
            for format in ["auto", "common", "combined"] {
                assert_eq!(
                    read(&["--format", format], &line),
                    key("192.0.2.1"),
                    "{line}"
                );
            }
        }
    }

    #[test]
    fn a_virtual_host_is_told_by_where_the_address_is() {
        for vhost in ["v.example:80", "v.example", "localhost", "-", "face"] {
            let line = line(&format!("{vhost} 192.0.2.1 - -"));
            assert_eq!(read(&[], &line), key("192.0.2.1"), "{vhost}");
            assert_eq!(
                read(&["--format", "vhost_combined"], &line),
                key("192.0.2.1")
            );
        }
        // Apache writes the address if it has no name.
        let by_address = line("192.0.2.80:80 192.0.2.1 - -");
        assert_eq!(
            read(&["--format", "vhost_combined"], &by_address),
            key("192.0.2.1")
        );
        assert!(read(&["--format", "combined"], &by_address).is_err());
    }

    #[test]
    fn two_addresses_or_none_are_malformed() {
        for start in [
            "192.0.2.80:80 192.0.2.1 - -",
            "192.0.2.1 2001:db8::1 -",
            "192.0.2.1 - 198.51.100.7 - -",
            "192.0.2.1 - 198.51.100.7, 203.0.113.7 -",
            "192.0.2.1 v.example 198.51.100.7 - -",
            "v.example 192.0.2.1 - 198.51.100.7",
        ] {
            let told = read(&[], line(start)).unwrap_err();
            assert!(told.starts_with("two addresses"), "{told}");
        }
        for start in [
            "v.example - -",
            "- - -",
            "unix: - -",
            "v.example:80 w.example - -",
        ] {
            let told = read(&[], line(start)).unwrap_err();
            assert!(
                told.starts_with("no address of a client"),
                "{start}: {told}"
            );
        }
        let named = line("client.example - -");
        assert!(read(&["--format", "combined"], &named).is_err());
        assert!(
            read(&["--key-type", "text"], &named).is_err(),
            "its place is not known"
        );
        let combined = ["--format", "combined", "--key-type", "text"];
        assert_eq!(read(&combined, &named), key("client.example"));
    }

    #[test]
    fn a_list_of_addresses_is_one_client() {
        let list = line("198.51.100.1, 203.0.113.7, 10.0.0.1 - alice");
        let told = read(&[], &list).unwrap_err();
        assert!(told.starts_with("a list of addresses"), "{told}");
        let trust = ["--trust", "10.0.0.0/8,192.0.2.1"];
        assert_eq!(read(&trust, &list), key("203.0.113.7"));
        let behind_vhost = format!("v.example:80 {list}");
        assert_eq!(read(&trust, &behind_vhost), key("203.0.113.7"));
        assert_eq!(read(&["--key", "user"], &list), key("alice"));
    }

    #[test]
    fn a_syslog_prefix_is_no_client() {
        let line = format!("<190>Mar 12 10:00:00 web1 nginx: {}", line("192.0.2.1 - -"));
        assert_eq!(read(&[], &line), key("192.0.2.1"));
        assert!(read(&[], line.replace("nginx: ", "nginx ")).is_err());
    }

    #[test]
    fn the_user_and_the_virtual_host_can_be_keys() {
        let user = ["--key", "user"];
        for (start, expected) in [
            ("192.0.2.1 - alice", "alice"),
            ("192.0.2.1 - Alice Of Example", "Alice Of Example"),
            (
                "192.0.2.1 ident [01/Jan/1999:00:00:00 +0000]",
                "[01/Jan/1999:00:00:00 +0000]",
            ),
            ("v.example 192.0.2.1 - alice", "alice"),
        ] {
            assert_eq!(read(&user, line(start)), key(expected), "{start}");
        }
        for start in [
            "192.0.2.1 - -",
            "192.0.2.1 - \"\"",
            "192.0.2.1 -",
            "192.0.2.1 - ",
        ] {
            assert_eq!(read(&user, line(start)), Ok(None), "{start}");
        }
        let vhost = ["--key", "vhost"];
        assert_eq!(
            read(&vhost, line("v.example:80 192.0.2.1 - -")),
            key("v.example:80")
        );
        assert_eq!(read(&vhost, line("192.0.2.1 - -")), Ok(None));
        // A client that is not the key need not be an address where its place is known.
        let named = line("client.example - alice");
        assert_eq!(
            read(&["--format", "common", "--key", "user"], named),
            key("alice")
        );
    }

    #[test]
    fn ident_and_user_may_hold_anything_but_a_bare_quote() {
        for odd in [
            "- Alice Of Example",
            "- \"\"",
            "- a [b] c",
            "",
            "- [01/Jan/1999:00:00:00 +0000]",
            "- [01/Jan/1999:00:00:00 +0000] \\\"",
            "- [] [] [",
        ] {
            let line = line(&format!("192.0.2.1 {odd}"));
            assert_eq!(read(&[], &line), key("192.0.2.1"), "{line}");
        }
    }

    #[test]
    fn quotes_and_backslashes_in_the_request_are_escaped() {
        for request in [r#"GET /\"a\" b"#, r"GET /\\", r#"\\\""#, r"\x16\x03", ""] {
            let line = format!("192.0.2.1 - - {STAMPED} \"{request}\" 200 1");
            assert_eq!(read(&[], &line), key("192.0.2.1"), "{line}");
        }
    }

    #[test]
    fn bytes_that_are_not_utf_8_are_read_but_in_a_key() {
        let after = [
            b"192.0.2.1 - \xe9 ",
            STAMPED.as_bytes(),
            b" \"\xff\xc3\" 200 1 \xff",
        ]
        .concat();
        assert_eq!(read(&[], &after), key("192.0.2.1"));
        assert_eq!(
            read(&["--key", "user"], &after),
            flaw("a key that is not UTF-8")
        );
        let within = [
            b"192.0.2.\xff - - ",
            STAMPED.as_bytes(),
            b" \"GET /\" 200 1",
        ];
        assert!(read(&[], within.concat()).is_err());
    }

    #[test]
    fn a_byte_order_mark_may_start_any_line() {
        assert_eq!(
            read(&[], format!("\u{feff}{}", line("192.0.2.1 - -"))),
            key("192.0.2.1")
        );
    }

    #[test]
    fn stamps_of_another_form_are_malformed() {
        let stamped = |stamp| read(&[], format!("192.0.2.1 - - [{stamp}] \"GET /\" 200 1"));
        for stamp in [
            "1/Oct/2000:00:00:00 +0000",
            "10/10/2000:00:00:00 +0000",
            "10/Oct/2000:00:00:00",
            "10/Oct/2000:00:00:00.5 +0000",
            "2000-10-10T00:00:00 +00:00",
            "",
        ] {
            assert_eq!(
                stamped(stamp),
                flaw("no time stamp before a request"),
                "{stamp}"
            );
        }
        let told = stamped("31/Feb/2000:00:00:00 +0000");
        assert_eq!(told, flaw("no such time between 1970 and 2069"));
    }

    #[test]
    fn a_line_that_lacks_a_part_is_malformed() {
        for (line, expected) in [
            ("".to_owned(), "no client before a space"),
            ("nothing".to_owned(), "no client before a space"),
            (
                format!(" - - {STAMPED} \"GET /\" 200 1"),
                "no client before a space",
            ),
            (
                "192.0.2.1 - - ".to_owned(),
                "no time stamp before a request",
            ),
            (
                format!("192.0.2.1 - - {STAMPED}"),
                "no time stamp before a request",
            ),
            (
                format!("192.0.2.1 - - {STAMPED} \"GET /\\\" 200 1"),
                "no end of the request",
            ),
        ] {
            assert_eq!(read(&[], &line), flaw(expected), "{line}");
        }
        for end in ["", " 200", " 20 1", " 200 x", "200 1", " 200  1"] {
            let line = format!("192.0.2.1 - - {STAMPED} \"GET /\"{end}");
            assert_eq!(read(&[], &line), flaw("no status and size"), "{line}");
        }
    }

    #[test]
    fn a_line_may_be_as_long_as_the_bound_and_no_longer() {
        let mut line = line("192.0.2.1 - -").into_bytes();
        line.push(b' ');
        line.resize(crate::flaw::MAX_LINE, b'x');
        assert_eq!(read(&[], &line), key("192.0.2.1"));
        line.push(b'x');
        assert_eq!(read(&[], &line), flaw("longer than 65536 bytes"));
    }
}
