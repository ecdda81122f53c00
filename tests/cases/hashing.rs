//! Cases 46 to 48: the hasher, copies of keys, and keys that collide.

use std::{
    collections::HashSet,
    env,
    hash::{BuildHasher, BuildHasherDefault, Hasher},
};

use tollgate::{Quota, RandomState, RateLimiter};

use crate::common::cases::{SECOND, Time, by_hand};
use crate::common::keys::{Asked, Call, Stored, calls};
use crate::common::oracle::{Oracle, answer};
use crate::common::rerun::rerun;

/// Case 46. gcra hashes an attacker's keys without a seed.
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
        // Two of 200 random hashes are equal once in 9e14 times.
        assert_eq!(hashes.len(), SEEDS, "{text:?}");
    }
    for number in [0_u64, 1, 42, u64::MAX] {
        let hashes: HashSet<u64> = seeds.iter().map(|seed| seed.hash_one(number)).collect();
        assert_eq!(hashes.len(), SEEDS, "{number}");
    }
    // A small table uses some bits of a hash. No bit is the same for all seeds.
    let (all, any) = seeds.iter().fold((u64::MAX, 0), |(all, any), seed| {
        let hash = seed.hash_one(7_u64);
        (all & hash, any | hash)
    });
    assert_eq!((all, any), (0, u64::MAX));
}

/// Case 46. A client could learn a seed that each process has.
#[test]
fn no_two_processes_hash_alike() {
    const PRINT: &str = "TOLLGATE_TEST_PRINTS_A_HASH";
    let hash = RandomState::default().hash_one("alice");
    if env::var_os(PRINT).is_some() {
        println!("hash {hash}");
        return;
    }
    let others = [(); 3].map(|()| {
        let run = rerun(module_path!(), "no_two_processes_hash_alike", PRINT);
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

/// Case 46. A limiter uses it by default. Its clones hash alike.
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
    // The seed is not shown.
    assert_eq!(format!("{seed:?}"), "RandomState { .. }");
    assert_eq!(format!("{:?}", seed.build_hasher()), "SeededHasher { .. }");
}

/// Case 46. A key and its borrowed form hash alike. Different keys hash differently.
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

/// Case 47. governor needs an owned key for each check. Here the table copies a key once, when it
/// is stored, and the cache of denied keys copies it once.
#[test]
fn a_key_is_copied_when_it_is_first_stored_and_first_denied() {
    let (limiter, time) = by_hand::<Stored, 1>(Quota::per_second(1).burst(3));
    let copies = |run: &dyn Fn()| {
        let before = calls(Call::ToOwned);
        run();
        calls(Call::ToOwned) - before
    };
    for key in 0..100 {
        let key = Asked(key);
        // Only a check that is allowed copies an unknown key.
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
        // A stored key is copied by none that is allowed.
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
    // The keys are full and still stored.
    assert_eq!(copies(&|| assert!(limiter.allow(&Asked(0)))), 0);
    assert_eq!(copies(&|| assert_eq!(limiter.sweep(), 99)), 0);
    assert_eq!(copies(&|| assert!(limiter.allow(&Asked(0)))), 0);
    assert_eq!(copies(&|| assert!(limiter.allow(&Asked(1)))), 1);
    assert_eq!(copies(&|| assert!(limiter.forget(&Asked(1)))), 0);
    assert_eq!(copies(&|| assert!(limiter.allow(&Asked(1)))), 1);
}

/// Has the same hash for all keys.
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

/// A hasher whose `hash_one` differs from its `build_hasher`, as in ahash.
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

/// Hashes a number as itself, shifted left by `BITS`.
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

/// Stores 128 keys that differ in 7 bits of their hashes, from `BITS` on. Returns how often keys
/// are compared and hashed.
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
    let (by_tag, by_shard) = (compared_and_hashed::<57>(), compared_and_hashed::<50>());
    let (by_place, by_none) = (compared_and_hashed::<0>(), compared_and_hashed::<32>());
    // Different tags: no two keys are compared. One key in each shard: no key is hashed again.
    assert_eq!((by_tag.0, by_shard.0), (0, 0));
    assert!(by_tag.1 > by_shard.1, "{by_tag:?}, {by_shard:?}");
    assert_eq!(by_shard.1 % 128, 0, "{by_shard:?}");
    // Equal tags in one shard: a key is compared with its neighbours, or with all.
    assert!(by_none.0 > 128 * 127 / 2 - 1, "{by_none:?}");
    assert!(by_place.0 < by_none.0 / 3, "{by_place:?}, {by_none:?}");
}
