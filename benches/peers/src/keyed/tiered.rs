//! tollgate with tiers. Every key is checked under the first one, and so is on the axis of its quotas.

use std::hint::black_box;

use tollgate::TieredLimiter;

use super::tollgate::own;
use super::{Contender, Key, Quota};

pub struct Tiered<K: Key, const N: usize = 1, const DECISIONS: bool = false> {
    limits: TieredLimiter<K, N>,
}

impl<K: Key, const N: usize, const DECISIONS: bool> Contender<K, N> for Tiered<K, N, DECISIONS> {
    const NAME: &'static str = if DECISIONS { "tiers check" } else { "tiers" };

    fn new(quotas: [Quota; N]) -> Self {
        let limits = TieredLimiter::builder(quotas.map(own))
            .manual_sweep()
            .build();
        Tiered { limits }
    }

    #[inline]
    fn check(&self, key: &K) -> bool {
        let (tier, key) = (self.limits.default_tier(), key.borrow());
        if DECISIONS {
            // With its numbers.
            black_box(tier.check::<K::Query>(key)).is_allowed()
        } else {
            tier.allow::<K::Query>(key)
        }
    }

    fn stored(&self) -> Option<usize> {
        Some(self.limits.len())
    }
}
