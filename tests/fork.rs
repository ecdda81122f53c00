//! Case 52: a process forks after a limiter was built. libzypp PR757.
//!
//! A test binary of its own with one test, because it forks.

#![cfg(target_os = "linux")]
#![allow(unsafe_code, reason = "fork is unsafe")]

#[path = "common/core.rs"]
mod common;

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    thread,
    time::{Duration, Instant},
};

use common::threads::wait_until;
use tollgate::{Clock, ManualClock, Quota, RateLimiter};

/// It forks 40 times, because a failure depends on what the threads do at that time.
#[test]
fn a_forked_child_can_use_and_drop_what_it_inherits() {
    let clock = ManualClock::new();
    for round in 0..40 {
        let builder = || RateLimiter::<u64>::builder(Quota::per_second(1_000).burst(1));
        // No sweep runs when the process forks: a lock that is locked then stays locked in the
        // child.
        let limiter = builder()
            .clock(clock.clone())
            .sweep_every(Duration::from_secs(3_600))
            .build();
        let coarse = builder()
            .clock(Clock::coarse(Duration::from_millis(1)).unwrap())
            .manual_sweep()
            .build();
        assert!(limiter.allow(&0) && coarse.allow(&0));
        let parts = (limiter, coarse);

        // SAFETY: the child runs the code below, and ends by `_exit`. No other thread of this test
        // uses these limiters, so none of their locks is locked.
        let child = unsafe { libc::fork() };
        assert!(child >= 0, "fork");
        if child == 0 {
            let ended = catch_unwind(AssertUnwindSafe(|| in_the_child(parts, &clock)));
            // SAFETY: ends the process at once.
            unsafe { libc::_exit(i32::from(ended.is_err())) };
        }
        assert_eq!(exit_code(child), 0, "the child failed in round {round}");

        // The parent goes on as before.
        let (limiter, coarse) = parts;
        wait_until("time goes on in the parent", || coarse.allow(&0));
        assert!(!limiter.allow(&0));
        is_swept(&clock);
    }
}

fn in_the_child((limiter, coarse): (RateLimiter<u64>, RateLimiter<u64>), clock: &ManualClock) {
    // The coarse clock of the child does not stand still.
    for _ in 0..3 {
        wait_until("time goes on in the child", || coarse.allow(&0));
    }
    // The inherited limiter works, and can be dropped.
    assert!(!limiter.allow(&0) && limiter.allow(&1));
    clock.advance(Duration::from_secs(1));
    assert_eq!(limiter.sweep(), 2);
    drop(limiter);
    drop(coarse);
    is_swept(clock);
}

/// Checks that a new limiter is swept by the maintenance thread of this process.
fn is_swept(clock: &ManualClock) {
    let limiter = RateLimiter::<u64>::builder(Quota::per_second(1))
        .clock(clock.clone())
        .sweep_every(Duration::from_millis(1))
        .build();
    assert!(limiter.allow(&0));
    clock.advance(Duration::from_secs(1));
    wait_until("a sweep", || limiter.is_empty());
}

/// Returns the exit code of a child. Kills it at the deadline.
fn exit_code(child: libc::pid_t) -> i32 {
    let start = Instant::now();
    let mut status = 0;
    loop {
        // SAFETY: `status` is valid for writes.
        let waited = unsafe { libc::waitpid(child, &raw mut status, libc::WNOHANG) };
        assert!(waited >= 0, "waitpid");
        if waited == child {
            break;
        }
        if start.elapsed() > Duration::from_secs(60) {
            // SAFETY: the child of this process was not waited for, so its id is not reused.
            unsafe { libc::kill(child, libc::SIGKILL) };
            panic!("the child hangs");
        }
        thread::yield_now();
    }
    if libc::WIFEXITED(status) {
        libc::WEXITSTATUS(status)
    } else {
        -1
    }
}
