//! The sweeping thread: it forgets invisibly, and it ends when the limiter is dropped.

use super::super::{KEY, SECOND, model};
use crate::{ManualClock, Quota, RateLimiter};

/// loom reports a thread that never ends, a lost bell among them, as a deadlock, and what the
/// limiter shares with its thread, if it is never freed, as a leak.
#[test]
fn dropping_the_limiter_ends_the_thread_wherever_it_is() {
    model(|| {
        let clock = ManualClock::new();
        let limiter = RateLimiter::<u8>::builder(Quota::per_second(1))
            .clock(clock.clone())
            .sweep_every(SECOND)
            .build();
        assert!(limiter.allow(&KEY));
        clock.advance(SECOND);
        drop(limiter);
    });
}

#[test]
fn a_check_against_the_automatic_sweep_mints_and_loses_nothing() {
    model(|| {
        let clock = ManualClock::new();
        let limiter = RateLimiter::<u8>::builder(Quota::per_second(1).burst(2))
            .clock(clock.clone())
            .sweep_every(SECOND)
            .build();
        assert!(limiter.check_n(&KEY, 2).is_allowed());
        clock.advance(2 * SECOND);
        assert_eq!(limiter.check_n(&KEY, 1).remaining(), 1);
        assert_eq!(limiter.check_n(&KEY, 1).remaining(), 0);
        assert!(!limiter.allow(&KEY));
    });
}
