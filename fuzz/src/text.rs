//! The target `text`: the meaning of a text, and the message of an error.

use std::{
    fmt::{Debug, Display},
    str::{self, FromStr},
    time::Duration,
};

use arbitrary::{Arbitrary, Result, Unstructured};
use tollgate::{InvalidQuota, Policy, Quota};

use crate::input::wide;

const SECOND: u64 = 1_000_000_000;

/// Every documented period: its ns and its names.
const PERIODS: [(u64, &[&str]); 8] = [
    (1, &["nanosecond", "nanoseconds", "ns"]),
    (1_000, &["microsecond", "microseconds", "us", "µs"]),
    (1_000_000, &["millisecond", "milliseconds", "ms"]),
    (SECOND, &["second", "seconds", "sec", "s"]),
    (60 * SECOND, &["minute", "minutes", "min", "m"]),
    (3_600 * SECOND, &["hour", "hours", "hr", "h"]),
    (86_400 * SECOND, &["day", "days", "d"]),
    (604_800 * SECOND, &["week", "weeks", "w"]),
];

#[derive(Debug)]
pub enum Input {
    Text(String),
    Spelled {
        quotas: Vec<Spelled>,
        noise: Option<Noise>,
    },
}

/// Characters that break the grammar, and their place.
#[derive(Arbitrary, Debug)]
pub struct Noise {
    #[arbitrary(with = character)]
    character: char,
    times: u8,
    before: u8,
}

/// One quota, spelled by the grammar.
#[derive(Arbitrary, Debug)]
pub struct Spelled {
    units: Number,
    #[arbitrary(with = |u: &mut Unstructured| u.choose(&["/", " per ", " / "]).copied())]
    per: &'static str,
    count: Option<Number>,
    #[arbitrary(with = period)]
    period: (u64, &'static str),
    burst: Option<Number>,
    upper_case: bool,
}

#[derive(Arbitrary, Debug)]
struct Number {
    #[arbitrary(with = wide)]
    value: u64,
    /// After the digits, such as `_` or a space.
    #[arbitrary(with = |u: &mut Unstructured| u.choose(&["", "_", " ", "\t\n"]).copied())]
    tail: &'static str,
}

impl<'a> Arbitrary<'a> for Input {
    fn arbitrary(u: &mut Unstructured<'a>) -> Result<Input> {
        if let Some(Ok(text)) = u.peek_bytes(u.len()).map(str::from_utf8) {
            return Ok(Input::Text(text.to_owned()));
        }
        // The first byte has no other meaning than that a text is spelled.
        u.bytes(1)?;
        let noise = u.arbitrary()?;
        let mut quotas = vec![u.arbitrary()?];
        while !u.is_empty() && quotas.len() < 4 {
            quotas.push(u.arbitrary()?);
        }
        Ok(Input::Spelled { quotas, noise })
    }
}

/// Returns a character of the grammar in half of all cases.
fn character(u: &mut Unstructured) -> Result<char> {
    match u.arbitrary()? {
        true => u.choose(&['0', '/', ';', ' ', '_', 's']).copied(),
        false => u.arbitrary(),
    }
}

fn period(u: &mut Unstructured) -> Result<(u64, &'static str)> {
    let (nanos, names) = *u.choose(&PERIODS)?;
    Ok((nanos, *u.choose(names)?))
}

pub fn run(input: &Input) {
    match input {
        Input::Text(text) => _ = parse(text),
        Input::Spelled { quotas, noise } => {
            let texts: Vec<_> = quotas.iter().map(Spelled::text).collect();
            let mut text = texts.join(";");
            if let Some(noise) = noise {
                let place = text.char_indices().nth(usize::from(noise.before));
                let noise = String::from(noise.character).repeat(usize::from(noise.times));
                text.insert_str(place.map_or(text.len(), |(at, _)| at), &noise);
                parse(&text);
            } else {
                // One invalid quota makes the policy invalid.
                let all: Option<Vec<_>> = quotas.iter().map(Spelled::meaning).collect();
                let meaning = all.filter(|quotas| quotas.len() <= 3);
                assert_eq!(parse(&text), meaning, "{text:?}");
            }
        }
    }
}

/// Parses `text` as every type, and returns the quotas that it means. Each type with room for them
/// returns the same.
fn parse(text: &str) -> Option<Vec<Quota>> {
    let quotas = [
        parse_as::<Quota>(text).map(|quota| vec![quota]),
        parse_as::<Policy<1>>(text).map(|policy| policy.quotas().to_vec()),
        parse_as::<Policy<2>>(text).map(|policy| policy.quotas().to_vec()),
        parse_as::<Policy<3>>(text).map(|policy| policy.quotas().to_vec()),
    ];
    let meaning = quotas[3].clone();
    for (quotas, room) in quotas.into_iter().zip([1, 1, 2, 3]) {
        let fitting = meaning.clone().filter(|quotas| quotas.len() <= room);
        assert_eq!(quotas, fitting, "{text:?}");
    }
    meaning
}

fn parse_as<T>(text: &str) -> Option<T>
where
    T: FromStr<Err = InvalidQuota> + Display + PartialEq + Debug,
{
    match text.parse::<T>() {
        Ok(value) => {
            let printed = value.to_string();
            assert_eq!(Ok(&value), printed.parse().as_ref(), "{text:?}");
            assert!(text.chars().all(is_of_the_grammar), "{text:?}");
            Some(value)
        }
        Err(error) => {
            let message = error.to_string();
            assert!(message.chars().count() < 400, "{message:?}");
            assert!(!message.contains(char::is_control), "{message:?}");
            assert!(explains(&message, text), "{message:?} on {text:?}");
            assert!(!quotes_blanks_at_its_end(&message), "{message:?}");
            None
        }
    }
}

/// Whether a valid text may contain `c`. Outside of ASCII these are blanks, the micro sign, the
/// Greek letter mu, and the upper case of both.
fn is_of_the_grammar(c: char) -> bool {
    let is_mark = matches!(c, '/' | ';' | '_');
    let is_micro = matches!(c, '\u{b5}' | '\u{3bc}' | '\u{39c}');
    c.is_ascii_alphanumeric() || c.is_whitespace() || is_mark || is_micro
}

/// Whether the text that a message quotes ends in a blank, before `…` or the quotation mark.
fn quotes_blanks_at_its_end(message: &str) -> bool {
    let Some((before, _)) = message.rsplit_once("\" at character ") else {
        return false;
    };
    // The message escapes characters that do not print, as most blanks do not.
    let end = before.trim_end_matches('…');
    end.ends_with(char::is_whitespace)
        || ["\\t", "\\n", "\\r"]
            .iter()
            .any(|blank| end.ends_with(blank))
}

/// Whether the message of an error says what was found and where. Characters count from 1.
fn explains(message: &str, text: &str) -> bool {
    let Some((_, after)) = message.rsplit_once(" at character ") else {
        let counts = |n| message.starts_with(&format!("found {n} quota"));
        return (1..=1 + text.matches(';').count()).any(counts);
    };
    let digits = after.split(|c: char| !c.is_ascii_digit()).next();
    let Some(Ok(at @ 1..)) = digits.map(str::parse::<usize>) else {
        return false;
    };
    let Some(found) = text.chars().nth(at - 1) else {
        return message.starts_with("found the end at") && at == text.chars().count() + 1;
    };
    let quoted = format!("{:?}", String::from(found));
    let opening = quoted.trim_end_matches('"');
    message.starts_with(&format!("found {opening}")) || message.contains(&format!(" (in {opening}"))
}

impl Spelled {
    fn text(&self) -> String {
        let (units, per, period) = (self.units.text(), self.per, self.period.1);
        let count = self.count.as_ref().map(Number::text).unwrap_or_default();
        let mut text = format!("{units}{per}{count}{period}");
        if let Some(burst) = &self.burst {
            text += &format!(" burst {}", burst.text());
        }
        if self.upper_case {
            text = text.to_uppercase();
        }
        text
    }

    fn meaning(&self) -> Option<Quota> {
        let units = self.units.value;
        let count = self.count.as_ref().map_or(1, |count| count.value);
        let burst = self.burst.as_ref().map_or(units, |burst| burst.value);
        let period = Duration::from_nanos(count.checked_mul(self.period.0)?);
        Quota::new(units, period, burst).ok()
    }
}

impl Number {
    fn text(&self) -> String {
        format!("{}{}", self.value, self.tail)
    }
}
