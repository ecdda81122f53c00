//! Cases 23 and 27: keys whose code stops, panics on or re-enters the maintenance thread.
//!
//! A test binary of its own: these tests hold up the one maintenance thread of their process.

#[path = "common/core.rs"]
mod common;

use std::{
    hash::{Hash, Hasher},
    panic::resume_unwind,
    sync::{
        Arc, Mutex, Weak,
        atomic::{AtomicUsize, Ordering},
        mpsc,
    },
    thread,
    time::Duration,
};

use common::cases::by_hand;
use common::keys::{Asked, Call, Stored, at_next, has_run};
use common::threads::{finishes, wait_until};
use tollgate::{Clock, ManualClock, Quota, RateLimiter, TieredLimiter};

type Action = Arc<dyn Fn() + Send + Sync>;

/// A key whose action runs when the maintenance thread drops it.
#[derive(Clone)]
struct Key(u64, Option<Action>);

impl Hash for Key {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.hash(state);
    }
}

impl PartialEq for Key {
    fn eq(&self, other: &Key) -> bool {
        self.0 == other.0
    }
}

impl Eq for Key {}

impl Drop for Key {
    fn drop(&mut self) {
        // Tests drop copies. The maintenance thread drops stored keys.
        if thread::current().name() == Some("tollgate")
            && let Some(action) = self.1.take()
        {
            action();
        }
    }
}

fn limiter(clock: &ManualClock) -> RateLimiter<Key> {
    RateLimiter::builder(Quota::per_second(1).burst(2))
        .clock(clock.clone())
        .sweep_every(Duration::from_millis(1))
        .build()
}

/// The payload of a panic. It panics when it is dropped, with a payload that does so again.
struct Bomb(u32);

impl Drop for Bomb {
    fn drop(&mut self) {
        if self.0 > 0 {
            resume_unwind(Box::new(Bomb(self.0 - 1)));
        }
    }
}

/// The sweep visits all other keys, and other limiters are swept, too.
#[test]
fn a_panic_whose_payload_panics_ends_no_sweeping() {
    let ended = finishes("sweeping after bombs", || {
        let clock = ManualClock::new();
        let (limiter, other) = (limiter(&clock), limiter(&clock));
        for round in 0..3 {
            for key in 0..100 {
                let bomb: Action = Arc::new(move || resume_unwind(Box::new(Bomb(round))));
                let action = (key % 3 == 0).then_some(bomb);
                assert!(limiter.allow(&Key(key, action)));
                assert!(other.allow(&Key(key, None)));
            }
            clock.advance(Duration::from_secs(1));
            wait_until("all are swept", || limiter.is_empty() && other.is_empty());
        }
    });
    ended.unwrap();
}

/// Returns an action that stops the maintenance thread, the end that receives when it has stopped,
/// and the end that lets it go on.
fn held_up() -> (Action, mpsc::Receiver<()>, mpsc::Sender<()>) {
    let (entered, is_in_drop) = mpsc::channel();
    let (go, wait) = mpsc::channel::<()>();
    let ends = Mutex::new((entered, wait));
    let action: Action = Arc::new(move || {
        let (entered, wait) = &*ends.lock().unwrap();
        entered.send(()).unwrap();
        wait.recv().unwrap();
    });
    (action, is_in_drop, go)
}

/// The thread drops the keys one by one, so two that panic do not abort the process.
#[test]
fn keys_that_panic_may_be_dropped_by_the_thread() {
    let ended = finishes("dropping keys that panic", || {
        let clock = ManualClock::new();
        let (limiter, other) = (limiter(&clock), limiter(&clock));
        let dropped = Arc::new(AtomicUsize::new(0));
        let (action, is_in_drop, go) = held_up();
        for key in 1..1_000 {
            let dropped = Arc::clone(&dropped);
            let bomb: Action = Arc::new(move || {
                dropped.fetch_add(1, Ordering::SeqCst);
                resume_unwind(Box::new("the key panics"));
            });
            // In debt: no sweep drops these.
            assert!(limiter.check_n(&Key(key, Some(bomb)), 2).is_allowed());
        }
        assert!(limiter.allow(&Key(0, Some(action))));
        assert!(other.allow(&Key(0, None)));
        clock.advance(Duration::from_secs(1));
        is_in_drop.recv().unwrap();
        drop(limiter);
        go.send(()).unwrap();
        wait_until("all are dropped", || dropped.load(Ordering::SeqCst) == 999);
        wait_until("the thread goes on", || other.is_empty());
    });
    ended.unwrap();
}

/// The thread drops the keys in slices. A job that falls due does not wait for all of them.
#[test]
fn the_keys_of_a_dropped_limiter_hold_up_no_other() {
    const KEYS: usize = 100_000;
    let ended = finishes("dropping many keys", || {
        let (clock, other_clock) = (ManualClock::new(), ManualClock::new());
        let (limiter, other) = (limiter(&clock), limiter(&other_clock));
        let (left, left_then) = (
            Arc::new(AtomicUsize::new(KEYS)),
            Arc::new(AtomicUsize::new(0)),
        );
        let (action, is_in_drop, go) = held_up();
        for key in 1..=KEYS as u64 {
            let (left, other_clock) = (Arc::clone(&left), other_clock.clone());
            let count: Action = Arc::new(move || {
                if left.fetch_sub(1, Ordering::SeqCst) == KEYS {
                    // From now on, the other limiter has a key to drop at its next sweep.
                    other_clock.advance(Duration::from_secs(1));
                }
            });
            // In debt: no sweep drops these.
            assert!(limiter.check_n(&Key(key, Some(count)), 2).is_allowed());
        }
        let (seen, noted) = (Arc::clone(&left), Arc::clone(&left_then));
        let note: Action = Arc::new(move || {
            noted.store(seen.load(Ordering::SeqCst), Ordering::SeqCst);
        });
        assert!(other.allow(&Key(0, Some(note))));
        assert!(limiter.allow(&Key(0, Some(action))));
        clock.advance(Duration::from_secs(1));
        is_in_drop.recv().unwrap();
        drop(limiter);
        go.send(()).unwrap();
        wait_until("all are dropped", || left.load(Ordering::SeqCst) == 0);
        wait_until("the other is swept", || other.is_empty());
        assert!(left_then.load(Ordering::SeqCst) > 0, "it waited for all");
    });
    ended.unwrap();
}

/// With a thread for each, one dropped the other limiter and waited for its thread.
#[test]
fn limiters_whose_keys_own_each_other_are_dropped() {
    let ended = finishes("limiters that own each other", || {
        for _ in 0..100 {
            let clock = ManualClock::new();
            let (one, other) = (Arc::new(limiter(&clock)), Arc::new(limiter(&clock)));
            let weak: [Weak<RateLimiter<Key>>; 2] = [Arc::downgrade(&one), Arc::downgrade(&other)];
            let owned = |limiter: Arc<RateLimiter<Key>>| -> Option<Action> {
                let limiter = Mutex::new(Some(limiter));
                Some(Arc::new(move || drop(limiter.lock().unwrap().take())))
            };
            assert!(one.allow(&Key(0, owned(Arc::clone(&other)))));
            assert!(other.allow(&Key(0, owned(Arc::clone(&one)))));
            drop((one, other));
            clock.advance(Duration::from_secs(1));
            wait_until("both are dropped", || {
                weak.iter().all(|weak| weak.upgrade().is_none())
            });
        }
    });
    ended.unwrap();
}

/// The thread drops a key under no lock, so the key may check any key of its limiter.
#[test]
fn a_swept_key_may_check_its_limiter() {
    let ended = finishes("a check from Drop", || {
        let clock = ManualClock::new();
        let limiter = Arc::new(limiter(&clock));
        let checks = Arc::new(Mutex::new(0));
        for key in 0..100 {
            let (weak, checks) = (Arc::downgrade(&limiter), Arc::clone(&checks));
            let action: Action = Arc::new(move || {
                let limiter = weak.upgrade().unwrap();
                assert!((0..100).all(|key| limiter.peek(&Key(key, None)).is_allowed()));
                *checks.lock().unwrap() += 1;
            });
            assert!(limiter.allow(&Key(key, Some(action))));
        }
        clock.advance(Duration::from_secs(1));
        wait_until("all are swept", || *checks.lock().unwrap() == 100);
        assert!(limiter.is_empty());
    });
    ended.unwrap();
}

/// A key holds up the sweep, and the drop of the limiter does not wait for it.
#[test]
fn dropping_a_limiter_waits_for_no_sweep() {
    let ended = finishes("dropping a limiter in a sweep", || {
        let clock = ManualClock::new();
        let limiter = limiter(&clock);
        let (action, is_in_drop, go) = held_up();
        assert!(limiter.allow(&Key(0, Some(action))));
        clock.advance(Duration::from_secs(1));
        is_in_drop.recv().unwrap();
        drop(limiter);
        go.send(()).unwrap();
    });
    ended.unwrap();
}

/// Checks refresh the time themselves while the maintenance thread is held up. A thread that uses
/// two clocks by turns refreshes both.
#[test]
fn a_coarse_clock_goes_on_while_the_thread_is_held_up() {
    let ended = finishes("a coarse clock beside a stuck sweep", || {
        let clock = ManualClock::new();
        let stuck = limiter(&clock);
        let coarse = || {
            RateLimiter::<u64>::builder(Quota::per_second(1_000).burst(1))
                .clock(Clock::coarse(Duration::from_millis(1)).unwrap())
                .manual_sweep()
                .build()
        };
        let (one, other) = (coarse(), coarse());
        let (action, is_in_drop, go) = held_up();
        assert!(stuck.allow(&Key(0, Some(action))));
        clock.advance(Duration::from_secs(1));
        is_in_drop.recv().unwrap();
        for limiter in [&one, &other] {
            let units = AtomicUsize::new(0);
            wait_until("three units are earned", || {
                // Both clocks are read by turns: by a peek, and by a check that is allowed.
                let seen = [&one, &other].map(|limiter| limiter.peek(&0).is_allowed());
                if seen.iter().all(|is_allowed| *is_allowed) {
                    units.fetch_add(usize::from(limiter.allow(&0)), Ordering::SeqCst);
                    let _ = if std::ptr::eq(limiter, &one) {
                        other.allow(&0)
                    } else {
                        one.allow(&0)
                    };
                }
                units.load(Ordering::SeqCst) >= 3
            });
        }
        go.send(()).unwrap();
    });
    ended.unwrap();
}

/// A peek locks its shard exclusively. Under a shared lock, threads that peek all the time keep a
/// check out: with 8 of them, one check passed in 5 ms.
///
/// The second thread has 50 ms to enter. If it is slower, this test misses a bug; it never fails
/// wrongly.
#[test]
fn no_two_threads_are_in_one_shard() {
    type Act = fn(&RateLimiter<Stored>, &Asked) -> bool;
    let acts: [Act; 5] = [
        |limiter, key| limiter.peek(key).is_allowed(),
        |limiter, key| limiter.peek_n(key, 2).is_allowed(),
        |limiter, key| limiter.allow(key),
        |limiter, key| limiter.check_n(key, 2).is_allowed(),
        |limiter, key| limiter.forget(key),
    ];
    let ended = finishes("two threads at one shard", move || {
        for first in acts {
            for second in [acts[0], acts[1], acts[4]] {
                let (limiter, _) = by_hand::<Stored, 1>(Quota::per_second(1).burst(50));
                let limiter = Arc::new(limiter);
                assert!(limiter.allow(&Asked(0)));
                let (go, wait) = mpsc::channel();
                let (inside, is_inside) = mpsc::channel();
                let look = |act: Act, wait: Option<mpsc::Receiver<()>>| {
                    let (limiter, inside) = (Arc::clone(&limiter), inside.clone());
                    thread::spawn(move || {
                        at_next(Call::Eq, move || {
                            inside.send(()).unwrap();
                            if let Some(wait) = wait {
                                wait.recv().unwrap();
                            }
                        });
                        act(&limiter, &Asked(0));
                        // The hook has run, unless the key was forgotten before.
                        let _ = has_run();
                    })
                };
                let holder = look(first, Some(wait));
                is_inside.recv().unwrap();
                let other = look(second, None);
                let is_shared = is_inside.recv_timeout(Duration::from_millis(50)).is_ok();
                go.send(()).unwrap();
                holder.join().unwrap();
                other.join().unwrap();
                assert!(!is_shared, "two threads are in one shard");
            }
        }
    });
    ended.unwrap();
}

/// The thread sweeps the limiter of tiers as long as one of them lives. Its last handle ends that, and drops
/// the keys.
#[test]
fn a_limiter_is_swept_while_a_tier_of_it_lives() {
    let clock = ManualClock::new();
    let limits: TieredLimiter<Key> = TieredLimiter::builder(Quota::per_second(1).burst(2))
        .clock(clock.clone())
        .sweep_every(Duration::from_millis(1))
        .build();
    let tier = limits.tier(Quota::per_second(2)).unwrap();
    drop(limits);
    let dropped = Arc::new(AtomicUsize::new(0));
    let action: Action = {
        let dropped = Arc::clone(&dropped);
        Arc::new(move || {
            dropped.fetch_add(1, Ordering::SeqCst);
        })
    };
    assert!(tier.allow(&Key(1, Some(action))));
    clock.advance(Duration::from_secs(1));
    wait_until("the key is swept", || dropped.load(Ordering::SeqCst) == 1);
    assert_eq!(tier.peek(&Key(1, None)).remaining(), 2);
}
