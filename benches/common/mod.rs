//! Quotas, keys and rivals that the benchmarks share.
#![allow(
    dead_code,
    reason = "each benchmark compiles this for itself and uses a part"
)]

use std::{hash::Hash, num::NonZeroU32};

use governor::clock::DefaultClock;
use governor::state::keyed::DashMapStateStore;
use tollgate::Quota;

/// A quota that no benchmark exhausts: mostly allowed.
pub fn never_exhausted() -> Quota {
    Quota::per_second(1_000_000_000).burst(1_000_000_000)
}

/// A quota that every benchmark exhausts at once: mostly denied.
pub fn soon_exhausted() -> Quota {
    Quota::per_minute(100).burst(10)
}

/// Keys from 0 on, in an order without a pattern: Marsaglia, "Xorshift RNGs", 2003.
pub struct Keys {
    state: u64,
    below: u64,
}

impl Keys {
    pub fn up_to(below: u64) -> Keys {
        Keys::seeded(below, 1)
    }

    pub fn seeded(below: u64, seed: u64) -> Keys {
        Keys {
            state: 0x9e37_79b9_7f4a_7c15 ^ seed,
            below,
        }
    }

    pub fn next(&mut self) -> u64 {
        self.state ^= self.state << 13;
        self.state ^= self.state >> 7;
        self.state ^= self.state << 17;
        // A multiplication maps to the range without a division.
        let key = (u128::from(self.state) * u128::from(self.below)) >> 64;
        u64::try_from(key).expect("below `below`")
    }
}

type Governor<K, S> = governor::RateLimiter<K, DashMapStateStore<K, S>, DefaultClock>;

/// governor as it comes: SipHash.
pub fn governor_default<K: Hash + Eq + Clone>(quota: Quota) -> Governor<K, std::hash::RandomState> {
    governor::RateLimiter::dashmap_with_hasher(rival(quota), std::hash::RandomState::new())
}

/// governor with the hasher that tollgate has by default.
pub fn governor_foldhash<K: Hash + Eq + Clone>(
    quota: Quota,
) -> Governor<K, foldhash::fast::RandomState> {
    governor::RateLimiter::dashmap_with_hasher(rival(quota), Default::default())
}

fn rival(quota: Quota) -> governor::Quota {
    let number = |number: u64| {
        NonZeroU32::new(u32::try_from(number).expect("a small quota")).expect("a quota")
    };
    let period = quota.period() / u32::try_from(quota.units()).expect("a small quota");
    governor::Quota::with_period(period)
        .expect("a period")
        .allow_burst(number(quota.burst_size()))
}
