//! Cases 9 to 11: what remains, how long to wait, and what no wait helps.

use tollgate::{Quota, RateLimiter};

use crate::common::cases::{
    DAY, HOUR, MINUTE, Numbers, SECOND, Time, WEEK, YEAR, by_hand, drain, earned, nanos, quota,
    time_of,
};
use crate::common::oracle::{Oracle, answer};

/// Case 9.
#[test]
fn remaining_is_what_passes_now_and_never_above_the_burst() {
    for (units, period, burst) in [
        (100, MINUTE, 10),
        (7, SECOND, 7),
        (3, SECOND, 1),
        (300_000_000, SECOND, 30),
        (4_000_000_000, SECOND, 13),
        (1, HOUR, 24),
    ] {
        let quota = quota(units, period, burst);
        let (limiter, time) = by_hand(quota);
        let mut numbers = Numbers::new(units);
        let full = time_of(&quota, burst);
        for _ in 0..1_000 {
            time.advance(numbers.below(full / 4 + 2));
            let n = numbers.below(burst + 2);
            let before = limiter.peek(&0).remaining();
            let decision = limiter.check_n(&0, n);
            assert_eq!(decision.is_allowed(), n <= before);
            let left = if n <= before { before - n } else { before };
            assert_eq!(decision.remaining(), left);
            assert!(before <= burst);
            assert_eq!(decision.limit(), burst);
        }
        // As many single checks pass as remain.
        for _ in 0..50 {
            time.advance(numbers.below(full + 2));
            let remaining = limiter.peek(&0).remaining();
            for left in (0..remaining).rev() {
                assert_eq!(limiter.check(&0).remaining(), left);
            }
            let denied = limiter.check(&0);
            assert_eq!((denied.is_allowed(), denied.remaining()), (false, 0));
        }
    }
}

/// Sees a check of `n` denied, denied again 1 ns before its `retry_after`, and allowed at it.
/// Returns the wait.
fn retries_on_time(limiter: &RateLimiter<u64>, time: &Time, n: u64) -> u64 {
    let denied = limiter.check_n(&0, n);
    assert!(!denied.is_allowed());
    let wait = denied.retry_after().unwrap();
    let wait = u64::try_from(wait.as_nanos()).unwrap();
    time.advance(wait - 1);
    let early = limiter.check_n(&0, n);
    assert!(!early.is_allowed(), "1 ns early, {}", limiter.policy());
    assert_eq!(early.retry_after(), Some(nanos(1)));
    time.advance(1);
    assert!(limiter.check_n(&0, n).is_allowed(), "{}", limiter.policy());
    wait
}

/// Case 10. ratelimit and tokio-rate-limit fail for 971 of the rates from 1 to 1,000 a second.
/// Bucket4j says 3 ns at 3 units per 10 ns, where 0.9 units are there. .NET says one period where
/// two units are missing.
#[test]
fn waiting_for_retry_after_suffices_and_a_nanosecond_less_does_not() {
    let fast = [
        65_525,
        700_000,
        1_000_001,
        7_000_000,
        100_000_001,
        300_000_000,
        501_000_000,
        999_999_937,
        1_000_000_000,
        1_000_000_001,
        4_000_000_000,
        5_845_420_460,
    ];
    let a_second = (1..=1_000).chain(fast).map(|units| (units, SECOND));
    let a_minute = (1..=1_000).map(|units| (units, MINUTE));
    let others = [
        (1, HOUR),
        (7, HOUR),
        (3, DAY),
        (1, WEEK),
        (2, 3),
        (3, 10),
        (1, YEAR),
        (19, 7),
    ];
    for (units, period) in a_second.chain(a_minute).chain(others) {
        let quota = quota(units, period, 5);
        let (limiter, time) = by_hand(quota);
        assert_eq!(drain(&limiter, 0), 5);
        // From an empty bucket at time zero, the wait is the time of the missing units, rounded up.
        for n in [1, 3, 2] {
            let due = time_of(&quota, earned(&quota, time.now()) + n);
            let wait = due - time.now();
            assert_eq!(retries_on_time(&limiter, &time, n), wait, "{quota}");
            drain(&limiter, 0);
        }
        // From any other time, it is tight as well.
        time.advance(time_of(&quota, 6) + 1);
        for n in [1, 5, 2] {
            drain(&limiter, 0);
            retries_on_time(&limiter, &time, n);
        }
    }
}

/// Case 11.
#[test]
fn a_request_above_the_burst_has_no_wait_and_says_so() {
    let (limiter, time) = by_hand(Quota::per_second(10).burst(5));
    let mut oracle = Oracle::new(limiter.policy().quotas());
    for now in [0, SECOND, HOUR, YEAR] {
        time.set(now);
        assert_eq!(
            answer(&limiter.check_n(&0, 5)),
            oracle.check(now, 5),
            "the whole burst"
        );
        for n in [6, 7, 100, u64::MAX] {
            let never = limiter.check_n(&0, n);
            assert!(never.exceeds_burst() && !never.is_allowed());
            assert_eq!(never.retry_after(), None);
            assert_eq!(answer(&never), oracle.check(now, n));
            assert!(limiter.peek_n(&0, n).exceeds_burst());
        }
        // The whole burst can pass later, so it has a wait.
        let later = limiter.check_n(&0, 5);
        assert!(!later.is_allowed() && !later.exceeds_burst());
        assert_eq!(later.retry_after(), Some(nanos(SECOND / 2)));
    }
}
