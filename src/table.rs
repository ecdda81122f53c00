//! Keys and their words, under the lock of the key's shard.
//!
//! What the limiter relies on, of this table and of its [`model`](self) under loom alike:
//!
//! 1. `update`, `upsert`, `remove` and the visit of one key by `retain` hold the key's shard
//!    exclusively, so that they happen one after the other and each sees all that the ones before
//!    it wrote. (dashmap: `remove_if` and `retain` take the shard's write lock, and so do the other
//!    two by hand; taking it acquires what the last holder released.)
//! 2. `read` holds the shard shared: it sees words that were stored together.
//! 3. `retain` holds one shard at a time, and no call holds two.
//! 4. `Hash` and `Eq` of the key, which are the user's, run under the shard's lock and may panic:
//!    no word is changed before they are done, and locks are not poisoned. `ToOwned` runs under no
//!    lock. `Drop` of a key runs under the lock when `retain` drops it, once it is out of the map,
//!    and when storing it ends in a panic.
//! 5. One thing is out of our hands: if `Hash` of a stored key panics while its shard is tidied to
//!    make room, hashbrown drops the keys of that shard that it had not hashed yet.

#[cfg(not(tollgate_loom))]
mod map;
#[cfg(tollgate_loom)]
#[path = "table/model.rs"]
mod map;
#[cfg(not(tollgate_loom))]
mod prefetch;

use std::{
    borrow::Borrow,
    hash::{BuildHasher, Hash},
};

use self::map::Map;
use crate::sync::{AtomicUsize, Ordering};

/// What becomes of the words that `upsert` hands out.
enum Found {
    /// They were stored.
    Stored,
    /// They are those of a full bucket, to be stored.
    New,
    /// The same, to be thrown away.
    Passing,
}

pub(crate) struct Table<K, const N: usize, S> {
    map: Map<K, N, S>,
    /// How many keys each shard ever stored, and how many of all were dropped: counts of our own,
    /// as asking every shard would wait for every lock, and for ever for one that the asking
    /// thread holds. `stored` is only written under the shard's lock, so that threads that store
    /// keys in other shards seldom wait for each other; `dropped` under it or later. They may
    /// overflow on a machine of 32 bits: their difference does not.
    stored: Box<[AtomicUsize]>,
    dropped: AtomicUsize,
}

impl<K: Hash + Eq, const N: usize, S: BuildHasher + Clone> Table<K, N, S> {
    /// `shards` is a power of two, and at least two.
    pub(crate) fn new(shards: usize, hasher: S) -> Table<K, N, S> {
        let map = Map::new(shards, hasher);
        let stored = (0..map.shards()).map(|_| AtomicUsize::new(0)).collect();
        Table {
            map,
            stored,
            dropped: AtomicUsize::new(0),
        }
    }

    /// The hash of a key, for [`update`](Table::update) and [`upsert`](Table::upsert).
    #[inline]
    pub(crate) fn hash<Q: Hash + ?Sized>(&self, key: &Q) -> u64 {
        self.map.hash(key)
    }

    /// Changes the words of `key`, if it is stored.
    #[inline]
    pub(crate) fn update<Q, R>(
        &self,
        hash: u64,
        key: &Q,
        change: impl FnOnce(&mut [u64; N]) -> R,
    ) -> Option<R>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        self.map.update(hash, key, change)
    }

    /// Changes the words of `key`. If it was not stored they are those of a full bucket, and it is
    /// stored if it `is_storing`.
    #[inline]
    pub(crate) fn upsert<R>(
        &self,
        hash: u64,
        key: K,
        is_storing: impl FnOnce() -> bool,
        change: impl FnOnce(&mut [u64; N]) -> R,
    ) -> R {
        self.map.upsert(hash, key, is_storing, |words, found| {
            if let Found::New = found {
                let stored = &self.stored[self.map.shard(hash)];
                let one_more = stored.load(Ordering::Relaxed).wrapping_add(1);
                stored.store(one_more, Ordering::Relaxed);
            }
            change(words)
        })
    }

    /// Looks at the words of `key`, if it is stored.
    pub(crate) fn read<Q, R>(&self, key: &Q, look: impl FnOnce(&[u64; N]) -> R) -> Option<R>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        self.map.read(key, look)
    }

    /// Drops `key`, after calling `before` under its lock; false if it was not stored.
    pub(crate) fn remove<Q>(&self, key: &Q, before: impl FnOnce()) -> bool
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        let removed = self.map.remove(key, before);
        if removed.is_some() {
            self.dropped.fetch_add(1, Ordering::Release);
        }
        // Only now is the key dropped, which may panic.
        removed.is_some()
    }

    /// Drops every key whose words are not to be kept, one shard after the other, and says how
    /// many it dropped.
    pub(crate) fn retain(&self, mut keep: impl FnMut(&[u64; N]) -> bool) -> usize {
        let mut dropped = 0;
        self.map.retain(|words| {
            let keep = keep(words);
            if !keep {
                self.dropped.fetch_add(1, Ordering::Release);
                dropped += 1;
            }
            keep
        });
        dropped
    }

    /// Gives memory back if the keys would fit in a quarter of what is held.
    ///
    /// The quarter keeps a table that shrinks and grows by turns from moving at every sweep: it
    /// must lose three quarters of its keys before it moves.
    pub(crate) fn shrink(&self) {
        if self.len() < self.map.capacity() / 4 {
            self.map.shrink_to_fit();
        }
    }

    /// Never below what is stored all the while.
    pub(crate) fn len(&self) -> usize {
        // In this order: a key that is counted as dropped was stored before, as whoever dropped it
        // had its shard's lock after whoever stored it, and releases what he knows.
        let dropped = self.dropped.load(Ordering::Acquire);
        let stored = self.stored.iter().fold(0_usize, |sum, stored| {
            sum.wrapping_add(stored.load(Ordering::Relaxed))
        });
        stored.wrapping_sub(dropped)
    }
}
