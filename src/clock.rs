//! Where `now` comes from.

mod coarse;
mod manual;
mod monotonic;

use std::{
    fmt, io,
    panic::{RefUnwindSafe, UnwindSafe},
    time::Duration,
};

use self::coarse::CoarseClock;
use crate::sync::Arc;

pub use self::manual::ManualClock;
pub(crate) use self::monotonic::Timer;

/// A source of time for a limiter: the system's clock, the same [at intervals](Clock::coarse), a
/// [`ManualClock`], or [any function](Clock::from_fn).
///
/// The default reads the CPU's time stamp counter where it is invariant, and the operating
/// system's monotonic clock elsewhere; never the wall clock. The first one made in a process
/// calibrates for up to 0.2 s.
///
/// # A step back
///
/// Time that steps back by up to 1 s stands still until the clock has caught up: nothing is
/// earned, and no unit is lost. After a longer step, time counts on from where it was, from the
/// first time on that the limiter reads the clock again: nothing is credited for the step, and from
/// then on no key waits longer than its debt takes. Every step forward counts as time that has
/// passed, after a step back too.
///
/// # Caveats
///
/// - **The last 1 ms** of the system's clock before a step back may be counted twice. Shorter steps
///   go undetected, such as between the time stamp counters of two sockets. A full bucket can then
///   be credited that interval twice; any other bucket reads low by as much until the clock has
///   caught up. `ManualClock` and functions have no such interval.
/// - **Suspend.** Time during which the machine is suspended may not count: the time stamp counter
///   and the monotonic clock stop on most systems. Keys then earn nothing while it sleeps. A
///   denied key may wait longer by the wall clock; nothing extra is admitted.
/// - **A virtual machine that is migrated or restored** from a snapshot may find its clock far
///   ahead or behind. Time ahead counts as passed. A clock that is behind counts on, as above.
/// - **Counters of cores more than 1 s apart** are not supported: each change of core between them
///   would count as time. Operating systems do not offer such counters as a clock.
/// - **Rate.** The time stamp counter is scaled by a factor that is measured once. Limits can be
///   off by as much as it is: up to 18 millionths were seen, 1.6 s a day.
/// - **A century.** 100 years of 365.25 days after the limiter was built, its time stands still.
#[derive(Clone, Default)]
pub struct Clock(Source);

#[derive(Clone)]
enum Source {
    System(quanta::Clock),
    Coarse(Arc<CoarseClock>),
    Manual(ManualClock),
    Function(Arc<Box<dyn Fn() -> Duration + Send + Sync>>),
}

/// No panic leaves the state of a clock half written: that is one word, and a registration under a
/// lock. (What a function refers to is its author's.)
impl RefUnwindSafe for Clock {}
impl UnwindSafe for Clock {}

/// What a [`Timer`] must know of its clock.
pub(crate) enum Precision {
    /// Cores may differ, and many threads read it at once.
    System,
    /// It never goes back.
    Coarse,
    /// A step back is detected to the ns.
    Exact,
}

impl Clock {
    /// Returns the system's clock as a background thread reads it every `interval`, which is at
    /// least 0.1 ms. A check then reads one word, which costs less: reading the clock is the
    /// largest part of a check.
    ///
    /// The time of decisions lags behind the clock by up to `interval` and the delay with which the
    /// system schedules the thread. It never runs ahead. With a lag of at most d:
    ///
    /// - In any interval of length t a key is admitted at most b + (t + d) u / P units: what was
    ///   earned is handed out up to d late, and so may fall into a later interval.
    /// - A unit may be denied for d after it was earned, also after
    ///   [`retry_after`](crate::Decision::retry_after). The numbers of a decision are up to d old.
    ///
    /// Clones share the time. The thread is that of [all limiters](crate::RateLimiter#threads), so
    /// a refresh can also wait for a slice of a sweep, and for what the keys of a limiter do when
    /// they are dropped. If it is late by more than 0.1 s and four intervals, about one check in 64
    /// of each thread refreshes the time itself. So does a forked child, which then starts a thread
    /// of its own; until that check, its time stands still.
    ///
    /// # Errors
    ///
    /// If the operating system refuses the thread.
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

    /// Returns a clock that reads `now`: the time since any fixed instant, at most 584 years.
    ///
    /// A limiter calls `now` when it is built, and then on each thread that calls a method which
    /// reads the time: mostly while it holds the lock of a shard. `now` must be quick, must not call
    /// the limiter, and must be of one time base on all those threads. If it panics, the panic
    /// propagates and no units are spent.
    ///
    /// The maintenance thread never calls it. It sweeps as of the latest time that was read.
    ///
    /// Each check that finds a later time writes it to a word that all threads share, so that a
    /// step back of any length is detected. For many threads, the default clock is faster.
    ///
    /// # Examples
    ///
    /// The time of a tokio runtime, which a test can pause and advance:
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

    /// The ns since some instant.
    #[inline]
    fn nanos(&self) -> u64 {
        match &self.0 {
            Source::System(clock) => clock.delta_as_nanos(0, clock.raw()),
            _ => self.other_nanos(),
        }
    }

    /// Out of line, so that a check on the system's clock is compiled as if there were no other.
    #[inline(never)]
    fn other_nanos(&self) -> u64 {
        match &self.0 {
            Source::System(clock) => clock.delta_as_nanos(0, clock.raw()),
            Source::Coarse(clock) => clock.nanos(),
            Source::Manual(clock) => clock.nanos(),
            Source::Function(now) => nanos(now()),
        }
    }

    /// Whether reading it calls the user's code.
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
        Source::System(quanta::Clock::new())
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

/// In ns, at most 2^64 - 1: 584 years.
fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
