//! The map: dashmap, and the only file that names it.

use std::{
    borrow::Borrow,
    hash::{BuildHasher, Hash, Hasher},
    hint,
};

use dashmap::{DashMap, RwLock, RwLockWriteGuard, SharedValue};

use super::{
    Found,
    prefetch::{fetch, first_place},
};
use crate::sync::yield_now;

pub(super) struct Map<K, const N: usize, S>(DashMap<K, [u64; N], S>);

impl<K: Hash + Eq, const N: usize, S: BuildHasher + Clone> Map<K, N, S> {
    pub(super) fn new(shards: usize, hasher: S) -> Map<K, N, S> {
        Map(DashMap::with_hasher_and_shard_amount(hasher, shards))
    }

    pub(super) fn shards(&self) -> usize {
        self.0.shards().len()
    }

    #[expect(
        clippy::manual_hash_one,
        reason = "`hash_one` may be overridden, and dashmap, which hashes too, does not use it"
    )]
    #[inline]
    pub(super) fn hash<Q: Hash + ?Sized>(&self, key: &Q) -> u64 {
        let mut hasher = self.0.hasher().build_hasher();
        key.hash(&mut hasher);
        hasher.finish()
    }

    #[inline]
    pub(super) fn update<Q, R>(
        &self,
        hash: u64,
        key: &Q,
        change: impl FnOnce(&mut [u64; N]) -> R,
    ) -> Option<R>
    where
        K: Borrow<Q>,
        Q: Eq + ?Sized,
    {
        let mut shard = exclusive(&self.0.shards()[self.shard(hash)]);
        fetch(first_place(shard.data_end(), shard.buckets(), hash));
        let stored = shard.get_mut(hash, |(stored, _)| stored.borrow() == key);
        stored.map(|(_, words)| change(words.get_mut()))
    }

    #[inline]
    pub(super) fn upsert<R>(
        &self,
        hash: u64,
        key: K,
        is_storing: impl FnOnce() -> bool,
        change: impl FnOnce(&mut [u64; N], Found) -> R,
    ) -> R {
        let mut shard = exclusive(&self.0.shards()[self.shard(hash)]);
        fetch(first_place(shard.data_end(), shard.buckets(), hash));
        if let Some((_, words)) = shard.get_mut(hash, |(stored, _)| *stored == key) {
            return change(words.get_mut(), Found::Stored);
        }
        rarely(|| {
            let mut words = [0; N];
            if !is_storing() {
                return change(&mut words, Found::Passing);
            }
            let hash_of = |(stored, _): &(K, SharedValue<[u64; N]>)| self.hash(stored);
            // Room first: to make it hashes stored keys, which may panic.
            shard.reserve(1, hash_of);
            let result = change(&mut words, Found::New);
            shard.insert(hash, (key, SharedValue::new(words)), hash_of);
            result
        })
    }

    #[expect(
        clippy::cast_possible_truncation,
        reason = "as dashmap does with the hashes that it makes itself"
    )]
    #[inline]
    pub(super) fn shard(&self, hash: u64) -> usize {
        self.0.determine_shard(hash as usize)
    }

    pub(super) fn read<Q, R>(&self, key: &Q, look: impl FnOnce(&[u64; N]) -> R) -> Option<R>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        let hash = self.hash(key);
        let shard = self.0.shards()[self.shard(hash)].read();
        fetch(first_place(shard.data_end(), shard.buckets(), hash));
        let stored = shard.get(hash, |(stored, _)| stored.borrow() == key);
        stored.map(|(_, words)| look(words.get()))
    }

    pub(super) fn remove<Q>(&self, key: &Q, before: impl FnOnce()) -> Option<K>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        let removed = self.0.remove_if(key, |_, _| {
            before();
            true
        });
        removed.map(|(key, _)| key)
    }

    pub(super) fn retain(&self, mut keep: impl FnMut(&[u64; N]) -> bool) {
        self.0.retain(|_, words| keep(words));
    }

    pub(super) fn shrink_to_fit(&self) {
        self.0.shrink_to_fit();
    }

    pub(super) fn capacity(&self) -> usize {
        self.0.capacity()
    }
}

/// The guard of a shard. Whoever finds it taken tries again for some µs, and then lets other threads
/// run for some turns, before he leaves the waiting to dashmap.
///
/// dashmap's lock puts a thread to sleep after 14 pauses and 7 yields, and at once as long as
/// another sleeps: two threads at one key then spend their time waking each other. With pauses that
/// grow, nearly nobody sleeps for what others hold for a fraction of a µs, and a key's words stay in
/// one core's cache for some checks on end. The yields are for more threads than cores, where who
/// holds the shard may not be running. (The figures are in `benches/README.md`.)
#[inline]
fn exclusive<T>(shard: &RwLock<T>) -> RwLockWriteGuard<'_, T> {
    shard.try_write().unwrap_or_else(|| {
        rarely(|| {
            for tries in 0..10 {
                match [8, 32, 128].get(tries) {
                    Some(&pauses) => (0..pauses).for_each(|_| hint::spin_loop()),
                    None => yield_now(),
                }
                if let Some(guard) = shard.try_write() {
                    return guard;
                }
            }
            shard.write()
        })
    })
}

/// Keeps what is done but rarely out of the code of what is done all the time.
#[cold]
#[inline(never)]
fn rarely<R>(run: impl FnOnce() -> R) -> R {
    run()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hash::RandomState;

    /// How many of so many keys are where they are fetched from.
    fn fetched(keys: u64) -> usize {
        let map: Map<u64, 1, _> = Map::new(2, RandomState::default());
        for key in 0..keys {
            map.upsert(map.hash(&key), key, || true, |_, _| ());
        }
        let is_fetched = |key: &u64| {
            let hash = map.hash(key);
            let shard = map.0.shards()[map.shard(hash)].read();
            let stored = shard.get(hash, |(stored, _)| stored == key).unwrap();
            first_place(shard.data_end(), shard.buckets(), hash) == std::ptr::from_ref(stored)
        };
        (0..keys).filter(is_fetched).count()
    }

    /// If a next version of dashmap or hashbrown lays its entries out in another way, this says so.
    #[test]
    fn most_keys_are_where_they_are_fetched_from() {
        assert_eq!(fetched(1), 1);
        for keys in [1_000, 5_000, 7_000, 100_000] {
            let fetched = fetched(keys);
            // A key finds its place free as often as the table is empty when it is stored: in more
            // than 9 of 16 cases, as a table is no more than 7/8 full.
            assert!(fetched > keys as usize / 2, "{fetched} of {keys}");
        }
    }
}
