//! The map: dashmap, and the only file that names it.

use std::{
    borrow::Borrow,
    hash::{BuildHasher, Hash},
};

use dashmap::{DashMap, SharedValue};

use super::{
    Scan,
    lock::{cold_path, lock_shard},
    prefetch::Layouts,
};
use crate::arith::state::State;
use crate::sync::{AtomicUsize, Ordering};

pub(super) struct Map<K, T, S> {
    map: DashMap<K, T, S>,
    layouts: Layouts<Entry<K, T>>,
    /// How often the entries of each shard were moved, if that is counted. Relaxed suffices: it is read and
    /// written under the shard's lock.
    moves: Box<[AtomicUsize]>,
}

/// As dashmap stores it.
type Entry<K, T> = (K, SharedValue<T>);

impl<K: Hash + Eq, T: State, S: BuildHasher + Clone> Map<K, T, S> {
    pub(super) fn new(shards: usize, hasher: S) -> Map<K, T, S> {
        let map: DashMap<K, T, S> = DashMap::with_hasher_and_shard_amount(hasher, shards);
        let layouts = Layouts::new(map.shards().iter().map(|shard| {
            let shard = lock_shard(shard);
            (shard.data_end(), shard.buckets())
        }));
        let counted = if T::COUNTS_MOVES { shards } else { 0 };
        let moves = (0..counted).map(|_| AtomicUsize::new(0)).collect();
        Map {
            map,
            layouts,
            moves,
        }
    }

    pub(super) fn shards(&self) -> usize {
        self.map.shards().len()
    }

    #[inline]
    pub(super) fn hash<Q: Hash + ?Sized>(&self, key: &Q) -> u64 {
        self.map.hasher().hash_one(key)
    }

    #[inline]
    pub(super) fn update<Q, R>(
        &self,
        hash: u64,
        key: &Q,
        now: impl Fn() -> u64,
        change: impl FnOnce(&mut T, u64) -> R,
    ) -> Option<R>
    where
        K: Borrow<Q>,
        Q: Eq + ?Sized,
    {
        let mut shard = lock_shard(&self.map.shards()[self.prefetch_shard(hash)]);
        let stored = shard.get_mut(hash, |(stored, _)| stored.borrow() == key);
        stored.map(|(_, state)| change(state.get_mut(), now()))
    }

    #[inline]
    pub(super) fn upsert<P, R>(
        &self,
        hash: u64,
        key: K,
        plan: impl FnOnce() -> (P, bool),
        now: impl Fn() -> u64,
        change: impl FnOnce(P, &mut T, u64, bool) -> R,
    ) -> R {
        let index = self.prefetch_shard(hash);
        let mut shard = lock_shard(&self.map.shards()[index]);
        let mut unknown = T::FULL;
        let found = shard.get_mut(hash, |(stored, _)| *stored == key);
        let (plan, should_insert) = plan();
        let (state, now, is_new) = match found {
            Some((_, state)) => (state.get_mut(), now(), false),
            None if !should_insert => (&mut unknown, now(), false),
            None => {
                let hash_of = |(stored, _): &Entry<K, T>| self.hash(stored);
                // `reserve` hashes stored keys, and `now` may be the user's function. If they panic, the
                // shard is unlocked before the key is dropped.
                if shard.len() == shard.capacity() {
                    self.count_move(index);
                    cold_path(|| shard.reserve(1, hash_of));
                    self.layouts
                        .update(index, shard.data_end(), shard.buckets());
                }
                let now = now();
                let entry = (key, SharedValue::new(T::FULL));
                let (_, state) = shard.insert_entry(hash, entry, hash_of);
                (state.get_mut(), now, true)
            }
        };
        change(plan, state, now, is_new)
    }

    /// Counts that the entries of a shard, which is locked, are moved. To be called before they are: the
    /// key's `Hash` may panic when some have moved already.
    fn count_move(&self, index: usize) {
        if let Some(moves) = self.moves.get(index) {
            moves.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[expect(
        clippy::cast_possible_truncation,
        reason = "as dashmap does with the hashes that it makes itself"
    )]
    #[inline]
    pub(super) fn shard(&self, hash: u64) -> usize {
        self.map.determine_shard(hash as usize)
    }

    /// Returns the shard of a hash, and prefetches what it has under that hash.
    #[inline]
    fn prefetch_shard(&self, hash: u64) -> usize {
        let shard = self.shard(hash);
        self.layouts.prefetch(shard, hash);
        shard
    }

    pub(super) fn read<Q, R>(&self, hash: u64, key: &Q, look: impl FnOnce(&T) -> R) -> R
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        let shard = lock_shard(&self.map.shards()[self.prefetch_shard(hash)]);
        let stored = shard.get(hash, |(stored, _)| stored.borrow() == key);
        match stored {
            Some((_, state)) => look(state.get()),
            None => look(&T::FULL),
        }
    }

    pub(super) fn remove<Q>(&self, hash: u64, key: &Q, after: impl FnOnce(&T)) -> Option<K>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        let mut shard = lock_shard(&self.map.shards()[self.prefetch_shard(hash)]);
        let (key, state) = shard.remove_entry(hash, |(stored, _)| stored.borrow() == key)?;
        after(state.get());
        Some(key)
    }

    /// Visits the entries of a shard from a bucket on, and removes those that are not to be kept.
    /// `take` gets their keys. `removed` gets their number at the end, before the lock is released.
    pub(super) fn scan(
        &self,
        index: usize,
        from: usize,
        keep: impl Fn(&T) -> bool,
        mut take: impl FnMut(K),
        removed: impl FnOnce(usize),
    ) -> Scan {
        let mut shard = lock_shard(&self.map.shards()[index]);
        let buckets = shard.buckets();
        let end = buckets.min(from.saturating_add(SCANNED_AT_ONCE));
        let before = shard.len();
        let mut full = [0; GROUP];
        for group in (from..end).step_by(GROUP) {
            // Find the full buckets first, without a branch: it could not be predicted.
            let mut count = 0;
            for bucket in group..end.min(group + GROUP) {
                full[count] = bucket;
                // SAFETY: `bucket` is below the number of buckets, which no removal changes.
                #[allow(unsafe_code, reason = "a shard is scanned in parts by bucket")]
                let is_full = unsafe { shard.is_bucket_full(bucket) };
                count += usize::from(is_full);
            }
            for &bucket in &full[..count] {
                // SAFETY: the bucket is full, as only those before it were emptied since, so it
                // holds an initialised entry. The shard is borrowed mutably here, and nothing else
                // refers to the entry: `keep` has returned before it is removed.
                #[allow(unsafe_code, reason = "a shard is scanned in parts by bucket")]
                unsafe {
                    let place = shard.bucket(bucket);
                    if !keep(place.as_ref().1.get()) {
                        let ((key, _), _) = shard.remove(place);
                        take(key);
                    }
                }
            }
        }
        removed(before - shard.len());
        Scan {
            visited: end.saturating_sub(from),
            next: (end < buckets).then_some(end),
            is_sparse: is_sparse(shard.len(), buckets),
            moves: self
                .moves
                .get(index)
                .map_or(0, |moves| moves.load(Ordering::Relaxed)),
        }
    }

    pub(super) fn pass_all_locks(&self) {
        self.map.shards().iter().for_each(|shard| {
            drop(lock_shard(shard));
        });
    }

    /// Moves the entries of a shard to fewer buckets, if they are sparse.
    pub(super) fn shrink(&self, index: usize) {
        let mut shard = lock_shard(&self.map.shards()[index]);
        if is_sparse(shard.len(), shard.buckets()) {
            let keys = shard.len();
            self.count_move(index);
            shard.shrink_to(keys, |(stored, _)| self.hash(stored));
            let (end, buckets) = (shard.data_end(), shard.buckets());
            self.layouts.update(index, end, buckets);
        }
    }

    /// Returns the number of buckets of all shards, empty or not.
    #[cfg(test)]
    pub(super) fn buckets(&self) -> usize {
        let shards = self.map.shards().iter();
        shards.map(|shard| lock_shard(shard).buckets()).sum()
    }
}

/// How many buckets are scanned under one lock: some 20 us of work. Miri is slow, and is to see more
/// than one part.
const SCANNED_AT_ONCE: usize = if cfg!(miri) { 64 } else { 4_096 };

/// In how many buckets full ones are searched for at a time.
const GROUP: usize = 64;

/// Whether a shard should have fewer buckets: it holds less than a quarter of what it can hold
/// before it grows, which is 7/8 of its buckets.
///
/// Tombstones do not count, so a shard that was full is sparse once its keys are gone. With a quarter,
/// a shard whose number of keys goes up and down loses at least half of them before it moves. The
/// smallest number of buckets in use is 4.
fn is_sparse(keys: usize, buckets: usize) -> bool {
    buckets >= 4 && keys < (buckets / 8 * 7 / 4).max(1)
}

#[cfg(test)]
mod tests {
    use std::hash::{BuildHasherDefault, DefaultHasher};

    use super::*;
    use crate::arith::state::KeyState;

    /// The same in each run: a test here expects more than half of the keys in their first buckets, and
    /// must not depend on a seed.
    type Fixed = BuildHasherDefault<DefaultHasher>;

    fn of(keys: u64) -> Map<u64, KeyState<1>, Fixed> {
        let map = Map::new(2, Fixed::default());
        for key in 0..keys {
            map.upsert(
                map.hash(&key),
                key,
                || ((), true),
                || 0,
                |(), state, _, _| *state = KeyState::spent([key]),
            );
        }
        map
    }

    /// Returns how many keys are where they are prefetched, each with its control byte.
    fn prefetched(map: &Map<u64, KeyState<1>, Fixed>, keys: u64) -> u64 {
        let is_prefetched = |key: &u64| {
            let hash = map.hash(key);
            let index = map.shard(hash);
            let shard = map.map.shards()[index].read();
            let stored = shard.get(hash, |(stored, _)| stored == key).unwrap();
            let (control, entry) = map.layouts.home_slot(index, hash);
            let end = shard.data_end().as_ptr();
            let place = control.addr() - end.addr();
            assert!(place < shard.buckets());
            assert_eq!(entry, end.wrapping_sub(place + 1).cast_const());
            entry == std::ptr::from_ref(stored)
        };
        (0..keys).filter(is_prefetched).count() as u64
    }

    /// Fails if another version of dashmap or hashbrown lays its entries out differently.
    #[test]
    fn most_keys_are_where_they_are_prefetched() {
        assert_eq!(prefetched(&of(1), 1), 1);
        for keys in [5_000, 7_000, 100_000] {
            let map = of(keys);
            // A key finds its first bucket free as often as the table is empty when it is inserted: in
            // at least some 9 of 16 cases, as a table is at most 7/8 full.
            let before = prefetched(&map, keys);
            assert!(before > keys / 2, "{before} of {keys}");

            for shard in 0..map.shards() {
                let mut from = Some(0);
                while let Some(bucket) = from {
                    let keep = |state: &KeyState<1>| state.points()[0] < keys / 5;
                    from = map.scan(shard, bucket, keep, drop, |_| ()).next;
                }
                map.shrink(shard);
            }
            let after = prefetched(&map, keys / 5);
            assert!(after > keys / 10, "{after} of {}", keys / 5);
        }
    }

    /// A table that is scanned in parts, with a shard of more buckets than one scan looks at.
    #[test]
    fn a_scan_in_parts_looks_at_each_entry_once_and_removes_what_is_not_kept() {
        for keys in [0, 1, 3, 3_584, 3_585, 30_000] {
            let map = of(keys);
            let (mut seen, mut taken) = (Vec::new(), Vec::new());
            let mut removed = 0;
            for shard in 0..map.shards() {
                let mut from = Some(0);
                while let Some(bucket) = from {
                    let visited = std::cell::RefCell::new(Vec::new());
                    let keep = |state: &KeyState<1>| {
                        let [key] = state.points();
                        visited.borrow_mut().push(key);
                        key % 3 == 0
                    };
                    let count = |count| removed += count;
                    let scan = map.scan(shard, bucket, keep, |key| taken.push(key), count);
                    assert!(scan.visited <= 4_096, "{}", scan.visited);
                    seen.extend(visited.into_inner());
                    from = scan.next;
                }
            }
            seen.sort_unstable();
            assert_eq!(seen, Vec::from_iter(0..keys));
            taken.sort_unstable();
            let expected = Vec::from_iter((0..keys).filter(|key| key % 3 != 0));
            assert_eq!((removed, &taken), (expected.len(), &expected));
            for key in 0..keys {
                let word = map.update(map.hash(&key), &key, || 0, |state, _| state.points()[0]);
                assert_eq!(word, (key % 3 == 0).then_some(key));
            }
        }
    }

    /// A scan from a bucket that is no longer there, as the shard has shrunk meanwhile, is at the
    /// end.
    #[test]
    fn a_scan_from_behind_the_last_bucket_is_at_the_end() {
        let map = of(10);
        let scan = map.scan(0, 1 << 40, |_| false, drop, |count| assert_eq!(count, 0));
        assert_eq!((scan.visited, scan.next), (0, None));
    }

    /// dashmap declares its `raw-api` unstable. The table relies on the following of it, and of
    /// hashbrown's raw table: the bits below the highest seven choose the shard. The number of buckets is
    /// the smallest power of two that holds the keys with a load of 7/8. Tombstones count as neither.
    #[test]
    fn what_is_relied_on_of_dashmap() {
        let map = Map::<u64, KeyState<1>, Fixed>::new(8, Fixed::default());
        assert_eq!(map.shards(), 8);
        for shard in 0..8_u64 {
            for rest in [0, u64::MAX >> 10, 1 << 63] {
                assert_eq!(map.shard(rest | (shard << 54)) as u64, shard);
            }
        }
        for keys in [1, 3, 4, 7, 8, 14, 15, 28, 29, 3_584, 3_585] {
            let map = Map::<u64, KeyState<1>, Fixed>::new(2, Fixed::default());
            let hash = |key: u64| key & (u64::MAX >> 8);
            for key in 0..keys {
                let shard = &mut *lock_shard(&map.map.shards()[0]);
                let entry = (key, SharedValue::new(KeyState::spent([key])));
                shard.insert(hash(key), entry, |(key, _)| hash(*key));
            }
            let buckets =
                |map: &Map<u64, KeyState<1>, Fixed>| lock_shard(&map.map.shards()[0]).buckets();
            let smallest = |keys: usize| {
                let holds = |buckets: &usize| (buckets - buckets.div_ceil(8)) >= keys;
                (2..).map(|power| 1 << power).find(holds).unwrap()
            };
            assert_eq!(buckets(&map), smallest(keys as usize), "{keys} keys");
            let mut shard = lock_shard(&map.map.shards()[0]);
            let left = keys / 5;
            for key in left..keys {
                assert!(
                    shard
                        .remove_entry(hash(key), |(stored, _)| *stored == key)
                        .is_some()
                );
            }
            assert_eq!(shard.len() as u64, left);
            assert_eq!(shard.buckets(), smallest(keys as usize));
            let left_keys = shard.len();
            shard.shrink_to(left_keys, |(key, _)| hash(*key));
            let expected = if left == 0 {
                1
            } else {
                smallest(left as usize)
            };
            assert_eq!(shard.buckets(), expected, "{left} of {keys} keys");
        }
    }

    /// As the documentation of `Builder::shards` says.
    #[cfg(target_arch = "x86_64")]
    #[test]
    fn a_shard_takes_152_bytes() {
        let map = Map::<u64, KeyState<1>, Fixed>::new(2, Fixed::default());
        let shard = size_of_val(&map.map.shards()[0]);
        let layout = size_of::<crate::store::prefetch::ShardLayout<Entry<u64, KeyState<1>>>>();
        let count = size_of::<crate::sync::AtomicUsize>();
        assert_eq!(shard + layout + count, 152);
    }

    #[test]
    fn a_shard_is_sparse_below_a_quarter_of_what_it_holds() {
        assert!(!is_sparse(0, 1), "no memory to give back");
        for (buckets, fewest) in [(4, 1), (8, 1), (16, 3), (4_096, 896), (1 << 40, 7 << 35)] {
            assert!(is_sparse(fewest - 1, buckets));
            assert!(!is_sparse(fewest, buckets), "{fewest} of {buckets}");
        }
    }
}
