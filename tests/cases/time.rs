//! Cases 12, 13 and 51: time that stands still or steps back, and keys that are seen late.

use std::{rc::Rc, sync::Arc};

use tollgate::{Quota, RateLimiter};

use crate::common::cases::{
    CENTURY, DAY, HOUR, MINUTE, Numbers, SECOND, Time, YEAR, by_hand, drain, earned, nanos, quota,
    time_of,
};
use crate::common::keys::{Asked, Call, Stored, at_next, has_run};
use crate::common::oracle::{Counted, Oracle, answer};

/// Case 12. x/time/rate credits the same 100 ms twice.
#[test]
fn no_stretch_of_time_is_credited_twice() {
    let (limiter, time) = by_hand(Quota::per_second(10).burst(5));
    time.set(SECOND);
    assert_eq!(drain(&limiter, 0), 5);
    for _ in 0..100 {
        time.set(SECOND / 2);
        assert!(!limiter.allow(&0));
        time.set(SECOND);
        assert!(!limiter.allow(&0));
    }
    // A stretch of which a part is new earns nothing for the rest.
    for _ in 0..3 {
        time.set(SECOND + SECOND / 10 - 1);
        assert!(!limiter.allow(&0));
        time.set(SECOND);
        assert!(!limiter.allow(&0));
    }
    time.set(SECOND + SECOND / 10);
    assert_eq!(drain(&limiter, 0), 1);
    // The longest step back for which time stands still.
    time.set(SECOND / 10);
    assert_eq!(drain(&limiter, 0), 0);
    time.set(SECOND + SECOND / 10);
    assert_eq!(drain(&limiter, 0), 0);

    // Neither a full bucket nor that of a new key earns the same 0.9 ms twice.
    for forget in [false, true] {
        let (limiter, time) = by_hand::<u64, 1>(Quota::per_second(1_000_000).burst(1_000));
        time.set(900_000);
        assert_eq!(limiter.check_n(&0, 0).remaining(), 1_000);
        assert!(limiter.check_n(&1, 1).is_allowed());
        time.set(0);
        let key = u64::from(forget);
        assert_eq!(limiter.forget(&key), forget);
        assert!(limiter.check_n(&key, 1_000).is_allowed());
        time.set(900_000);
        assert_eq!(drain(&limiter, key), 0);
    }
}

/// Case 12. During a step back of up to 1 s, time stands still until the clock has caught up.
#[test]
fn after_a_step_back_time_stands_still_until_the_clock_has_caught_up() {
    for quota in [
        quota(10, SECOND, 5),
        quota(7, MINUTE, 7),
        quota(300_000_000, SECOND, 9),
        quota(1, HOUR, 2),
    ] {
        for back in [1, time_of(&quota, 1).min(SECOND), SECOND - 1, SECOND] {
            let (limiter, time) = by_hand(quota);
            let mut oracle = Oracle::new(&[quota]);
            let start = YEAR;
            time.set(start);
            assert_eq!(answer(&limiter.check_n(&0, 1)), oracle.check(start, 1));
            let several = [0, 1, quota.burst_size(), u64::MAX];
            let before = several.map(|n| answer(&limiter.peek_n(&0, n)));

            // At none of these times is a unit earned or lost.
            for now in [start - back, start - back / 2, start - 1, start] {
                time.set(now);
                let there = several.map(|n| answer(&limiter.peek_n(&0, n)));
                assert_eq!(there, before, "{quota}, {back} ns back, at {now} ns");
            }
            time.set(start - back);
            drain(&limiter, 0);
            let denied = limiter.check(&0);
            let due = start + u64::try_from(denied.retry_after().unwrap().as_nanos()).unwrap();
            time.set(start);
            assert_eq!(answer(&limiter.check(&0)), answer(&denied));
            // The key waits for its debt, and no longer.
            time.set(due - 1);
            assert!(!limiter.allow(&0));
            time.set(due);
            assert!(limiter.allow(&0));
        }
    }
}

/// Case 12.
#[test]
fn a_full_or_unknown_key_passes_after_a_step_back() {
    let (limiter, time) = by_hand(Quota::per_second(10).burst(5));
    assert_eq!(drain(&limiter, 0), 5);
    time.set(HOUR);
    // The bucket has been full for nearly an hour, so it is full at the earlier time, too.
    time.set(MINUTE);
    assert_eq!(drain(&limiter, 0), 5);
    assert_eq!(drain(&limiter, 1), 5);
    time.set(0);
    assert_eq!(drain(&limiter, 2), 5);
}

/// Case 12. The clock steps back to before the limiter was built.
#[test]
fn a_short_step_back_before_the_start_is_the_start() {
    let time = Time::new();
    time.set(HOUR);
    let limiter: RateLimiter<u64> = RateLimiter::builder(Quota::per_second(1).burst(2))
        .clock(time.clock.clone())
        .manual_sweep()
        .build();
    for now in [HOUR - SECOND, HOUR - 1] {
        time.set(now);
        assert_eq!(drain(&limiter, now), 2);
        assert_eq!(limiter.check(&now).retry_after(), Some(nanos(SECOND)));
    }
    time.set(HOUR + SECOND - 1);
    assert_eq!(drain(&limiter, HOUR - 1), 0);
    time.set(HOUR + SECOND);
    assert_eq!(drain(&limiter, HOUR - 1), 1);
}

/// Case 51. criu#2668, vsthrottle#4: a virtual machine is restored. A key with a `retry_after` of
/// 1 s was denied for as long as the step.
#[test]
fn after_a_long_step_back_no_key_waits_longer_than_its_debt() {
    for (forward, back) in [
        (DAY, DAY),
        (10 * DAY, 10 * DAY),
        (10 * DAY, SECOND + 1),
        (YEAR, DAY),
    ] {
        for built_at in [0, DAY, 20 * DAY] {
            let time = Time::new();
            time.set(built_at);
            let limiter: RateLimiter<u64, 2> =
                RateLimiter::builder([Quota::per_second(1).burst(5), Quota::per_hour(1)])
                    .clock(time.clock.clone())
                    .manual_sweep()
                    .build();
            time.advance(forward);
            assert!(limiter.allow(&0));
            let decision = limiter.check(&0);
            let (second, hour) = (decision.quotas()[0], decision.quotas()[1]);
            assert_eq!(second.reset_after(), nanos(SECOND));
            assert_eq!(hour.reset_after(), nanos(HOUR));

            // The step neither earns a unit nor takes one.
            time.set(time.now() - back.min(time.now()));
            for _ in 0..3 {
                let denied = limiter.check(&0);
                assert_eq!(denied.retry_after(), Some(nanos(HOUR)));
                assert_eq!(denied.quotas()[0].remaining(), 4);
            }
            // Time counts from the step on.
            time.advance(SECOND);
            assert_eq!(limiter.check(&0).quotas()[0].remaining(), 5);
            assert_eq!(limiter.sweep(), 0);
            time.advance(HOUR - SECOND - 1);
            assert!(!limiter.allow(&0));
            time.advance(1);
            assert!(limiter.allow(&0));
            // It does for new keys, too.
            assert!(limiter.allow(&1));
            assert_eq!(limiter.check(&1).retry_after(), Some(nanos(HOUR)));
        }
    }
}

/// Case 51. After each of many steps back, the oracle counts on from it.
#[test]
fn a_clock_that_steps_back_again_and_again_is_counted_on_from() {
    let quota = quota(10, MINUTE, 7);
    let (limiter, time) = by_hand::<u64, 1>(quota);
    let mut numbers = Numbers::new(51);
    let (mut counted, mut oracle) = (Counted::from(0), Oracle::new(&[quota]));
    let (mut allowed, mut denied) = (0, 0);
    for _ in 0..20_000 {
        time.advance(numbers.below(20 * SECOND));
        let n = numbers.below(4);
        let decision = limiter.check_n(&0, n);
        assert_eq!(answer(&decision), oracle.check(counted.at(time.now()), n));
        *(if decision.is_allowed() {
            &mut allowed
        } else {
            &mut denied
        }) += 1;
        if numbers.below(3) == 0 {
            time.set(time.now() - numbers.below(MINUTE).min(time.now()));
            assert_eq!(
                answer(&limiter.check(&0)),
                oracle.check(counted.at(time.now()), 1)
            );
        }
    }
    assert!(allowed > 1_000 && denied > 1_000, "{allowed} and {denied}");
}

/// Case 12. A check reads the clock and stalls. When it goes on, another has spent at a later time.
/// (It stalls where it copies a key that it has not found, under no lock.)
#[test]
fn a_stale_time_after_a_newer_one_earns_no_unit_and_locks_no_key_out() {
    let (limiter, time) = by_hand::<Stored, 1>(Quota::per_second(1).burst(3));
    let (limiter, time) = (Arc::new(limiter), Rc::new(time));
    time.set(10 * SECOND);
    {
        let (limiter, time) = (Arc::clone(&limiter), Rc::clone(&time));
        at_next(Call::ToOwned, move || {
            time.set(15 * SECOND);
            assert!(limiter.check_n(&Asked(0), 2).is_allowed());
        });
    }
    // At 10 s the bucket, from which two were spent at 15 s, holds nothing; at 15 s one.
    let stale = limiter.check(&Asked(0));
    assert!(has_run());
    assert!(stale.is_allowed(), "the unit is there");
    assert_eq!(stale.remaining(), 0);
    let denied = limiter.check(&Asked(0));
    assert!(!denied.is_allowed(), "three of three are spent");
    assert_eq!(denied.retry_after(), Some(nanos(SECOND)));
    assert_eq!(denied.reset_after(), nanos(3 * SECOND));
}

/// Case 13.
#[test]
fn the_first_check_at_time_zero_is_of_a_full_bucket() {
    for quota in [
        Quota::default(),
        Quota::per_second(1),
        quota(7, MINUTE, 7),
        quota(4_000_000_000, SECOND, 100),
        quota(1, CENTURY, 1),
    ] {
        let (limiter, _) = by_hand(quota);
        let first = limiter.check(&0);
        assert!(first.is_allowed());
        assert_eq!(first.remaining(), quota.burst_size() - 1);
        assert_eq!(first.reset_after(), nanos(time_of(&quota, 1)));
        assert_eq!(drain(&limiter, 0), quota.burst_size() - 1);
    }
}

/// Case 13. agave's prototype credits a new key with all the time since the start.
#[test]
fn a_key_first_seen_late_has_a_full_bucket_and_no_more() {
    for quota in [
        Quota::default(),
        Quota::per_second(1_000).burst(3),
        quota(300_000_000, SECOND, 30),
        quota(1, HOUR, 24),
    ] {
        let (limiter, time) = by_hand(quota);
        let unit = time_of(&quota, 1);
        for start in [unit + 1, 3 * HOUR, YEAR, CENTURY - 100 * HOUR] {
            let mut oracle = Oracle::new(&[quota]);
            time.set(start);
            for left in (0..quota.burst_size()).rev() {
                let decision = limiter.check(&start);
                assert_eq!(decision.remaining(), left);
                assert_eq!(answer(&decision), oracle.check(start, 1));
            }
            assert_eq!(answer(&limiter.check(&start)), oracle.check(start, 1));
            // A unit later it has one unit.
            time.set(start + unit);
            assert_eq!(drain(&limiter, start), earned(&quota, unit));
        }
    }
}
