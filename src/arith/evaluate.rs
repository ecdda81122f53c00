//! The decision on all buckets of a key at once.

use super::bucket::{Bucket, BucketView};
use super::state::KeyState;

/// The buckets that every key of a limiter has: at most `N`, those that a policy lacks being
/// [absent](Bucket::ABSENT).
#[derive(Clone, Copy, Debug)]
pub(crate) struct Buckets<const N: usize>([Bucket; N]);

/// What was found of a key's buckets.
///
/// It is made under the lock of the key's shard, and so holds no more than is needed to tell the
/// rest once the lock is released.
pub(crate) struct Evaluation<const N: usize> {
    /// The buckets as they stand after it.
    state: KeyState<N>,
    earned: [u64; N],
    now: u64,
    pub(crate) is_allowed: bool,
}

/// What a check wants to know: an [`Evaluation`], or for `allow` one bit of it.
pub(crate) trait Outcome<const N: usize> {
    fn new(state: &KeyState<N>, earned: [u64; N], now: u64, is_allowed: bool) -> Self;

    fn is_allowed(&self) -> bool;
}

impl<const N: usize> Outcome<N> for Evaluation<N> {
    #[inline]
    fn new(state: &KeyState<N>, earned: [u64; N], now: u64, is_allowed: bool) -> Evaluation<N> {
        Evaluation {
            state: *state,
            earned,
            now,
            is_allowed,
        }
    }

    #[inline]
    fn is_allowed(&self) -> bool {
        self.is_allowed
    }
}

impl<const N: usize> Outcome<N> for bool {
    #[inline]
    fn new(_: &KeyState<N>, _: [u64; N], _: u64, is_allowed: bool) -> bool {
        is_allowed
    }

    #[inline]
    fn is_allowed(&self) -> bool {
        *self
    }
}

impl<const N: usize> Buckets<N> {
    pub(crate) const fn new(buckets: [Bucket; N]) -> Buckets<N> {
        Buckets(buckets)
    }

    /// Spends `n` units from every bucket at `now`, if every bucket holds them. A denial leaves the
    /// state as it was.
    #[inline]
    pub(crate) fn spend<O: Outcome<N>>(&self, state: &mut KeyState<N>, now: u64, n: u64) -> O {
        let earned = self.earned(now);
        let spent = self.try_spend(state, &earned, n);
        if let Some(spent) = spent {
            *state = spent;
        }
        O::new(state, earned, now, spent.is_some())
    }

    /// Evaluates as [`spend`](Buckets::spend) does, and spends nothing.
    #[inline]
    pub(crate) fn peek<O: Outcome<N>>(&self, state: &KeyState<N>, now: u64, n: u64) -> O {
        let earned = self.earned(now);
        let is_allowed = self.try_spend(state, &earned, n).is_some();
        O::new(state, earned, now, is_allowed)
    }

    /// Denies a request for one unit or more if some bucket holds less than a unit at `now`.
    #[inline]
    pub(crate) fn deny<O: Outcome<N>>(&self, state: &KeyState<N>, now: u64) -> Option<O> {
        let is_exhausted = self.is_exhausted(state, now);
        is_exhausted.then(|| O::new(state, self.earned(now), now, false))
    }

    /// Whether some bucket holds less than a unit at `now`.
    #[inline]
    pub(crate) fn is_exhausted(&self, state: &KeyState<N>, now: u64) -> bool {
        let mut buckets = self.0.iter().zip(state.spent);
        buckets.any(|(bucket, spent)| bucket.is_exhausted(spent, bucket.earned(now)))
    }

    /// Whether every bucket, if full, holds `n` units.
    #[inline]
    pub(crate) fn can_hold(&self, n: u64) -> bool {
        self.0.iter().all(|bucket| bucket.can_hold(n))
    }

    /// Returns the test whether every bucket of a key is full at `now`, so that forgetting the key
    /// changes nothing. What depends on `now` alone is computed once for all keys.
    pub(crate) fn full_at(&self, now: u64) -> impl Fn(&KeyState<N>) -> bool {
        let earned = self.earned(now);
        move |state| {
            let mut buckets = self.0.iter().zip(state.spent).zip(earned);
            buckets.all(|((bucket, spent), earned)| bucket.is_full(spent, earned))
        }
    }

    /// Returns each bucket as the evaluation found it.
    #[inline]
    pub(crate) fn views(&self, evaluation: &Evaluation<N>) -> [BucketView; N] {
        let view = |index: usize| {
            let (spent, earned) = (evaluation.state.spent[index], evaluation.earned[index]);
            self.0[index].view(spent, earned, evaluation.now)
        };
        // `array::from_fn` is not always compiled into its place.
        let mut views = [view(0); N];
        for (index, of_bucket) in views.iter_mut().enumerate() {
            *of_bucket = view(index);
        }
        views
    }

    #[inline]
    fn earned(&self, now: u64) -> [u64; N] {
        self.0.each_ref().map(|bucket| bucket.earned(now))
    }

    /// Returns the state after spending `n` units from every bucket, if every bucket holds them.
    #[inline]
    fn try_spend(&self, state: &KeyState<N>, earned: &[u64; N], n: u64) -> Option<KeyState<N>> {
        let mut after = *state;
        for ((spent, earned), bucket) in after.spent.iter_mut().zip(earned).zip(&self.0) {
            *spent = bucket.try_spend(*spent, *earned, n)?;
        }
        Some(after)
    }
}
