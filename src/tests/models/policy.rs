//! Law 7 under a race: a policy of two quotas spends from both or from none.

use super::super::{KEY, UNIT, ask, drain, limiter, model, quota};
use crate::Quota;

/// The first quota has room for both askers, the second for one: what the refused one leaves
/// untouched shows in the first.
#[test]
fn a_refusal_by_one_quota_spends_from_neither() {
    model(|| {
        let (limiter, _) = limiter([Quota::per_hour(5), quota(3)]);
        let (one, other) = (ask(&limiter, 2), ask(&limiter, 3));
        let spent = one.join().unwrap() + other.join().unwrap();
        assert!(spent == 2 || spent == 3);
        let [hour, second] = *limiter.peek(KEY).quotas();
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
        // The unit of the refill is lost if nobody took the one before it in time.
        assert!(spent == 1 || spent == 2);
        let [hour, second] = *limiter.peek(KEY).quotas();
        assert_eq!((hour.remaining(), second.remaining()), (2 - spent, 0));
    });
}
