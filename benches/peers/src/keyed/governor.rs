//! governor with its own store and clock, and with either hasher. It changes a key's state without
//! an exclusive lock of the shard.
//!
//! A limiter has one quota. For two quotas there are two limiters, checked one after the other, as
//! its users do. This is not one decision: what the first has spent is lost if the second denies. If
//! the first denies, the second is not checked.

use std::{hash::BuildHasher, num::NonZeroU32, time::Duration};

use governor::RateLimiter;
use governor::clock::DefaultClock;
use governor::state::keyed::DashMapStateStore;

use super::{Contender, Key, Quota, Sweep};

pub struct Governor<K: Key, const N: usize, S: Hasher>([Limiter<K, S>; N]);

type Limiter<K, S> = RateLimiter<K, DashMapStateStore<K, S>, DefaultClock>;

/// A hasher that governor is timed with.
pub trait Hasher: BuildHasher + Default + Clone + Send + Sync + 'static {
    const NAME: &'static str;
}

/// Its default.
impl Hasher for std::hash::RandomState {
    const NAME: &'static str = "governor";
}

/// The hasher that tollgate had when the times were recorded.
impl Hasher for foldhash::fast::RandomState {
    const NAME: &'static str = "governor + foldhash";
}

impl<K: Key, const N: usize, S: Hasher> Contender<K, N> for Governor<K, N, S> {
    const NAME: &'static str = S::NAME;

    fn new(quotas: [Quota; N]) -> Self {
        let limiter = |quota| RateLimiter::dashmap_with_hasher(own(quota), S::default());
        Governor(quotas.map(limiter))
    }

    #[inline]
    fn check(&self, key: &K) -> bool {
        self.0.iter().all(|limiter| limiter.check_key(key).is_ok())
    }

    /// Those of the first limiter. The others store a key if the first admits it.
    fn stored(&self) -> Option<usize> {
        Some(self.0[0].len())
    }
}

impl<K: Key, S: Hasher> Sweep<K> for Governor<K, 1, S> {
    fn sweep(&self) {
        self.0[0].retain_recent();
    }
}

fn own(quota: Quota) -> governor::Quota {
    governor::Quota::with_period(Duration::from_nanos(quota.nanos))
        .expect("a period")
        .allow_burst(NonZeroU32::new(quota.burst).expect("a burst"))
}
