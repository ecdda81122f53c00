//! The memory of refusals: no thread refuses by one that it should know to be over.

use super::super::{KEY, UNIT, drain, limiter, model, quota};
use crate::sync::{Arc, AtomicBool, Ordering};

/// Who is told that the key was forgotten has its bucket full, whatever he was told before.
#[test]
fn whoever_is_told_of_a_forgetting_is_not_refused_from_memory() {
    model(|| {
        let (limiter, _) = limiter(quota(1));
        assert!(limiter.allow(KEY));
        let told = Arc::new(AtomicBool::new(false));
        let asking = {
            let (limiter, told) = (Arc::clone(&limiter), Arc::clone(&told));
            loom::thread::spawn(move || {
                let first = limiter.allow(KEY);
                let knows = told.load(Ordering::Acquire);
                let second = limiter.allow(KEY);
                assert!(!(first && second), "one unit");
                assert!(first || second || !knows, "refused what was there");
            })
        };
        assert!(limiter.forget(KEY));
        told.store(true, Ordering::Release);
        asking.join().unwrap();
    });
}

/// And so has who is told by somebody else that found it forgotten, though the forgetting itself
/// may still be under way.
#[test]
fn whoever_is_told_of_a_key_that_was_found_forgotten_is_not_refused_from_memory() {
    model(|| {
        let (limiter, _) = limiter(quota(2));
        assert!(limiter.check_n(KEY, 2).is_allowed());
        assert!(!limiter.allow(KEY));
        let forgetting = {
            let limiter = Arc::clone(&limiter);
            loom::thread::spawn(move || limiter.forget(KEY))
        };
        let told = Arc::new(AtomicBool::new(false));
        let asking = {
            let (limiter, told) = (Arc::clone(&limiter), Arc::clone(&told));
            loom::thread::spawn(move || {
                if limiter.allow(KEY) {
                    told.store(true, Ordering::Release);
                }
            })
        };
        if told.load(Ordering::Acquire) {
            assert!(limiter.allow(KEY), "one of two is left");
        }
        assert!(forgetting.join().unwrap());
        asking.join().unwrap();
    });
}

/// Threads that remember their refusals, and ask again while the unit that they lack is earned.
#[test]
fn a_unit_that_is_earned_is_got_by_one_of_those_who_remember_its_lack() {
    model(|| {
        let (limiter, clock) = limiter(quota(1));
        assert!(limiter.allow(KEY));
        let asking = {
            let limiter = Arc::clone(&limiter);
            loom::thread::spawn(move || drain(&limiter) + drain(&limiter))
        };
        assert!(!limiter.allow(KEY));
        clock.advance(UNIT);
        let own = drain(&limiter);
        assert_eq!(asking.join().unwrap() + own + drain(&limiter), 1);
    });
}

/// The numbers of a refusal are of one instant: not of a time after the forgetting, and of words
/// from before it.
#[test]
fn a_remembered_refusal_is_as_of_a_time_before_the_forgetting() {
    model(|| {
        let (limiter, clock) = limiter(quota(1));
        assert!(limiter.allow(KEY));
        assert!(!limiter.allow(KEY));
        let forgetting = {
            let limiter = Arc::clone(&limiter);
            loom::thread::spawn(move || {
                assert!(limiter.forget(KEY));
                clock.advance(UNIT / 2);
            })
        };
        let decision = limiter.check(KEY);
        assert!(decision.is_allowed() || decision.retry_after() == Some(UNIT));
        forgetting.join().unwrap();
    });
}
