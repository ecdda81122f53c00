//! The cache of one thread and one limiter: set-associative, and it grows with its keys.
//!
//! `docs/architecture.md` has what else was tried.

use std::{borrow::Borrow, num::NonZeroU32};

/// How many slots a set has. A key takes any of one set.
const WAYS: usize = 4;

/// The smallest and the largest number of slots.
///
/// Of 1,000 denied keys, 998 find a slot then, and 880 their home. Only a hit at home has no mispredicted
/// branch. In a flood of far more keys, the table is as fast as a larger cache.
const FIRST_SLOTS: usize = 16;
const MAX_SLOTS: usize = 4_096;

/// Once the cache is full, 1 in 16 new keys replaces an entry. In a flood of more keys than fit,
/// nearly all copies would be useless. And after many misses in a row, 1 in 16 checks probes the cache.
const SAMPLE_ONE_IN: u32 = 16;

/// After how many misses in a row. A key that is denied often is found soon enough, and other keys do not
/// pay for the probe.
const MISSES_BEFORE_SAMPLING: u32 = 256;

/// The tag of an entry that was removed. No key has it, as those of keys are odd.
const REMOVED: NonZeroU32 = NonZeroU32::MIN.saturating_add(1);

/// Keys and their states.
pub(super) struct Cache<K, T> {
    /// A power of two of slots, in sets of [`WAYS`].
    slots: Vec<Option<Entry<K, T>>>,
    /// Whether the last new key found its set full.
    is_full: bool,
    /// How many lookups in a row were misses.
    misses: u32,
    /// How many keys were missed while it was full.
    skipped_inserts: u32,
}

/// An entry that is removed keeps its memory, which the next key uses.
pub(super) struct Entry<K, T> {
    /// Part of the key's hash, or [`REMOVED`].
    tag: NonZeroU32,
    /// The epoch of the key, read before the state.
    pub(super) epoch: u64,
    pub(super) state: T,
    key: K,
}

/// The result of a [`lookup`](Cache::lookup).
pub(crate) enum Lookup<R> {
    /// What was made of the cached state.
    Hit(R),
    /// Nothing usable is cached. The state that the table has should be inserted or not, if it is
    /// exhausted.
    Miss { should_insert: bool },
}

impl<K, T> Cache<K, T> {
    pub(super) fn new() -> Cache<K, T> {
        Cache::with_slots(FIRST_SLOTS)
    }

    fn with_slots(slots: usize) -> Cache<K, T> {
        Cache {
            slots: (0..slots).map(|_| None).collect(),
            is_full: false,
            misses: 0,
            skipped_inserts: 0,
        }
    }

    /// Looks `key` up. Its entry is removed if `evaluate` returns `None`, as it is of no use.
    #[inline]
    pub(super) fn lookup<Q, R>(
        &mut self,
        hash: u64,
        key: &Q,
        evaluate: impl FnOnce(&Entry<K, T>) -> Option<R>,
    ) -> Lookup<R>
    where
        K: Borrow<Q>,
        Q: Eq + ?Sized,
    {
        if self.misses >= MISSES_BEFORE_SAMPLING && !is_sampled(self.misses) {
            self.misses = self.misses.wrapping_add(1);
            return Lookup::Miss {
                should_insert: false,
            };
        }
        let tag = tag(hash);
        let is_of_key = |index: &usize| match &self.slots[*index] {
            Some(entry) => entry.tag == tag && entry.key.borrow() == key,
            None => false,
        };
        let found = set(tag, self.slots.len()).find(is_of_key);
        let Some(entry) = found.and_then(|index| self.slots[index].as_mut()) else {
            let should_insert = self.should_insert_new();
            return Lookup::Miss { should_insert };
        };
        self.misses = 0;
        match evaluate(entry) {
            Some(result) => Lookup::Hit(result),
            None => {
                entry.tag = REMOVED;
                Lookup::Miss {
                    should_insert: true,
                }
            }
        }
    }

    /// Counts a miss, and returns whether the key should be inserted.
    fn should_insert_new(&mut self) -> bool {
        self.misses = self.misses.wrapping_add(1);
        if !self.is_full {
            return true;
        }
        self.skipped_inserts = self.skipped_inserts.wrapping_add(1);
        // Then few lookups probe, and these are as few as should be inserted.
        self.misses >= MISSES_BEFORE_SAMPLING || is_sampled(self.skipped_inserts)
    }

    /// Inserts a key that a [`lookup`](Cache::lookup) has not found. (If it is there after all, its
    /// older state does no harm.)
    pub(super) fn insert<Q>(&mut self, hash: u64, key: &Q, state: T, epoch: u64)
    where
        K: Borrow<Q>,
        Q: ToOwned<Owned = K> + ?Sized,
    {
        let tag = tag(hash);
        let index = self.choose_slot(tag);
        match &mut self.slots[index] {
            Some(entry) => {
                // Removed until the key is copied, which may panic.
                entry.tag = REMOVED;
                key.clone_into(&mut entry.key);
                (entry.epoch, entry.state, entry.tag) = (epoch, state, tag);
            }
            unused => {
                let key = key.to_owned();
                *unused = Some(Entry {
                    tag,
                    epoch,
                    state,
                    key,
                });
            }
        }
    }

    /// Returns the slot for a new key: the first free one of its set, or else any.
    fn choose_slot(&mut self, tag: NonZeroU32) -> usize {
        loop {
            let slots = self.slots.len();
            let is_free = |index: &usize| match &self.slots[*index] {
                Some(entry) => entry.tag == REMOVED,
                None => true,
            };
            let free = set(tag, slots).find(is_free);
            self.is_full = free.is_none();
            if let Some(index) = free {
                return index;
            }
            if slots == MAX_SLOTS {
                return home(tag, slots) ^ (self.skipped_inserts as usize % WAYS);
            }
            // Its keys come back when they are next denied.
            *self = Cache::with_slots(2 * slots);
        }
    }
}

/// Returns half of a hash, made odd.
#[inline]
fn tag(hash: u64) -> NonZeroU32 {
    NonZeroU32::MIN | (hash >> 32) as u32
}

/// Returns the slot at which a tag is looked up first.
#[inline]
fn home(tag: NonZeroU32, slots: usize) -> usize {
    (tag.get() >> 1) as usize & (slots - 1)
}

/// Returns the slots of a tag's set, from its home on.
#[inline]
fn set(tag: NonZeroU32, slots: usize) -> impl Iterator<Item = usize> {
    let home = home(tag, slots);
    (0..WAYS).map(move |way| home ^ way)
}

/// Whether a count is sampled: one in [`SAMPLE_ONE_IN`], in no pattern that callers could fall in step
/// with. These are the high bits of multiples of 2^32 over the golden ratio.
#[inline]
fn is_sampled(count: u32) -> bool {
    count.wrapping_mul(0x9e37_79b1) < u32::MAX / SAMPLE_ONE_IN
}

#[cfg(all(test, not(tollgate_loom)))]
mod tests {
    use std::collections::HashMap;
    use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

    use super::*;
    use crate::arith::state::KeyState;

    /// A hash without a pattern. SplitMix64.
    fn hash(key: u64) -> u64 {
        let mut mixed = key.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// Looks a key up as a thread does, and inserts it if it should be.
    fn found(cache: &mut Cache<u64, KeyState<1>>, key: u64) -> bool {
        match cache.lookup(hash(key), &key, |_| Some(())) {
            Lookup::Hit(()) => true,
            Lookup::Miss { should_insert } => {
                if should_insert {
                    cache.insert(hash(key), &key, KeyState::spent([key]), 0);
                }
                false
            }
        }
    }

    /// As the documentation of the limiter says.
    #[cfg(target_pointer_width = "64")]
    #[test]
    fn a_cache_takes_up_to_128_kib_for_numbers_and_192_kib_for_strings() {
        const KIB: usize = 1_024;
        assert_eq!(
            MAX_SLOTS * size_of::<Option<Entry<u64, KeyState<1>>>>(),
            128 * KIB
        );
        assert_eq!(
            MAX_SLOTS * size_of::<Option<Entry<String, KeyState<1>>>>(),
            192 * KIB
        );
        assert!(size_of::<Cache<u64, KeyState<1>>>() + FIRST_SLOTS * 32 <= KIB);
    }

    #[test]
    fn a_thousand_keys_are_found_again() {
        let mut cache = Cache::new();
        for _ in 0..20 {
            (0..1_000).for_each(|key| {
                found(&mut cache, key);
            });
        }
        let found = (0..1_000).filter(|&key| found(&mut cache, key)).count();
        assert!(found > 985, "{found}");
        assert_eq!(cache.slots.len(), MAX_SLOTS);
    }

    /// More keys than fit do not drive each other out.
    #[test]
    fn of_more_keys_than_fit_most_slots_are_found_again() {
        let mut cache = Cache::new();
        let mut round = || (0..8_000).filter(|&key| found(&mut cache, key)).count();
        let found = (0..40).map(|_| round()).max().unwrap();
        assert!(found > 3_500, "{found}");
    }

    /// With few keys it is small.
    #[test]
    fn it_stays_small_with_few_keys() {
        let mut cache = Cache::new();
        for key in 0..4 {
            found(&mut cache, key);
            assert!((0..=key).all(|key| found(&mut cache, key)));
        }
        assert_eq!(cache.slots.len(), FIRST_SLOTS);
    }

    /// One key that is denied over and over, among many that never come again.
    #[test]
    fn a_key_is_found_again_after_a_flood_of_others() {
        let mut cache = Cache::new();
        (1..100_000).for_each(|key| {
            found(&mut cache, key);
        });
        let tries = (1..).find(|_| found(&mut cache, 0)).unwrap();
        assert!(tries <= 3 * SAMPLE_ONE_IN, "{tries}");
        assert!((0..1_000).all(|_| found(&mut cache, 0)));
    }

    /// A key that is checked by turns with one that is never denied.
    #[test]
    fn a_key_that_comes_at_every_nth_check_is_found() {
        for period in 2..40 {
            for phase in 0..period {
                let mut cache = Cache::new();
                (1_000..100_000).for_each(|key| {
                    found(&mut cache, key);
                });
                let hit = (0..100_000).find(|step| {
                    if step % period == phase {
                        return found(&mut cache, 0);
                    }
                    let other = cache.lookup(hash(1), &1, |_| Some(()));
                    assert!(matches!(other, Lookup::Miss { .. }));
                    false
                });
                assert!(
                    hit.is_some_and(|hit| hit < 10_000),
                    "{phase} of {period}: {hit:?}"
                );
            }
        }
    }

    /// A key that is copied in part before its copy panics.
    #[derive(PartialEq, Eq)]
    struct Half(u64);

    impl Clone for Half {
        fn clone(&self) -> Half {
            Half(self.0)
        }

        fn clone_from(&mut self, source: &Half) {
            self.0 = source.0;
            resume_unwind(Box::new("the copy panics"));
        }
    }

    #[test]
    fn a_key_whose_copy_panics_is_not_found() {
        let mut cache = Cache::<Half, KeyState<1>>::new();
        let mut insert = |key: &Half| {
            let insert = || cache.insert(0, key, KeyState::spent([0]), 0);
            catch_unwind(AssertUnwindSafe(insert)).is_err()
        };
        let key = (0..1_000).map(Half).find(|key| insert(key)).unwrap();
        let found = cache.lookup(0, &key, |_| Some(()));
        assert!(matches!(found, Lookup::Miss { .. }));
    }

    /// With any hashes: few that all keys share, and hashes that differ in one half only.
    #[test]
    fn what_is_found_is_what_was_inserted_last() {
        let hashes: [fn(u64) -> u64; 4] = [hash, |_| 0, |key| key % 3, |key| key << 32];
        for hash in hashes {
            let mut cache = Cache::<u64, KeyState<2>>::new();
            let mut inserted: HashMap<u64, u64> = HashMap::new();
            let mut hits = 0;
            for step in 0..1_000_000 {
                let key = super::tests::hash(step) % 5_000;
                let is_removed = step % 5 == 0;
                let hit = cache.lookup(hash(key), &key, |entry| {
                    hits += 1;
                    let step = inserted[&key];
                    assert_eq!(entry.state.points(), [key, step]);
                    assert_eq!(entry.epoch, step);
                    (!is_removed).then_some(())
                });
                if !matches!(
                    hit,
                    Lookup::Miss {
                        should_insert: true
                    }
                ) {
                    continue;
                }
                let again = cache.lookup(hash(key), &key, |_| Some(()));
                assert!(matches!(again, Lookup::Miss { .. }));
                cache.insert(hash(key), &key, KeyState::spent([key, step]), step);
                inserted.insert(key, step);
            }
            assert!(hits > 50, "{hits}");
            assert!(cache.slots.len() <= MAX_SLOTS);
        }
    }
}
