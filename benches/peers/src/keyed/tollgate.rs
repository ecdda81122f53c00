//! tollgate, with its defaults or with another option of its builder.
//!
//! It is swept by hand, unless the sweep is the option. The quota of the allowed cells fills within
//! a second, and the automatic sweep would drop the whole table as often.

use std::{hash::BuildHasher, hint::black_box, marker::PhantomData, time::Duration};

use foldhash::{fast, quality};
use tollgate::{Builder, Clock, Quota as Own, RateLimiter};

use super::{Contender, Key, Quota, Sweep, TOLLGATE};

pub struct Tollgate<K: Key, const N: usize = 1, O: Options = Default> {
    limiter: RateLimiter<K, N, O::Hasher>,
    options: PhantomData<O>,
}

/// Options of a limiter.
pub trait Options: Send + Sync + 'static {
    const NAME: &'static str;

    type Hasher: BuildHasher + Clone + Send + Sync + 'static;

    /// Whether the limiter drops keys by itself.
    const SWEEPS: bool = false;

    /// Whether a check is `check`, and not `allow`.
    const DECISIONS: bool = false;

    fn build<K: Key, const N: usize>(builder: Builder<K, N>) -> RateLimiter<K, N, Self::Hasher>;
}

impl<K: Key, const N: usize, O: Options> Contender<K, N> for Tollgate<K, N, O> {
    const NAME: &'static str = O::NAME;

    fn new(quotas: [Quota; N]) -> Self {
        Tollgate {
            limiter: O::build(RateLimiter::builder(quotas.map(own))),
            options: PhantomData,
        }
    }

    #[inline]
    fn check(&self, key: &K) -> bool {
        let (limiter, key) = (&self.limiter, key.borrow());
        if O::DECISIONS {
            // With its numbers.
            black_box(limiter.check::<K::Query>(key)).is_allowed()
        } else {
            limiter.allow::<K::Query>(key)
        }
    }

    fn stored(&self) -> Option<usize> {
        (!O::SWEEPS).then(|| self.limiter.len())
    }
}

impl<K: Key> Sweep<K> for Tollgate<K> {
    fn sweep(&self) {
        self.limiter.sweep();
    }
}

pub(super) fn own(quota: Quota) -> Own {
    let period = Duration::from_nanos(quota.nanos);
    Own::new(1, period, u64::from(quota.burst)).expect("a quota")
}

/// The defaults, by `check` or by `allow`.
pub struct By<const DECISIONS: bool>;

pub type Default = By<false>;

impl<const DECISIONS: bool> Options for By<DECISIONS> {
    const NAME: &'static str = if DECISIONS {
        "tollgate check"
    } else {
        TOLLGATE
    };

    type Hasher = tollgate::RandomState;

    const DECISIONS: bool = DECISIONS;

    fn build<K: Key, const N: usize>(builder: Builder<K, N>) -> RateLimiter<K, N, Self::Hasher> {
        builder.manual_sweep().build()
    }
}

/// Another count of shards.
pub struct Shards<const COUNT: usize>;

macro_rules! shards {
    ($($count:literal)*) => {$(
        impl Options for Shards<$count> {
            const NAME: &'static str = concat!($count, " shards");

            type Hasher = tollgate::RandomState;

            fn build<K: Key, const N: usize>(
                builder: Builder<K, N>,
            ) -> RateLimiter<K, N, Self::Hasher> {
                builder.shards($count).manual_sweep().build()
            }
        }
    )*};
}

shards!(8 32 64 256 512 1024 4096);

macro_rules! hashers {
    ($($options:ident, $name:literal, $hasher:ty;)*) => {$(
        #[doc = concat!("Hashes with ", $name, ".")]
        pub struct $options;

        impl Options for $options {
            const NAME: &'static str = $name;

            type Hasher = $hasher;

            fn build<K: Key, const N: usize>(
                builder: Builder<K, N>,
            ) -> RateLimiter<K, N, Self::Hasher> {
                builder.manual_sweep().hasher(<$hasher>::default()).build()
            }
        }
    )*};
}

hashers! {
    OwnSeed, "foldhash::quality", quality::RandomState;
    Fast, "foldhash::fast", fast::RandomState;
    Sip, "SipHash (std)", std::hash::RandomState;
}

/// A clock that a thread refreshes each ms.
pub struct CoarseClock;

impl Options for CoarseClock {
    const NAME: &'static str = "coarse clock";

    type Hasher = tollgate::RandomState;

    fn build<K: Key, const N: usize>(builder: Builder<K, N>) -> RateLimiter<K, N, Self::Hasher> {
        let clock = Clock::coarse(Duration::from_millis(1)).expect("a thread");
        builder.clock(clock).manual_sweep().build()
    }
}

/// A sweep each ms.
pub struct Swept;

impl Options for Swept {
    const NAME: &'static str = "swept each ms";

    type Hasher = tollgate::RandomState;

    const SWEEPS: bool = true;

    fn build<K: Key, const N: usize>(builder: Builder<K, N>) -> RateLimiter<K, N, Self::Hasher> {
        builder.sweep_every(Duration::from_millis(1)).build()
    }
}
