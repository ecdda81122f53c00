//! A limiter without a crate: a map in a mutex that holds each key's theoretical arrival time (TAT)
//! by the generic cell rate algorithm.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard};
use std::time::Instant;

use super::{Contender, Key, Quota, Sweep};

pub struct MutexMap<K, const N: usize = 1> {
    quotas: [Quota; N],
    start: Instant,
    /// The time at which each bucket is full, in ns from the start.
    full: Mutex<Full<K, N>>,
}

type Full<K, const N: usize> = HashMap<K, [u64; N], foldhash::fast::RandomState>;

impl<K: Key, const N: usize> Contender<K, N> for MutexMap<K, N> {
    const NAME: &'static str = "Mutex<HashMap>";

    fn new(quotas: [Quota; N]) -> Self {
        MutexMap {
            quotas,
            start: Instant::now(),
            full: Mutex::default(),
        }
    }

    #[inline]
    fn check(&self, key: &K) -> bool {
        let now = self.now();
        let mut map = self.map();
        if let Some(full) = map.get_mut(key.borrow()) {
            return self.spend(full, now);
        }
        let mut full = [0; N];
        let allowed = self.spend(&mut full, now);
        map.insert(key.clone(), full);
        allowed
    }

    fn stored(&self) -> Option<usize> {
        Some(self.map().len())
    }
}

impl<K, const N: usize> MutexMap<K, N> {
    #[inline]
    fn now(&self) -> u64 {
        self.start.elapsed().as_nanos() as u64
    }

    #[inline]
    fn map(&self) -> MutexGuard<'_, Full<K, N>> {
        self.full.lock().expect("no check panics")
    }

    #[inline]
    fn spend(&self, full: &mut [u64; N], now: u64) -> bool {
        let mut buckets = self.quotas.iter().zip(&*full);
        let holds_one = |quota: &Quota, full: u64| {
            full.saturating_sub(now) <= quota.nanos * u64::from(quota.burst - 1)
        };
        if !buckets.all(|(quota, &full)| holds_one(quota, full)) {
            return false;
        }
        for (quota, full) in self.quotas.iter().zip(full) {
            *full = now.max(*full) + quota.nanos;
        }
        true
    }
}

impl<K: Key> Sweep<K> for MutexMap<K> {
    fn sweep(&self) {
        let now = self.now();
        self.map().retain(|_, &mut [full]| full > now);
    }
}
