//! Law 7 under a race: a policy of two quotas spends from both or from none.

use super::super::{KEY, UNIT, ask, drain, limiter, model, quota};
use crate::Quota;
use crate::sync::Arc;

/// The first quota has units for both threads, the second for one. What the denied one leaves unspent
/// shows in the first.
#[test]
fn a_denial_by_one_quota_spends_from_neither() {
    model(|| {
        let (limiter, _) = limiter([Quota::per_hour(5), quota(3)]);
        let (one, other) = (ask(&limiter, 2), ask(&limiter, 3));
        let spent = one.join().unwrap() + other.join().unwrap();
        assert!(spent == 2 || spent == 3);
        let decision = limiter.peek(KEY);
        let (hour, second) = (decision.quotas()[0], decision.quotas()[1]);
        assert_eq!(hour.remaining(), 5 - spent);
        assert_eq!(second.remaining(), 3 - spent);
    });
}

#[test]
fn neither_quota_is_exceeded_while_the_faster_refills() {
    model(|| {
        let (limiter, clock) = limiter([Quota::per_hour(2), quota(1)]);
        let (one, other) = (ask(&limiter, 1), ask(&limiter, 1));
        clock.advance(UNIT);
        let own = drain(&limiter);
        let spent = one.join().unwrap() + other.join().unwrap() + own + drain(&limiter);
        // The unit of the refill is lost if no thread spent the one before it in time.
        assert!(spent == 1 || spent == 2);
        let decision = limiter.peek(KEY);
        let (hour, second) = (decision.quotas()[0], decision.quotas()[1]);
        assert_eq!((hour.remaining(), second.remaining()), (2 - spent, 0));
    });
}

/// A peek locks the shard as a check does: it sees both quotas before the check or after it.
#[test]
fn peeks_beside_a_check_see_all_of_it_or_nothing() {
    model(|| {
        let (limiter, _) = limiter([Quota::per_hour(5), quota(3)]);
        assert!(limiter.allow(KEY));
        let peek = || {
            let limiter = Arc::clone(&limiter);
            loom::thread::spawn(move || {
                let decision = limiter.peek(KEY);
                let (hour, second) = (decision.quotas()[0], decision.quotas()[1]);
                let seen = (hour.remaining(), second.remaining());
                assert!(seen == (4, 2) || seen == (2, 0), "{seen:?}");
            })
        };
        let (one, other) = (peek(), peek());
        assert!(limiter.check_n(KEY, 2).is_allowed());
        one.join().unwrap();
        other.join().unwrap();
    });
}
