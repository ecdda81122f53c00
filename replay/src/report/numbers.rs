//! Writes numbers, times and foreign text for readers.
//!
//! All arithmetic is on integers: what is rounded never looks exact.

use jiff::{Timestamp, civil::DateTime, tz::TimeZone};

use crate::time::Time;

/// The most characters that the page holds of a key, a policy or another foreign text.
const MAX_TEXT: usize = 200;

/// Writes `number` with thousands separators.
pub(super) fn count(number: impl Into<u128>) -> String {
    let digits = number.into().to_string();
    let mut grouped = String::with_capacity(digits.len() * 4 / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

/// Writes `number` and its unit, which takes an `s` unless the number is one.
pub(super) fn counted(number: impl Into<u128>, unit: &str) -> String {
    let number = number.into();
    let plural = if number == 1 { "" } else { "s" };
    format!("{} {unit}{plural}", count(number))
}

/// Writes `part` of `whole` as a percentage with two decimals. `0%` and `100%` are exact.
pub(super) fn percent(part: u64, whole: u64) -> String {
    if part == 0 {
        return "0%".to_owned();
    }
    if part == whole {
        return "100%".to_owned();
    }
    match proportion(part, whole, 10_000) {
        0 => "<0.01%".to_owned(),
        10_000 if part < whole => ">99.99%".to_owned(),
        parts => format!("{}.{:02}%", count(parts / 100), parts % 100),
    }
}

/// Scales `part` of `whole` to `units`, rounded to the nearest integer.
pub(super) fn proportion(part: u64, whole: u64, units: u64) -> u128 {
    let whole = u128::from(whole.max(1));
    (u128::from(part) * u128::from(units) + whole / 2) / whole
}

/// Writes a number of seconds in days, hours, minutes and seconds. It is exact.
pub(super) fn duration(seconds: u64) -> String {
    let parts = [
        (seconds / 86_400, "day"),
        (seconds / 3600 % 24, "hour"),
        (seconds / 60 % 60, "minute"),
        (seconds % 60, "second"),
    ];
    let written: Vec<String> = parts
        .into_iter()
        .filter(|(number, _)| *number > 0)
        .map(|(number, unit)| counted(number, unit))
        .collect();
    if written.is_empty() {
        "0 seconds".to_owned()
    } else {
        written.join(" ")
    }
}

/// Writes the second in which `time` is: `12 Mar 2026, 09:58:40 UTC`.
pub(super) fn moment(time: Time) -> String {
    second(time.as_seconds())
}

/// Writes the minute in UTC in which `time` is: `12 Mar 2026, 09:58`.
pub(super) fn minute(time: Time) -> String {
    format_utc(time.as_seconds(), "%-d %b %Y, %H:%M")
}

/// Like [`moment`], of seconds since 1970.
pub(super) fn second(seconds: u64) -> String {
    format_utc(seconds, "%-d %b %Y, %H:%M:%S UTC")
}

/// Formats a time with jiff's `strftime`. A time that jiff cannot hold is written in seconds.
pub(super) fn format_utc(seconds: u64, format: &str) -> String {
    match date_time(seconds) {
        Some(time) => time.strftime(format).to_string(),
        None => format!("{} seconds since 1970", count(seconds)),
    }
}

/// Returns date and time of day in UTC. `None` if the year has more than four digits.
pub(super) fn date_time(seconds: u64) -> Option<DateTime> {
    let timestamp = Timestamp::from_second(i64::try_from(seconds).ok()?).ok()?;
    Some(TimeZone::UTC.to_datetime(timestamp))
}

/// Foreign text that is safe to show: short, and without characters that are invisible or that turn
/// the direction of the text around them.
pub(super) struct Excerpt {
    /// The text, or its start and an ellipsis.
    pub(super) shown: String,
    /// The same, and how long the text is if it was cut. For a `title` attribute.
    pub(super) title: String,
}

impl Excerpt {
    /// Takes the first [`MAX_TEXT`] characters. Those that are hidden are written as `\u{202e}`.
    pub(super) fn of(text: &str) -> Excerpt {
        Excerpt::within(text, MAX_TEXT)
    }

    pub(super) fn within(text: &str, most: usize) -> Excerpt {
        let mut shown = String::new();
        for char in text.chars().take(most) {
            if is_hidden(char) {
                shown.extend(char.escape_unicode());
            } else {
                shown.push(char);
            }
        }
        let length = text.chars().count();
        if length <= most {
            let title = shown.clone();
            return Excerpt { shown, title };
        }
        shown.push('…');
        let title = format!("{shown} ({})", counted(length as u64, "character"));
        Excerpt { shown, title }
    }
}

/// Whether a browser shows nothing for `char`, or turns or breaks the text at it.
fn is_hidden(char: char) -> bool {
    char.is_control()
        || matches!(
            char,
            '\u{ad}'
                | '\u{61c}'
                | '\u{180e}'
                | '\u{200b}'..='\u{200f}'
                | '\u{2028}'..='\u{202e}'
                | '\u{2060}'..='\u{206f}'
                | '\u{feff}'
                | '\u{fff9}'..='\u{fffb}'
                | '\u{e0000}'..='\u{e007f}'
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousands_are_separated() {
        for (number, text) in [
            (0, "0"),
            (999, "999"),
            (1000, "1,000"),
            (1_234_567, "1,234,567"),
            (u64::MAX, "18,446,744,073,709,551,615"),
        ] {
            assert_eq!(count(number), text);
        }
        assert_eq!(counted(1_u64, "request"), "1 request");
        assert_eq!(counted(0_u64, "request"), "0 requests");
    }

    #[test]
    fn only_exact_percentages_are_written_as_zero_and_hundred() {
        for (part, whole, text) in [
            (0, 0, "0%"),
            (0, 5, "0%"),
            (5, 5, "100%"),
            (1, u64::MAX, "<0.01%"),
            (49, 1_000_000, "<0.01%"),
            (50, 1_000_000, "0.01%"),
            (1, 3, "33.33%"),
            (2, 3, "66.67%"),
            (999_949, 1_000_000, "99.99%"),
            (999_950, 1_000_000, ">99.99%"),
            (u64::MAX - 1, u64::MAX, ">99.99%"),
            (u64::MAX, u64::MAX, "100%"),
            // No report says so, and none may panic.
            (3, 2, "150.00%"),
            (2, 0, "200.00%"),
        ] {
            assert_eq!(percent(part, whole), text, "{part} of {whole}");
        }
    }

    #[test]
    fn durations_are_exact() {
        assert_eq!(duration(0), "0 seconds");
        assert_eq!(duration(8192), "2 hours 16 minutes 32 seconds");
        assert_eq!(duration(86_401), "1 day 1 second");
    }

    #[test]
    fn a_time_beyond_the_calendar_is_written_in_seconds() {
        assert_eq!(second(1_773_309_520), "12 Mar 2026, 09:58:40 UTC");
        assert_eq!(
            second(1 << 62),
            "4,611,686,018,427,387,904 seconds since 1970"
        );
    }

    #[test]
    fn hidden_characters_are_written_out() {
        let excerpt = Excerpt::of("a\u{202e}b\0c\nd\u{200b}");
        assert_eq!(excerpt.shown, r"a\u{202e}b\u{0}c\u{a}d\u{200b}");
        assert_eq!(excerpt.title, excerpt.shown);
    }

    #[test]
    fn long_text_is_cut_between_characters() {
        let excerpt = Excerpt::of(&"ä".repeat(65_000));
        assert_eq!(excerpt.shown, "ä".repeat(200) + "…");
        assert!(excerpt.title.ends_with("… (65,000 characters)"));
    }
}
