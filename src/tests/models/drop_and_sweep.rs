//! The sweeping thread: it forgets invisibly, and it ends when the limiter is dropped.

use super::super::{KEY, UNIT, model, quota};
use crate::{ManualClock, Quota, RateLimiter};

/// loom reports a thread that never ends, a lost bell among them, as a deadlock, and what the
/// limiter shares with its thread, if it is never freed, as a leak.
#[test]
fn dropping_the_limiter_ends_the_thread_wherever_it_is() {
    model(|| {
        let (limiter, clock) = swept(quota(1));
        assert!(limiter.allow(KEY));
        clock.advance(UNIT);
        drop(limiter);
    });
}

#[test]
fn a_check_against_the_automatic_sweep_mints_and_loses_nothing() {
    model(|| {
        let (limiter, clock) = swept(quota(2));
        assert!(limiter.check_n(KEY, 2).is_allowed());
        clock.advance(2 * UNIT);
        assert_eq!(limiter.check_n(KEY, 1).remaining(), 1);
        assert_eq!(limiter.check_n(KEY, 1).remaining(), 0);
        assert!(!limiter.allow(KEY));
    });
}

/// A limiter with a sweeping thread, and the clock that moves it.
fn swept(quota: Quota) -> (RateLimiter<Vec<u8>>, ManualClock) {
    let clock = ManualClock::new();
    let builder = RateLimiter::builder(quota).clock(clock.clone());
    (builder.sweep_every(UNIT).build(), clock)
}
