//! The map: dashmap, and the only file that names it.

use std::{
    borrow::Borrow,
    hash::{BuildHasher, Hash},
};

use dashmap::{DashMap, Entry};

use super::Found;

pub(super) struct Map<K, const N: usize, S>(DashMap<K, [u64; N], S>);

impl<K: Hash + Eq, const N: usize, S: BuildHasher + Clone> Map<K, N, S> {
    pub(super) fn new(shards: usize, hasher: S) -> Map<K, N, S> {
        Map(DashMap::with_hasher_and_shard_amount(hasher, shards))
    }

    #[inline]
    pub(super) fn update<Q, R>(&self, key: &Q, change: impl FnOnce(&mut [u64; N]) -> R) -> Option<R>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        self.0.get_mut(key).map(|mut words| change(&mut words))
    }

    pub(super) fn upsert<R>(&self, key: K, change: impl FnOnce(&mut [u64; N], Found) -> R) -> R {
        match self.0.entry(key) {
            Entry::Occupied(mut stored) => change(stored.get_mut(), Found::Stored),
            Entry::Vacant(vacant) => {
                let mut words = [0; N];
                let result = change(&mut words, Found::Absent);
                vacant.insert(words);
                result
            }
        }
    }

    pub(super) fn read<Q, R>(&self, key: &Q, look: impl FnOnce(&[u64; N]) -> R) -> Option<R>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        self.0.get(key).map(|words| look(&words))
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
