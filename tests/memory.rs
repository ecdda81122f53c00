//! Case 29: memory is given back after a flood.
//!
//! A test binary of its own, because it measures the memory of the process.

#![cfg(all(target_os = "linux", target_env = "gnu"))]

#[path = "common/allocated.rs"]
mod allocated;
#[path = "common/core.rs"]
mod common;

use std::{
    fs,
    hash::{BuildHasherDefault, DefaultHasher},
    ops::Range,
    sync::Mutex,
    time::Duration,
};

use allocated::allocated;
use common::threads::wait_until;
use tollgate::{ManualClock, Quota, RateLimiter};

/// Case 29. The tables of two shards are so large that the allocator returns them to the system.
#[test]
fn memory_shrinks_after_a_flood() {
    let _alone = ALONE.lock().unwrap();
    const FLOOD: u64 = 600_000;
    const REGULARS: u64 = 100;
    let clock = ManualClock::new();
    let limiter: RateLimiter<u64> = RateLimiter::builder(Quota::per_minute(60).burst(10))
        .clock(clock.clone())
        .shards(2)
        .manual_sweep()
        .build();
    for regular in 0..REGULARS {
        assert!(limiter.check_n(&regular, 10).is_allowed());
    }
    let before = resident();

    for stranger in REGULARS..REGULARS + FLOOD {
        assert!(limiter.allow(&stranger));
    }
    let flooded = resident();
    let growth = flooded - before;
    assert!(growth > FLOOD * 16, "a key and its word take 16 bytes");

    // A sweep that drops no key gives no memory back.
    assert_eq!(limiter.sweep(), 0);
    assert_eq!(limiter.len() as u64, FLOOD + REGULARS);

    clock.advance(Duration::from_secs(1));
    assert_eq!(limiter.sweep() as u64, FLOOD);
    let after = resident();
    assert!(
        after < before + growth / 4,
        "{before} bytes, {flooded} in the flood, {after} after it"
    );
    // The keys in debt are still stored.
    assert_eq!(limiter.len() as u64, REGULARS);
    assert!((0..REGULARS).all(|regular| limiter.peek(&regular).remaining() == 1));
}

/// Case 29. A sweep leaves 24%, 12% or 1% of the keys, from each load of a shard. The table then
/// takes at most twice the bytes of a new limiter with as many keys. (The allocator counts the
/// bytes. The memory of the process is too coarse at this size.)
#[test]
fn each_shard_shrinks_by_its_own_size() {
    let _alone = ALONE.lock().unwrap();
    const SHARDS: usize = 16;
    // From 7/16, just after a shard has doubled, to 7/8 of 4,096 buckets, just before it does.
    for keys_of_a_shard in [1_850, 2_300, 2_700, 3_100, 3_500] {
        let flood = keys_of_a_shard * SHARDS as u64;
        for percent in [24, 12, 1] {
            let kept = flood * percent / 100;
            let (limiter, clock) = limiter(SHARDS);
            let empty = allocated();
            store(&limiter, 0..kept, 10);
            store(&limiter, kept..flood, 1);
            let flooded = allocated() - empty;
            assert!(flooded >= flood * 16, "a key and its word take 16 bytes");
            clock.advance(Duration::from_secs(1));
            assert_eq!(limiter.sweep() as u64, flood - kept);
            let after = allocated() - empty;

            let (fresh, _) = self::limiter(SHARDS);
            let empty = allocated();
            store(&fresh, 0..kept, 10);
            let needed = allocated() - empty;
            assert!(
                after <= 2 * needed,
                "{flood} keys swept to {percent}%: {flooded} bytes, then {after}; {needed} needed"
            );
            // The keys in debt are still stored.
            assert_eq!(limiter.len() as u64, kept);
            assert!((0..kept).all(|key| limiter.peek(&key).remaining() == 1));
        }
    }
}

/// Case 29. `forget` gives no memory back. The next sweep does.
#[test]
fn memory_of_forgotten_keys_is_given_back_by_itself() {
    let _alone = ALONE.lock().unwrap();
    let limiter: RateLimiter<u64> = RateLimiter::builder(Quota::per_minute(60).burst(10))
        .clock(ManualClock::new())
        .sweep_every(Duration::from_millis(1))
        .build();
    let empty = allocated();
    for round in 0..3 {
        assert!((0..50_000).all(|key| limiter.allow(&key)));
        let flooded = allocated();
        assert!(flooded > empty + 800_000, "round {round}");
        assert!((0..50_000).all(|key| limiter.forget(&key)));
        wait_until("memory is given back", || allocated() < empty + 100_000);
    }
}

fn limiter(shards: usize) -> (RateLimiter<u64, 1, Fixed>, ManualClock) {
    let clock = ManualClock::new();
    let limiter = RateLimiter::builder(Quota::per_minute(60).burst(10))
        .clock(clock.clone())
        .hasher(Fixed::default())
        .shards(shards)
        .manual_sweep()
        .build();
    (limiter, clock)
}

/// A hasher with a fixed seed.
type Fixed = BuildHasherDefault<DefaultHasher>;

fn store(limiter: &RateLimiter<u64, 1, Fixed>, keys: Range<u64>, n: u64) {
    assert!(
        keys.into_iter()
            .all(|key| limiter.check_n(&key, n).is_allowed())
    );
}

/// The tests of this file run one after the other, because each measures the whole process.
static ALONE: Mutex<()> = Mutex::new(());

/// Returns the bytes of memory that the process uses.
fn resident() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))
        .unwrap();
    let kilobytes = line.trim().strip_suffix("kB").unwrap().trim();
    kilobytes.parse::<u64>().unwrap() * 1_024
}
