//! The cache of denied keys: no thread denies from an entry that it should know to be invalid.

use super::super::{KEY, Limiter, UNIT, ask, drain, limiter, model, quota};
use crate::sync::{Arc, AtomicBool, Ordering};

/// Starts a thread that acts, and then tells that it has.
fn and_tell(
    limiter: &Limiter<1>,
    act: impl FnOnce(&Limiter<1>) + 'static,
) -> (loom::thread::JoinHandle<()>, Arc<AtomicBool>) {
    let told = Arc::new(AtomicBool::new(false));
    let (limiter, tells) = (Arc::clone(limiter), Arc::clone(&told));
    let thread = loom::thread::spawn(move || {
        act(&limiter);
        tells.store(true, Ordering::Release);
    });
    (thread, told)
}

/// A thread that is told that a key was forgotten finds its bucket full, whatever it saw before.
#[test]
fn a_thread_that_is_told_of_a_forgetting_is_not_denied_from_the_cache() {
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

/// So does a thread that is told by another that found the key forgotten, though the forgetting itself
/// may not have returned.
#[test]
fn a_thread_that_is_told_that_a_key_was_found_forgotten_is_not_denied_from_the_cache() {
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

/// Threads that cached their denials check again while the missing unit is earned.
#[test]
fn one_of_two_threads_that_cached_a_denial_gets_the_next_unit() {
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

/// The numbers of a denial are those of one instant. They do not mix a time after the forgetting with a
/// state from before it.
#[test]
fn a_cached_denial_is_from_before_the_forgetting() {
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

/// One thread forgets the key, one is denied and caches that, and one has cached it before.
#[test]
fn a_forgetting_reaches_a_thread_that_caches_and_one_that_has_cached() {
    model(|| {
        let (limiter, _) = limiter(quota(1));
        assert!(limiter.allow(KEY));
        assert!(!limiter.allow(KEY));
        let (forgetting, told) = and_tell(&limiter, |limiter| assert!(limiter.forget(KEY)));
        let asking = ask(&limiter, 1);
        let knows = told.load(Ordering::Acquire);
        let own = u64::from(limiter.allow(KEY));
        let other = asking.join().unwrap();
        forgetting.join().unwrap();
        assert!(own + other <= 1, "one unit");
        assert!(own + other == 1 || !knows, "denied what was there");
        assert_eq!(own + other + drain(&limiter), 1);
    });
}

/// The key earns a unit, and is forgotten. A thread whose clock is behind, by less than the timer's lag,
/// would still find the old state exhausted.
#[test]
fn a_forgetting_reaches_a_thread_whose_clock_is_behind() {
    model(|| {
        let (limiter, clock) = limiter(quota(1));
        assert!(limiter.allow(KEY));
        assert!(!limiter.allow(KEY));
        let (forgetting, told) = and_tell(&limiter, move |limiter| {
            clock.advance(UNIT);
            assert!(limiter.forget(KEY));
            clock.rewind(UNIT / 2);
        });
        if told.load(Ordering::Acquire) {
            assert!(limiter.allow(KEY));
        }
        forgetting.join().unwrap();
    });
}
