//! A clock that tests move.

use std::{fmt, time::Duration};

use super::nanos;
use crate::sync::{Arc, AtomicU64, Ordering};

/// A clock that stands still until a test moves it.
///
/// Clones share their time.
///
/// ```
/// use std::time::Duration;
/// use tollgate::{ManualClock, Quota, RateLimiter};
///
/// let clock = ManualClock::new();
/// let limiter: RateLimiter<String> =
///     RateLimiter::builder(Quota::per_minute(60).burst(1)).clock(clock.clone()).build();
///
/// assert!(limiter.allow("alice"));
/// assert!(!limiter.allow("alice"));
/// clock.advance(Duration::from_secs(1));
/// assert!(limiter.allow("alice"));
/// assert_eq!(clock.now(), Duration::from_secs(1));
/// ```
// A move releases and a read acquires. So a thread that reads the moved time also sees what the
// test did before the move. Decisions rely on this only across a step back (see `Timer`).
#[derive(Clone)]
pub struct ManualClock(Arc<AtomicU64>);

impl ManualClock {
    /// Creates a clock that stands at zero.
    #[must_use]
    pub fn new() -> ManualClock {
        ManualClock(Arc::new(AtomicU64::new(0)))
    }

    /// Returns the time since zero.
    #[must_use]
    pub fn now(&self) -> Duration {
        Duration::from_nanos(self.nanos())
    }

    /// Moves the time forward, at most to 584 years (2^64 - 1 ns) after zero.
    pub fn advance(&self, by: Duration) {
        self.shift(|now| now.saturating_add(nanos(by)));
    }

    /// Moves the time back, at most to zero, to test what a step back does.
    ///
    /// The time of a limiter then [stands still or counts on](crate::Clock#a-step-back).
    pub fn rewind(&self, by: Duration) {
        self.shift(|now| now.saturating_sub(nanos(by)));
    }

    fn shift(&self, to: impl Fn(u64) -> u64) {
        let moved = self
            .0
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, |now| Some(to(now)));
        debug_assert!(moved.is_ok(), "the update always returns Some");
    }

    #[inline]
    pub(super) fn nanos(&self) -> u64 {
        self.0.load(Ordering::Acquire)
    }
}

impl Default for ManualClock {
    fn default() -> ManualClock {
        ManualClock::new()
    }
}

impl fmt::Debug for ManualClock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ManualClock").field(&self.now()).finish()
    }
}
