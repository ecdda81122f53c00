//! What is stored for a key.

/// The state of a key's buckets, as the table stores it.
pub(crate) trait State: Copy + Send + Sync + 'static {
    /// The state of a key never seen. Its buckets are full at any time.
    const FULL: Self;

    /// Whether the table counts how often it moves entries, so that a visit of all keys can tell whether
    /// it may have skipped some.
    const COUNTS_MOVES: bool;
}

/// The state of a key's buckets, one for each of at most `N` quotas.
///
/// A bucket is the point on its quota's [axis](super::scale) up to which units are spent
/// ([`bucket`](super::bucket)). Only this module's neighbours look inside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(transparent)]
pub(crate) struct KeyState<const N: usize> {
    pub(super) spent: [u64; N],
}

impl<const N: usize> State for KeyState<N> {
    const FULL: KeyState<N> = KeyState { spent: [0; N] };
    const COUNTS_MOVES: bool = false;
}

impl<const N: usize> KeyState<N> {
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

/// The points up to which a key's buckets are spent.
pub(crate) type Points<const N: usize> = [u64; N];

/// What stands for a quota in a [`TieredState`]: a number that a limiter gives it.
pub(crate) type QuotaId = u32;

/// Stands where no quota is.
pub(crate) const NO_QUOTA: QuotaId = 0;

/// The state of a key's buckets under policies that change: each beside the quota whose axis it is on.
///
/// A bucket without a quota is full, and spent up to 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TieredState<const N: usize> {
    pub(super) spent: [u64; N],
    pub(super) quotas: [QuotaId; N],
}

impl<const N: usize> State for TieredState<N> {
    const FULL: TieredState<N> = TieredState {
        spent: [0; N],
        quotas: [NO_QUOTA; N],
    };
    const COUNTS_MOVES: bool = true;
}

impl<const N: usize> TieredState<N> {
    /// Returns the state whose buckets are spent up to these points, on the axes of these quotas.
    #[inline]
    pub(crate) const fn new(spent: [u64; N], quotas: [QuotaId; N]) -> TieredState<N> {
        TieredState { spent, quotas }
    }

    /// Whether every bucket is full and without a quota.
    #[inline]
    pub(crate) fn is_new(&self) -> bool {
        self.quotas == [NO_QUOTA; N]
    }

    /// Returns the quotas whose axes the buckets are on, [`NO_QUOTA`] among them.
    pub(crate) fn quotas(&self) -> &[QuotaId; N] {
        &self.quotas
    }

    /// Returns the points up to which the buckets are spent.
    pub(crate) fn points(&self) -> &[u64; N] {
        &self.spent
    }
}
