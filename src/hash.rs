//! The default hasher, and the only file that names its crate.

use std::{
    hash::{self, BuildHasher, Hasher},
    sync::OnceLock,
};

use foldhash::{SharedSeed, fast};

/// The default hash builder of a [`RateLimiter`](crate::RateLimiter): fast, and seeded at random
/// for each limiter.
///
/// Keys come from strangers. A hasher with a fixed seed lets them send keys that all collide and
/// turn every check into a scan; with a seed that they cannot know or observe they would have to
/// guess. It is not a cryptographic hash. For one that is held to be proof even against somebody
/// who can measure single lookups, give the builder a
/// [`std::hash::RandomState`](std::collections::hash_map::RandomState) instead.
#[derive(Clone)]
pub struct RandomState(fast::SeedableRandomState);

impl Default for RandomState {
    /// foldhash would seed itself from addresses and the time; this seeds it from the operating
    /// system's randomness, by way of the standard library.
    fn default() -> RandomState {
        static SHARED: OnceLock<SharedSeed> = OnceLock::new();
        let random = || hash::RandomState::new().hash_one(0);
        let shared = SHARED.get_or_init(|| SharedSeed::from_u64(random()));
        RandomState(fast::SeedableRandomState::with_seed(random(), shared))
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
    /// Without the seed.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RandomState").finish_non_exhaustive()
    }
}

/// The hasher of [`RandomState`].
#[derive(Clone)]
pub struct SeededHasher(fast::FoldHasher<'static>);

/// Passes each width on as it is: the fast path of the hasher is in its integers.
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
    /// Without its state, which the seed is in.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SeededHasher").finish_non_exhaustive()
    }
}
