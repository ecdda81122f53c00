//! Laws 1 and 2 under a race: no unit is spent twice, and none is withheld.

use super::super::{UNIT, ask, drain, limiter, model, quota};

#[test]
fn two_threads_race_for_one_unit_and_one_gets_it() {
    model(|| {
        let (limiter, _) = limiter(quota(1));
        let (one, other) = (ask(&limiter, 1), ask(&limiter, 1));
        assert_eq!(one.join().unwrap() + other.join().unwrap(), 1);
        assert_eq!(limiter.len(), 1);
    });
}

#[test]
fn three_threads_race_for_the_last_unit_across_a_refill() {
    model(|| {
        let (limiter, clock) = limiter(quota(1));
        assert!(limiter.allow(super::super::KEY));
        let (one, other) = (ask(&limiter, 1), ask(&limiter, 1));
        clock.advance(UNIT);
        let own = drain(&limiter);
        let raced = one.join().unwrap() + other.join().unwrap();
        // A thread that looked too early leaves the unit to another.
        assert_eq!(raced + own + drain(&limiter), 1);
    });
}

/// The stalled caller and the denial. A thread that read the clock before the refill, and decided after
/// another spent from it, would miss the unit that is there at every instant of its call.
#[test]
fn no_thread_is_denied_while_a_unit_is_there() {
    model(|| {
        let (limiter, clock) = limiter(quota(2));
        assert!(limiter.allow(super::super::KEY));
        let stalled = ask(&limiter, 1);
        clock.advance(UNIT);
        assert!(limiter.allow(super::super::KEY));
        assert_eq!(stalled.join().unwrap(), 1);
    });
}

#[test]
fn peek_sees_no_denial_while_a_unit_is_there() {
    model(|| {
        let (limiter, clock) = limiter(quota(2));
        assert!(limiter.allow(super::super::KEY));
        let peeking = {
            let limiter = crate::sync::Arc::clone(&limiter);
            loom::thread::spawn(move || limiter.peek(super::super::KEY).is_allowed())
        };
        clock.advance(UNIT);
        assert!(limiter.allow(super::super::KEY));
        assert!(peeking.join().unwrap());
    });
}
