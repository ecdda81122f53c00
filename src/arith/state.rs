//! What is stored for a key.

/// The state of a key's buckets, one for each of at most `N` quotas.
///
/// A bucket is the point on its quota's [axis](super::scale) up to which units are spent
/// ([`bucket`](super::bucket)). Only this module's neighbours look inside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(transparent)]
pub(crate) struct KeyState<const N: usize> {
    pub(super) spent: [u64; N],
}

impl<const N: usize> KeyState<N> {
    /// The state of a key never seen. Its buckets are full at any time.
    pub(crate) const FULL: KeyState<N> = KeyState { spent: [0; N] };

    /// Returns the state whose buckets are spent up to these points.
    #[cfg(test)]
    pub(crate) const fn spent(spent: [u64; N]) -> KeyState<N> {
        KeyState { spent }
    }

    /// Returns the points up to which the buckets are spent.
    #[cfg(all(test, not(tollgate_loom)))]
    pub(crate) const fn points(&self) -> [u64; N] {
        self.spent
    }
}
