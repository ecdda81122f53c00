//! The cache behind a thread's memory: set-associative, and no larger than need be.

use std::{any::Any, borrow::Borrow};

/// How many keys fit in a set.
const WAYS: usize = 4;

/// The first and the greatest number of sets: 16 and 2,048 keys. A thousand refused keys fit, and
/// stay in a cache that is near. For many more the table is as fast.
const FIRST_SETS: usize = 4;
const MOST_SETS: usize = 512;

/// Once a set is full and there can be no more of them, a key takes another's place at every
/// so-manieth miss only. Under a flood of more keys than fit, nearly all copies would be in vain.
const PATIENCE: u32 = 16;

/// After so many misses on end the cache is as good as none, and only looked into as often as that:
/// a key that is refused time and again is found soon enough, and others do not pay for looking.
const DOUBT: u32 = 256;

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
    is_crowded: bool,
    /// How many keys were asked for since one was found.
    misses: u32,
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
    pub(super) fn forget(self) {
        *self.tag = EMPTY;
    }
}

impl Set {
    const UNUSED: Set = Set {
        tags: [EMPTY; WAYS],
        entries: [NOWHERE; WAYS],
    };

    /// A bit for each way that has the tag: without a branch, as which one it is cannot be foreseen.
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
            is_crowded: false,
            misses: 0,
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

    /// Whether the next key is to be looked for. To be asked before each.
    #[inline]
    pub(super) fn is_of_use(&mut self) -> bool {
        self.misses = self.misses.wrapping_add(1);
        self.misses < DOUBT || self.misses.is_multiple_of(PATIENCE)
    }

    /// Whether a key that was not found is to be stored.
    #[inline]
    pub(super) fn is_wanting(&self) -> bool {
        !self.is_crowded || self.misses.is_multiple_of(PATIENCE)
    }

    /// Stores a key that [`find`](Cache::find) has not found. (Should it be there after all, its
    /// older words are of as little use as ever.)
    pub(super) fn store<K, Q, const N: usize>(&mut self, hash: u64, key: &Q, words: [u64; N])
    where
        K: Borrow<Q> + 'static,
        Q: ToOwned<Owned = K> + ?Sized,
    {
        let wanted = tag(hash);
        let way = self.room(wanted);
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
    fn room(&mut self, wanted: u32) -> usize {
        loop {
            let set = place(wanted, self.sets.len());
            let free = self.sets[set].ways(EMPTY);
            self.is_crowded = free == 0;
            if free != 0 {
                return free.trailing_zeros() as usize;
            }
            if self.sets.len() == MOST_SETS {
                return (self.misses / PATIENCE) as usize % WAYS;
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
#[expect(clippy::cast_possible_truncation, reason = "half of 64 bits")]
#[inline]
fn tag(hash: u64) -> u32 {
    ((hash >> 32) as u32).max(1)
}

/// Which of `sets` a key with that tag is in.
#[inline]
fn place(tag: u32, sets: usize) -> usize {
    tag as usize & (sets - 1)
}
