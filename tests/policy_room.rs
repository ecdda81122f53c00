//! A policy that has room for more quotas than it has decides as one without room.

mod common;

use std::{
    collections::HashSet,
    hash::{DefaultHasher, Hash, Hasher},
};

use common::cases::{CENTURY, by_hand};
use common::strategies::{self, Step};
use proptest::prelude::*;
use tollgate::{Decision, Policy, Quota, RateLimiter};

/// All numbers of a decision, in words.
fn numbers<const N: usize>(decision: &Decision<N>) -> String {
    let whole = (
        decision.limit(),
        decision.remaining(),
        decision.reset_after(),
    );
    format!("{whole:?} {decision:?}")
}

/// Checks, peeks and sweeps two limiters alike, whose policies differ only in their room.
fn decide_alike<const EXACT: usize, const ROOM: usize>(
    quotas: [Quota; EXACT],
    steps: &[(Step, u8)],
) -> Result<(), TestCaseError> {
    let policy = Policy::<ROOM>::try_from(quotas.as_slice()).unwrap();
    let (exact, exact_time) = by_hand::<u64, EXACT>(quotas);
    let (roomy, roomy_time) = by_hand::<u64, ROOM>(policy);
    for (index, (step, act)) in steps.iter().enumerate() {
        let (elapsed, n) = step.of(&quotas[index % EXACT]);
        let now = exact_time.now().saturating_add(elapsed).min(CENTURY);
        exact_time.set(now);
        roomy_time.set(now);
        let key = u64::from(*act % 3);
        let peeked = (exact.peek_n(&key, n), roomy.peek_n(&key, n));
        prop_assert_eq!(numbers(&peeked.0), numbers(&peeked.1));
        match act % 8 {
            0 => prop_assert_eq!(exact.sweep(), roomy.sweep()),
            1 => prop_assert_eq!(exact.forget(&key), roomy.forget(&key)),
            _ => {
                let (exact, roomy) = (exact.check_n(&key, n), roomy.check_n(&key, n));
                prop_assert_eq!(numbers(&exact), numbers(&roomy));
                prop_assert_eq!(exact.source(), roomy.source());
            }
        }
        prop_assert_eq!(exact.len(), roomy.len());
    }
    Ok(())
}

fn steps() -> impl Strategy<Value = Vec<(Step, u8)>> {
    prop::collection::vec((any::<Step>(), any::<u8>()), 1..60)
}

proptest! {
    #![proptest_config(ProptestConfig {
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn one_quota_with_room_for_four_decides_as_without(
        quota in strategies::quota(),
        steps in steps(),
    ) {
        decide_alike::<1, 4>([quota], &steps)?;
    }

    #[test]
    fn two_quotas_with_room_for_three_decide_as_without(
        quotas in [strategies::quota(), strategies::quota()],
        steps in steps(),
    ) {
        decide_alike::<2, 3>(quotas, &steps)?;
    }
}

/// The empty places are in no list, in no text and in no number.
#[test]
fn an_empty_place_is_shown_nowhere() {
    let policy: Policy<5> = "10/minute; 60/hour".parse().unwrap();
    assert_eq!(
        policy.quotas(),
        [Quota::per_minute(10), Quota::per_hour(60)]
    );
    assert_eq!(policy.to_string(), "10/minute; 60/hour");
    let exact: Policy<2> = "10/minute; 60/hour".parse().unwrap();
    assert_eq!(format!("{policy:?}"), format!("{exact:?}"));
    assert_eq!(policy.fill_time(), exact.fill_time());

    let (limiter, _) = by_hand::<u64, 5>(policy);
    for decision in [
        limiter.peek(&0),
        limiter.check(&0),
        limiter.check_n(&0, 1_000),
    ] {
        assert_eq!(decision.quotas().len(), 2);
        assert!(decision.binding() < 2);
        assert!(!format!("{decision:?}").contains("18446744073709551615"));
    }
}

/// What equals hashes alike, and a policy of fewer quotas is another.
#[test]
fn policies_are_compared_by_the_quotas_that_they_have() {
    let hash = |policy: &Policy<3>| {
        let mut hasher = DefaultHasher::new();
        policy.hash(&mut hasher);
        hasher.finish()
    };
    let one: Policy<3> = "10/minute".parse().unwrap();
    let same = Policy::<3>::try_from(vec![Quota::per_minute(10)]).unwrap();
    let twice: Policy<3> = "10/minute; 10/minute".parse().unwrap();
    assert_eq!((one, hash(&one)), (same, hash(&same)));
    assert_ne!(one, twice);
    assert_eq!(HashSet::from([one, same, twice]).len(), 2);
}

/// A request for more units than any quota could hold is denied by the quotas that there are.
#[test]
fn an_empty_place_lets_no_request_exceed_a_burst() {
    let (limiter, _) = by_hand::<u64, 3>("5/second".parse::<Policy<3>>().unwrap());
    let never = limiter.check_n(&0, u64::MAX);
    assert!(never.exceeds_burst() && !never.is_allowed());
    assert_eq!((never.limit(), never.binding()), (5, 0));
    assert!(limiter.is_empty());
}

/// A key takes 8 bytes for each place, used or not, as `Policy` says.
#[test]
fn a_limiter_with_room_is_made_from_a_list() {
    let configured = ["10/minute", "60/hour"].map(|text| text.parse::<Quota>().unwrap());
    let policy = Policy::<4>::try_from(configured.as_slice()).unwrap();
    let limiter: RateLimiter<String, 4> = RateLimiter::builder(policy).manual_sweep().build();
    assert!(limiter.allow("alice"));
    assert_eq!(limiter.policy().quotas(), configured);
}
