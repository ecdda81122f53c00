//! Limiters that are checked by key, without a server around them.

mod clock;
mod floor;
mod forgetting;
mod governor;
mod mutex_map;
mod throttlecrab;
mod tiered;
mod tokio_rate_limit;
mod tollgate;

use std::{array, borrow::Borrow, hash::Hash, hint::black_box, sync::Arc};

use self::clock::ClockAlone;
pub use self::floor::Floor;
use self::forgetting::Forgetting;
pub use self::governor::Governor;
pub use self::mutex_map::MutexMap;
use self::throttlecrab::Throttlecrab;
use self::tiered::Tiered;
use self::tokio_rate_limit::TokioRateLimit;
pub use self::tollgate::Tollgate;
use self::tollgate::{By, CoarseClock, Fast, OwnSeed, Shards, Sip, Swept};
pub use crate::Quota;

/// The outcome of every timed check of a cell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    Allowed,
    Denied,
}

/// A key as a limiter stores it.
pub trait Key: Borrow<Self::Query> + Hash + Eq + Clone + Send + Sync + 'static {
    const NAME: &'static str;

    /// The borrowed form, for limiters that take it.
    type Query: Hash + Eq + ToOwned<Owned = Self> + ?Sized;

    fn nth(nth: u64) -> Self;

    /// Returns tollgate and every peer that takes such keys.
    fn peers() -> Vec<Entry<Self>>;
}

impl Key for u64 {
    const NAME: &'static str = "u64";

    type Query = u64;

    fn nth(nth: u64) -> u64 {
        nth
    }

    fn peers() -> Vec<Entry<u64>> {
        peers_of_any_key::<u64, 1>()
    }
}

/// 24 bytes, the length of many API keys.
impl Key for String {
    const NAME: &'static str = "String";

    type Query = str;

    fn nth(nth: u64) -> String {
        format!("key-{nth:020}")
    }

    fn peers() -> Vec<Entry<String>> {
        let mut peers = peers_of_any_key::<String, 1>();
        peers.extend([
            Entry::of::<1, TokioRateLimit>(),
            Entry::of::<1, Throttlecrab>(),
        ]);
        peers
    }
}

/// Returns tollgate and the peers that take any key, and hold it to `N` quotas at once.
pub fn peers_of_any_key<K: Key, const N: usize>() -> Vec<Entry<K>> {
    vec![
        Entry::of::<N, Tollgate<K, N>>(),
        Entry::of::<N, Governor<K, N, std::hash::RandomState>>(),
        Entry::of::<N, Governor<K, N, foldhash::fast::RandomState>>(),
        Entry::of::<N, MutexMap<K, N>>(),
        Entry::of::<N, Floor<K, N>>(),
    ]
}

/// Returns tollgate with other counts of shards. The first has the default count.
pub fn shards<K: Key>() -> Vec<Entry<K>> {
    vec![
        Entry::of::<1, Tollgate<K>>(),
        Entry::of::<1, Tollgate<K, 1, Shards<8>>>(),
        Entry::of::<1, Tollgate<K, 1, Shards<32>>>(),
        Entry::of::<1, Tollgate<K, 1, Shards<64>>>(),
        Entry::of::<1, Tollgate<K, 1, Shards<256>>>(),
        Entry::of::<1, Tollgate<K, 1, Shards<512>>>(),
        Entry::of::<1, Tollgate<K, 1, Shards<1_024>>>(),
        Entry::of::<1, Tollgate<K, 1, Shards<4_096>>>(),
    ]
}

/// Returns tollgate with other hashers. The first has the default one.
pub fn hashers<K: Key>() -> Vec<Entry<K>> {
    vec![
        Entry::of::<1, Tollgate<K>>(),
        Entry::of::<1, Tollgate<K, 1, OwnSeed>>(),
        Entry::of::<1, Tollgate<K, 1, Fast>>(),
        Entry::of::<1, Tollgate<K, 1, Sip>>(),
    ]
}

/// Returns tollgate with either clock, and the clock alone.
pub fn clocks<K: Key>() -> Vec<Entry<K>> {
    vec![
        Entry::of::<1, Tollgate<K>>(),
        Entry::of::<1, Tollgate<K, 1, CoarseClock>>(),
        Entry::of::<1, ClockAlone>(),
    ]
}

/// Returns tollgate without sweeps, and swept as often as it can be.
pub fn sweeps<K: Key>() -> Vec<Entry<K>> {
    vec![
        Entry::of::<1, Tollgate<K>>(),
        Entry::of::<1, Tollgate<K, 1, Swept>>(),
    ]
}

/// Returns tollgate by `allow` and by `check`.
pub fn calls<K: Key>() -> Vec<Entry<K>> {
    vec![
        Entry::of::<1, Tollgate<K>>(),
        Entry::of::<1, Tollgate<K, 1, By<true>>>(),
    ]
}

/// Returns tollgate with one policy and with tiers, by `allow` and by `check`.
pub fn tiers<K: Key, const N: usize>() -> Vec<Entry<K>> {
    vec![
        Entry::of::<N, Tollgate<K, N>>(),
        Entry::of::<N, Tiered<K, N>>(),
        Entry::of::<N, Tollgate<K, N, By<true>>>(),
        Entry::of::<N, Tiered<K, N, true>>(),
    ]
}

/// Returns tollgate alone, and beside a thread that forgets keys.
pub fn forgets<K: Key>() -> Vec<Entry<K>> {
    vec![
        Entry::of::<1, Tollgate<K>>(),
        Entry::of::<1, Forgetting<K>>(),
    ]
}

/// A type that is timed: a limiter that holds each key to `N` quotas.
///
/// No key is swept while it is timed, as most contenders sweep only on request. The cost of a sweep
/// has programs of its own.
pub trait Contender<K: Key, const N: usize = 1>: Send + Sync + Sized + 'static {
    const NAME: &'static str;

    /// The least burst that it limits keys to.
    const LEAST_BURST: u32 = 1;

    /// Whether it limits at all.
    const DECIDES: bool = true;

    fn new(quotas: [Quota; N]) -> Self;

    /// Spends a unit of `key`, if every quota has one left.
    fn check(&self, key: &K) -> bool;

    /// Returns how many keys it stores, if it tells.
    fn stored(&self) -> Option<usize>;

    /// Proves that it tells keys apart, and admits each exactly its burst.
    ///
    /// # Panics
    ///
    /// If it does not.
    fn prove() {
        prove_bursts::<K, N, Self>();
    }
}

/// A limiter that sweeps on request.
pub trait Sweep<K: Key>: Contender<K> {
    /// Drops every key whose bucket is full.
    fn sweep(&self);
}

/// One check, as a function of its own. `benches/instructions.py` counts its instructions.
#[inline(never)]
pub fn counted_check<K: Key, const N: usize, C: Contender<K, N>>(contender: &C, key: &K) -> bool {
    contender.check(key)
}

/// A contender without its type. Only the calls of this trait are dynamic, one for all the checks
/// of a batch.
pub trait Table<K>: Send + Sync {
    /// Checks these keys one after the other, and returns how many checks were allowed.
    fn check_all(&self, keys: &[K]) -> usize;

    /// As `check_all`, through [`counted_check`].
    fn check_all_counted(&self, keys: &[K]) -> usize;

    /// Returns how many of `checks` checks are allowed in a cell with this outcome.
    fn expected(&self, outcome: Outcome, checks: usize) -> usize;
}

struct Typed<C, const N: usize>(C);

impl<K: Key, const N: usize, C: Contender<K, N>> Table<K> for Typed<C, N> {
    fn check_all(&self, keys: &[K]) -> usize {
        let allowed = keys.iter().filter(|key| black_box(self.0.check(key)));
        allowed.count()
    }

    fn check_all_counted(&self, keys: &[K]) -> usize {
        let allowed = (keys.iter()).filter(|key| black_box(counted_check(&self.0, key)));
        allowed.count()
    }

    fn expected(&self, outcome: Outcome, checks: usize) -> usize {
        match outcome {
            Outcome::Denied if C::DECIDES => 0,
            _ => checks,
        }
    }
}

/// A contender in a list.
#[derive(Clone)]
pub struct Entry<K> {
    pub name: &'static str,
    pub decides: bool,
    /// Proves that it limits, and panics if it does not.
    pub prove: fn(),
    /// Makes a limiter without keys that allows every check.
    pub fresh: fn() -> Arc<dyn Table<K>>,
    /// Makes a limiter whose checks of this many keys will all have this outcome.
    pub prepared: fn(Outcome, u64) -> Arc<dyn Table<K>>,
}

impl<K: Key> Entry<K> {
    fn of<const N: usize, C: Contender<K, N>>() -> Entry<K> {
        Entry {
            name: C::NAME,
            decides: C::DECIDES,
            prove: C::prove,
            fresh: || Arc::new(Typed::<C, N>(C::new(never_exhausted()))),
            prepared: |outcome, keys| Arc::new(Typed::<C, N>(prepared(outcome, keys))),
        }
    }
}

/// The contender that all ratios are relative to. Every list has it.
pub const TOLLGATE: &str = "tollgate";

/// Makes a limiter whose checks of the first `keys` keys will all have this outcome.
///
/// # Panics
///
/// If it admits less than it should, or does not store exactly these keys.
pub fn prepared<K: Key, const N: usize, C: Contender<K, N>>(outcome: Outcome, keys: u64) -> C {
    let (quotas, checks) = match outcome {
        Outcome::Allowed => (never_exhausted(), 1),
        Outcome::Denied => (soon_exhausted(C::LEAST_BURST), C::LEAST_BURST),
    };
    let contender = C::new(quotas);
    for _ in 0..checks {
        let all = (0..keys).all(|nth| contender.check(&K::nth(nth)));
        assert!(all, "{}", C::NAME);
    }
    if let Some(len) = contender.stored() {
        assert_eq!(len as u64, keys, "{}", C::NAME);
    }
    contender
}

/// A thousand million units a second. No check takes the last.
fn never_exhausted<const N: usize>() -> [Quota; N] {
    let quota = |nth| Quota {
        nanos: 1 + nth as u64,
        burst: 1_000_000_000,
    };
    array::from_fn(quota)
}

/// One unit an hour, which is longer than any program here runs.
fn soon_exhausted<const N: usize>(burst: u32) -> [Quota; N] {
    let quota = |nth| Quota {
        nanos: HOUR * (1 + nth as u64),
        burst,
    };
    array::from_fn(quota)
}

const HOUR: u64 = 3_600_000_000_000;

/// Proves that each of a thousand keys is admitted the least of its bursts and no more.
fn prove_bursts<K: Key, const N: usize, C: Contender<K, N>>() {
    const KEYS: u64 = 1_000;
    let keys: Vec<K> = (0..KEYS).map(K::nth).collect();
    for least in 0..N {
        let quota = |nth| Quota {
            nanos: HOUR * (1 + nth as u64),
            burst: if nth == least { 10 } else { 12 },
        };
        let contender = C::new(array::from_fn(quota));
        for check in 1..=15 {
            for (nth, key) in keys.iter().enumerate() {
                let allowed = contender.check(key);
                assert_eq!(allowed, check <= 10, "{}: check {check} of {nth}", C::NAME);
            }
        }
        if let Some(len) = contender.stored() {
            assert_eq!(len as u64, KEYS, "{}", C::NAME);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prove_all<K: Key>() {
        let lists = [K::peers(), peers_of_any_key::<K, 2>()];
        let options = [
            shards(),
            hashers(),
            clocks(),
            sweeps(),
            tiers::<K, 1>(),
            tiers::<K, 2>(),
        ];
        for entry in lists.into_iter().chain(options).flatten() {
            (entry.prove)();
            let keys: Vec<K> = (0..1_000).map(K::nth).collect();
            for outcome in [Outcome::Allowed, Outcome::Denied] {
                let table = (entry.prepared)(outcome, 1_000);
                let expected = table.expected(outcome, keys.len());
                assert_eq!(table.check_all(&keys), expected, "{}", entry.name);
                assert_eq!(table.check_all_counted(&keys), expected, "{}", entry.name);
            }
            assert_eq!((entry.fresh)().check_all(&keys), keys.len());
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
    fn a_text_key_has_24_bytes() {
        assert_eq!(String::nth(9_999_999).len(), 24);
    }
}
