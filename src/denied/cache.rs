//! The cache of one thread and one limiter: set-associative, and it grows with its keys.

use std::{any::Any, borrow::Borrow};

use crate::arith::state::KeyState;

/// How many keys a set holds.
const WAYS: usize = 4;

/// The smallest and the largest number of sets, for 16 and 2,048 keys. A thousand denied keys fit,
/// and stay in a near cache of the processor. For many more the table is as fast.
const FIRST_SETS: usize = 4;
const MAX_SETS: usize = 512;

/// Once the cache is full, 1 in 16 new keys replaces an entry. In a flood of more keys than fit,
/// nearly all copies would be useless.
const REPLACE_ONE_IN: u32 = 16;

/// After 256 misses in a row, only 1 in 16 checks ([`REPLACE_ONE_IN`]) probes the cache. A key that is
/// denied often is found soon enough, and other keys do not pay for the probe.
const MISSES_BEFORE_SAMPLING: u32 = 256;

/// The tag of a way without a key.
const EMPTY: u32 = 0;

/// The index of a way that never had an entry.
const NOWHERE: u32 = u32::MAX;

/// Keys and their states, of one epoch.
pub(super) struct Cache {
    pub(super) epoch: u64,
    /// A power of two of sets. Apart from the entries, so that a miss reads few bytes.
    sets: Vec<Set>,
    /// The [`Entries`] of one type of keys. A `thread_local` cannot be generic, so the type is erased.
    entries: Box<dyn Any>,
    /// Whether the last new key found its set full.
    is_full: bool,
    /// How many lookups there were since the last hit.
    misses: u32,
    /// How many keys were missed while it was full.
    skipped_inserts: u32,
}

type Entries<K, const N: usize> = Vec<Entry<K, N>>;

/// Room for [`WAYS`] keys.
#[derive(Clone)]
struct Set {
    /// Half of each key's hash, or [`EMPTY`].
    tags: [u32; WAYS],
    /// The index of each entry, or [`NOWHERE`]. A way that is emptied keeps its entry for reuse.
    entries: [u32; WAYS],
}

struct Entry<K, const N: usize> {
    key: K,
    state: KeyState<N>,
}

/// The result of [`find`](Cache::find).
pub(super) struct Hit<'a, const N: usize> {
    tag: &'a mut u32,
    pub(super) state: &'a KeyState<N>,
}

impl<const N: usize> Hit<'_, N> {
    pub(super) fn clear(self) {
        *self.tag = EMPTY;
    }
}

impl Set {
    const UNUSED: Set = Set {
        tags: [EMPTY; WAYS],
        entries: [NOWHERE; WAYS],
    };

    /// Returns a bit for each way that has the tag. Without a branch, as it could not be predicted.
    #[inline]
    fn ways(&self, tag: u32) -> u32 {
        let bit = |way: usize| u32::from(self.tags[way] == tag) << way;
        bit(0) | bit(1) | bit(2) | bit(3)
    }
}

impl Cache {
    pub(super) fn new<K: 'static, const N: usize>(epoch: u64) -> Cache {
        Cache {
            epoch,
            sets: vec![Set::UNUSED; FIRST_SETS],
            entries: Box::new(Entries::<K, N>::new()),
            is_full: false,
            misses: 0,
            skipped_inserts: 0,
        }
    }

    #[inline]
    pub(super) fn find<K, Q, const N: usize>(&mut self, hash: u64, key: &Q) -> Option<Hit<'_, N>>
    where
        K: Borrow<Q> + 'static,
        Q: Eq + ?Sized,
    {
        let wanted = tag(hash);
        let set = place(wanted, self.sets.len());
        let set = &mut self.sets[set];
        let mut ways = set.ways(wanted);
        if ways == 0 {
            return None;
        }
        let entries: &Entries<K, N> = self.entries.downcast_ref()?;
        while ways != 0 {
            let way = ways.trailing_zeros() as usize % WAYS;
            let entry = entries.get(set.entries[way] as usize)?;
            if entry.key.borrow() == key {
                self.misses = 0;
                return Some(Hit {
                    tag: &mut set.tags[way],
                    state: &entry.state,
                });
            }
            ways &= ways - 1;
        }
        None
    }

    /// Counts a lookup, and returns whether it should probe the cache.
    #[inline]
    pub(super) fn should_probe(&mut self) -> bool {
        self.misses = self.misses.wrapping_add(1);
        self.misses < MISSES_BEFORE_SAMPLING || is_sampled(self.misses)
    }

    /// Counts a miss, and returns whether the key should be inserted.
    #[inline]
    pub(super) fn should_insert_new(&mut self) -> bool {
        if !self.is_full {
            return true;
        }
        self.skipped_inserts = self.skipped_inserts.wrapping_add(1);
        // Then few lookups probe, and these are as few as should be inserted.
        self.misses >= MISSES_BEFORE_SAMPLING || is_sampled(self.skipped_inserts)
    }

    /// Inserts a key that [`find`](Cache::find) has not found. (If it is there after all, its older
    /// state does no harm.)
    pub(super) fn store<K, Q, const N: usize>(&mut self, hash: u64, key: &Q, state: KeyState<N>)
    where
        K: Borrow<Q> + 'static,
        Q: ToOwned<Owned = K> + ?Sized,
    {
        let wanted = tag(hash);
        let way = self.choose_way(wanted);
        let Some(stored) = self.entries.downcast_mut::<Entries<K, N>>() else {
            return;
        };
        let set = place(wanted, self.sets.len());
        let Set { tags, entries } = &mut self.sets[set];
        // Emptied until the key is copied, which may panic.
        tags[way] = EMPTY;
        match stored.get_mut(entries[way] as usize) {
            Some(entry) => {
                key.clone_into(&mut entry.key);
                entry.state = state;
            }
            None => {
                let key = key.to_owned();
                // At most as many entries as ways.
                entries[way] = u32::try_from(stored.len()).unwrap_or(NOWHERE);
                stored.push(Entry { key, state });
            }
        }
        tags[way] = wanted;
    }

    /// Returns the way for a new key: a free one, or else any.
    fn choose_way(&mut self, wanted: u32) -> usize {
        loop {
            let set = place(wanted, self.sets.len());
            let free = self.sets[set].ways(EMPTY);
            self.is_full = free == 0;
            if free != 0 {
                return free.trailing_zeros() as usize;
            }
            if self.sets.len() == MAX_SETS {
                return self.skipped_inserts as usize % WAYS;
            }
            self.grow();
        }
    }

    /// Doubles the sets. The ways of a set go to one of two sets, so there is room for each.
    fn grow(&mut self) {
        let count = 2 * self.sets.len();
        let mut sets = vec![Set::UNUSED; count];
        for (from, set) in self.sets.iter().enumerate() {
            for (way, tag) in set.tags.into_iter().enumerate() {
                let to = if tag == EMPTY {
                    from
                } else {
                    place(tag, count)
                };
                (sets[to].tags[way], sets[to].entries[way]) = (tag, set.entries[way]);
            }
        }
        self.sets = sets;
    }
}

/// Returns half of a hash, and never [`EMPTY`].
#[inline]
fn tag(hash: u64) -> u32 {
    ((hash >> 32) as u32).max(1)
}

/// Whether a count is sampled: one in [`REPLACE_ONE_IN`], in no pattern that callers could fall in step
/// with. These are the high bits of multiples of 2^32 over the golden ratio.
#[inline]
fn is_sampled(count: u32) -> bool {
    count.wrapping_mul(0x9e37_79b1) < u32::MAX / REPLACE_ONE_IN
}

/// Returns the index of the set of a tag.
#[inline]
fn place(tag: u32, sets: usize) -> usize {
    tag as usize & (sets - 1)
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    /// A hash without a pattern. SplitMix64.
    fn hash(key: u64) -> u64 {
        let mut mixed = key.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// Looks a key up as a thread does, and inserts it if it should be.
    fn found(cache: &mut Cache, key: u64) -> bool {
        if !cache.should_probe() {
            return false;
        }
        if cache.find::<u64, u64, 1>(hash(key), &key).is_some() {
            return true;
        }
        if cache.should_insert_new() {
            cache.store(hash(key), &key, KeyState::spent([key]));
        }
        false
    }

    #[test]
    fn a_thousand_keys_are_found_again() {
        let mut cache = Cache::new::<u64, 1>(0);
        for _ in 0..20 {
            (0..1_000).for_each(|key| {
                found(&mut cache, key);
            });
        }
        let found = (0..1_000).filter(|&key| found(&mut cache, key)).count();
        assert!(found > 900, "{found}");
        assert_eq!(cache.sets.len(), MAX_SETS);
    }

    /// With few keys it is small.
    #[test]
    fn it_stays_small_with_few_keys() {
        let mut cache = Cache::new::<u64, 1>(0);
        for key in 0..4 {
            found(&mut cache, key);
            assert!((0..=key).all(|key| found(&mut cache, key)));
        }
        assert_eq!(cache.sets.len(), FIRST_SETS);
    }

    /// One key that is denied over and over, among many that never come again.
    #[test]
    fn a_key_is_found_again_after_a_flood_of_others() {
        let mut cache = Cache::new::<u64, 1>(0);
        (1..100_000).for_each(|key| {
            found(&mut cache, key);
        });
        let tries = (1..).find(|_| found(&mut cache, 0)).unwrap();
        assert!(tries <= 3 * REPLACE_ONE_IN, "{tries}");
        assert!((0..1_000).all(|_| found(&mut cache, 0)));
    }

    /// A key that is checked by turns with one that is never denied.
    #[test]
    fn a_key_that_comes_at_every_nth_check_is_found() {
        for period in 2..40 {
            for phase in 0..period {
                let mut cache = Cache::new::<u64, 1>(0);
                (1_000..100_000).for_each(|key| {
                    found(&mut cache, key);
                });
                let hit = (0..100_000).find(|step| {
                    if step % period == phase {
                        return found(&mut cache, 0);
                    }
                    if cache.should_probe() {
                        assert!(cache.find::<u64, u64, 1>(hash(1), &1).is_none());
                        cache.should_insert_new();
                    }
                    false
                });
                assert!(
                    hit.is_some_and(|hit| hit < 10_000),
                    "{phase} of {period}: {hit:?}"
                );
            }
        }
    }

    /// With any hashes: few that all keys share, and hashes that differ in one half only.
    #[test]
    fn what_is_found_is_what_was_stored_last() {
        let hashes: [fn(u64) -> u64; 4] = [hash, |_| 0, |key| key % 3, |key| key << 32];
        for hash in hashes {
            let mut cache = Cache::new::<u64, 2>(0);
            let mut stored: HashMap<u64, KeyState<2>> = HashMap::new();
            let mut hits = 0;
            for step in 0..200_000 {
                let key = super::tests::hash(step) % 5_000;
                match cache.find::<u64, u64, 2>(hash(key), &key) {
                    Some(hit) => {
                        assert_eq!(Some(hit.state), stored.get(&key), "{key}");
                        hits += 1;
                        if step % 5 == 0 {
                            hit.clear();
                            assert!(cache.find::<u64, u64, 2>(hash(key), &key).is_none());
                        }
                    }
                    None => {
                        cache.store(hash(key), &key, KeyState::spent([key, step]));
                        stored.insert(key, KeyState::spent([key, step]));
                    }
                }
            }
            assert!(hits > 50, "{hits}");
            assert!(cache.sets.len() <= MAX_SETS);
            let entries = cache.entries.downcast_ref::<Entries<u64, 2>>().unwrap();
            assert!(
                entries.len() <= cache.sets.len() * WAYS,
                "{}",
                entries.len()
            );
        }
    }
}
