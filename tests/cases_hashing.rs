//! Cases 46 to 48: keys, and what their hashing can do to a limiter.

mod common;

use std::{
    collections::HashSet,
    env,
    hash::{BuildHasher, BuildHasherDefault, Hasher},
    panic::{AssertUnwindSafe, catch_unwind},
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use common::cases::{
    Asked, Call, SECOND, Stored, Time, at_next, by_hand, calls, finishes, has_run, nanos,
    panic_at_next, wait_until,
};
use common::oracle::{Oracle, answer};
use tollgate::{Clock, Quota, RandomState, RateLimiter};

/// Case 46. gcra hashes keys of attackers without a seed.
#[test]
fn no_two_limiters_hash_alike() {
    const SEEDS: usize = 200;
    let seeds: Vec<RandomState> = (0..SEEDS).map(|_| RandomState::default()).collect();
    for text in [
        "",
        "alice",
        "203.0.113.7",
        "a key that is longer than one block of any hash",
    ] {
        let hashes: HashSet<u64> = seeds.iter().map(|seed| seed.hash_one(text)).collect();
        // Two of 200 at random are equal once in 9e14 times.
        assert_eq!(hashes.len(), SEEDS, "{text:?}");
    }
    for number in [0_u64, 1, 42, u64::MAX] {
        let hashes: HashSet<u64> = seeds.iter().map(|seed| seed.hash_one(number)).collect();
        assert_eq!(hashes.len(), SEEDS, "{number}");
    }
    // And of what remains of a hash in a small table, no bit is the same for all.
    let (all, any) = seeds.iter().fold((u64::MAX, 0), |(all, any), seed| {
        let hash = seed.hash_one(7_u64);
        (all & hash, any | hash)
    });
    assert_eq!((all, any), (0, u64::MAX));
}

/// Case 46. A seed that the next process would have again could be learnt from the one before.
#[test]
fn no_two_processes_hash_alike() {
    const ASKED: &str = "TOLLGATE_TEST_PRINTS_A_HASH";
    let hash = RandomState::default().hash_one("alice");
    if env::var_os(ASKED).is_some() {
        println!("hash {hash}");
        return;
    }
    let others = [(); 3].map(|()| {
        let run = Command::new(env::current_exe().unwrap())
            .args(["--exact", "no_two_processes_hash_alike", "--nocapture"])
            .env(ASKED, "1")
            .output()
            .unwrap();
        let output = String::from_utf8(run.stdout).unwrap();
        let (_, hash) = output.split_once("hash ").unwrap();
        hash.split_whitespace()
            .next()
            .unwrap()
            .parse::<u64>()
            .unwrap()
    });
    let hashes = HashSet::from([hash, others[0], others[1], others[2]]);
    assert_eq!(hashes.len(), 4);
}

/// Case 46. It is what a limiter uses unless it is told otherwise; and its clones agree, or no key
/// would be found again.
#[test]
fn the_default_hasher_is_the_seeded_one() {
    fn is_seeded(_: &RateLimiter<u64, 1, RandomState>) {}
    is_seeded(&by_hand(Quota::default()).0);

    let seed = RandomState::default();
    let clone = seed.clone();
    for key in 0..1_000_u64 {
        assert_eq!(seed.hash_one(key), clone.hash_one(key));
        assert_eq!(seed.hash_one(key), seed.hash_one(key));
    }
    // Its state is the seed, and is not shown.
    assert_eq!(format!("{seed:?}"), "RandomState { .. }");
    assert_eq!(format!("{:?}", seed.build_hasher()), "SeededHasher { .. }");
}

/// Case 46. The owned key and what it is borrowed as hash alike, whatever their width.
#[test]
fn the_default_hasher_tells_keys_apart() {
    let seed = RandomState::default();
    assert_eq!(seed.hash_one("alice"), seed.hash_one("alice".to_owned()));
    assert_eq!(seed.hash_one([1_u8, 2]), seed.hash_one([1_u8, 2]));
    let numbers: HashSet<u64> = (0..100_000_u64).map(|key| seed.hash_one(key)).collect();
    assert_eq!(numbers.len(), 100_000);
    let pairs: HashSet<u64> = (0..100_000_u32)
        .map(|key| seed.hash_one((key % 317, key)))
        .collect();
    assert_eq!(pairs.len(), 100_000);
    let texts: HashSet<u64> = (0..10_000)
        .map(|key| seed.hash_one(format!("k{key}")))
        .collect();
    assert_eq!(texts.len(), 10_000);
}

/// Case 47. governor needs an owned key. Here it is made once, when it is first stored, and once by
/// a thread that remembers its refusal.
#[test]
fn a_key_is_copied_when_it_is_first_stored_and_first_refused() {
    let (limiter, time) = by_hand::<Stored, 1>(Quota::per_second(1).burst(3));
    let copies = |run: &dyn Fn()| {
        let before = calls(Call::ToOwned);
        run();
        calls(Call::ToOwned) - before
    };
    for key in 0..100 {
        let key = Asked(key);
        // Nothing of an unknown key needs one but an admission.
        assert_eq!(copies(&|| assert!(limiter.peek(&key).is_allowed())), 0);
        assert_eq!(
            copies(&|| assert!(limiter.check_n(&key, 4).exceeds_burst())),
            0
        );
        assert_eq!(
            copies(&|| assert!(limiter.check_n(&key, 0).is_allowed())),
            0
        );
        assert_eq!(copies(&|| assert!(!limiter.forget(&key))), 0);
        assert_eq!(copies(&|| assert!(limiter.allow(&key))), 1);
        // And of a known one not even that.
        assert_eq!(copies(&|| assert!(limiter.allow(&key))), 0);
        assert_eq!(
            copies(&|| assert!(limiter.check_n(&key, 1).is_allowed())),
            0
        );
        assert_eq!(copies(&|| assert!(!limiter.allow(&key))), 1);
        assert_eq!(copies(&|| assert!(!limiter.allow(&key))), 0);
        assert_eq!(copies(&|| assert!(!limiter.peek(&key).is_allowed())), 0);
        assert_eq!(
            copies(&|| assert!(limiter.check_n(&key, 4).exceeds_burst())),
            0
        );
    }
    assert_eq!(copies(&|| assert_eq!(limiter.sweep(), 0)), 0);
    time.set(3 * SECOND);
    // Full and still stored.
    assert_eq!(copies(&|| assert!(limiter.allow(&Asked(0)))), 0);
    assert_eq!(copies(&|| assert_eq!(limiter.sweep(), 99)), 0);
    assert_eq!(copies(&|| assert!(limiter.allow(&Asked(0)))), 0);
    assert_eq!(copies(&|| assert!(limiter.allow(&Asked(1)))), 1);
    assert_eq!(copies(&|| assert!(limiter.forget(&Asked(1)))), 0);
    assert_eq!(copies(&|| assert!(limiter.allow(&Asked(1)))), 1);
}

/// Case 47.
#[test]
fn a_string_key_is_asked_for_by_str() {
    let (limiter, _) = by_hand::<String, 1>(Quota::per_second(1).burst(2));
    let header = String::from("Authorization: alice");
    let (_, key) = header.split_once(": ").unwrap();
    assert!(limiter.allow(key));
    assert!(limiter.allow(&String::from("alice")[..]));
    assert!(!limiter.allow(&String::from("alice")), "as a String too");
    assert!(!limiter.peek(key).is_allowed());
    assert!(limiter.forget(key));
}

/// Hashes everything alike.
#[derive(Clone, Default)]
struct Constant;

impl Hasher for Constant {
    fn write(&mut self, _: &[u8]) {}

    fn finish(&self) -> u64 {
        0x5555_5555_5555_5555
    }
}

/// Case 48.
#[test]
fn keys_that_all_collide_are_limited_each_on_its_own() {
    let quota = Quota::per_second(1).burst(4);
    let time = Time::new();
    let limiter: RateLimiter<u64, 1, BuildHasherDefault<Constant>> = RateLimiter::builder(quota)
        .clock(time.clock.clone())
        .hasher(BuildHasherDefault::default())
        .manual_sweep()
        .build();
    let mut oracles: Vec<Oracle> = (0..300).map(|_| Oracle::new(&[quota])).collect();
    for round in 0..5 {
        for (key, oracle) in (0..).zip(&mut oracles) {
            for n in [key % 5, 1, key % 3] {
                let decision = limiter.check_n(&key, n);
                assert_eq!(answer(&decision), oracle.check(time.now(), n), "{key}");
            }
        }
        assert_eq!(limiter.len(), 300);
        time.advance(SECOND * (round % 2));
        let full = |oracle: &mut Oracle| oracle.check(time.now(), 0).reset_after.is_zero();
        let full = oracles.iter_mut().map(full).filter(|full| *full).count();
        assert_eq!(limiter.sweep(), full);
        assert_eq!(limiter.len(), 300 - full);
    }
    for key in (0..300).step_by(2) {
        limiter.forget(&key);
        oracles[usize::try_from(key).unwrap()] = Oracle::new(&[quota]);
    }
    for (key, oracle) in (0..).zip(&mut oracles) {
        let decision = limiter.check(&key);
        oracle.check(time.now(), 0);
        assert_eq!(answer(&decision), oracle.check(time.now(), 1), "{key}");
    }
}

/// As ahash has one: `hash_one` hashes otherwise than a hasher that is fed by the key.
#[derive(Clone, Default)]
struct Shortcut(RandomState);

impl BuildHasher for Shortcut {
    type Hasher = <RandomState as BuildHasher>::Hasher;

    fn build_hasher(&self) -> Self::Hasher {
        self.0.build_hasher()
    }

    fn hash_one<T: std::hash::Hash>(&self, key: T) -> u64 {
        !self.0.hash_one(key)
    }
}

#[test]
fn a_hasher_with_a_shortcut_of_its_own_loses_no_key() {
    let time = Time::new();
    let limiter: RateLimiter<u64, 1, Shortcut> =
        RateLimiter::builder(Quota::per_second(1).burst(2))
            .clock(time.clock.clone())
            .hasher(Shortcut::default())
            .manual_sweep()
            .build();
    for key in 0..100 {
        assert!(limiter.check_n(&key, 2).is_allowed());
        assert_eq!(limiter.peek(&key).remaining(), 0);
        assert!(limiter.forget(&key));
        assert!(limiter.check_n(&key, 2).is_allowed());
    }
    assert_eq!(limiter.len(), 100);
    time.set(2 * SECOND);
    assert!(limiter.allow(&0));
    assert_eq!(limiter.sweep(), 99);
    assert_eq!(limiter.peek(&0).remaining(), 1);
    assert!(limiter.allow(&0) && !limiter.allow(&0));
    assert_eq!(limiter.len(), 1);
}

/// Whether `run` panics as the hook has it panic.
fn panics(run: impl FnOnce()) -> bool {
    let panic = catch_unwind(AssertUnwindSafe(run)).err();
    let said = panic.and_then(|panic| panic.downcast_ref::<&str>().copied());
    said == Some("at your word")
}

/// A key's own code may panic wherever the limiter calls it: nothing is spent, nothing is stored
/// by half, and no lock stays taken.
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
                    // It had no use for that call. Undo what it did, and have the hook over with.
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
        // Of every call Hash, of those for a known key Eq, and of the one that stores ToOwned.
        let expected = match call {
            Call::Hash => 8,
            Call::Eq => 4,
            _ => 1,
        };
        assert_eq!(panicked, expected, "{call:?}");

        // It goes on as if nothing had been.
        assert!(limiter.check_n(&Asked(0), 3).is_allowed());
        assert_eq!(limiter.check(&Asked(0)).retry_after(), Some(nanos(SECOND)));
        assert!(limiter.check_n(&Asked(1), 5).is_allowed());
        time.set(5 * SECOND);
        assert_eq!(limiter.sweep(), 2);
        assert!(limiter.is_empty());
    }
}

/// The `Eq` of a new key is that of another thread's having stored it meanwhile.
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

/// A table that grows hashes its keys anew, and one of them may panic.
#[test]
fn a_key_that_panics_while_its_table_grows_loses_nobody() {
    let (limiter, time) = by_hand::<Stored, 1>(Quota::per_second(1).burst(5));
    let mut grown = 0;
    for key in 0..2_000 {
        // Once it is copied, a Hash is of another key.
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
    assert!(grown > 5, "or it has not seen a table grow");
    assert!((0..2_000).all(|key| limiter.peek(&Asked(key)).remaining() == 3));
    time.set(2 * SECOND);
    assert_eq!(limiter.sweep(), 2_000);
}

/// And one that is tidied, to make room where keys have been forgotten, without growing.
///
/// hashbrown may then lose keys of that shard, which `RateLimiter` says; not more than that.
#[test]
fn a_key_that_panics_while_its_table_is_tidied_breaks_nothing() {
    let time = Time::new();
    let limiter: RateLimiter<Stored, 1, BuildHasherDefault<Itself>> =
        RateLimiter::builder(Quota::per_second(1).burst(5))
            .clock(time.clock.clone())
            .hasher(BuildHasherDefault::default())
            .manual_sweep()
            .build();
    // One shard, with as many keys side by side as 128 places hold, 72 of which have left.
    for key in 0..112 {
        assert!(limiter.check_n(&Asked(key), 5).is_allowed());
    }
    for key in 40..112 {
        assert!(limiter.forget(&Asked(key)));
    }
    // Once the next one is copied, the second Hash is of the second of the other keys.
    at_next(Call::ToOwned, || {
        at_next(Call::Hash, || panic_at_next(Call::Hash));
    });
    assert!(panics(|| assert!(limiter.allow(&Asked(120)))));
    let remaining = |key| limiter.peek(&Asked(key)).remaining();
    assert_eq!(remaining(120), 5, "nothing was spent");
    for key in 0..40 {
        let left = remaining(key);
        assert!(left == 0 || left == 5, "as it was, or as never seen");
        assert_eq!(limiter.check_n(&Asked(key), 5).is_allowed(), left == 5);
    }
    time.set(5 * SECOND);
    assert_eq!(limiter.sweep(), 40);
    assert!((0..40).all(|key| remaining(key) == 5));
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

/// Hashes a number as itself, moved up by some bits.
#[derive(Clone, Default)]
struct MovedUp<const BITS: u32>(u64);

impl<const BITS: u32> Hasher for MovedUp<BITS> {
    fn write(&mut self, _: &[u8]) {}

    fn write_u64(&mut self, number: u64) {
        self.0 = number << BITS;
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

/// How often keys are compared and hashed while 128 of them, which differ in 7 bits of their
/// hashes from `BITS` on, are stored.
fn compared_and_hashed<const BITS: u32>() -> (u64, u64) {
    let limiter: RateLimiter<Stored, 1, BuildHasherDefault<MovedUp<BITS>>> =
        RateLimiter::builder(Quota::per_second(1).burst(5))
            .clock(Time::new().clock)
            .hasher(BuildHasherDefault::default())
            .manual_sweep()
            .build();
    let before = (calls(Call::Eq), calls(Call::Hash));
    for key in 0..128 {
        assert!(limiter.allow(&Asked(key)));
    }
    assert_eq!(limiter.len(), 128);
    (calls(Call::Eq) - before.0, calls(Call::Hash) - before.1)
}

/// `Builder::hasher` names the bits of a hash that choose a key's tag, shard and place.
#[cfg(target_pointer_width = "64")]
#[test]
fn tag_shard_and_place_of_a_key_are_the_bits_that_the_builder_names() {
    let (by_tag, by_shard) = (compared_and_hashed::<57>(), compared_and_hashed::<49>());
    let (by_place, by_none) = (compared_and_hashed::<0>(), compared_and_hashed::<32>());
    // Unlike tags: no two keys are compared. One key in each shard: nor are they moved.
    assert_eq!((by_tag.0, by_shard.0), (0, 0));
    assert!(by_tag.1 > by_shard.1, "{by_tag:?}, {by_shard:?}");
    assert_eq!(by_shard.1 % 128, 0, "{by_shard:?}");
    // Like tags in one shard: compared with those nearby, or with all.
    assert!(by_none.0 > 128 * 127 / 2 - 1, "{by_none:?}");
    assert!(by_place.0 < by_none.0 / 3, "{by_place:?}, {by_none:?}");
}

/// A swept key's `Drop` may panic: the sweep goes on with the others before it panics too.
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

/// A key that panics when it is dropped, if it is the one.
#[derive(PartialEq, Eq, Hash)]
struct Grumpy(u64);

impl Drop for Grumpy {
    fn drop(&mut self) {
        if self.0 == 50 {
            std::panic::resume_unwind(Box::new("at your word"));
        }
    }
}

/// On the thread of the limiter's own, that must not end all forgetting.
#[test]
fn a_key_that_panics_when_it_is_swept_does_not_end_the_sweeping() {
    let time = Time::new();
    let limiter: RateLimiter<Arc<Grumpy>> = RateLimiter::builder(Quota::per_second(1).burst(2))
        .clock(time.clock.clone())
        .sweep_every(Duration::from_millis(1))
        .build();
    for round in 1..=5 {
        for key in 0..100 {
            // The table's handle to the key is the last.
            assert!(limiter.allow(&Arc::new(Grumpy(key))));
        }
        time.set(round * SECOND);
        wait_until("the others are forgotten", || limiter.is_empty());
    }
}

/// And so may that of one that is forgotten by name.
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

/// A forgotten key is compared once, and a comparison that panics forgets nothing.
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
    static ON_DROP: std::cell::RefCell<Option<Box<dyn FnOnce()>>> =
        const { std::cell::RefCell::new(None) };
}

/// A key that does something when it is dropped, of whatever it is a copy.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Acting(u64);

impl Drop for Acting {
    fn drop(&mut self) {
        if let Some(act) = ON_DROP.with_borrow_mut(Option::take) {
            act();
        }
    }
}

/// Also when it is on its way into the table, and the clock panics.
#[test]
fn a_key_that_could_not_be_stored_is_dropped_under_no_lock() {
    let ended = finishes("a key that is dropped in a panic", || {
        let clock = Clock::from_fn(|| {
            if ON_DROP.with_borrow(Option::is_some) {
                std::panic::resume_unwind(Box::new("at your word"));
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
            // It takes the lock of that shard.
            assert!(!own.forget(&Acting(0)));
            noted.store(true, Ordering::SeqCst);
        })));
        assert!(panics(|| assert!(limiter.allow(&key))));
        assert!(looked.load(Ordering::SeqCst));
        assert!(limiter.is_empty());
    });
    ended.unwrap();
}
