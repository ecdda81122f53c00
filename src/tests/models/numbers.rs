//! Keys that are copied at once: one visit of the table suffices.

use super::super::{UNIT, model, quota};
use crate::sync::Arc;
use crate::{ManualClock, RateLimiter};

const KEY: u8 = 7;

#[test]
fn two_threads_race_for_the_first_unit_of_a_number_and_one_gets_it() {
    model(|| {
        let (limiter, _) = limiter(1);
        let other = {
            let limiter = Arc::clone(&limiter);
            loom::thread::spawn(move || limiter.allow(&KEY))
        };
        assert!(limiter.allow(&KEY) != other.join().unwrap());
        assert_eq!(limiter.len(), 1);
    });
}

#[test]
fn a_stalled_caller_mints_nothing_from_a_number_swept_meanwhile() {
    model(|| {
        let (limiter, clock) = limiter(2);
        assert!(limiter.check_n(&KEY, 2).is_allowed());
        let stalled = {
            let limiter = Arc::clone(&limiter);
            loom::thread::spawn(move || u64::from(limiter.check_n(&KEY, 2).is_allowed()) * 2)
        };
        clock.advance(2 * UNIT);
        limiter.sweep();
        let drain = || (0..).find(|_| !limiter.allow(&KEY)).unwrap_or(0);
        let own = drain();
        // Two units are earned meanwhile, for either thread.
        assert_eq!(stalled.join().unwrap() + own + drain(), 2);
    });
}

fn limiter(burst: u64) -> (Arc<RateLimiter<u8>>, ManualClock) {
    let clock = ManualClock::new();
    let builder = RateLimiter::builder(quota(burst)).clock(clock.clone());
    (Arc::new(builder.manual_sweep().build()), clock)
}
