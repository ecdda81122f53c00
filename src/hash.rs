//! The default hasher, and the only file that names its crate.
//!
//! # Which variant, and why
//!
//! The table uses three parts of one hash. The highest 7 bits are the tag of a key. The bits below
//! them choose its shard. The lowest bits choose its slot in the shard. The per-thread cache of
//! denied keys chooses its set by the bits from 35 up.
//!
//! `foldhash::fast` multiplies an integer key by a secret and folds the product: `low ^ high` of
//! `(key ^ a) * b`. One product is linear in the key. So the slots and the shards of keys `i << k`
//! are close to the multiples of *one* number, a window of the bits of `b`. For one seed in some
//! hundreds, that window is close to a fraction with a small denominator. The multiples then
//! coincide, and the keys share a few slots or shards. No choice of `b` avoids this for every `k`.
//!
//! `foldhash::quality` folds a second product: `fold(hash * constant)`. Each bit of the result
//! depends on all 64 bits of the first fold, and the fold between the two products is not linear.
//! Structured keys then spread as under a random function. `tests` compares both variants over many
//! seeds.

use std::{
    hash::{self, BuildHasher, Hasher},
    sync::OnceLock,
};

use foldhash::{SharedSeed, quality};

/// The default hash builder of a [`RateLimiter`](crate::RateLimiter): fast, and seeded at random
/// for each limiter.
///
/// Keys are untrusted. If the seed were fixed, a client could send keys that all collide, and every
/// check would become a scan. This hasher takes its seeds from the operating system, so a client
/// that cannot observe them has to guess. Keys with a structure spread as under a random function:
/// sequences, multiples, addresses, numbers with leading zeros.
///
/// # Caveats
///
/// It is not a cryptographic hash. A client that can time single lookups may learn about the seeds.
/// Against such clients, give the builder a
/// [`std::hash::RandomState`](std::collections::hash_map::RandomState).
#[derive(Clone)]
pub struct RandomState(quality::SeedableRandomState);

impl Default for RandomState {
    /// Seeds from the randomness of the operating system, through the standard library. foldhash
    /// itself would seed from addresses and the time.
    fn default() -> RandomState {
        static SHARED: OnceLock<SharedSeed> = OnceLock::new();
        let random = || hash::RandomState::new().hash_one(0);
        let shared = SHARED.get_or_init(|| SharedSeed::from_u64(random()));
        RandomState::with_seeds(random(), shared)
    }
}

impl RandomState {
    /// Takes the limiter's own seed, and the seed that all limiters of the process share.
    fn with_seeds(own: u64, shared: &'static SharedSeed) -> RandomState {
        RandomState(quality::SeedableRandomState::with_seed(own, shared))
    }
}

impl BuildHasher for RandomState {
    type Hasher = SeededHasher;

    #[inline]
    fn build_hasher(&self) -> SeededHasher {
        SeededHasher(self.0.build_hasher())
    }
}

impl std::fmt::Debug for RandomState {
    /// Writes no seed.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RandomState").finish_non_exhaustive()
    }
}

/// The hasher of [`RandomState`].
#[derive(Clone)]
pub struct SeededHasher(quality::FoldHasher<'static>);

/// Forwards each integer width as it is, since the fast path of the hasher is for integers.
macro_rules! pass_on {
    ($($write:ident: $integer:ty),*) => {
        $(#[inline]
        fn $write(&mut self, value: $integer) {
            self.0.$write(value);
        })*
    };
}

impl Hasher for SeededHasher {
    #[inline]
    fn write(&mut self, bytes: &[u8]) {
        self.0.write(bytes);
    }

    #[inline]
    fn finish(&self) -> u64 {
        self.0.finish()
    }

    pass_on!(
        write_u8: u8, write_u16: u16, write_u32: u32, write_u64: u64, write_u128: u128,
        write_usize: usize, write_i8: i8, write_i16: i16, write_i32: i32, write_i64: i64,
        write_i128: i128, write_isize: isize
    );
}

impl std::fmt::Debug for SeededHasher {
    /// Writes no state, since it contains the seed.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SeededHasher").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
