//! `forget` under a race: the bucket is full at the instant of the forgetting, and no fuller.

use super::super::{KEY, UNIT, ask, drain, limiter, model, quota};
use crate::sync::Arc;

/// The thread gets its two units only once the key is forgotten, a unit after the start. If it had read
/// the clock earlier, and inserted the key as of then, that unit would be earned again.
#[test]
fn a_stalled_caller_earns_nothing_from_before_the_forgetting() {
    model(|| {
        let (limiter, clock) = limiter(quota(2));
        assert!(limiter.check_n(KEY, 2).is_allowed());
        let stalled = ask(&limiter, 2);
        clock.advance(UNIT);
        assert!(limiter.forget(KEY));
        assert_eq!(stalled.join().unwrap() + drain(&limiter), 2);
        assert_eq!(limiter.len(), 1);
    });
}

/// The forgetting itself may stall, and another thread spend before it is done with the key.
#[test]
fn a_stalled_forgetting_hands_out_one_fresh_burst_and_no_more() {
    model(|| {
        let (limiter, clock) = limiter(quota(2));
        assert!(limiter.check_n(KEY, 2).is_allowed());
        let stalled = ask(&limiter, 2);
        let forgetting = {
            let limiter = Arc::clone(&limiter);
            loom::thread::spawn(move || limiter.forget(KEY))
        };
        clock.advance(2 * UNIT);
        let own = if limiter.check_n(KEY, 2).is_allowed() {
            2
        } else {
            0
        };
        forgetting.join().unwrap();
        // Two are earned meanwhile, and two forgotten.
        let spent = stalled.join().unwrap() + own + drain(&limiter);
        assert!(spent <= 4, "{spent} units");
    });
}

#[test]
fn forgetting_twice_at_once_forgets_one_key() {
    model(|| {
        let (limiter, _) = limiter(quota(1));
        assert!(limiter.allow(KEY));
        let other = {
            let limiter = Arc::clone(&limiter);
            loom::thread::spawn(move || limiter.forget(KEY))
        };
        let own = limiter.forget(KEY);
        assert!(own != other.join().unwrap());
        assert!(limiter.is_empty());
    });
}

/// A thread that inserts the key again has seen it gone, and sees it counted as gone.
#[test]
fn a_key_that_is_forgotten_and_stored_again_counts_once() {
    model(|| {
        let (limiter, _) = limiter(quota(2));
        assert!(limiter.allow(KEY));
        let forgetting = {
            let limiter = Arc::clone(&limiter);
            loom::thread::spawn(move || limiter.forget(KEY))
        };
        assert!(limiter.allow(KEY));
        assert!(limiter.len() <= 1);
        forgetting.join().unwrap();
    });
}
