//! The formats of log lines.

mod access;
mod json;
mod pattern;
mod syslog;

use std::borrow::Cow;
use std::fmt;

use clap::ValueEnum;

use crate::flaw::{Flaw, MAX_LINE};
use crate::key::{Addresses, Key, KeyType, is_value, last_address, text_key};
use crate::time::Time;

pub(crate) use access::Layout;

/// A request, as far as the replay needs it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Request {
    pub(crate) time: Time,
    pub(crate) key: Key,
}

/// A format as it is named in the arguments.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum FormatName {
    Access(Layout),
    Json,
    /// The log format of nginx or Apache.
    Pattern(String),
}

/// Reads lines of one format.
pub(crate) struct Parser {
    format: Format,
    /// As it was given.
    name: FormatName,
    /// The names of the fields that are the key.
    key_names: Vec<String>,
    keys: Keys,
}

enum Format {
    Access(access::Access),
    Json(json::Json),
    Pattern(pattern::Pattern),
}

/// Makes the values of one field into keys.
pub(crate) struct Keys {
    addresses: Addresses,
    key_type: KeyType,
    /// Whether the key type was not given, and is text because nothing is known of the field.
    is_guess: bool,
}

/// The arguments that say what is read from a line.
pub(crate) struct Fields {
    pub(crate) time: Option<String>,
    /// Several are parts of one list of addresses.
    pub(crate) keys: Vec<String>,
    pub(crate) key_type: Option<KeyType>,
}

impl Parser {
    /// # Errors
    ///
    /// If the fields do not fit the format. The text names the argument and what was expected.
    pub(crate) fn new(
        name: &FormatName,
        fields: Fields,
        addresses: Addresses,
    ) -> Result<Parser, String> {
        let given = fields.key_type;
        let mut key_names = fields.keys.clone();
        if fields.keys.iter().any(String::is_empty) {
            return Err(format!(
                "--key \"\": expected the name of a field{EXPANDED}"
            ));
        }
        if let (Some(time), false) = (&fields.time, matches!(name, FormatName::Json)) {
            return Err(format!(
                "--time {time:?} is for --format json; the other formats know where the time is"
            ));
        }
        let (format, known) = match name {
            FormatName::Access(layout) => {
                let (access, known) = access::Access::new(*layout, fields)?;
                (Format::Access(access), known)
            }
            FormatName::Json => (Format::Json(json::Json::new(fields)?), None),
            FormatName::Pattern(pattern) => {
                let (pattern, known) = pattern::Pattern::new(pattern, &fields.keys)?;
                (Format::Pattern(pattern), known)
            }
        };
        let key_type = given.or(known).unwrap_or(KeyType::Text);
        if key_names.len() > 1 && key_type != KeyType::Address {
            return Err(
                "several --key are one list of addresses: expected fields that hold addresses, or \
                 --key-type address"
                    .to_owned(),
            );
        }
        if key_names.is_empty() {
            key_names.push("client".to_owned());
        }
        let keys = Keys {
            addresses,
            key_type,
            is_guess: given.is_none() && known.is_none(),
        };
        Ok(Parser {
            format,
            name: name.clone(),
            key_names,
            keys,
        })
    }

    /// Reads a line, which has no line feed. Returns `None` if it has no key.
    pub(crate) fn parse(&mut self, line: &[u8]) -> Result<Option<Request>, Flaw> {
        if line.len() > MAX_LINE {
            return Err(Flaw::TooLong);
        }
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let line = line.strip_prefix(BYTE_ORDER_MARK).unwrap_or(line);
        let Parser { format, keys, .. } = self;
        match format {
            Format::Access(access) => match json::wrapped(line) {
                Some(wrapped) => access.parse(wrapped.trim_ascii_end(), keys),
                None => access.parse(line, keys),
            },
            Format::Json(json) => json.parse(line, keys),
            Format::Pattern(pattern) => pattern.parse(line, keys),
        }
    }

    pub(crate) fn key_text(&self, key: &Key) -> String {
        self.keys.addresses.text(key)
    }

    /// Says what a line must look like.
    pub(crate) fn expected(&self) -> &dyn fmt::Display {
        &self.format
    }

    /// Says what a line may be that is malformed or has no key, if its format is known.
    pub(crate) fn hint(&self, line: &[u8]) -> Option<String> {
        let message = syslog::message(line);
        if let Some(names) = json::field_names(message) {
            return Some(match self.format {
                Format::Json(_) => format!("the line has the fields {names}"),
                _ => format!(
                    "JSON lines? --format json --time FIELD --key FIELD, of the fields {names}"
                ),
            });
        }
        let is_other = !matches!(self.format, Format::Access(_)) && access::is_like(message);
        is_other.then(|| "common or combined lines? Leave out --format".to_owned())
    }

    /// Returns the names of the fields that are the key.
    pub(crate) fn key_names(&self) -> String {
        self.key_names.join(" and ")
    }
}

impl fmt::Display for Parser {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Parser {
            format, name, keys, ..
        } = self;
        match format {
            Format::Json(_) => write!(f, "{format}")?,
            Format::Access(_) | Format::Pattern(_) => write!(f, "{name}")?,
        }
        let rule = match keys.key_type {
            KeyType::Address => keys.addresses.rule(),
            KeyType::Text => "text".to_owned(),
        };
        write!(f, "; key {} ({rule})", self.key_names())
    }
}

impl fmt::Display for FormatName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            FormatName::Access(layout) => match layout.to_possible_value() {
                Some(value) => f.write_str(value.get_name()),
                None => write!(f, "{layout:?}"),
            },
            FormatName::Json => f.write_str("json"),
            FormatName::Pattern(pattern) => f.write_str(pattern),
        }
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Format::Access(access) => access.fmt(f),
            Format::Json(json) => json.fmt(f),
            Format::Pattern(pattern) => pattern.fmt(f),
        }
    }
}

/// In UTF-8. Logs are concatenated, so that any line may start with one.
const BYTE_ORDER_MARK: &[u8] = "\u{feff}".as_bytes();

/// Where a `$` is missing.
const EXPANDED: &str = ". Did the shell expand a $? Single quotes prevent that";

impl Keys {
    /// Returns the key of several values, which are parts of one list, or of a single one. What is
    /// no value is left out of a list.
    fn key_of_all<'v>(
        &mut self,
        mut values: impl Iterator<Item = Option<Cow<'v, [u8]>>>,
    ) -> Result<Option<Key>, Flaw> {
        let first = values.next().flatten().unwrap_or_default();
        let mut list = first;
        for value in values.flatten() {
            if is_value(&list) && is_value(&value) {
                list.to_mut().extend_from_slice(b", ");
                list.to_mut().extend_from_slice(&value);
            } else if is_value(&value) {
                list = value;
            }
        }
        self.key(&list)
    }

    /// Returns the key that a value is, or `None` if it is no value.
    fn key(&mut self, value: &[u8]) -> Result<Option<Key>, Flaw> {
        match self.key_type {
            KeyType::Address => self.addresses.key(value).map(Some),
            KeyType::Text if self.is_guess && last_address(value).is_some() => {
                Err(Flaw::AddressAsText)
            }
            KeyType::Text if access::is_like(value) => Err(Flaw::LineAsKey),
            KeyType::Text => text_key(value),
        }
    }
}

impl FormatName {
    /// Reads the argument `--format`.
    pub(crate) fn parse(text: &str) -> Result<FormatName, String> {
        if let Ok(layout) = Layout::from_str(text, false) {
            return Ok(FormatName::Access(layout));
        }
        match text {
            "json" => Ok(FormatName::Json),
            pattern if pattern.contains(['$', '%']) => Ok(FormatName::Pattern(pattern.to_owned())),
            _ => Err(format!(
                "expected auto, common, combined, vhost_combined, json, or the log format of nginx \
                 ($...) or Apache (%...){EXPANDED}"
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;
    use proptest::collection::vec;
    use proptest::prelude::{Strategy, any, prop_assert_eq, prop_oneof, proptest};
    use proptest::sample::select;

    use super::*;
    use crate::args::Arguments;

    /// The time and the key of a line, nothing if it has no key, or its flaw; all as text.
    pub(super) type Told = Result<Option<(String, String)>, String>;

    pub(super) fn parser(arguments: &[&str]) -> Result<Parser, String> {
        Arguments::try_parse_from([&["tollgate-replay"], arguments].concat())
            .map_err(|error| error.to_string())?
            .parser()
    }

    pub(super) fn told(arguments: &[&str], line: &[u8]) -> Told {
        let mut parser = parser(arguments).unwrap();
        match parser.parse(line) {
            Ok(Some(Request { time, key })) => Ok(Some((time.to_string(), parser.key_text(&key)))),
            Ok(None) => Ok(None),
            Err(flaw) => Err(flaw.to_string()),
        }
    }

    #[test]
    fn arguments_that_do_not_fit_each_other_are_errors_that_name_them() {
        for (arguments, expected) in [
            (
                &["--format", "apache"][..],
                "expected auto, common, combined",
            ),
            (&["--key", ""], "Did the shell expand a $?"),
            (&["--format", " - [] "], "Did the shell expand a $?"),
            (
                &["--key", "user", "--key", "vhost"],
                "--key user and vhost: expected",
            ),
            (
                &["--format", "%t %u %v", "--key", "%u", "--key", "%v"],
                "several --key are one list of addresses",
            ),
            (
                &["--html", "-", "--json", "-"],
                "expected one of them at most",
            ),
            (&["--time", "ts"], "--time \"ts\" is for --format json"),
            (
                &["--key", "agent"],
                "--key agent: expected client, user or vhost",
            ),
            (&["--format", "json"], "expected --time and --key"),
            (&["--format", "json", "--time", "ts"], "expected --key"),
            (&["--format", "json", "--key", "ip"], "expected --time"),
            (&["--format", "$remote_addr $status"], "has no time"),
            (&["--format", "%h %{%Y}t"], "has no time"),
            (
                &["--format", "$request $msec"],
                "none of $remote_addr, %h and %a: expected --key with another of its fields: $request $msec",
            ),
            (
                &["--format", "$remote_addr $msec", "--key", "$host"],
                "--key \"$host\": expected one of the fields $remote_addr $msec",
            ),
            (&["--format", "%h %t %j"], "--format \"%h %t %j\": "),
            (&["--ipv6-prefix", "129"], "129"),
            (&["--ipv4-prefix", "33"], "33"),
            (&["--trust", "10.0.0.0/33"], "10.0.0.0/33"),
            (&["--trust", "10.0.0.1/8"], "10.0.0.0/8"),
            (&["--key-type", "name"], "name"),
            (&["--suggest", "101"], "101"),
            (
                &["--policy", "10/minute; 60/fortnight"],
                "\"fortnight\" at character 15",
            ),
        ] {
            let error = parser(arguments).err().unwrap_or_default();
            assert!(error.contains(expected), "{arguments:?}: {error}");
        }
    }

    /// Every format, with every kind of key.
    const FORMATS: [&[&str]; 9] = [
        &[],
        &["--trust", "10.0.0.0/8"],
        &["--key-type", "text"],
        &["--format", "vhost_combined", "--key", "user"],
        &["--format", "combined", "--key", "vhost"],
        &["--format", "json", "--time", "t", "--key", "a.0"],
        &[
            "--format",
            "json",
            "--time",
            "t",
            "--key",
            "k",
            "--key-type",
            "address",
        ],
        &[
            "--format",
            "$http_x_forwarded_for [$time_local] \"$request\"",
            "--key",
            "$http_x_forwarded_for",
        ],
        &["--format", "%h %l %u %t \"%r\" %>s %b"],
    ];

    /// Parts of lines, of which some make a line that is well-formed.
    const PARTS: [&str; 28] = [
        "192.0.2.1",
        "[2001:db8::1%eth0]:80",
        "10.0.0.1",
        ", ",
        ",",
        " ",
        " - ",
        "v.example:80",
        "-",
        "[12/Mar/2026:10:00:00 +0000]",
        "[31/Feb/2026:10:00:00 +0000]",
        " \"GET / HTTP/1.1\" 200 1",
        "\"",
        "\\",
        "[",
        "]",
        "<190>",
        "<13>1 ",
        "Mar 12 10:00:00 ",
        "2026-03-12T10:00:00Z ",
        "nginx: ",
        "stdout F ",
        "{\"t\":1773309600,\"k\":\"192.0.2.1\"}",
        "{\"t\":",
        "\"a\":[1]",
        "}",
        "\u{feff}",
        "\r",
    ];

    proptest! {
        /// A line is well-formed or malformed. It is never a panic, and never depends on the line before.
        #[test]
        fn any_line_is_read_alike_by_a_new_parser(
            lines in vec(
                prop_oneof![
                    vec(any::<u8>(), 0..40),
                    vec(select(&PARTS[..]), 0..12).prop_map(|parts| parts.concat().into_bytes()),
                ],
                1..8,
            ),
        ) {
            for arguments in FORMATS {
                let mut used = parser(arguments).unwrap();
                for line in &lines {
                    let fresh = parser(arguments).unwrap().parse(line);
                    prop_assert_eq!(used.parse(line), fresh, "{:?}", arguments);
                }
            }
        }
    }
}
