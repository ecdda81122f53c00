//! The system clock at intervals: one word that the maintenance thread refreshes.

use std::{cell::Cell, io, time::Duration};

use super::{Clock, monotonic::Timer, nanos};
use crate::maintenance::{Next, Registration};
use crate::sync::{Arc, AtomicU64, Mutex, Ordering, thread_local};

/// About 1 in 64 readings of each thread is compared with the system clock.
const CHECK_ONE_IN: u32 = 64;

/// Chooses these readings by the high bits of multiples of 2^32 over the golden ratio. A thread
/// that reads several clocks by turns cannot keep step with that pattern.
fn is_checked(reading: u32) -> bool {
    reading.wrapping_mul(0x9e37_79b9) < u32::MAX / CHECK_ONE_IN
}

/// How late a refresh must be before a reading refreshes the time itself.
const LATE: Duration = Duration::from_millis(100);

thread_local! {
    #[allow(
        clippy::missing_const_for_thread_local,
        reason = "the model checker's macro takes no const block"
    )]
    static READINGS: Cell<u32> = Cell::new(0);
}

/// A time that lags behind the system clock by about an interval.
///
/// A forked child has no maintenance thread, so nothing refreshes the time there. Some readings
/// therefore compare it with the system clock. If it is late, they refresh it. They also register
/// the refresh in this process, if another process had registered it.
pub(super) struct CoarseClock {
    time: Arc<Time>,
    interval: Duration,
    refresh: Mutex<Option<Registration>>,
}

struct Time {
    timer: Timer,
    /// In ns. It never goes back, since only `fetch_max` writes it. Relaxed: it publishes no other
    /// memory, so its accesses need no partner.
    cached: AtomicU64,
}

impl Time {
    fn refresh(&self) {
        self.cached.fetch_max(self.timer.now(), Ordering::Relaxed);
    }
}

impl CoarseClock {
    pub(super) fn new(interval: Duration) -> io::Result<CoarseClock> {
        let clock = CoarseClock {
            time: Arc::new(Time {
                timer: Timer::start(Clock::default()),
                cached: AtomicU64::new(0),
            }),
            interval: interval.max(Duration::from_micros(100)),
            refresh: Mutex::new(None),
        };
        clock.register()?;
        Ok(clock)
    }

    /// Registers the refresh with the maintenance thread, unless this process has done so already.
    fn register(&self) -> io::Result<()> {
        let mut refresh = self.refresh.lock();
        let is_registered = refresh
            .as_ref()
            .is_some_and(Registration::is_of_this_process);
        if is_registered {
            return Ok(());
        }
        let (time, interval) = (Arc::clone(&self.time), self.interval);
        let registration = Registration::new(interval, move |was_removed| {
            if was_removed {
                return Next::Done;
            }
            time.refresh();
            Next::In(interval)
        })?;
        let inherited = refresh.replace(registration);
        drop(refresh);
        drop(inherited);
        Ok(())
    }

    #[inline]
    pub(super) fn nanos(&self) -> u64 {
        let readings = READINGS.try_with(|readings| {
            let one_more = readings.get().wrapping_add(1);
            readings.set(one_more);
            one_more
        });
        if readings.is_ok_and(is_checked) {
            self.check();
        }
        self.time.cached.load(Ordering::Relaxed)
    }

    #[cold]
    #[inline(never)]
    fn check(&self) {
        let cached = self.time.cached.load(Ordering::Relaxed);
        let late = self.time.timer.now().saturating_sub(cached);
        if late > nanos(self.interval.saturating_mul(4).max(LATE)) {
            self.time.refresh();
            // If the system refuses a thread, such readings go on refreshing the time.
            let _ = self.register();
        }
    }
}
