//! What the builders of all limiters set, and what they build of it.

use std::{
    fmt,
    hash::{BuildHasher, Hash},
    io,
    time::Duration,
};

use super::{Core, schedule::Schedule, sweep::sweep_every};
use crate::clock::{Clock, Timer};
use crate::denied::DeniedCache;
use crate::hash::RandomState;
use crate::maintenance::Registration;
use crate::rule::Rule;
use crate::store::Table;
use crate::sync::Arc;

/// Chosen by measurement. `docs/architecture.md` has the tables.
const SHARDS: usize = 128;

/// The settings are documented on [`Builder`](super::Builder).
pub(crate) struct Settings<S> {
    clock: Option<Clock>,
    hasher: S,
    shards: usize,
    schedule: Schedule,
}

/// The core of a limiter, and its place in the maintenance thread unless it is swept manually.
type Built<K, const N: usize, S, R> = (Arc<Core<K, N, S, R>>, Option<Registration>);

impl Settings<RandomState> {
    pub(crate) fn new() -> Settings<RandomState> {
        Settings {
            clock: None,
            hasher: RandomState::default(),
            shards: SHARDS,
            schedule: Schedule::ByPolicy,
        }
    }
}

impl<S> Settings<S> {
    pub(crate) fn clock(&mut self, clock: Clock) {
        self.clock = Some(clock);
    }

    pub(crate) fn hasher<T>(self, hasher: T) -> Settings<T> {
        let Settings {
            clock,
            hasher: _,
            shards,
            schedule,
        } = self;
        Settings {
            clock,
            hasher,
            shards,
            schedule,
        }
    }

    pub(crate) fn shards(&mut self, shards: usize) {
        self.shards = shards.clamp(2, 65_536).next_power_of_two();
    }

    pub(crate) fn sweep_every(&mut self, interval: Duration) {
        self.schedule = Schedule::Every(interval);
    }

    pub(crate) fn manual_sweep(&mut self) {
        self.schedule = Schedule::Manual;
    }

    /// Builds a limiter. `fill_time` is the longest time in which an empty bucket fills.
    pub(crate) fn build<K, const N: usize, R>(
        self,
        rule: R,
        fill_time: Duration,
    ) -> io::Result<Built<K, N, S, R>>
    where
        K: Hash + Eq + Send + Sync + 'static,
        S: BuildHasher + Clone + Send + Sync + 'static,
        R: Rule<N>,
    {
        let core = Arc::new(Core {
            rule,
            timer: Timer::start(self.clock.unwrap_or_default()),
            table: Table::new(self.shards, self.hasher),
            denied: DeniedCache::new(),
        });
        let interval = self.schedule.interval(fill_time);
        let sweeping = interval
            .map(|interval| Registration::new(interval, sweep_every(Arc::clone(&core), interval)))
            .transpose()?;
        Ok((core, sweeping))
    }
}

/// Panics, as the thread that sweeps a limiter could not be started.
pub(crate) fn no_thread(error: &io::Error) -> ! {
    panic!(
        "the thread that sweeps the limiter could not be started ({error}); \
         `manual_sweep` needs no thread"
    )
}

impl<S> fmt::Debug for Settings<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings")
            .field("clock", &self.clock)
            .field("shards", &self.shards)
            .field("schedule", &self.schedule)
            .finish_non_exhaustive()
    }
}
