//! When to forget. What keeps it invisible is that a key's clock is read under the lock that it is
//! dropped under, and the [`Timer`](crate::clock::Timer).
//!
//! # Why a thread
//!
//! A key may be forgotten once its bucket is full. Somebody has to look for such keys, and no
//! request may pay for it: so a thread of the limiter's own does, which sleeps on a condition
//! variable, takes one shard's lock at a time, and ends when the limiter is dropped. The other way,
//! a bounded piece of sweeping on every insert, needs no thread, but it forgets nothing once the
//! inserts of a flood are over, which is when memory is to shrink, and it lays a shard's scan on a
//! request. `benches/README.md` has what either costs.

use std::time::Duration;

/// When keys are forgotten.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Schedule {
    /// As often as suits the policy.
    ByPolicy,
    Every(Duration),
    ByHand,
}

impl Schedule {
    /// The time between two sweeps, if there are to be any.
    ///
    /// By policy, half the time that the slowest quota takes to fill an empty bucket: then no key
    /// outstays its debt by more than half of it, and a key is looked at about three times before
    /// it goes. At least a second and at most five minutes.
    pub(crate) fn interval(self, fill_time: Duration) -> Option<Duration> {
        match self {
            Schedule::ByPolicy => {
                Some((fill_time / 2).clamp(Duration::from_secs(1), Duration::from_secs(300)))
            }
            Schedule::Every(interval) => Some(interval.max(Duration::from_millis(1))),
            Schedule::ByHand => None,
        }
    }
}
