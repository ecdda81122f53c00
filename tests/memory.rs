//! Case 29: memory is given back after a flood.
//!
//! In a test binary of its own, as it measures the memory of the process.

#![cfg(all(target_os = "linux", target_env = "gnu"))]

use std::{fs, time::Duration};

use tollgate::{ManualClock, Quota, RateLimiter};

/// Case 29. In two shards, whose tables are so large that the allocator hands them back.
#[test]
fn memory_shrinks_after_a_flood() {
    const FLOOD: u64 = 600_000;
    const REGULARS: u64 = 100;
    let clock = ManualClock::new();
    let limiter: RateLimiter<u64> = RateLimiter::builder(Quota::per_minute(60).burst(10))
        .clock(clock.clone())
        .shards(2)
        .sweep_by_hand()
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

    // A sweep that forgets nobody gives nothing back.
    assert_eq!(limiter.sweep(), 0);
    assert_eq!(limiter.len() as u64, FLOOD + REGULARS);

    clock.advance(Duration::from_secs(1));
    assert_eq!(limiter.sweep() as u64, FLOOD);
    let after = resident();
    assert!(
        after < before + growth / 4,
        "{before} bytes, {flooded} in the flood, {after} after it"
    );
    // And those who are in debt are still there.
    assert_eq!(limiter.len() as u64, REGULARS);
    assert!((0..REGULARS).all(|regular| limiter.peek(&regular).remaining() == 1));
}

/// The bytes of memory that this process has in use.
fn resident() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))
        .unwrap();
    let kilobytes = line.trim().strip_suffix("kB").unwrap().trim();
    kilobytes.parse::<u64>().unwrap() * 1_024
}
