//! The cache behind a thread's memory: set-associative, and no larger than need be.

use std::{any::Any, borrow::Borrow};

/// How many keys fit in a set.
const WAYS: usize = 4;

/// The first and the greatest number of sets: 16 and 2,048 keys. A thousand refused keys fit, and
/// stay in a cache that is near. For many more the table is as fast.
const FIRST_SETS: usize = 4;
const MAX_SETS: usize = 512;

/// Once a set is full and there can be no more of them, one in so many newcomers takes another's
/// place. Under a flood of more keys than fit, nearly all copies would be in vain.
const REPLACE_ONE_IN: u32 = 16;

/// After so many misses on end the cache is as good as none, and only looked into as often as that:
/// a key that is refused time and again is found soon enough, and others do not pay for looking.
const MISSES_BEFORE_SAMPLING: u32 = 256;

/// No key's tag.
const EMPTY: u32 = 0;

/// No entry's index.
const NOWHERE: u32 = u32::MAX;

/// Keys and words, of one epoch.
pub(super) struct Cache {
    pub(super) epoch: u64,
    /// A power of two of sets. Apart from the entries, so that a key that is not there costs one
    /// look at few bytes.
    sets: Vec<Set>,
    /// The [`Entries`] of one type of keys, of which what has one in a static can know nothing.
    entries: Box<dyn Any>,
    /// Whether the last newcomer found its set full.
    is_full: bool,
    /// How many keys were asked for since one was found.
    misses: u32,
    /// How many keys were not found while it was crowded.
    skipped_inserts: u32,
}

type Entries<K, const N: usize> = Vec<Entry<K, N>>;

/// The keys that one place in the cache has room for.
#[derive(Clone)]
struct Set {
    /// Half of each key's hash, or [`EMPTY`].
    tags: [u32; WAYS],
    /// Where its entry is, or [`NOWHERE`]. A way keeps its entry when it is emptied.
    entries: [u32; WAYS],
}

struct Entry<K, const N: usize> {
    key: K,
    words: [u64; N],
}

/// What [`find`](Cache::find) found.
pub(super) struct Hit<'a, const N: usize> {
    tag: &'a mut u32,
    pub(super) words: &'a [u64; N],
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

    /// A bit for each way that has the tag: without a branch, as which one it is cannot be
    /// foreseen.
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
                    words: &entry.words,
                });
            }
            ways &= ways - 1;
        }
        None
    }

    /// Whether the next key is to be looked for. To be asked once for each.
    #[inline]
    pub(super) fn should_probe(&mut self) -> bool {
        self.misses = self.misses.wrapping_add(1);
        self.misses < MISSES_BEFORE_SAMPLING || is_sampled(self.misses)
    }

    /// Whether a key that was not found is to be stored. To be asked once for each.
    #[inline]
    pub(super) fn should_insert_new(&mut self) -> bool {
        if !self.is_full {
            return true;
        }
        self.skipped_inserts = self.skipped_inserts.wrapping_add(1);
        // In doubt few are looked for, and these are as few as are to be stored.
        self.misses >= MISSES_BEFORE_SAMPLING || is_sampled(self.skipped_inserts)
    }

    /// Stores a key that [`find`](Cache::find) has not found. (Should it be there after all, its
    /// older words are of as little use as ever.)
    pub(super) fn store<K, Q, const N: usize>(&mut self, hash: u64, key: &Q, words: [u64; N])
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
        // Of no use until the key is copied, which may panic.
        tags[way] = EMPTY;
        match stored.get_mut(entries[way] as usize) {
            Some(entry) => {
                key.clone_into(&mut entry.key);
                entry.words = words;
            }
            None => {
                let key = key.to_owned();
                // At most as many as there are ways.
                entries[way] = u32::try_from(stored.len()).unwrap_or(NOWHERE);
                stored.push(Entry { key, words });
            }
        }
        tags[way] = wanted;
    }

    /// Which way a newcomer takes: a free one, or else any.
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

    /// Doubles the sets. The ways of one are then in one of two, so there is room for each.
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

/// Half of a hash, and never [`EMPTY`].
#[inline]
fn tag(hash: u64) -> u32 {
    ((hash >> 32) as u32).max(1)
}

/// One in [`REPLACE_ONE_IN`] of the numbers that a count goes through, in no pattern that those who are
/// counted could keep step with: the high bits of multiples of 2^32 over the golden ratio.
#[inline]
fn is_sampled(count: u32) -> bool {
    count.wrapping_mul(0x9e37_79b1) < u32::MAX / REPLACE_ONE_IN
}

/// Which of `sets` a key with that tag is in.
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

    /// As a thread asks: looks for the key, and stores it if that is wanted.
    fn found(cache: &mut Cache, key: u64) -> bool {
        if !cache.should_probe() {
            return false;
        }
        if cache.find::<u64, u64, 1>(hash(key), &key).is_some() {
            return true;
        }
        if cache.should_insert_new() {
            cache.store(hash(key), &key, [key]);
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

    /// As long as there are few keys, it is small.
    #[test]
    fn it_is_no_larger_than_need_be() {
        let mut cache = Cache::new::<u64, 1>(0);
        for key in 0..4 {
            found(&mut cache, key);
            assert!((0..=key).all(|key| found(&mut cache, key)));
        }
        assert_eq!(cache.sets.len(), FIRST_SETS);
    }

    /// One key that is asked for over and over, among many that never come again.
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

    /// A key that is asked for by turns with one that is never refused.
    #[test]
    fn a_key_that_comes_at_every_so_manieth_check_is_found() {
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

    /// With whatever hashes: a few that all keys share, and such as differ in one half only.
    #[test]
    fn what_is_found_is_what_was_stored_last() {
        let hashes: [fn(u64) -> u64; 4] = [hash, |_| 0, |key| key % 3, |key| key << 32];
        for hash in hashes {
            let mut cache = Cache::new::<u64, 2>(0);
            let mut stored: HashMap<u64, [u64; 2]> = HashMap::new();
            let mut hits = 0;
            for step in 0..200_000 {
                let key = super::tests::hash(step) % 5_000;
                match cache.find::<u64, u64, 2>(hash(key), &key) {
                    Some(hit) => {
                        assert_eq!(Some(hit.words), stored.get(&key), "{key}");
                        hits += 1;
                        if step % 5 == 0 {
                            hit.clear();
                            assert!(cache.find::<u64, u64, 2>(hash(key), &key).is_none());
                        }
                    }
                    None => {
                        cache.store(hash(key), &key, [key, step]);
                        stored.insert(key, [key, step]);
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
