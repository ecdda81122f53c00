//! Policies as values, with and without room for more quotas.

use std::{
    collections::{HashMap, HashSet},
    hash::{BuildHasher, DefaultHasher, Hash, Hasher, RandomState},
};

use tollgate::{Policy, Quota, RateLimiter};

use crate::common::cases::by_hand;

#[test]
fn a_policy_is_its_quotas_in_order() {
    let quotas = [Quota::per_minute(10), Quota::per_hour(60)];
    let policy = Policy::from(quotas);
    assert_eq!(policy.quotas(), &quotas);
    assert_eq!(policy, Policy::from(quotas));
    assert_ne!(policy, Policy::from([quotas[1], quotas[0]]));
    assert_eq!(Policy::from(quotas[0]), Policy::from([quotas[0]]));
    assert_eq!(Policy::default(), Policy::from(Quota::default()));
    assert_eq!(
        Policy::default().quotas(),
        &[Quota::per_minute(100).burst(10)]
    );
    assert_eq!(
        format!("{:?}", Policy::from(quotas[0])),
        format!("Policy([{:?}])", quotas[0])
    );
}

#[test]
fn policies_that_are_equal_hash_alike() {
    let seed = RandomState::new();
    let policy = Policy::from([Quota::per_minute(10), Quota::per_hour(60)]);
    let read: Policy<2> = "10/minute; 60/hour".parse().unwrap();
    assert_eq!(policy, read);
    assert_eq!(seed.hash_one(policy), seed.hash_one(read));

    let others = [
        "60/hour; 10/minute",
        "10/minute; 60/hour burst 9",
        "10/minute; 61/hour",
    ];
    let mut names = HashMap::from([(policy, "first")]);
    for other in others {
        assert_eq!(names.insert(other.parse().unwrap(), other), None);
    }
    assert_eq!(names[&read], "first");
    // Two of four random hashes are equal once in 3e18 times.
    let hashes: HashSet<u64> = names.keys().map(|policy| seed.hash_one(policy)).collect();
    assert_eq!(hashes.len(), 4);
}

/// Equal policies hash alike, and a policy of fewer quotas is another.
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

/// No list, text or number shows it.
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

/// A request for more units than any quota could hold exceeds the bursts that there are.
#[test]
fn an_empty_place_admits_no_request_above_a_burst() {
    let (limiter, _) = by_hand::<u64, 3>("5/second".parse::<Policy<3>>().unwrap());
    let never = limiter.check_n(&0, u64::MAX);
    assert!(never.exceeds_burst() && !never.is_allowed());
    assert_eq!((never.limit(), never.binding()), (5, 0));
    assert!(limiter.is_empty());
}

#[test]
fn a_limiter_with_room_is_made_from_a_list() {
    let configured = ["10/minute", "60/hour"].map(|text| text.parse::<Quota>().unwrap());
    let policy = Policy::<4>::try_from(configured.as_slice()).unwrap();
    let limiter: RateLimiter<String, 4> = RateLimiter::builder(policy).manual_sweep().build();
    assert!(limiter.allow("alice"));
    assert_eq!(limiter.policy().quotas(), configured);
}
