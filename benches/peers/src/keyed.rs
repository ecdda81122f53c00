//! Limiters that are asked by key, and nothing around them.

mod floor;
mod governor;
mod mutex_map;
mod throttlecrab;
mod tokio_rate_limit;
mod tollgate;

use std::{array, borrow::Borrow, hash::Hash, hint::black_box, sync::Arc};

pub use self::floor::Floor;
pub use self::governor::Governor;
pub use self::mutex_map::MutexMap;
pub use self::throttlecrab::Throttlecrab;
pub use self::tokio_rate_limit::TokioRateLimit;
pub use self::tollgate::Tollgate;
pub use crate::http::{Outcome, Quota};

/// What is limited by, as a limiter stores it.
pub trait Key: Borrow<Self::Asked> + Hash + Eq + Clone + Send + Sync + 'static {
    const NAME: &'static str;

    /// What is asked with, by limiters that can be asked with what they do not store.
    type Asked: Hash + Eq + ToOwned<Owned = Self> + ?Sized;

    fn nth(nth: u64) -> Self;

    /// All that can be asked with such keys.
    fn contenders() -> Vec<Contender<Self>>;

    /// Those of them that can hold a key to two quotas at once.
    fn contenders_of_two_quotas() -> Vec<Contender<Self>> {
        vec![
            Contender::of::<2, Tollgate<Self, 2>>(),
            Contender::of::<2, Governor<Self, 2, std::hash::RandomState>>(),
            Contender::of::<2, Governor<Self, 2, foldhash::fast::RandomState>>(),
            Contender::of::<2, MutexMap<Self, 2>>(),
            Contender::of::<2, Floor<Self, 2>>(),
        ]
    }
}

impl Key for u64 {
    const NAME: &'static str = "u64";

    type Asked = u64;

    fn nth(nth: u64) -> u64 {
        nth
    }

    fn contenders() -> Vec<Contender<u64>> {
        vec![
            Contender::of::<1, Tollgate<u64>>(),
            Contender::of::<1, Governor<u64, 1, std::hash::RandomState>>(),
            Contender::of::<1, Governor<u64, 1, foldhash::fast::RandomState>>(),
            Contender::of::<1, MutexMap<u64>>(),
            Contender::of::<1, Floor<u64>>(),
        ]
    }
}

/// 24 bytes, as long as many an API key.
impl Key for String {
    const NAME: &'static str = "String";

    type Asked = str;

    fn nth(nth: u64) -> String {
        format!("key-{nth:020}")
    }

    fn contenders() -> Vec<Contender<String>> {
        vec![
            Contender::of::<1, Tollgate<String>>(),
            Contender::of::<1, Governor<String, 1, std::hash::RandomState>>(),
            Contender::of::<1, Governor<String, 1, foldhash::fast::RandomState>>(),
            Contender::of::<1, TokioRateLimit>(),
            Contender::of::<1, Throttlecrab>(),
            Contender::of::<1, MutexMap<String>>(),
            Contender::of::<1, Floor<String>>(),
        ]
    }
}

/// A limiter that holds each key to `N` quotas.
///
/// None forgets a key while it is timed: those that forget by themselves are told not to, as the
/// others forget only when told. What forgetting costs is a question of its own.
pub trait Rival<K: Key, const N: usize = 1>: Send + Sync + Sized + 'static {
    const NAME: &'static str;

    /// The least burst that it limits keys to.
    const LEAST_BURST: u32 = 1;

    /// Whether it limits at all.
    const DECIDES: bool = true;

    fn new(quotas: [Quota; N]) -> Self;

    /// Spends a unit of `key`, if all its quotas have one left.
    fn check(&self, key: &K) -> bool;

    /// How many keys it stores, if it tells.
    fn stored(&self) -> Option<usize>;

    /// Proves that it tells keys apart and admits of each just what it should.
    ///
    /// # Panics
    ///
    /// If it does not.
    fn prove() {
        prove_bursts::<K, N, Self>();
    }
}

/// A limiter that forgets keys when told.
pub trait Forgets<K: Key>: Rival<K> {
    /// Forgets every key that is as if never seen.
    fn forget(&self);
}

/// One check, as a function of its own, so that its instructions can be counted.
#[inline(never)]
pub fn ask<K: Key, const N: usize, R: Rival<K, N>>(rival: &R, key: &K) -> bool {
    rival.check(key)
}

/// A limiter and its keys, whichever it is. The calls that are not known when this is compiled are
/// those of this trait: one for all the checks of a batch.
pub trait Table<K>: Send + Sync {
    /// Checks these keys one after the other, and says how many checks were allowed.
    fn check_all(&self, keys: &[K]) -> usize;

    /// As `check_all`, by [`ask`].
    fn ask_all(&self, keys: &[K]) -> usize;

    /// How many of so many checks are allowed.
    fn expected(&self, outcome: Outcome, checks: usize) -> usize;
}

/// A limiter with `N` quotas, by its type.
struct Limiter<R, const N: usize>(R);

impl<K: Key, const N: usize, R: Rival<K, N>> Table<K> for Limiter<R, N> {
    fn check_all(&self, keys: &[K]) -> usize {
        let allowed = keys.iter().filter(|key| black_box(self.0.check(key)));
        allowed.count()
    }

    fn ask_all(&self, keys: &[K]) -> usize {
        let allowed = keys.iter().filter(|key| black_box(ask(&self.0, key)));
        allowed.count()
    }

    fn expected(&self, outcome: Outcome, checks: usize) -> usize {
        match outcome {
            Outcome::Refused if R::DECIDES => 0,
            _ => checks,
        }
    }
}

/// What is timed, by name.
#[derive(Clone)]
pub struct Contender<K> {
    pub name: &'static str,
    /// Proves what must be so before it is timed, and panics if it is not.
    pub prove: fn(),
    /// A limiter that has seen no key, and admits whatever it is asked.
    pub fresh: fn() -> Arc<dyn Table<K>>,
    /// A limiter whose checks of that many keys will all have that outcome.
    pub prepared: fn(Outcome, u64) -> Arc<dyn Table<K>>,
}

impl<K: Key> Contender<K> {
    fn of<const N: usize, R: Rival<K, N>>() -> Contender<K> {
        Contender {
            name: R::NAME,
            prove: R::prove,
            fresh: || Arc::new(Limiter::<R, N>(R::new(never_exhausted()))),
            prepared: |outcome, keys| Arc::new(Limiter::<R, N>(prepared(outcome, keys))),
        }
    }
}

/// Names that the rows are compared by.
pub const TOLLGATE: &str = "tollgate";
pub const GOVERNOR: &str = "governor";
pub const GOVERNOR_FOLDHASH: &str = "governor + foldhash";
pub const FLOOR: &str = "floor";

/// A limiter whose checks of the first `keys` keys will all have that outcome.
///
/// # Panics
///
/// If it admits less than it should, or does not store just so many keys.
pub fn prepared<K: Key, const N: usize, R: Rival<K, N>>(outcome: Outcome, keys: u64) -> R {
    let (quotas, checks) = match outcome {
        Outcome::Allowed => (never_exhausted(), 1),
        Outcome::Refused => (soon_exhausted(R::LEAST_BURST), R::LEAST_BURST),
    };
    let rival = R::new(quotas);
    for _ in 0..checks {
        (0..keys).for_each(|nth| assert!(rival.check(&K::nth(nth)), "{} key {nth}", R::NAME));
    }
    if let Some(len) = rival.stored() {
        assert_eq!(len as u64, keys, "{}", R::NAME);
    }
    rival
}

/// A thousand million a second, of which no check takes the last.
fn never_exhausted<const N: usize>() -> [Quota; N] {
    let quota = |nth| Quota {
        nanos: 1 + nth as u64,
        burst: 1_000_000_000,
    };
    array::from_fn(quota)
}

/// One an hour, which is longer than any program here runs.
fn soon_exhausted<const N: usize>(burst: u32) -> [Quota; N] {
    let quota = |nth| Quota {
        nanos: HOUR * (1 + nth as u64),
        burst,
    };
    array::from_fn(quota)
}

const HOUR: u64 = 3_600_000_000_000;

/// Each of a thousand keys is admitted its burst and no more, by whichever quota has the least.
fn prove_bursts<K: Key, const N: usize, R: Rival<K, N>>() {
    const KEYS: u64 = 1_000;
    let keys: Vec<K> = (0..KEYS).map(K::nth).collect();
    for least in 0..N {
        let quota = |nth| Quota {
            nanos: HOUR,
            burst: if nth == least { 10 } else { 12 },
        };
        let rival = R::new(array::from_fn(quota));
        for check in 1..=15 {
            for (nth, key) in keys.iter().enumerate() {
                let allowed = rival.check(key);
                assert_eq!(allowed, check <= 10, "{}: check {check} of {nth}", R::NAME);
            }
        }
        if let Some(len) = rival.stored() {
            assert_eq!(len as u64, KEYS, "{}", R::NAME);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prove_all<K: Key>() {
        let contenders = [K::contenders(), K::contenders_of_two_quotas()].concat();
        for contender in contenders {
            (contender.prove)();
            let keys: Vec<K> = (0..1_000).map(K::nth).collect();
            for outcome in [Outcome::Allowed, Outcome::Refused] {
                let table = (contender.prepared)(outcome, 1_000);
                let expected = table.expected(outcome, keys.len());
                assert_eq!(table.check_all(&keys), expected, "{}", contender.name);
                assert_eq!(table.ask_all(&keys), expected, "{}", contender.name);
            }
            assert_eq!((contender.fresh)().check_all(&keys), keys.len());
        }
    }

    #[test]
    fn every_contender_admits_the_burst_of_each_number_and_no_more() {
        prove_all::<u64>();
    }

    #[test]
    fn every_contender_admits_the_burst_of_each_text_and_no_more() {
        prove_all::<String>();
    }

    #[test]
    fn keys_are_as_long_as_said() {
        assert_eq!(String::nth(9_999_999).len(), 24);
    }
}
