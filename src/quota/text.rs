//! The text form of quotas, both ways.

use std::{fmt, str::FromStr, time::Duration};

use super::{DAY, HOUR, MINUTE, Quota, SECOND};
use crate::error::{InvalidQuota, Kind};
use crate::pad::pad;

/// The periods, longest first. Each has its length in ns, the name that `Display` writes, and the
/// short names that `FromStr` reads besides that name and its plural.
const PERIODS: [(u64, &str, &[&str]); 8] = [
    (7 * DAY, "week", &["w", "wk", "wks"]),
    (DAY, "day", &["d"]),
    (HOUR, "hour", &["h", "hr", "hrs"]),
    (MINUTE, "minute", &["m", "min", "mins"]),
    (SECOND, "second", &["s", "sec", "secs"]),
    (1_000_000, "millisecond", &["ms", "msec", "msecs"]),
    // The micro sign, the Greek letter mu, and the capital that is the upper case of both.
    (
        1_000,
        "microsecond",
        &["us", "\u{b5}s", "\u{3bc}s", "\u{39c}s", "usec", "usecs"],
    ),
    (1, "nanosecond", &["ns", "nsec", "nsecs"]),
];

impl fmt::Display for Quota {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        pad(f, |out| {
            write!(out, "{}/{}", self.units, PeriodName(self.period))?;
            if self.burst != self.units {
                write!(out, " burst {}", self.burst)?;
            }
            Ok(())
        })
    }
}

/// A period in ns, displayed as "minute" or "7 days".
pub(crate) struct PeriodName(pub(super) u64);

impl fmt::Display for PeriodName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Weeks are read and not written: "7 days" is plainer. Every period is a whole number of ns.
        for (nanos, name, _) in &PERIODS[1..] {
            if self.0.is_multiple_of(*nanos) {
                return match self.0 / nanos {
                    1 => f.write_str(name),
                    count => write!(f, "{count} {name}s"),
                };
            }
        }
        Ok(())
    }
}

impl FromStr for Quota {
    type Err = InvalidQuota;

    fn from_str(text: &str) -> Result<Quota, InvalidQuota> {
        let mut cursor = Cursor { text, at: 0 };
        let quota = cursor.quota()?;
        match cursor.token() {
            Token::End => Ok(quota),
            _ => Err(cursor.expected("\"burst\" or the end of the quota")),
        }
    }
}

/// Reads quotas separated by `;`.
pub(crate) fn parse_list(text: &str) -> Result<Vec<Quota>, InvalidQuota> {
    let mut cursor = Cursor { text, at: 0 };
    let mut quotas = vec![cursor.quota()?];
    loop {
        match cursor.token() {
            Token::End => return Ok(quotas),
            Token::Other(";") => {
                cursor.take(";");
                quotas.push(cursor.quota()?);
            }
            _ => return Err(cursor.expected("\"burst\", \";\" or the end of the policy")),
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Token<'a> {
    /// Digits and `_`, from a digit on.
    Number(&'a str),
    /// Letters.
    Word(&'a str),
    /// Any other single character.
    Other(&'a str),
    End,
}

struct Cursor<'a> {
    text: &'a str,
    /// Bytes read so far.
    at: usize,
}

impl<'a> Cursor<'a> {
    fn quota(&mut self) -> Result<Quota, InvalidQuota> {
        self.skip_spaces();
        let start = self.at;
        let Token::Number(units) = self.token() else {
            return Err(self.expected("a number of units"));
        };
        let units = self.number(units)?;

        match self.token() {
            Token::Other(slash @ "/") => self.take(slash),
            Token::Word(word) if word.eq_ignore_ascii_case("per") => self.take(word),
            _ => return Err(self.expected("\"/\" or \"per\"")),
        }

        let before_count = self.at;
        let count = match self.token() {
            Token::Number(count) => self.number(count)?,
            _ => 1,
        };
        let Some(unit) = self.period() else {
            return Err(
                self.expected("a unit of time (ns, us, ms, second, minute, hour, day or week)")
            );
        };
        let Some(period) = count.checked_mul(unit) else {
            self.at = before_count;
            return Err(self.expected("a period of at most 584 years"));
        };

        let mut burst = units;
        if let Token::Word(word) = self.token()
            && word.eq_ignore_ascii_case("burst")
        {
            self.take(word);
            let Token::Number(number) = self.token() else {
                return Err(self.expected("a number of units for the burst"));
            };
            burst = self.number(number)?;
        }

        Quota::new(units, Duration::from_nanos(period), burst).map_err(|error| {
            // Without the spaces that were skipped in search of "burst".
            let text = excerpt(self.text[start..self.at].trim_end());
            Kind::Quoted {
                text,
                at: position(self.text, start),
                error: Box::new(error),
            }
            .into()
        })
    }

    /// Takes the name of a period, if one comes next.
    fn period(&mut self) -> Option<u64> {
        let Token::Word(word) = self.token() else {
            return None;
        };
        // `to_lowercase` would make a plain k of the Kelvin sign, U+212A.
        let lower = word.to_ascii_lowercase();
        let singular = lower.strip_suffix('s').unwrap_or(&lower);
        let (nanos, ..) = PERIODS
            .iter()
            .find(|(_, name, short)| singular == *name || short.contains(&lower.as_str()))?;
        self.take(word);
        Some(*nanos)
    }

    /// Takes `digits`, the token that comes next.
    fn number(&mut self, digits: &str) -> Result<u64, InvalidQuota> {
        match digits.replace('_', "").parse() {
            Ok(number) => {
                self.take(digits);
                Ok(number)
            }
            Err(_) => Err(self.expected("a number up to 18446744073709551615")),
        }
    }

    /// Returns the next token, without taking it.
    fn token(&mut self) -> Token<'a> {
        self.skip_spaces();
        let rest = &self.text[self.at..];
        let run =
            |belongs: fn(char) -> bool| &rest[..rest.find(|c| !belongs(c)).unwrap_or(rest.len())];
        match rest.chars().next() {
            None => Token::End,
            Some(c) if c.is_ascii_digit() => Token::Number(run(|c| c.is_ascii_digit() || c == '_')),
            Some(c) if c.is_alphabetic() => Token::Word(run(char::is_alphabetic)),
            Some(c) => Token::Other(&rest[..c.len_utf8()]),
        }
    }

    fn take(&mut self, token: &str) {
        self.at += token.len();
    }

    fn skip_spaces(&mut self) {
        self.at = self.text.len() - self.text[self.at..].trim_start().len();
    }

    /// Returns the error for the token that comes next.
    fn expected(&mut self, expected: &'static str) -> InvalidQuota {
        let found = match self.token() {
            Token::Number(token) | Token::Word(token) | Token::Other(token) => {
                format!("{:?}", excerpt(token))
            }
            Token::End => "the end".to_owned(),
        };
        Kind::Text {
            found,
            at: position(self.text, self.at),
            expected,
        }
        .into()
    }
}

/// Returns the position of byte `at`, in characters from 1.
fn position(text: &str, at: usize) -> usize {
    text[..at].chars().count() + 1
}

/// Returns the beginning of `text`, so that a message stays one line: at most 40 characters once
/// those that are not printable are escaped, and no spaces at the end.
fn excerpt(text: &str) -> String {
    let mut width = 0;
    let beyond = |c: char| {
        width += c.escape_debug().count();
        width > 40
    };
    match text.find(beyond) {
        Some(end) => format!("{}…", text[..end].trim_end()),
        None => text.to_owned(),
    }
}
