//! Law 9 under a race: time counts on once from a long step back, and a stall is not a step back.

use std::time::Duration;

use super::super::model;
use crate::ManualClock;
use crate::clock::Timer;
use crate::sync::Arc;

const SECOND: u64 = 1_000_000_000;

fn started() -> (Arc<Timer>, ManualClock) {
    let clock = ManualClock::new();
    (Arc::new(Timer::start(clock.clone().into())), clock)
}

/// Starts another thread that reads the time.
fn asking(timer: &Arc<Timer>) -> loom::thread::JoinHandle<u64> {
    let timer = Arc::clone(timer);
    loom::thread::spawn(move || timer.now())
}

/// A thread reads the clock, and is off its core for 2 s before it compares. That is no step back, and
/// credits no time.
#[test]
fn a_thread_that_stalls_beside_the_clock_is_not_taken_for_a_step_back() {
    model(|| {
        let (timer, clock) = started();
        let (one, other) = (asking(&timer), asking(&timer));
        clock.advance(Duration::from_secs(2));
        assert_eq!(timer.publish_now(), 2 * SECOND);
        assert!(one.join().unwrap() <= 2 * SECOND);
        assert!(other.join().unwrap() <= 2 * SECOND);
        assert_eq!(timer.now(), 2 * SECOND, "credited for the stall");
        clock.advance(Duration::from_secs(1));
        assert_eq!(timer.now(), 3 * SECOND);
    });
}

/// Threads read the clock before the step, after it, and at once with each other. Time counts on from
/// where it was, once.
#[test]
fn a_long_step_back_is_counted_on_from_once() {
    model(|| {
        let (timer, clock) = started();
        clock.advance(Duration::from_secs(5));
        let (one, other) = (asking(&timer), asking(&timer));
        assert_eq!(timer.publish_now(), 5 * SECOND);
        clock.rewind(Duration::from_secs(3));
        assert_eq!(timer.now(), 5 * SECOND);
        // It would be earlier if the thread had read the published time before it was there.
        assert!(one.join().unwrap() <= 5 * SECOND);
        assert!(other.join().unwrap() <= 5 * SECOND);
        assert_eq!(timer.now(), 5 * SECOND, "credited for the step");
        clock.advance(Duration::from_secs(1));
        assert_eq!(
            timer.now(),
            6 * SECOND,
            "locked out for longer than the debt"
        );
    });
}

/// The clock goes on while a thread counts on from a step back.
#[test]
fn time_that_passes_during_a_step_back_is_counted_at_most_once() {
    model(|| {
        let (timer, clock) = started();
        clock.advance(Duration::from_secs(5));
        assert_eq!(timer.publish_now(), 5 * SECOND);
        clock.rewind(Duration::from_secs(3));
        let (one, other) = (asking(&timer), asking(&timer));
        clock.advance(Duration::from_secs(1));
        let latest = one.join().unwrap().max(other.join().unwrap());
        let now = timer.now();
        assert!((5 * SECOND..=6 * SECOND).contains(&now), "{now}");
        assert!(latest <= now);
        clock.advance(Duration::from_secs(1));
        assert_eq!(timer.now(), now + SECOND);
    });
}
