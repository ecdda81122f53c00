//! The decision on a key whose policy may have changed since it was last checked.
//!
//! [`carry`](super::carry) has the rule for one bucket. For all of them: a check is decided on the axes
//! that the buckets are on, with the bursts of its own policy. If it is allowed, every bucket of the
//! policy moves to the policy's quota. If it is denied, those move that are paid sooner. Buckets that
//! the policy has no quota for stay, and are paid at the rate of the quota that they have.

use super::bucket::{Bucket, BucketView};
use super::carry::Debt;
use super::evaluate::Buckets;
use super::state::{NO_QUOTA, QuotaId, TieredState};

/// A policy under which a key is checked: for each bucket of a key a quota, or none.
#[derive(Clone, Copy)]
pub(crate) struct Terms<const N: usize> {
    /// What stands beside a bucket that is on the axis of its quota.
    pub(crate) quotas: [QuotaId; N],
    /// Absent where there is no quota.
    pub(crate) buckets: Buckets<N>,
}

impl<const N: usize> Terms<N> {
    /// Spends `n` units at `now`, if every bucket of the policy holds them, and moves buckets to the
    /// policy's quotas. Returns whether it is allowed.
    ///
    /// `bucket_of` returns the bucket of a quota that stands beside a bucket of the key. `floor` is a time
    /// that no thread is behind.
    pub(crate) fn spend_and_move(
        &self,
        state: &mut TieredState<N>,
        now: u64,
        n: u64,
        floor: u64,
        bucket_of: impl Fn(QuotaId) -> Bucket,
    ) -> bool {
        let is_allowed = self.allows(state, now, n, &bucket_of);
        if n == 0 {
            return is_allowed;
        }
        for (index, to) in self.buckets.iter().enumerate() {
            let (spent, quota) = (&mut state.spent[index], &mut state.quotas[index]);
            let own = bucket_of(*quota);
            let debt = Debt::of(&own, *spent, now);
            let is_of_policy = self.quotas[index] != NO_QUOTA;
            if is_of_policy && is_allowed {
                (*spent, *quota) = (debt.moved(to, now, n), self.quotas[index]);
            } else if own.is_full(*spent, own.earned(floor)) {
                (*spent, *quota) = (0, self.quotas[index]);
            } else if is_of_policy && let Some(moved) = debt.sooner(to, now) {
                (*spent, *quota) = (moved, self.quotas[index]);
            }
        }
        is_allowed
    }

    /// Whether every bucket of the policy holds `n` units at `now`.
    pub(crate) fn allows(
        &self,
        state: &TieredState<N>,
        now: u64,
        n: u64,
        bucket_of: impl Fn(QuotaId) -> Bucket,
    ) -> bool {
        let holds = |index: usize| {
            let own = bucket_of(state.quotas[index]);
            let debt = Debt::of(&own, state.spent[index], now);
            self.quotas[index] == NO_QUOTA || debt.leaves(self.buckets[index].burst, n)
        };
        n == 0 || (0..N).all(holds)
    }

    /// Returns the bucket of a quota of the policy as it stands at `now`, on the axis that it is on.
    pub(crate) fn view(
        &self,
        index: usize,
        state: &TieredState<N>,
        now: u64,
        bucket_of: impl Fn(QuotaId) -> Bucket,
    ) -> BucketView {
        let bucket = &self.buckets[index];
        let (spent, quota) = (state.spent[index], state.quotas[index]);
        if quota == self.quotas[index] {
            return bucket.view(spent, bucket.earned(now), now);
        }
        Debt::of(&bucket_of(quota), spent, now).view(bucket, now)
    }
}

impl<const N: usize> TieredState<N> {
    /// Whether some bucket holds less than a unit at `now`.
    pub(crate) fn is_exhausted(&self, now: u64, bucket_of: impl Fn(QuotaId) -> Bucket) -> bool {
        self.any(
            |bucket, spent| bucket.is_exhausted(spent, bucket.earned(now)),
            bucket_of,
        )
    }

    /// Whether every bucket is full at `now`, so that forgetting the key changes nothing.
    pub(crate) fn is_full(&self, now: u64, bucket_of: impl Fn(QuotaId) -> Bucket) -> bool {
        !self.any(
            |bucket, spent| !bucket.is_full(spent, bucket.earned(now)),
            bucket_of,
        )
    }

    fn any(
        &self,
        is_so: impl Fn(&Bucket, u64) -> bool,
        bucket_of: impl Fn(QuotaId) -> Bucket,
    ) -> bool {
        let mut buckets = self.quotas.iter().zip(self.spent);
        buckets.any(|(quota, spent)| *quota != NO_QUOTA && is_so(&bucket_of(*quota), spent))
    }
}
