//! Cases 33 to 35: several quotas as one decision.

mod common;

use std::{
    sync::atomic::{AtomicU64, Ordering},
    thread,
    time::Duration,
};

use common::cases::{
    DAY, HOUR, MINUTE, Numbers, SECOND, by_hand, earned, nanos, quota, rounds, time_of,
};
use common::oracle::{Oracle, answer};
use tollgate::{Decision, Quota, RateLimiter};

/// Every order of three.
const ORDERS: [[usize; 3]; 6] = [
    [0, 1, 2],
    [0, 2, 1],
    [1, 0, 2],
    [1, 2, 0],
    [2, 0, 1],
    [2, 1, 0],
];

/// Each quota's own remaining, in the order of the policy.
fn parts<const N: usize>(limiter: &RateLimiter<u64, N>, key: u64) -> Vec<u64> {
    let decision = limiter.peek_n(&key, 0);
    let remaining = decision.quotas().iter().map(|quota| quota.remaining());
    remaining.collect()
}

/// Case 33. governor's users, layers in a stack, Envoy: the first quota is spent when the second
/// one refuses.
#[test]
fn a_refusal_by_any_quota_spends_from_none() {
    let quotas = [
        Quota::per_second(10).burst(4),
        Quota::per_minute(6).burst(6),
        Quota::per_day(24).burst(9),
    ];
    for order in ORDERS {
        let (limiter, time) = by_hand::<u64, 3>(order.map(|index| quotas[index]));
        let left = |of: [u64; 3]| order.map(|index| of[index]);
        assert_eq!(parts(&limiter, 0), left([4, 6, 9]));

        assert!(limiter.check_n(&0, 4).is_allowed());
        assert_eq!(parts(&limiter, 0), left([0, 2, 5]));
        // The fast one refuses.
        for _ in 0..10 {
            assert!(!limiter.allow(&0));
            assert_eq!(parts(&limiter, 0), left([0, 2, 5]));
        }
        // Full again after 0.4 s, when the slow ones have earned 0.04 units and less.
        time.set(SECOND);
        assert!(limiter.check_n(&0, 2).is_allowed());
        time.set(2 * SECOND);
        assert_eq!(parts(&limiter, 0), left([4, 0, 3]));
        // The middle one refuses. Each quota's part is that of its own bucket.
        for n in [1, 2, 4] {
            let denied = limiter.check_n(&0, n);
            assert!(!denied.is_allowed() && !denied.exceeds_burst());
            assert_eq!(parts(&limiter, 0), left([4, 0, 3]));
        }
        // The slow one refuses: 3 are left, and the middle one is full after another minute.
        time.set(2 * MINUTE);
        assert_eq!(parts(&limiter, 0), left([4, 6, 3]));
        for _ in 0..10 {
            assert!(!limiter.check_n(&0, 4).is_allowed());
            assert_eq!(parts(&limiter, 0), left([4, 6, 3]));
        }
        assert!(limiter.check_n(&0, 3).is_allowed());
        assert_eq!(parts(&limiter, 0), left([1, 3, 0]));

        // One can never be met, for the burst of another quota that could.
        time.set(DAY);
        for n in [5, 6, 7, 9, 10] {
            assert!(limiter.check_n(&0, n).exceeds_burst());
            assert_eq!(parts(&limiter, 0), left([4, 6, 9]));
        }
    }
}

/// Case 33. A thousand refusals later, the buckets are those of a key that was never refused.
#[test]
fn refusals_leave_no_trace() {
    let quotas = [
        quota(10, SECOND, 5),
        quota(1, SECOND, 20),
        quota(60, HOUR, 60),
    ];
    let (asked, asked_time) = by_hand::<u64, 3>(quotas);
    let (quiet, quiet_time) = by_hand::<u64, 3>(quotas);
    let mut numbers = Numbers::new(33);
    let mut refused = 0;
    for _ in 0..10_000 {
        let now = asked_time.now() + numbers.below(3 * SECOND / 2);
        asked_time.set(now);
        quiet_time.set(now);
        let n = numbers.below(8);
        let decision = asked.check_n(&0, n);
        if decision.is_allowed() {
            assert_eq!(answer(&quiet.check_n(&0, n)), answer(&decision));
        } else {
            refused += 1;
        }
        let (left, right) = (asked.peek_n(&0, 0), quiet.peek_n(&0, 0));
        for (left, right) in left.quotas().iter().zip(right.quotas()) {
            assert_eq!(left.remaining(), right.remaining());
            assert_eq!(left.reset_after(), right.reset_after());
        }
    }
    assert!((1_000..9_000).contains(&refused), "{refused}");
}

/// Case 34.
#[test]
fn the_numbers_of_a_decision_are_those_of_its_tightest_quotas() {
    let (limiter, time) =
        by_hand::<u64, 2>([Quota::per_second(1).burst(5), Quota::per_minute(6).burst(8)]);
    // Five at once: the first is empty, the second has three. 5 s, and 5 times 10 s.
    let first = limiter.check_n(&0, 5);
    assert_eq!(
        (first.remaining(), first.limit(), first.binding()),
        (0, 5, 0)
    );
    assert_eq!(first.retry_after(), None);
    assert_eq!(first.reset_after(), Duration::from_secs(50));
    assert_eq!(
        Vec::from_iter(first.quotas().iter().map(|quota| quota.remaining())),
        [0, 3]
    );
    let resets = [Duration::from_secs(5), Duration::from_secs(50)];
    assert_eq!(
        Vec::from_iter(first.quotas().iter().map(|quota| quota.reset_after())),
        resets
    );
    assert_eq!(
        Vec::from_iter(first.quotas().iter().map(|quota| quota.limit())),
        [5, 8]
    );

    // Refused by the first only, until it has one.
    let denied = limiter.check(&0);
    assert_eq!(
        (denied.remaining(), denied.limit(), denied.binding()),
        (0, 5, 0)
    );
    assert_eq!(denied.retry_after(), Some(Duration::from_secs(1)));
    let waits = [Some(Duration::from_secs(1)), None];
    assert_eq!(
        Vec::from_iter(denied.quotas().iter().map(|quota| quota.retry_after())),
        waits
    );

    // Four need 4 s of the first, and 10 s of the second: the longer wait binds, though the first
    // has less left.
    let denied = limiter.check_n(&0, 4);
    assert_eq!(
        (denied.remaining(), denied.limit(), denied.binding()),
        (0, 8, 1)
    );
    assert_eq!(denied.retry_after(), Some(Duration::from_secs(10)));
    let waits = [Some(Duration::from_secs(4)), Some(Duration::from_secs(10))];
    assert_eq!(
        Vec::from_iter(denied.quotas().iter().map(|quota| quota.retry_after())),
        waits
    );
    time.set(10 * SECOND - 1);
    assert!(!limiter.check_n(&0, 4).is_allowed());
    time.set(10 * SECOND);
    let allowed = limiter.check_n(&0, 4);
    assert!(allowed.is_allowed());
    assert_eq!(
        (allowed.remaining(), allowed.limit(), allowed.binding()),
        (0, 8, 1)
    );

    // Six the first never holds, and the second would in a minute.
    let never = limiter.check_n(&0, 6);
    assert!(never.exceeds_burst());
    assert_eq!(
        (never.retry_after(), never.limit(), never.binding()),
        (None, 5, 0)
    );
    assert_eq!(
        Vec::from_iter(never.quotas().iter().map(|quota| quota.exceeds_burst())),
        [true, false]
    );
    let waits = [None, Some(Duration::from_secs(60))];
    assert_eq!(
        Vec::from_iter(never.quotas().iter().map(|quota| quota.retry_after())),
        waits
    );
}

/// What does not depend on the order: all but the index itself.
fn of_any_order(decision: &Decision<3>, order: [usize; 3]) -> impl PartialEq + std::fmt::Debug {
    let mut parts = [const { String::new() }; 3];
    for (part, index) in decision.quotas().iter().zip(order) {
        parts[index] = format!("{part:?}");
    }
    let binding = order[decision.binding()];
    (answer(decision), decision.limit(), binding, parts)
}

/// Case 34.
#[test]
fn the_order_of_quotas_makes_no_difference() {
    for quotas in [
        [
            quota(10, SECOND, 5),
            quota(100, MINUTE, 20),
            quota(600, HOUR, 30),
        ],
        [
            quota(7, MINUTE, 7),
            quota(1, SECOND, 7),
            quota(3, SECOND, 12),
        ],
        // Alike but for one of the things that a tie is decided by.
        [
            quota(1, SECOND, 5),
            quota(2, SECOND, 5),
            quota(1, SECOND, 6),
        ],
        [
            quota(60, MINUTE, 5),
            quota(61, MINUTE, 5),
            quota(59, MINUTE, 5),
        ],
    ] {
        let limiters = ORDERS.map(|order| by_hand::<u64, 3>(order.map(|index| quotas[index])));
        let mut numbers = Numbers::new(34);
        let mut allowed = 0;
        for _ in 0..3_000 {
            let (by, n) = (numbers.below(2 * SECOND), numbers.below(14));
            let by = by * (n % 3) / 2;
            let answers = limiters.each_ref().map(|(limiter, time)| {
                time.advance(by);
                limiter.check_n(&0, n)
            });
            let first = of_any_order(&answers[0], ORDERS[0]);
            for (decision, order) in answers.iter().zip(ORDERS) {
                assert_eq!(of_any_order(decision, order), first);
            }
            allowed += usize::from(answers[0].is_allowed());
        }
        assert!((300..2_700).contains(&allowed), "{allowed}");
    }
}

/// Case 34. Against the exact model of three buckets.
#[test]
fn every_number_of_every_decision_is_the_models() {
    for quotas in [
        [
            quota(10, SECOND, 5),
            quota(60, MINUTE, 20),
            quota(600, HOUR, 30),
        ],
        [quota(1, SECOND, 3), quota(1, MINUTE, 9), quota(1, HOUR, 12)],
        [quota(5, 1, 50), quota(1, 1, 90), quota(1, 1_000, 100)],
    ] {
        let scale = time_of(&quotas[0], 3);
        let (limiter, time) = by_hand::<u64, 3>(quotas);
        let mut oracle = Oracle::new(&quotas);
        let mut each = quotas.map(|quota| Oracle::new(&[quota]));
        let mut numbers = Numbers::new(340);
        for _ in 0..5_000 {
            time.advance(numbers.below(scale + 1) * numbers.below(3));
            let n = numbers.below(quotas[0].burst_size() + 2);
            let decision = limiter.check_n(&0, n);
            let expected = oracle.check(time.now(), n);
            assert_eq!(answer(&decision), expected);
            // Each quota's part is the model's of that quota alone, given what all have let pass.
            let spent = if expected.allowed { n } else { 0 };
            for (part, oracle) in decision.quotas().iter().zip(&mut each) {
                let alone = oracle.check(time.now(), spent);
                assert_eq!(part.remaining(), alone.remaining);
                assert_eq!(part.reset_after(), alone.reset_after);
                let mut asked = oracle.clone();
                let wait = asked.check(time.now(), n).retry_after;
                assert_eq!(
                    part.retry_after(),
                    if expected.allowed { None } else { wait }
                );
            }
            let tightest = decision.quotas()[decision.binding()];
            if !expected.never {
                assert_eq!(tightest.retry_after(), expected.retry_after);
            }
            if expected.allowed {
                assert_eq!(tightest.remaining(), expected.remaining);
            }
            assert_eq!(tightest.limit(), decision.limit());
        }
    }
}

/// Case 35. Threads take all they can get at one instant, and that is what the tightest quota has.
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
                // No more than a full bucket, and one that is denied.
                (0..=10).map(|_| u64::from(limiter.allow(&0))).sum()
            },
        );

        let mut oracle = Oracle::new(&quotas);
        let (mut now, mut total) = (0, 0);
        for (step, passed) in steps.iter().zip(passed) {
            now += step;
            // Nobody but the model asks, so that it has what the threads found.
            let there = oracle.check(now, 0).remaining;
            assert_eq!(passed, there);
            assert!(oracle.check(now, passed).allowed);
            total += passed;
            for quota in quotas {
                assert!(total <= quota.burst_size() + earned(&quota, now));
            }
        }
        // 40 in the first seconds, and then 100 a minute until the 300 are gone, 450 s in all.
        assert!((300..40 + 450 * 100 / 60).contains(&total), "{total}");
    }
}

/// Case 35. While the time moves on under them.
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
    // The second has not been full since, so that its account is exact.
    assert_eq!(
        total + rest.quotas()[1].remaining(),
        50 + earned(&quotas[1], now)
    );
    assert!(total <= 5 + earned(&quotas[0], now));
}
