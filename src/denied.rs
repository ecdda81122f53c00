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
//! **Whatever else changes a state raises the [epoch](DeniedCache::epoch)** while it holds the
//! key's shard. Today that is forgetting a key. An entry is valid as long as the epoch is the one
//! that was read *before* the table. Say that a thread reads epoch e, then locks the shard and
//! caches what it sees there, and that a forgetting of the same key raises the epoch from d to d + 1.
//!
//! 1. If the thread locked the shard first, it cannot have read the raised epoch: its read happened
//!    before its lock, that before the forgetting's lock, and that before the raise. So e <= d, and
//!    the raise invalidates the entry for every thread that knows of the forgetting. Such a thread
//!    has locked the shard after the forgetting, or was told by one that has. So the raise happened
//!    before, and the thread reads d + 1 or more.
//! 2. If the forgetting locked the shard first, the thread saw what the forgetting left, and caches
//!    no more than that. (If it read e <= d nevertheless, the entry is invalid from the start.)
//!
//! A thread that does not know of a forgetting, and denies from the cache, denies before it, as a
//! thread would that had locked the shard just before. So the read of the epoch may be relaxed: the
//! argument needs only the order of the shard's lock and the coherence of one word. The epoch is
//! read after the clock, so that the state stood at that `now`. (A processor may swap the reads of
//! the system clock and of the epoch. The difference is some ns.)
//!
//! # Caveats
//!
//! - If the system clock steps back unnoticed, by less than the
//!   [`Timer`](crate::clock::Timer)'s tolerance, a cached denial stands, and its numbers may be old
//!   by as much.
//! - Keys that hashbrown loses ([`store`](crate::store), 5) may still be denied from the cache until
//!   a unit is earned.
//! - Keys are compared whole: a key is not denied because another has the same hash.
//!
//! The models are in `src/tests/models/denied.rs`.

mod cache;

use std::{borrow::Borrow, cell::RefCell, marker::PhantomData, ops::Deref};

use self::cache::Cache;
use crate::arith::state::KeyState;
use crate::sync::{Arc, AtomicU64, Ordering, thread_local, unique};

/// The longest key that is cached, in bytes by `size_of_val`. That counts the text of a `str`, and
/// not what a `String` owns on the heap.
const MAX_KEY_BYTES: usize = 128;

/// For how many limiters a thread has caches. A limiter whose place is taken uses the table.
const MAX_LIMITERS: usize = 64;

/// The epoch of a limiter that was dropped.
const DEAD: u64 = u64::MAX;

/// The epoch of a limiter. Every check reads it, so it is alone on its cache lines.
#[repr(align(128))]
struct Epoch(AtomicU64);

impl Deref for Epoch {
    type Target = AtomicU64;

    fn deref(&self) -> &AtomicU64 {
        &self.0
    }
}

/// The part of a limiter: its number, and the epoch of its entries.
pub(crate) struct DeniedCache<K, const N: usize> {
    limiter: u64,
    /// Shared with the threads' caches, which may outlive the limiter.
    epoch: Arc<Epoch>,
    key: PhantomData<fn(K)>,
}

thread_local! {
    #[allow(
        clippy::missing_const_for_thread_local,
        reason = "the model checker's macro takes no const block"
    )]
    static CACHES: RefCell<ThreadCaches> = RefCell::new([const { None }; MAX_LIMITERS]);
}

/// A limiter's place is its number modulo `MAX_LIMITERS`. Numbers are consecutive, so places are shared
/// only once there have been more limiters than that.
type ThreadCaches = [Option<Box<LimiterCache>>; MAX_LIMITERS];

/// A thread's cache for one limiter. It is written at each check, so it is alone on its cache lines,
/// which some processors fetch in pairs.
#[repr(align(128))]
struct LimiterCache {
    limiter: u64,
    epoch: Arc<Epoch>,
    cache: Cache,
}

/// The result of [`DeniedCache::lookup`].
pub(crate) enum Lookup<R> {
    /// What was made of the cached state.
    Hit(R),
    /// Nothing usable is cached. The state that the table has should be inserted or not, if it is
    /// exhausted.
    Miss { should_insert: bool },
}

impl<K: 'static, const N: usize> DeniedCache<K, N> {
    pub(crate) fn new() -> DeniedCache<K, N> {
        DeniedCache {
            limiter: unique(),
            epoch: Arc::new(Epoch(AtomicU64::new(0))),
            key: PhantomData,
        }
    }

    /// Returns the epoch, which is to be read before the table.
    #[inline]
    pub(crate) fn epoch(&self) -> u64 {
        self.epoch.load(Ordering::Relaxed)
    }

    /// Invalidates all entries. The caller holds the shard of the key that it changes.
    pub(crate) fn invalidate(&self) {
        self.epoch.fetch_add(1, Ordering::Relaxed);
    }

    /// Looks `key` up in this thread's cache. `evaluate` reads the clock, and returns `None` if the
    /// cached state is no longer exhausted.
    #[inline]
    pub(crate) fn lookup<Q, R>(
        &self,
        hash: u64,
        key: &Q,
        evaluate: impl FnOnce(&KeyState<N>) -> Option<R>,
    ) -> Lookup<R>
    where
        K: Borrow<Q>,
        Q: Eq + ?Sized,
    {
        let found = with_caches(|caches| {
            let Some(cache) = self.cache(caches) else {
                return Lookup::Miss {
                    should_insert: true,
                };
            };
            if !cache.should_probe() {
                return Lookup::Miss {
                    should_insert: false,
                };
            }
            let epoch = cache.epoch;
            let Some(hit) = cache.find::<K, Q, N>(hash, key) else {
                let should_insert = cache.should_insert_new();
                return Lookup::Miss { should_insert };
            };
            match evaluate(hit.state) {
                Some(evaluation) if self.epoch() == epoch => Lookup::Hit(evaluation),
                Some(_) => Lookup::Miss {
                    should_insert: true,
                },
                None => {
                    hit.clear();
                    Lookup::Miss {
                        should_insert: true,
                    }
                }
            }
        });
        found.unwrap_or(Lookup::Miss {
            should_insert: false,
        })
    }

    /// Inserts the exhausted state of a key, which was seen after `epoch` was read.
    pub(crate) fn insert<Q>(&self, hash: u64, key: &Q, state: KeyState<N>, epoch: u64)
    where
        K: Borrow<Q>,
        Q: Eq + ToOwned<Owned = K> + ?Sized,
    {
        if size_of_val(key) > MAX_KEY_BYTES {
            return;
        }
        with_caches(|caches| {
            let is_free = |cache: &LimiterCache| cache.epoch.load(Ordering::Relaxed) == DEAD;
            if caches[place(self.limiter)].as_deref().is_none_or(is_free) {
                self.install(caches, epoch);
            }
            let Some(cache) = self.cache(caches) else {
                return;
            };
            if cache.epoch < epoch {
                *cache = Cache::new::<K, N>(epoch);
            }
            if cache.epoch == epoch {
                cache.store(hash, key, state);
            }
        });
    }

    /// Makes a cache for this limiter, and drops those of limiters that were dropped.
    #[cold]
    fn install(&self, caches: &mut ThreadCaches, epoch: u64) {
        for cache in caches.iter_mut() {
            cache.take_if(|cache| cache.epoch.load(Ordering::Relaxed) == DEAD);
        }
        caches[place(self.limiter)] = Some(Box::new(LimiterCache {
            limiter: self.limiter,
            epoch: Arc::clone(&self.epoch),
            cache: Cache::new::<K, N>(epoch),
        }));
    }

    #[inline]
    fn cache<'a>(&self, caches: &'a mut ThreadCaches) -> Option<&'a mut Cache> {
        let cache = caches[place(self.limiter)].as_mut()?;
        (cache.limiter == self.limiter).then_some(&mut cache.cache)
    }
}

/// Visits this thread's caches. `None` if the thread is ending, or if a key's own code calls this.
#[inline]
fn with_caches<R>(visit: impl FnOnce(&mut ThreadCaches) -> R) -> Option<R> {
    let visited = CACHES.try_with(|caches| Some(visit(&mut *caches.try_borrow_mut().ok()?)));
    visited.ok().flatten()
}

/// Returns the place of a limiter's cache.
#[expect(clippy::cast_possible_truncation, reason = "below MAX_LIMITERS")]
#[inline]
fn place(limiter: u64) -> usize {
    (limiter % MAX_LIMITERS as u64) as usize
}

/// The thread that drops a limiter drops its keys. Other threads drop their copies when they next make a
/// cache, for any limiter, or end.
impl<K, const N: usize> Drop for DeniedCache<K, N> {
    fn drop(&mut self) {
        self.epoch.store(DEAD, Ordering::Relaxed);
        let is_own = |cache: &mut Box<LimiterCache>| cache.limiter == self.limiter;
        let own = with_caches(|caches| caches[place(self.limiter)].take_if(is_own));
        // Keys are dropped only now, as their code may come here again.
        drop(own);
    }
}
