//! Case 23: the thread that sweeps ends with its limiter, and that of a coarse clock with its last
//! clone.
//!
//! In a test binary of its own, as it counts the threads of the process.

#![cfg(target_os = "linux")]

mod common;

use std::{fs, time::Duration};

use common::cases::wait_until;
use tollgate::{Clock, ManualClock, Quota, RateLimiter};

/// Case 23.
#[test]
fn the_sweeping_thread_lives_as_long_as_its_limiter() {
    assert_eq!(threads(SWEEPER), 0);
    let by_hand: RateLimiter<u64> = RateLimiter::builder(Quota::per_second(1))
        .sweep_by_hand()
        .build();
    assert_eq!(threads(SWEEPER), 0, "swept by hand, it needs none");

    let limiter: RateLimiter<u64> = RateLimiter::new(Quota::per_second(1));
    wait_until("a thread starts", || threads(SWEEPER) == 1);
    drop(limiter);
    // It has been joined. The system may list it for an instant longer.
    wait_until("the thread ends", || threads(SWEEPER) == 0);

    for iteration in 0..200 {
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
            wait_until("three start", || threads(SWEEPER) == 3);
        }
        clock.advance(Duration::from_secs(1));
        if iteration % 2 == 0 {
            wait_until("a sweep", || limiters[0].is_empty());
        }
        drop(limiters);
        wait_until("all have ended", || threads(SWEEPER) == 0);
    }
    drop(by_hand);
}

/// Here, as no other test may start threads of that name meanwhile.
#[test]
fn the_thread_of_a_coarse_clock_lives_as_long_as_its_last_clone() {
    let clock = Clock::coarse(Duration::from_millis(1)).unwrap();
    wait_until("a thread starts", || threads(CLOCK) == 1);
    let builder = || RateLimiter::<u64>::builder(Quota::per_second(1)).sweep_by_hand();
    let limiters = [1, 2, 3].map(|_| builder().clock(clock.clone()).build());
    drop(clock);
    assert!(limiters[0].allow(&0));
    assert_eq!(threads(CLOCK), 1, "one for all");
    drop(limiters);
    wait_until("the thread ends", || threads(CLOCK) == 0);
}

const SWEEPER: &str = "tollgate-sweep";
const CLOCK: &str = "tollgate-clock";

/// How many threads of this process bear a name that the library gives its own.
fn threads(name: &str) -> usize {
    fs::read_dir("/proc/self/task")
        .unwrap()
        // A thread may end while the list is read.
        .filter_map(|task| fs::read_to_string(task.ok()?.path().join("comm")).ok())
        .filter(|found| found.trim_end() == name)
        .count()
}
