//! Time that a test moves.

use std::{fmt, time::Duration};

use super::nanos;
use crate::sync::{Arc, AtomicU64, Ordering};

/// Time moved by hand, for tests of code that limits.
///
/// Clones share their time. It stands still until it is moved.
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
// Advancing releases and reading acquires, so that what a test did before it moved the time has
// happened for each thread that sees the time moved. Decisions rely on it only across a step back
// (`Timer`).
#[derive(Clone)]
pub struct ManualClock(Arc<AtomicU64>);

impl ManualClock {
    /// Returns a clock that stands at zero.
    #[must_use]
    pub fn new() -> ManualClock {
        ManualClock(Arc::new(AtomicU64::new(0)))
    }

    /// Returns the time since zero.
    #[must_use]
    pub fn now(&self) -> Duration {
        Duration::from_nanos(self.nanos())
    }

    /// Moves the time on, at most to 584 years (2^64 - 1 ns) after zero.
    pub fn advance(&self, by: Duration) {
        self.shift(|now| now.saturating_add(nanos(by)));
    }

    /// Moves the time back, at most to zero: to see what a clock that steps back does.
    ///
    /// For a limiter on this clock, time [stands still or counts on](crate::Clock#a-step-back).
    pub fn rewind(&self, by: Duration) {
        self.shift(|now| now.saturating_sub(nanos(by)));
    }

    fn shift(&self, to: impl Fn(u64) -> u64) {
        let moved = self
            .0
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, |now| Some(to(now)));
        debug_assert!(moved.is_ok(), "the update always answers Some");
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
