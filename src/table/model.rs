//! The map under the model checker: two shards, each a hash map under loom's lock, with the
//! contract that `table.rs` states and no more.

use std::{
    borrow::Borrow,
    collections::HashMap,
    hash::{BuildHasher, BuildHasherDefault, DefaultHasher, Hash},
};

use loom::sync::{RwLock, RwLockReadGuard, RwLockWriteGuard};

use super::Found;

/// Seeded alike in every run: loom replays executions and must find every key in its place.
type Fixed = BuildHasherDefault<DefaultHasher>;

type Shard<K, const N: usize> = HashMap<K, [u64; N], Fixed>;

pub(super) struct Map<K, const N: usize, S> {
    shards: [RwLock<Shard<K, N>>; 2],
    _hasher: S,
}

impl<K: Hash + Eq, const N: usize, S: BuildHasher + Clone> Map<K, N, S> {
    pub(super) fn new(_: usize, hasher: S) -> Map<K, N, S> {
        Map {
            shards: [(); 2].map(|()| RwLock::new(Shard::default())),
            _hasher: hasher,
        }
    }

    pub(super) fn hash<Q: Hash + ?Sized>(&self, key: &Q) -> u64 {
        Fixed::default().hash_one(key)
    }

    pub(super) fn update<Q, R>(
        &self,
        _: u64,
        key: &Q,
        change: impl FnOnce(&mut [u64; N]) -> R,
    ) -> Option<R>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        write(self.shard_of(key)).get_mut(key).map(change)
    }

    pub(super) fn upsert<R>(
        &self,
        _: u64,
        key: K,
        is_storing: impl FnOnce() -> bool,
        change: impl FnOnce(&mut [u64; N], Found) -> R,
    ) -> R {
        let mut shard = write(self.shard_of(&key));
        match shard.get_mut(&key) {
            Some(words) => change(words, Found::Stored),
            None if !is_storing() => change(&mut [0; N], Found::Passing),
            None => {
                let mut words = [0; N];
                let result = change(&mut words, Found::New);
                shard.insert(key, words);
                result
            }
        }
    }

    pub(super) fn read<Q, R>(&self, key: &Q, look: impl FnOnce(&[u64; N]) -> R) -> Option<R>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        read(self.shard_of(key)).get(key).map(look)
    }

    pub(super) fn remove<Q>(&self, key: &Q, before: impl FnOnce()) -> Option<K>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        let mut shard = write(self.shard_of(key));
        if shard.contains_key(key) {
            before();
        }
        shard.remove_entry(key).map(|(key, _)| key)
    }

    pub(super) fn retain(&self, mut keep: impl FnMut(&[u64; N]) -> bool) {
        for shard in &self.shards {
            write(shard).retain(|_, words| keep(words));
        }
    }

    pub(super) fn shrink_to_fit(&self) {
        for shard in &self.shards {
            write(shard).shrink_to_fit();
        }
    }

    /// Says nothing worth shrinking, so that models do not branch on it.
    pub(super) fn capacity(&self) -> usize {
        0
    }

    pub(super) fn shards(&self) -> usize {
        self.shards.len()
    }

    pub(super) fn shard(&self, hash: u64) -> usize {
        usize::from(hash & 1 == 1)
    }

    fn shard_of<Q: Hash + ?Sized>(&self, key: &Q) -> &RwLock<Shard<K, N>> {
        &self.shards[self.shard(self.hash(key))]
    }
}

fn write<T>(shard: &RwLock<T>) -> RwLockWriteGuard<'_, T> {
    shard
        .write()
        .expect("a model that panicked has failed already")
}

fn read<T>(shard: &RwLock<T>) -> RwLockReadGuard<'_, T> {
    shard
        .read()
        .expect("a model that panicked has failed already")
}
