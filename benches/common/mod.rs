//! Quotas and keys that the benchmarks share.
#![allow(
    dead_code,
    reason = "each benchmark compiles this for itself and uses a part"
)]

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
