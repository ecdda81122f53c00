//! A debt that is carried from the axis of one quota to that of another.
//!
//! A bucket stays on its axis, and is paid at that rate, until a check under another quota moves it.
//! What is carried is the debt in units, rounded up to a step of the new axis:
//!
//! ```text
//! spent' = E'(now) + ceil(debt * S' / S)        S, S': steps per unit
//! ```
//!
//! 1. A debt is never rounded down, and by less than a step. So moves at one instant, however many,
//!    give nothing away.
//! 2. A whole number of units stays one: `ceil` rounds no debt beyond its next whole unit. So no move
//!    changes what remains.
//! 3. An allowed check always fits: the debt and its cost are at most the new burst, which the new
//!    axis has room for.
//! 4. A denied check moves a debt only if that pays it sooner, and the caller cannot lose by it.

use std::cmp::Ordering;

use super::bucket::{Bucket, BucketView};
use super::scale::Scale;

/// What a bucket lacks to be full at some time.
#[derive(Clone, Copy)]
pub(super) struct Debt {
    /// On the axis of `scale`.
    steps: u64,
    spent: u64,
    scale: Scale,
}

impl Debt {
    /// Returns the debt of a bucket that is spent up to `spent`, on its own axis, at `now`.
    pub(super) fn of(bucket: &Bucket, spent: u64, now: u64) -> Debt {
        Debt {
            steps: spent.saturating_sub(bucket.earned(now)),
            spent,
            scale: bucket.axis.scale,
        }
    }

    /// Whether a bucket of `burst` units that owes this holds `n` units.
    pub(super) fn leaves(&self, burst: u64, n: u64) -> bool {
        let room = |units: u64| u128::from(units) * u128::from(self.scale.steps_per_unit);
        burst
            .checked_sub(n)
            .is_some_and(|units| u128::from(self.steps) <= room(units))
    }

    /// Returns the point up to which `to` is spent if it owes this and `n` units more, which it holds.
    pub(super) fn moved(&self, to: &Bucket, now: u64, n: u64) -> u64 {
        // As many steps as a full bucket has at most, and those fit beside a century of earning.
        #[expect(
            clippy::cast_possible_truncation,
            reason = "at most the burst in steps"
        )]
        let steps = self.steps_on(&to.axis.scale) as u64;
        to.earned(now) + steps + n * to.axis.scale.steps_per_unit
    }

    /// Returns the point up to which `to` is spent if it owes this, if that pays the next whole unit
    /// sooner.
    pub(super) fn sooner(&self, to: &Bucket, now: u64) -> Option<u64> {
        let (old, new) = (&self.scale, &to.axis.scale);
        if new.cmp_slowness(old) != Ordering::Less {
            return None;
        }
        // Each axis has less than 2^64 steps of debt left once the next whole unit is paid.
        let units = self.steps.div_ceil(old.steps_per_unit).saturating_sub(1);
        let spent = u128::from(to.earned(now)) + self.steps_on(new);
        let spent = u64::try_from(spent).ok()?;
        let old_due = old.time_of(self.spent - units * old.steps_per_unit);
        let new_due = new.time_of(spent - units * new.steps_per_unit);
        (new_due < old_due).then_some(spent)
    }

    /// Returns a bucket that owes this, on the axis as it stands.
    pub(super) fn view(&self, bucket: &Bucket, now: u64) -> BucketView {
        if self.steps == 0 {
            return bucket.view(0, 0, now);
        }
        bucket.view_on(self.scale, self.spent, now)
    }

    /// Returns the debt on another axis, rounded up.
    fn steps_on(&self, scale: &Scale) -> u128 {
        if self.steps == 0 {
            return 0;
        }
        let steps = u128::from(self.steps) * u128::from(scale.steps_per_unit);
        steps.div_ceil(u128::from(self.scale.steps_per_unit))
    }
}
