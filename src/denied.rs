//! Per-thread cache of denied keys. It lets a thread deny a key again without the table. In a flood of
//! one key, which is what limiters are for, no thread then waits for another's cache lines.
//!
//! # Why it is exact
//!
//! **An exhausted bucket does not change.** While some bucket of a key holds less than a unit, no
//! check changes the key's state. A check for 0 units changes nothing, and any other is denied. A sweep
//! keeps the key, as its buckets are not full. So a state seen once still stands at any later `now` at
//! which the policy finds it exhausted. What the policy computes from it then is what it would compute
//! from the table. No time has to be kept beside the state.
//!
//! **Whatever else changes an exhausted state raises the key's [epoch](DeniedCache::epoch)**, under the
//! lock of the key's shard. That is `forget`, and [under tiers](self#tiers) a check that moves a bucket. An
//! entry is valid as long as the epoch is the one that was read *before* the table. Say that a thread reads epoch e, locks the shard, and caches what
//! it sees there. `forget` of the same key raises the epoch from d to d + 1.
//!
//! 1. If the thread locked the shard first, it cannot have read the raised epoch: its read happened
//!    before its lock, that before the lock of `forget`, and that before the raise. So e <= d, and
//!    the raise invalidates the entry for every thread that knows of the `forget`. Such a thread
//!    has locked the shard after it, or was told by one that has. So the raise happened
//!    before, and the thread reads d + 1 or more.
//! 2. If `forget` locked the shard first, the thread saw what it left, and caches
//!    no more than that. (If it read e <= d nevertheless, the entry is invalid from the start.)
//!
//! A thread that does not know of a `forget` may deny from the cache. It denies before the `forget`, as if
//! it had locked the shard just before. So the read of the epoch may be relaxed: the
//! argument needs only the order of the shard's lock and the coherence of one word. The epoch is
//! read after the clock, so that the state stood at that `now`. (A processor may swap the reads of
//! the system clock and of the epoch. The difference is some ns.)
//!
//! The argument does not need the entry to be of the thread that reads it. A thread that starts may be
//! given the cache of one that has ended.
//!
//! **Which states are exhausted** is judged at the [floor](crate::clock::Timer::floor) of the time: no
//! thread that knows of the `forget` uses an earlier `now`. If a key holds a unit at the floor, no such
//! thread finds the key's old state exhausted, and the epoch stays. Judged at the caller's `now`, which
//! may be 1 ms ahead of another thread's, the raise could be missed.
//!
//! # Tiers
//!
//! An exhausted key may change under another policy: a check under a larger burst spends from it, and a denied
//! check under a faster rate moves its debt. So with tiers the following holds, too.
//!
//! - An entry is made only if every bucket of the key is on the axis of the quota that the policy has for it.
//!   It has the serial number of the policy, and is a hit only while that is the tier's policy. No other policy
//!   ever has the number.
//! - A check under a policy whose quotas are those beside the key's buckets, whatever its tier, spends nothing
//!   from an exhausted key.
//! - A check under any other policy that changes the state raises the epoch, under the lock of the shard, if
//!   some bucket was exhausted before by its own quota. That is the quota of the entry, unless the epoch was
//!   raised since it was made.
//! - A bucket that is full at the floor may lose its quota without that. It is full before and after.
//!
//! # Caveats
//!
//! - A step back of the system clock by less than the [`Timer`](crate::clock::Timer)'s lag (1 ms) is not
//!   noticed. A cached denial then stands, and its numbers may be old by as much.
//! - Keys that hashbrown loses ([`store`](crate::store), 5) may still be denied from the cache until
//!   a unit is earned.
//! - Keys are compared whole: a key is not denied because another has the same hash.
//!
//! The models are in `src/tests/models/denied.rs`.

mod cache;

use std::{array, borrow::Borrow};

use self::cache::Cache;
pub(crate) use self::cache::Lookup;
use crate::sync::{AtomicU64, Ordering, PerThread};

/// The longest key that is cached, in bytes by `size_of_val`. That counts the text of a `str`, and
/// not what a `String` owns on the heap.
const MAX_KEY_BYTES: usize = 128;

/// How many epochs there are. A key's hash chooses one, so that a change of one key invalidates the
/// entries of few others. The model checker tracks each.
const EPOCHS: usize = if cfg!(all(test, tollgate_loom)) {
    2
} else {
    64
};

/// The caches of one limiter, and the epochs of their entries.
pub(crate) struct DeniedCache<K: Send, T: Send> {
    caches: PerThread<Cache<K, T>>,
    epochs: Epochs,
}

/// Every check reads one of them, so they are alone on their cache lines.
#[repr(align(128))]
struct Epochs([AtomicU64; EPOCHS]);

impl<K: Send, T: Send> DeniedCache<K, T> {
    pub(crate) fn new() -> DeniedCache<K, T> {
        DeniedCache {
            caches: PerThread::new(),
            epochs: Epochs(array::from_fn(|_| AtomicU64::new(0))),
        }
    }

    /// Returns the epoch of the keys with this hash, which is to be read before the table.
    #[inline]
    pub(crate) fn epoch(&self, hash: u64) -> u64 {
        self.epoch_word(hash).load(Ordering::Relaxed)
    }

    /// Invalidates the entries of a key. The caller holds its shard.
    pub(crate) fn invalidate(&self, hash: u64) {
        self.epoch_word(hash).fetch_add(1, Ordering::Relaxed);
    }

    #[inline]
    fn epoch_word(&self, hash: u64) -> &AtomicU64 {
        // The remainder is below EPOCHS.
        &self.epochs.0[(hash >> 32) as usize % EPOCHS]
    }

    /// Looks `key` up in this thread's cache. `evaluate` reads the clock, and returns `None` if the
    /// cached state is no longer exhausted.
    #[inline]
    pub(crate) fn lookup<Q, R>(
        &self,
        hash: u64,
        key: &Q,
        evaluate: impl FnOnce(&T) -> Option<R>,
    ) -> Lookup<R>
    where
        K: Borrow<Q>,
        Q: Eq + ?Sized,
    {
        let found = self.caches.visit(|cache| {
            cache.lookup(hash, key, |entry| {
                let result = evaluate(&entry.state)?;
                (self.epoch(hash) == entry.epoch).then_some(result)
            })
        });
        found.unwrap_or(Lookup::Miss {
            should_insert: true,
        })
    }

    /// Inserts the exhausted state of a key, which was seen after `epoch` was read.
    #[inline(never)]
    pub(crate) fn insert<Q>(&self, hash: u64, key: &Q, state: T, epoch: u64)
    where
        K: Borrow<Q>,
        Q: Eq + ToOwned<Owned = K> + ?Sized,
    {
        if size_of_val(key) <= MAX_KEY_BYTES {
            self.caches.visit_or_make(Cache::new, |cache| {
                cache.insert(hash, key, state, epoch);
            });
        }
    }
}
