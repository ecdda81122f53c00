//! Asks for memory before it is needed.
//!
//! A table that is larger than the processor's caches has it wait for memory twice a key: for the
//! control bytes, which say where the key is, and only then for the key. But where the key is,
//! unless that place was taken, follows from its hash. So it is asked for at the same time as the
//! control bytes, and the two waits are one. What that gains is in `benches/README.md`.
//!
//! It is a hint: should the key be elsewhere, then all that is lost is time. And it is the one
//! thing here that safe code cannot say, so this is the crate's only file with unsafe code.
#![allow(unsafe_code, reason = "a prefetch is not safe code yet")]

use std::ptr::NonNull;

/// The bytes of a cache line, of those processors that are asked.
const LINE: usize = 64;

/// Where hashbrown stores an entry of that hash if its first place is free: backwards from the end
/// of the entries, which are as many as there are `buckets`, a power of two.
#[expect(
    clippy::cast_possible_truncation,
    reason = "as the map does, which has no more entries than addresses"
)]
#[inline]
pub(super) fn first_place<T>(end: NonNull<T>, buckets: usize, hash: u64) -> *const T {
    let index = hash as usize & (buckets - 1);
    end.as_ptr().wrapping_sub(index + 1)
}

/// Asks for what is stored at `place`, and for the line before it, which has the next places: an
/// entry goes to one of those if its own is taken.
#[inline]
pub(super) fn fetch<T>(place: *const T) {
    #[cfg(all(target_arch = "x86_64", target_feature = "sse", not(miri)))]
    for line in [place.cast(), place.wrapping_byte_sub(LINE).cast()] {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};

        // SAFETY: the target has SSE. The pointer may be any, and need not point to anything: a
        // prefetch neither faults nor reads in a way that the program could see, so that it is no
        // access and races with none.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(line) };
    }
    #[cfg(not(all(target_arch = "x86_64", target_feature = "sse", not(miri))))]
    let _ = (place, LINE);
}
