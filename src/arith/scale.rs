//! Time as earned units, rounded once and never again.
//!
//! A quota earns `units` per `period`. Its *axis* counts what has been earned since the limiter
//! started, in *steps*. A unit is a whole number of steps, and
//!
//! ```text
//! E(t) = floor(t * units * steps_per_unit / period)        t in ns
//! ```
//!
//! is the only place where anything is rounded. Spending, refilling and waiting are then whole
//! steps, added and compared exactly. So each decision is the one of the rational model on a clock
//! that reads `E(t) / rate` instead of `t`, which is earlier by less than one step.
//!
//! 1. **A step is at most 1 ns.** The deviation of that clock is below 1 ns, whatever the rate.
//! 2. **A unit that takes a whole number of ns is exact.** So is any rate whose lowest terms have
//!    a small numerator. There `steps_per_unit` is the period in lowest terms and `E(t)` is
//!    `t * units`, with nothing to round.
//! 3. **`E` is that floor exactly**, for every `t` up to [`HORIZON`]. The rate is kept with 128
//!    fractional bits, rounded up by less than 2^-128, so `t * rate` is too large by less than
//!    2^-66. A product that is not whole lies at least `1 / period > 2^-64` below the next whole
//!    number. (64 fractional bits would not do: the error reaches a fifth of a step in a century,
//!    and a unit due at a whole second could come 1 ns late.)
//! 4. **Nothing overflows.** A century of earning and one full bucket fit in 64 bits together.
//!    [`Axis::new`] returns an error if they would not.

use std::cmp::Ordering;

use super::bucket::Rate;

/// The uptime that every quota can count exactly, in ns: 100 years of 365.25 days.
pub(crate) const HORIZON: u64 = 36_525 * 86_400 * 1_000_000_000;

/// The highest rate that an axis can count for a century, in units a second.
#[expect(
    clippy::cast_possible_truncation,
    reason = "below 6e9, computed in const context"
)]
pub(crate) const MAX_PER_SECOND: u64 =
    ((u64::MAX - 1) as u128 * 1_000_000_000 / HORIZON as u128) as u64;

/// The longest a single unit may take, in ns: about 484 years.
pub(crate) const MAX_NANOS_PER_UNIT: u64 = u64::MAX - HORIZON;

/// Why there is no axis for units, a period and a burst.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RangeError {
    NoUnits,
    NoPeriod,
    NoBurst,
    /// More than [`MAX_PER_SECOND`].
    TooFast,
    /// One unit takes longer than [`MAX_NANOS_PER_UNIT`].
    TooSlow,
    /// The rate fits with a burst of at most `most` units.
    BurstTooLarge {
        most: u64,
    },
}

/// The ratio between units, steps and ns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Scale {
    pub(crate) steps_per_unit: u64,
    /// The rate in lowest terms: `units` per `period` ns.
    pub(crate) units: u64,
    pub(crate) period: u64,
}

/// A quota's axis: from ns to steps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Axis {
    pub(crate) scale: Scale,
    /// Steps per ns, in fixed point: `whole + (fraction_high << 64 | fraction_low) / 2^128`.
    pub(crate) whole: u64,
    pub(crate) fraction_high: u64,
    pub(crate) fraction_low: u64,
}

impl Axis {
    /// The axis of a quota that does not exist: it earns nothing, and a unit has 0 steps. Only a
    /// [bucket](super::bucket::Bucket::ABSENT) that is never shown uses it.
    pub(super) const ABSENT: Axis = Axis {
        scale: Scale {
            steps_per_unit: 0,
            units: 0,
            period: 1,
        },
        whole: 0,
        fraction_high: 0,
        fraction_low: 0,
    };

    /// Chooses the finest axis on which a century of `units` per `period` ns and a bucket of
    /// `burst` units fit.
    pub(crate) const fn new(units: u64, period: u64, burst: u64) -> Result<Axis, RangeError> {
        if units == 0 {
            return Err(RangeError::NoUnits);
        }
        if period == 0 {
            return Err(RangeError::NoPeriod);
        }
        if burst == 0 {
            return Err(RangeError::NoBurst);
        }
        match Scale::new(units, period, burst) {
            Ok(scale) => Ok(Axis::of(scale)),
            Err(unfit) => Err(unfit),
        }
    }

    #[expect(
        clippy::cast_possible_truncation,
        reason = "each quotient has 64 bits, as shown below"
    )]
    const fn of(scale: Scale) -> Axis {
        let period = scale.period as u128;
        let rate = scale.steps_per_unit as u128 * scale.units as u128;
        // Two digits of a long division, the last rounded up. A remainder is at most period - 1,
        // and (period - 1) * 2^64 / period is below 2^64 - 1: so each fits, rounded up too.
        let rest = rate % period;
        let high = (rest << 64) / period;
        let rest = (rest << 64) % period;
        let low = (rest << 64).div_ceil(period);
        Axis {
            scale,
            whole: (rate / period) as u64,
            fraction_high: high as u64,
            fraction_low: low as u64,
        }
    }

    /// Returns `E(now)`: the steps earned by `now`, which is at most [`HORIZON`].
    #[inline]
    pub(crate) const fn earned(&self, now: u64) -> u64 {
        debug_assert!(now <= HORIZON);
        // An exact rate has no fraction. Any other is at least 1 / period > 2^-64.
        if self.fraction_high == 0 {
            return now * self.whole;
        }
        let high = now as u128 * self.fraction_high as u128;
        let low = now as u128 * self.fraction_low as u128;
        now * self.whole + ((high + (low >> 64)) >> 64) as u64
    }
}

impl Scale {
    const fn new(units: u64, period: u64, burst: u64) -> Result<Scale, RangeError> {
        let divisor = greatest_common_divisor(units, period);
        let (units, period) = (units / divisor, period / divisor);

        // Within a step of at most 1 ns: steps_per_unit * units / period >= 1.
        let coarsest = period.div_ceil(units);
        // Of `century + burst <= u64::MAX` steps, solved for steps_per_unit: all in units of
        // 1 / period, as u128. `century` has 126 bits; `burst * period` has 128.
        let century = HORIZON as u128 * units as u128;
        let room = u64::MAX as u128 * period as u128;
        let finest = match century.checked_add(burst as u128 * period as u128) {
            Some(need) => room / need,
            None => 0,
        };
        if finest < coarsest as u128 {
            return Err(Scale::range_error(units, period, coarsest, room));
        }
        // Finer than one step per whole fraction of a unit would add nothing.
        #[expect(
            clippy::cast_possible_truncation,
            reason = "at most the period, which is a u64"
        )]
        let steps_per_unit = if finest < period as u128 {
            finest as u64
        } else {
            period
        };
        Ok(Scale {
            steps_per_unit,
            units,
            period,
        })
    }

    /// Returns what is wrong with a rate and burst for which even the coarsest axis is too fine.
    const fn range_error(units: u64, period: u64, coarsest: u64, room: u128) -> RangeError {
        // coarsest * units is below period + units, so this has at most 64 + 1 + 62 bits.
        let century = HORIZON as u128 * (coarsest as u128 * units as u128);
        // Even this sum, with a burst of one unit, may be beyond 128 bits.
        match century.checked_add(coarsest as u128 * period as u128) {
            Some(need) if need <= room => {
                #[expect(clippy::cast_possible_truncation, reason = "room / period is a u64")]
                let most = ((room - century) / (coarsest as u128 * period as u128)) as u64;
                RangeError::BurstTooLarge { most }
            }
            _ if coarsest == 1 => RangeError::TooFast,
            _ => RangeError::TooSlow,
        }
    }

    /// Compares how long a unit takes to be earned.
    pub(crate) fn cmp_slowness(&self, other: &Scale) -> Ordering {
        self.rate(1).cmp_slowness(&other.rate(1))
    }

    /// Returns the rate, whose units and period are these times those of the lowest terms.
    pub(super) const fn rate(&self, times: u64) -> Rate {
        Rate {
            units: self.units * times,
            period: self.period * times,
        }
    }

    /// Returns the scale on which nothing is rounded, if a bucket of `burst` units fits on it. It need not
    /// have room for a century, so it is not for an axis.
    pub(super) const fn finest(self, burst: u64) -> Scale {
        if burst.checked_mul(self.period).is_none() {
            return self;
        }
        Scale {
            steps_per_unit: self.period,
            ..self
        }
    }

    /// Returns `E(now)` as [`Axis::earned`] does, by a division.
    #[inline]
    pub(crate) const fn earned(&self, now: u64) -> u64 {
        if self.steps_per_unit == self.period {
            return now * self.units;
        }
        // A step is at most 1 ns, so `whole` is at least 1. It fits, as `now * rate` does at the horizon.
        let rate = self.steps_per_unit as u128 * self.units as u128;
        let period = self.period as u128;
        let (whole, rest) = (rate / period, rate % period);
        #[expect(clippy::cast_possible_truncation, reason = "a century fits in 64 bits")]
        let earned = (now as u128 * whole + now as u128 * rest / period) as u64;
        earned
    }

    /// Returns the ns in which `n` units are earned, at most 2^64 - 1.
    pub(crate) const fn time_to_earn(&self, n: u64) -> u64 {
        let time = (n as u128 * self.period as u128).div_ceil(self.units as u128);
        if time > u64::MAX as u128 {
            return u64::MAX;
        }
        #[expect(clippy::cast_possible_truncation, reason = "compared above")]
        let time = time as u64;
        time
    }

    /// Returns the first ns at which `E` has reached `step`.
    ///
    /// `floor(t * rate) >= step` if and only if `t * rate >= step`, as `step` is whole.
    #[inline]
    pub(crate) const fn time_of(&self, step: u64) -> u64 {
        if self.steps_per_unit == self.period {
            return step.div_ceil(self.units);
        }
        let rate = self.steps_per_unit as u128 * self.units as u128;
        #[expect(clippy::cast_possible_truncation, reason = "a step is at most 1 ns")]
        let time = (step as u128 * self.period as u128).div_ceil(rate) as u64;
        time
    }
}

const fn greatest_common_divisor(mut a: u64, mut b: u64) -> u64 {
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: u64 = 60_000_000_000;

    #[test]
    fn a_unit_of_whole_nanoseconds_has_one_step_per_nanosecond() {
        for (units, period) in [(100, MINUTE), (10, 1_000_000_000), (1, HORIZON)] {
            let axis = Axis::new(units, period, 1).unwrap();
            assert_eq!(
                (axis.whole, axis.fraction_high, axis.fraction_low),
                (1, 0, 0)
            );
            assert_eq!(axis.earned(HORIZON), HORIZON);
        }
    }

    #[test]
    fn earned_is_the_exact_floor_at_the_ends_of_every_step() {
        for (units, period) in [
            (7, MINUTE),
            (65_525, 1_000_000_000),
            (501, 1_000),
            (u64::MAX, u64::MAX - 1),
        ] {
            let axis = Axis::new(units, period, 10).unwrap();
            let rate = axis.scale.steps_per_unit as u128 * axis.scale.units as u128;
            for now in [
                0,
                1,
                2,
                3,
                999,
                MINUTE,
                MINUTE + 1,
                HORIZON / 2,
                HORIZON - 1,
                HORIZON,
            ] {
                let low = axis.earned(now) as u128;
                // rate / period may need more than 128 bits with `now`: compare by parts.
                let (whole, rest) = (
                    rate / axis.scale.period as u128,
                    rate % axis.scale.period as u128,
                );
                let exact = now as u128 * whole + now as u128 * rest / axis.scale.period as u128;
                assert_eq!(low, exact, "{units} per {period} at {now}");
                assert_eq!(axis.scale.earned(now), axis.earned(now));
            }
        }
    }

    #[test]
    fn what_has_no_axis_is_an_error_that_says_why() {
        assert_eq!(Axis::new(u64::MAX, 1, 1), Err(RangeError::TooFast));
        assert_eq!(Axis::new(1, u64::MAX, 1), Err(RangeError::TooSlow));
        assert_eq!(Axis::new(1, u64::MAX, u64::MAX), Err(RangeError::TooSlow));
        let result = Axis::new(u64::MAX, u64::MAX - 1, u64::MAX);
        assert!(matches!(result, Err(RangeError::BurstTooLarge { .. })));
        let Err(RangeError::BurstTooLarge { most }) = Axis::new(7, MINUTE, u64::MAX) else {
            panic!("a burst of 2^64 - 1 was taken");
        };
        assert!(Axis::new(7, MINUTE, most).is_ok());
        assert_eq!(
            Axis::new(7, MINUTE, most + 1),
            Err(RangeError::BurstTooLarge { most })
        );
    }

    #[test]
    fn time_of_is_the_first_nanosecond_that_has_earned_the_step() {
        for (units, period) in [
            (7, MINUTE),
            (300_000_000, 1_000_000_000),
            (1, MINUTE),
            (4, 1),
        ] {
            let axis = Axis::new(units, period, 1).unwrap();
            for step in [1, 2, 3, 1_000_001, HORIZON / 2] {
                let time = axis.scale.time_of(step);
                assert!(axis.earned(time) >= step);
                assert!(axis.earned(time - 1) < step);
            }
        }
    }
}
