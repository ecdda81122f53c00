//! Parses lines that are objects in JSON.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt;

use serde_json::value::RawValue;

use super::{Fields, Keys, Request, syslog};
use crate::flaw::Flaw;
use crate::form::{is_digits, is_like};
use crate::time::{COMMON, Time};

pub(crate) struct Json {
    time: String,
    keys: Vec<String>,
}

/// An object whose values are text, so that no digit of a number is lost.
type Object<'l> = HashMap<Cow<'l, str>, &'l RawValue>;

impl Json {
    pub(crate) fn new(fields: Fields) -> Result<Json, String> {
        let missing = match (&fields.time, fields.keys.is_empty()) {
            (Some(_), false) => "",
            (None, true) => "--time and --key",
            (None, false) => "--time",
            (Some(_), true) => "--key",
        };
        match fields.time {
            Some(time) if missing.is_empty() => Ok(Json {
                time,
                keys: fields.keys,
            }),
            _ => Err(format!(
                "expected {missing} with --format json: the names of the fields, such as --time ts \
                 --key request.remote_ip"
            )),
        }
    }

    pub(crate) fn parse(&self, line: &[u8], keys: &mut Keys) -> Result<Option<Request>, Flaw> {
        let line = syslog::message(line);
        // A client can put any byte into a field that is not the key.
        let object_text = String::from_utf8_lossy(line);
        let object: Object<'_> =
            serde_json::from_str(&object_text).map_err(|error| Flaw::Json(error.to_string()))?;
        let time = find(&object, &self.time).and_then(|value| text(value).ok().flatten());
        let time = time.ok_or_else(|| Flaw::NoField(self.time.clone()))?;
        let time = read_time(time.as_bytes()).ok_or(Flaw::Time)?;
        let mut values = Vec::new();
        for name in &self.keys {
            let value = find(&object, name).map_or(Ok(None), text);
            let value = value.map_err(|()| Flaw::NoField(name.clone()))?;
            let is_replaced = |text: &Cow<'_, str>| text.contains(char::REPLACEMENT_CHARACTER);
            if matches!(object_text, Cow::Owned(_)) && value.as_ref().is_some_and(is_replaced) {
                return Err(Flaw::KeyNotText);
            }
            values.push(value);
        }
        let bytes = |text: Cow<'_, str>| Cow::Owned(text.into_owned().into_bytes());
        let key = keys.key_of_all(values.into_iter().map(|text| text.map(bytes)))?;
        Ok(key.map(|key| Request { time, key }))
    }
}

impl fmt::Display for Json {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Json { time, keys } = self;
        let keys = keys.join(" and ");
        write!(f, "objects in JSON with the fields {time} and {keys}")
    }
}

/// Finds the field `name`, or what is at this path with dots.
fn find<'l>(object: &Object<'l>, name: &str) -> Option<&'l RawValue> {
    if let Some(value) = object.get(name) {
        return Some(value);
    }
    // Any of the dots may be part of a name.
    let dots = name.match_indices('.').map(|(dot, _)| dot);
    dots.filter_map(|dot| find_in(object.get(&name[..dot])?, &name[dot + 1..]))
        .next()
}

fn find_in<'l>(value: &'l RawValue, name: &str) -> Option<&'l RawValue> {
    if let Ok(object) = serde_json::from_str::<Object<'l>>(value.get()) {
        return find(&object, name);
    }
    let array: Vec<&RawValue> = serde_json::from_str(value.get()).ok()?;
    let (index, rest) = match name.split_once('.') {
        Some((index, rest)) => (index, Some(rest)),
        None => (name, None),
    };
    let index = is_digits(index.as_bytes()).then(|| index.parse::<usize>().ok())??;
    let element = *array.get(index)?;
    match rest {
        Some(rest) => find_in(element, rest),
        None => Some(element),
    }
}

/// Returns a string, or a number or boolean as it is written. `null` is `None`.
///
/// # Errors
///
/// If it is an object or an array.
fn text(value: &RawValue) -> Result<Option<Cow<'_, str>>, ()> {
    match value.get() {
        "null" => Ok(None),
        string if string.starts_with('"') => serde_json::from_str(string).map(Some).map_err(|_| ()),
        nested if nested.starts_with(['{', '[']) => Err(()),
        literal => Ok(Some(Cow::Borrowed(literal))),
    }
}

/// Returns the line that docker (`log`) or journald (`MESSAGE`) wrapped into an object.
pub(super) fn wrapped(line: &[u8]) -> Option<Vec<u8>> {
    if !line.starts_with(b"{") {
        return None;
    }
    let object: Object<'_> = serde_json::from_slice(line).ok()?;
    let message = object.get("log").or_else(|| object.get("MESSAGE"))?;
    let message: String = serde_json::from_str(message.get()).ok()?;
    Some(message.into_bytes())
}

/// Returns the names of the fields of a line, if it is an object in JSON.
pub(super) fn field_names(line: &[u8]) -> Option<String> {
    let object: Object<'_> = serde_json::from_slice(line).ok()?;
    let mut names: Vec<_> = object.keys().map(|name| format!("{name:?}")).collect();
    names.sort_unstable();
    Some(names.join(", "))
}

fn read_time(text: &[u8]) -> Option<Time> {
    if is_like(text, COMMON) {
        Time::from_common(text)
    } else {
        Time::from_number(text).or_else(|| Time::from_rfc_3339(text))
    }
}

#[cfg(test)]
mod tests {
    use crate::format::tests::{Told, told};

    fn read(key: &str, arguments: &[&str], line: &str) -> Told {
        let named = ["--format", "json", "--time", "t", "--key", key];
        told(&[&named, arguments].concat(), line.as_bytes())
    }

    fn key(text: &str) -> Told {
        Ok(Some(("2026-03-12T10:00:00Z".into(), text.into())))
    }

    #[test]
    fn a_key_is_a_field_or_a_path() {
        let line =
            r#"{"t":"2026-03-12T10:00:00Z","user":"alice","id":7.50,"ok":true,"a.b":"dotted",
            "request":{"headers":{"X-Api-Key":["first","second"],"x.y":"deep"}}}"#
                .replace('\n', "");
        for (name, expected) in [
            ("user", "alice"),
            ("id", "7.50"),
            ("ok", "true"),
            ("a.b", "dotted"),
            ("request.headers.X-Api-Key.0", "first"),
            ("request.headers.X-Api-Key.1", "second"),
            ("request.headers.x.y", "deep"),
        ] {
            assert_eq!(read(name, &[], &line), key(expected), "{name}");
        }
        for name in ["absent", "user.0", "request.headers.X-Api-Key.2", "a.c"] {
            assert_eq!(read(name, &[], &line), Ok(None), "{name}");
        }
        let told = read("request", &[], &line).unwrap_err();
        assert!(
            told.contains("no text or number in the field \"request\""),
            "{told}"
        );
    }

    #[test]
    fn no_value_is_no_key() {
        for value in ["null", r#""""#, r#""-""#, r#"" ""#] {
            let line = format!(r#"{{"t":1773309600,"k":{value}}}"#);
            assert_eq!(read("k", &[], &line), Ok(None), "{value}");
            assert!(read("k", &["--key-type", "address"], &line).is_err());
        }
    }

    #[test]
    fn addresses_are_keyed_when_that_is_asked_for() {
        let line = r#"{"t":1773309600,"ip":"[2001:db8::1]:80"}"#;
        let told = read("ip", &[], line).unwrap_err();
        assert!(told.contains("--key-type"), "{told}");
        assert_eq!(
            read("ip", &["--key-type", "address"], line),
            key("2001:db8::/64")
        );
    }

    #[test]
    fn each_kind_of_time_is_read() {
        for time in [
            "1773309600",
            "1773309600.0",
            "1773309600000",
            "1773309600000000000",
            r#""1773309600""#,
            r#""2026-03-12T11:00:00+01:00""#,
            r#""12/Mar/2026:11:00:00 +0100""#,
        ] {
            assert_eq!(
                read("k", &[], &format!(r#"{{"t":{time},"k":"a"}}"#)),
                key("a"),
                "{time}"
            );
        }
        let exact = read("k", &[], r#"{"t":1773309600.123456789,"k":"a"}"#).unwrap();
        assert_eq!(exact.unwrap().0, "2026-03-12T10:00:00.123456789Z");
        for time in [
            "1.7e9",
            "-1",
            "\"2026-03-12\"",
            "\"2026-03-12T10:00:00\"",
            "true",
        ] {
            let told = read("k", &[], &format!(r#"{{"t":{time},"k":"a"}}"#));
            assert_eq!(
                told,
                Err("no such time between 1970 and 2069".into()),
                "{time}"
            );
        }
        for time in ["null", "{}", "[1]"] {
            let told = read("k", &[], &format!(r#"{{"t":{time},"k":"a"}}"#));
            assert_eq!(
                told,
                Err("no text or number in the field \"t\"".into()),
                "{time}"
            );
        }
    }

    #[test]
    fn bytes_that_are_not_utf_8_are_read_but_in_a_key() {
        let read = |line: &[u8]| {
            let named = ["--format", "json", "--time", "t", "--key", "k"];
            told(&named, line)
        };
        assert_eq!(
            read(b"{\"t\":1773309600,\"k\":\"a\",\"agent\":\"\xa5\"}"),
            key("a")
        );
        let within = read(b"{\"t\":1773309600,\"k\":\"a\xa5\"}");
        assert_eq!(within, Err("a key that is not UTF-8".into()));
        let written = "{\"t\":1773309600,\"k\":\"\u{fffd}\"}";
        assert_eq!(read(written.as_bytes()), key("\u{fffd}"));
    }

    #[test]
    fn a_line_that_is_wrapped_in_json_is_read_as_what_it_is() {
        let line = r#"192.0.2.1 - - [12/Mar/2026:10:00:00 +0000] \"GET / HTTP/1.1\" 200 1"#;
        for wrapped in [
            format!(r#"{{"log":"{line}\n","stream":"stdout","time":"2026-03-12T10:00:01Z"}}"#),
            format!(r#"{{"MESSAGE":"{line}","_PID":"1"}}"#),
        ] {
            assert_eq!(told(&[], wrapped.as_bytes()), key("192.0.2.1"));
        }
        let as_key = read("log", &[], &format!(r#"{{"t":1773309600,"log":"{line}"}}"#));
        assert_eq!(
            as_key,
            Err("a whole line of an access log in the field of the key".into())
        );
    }

    #[test]
    fn other_lines_are_malformed() {
        for line in [
            "",
            "[]",
            "1",
            "{",
            r#"{"t":1773309600,"k":"a"} x"#,
            "{\"k\":\"\u{1}\"}",
        ] {
            let told = read("k", &[], line).unwrap_err();
            assert!(told.starts_with("no object in JSON: "), "{line}: {told}");
        }
        let behind_syslog = r#"<190>Mar 12 10:00:00 nginx: {"t":1773309600,"k":"a"}"#;
        assert_eq!(read("k", &[], behind_syslog), key("a"));
    }
}
