//! Where `now` comes from.

use std::{fmt, io, panic::RefUnwindSafe, time::Duration};

use crate::axis::HORIZON;
use crate::background::{Background, Stop};
use crate::sync::{Arc, AtomicU64, Ordering};

/// A source of time for a limiter: the machine's, the machine's [at intervals](Clock::coarse), or a
/// [`ManualClock`].
///
/// The default reads the CPU's time stamp counter where it is invariant, and the operating
/// system's monotonic clock elsewhere; never the wall clock. The first one made in a process
/// calibrates for up to 0.2 s.
///
/// # Caveats
///
/// - **Suspend.** Time during which the machine is suspended may not count. Then keys earn nothing
///   while it sleeps: a denied key may wait longer by the wall clock, and nothing extra is
///   admitted.
/// - **Rate.** The time stamp counter is scaled by a factor measured once, so it can differ from
///   the operating system's clock by some millionths, and limits with it.
/// - **A step back** counts as time standing still until the clock has caught up: nothing is
///   earned, and no unit is lost. Of the machine's clock, as between the counters of two sockets,
///   one of less than 1 ms may go unnoticed: then so much time passes twice for a key whose bucket
///   is full, and any other holds less for so long. (A `ManualClock` stands still to the ns.)
/// - **A century.** 100 years of 365.25 days after the limiter was built, its time stands still.
#[derive(Clone, Default)]
pub struct Clock(Source);

#[derive(Clone)]
enum Source {
    Machine(quanta::Clock),
    Coarse(Arc<Coarse>),
    Manual(ManualClock),
}

/// The ns since it was made, as of when its thread last looked.
struct Coarse {
    now: Arc<AtomicU64>,
    _thread: Background,
}

/// One word, and a thread's end.
impl RefUnwindSafe for Coarse {}

impl Clock {
    /// The machine's clock, read for all by a thread of its own `every` so often, of 0.1 ms at the
    /// least. A check then reads one word, which costs less: reading the clock is the largest part
    /// of a check.
    ///
    /// The time that decisions are made on lags behind the clock, by `every` and for as long as the
    /// system makes the thread wait for its turn; it is never ahead. With a lag of at most d:
    ///
    /// - In any stretch of time t a key is admitted at most b + (t + d) u / P units: what was
    ///   earned is handed out up to d late, and so may fall into a later stretch.
    /// - A unit may be refused for d after it was earned; so may one that is asked for after
    ///   [`retry_after`](crate::Decision::retry_after), and the numbers of a decision are as of d
    ///   ago.
    ///
    /// Clones share the time and the thread, which ends with the last of them.
    ///
    /// # Errors
    ///
    /// If the operating system refuses a thread.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// use tollgate::{Clock, Quota, RateLimiter};
    ///
    /// let clock = Clock::coarse(Duration::from_millis(1))?;
    /// let limiter = RateLimiter::builder(Quota::per_minute(100)).clock(clock).build();
    /// assert!(limiter.allow("alice"));
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn coarse(every: Duration) -> io::Result<Clock> {
        let clock = quanta::Clock::new();
        let start = clock.raw();
        let now = Arc::new(AtomicU64::new(0));
        let told = Arc::clone(&now);
        let tell = move |_: &Stop| {
            // Never back, should two sockets disagree.
            told.fetch_max(clock.delta_as_nanos(start, clock.raw()), Ordering::Relaxed);
        };
        let every = every.max(Duration::from_micros(100));
        let thread = Background::start("tollgate-clock", every, tell)?;
        let coarse = Coarse {
            now,
            _thread: thread,
        };
        Ok(Clock(Source::Coarse(Arc::new(coarse))))
    }
}

impl Default for Source {
    fn default() -> Source {
        Source::Machine(quanta::Clock::new())
    }
}

impl From<ManualClock> for Clock {
    fn from(clock: ManualClock) -> Clock {
        Clock(Source::Manual(clock))
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            Source::Machine(_) => "Clock(machine)",
            Source::Coarse(_) => "Clock(coarse)",
            Source::Manual(_) => "Clock(manual)",
        })
    }
}

/// How far `reached` may lag behind the machine's clock, in ns: threads share its cache line, and a
/// check that wrote to it each time would make every other wait for it. See `benches/README.md`.
const MACHINE_LAG: u64 = 1_000_000;

/// Tests move a `ManualClock` back by any time they like, so it has no lag; but for the models,
/// which are of the machine's: there a write to `reached` must not order what nothing else does.
const MANUAL_LAG: u64 = if cfg!(tollgate_loom) { MACHINE_LAG } else { 0 };

/// A clock that has been started: it counts ns from there, and goes back by its lag at the most.
///
/// `reached` is a time that some thread has read. It makes a step back of the clock stand still,
/// and any value will do for that. A sweep sets it to the `now` as of which keys are full, before
/// it drops the first: so whoever finds one of them gone, and stores it anew, does not do so as of
/// a time before, to earn once more what it had earned by then. Relaxed is enough for that too: he
/// reads `reached` while he holds the key's shard, which the sweep has held since.
#[derive(Debug)]
pub(crate) struct Timer {
    clock: Clock,
    start: u64,
    reached: AtomicU64,
    lag: u64,
}

impl Timer {
    pub(crate) fn start(clock: Clock) -> Timer {
        let start = clock.raw();
        let lag = match clock.0 {
            Source::Machine(_) => MACHINE_LAG,
            // It never goes back.
            Source::Coarse(_) => u64::MAX,
            Source::Manual(_) => MANUAL_LAG,
        };
        Timer {
            clock,
            start,
            reached: AtomicU64::new(0),
            lag,
        }
    }

    /// The ns since the start, [`HORIZON`] at the most.
    #[inline]
    pub(crate) fn now(&self) -> u64 {
        let reached = self.reached.load(Ordering::Relaxed);
        let elapsed = match &self.clock.0 {
            Source::Machine(clock) => clock.delta_as_nanos(self.start, clock.raw()),
            Source::Coarse(_) | Source::Manual(_) => self.clock.raw().saturating_sub(self.start),
        };
        let now = elapsed.min(HORIZON).max(reached);
        if now - reached > self.lag {
            self.reached.fetch_max(now, Ordering::Relaxed);
        }
        now
    }

    /// The time, for whoever is about to drop keys that are full at it.
    pub(crate) fn now_for_dropping(&self) -> u64 {
        let now = self.now();
        self.reached.fetch_max(now, Ordering::Relaxed);
        now
    }
}

impl Clock {
    /// Ticks since some instant. Only a `Timer` knows their length.
    #[inline]
    fn raw(&self) -> u64 {
        match &self.0 {
            Source::Machine(clock) => clock.raw(),
            Source::Coarse(coarse) => coarse.now.load(Ordering::Relaxed),
            Source::Manual(clock) => clock.0.load(Ordering::Acquire),
        }
    }
}

/// Time moved by hand, for tests of code that limits.
///
/// Clones share their time. It stands still until it is moved.
///
/// ```
/// use std::time::Duration;
/// use tollgate::{ManualClock, Quota, RateLimiter};
///
/// let clock = ManualClock::new();
/// let limiter: RateLimiter<String> =
///     RateLimiter::builder(Quota::per_minute(60).burst(1)).clock(clock.clone()).build();
///
/// assert!(limiter.allow("alice"));
/// assert!(!limiter.allow("alice"));
/// clock.advance(Duration::from_secs(1));
/// assert!(limiter.allow("alice"));
/// ```
// Advancing releases and reading acquires, so that what a test did before it moved the time has
// happened for whoever sees the time moved. Decisions do not rely on it.
#[derive(Clone)]
pub struct ManualClock(Arc<AtomicU64>);

impl ManualClock {
    /// A clock that stands at zero.
    #[must_use]
    pub fn new() -> ManualClock {
        ManualClock(Arc::new(AtomicU64::new(0)))
    }

    /// Moves the time on, to 584 years after zero at the most.
    pub fn advance(&self, by: Duration) {
        self.shift(|now| now.saturating_add(nanos(by)));
    }

    /// Moves the time back, to zero at the furthest: to see what a clock that steps back does.
    ///
    /// To a limiter on it, time then [stands still](Clock#caveats) until it has been moved on.
    pub fn rewind(&self, by: Duration) {
        self.shift(|now| now.saturating_sub(nanos(by)));
    }

    fn shift(&self, to: impl Fn(u64) -> u64) {
        let moved = self
            .0
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, |now| Some(to(now)));
        debug_assert!(moved.is_ok(), "the update always answers Some");
    }
}

impl Default for ManualClock {
    fn default() -> ManualClock {
        ManualClock::new()
    }
}

impl fmt::Debug for ManualClock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let now = Duration::from_nanos(self.0.load(Ordering::Acquire));
        f.debug_tuple("ManualClock").field(&now).finish()
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(all(test, not(tollgate_loom)))]
mod tests {
    use super::*;

    /// As on the machine's clock.
    #[test]
    fn a_timer_goes_back_by_no_more_than_its_lag() {
        let clock = ManualClock::new();
        let mut timer = Timer::start(clock.clone().into());
        timer.lag = MACHINE_LAG;
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
}
