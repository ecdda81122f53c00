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

use super::scale::{Axis, Scale};

/// The rate and the burst of a bucket, ready to be evaluated.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bucket {
    axis: Axis,
    /// The burst in units.
    burst: u64,
    /// The burst in steps.
    depth: u64,
}

impl Bucket {
    /// Takes the place of a quota that a policy does not have. It earns nothing, owes nothing, and
    /// every request passes. It needs no branch, as a unit has 0 steps. A view of it must not be read:
    /// that divides by the steps of a unit.
    pub(crate) const ABSENT: Bucket = Bucket {
        axis: Axis::ABSENT,
        burst: u64::MAX,
        depth: 0,
    };

    /// `burst` is the one that `axis` was made for, so that it fits in steps.
    pub(crate) const fn new(axis: Axis, burst: u64) -> Bucket {
        Bucket {
            axis,
            burst,
            depth: burst * axis.scale.steps_per_unit,
        }
    }

    /// Returns the steps earned by `now`, in ns.
    #[inline]
    pub(super) fn earned(&self, now: u64) -> u64 {
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
    pub(super) fn can_hold(&self, n: u64) -> bool {
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
    pub(super) fn view(&self, spent: u64, earned: u64, now: u64) -> BucketView {
        BucketView {
            scale: self.axis.scale,
            burst: self.burst,
            depth: self.depth,
            spent,
            earned,
            now,
        }
    }

    /// Returns the bucket as it stands with a debt of `numerator / denominator` units, rounded up to
    /// whole steps.
    pub(crate) fn view_of_debt(&self, numerator: u64, denominator: NonZeroU64) -> BucketView {
        let steps = u128::from(numerator) * u128::from(self.axis.scale.steps_per_unit);
        let steps = steps.div_ceil(u128::from(denominator.get()));
        self.view(u64::try_from(steps).unwrap_or(u64::MAX), 0, 0)
    }

    /// Returns the time in which an empty bucket fills.
    pub(crate) fn fill_time(&self) -> Duration {
        self.view(0, 0, 0).time_to_earn(self.burst)
    }
}

/// A bucket at one instant, in raw numbers. Nothing is divided until a number is needed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct BucketView {
    scale: Scale,
    pub(crate) burst: u64,
    depth: u64,
    spent: u64,
    earned: u64,
    now: u64,
}

impl BucketView {
    /// Returns the whole units in the bucket.
    pub(crate) fn remaining(&self) -> u64 {
        let debt = self.spent.saturating_sub(self.earned);
        self.depth.saturating_sub(debt) / self.scale.steps_per_unit
    }

    /// Returns the time from now to the first ns at which the bucket holds `n` units, which is at
    /// most the burst.
    pub(crate) fn wait_for(&self, n: u64) -> Duration {
        let cost = n * self.scale.steps_per_unit;
        // E(t) + depth >= spent + cost
        self.until(self.spent.saturating_sub(self.depth - cost))
    }

    /// Compares how long a unit takes to be earned: greater if longer than in the other bucket.
    pub(crate) fn cmp_slowness(&self, other: &BucketView) -> Ordering {
        self.scale.cmp_slowness(&other.scale)
    }

    /// Returns the time in which `n` units are earned, which is at most the burst.
    pub(crate) fn time_to_earn(&self, n: u64) -> Duration {
        Duration::from_nanos(self.scale.time_of(n * self.scale.steps_per_unit))
    }

    /// Returns the time from now to the first ns at which the bucket is full.
    pub(crate) fn wait_until_full(&self) -> Duration {
        self.until(self.spent)
    }

    fn until(&self, step: u64) -> Duration {
        Duration::from_nanos(self.scale.time_of(step).saturating_sub(self.now))
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
