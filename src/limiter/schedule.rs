//! When a limiter is swept.
//!
//! A key may be dropped once its buckets are full. Some thread has to find such keys, and no request
//! should pay for it: the maintenance thread does, in slices, one shard's lock at a time. The
//! alternative, a bounded piece of a sweep on every insert, needs no thread. But it drops nothing
//! once the inserts of a flood are over, which is when memory should shrink, and it adds the scan of
//! a shard to a request. `docs/architecture.md` has what either costs.

use std::time::Duration;

/// When a limiter is swept.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Schedule {
    /// At an interval that suits the policy.
    ByPolicy,
    Every(Duration),
    /// Never by itself.
    Manual,
}

impl Schedule {
    /// Returns the time between two sweeps, if there are any.
    ///
    /// By policy it is half the time in which an empty bucket of the slowest quota fills, at least
    /// 1 s and at most 5 minutes. So a key stays at most half as long again as its debt, and is
    /// visited about three times.
    pub(crate) fn interval(self, fill_time: Duration) -> Option<Duration> {
        match self {
            Schedule::ByPolicy => {
                Some((fill_time / 2).clamp(Duration::from_secs(1), Duration::from_secs(300)))
            }
            Schedule::Every(interval) => Some(interval.max(Duration::from_millis(1))),
            Schedule::Manual => None,
        }
    }
}
