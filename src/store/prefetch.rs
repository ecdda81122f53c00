//! Prefetches the memory of a key before its shard is locked.
//!
//! A check waits for memory up to three times: for the shard's lock, which another core may have had
//! last, for the control bytes of the map, and for the key's entry. Unless that place was taken, it
//! follows from the key's hash and from where the shard's entries lie, which seldom changes. So
//! [`Layouts`] keeps where they lie, readable without the lock. The control bytes and the entry
//! are prefetched first, and most checks wait for all three at once. (What a key has on the heap is
//! one wait more.) `docs/architecture.md` has the gain.
//!
//! No decision depends on it: with a layout that is out of date, or a key that is elsewhere, only
//! time is lost. It is unsafe code, of which `CONTRIBUTING.md` lists the three places.
#![allow(unsafe_code, reason = "a prefetch is not safe code yet")]

use std::ptr::NonNull;

use crate::sync::{AtomicPtr, AtomicUsize, Ordering};

/// Whether there is a prefetch for this processor.
const PREFETCH: bool = cfg!(all(
    target_arch = "x86_64",
    target_feature = "sse",
    not(miri)
));

/// The bytes of a cache line.
const LINE: usize = 64;

/// An entry of at most 16 bytes never lies in two lines, as 16 is what the map aligns entries to.
const ALIGNED: usize = 16;

/// The size of a table up to which nothing is prefetched, in bytes: half of a cache that a core has for
/// itself. A smaller table is there already, and each prefetch takes time.
const NEAR: usize = 512 << 10;

/// Where the entries of each shard lie, which are of type `T`.
pub(super) struct Layouts<T> {
    shards: Box<[ShardLayout<T>]>,
    /// A shard with more buckets than this is large: more than its share of [`NEAR`].
    largest_near: usize,
    /// How many shards are large. Every check reads it, and only a shard that grows or shrinks writes it.
    large: AtomicUsize,
}

/// Where the entries of a shard lie.
///
/// It is written under the shard's lock and read without. Relaxed suffices, as no memory is read
/// through it. If the two words are from different times, the prefetch is useless and harmless.
pub(super) struct ShardLayout<T> {
    /// The end of the entries, where the control bytes begin.
    end: AtomicPtr<T>,
    /// One less than the number of buckets, which is a power of two.
    mask: AtomicUsize,
}

impl<T> Layouts<T> {
    /// Each shard has an end of its entries, and a number of buckets.
    pub(super) fn new(shards: impl ExactSizeIterator<Item = (NonNull<T>, usize)>) -> Layouts<T> {
        let largest_near = (NEAR / shards.len().max(1) / size_of::<T>().max(1)).max(1);
        let layout = |(end, buckets): (NonNull<T>, usize)| ShardLayout {
            end: AtomicPtr::new(end.as_ptr()),
            mask: AtomicUsize::new(buckets - 1),
        };
        Layouts {
            shards: shards.map(layout).collect(),
            largest_near,
            large: AtomicUsize::new(0),
        }
    }

    /// Updates the layout of a shard, which the caller has locked. To be called whenever its entries may
    /// have moved.
    pub(super) fn update(&self, shard: usize, end: NonNull<T>, buckets: usize) {
        let layout = &self.shards[shard];
        layout.end.store(end.as_ptr(), Ordering::Relaxed);
        let old_mask = layout.mask.swap(buckets - 1, Ordering::Relaxed);
        match (old_mask >= self.largest_near, buckets > self.largest_near) {
            (false, true) => self.large.fetch_add(1, Ordering::Relaxed),
            (true, false) => self.large.fetch_sub(1, Ordering::Relaxed),
            _ => 0,
        };
    }

    /// Prefetches what a shard has under a hash, if the table is large: its control bytes, its entry, and
    /// the line before the entry, which has the entries of the next buckets.
    #[inline]
    pub(super) fn prefetch(&self, shard: usize, hash: u64) {
        if !PREFETCH || self.large.load(Ordering::Relaxed) == 0 {
            return;
        }
        let (control, entry) = self.home_slot(shard, hash);
        prefetch_line(control);
        prefetch_line(entry.cast());
        if size_of::<T>() > ALIGNED {
            prefetch_line(entry.wrapping_add(1).wrapping_byte_sub(1).cast());
        }
        prefetch_line(entry.wrapping_byte_sub(LINE).cast());
    }

    /// Returns where hashbrown has the control byte and the entry of a hash whose first bucket is free.
    /// Control bytes go forward from the end of the entries, and entries go backward from there.
    #[expect(
        clippy::cast_possible_truncation,
        reason = "as the map does, which has no more entries than addresses"
    )]
    #[inline]
    pub(super) fn home_slot(&self, shard: usize, hash: u64) -> (*const u8, *const T) {
        let layout = &self.shards[shard];
        let end = layout.end.load(Ordering::Relaxed);
        let place = hash as usize & layout.mask.load(Ordering::Relaxed);
        (
            end.cast::<u8>().wrapping_add(place),
            end.wrapping_sub(place + 1),
        )
    }
}

#[inline]
fn prefetch_line(address: *const u8) {
    #[cfg(all(target_arch = "x86_64", target_feature = "sse", not(miri)))]
    {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};

        // SAFETY: the target has SSE. Any address will do: a prefetch does not fault, and reads nothing
        // that the program can see. So it is no access, and races with none.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(address.cast()) };
    }
    // Unused on other processors.
    let _ = address;
}
