//! The map: dashmap, and the only file that names it.

use std::{
    borrow::Borrow,
    hash::{BuildHasher, Hash, Hasher},
    hint,
};

use dashmap::{DashMap, RwLock, RwLockWriteGuard, SharedValue};

use super::{Found, prefetch::Outline};
use crate::sync::yield_now;

pub(super) struct Map<K, const N: usize, S> {
    map: DashMap<K, [u64; N], S>,
    /// One for each shard.
    outlines: Box<[Outline<Entry<K, N>>]>,
}

/// As dashmap stores it.
type Entry<K, const N: usize> = (K, SharedValue<[u64; N]>);

impl<K: Hash + Eq, const N: usize, S: BuildHasher + Clone> Map<K, N, S> {
    pub(super) fn new(shards: usize, hasher: S) -> Map<K, N, S> {
        let map: DashMap<K, [u64; N], S> = DashMap::with_hasher_and_shard_amount(hasher, shards);
        let outlines = map.shards().iter().map(|shard| {
            let shard = shard.read();
            Outline::new(shard.data_end(), shard.buckets())
        });
        let outlines = outlines.collect();
        Map { map, outlines }
    }

    pub(super) fn shards(&self) -> usize {
        self.map.shards().len()
    }

    #[expect(
        clippy::manual_hash_one,
        reason = "`hash_one` may be overridden, and dashmap, which hashes too, does not use it"
    )]
    #[inline]
    pub(super) fn hash<Q: Hash + ?Sized>(&self, key: &Q) -> u64 {
        let mut hasher = self.map.hasher().build_hasher();
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
        let mut shard = exclusive(&self.map.shards()[self.reach(hash)]);
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
        let index = self.reach(hash);
        let mut shard = exclusive(&self.map.shards()[index]);
        if let Some((_, words)) = shard.get_mut(hash, |(stored, _)| *stored == key) {
            return change(words.get_mut(), Found::Stored);
        }
        rarely(|| {
            let mut words = [0; N];
            if !is_storing() {
                return change(&mut words, Found::Passing);
            }
            let hash_of = |(stored, _): &Entry<K, N>| self.hash(stored);
            // Room first: to make it hashes stored keys, which may panic.
            shard.reserve(1, hash_of);
            self.outlines[index].update(shard.data_end(), shard.buckets());
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
        self.map.determine_shard(hash as usize)
    }

    /// The shard of that hash, whose entry of that hash is asked for.
    #[inline]
    fn reach(&self, hash: u64) -> usize {
        let shard = self.shard(hash);
        self.outlines[shard].fetch(hash);
        shard
    }

    pub(super) fn read<Q, R>(&self, key: &Q, look: impl FnOnce(&[u64; N]) -> R) -> Option<R>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        let hash = self.hash(key);
        let shard = self.map.shards()[self.reach(hash)].read();
        let stored = shard.get(hash, |(stored, _)| stored.borrow() == key);
        stored.map(|(_, words)| look(words.get()))
    }

    pub(super) fn remove<Q>(&self, key: &Q, before: impl FnOnce()) -> Option<K>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        let removed = self.map.remove_if(key, |_, _| {
            before();
            true
        });
        removed.map(|(key, _)| key)
    }

    pub(super) fn retain(&self, mut keep: impl FnMut(&[u64; N]) -> bool) {
        self.map.retain(|_, words| keep(words));
    }

    pub(super) fn shrink_to_fit(&self) {
        for (shard, outline) in self.map.shards().iter().zip(&self.outlines) {
            let mut shard = exclusive(shard);
            let keys = shard.len();
            shard.shrink_to(keys, |(stored, _)| self.hash(stored));
            outline.update(shard.data_end(), shard.buckets());
        }
    }

    pub(super) fn capacity(&self) -> usize {
        self.map.capacity()
    }
}

/// How often whoever finds a shard taken pauses before he tries again, each time.
const PAUSES: [usize; 3] = [8, 32, 128];

/// And after how many more tries, each after a turn of other threads, he goes to sleep.
const TURNS: usize = 100;

/// The guard of a shard. Whoever finds it taken tries again for some µs, and then lets other
/// threads run for some turns, before he leaves the waiting to dashmap.
///
/// dashmap's lock puts a thread to sleep after 14 pauses and 7 yields, and at once as long as
/// another sleeps: two threads at one key then spend their time waking each other. With pauses that
/// grow, nearly nobody sleeps for what others hold for a fraction of a µs, and a key's words stay
/// in one core's cache for some checks on end.
///
/// The turns are for more threads than cores, where who holds the shard may not be running; and for
/// a sweep, which holds it for as long as it takes to look at a shard's keys: of a million keys
/// that is less than the turns take where nobody else wants the core, and nobody needs to be woken.
/// (The figures are in `benches/README.md`.)
#[inline]
fn exclusive<T>(shard: &RwLock<T>) -> RwLockWriteGuard<'_, T> {
    shard.try_write().unwrap_or_else(|| {
        rarely(|| {
            for tries in 0..PAUSES.len() + TURNS {
                match PAUSES.get(tries) {
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
    use std::hash::{BuildHasherDefault, DefaultHasher};

    use super::*;

    /// The same in each run. (Under one in some 400 seeds of the default hasher, numbers that
    /// follow each other lie in heaps, and fewer than half of them at their first places.)
    type Fixed = BuildHasherDefault<DefaultHasher>;

    fn of(keys: u64) -> Map<u64, 1, Fixed> {
        let map = Map::new(2, Fixed::default());
        for key in 0..keys {
            map.upsert(map.hash(&key), key, || true, |words, _| words[0] = key);
        }
        map
    }

    /// How many of the keys are where they are asked for, each with its control byte.
    fn fetched(map: &Map<u64, 1, Fixed>, keys: u64) -> u64 {
        let is_fetched = |key: &u64| {
            let hash = map.hash(key);
            let index = map.shard(hash);
            let shard = map.map.shards()[index].read();
            let stored = shard.get(hash, |(stored, _)| stored == key).unwrap();
            let (control, entry) = map.outlines[index].first_place(hash);
            let end = shard.data_end().as_ptr();
            let place = control.addr() - end.addr();
            assert!(place < shard.buckets());
            assert_eq!(entry, end.wrapping_sub(place + 1).cast_const());
            entry == std::ptr::from_ref(stored)
        };
        (0..keys).filter(is_fetched).count() as u64
    }

    /// If a next version of dashmap or hashbrown lays its entries out in another way, this says so.
    #[test]
    fn most_keys_are_where_they_are_asked_for() {
        assert_eq!(fetched(&of(1), 1), 1);
        for keys in [5_000, 7_000, 100_000] {
            let map = of(keys);
            // A key finds its place free as often as the table is empty when it is stored: in some
            // 9 of 16 cases at the least, as a table is no more than 7/8 full.
            let before = fetched(&map, keys);
            assert!(before > keys / 2, "{before} of {keys}");

            map.retain(|&[key]| key < keys / 5);
            map.shrink_to_fit();
            let after = fetched(&map, keys / 5);
            assert!(after > keys / 10, "{after} of {}", keys / 5);
        }
    }
}
