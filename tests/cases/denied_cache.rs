//! The per-thread cache of denied keys: it is never wrong, takes no lock, and is bounded.

use std::{
    hash::{BuildHasherDefault, Hash, Hasher},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
        mpsc,
    },
    thread,
};

use tollgate::{Policy, Quota, RateLimiter};

use crate::common::cases::{Numbers, SECOND, Time, by_hand, drain};
use crate::common::keys::{Asked, Call, Stored, at_next};
use crate::common::oracle::{Oracle, answer};
use crate::common::threads::finishes;

/// Another thread has locked the key's shard.
#[test]
fn a_cached_denial_takes_no_lock() {
    let ended = finishes("a denial beside a locked shard", || {
        let (limiter, _) = by_hand::<Stored, 1>(Quota::per_second(1).burst(1));
        let limiter = Arc::new(limiter);
        assert!(limiter.allow(&Asked(0)));
        let first = limiter.check(&Asked(0));
        let (held, is_held) = mpsc::channel();
        let (release, is_released) = mpsc::channel::<()>();
        let holder = {
            let limiter = Arc::clone(&limiter);
            thread::spawn(move || {
                at_next(Call::Eq, move || {
                    held.send(()).unwrap();
                    is_released.recv().unwrap();
                });
                limiter.forget(&Asked(0))
            })
        };
        is_held.recv().unwrap();
        for _ in 0..1_000 {
            assert_eq!(answer(&limiter.check(&Asked(0))), answer(&first));
        }
        release.send(()).unwrap();
        assert!(holder.join().unwrap());
        assert!(limiter.allow(&Asked(0)), "the key was forgotten");
    });
    ended.unwrap();
}

/// Every number is the oracle's, at random times, for 0 to 4 units, between calls of `forget`.
#[test]
fn a_cached_denial_has_the_numbers_of_the_table() {
    let one = Policy::from(Quota::per_minute(6).burst(3));
    let two = Policy::from([Quota::per_second(1).burst(2), Quota::per_minute(6).burst(3)]);
    compare(one, 1);
    compare(two, 2);
}

fn compare<const N: usize>(policy: Policy<N>, seed: u64) {
    const KEYS: u64 = 5;
    let (limiter, time) = by_hand::<u64, N>(policy);
    let mut numbers = Numbers::new(seed);
    let mut oracles = [(); KEYS as usize].map(|()| Oracle::new(policy.quotas()));
    let (mut denied, mut forgotten) = (0, 0);
    for _ in 0..100_000 {
        // Most steps are shorter than the time of a unit.
        time.advance(numbers.below(SECOND / 2) >> numbers.below(30));
        let key = numbers.below(KEYS);
        let oracle = &mut oracles[usize::try_from(key).unwrap()];
        if numbers.below(200) == 0 {
            forgotten += usize::from(limiter.forget(&key));
            *oracle = Oracle::new(policy.quotas());
            oracle.check(time.now(), 0);
        } else {
            let n = [1, 1, 1, 1, 0, 2, 3, 4][usize::try_from(numbers.below(8)).unwrap()];
            let decision = limiter.check_n(&key, n);
            let expected = oracle.check(time.now(), n);
            assert_eq!(
                answer(&decision),
                expected,
                "{n} of {key} at {}",
                time.now()
            );
            denied += usize::from(!expected.allowed);
        }
    }
    assert!(denied > 30_000, "{denied}");
    assert!(forgotten > 200, "{forgotten}");
}

/// Has the same hash for all keys.
#[derive(Clone, Default)]
struct Alike;

impl Hasher for Alike {
    fn write(&mut self, _: &[u8]) {}

    fn finish(&self) -> u64 {
        0x1234_5678_9abc_def0
    }
}

#[test]
fn a_key_with_the_hash_of_a_cached_key_is_not_denied() {
    let time = Time::new();
    let limiter: RateLimiter<u64, 1, BuildHasherDefault<Alike>> =
        RateLimiter::builder(Quota::per_second(1).burst(2))
            .clock(time.clock.clone())
            .hasher(BuildHasherDefault::default())
            .manual_sweep()
            .build();
    for key in 0..100 {
        for earlier in 0..key {
            assert!(!limiter.allow(&earlier), "{earlier}");
        }
        assert!(limiter.allow(&key));
        assert!(limiter.allow(&key));
    }
}

#[test]
fn a_denial_is_not_cached_while_a_unit_is_left() {
    let (limiter, _) = by_hand::<u64, 1>(Quota::per_second(1).burst(5));
    assert!(limiter.check_n(&0, 3).is_allowed());
    for remaining in [2, 1] {
        let denied = limiter.check_n(&0, 3);
        assert!(!denied.is_allowed());
        assert_eq!(denied.remaining(), remaining);
        // Another thread spends a unit.
        let other = thread::scope(|scope| scope.spawn(|| limiter.allow(&0)).join());
        assert!(other.unwrap());
    }
    assert_eq!(limiter.check_n(&0, 3).remaining(), 0);
}

/// `forget` of one key invalidates the cached denial of another, too.
#[test]
fn a_forgotten_key_ends_all_cached_denials() {
    let (limiter, _) = by_hand::<u64, 1>(Quota::per_second(1).burst(1));
    for key in [0, 1] {
        assert_eq!(drain(&limiter, key), 1);
    }
    assert!(limiter.forget(&0));
    assert!(!limiter.allow(&1));
    assert!(limiter.allow(&0));
    assert!(!limiter.allow(&0));
}

#[test]
fn more_limiters_than_a_thread_has_caches_are_told_apart() {
    // They share a hasher, so that one could find the keys of another.
    let builder = || RateLimiter::builder(Quota::per_second(1).burst(2)).manual_sweep();
    let limiters: Vec<RateLimiter<u64, 1, BuildHasherDefault<Alike>>> = (0..300)
        .map(|_| {
            builder()
                .clock(Time::new().clock)
                .hasher(BuildHasherDefault::default())
        })
        .map(|builder| builder.build())
        .collect();
    for _ in 0..2 {
        for (index, limiter) in limiters.iter().enumerate() {
            assert!(limiter.allow(&0) && limiter.allow(&0), "{index}");
            assert!(!limiter.allow(&0) && !limiter.allow(&0), "{index}");
        }
        for limiter in &limiters {
            assert!(!limiter.allow(&0));
            assert!(limiter.forget(&0));
        }
    }
    // Limiters of another type replace them.
    let others: Vec<_> = (0..300)
        .map(|_| by_hand::<String, 2>([Quota::per_second(1).burst(2); 2]).0)
        .collect();
    for limiter in &others {
        assert!(limiter.allow("0") && limiter.allow("0"));
        assert!(!limiter.allow("0") && !limiter.allow("0"));
        assert!(limiter.allow("1"));
    }
}

/// A reload replaces limiters, and another thread drops the old ones.
#[test]
fn the_caches_of_dropped_limiters_are_reused() {
    let alive = Arc::new(AtomicUsize::new(0));
    // More than the caches of a thread, whatever limiters other tests make meanwhile.
    let old: Vec<_> = (0..500).map(|_| drained(&alive)).collect();
    for limiter in &old {
        assert!(!limiter.allow(&Counted::new(0, &alive)));
    }
    thread::spawn(move || drop(old)).join().unwrap();
    let copies = alive.load(Ordering::SeqCst);
    assert!((1..=64).contains(&copies), "{copies}");

    let other = Arc::new(AtomicUsize::new(0));
    let new = drained(&other);
    assert!(!new.allow(&Counted::new(0, &other)));
    assert_eq!(alive.load(Ordering::SeqCst), 0);
    assert_eq!(
        other.load(Ordering::SeqCst),
        2,
        "the table's and this thread's"
    );
}

/// A key whose copies are counted, for each test apart.
struct Counted {
    key: u64,
    alive: Arc<AtomicUsize>,
}

impl Counted {
    fn new(key: u64, alive: &Arc<AtomicUsize>) -> Counted {
        alive.fetch_add(1, Ordering::SeqCst);
        let alive = Arc::clone(alive);
        Counted { key, alive }
    }
}

impl Clone for Counted {
    fn clone(&self) -> Counted {
        Counted::new(self.key, &self.alive)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.alive.fetch_sub(1, Ordering::SeqCst);
    }
}

impl PartialEq for Counted {
    fn eq(&self, other: &Counted) -> bool {
        self.key == other.key
    }
}

impl Eq for Counted {}

impl Hash for Counted {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.key.hash(state);
    }
}

/// Makes a limiter that stores key 0 without units. No thread has cached a denial.
fn drained(alive: &Arc<AtomicUsize>) -> RateLimiter<Counted> {
    let (limiter, _) = by_hand::<Counted, 1>(Quota::per_second(1).burst(1));
    assert!(limiter.allow(&Counted::new(0, alive)));
    limiter
}

#[test]
fn a_flood_of_keys_is_cached_within_bounds() {
    const KEYS: u64 = 50_000;
    let alive = Arc::new(AtomicUsize::new(0));
    let (limiter, time) = by_hand::<Counted, 1>(Quota::per_second(1).burst(1));
    for key in 0..KEYS {
        let key = Counted::new(key, &alive);
        assert!(limiter.allow(&key));
        for _ in 0..10 {
            assert!(!limiter.allow(&key));
        }
    }
    let copies = alive.load(Ordering::SeqCst) - limiter.len();
    // 512 sets of four ways.
    assert!((1_500..=2_048).contains(&copies), "{copies}");
    time.set(SECOND);
    assert_eq!(limiter.sweep() as u64, KEYS);
    assert_eq!(alive.load(Ordering::SeqCst), copies);
}

#[test]
fn a_thread_that_drops_a_limiter_drops_its_cached_keys() {
    let alive = Arc::new(AtomicUsize::new(0));
    let (limiter, _) = by_hand::<Counted, 1>(Quota::per_second(1).burst(1));
    let key = Counted::new(0, &alive);
    assert!(limiter.allow(&key));
    assert!(!limiter.allow(&key));
    assert_eq!(
        alive.load(Ordering::SeqCst),
        3,
        "the key, and the copies of table and thread"
    );
    drop(limiter);
    assert_eq!(alive.load(Ordering::SeqCst), 1);
}

#[test]
fn another_thread_drops_its_copies_when_it_caches_for_another_limiter() {
    let alive = Arc::new(AtomicUsize::new(0));
    let first = Arc::new(drained(&alive));
    let other = Arc::new(AtomicUsize::new(0));
    let second = drained(&other);
    let (denied, is_denied) = mpsc::channel();
    let (dropped, is_dropped) = mpsc::channel::<()>();
    let denying = {
        let (first, alive) = (Arc::clone(&first), Arc::clone(&alive));
        thread::spawn(move || {
            assert!(!first.allow(&Counted::new(0, &alive)));
            drop(first);
            denied.send(()).unwrap();
            is_dropped.recv().unwrap();
            assert!(!second.allow(&Counted::new(0, &other)));
            assert_eq!(alive.load(Ordering::SeqCst), 0);
            assert_eq!(
                other.load(Ordering::SeqCst),
                2,
                "the table's and this thread's"
            );
            (second, other)
        })
    };
    is_denied.recv().unwrap();
    drop(first);
    assert_eq!(alive.load(Ordering::SeqCst), 1, "the other thread's");
    dropped.send(()).unwrap();
    let (_second, other) = denying.join().unwrap();
    assert_eq!(
        other.load(Ordering::SeqCst),
        1,
        "the cache of a thread ends with it"
    );
}

/// A key that is one byte longer than the cache copies.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Long([u8; 129], Counted);

#[test]
fn a_long_key_is_not_copied() {
    let alive = Arc::new(AtomicUsize::new(0));
    let (limiter, _) = by_hand::<Long, 1>(Quota::per_second(1).burst(1));
    let key = Long([7; 129], Counted::new(0, &alive));
    assert!(limiter.allow(&key));
    for _ in 0..100 {
        assert!(!limiter.allow(&key));
    }
    assert_eq!(alive.load(Ordering::SeqCst), 2, "the key and the table's");
}
