//! governor with its own store and clock, and with either hasher. A key's state is changed without
//! its shard of the table being locked exclusively.
//!
//! A limiter has one quota. To two, keys are held by two limiters asked one after the other, as its
//! users do: which is not one decision, as what the first has spent is gone if the second refuses.
//! If the first refuses, the second is not asked.

use std::{hash::BuildHasher, num::NonZeroU32, time::Duration};

use governor::RateLimiter;
use governor::clock::DefaultClock;
use governor::state::keyed::DashMapStateStore;

use super::{Forgets, GOVERNOR, GOVERNOR_FOLDHASH, Key, Quota, Rival};

pub struct Governor<K: Key, const N: usize, S: Hashes>([Limiter<K, S>; N]);

type Limiter<K, S> = RateLimiter<K, DashMapStateStore<K, S>, DefaultClock>;

/// Hashers that governor is timed with.
pub trait Hashes: BuildHasher + Default + Clone + Send + Sync + 'static {
    const NAME: &'static str;
}

/// Its default.
impl Hashes for std::hash::RandomState {
    const NAME: &'static str = GOVERNOR;
}

/// The one that tollgate's default is made of.
impl Hashes for foldhash::fast::RandomState {
    const NAME: &'static str = GOVERNOR_FOLDHASH;
}

impl<K: Key, const N: usize, S: Hashes> Rival<K, N> for Governor<K, N, S> {
    const NAME: &'static str = S::NAME;

    fn new(quotas: [Quota; N]) -> Self {
        let limiter = |quota| RateLimiter::dashmap_with_hasher(own(quota), S::default());
        Governor(quotas.map(limiter))
    }

    #[inline]
    fn check(&self, key: &K) -> bool {
        self.0.iter().all(|limiter| limiter.check_key(key).is_ok())
    }

    /// Of the first limiter: the others store a key if that one admits it.
    fn stored(&self) -> Option<usize> {
        Some(self.0[0].len())
    }
}

impl<K: Key, S: Hashes> Forgets<K> for Governor<K, 1, S> {
    fn forget(&self) {
        self.0[0].retain_recent();
    }
}

fn own(quota: Quota) -> governor::Quota {
    governor::Quota::with_period(Duration::from_nanos(quota.nanos))
        .expect("a period")
        .allow_burst(NonZeroU32::new(quota.burst).expect("a burst"))
}
