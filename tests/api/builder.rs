//! Each option of a builder.

use std::{collections::hash_map, time::Duration};

use tollgate::{ManualClock, Policy, Quota, RateLimiter};

use crate::common::cases::{HOUR, SECOND, Time};
use crate::common::threads::wait_until;

#[test]
fn a_builder_takes_any_number_of_shards() {
    for shards in [0, 1, 2, 3, 4, 100, 256, 65_536, usize::MAX] {
        let time = Time::new();
        let limiter: RateLimiter<u64> = RateLimiter::builder(Quota::per_second(1).burst(1))
            .clock(time.clock.clone())
            .shards(shards)
            .manual_sweep()
            .build();
        for key in 0..100 {
            assert!(
                limiter.allow(&key) && !limiter.allow(&key),
                "{shards} shards"
            );
        }
        time.set(SECOND);
        assert_eq!(limiter.sweep(), 100);
    }
}

#[test]
fn a_builder_takes_a_hasher() {
    let limiter: RateLimiter<String, 1, hash_map::RandomState> =
        RateLimiter::builder(Quota::per_hour(1).burst(1))
            .hasher(hash_map::RandomState::new())
            .clock(ManualClock::new())
            .manual_sweep()
            .build();
    for key in ["alice", "bob"] {
        assert!(limiter.allow(key) && !limiter.allow(key));
    }
}

/// A hasher, which changes the type of the builder, changes no other option.
#[test]
fn a_builder_keeps_its_options() {
    let time = Time::new();
    let builder = RateLimiter::<u64>::builder(Quota::per_hour(7).burst(3))
        .clock(time.clock.clone())
        .shards(5)
        .manual_sweep();
    let before = format!("{builder:?}");
    let builder = builder.hasher(hash_map::RandomState::new());
    assert_eq!(format!("{builder:?}"), before);
    let limiter = builder.try_build().unwrap();
    assert_eq!(limiter.policy(), &Policy::from(Quota::per_hour(7).burst(3)));
    assert!(limiter.check_n(&0, 3).is_allowed());
    time.set(HOUR / 7);
    assert!(!limiter.allow(&0));
    time.set(HOUR / 7 + 1);
    assert!(limiter.allow(&0));
}

/// No interval is too short or too long. The last option about sweeping counts.
#[test]
fn a_builder_takes_any_interval() {
    for interval in [
        Duration::ZERO,
        Duration::from_nanos(1),
        Duration::from_millis(1),
    ] {
        let time = Time::new();
        let limiter: RateLimiter<u64> = RateLimiter::builder(Quota::per_second(1))
            .clock(time.clock.clone())
            .manual_sweep()
            .sweep_every(interval)
            .build();
        assert!(limiter.allow(&0));
        time.set(SECOND);
        wait_until("a sweep", || limiter.is_empty());
    }
    for interval in [Duration::from_secs(u64::MAX), Duration::MAX] {
        let time = Time::new();
        let limiter: RateLimiter<u64> = RateLimiter::builder(Quota::per_second(1))
            .clock(time.clock.clone())
            .sweep_every(interval)
            .build();
        assert!(limiter.allow(&0));
        time.set(SECOND);
        // A call may sweep it, too.
        assert_eq!(limiter.sweep(), 1);
    }
}

#[test]
fn a_limiter_with_manual_sweep_never_sweeps_by_itself() {
    let time = Time::new();
    let limiter: RateLimiter<u64> = RateLimiter::builder(Quota::per_second(1))
        .clock(time.clock.clone())
        .sweep_every(Duration::from_millis(1))
        .manual_sweep()
        .build();
    let swept: RateLimiter<u64> = RateLimiter::builder(Quota::per_second(1))
        .clock(time.clock.clone())
        .sweep_every(Duration::from_millis(1))
        .build();
    for round in 1..=10 {
        assert!(limiter.allow(&0) && swept.allow(&0));
        time.set(round * SECOND);
        wait_until("the other limiter is swept", || swept.is_empty());
        assert_eq!(limiter.len(), 1);
    }
}
