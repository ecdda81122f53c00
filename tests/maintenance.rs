//! Cases 23 and 27 of the maintenance thread: what keys do to it, and it to them.

mod common;

use std::{
    hash::{Hash, Hasher},
    panic::{panic_any, set_hook, take_hook},
    sync::{Arc, Mutex, Weak, mpsc},
    thread,
    time::Duration,
};

use common::cases::{Asked, Call, Stored, at_next, by_hand, finishes, has_run, wait_until};
use tollgate::{Clock, ManualClock, Quota, RateLimiter};

type Action = Arc<dyn Fn() + Send + Sync>;

/// A key that does something when it is dropped, if it is the stored one.
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
        // Copies are dropped by tests; the library's thread drops what was stored.
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

/// The payload of a panic that panics when it is dropped, and whose payload does so again.
struct Bomb(u32);

impl Drop for Bomb {
    fn drop(&mut self) {
        if self.0 > 0 {
            panic_any(Bomb(self.0 - 1));
        }
    }
}

/// The sweep goes on over all keys, and so do the sweeps of others.
#[test]
fn a_panic_whose_payload_panics_ends_no_sweeping() {
    let hook = take_hook();
    set_hook(Box::new(|_| ()));
    let ended = finishes("sweeping after bombs", || {
        let clock = ManualClock::new();
        let (limiter, other) = (limiter(&clock), limiter(&clock));
        for round in 0..3 {
            for key in 0..100 {
                let bomb: Action = Arc::new(move || panic_any(Bomb(round)));
                let action = (key % 3 == 0).then_some(bomb);
                assert!(limiter.allow(&Key(key, action)));
                assert!(other.allow(&Key(key, None)));
            }
            clock.advance(Duration::from_secs(1));
            wait_until("all are swept", || limiter.is_empty() && other.is_empty());
        }
    });
    set_hook(hook);
    ended.unwrap();
}

/// Each used to be swept by a thread of its own, which dropped the other and waited for its thread.
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

/// A limiter is dropped by a key of its own, in a sweep of it.
#[test]
fn a_key_may_own_its_limiter() {
    let ended = finishes("a limiter that owns itself", || {
        let clock = ManualClock::new();
        let limiter = Arc::new(limiter(&clock));
        let weak = Arc::downgrade(&limiter);
        let own = Mutex::new(Some(Arc::clone(&limiter)));
        let action: Action = Arc::new(move || drop(own.lock().unwrap().take()));
        for key in 0..100 {
            assert!(limiter.allow(&Key(key, (key == 50).then(|| Arc::clone(&action)))));
        }
        drop((limiter, action));
        clock.advance(Duration::from_secs(1));
        wait_until("it is dropped", || weak.upgrade().is_none());
    });
    ended.unwrap();
}

/// A key's `Drop` runs under no lock: it may check any key of its limiter.
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

/// While a key's `Drop` holds the maintenance thread up: dropping the limiter does not wait.
#[test]
fn dropping_a_limiter_waits_for_no_sweep() {
    let ended = finishes("dropping a limiter in a sweep", || {
        let clock = ManualClock::new();
        let limiter = limiter(&clock);
        let (entered, is_in_drop) = mpsc::channel();
        let (go, wait) = mpsc::channel::<()>();
        let ends = Mutex::new((entered, wait));
        let action: Action = Arc::new(move || {
            let (entered, wait) = &*ends.lock().unwrap();
            entered.send(()).unwrap();
            wait.recv().unwrap();
        });
        assert!(limiter.allow(&Key(0, Some(action))));
        clock.advance(Duration::from_secs(1));
        is_in_drop.recv().unwrap();
        drop(limiter);
        go.send(()).unwrap();
    });
    ended.unwrap();
}

/// A coarse clock goes on while a large table is swept again and again: the sweep is cut in
/// slices. And where the thread is held up altogether, checks refresh the time themselves.
#[test]
fn a_coarse_clock_goes_on_while_the_thread_is_held_up() {
    let ended = finishes("a coarse clock beside a stuck sweep", || {
        let clock = ManualClock::new();
        let stuck = limiter(&clock);
        let coarse: RateLimiter<u64> = RateLimiter::builder(Quota::per_second(1_000).burst(1))
            .clock(Clock::coarse(Duration::from_millis(1)).unwrap())
            .sweep_by_hand()
            .build();
        let (entered, is_in_drop) = mpsc::channel();
        let (go, wait) = mpsc::channel::<()>();
        let ends = Mutex::new((entered, wait));
        let action: Action = Arc::new(move || {
            let (entered, wait) = &*ends.lock().unwrap();
            entered.send(()).unwrap();
            wait.recv().unwrap();
        });
        assert!(stuck.allow(&Key(0, Some(action))));
        clock.advance(Duration::from_secs(1));
        is_in_drop.recv().unwrap();
        for _ in 0..3 {
            wait_until("a unit is earned", || coarse.allow(&0));
        }
        go.send(()).unwrap();
    });
    ended.unwrap();
}

/// Whatever looks at a shard has it for itself. A shared lock would let readers, of whom one is
/// always there, keep all others out for ever: 8 threads that peek left one check in 5 ms.
#[test]
fn no_two_threads_are_in_one_shard_to_look() {
    type Act = fn(&RateLimiter<Stored>, &Asked) -> bool;
    let acts: [Act; 5] = [
        |limiter, key| limiter.peek(key).is_allowed(),
        |limiter, key| limiter.peek_n(key, 2).is_allowed(),
        |limiter, key| limiter.allow(key),
        |limiter, key| limiter.check_n(key, 2).is_allowed(),
        |limiter, key| limiter.forget(key),
    ];
    let ended = finishes("looking at one shard", move || {
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
                        // It has, unless the key was forgotten before.
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
