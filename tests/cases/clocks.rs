//! Cases 14 and 15: the clocks that a limiter can be given.

use std::{
    cell::Cell,
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use tollgate::{Clock, ManualClock, Quota, RateLimiter};

use crate::common::cases::by_hand;
use crate::common::threads::wait_until;

/// Case 14. While the clock of a limiter stands still, nothing is earned. (`house.rs` checks that
/// no file names the wall clock.)
#[test]
fn only_the_given_clock_moves_a_bucket() {
    let (limiter, time) = by_hand(Quota::per_second(1_000_000_000).burst(1));
    assert!(limiter.allow(&0));
    // These checks take longer than 1 ns, the time of a unit.
    assert!((0..10_000).all(|_| !limiter.allow(&0)));
    time.set(1);
    assert!(limiter.allow(&0));
}

/// Case 15.
#[test]
fn what_a_suspended_machine_does_to_the_clock_is_documented() {
    let clock = include_str!("../../src/clock.rs");
    let documented = clock
        .split("pub struct Clock")
        .next()
        .unwrap()
        .lines()
        .filter(|line| line.starts_with("///"))
        .any(|line| line.contains("Suspend"));
    assert!(documented, "the documentation of Clock says so");
}

/// A coarse clock is never ahead of the machine's clock, and does not stay behind it.
///
/// The test runs for 0.2 s, many turns of the thread that sets the coarse time. A constant error
/// cancels out if the thread sets the time before the limiter is built.
#[test]
fn a_coarse_clock_hands_out_nothing_early_and_all_in_the_end() {
    const BURST: u64 = 1_000_000_000;
    // The first clock of a process calibrates itself. That takes time, which must not count below.
    drop(Clock::default());
    let start = Instant::now();
    let limiter: RateLimiter<u64> = RateLimiter::builder(Quota::per_second(1_000_000).burst(BURST))
        .clock(Clock::coarse(Duration::from_millis(1)).unwrap())
        .manual_sweep()
        .build();
    assert!(limiter.check_n(&0, BURST).is_allowed());
    let admitted = Cell::new(0);
    wait_until("0.2 s pass and are earned", || {
        let remaining = limiter.peek(&0).remaining();
        assert!(limiter.check_n(&0, remaining).is_allowed());
        admitted.set(admitted.get() + remaining);
        // One unit per us. The two clocks may differ by some millionths.
        let most = start.elapsed().as_micros();
        let most = most + most / 1_000 + 1;
        assert!(u128::from(admitted.get()) <= most, "{admitted:?} of {most}");
        most > 200_000 && admitted.get() >= 200_000
    });
    assert_eq!(
        format!("{:?}", Clock::coarse(Duration::ZERO).unwrap()),
        "Clock(coarse)"
    );
}

/// A clock that is a function may be bound to one thread, as the paused time of tokio is. The
/// maintenance thread does not call it.
#[cfg(not(tollgate_loom))] // builds without tokio
#[tokio::test(start_paused = true)]
async fn the_paused_time_of_a_runtime_is_a_limiters_time() {
    use tokio::time::{Instant, advance};

    let start = Instant::now();
    let limiter = RateLimiter::builder(Quota::per_second(1_000))
        .clock(Clock::from_fn(move || start.elapsed()))
        .sweep_every(Duration::from_millis(1))
        .build();
    assert!(limiter.check_n("alice", 1_000).is_allowed());
    // Real time passes, and the limiter is swept in it. It does not count.
    let real = std::time::Instant::now();
    while real.elapsed() < Duration::from_millis(50) {
        assert!(!limiter.allow("alice"));
    }
    advance(Duration::from_micros(999)).await;
    assert!(!limiter.allow("alice"));
    advance(Duration::from_micros(1)).await;
    assert!(limiter.allow("alice") && !limiter.allow("alice"));
    // A sweep does not take paused time far ahead of real time for a step back.
    advance(Duration::from_secs(3_000)).await;
    assert!(limiter.check_n("alice", 1_000).is_allowed());
    let real = std::time::Instant::now();
    while real.elapsed() < Duration::from_millis(50) {
        assert!(!limiter.allow("alice"));
    }
    advance(Duration::from_secs(1)).await;
    assert!(limiter.check_n("bob", 1).is_allowed());
    wait_until("alice is swept", || limiter.len() == 1);
}

/// A check whose clock panics spends nothing and stores nothing.
#[test]
fn a_clock_that_panics_leaves_no_trace() {
    let is_broken = Arc::new(AtomicBool::new(false));
    let read = Arc::clone(&is_broken);
    let clock = Clock::from_fn(move || {
        if read.load(Ordering::SeqCst) {
            resume_unwind(Box::new("the clock panics"));
        }
        Duration::ZERO
    });
    let limiter: RateLimiter<String> = RateLimiter::builder(Quota::per_second(5))
        .clock(clock)
        .manual_sweep()
        .build();
    is_broken.store(true, Ordering::SeqCst);
    for key in ["alice", "bob"] {
        let check = AssertUnwindSafe(|| limiter.allow(key));
        assert!(catch_unwind(check).is_err());
    }
    is_broken.store(false, Ordering::SeqCst);
    assert!(limiter.is_empty());
    assert_eq!(limiter.check("alice").remaining(), 4);
    assert_eq!(limiter.len(), 1);

    is_broken.store(true, Ordering::SeqCst);
    assert!(catch_unwind(AssertUnwindSafe(|| limiter.forget("alice"))).is_err());
    is_broken.store(false, Ordering::SeqCst);
    assert_eq!(limiter.check("alice").remaining(), 3);
    assert!(limiter.forget("alice"));
}

/// Two limiters on clones of a clock see the same time.
#[test]
fn clones_of_a_manual_clock_share_their_time() {
    let clock = ManualClock::new();
    let limiters = [clock.clone(), clock.clone()].map(|clock| {
        RateLimiter::<u64>::builder(Quota::per_second(1))
            .clock(Clock::from(clock))
            .manual_sweep()
            .build()
    });
    assert!(
        limiters
            .iter()
            .all(|limiter| limiter.allow(&0) && !limiter.allow(&0))
    );
    let moved = thread::spawn(move || clock.advance(Duration::from_secs(1))).join();
    moved.unwrap();
    assert!(
        limiters
            .iter()
            .all(|limiter| limiter.allow(&0) && !limiter.allow(&0))
    );
    let apart = by_hand::<u64, 1>(Quota::per_second(1)).0;
    assert!(apart.allow(&0) && !apart.allow(&0));
}

/// The default clock is the machine's. The test waits for no more than a few ns of it.
#[test]
fn a_limiter_runs_on_the_machines_clock() {
    let limiter = RateLimiter::new(Quota::per_day(1).burst(3));
    let first = limiter.check("alice");
    assert!(first.is_allowed());
    assert_eq!(first.remaining(), 2);
    assert_eq!(first.reset_after(), Duration::from_secs(86_400));
    assert!(limiter.check_n("alice", 2).is_allowed());
    let denied = limiter.check("alice");
    assert!(!denied.is_allowed());
    let wait = denied.retry_after().unwrap();
    assert!(wait <= Duration::from_secs(86_400) && wait > Duration::from_secs(86_000));

    // It moves: at a unit per ns, some units are earned.
    let limiter = RateLimiter::new(Quota::per_second(1_000_000_000).burst(1_000));
    assert!(limiter.check_n("alice", 1_000).is_allowed());
    wait_until("time passes", || {
        limiter.check_n("alice", 1_000).is_allowed()
    });
}
