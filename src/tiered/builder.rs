//! The builder of a limiter with tiers.

use std::{
    fmt,
    hash::{BuildHasher, Hash},
    io,
    marker::PhantomData,
    time::Duration,
};

use super::{Handle, InvalidTier, RandomState, Settings, Shared, TieredLimiter, no_thread};
use crate::clock::Clock;
use crate::policy::Policy;
use crate::sync::Arc;
use crate::tiers::Policies;

/// Configures a [`TieredLimiter`]. [`TieredLimiter::builder`] makes one.
///
/// ```
/// use std::time::Duration;
/// use tollgate::{ManualClock, Quota, TieredLimiter};
///
/// const MINUTE: Duration = Duration::from_secs(60);
/// let limits: TieredLimiter<u64, 2> = TieredLimiter::builder([Quota::per_minute(10), Quota::per_hour(60)])
///     .clock(ManualClock::new())
///     .periods([MINUTE, 60 * MINUTE])
///     .build();
/// assert!(limits.default_tier().allow(&7));
/// ```
#[must_use = "a builder makes nothing until `build`"]
pub struct TieredBuilder<K, const N: usize = 1, S = RandomState> {
    policy: Policy<N>,
    settings: Settings<S>,
    periods: Vec<Duration>,
    key: PhantomData<fn(K)>,
}

impl<K, const N: usize> TieredBuilder<K, N> {
    pub(super) fn new(policy: Policy<N>) -> TieredBuilder<K, N> {
        TieredBuilder {
            policy,
            settings: Settings::new(),
            periods: Vec::new(),
            key: PhantomData,
        }
    }
}

impl<K, const N: usize, S> TieredBuilder<K, N, S> {
    /// Takes the time from `clock`. See [`Builder::clock`](crate::Builder::clock).
    pub fn clock(mut self, clock: impl Into<Clock>) -> TieredBuilder<K, N, S> {
        self.settings.clock(clock.into());
        self
    }

    /// Hashes keys with `hasher`. See [`Builder::hasher`](crate::Builder::hasher).
    pub fn hasher<T>(self, hasher: T) -> TieredBuilder<K, N, T> {
        TieredBuilder {
            policy: self.policy,
            settings: self.settings.hasher(hasher),
            periods: self.periods,
            key: self.key,
        }
    }

    /// Splits the table into `shards`. See [`Builder::shards`](crate::Builder::shards).
    pub fn shards(mut self, shards: usize) -> TieredBuilder<K, N, S> {
        self.settings.shards(shards);
        self
    }

    /// Sweeps at this interval. See [`Builder::sweep_every`](crate::Builder::sweep_every).
    pub fn sweep_every(mut self, interval: Duration) -> TieredBuilder<K, N, S> {
        self.settings.sweep_every(interval);
        self
    }

    /// Leaves sweeping to the caller. See [`Builder::manual_sweep`](crate::Builder::manual_sweep).
    pub fn manual_sweep(mut self) -> TieredBuilder<K, N, S> {
        self.settings.manual_sweep();
        self
    }

    /// Gives these periods a [bucket](TieredLimiter#buckets) of their own, before those of the first policy.
    /// At most `N`, and none of 0.
    pub fn periods(
        mut self,
        periods: impl IntoIterator<Item = Duration>,
    ) -> TieredBuilder<K, N, S> {
        self.periods = periods.into_iter().collect();
        self
    }

    /// Returns the periods in ns, each of which can have a bucket.
    fn known_periods(&self) -> Result<Vec<u64>, InvalidTier> {
        if self.periods.len() > N {
            return Err(InvalidTier::too_many_periods(self.periods.len(), N));
        }
        if self.periods.iter().any(Duration::is_zero) {
            return Err(InvalidTier::no_period());
        }
        // No quota has a longer period than 584 years.
        let nanos = |period: &Duration| u64::try_from(period.as_nanos()).unwrap_or(u64::MAX);
        Ok(self.periods.iter().map(nanos).collect())
    }
}

impl<K, const N: usize, S> TieredBuilder<K, N, S>
where
    K: Hash + Eq + Send + Sync + 'static,
    S: BuildHasher + Clone + Send + Sync + 'static,
{
    /// Makes the limiter, and has the [maintenance thread](crate::RateLimiter#threads) sweep it, unless the
    /// caller [sweeps](TieredBuilder::manual_sweep).
    ///
    /// # Panics
    ///
    /// If [`try_build`](TieredBuilder::try_build) returns an error.
    #[must_use]
    #[track_caller]
    pub fn build(self) -> TieredLimiter<K, N, S> {
        match self.try_build() {
            Ok(limiter) => limiter,
            Err(error) if error.kind() == io::ErrorKind::InvalidInput => panic!("{error}"),
            Err(error) => no_thread(&error),
        }
    }

    /// Makes the limiter as [`build`](TieredBuilder::build) does, and returns an error instead of panicking.
    ///
    /// # Errors
    ///
    /// - Returns [`InvalidInput`](io::ErrorKind::InvalidInput) with an [`InvalidTier`] inside if two
    ///   quotas share a [bucket](TieredLimiter#buckets), if there are more than `N`
    ///   [periods](TieredBuilder::periods), or if a period is 0.
    /// - If the operating system refuses the thread.
    ///
    /// ```
    /// use tollgate::{Quota, TieredLimiter};
    ///
    /// let policy = [Quota::per_minute(10), Quota::per_minute(20).burst(5)];
    /// let error = TieredLimiter::<u64, 2>::builder(policy).try_build().unwrap_err();
    /// assert_eq!(
    ///     error.to_string(),
    ///     "\"10/minute\" and \"20/minute burst 5\" are both per minute; \
    ///      expected at most one quota for each period"
    /// );
    /// ```
    pub fn try_build(self) -> io::Result<TieredLimiter<K, N, S>> {
        let invalid = |error: InvalidTier| io::Error::new(io::ErrorKind::InvalidInput, error);
        let periods = self.known_periods().map_err(invalid)?;
        let fill_time = self.policy.fill_time();
        let rule = Policies::new(periods);
        rule.prepare([&self.policy])
            .map_err(|(_, clash)| invalid(clash.into()))?;
        let (core, sweeping) = self.settings.build(rule, fill_time)?;
        let sweeping = Arc::new(sweeping);
        let default = Shared::add(&Handle { core, sweeping }, &self.policy).map_err(invalid)?;
        Ok(TieredLimiter { default })
    }
}

impl<K, const N: usize, S> fmt::Debug for TieredBuilder<K, N, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TieredBuilder")
            .field("policy", &self.policy)
            .field("settings", &self.settings)
            .field("periods", &self.periods)
            .finish_non_exhaustive()
    }
}
