//! The map under the model checker: two shards, each a hash map under loom's lock, with the
//! contract that `store.rs` states and no more.

use std::{
    borrow::Borrow,
    collections::HashMap,
    hash::{BuildHasher, BuildHasherDefault, DefaultHasher, Hash},
};

use loom::sync::{Mutex, MutexGuard};

use super::Scan;
use crate::arith::state::State;

/// Seeded alike in every run: loom replays executions and must find every key in its place.
type Fixed = BuildHasherDefault<DefaultHasher>;

type Shard<K, T> = HashMap<K, T, Fixed>;

pub(super) struct Map<K, T, S> {
    shards: [Mutex<Shard<K, T>>; 2],
    _hasher: S,
}

impl<K: Hash + Eq, T: State, S: BuildHasher + Clone> Map<K, T, S> {
    pub(super) fn new(_: usize, hasher: S) -> Map<K, T, S> {
        Map {
            shards: [(); 2].map(|()| Mutex::new(Shard::default())),
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
        now: impl Fn() -> u64,
        change: impl FnOnce(&mut T, u64) -> R,
    ) -> Option<R>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        let mut shard = lock(self.shard_of(key));
        shard.get_mut(key).map(|state| change(state, now()))
    }

    pub(super) fn upsert<P, R>(
        &self,
        _: u64,
        key: K,
        plan: impl FnOnce() -> (P, bool),
        now: impl Fn() -> u64,
        change: impl FnOnce(P, &mut T, u64, bool) -> R,
    ) -> R {
        let mut shard = lock(self.shard_of(&key));
        let (plan, should_insert) = plan();
        match shard.get_mut(&key) {
            Some(state) => change(plan, state, now(), false),
            None if !should_insert => change(plan, &mut { T::FULL }, now(), false),
            None => {
                let now = now();
                change(plan, shard.entry(key).or_insert(T::FULL), now, true)
            }
        }
    }

    pub(super) fn read<Q, R>(&self, _: u64, key: &Q, look: impl FnOnce(&T) -> R) -> R
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        look(lock(self.shard_of(key)).get(key).unwrap_or(&T::FULL))
    }

    pub(super) fn remove<Q>(&self, _: u64, key: &Q, after: impl FnOnce(&T)) -> Option<K>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        let mut shard = lock(self.shard_of(key));
        let (key, state) = shard.remove_entry(key)?;
        after(&state);
        Some(key)
    }

    /// A shard has two parts: one scan visits half of the keys, by their hash.
    pub(super) fn scan(
        &self,
        index: usize,
        from: usize,
        keep: impl Fn(&T) -> bool,
        take: impl FnMut(K),
        removed: impl FnOnce(usize),
    ) -> Scan {
        let mut shard = lock(&self.shards[index]);
        let is_in_part = |key: &K| usize::from(self.hash(key) & 2 == 2) == from;
        let gone: Vec<K> = shard
            .extract_if(|key, state| is_in_part(key) && !keep(state))
            .map(|(key, _)| key)
            .collect();
        let count = gone.len();
        gone.into_iter().for_each(take);
        removed(count);
        Scan {
            // One part in a slice, so that a model sees what happens between two.
            visited: usize::MAX / 2,
            next: (from == 0).then_some(1),
            // So that models do not branch on it.
            is_sparse: false,
            moves: 0,
        }
    }

    pub(super) fn pass_all_locks(&self) {
        self.shards.iter().for_each(|shard| drop(lock(shard)));
    }

    pub(super) fn shrink(&self, index: usize) {
        lock(&self.shards[index]).shrink_to_fit();
    }

    pub(super) fn shards(&self) -> usize {
        self.shards.len()
    }

    pub(super) fn shard(&self, hash: u64) -> usize {
        usize::from(hash & 1 == 1)
    }

    fn shard_of<Q: Hash + ?Sized>(&self, key: &Q) -> &Mutex<Shard<K, T>> {
        &self.shards[self.shard(self.hash(key))]
    }
}

fn lock<T>(shard: &Mutex<T>) -> MutexGuard<'_, T> {
    shard
        .lock()
        .expect("a model that panicked has failed already")
}
