//! Cases 16 to 19, 22 and 23: what threads do to each other, on real ones.
//!
//! `src/tests` has the models of the same laws, in which every interleaving is tried. Here there
//! are as many as the machine comes up with, and every total is exact in each of them.

mod common;

use std::{
    hash::{Hash, Hasher},
    panic::catch_unwind,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
        mpsc,
    },
    thread,
    time::Duration,
};

use common::cases::{
    Asked, Call, HOUR, MINUTE, SECOND, Stored, Time, at_next, by_hand, drain, finishes, has_run,
    nanos, quota, rounds, time_of, wait_until,
};
use tollgate::{Decision, ManualClock, Quota, RateLimiter};

/// Case 16. One thread moves the time across the boundary while the others ask.
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

/// Case 16. A burst of 2 of which one is left, while the time moves on by one.
#[test]
fn threads_racing_for_what_is_left_and_what_is_earned_get_exactly_both() {
    for threads in [2, 3] {
        let (limiter, time) = by_hand::<u64, 1>(Quota::per_second(1).burst(3));
        let clock = &time.clock;
        assert_eq!(drain(&limiter, 0), 3);
        let passed = rounds(
            threads,
            1_000,
            // Nobody else is running: one is there when the round begins.
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

/// Case 17. Each thread earns a unit, and then it is there for it: nobody else can have had it,
/// as each has earned its own first.
#[test]
fn a_thread_that_has_seen_a_unit_earned_is_not_refused() {
    for threads in [2, 3] {
        let quota = quota(1, 1_000, threads as u64);
        let (limiter, time) = by_hand::<u64, 1>(quota);
        let clock = &time.clock;
        drain(&limiter, 0);
        let refused = rounds(
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
        assert_eq!(refused, [0; 20], "{threads} threads");
        // Exactly as many as were earned.
        assert_eq!(limiter.peek(&0).remaining(), 0);
        assert_eq!(limiter.peek(&0).retry_after(), Some(nanos(1_000)));
    }
}

/// Case 17. ratelimit and ratelock have a gap between claim and credit. Here the call stalls with a
/// time at which the unit is not yet there, and comes back when it is.
#[test]
fn a_call_that_stalls_until_its_unit_is_earned_is_not_refused() {
    let (limiter, time) = by_hand::<Stored, 1>(Quota::per_second(1).burst(2));
    let (limiter, clock) = (Arc::new(limiter), time.clock);
    {
        let limiter = Arc::clone(&limiter);
        at_next(Call::ToOwned, move || {
            assert!(limiter.check_n(&Asked(0), 2).is_allowed());
            clock.advance(nanos(SECOND));
        });
    }
    // It read 0 s, when others have spent both. It is 1 s now, and one is there.
    let decision = limiter.check(&Asked(0));
    assert!(has_run());
    assert!(decision.is_allowed());
    assert_eq!(decision.remaining(), 0);
    assert!(!limiter.allow(&Asked(0)));
}

/// Case 17. The same of a key that is known, and waits for its lock while the unit is earned: for
/// which the time moves on where keys are compared.
#[test]
fn a_call_that_waits_for_its_lock_until_its_unit_is_earned_is_not_refused() {
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
        "as of now, not as of the call"
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

/// Case 18. The bucket is left as it was found: one earned, one spent. A no-op compare-and-swap on
/// a split state handed one token to many.
#[test]
fn a_state_that_looks_unchanged_lets_nobody_pass_twice() {
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

/// Case 18. And at one instant, whatever `n` is made up of.
#[test]
fn at_one_instant_exactly_the_burst_passes() {
    let (limiter, _) = by_hand::<u64, 1>(Quota::per_day(1).burst(100));
    let passed = rounds(
        3,
        100,
        |_| {},
        |thread, round| {
            // By ones, and by ones, twos and threes. No remainder of 100 is left over, as there
            // always is a thread that asks for one, 101 times.
            let n = if round % 2 == 0 { thread as u64 + 1 } else { 1 };
            let key = round as u64;
            (0..101)
                .map(|_| n * u64::from(limiter.check_n(&key, n).is_allowed()))
                .sum()
        },
    );
    assert_eq!(passed, [100; 100]);
}

/// Case 19. A key that is full may be forgotten while threads ask for it, and nobody can tell.
#[test]
fn a_sweep_between_checks_mints_no_unit_and_loses_no_spend() {
    for threads in [2, 3] {
        for burst in [1, 2] {
            let quota = Quota::per_second(1).burst(burst);
            let (limiter, time) = by_hand::<u64, 1>(quota);
            let (clock, forgotten) = (&time.clock, AtomicU64::new(0));
            assert_eq!(drain(&limiter, 0), burst);
            let passed = rounds(
                threads,
                1_000,
                // The bucket is as full as it gets when the round begins.
                |_| {
                    assert_eq!(limiter.sweep(), 0, "in debt");
                    clock.advance(nanos(time_of(&quota, burst)));
                },
                |thread, _| {
                    if thread == 0 {
                        let swept = limiter.sweep() as u64;
                        forgotten.fetch_add(swept, Ordering::Relaxed);
                    }
                    (0..3).map(|_| u64::from(limiter.allow(&0))).sum()
                },
            );
            assert_eq!(passed, [burst; 1_000], "{threads} threads, burst {burst}");
            assert_eq!(limiter.len(), 1, "the last spend is on record");
            assert_eq!(limiter.peek(&0).remaining(), 0);
        }
    }
}

/// Case 19. While another thread does nothing but sweep, and the time moves in small steps.
#[test]
fn under_constant_sweeping_a_key_is_admitted_what_it_earned() {
    let (limiter, time) = by_hand::<u64, 1>(Quota::per_second(10).burst(1));
    let (limiter, clock) = (&limiter, &time.clock);
    thread::scope(|scope| {
        let checker = scope.spawn(|| {
            for unit in 0..1_000 {
                assert!(limiter.allow(&0), "full, and swept or not");
                // A unit takes ten steps.
                for _ in 0..10 {
                    assert!(!limiter.allow(&0), "one was spent, whoever forgot it");
                    clock.advance(nanos(SECOND / 100));
                }
                match unit % 3 {
                    0 => wait_until("a sweep", || limiter.is_empty()),
                    1 => clock.advance(nanos(SECOND)),
                    _ => {}
                }
            }
        });
        let mut forgotten = 0;
        while !checker.is_finished() {
            forgotten += limiter.sweep();
        }
        checker.join().unwrap();
        assert!(forgotten >= 334, "{forgotten}");
    });
}

/// Case 19. A check reads the clock and stalls; its key comes, is spent, is full and is swept; the
/// check comes back to a key that is unknown again, with a time long past.
///
/// Stored as of that time, the bucket would earn everything since a second time.
#[test]
fn a_check_stalled_across_a_sweep_mints_no_unit() {
    for (stall, forget) in [(true, false), (true, true), (false, false)] {
        let (limiter, time) = by_hand::<Stored, 1>(Quota::per_second(1).burst(4));
        let (limiter, clock) = (Arc::new(limiter), time.clock);
        let others = {
            let (limiter, clock) = (Arc::clone(&limiter), clock.clone());
            move || {
                assert!(limiter.check_n(&Asked(0), 4).is_allowed());
                clock.advance(nanos(4 * SECOND));
                if forget {
                    assert!(limiter.forget(&Asked(0)));
                } else {
                    assert_eq!(limiter.sweep(), 1);
                }
                assert!(limiter.is_empty());
            }
        };
        if stall {
            at_next(Call::ToOwned, others);
        } else {
            others();
        }
        assert!(limiter.check(&Asked(0)).is_allowed());
        assert!(has_run());
        // 8 by 4 s, of which 4 were spent before the sweep and 1 after.
        let rest = limiter.peek(&Asked(0));
        assert_eq!(rest.remaining(), 3, "{stall} {forget}");
        assert_eq!(rest.reset_after(), nanos(SECOND));
        assert_eq!(limiter.sweep(), 0, "a spend that is not yet earned back");
        assert!(limiter.check_n(&Asked(0), 3).is_allowed());
        assert!(!limiter.allow(&Asked(0)));
    }
}

/// Case 19. The same with a thread that really stands still.
#[test]
fn a_thread_stalled_across_a_sweep_mints_no_unit() {
    let (limiter, time) = by_hand::<Stored, 1>(Quota::per_minute(60).burst(2));
    thread::scope(|scope| {
        let (stalled, is_stalled) = mpsc::channel();
        let (go, wait) = mpsc::channel();
        let limiter = &limiter;
        let checker = scope.spawn(move || {
            at_next(Call::ToOwned, move || {
                stalled.send(()).unwrap();
                wait.recv().unwrap();
            });
            limiter.check_n(&Asked(0), 2)
        });
        is_stalled.recv().unwrap();
        time.set(MINUTE);
        assert!(limiter.check_n(&Asked(0), 2).is_allowed());
        time.set(2 * MINUTE);
        assert_eq!(limiter.sweep(), 1);
        go.send(()).unwrap();
        assert!(checker.join().unwrap().is_allowed());
    });
    assert_eq!(limiter.peek(&Asked(0)).remaining(), 0);
    assert!(!limiter.allow(&Asked(0)));
    time.advance(SECOND);
    assert!(limiter.allow(&Asked(0)));
    assert!(!limiter.allow(&Asked(0)));
}

/// Case 22. It is held for longer than anybody tries again without being put to sleep.
#[test]
fn a_check_waits_for_its_shard_however_long_it_is_held() {
    let ended = finishes("a check of a shard that was let go of", || {
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
                    assert!(early.is_err(), "decided while the shard was held");
                });
                assert!(limiter.allow(&Asked(0)));
            });
            is_held.recv().unwrap();
            let others = [(); 3].map(|()| scope.spawn(|| limiter.allow(&Asked(0))));
            let passed = others.map(|other| other.join().unwrap());
            let _ = decided.send(());
            assert_eq!(passed, [false; 3], "the holder spent the last");
        });
    });
    ended.unwrap();
}

/// Case 22. rater refuses after 16 failed exchanges, throttled after 10.
#[test]
fn contention_alone_refuses_nobody() {
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
        assert!(!limiter.allow(&0), "and one more is one too many");
    }
}

/// Case 22. New keys all the time, from every thread, with sweeps and looks in between.
#[test]
fn contention_for_new_keys_refuses_nobody() {
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

/// A key that says when the table has dropped it.
#[derive(Clone)]
struct Kept(u64, #[expect(dead_code, reason = "it is counted")] Arc<()>);

impl Hash for Kept {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.hash(state);
    }
}

impl PartialEq for Kept {
    fn eq(&self, other: &Kept) -> bool {
        self.0 == other.0
    }
}

impl Eq for Kept {}

/// Case 23. Full of keys that are swept, that are not, and both; from whichever thread is last.
#[test]
fn the_last_handle_may_be_dropped_while_a_sweep_runs() {
    let ended = finishes("dropping a limiter that sweeps", || {
        for iteration in 0..100_u64 {
            let mark = Arc::new(());
            let clock = ManualClock::new();
            let limiter = Arc::new(
                RateLimiter::builder(Quota::per_second(1).burst(2))
                    .clock(clock.clone())
                    .sweep_every(Duration::from_millis(1))
                    .build(),
            );
            for key in 0..100 + iteration * 10 {
                assert!(
                    limiter
                        .check_n(&Kept(key, Arc::clone(&mark)), 1 + key % 2)
                        .is_allowed()
                );
            }
            // Now half of them are to be forgotten, at the next sweep or in the middle of one.
            clock.advance(nanos(SECOND));
            if iteration % 2 == 0 {
                let half = usize::try_from(50 + iteration * 5).unwrap();
                wait_until("a sweep", || limiter.len() <= half);
            }
            let handles = [Arc::clone(&limiter), limiter];
            thread::scope(|scope| {
                for handle in handles {
                    let mark = &mark;
                    scope.spawn(move || {
                        let _ = handle.allow(&Kept(iteration, Arc::clone(mark)));
                        drop(handle);
                    });
                }
            });
            // A slice of a sweep that is under way drops the keys when it ends.
            wait_until("nothing is left behind", || Arc::strong_count(&mark) == 1);
        }
    });
    ended.unwrap();
}

/// Case 23. What comes out of a limiter holds nothing of it.
#[test]
fn a_decision_outlives_its_limiter() {
    fn is_free<T: Send + 'static>(value: T) -> T {
        value
    }
    let decision: Decision = {
        let (limiter, _) = by_hand::<u64, 1>(Quota::per_hour(1).burst(1));
        assert!(limiter.allow(&0));
        limiter.check(&0)
    };
    let decision = is_free(decision);
    assert_eq!(decision.retry_after(), Some(nanos(HOUR)));
}

type Handle = Arc<RateLimiter<Arc<Holder>>>;

/// A key that may hold the limiter that it is stored in, and says how letting go of it went.
struct Holder {
    id: u64,
    limiter: Mutex<Option<Handle>>,
    let_go: mpsc::Sender<thread::Result<()>>,
}

impl Drop for Holder {
    fn drop(&mut self) {
        if let Some(limiter) = self.limiter.get_mut().unwrap().take() {
            let result = catch_unwind(|| drop(limiter));
            self.let_go.send(result).unwrap();
        }
    }
}

impl Hash for Holder {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.id.hash(state);
    }
}

impl PartialEq for Holder {
    fn eq(&self, other: &Holder) -> bool {
        self.id == other.id
    }
}

impl Eq for Holder {}

/// Case 23. The last handle sits in a key, and the sweeping thread drops that: it cannot wait for
/// itself to end, and ends all the same.
#[test]
fn the_last_handle_may_be_dropped_by_the_sweep_itself() {
    let ended = finishes("a sweep that drops the limiter", || {
        for _ in 0..25 {
            let time = Time::new();
            let limiter: Handle = Arc::new(
                RateLimiter::builder(Quota::per_second(1).burst(2))
                    .clock(time.clock.clone())
                    .sweep_every(Duration::from_millis(1))
                    .build(),
            );
            let (let_go, has_let_go) = mpsc::channel();
            let holder = |id| {
                Arc::new(Holder {
                    id,
                    limiter: Mutex::new(None),
                    let_go: let_go.clone(),
                })
            };
            let (forgotten, kept) = (holder(0), holder(1));
            assert!(limiter.check_n(&forgotten, 1).is_allowed());
            assert!(limiter.check_n(&kept, 2).is_allowed());
            *forgotten.limiter.lock().unwrap() = Some(limiter);
            let handles = (forgotten, kept);
            let (forgotten, kept) = (Arc::downgrade(&handles.0), Arc::downgrade(&handles.1));
            drop(handles);
            assert_eq!((forgotten.strong_count(), kept.strong_count()), (1, 1));

            time.set(SECOND);
            let result = has_let_go.recv().unwrap();
            assert!(result.is_ok(), "letting go of it panics");
            assert_eq!(forgotten.strong_count(), 0, "as its key was swept");
            wait_until("the thread ends, and its table with it", || {
                kept.strong_count() == 0
            });
        }
    });
    ended.unwrap();
}

/// Case 23. A check that is under way holds its limiter: it ends as if nobody had let go.
#[test]
fn a_check_under_way_outlives_every_other_handle() {
    let (limiter, _) = by_hand::<Stored, 1>(Quota::per_minute(60).burst(2));
    let limiter = Arc::new(limiter);
    let (stalled, is_stalled) = mpsc::channel();
    let (go, wait) = mpsc::channel();
    let checker = thread::spawn({
        let limiter = Arc::clone(&limiter);
        move || {
            at_next(Call::ToOwned, move || {
                stalled.send(()).unwrap();
                wait.recv().unwrap();
            });
            let decision = limiter.check_n(&Asked(0), 2);
            (decision, limiter.peek(&Asked(0)))
        }
    });
    is_stalled.recv().unwrap();
    drop(limiter);
    go.send(()).unwrap();
    let (decision, after) = checker.join().unwrap();
    assert!(decision.is_allowed());
    assert_eq!((decision.remaining(), after.remaining()), (0, 0));
}
