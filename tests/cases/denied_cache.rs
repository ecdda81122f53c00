//! The per-thread cache of denied keys: it is never wrong, takes no lock, and is bounded.

use std::{
    cell::RefCell,
    env,
    hash::{BuildHasherDefault, Hash, Hasher},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
        mpsc,
    },
    thread,
    time::Duration,
};

use tollgate::{Clock, DecisionSource, Policy, Quota, RateLimiter, Tier, TieredLimiter};

use crate::common::cases::{Numbers, SECOND, Time, by_hand, drain};
use crate::common::keys::{Asked, Call, Stored, at_next};
use crate::common::oracle::{Oracle, answer};
use crate::common::rerun::rerun;
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

#[test]
fn a_denial_while_a_unit_is_left_copies_no_key() {
    let alive = Arc::new(AtomicUsize::new(0));
    let (limiter, _) = by_hand::<Counted, 1>(Quota::per_second(1).burst(5));
    let key = Counted::new(0, &alive);
    assert!(limiter.check_n(&key, 3).is_allowed());
    for _ in 0..10 {
        assert!(!limiter.check_n(&key, 3).is_allowed());
    }
    assert_eq!(alive.load(Ordering::SeqCst), 2, "the key and the table's");
    assert!(limiter.check_n(&key, 2).is_allowed());
    assert!(!limiter.allow(&key));
    assert_eq!(alive.load(Ordering::SeqCst), 3, "and the cache's");
}

#[test]
fn a_forgotten_key_is_not_denied_from_the_cache() {
    let (limiter, _) = by_hand::<u64, 1>(Quota::per_second(1).burst(1));
    for key in [0, 1] {
        assert_eq!(drain(&limiter, key), 1);
        assert_eq!(source(&limiter, key), DecisionSource::DeniedCache);
    }
    assert!(limiter.forget(&0));
    assert!(!limiter.allow(&1));
    assert!(limiter.allow(&0));
    assert!(!limiter.allow(&0));
}

/// Its time is far ahead of what a limiter on another clock would have published.
#[test]
fn a_forgotten_key_is_not_denied_from_the_cache_on_a_coarse_clock() {
    let clock = Clock::coarse(Duration::from_millis(1)).unwrap();
    let limiter: RateLimiter<u64> = RateLimiter::builder(Quota::per_hour(1).burst(1))
        .clock(clock)
        .manual_sweep()
        .build();
    for _ in 0..10 {
        assert!(limiter.allow(&0));
        assert!(!limiter.allow(&0) && !limiter.allow(&0));
        assert!(limiter.forget(&0));
    }
}

/// `forget` of an exhausted key invalidates the cached denials of some 1 in 64 keys, and `forget` of any
/// other key those of none.
#[test]
fn a_forgotten_key_leaves_the_cached_denials_of_others() {
    const DENIED: u64 = 100;
    let (limiter, _) = by_hand::<u64, 1>(Quota::per_second(1).burst(2));
    let cached = || {
        let is_cached = |key: &u64| source(&limiter, *key) == DecisionSource::DeniedCache;
        (0..DENIED).filter(is_cached).count()
    };
    for key in 0..DENIED {
        assert_eq!(drain(&limiter, key), 2);
    }
    // The cache grows, and starts anew as it does.
    for _ in 0..20 {
        cached();
    }
    assert_eq!(cached(), 100);
    for key in DENIED..DENIED + 100 {
        assert!(limiter.allow(&key));
        assert!(limiter.forget(&key));
    }
    assert_eq!(cached(), 100);

    let invalidated = |key: u64| {
        assert!(limiter.check_n(&key, 2).is_allowed());
        assert!(limiter.forget(&key));
        let cached = cached();
        100 - cached
    };
    let invalidated: usize = (DENIED..DENIED + 200).map(invalidated).sum();
    // Some 100 * 200 / 64.
    assert!((150..700).contains(&invalidated), "{invalidated}");
}

fn source(limiter: &RateLimiter<u64>, key: u64) -> DecisionSource {
    let decision = limiter.check(&key);
    assert!(!decision.is_allowed());
    decision.source()
}

#[test]
fn many_limiters_with_one_hasher_are_told_apart() {
    let limiters: Vec<RateLimiter<u64, 1, BuildHasherDefault<Alike>>> = (0..300)
        .map(|_| {
            RateLimiter::builder(Quota::per_second(1).burst(2))
                .manual_sweep()
                .clock(Time::new().clock)
                .hasher(BuildHasherDefault::default())
                .build()
        })
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
}

/// A reload replaces limiters. No thread keeps a copy of a key of the old ones, whoever drops them.
#[test]
fn nothing_that_is_cached_outlives_its_limiter() {
    let alive = Arc::new(AtomicUsize::new(0));
    let limiters: Vec<_> = (0..100).map(|_| Arc::new(drained(&alive))).collect();
    let (denied, is_denied) = mpsc::channel();
    let (dropped, is_dropped) = mpsc::channel::<()>();
    let denying = {
        let (limiters, alive) = (limiters.clone(), Arc::clone(&alive));
        thread::spawn(move || {
            for limiter in &limiters {
                assert!(!limiter.allow(&Counted::new(0, &alive)));
            }
            drop(limiters);
            denied.send(()).unwrap();
            is_dropped.recv().unwrap();
        })
    };
    is_denied.recv().unwrap();
    for limiter in &limiters {
        assert!(!limiter.allow(&Counted::new(0, &alive)));
    }
    let copies = alive.load(Ordering::SeqCst);
    assert_eq!(copies, 300, "of the table and of two threads");
    drop(limiters);
    assert_eq!(alive.load(Ordering::SeqCst), 0);
    dropped.send(()).unwrap();
    denying.join().unwrap();
}

/// A server that starts a thread for each connection does not collect what they cached: a thread takes
/// over the cache of one that has ended.
#[test]
fn the_caches_of_threads_that_ended_do_not_add_up() {
    let alive = Arc::new(AtomicUsize::new(0));
    let limiter = drained(&alive);
    for _ in 0..1_000 {
        thread::scope(|scope| {
            scope.spawn(|| assert!(!limiter.allow(&Counted::new(0, &alive))));
        });
    }
    // The tests beside this one start threads, too.
    let copies = alive.load(Ordering::SeqCst);
    assert!(copies < 100, "{copies}");
}

/// A thread checks while it ends, when it may have no cache any more. It neither panics nor aborts.
///
/// In a process of its own, to see what it prints.
#[test]
fn a_thread_that_ends_denies_without_a_cache() {
    const ENDING: &str = "TOLLGATE_TEST_ENDS_THREADS";
    if env::var_os(ENDING).is_some() {
        // Whether the thread has a cache before it ends, and what else it uses.
        for caches in [true, false] {
            let first = |limiter: &RateLimiter<u64>| {
                if caches {
                    assert!(!limiter.allow(&0));
                }
            };
            check_at_the_end(first, true);
        }
        println!("ended quietly");
        // The thread's number is that of another user of the crate `thread_local`. It is given back
        // before the thread checks for the first time.
        let other = thread_local::ThreadLocal::new();
        let first = |_: &RateLimiter<u64>| assert_eq!(other.get_or(|| 0), &0);
        check_at_the_end(first, false);
        println!("ended");
        return;
    }
    let this = "a_thread_that_ends_denies_without_a_cache";
    let run = rerun(module_path!(), this, ENDING);
    let output = String::from_utf8(run.stdout).unwrap();
    let errors = String::from_utf8(run.stderr).unwrap();
    assert!(output.contains("ended\n"), "{output}{errors}");
    let panics = errors.matches("panicked").count();
    assert!(panics <= 1, "only the last of them panics:\n{errors}");
}

/// Ends a thread that checks a denied key in its destructors: in one that was registered before `first`,
/// and so runs late, and if `twice` in one that runs early.
fn check_at_the_end(first: impl FnOnce(&RateLimiter<u64>) + Send, twice: bool) {
    struct AtTheEnd(Arc<RateLimiter<u64>>, mpsc::Sender<bool>);

    impl Drop for AtTheEnd {
        fn drop(&mut self) {
            for _ in 0..3 {
                self.1.send(self.0.allow(&0)).unwrap();
            }
        }
    }

    thread_local! {
        static LATE: RefCell<Option<AtTheEnd>> = const { RefCell::new(None) };
        static EARLY: RefCell<Option<AtTheEnd>> = const { RefCell::new(None) };
    }
    let (limiter, _) = by_hand::<u64, 1>(Quota::per_second(1).burst(1));
    let limiter = Arc::new(limiter);
    assert!(limiter.allow(&0));
    let (allowed, answers) = mpsc::channel();
    let at_the_end = || AtTheEnd(Arc::clone(&limiter), allowed.clone());
    let (late, early) = (at_the_end(), twice.then(at_the_end));
    thread::scope(|scope| {
        scope.spawn(|| {
            LATE.set(Some(late));
            first(&limiter);
            if early.is_some() {
                EARLY.set(early);
            }
        });
    });
    // A scope does not wait for destructors.
    let expected = vec![false; if twice { 6 } else { 3 }];
    let answers: Vec<bool> = answers.iter().take(expected.len()).collect();
    assert_eq!(answers, expected);
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
    assert!((3_000..=4_096).contains(&copies), "{copies}");
    time.set(SECOND);
    assert_eq!(limiter.sweep() as u64, KEYS);
    assert_eq!(alive.load(Ordering::SeqCst), copies);
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

/// A move to a faster rate makes waits shorter, and an allowed check makes them longer.
#[test]
fn a_cached_denial_ends_when_another_thread_moves_the_key() {
    let time = Time::new();
    let limits: TieredLimiter<u64> = TieredLimiter::builder(Quota::per_second(1).burst(1))
        .clock(time.clock.clone())
        .manual_sweep()
        .build();
    let free = limits.default_tier();
    let fast = limits.tier(Quota::per_second(2).burst(1)).unwrap();
    let large = limits.tier(Quota::per_second(1).burst(5)).unwrap();
    let elsewhere =
        |tier: &Tier<u64>| thread::scope(|scope| scope.spawn(|| tier.allow(&0)).join().unwrap());
    let wait = || free.check(&0).retry_after().unwrap();
    assert!(free.allow(&0) && !free.allow(&0));
    assert_eq!(free.check(&0).source(), DecisionSource::DeniedCache);
    assert_eq!(wait(), Duration::from_secs(1));

    assert!(!elsewhere(&fast));
    assert_eq!(wait(), Duration::from_millis(500));
    assert!(elsewhere(&large));
    assert_eq!(wait(), Duration::from_secs(2));
    assert!(elsewhere(&large));
    assert_eq!(wait(), Duration::from_secs(3));
}
