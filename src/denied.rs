//! What a thread remembers of refusals, so that it can refuse again without touching what threads
//! share. A flood of one key is what limiters are for, and then no thread waits for another's
//! cache.
//!
//! # Why it is exact
//!
//! **A bucket without a unit is frozen.** While the buckets of a key, taken together, lack a unit,
//! no check changes them: one for 0 units changes nothing, any other is refused, and a sweep leaves
//! them as they are not full. So their words, once seen, still stand at any later `now` at which
//! the policy finds from them that a unit is lacking; and what it computes from them then is what
//! it would compute from the table's. No time needs to be kept beside the words.
//!
//! **What else can change them raises the [epoch](DeniedCache::epoch)**, while it holds the key's
//! shard exclusively: to forget the key. (So must whatever may ever give units back, or change the
//! policy.) A memory holds as long as the epoch is the one that was read *before* the table was
//! asked. Say a thread has read epoch e, then held the shard, and remembers what it saw there; and
//! a forgetting of the same key raises the epoch from d to d + 1.
//!
//! 1. If the thread held the shard first, it cannot have read the raised epoch: its reading
//!    happened before its lock, that before the forgetting's, and that before the raise. So e <= d,
//!    and the memory ends by the raise for everyone who knows of the forgetting: who has found the
//!    key forgotten has held its shard after the forgetting, and who was told has it from somebody
//!    who has, so the raise happened before, and they read d + 1 or more.
//! 2. If the forgetting held the shard first, the thread saw what was left, and remembers no more
//!    than that. (If it read e <= d all the same, the memory has ended before it began. No harm.)
//!
//! Whoever does not know of a forgetting, and refuses by a memory, does so before it, as somebody
//! would who had held the shard just before. For that the reading of the epoch, a word's, may be
//! relaxed: the above rests on the order of the shard's lock and on the coherence of that word. It
//! comes after the reading of the clock, so that the words stood at that `now`. (A processor may
//! still turn the two readings of the machine's clock and of the epoch round, by some ns.)
//!
//! Two things are as in the table, or next to it. Where the machine's clock goes back unnoticed, by
//! less than the [`Timer`](crate::clock::Timer)'s lag, a denial stands, and its numbers may be as
//! much too old. And the keys that hashbrown loses if a stored key's `Hash` panics
//! ([`table`](crate::table), 5) may still be refused from memory until a unit of theirs is earned.
//!
//! **Keys are compared whole.** A stranger does not pay for having the same hash.
//!
//! The models are `src/tests/models/denied.rs`.

mod cache;

use std::{borrow::Borrow, cell::RefCell, marker::PhantomData, ops::Deref};

use self::cache::Cache;
use crate::sync::{Arc, AtomicU64, Ordering, thread_local, unique};

/// The longest key that is remembered, in bytes, as a copy is kept. What a key owns on the heap
/// cannot be counted: a `str` is, and a `String` asked for as such is not.
const MAX_KEY_BYTES: usize = 128;

/// How many limiters a thread has memories of, at the most. One that finds its place taken by
/// another asks the table.
const MAX_LIMITERS: usize = 64;

/// The epoch of a limiter that is no more.
const DEAD: u64 = u64::MAX;

/// The epoch of a limiter's memories, which every check reads: alone on its cache lines too.
#[repr(align(128))]
struct Epoch(AtomicU64);

impl Deref for Epoch {
    type Target = AtomicU64;

    fn deref(&self) -> &AtomicU64 {
        &self.0
    }
}

/// What one limiter has to do with it: its name among all, and the epoch of its memories.
pub(crate) struct DeniedCache<K, const N: usize> {
    limiter: u64,
    /// Apart from what is written more often, and shared with the memories, which may outlive it.
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

/// A limiter's is at its number modulo `MAX_LIMITERS`. Numbers are handed out one after the other, so no
/// two limiters meet before there have been so many.
type ThreadCaches = [Option<Box<LimiterCache>>; MAX_LIMITERS];

/// A thread's memory of one limiter. Written at each check, and so alone on its cache lines (which
/// some processors fetch by twos): else threads might wait for each other over what is no one's.
#[repr(align(128))]
struct LimiterCache {
    limiter: u64,
    epoch: Arc<Epoch>,
    cache: Cache,
}

/// What [`DeniedCache::lookup`] comes back with.
pub(crate) enum Lookup<R> {
    /// What was made of the words.
    Hit(R),
    /// No words to go by. If it is `should_insert`, those that the table has are to be remembered, should
    /// they lack a unit.
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

    /// To be read before the table is asked.
    #[inline]
    pub(crate) fn epoch(&self) -> u64 {
        self.epoch.load(Ordering::Relaxed)
    }

    /// Ends all memories. The caller holds the shard of the key that it changes.
    pub(crate) fn invalidate(&self) {
        self.epoch.fetch_add(1, Ordering::Relaxed);
    }

    /// What `judge` makes of the words that this thread remembers of a key. He is to read the
    /// clock, and to answer `None` if they lack no unit any more.
    #[inline]
    pub(crate) fn lookup<Q, R>(
        &self,
        hash: u64,
        key: &Q,
        judge: impl FnOnce(&[u64; N]) -> Option<R>,
    ) -> Lookup<R>
    where
        K: Borrow<Q>,
        Q: Eq + ?Sized,
    {
        let recalled = with_caches(|homes| {
            let Some(cache) = self.cache(homes) else {
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
            match judge(hit.words) {
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
        recalled.unwrap_or(Lookup::Miss {
            should_insert: false,
        })
    }

    /// Remembers the words of a key that lack a unit, as seen after `epoch` was read.
    pub(crate) fn insert<Q>(&self, hash: u64, key: &Q, words: [u64; N], epoch: u64)
    where
        K: Borrow<Q>,
        Q: Eq + ToOwned<Owned = K> + ?Sized,
    {
        if size_of_val(key) > MAX_KEY_BYTES {
            return;
        }
        with_caches(|homes| {
            let is_free = |home: &LimiterCache| home.epoch.load(Ordering::Relaxed) == DEAD;
            if homes[place(self.limiter)].as_deref().is_none_or(is_free) {
                self.install(homes, epoch);
            }
            let Some(cache) = self.cache(homes) else {
                return;
            };
            if cache.epoch < epoch {
                *cache = Cache::new::<K, N>(epoch);
            }
            if cache.epoch == epoch {
                cache.store(hash, key, words);
            }
        });
    }

    /// Makes a memory for this limiter, and drops those of limiters that are gone.
    #[cold]
    fn install(&self, homes: &mut ThreadCaches, epoch: u64) {
        for home in homes.iter_mut() {
            home.take_if(|home| home.epoch.load(Ordering::Relaxed) == DEAD);
        }
        homes[place(self.limiter)] = Some(Box::new(LimiterCache {
            limiter: self.limiter,
            epoch: Arc::clone(&self.epoch),
            cache: Cache::new::<K, N>(epoch),
        }));
    }

    #[inline]
    fn cache<'a>(&self, homes: &'a mut ThreadCaches) -> Option<&'a mut Cache> {
        let home = homes[place(self.limiter)].as_mut()?;
        (home.limiter == self.limiter).then_some(&mut home.cache)
    }
}

/// With this thread's memories; unless it is ending, or a key's own code calls from in there.
#[inline]
fn with_caches<R>(visit: impl FnOnce(&mut ThreadCaches) -> R) -> Option<R> {
    let visited = CACHES.try_with(|homes| Some(visit(&mut *homes.try_borrow_mut().ok()?)));
    visited.ok().flatten()
}

/// Where the memory of that limiter is, if there is one.
#[expect(clippy::cast_possible_truncation, reason = "below MAX_LIMITERS")]
#[inline]
fn place(limiter: u64) -> usize {
    (limiter % MAX_LIMITERS as u64) as usize
}

/// Whoever drops a limiter drops its keys; but the copies of other threads only go when these make
/// their next memory, of whatever limiter, or end.
impl<K, const N: usize> Drop for DeniedCache<K, N> {
    fn drop(&mut self) {
        self.epoch.store(DEAD, Ordering::Relaxed);
        let is_own = |home: &mut Box<LimiterCache>| home.limiter == self.limiter;
        let own = with_caches(|homes| homes[place(self.limiter)].take_if(is_own));
        // Only now are keys dropped, whose code may come here again.
        drop(own);
    }
}
