//! No limiter: the clock, hasher and map that tollgate is made of, without a decision. Each check
//! reads the clock and stores the time with the key, whatever the quota. What tollgate takes beyond
//! this is the decision.

use dashmap::DashMap;
use foldhash::fast::RandomState;

use super::{Contender, Key, Quota, Sweep};

pub struct Floor<K, const N: usize = 1> {
    clock: quanta::Clock,
    start: u64,
    /// The time of each key's last check, in ns from the start.
    times: DashMap<K, [u64; N], RandomState>,
}

/// The default of tollgate.
const SHARDS: usize = 256;

impl<K: Key, const N: usize> Contender<K, N> for Floor<K, N> {
    const NAME: &'static str = "floor";

    const DECIDES: bool = false;

    fn new(_: [Quota; N]) -> Self {
        let clock = quanta::Clock::new();
        Floor {
            start: clock.raw(),
            clock,
            times: DashMap::with_hasher_and_shard_amount(RandomState::default(), SHARDS),
        }
    }

    #[inline]
    fn check(&self, key: &K) -> bool {
        let now = self.clock.delta_as_nanos(self.start, self.clock.raw());
        if let Some(mut times) = self.times.get_mut(key.borrow()) {
            *times = [now; N];
        } else {
            self.times.insert(key.clone(), [now; N]);
        }
        true
    }

    fn stored(&self) -> Option<usize> {
        Some(self.times.len())
    }

    /// Each key has an entry of its own, in which each check stores a later time.
    fn prove() {
        const KEYS: u64 = 1_000;
        let floor = Floor::<K, N>::new([Quota { nanos: 1, burst: 1 }; N]);
        let mut last = [0; N];
        for _ in 0..3 {
            for nth in 0..KEYS {
                let key = K::nth(nth);
                assert!(floor.check(&key));
                let times = *floor.times.get(key.borrow()).expect("it is stored");
                assert!(times > last, "{times:?} after {last:?}");
                last = times;
            }
        }
        assert_eq!(floor.stored(), Some(KEYS as usize));
    }
}

impl<K: Key> Sweep<K> for Floor<K> {
    /// Looks at each key and drops none.
    fn sweep(&self) {
        self.times.retain(|_, &mut [time]| time < u64::MAX);
    }
}
