//! Cases 6 to 8: bursts of one, rates at both ends, and keys that were idle for years.

use tollgate::Quota;

use crate::common::cases::{
    CENTURY, DAY, MINUTE, SECOND, WEEK, YEAR, by_hand, drain, earned, nanos, quota, time_of,
};

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
        // One more is admitted each time that a unit takes, rounded up to the ns.
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
    // A unit takes 0.6 s. The bucket is drained before it is full, so no unit is lost.
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
            // A stored key and new ones have the same.
            assert_eq!(drain(&limiter, 0), burst);
            assert_eq!(drain(&limiter, idle), burst);
            let singly = (0..2 * burst).filter(|_| limiter.allow(&(idle + 1)));
            assert_eq!(singly.count() as u64, burst);
            time.advance(YEAR / 10);
            assert_eq!(limiter.sweep(), 3);
        }
    }
}
