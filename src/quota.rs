//! A rate and a burst, as a value that cannot be invalid.

mod text;

use std::time::Duration;

use crate::arith::scale::{Axis, RangeError};
use crate::error::{InvalidQuota, Kind, NO_BURST, NO_PERIOD, NO_UNITS};

pub(crate) use text::parse_list;

/// How much a key may spend: `units` per `period`, and a burst.
///
/// A bucket under this quota holds at most [`burst_size`](Quota::burst_size) units, starts full,
/// and refills continuously: with `per_minute(100)` a unit comes back every 0.6 s, not a hundred
/// of them once a minute. So in any stretch of time of length t a key is admitted at most
/// `burst + t * units / period` units, and the first period of a fresh key can admit a burst on
/// top of the rate.
///
/// ```
/// use tollgate::Quota;
///
/// const API: Quota = Quota::per_minute(100).burst(10);
/// assert_eq!(API, Quota::default());
/// assert_eq!(API, "100/minute burst 10".parse().unwrap());
/// ```
///
/// # Text
///
/// `Display`, `FromStr` and (feature `serde`) serde share one form:
/// `UNITS "/" [COUNT] PERIOD ["burst" BURST]`, with `per` allowed for `/`, and the burst equal to
/// the units when left out. Periods are `nanosecond`, `microsecond`, `millisecond`, `second`,
/// `minute`, `hour`, `day` and `week`, in the plural too, or `ns`, `us`, `µs`, `ms`, `s`, `sec`,
/// `m`, `min`, `h`, `hr`, `d`, `w`. Letters may be of either case, numbers may hold `_`. Letters
/// that only look like these are refused, such as the Kelvin sign for `k`.
///
/// ```
/// use tollgate::Quota;
///
/// let slow: Quota = "5 per 2 seconds".parse().unwrap();
/// assert_eq!(slow.to_string(), "5/2 seconds");
/// assert_eq!("1_000/min burst 50".parse(), Ok(Quota::per_minute(1_000).burst(50)));
///
/// let refused = "100/fortnight".parse::<Quota>().unwrap_err().to_string();
/// assert!(refused.starts_with("found \"fortnight\" at character 5, expected a unit of time"));
/// ```
///
/// # Range
///
/// From one unit in 484 years to 5,845,420,460 units a second (5.8 per ns). A century of earning
/// and one full bucket must fit in 64 bits of steps of 1 ns or less, which bounds the burst: where
/// a unit takes a whole number of ns, to what takes 484 years to refill, and to less for faster
/// rates (at 5 units per ns, 16.9 years).
///
/// Two quotas are equal if they are written alike: `per_second(1).burst(60)` and `per_minute(60)`
/// decide alike and are not equal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Quota {
    units: u64,
    period: u64,
    burst: u64,
}

impl Quota {
    /// `units` per second, with a burst of as many.
    ///
    /// # Panics
    ///
    /// If `units` is 0 or above 5,845,420,459; in a `const`, that is a compile error:
    ///
    /// ```compile_fail
    /// const NOTHING: tollgate::Quota = tollgate::Quota::per_second(0);
    /// ```
    /// ```
    /// const SOMETHING: tollgate::Quota = tollgate::Quota::per_second(1);
    /// assert_eq!(SOMETHING.units(), 1);
    /// ```
    #[must_use]
    pub const fn per_second(units: u64) -> Quota {
        Quota::per(units, SECOND)
    }

    /// `units` per minute, with a burst of as many.
    ///
    /// # Panics
    ///
    /// If `units` is 0 or above 350,725,220,986; in a `const`, that is a compile error. For
    /// such rates with a smaller burst there is [`Quota::new`].
    #[must_use]
    pub const fn per_minute(units: u64) -> Quota {
        Quota::per(units, MINUTE)
    }

    /// `units` per hour, with a burst of as many.
    ///
    /// # Panics
    ///
    /// If `units` is 0 or above 21,043,489,653,456; in a `const`, that is a compile error. For
    /// such rates with a smaller burst there is [`Quota::new`].
    #[must_use]
    pub const fn per_hour(units: u64) -> Quota {
        Quota::per(units, HOUR)
    }

    /// `units` per day of 24 hours, with a burst of as many.
    ///
    /// # Panics
    ///
    /// If `units` is 0 or above 505,030,500,840,758; in a `const`, that is a compile error. For
    /// such rates with a smaller burst there is [`Quota::new`].
    #[must_use]
    pub const fn per_day(units: u64) -> Quota {
        Quota::per(units, DAY)
    }

    /// The same rate with another burst: the most units a full bucket holds.
    ///
    /// It may be smaller or larger than the rate's units.
    ///
    /// # Panics
    ///
    /// If `burst` is 0 or beyond the range above; in a `const`, that is a compile error:
    ///
    /// ```compile_fail
    /// const NEVER: tollgate::Quota = tollgate::Quota::per_minute(100).burst(0);
    /// ```
    /// ```
    /// const ONCE: tollgate::Quota = tollgate::Quota::per_minute(100).burst(1);
    /// assert_eq!(ONCE.burst_size(), 1);
    /// ```
    #[must_use]
    pub const fn burst(self, burst: u64) -> Quota {
        match Quota::checked(self.units, self.period, burst) {
            Ok(quota) => quota,
            Err(unfit) => refuse(unfit),
        }
    }

    /// Any rational rate: `units` per `period`, with a burst of `burst` units.
    ///
    /// # Errors
    ///
    /// If `units`, `period` or `burst` is zero, if the period is longer than 584 years, and if the
    /// rate or the burst is out of the range above. The error names the value and the bound.
    ///
    /// ```
    /// use std::time::Duration;
    /// use tollgate::Quota;
    ///
    /// let century = Duration::from_secs(36_525 * 86_400);
    /// assert!(Quota::new(1, century, 1).is_ok());
    ///
    /// let refused = Quota::new(6, Duration::from_nanos(1), 1).unwrap_err();
    /// assert_eq!(
    ///     refused.to_string(),
    ///     "6 units per 1ns is too fast; expected at most 5845420460 a second"
    /// );
    /// ```
    pub fn new(units: u64, period: Duration, burst: u64) -> Result<Quota, InvalidQuota> {
        let Ok(nanos) = u64::try_from(period.as_nanos()) else {
            return Err(Kind::PeriodTooLong { period }.into());
        };
        Quota::checked(units, nanos, burst).map_err(|unfit| {
            Kind::RangeError {
                unfit,
                units,
                period,
                burst,
            }
            .into()
        })
    }

    /// The units earned per [`period`](Quota::period), as they were given.
    #[must_use]
    pub const fn units(&self) -> u64 {
        self.units
    }

    /// The period, as it was given.
    #[must_use]
    pub const fn period(&self) -> Duration {
        Duration::from_nanos(self.period)
    }

    /// The most units a full bucket holds.
    #[must_use]
    pub const fn burst_size(&self) -> u64 {
        self.burst
    }

    /// The period as it is written in the text form.
    #[cfg(feature = "tower")]
    pub(crate) fn period_name(&self) -> impl std::fmt::Display {
        text::PeriodName(self.period)
    }

    pub(crate) const fn axis(&self) -> Axis {
        match Axis::new(self.units, self.period, self.burst) {
            Ok(axis) => axis,
            // `checked`, the only way to a Quota, has built this very axis.
            Err(_) => unreachable!(),
        }
    }

    const fn per(units: u64, period: u64) -> Quota {
        match Quota::checked(units, period, units) {
            Ok(quota) => quota,
            Err(unfit) => refuse(unfit),
        }
    }

    const fn checked(units: u64, period: u64, burst: u64) -> Result<Quota, RangeError> {
        match Axis::new(units, period, burst) {
            Ok(_) => Ok(Quota {
                units,
                period,
                burst,
            }),
            Err(unfit) => Err(unfit),
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

/// A panic in const context cannot format the value; the compiler shows the line instead.
const fn refuse(unfit: RangeError) -> ! {
    match unfit {
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
