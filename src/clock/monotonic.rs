//! The time of a limiter: a clock that has been started and does not go back.

use super::{Clock, Precision};
use crate::arith::scale::HORIZON;
use crate::sync::{AtomicU64, Ordering};

/// How far `high_water` may lag behind the system clock, in ns. All threads share its cache line.
/// If each check wrote to it, every other thread would wait. `docs/architecture.md` has the cost.
const SYSTEM_LAG: u64 = 1_000_000;

/// Tests move a `ManualClock` back by any time, so it has no lag. In the models it has the lag of
/// the system clock: otherwise each write to `high_water` would order accesses that nothing else
/// orders.
const EXACT_LAG: u64 = if cfg!(all(test, tollgate_loom)) {
    SYSTEM_LAG
} else {
    0
};

/// How far the clock may fall behind, in ns, before time counts on. Clocks of cores differ by less,
/// so time counts on only from a real step back.
pub(crate) const STEP_TOLERANCE: u64 = 1_000_000_000;

/// Counts ns since it was started. It goes back by at most its lag.
///
/// The time is the reading of the clock plus `shift`, modulo 2^64. `high_water` is a time that some
/// thread has computed. It is a lower bound for later times:
///
/// - **A step back stands still.** A thread whose time is below `high_water` takes `high_water`.
/// - **After a long step back, time counts on** from `high_water`. `shift` is raised, so that the
///   current reading maps to `high_water`. Nothing is credited, and no wait grows by more than
///   [`STEP_TOLERANCE`].
/// - **A sweep** publishes its `now` here before it drops the first key. A thread that finds the
///   key gone and inserts it again cannot use an earlier time, and cannot credit the same interval
///   twice. Relaxed accesses suffice for this: the thread loads `high_water` under the lock of the
///   key's shard, which the sweep has released since its store.
///
/// # Orderings
///
/// A thread may be off its core between reading the clock and comparing. It must not take this for
/// a step back, or time would be credited. Two pairs of accesses prevent it:
///
/// - `high_water`: loaded with Acquire in `catch_up` *before* the clock is read. Its partners are
///   the Release stores by `fetch_max`. The thread that stored the value had read the clock before.
///   So a clock that has not stepped back now reads at least as much.
/// - `shift`: loaded with Acquire *before* the clock is read. Its partner is the Release half of
///   the compare-and-swap, *after* the clock was read. So no thread adds a raised shift to a
///   reading from before the step. In `now` such a sum would exceed the lag, and `catch_up` would
///   read again.
///
/// `now` loads `high_water` relaxed, since it only compares. `catch_up` loads it again with
/// Acquire.
///
/// A stale shift gives a time that is too early, as if the thread had stalled. The shift only
/// grows. The compare-and-swap lets only one of several threads raise it for one step.
#[derive(Debug)]
pub(crate) struct Timer {
    clock: Clock,
    /// The reading of the clock when the timer was started.
    start: u64,
    /// The sum of all raises, less `start`.
    shift: AtomicU64,
    high_water: AtomicU64,
    lag: u64,
}

impl Timer {
    pub(crate) fn start(clock: Clock) -> Timer {
        let start = clock.nanos();
        let lag = match clock.precision() {
            Precision::System => SYSTEM_LAG,
            // The clock never steps back.
            Precision::Coarse => u64::MAX / 2,
            Precision::Exact => EXACT_LAG,
        };
        Timer {
            clock,
            start,
            shift: AtomicU64::new(start.wrapping_neg()),
            high_water: AtomicU64::new(0),
            lag,
        }
    }

    /// Returns the ns since the start, at most [`HORIZON`].
    #[inline]
    pub(crate) fn now(&self) -> u64 {
        let high_water = self.high_water.load(Ordering::Relaxed);
        let shift = self.shift.load(Ordering::Acquire);
        let time = self.clock.nanos().wrapping_add(shift);
        // The difference of a time before `high_water` wraps, and exceeds any lag.
        if time.wrapping_sub(high_water) <= self.lag && time <= HORIZON {
            return time;
        }
        self.catch_up()
    }

    /// Returns a time that is not behind `high_water`. Publishes one that is ahead of it, and
    /// handles a step back.
    #[cold]
    #[inline(never)]
    fn catch_up(&self) -> u64 {
        loop {
            let high_water = self.high_water.load(Ordering::Acquire);
            let shift = self.shift.load(Ordering::Acquire);
            let reading = self.clock.nanos();
            // Not modulo 2^64, so that a step of any size is a step.
            let raised = shift.wrapping_add(self.start);
            let time = i128::from(reading) - i128::from(self.start) + i128::from(raised);
            let behind = i128::from(high_water) - time;
            if behind < 0 {
                let now = u64::try_from(time).map_or(HORIZON, |time| time.min(HORIZON));
                self.high_water.fetch_max(now, Ordering::Release);
                return now;
            }
            if behind <= i128::from(STEP_TOLERANCE) {
                return high_water;
            }
            let Ok(raised) = u64::try_from(i128::from(raised) + behind) else {
                // The steps back add up to 584 years, as only a test's clock does: time stands
                // still.
                return high_water;
            };
            let raised = raised.wrapping_sub(self.start);
            let exchange =
                self.shift
                    .compare_exchange(shift, raised, Ordering::AcqRel, Ordering::Acquire);
            if exchange.is_ok() {
                return high_water;
            }
            // Another thread has raised it, most likely for the same step.
        }
    }

    /// Returns a lower bound of later times: no thread that knows of this call reads an earlier `now`. The
    /// bound is at most the lag behind.
    ///
    /// A coarse clock is one word that never goes back, and no thread reads an older value of it than
    /// one that it knows of. Other clocks may be behind, down to `high_water`.
    pub(crate) fn floor(&self) -> u64 {
        self.floor_after(self.now())
    }

    /// Returns the [`floor`](Timer::floor) from the `now` that this thread has read. It is at most `now`,
    /// also if another thread has published a later time since.
    #[inline]
    pub(crate) fn floor_after(&self, now: u64) -> u64 {
        match self.clock.precision() {
            Precision::Coarse => now,
            Precision::System | Precision::Exact => {
                self.high_water.load(Ordering::Relaxed).min(now)
            }
        }
    }

    /// Returns the time for a sweep by the maintenance thread, without calling user code. For a
    /// clock that is a function, it is the latest published time.
    pub(crate) fn publish_now_in_background(&self) -> u64 {
        if self.clock.is_function() {
            return self.high_water.load(Ordering::Acquire);
        }
        self.publish_now()
    }

    /// Returns the time and publishes it as a lower bound for all later times. A sweep calls this
    /// before it drops the keys that are full at this time.
    pub(crate) fn publish_now(&self) -> u64 {
        let now = self.now();
        self.high_water.fetch_max(now, Ordering::Release);
        now
    }
}

#[cfg(all(test, not(tollgate_loom)))]
mod tests {
    use std::time::Duration;

    use super::super::ManualClock;
    use super::*;

    fn timer(clock: &ManualClock, lag: u64) -> Timer {
        let mut timer = Timer::start(clock.clone().into());
        timer.lag = lag;
        timer
    }

    /// With the lag of the system clock.
    #[test]
    fn a_timer_goes_back_by_no_more_than_its_lag() {
        let clock = ManualClock::new();
        let timer = timer(&clock, SYSTEM_LAG);
        clock.advance(Duration::from_millis(10));
        assert_eq!(timer.now(), 10_000_000);
        clock.advance(Duration::from_micros(900));
        assert_eq!(timer.now(), 10_900_000);
        clock.rewind(Duration::from_millis(5));
        assert_eq!(timer.now(), 10_000_000);
        clock.advance(Duration::from_micros(6_100));
        assert_eq!(timer.now(), 12_000_000);
        clock.rewind(Duration::from_nanos(1));
        assert_eq!(timer.now(), 12_000_000);
    }

    #[test]
    fn time_counts_on_from_a_step_back_beyond_the_tolerance_and_stands_still_below() {
        for lag in [0, SYSTEM_LAG] {
            let clock = ManualClock::new();
            clock.advance(Duration::from_nanos(5));
            let timer = timer(&clock, lag);
            let day = Duration::from_hours(24);
            clock.advance(day);
            let top = timer.now();
            clock.rewind(Duration::from_nanos(STEP_TOLERANCE));
            assert_eq!(timer.now(), top, "stands still");
            clock.advance(Duration::from_nanos(STEP_TOLERANCE));
            assert_eq!(timer.now(), top, "and has caught up");

            for step in 0..3 {
                let before = timer.now();
                clock.rewind(Duration::from_nanos(STEP_TOLERANCE + 1) + step * day);
                assert_eq!(timer.now(), before, "nothing is credited");
                clock.advance(Duration::from_nanos(7));
                assert_eq!(timer.now(), before + 7, "and time counts on");
                clock.advance(Duration::from_secs(2));
                assert_eq!(timer.now(), before + 2_000_000_007);
            }
        }
    }

    /// The clock steps back to zero, far before its reading at the start of the timer.
    #[test]
    fn time_counts_on_from_a_step_back_behind_the_start() {
        let clock = ManualClock::new();
        clock.advance(Duration::from_hours(24));
        let timer = timer(&clock, 0);
        clock.rewind(Duration::MAX);
        assert_eq!(timer.now(), 0);
        clock.advance(Duration::from_nanos(3));
        assert_eq!(timer.now(), 3);
    }

    /// The extremes of the clock and of the timer's offset.
    #[test]
    fn the_extremes_of_time_neither_wrap_nor_panic() {
        let clock = ManualClock::new();
        let early = timer(&clock, 0);
        clock.advance(Duration::from_hours(24));
        assert_eq!(early.now(), 24 * 3_600_000_000_000);
        clock.rewind(Duration::MAX);
        assert_eq!(early.now(), 24 * 3_600_000_000_000);
        clock.advance(Duration::MAX);
        assert_eq!(early.now(), HORIZON);
        let late = timer(&clock, 0);
        assert_eq!(late.now(), 0);
        clock.rewind(Duration::MAX);
        assert_eq!((early.now(), late.now()), (HORIZON, 0));
        clock.advance(Duration::from_secs(1));
        assert_eq!((early.now(), late.now()), (HORIZON, 1_000_000_000));
        clock.advance(Duration::MAX);
        assert_eq!((early.now(), late.now()), (HORIZON, HORIZON));
        for lag in [SYSTEM_LAG, u64::MAX / 2] {
            let clock = ManualClock::new();
            clock.advance(Duration::from_nanos(1));
            let timer = timer(&clock, lag);
            clock.advance(Duration::from_nanos(HORIZON - 1));
            assert_eq!(timer.now(), HORIZON - 1);
            clock.advance(Duration::from_nanos(5));
            assert_eq!(timer.now(), HORIZON);
            clock.advance(Duration::MAX);
            assert_eq!(timer.now(), HORIZON);
        }
    }
}
