//! Cases 33 to 35: several quotas as one decision.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    thread,
    time::Duration,
};

use tollgate::{Decision, Quota, QuotaDecision, RateLimiter};

use crate::common::cases::{
    DAY, HOUR, MINUTE, Numbers, SECOND, Time, by_hand, each, earned, nanos, quota,
};
use crate::common::oracle::Oracle;
use crate::common::threads::rounds;

/// Every order of three quotas.
const ORDERS: [[usize; 3]; 6] = [
    [0, 1, 2],
    [0, 2, 1],
    [1, 0, 2],
    [1, 2, 0],
    [2, 0, 1],
    [2, 1, 0],
];

/// Case 33. Users of governor, layers in a stack, Envoy: the first quota is spent when the second
/// one denies.
#[test]
fn a_denial_by_any_quota_spends_from_none() {
    let quotas = [
        Quota::per_second(10).burst(4),
        Quota::per_minute(6).burst(6),
        Quota::per_day(24).burst(9),
    ];
    for order in ORDERS {
        let (limiter, time) = by_hand::<u64, 3>(order.map(|index| quotas[index]));
        let left = |of: [u64; 3]| order.map(|index| of[index]);
        let remaining = || each(&limiter.peek_n(&0, 0), QuotaDecision::remaining);
        assert_eq!(remaining(), left([4, 6, 9]));

        assert!(limiter.check_n(&0, 4).is_allowed());
        assert_eq!(remaining(), left([0, 2, 5]));
        // The fast one denies.
        for _ in 0..10 {
            assert!(!limiter.allow(&0));
            assert_eq!(remaining(), left([0, 2, 5]));
        }
        // It is full after 0.4 s, in which the slow ones earn at most 0.04 units.
        time.set(SECOND);
        assert!(limiter.check_n(&0, 2).is_allowed());
        time.set(2 * SECOND);
        assert_eq!(remaining(), left([4, 0, 3]));
        // The middle one denies.
        for n in [1, 2, 4] {
            let denied = limiter.check_n(&0, n);
            assert!(!denied.is_allowed() && !denied.exceeds_burst());
            assert_eq!(remaining(), left([4, 0, 3]));
        }
        // The slow one denies: it has 3 left, and the middle one is full after another minute.
        time.set(2 * MINUTE);
        assert_eq!(remaining(), left([4, 6, 3]));
        for _ in 0..10 {
            assert!(!limiter.check_n(&0, 4).is_allowed());
            assert_eq!(remaining(), left([4, 6, 3]));
        }
        assert!(limiter.check_n(&0, 3).is_allowed());
        assert_eq!(remaining(), left([1, 3, 0]));

        // A request above one burst is never allowed, whatever the other bursts are.
        time.set(DAY);
        for n in [5, 6, 7, 9, 10] {
            assert!(limiter.check_n(&0, n).exceeds_burst());
            assert_eq!(remaining(), left([4, 6, 9]));
        }
    }
}

/// Case 34.
#[test]
fn the_numbers_of_a_decision_are_those_of_its_tightest_quotas() {
    let (limiter, time) =
        by_hand::<u64, 2>([Quota::per_second(1).burst(5), Quota::per_minute(6).burst(8)]);
    // Five at once: the first is empty, and the second has three. They are full in 5 s and 50 s.
    let first = limiter.check_n(&0, 5);
    assert_eq!(
        (first.remaining(), first.limit(), first.binding()),
        (0, 5, 0)
    );
    assert_eq!(first.retry_after(), None);
    assert_eq!(first.reset_after(), Duration::from_secs(50));
    assert_eq!(each(&first, QuotaDecision::remaining), [0, 3]);
    let resets = [Duration::from_secs(5), Duration::from_secs(50)];
    assert_eq!(each(&first, QuotaDecision::reset_after), resets);
    assert_eq!(each(&first, QuotaDecision::limit), [5, 8]);

    // The first denies until it has one.
    let denied = limiter.check(&0);
    assert_eq!(
        (denied.remaining(), denied.limit(), denied.binding()),
        (0, 5, 0)
    );
    assert_eq!(denied.retry_after(), Some(Duration::from_secs(1)));
    let waits = [Some(Duration::from_secs(1)), None];
    assert_eq!(each(&denied, QuotaDecision::retry_after), waits);

    // Four wait 4 s for the first and 10 s for the second. The longer wait binds, though the first
    // has less left.
    let denied = limiter.check_n(&0, 4);
    assert_eq!(
        (denied.remaining(), denied.limit(), denied.binding()),
        (0, 8, 1)
    );
    assert_eq!(denied.retry_after(), Some(Duration::from_secs(10)));
    let waits = [Some(Duration::from_secs(4)), Some(Duration::from_secs(10))];
    assert_eq!(each(&denied, QuotaDecision::retry_after), waits);
    time.set(10 * SECOND - 1);
    assert!(!limiter.check_n(&0, 4).is_allowed());
    time.set(10 * SECOND);
    let allowed = limiter.check_n(&0, 4);
    assert!(allowed.is_allowed());
    assert_eq!(
        (allowed.remaining(), allowed.limit(), allowed.binding()),
        (0, 8, 1)
    );

    // The first never holds six. The second would in a minute.
    let never = limiter.check_n(&0, 6);
    assert!(never.exceeds_burst());
    assert_eq!(
        (never.retry_after(), never.limit(), never.binding()),
        (None, 5, 0)
    );
    assert_eq!(each(&never, QuotaDecision::exceeds_burst), [true, false]);
    let waits = [None, Some(Duration::from_secs(60))];
    assert_eq!(each(&never, QuotaDecision::retry_after), waits);
}

/// Decides under both orders of two quotas. Returns the index in `quotas` of the one that binds.
fn binding(
    quotas: [Quota; 2],
    decide: impl Fn(&RateLimiter<u64, 2>, &Time) -> Decision<2>,
) -> usize {
    let [one, other] = [quotas, [quotas[1], quotas[0]]].map(|quotas| {
        let (limiter, time) = by_hand::<u64, 2>(quotas);
        let decision = decide(&limiter, &time);
        assert_eq!(decision.limit(), quotas[decision.binding()].burst_size());
        decision.binding()
    });
    assert_eq!(one, 1 - other, "the order of {quotas:?} makes a difference");
    one
}

/// Case 34. What binds is what remains least, then what is full last, then what is slower.
#[test]
fn the_tightest_quota_binds_when_allowed_in_either_order() {
    let quotas = [Quota::per_hour(1).burst(5), Quota::per_second(100).burst(4)];
    assert_eq!(binding(quotas, |limiter, _| limiter.check(&0)), 1);
    assert_eq!(binding(quotas, |limiter, _| limiter.check_n(&0, 4)), 1);
    // The fast one is full again, so the slow one has less.
    let later = |limiter: &RateLimiter<u64, 2>, time: &Time| {
        assert!(limiter.check_n(&0, 4).is_allowed());
        time.set(SECOND);
        limiter.check(&0)
    };
    assert_eq!(binding(quotas, later), 0);

    // As much remains in both.
    let quotas = [
        Quota::per_second(100).burst(5),
        Quota::per_second(1).burst(5),
    ];
    assert_eq!(binding(quotas, |limiter, _| limiter.check(&0)), 1);
    // One of two is left, 1 s from full, and one of four, minutes from full.
    let quotas = [Quota::per_second(1).burst(2), Quota::per_minute(1).burst(4)];
    let later = |limiter: &RateLimiter<u64, 2>, time: &Time| {
        assert!(limiter.check_n(&0, 2).is_allowed());
        time.set(2 * SECOND);
        let allowed = limiter.check(&0);
        assert_eq!(each(&allowed, QuotaDecision::remaining), [1, 1]);
        assert_eq!(allowed.reset_after(), nanos(3 * MINUTE - 2 * SECOND));
        allowed
    };
    assert_eq!(binding(quotas, later), 1);

    // Both are full.
    let quotas = [Quota::per_second(2).burst(5), Quota::per_second(1).burst(5)];
    assert_eq!(binding(quotas, |limiter, _| limiter.peek_n(&0, 0)), 1);
    assert_eq!(binding(quotas, |limiter, _| limiter.peek(&0)), 1);
    let equal = [Quota::per_second(1), Quota::per_second(1)];
    let (limiter, _) = by_hand::<u64, 2>(equal);
    assert_eq!(limiter.check(&0).binding(), 0, "the first of equal quotas");
}

/// Case 34. What binds is what can never be met, then the longest wait, then what is full last.
#[test]
fn the_tightest_quota_binds_when_denied_in_either_order() {
    // The fast one is empty. The slow one has one unit.
    let quotas = [
        Quota::per_second(10).burst(3),
        Quota::per_minute(1).burst(4),
    ];
    let denied = |n: u64| {
        move |limiter: &RateLimiter<u64, 2>, _: &Time| {
            assert!(limiter.check_n(&0, 3).is_allowed());
            let denied = limiter.check_n(&0, n);
            assert!(!denied.is_allowed());
            denied
        }
    };
    assert_eq!(binding(quotas, denied(1)), 0);
    assert_eq!(binding(quotas, denied(2)), 1);
    assert_eq!(binding(quotas, denied(3)), 1);
    // Four exceed the burst of the fast one, and five exceed both.
    assert_eq!(binding(quotas, denied(4)), 0);
    assert_eq!(binding(quotas, denied(5)), 0, "the smaller burst");
    let equal_bursts = [
        Quota::per_second(10).burst(3),
        Quota::per_minute(1).burst(3),
    ];
    assert_eq!(binding(equal_bursts, denied(4)), 1, "the last to be full");

    // One a second and one in two: after 2 units, a second and 1 more, both wait a second.
    let quotas = [quota(1, SECOND, 2), quota(1, 2 * SECOND, 3)];
    let denied = |limiter: &RateLimiter<u64, 2>, time: &Time| {
        assert!(limiter.check_n(&0, 2).is_allowed());
        time.set(SECOND);
        assert!(limiter.check(&0).is_allowed());
        let denied = limiter.check(&0);
        let waits = each(&denied, QuotaDecision::retry_after);
        assert_eq!(waits, [Some(nanos(SECOND)); 2]);
        assert_eq!(denied.reset_after(), nanos(5 * SECOND));
        denied
    };
    assert_eq!(binding(quotas, denied), 1);
}

/// Case 35. At one instant the threads together are admitted what the tightest quota has.
#[test]
fn threads_together_exceed_none_of_the_quotas() {
    let quotas = [
        quota(10, SECOND, 10),
        quota(100, MINUTE, 40),
        quota(700, HOUR, 300),
    ];
    for order in ORDERS {
        let (limiter, time) = by_hand::<u64, 3>(order.map(|index| quotas[index]));
        let clock = &time.clock;
        let mut numbers = Numbers::new(35);
        let steps: Vec<u64> = (0..300).map(|_| numbers.below(3 * SECOND)).collect();
        let passed = rounds(
            3,
            steps.len(),
            |round| clock.advance(nanos(steps[round])),
            |_, _| {
                // One check more than a full bucket allows.
                (0..=10).map(|_| u64::from(limiter.allow(&0))).sum()
            },
        );

        let mut oracle = Oracle::new(&quotas);
        let (mut now, mut total) = (0, 0);
        for (step, passed) in steps.iter().zip(passed) {
            now += step;
            // The model has what the threads found.
            let there = oracle.check(now, 0).remaining;
            assert_eq!(passed, there);
            assert!(oracle.check(now, passed).allowed);
            total += passed;
            for quota in quotas {
                assert!(total <= quota.burst_size() + earned(&quota, now));
            }
        }
        // 40 in the first seconds, and then 100 a minute until the 300 are spent. All take 450 s.
        assert!((300..40 + 450 * 100 / 60).contains(&total), "{total}");
    }
}

/// Case 35. The time moves while the threads check.
#[test]
fn threads_together_exceed_none_while_the_time_moves() {
    let quotas = [quota(1_000, SECOND, 5), quota(100, SECOND, 50)];
    let (limiter, time) = by_hand::<u64, 2>(quotas);
    let clock = &time.clock;
    assert!(limiter.check_n(&0, 5).is_allowed());
    let total = AtomicU64::new(5);
    thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                for _ in 0..2_000 {
                    clock.advance(nanos(SECOND / 1_000));
                    for n in [2, 1] {
                        if limiter.check_n(&0, n).is_allowed() {
                            total.fetch_add(n, Ordering::Relaxed);
                        }
                    }
                }
            });
        }
    });
    let now = 3 * 2_000 * (SECOND / 1_000);
    let rest = limiter.peek(&0);
    let total = total.into_inner();
    // The second quota was never full since, so its sum is exact.
    assert_eq!(
        total + rest.quotas()[1].remaining(),
        50 + earned(&quotas[1], now)
    );
    assert!(total <= 5 + earned(&quotas[0], now));
}
