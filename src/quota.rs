//! A rate and a burst, as a value that cannot be invalid.

mod text;

use std::time::Duration;

use crate::arith::bucket::{Bucket, Rate};
use crate::arith::scale::{Axis, RangeError};
use crate::error::{InvalidQuota, Kind, NO_BURST, NO_PERIOD, NO_UNITS};

pub(crate) use text::parse_list;

/// How much a key may spend: `units` per `period`, and a burst.
///
/// A bucket under this quota holds at most [`burst_size`](Quota::burst_size) units. It starts full
/// and refills continuously: with `per_minute(100)` one unit is earned every 0.6 s, not a hundred of
/// them once a minute. In any interval of length t a key is admitted at most
/// `burst + t * units / period` units. So in its first period a new key can spend the burst and the
/// units of one period.
///
/// ```
/// use tollgate::Quota;
///
/// const API: Quota = Quota::per_minute(100).burst(10);
/// assert_eq!(API, Quota::default());
/// assert_eq!(API, "100/minute burst 10".parse().unwrap());
/// ```
///
/// Numbers that are known only at run time, such as those from the environment, go through
/// [`try_per_minute`](Quota::try_per_minute) and its like. There a bad number is an error:
///
/// ```
/// use tollgate::Quota;
///
/// let quota = Quota::try_per_minute(100).and_then(|quota| quota.try_burst(10));
/// assert_eq!(quota, Ok(Quota::default()));
///
/// let error = Quota::try_per_minute(0).unwrap_err();
/// assert_eq!(error.to_string(), "a quota of 0 units never earns one; expected at least 1");
/// ```
///
/// # Text
///
/// `Display`, `FromStr` and (feature `serde`) serde share one form:
/// `UNITS "/" [COUNT] PERIOD ["burst" BURST]`. `per` may be written for `/`. Without `burst`, the
/// burst equals the units.
///
/// Periods are `nanosecond`, `microsecond`, `millisecond`, `second`, `minute`, `hour`, `day` and
/// `week`, also in the plural, or `ns`, `us`, `µs`, `ms`, `s`, `sec`, `m`, `min`, `h`, `hr`, `d`,
/// `w`. Letters may be upper or lower case, and numbers may contain `_`. Letters that only look
/// like these, such as the Kelvin sign for `k`, are errors.
///
/// ```
/// use tollgate::Quota;
///
/// let slow: Quota = "5 per 2 seconds".parse().unwrap();
/// assert_eq!(slow.to_string(), "5/2 seconds");
/// assert_eq!("1_000/min burst 50".parse(), Ok(Quota::per_minute(1_000).burst(50)));
///
/// let error = "100/fortnight".parse::<Quota>().unwrap_err().to_string();
/// assert!(error.starts_with("found \"fortnight\" at character 5, expected a unit of time"));
/// ```
///
/// # Range
///
/// Rates go from one unit in 484 years to 5,845,420,460 units a second (5.8 per ns).
///
/// The burst is bounded too: 100 years of earning and one full bucket must fit in 64 bits. If a unit
/// takes a whole number of ns, the largest burst is what is earned in 484 years. For faster rates it
/// is smaller: 16.9 years at 5 units per ns.
///
/// # Equality
///
/// Two quotas are equal if they are written alike. `per_second(1).burst(60)` and `per_minute(60)`
/// decide alike and are not equal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Quota {
    units: u64,
    period: u64,
    burst: u64,
}

impl Quota {
    /// Returns a quota of `units` per second, with a burst of the same size.
    ///
    /// # Panics
    ///
    /// If `units` is 0 or above 5,845,420,459. In a `const` this is a compile error:
    ///
    /// ```compile_fail
    /// const NOTHING: tollgate::Quota = tollgate::Quota::per_second(0);
    /// ```
    /// ```
    /// const SOMETHING: tollgate::Quota = tollgate::Quota::per_second(1);
    /// assert_eq!(SOMETHING.units(), 1);
    /// ```
    #[must_use]
    #[track_caller]
    pub const fn per_second(units: u64) -> Quota {
        Quota::per(units, SECOND)
    }

    /// Returns a quota of `units` per second, with a burst of the same size.
    ///
    /// # Errors
    ///
    /// If `units` is 0 or above 5,845,420,459.
    pub fn try_per_second(units: u64) -> Result<Quota, InvalidQuota> {
        Quota::new(units, Duration::from_nanos(SECOND), units)
    }

    /// Returns a quota of `units` per minute, with a burst of the same size.
    ///
    /// # Panics
    ///
    /// If `units` is 0 or above 350,725,220,986. In a `const` this is a compile error.
    /// For such rates with a smaller burst there is [`Quota::new`].
    #[must_use]
    #[track_caller]
    pub const fn per_minute(units: u64) -> Quota {
        Quota::per(units, MINUTE)
    }

    /// Returns a quota of `units` per minute, with a burst of the same size.
    ///
    /// # Errors
    ///
    /// If `units` is 0 or above 350,725,220,986.
    pub fn try_per_minute(units: u64) -> Result<Quota, InvalidQuota> {
        Quota::new(units, Duration::from_nanos(MINUTE), units)
    }

    /// Returns a quota of `units` per hour, with a burst of the same size.
    ///
    /// # Panics
    ///
    /// If `units` is 0 or above 21,043,489,653,456. In a `const` this is a compile error.
    /// For such rates with a smaller burst there is [`Quota::new`].
    #[must_use]
    #[track_caller]
    pub const fn per_hour(units: u64) -> Quota {
        Quota::per(units, HOUR)
    }

    /// Returns a quota of `units` per hour, with a burst of the same size.
    ///
    /// # Errors
    ///
    /// If `units` is 0 or above 21,043,489,653,456.
    pub fn try_per_hour(units: u64) -> Result<Quota, InvalidQuota> {
        Quota::new(units, Duration::from_nanos(HOUR), units)
    }

    /// Returns a quota of `units` per day of 24 hours, with a burst of the same size.
    ///
    /// # Panics
    ///
    /// If `units` is 0 or above 505,030,500,840,758. In a `const` this is a compile error.
    /// For such rates with a smaller burst there is [`Quota::new`].
    #[must_use]
    #[track_caller]
    pub const fn per_day(units: u64) -> Quota {
        Quota::per(units, DAY)
    }

    /// Returns a quota of `units` per day of 24 hours, with a burst of the same size.
    ///
    /// # Errors
    ///
    /// If `units` is 0 or above 505,030,500,840,758.
    pub fn try_per_day(units: u64) -> Result<Quota, InvalidQuota> {
        Quota::new(units, Duration::from_nanos(DAY), units)
    }

    /// Returns the same rate with another burst: the most units that a full bucket holds.
    ///
    /// The burst may be smaller or larger than the units per period.
    ///
    /// # Panics
    ///
    /// If `burst` is 0 or out of [range](Quota#range). In a `const` this is a compile error:
    ///
    /// ```compile_fail
    /// const NEVER: tollgate::Quota = tollgate::Quota::per_minute(100).burst(0);
    /// ```
    /// ```
    /// const ONCE: tollgate::Quota = tollgate::Quota::per_minute(100).burst(1);
    /// assert_eq!(ONCE.burst_size(), 1);
    /// ```
    #[must_use]
    #[track_caller]
    pub const fn burst(self, burst: u64) -> Quota {
        match Quota::checked(self.units, self.period, burst) {
            Ok(quota) => quota,
            Err(error) => fail(error),
        }
    }

    /// Returns the same rate with another burst: the most units that a full bucket holds.
    ///
    /// # Errors
    ///
    /// If `burst` is 0 or out of [range](Quota#range). The error names the largest burst.
    pub fn try_burst(self, burst: u64) -> Result<Quota, InvalidQuota> {
        Quota::new(self.units, self.period(), burst)
    }

    /// Returns a quota of any rational rate: `units` per `period`, with a burst of `burst` units.
    ///
    /// # Errors
    ///
    /// If `units`, `period` or `burst` is zero, if `period` is longer than 584 years, or if the rate
    /// or the burst is out of [range](Quota#range). The error names the value and the bound.
    ///
    /// ```
    /// use std::time::Duration;
    /// use tollgate::Quota;
    ///
    /// let century = Duration::from_secs(36_525 * 86_400);
    /// assert!(Quota::new(1, century, 1).is_ok());
    ///
    /// let error = Quota::new(6, Duration::from_nanos(1), 1).unwrap_err();
    /// assert_eq!(
    ///     error.to_string(),
    ///     "6 units per 1ns is too fast; expected at most 5845420460 a second"
    /// );
    /// ```
    pub fn new(units: u64, period: Duration, burst: u64) -> Result<Quota, InvalidQuota> {
        let Ok(nanos) = u64::try_from(period.as_nanos()) else {
            return Err(Kind::PeriodTooLong { period }.into());
        };
        Quota::checked(units, nanos, burst).map_err(|error| {
            Kind::Range {
                error,
                units,
                period,
                burst,
            }
            .into()
        })
    }

    /// Returns the units earned per [`period`](Quota::period), as they were given.
    #[must_use]
    pub const fn units(&self) -> u64 {
        self.units
    }

    /// Returns the period, as it was given.
    #[must_use]
    pub const fn period(&self) -> Duration {
        Duration::from_nanos(self.period)
    }

    /// Returns the period in ns.
    pub(crate) const fn period_nanos(&self) -> u64 {
        self.period
    }

    /// Returns the most units that a full bucket holds.
    #[must_use]
    pub const fn burst_size(&self) -> u64 {
        self.burst
    }

    /// Returns the period as the text form has it, such as `minute` or `2 seconds`.
    ///
    /// ```
    /// use tollgate::Quota;
    ///
    /// assert_eq!(Quota::per_minute(60).period_name().to_string(), "minute");
    /// ```
    #[must_use]
    pub fn period_name(&self) -> impl std::fmt::Display + use<> {
        text::PeriodName(self.period)
    }

    /// Returns a period in ns as [`period_name`](Quota::period_name) has it.
    pub(crate) fn name_of_period(nanos: u64) -> impl std::fmt::Display {
        text::PeriodName(nanos)
    }

    /// Returns the bucket that every key has under this quota.
    pub(crate) const fn bucket(&self) -> Bucket {
        match Axis::new(self.units, self.period, self.burst) {
            Ok(axis) => Bucket::new(axis, self.rate(), self.burst),
            // `checked`, the only way to make a quota, has made this same axis.
            Err(_) => unreachable!(),
        }
    }

    const fn rate(&self) -> Rate {
        Rate {
            units: self.units,
            period: self.period,
        }
    }

    /// Returns the quota that a bucket was made of, from its numbers.
    pub(crate) const fn of_bucket(rate: Rate, burst: u64) -> Quota {
        Quota {
            units: rate.units,
            period: rate.period,
            burst,
        }
    }

    #[track_caller]
    const fn per(units: u64, period: u64) -> Quota {
        match Quota::checked(units, period, units) {
            Ok(quota) => quota,
            Err(error) => fail(error),
        }
    }

    const fn checked(units: u64, period: u64, burst: u64) -> Result<Quota, RangeError> {
        match Axis::new(units, period, burst) {
            Ok(_) => Ok(Quota {
                units,
                period,
                burst,
            }),
            Err(error) => Err(error),
        }
    }
}

/// 100 a minute with a burst of 10.
impl Default for Quota {
    fn default() -> Quota {
        const { Quota::per_minute(100).burst(10) }
    }
}

const SECOND: u64 = 1_000_000_000;
const MINUTE: u64 = 60 * SECOND;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;

/// Panics. In a const context the message cannot have the value; the compiler shows the line.
#[track_caller]
const fn fail(error: RangeError) -> ! {
    match error {
        RangeError::NoUnits => panic!("{}", NO_UNITS),
        RangeError::NoPeriod => panic!("{}", NO_PERIOD),
        RangeError::NoBurst => panic!("{}", NO_BURST),
        RangeError::TooFast => panic!("the rate is too fast; expected at most 5845420460 a second"),
        RangeError::TooSlow => {
            panic!("the rate is too slow; expected one unit in 484 years or less")
        }
        RangeError::BurstTooLarge { .. } => {
            panic!("the burst is too large for the rate; Quota::new names the largest")
        }
    }
}
