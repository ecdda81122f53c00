//! Case 52: a process forks after a limiter was built. libzypp PR757.
//!
//! In a test binary of its own, with one test, as it forks.

#![cfg(target_os = "linux")]
#![allow(unsafe_code, reason = "a fork is not safe code")]

mod common;

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    thread,
    time::{Duration, Instant},
};

use common::cases::wait_until;
use tollgate::{Clock, ManualClock, Quota, RateLimiter};

/// Time and again, as what goes wrong depends on what the threads are doing.
#[test]
fn a_forked_child_can_use_and_drop_what_it_inherits() {
    let clock = ManualClock::new();
    for round in 0..40 {
        let builder = || RateLimiter::<u64>::builder(Quota::per_second(1_000).burst(1));
        // Not swept at the instant of the fork, as a lock that is held then stays held.
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

        // SAFETY: the child runs the code below, and leaves by `_exit`. No other thread of this
        // test uses these limiters, so none has a lock of theirs.
        let child = unsafe { libc::fork() };
        assert!(child >= 0, "fork");
        if child == 0 {
            let ended = catch_unwind(AssertUnwindSafe(|| in_the_child(parts, &clock)));
            // SAFETY: ends the process at once.
            unsafe { libc::_exit(i32::from(ended.is_err())) };
        }
        assert_eq!(exit_code(child), 0, "the child failed in round {round}");

        // And the parent goes on as before.
        let (limiter, coarse) = parts;
        wait_until("time goes on in the parent", || coarse.allow(&0));
        assert!(!limiter.allow(&0));
        is_swept(&clock);
    }
}

fn in_the_child((limiter, coarse): (RateLimiter<u64>, RateLimiter<u64>), clock: &ManualClock) {
    // Its coarse clock does not stand still.
    for _ in 0..3 {
        wait_until("time goes on in the child", || coarse.allow(&0));
    }
    // What it inherits works, and is dropped.
    assert!(!limiter.allow(&0) && limiter.allow(&1));
    clock.advance(Duration::from_secs(1));
    assert_eq!(limiter.sweep(), 2);
    drop(limiter);
    drop(coarse);
    is_swept(clock);
}

/// What is built is swept by the thread of the process.
fn is_swept(clock: &ManualClock) {
    let limiter = RateLimiter::<u64>::builder(Quota::per_second(1))
        .clock(clock.clone())
        .sweep_every(Duration::from_millis(1))
        .build();
    assert!(limiter.allow(&0));
    clock.advance(Duration::from_secs(1));
    wait_until("a sweep", || limiter.is_empty());
}

/// The child's exit code. It is killed if it takes too long.
fn exit_code(child: libc::pid_t) -> i32 {
    let start = Instant::now();
    let mut status = 0;
    loop {
        // SAFETY: `status` is there to be written.
        let waited = unsafe { libc::waitpid(child, &raw mut status, libc::WNOHANG) };
        assert!(waited >= 0, "waitpid");
        if waited == child {
            break;
        }
        if start.elapsed() > Duration::from_secs(60) {
            // SAFETY: a child of this process, that has not been waited for.
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
