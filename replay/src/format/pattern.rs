//! Parses lines of the log format of nginx or Apache.
//!
//! The library `accesslog` reads the format and the lines. Here are only the two fields that the
//! replay needs.

use std::fmt;

use accesslog::{FieldKind, Format, Record};

use super::{Keys, Request, syslog};
use crate::flaw::Flaw;
use crate::key::KeyType;
use crate::time::Time;

pub(crate) struct Pattern {
    text: String,
    format: Format,
    /// The indices of the fields that are the time and the key.
    time: usize,
    keys: Vec<usize>,
}

/// Fields that hold an address or a list of addresses, as [`bare`] returns them.
const ADDRESSES: [&str; 13] = [
    "$remote_addr",
    "$realip_remote_addr",
    "$proxy_protocol_addr",
    "$http_x_forwarded_for",
    "$proxy_add_x_forwarded_for",
    "$http_x_real_ip",
    "%h",
    "%{c}h",
    "%a",
    "%{c}a",
    "%{x-forwarded-for}i",
    "%{x-real-ip}i",
    "%{true-client-ip}i",
];

/// The fields that are the client unless another is named, the best one first.
const CLIENTS: [&str; 3] = ["$remote_addr", "%h", "%a"];

impl Pattern {
    /// Returns the parser, and what is known of its key.
    pub(crate) fn new(text: &str, keys: &[String]) -> Result<(Pattern, Option<KeyType>), String> {
        let format = if is_nginx(text) {
            Format::nginx(text)
        } else {
            Format::apache(text)
        };
        let format = format.map_err(|error| format!("--format {text:?}: {error}"))?;
        let names: Vec<String> = format
            .fields()
            .iter()
            .map(|field| bare(field.source()))
            .collect();
        let time = names.iter().position(|name| is_time(name));
        let time = time.ok_or_else(|| {
            format!(
                "--format {text:?} has no time: expected $time_local, $time_iso8601, $msec, %t, \
                 %{{sec}}t, %{{msec}}t or %{{usec}}t"
            )
        })?;
        let place = |name: &str| names.iter().position(|other| other == name);
        let fields = names.join(" ");
        let keys: Vec<usize> = if keys.is_empty() {
            let client = CLIENTS.iter().find_map(|client| place(client));
            vec![client.ok_or_else(|| {
                format!(
                    "--format has none of $remote_addr, %h and %a: expected --key with another of its \
                     fields: {fields}"
                )
            })?]
        } else {
            let find = |key: &String| {
                let found = place(&bare(key)).or_else(|| place(&bare(&format!("${key}"))));
                found.ok_or_else(|| format!("--key {key:?}: expected one of the fields {fields}"))
            };
            keys.iter().map(find).collect::<Result<_, _>>()?
        };
        let is_address = |key: &usize| ADDRESSES.contains(&names[*key].as_str());
        let known = keys.iter().all(is_address).then_some(KeyType::Address);
        let text = text.to_owned();
        let pattern = Pattern {
            text,
            format,
            time,
            keys,
        };
        Ok((pattern, known))
    }

    pub(crate) fn parse(&self, line: &[u8], keys: &mut Keys) -> Result<Option<Request>, Flaw> {
        let line = if self.time == 0 {
            line // The time is not a prefix.
        } else {
            syslog::message(line)
        };
        let record = self.format.parse(line);
        let record = record.map_err(|error| Flaw::Pattern(error.to_string()))?;
        let time = self.read_time(&record).ok_or(Flaw::Time)?;
        let fields = self.keys.iter().map(|key| record.field(*key));
        let key = keys.key_of_all(fields.map(|field| field?.value()))?;
        Ok(key.map(|key| Request { time, key }))
    }

    fn read_time(&self, record: &Record<'_, '_>) -> Option<Time> {
        let field = record.field(self.time)?;
        match field.spec().kind() {
            FieldKind::ClfTime => Time::from_common(field.raw()),
            FieldKind::BracketedClfTime => {
                let stamp = field.raw().strip_prefix(b"[")?.strip_suffix(b"]")?;
                Time::from_common(stamp)
            }
            FieldKind::Iso8601Time => Time::from_rfc_3339(field.raw()),
            // Only the library knows the unit of a number.
            _ => {
                let time = record.timestamp()?;
                let seconds = i128::from(time.unix_seconds) * 1_000_000_000;
                Time::from_nanos(seconds + i128::from(time.nanos))
            }
        }
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text.trim())
    }
}

/// Whether a `$` starts a variable. (An Apache format may hold one that does not.)
fn is_nginx(text: &str) -> bool {
    text.split('$').skip(1).any(|after| {
        after.starts_with(|first: char| first == '{' || first == '_' || first.is_ascii_alphabetic())
    })
}

/// Returns the source of a field with what servers do not tell apart made alike: the case of variables
/// and of the names in braces, and `${name}` and `$name`.
fn bare(source: &str) -> String {
    if let Some(variable) = source.strip_prefix('$') {
        return format!(
            "${}",
            variable.trim_matches(['{', '}']).to_ascii_lowercase()
        );
    }
    match source.split_once('}') {
        Some((name, letter)) => format!("{}}}{letter}", name.to_ascii_lowercase()),
        None => source.to_owned(),
    }
}

fn is_time(name: &str) -> bool {
    matches!(name, "$time_local" | "$time_iso8601" | "$msec")
        || name
            .strip_prefix('%')
            .and_then(|name| name.strip_suffix('t'))
            .is_some_and(|unit| {
                let unit = unit.trim_matches(['{', '}', '<', '>']);
                let unit = unit
                    .strip_prefix("begin:")
                    .or(unit.strip_prefix("end:"))
                    .unwrap_or(unit);
                matches!(unit, "" | "sec" | "msec" | "usec")
            })
}

#[cfg(test)]
mod tests {
    use crate::format::tests::{Told, told};

    fn read(format: &str, arguments: &[&str], line: &str) -> Told {
        told(
            &[&["--format", format], arguments].concat(),
            line.as_bytes(),
        )
    }

    fn key(text: &str) -> Told {
        Ok(Some(("2026-03-12T10:00:00Z".into(), text.into())))
    }

    const MAIN: &str = "$remote_addr - $remote_user [$time_local] \"$request\" $status \
                        $body_bytes_sent \"$http_referer\" \"$http_user_agent\" \"$http_x_forwarded_for\"";

    #[test]
    fn the_formats_of_nginx_are_read_as_text_or_as_the_whole_directive() {
        let line = |xff| {
            format!(
                "10.0.0.1 - alice [12/Mar/2026:11:00:00 +0100] \"GET /\\x22 HTTP/1.1\" 200 1 \"-\" \
                 \"curl\" \"{xff}\""
            )
        };
        let directive = format!("log_format main '{MAIN}';");
        for format in [MAIN, &directive] {
            assert_eq!(read(format, &[], &line("-")), key("10.0.0.1"));
            let user = ["--key", "$remote_user"];
            assert_eq!(read(format, &user, &line("-")), key("alice"));
            assert_eq!(
                read(format, &["--key", "remote_user"], &line("-")),
                key("alice")
            );
            let client = ["--key", "$http_x_forwarded_for", "--trust", "10.0.0.0/8"];
            let list = line("198.51.100.1, 203.0.113.7");
            assert_eq!(read(format, &client, &list), key("203.0.113.7"));
            assert!(
                read(format, &client, &line("-")).is_err(),
                "no value is no address"
            );
            assert!(read(format, &[], &line("-").replace(" 200 ", " OK ")).is_err());
        }
    }

    #[test]
    fn the_formats_of_apache_are_read() {
        let format = r#"%v:%p %h %l %u %t \"%r\" %>s %O \"%{X-API-Key}i\""#;
        let line = r#"v.example:80 2001:db8::7 - - [12/Mar/2026:10:00:00 +0000] "GET /\" HTTP/1.1" 200 1 "k\"1""#;
        assert_eq!(read(format, &[], line), key("2001:db8::/64"));
        assert_eq!(read(format, &["--key", "%{x-api-key}i"], line), key("k\"1"));
        let directive = format!("LogFormat \"{format}\" mine");
        assert_eq!(read(&directive, &["--key", "%v"], line), key("v.example"));
        assert_eq!(read(format, &["--key", "%u"], line), Ok(None));
        let seconds_and_protocol = "%H %T %h %t";
        let line = "HTTP/1.1 0 192.0.2.1 [12/Mar/2026:10:00:00 +0000]";
        assert_eq!(read(seconds_and_protocol, &[], line), key("192.0.2.1"));
        assert_eq!(
            read("%h %{msec}t $5", &[], "192.0.2.1 1773309600000 $5"),
            key("192.0.2.1")
        );
    }

    #[test]
    fn a_syslog_prefix_is_skipped_unless_a_line_starts_with_its_time() {
        let key_first = "$http_x_key - [$time_local]";
        let line = "2026-03-12T10:00:01.5+00:00 stdout F alice - [12/Mar/2026:10:00:00 +0000]";
        assert_eq!(
            read(key_first, &["--key", "$http_x_key"], line),
            key("alice")
        );
        let time_first = "$time_iso8601 $server_name: $remote_addr";
        assert_eq!(
            read(time_first, &[], "2026-03-12T10:00:00Z v.example: 192.0.2.1"),
            key("192.0.2.1")
        );
    }

    #[test]
    fn several_keys_are_one_list_as_the_layer_reads_it() {
        let read = |list: &str, peer: &str| {
            let keys = ["--key", "$http_x_forwarded_for", "--key", "$remote_addr"];
            let arguments = [&keys[..], &["--trust", "10.0.0.0/8"]].concat();
            let line = format!("1773309600.000 {peer} {list}");
            read(
                "$msec $remote_addr $http_x_forwarded_for",
                &arguments,
                &line,
            )
        };
        assert_eq!(read("1.2.3.4, 203.0.113.7", "10.0.0.1"), key("203.0.113.7"));
        assert_eq!(
            read("1.2.3.4", "203.0.113.7"),
            key("203.0.113.7"),
            "the peer is no proxy"
        );
        assert_eq!(read("-", "203.0.113.7"), key("203.0.113.7"));
        assert_eq!(read("-", "10.0.0.1"), key("10.0.0.1"));
        assert_eq!(read("unknown", "10.0.0.1"), key("10.0.0.1"));
        assert!(read("203.0.113.7", "-").is_ok());
        assert!(read("-", "-").is_err());
    }

    #[test]
    fn each_kind_of_time_is_read() {
        for (format, time) in [
            (
                "[$time_local] ${remote_addr}",
                "[12/Mar/2026:11:00:00 +0100]",
            ),
            ("$time_iso8601 $remote_addr", "2026-03-12T11:00:00+01:00"),
            ("$msec $remote_addr", "1773309600.000"),
            ("%t %a", "[12/Mar/2026:11:00:00 +0100]"),
            ("%{sec}t %h", "1773309600"),
            ("%{begin:usec}t %h", "1773309600000000"),
        ] {
            assert_eq!(
                read(format, &[], &format!("{time} 192.0.2.1")),
                key("192.0.2.1"),
                "{format}"
            );
        }
        let told = read("$msec $remote_addr", &[], "1773309600.250 192.0.2.1").unwrap();
        assert_eq!(told.unwrap().0, "2026-03-12T10:00:00.25Z");
        for leap in [
            "[12/Mar/2026:10:00:60 +0000] 192.0.2.1",
            "2026-03-12T10:00:60+00:00 192.0.2.1",
        ] {
            let format = if leap.starts_with('[') {
                "%t %h"
            } else {
                "$time_iso8601 $remote_addr"
            };
            let told = read(format, &[], leap).unwrap();
            assert_eq!(told.unwrap().0, "2026-03-12T10:00:59Z");
        }
        let late = read("$msec $remote_addr", &[], "3155760000.000 192.0.2.1");
        assert_eq!(late, Err("no such time between 1970 and 2069".into()));
    }

    #[test]
    fn an_address_in_a_field_of_unknown_kind_is_malformed() {
        let format = "$msec $http_fastly_client_ip";
        let field = ["--key", "$http_fastly_client_ip"];
        let line = "1773309600.000 2001:db8::1";
        let told = read(format, &field, line).unwrap_err();
        assert!(told.contains("--key-type"), "{told}");
        let typed = |key_type| [&field[..], &["--key-type", key_type]].concat();
        assert_eq!(read(format, &typed("address"), line), key("2001:db8::/64"));
        assert_eq!(read(format, &typed("text"), line), key("2001:db8::1"));
        assert_eq!(read(format, &field, "1773309600.000 alice"), key("alice"));
    }
}
