//! Cases 12 to 15: how time itself goes wrong.

mod common;

use std::{
    cell::Cell,
    sync::Arc,
    time::{Duration, Instant},
};

use common::cases::{
    Asked, CENTURY, Call, HOUR, MINUTE, Numbers, SECOND, Stored, Time, YEAR, at_next, by_hand,
    drain, earned, has_run, nanos, quota, time_of, wait_until,
};
use common::oracle::{Counted, Oracle, answer};
use tollgate::{Clock, Quota, RateLimiter};

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
    // Nor one of which a part is new.
    for _ in 0..3 {
        time.set(SECOND + SECOND / 10 - 1);
        assert!(!limiter.allow(&0));
        time.set(SECOND);
        assert!(!limiter.allow(&0));
    }
    time.set(SECOND + SECOND / 10);
    assert_eq!(drain(&limiter, 0), 1);
    // As far back as time stands still.
    time.set(SECOND / 10);
    assert_eq!(drain(&limiter, 0), 0);
    time.set(SECOND + SECOND / 10);
    assert_eq!(drain(&limiter, 0), 0);
}

/// Case 12. Whatever the clock does, the units earned by the time that it has counted, and a burst,
/// are all there are: its furthest point, if no step back is longer than 1 s.
#[test]
fn a_clock_that_wanders_earns_no_more_than_its_furthest_point() {
    for quota in [
        quota(10, SECOND, 5),
        quota(7, MINUTE, 7),
        quota(501_000_000, SECOND, 501),
        quota(1, HOUR, 1),
    ] {
        let (limiter, time) = by_hand(quota);
        let mut numbers = Numbers::new(quota.units());
        let unit = time_of(&quota, 1);
        let (mut admitted, mut furthest) = (drain(&limiter, 0), 0_u64);
        for _ in 0..20_000 {
            let to = time.now() + numbers.below(3 * unit + 2);
            let back = numbers.below((3 * unit + 2).min(SECOND));
            time.set(to.saturating_sub(back).max(furthest.saturating_sub(SECOND)));
            furthest = furthest.max(time.now());
            let n = 1 + numbers.below(quota.burst_size());
            if limiter.check_n(&0, n).is_allowed() {
                admitted += n;
            }
            assert!(limiter.peek(&0).remaining() <= quota.burst_size());
            assert!(admitted <= quota.burst_size() + earned(&quota, furthest));
        }
        // It did earn; and at the furthest point nothing is missing but what was asked and denied.
        assert!(furthest > 100 * unit);
        time.set(furthest);
        admitted += drain(&limiter, 0);
        assert!(admitted <= quota.burst_size() + earned(&quota, furthest));
        assert!(admitted > quota.burst_size() + 50);
    }
}

/// Case 12. A step back of up to 1 s counts as time standing still until the clock has caught up.
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
            let asked = [0, 1, quota.burst_size(), u64::MAX];
            let before = asked.map(|n| answer(&limiter.peek_n(&0, n)));

            // Nothing is earned and nothing is lost, at none of these times.
            for now in [start - back, start - back / 2, start - 1, start] {
                time.set(now);
                let there = asked.map(|n| answer(&limiter.peek_n(&0, n)));
                assert_eq!(there, before, "{quota}, {back} ns back, at {now} ns");
            }
            time.set(start - back);
            drain(&limiter, 0);
            let denied = limiter.check(&0);
            let due = start + u64::try_from(denied.retry_after().unwrap().as_nanos()).unwrap();
            time.set(start);
            assert_eq!(answer(&limiter.check(&0)), answer(&denied));
            // Locked out until then for its debt, and no longer.
            time.set(due - 1);
            assert!(!limiter.allow(&0));
            time.set(due);
            assert!(limiter.allow(&0));
        }
    }
}

/// Case 12.
#[test]
fn a_step_back_takes_no_unit_that_is_there() {
    let (limiter, time) = by_hand(Quota::per_second(1).burst(10));
    time.set(MINUTE);
    assert_eq!(limiter.check(&0).remaining(), 9);
    for back in [1, 5, 9, 10, 60] {
        time.set(MINUTE - back * SECOND);
        assert_eq!(limiter.peek(&0).remaining(), 9, "{back} s back");
    }
    assert_eq!(drain(&limiter, 0), 9);
}

/// Case 12. The same 0.9 ms are not earned twice, by a bucket that is full or by one that is new.
#[test]
fn a_step_back_credits_no_time_twice() {
    for forget in [false, true] {
        let (limiter, time) = by_hand::<u64, 1>(Quota::per_second(1_000_000).burst(1_000));
        time.set(900_000);
        assert_eq!(limiter.peek(&0).remaining(), 1_000);
        time.set(0);
        if forget {
            limiter.forget(&0);
        }
        assert!(limiter.check_n(&0, 1_000).is_allowed());
        time.set(900_000);
        assert_eq!(drain(&limiter, 0), 0);
    }
}

/// Case 12. However short it is.
#[test]
fn a_step_back_changes_no_number() {
    const MILLISECOND: u64 = SECOND / 1_000;
    // A unit each 0.01 ms.
    let (limiter, time) = by_hand::<u64, 1>(Quota::per_second(100_000).burst(1_000));
    let mut numbers = Numbers::new(12);
    let mut furthest = 0;
    for step in 0..20_000 {
        furthest += numbers.below([10, 1_000, MILLISECOND, 3 * MILLISECOND][step % 4]);
        time.set(furthest);
        let _ = limiter.check_n(&0, numbers.below(200));
        let before = limiter.peek_n(&0, 0);

        time.set(furthest - numbers.below(furthest.min(SECOND) + 1));
        let after = limiter.peek_n(&0, 0);
        assert_eq!(answer(&after), answer(&before));

        time.set(furthest);
        assert_eq!(
            answer(&limiter.peek_n(&0, 0)),
            answer(&before),
            "it is over"
        );
    }
}

/// Case 12.
#[test]
fn a_full_or_unknown_key_passes_after_a_step_back() {
    let (limiter, time) = by_hand(Quota::per_second(10).burst(5));
    assert_eq!(drain(&limiter, 0), 5);
    time.set(HOUR);
    // Full again for nearly an hour, so it is at the earlier time too.
    time.set(MINUTE);
    assert_eq!(drain(&limiter, 0), 5);
    assert_eq!(drain(&limiter, 1), 5);
    time.set(0);
    assert_eq!(drain(&limiter, 2), 5);
}

/// Case 12. To before the limiter was built.
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

/// Case 51. A virtual machine that is restored: criu#2668, vsthrottle#4. A key that was told to
/// wait 1 s was denied for as long as the step.
#[test]
fn after_a_long_step_back_no_key_waits_longer_than_its_debt() {
    const DAY: u64 = 24 * HOUR;
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

            // Nothing is credited for the step, and nothing is taken.
            time.set(time.now() - back.min(time.now()));
            for _ in 0..3 {
                let denied = limiter.check(&0);
                assert_eq!(denied.retry_after(), Some(nanos(HOUR)));
                assert_eq!(denied.quotas()[0].remaining(), 4);
            }
            // From then on time counts.
            time.advance(SECOND);
            assert_eq!(limiter.check(&0).quotas()[0].remaining(), 5);
            assert_eq!(limiter.sweep(), 0);
            time.advance(HOUR - SECOND - 1);
            assert!(!limiter.allow(&0));
            time.advance(1);
            assert!(limiter.allow(&0));
            // For keys that are new, too.
            assert!(limiter.allow(&1));
            assert_eq!(limiter.check(&1).retry_after(), Some(nanos(HOUR)));
        }
    }
}

/// Case 51. Steps back one after the other, each of which is counted on from, by an oracle.
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

/// Case 12.
#[test]
fn at_equal_times_exactly_the_burst_passes() {
    let (limiter, time) = by_hand(quota(7, MINUTE, 7));
    for now in [0, 1, 12_345_678, YEAR] {
        time.set(now);
        let passed = (0..100).filter(|_| limiter.allow(&now)).count();
        assert_eq!(passed, 7);
    }
}

/// Case 12. The call reads the clock, stalls, and comes back when others have spent at a later
/// time. (It stalls where it copies a key that it has not found: under no lock.)
#[test]
fn a_stale_now_after_a_newer_one_gains_no_unit_and_locks_nobody_out() {
    let (limiter, time) = by_hand::<Stored, 1>(Quota::per_second(1).burst(3));
    let (limiter, time) = (Arc::new(limiter), std::rc::Rc::new(time));
    time.set(10 * SECOND);
    {
        let (limiter, time) = (Arc::clone(&limiter), std::rc::Rc::clone(&time));
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
            // It has been told how long to wait, and that is as long as it takes.
            time.set(start + unit);
            assert_eq!(drain(&limiter, start), earned(&quota, unit));
        }
    }
}

/// Case 14 is in `house.rs`: no file names the wall clock. Here, that the clock which was given is
/// the only one: years of it pass in no time, and while it stands nothing is earned.
#[test]
fn only_the_given_clock_moves_a_bucket() {
    let (limiter, time) = by_hand(Quota::per_second(1_000_000_000).burst(1));
    assert!(limiter.allow(&0));
    // Whatever time this takes, it is more than the 1 ns that a unit takes.
    assert!((0..10_000).all(|_| !limiter.allow(&0)));
    time.set(1);
    assert!(limiter.allow(&0));
}

/// A coarse clock lags behind the machine's. It is never ahead of it, and does not stay behind.
///
/// For longer than the thread that tells it needs for some turns, on whatever machine: what is told
/// wrong by a constant cancels out if it was told once before the limiter was built.
#[test]
fn a_coarse_clock_hands_out_nothing_early_and_all_in_the_end() {
    const BURST: u64 = 1_000_000_000;
    // The first clock of a process calibrates, which is not to count below as time that passed.
    drop(Clock::default());
    let start = Instant::now();
    let limiter: RateLimiter<u64> = RateLimiter::builder(Quota::per_second(1_000_000).burst(BURST))
        .clock(Clock::coarse(Duration::from_millis(1)).unwrap())
        .manual_sweep()
        .build();
    assert!(limiter.check_n(&0, BURST).is_allowed());
    let admitted = Cell::new(0);
    wait_until("0.2 s pass and are earned", || {
        let remaining = limiter.peek(&0).remaining();
        assert!(limiter.check_n(&0, remaining).is_allowed());
        admitted.set(admitted.get() + remaining);
        // A unit a us; the two clocks may differ by some millionths.
        let most = start.elapsed().as_micros();
        let most = most + most / 1_000 + 1;
        assert!(u128::from(admitted.get()) <= most, "{admitted:?} of {most}");
        most > 200_000 && admitted.get() >= 200_000
    });
    assert_eq!(
        format!("{:?}", Clock::coarse(Duration::ZERO).unwrap()),
        "Clock(coarse)"
    );
}

/// Case 15.
#[test]
fn what_a_suspended_machine_does_to_the_clock_is_documented() {
    let clock = include_str!("../src/clock.rs");
    let documented = clock
        .split("pub struct Clock")
        .next()
        .unwrap()
        .lines()
        .filter(|line| line.starts_with("///"))
        .any(|line| line.contains("Suspend"));
    assert!(documented, "the documentation of Clock says so");
}

/// A clock that is a function may be of one thread's time, such as tokio's when it is paused: the
/// maintenance thread does not call it.
#[cfg(not(tollgate_loom))] // which has no runtime to test with
#[tokio::test(start_paused = true)]
async fn the_paused_time_of_a_runtime_is_a_limiters_time() {
    use tokio::time::{Instant, advance};

    let start = Instant::now();
    let limiter = RateLimiter::builder(Quota::per_second(1_000))
        .clock(Clock::from_fn(move || start.elapsed()))
        .sweep_every(Duration::from_millis(1))
        .build();
    assert!(limiter.check_n("alice", 1_000).is_allowed());
    // Real time passes, in which it is swept: none that counts.
    let real = std::time::Instant::now();
    while real.elapsed() < Duration::from_millis(50) {
        assert!(!limiter.allow("alice"));
    }
    advance(Duration::from_micros(999)).await;
    assert!(!limiter.allow("alice"));
    advance(Duration::from_micros(1)).await;
    assert!(limiter.allow("alice") && !limiter.allow("alice"));
    // Paused time far ahead of the real one is no step back when a sweep looks at it.
    advance(Duration::from_secs(3_000)).await;
    assert!(limiter.check_n("alice", 1_000).is_allowed());
    let real = std::time::Instant::now();
    while real.elapsed() < Duration::from_millis(50) {
        assert!(!limiter.allow("alice"));
    }
    advance(Duration::from_secs(1)).await;
    assert!(limiter.check_n("bob", 1).is_allowed());
    wait_until("alice is swept", || limiter.len() == 1);
}

/// A clock that panics spends nothing, stores nothing, and is not counted.
#[test]
fn a_clock_that_panics_leaves_no_trace() {
    let is_broken = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let read = Arc::clone(&is_broken);
    let clock = Clock::from_fn(move || {
        if read.load(std::sync::atomic::Ordering::SeqCst) {
            std::panic::resume_unwind(Box::new("at your word"));
        }
        Duration::ZERO
    });
    let limiter: RateLimiter<String> = RateLimiter::builder(Quota::per_second(5))
        .clock(clock)
        .manual_sweep()
        .build();
    is_broken.store(true, std::sync::atomic::Ordering::SeqCst);
    for key in ["alice", "bob"] {
        let check = std::panic::AssertUnwindSafe(|| limiter.allow(key));
        assert!(std::panic::catch_unwind(check).is_err());
    }
    is_broken.store(false, std::sync::atomic::Ordering::SeqCst);
    assert!(limiter.is_empty());
    assert_eq!(limiter.check("alice").remaining(), 4);
    assert_eq!(limiter.len(), 1);
}
