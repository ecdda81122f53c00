//! Cases 3 to 5: requests, quotas and times that are too large, and zero.

use std::{panic::catch_unwind, time::Duration};

use tollgate::{Quota, RateLimiter};

use crate::common::cases::{
    CENTURY, DAY, HOUR, MINUTE, SECOND, Time, WEEK, YEAR, by_hand, drain, nanos, quota,
};
use crate::common::oracle::answer;

/// Checks `n` units, more than the burst, of a stored key and of an unknown one.
fn check_too_much(limiter: &RateLimiter<u64>, n: u64) {
    let stored = limiter.len();
    for key in [0, 1] {
        let before = limiter.peek_n(&key, 0);
        for decision in [limiter.check_n(&key, n), limiter.peek_n(&key, n)] {
            assert!(!decision.is_allowed(), "{n} of {}", limiter.policy());
            assert!(decision.exceeds_burst());
            assert_eq!(decision.retry_after(), None);
            assert_eq!(decision.remaining(), before.remaining());
            assert_eq!(decision.reset_after(), before.reset_after());
        }
        assert_eq!(answer(&limiter.peek_n(&key, 0)), answer(&before));
    }
    assert_eq!(limiter.len(), stored, "the unknown key is not stored");
}

/// Cases 3 and 28. gcra deletes the key, which resets its bucket.
#[test]
fn a_request_above_the_burst_is_never_and_changes_nothing() {
    for (units, period, burst) in [
        (1, DAY, 10),
        (100, MINUTE, 10),
        (7, MINUTE, 7),
        (3, SECOND, 1),
        (1, WEEK, 25_000),
        (300_000_000, SECOND, 300),
        (501_000_000, SECOND, 501),
        (4_000_000_000, SECOND, 1 << 40),
        (1, 1, 15_290_984_073_709_551_615),
    ] {
        let quota = quota(units, period, burst);
        let (limiter, time) = by_hand(quota);
        time.set(12_345_678_987_654_321);
        assert!(limiter.check_n(&0, burst.div_ceil(2)).is_allowed());

        // Around every power of two, and where 32 and 64 bits end.
        let powers = (0..64).map(|bit| 1_u64 << bit);
        let around = |n: u64| [n - 1, n, n + 1, n + burst.min(99)];
        let ends = [u64::from(u32::MAX), u64::MAX - 1, u64::MAX, burst + 1];
        let tried = powers.flat_map(around).chain(ends);
        for n in tried.filter(|n| *n > burst) {
            check_too_much(&limiter, n);
        }
        // Nothing was spent.
        assert_eq!(drain(&limiter, 0), burst / 2);
        assert_eq!(drain(&limiter, 1), burst);
    }
}

/// Case 3. Each `n` times the ns of a unit overflows 64 bits, and wraps to less than the bucket
/// holds.
#[test]
fn a_request_made_to_wrap_around_is_never() {
    let (limiter, _) = by_hand(Quota::per_day(1).burst(10));
    assert!(limiter.allow(&0));
    // governor 0.10 admits it in a release build.
    check_too_much(&limiter, 213_505);

    for unit in [
        1_000,
        SECOND / 10,
        SECOND,
        MINUTE / 100,
        MINUTE,
        HOUR,
        DAY,
        WEEK,
        YEAR,
    ] {
        let (limiter, _) = by_hand(quota(1, unit, 10));
        assert!(limiter.check_n(&0, 3).is_allowed());
        let wraps = |bits: u32| {
            let first = (1_u128 << bits).div_ceil(u128::from(unit));
            (first..first + 10).map(|n| u64::try_from(n).unwrap())
        };
        for n in wraps(63).chain(wraps(64)).filter(|n| *n > 10) {
            check_too_much(&limiter, n);
        }
        let n = u64::try_from((1_u128 << 64).div_ceil(u128::from(unit))).unwrap();
        assert!(
            n.wrapping_mul(unit) < 7 * unit,
            "it would pass if it wrapped"
        );
        assert_eq!(drain(&limiter, 0), 7);
    }
}

/// Returns the error of a quota that cannot be made.
fn error(units: u64, period: Duration, burst: u64) -> String {
    Quota::new(units, period, burst).unwrap_err().to_string()
}

/// Case 4. 64 bits hold the steps of a century and of a full bucket. A unit that takes whole ns may
/// have a burst that takes 484 years to refill.
#[test]
fn a_burst_that_takes_centuries_to_refill_is_an_error_with_value_and_bound() {
    let week = Duration::from_secs(604_800);
    assert_eq!(
        error(1, week, u64::from(u32::MAX)),
        "a burst of 4294967295 is too large for 1 units per 604800s; expected at most 25282"
    );
    assert_eq!(
        error(1, nanos(1), u64::MAX),
        "a burst of 18446744073709551615 is too large for 1 units per 1ns; \
         expected at most 15290984073709551615"
    );
    for (units, period, steps_per_nano, steps_per_unit) in [
        (5, 1, 5, 1),
        (2, 1, 2, 1),
        (1, 1, 1, 1),
        (1, 7, 1, 7),
        (1, 600_000_000, 1, 600_000_000),
        (100, MINUTE, 1, MINUTE / 100),
        (1, WEEK, 1, WEEK),
    ] {
        let most = (u64::MAX - CENTURY * steps_per_nano) / steps_per_unit;
        let message = error(units, nanos(period), most + 1);
        let expected = format!("expected at most {most}");
        assert!(message.ends_with(&expected), "{message}");
        assert!(Quota::new(units, nanos(period), most).is_ok());
        let refill = most / steps_per_nano * steps_per_unit;
        assert!(steps_per_nano > 1 || refill >= 484 * YEAR, "{most}");
    }
}

/// Case 4.
#[test]
fn a_rate_or_a_period_out_of_range_is_an_error_with_value_and_bound() {
    assert_eq!(
        error(1, Duration::MAX, 1),
        "a period of 18446744073709551615.999999999s is too long; \
         expected at most 18446744073.709551615s (584 years)"
    );
    // The longest period, and 1 ns more, of a rate that is in range.
    assert!(Quota::new(2, Duration::from_nanos(u64::MAX), 1).is_ok());
    let longer = Duration::from_nanos(u64::MAX) + Duration::from_nanos(1);
    assert!(error(2, longer, 1).starts_with("a period of 18446744073.709551616s is too long"));

    let slowest = Duration::from_nanos(15_290_984_073_709_551_615);
    assert!(Quota::new(1, slowest, 1).is_ok());
    assert_eq!(
        error(1, slowest + Duration::from_nanos(1), 1),
        "1 units per 15290984073.709551616s is too slow; \
         expected at least one unit in 15290984073.709551615s (484 years)"
    );

    let second = Duration::from_secs(1);
    assert!(Quota::new(5_845_420_460, second, 1).is_ok());
    assert_eq!(
        error(5_845_420_461, second, 1),
        "5845420461 units per 1s is too fast; expected at most 5845420460 a second"
    );
    for (units, period) in [
        (u64::MAX, second),
        (u64::MAX, Duration::from_nanos(1)),
        (6, Duration::from_nanos(1)),
    ] {
        assert!(error(units, period, 1).ends_with("expected at most 5845420460 a second"));
    }
    // The rate counts, not the size of its two numbers.
    assert!(Quota::new(u64::MAX, Duration::from_nanos(u64::MAX), 1).is_ok());
    assert!(Quota::new(u64::MAX, Duration::from_nanos(u64::MAX - 1), 1).is_ok());
    assert!(Quota::new(u64::MAX, Duration::from_nanos(u64::MAX), u64::MAX).is_err());
}

/// Case 4.
#[test]
fn the_fastest_rates_are_where_the_documentation_says() {
    // The burst takes room as well: the more, the longer the period is.
    let seconds: fn(u64) -> Quota = Quota::per_second;
    for (make, most) in [
        (seconds, 5_845_420_459),
        (Quota::per_minute, 350_725_220_986),
        (Quota::per_hour, 21_043_489_653_456),
        (Quota::per_day, 505_030_500_840_758),
    ] {
        assert_eq!(make(most).units(), most);
        assert!(catch_unwind(|| make(most + 1)).is_err(), "{most}");
    }
}

/// Case 4.
#[test]
fn quotas_at_the_edge_of_the_range_are_exact() {
    let most = 15_290_984_073_709_551_615;
    let (limiter, time) = by_hand(quota(1, 1, most));
    assert_eq!(drain(&limiter, 0), most);
    assert_eq!(limiter.peek(&0).reset_after(), nanos(most));
    assert_eq!(limiter.peek_n(&0, most).retry_after(), Some(nanos(most)));
    time.set(CENTURY);
    assert_eq!(drain(&limiter, 0), CENTURY);

    // One unit in 484 years: a century earns none.
    let (limiter, time) = by_hand(quota(1, most, 1));
    assert_eq!(drain(&limiter, 0), 1);
    assert_eq!(limiter.check(&0).retry_after(), Some(nanos(most)));
    time.set(CENTURY);
    assert_eq!(drain(&limiter, 0), 0);
    assert_eq!(limiter.check(&0).retry_after(), Some(nanos(most - CENTURY)));

    let (limiter, time) = by_hand(quota(5, 1, 2_667_944_073_709_551_615));
    assert_eq!(drain(&limiter, 0), 2_667_944_073_709_551_615);
    time.set(1);
    assert_eq!(drain(&limiter, 0), 5);
    time.set(CENTURY / 8);
    assert_eq!(drain(&limiter, 0), 5 * (CENTURY / 8 - 1));

    // The largest burst of one a week.
    let (limiter, time) = by_hand(quota(1, WEEK, 25_282));
    assert_eq!(drain(&limiter, 0), 25_282);
    assert_eq!(limiter.peek(&0).reset_after(), nanos(25_282 * WEEK));
    time.set(5_000 * WEEK - 1);
    assert_eq!(drain(&limiter, 0), 4_999);
    time.set(5_000 * WEEK);
    assert_eq!(drain(&limiter, 0), 1);
}

/// Case 4. The numbers of a decision say so. No clock reading panics.
#[test]
fn after_a_century_time_stands_still() {
    let (limiter, time) = by_hand(Quota::per_hour(1).burst(2));
    time.clock.advance(nanos(CENTURY - HOUR));
    assert_eq!(drain(&limiter, 0), 2);
    time.clock.advance(nanos(HOUR - 1));
    assert!(!limiter.allow(&0));
    time.clock.advance(nanos(1));
    assert_eq!(drain(&limiter, 0), 1);

    for _ in 0..3 {
        time.clock.advance(Duration::MAX);
        let denied = limiter.check(&0);
        assert!(!denied.is_allowed());
        assert_eq!(denied.retry_after(), Some(nanos(HOUR)));
        assert_eq!(denied.reset_after(), nanos(2 * HOUR));
        assert_eq!(drain(&limiter, 0), 0);
        assert_eq!(limiter.sweep(), 0, "a key in debt is not forgotten");
    }
    time.clock.rewind(Duration::MAX);
    assert!(!limiter.allow(&0));
}

/// Case 4. A limiter that starts late has a century, too.
#[test]
fn a_limiter_counts_from_its_own_start() {
    let time = Time::new();
    time.set(400 * YEAR);
    let limiter: RateLimiter<u64> = RateLimiter::builder(Quota::per_hour(1).burst(2))
        .clock(time.clock.clone())
        .manual_sweep()
        .build();
    assert_eq!(drain(&limiter, 0), 2);
    time.advance(HOUR - 1);
    assert_eq!(drain(&limiter, 0), 0);
    time.advance(1);
    assert_eq!(drain(&limiter, 0), 1);
    time.set(500 * YEAR);
    assert_eq!(drain(&limiter, 0), 2);
    time.advance(HOUR);
    assert_eq!(drain(&limiter, 0), 0, "its century is over");
}

/// Case 5.
#[test]
fn a_quota_with_a_zero_is_an_error_when_it_is_built() {
    let second = Duration::from_secs(1);
    let units = "a quota of 0 units never earns one; expected at least 1";
    let period = "a period of 0 is no rate; expected at least 1 ns";
    let burst = "a burst of 0 units lets nothing pass; expected at least 1";
    assert_eq!(error(0, second, 1), units);
    assert_eq!(error(1, Duration::ZERO, 1), period);
    assert_eq!(error(1, second, 0), burst);
    assert_eq!(error(0, Duration::ZERO, 0), units);
    assert_eq!(error(1, Duration::ZERO, 0), period);

    type Make = fn() -> Quota;
    let zeros: [(Make, &str); 5] = [
        (|| Quota::per_second(0), units),
        (|| Quota::per_minute(0), units),
        (|| Quota::per_hour(0), units),
        (|| Quota::per_day(0), units),
        (|| Quota::per_second(1).burst(0), burst),
    ];
    for (zero, message) in zeros {
        let panic = catch_unwind(zero).unwrap_err();
        let said = panic.downcast_ref::<String>().map(String::as_str);
        assert_eq!(
            said.or(panic.downcast_ref::<&str>().copied()),
            Some(message)
        );
    }
}

/// Case 5.
#[test]
fn no_units_are_always_allowed_and_spend_nothing() {
    let (limiter, time) = by_hand(Quota::per_minute(60).burst(2));
    for _ in 0..3 {
        let nothing = limiter.check_n(&0, 0);
        assert!(nothing.is_allowed() && !nothing.exceeds_burst());
        assert_eq!(nothing.remaining(), 2);
        assert_eq!(nothing.retry_after(), None);
        assert_eq!(nothing.reset_after(), Duration::ZERO);
    }
    assert!(limiter.is_empty());

    assert_eq!(drain(&limiter, 0), 2);
    for _ in 0..3 {
        let nothing = limiter.check_n(&0, 0);
        assert!(nothing.is_allowed());
        assert_eq!(nothing.remaining(), 0);
        assert_eq!(nothing.reset_after(), nanos(2 * SECOND));
        assert!(limiter.peek_n(&0, 0).is_allowed());
    }
    // It changes neither a unit that is half earned nor a bucket that is full.
    time.set(SECOND / 2);
    assert!(limiter.check_n(&0, 0).is_allowed());
    assert_eq!(limiter.check(&0).retry_after(), Some(nanos(SECOND / 2)));
    time.set(2 * SECOND);
    assert!(limiter.check_n(&0, 0).is_allowed());
    assert_eq!(limiter.sweep(), 1);
}
