//! Reads the times of log lines.
//!
//! A [`Time`] is in 1970 to 2069, as a limiter counts 100 years. Second 60 is read as 59.

use std::fmt;

use jiff::Timestamp;
use serde::{Serialize, Serializer};

use crate::form::{is_digits, is_like};

/// Nanoseconds since the start of 1970, UTC.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Time(u64);

const SECOND: u64 = 1_000_000_000;

/// The end of 2069: 100 years of 365.25 days.
const END: u64 = 36_525 * 86_400 * SECOND;

impl Time {
    /// Returns the time at this number of nanoseconds, if it is in 1970 to 2069.
    pub(crate) fn from_nanos(nanos: i128) -> Option<Time> {
        let nanos = u64::try_from(nanos).ok()?;
        (nanos < END).then_some(Time(nanos))
    }

    /// Returns the time at this number of seconds, if it is in 1970 to 2069.
    pub(crate) fn from_seconds(seconds: u64) -> Option<Time> {
        Time::from_nanos(i128::from(seconds) * i128::from(SECOND))
    }

    pub(crate) fn as_nanos(self) -> u64 {
        self.0
    }

    pub(crate) fn as_seconds(self) -> u64 {
        self.0 / SECOND
    }

    /// Whether the time is not at the start of a second.
    pub(crate) fn has_fraction(self) -> bool {
        !self.0.is_multiple_of(SECOND)
    }

    /// Returns the start of the minute of UTC.
    pub(crate) fn minute(self) -> Time {
        Time(self.0 - self.0 % (60 * SECOND))
    }

    fn from_timestamp(timestamp: Timestamp) -> Option<Time> {
        Time::from_nanos(timestamp.as_nanosecond())
    }

    /// Reads the stamp of the common log format: `10/Oct/2000:13:55:36 -0700`.
    pub(crate) fn from_common(stamp: &[u8]) -> Option<Time> {
        let stamp: &[u8; STAMP] = stamp.try_into().ok()?;
        is_like(stamp, COMMON).then(|| Stamps::default().read(stamp))?
    }

    /// Reads a time of RFC 3339: `2026-03-12T10:00:00.25Z`. The offset may lack its colon.
    pub(crate) fn from_rfc_3339(text: &[u8]) -> Option<Time> {
        // jiff reads more than that: hours without minutes, zones in brackets, commas.
        let (start, rest) = text.split_at_checked(RFC_3339.len())?;
        let offset = match rest {
            [b'.', fraction @ ..] => {
                let end = fraction.iter().position(|byte| !byte.is_ascii_digit())?;
                (1..=9).contains(&end).then_some(&fraction[end..])?
            }
            whole => whole,
        };
        let has_offset = matches!(offset, b"Z" | b"z")
            || is_like(offset, b"+00:00")
            || is_like(offset, b"+0000");
        if !is_like(start, RFC_3339) || !has_offset {
            return None;
        }
        let time = str::from_utf8(text).ok()?.parse::<Timestamp>().ok()?;
        Time::from_timestamp(time)
    }

    /// Reads digits, perhaps with a point and more digits, since 1970. The magnitude of the whole
    /// part tells the unit: seconds, milliseconds, microseconds or nanoseconds.
    pub(crate) fn from_number(text: &[u8]) -> Option<Time> {
        let mut parts = text.splitn(2, |byte| *byte == b'.');
        let whole = parts.next().filter(|whole| is_digits(whole))?;
        let fraction = parts.next().unwrap_or(b"0");
        if !is_digits(fraction) {
            return None;
        }
        let whole: u64 = str::from_utf8(whole).ok()?.parse().ok()?;
        let unit = match whole {
            0..100_000_000_000 => SECOND,
            100_000_000_000..100_000_000_000_000 => SECOND / 1_000,
            100_000_000_000_000..100_000_000_000_000_000 => SECOND / 1_000_000,
            _ => 1,
        };
        // No unit is longer than a second, so the digits behind the ninth are below a nanosecond.
        let digits = fraction.iter().chain(std::iter::repeat(&b'0')).take(9);
        let billionths = digits.fold(0, |sum, digit| sum * 10 + u64::from(digit - b'0'));
        let nanos = i128::from(whole) * i128::from(unit);
        Time::from_nanos(nanos + i128::from(billionths * unit / SECOND))
    }
}

/// Reads stamps of the common log format, and keeps the start of the day of the last one: only the time
/// of day differs in most lines.
#[derive(Default)]
pub(crate) struct Stamps {
    day: [u8; DAY],
    offset: [u8; OFFSET],
    /// Seconds since 1970, if there is such a day.
    midnight: Option<i64>,
}

/// The length of a [`COMMON`] stamp, of its day and of its offset.
const STAMP: usize = COMMON.len();
const DAY: usize = b"00/AAA/0000".len();
const OFFSET: usize = b" +0000".len();

impl Stamps {
    /// Reads a stamp that has the form of [`COMMON`].
    pub(crate) fn read(&mut self, stamp: &[u8; STAMP]) -> Option<Time> {
        let (day, rest) = stamp.split_first_chunk()?;
        let (clock, offset) = rest.split_last_chunk()?;
        if *day != self.day || *offset != self.offset {
            (self.day, self.offset) = (*day, *offset);
            let midnight = [&day[..], b":00:00:00", offset].concat();
            let midnight = Timestamp::strptime("%d/%b/%Y:%H:%M:%S %z", midnight);
            self.midnight = midnight.ok().map(Timestamp::as_second);
        }
        let number = |at: usize| i64::from(clock[at] - b'0') * 10 + i64::from(clock[at + 1] - b'0');
        let (hour, minute, second) = (number(1), number(4), number(7));
        if hour > 23 || minute > 59 || second > 60 {
            return None;
        }
        let seconds = self.midnight? + hour * 3_600 + minute * 60 + second.min(59);
        Time::from_nanos(i128::from(seconds) * i128::from(SECOND))
    }
}

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Timestamp::from_nanosecond(i128::from(self.0))
            .expect("a time of 1970 to 2069 is one of jiff's")
            .fmt(f)
    }
}

impl Serialize for Time {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// A stamp of the common log format, for [`is_like`].
pub(crate) const COMMON: &[u8] = b"00/AAA/0000:00:00:00 +0000";

/// A time of RFC 3339 up to its seconds, for [`is_like`].
pub(crate) const RFC_3339: &[u8] = b"0000-00-00T00:00:00";

#[cfg(test)]
mod tests {
    use super::*;

    fn common(stamp: &str) -> Option<u64> {
        Time::from_common(stamp.as_bytes()).map(Time::as_seconds)
    }

    fn rfc_3339(text: &str) -> Option<String> {
        Time::from_rfc_3339(text.as_bytes()).map(|time| time.to_string())
    }

    fn number(text: &str) -> Option<u64> {
        Time::from_number(text.as_bytes()).map(Time::as_nanos)
    }

    #[test]
    fn offsets_from_utc_are_honoured() {
        let utc = common("10/Oct/2000:13:55:36 +0000");
        assert_eq!(utc, Some(971_186_136));
        assert_eq!(common("10/Oct/2000:13:55:36 -0000"), utc);
        assert_eq!(common("10/Oct/2000:15:55:36 +0200"), utc);
        assert_eq!(common("10/Oct/2000:08:25:36 -0530"), utc);
        assert_eq!(common("11/Oct/2000:13:40:36 +2345"), utc);
    }

    #[test]
    fn times_outside_the_hundred_years_are_none() {
        assert_eq!(common("01/Jan/1970:00:00:00 +0000"), Some(0));
        assert_eq!(common("31/Dec/1969:23:59:59 +0000"), None);
        assert_eq!(common("01/Jan/1970:00:00:00 +0001"), None);
        assert_eq!(common("31/Dec/2069:23:59:59 +0000"), Some(END / SECOND - 1));
        assert_eq!(common("01/Jan/2070:00:00:00 +0000"), None);
        assert_eq!(number("3155760000"), None);
        assert_eq!(number("3155759999.999999999"), Some(END - 1));
        assert_eq!(number("99999999999999999999"), None);
    }

    #[test]
    fn a_leap_second_is_the_second_before() {
        assert_eq!(
            common("31/Dec/2016:23:59:60 +0000"),
            common("31/Dec/2016:23:59:59 +0000")
        );
        assert_eq!(
            rfc_3339("2016-12-31T23:59:60Z").as_deref(),
            Some("2016-12-31T23:59:59Z")
        );
    }

    #[test]
    fn times_that_do_not_exist_are_none() {
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
            assert_eq!(common(stamp), None, "{stamp}");
        }
    }

    #[test]
    fn a_stamp_is_read_anew_when_its_day_or_its_offset_differs() {
        let mut stamps = Stamps::default();
        for stamp in [
            "10/Oct/2000:13:55:36 +0000",
            "10/Oct/2000:13:55:37 +0000",
            "10/Oct/2000:13:55:37 +0100",
            "11/Oct/2000:00:00:00 +0100",
            "32/Oct/2000:00:00:00 +0100",
            "32/Oct/2000:00:00:01 +0100",
            "11/Oct/2000:23:59:59 +0100",
            "11/Oct/2000:23:59:99 +0100",
        ] {
            let time = stamps.read(stamp.as_bytes().try_into().unwrap());
            assert_eq!(time.map(Time::as_seconds), common(stamp), "{stamp}");
        }
    }

    #[test]
    fn rfc_3339_is_read_with_each_kind_of_offset_and_fraction() {
        for (text, expected) in [
            ("2026-03-12T10:00:00Z", "2026-03-12T10:00:00Z"),
            ("2026-03-12t10:00:00z", "2026-03-12T10:00:00Z"),
            ("2026-03-12 11:00:00.25+01:00", "2026-03-12T10:00:00.25Z"),
            (
                "2026-03-12T09:00:00.123456789-0100",
                "2026-03-12T10:00:00.123456789Z",
            ),
        ] {
            assert_eq!(rfc_3339(text).as_deref(), Some(expected), "{text}");
        }
        for text in [
            "2026-03-12T10:00:00",
            "2026-03-12T10:00:00.Z",
            "2026-03-12T10:00:00.1234567890Z",
            "2026-03-12T10:00:00,5Z",
            "2026-03-12T10:00Z",
            "2026-03-12T10:00:00+01",
            "2026-03-12T10:00:00Z[UTC]",
            "2026-02-30T10:00:00Z",
            "20260312T100000Z",
        ] {
            assert_eq!(rfc_3339(text), None, "{text}");
        }
    }

    #[test]
    fn the_magnitude_of_a_number_tells_its_unit() {
        let nanos = 1_646_861_401_524_102_400;
        for text in [
            "1646861401.5241024",
            "1646861401524.1024",
            "1646861401524102.4",
            "1646861401524102400",
            "1646861401524102400.9",
            "1646861401.52410240099",
        ] {
            assert_eq!(number(text), Some(nanos), "{text}");
        }
        assert_eq!(number("0"), Some(0));
        assert_eq!(number("1.5"), Some(3 * SECOND / 2));
        for text in ["", ".", "1.", ".5", "-1", "1e9", "1_000", " 1", "1.5.5"] {
            assert_eq!(number(text), None, "{text}");
        }
    }
}
