//! Asks for a key's memory before it is needed.
//!
//! A check waits for memory up to three times: for the shard's lock, which another core may have
//! had last, for the control bytes of the map, which say where the key is, and for its entry. But
//! where that is, unless the place was taken, follows from the key's hash and from where the
//! shard's entries lie, and those move but rarely. So where they lie is kept where it can be read
//! without the lock; entry and control bytes are asked for first, and most checks wait for all
//! three at once. (For what a key has on the heap they wait once more.) What that gains is in
//! `benches/README.md`, and only a benchmark would miss it: no decision depends on it.
//!
//! With an outline that is out of date, or a key that is elsewhere, all that is lost is time. And
//! safe code cannot say it: beside the scan of a part of a shard, in `map.rs`, this is the crate's
//! only unsafe code.
#![allow(unsafe_code, reason = "a prefetch is not safe code yet")]

use std::ptr::NonNull;

use crate::sync::{AtomicPtr, AtomicUsize, Ordering};

/// Whether the processor is one that is asked.
const PREFETCH: bool = cfg!(all(
    target_arch = "x86_64",
    target_feature = "sse",
    not(miri)
));

/// The bytes of a cache line there, and how short an entry is that never lies across two: no longer
/// than what it is aligned to.
const LINE: usize = 64;
const ALIGNED: usize = 16;

/// Where the entries of a shard lie, which are of type `T`.
///
/// Written under the shard's lock, and read without: relaxed, as nothing is read by it. Should the
/// two words be of different times, what is fetched may be of no use.
pub(super) struct ShardLayout<T> {
    /// The end of the entries, where the control bytes begin.
    end: AtomicPtr<T>,
    /// One less than the number of places, a power of two.
    mask: AtomicUsize,
}

impl<T> ShardLayout<T> {
    pub(super) fn new(end: NonNull<T>, places: usize) -> ShardLayout<T> {
        ShardLayout {
            end: AtomicPtr::new(end.as_ptr()),
            mask: AtomicUsize::new(places - 1),
        }
    }

    /// To be told whenever the entries may have moved.
    pub(super) fn update(&self, end: NonNull<T>, places: usize) {
        let (end, mask) = (end.as_ptr(), places - 1);
        // Seldom written, so that it stays in the caches of all who read it.
        if (
            self.end.load(Ordering::Relaxed),
            self.mask.load(Ordering::Relaxed),
        ) != (end, mask)
        {
            self.end.store(end, Ordering::Relaxed);
            self.mask.store(mask, Ordering::Relaxed);
        }
    }

    /// Asks for what is stored under that hash: for its control bytes, its entry, and the line
    /// before that, which has the entries of the next places.
    #[inline]
    pub(super) fn prefetch(&self, hash: u64) {
        if !PREFETCH {
            return;
        }
        let (control, entry) = self.home_slot(hash);
        prefetch_line(control);
        prefetch_line(entry.cast());
        if size_of::<T>() > ALIGNED {
            prefetch_line(entry.wrapping_add(1).wrapping_byte_sub(1).cast());
        }
        prefetch_line(entry.wrapping_byte_sub(LINE).cast());
    }

    /// Where hashbrown has the control byte and the entry of that hash if its first place is free:
    /// the bytes go on from the end of the entries, and the entries back from there.
    #[expect(
        clippy::cast_possible_truncation,
        reason = "as the map does, which has no more entries than addresses"
    )]
    #[inline]
    pub(super) fn home_slot(&self, hash: u64) -> (*const u8, *const T) {
        let end = self.end.load(Ordering::Relaxed);
        let place = hash as usize & self.mask.load(Ordering::Relaxed);
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

        // SAFETY: the target has SSE. The address may be any, and need not be that of anything: a
        // prefetch neither faults nor reads in a way that the program could see, so that it is no
        // access and races with none.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(address.cast()) };
    }
    // On other processors it has no use.
    let _ = address;
}
