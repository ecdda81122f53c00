//! The maintenance thread sweeps: no decision changes, and it ends when the last limiter is dropped.

use std::time::Duration;

use super::super::{KEY, UNIT, model, quota};
use crate::{ManualClock, Quota, RateLimiter};

/// loom reports a thread that never ends, or a lost wake, as a deadlock. It reports what the limiter
/// shares with its thread and never frees as a leak.
#[test]
fn dropping_the_limiter_ends_the_thread_at_any_point() {
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

/// A limiter is dropped while the thread that both share sweeps it or the other.
#[test]
fn a_limiter_is_dropped_while_another_is_swept() {
    model(|| {
        let (dropped, clock) = swept(quota(1));
        let (kept, _) = swept(quota(1));
        assert!(dropped.allow(KEY));
        clock.advance(UNIT);
        let dropping = loom::thread::spawn(move || drop(dropped));
        assert!(kept.allow(KEY));
        dropping.join().unwrap();
    });
}

/// An interval after which the models' time ends, so that one sweep begins.
const ONCE: Duration = Duration::from_millis(600);

/// Returns a limiter that the maintenance thread sweeps, with its clock.
fn swept(quota: Quota) -> (RateLimiter<Vec<u8>>, ManualClock) {
    let clock = ManualClock::new();
    let builder = RateLimiter::builder(quota).clock(clock.clone());
    (builder.sweep_every(ONCE).build(), clock)
}
