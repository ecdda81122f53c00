//! The builder of a limiter.

use std::{
    fmt,
    hash::{BuildHasher, Hash},
    io,
    marker::PhantomData,
    time::Duration,
};

use super::RateLimiter;
use super::settings::{Settings, no_thread};
use crate::clock::Clock;
use crate::hash::RandomState;
use crate::policy::Policy;

/// Configures a [`RateLimiter`]. [`RateLimiter::builder`] makes one.
///
/// ```
/// use std::time::Duration;
/// use tollgate::{ManualClock, Quota, RateLimiter};
///
/// let limiter: RateLimiter<u64> = RateLimiter::builder(Quota::default())
///     .clock(ManualClock::new())
///     .sweep_every(Duration::from_secs(5))
///     .build();
/// assert!(limiter.allow(&7));
/// ```
#[must_use = "a builder makes nothing until `build`"]
pub struct Builder<K, const N: usize = 1, S = RandomState> {
    policy: Policy<N>,
    settings: Settings<S>,
    key: PhantomData<fn(K)>,
}

impl<K, const N: usize> Builder<K, N> {
    pub(super) fn new(policy: Policy<N>) -> Builder<K, N> {
        Builder {
            policy,
            settings: Settings::new(),
            key: PhantomData,
        }
    }
}

impl<K, const N: usize, S> Builder<K, N, S> {
    /// Takes the time from `clock`, such as a [`ManualClock`](crate::ManualClock) in tests. Default: the
    /// system clock.
    pub fn clock(mut self, clock: impl Into<Clock>) -> Builder<K, N, S> {
        self.settings.clock(clock.into());
        self
    }

    /// Hashes keys with `hasher`. Default: [`RandomState`].
    ///
    /// If clients choose the keys, seed it at random. Otherwise a client can send keys that all
    /// collide.
    ///
    /// # Which bits matter
    ///
    /// The limiter takes these parts of the 64-bit hash of a key, and each must vary with the key:
    ///
    /// - the highest 7 bits, 57 to 63, are a tag. A lookup compares whole keys only if the tags are
    ///   equal;
    /// - the bits below choose the [shard](Builder::shards): bits 50 to 56 for 128 shards;
    /// - the lowest bits choose the place within the shard;
    /// - bits 33 to 63 are a tag in each thread's cache of denied keys, and bits 35 to 44 choose the
    ///   four slots that a key may take there. Bits 32 to 37 choose the keys whose cached copies are
    ///   invalidated together.
    ///
    /// (On a machine of 32 bits the tag and the shard are taken from the low half of the hash.)
    ///
    /// # Caveats
    ///
    /// A hasher that returns an integer key unchanged is unusable. It gives all keys below
    /// 2^50 the same tag and the same shard. Then all threads wait for one lock, and whenever that
    /// shard grows one check moves all the keys. Keys below 2^33 share four slots of the cache of
    /// denied keys. Keys that are multiples of a large power of two also share one place, and each
    /// lookup compares them one by one.
    pub fn hasher<T>(self, hasher: T) -> Builder<K, N, T> {
        Builder {
            policy: self.policy,
            settings: self.settings.hasher(hasher),
            key: self.key,
        }
    }

    /// Splits the table into `shards`, rounded up to a power of two from 2 to 65,536. Default: 128.
    ///
    /// A shard takes 152 bytes on a 64-bit machine. Threads wait for each other within a shard.
    pub fn shards(mut self, shards: usize) -> Builder<K, N, S> {
        self.settings.shards(shards);
        self
    }

    /// Sweeps at this interval of real time, at least 1 ms.
    ///
    /// Default: half the time in which an empty bucket fills, at least 1 s and at most 5 minutes.
    pub fn sweep_every(mut self, interval: Duration) -> Builder<K, N, S> {
        self.settings.sweep_every(interval);
        self
    }

    /// Leaves sweeping to the caller, and needs no [thread](RateLimiter#threads).
    ///
    /// Call [`RateLimiter::sweep`] now and then. Otherwise every key ever allowed stays in memory.
    pub fn manual_sweep(mut self) -> Builder<K, N, S> {
        self.settings.manual_sweep();
        self
    }
}

impl<K, const N: usize, S> Builder<K, N, S>
where
    K: Hash + Eq + Send + Sync + 'static,
    S: BuildHasher + Clone + Send + Sync + 'static,
{
    /// Makes the limiter, and has the [maintenance thread](RateLimiter#threads) sweep it, unless the
    /// caller [sweeps](Builder::manual_sweep).
    ///
    /// # Panics
    ///
    /// If the operating system refuses the thread, as targets without threads do (`wasm32`).
    #[must_use]
    pub fn build(self) -> RateLimiter<K, N, S> {
        match self.try_build() {
            Ok(limiter) => limiter,
            Err(error) => no_thread(&error),
        }
    }

    /// Makes the limiter as [`build`](Builder::build) does, and returns an error instead of panicking.
    ///
    /// # Errors
    ///
    /// If the operating system refuses the thread. [`manual_sweep`](Builder::manual_sweep) needs none.
    pub fn try_build(self) -> io::Result<RateLimiter<K, N, S>> {
        let fill_time = self.policy.fill_time();
        let (core, sweeping) = self.settings.build(self.policy, fill_time)?;
        Ok(RateLimiter {
            core,
            _sweeping: sweeping,
        })
    }
}

impl<K, const N: usize, S> fmt::Debug for Builder<K, N, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder")
            .field("policy", &self.policy)
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}
