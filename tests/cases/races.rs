//! Cases 16 to 18 and 22: real threads that check one key.
//!
//! The models in `src/tests` try every interleaving of the same laws. These tests run as many as
//! the machine happens to, and every total must be exact in each.

use std::{
    sync::{Arc, mpsc},
    thread,
    time::Duration,
};

use tollgate::Quota;

use crate::common::cases::{SECOND, by_hand, drain, nanos, quota};
use crate::common::keys::{Asked, Call, Stored, at_next, has_run};
use crate::common::threads::{finishes, rounds};

/// Case 16. One thread moves the time across the refill while the others check.
#[test]
fn threads_racing_for_the_last_unit_across_a_refill_get_exactly_one() {
    for threads in [2, 3] {
        for unit in [SECOND, 3] {
            let (limiter, time) = by_hand::<u64, 1>(quota(1, unit, 1));
            let clock = &time.clock;
            assert_eq!(drain(&limiter, 0), 1);
            let passed = rounds(
                threads,
                1_000,
                |_| {},
                |thread, _| {
                    let mut passed = 0;
                    if thread == 0 {
                        clock.advance(nanos(unit - 1));
                        passed += u64::from(limiter.allow(&0));
                        clock.advance(nanos(1));
                    }
                    for _ in 0..4 {
                        passed += u64::from(limiter.allow(&0));
                    }
                    passed
                },
            );
            assert_eq!(passed, [1; 1_000], "{threads} threads, {unit} ns");
        }
    }
}

/// Case 16. One unit is there when the round begins, and one is earned in it.
#[test]
fn threads_racing_for_what_is_left_and_what_is_earned_get_exactly_both() {
    for threads in [2, 3] {
        let (limiter, time) = by_hand::<u64, 1>(Quota::per_second(1).burst(3));
        let clock = &time.clock;
        assert_eq!(drain(&limiter, 0), 3);
        let passed = rounds(
            threads,
            1_000,
            // No other thread runs here.
            |_| clock.advance(nanos(SECOND)),
            |thread, _| {
                if thread == 0 {
                    clock.advance(nanos(SECOND));
                }
                (0..4).map(|_| u64::from(limiter.allow(&0))).sum()
            },
        );
        assert_eq!(passed, [2; 1_000], "{threads} threads");
        assert_eq!(limiter.peek(&0).retry_after(), Some(nanos(SECOND)));
    }
}

/// Case 17. Each thread moves the time by a unit before it checks, so there is a unit for each
/// check.
#[test]
fn a_thread_that_has_seen_a_unit_earned_is_not_denied() {
    for threads in [2, 3] {
        let quota = quota(1, 1_000, threads as u64);
        let (limiter, time) = by_hand::<u64, 1>(quota);
        let clock = &time.clock;
        drain(&limiter, 0);
        let denied = rounds(
            threads,
            20,
            |_| {},
            |_, _| {
                let try_once = |_: &u64| {
                    clock.advance(nanos(1_000));
                    !limiter.allow(&0)
                };
                (0..1_000).filter(try_once).count() as u64
            },
        );
        assert_eq!(denied, [0; 20], "{threads} threads");
        // No more units passed than were earned.
        assert_eq!(limiter.peek(&0).remaining(), 0);
        assert_eq!(limiter.peek(&0).retry_after(), Some(nanos(1_000)));
    }
}

/// Case 17. ratelimit and ratelock have a gap between claim and credit. Here a check reads a time
/// at which the unit is not there, and stalls until it is.
#[test]
fn a_check_that_stalls_until_its_unit_is_earned_is_not_denied() {
    let (limiter, time) = by_hand::<Stored, 1>(Quota::per_second(1).burst(2));
    let (limiter, clock) = (Arc::new(limiter), time.clock);
    {
        let limiter = Arc::clone(&limiter);
        at_next(Call::ToOwned, move || {
            assert!(limiter.check_n(&Asked(0), 2).is_allowed());
            clock.advance(nanos(SECOND));
        });
    }
    // At 0 s both units were spent. At 1 s there is one.
    let decision = limiter.check(&Asked(0));
    assert!(has_run());
    assert!(decision.is_allowed());
    assert_eq!(decision.remaining(), 0);
    assert!(!limiter.allow(&Asked(0)));
}

/// Case 17. A check of a stored key reads the clock under the lock. The time moves where keys are
/// compared.
#[test]
fn a_check_that_waits_for_its_lock_until_its_unit_is_earned_is_not_denied() {
    let (limiter, time) = by_hand::<Stored, 1>(Quota::per_second(1).burst(2));
    assert!(limiter.check_n(&Asked(0), 2).is_allowed());
    let advance_when_compared = |by: u64| {
        let clock = time.clock.clone();
        at_next(Call::Eq, move || clock.advance(nanos(by)));
    };
    advance_when_compared(SECOND - 1);
    let denied = limiter.check(&Asked(0));
    assert!(!denied.is_allowed());
    assert_eq!(
        denied.retry_after(),
        Some(nanos(1)),
        "the time under the lock, not that of the call"
    );
    advance_when_compared(1);
    assert!(limiter.check(&Asked(0)).is_allowed());

    advance_when_compared(SECOND);
    assert!(limiter.peek(&Asked(0)).is_allowed());
    advance_when_compared(SECOND);
    let peeked = limiter.peek_n(&Asked(0), 2);
    assert!(peeked.is_allowed());
    assert_eq!(peeked.remaining(), 2);
    assert!(has_run());
}

/// Case 18. One unit is earned and one is spent, so the state is equal before and after. A
/// compare-and-swap of equal values on a split state gave one token to many threads.
#[test]
fn a_state_that_looks_unchanged_gives_no_unit_twice() {
    for threads in [2, 3] {
        for burst in [1, 2] {
            let (limiter, time) = by_hand::<u64, 1>(Quota::per_second(1).burst(burst));
            assert_eq!(drain(&limiter, 0), burst);
            let before = limiter.peek(&0).reset_after();
            let passed = rounds(
                threads,
                1_000,
                |_| {
                    assert_eq!(limiter.peek(&0).reset_after(), before);
                    time.clock.advance(nanos(SECOND));
                },
                |_, _| (0..3).map(|_| u64::from(limiter.allow(&0))).sum(),
            );
            assert_eq!(passed, [1; 1_000], "{threads} threads, burst {burst}");
        }
    }
}

/// Case 18. The time stands still.
#[test]
fn at_one_instant_exactly_the_burst_passes() {
    let (limiter, _) = by_hand::<u64, 1>(Quota::per_day(1).burst(100));
    let passed = rounds(
        3,
        100,
        |_| {},
        |thread, round| {
            // One unit at a time, or one, two and three. The thread that takes one at a time checks
            // 101 times, so none of the 100 is left.
            let n = if round % 2 == 0 { thread as u64 + 1 } else { 1 };
            let key = round as u64;
            (0..101)
                .map(|_| n * u64::from(limiter.check_n(&key, n).is_allowed()))
                .sum()
        },
    );
    assert_eq!(passed, [100; 100]);
}

/// Case 22. The shard is locked for longer than a thread spins and yields before it parks.
#[test]
fn a_check_waits_for_its_shard_however_long_it_is_locked() {
    let ended = finishes("a check of a shard that was unlocked", || {
        let (limiter, _) = by_hand::<Stored, 1>(quota(1, SECOND, 2));
        assert!(limiter.allow(&Asked(0)));
        let (held, is_held) = mpsc::channel();
        let (decided, decisions) = mpsc::channel();
        thread::scope(|scope| {
            let limiter = &limiter;
            scope.spawn(move || {
                at_next(Call::Eq, move || {
                    held.send(()).unwrap();
                    let early = decisions.recv_timeout(Duration::from_millis(100));
                    assert!(early.is_err(), "decided while the shard was locked");
                });
                assert!(limiter.allow(&Asked(0)));
            });
            is_held.recv().unwrap();
            let others = [(); 3].map(|()| scope.spawn(|| limiter.allow(&Asked(0))));
            let passed = others.map(|other| other.join().unwrap());
            let _ = decided.send(());
            assert_eq!(passed, [false; 3], "the last unit was spent");
        });
    });
    ended.unwrap();
}

/// Case 22. rater denies after 16 failed exchanges, throttled fails after 10.
#[test]
fn contention_alone_denies_no_check() {
    const CHECKS: u64 = 10_000;
    for threads in [2, 3, 8] {
        let units = threads * CHECKS;
        let (limiter, _) = by_hand::<u64, 1>(Quota::per_day(1).burst(units));
        let passed = rounds(
            usize::try_from(threads).unwrap(),
            1,
            |_| {},
            |_, _| (0..CHECKS).filter(|_| limiter.allow(&0)).count() as u64,
        );
        assert_eq!(passed, [units]);
        assert!(!limiter.allow(&0), "one more than there were");
    }
}

/// Case 22. Each thread stores new keys, between sweeps and peeks.
#[test]
fn contention_for_new_keys_denies_no_check() {
    let (limiter, time) = by_hand::<u64, 1>(Quota::per_second(1).burst(3));
    let passed = rounds(
        3,
        500,
        |_| time.clock.advance(nanos(SECOND)),
        |thread, round| {
            if thread == 0 {
                limiter.sweep();
            }
            let key = round as u64;
            u64::from(limiter.peek(&key).is_allowed() && limiter.allow(&key))
        },
    );
    assert_eq!(passed, [3; 500]);
}
