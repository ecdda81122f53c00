//! Keys and their words, under the lock of the key's shard.
//!
//! What the limiter relies on, of this table and of its [`model`](self) under loom alike:
//!
//! 1. `update`, `upsert`, `read`, `remove` and `scan` hold the key's shard exclusively, so that
//!    they happen one after the other and each sees all that the ones before it wrote: taking the
//!    lock acquires what the last holder released.
//! 2. Nothing holds a shard shared: readers would keep out all that wait for it exclusively.
//! 3. No call holds two shards.
//! 4. `Hash` and `Eq` of the key, which are the user's, run under the shard's lock and may panic:
//!    no word is changed before they are done, and locks are not poisoned. `ToOwned` and `Drop` run
//!    under no lock.
//! 5. One thing is out of our hands: if `Hash` of a stored key panics while its shard is tidied to
//!    make room, hashbrown drops the keys of that shard that it had not hashed yet.

#[cfg(not(all(test, tollgate_loom)))]
mod lock;
#[cfg(not(all(test, tollgate_loom)))]
mod map;
#[cfg(all(test, tollgate_loom))]
#[path = "store/model.rs"]
mod map;
#[cfg(not(all(test, tollgate_loom)))]
mod prefetch;

use std::{
    borrow::Borrow,
    hash::{BuildHasher, Hash},
    mem,
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

/// What [`Map::scan`] saw of a shard.
struct Scan {
    /// The number of buckets.
    looked_at: usize,
    /// Where to go on, unless the shard has been looked at to its end.
    next: Option<usize>,
    /// Whether the shard has far more buckets than keys.
    is_sparse: bool,
}

pub(crate) struct Table<K, const N: usize, S> {
    map: Map<K, N, S>,
    /// How many keys each shard ever stored, and how many of all were dropped: counts of our own,
    /// as asking every shard would wait for every lock, and for ever for one that the asking
    /// thread holds. `stored` is only written under the shard's lock, so that threads that store
    /// keys in other shards seldom wait for each other; `dropped` too, or a key that is dropped
    /// and stored again would count as two. They may overflow on a machine of 32 bits: their
    /// difference does not.
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
    /// stored if it `should_insert`.
    #[inline]
    pub(crate) fn upsert<R>(
        &self,
        hash: u64,
        key: K,
        should_insert: impl FnOnce() -> bool,
        change: impl FnOnce(&mut [u64; N]) -> R,
    ) -> R {
        self.map.upsert(hash, key, should_insert, |words, found| {
            let result = change(words);
            // Only now, as the change may panic.
            if let Found::New = found {
                let stored = &self.stored[self.map.shard(hash)];
                let one_more = stored.load(Ordering::Relaxed).wrapping_add(1);
                stored.store(one_more, Ordering::Relaxed);
            }
            result
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

    /// Removes `key`, and then calls `after` under its lock; false if it was not stored.
    pub(crate) fn remove<Q>(&self, key: &Q, after: impl FnOnce()) -> bool
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        let removed = self.map.remove(key, || {
            self.dropped.fetch_add(1, Ordering::Release);
            after();
        });
        // Only now is the key dropped, which may panic.
        removed.is_some()
    }

    /// Removes the keys whose words are not to be kept, among the next of all: those of some
    /// thousand buckets from `cursor` on, in one shard or several, one lock after the other.
    /// `None` if all have been looked at.
    ///
    /// A key that is inserted, or moved as its shard grows, while no lock is held may be passed
    /// over, and another may be looked at twice.
    pub(crate) fn remove_some(
        &self,
        cursor: &mut Cursor,
        keep: impl Fn(&[u64; N]) -> bool,
    ) -> Option<Slice<K>> {
        if cursor.shard >= self.map.shards() {
            return None;
        }
        let mut slice = Slice {
            removed: 0,
            keys: Vec::new(),
            sparse_shard: None,
        };
        let mut looked_at = 0;
        while cursor.shard < self.map.shards() && looked_at < SLICE && slice.sparse_shard.is_none()
        {
            let shard = cursor.shard;
            let take = |key| {
                // The key would be forgotten here, but for its own code, which must not run under
                // the lock.
                if mem::needs_drop::<K>() {
                    slice.keys.push(key);
                }
            };
            let count = |removed: usize| {
                slice.removed += removed;
                self.dropped.fetch_add(removed, Ordering::Release);
            };
            let scan = self.map.scan(shard, cursor.bucket, &keep, take, count);
            looked_at += scan.looked_at.max(LOCK_COST);
            cursor.bucket = scan.next.unwrap_or(0);
            if scan.next.is_none() {
                cursor.shard += 1;
                slice.sparse_shard = scan.is_sparse.then_some(shard);
            }
        }
        Some(slice)
    }

    /// Gives memory of a shard back, if its keys would fit in a quarter of it.
    pub(crate) fn shrink(&self, shard: usize) {
        self.map.shrink(shard);
    }

    /// Never below what is stored all the while.
    pub(crate) fn len(&self) -> usize {
        // In this order: a key that is counted as dropped was stored before. The thread that
        // dropped it locked its shard after the one that stored it, and its count (Release) makes
        // that thread's count visible here (Acquire).
        let dropped = self.dropped.load(Ordering::Acquire);
        self.inserted().wrapping_sub(dropped)
    }

    /// How many keys were ever inserted, modulo 2^32 or 2^64.
    pub(crate) fn inserted(&self) -> usize {
        self.stored.iter().fold(0_usize, |sum, stored| {
            sum.wrapping_add(stored.load(Ordering::Relaxed))
        })
    }

    /// Returns the number of buckets of all shards, empty or not.
    #[cfg(all(test, not(tollgate_loom)))]
    pub(crate) fn buckets(&self) -> usize {
        self.map.buckets()
    }
}

/// Where a visit of all keys has come to.
#[derive(Default)]
pub(crate) struct Cursor {
    shard: usize,
    bucket: usize,
}

/// What one step of such a visit did.
pub(crate) struct Slice<K> {
    pub(crate) removed: usize,
    /// The removed keys, if dropping them runs any code.
    pub(crate) keys: Vec<K>,
    /// The last shard that was looked at, if it is to be [shrunk](Table::shrink).
    pub(crate) sparse_shard: Option<usize>,
}

/// How many buckets a step looks at, more or less: some 20 us of work.
const SLICE: usize = 4_096;

/// As how many of them the lock of a shard counts.
const LOCK_COST: usize = 16;

#[cfg(all(test, not(tollgate_loom)))]
mod tests;
