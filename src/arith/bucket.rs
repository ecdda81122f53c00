//! The arithmetic of one bucket.
//!
//! A bucket is one number, *spent*: the point on the quota's [axis](super::scale) up to which units
//! are spent. `E` stands for the steps earned by now, and `depth` for the burst in steps:
//!
//! ```text
//!            E            spent                   E + depth
//! -----------|--------------|-------------------------|-----> steps
//!             \___ debt ___/ \______ available ______/
//! ```
//!
//! 1. `spent <= E`: the bucket is full. 0, the state of a key never seen, is full at any time.
//! 2. `available = depth - max(0, spent - E)`, in steps.
//! 3. Spending starts at `max(spent, E)`: what was earned while the bucket was full is lost.
//! 4. `spent` never lies beyond `E + depth` at the time it is written. At an earlier time, after the
//!    clock has stepped back, it may. The bucket holds nothing then, and `spent` stays.

use std::{cmp::Ordering, num::NonZeroU64, time::Duration};

use super::scale::{Axis, HORIZON, Scale};

/// The rate and the burst of a bucket, ready to be evaluated.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bucket {
    pub(crate) axis: Axis,
    /// The burst in units.
    pub(crate) burst: u64,
    /// What to multiply the units and the period of the scale by for the rate as it was given.
    pub(crate) times: u64,
    /// The burst in steps.
    pub(crate) depth: u64,
}

/// A rate in units per period, in ns, as it was given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Rate {
    pub(crate) units: u64,
    pub(crate) period: u64,
}

impl Rate {
    /// Compares how long a unit takes to be earned: greater if longer than at the other rate.
    pub(crate) fn cmp_slowness(&self, other: &Rate) -> Ordering {
        let crossed = |one: &Rate, other: &Rate| u128::from(one.period) * u128::from(other.units);
        crossed(self, other).cmp(&crossed(other, self))
    }
}

impl Bucket {
    /// Takes the place of a quota that a policy does not have. It earns nothing, owes nothing, and
    /// every request passes. It needs no branch, as a unit has 0 steps. A view of it must not be read:
    /// that divides by the steps of a unit.
    pub(crate) const ABSENT: Bucket = Bucket {
        axis: Axis::ABSENT,
        burst: u64::MAX,
        times: 0,
        depth: 0,
    };

    /// `axis` was made for this rate and burst, so that the burst fits in steps.
    pub(crate) const fn new(axis: Axis, rate: Rate, burst: u64) -> Bucket {
        Bucket {
            axis,
            burst,
            times: rate.period / axis.scale.period,
            depth: burst * axis.scale.steps_per_unit,
        }
    }

    /// Returns the rate and the burst, in units, of the quota.
    pub(crate) const fn quota(&self) -> (Rate, u64) {
        (self.axis.scale.rate(self.times), self.burst)
    }

    /// Returns the steps earned by `now`, in ns.
    #[inline]
    pub(crate) fn earned(&self, now: u64) -> u64 {
        self.axis.earned(now)
    }

    /// Whether the bucket is full once `earned` steps are earned.
    #[inline]
    pub(super) fn is_full(&self, spent: u64, earned: u64) -> bool {
        spent <= earned
    }

    /// Whether the bucket holds less than a unit once `earned` steps are earned.
    #[inline]
    pub(super) fn is_exhausted(&self, spent: u64, earned: u64) -> bool {
        // A full bucket holds a unit, so what is earned beyond that makes no difference here.
        spent > earned + (self.depth - self.axis.scale.steps_per_unit)
    }

    /// Whether a full bucket holds `n` units.
    #[inline]
    pub(crate) fn can_hold(&self, n: u64) -> bool {
        n <= self.burst
    }

    /// Returns `spent` after spending `n` units more, or `None` if the bucket holds fewer once
    /// `earned` steps are earned.
    #[inline]
    pub(super) fn try_spend(&self, spent: u64, earned: u64, n: u64) -> Option<u64> {
        if n == 0 {
            return Some(spent);
        }
        if !self.can_hold(n) {
            return None;
        }
        // At most depth, as n is at most the burst. So nothing below can overflow.
        let cost = n * self.axis.scale.steps_per_unit;
        let start = spent.max(earned);
        if start <= earned + (self.depth - cost) {
            Some(start + cost)
        } else {
            None
        }
    }

    /// Returns the bucket as it stands at `now`, when `earned` steps are earned.
    #[inline]
    pub(crate) fn view(&self, spent: u64, earned: u64, now: u64) -> BucketView {
        BucketView {
            scale: self.axis.scale,
            burst: self.burst,
            times: self.times,
            spent,
            earned,
            now,
        }
    }

    /// Returns the bucket as it stands at `now`, with a debt on the axis of another quota, which has this
    /// scale.
    pub(super) fn view_on(&self, scale: Scale, spent: u64, now: u64) -> BucketView {
        let (Rate { units, period }, burst) = self.quota();
        BucketView {
            scale,
            burst,
            times: units,
            spent,
            earned: period,
            now: now | FOREIGN,
        }
    }

    /// Returns the bucket as it stands with a debt of `numerator / denominator` units, rounded up to
    /// whole steps. Its clock ticks in ns.
    pub(crate) fn view_of_debt(&self, numerator: u64, denominator: NonZeroU64) -> BucketView {
        let scale = self.axis.scale.finest(self.burst);
        let steps = u128::from(numerator) * u128::from(scale.steps_per_unit);
        let steps = steps.div_ceil(u128::from(denominator.get()));
        BucketView {
            scale,
            burst: self.burst,
            times: self.times,
            spent: u64::try_from(steps).unwrap_or(u64::MAX),
            earned: 1,
            now: OF_DEBT,
        }
    }

    /// Returns the time in which an empty bucket fills.
    pub(crate) fn fill_time(&self) -> Duration {
        self.view(0, 0, 0).time_to_earn(self.burst)
    }
}

/// A bucket at one instant, in raw numbers. Nothing is divided until a number is needed.
///
/// It is as small as it can be, because every check of a limiter copies one for each quota.
#[derive(Clone, Copy, Debug)]
pub(crate) struct BucketView {
    /// Of the axis that `spent` is on.
    scale: Scale,
    pub(crate) burst: u64,
    /// What to multiply the scale's rate by for the rate as it was given. On a foreign axis: the units of the
    /// quota.
    times: u64,
    spent: u64,
    /// The steps earned by now. On a foreign axis: the period of the quota. Of a debt: a tick of its clock,
    /// in ns, and nothing is earned.
    earned: u64,
    /// With the bit [`FOREIGN`] if the axis is that of another quota. With the bit [`OF_DEBT`] if the bucket
    /// is known by its debt: how long it earns nothing, in ns.
    now: u64,
}

// No time has these bits: a century is less than 2^62 ns.
const FOREIGN: u64 = 1 << 63;
const OF_DEBT: u64 = 1 << 62;

impl BucketView {
    /// Stands where no bucket was looked at. It must not be read.
    pub(crate) const NONE: BucketView = BucketView {
        scale: Axis::ABSENT.scale,
        burst: 0,
        spent: 0,
        now: 0,
        times: 0,
        earned: 0,
    };

    /// Returns the rate of the quota, as it was given.
    pub(crate) fn rate(&self) -> Rate {
        if self.is_foreign() {
            return Rate {
                units: self.times,
                period: self.earned,
            };
        }
        self.scale.rate(self.times)
    }

    /// Returns the whole units in the bucket.
    pub(crate) fn remaining(&self) -> u64 {
        let earned = if self.is_foreign() {
            self.scale.earned(self.now & !FOREIGN)
        } else if self.is_of_debt() {
            0
        } else {
            self.earned
        };
        let debt = self.spent.saturating_sub(earned);
        self.burst
            .saturating_sub(debt.div_ceil(self.scale.steps_per_unit))
    }

    fn is_foreign(&self) -> bool {
        self.now & FOREIGN != 0
    }

    fn is_of_debt(&self) -> bool {
        self.now & OF_DEBT != 0
    }

    /// Returns the bucket of a [debt](Bucket::view_of_debt) on a clock that ticks in `tick` ns and stands for
    /// the next `standstill` ns. Any other bucket is returned unchanged.
    pub(crate) fn on_clock(self, tick: NonZeroU64, standstill: u64) -> BucketView {
        if !self.is_of_debt() {
            return self;
        }
        BucketView {
            earned: tick.get(),
            now: OF_DEBT | standstill.min(HORIZON),
            ..self
        }
    }

    /// Returns the time from now to the first ns at which the bucket holds `n` units, which is at
    /// most the burst.
    pub(crate) fn wait_for(&self, n: u64) -> Duration {
        // The debt at which the bucket holds them. The burst need not fit on an axis that is not its own.
        let debt = (self.burst - n).saturating_mul(self.scale.steps_per_unit);
        self.until(self.spent.saturating_sub(debt))
    }

    /// Compares how long a unit takes to be earned: greater if longer than in the other bucket.
    pub(crate) fn cmp_slowness(&self, other: &BucketView) -> Ordering {
        self.scale.cmp_slowness(&other.scale)
    }

    /// Returns the time in which `n` units are earned. At most 584 years.
    pub(crate) fn time_to_earn(&self, n: u64) -> Duration {
        Duration::from_nanos(self.scale.time_to_earn(n))
    }

    /// Returns the time from now to the first ns at which the bucket is full.
    pub(crate) fn wait_until_full(&self) -> Duration {
        self.until(self.spent)
    }

    fn until(&self, step: u64) -> Duration {
        let time = self.scale.time_of(step);
        if !self.is_of_debt() {
            return Duration::from_nanos(time.saturating_sub(self.now & !FOREIGN));
        }
        if step == 0 {
            return Duration::ZERO;
        }
        let (tick, standstill) = (self.earned, self.now & !OF_DEBT);
        let ticks = time.saturating_add(standstill).div_ceil(tick);
        Duration::from_nanos(ticks.saturating_mul(tick))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A slot of a policy without a quota makes no difference to any request, at any time.
    #[test]
    fn an_absent_bucket_denies_nothing_and_is_always_full() {
        let absent = Bucket::ABSENT;
        for now in [0, 1, u64::MAX / 7, crate::arith::scale::HORIZON] {
            let earned = absent.earned(now);
            for n in [0, 1, 1 << 40, u64::MAX] {
                assert_eq!(absent.try_spend(0, earned, n), Some(0));
                assert!(absent.can_hold(n));
            }
            assert!(absent.is_full(0, earned));
            assert!(!absent.is_exhausted(0, earned));
        }
    }
}
