//! Cases 1 and 2: how many units a key is admitted in all.
//!
//! The expected numbers are those of integer arithmetic: `floor(units * time / period)`.

use tollgate::Quota;

use crate::common::cases::{
    CENTURY, DAY, HOUR, MINUTE, Numbers, SECOND, WEEK, YEAR, by_hand, drain, earned, quota, time_of,
};

/// Rates per second for which a period in whole ns, or in thousandths of one, is wrong.
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
        // The bucket never fills between two of these times.
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
            assert!(earned(&quota, due - 1) < unit, "not due 1 ns earlier");
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

/// Case 1. Drains a bucket of ordinary size at 10,000 irregular times.
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

/// Case 1. Whenever the key is first seen, its total is the model's at a time less than 1 ns away,
/// also after 99 years.
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

/// Polls a key every `step` ns, and expects each admission in the poll in which it is due.
///
/// `start` is a multiple of the period, so that the total does not depend on it.
fn poll(quota: Quota, start: u64, step: u64, polls: u64) {
    assert_eq!(u128::from(start) % quota.period().as_nanos(), 0);
    let (limiter, time) = by_hand(quota);
    time.set(start);
    let mut admitted = drain(&limiter, 0) - quota.burst_size();
    for poll in 1..=polls {
        time.set(start + poll * step);
        // The last check of each poll is a denial.
        while limiter.allow(&0) {
            admitted += 1;
        }
        let due = earned(&quota, poll * step);
        assert_eq!(admitted, due, "{quota}, poll {poll} every {step} ns");
    }
    assert!(admitted >= 2, "this test sees no two units earned");
}

/// Case 2. ratelimit yields half of 1/s when it is polled every 1.999 µs.
#[test]
fn a_key_that_is_polled_faster_than_it_earns_loses_no_remainder() {
    poll(per_second(1_000_000, 2), 0, 1, 30_000);
    poll(per_second(700_000, 2), 0, 1, 30_000);
    poll(per_second(1_000_001, 2), 99 * YEAR, 1, 30_000);
    poll(per_second(300_000_000, 2), 0, 1, 30_000);
    poll(per_second(501_000_000, 2), 50 * YEAR, 1, 30_000);
    poll(per_second(4_000_000_000, 8), 0, 1, 5_000);

    poll(per_second(1_000, 1), 0, 2_000, 20_000);
    poll(per_second(1_000, 2), 0, 1_999, 30_000);
    poll(per_second(1_000, 2), 0, 1_001, 30_000);
    poll(per_second(7_000, 2), 0, 999, 30_000);
    poll(per_second(60, 2), 10 * YEAR, 1_999, 30_000);
    poll(quota(7, 60_000_000, 2), YEAR, 1_777, 30_000);
    // 500,251 polls of 1,999 ns are the first to make a second.
    poll(per_second(2, 2), 0, 1_999, 500_300);
}
