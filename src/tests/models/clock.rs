//! Law 9 under a race: a long step back is counted on from once, and a stall is none.

use std::time::Duration;

use super::super::{KEY, limiter, model};
use crate::Quota;
use crate::sync::Arc;

/// A unit in 10 s.
fn slow() -> Quota {
    Quota::per_minute(6).burst(1)
}

const MILLISECOND: Duration = Duration::from_millis(1);

/// A thread reads the clock, and is off its core for 2 s before it compares: no step back, and no
/// time is credited for it.
#[test]
fn a_thread_that_stalls_beside_the_clock_is_not_taken_for_a_step_back() {
    model(|| {
        let (limiter, clock) = limiter(slow());
        assert!(limiter.allow(KEY));
        let stalled = {
            let limiter = Arc::clone(&limiter);
            loom::thread::spawn(move || assert!(!limiter.allow(KEY)))
        };
        clock.advance(Duration::from_secs(2));
        // Publishes the time.
        assert!(!limiter.peek(KEY).is_allowed());
        stalled.join().unwrap();
        clock.advance(Duration::from_secs(8) - MILLISECOND);
        assert!(!limiter.allow(KEY), "credited for the stall");
        clock.advance(MILLISECOND);
        assert!(limiter.allow(KEY));
    });
}

/// Threads that read the clock before the step, after it, and each at once with the other: time
/// counts on from where it was, once.
#[test]
fn a_long_step_back_is_counted_on_from_once() {
    model(|| {
        let (limiter, clock) = limiter(slow());
        assert!(limiter.allow(KEY));
        clock.advance(Duration::from_secs(5));
        assert!(!limiter.peek(KEY).is_allowed());
        let check = || {
            let limiter = Arc::clone(&limiter);
            loom::thread::spawn(move || assert!(!limiter.allow(KEY)))
        };
        let (one, other) = (check(), check());
        clock.rewind(Duration::from_secs(3));
        assert!(!limiter.allow(KEY));
        one.join().unwrap();
        other.join().unwrap();
        clock.advance(Duration::from_secs(5) - MILLISECOND);
        assert!(!limiter.allow(KEY), "credited for the step");
        clock.advance(MILLISECOND);
        assert!(limiter.allow(KEY), "locked out for longer than the debt");
    });
}
