//! The table: keys and their state, under the lock of the key's shard.
//!
//! The limiter relies on the following, of this table and of its [`model`](self) under loom alike:
//!
//! 1. `update`, `upsert`, `read`, `remove` and `scan` lock the key's shard exclusively. They happen
//!    one after the other, and each sees all that the ones before it wrote: taking the lock acquires
//!    what the last holder released.
//! 2. No shard is locked for shared reading: readers could keep out all that wait for it exclusively.
//! 3. No call locks two shards.
//! 4. `Hash` and `Eq` of the key are the user's code. They run under the shard's lock and may panic.
//!    No state is changed before they are done, and locks are not poisoned. `ToOwned` and `Drop` run
//!    under no lock.
//! 5. One loss cannot be prevented. If `Hash` of a stored key panics while its shard rehashes in
//!    place, hashbrown drops the keys of that shard that it had not hashed yet.

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
use crate::arith::state::State;
use crate::sync::{AtomicUsize, Ordering};

/// What [`Map::scan`] found in a shard.
struct Scan {
    /// The number of buckets.
    visited: usize,
    /// The bucket to go on from, or `None` at the end of the shard.
    next: Option<usize>,
    /// Whether the shard has far more buckets than keys.
    is_sparse: bool,
    /// How often the entries of the shard have been moved to other buckets, if that is counted.
    moves: usize,
}

pub(crate) struct Table<K, T, S> {
    map: Map<K, T, S>,
    /// How many keys were ever inserted into each shard, and how many were dropped in all. Reading
    /// the shards' own counts would wait for every lock, and for ever for a lock that the reading
    /// thread holds. Both are written under the lock of a shard. Otherwise a key that is dropped and
    /// inserted again could count as two. They may wrap on a machine of 32 bits; their difference
    /// does not.
    stored: Box<[AtomicUsize]>,
    dropped: AtomicUsize,
}

impl<K: Hash + Eq, T: State, S: BuildHasher + Clone> Table<K, T, S> {
    /// `shards` is a power of two, and at least two.
    pub(crate) fn new(shards: usize, hasher: S) -> Table<K, T, S> {
        let map = Map::new(shards, hasher);
        let stored = (0..map.shards()).map(|_| AtomicUsize::new(0)).collect();
        Table {
            map,
            stored,
            dropped: AtomicUsize::new(0),
        }
    }

    /// Returns the hash of a key, which other calls take.
    #[inline]
    pub(crate) fn hash<Q: Hash + ?Sized>(&self, key: &Q) -> u64 {
        self.map.hash(key)
    }

    /// Changes the state of `key`, if it is stored. `now` is called under the shard's lock.
    #[inline]
    pub(crate) fn update<Q, R>(
        &self,
        hash: u64,
        key: &Q,
        now: impl Fn() -> u64,
        change: impl FnOnce(&mut T, u64) -> R,
    ) -> Option<R>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        self.map.update(hash, key, now, change)
    }

    /// Changes the state of `key`. If it is not stored, the state is that of full buckets.
    ///
    /// `plan` returns what `change` is given, and whether the key is inserted if it is not stored. Both,
    /// and `now`, are called under the shard's lock. `now` is called before the key is inserted, as it
    /// may panic.
    #[inline]
    pub(crate) fn upsert<P, R>(
        &self,
        hash: u64,
        key: K,
        plan: impl FnOnce() -> (P, bool),
        now: impl Fn() -> u64,
        change: impl FnOnce(P, &mut T, u64) -> R,
    ) -> R {
        let change = |plan, state: &mut T, now, is_new| {
            if is_new {
                let stored = &self.stored[self.map.shard(hash)];
                let one_more = stored.load(Ordering::Relaxed).wrapping_add(1);
                stored.store(one_more, Ordering::Relaxed);
            }
            change(plan, state, now)
        };
        self.map.upsert(hash, key, plan, now, change)
    }

    /// Reads the state of `key`, or that of full buckets if it is not stored, under the shard's lock.
    pub(crate) fn read<Q, R>(&self, hash: u64, key: &Q, look: impl FnOnce(&T) -> R) -> R
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        self.map.read(hash, key, look)
    }

    /// Removes `key`, and then calls `after` with its state under the shard's lock. Returns false if it
    /// was not stored.
    pub(crate) fn remove<Q>(&self, hash: u64, key: &Q, after: impl FnOnce(&T)) -> bool
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        let removed = self.map.remove(hash, key, |state| {
            self.dropped.fetch_add(1, Ordering::Release);
            after(state);
        });
        // Only now is the key dropped, which may panic.
        removed.is_some()
    }

    /// Removes the keys whose state is not to be kept, among those of the next thousands of buckets
    /// from `cursor` on. These are in one shard or several, locked one after the other. `None` at
    /// the end of the table.
    ///
    /// A key that is inserted, or moved as its shard grows, while no lock is held may be skipped or
    /// visited twice.
    pub(crate) fn remove_some(
        &self,
        cursor: &mut Cursor,
        keep: impl Fn(&T) -> bool,
    ) -> Option<Slice<K>> {
        if cursor.shard >= self.map.shards() {
            return None;
        }
        let mut slice = Slice {
            removed: 0,
            keys: Vec::new(),
            sparse_shard: None,
        };
        let mut visited = 0;
        while cursor.shard < self.map.shards() && visited < SLICE && slice.sparse_shard.is_none() {
            let shard = cursor.shard;
            let take = |key| {
                // A key with a `Drop` of its own is dropped later: its code must not run under the
                // lock.
                if mem::needs_drop::<K>() {
                    slice.keys.push(key);
                }
            };
            let count = |removed: usize| {
                slice.removed += removed;
                self.dropped.fetch_add(removed, Ordering::Release);
            };
            let scan = self.map.scan(shard, cursor.bucket, &keep, take, count);
            visited += scan.visited.max(LOCK_COST);
            let has_moved = T::COUNTS_MOVES && cursor.moves != scan.moves;
            cursor.has_skipped |= cursor.bucket != 0 && has_moved;
            cursor.moves = scan.moves;
            cursor.bucket = scan.next.unwrap_or(0);
            if scan.next.is_none() {
                cursor.shard += 1;
                slice.sparse_shard = scan.is_sparse.then_some(shard);
            }
        }
        Some(slice)
    }

    /// Locks and releases each shard, one after the other. A thread that holds the lock of a shard when
    /// this is called has released it when this returns.
    pub(crate) fn pass_all_locks(&self) {
        self.map.pass_all_locks();
    }

    /// Gives memory of a shard back, if its keys fill less than a quarter of it.
    pub(crate) fn shrink(&self, shard: usize) {
        self.map.shrink(shard);
    }

    /// Returns the number of stored keys. It never misses one that is stored all the while.
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

/// How far a visit of all keys has come.
#[derive(Default)]
pub(crate) struct Cursor {
    shard: usize,
    bucket: usize,
    /// How often the entries of the shard had been moved when it was last locked.
    moves: usize,
    /// Whether entries of some shard were moved between two visits of it, if that is counted: keys that
    /// were stored all the while may have been skipped.
    pub(crate) has_skipped: bool,
}

/// What one slice of such a visit did.
pub(crate) struct Slice<K> {
    pub(crate) removed: usize,
    /// The removed keys, if dropping them runs any code.
    pub(crate) keys: Vec<K>,
    /// The last shard that was visited, if it is to be [shrunk](Table::shrink).
    pub(crate) sparse_shard: Option<usize>,
}

/// About how many buckets a slice visits: some 20 us of work.
const SLICE: usize = 4_096;

/// How many buckets the lock of a shard counts as.
const LOCK_COST: usize = 16;

#[cfg(all(test, not(tollgate_loom)))]
mod tests;
