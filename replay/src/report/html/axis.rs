//! Chooses round numbers and round times for the labels of a plot.

use jiff::{civil::Date, tz::TimeZone};

use crate::report::numbers::{date_time, format_utc};

const NANOS: u128 = 1_000_000_000;
const HOUR: u64 = 3600;
const DAY: u64 = 24 * HOUR;
const WEEK: u64 = 7 * DAY;

/// From the Monday before 1970, which began on a Thursday.
const MONDAY: u64 = 3 * DAY;

/// A time on an axis.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Tick {
    /// How far it is from the left, in hundredths of a percent.
    pub(super) position: u64,
    pub(super) label: String,
    /// The day or the year, at the first tick and wherever it changes.
    pub(super) below: Option<String>,
}

/// The distance between two ticks.
#[derive(Clone, Copy)]
enum Step {
    Seconds(u64),
    Months(u32),
}

/// All steps, in ascending order.
fn steps() -> impl Iterator<Item = Step> {
    const SECONDS: [u64; 20] = [
        1,
        2,
        5,
        10,
        15,
        30,
        60,
        2 * 60,
        5 * 60,
        10 * 60,
        15 * 60,
        30 * 60,
        HOUR,
        2 * HOUR,
        3 * HOUR,
        6 * HOUR,
        12 * HOUR,
        DAY,
        2 * DAY,
        WEEK,
    ];
    const MONTHS: [u32; 8] = [1, 3, 6, 12, 24, 5 * 12, 20 * 12, 50 * 12];
    let seconds = SECONDS.into_iter().map(Step::Seconds);
    seconds.chain(MONTHS.into_iter().map(Step::Months))
}

/// Returns at most five round levels from 0 to `top`.
pub(super) fn levels(top: u64) -> Vec<u64> {
    let top = u128::from(top);
    let step = (0..=19)
        .flat_map(|exponent| [1, 2, 5].map(|factor| factor * 10_u128.pow(exponent)))
        .find(|step| top / step <= 4)
        .unwrap_or(u128::MAX);
    (0..=4)
        .map(|index| index * step)
        .take_while(|level| *level <= top)
        .filter_map(|level| u64::try_from(level).ok())
        .collect()
}

/// Returns at most `most` round times in UTC within `length` from `start`. Both are in nanoseconds.
pub(super) fn times(start: u64, length: u128, most: usize) -> Vec<Tick> {
    let start = u128::from(start);
    let end = start + length;
    let times = |step: Step| {
        let first = u64::try_from(start.div_ceil(NANOS)).ok();
        std::iter::successors(first.and_then(|first| step.from(first)), move |time| {
            step.from(time + 1)
        })
        .take_while(move |time| u128::from(*time) * NANOS <= end)
    };
    let Some(step) = steps().find(|step| times(*step).nth(most).is_none()) else {
        return Vec::new();
    };
    let mut ticks: Vec<Tick> = Vec::new();
    let mut last = None;
    for time in times(step) {
        let (label, below) = step.formats();
        let below = below.map(|format| format_utc(time, format));
        let is_new = below != last;
        last.clone_from(&below);
        let position = (u128::from(time) * NANOS - start) * 10_000 / length.max(1);
        ticks.push(Tick {
            position: u64::try_from(position).unwrap_or(10_000),
            label: format_utc(time, label),
            below: below.filter(|_| is_new),
        });
    }
    ticks
}

impl Step {
    /// Returns the first multiple of the step at or after a time, in seconds since 1970. `None` at
    /// the end of the calendar.
    fn from(self, time: u64) -> Option<u64> {
        let step = match self {
            Step::Seconds(step) => {
                let before = if step == WEEK { MONDAY } else { 0 };
                let multiple = time.checked_add(before)?.checked_next_multiple_of(step)?;
                return multiple.checked_sub(before);
            }
            Step::Months(step) => step,
        };
        let date = date_time(time)?.date();
        let month = u32::try_from(date.year()).ok()? * 12 + u32::try_from(date.month() - 1).ok()?;
        let multiple = month.next_multiple_of(step);
        let starts = [multiple, multiple + step]
            .into_iter()
            .filter_map(month_start);
        starts.into_iter().find(|start| *start >= time)
    }

    /// Returns the formats of a label and of the line below it.
    fn formats(self) -> (&'static str, Option<&'static str>) {
        match self {
            Step::Seconds(..60) => ("%H:%M:%S", Some("%-d %b")),
            Step::Seconds(..DAY) => ("%H:%M", Some("%-d %b")),
            Step::Seconds(DAY..) => ("%-d %b", Some("%Y")),
            Step::Months(..12) => ("%b", Some("%Y")),
            Step::Months(12..) => ("%Y", None),
        }
    }
}

/// Returns when a month starts. The months are counted from the year 0.
fn month_start(month: u32) -> Option<u64> {
    let year = i16::try_from(month / 12).ok()?;
    let date = Date::new(year, i8::try_from(month % 12 + 1).ok()?, 1).ok()?;
    let midnight = date.to_zoned(TimeZone::UTC).ok()?;
    u64::try_from(midnight.timestamp().as_second()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 12 March 2026, 09:58:40.25.
    const START: u64 = 1_773_309_520_250_000_000;

    fn labels(seconds: u64, most: usize) -> String {
        let ticks = times(START, u128::from(seconds) * NANOS, most);
        assert!(ticks.len() <= most);
        assert!(ticks.iter().all(|tick| tick.position <= 10_000));
        let written = ticks.into_iter().map(|tick| match tick.below {
            Some(below) => format!("{} ({below})", tick.label),
            None => tick.label,
        });
        written.collect::<Vec<_>>().join(", ")
    }

    #[test]
    fn levels_are_round() {
        assert_eq!(levels(0), [0]);
        assert_eq!(levels(1), [0, 1]);
        assert_eq!(levels(4), [0, 1, 2, 3, 4]);
        assert_eq!(levels(7), [0, 2, 4, 6]);
        assert_eq!(levels(1234), [0, 500, 1000]);
        assert_eq!(levels(u64::MAX).len(), 4);
    }

    #[test]
    fn times_are_round() {
        for (seconds, expected) in [
            (40, "09:58:50 (12 Mar), 09:59:00, 09:59:10, 09:59:20"),
            (3600, "10:00 (12 Mar), 10:15, 10:30, 10:45"),
            (
                2 * DAY,
                "12:00 (12 Mar), 00:00 (13 Mar), 12:00, 00:00 (14 Mar)",
            ),
            (20 * DAY, "16 Mar (2026), 23 Mar, 30 Mar"),
            (300 * DAY, "Apr (2026), Jul, Oct, Jan (2027)"),
            (3000 * DAY, "2028, 2030, 2032, 2034"),
            (36_525 * DAY, "2050, 2100"),
        ] {
            assert_eq!(labels(seconds, 4), expected, "{seconds}");
        }
    }

    #[test]
    fn a_tick_is_where_its_time_is() {
        let ticks = times(START, 1_000 * NANOS, 1);
        assert_eq!(ticks[0].label, "10:00");
        // 79.75 s of 1,000 s.
        assert_eq!(ticks[0].position, 797);
    }

    #[test]
    fn any_range_has_labels_or_none() {
        for length in (0..128).map(|exponent| 1 << exponent).take(100) {
            for most in [0, 1, 4, 9] {
                assert!(times(START, length, most).len() <= most);
                assert!(times(u64::MAX, length, most).len() <= most);
            }
        }
    }
}
