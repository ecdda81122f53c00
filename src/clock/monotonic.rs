//! A limiter's time: a clock that has been started, and that does not go back.

use super::{Clock, Precision};
use crate::arith::scale::HORIZON;
use crate::sync::{AtomicU64, Ordering};

/// How far `high_water` may lag behind the system's clock, in ns. Threads share its cache line, and
/// a check that wrote to it each time would make every other thread wait. See `benches/README.md`.
const SYSTEM_LAG: u64 = 1_000_000;

/// Tests move a `ManualClock` back by any time, so it has no lag. In the models it has that of the
/// system's clock: there a write to `high_water` must not order what nothing else does.
const EXACT_LAG: u64 = if cfg!(tollgate_loom) { SYSTEM_LAG } else { 0 };

/// How far the clock may fall behind before its step back is taken for one, in ns. More than cores
/// ever differ by, so that time is only counted on from a step that is real.
pub(crate) const STEP_TOLERANCE: u64 = 1_000_000_000;

/// Counts ns since it was started. It goes back by at most its lag.
///
/// The time is the reading of the clock plus `shift`, modulo 2^64. `high_water` is a time that some
/// thread has computed, and a lower bound for those to come:
///
/// - **A step back stands still.** A thread whose time is below `high_water` takes that instead.
/// - **After a long step back time counts on** from `high_water`: `shift` is raised so that the
///   reading of now is `high_water`. Nothing is credited, and no wait grows by more than
///   [`STEP_TOLERANCE`].
/// - **A sweep** publishes its `now` here before it drops the first key. A thread that finds a key
///   gone, and inserts it anew, does so as of that time or later, and cannot credit the same
///   interval twice. For this the accesses may be relaxed: the thread reads `high_water` while it
///   holds the lock of the key's shard, which the sweep has released since.
///
/// # The order of a step back
///
/// A thread that is off its core between reading the clock and comparing must not take that for a
/// step back, or time would be credited. So the reading that raises `shift` is made after
/// `high_water` was loaded, with Acquire: the thread that published that value (Release) had read
/// the clock before, so a clock that has not stepped back now reads at least as much.
///
/// `shift` is loaded (Acquire) before the clock is read, and stored (Release) after it was read.
/// So no thread adds a raised shift to a reading from before the step. (Where that would only be
/// compared, in `now`, it would be found in `catch_up`.) A shift that is out of
/// date gives a time that is too early, as if the thread had stalled. It is only raised, and the
/// compare-and-swap lets one of several threads raise it for one step.
#[derive(Debug)]
pub(crate) struct Timer {
    clock: Clock,
    /// What the clock read when the timer was started.
    start: u64,
    /// The sum of what time was raised by, less `start`.
    shift: AtomicU64,
    high_water: AtomicU64,
    lag: u64,
}

impl Timer {
    pub(crate) fn start(clock: Clock) -> Timer {
        let start = clock.nanos();
        let lag = match clock.precision() {
            Precision::System => SYSTEM_LAG,
            // It never goes back.
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

    /// The ns since the start, at most [`HORIZON`].
    #[inline]
    pub(crate) fn now(&self) -> u64 {
        let high_water = self.high_water.load(Ordering::Relaxed);
        let shift = self.shift.load(Ordering::Acquire);
        let time = self.clock.nanos().wrapping_add(shift);
        // A time before `high_water` wraps, and is beyond any lag.
        if time.wrapping_sub(high_water) <= self.lag {
            return time.min(HORIZON);
        }
        self.catch_up()
    }

    /// Publishes a time that is ahead of `high_water` by more than the lag, or finds one that is
    /// not behind.
    #[cold]
    #[inline(never)]
    fn catch_up(&self) -> u64 {
        loop {
            let high_water = self.high_water.load(Ordering::Acquire);
            let shift = self.shift.load(Ordering::Acquire);
            let reading = self.clock.nanos();
            // Not modulo 2^64: what a step is too large for is a step all the same.
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
                // 584 years of steps back, which no clock but a test's takes: it stands still.
                return high_water;
            };
            let raised = raised.wrapping_sub(self.start);
            let exchange =
                self.shift
                    .compare_exchange(shift, raised, Ordering::AcqRel, Ordering::Acquire);
            if exchange.is_ok() {
                return high_water;
            }
            // Another thread has raised it, for the same step most likely.
        }
    }

    /// Returns the time for a sweep by the maintenance thread. It does not call the user's code:
    /// for a clock that is a function, it returns the latest time that was taken.
    pub(crate) fn publish_now_in_background(&self) -> u64 {
        if self.clock.is_function() {
            return self.high_water.load(Ordering::Acquire);
        }
        self.publish_now()
    }

    /// Returns the time, and makes it the least that any thread takes from now on: for a thread
    /// that is about to drop keys that are full at it.
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

    /// As on the system's clock.
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

    /// The clock is at zero long before it is at what it read when the timer was started.
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

    /// The extremes of the clock and of a timer's offset.
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
            clock.advance(Duration::MAX);
            assert_eq!(timer.now(), HORIZON);
        }
    }
}
