//! Keys whose own code panics, wherever a limiter calls it. The panic reaches the caller, and the
//! limiter goes on.

use std::{
    cell::RefCell,
    collections::HashSet,
    hash::{BuildHasherDefault, Hasher},
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tollgate::{Clock, Quota, RateLimiter};

use crate::common::cases::{SECOND, Time, by_hand, nanos};
use crate::common::keys::{Asked, Call, PANIC, Stored, at_next, calls, has_run, panic_at_next};
use crate::common::threads::{finishes, wait_until};

/// Returns whether `run` panics with [`PANIC`].
fn panics(run: impl FnOnce()) -> bool {
    let panic = catch_unwind(AssertUnwindSafe(run)).err();
    let message = panic.and_then(|panic| panic.downcast_ref::<&str>().copied());
    message == Some(PANIC)
}

/// Nothing is spent, no key is half stored, and no lock stays locked.
#[test]
fn a_key_that_panics_spends_nothing_and_breaks_nothing() {
    for call in [Call::Hash, Call::Eq, Call::ToOwned] {
        let (limiter, time) = by_hand::<Stored, 1>(Quota::per_second(1).burst(5));
        assert!(limiter.check_n(&Asked(0), 2).is_allowed());
        type Act = fn(&RateLimiter<Stored>, u64) -> bool;
        let acts: [Act; 4] = [
            |limiter, key| limiter.allow(&Asked(key)),
            |limiter, key| limiter.check_n(&Asked(key), 6).exceeds_burst(),
            |limiter, key| limiter.peek(&Asked(key)).is_allowed(),
            |limiter, key| limiter.forget(&Asked(key)),
        ];
        let mut panicked = 0;
        for act in acts {
            for key in [0, 1] {
                panic_at_next(call);
                let did = panics(|| {
                    act(&limiter, key);
                });
                assert_eq!(did, has_run());
                if !did {
                    // It did not make that call. Undo what it did, and run the hook.
                    let _ = panics(|| assert!(HashSet::from([Asked(7)]).contains(&Asked(7))));
                    let _ = panics(|| drop(Asked(7).to_owned()));
                    limiter.forget(&Asked(0));
                    limiter.forget(&Asked(1));
                    assert!(limiter.check_n(&Asked(0), 2).is_allowed());
                }
                panicked += usize::from(did);
                assert_eq!(limiter.len(), 1, "{call:?}");
                assert_eq!(limiter.peek(&Asked(0)).remaining(), 3, "{call:?}");
                assert_eq!(limiter.peek(&Asked(1)).remaining(), 5, "{call:?}");
            }
        }
        // Each act hashes, each act on a stored key compares, and one copies.
        let expected = match call {
            Call::Hash => 8,
            Call::Eq => 4,
            _ => 1,
        };
        assert_eq!(panicked, expected, "{call:?}");

        // The limiter goes on.
        assert!(limiter.check_n(&Asked(0), 3).is_allowed());
        assert_eq!(limiter.check(&Asked(0)).retry_after(), Some(nanos(SECOND)));
        assert!(limiter.check_n(&Asked(1), 5).is_allowed());
        time.set(5 * SECOND);
        assert_eq!(limiter.sweep(), 2);
        assert!(limiter.is_empty());
    }
}

/// The key is compared because another call stores it meanwhile.
#[test]
fn a_key_that_panics_while_it_is_stored_is_not_stored() {
    let (limiter, _) = by_hand::<Stored, 1>(Quota::per_second(1).burst(5));
    let limiter = Arc::new(limiter);
    let other = Arc::clone(&limiter);
    at_next(Call::ToOwned, move || {
        assert!(other.check_n(&Asked(0), 2).is_allowed());
        panic_at_next(Call::Eq);
    });
    assert!(panics(|| assert!(limiter.allow(&Asked(0)))));
    assert_eq!(limiter.len(), 1);
    assert_eq!(limiter.peek(&Asked(0)).remaining(), 3);
}

/// A table that grows hashes its keys again, and one of them may panic.
#[test]
fn a_key_that_panics_while_its_table_grows_loses_no_key() {
    let (limiter, time) = by_hand::<Stored, 1>(Quota::per_second(1).burst(5));
    let mut grown = 0;
    for key in 0..2_000 {
        // After the copy, the next `hash` is of another key.
        at_next(Call::ToOwned, || panic_at_next(Call::Hash));
        let did = panics(|| assert!(limiter.check_n(&Asked(key), 2).is_allowed()));
        if did {
            grown += 1;
            assert_eq!(limiter.len() as u64, key);
            assert!(limiter.check_n(&Asked(key), 2).is_allowed());
        } else {
            let _ = panics(|| drop(HashSet::from([Asked(key)])));
        }
        assert!(has_run());
        assert_eq!(limiter.len() as u64, key + 1);
    }
    assert!(grown > 5, "no table grew");
    assert!((0..2_000).all(|key| limiter.peek(&Asked(key)).remaining() == 3));
    time.set(2 * SECOND);
    assert_eq!(limiter.sweep(), 2_000);
}

/// Hashes a number as itself.
#[derive(Clone, Default)]
struct Itself(u64);

impl Hasher for Itself {
    fn write(&mut self, _: &[u8]) {}

    fn write_u64(&mut self, number: u64) {
        self.0 = number;
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

/// A table hashes its keys again without growing, to make room where keys were removed.
///
/// hashbrown may then lose keys of that shard, which `RateLimiter` documents. Nothing else breaks.
#[test]
fn a_key_that_panics_while_its_table_is_rehashed_breaks_nothing() {
    let time = Time::new();
    let limiter: RateLimiter<Stored, 1, BuildHasherDefault<Itself>> =
        RateLimiter::builder(Quota::per_second(1).burst(5))
            .clock(time.clock.clone())
            .hasher(BuildHasherDefault::default())
            .manual_sweep()
            .build();
    // One shard of 128 places is filled with 112 keys, and 72 of them are removed.
    for key in 0..112 {
        assert!(limiter.check_n(&Asked(key), 5).is_allowed());
    }
    for key in 40..112 {
        assert!(limiter.forget(&Asked(key)));
    }
    // After the copy of the next key, the second `hash` is of the second of the others.
    at_next(Call::ToOwned, || {
        at_next(Call::Hash, || panic_at_next(Call::Hash));
    });
    assert!(panics(|| assert!(limiter.allow(&Asked(120)))));
    let remaining = |key| limiter.peek(&Asked(key)).remaining();
    assert_eq!(remaining(120), 5, "nothing was spent");
    for key in 0..40 {
        let left = remaining(key);
        assert!(left == 0 || left == 5, "stored, or lost");
        assert_eq!(limiter.check_n(&Asked(key), 5).is_allowed(), left == 5);
    }
    time.set(5 * SECOND);
    assert_eq!(limiter.sweep(), 40);
    assert!((0..40).all(|key| remaining(key) == 5));
}

/// The sweep drops the other keys before it panics, too.
#[test]
fn a_key_that_panics_when_it_is_swept_is_forgotten_all_the_same() {
    let (limiter, time) = by_hand::<Stored, 1>(Quota::per_second(1).burst(5));
    for key in 0..100 {
        assert!(limiter.allow(&Asked(key)));
    }
    time.set(SECOND);
    panic_at_next(Call::Drop);
    assert!(panics(|| {
        limiter.sweep();
    }));
    assert_eq!(limiter.len(), 0);
    assert_eq!(limiter.sweep(), 0);
    assert!(limiter.allow(&Asked(0)));
    assert_eq!(limiter.len(), 1);
}

/// A key that panics when it is dropped, if its number is 50.
#[derive(PartialEq, Eq, Hash)]
struct Grumpy(u64);

impl Drop for Grumpy {
    fn drop(&mut self) {
        if self.0 == 50 {
            resume_unwind(Box::new(PANIC));
        }
    }
}

/// The maintenance thread goes on after the panic.
#[test]
fn a_key_that_panics_when_it_is_swept_does_not_end_the_sweeping() {
    let time = Time::new();
    let limiter: RateLimiter<Arc<Grumpy>> = RateLimiter::builder(Quota::per_second(1).burst(2))
        .clock(time.clock.clone())
        .sweep_every(Duration::from_millis(1))
        .build();
    for round in 1..=5 {
        for key in 0..100 {
            // The table owns the last handle to the key.
            assert!(limiter.allow(&Arc::new(Grumpy(key))));
        }
        time.set(round * SECOND);
        wait_until("the others are forgotten", || limiter.is_empty());
    }
}

/// `forget` panics, too.
#[test]
fn a_key_that_panics_when_it_is_forgotten_is_no_longer_counted() {
    let (limiter, _) = by_hand::<Stored, 1>(Quota::per_second(1).burst(5));
    assert!(limiter.allow(&Asked(0)));
    panic_at_next(Call::Drop);
    assert!(panics(|| {
        limiter.forget(&Asked(0));
    }));
    assert_eq!(limiter.peek(&Asked(0)).remaining(), 5, "it is forgotten");
    assert_eq!(limiter.len(), 0);
    assert!(limiter.is_empty());
}

/// `forget` compares a key once, and a comparison that panics removes no key.
#[test]
fn a_key_that_panics_when_it_is_compared_is_not_forgotten() {
    let (limiter, time) = by_hand::<Stored, 1>(Quota::per_second(1).burst(5));
    assert!(limiter.allow(&Asked(0)));
    let before = calls(Call::Eq);
    assert!(limiter.forget(&Asked(0)));
    assert_eq!(calls(Call::Eq), before + 1);
    assert!(limiter.allow(&Asked(0)));
    panic_at_next(Call::Eq);
    assert!(panics(|| {
        limiter.forget(&Asked(0));
    }));
    assert_eq!((limiter.len(), limiter.peek(&Asked(0)).remaining()), (1, 4));
    time.set(SECOND);
    assert_eq!(limiter.sweep(), 1);
    assert!(limiter.is_empty());
}

thread_local! {
    static ON_DROP: RefCell<Option<Box<dyn FnOnce()>>> = const { RefCell::new(None) };
}

/// A key whose first drop runs `ON_DROP`.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Acting(u64);

impl Drop for Acting {
    fn drop(&mut self) {
        if let Some(act) = ON_DROP.with_borrow_mut(Option::take) {
            act();
        }
    }
}

/// The clock panics when the key was copied and is not yet stored.
#[test]
fn a_key_that_could_not_be_stored_is_dropped_under_no_lock() {
    let ended = finishes("a key that is dropped in a panic", || {
        let clock = Clock::from_fn(|| {
            if ON_DROP.with_borrow(Option::is_some) {
                resume_unwind(Box::new(PANIC));
            }
            Duration::ZERO
        });
        let limiter: Arc<RateLimiter<Acting>> = Arc::new(
            RateLimiter::builder(Quota::per_second(1))
                .clock(clock)
                .manual_sweep()
                .build(),
        );
        let (looked, own) = (Arc::new(AtomicBool::new(false)), Arc::clone(&limiter));
        let noted = Arc::clone(&looked);
        let key = Acting(0);
        ON_DROP.set(Some(Box::new(move || {
            // This locks the shard.
            assert!(!own.forget(&Acting(0)));
            noted.store(true, Ordering::SeqCst);
        })));
        assert!(panics(|| assert!(limiter.allow(&key))));
        assert!(looked.load(Ordering::SeqCst));
        assert!(limiter.is_empty());
    });
    ended.unwrap();
}
