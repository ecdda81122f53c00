//! The sources of time for a limiter.

mod coarse;
mod manual;
mod monotonic;
mod system;

use std::{
    fmt, io,
    panic::{RefUnwindSafe, UnwindSafe},
    time::Duration,
};

use self::coarse::CoarseClock;
use self::system::SystemClock;
use crate::sync::Arc;

pub use self::manual::ManualClock;
pub(crate) use self::monotonic::Timer;

/// A source of time for a limiter.
///
/// The default is the system clock: the CPU's time stamp counter where it is invariant, and the
/// operating system's monotonic clock elsewhere. The wall clock is never used. The first clock of a
/// process calibrates for up to 0.2 s.
///
/// The others are the system clock [read at intervals](Clock::coarse), a [`ManualClock`], and
/// [any function](Clock::from_fn).
///
/// # A step back
///
/// - **Up to 1 s:** time stands still until the clock catches up. Nothing is earned or lost.
/// - **Longer:** time counts on from where it was, starting when the limiter next reads the clock.
///   The step credits nothing. From then on, no key waits longer than its debt takes.
/// - **A step forward** counts as time that has passed, also after a step back.
///
/// # Caveats
///
/// - **1 ms.** On the system clock, steps back of less than 1 ms may go undetected, such as between
///   the time stamp counters of two sockets. Of a longer step, the last 1 ms before it may be
///   counted twice. A full bucket can then be credited that interval twice. Any other bucket reads
///   low by that amount until the clock catches up. `ManualClock` and functions detect every step.
/// - **Suspend.** The time stamp counter and the monotonic clock stop on most systems while the
///   machine is suspended. Keys then earn nothing. A denied key may wait longer by the wall clock,
///   and nothing extra is admitted.
/// - **Virtual machines.** After a migration or a restored snapshot, the clock may be far ahead or
///   behind. Time ahead counts as passed. A clock that is behind counts on, as above.
/// - **Cores.** Counters of cores that are more than 1 s apart are not supported: each change of
///   core would count as time. Operating systems do not offer such counters as a clock.
/// - **Rate.** The time stamp counter is scaled by a factor that is measured once. Limits are off
///   by the error of that factor. The largest error seen was 18 millionths, or 1.6 s a day.
/// - **A century.** A limiter's time stands still 100 years of 365.25 days after it was built.
#[derive(Clone, Default)]
pub struct Clock(Source);

#[derive(Clone)]
enum Source {
    System(SystemClock),
    Coarse(Arc<CoarseClock>),
    Manual(ManualClock),
    Function(Arc<Box<dyn Fn() -> Duration + Send + Sync>>),
}

/// A panic leaves no state of a clock half written: that state is one word, and a registration
/// under a lock. What a user's function refers to is the user's concern.
impl RefUnwindSafe for Clock {}
impl UnwindSafe for Clock {}

/// How a clock can step back, which decides the lag of its [`Timer`].
pub(crate) enum Precision {
    /// Cores may differ, and many threads read the clock at once.
    System,
    /// The clock never steps back.
    Coarse,
    /// Every step back of at least 1 ns is detected.
    Exact,
}

impl Clock {
    /// Creates a clock that a background thread refreshes from the system clock every `interval`.
    /// At least 0.1 ms.
    ///
    /// A check reads a cached word, which costs less: reading the system clock is the largest part
    /// of a check. Clones share the cached time.
    ///
    /// # Consistency
    ///
    /// The cached time lags behind the system clock by up to `interval` plus the scheduling delay
    /// of the thread. It never runs ahead. With a lag of at most d:
    ///
    /// - In any interval of length t, a key is admitted at most b + (t + d)·u/P units. Units may be
    ///   handed out up to d after they were earned, and so may fall into a later interval.
    /// - A unit may be denied for d after it was earned, also after
    ///   [`retry_after`](crate::Decision::retry_after). The numbers of a decision are up to d old.
    ///
    /// # Caveats
    ///
    /// - **Delays.** The thread also [sweeps all limiters](crate::RateLimiter#threads). A refresh
    ///   can wait for a slice of a sweep, and for the `Drop` of swept keys.
    /// - **Late refreshes.** A refresh may be late by more than 0.1 s and by more than four
    ///   intervals. About one check in 64 of each thread then refreshes the time itself.
    /// - **Fork.** The time of a forked child stands still until such a check. That check starts a
    ///   thread in the child.
    ///
    /// # Errors
    ///
    /// If the operating system refuses the thread, or the target has no threads.
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
    pub fn coarse(interval: Duration) -> io::Result<Clock> {
        let coarse = CoarseClock::new(interval)?;
        Ok(Clock(Source::Coarse(Arc::new(coarse))))
    }

    /// Creates a clock from a function that returns the time since a fixed instant, at most 584
    /// years.
    ///
    /// A limiter calls `now` when it is built, and in each method that reads the time, on the
    /// calling thread. Most calls happen while the lock of a shard is held. So `now` must be quick,
    /// must not call the limiter, and must use one time base on all threads. If it panics, the
    /// panic propagates and no units are spent.
    ///
    /// The maintenance thread never calls `now`. It sweeps at the latest time that was read.
    ///
    /// To detect a step back of any length, each check that reads a later time writes it to a word
    /// that all threads share. With many threads, the default clock is faster.
    ///
    /// # Examples
    ///
    /// The clock of a tokio runtime, which a test can pause and advance:
    ///
    /// ```
    /// use std::time::Duration;
    /// use tokio::time::{self, Instant};
    /// use tollgate::{Clock, Quota, RateLimiter};
    ///
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)]
    /// # async fn main() {
    /// let start = Instant::now();
    /// let clock = Clock::from_fn(move || start.elapsed());
    /// let limiter = RateLimiter::builder(Quota::per_second(1)).clock(clock).build();
    /// assert!(limiter.allow("alice"));
    /// assert!(!limiter.allow("alice"));
    /// time::advance(Duration::from_secs(1)).await;
    /// assert!(limiter.allow("alice"));
    /// # }
    /// ```
    pub fn from_fn(now: impl Fn() -> Duration + Send + Sync + 'static) -> Clock {
        Clock(Source::Function(Arc::new(Box::new(now))))
    }

    /// Returns the ns since a fixed instant.
    #[inline]
    fn nanos(&self) -> u64 {
        match &self.0 {
            Source::System(clock) => clock.nanos(),
            _ => self.other_nanos(),
        }
    }

    /// Out of line, so that a check on the system clock compiles as if there were no other clock.
    #[inline(never)]
    fn other_nanos(&self) -> u64 {
        match &self.0 {
            Source::System(clock) => clock.nanos(),
            Source::Coarse(clock) => clock.nanos(),
            Source::Manual(clock) => clock.nanos(),
            Source::Function(now) => nanos(now()),
        }
    }

    /// Whether reading the clock calls user code.
    fn is_function(&self) -> bool {
        matches!(self.0, Source::Function(_))
    }

    fn precision(&self) -> Precision {
        match self.0 {
            Source::System(_) => Precision::System,
            Source::Coarse(_) => Precision::Coarse,
            Source::Manual(_) | Source::Function(_) => Precision::Exact,
        }
    }
}

impl Default for Source {
    fn default() -> Source {
        Source::System(SystemClock::new())
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
            Source::System(_) => "Clock(system)",
            Source::Coarse(_) => "Clock(coarse)",
            Source::Manual(_) => "Clock(manual)",
            Source::Function(_) => "Clock(function)",
        })
    }
}

/// Converts to ns, at most 2^64 - 1: 584 years.
fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
