//! tollgate, swept by hand: with a quota that fills in a second it would forget each second what
//! is to be timed.

use std::time::Duration;

use tollgate::{Quota as Own, RateLimiter};

use super::{Forgets, Key, Quota, Rival, TOLLGATE};

pub struct Tollgate<K, const N: usize = 1>(RateLimiter<K, N>);

impl<K: Key, const N: usize> Rival<K, N> for Tollgate<K, N> {
    const NAME: &'static str = TOLLGATE;

    fn new(quotas: [Quota; N]) -> Self {
        let builder = RateLimiter::builder(quotas.map(own));
        Tollgate(builder.manual_sweep().build())
    }

    #[inline]
    fn check(&self, key: &K) -> bool {
        self.0.check::<K::Asked>(key.borrow()).is_allowed()
    }

    fn stored(&self) -> Option<usize> {
        Some(self.0.len())
    }
}

impl<K: Key> Forgets<K> for Tollgate<K> {
    fn forget(&self) {
        self.0.sweep();
    }
}

fn own(quota: Quota) -> Own {
    let period = Duration::from_nanos(quota.nanos);
    Own::new(1, period, u64::from(quota.burst)).expect("a quota")
}
