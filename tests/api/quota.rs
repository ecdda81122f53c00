//! Quotas as values.

use std::{collections::HashSet, time::Duration};

use tollgate::{InvalidQuota, Quota};

use crate::common::cases::{DAY, HOUR, MINUTE, SECOND, nanos, quota};

#[test]
fn a_quota_is_what_it_was_made_of() {
    for (quota, units, period, burst) in [
        (Quota::per_second(7), 7, SECOND, 7),
        (Quota::per_minute(100), 100, MINUTE, 100),
        (Quota::per_hour(60), 60, HOUR, 60),
        (Quota::per_day(1), 1, DAY, 1),
        (Quota::per_minute(100).burst(10), 100, MINUTE, 10),
        (
            Quota::per_minute(100).burst(10).burst(500),
            100,
            MINUTE,
            500,
        ),
        (quota(5, 2 * SECOND, 3), 5, 2 * SECOND, 3),
        (quota(u64::MAX, u64::MAX, 1), u64::MAX, u64::MAX, 1),
    ] {
        assert_eq!(quota.units(), units);
        assert_eq!(quota.period(), nanos(period));
        assert_eq!(quota.burst_size(), burst);
        assert_eq!(Quota::new(units, nanos(period), burst), Ok(quota));
    }
}

#[test]
fn quotas_are_made_and_read_in_const() {
    const API: Quota = Quota::per_minute(100).burst(10);
    const PARTS: (u64, Duration, u64) = (API.units(), API.period(), API.burst_size());
    assert_eq!(PARTS, (100, Duration::from_secs(60), 10));
    const ALL: [Quota; 3] = [Quota::per_second(1), Quota::per_hour(2), Quota::per_day(3)];
    assert_eq!(ALL.map(|quota| quota.units()), [1, 2, 3]);
    assert_eq!(API, Quota::default());
}

#[test]
fn quotas_are_equal_if_their_three_numbers_are() {
    assert_eq!(Quota::per_minute(60), quota(60, MINUTE, 60));
    assert_ne!(Quota::per_second(1).burst(60), Quota::per_minute(60));
    assert_ne!(Quota::per_second(1), Quota::per_second(1).burst(2));
    assert_ne!(Quota::per_second(1), Quota::per_second(2).burst(1));
    assert_ne!(Quota::per_second(1), Quota::per_minute(1));
    let set = HashSet::from([
        Quota::per_second(1),
        Quota::per_second(1),
        Quota::per_hour(1),
    ]);
    assert_eq!(set.len(), 2);
}

/// A number that is known only at run time is an error where a constant is a panic.
#[test]
fn a_number_that_is_read_at_run_time_is_an_error_and_no_panic() {
    type Make = fn(u64) -> Result<Quota, InvalidQuota>;
    let makers: [(Make, Quota, u64); 4] = [
        (Quota::try_per_second, Quota::per_second(7), 5_845_420_459),
        (Quota::try_per_minute, Quota::per_minute(7), 350_725_220_986),
        (Quota::try_per_hour, Quota::per_hour(7), 21_043_489_653_456),
        (Quota::try_per_day, Quota::per_day(7), 505_030_500_840_758),
    ];
    for (make, seven, most) in makers {
        assert_eq!(make(7), Ok(seven));
        assert!(make(most).is_ok());
        assert!(
            make(most + 1)
                .unwrap_err()
                .to_string()
                .contains("expected at most")
        );
        assert!(make(u64::MAX).is_err());
        let error = make(0).unwrap_err().to_string();
        assert_eq!(
            error,
            "a quota of 0 units never earns one; expected at least 1"
        );
    }
    let quota = Quota::per_minute(100);
    assert_eq!(quota.try_burst(10), Ok(quota.burst(10)));
    let error = quota.try_burst(0).unwrap_err().to_string();
    assert_eq!(
        error,
        "a burst of 0 units lets nothing pass; expected at least 1"
    );
    assert!(
        quota
            .try_burst(u64::MAX)
            .unwrap_err()
            .to_string()
            .contains("is too large")
    );
}
