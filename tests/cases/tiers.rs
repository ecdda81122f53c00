//! Cases 54 to 59: policies that change.

use std::time::Duration;

use tollgate::{DecisionSource, IntoPolicy, Policy, Quota, QuotaDecision, Tier, TieredLimiter};

use crate::common::cases::{
    CENTURY, HOUR, MINUTE, Numbers, SECOND, Time, YEAR, each, nanos, quota,
};

/// Makes a limiter that is swept only by a call of `sweep`, and its clock.
fn by_hand<const N: usize>(policy: impl IntoPolicy<N>) -> (TieredLimiter<u64, N>, Time) {
    let time = Time::new();
    let limiter = TieredLimiter::builder(policy)
        .clock(time.clock.clone())
        .shards(2)
        .manual_sweep()
        .build();
    (limiter, time)
}

fn remaining<const N: usize>(tier: &Tier<u64, N>) -> Vec<u64> {
    each(&tier.peek_n(&0, 0), QuotaDecision::remaining)
}

/// Case 54. Bucket4j ADDITIVE leaves 100 units where 40 were left, and gubernator 90.
#[test]
fn there_and_back_at_one_instant_changes_nothing() {
    let (a, b) = (Quota::per_hour(100), Quota::per_hour(10));
    let (limits, _) = by_hand::<1>(a);
    let (a, b) = (limits.default_tier(), limits.tier(b).unwrap());
    assert!(a.check_n(&0, 60).is_allowed());
    for _ in 0..10 {
        // The debt of 60 is above the burst of 10.
        let denied = b.check(&0);
        assert!(!denied.is_allowed());
        assert_eq!((denied.remaining(), denied.limit()), (0, 10));
        assert_eq!(remaining(a), [40]);
    }
    // The last of 40 units, one by one, each after a visit to the other tier.
    for left in (0..40).rev() {
        assert!(!b.allow(&0));
        assert_eq!(a.check(&0).remaining(), left);
    }
    assert!(!a.allow(&0) && !b.allow(&0));
}

/// Case 54. For bursts and rates of any size, in any order: what is left is what was not spent.
#[test]
fn any_order_of_moves_at_one_instant_changes_nothing() {
    let quotas = [
        quota(100, HOUR, 100),
        quota(10, HOUR, 70),
        quota(7, MINUTE, 1_000),
        quota(300_000_000, SECOND, 50),
        quota(1_000_003, HOUR, 90),
        quota(1, YEAR, 60),
    ];
    let mut numbers = Numbers::new(54);
    for round in 0..200 {
        let (limits, time) = by_hand::<1>(quotas[0]);
        let tiers = quotas.map(|quota| limits.tier(quota).unwrap());
        time.set(numbers.below(YEAR));
        let mut spent = 0;
        for _ in 0..100 {
            let tier = &tiers[numbers.below(6) as usize];
            let n = numbers.below(4);
            if tier.check_n(&0, n).is_allowed() {
                spent += n;
            }
            for (tier, quota) in tiers.iter().zip(quotas) {
                let left = quota.burst_size().saturating_sub(spent);
                assert_eq!(tier.peek(&0).remaining(), left, "round {round}: {quota}");
            }
        }
    }
}

/// Case 55. To carry the debt plainly would make this customer wait for 9,999 h.
#[test]
fn a_downgrade_locks_no_key_out_for_longer_than_reset_after_was() {
    let (limits, time) = by_hand::<1>(Quota::per_hour(100_000));
    let small = limits.tier(Quota::per_hour(10)).unwrap();
    let large = limits.default_tier().check_n(&0, 100_000);
    assert_eq!(large.reset_after(), nanos(HOUR));
    // All but 9 of the debt are paid at the old rate.
    let wait = HOUR / 100_000 * 99_991;
    for _ in 0..10 {
        let denied = small.check(&0);
        assert_eq!(denied.retry_after(), Some(nanos(wait)));
        assert_eq!(denied.reset_after(), nanos(HOUR));
    }
    time.set(wait - 1);
    assert!(!small.allow(&0));
    time.set(wait);
    let allowed = small.check(&0);
    assert!(allowed.is_allowed() && allowed.remaining() == 0);
    // From here on it is paid at the new rate: that unit was there.
    assert_eq!(small.check(&0).retry_after(), Some(nanos(HOUR / 10)));
    time.advance(HOUR / 10);
    assert!(small.allow(&0) && !small.allow(&0));
}

/// Case 56. A debt of 10^15 units would take 10^15 weeks. It neither wraps, nor is it cut to the new burst.
#[test]
fn a_debt_too_large_for_the_new_axis_is_kept_whole() {
    const UNITS: u64 = 1_000_000_000_000_000;
    let large = quota(1_000_000_000, SECOND, 2 * UNITS);
    for start in [0, CENTURY / 2, CENTURY - HOUR] {
        let (limits, time) = by_hand::<1>(large);
        let slow = limits.tier(quota(1, 7 * 24 * HOUR, 1)).unwrap();
        let slow_and_wide = limits.tier(quota(1, HOUR, 4_000_000)).unwrap();
        let large = limits.default_tier();
        time.set(start);
        assert!(large.check_n(&0, UNITS).is_allowed());
        for _ in 0..3 {
            for small in [&slow, &slow_and_wide] {
                let denied = small.check(&0);
                assert!(!denied.is_allowed() && denied.remaining() == 0);
                assert_eq!(denied.reset_after(), nanos(UNITS));
                assert!(small.check_n(&0, u64::MAX).exceeds_burst());
            }
            assert_eq!(remaining(large), [UNITS]);
        }
        // A unit takes 1 ns at the old rate.
        time.advance(1_000);
        assert_eq!(remaining(large), [UNITS + 1_000]);
        assert_eq!(slow.peek(&0).retry_after(), Some(nanos(UNITS - 1_000)));
    }
}

/// Case 56. A faster rate may have more steps to a unit. What does not fit there stays, too.
#[test]
fn a_debt_that_fits_no_faster_axis_stays_where_it_is() {
    // A debt of 400 years. In steps of the faster axis it would have more than 64 bits.
    let slow = quota(1, 10 * SECOND, 1_200_000_000);
    let fast = quota(3, 29 * SECOND, 1);
    let (limits, time) = by_hand::<1>(slow);
    let fast = limits.tier(fast).unwrap();
    time.set(YEAR);
    assert!(
        limits
            .default_tier()
            .check_n(&0, 1_200_000_000)
            .is_allowed()
    );
    let denied = fast.check(&0);
    assert!(!denied.is_allowed());
    assert_eq!(denied.reset_after(), Duration::from_secs(12_000_000_000));
    time.advance(10 * SECOND);
    assert_eq!(remaining(limits.default_tier()), [1]);
}

/// Case 57.
#[test]
fn a_quota_that_is_missing_for_a_while_keeps_its_debt() {
    let two: Policy<2> = "10/minute; 100/hour".parse().unwrap();
    let one: Policy<2> = "10/minute".parse().unwrap();
    let (limits, time) = by_hand::<2>(two);
    let two = limits.default_tier();
    let one = limits.tier(one).unwrap();
    // The hour's quota is used up: 10 units a minute, and 10 more at the start.
    let mut spent = 0;
    loop {
        let decision = two.check(&0);
        assert!(decision.is_allowed());
        spent += 1;
        if decision.quotas()[1].remaining() == 0 {
            break;
        }
        if decision.remaining() == 0 {
            time.advance(MINUTE / 10);
        }
    }
    assert!(spent > 100);
    // Its bucket has not been full since the first unit, and each takes 36 s.
    let full_at = spent * 36 * SECOND;
    let hour_is_full_at =
        || time.now() + u64::try_from(two.peek(&0).quotas()[1].reset_after().as_nanos()).unwrap();
    assert_eq!(hour_is_full_at(), full_at);
    // Under the other policy, only the minute counts, and only that is charged.
    for _ in 0..50 {
        time.advance(MINUTE / 10);
        assert!(one.allow(&0));
        assert_eq!(one.peek(&0).quotas().len(), 1);
    }
    assert_eq!(hour_is_full_at(), full_at);
    let debt = (full_at - time.now()).div_ceil(36 * SECOND);
    assert_eq!(two.peek_n(&0, 0).quotas()[1].remaining(), 100 - debt);
    assert!(debt > 90);
    // A sweep does not forget a key for what the other policy cannot see.
    time.advance(2 * MINUTE);
    assert_eq!(one.peek(&0).reset_after(), Duration::ZERO);
    assert_eq!(limits.sweep(), 0);
    time.set(full_at);
    assert_eq!(limits.sweep(), 1);
}

/// Case 57. The same if the policy of the tier is replaced, and not the tier of the key.
#[test]
fn a_quota_that_is_taken_out_and_put_back_keeps_its_debt() {
    let two: Policy<2> = "10/minute; 100/hour burst 10".parse().unwrap();
    let (limits, time) = by_hand::<2>(two);
    let tier = limits.default_tier();
    assert!(tier.check_n(&0, 10).is_allowed());
    time.set(MINUTE);
    assert_eq!(remaining(tier), [10, 1]);
    tier.replace("10/minute".parse::<Policy<2>>().unwrap())
        .unwrap();
    assert!(tier.check_n(&0, 10).is_allowed());
    // Nothing that the new policy frees may be the hour's quota.
    assert_eq!(limits.sweep(), 0);
    tier.replace(two).unwrap();
    assert_eq!(remaining(tier), [0, 1]);
    time.set(2 * MINUTE);
    assert_eq!(remaining(tier), [10, 3]);
}

/// Case 58. With hookaido, each reload filled every bucket. With tbmq, an edit had no effect for ever.
#[test]
fn a_reload_of_an_equal_policy_changes_nothing() {
    let (limits, time) = by_hand::<1>(Quota::per_minute(60).burst(3));
    let tier = limits.default_tier();
    let config = || {
        [(
            "pro".to_owned(),
            Policy::from(Quota::per_minute(60).burst(3)),
        )]
    };
    let named = limits.named(config()).unwrap();
    assert!(tier.check_n(&0, 3).is_allowed());
    assert!(!tier.allow(&0));
    for step in 0..1_000 {
        time.advance(SECOND / 1_000 - 1);
        assert_eq!(tier.replace(tier.policy()), Ok(tier.policy()));
        assert!(named.reload(config()).unwrap().is_empty());
        // Even what this thread has cached of a denial stays valid.
        let denied = tier.check(&0);
        assert!(!denied.is_allowed(), "step {step}");
        assert_eq!(denied.source(), DecisionSource::DeniedCache);
    }
    assert!(!named.get("pro").unwrap().allow(&0));
    time.set(SECOND);
    assert!(tier.allow(&0) && !tier.allow(&0));
    // An edit acts on the next check.
    assert!(
        named
            .reload([(
                "pro".to_owned(),
                Policy::from(Quota::per_minute(60).burst(5))
            )])
            .is_ok()
    );
    assert_eq!(named.get("pro").unwrap().check(&0).remaining(), 1);
}

/// Case 58. The same for policies that are equal in all but their text: nothing is refilled.
#[test]
fn a_reload_in_a_loop_refills_nothing() {
    let (limits, time) = by_hand::<1>(Quota::per_minute(60).burst(3));
    let tier = limits.default_tier();
    let mut admitted = 0;
    for step in 0..6_000_u64 {
        time.set(step * SECOND / 100);
        let next = match step % 3 {
            0 => Quota::per_second(1).burst(3),
            1 => Quota::per_minute(60).burst(3),
            _ => quota(3_600, HOUR, 3),
        };
        tier.replace(next).unwrap();
        admitted += u64::from(tier.allow(&0));
    }
    // The burst, and one unit a second for 59.99 s.
    assert_eq!(admitted, 3 + 59);
}

/// Case 59. resilience4j ended the task that refills, and the limiter denied for ever.
#[test]
fn a_limit_lowered_below_what_is_available_does_not_stop_refilling() {
    let (limits, time) = by_hand::<1>(Quota::per_second(50));
    let tier = limits.default_tier();
    assert_eq!(tier.check(&0).remaining(), 49);
    tier.replace(Quota::per_second(10)).unwrap();
    let lowered = tier.check_n(&0, 9);
    assert_eq!(lowered.remaining(), 0);
    assert!(!tier.allow(&0));
    for second in 1..=100 {
        time.set(second * SECOND);
        assert_eq!(tier.peek(&0).remaining(), 10);
        assert!(tier.check_n(&0, 10).is_allowed());
        assert_eq!(tier.check(&0).retry_after(), Some(nanos(SECOND / 10)));
    }
}
