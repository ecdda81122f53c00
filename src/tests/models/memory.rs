//! The memory of refusals: no thread refuses by one that it should know to be over.

use super::super::{KEY, UNIT, drain, limiter, model, quota};
use crate::sync::{Arc, AtomicBool, Ordering};

/// Who is told that the key was forgotten has its bucket full, whatever he was told before.
#[test]
fn whoever_is_told_of_a_forgetting_is_not_refused_from_memory() {
    model(|| {
        let (limiter, _) = limiter(quota(1));
        assert!(limiter.allow(&KEY));
        let told = Arc::new(AtomicBool::new(false));
        let asking = {
            let (limiter, told) = (Arc::clone(&limiter), Arc::clone(&told));
            loom::thread::spawn(move || {
                let first = limiter.allow(&KEY);
                let knows = told.load(Ordering::Acquire);
                let second = limiter.allow(&KEY);
                assert!(!(first && second), "one unit");
                assert!(first || second || !knows, "refused what was there");
            })
        };
        assert!(limiter.forget(&KEY));
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
        assert!(limiter.check_n(&KEY, 2).is_allowed());
        assert!(!limiter.allow(&KEY));
        let forgetting = {
            let limiter = Arc::clone(&limiter);
            loom::thread::spawn(move || limiter.forget(&KEY))
        };
        let told = Arc::new(AtomicBool::new(false));
        let asking = {
            let (limiter, told) = (Arc::clone(&limiter), Arc::clone(&told));
            loom::thread::spawn(move || {
                if limiter.allow(&KEY) {
                    told.store(true, Ordering::Release);
                }
            })
        };
        if told.load(Ordering::Acquire) {
            assert!(limiter.allow(&KEY), "one of two is left");
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
        assert!(limiter.allow(&KEY));
        let asking = {
            let limiter = Arc::clone(&limiter);
            loom::thread::spawn(move || drain(&limiter) + drain(&limiter))
        };
        assert!(!limiter.allow(&KEY));
        clock.advance(UNIT);
        let own = drain(&limiter);
        assert_eq!(asking.join().unwrap() + own + drain(&limiter), 1);
    });
}

/// A key that is forgotten and drained again while a thread is being refused.
#[test]
fn a_memory_from_before_a_forgetting_hides_nothing_after_it() {
    model(|| {
        let (limiter, clock) = limiter(quota(1));
        assert!(limiter.allow(&KEY));
        let asking = {
            let limiter = Arc::clone(&limiter);
            loom::thread::spawn(move || drain(&limiter))
        };
        assert!(limiter.forget(&KEY));
        let own = drain(&limiter);
        assert_eq!(asking.join().unwrap() + own, 1);
        clock.advance(UNIT);
        assert_eq!(drain(&limiter), 1);
    });
}
