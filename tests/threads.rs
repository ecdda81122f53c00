//! Cases 23 and 53: one maintenance thread serves all limiters and coarse clocks of the process,
//! and ends with the last of them.
//!
//! A test binary of its own with one test, because it counts the threads of the process.

#![cfg(target_os = "linux")]

#[path = "common/core.rs"]
mod common;

use std::{fs, time::Duration};

use common::threads::wait_until;
use tollgate::{Clock, ManualClock, Quota, RateLimiter};

/// Cases 23 and 53.
#[test]
fn one_thread_serves_all_and_ends_with_the_last() {
    assert_eq!(threads(), 0);
    let by_hand: RateLimiter<u64> = RateLimiter::builder(Quota::per_second(1))
        .manual_sweep()
        .build();
    assert_eq!(threads(), 0, "manual sweeps need no thread");

    let limiter: RateLimiter<u64> = RateLimiter::new(Quota::per_second(1));
    wait_until("a thread starts", || threads() == 1);
    drop(limiter);
    wait_until("the thread ends", || threads() == 0);

    for iteration in 0..100 {
        let clock = ManualClock::new();
        let limiters = [1, 2, 1_000_000].map(|millis| {
            let limiter: RateLimiter<u64> = RateLimiter::builder(Quota::per_second(1).burst(2))
                .clock(clock.clone())
                .sweep_every(Duration::from_millis(millis))
                .build();
            for key in 0..iteration {
                assert!(limiter.allow(&key));
            }
            limiter
        });
        if iteration % 10 == 0 {
            wait_until("one starts", || threads() == 1);
        }
        clock.advance(Duration::from_secs(1));
        if iteration % 2 == 0 {
            wait_until("a sweep", || limiters[0].is_empty());
        }
        drop(limiters);
        wait_until("it has ended", || threads() == 0);
    }
    drop(by_hand);

    // Case 53. conceptnet5#308.
    let tenants: Vec<RateLimiter<u64>> = (0..2_000)
        .map(|_| RateLimiter::builder(Quota::per_hour(1)).shards(2).build())
        .collect();
    assert!(tenants.iter().all(|limiter| limiter.allow(&0)));
    assert_eq!(threads(), 1, "one thread for 2,000 limiters");

    let clock = Clock::coarse(Duration::from_millis(1)).unwrap();
    assert_eq!(threads(), 1, "the same thread for a coarse clock");
    drop(tenants);
    assert_eq!(threads(), 1, "the coarse clock is left");
    let builder = || RateLimiter::<u64>::builder(Quota::per_second(1)).manual_sweep();
    let limiters = [1, 2, 3].map(|_| builder().clock(clock.clone()).build());
    drop(clock);
    assert!(limiters[0].allow(&0));
    assert_eq!(threads(), 1);
    drop(limiters);
    wait_until("the thread ends", || threads() == 0);
}

/// Returns how many threads of this process have the name of the maintenance thread.
fn threads() -> usize {
    fs::read_dir("/proc/self/task")
        .unwrap()
        // A thread may end while the directory is read.
        .filter_map(|task| fs::read_to_string(task.ok()?.path().join("comm")).ok())
        .filter(|found| found.trim_end() == "tollgate")
        .count()
}
