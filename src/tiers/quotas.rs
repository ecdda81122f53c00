//! The quotas of a limiter, by the number that stands beside the buckets of its keys.
//!
//! A number is read under the lock of the shard whose key has it, or by a tier that uses it. It is
//! given to another quota only once no key has it and no tier uses it ([`registry`](super::registry)).
//! A thread that read the number under a shard's lock released the lock before the sweep took it. The
//! sweep did not meet the number, and ended before the number was reused. So relaxed loads see the
//! right quota.

use std::array;

use crate::arith::bucket::Bucket;
use crate::arith::scale::{Axis, Scale};
use crate::arith::state::{NO_QUOTA, QuotaId};
use crate::sync::{AtomicU64, OnceLock, Ordering};

/// A bucket in words, each of which may be read at any time. Those that decide a check come first.
pub(super) struct SharedBucket([AtomicU64; 9]);

impl SharedBucket {
    pub(super) fn new(bucket: Bucket) -> SharedBucket {
        SharedBucket(words(&bucket).map(AtomicU64::new))
    }

    #[inline]
    pub(super) fn load(&self) -> Bucket {
        let mut bucket = self.load_for_check();
        let for_view = self.load_for_view();
        bucket.axis.scale = for_view.axis.scale;
        bucket.times = for_view.times;
        bucket
    }

    /// Loads what a [view](Bucket::view) has of the bucket.
    #[inline]
    pub(super) fn load_for_view(&self) -> Bucket {
        let [steps_per_unit, _, _, _, burst, _, units, period, times] = &self.0;
        let load = |word: &AtomicU64| word.load(Ordering::Relaxed);
        let mut bucket = Bucket::ABSENT;
        bucket.axis.scale = Scale {
            steps_per_unit: load(steps_per_unit),
            units: load(units),
            period: load(period),
        };
        bucket.burst = load(burst);
        bucket.times = load(times);
        bucket
    }

    /// Loads what decides a check. The rate, which has to be known to tell the numbers of a decision, is
    /// left out.
    #[inline]
    pub(super) fn load_for_check(&self) -> Bucket {
        let words = self.0.each_ref();
        let [steps_per_unit, whole, high, low, burst, depth, ..] = words;
        let load = |word: &AtomicU64| word.load(Ordering::Relaxed);
        Bucket {
            axis: Axis {
                scale: Scale {
                    steps_per_unit: load(steps_per_unit),
                    units: 0,
                    period: 0,
                },
                whole: load(whole),
                fraction_high: load(high),
                fraction_low: load(low),
            },
            burst: load(burst),
            times: 0,
            depth: load(depth),
        }
    }

    /// Loads the burst, in units.
    #[inline]
    pub(super) fn burst(&self) -> u64 {
        let [_, _, _, _, burst, ..] = &self.0;
        burst.load(Ordering::Relaxed)
    }

    /// Stores the words that change. (The model checker tries each as it was and as it is.)
    pub(super) fn store(&self, bucket: Bucket) {
        for (shared, word) in self.0.iter().zip(words(&bucket)) {
            if shared.load(Ordering::Relaxed) != word {
                shared.store(word, Ordering::Relaxed);
            }
        }
    }
}

fn words(bucket: &Bucket) -> [u64; 9] {
    let Bucket {
        axis,
        burst,
        times,
        depth,
    } = *bucket;
    let Axis {
        scale,
        whole,
        fraction_high,
        fraction_low,
    } = axis;
    [
        scale.steps_per_unit,
        whole,
        fraction_high,
        fraction_low,
        burst,
        depth,
        scale.units,
        scale.period,
        times,
    ]
}

/// How many quotas the first block holds. Each block holds twice as many as the one before it. The model
/// checker tracks each word.
const FIRST_BLOCK: usize = if cfg!(all(test, tollgate_loom)) {
    4
} else {
    16
};

/// As many as give every number a place.
const BLOCKS: usize = 31;

/// Grows by blocks, so that what is read stays where it is.
pub(super) struct QuotaTable {
    blocks: [OnceLock<Box<[SharedBucket]>>; BLOCKS],
}

impl QuotaTable {
    pub(super) fn new() -> QuotaTable {
        QuotaTable {
            blocks: array::from_fn(|_| OnceLock::new()),
        }
    }

    /// Returns the bucket of a quota, or an absent one for [`NO_QUOTA`].
    #[inline]
    pub(super) fn bucket(&self, id: QuotaId) -> Bucket {
        if id == NO_QUOTA {
            return Bucket::ABSENT;
        }
        let (block, place) = place(id);
        let shared = self.blocks[block].get().map(|block| &block[place]);
        // A number that was given to a quota has its block.
        shared.map_or(Bucket::ABSENT, SharedBucket::load)
    }

    /// Gives a number, which no key has, to a quota. The caller holds the lock of the registry.
    pub(super) fn set(&self, id: QuotaId, bucket: Bucket) {
        let (block, place) = place(id);
        let made = || {
            let places = FIRST_BLOCK << block;
            (0..places)
                .map(|_| SharedBucket::new(Bucket::ABSENT))
                .collect()
        };
        self.blocks[block].get_or_init(made)[place].store(bucket);
    }
}

/// Returns the block of a number, and its place there. Numbers begin at 1.
#[inline]
fn place(id: QuotaId) -> (usize, usize) {
    let position = id as usize - 1 + FIRST_BLOCK;
    let block = (position.ilog2() - FIRST_BLOCK.ilog2()) as usize;
    (block, position - (FIRST_BLOCK << block))
}

#[cfg(all(test, not(tollgate_loom)))]
mod tests {
    use super::*;

    #[test]
    fn every_number_has_a_place_of_its_own() {
        let mut expected = (0, 0);
        for id in 1..100_000 {
            assert_eq!(place(id), expected, "{id}");
            expected.1 += 1;
            if expected.1 == FIRST_BLOCK << expected.0 {
                expected = (expected.0 + 1, 0);
            }
        }
        let (block, place) = place(QuotaId::MAX);
        assert!(block < BLOCKS && place < FIRST_BLOCK << block);
    }
}
