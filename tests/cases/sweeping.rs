//! Cases 19, 23 and 27: sweeps beside checks, sweeps without a call, and the end of a limiter.

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

use tollgate::{ManualClock, Quota, RateLimiter};

use crate::common::cases::{SECOND, Time, by_hand, drain, nanos, time_of};
use crate::common::keys::{Asked, Call, Stored, at_next, has_run};
use crate::common::threads::{finishes, rounds, wait_until};

/// Case 19. A full key may be swept while threads check it. No decision shows it.
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
                // The bucket is full when the round begins.
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
            assert_eq!(limiter.len(), 1, "the last spend is stored");
            assert_eq!(limiter.peek(&0).remaining(), 0);
        }
    }
}

/// Case 19. One thread sweeps all the time, and the other moves the time in small steps.
#[test]
fn under_constant_sweeping_a_key_is_admitted_what_it_earned() {
    let (limiter, time) = by_hand::<u64, 1>(Quota::per_second(10).burst(1));
    let (limiter, clock) = (&limiter, &time.clock);
    thread::scope(|scope| {
        let checker = scope.spawn(|| {
            for unit in 0..1_000 {
                assert!(limiter.allow(&0), "full, stored or not");
                // A unit takes ten of these steps.
                for _ in 0..10 {
                    assert!(!limiter.allow(&0), "the unit was spent");
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

/// Case 19. A check reads the clock and stalls. Meanwhile its key is stored, spent, full and swept.
/// When the check goes on, the key is unknown again, and the time that it read is old.
///
/// If the key were stored as of that time, it would earn all since then a second time.
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
        // Eight units are there by 4 s: 4 are spent before the sweep, and 1 after.
        let rest = limiter.peek(&Asked(0));
        assert_eq!(rest.remaining(), 3, "{stall} {forget}");
        assert_eq!(rest.reset_after(), nanos(SECOND));
        assert_eq!(limiter.sweep(), 0, "a key in debt");
        assert!(limiter.check_n(&Asked(0), 3).is_allowed());
        assert!(!limiter.allow(&Asked(0)));
    }
}

/// Case 27. The user has no runtime, starts no thread and calls no `sweep`.
#[test]
fn a_limiter_forgets_by_itself() {
    let time = Time::new();
    let limiter: RateLimiter<u64> = RateLimiter::builder(Quota::per_second(1).burst(10))
        .clock(time.clock.clone())
        .sweep_every(Duration::from_millis(1))
        .build();
    for round in 0..10 {
        for key in 0..1_000 {
            assert!(limiter.check_n(&key, 1 + key % 2).is_allowed());
        }
        time.advance(SECOND);
        // The keys that spent two are still in debt, however often a sweep runs.
        wait_until("half are forgotten", || limiter.len() <= 500);
        for _ in 0..1_000 {
            thread::yield_now();
        }
        assert_eq!(limiter.len(), 500, "round {round}");
        time.advance(SECOND);
        wait_until("the rest is forgotten", || limiter.is_empty());
    }
}

/// Case 27. No option is set. The test takes 1 s of real time, the shortest default interval.
#[test]
fn a_limiter_forgets_by_itself_by_default() {
    let time = Time::new();
    let limiter: RateLimiter<u64, 2> =
        RateLimiter::builder([Quota::per_second(1_000), Quota::per_second(10).burst(2)])
            .clock(time.clock.clone())
            .build();
    for key in 0..100 {
        assert!(limiter.allow(&key));
    }
    time.set(SECOND);
    wait_until("all are forgotten", || limiter.is_empty());
}

/// A key whose copies are counted.
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

/// Case 23. Of the keys, all, half or none are full. Either of two threads drops the last handle.
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
            // Half of the keys are full now, for the next sweep or for the one that runs.
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
            // A sweep that runs drops the keys when its slice ends.
            wait_until("nothing is left behind", || Arc::strong_count(&mark) == 1);
        }
    });
    ended.unwrap();
}

type Handle = Arc<RateLimiter<Arc<Holder>>>;

/// A key that may own the limiter that stores it, and sends the result of dropping it.
struct Holder {
    id: u64,
    limiter: Mutex<Option<Handle>>,
    dropped: mpsc::Sender<thread::Result<()>>,
}

impl Drop for Holder {
    fn drop(&mut self) {
        if let Some(limiter) = self.limiter.get_mut().unwrap().take() {
            let result = catch_unwind(|| drop(limiter));
            self.dropped.send(result).unwrap();
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

/// Case 23. A key owns the last handle, and the sweeping thread drops that key. The thread cannot
/// wait for its own end.
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
            let (dropped, is_dropped) = mpsc::channel();
            let holder = |id| {
                Arc::new(Holder {
                    id,
                    limiter: Mutex::new(None),
                    dropped: dropped.clone(),
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
            let result = is_dropped.recv().unwrap();
            assert!(result.is_ok(), "dropping it panics");
            assert_eq!(forgotten.strong_count(), 0, "its key is swept");
            wait_until("the table is dropped", || kept.strong_count() == 0);
        }
    });
    ended.unwrap();
}
