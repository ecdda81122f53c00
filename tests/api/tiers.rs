//! Each call of a limiter with tiers, of its builder and of a tier.

use std::{
    collections::{HashSet, hash_map},
    io,
    sync::Arc,
    time::Duration,
};

use tollgate::limit::{Checked, Limit};
use tollgate::{
    Decision, DecisionSource, IntoPolicy, InvalidTier, Policy, Quota, Tier, TieredLimiter,
};

use crate::common::cases::{DAY, HOUR, MINUTE, SECOND, Time, nanos, quota};
use crate::common::threads::wait_until;

/// Makes a limiter that is swept only by a call of `sweep`, and its clock.
pub fn by_hand<const N: usize>(policy: impl IntoPolicy<N>) -> (TieredLimiter<String, N>, Time) {
    let time = Time::new();
    let limiter = TieredLimiter::builder(policy)
        .clock(time.clock.clone())
        .shards(2)
        .manual_sweep()
        .build();
    (limiter, time)
}

pub fn policy<const N: usize>(text: &str) -> Policy<N> {
    text.parse().unwrap()
}

/// Returns the text of an error, which its `Debug` and `dyn Error` show, too.
pub fn message(invalid: &InvalidTier) -> String {
    let message = invalid.to_string();
    assert_eq!(format!("{invalid:?}"), format!("InvalidTier({message:?})"));
    let error: &dyn std::error::Error = invalid;
    assert_eq!(error.to_string(), message);
    message
}

#[test]
fn every_verb_of_a_tier_is_under_its_policy() {
    let (limits, time) = by_hand::<1>(Quota::per_minute(1).burst(2));
    let pro = limits.tier(Quota::per_minute(60).burst(5)).unwrap();
    let free = limits.default_tier();
    assert_eq!(pro.peek("alice").remaining(), 5);
    assert_eq!(free.peek_n("alice", 3).limit(), 2);
    assert!(pro.peek_n("alice", 6).exceeds_burst() && free.peek_n("alice", 3).exceeds_burst());
    assert!(limits.is_empty(), "a peek stores nothing");

    assert!(free.allow("alice"));
    assert_eq!(free.check("alice").remaining(), 0);
    assert!(!free.allow("alice"));
    assert_eq!(limits.len(), 1);
    assert_eq!(free.peek("alice").retry_after(), Some(nanos(MINUTE)));
    assert_eq!(pro.peek("alice").remaining(), 3);
    assert_eq!(pro.check_n("alice", 3).remaining(), 0);
    // Now it is paid at the faster rate.
    assert_eq!(free.check("alice").retry_after(), Some(nanos(4 * SECOND)));
    assert_eq!(pro.check("alice").retry_after(), Some(nanos(SECOND)));
    assert!(pro.check_n("alice", 0).is_allowed());

    assert_eq!(limits.sweep(), 0);
    assert!(free.allow("bob"));
    time.set(5 * SECOND);
    assert_eq!(limits.sweep(), 1);
    assert!(limits.forget("bob") && !limits.forget("bob") && !limits.forget("alice"));
    assert!(limits.is_empty());
    assert_eq!(free.check("bob").remaining(), 1);
}

/// Of the quota as it was given, also where the debt is still paid at another rate.
#[test]
fn a_decision_names_its_tier_and_its_quotas() {
    let (limits, _) = by_hand::<2>(policy::<2>("100/minute; 1000/hour"));
    let small = limits
        .tier(policy::<2>("60/hour burst 3; 1/second burst 2"))
        .unwrap();
    let large = limits.default_tier();
    let decisions = [
        large.check_n("alice", 50),
        small.check("alice"),
        small.peek("alice"),
        large.peek("alice"),
    ];
    for (decision, tier) in decisions.iter().zip([large, &small, &small, large]) {
        assert_eq!(decision.tier(), Some(tier.id()));
        assert_eq!(decision.as_ref().tier(), Some(tier.id()));
        let quotas: Vec<Quota> = decision.quotas().iter().map(|part| part.quota()).collect();
        assert_eq!(quotas, tier.policy().quotas());
        assert_eq!(decision.quotas()[0].limit(), quotas[0].burst_size());
    }
    assert!(!decisions[1].is_allowed());
    // 1/second is nearest to a minute: 47 units are to be paid, at 100 a minute.
    let waits = decisions[1].quotas()[1].time_to_earn(1);
    assert_eq!(waits, Some(nanos(MINUTE / 100)));
    assert_ne!(large.id(), small.id());
}

#[test]
fn a_decision_of_a_tier_names_its_source() {
    let (limits, time) = by_hand::<1>(Quota::per_second(1).burst(1));
    let pro = limits.tier(Quota::per_second(2).burst(1)).unwrap();
    let free = limits.default_tier();
    let source = |tier: &Tier<String>| {
        let decision = tier.check("alice");
        (
            decision.is_allowed(),
            decision.source(),
            decision.tier() == Some(tier.id()),
        )
    };
    assert_eq!(source(free), (true, DecisionSource::Table, true));
    assert_eq!(source(free), (false, DecisionSource::Table, true));
    assert_eq!(source(free), (false, DecisionSource::DeniedCache, true));
    // The cached denial is of the other tier. This one moves the key, which ends what is cached of it.
    assert_eq!(source(&pro), (false, DecisionSource::Table, true));
    assert_eq!(source(&pro), (false, DecisionSource::Table, true));
    assert_eq!(source(&pro), (false, DecisionSource::DeniedCache, true));
    assert_eq!(free.check("alice").retry_after(), Some(nanos(SECOND / 2)));
    time.set(SECOND / 2);
    assert_eq!(source(free), (true, DecisionSource::Table, true));
}

#[test]
fn two_tiers_of_equal_policies_are_replaced_apart() {
    let (limits, _) = by_hand::<1>(Quota::per_minute(10));
    let one = limits.tier(Quota::per_minute(10)).unwrap();
    let other = limits.tier(Quota::per_minute(10)).unwrap();
    let clone = one.clone();
    assert!(one == clone && one != other && &one != limits.default_tier());
    assert_eq!(
        HashSet::from([one.clone(), clone.clone(), other.clone()]).len(),
        2
    );
    assert_eq!((one.id(), one.policy()), (clone.id(), clone.policy()));

    assert_eq!(
        one.replace(Quota::per_minute(20)),
        Ok(Quota::per_minute(10).into())
    );
    assert_eq!(clone.policy(), Quota::per_minute(20).into());
    assert_eq!(other.policy(), Quota::per_minute(10).into());
    assert_eq!(limits.default_tier().policy(), Quota::per_minute(10).into());
    assert_eq!(clone.check("alice").remaining(), 19);
    assert_eq!(other.check("alice").remaining(), 8);
    // The default tier is replaced as any other is.
    let default = limits.default_tier();
    assert_eq!(
        default.replace(Quota::per_minute(5)),
        Ok(Quota::per_minute(10).into())
    );
    assert_eq!(default.check("alice").remaining(), 2);
}

#[test]
fn replacing_a_policy_returns_the_one_before_and_a_clash_keeps_it() {
    let (limits, _) = by_hand::<2>(policy::<2>("10/minute; 60/hour"));
    let tier = limits.tier(policy::<2>("20/minute")).unwrap();
    let two = policy::<2>("5/minute; 6/hour");
    assert_eq!(tier.replace(two), Ok(policy("20/minute")));
    assert_eq!(tier.replace(two), Ok(two));
    let clash = tier
        .replace(policy::<2>("7/minute; 1/second burst 3"))
        .unwrap_err();
    assert_eq!(clash.name(), None);
    assert_eq!(
        message(&clash),
        "\"7/minute\" and \"1/second burst 3\" share a bucket; \
         expected quotas that are nearest to different periods of minute, hour"
    );
    assert_eq!(tier.policy(), two);
    assert_eq!(tier.check("alice").remaining(), 4);
}

#[test]
fn quotas_that_share_a_bucket_are_an_error_that_names_both_and_the_periods() {
    let (limits, _) = by_hand::<3>(policy::<3>("10/minute; 60/hour"));
    let clash = |text: &str| message(&limits.tier(policy::<3>(text)).unwrap_err());
    assert_eq!(
        clash("10/hour; 20/hour burst 5"),
        "\"10/hour\" and \"20/hour burst 5\" are both per hour; \
         expected at most one quota for each period"
    );
    // A policy that is refused takes no bucket: that of two days is still free.
    assert!(clash("1/2 days; 1/hour; 3/hour").contains("both per hour"));
    assert!(
        limits
            .tier(policy::<3>("10/minute; 60/hour; 100/day"))
            .is_ok()
    );
    assert_eq!(
        clash("5/2 days; 6/day"),
        "\"5/2 days\" and \"6/day\" share a bucket; \
         expected quotas that are nearest to different periods of minute, hour, day"
    );
    assert_eq!(
        clash("5/3 seconds; 6/hour; 7/1500 milliseconds"),
        "\"5/3 seconds\" and \"7/1500 milliseconds\" share a bucket; \
         expected quotas that are nearest to different periods of minute, hour, day"
    );
    let padded = limits.tier(policy::<3>("1/s; 2/s")).unwrap_err();
    assert!(format!("{padded:>200}").starts_with("    "));
}

/// The nearest by ratio: 8 minutes are 8 times a minute, and an hour is 7.5 times as much.
#[test]
fn a_later_period_has_the_bucket_of_the_nearest_one_by_ratio() {
    let (limits, _) = by_hand::<2>(policy::<2>("100/minute; 200/hour"));
    let default = limits.default_tier();
    assert!(default.check_n("alice", 50).is_allowed());
    let debt = |period: u64| {
        let tier = limits.tier(Policy::<2>::try_from(&[quota(1, period, 1_000)][..]).unwrap());
        let tier = tier.unwrap();
        assert!(tier.check_n("bob", 1).is_allowed());
        let parts: Vec<u64> = default
            .peek_n("bob", 0)
            .quotas()
            .iter()
            .map(|p| p.remaining())
            .collect();
        limits.forget("bob");
        parts
    };
    let (of_minute, of_hour) = (vec![99, 200], vec![100, 199]);
    assert_eq!(debt(1), of_minute);
    assert_eq!(debt(7 * MINUTE), of_minute);
    assert_eq!(debt(8 * MINUTE), of_hour);
    assert_eq!(debt(DAY), of_hour);
}

#[test]
fn a_builder_gives_periods_buckets_before_the_first_policy() {
    let build = |periods: &[u64]| {
        TieredLimiter::<String, 2>::builder(policy::<2>("10/minute"))
            .manual_sweep()
            .periods(periods.iter().map(|period| nanos(*period)))
            .try_build()
    };
    // A day's quota shares the bucket of the hour, or has that of the day.
    let one = build(&[HOUR]).unwrap();
    assert!(one.tier(policy::<2>("60/hour; 100/day")).is_err());
    let two = build(&[HOUR, DAY]).unwrap();
    assert!(two.tier(policy::<2>("60/hour; 100/day")).is_ok());
    // The minute is nearest to the hour there.
    assert!(two.tier(policy::<2>("10/minute; 60/hour")).is_err());
    // A period that is named twice is one.
    assert!(
        build(&[HOUR, HOUR])
            .unwrap()
            .tier(policy::<2>("60/hour; 1/minute"))
            .is_ok()
    );

    let refused = |periods: &[u64]| {
        let error = build(periods).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
        let invalid = error
            .into_inner()
            .unwrap()
            .downcast::<InvalidTier>()
            .unwrap();
        message(&invalid)
    };
    assert_eq!(
        refused(&[SECOND, MINUTE, HOUR]),
        "found 3 periods, expected at most 2: as many as a key has buckets"
    );
    assert_eq!(
        refused(&[SECOND, 0]),
        "found a period of 0, expected at least 1 ns"
    );
}

#[test]
fn a_first_policy_whose_quotas_share_a_bucket_is_an_error() {
    let builder = || {
        let policy = [Quota::per_minute(10), Quota::per_minute(20)];
        TieredLimiter::<u64, 2>::builder(policy).manual_sweep()
    };
    let error = builder().try_build().unwrap_err();
    let expected = "\"10/minute\" and \"20/minute\" are both per minute; \
                    expected at most one quota for each period";
    assert_eq!(
        (error.kind(), error.to_string()),
        (io::ErrorKind::InvalidInput, expected.into())
    );
    let panic = std::panic::catch_unwind(|| builder().build()).unwrap_err();
    assert_eq!(panic.downcast_ref::<String>().unwrap(), expected);
}

/// A hasher, which changes the type of the builder, changes no other option.
#[test]
fn a_builder_of_tiers_keeps_its_options() {
    let time = Time::new();
    let builder = TieredLimiter::<u64, 2>::builder(policy::<2>("10/minute"))
        .clock(time.clock.clone())
        .shards(5)
        .periods([Duration::from_secs(3_600)])
        .sweep_every(Duration::from_millis(1));
    let before = format!("{builder:?}");
    assert!(before.contains("periods: [3600s]"), "{before}");
    let builder = builder.hasher(hash_map::RandomState::new());
    assert_eq!(format!("{builder:?}"), before);
    let limits = builder.build();
    assert!(limits.default_tier().allow(&7));
    time.set(MINUTE / 10);
    wait_until("a sweep", || limits.is_empty());
}

#[test]
fn a_tier_keeps_the_limiter_alive() {
    let (limits, time) = by_hand::<1>(Quota::per_second(1).burst(2));
    let pro = limits.tier(Quota::per_second(2).burst(3)).unwrap();
    let default = limits.default_tier().clone();
    assert!(default.allow("alice"));
    drop(limits);
    assert_eq!(pro.check("alice").remaining(), 1);
    assert_eq!(
        pro.replace(Quota::per_second(1).burst(4)).unwrap(),
        Quota::per_second(2).burst(3).into()
    );
    drop(default);
    assert_eq!(pro.check("alice").remaining(), 1);
    time.set(SECOND);
    assert_eq!(pro.check("alice").remaining(), 1);
}

/// It goes on being swept, and its keys are dropped with the last tier.
#[test]
fn a_limiter_is_swept_as_long_as_it_has_a_tier() {
    let time = Time::new();
    let limits = TieredLimiter::<Arc<str>>::builder(Quota::per_second(1))
        .clock(time.clock.clone())
        .sweep_every(Duration::from_millis(1))
        .build();
    let key: Arc<str> = Arc::from("alice");
    let tier = limits.default_tier().clone();
    drop(limits);
    assert!(tier.allow(&key));
    assert_eq!(Arc::strong_count(&key), 2);
    time.set(SECOND);
    wait_until("a sweep", || Arc::strong_count(&key) == 1);
    assert!(tier.allow(&key));
    drop(tier);
    wait_until("the key is dropped", || Arc::strong_count(&key) == 1);
}

#[test]
fn no_form_of_a_tier_shows_a_key() {
    let (limits, _) = by_hand::<1>(Quota::per_hour(5).burst(3));
    let tier = limits.default_tier();
    assert!(tier.allow("hunter2-is-a-secret"));
    let named = limits.named([("pro".to_owned(), tier.policy())]).unwrap();
    assert!(named.get("pro").unwrap().allow("hunter2-is-a-secret"));
    let key = tier.key("hunter2-is-a-secret".to_owned());
    for text in [
        format!("{limits:?} {limits:#?}"),
        format!("{tier:?} {tier:#?}"),
        format!("{named:?} {named:#?}"),
        format!("{key:?} {key:#?}"),
        format!("{:?}", tier.check("hunter2-is-a-secret")),
    ] {
        assert!(!text.contains("hunter2"), "{text}");
    }
    let shown = format!("{limits:?}");
    let start = "TieredLimiter { default_tier: Tier { id: TierId(1), policy: Policy([";
    assert!(
        shown.starts_with(start) && shown.ends_with("len: 1, .. }"),
        "{shown}"
    );
    assert!(
        format!("{named:?}").starts_with("{\"pro\": Tier { id: TierId(2), "),
        "{named:?}"
    );
    assert!(
        format!("{key:?}").starts_with("TieredKey { tier: Tier { id: TierId(1), "),
        "{key:?}"
    );
}

#[test]
fn a_key_with_its_tier_is_checked_under_that() {
    fn now<L, Q: ?Sized, const N: usize>(limit: &L, key: &Q, n: u64) -> Decision<N>
    where
        L: Limit<Q, Decision = Decision<N>>,
    {
        match limit.decide(key, n) {
            Checked::Now(decision) => decision,
            _ => panic!("a limiter in memory decides at once"),
        }
    }
    let (limits, _) = by_hand::<1>(Quota::per_minute(10));
    let pro = limits.tier(Quota::per_minute(100)).unwrap();
    let (alice, bob) = (
        pro.key("alice".to_owned()),
        limits.default_tier().key("bob".to_owned()),
    );
    assert!(alice.tier() == &pro && alice.key() == "alice");
    assert!(alice == alice.clone() && alice != bob);
    assert!(alice != limits.default_tier().key("alice".to_owned()));
    assert_eq!(now(&limits, &alice, 1).remaining(), 99);
    assert_eq!(now(&limits, &bob, 2).remaining(), 8);
    // A tier is a limit itself, for all keys.
    assert_eq!(now(&pro, "bob", 1).remaining(), 97);
    assert_eq!(Limit::<str>::quotas(&pro), [Quota::per_minute(100)]);
    pro.replace(Quota::per_minute(50)).unwrap();
    assert_eq!(now(&limits, &alice, 1).remaining(), 48);
    assert_eq!(HashSet::from([alice.clone(), alice, bob]).len(), 2);
}
