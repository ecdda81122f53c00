//! Cases 1 to 11: how the arithmetic of real limiters goes wrong.
//!
//! Expected numbers are of integer arithmetic on the quota: `floor(units * time / period)`.

mod common;

use std::{panic::catch_unwind, time::Duration};

use common::cases::{
    CENTURY, DAY, HOUR, MINUTE, Numbers, SECOND, WEEK, YEAR, by_hand, drain, earned, nanos, quota,
    time_of,
};
use common::oracle::{Oracle, answer};
use tollgate::{Quota, RateLimiter};

/// The rates per second for which a period floored to whole ns, or to thousandths, goes wrong.
const RATES: [u64; 8] = [
    3,
    7,
    60,
    700_000,
    1_000_001,
    300_000_000,
    501_000_000,
    4_000_000_000,
];

fn per_second(rate: u64, burst: u64) -> Quota {
    quota(rate, SECOND, burst)
}

/// Case 1.
#[test]
fn in_a_century_a_key_is_admitted_its_burst_and_every_whole_unit_earned() {
    for rate in RATES {
        let quota = per_second(rate, rate * (30 * YEAR / SECOND));
        let (limiter, time) = by_hand(quota);
        let mut admitted = u128::from(drain(&limiter, 0));
        // Never so far apart that the bucket fills, from a nanosecond to a century.
        for around in [
            1,
            100,
            SECOND,
            MINUTE,
            HOUR,
            DAY,
            WEEK,
            YEAR,
            10 * YEAR,
            25 * YEAR,
            50 * YEAR,
            75 * YEAR,
            99 * YEAR,
            CENTURY - SECOND,
        ] {
            let unit = earned(&quota, around) + 1;
            let due = time_of(&quota, unit);
            assert!(earned(&quota, due - 1) < unit, "1 ns before, it is not due");
            for now in (due - 1)..=(due + 1) {
                if now <= time.now() {
                    continue;
                }
                time.set(now);
                admitted += u128::from(drain(&limiter, 0));
                let whole = u128::from(rate) * u128::from(now) / u128::from(SECOND);
                let burst = u128::from(quota.burst_size());
                assert_eq!(admitted, burst + whole, "{rate}/s at {now} ns");
            }
        }
    }
}

/// Case 1. With a bucket of ordinary size, drained at ten thousand odd times.
#[test]
fn the_total_is_exact_however_irregularly_a_key_is_drained() {
    for rate in RATES {
        let burst = 10 + 3 * rate;
        let quota = per_second(rate, burst);
        let (limiter, time) = by_hand(quota);
        let mut numbers = Numbers::new(rate);
        let mut admitted = drain(&limiter, 0);
        for step in 0..10_000 {
            let most = [2, 1_000, 1_000_000, 3 * SECOND][step % 4];
            time.advance(1 + numbers.below(most));
            admitted += drain(&limiter, 0);
            assert_eq!(
                admitted,
                burst + earned(&quota, time.now()),
                "{rate}/s at {} ns",
                time.now()
            );
        }
    }
}

/// Case 1. Each of the first thousand units comes back in its own nanosecond.
#[test]
fn each_unit_is_earned_at_its_nanosecond_and_not_one_before() {
    for rate in RATES {
        let quota = per_second(rate, 16);
        let (limiter, time) = by_hand(quota);
        let mut admitted = drain(&limiter, 0);
        for unit in 1..=1_000 {
            let due = time_of(&quota, unit);
            // At more than one a ns several are due at once, and others were 1 ns ago.
            if due - 1 > time.now() {
                time.set(due - 1);
                admitted += drain(&limiter, 0);
                assert_eq!(admitted, 16 + earned(&quota, due - 1), "{rate}/s");
                assert!(admitted < 16 + unit);
            }
            time.set(due);
            admitted += drain(&limiter, 0);
            assert_eq!(admitted, 16 + earned(&quota, due), "{rate}/s");
            assert!(admitted >= 16 + unit);
        }
    }
}

/// Case 1. Seen from any other start than the limiter's, the model's total at a time less than
/// 1 ns away; no further after 99 years.
#[test]
fn a_key_that_starts_late_is_admitted_its_total_to_less_than_a_nanosecond() {
    for rate in RATES {
        let quota = per_second(rate, 10 + rate);
        let (limiter, time) = by_hand(quota);
        let mut numbers = Numbers::new(!rate);
        for key in 0..20 {
            let start = key * 5 * YEAR + numbers.below(SECOND);
            time.set(start);
            let mut admitted = drain(&limiter, key);
            assert_eq!(admitted, 10 + rate, "a full bucket");
            for _ in 0..50 {
                time.advance(1 + numbers.below(SECOND));
                admitted += drain(&limiter, key);
                let elapsed = time.now() - start;
                let least = 10 + rate + earned(&quota, elapsed - 1);
                let most = 10 + rate + earned(&quota, elapsed + 1);
                assert!((least..=most).contains(&admitted), "{rate}/s");
                // A unit of whole ns is exact from any start.
                if SECOND.is_multiple_of(rate) {
                    assert_eq!(admitted, 10 + rate + earned(&quota, elapsed), "{rate}/s");
                }
            }
        }
    }
}

/// Polls a key every `step` ns and sees each admission in the very poll in which it is due.
///
/// `start` is a multiple of the period, by when whole units have been earned: only from there is
/// the total the same whatever the start.
fn poll(quota: Quota, start: u64, step: u64, polls: u64) {
    assert_eq!(u128::from(start) % quota.period().as_nanos(), 0);
    let (limiter, time) = by_hand(quota);
    time.set(start);
    let mut admitted = drain(&limiter, 0) - quota.burst_size();
    for poll in 1..=polls {
        time.set(start + poll * step);
        // Until a denial, so that most polls are one.
        while limiter.allow(&0) {
            admitted += 1;
        }
        let due = earned(&quota, poll * step);
        assert_eq!(admitted, due, "{quota}, poll {poll} every {step} ns");
    }
    assert!(admitted >= 2, "a test that sees no two units come back");
}

/// Case 2.
#[test]
fn a_key_polled_every_nanosecond_earns_no_less() {
    poll(per_second(1_000_000, 2), 0, 1, 30_000);
    poll(per_second(700_000, 2), 0, 1, 30_000);
    poll(per_second(1_000_001, 2), 99 * YEAR, 1, 30_000);
    poll(per_second(300_000_000, 2), 0, 1, 30_000);
    poll(per_second(501_000_000, 2), 50 * YEAR, 1, 30_000);
    poll(per_second(4_000_000_000, 8), 0, 1, 5_000);
}

/// Case 2. ratelimit yields half of 1/s when it is polled every 1.999 µs.
#[test]
fn a_slow_key_polled_within_microseconds_carries_its_remainders() {
    poll(per_second(1_000, 2), 0, 1_999, 30_000);
    poll(per_second(1_000, 2), 0, 1_001, 30_000);
    poll(per_second(7_000, 2), 0, 999, 30_000);
    poll(per_second(60, 2), 10 * YEAR, 1_999, 30_000);
    poll(per_second(1_000, 1), 0, 2_000, 20_000);
    poll(quota(7, 60_000_000, 2), YEAR, 1_777, 30_000);
}

/// Case 2. A whole second of it.
#[test]
fn one_a_second_polled_every_1999_nanoseconds_is_one_a_second() {
    let quota = per_second(1, 3);
    let (limiter, time) = by_hand(quota);
    assert_eq!(drain(&limiter, 0), 3);
    let mut admitted = Vec::new();
    while time.now() < SECOND + SECOND / 50 {
        time.advance(1_999);
        if limiter.allow(&0) {
            admitted.push(time.now());
        }
    }
    // 500,251 polls of 1,999 ns are the first to make a second.
    assert_eq!(admitted, [500_251 * 1_999]);
    time.set(2 * SECOND - 1);
    assert!(!limiter.allow(&0));
    time.set(2 * SECOND);
    assert!(limiter.allow(&0));
}

/// Asks for `n`, more than the burst, of a key in debt and of an unknown one.
fn ask_too_much(limiter: &RateLimiter<u64>, n: u64) {
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
    assert_eq!(limiter.len(), stored, "the unknown key is still unknown");
}

/// Case 3.
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

        // Where 32, 31, 63 and 64 bits end, and every power of two on the way.
        let powers = (0..64).map(|bit| 1_u64 << bit);
        let around = |n: u64| [n - 1, n, n + 1, n + burst.min(99)];
        let ends = [u64::from(u32::MAX), u64::MAX - 1, u64::MAX, burst + 1];
        let asked = powers.flat_map(around).chain(ends);
        for n in asked.filter(|n| *n > burst) {
            ask_too_much(&limiter, n);
        }
        // All of it is still there.
        assert_eq!(drain(&limiter, 0), burst / 2);
        assert_eq!(drain(&limiter, 1), burst);
    }
}

/// Case 3. Each n is made so that n times the ns of a unit, in 64 bits, wraps around to what a
/// bucket of 10 holds.
#[test]
fn a_request_made_to_wrap_around_is_never() {
    let (limiter, _) = by_hand(Quota::per_day(1).burst(10));
    assert!(limiter.allow(&0));
    // governor 0.10 admits it in a release build.
    ask_too_much(&limiter, 213_505);

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
            ask_too_much(&limiter, n);
        }
        let n = u64::try_from((1_u128 << 64).div_ceil(u128::from(unit))).unwrap();
        assert!(n.wrapping_mul(unit) < 7 * unit, "it would have passed");
        assert_eq!(drain(&limiter, 0), 7);
    }
}

fn refusal(units: u64, period: Duration, burst: u64) -> String {
    Quota::new(units, period, burst).unwrap_err().to_string()
}

/// Case 4. A century and a full bucket are to fit in 64 bits of ns: 2^64 - 1 less a century is
/// 15,290,984,073,709,551,615, and a week goes into that 25,282 times.
#[test]
fn a_burst_that_takes_centuries_to_refill_is_refused_by_name() {
    let week = Duration::from_secs(604_800);
    assert_eq!(
        refusal(1, week, u64::from(u32::MAX)),
        "a burst of 4294967295 is too large for 1 units per 604800s; expected at most 25282"
    );
    assert!(Quota::new(1, week, 25_283).is_err());
    assert!(Quota::new(1, week, 25_282).is_ok());

    let nanosecond = Duration::from_nanos(1);
    assert_eq!(
        refusal(1, nanosecond, u64::MAX),
        "a burst of 18446744073709551615 is too large for 1 units per 1ns; \
         expected at most 15290984073709551615"
    );
    assert!(Quota::new(1, nanosecond, 15_290_984_073_709_551_616).is_err());
    assert!(Quota::new(1, nanosecond, 15_290_984_073_709_551_615).is_ok());
    // 2^64 - 1 less five centuries.
    assert!(Quota::new(5, nanosecond, 2_667_944_073_709_551_616).is_err());
    assert!(Quota::new(5, nanosecond, 2_667_944_073_709_551_615).is_ok());
}

/// Case 4.
#[test]
fn a_rate_or_a_period_out_of_range_is_refused_by_name() {
    assert_eq!(
        refusal(1, Duration::MAX, 1),
        "a period of 18446744073709551615.999999999s is too long; \
         expected at most 18446744073.709551615s (584 years)"
    );
    // The first ns too long, and the last in range, for a rate that is in range.
    assert!(Quota::new(2, Duration::from_nanos(u64::MAX), 1).is_ok());
    let longer = Duration::from_nanos(u64::MAX) + Duration::from_nanos(1);
    assert!(refusal(2, longer, 1).starts_with("a period of 18446744073.709551616s is too long"));

    let slowest = Duration::from_nanos(15_290_984_073_709_551_615);
    assert!(Quota::new(1, slowest, 1).is_ok());
    assert_eq!(
        refusal(1, slowest + Duration::from_nanos(1), 1),
        "1 units per 15290984073.709551616s is too slow; \
         expected at least one unit in 15290984073.709551615s (484 years)"
    );

    let second = Duration::from_secs(1);
    assert!(Quota::new(5_845_420_460, second, 1).is_ok());
    assert_eq!(
        refusal(5_845_420_461, second, 1),
        "5845420461 units per 1s is too fast; expected at most 5845420460 a second"
    );
    for (units, period) in [
        (u64::MAX, second),
        (u64::MAX, Duration::from_nanos(1)),
        (6, Duration::from_nanos(1)),
    ] {
        assert!(refusal(units, period, 1).ends_with("expected at most 5845420460 a second"));
    }
    // What counts is the rate, not the size of the numbers it is written in.
    assert!(Quota::new(u64::MAX, Duration::from_nanos(u64::MAX), 1).is_ok());
    assert!(Quota::new(u64::MAX, Duration::from_nanos(u64::MAX - 1), 1).is_ok());
    assert!(Quota::new(u64::MAX, Duration::from_nanos(u64::MAX), u64::MAX).is_err());
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

    // One unit in 484 years: two thirds of it are not one.
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

    // As slow as a week allows, and as large: 25,282 weeks.
    let (limiter, time) = by_hand(quota(1, WEEK, 25_282));
    assert_eq!(drain(&limiter, 0), 25_282);
    assert_eq!(limiter.peek(&0).reset_after(), nanos(25_282 * WEEK));
    time.set(5_000 * WEEK - 1);
    assert_eq!(drain(&limiter, 0), 4_999);
    time.set(5_000 * WEEK);
    assert_eq!(drain(&limiter, 0), 1);
}

/// Case 4. The bucket says so, and nothing panics, when the clock is moved as far as it goes.
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
        assert_eq!(limiter.sweep(), 0, "nobody is forgotten while in debt");
    }
    time.clock.rewind(Duration::MAX);
    assert!(!limiter.allow(&0));
}

/// Case 4. A limiter started late has its own century.
#[test]
fn a_limiter_counts_from_its_own_start() {
    let time = common::cases::Time::new();
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
fn nothing_is_refused_when_the_quota_is_built() {
    let second = Duration::from_secs(1);
    let units = "a quota of 0 units never earns one; expected at least 1";
    let period = "a period of 0 is no rate; expected at least 1 ns";
    let burst = "a burst of 0 units lets nothing pass; expected at least 1";
    assert_eq!(refusal(0, second, 1), units);
    assert_eq!(refusal(1, Duration::ZERO, 1), period);
    assert_eq!(refusal(1, second, 0), burst);
    assert_eq!(refusal(0, Duration::ZERO, 0), units);
    assert_eq!(refusal(1, Duration::ZERO, 0), period);

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
        assert!(nothing.is_allowed(), "it takes nothing that is missing");
        assert_eq!(nothing.remaining(), 0);
        assert_eq!(nothing.reset_after(), nanos(2 * SECOND));
        assert!(limiter.peek_n(&0, 0).is_allowed());
    }
    // Nor does it move anything: not the unit that is half earned, and not a bucket that is full.
    time.set(SECOND / 2);
    assert!(limiter.check_n(&0, 0).is_allowed());
    assert_eq!(limiter.check(&0).retry_after(), Some(nanos(SECOND / 2)));
    time.set(2 * SECOND);
    assert!(limiter.check_n(&0, 0).is_allowed());
    assert_eq!(limiter.sweep(), 1);
}

/// Case 6.
#[test]
fn a_burst_of_one_limits() {
    for (units, period) in [
        (1, SECOND),
        (1_000, SECOND),
        (7, MINUTE),
        (1, CENTURY),
        (300_000_000, SECOND),
        (4_000_000_000, SECOND),
        (5, 1),
    ] {
        let quota = quota(units, period, 1);
        let (limiter, time) = by_hand(quota);
        let admitted = (0..1_000).filter(|_| limiter.allow(&0)).count();
        assert_eq!(admitted, 1, "{quota}");
        // And goes on limiting: one more for each time that one takes, rounded up to the ns.
        let unit = time_of(&quota, 1);
        for _ in 0..3.min(CENTURY / unit) {
            time.advance(unit - 1);
            let early = (0..1_000).filter(|_| limiter.allow(&0)).count();
            time.advance(1);
            let admitted = (0..1_000).filter(|_| limiter.allow(&0)).count();
            assert_eq!((early, admitted), (0, 1), "{quota}");
        }
    }
}

/// Case 7.
#[test]
fn more_than_one_unit_a_nanosecond_is_counted() {
    for (units, period, burst) in [(2, 1, 100), (5, 1, 100), (4_000_000_001, SECOND, 40)] {
        let quota = quota(units, period, burst);
        let (limiter, time) = by_hand(quota);
        assert_eq!(drain(&limiter, 0), burst);
        assert_eq!(limiter.check(&0).retry_after(), Some(nanos(1)));
        let mut admitted = 0;
        for now in 1..=1_000 {
            time.set(now);
            admitted += drain(&limiter, 0);
            assert_eq!(admitted, earned(&quota, now), "{quota} at {now} ns");
        }
    }
}

/// Case 7.
#[test]
fn less_than_one_unit_a_week_is_counted() {
    for (units, period) in [
        (1, 30 * DAY),
        (3, YEAR),
        (1, YEAR),
        (7, 10 * YEAR),
        (1, CENTURY / 4),
    ] {
        let quota = quota(units, period, 2);
        let (limiter, time) = by_hand(quota);
        assert_eq!(drain(&limiter, 0), 2);
        for unit in 1..=3 {
            let due = time_of(&quota, unit);
            assert_eq!(
                limiter.check(&0).retry_after(),
                Some(nanos(due - time.now()))
            );
            time.set(due - 1);
            assert_eq!(drain(&limiter, 0), 0, "{quota}");
            time.set(due);
            assert_eq!(drain(&limiter, 0), 1, "{quota}");
        }
    }
}

/// Case 7.
#[test]
fn a_burst_below_the_rate_holds_no_more_than_itself() {
    let quota = Quota::per_minute(100).burst(3);
    let (limiter, time) = by_hand(quota);
    assert_eq!(drain(&limiter, 0), 3);
    time.set(MINUTE);
    assert_eq!(drain(&limiter, 0), 3);
    // 0.6 s a unit, so that polling thrice as often as it fills loses nothing.
    let mut admitted = 0;
    for _ in 0..100 {
        time.advance(MINUTE / 100);
        admitted += drain(&limiter, 0);
    }
    assert_eq!(admitted, 100);
}

/// Case 8.
#[test]
fn however_long_a_key_is_idle_a_full_bucket_is_all_it_gets() {
    for (units, period, burst) in [
        (100, MINUTE, 10),
        (1, SECOND, 1),
        (7, MINUTE, 7),
        (300_000_000, SECOND, 37),
        (501_000_000, SECOND, 501),
        (4_000_000_000, SECOND, 3),
        (1, WEEK, 5),
    ] {
        let (limiter, time) = by_hand(quota(units, period, burst));
        assert_eq!(drain(&limiter, 0), burst);
        for idle in [YEAR, 10 * YEAR, 88 * YEAR] {
            time.advance(idle);
            // Known, forgotten and new keys alike.
            assert_eq!(drain(&limiter, 0), burst);
            assert_eq!(drain(&limiter, idle), burst);
            let singly = (0..2 * burst).filter(|_| limiter.allow(&(idle + 1)));
            assert_eq!(singly.count() as u64, burst);
            time.advance(YEAR / 10);
            assert_eq!(limiter.sweep(), 3);
        }
    }
}

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
            let asked = numbers.below(burst + 2);
            let before = limiter.peek(&0).remaining();
            let decision = limiter.check_n(&0, asked);
            assert_eq!(decision.is_allowed(), asked <= before);
            let left = if asked <= before {
                before - asked
            } else {
                before
            };
            assert_eq!(decision.remaining(), left);
            assert!(before <= burst);
            assert_eq!(decision.limit(), burst);
        }
        // A copy of the bucket would tell as well: exactly so many single checks pass.
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

/// Case 9. After the first check of a burst of b, b - 1 is left, whatever the rate.
#[test]
fn remaining_counts_down_from_a_full_bucket_at_any_time() {
    for rate in (1..=100).chain(RATES) {
        for burst in [1, 2, 10, 100] {
            let (limiter, time) = by_hand(per_second(rate, burst));
            for start in [0, 1, 999_999_937, 77 * YEAR + 12_345] {
                time.set(start);
                for left in (0..burst).rev() {
                    assert_eq!(limiter.check(&start).remaining(), left, "{rate}/s");
                }
                assert!(!limiter.allow(&start));
            }
        }
    }
}

/// A check of `n` is denied; at its `retry_after` it passes, and 1 ns before it does not.
fn retries_on_time(limiter: &RateLimiter<u64>, time: &common::cases::Time, n: u64) -> u64 {
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

/// Case 10. Of 1 to 1000 a second, ratelimit and tokio-rate-limit fail for 971.
#[test]
fn waiting_for_retry_after_suffices_and_a_nanosecond_less_does_not() {
    // So fast that a ns earns several units, down to one in a year.
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
    let others = [(7, HOUR), (3, DAY), (1, WEEK), (2, 3), (1, YEAR), (19, 7)];
    for (units, period) in a_second.chain(a_minute).chain(others) {
        let quota = quota(units, period, 5);
        let (limiter, time) = by_hand(quota);
        assert_eq!(drain(&limiter, 0), 5);
        // From an empty bucket at time zero, in integers: the ceiling of the units' time.
        for n in [1, 3, 2] {
            let due = time_of(&quota, earned(&quota, time.now()) + n);
            let wait = due - time.now();
            assert_eq!(retries_on_time(&limiter, &time, n), wait, "{quota}");
            drain(&limiter, 0);
        }
        // And from wherever the limiter happens to be, after a full bucket.
        time.advance(time_of(&quota, 6) + 1);
        for n in [1, 5, 2] {
            drain(&limiter, 0);
            retries_on_time(&limiter, &time, n);
        }
    }
}

/// Case 10. Bucket4j says 3 ns where only 0.9 units are there; .NET one period where two are due.
#[test]
fn retry_after_is_the_ceiling_of_the_missing_units() {
    let (limiter, time) = by_hand(quota(3, 10, 5));
    assert_eq!(drain(&limiter, 0), 5);
    assert_eq!(limiter.check(&0).retry_after(), Some(nanos(4)));
    assert_eq!(limiter.check_n(&0, 2).retry_after(), Some(nanos(7)));
    assert_eq!(limiter.check_n(&0, 3).retry_after(), Some(nanos(10)));
    time.set(3);
    assert_eq!(limiter.check(&0).retry_after(), Some(nanos(1)));

    let (limiter, time) = by_hand(Quota::per_hour(1).burst(3));
    assert!(limiter.check_n(&0, 3).is_allowed());
    assert_eq!(limiter.check_n(&0, 2).retry_after(), Some(nanos(2 * HOUR)));
    time.set(HOUR / 2);
    assert_eq!(
        limiter.check_n(&0, 3).retry_after(),
        Some(nanos(5 * HOUR / 2))
    );
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
        // The whole burst can pass, though not now: that is a wait, and no "never".
        let later = limiter.check_n(&0, 5);
        assert!(!later.is_allowed() && !later.exceeds_burst());
        assert_eq!(later.retry_after(), Some(nanos(SECOND / 2)));
    }
}
