//! The arithmetic of one quota on one word: pure, with no clock and no atomics.
//!
//! The word of a bucket is the point on the quota's [axis](crate::arith::scale) up to which units are
//! spent. With `E` short for the steps earned by now:
//!
//! ```text
//!            E            word                    E + depth
//! -----------|--------------|-------------------------|-----> steps
//!             \__ in debt _/ \______ available ______/
//! ```
//!
//! 1. `word <= E`: the bucket is full. 0, the word of a key never seen, is full at any time.
//! 2. `available = depth - max(0, word - E)`, in steps; `depth` is the burst.
//! 3. Spending starts at `max(word, E)`: what was earned while the bucket was full is lost.
//! 4. No word ever lies beyond `E + depth` at the time it was written; at an earlier `now`, as
//!    after a step back of time, the bucket holds nothing and the word stands.

use std::{cmp::Ordering, time::Duration};

use crate::arith::scale::{Axis, Scale};
use crate::quota::Quota;

#[derive(Clone, Copy, Debug)]
pub(crate) struct Bucket {
    axis: Axis,
    burst: u64,
    /// The burst in steps.
    depth: u64,
}

impl Bucket {
    pub(crate) const fn new(quota: &Quota) -> Bucket {
        let axis = quota.axis();
        let burst = quota.burst_size();
        Bucket {
            axis,
            burst,
            depth: burst * axis.scale.steps_per_unit,
        }
    }

    /// The steps earned by `now`, in ns.
    #[inline]
    pub(crate) fn earned(&self, now: u64) -> u64 {
        self.axis.earned(now)
    }

    /// Whether the bucket is full once so much is earned.
    #[inline]
    pub(crate) fn is_full(&self, word: u64, earned: u64) -> bool {
        word <= earned
    }

    /// The word after spending `n` units, if the bucket holds as many once so much is earned.
    #[inline]
    pub(crate) fn try_spend(&self, word: u64, earned: u64, n: u64) -> Option<u64> {
        if n == 0 {
            return Some(word);
        }
        if n > self.burst {
            return None;
        }
        // At most depth, as n is at most the burst; so neither line below can overflow.
        let cost = n * self.axis.scale.steps_per_unit;
        let start = word.max(earned);
        if start <= earned + (self.depth - cost) {
            Some(start + cost)
        } else {
            None
        }
    }

    /// All that can be said of it, with what is earned by `now`.
    #[inline]
    pub(crate) fn reading(&self, word: u64, earned: u64, now: u64) -> Reading {
        Reading {
            scale: self.axis.scale,
            burst: self.burst,
            depth: self.depth,
            word,
            earned,
            now,
        }
    }
}

/// A bucket at one instant, in raw numbers: dividing waits until somebody asks.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reading {
    scale: Scale,
    pub(crate) burst: u64,
    depth: u64,
    word: u64,
    earned: u64,
    now: u64,
}

impl Reading {
    /// The whole units in the bucket.
    pub(crate) fn remaining(&self) -> u64 {
        let debt = self.word.saturating_sub(self.earned);
        self.depth.saturating_sub(debt) / self.scale.steps_per_unit
    }

    /// From now to the first ns at which the bucket holds `n` units, which is at most the burst.
    pub(crate) fn wait_for(&self, n: u64) -> Duration {
        let cost = n * self.scale.steps_per_unit;
        // E(t) + depth >= word + cost
        self.until(self.word.saturating_sub(self.depth - cost))
    }

    /// Greater if a unit takes longer to be earned than in the other bucket.
    pub(crate) fn cmp_slowness(&self, other: &Reading) -> Ordering {
        self.scale.cmp_slowness(&other.scale)
    }

    /// The time that this bucket takes to fill from empty.
    pub(crate) fn fill_time(&self) -> Duration {
        self.time_to_earn(self.burst)
    }

    /// The time in which `n` units are earned, which is at most the burst.
    pub(crate) fn time_to_earn(&self, n: u64) -> Duration {
        Duration::from_nanos(self.scale.time_of(n * self.scale.steps_per_unit))
    }

    /// From now to the first ns at which the bucket is full.
    pub(crate) fn wait_until_full(&self) -> Duration {
        self.until(self.word)
    }

    fn until(&self, step: u64) -> Duration {
        Duration::from_nanos(self.scale.time_of(step).saturating_sub(self.now))
    }
}
