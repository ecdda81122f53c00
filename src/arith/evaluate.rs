//! The decision on all buckets of a key at once.

use std::{borrow::Borrow, ops::Index};

use super::bucket::{Bucket, BucketView};
use super::state::{KeyState, Points};

/// The buckets that every key of a limiter has: at most `N`, those that a policy lacks being
/// [absent](Bucket::ABSENT).
#[derive(Clone, Copy, Debug)]
pub(crate) struct Buckets<const N: usize>([Bucket; N]);

/// What was found of a key's buckets.
///
/// It is made under the lock of the key's shard, and so holds no more than is needed to tell the
/// rest once the lock is released.
#[derive(Clone, Copy)]
pub(crate) struct Evaluation<const N: usize> {
    /// The buckets as they stand after it.
    state: KeyState<N>,
    earned: Points<N>,
    now: u64,
    pub(crate) is_allowed: bool,
}

/// What a check wants to know: an evaluation of type `E`, or for `allow` one bit of it.
pub(crate) trait Outcome<E> {
    fn new(is_allowed: bool, evaluation: impl FnOnce() -> E) -> Self;

    fn is_allowed(&self) -> bool;
}

impl<const N: usize> Outcome<Evaluation<N>> for Evaluation<N> {
    #[inline]
    fn new(_: bool, evaluation: impl FnOnce() -> Evaluation<N>) -> Evaluation<N> {
        evaluation()
    }

    #[inline]
    fn is_allowed(&self) -> bool {
        self.is_allowed
    }
}

impl<E> Outcome<E> for bool {
    #[inline]
    fn new(is_allowed: bool, _: impl FnOnce() -> E) -> bool {
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

    pub(super) fn iter(&self) -> impl Iterator<Item = &Bucket> {
        self.0.iter()
    }

    /// Spends `n` units from every bucket at `now`, if every bucket holds them. A denial leaves the
    /// state as it was.
    #[inline]
    pub(crate) fn spend<O: Outcome<Evaluation<N>>>(
        &self,
        state: &mut KeyState<N>,
        now: u64,
        n: u64,
    ) -> O {
        let earned = self.earned(now);
        let spent = try_spend(self.iter(), &state.spent, &earned, n);
        if let Some(spent) = spent {
            state.spent = spent;
        }
        outcome(state, earned, now, spent.is_some())
    }

    /// Evaluates as [`spend`](Buckets::spend) does, and spends nothing.
    #[inline]
    pub(crate) fn peek<O: Outcome<Evaluation<N>>>(
        &self,
        state: &KeyState<N>,
        now: u64,
        n: u64,
    ) -> O {
        let earned = self.earned(now);
        let is_allowed = try_spend(self.iter(), &state.spent, &earned, n).is_some();
        outcome(state, earned, now, is_allowed)
    }

    /// Denies a request for one unit or more if some bucket holds less than a unit at `now`.
    #[inline]
    pub(crate) fn deny<O: Outcome<Evaluation<N>>>(
        &self,
        state: &KeyState<N>,
        now: u64,
    ) -> Option<O> {
        let is_exhausted = self.is_exhausted(state, now);
        is_exhausted.then(|| outcome(state, self.earned(now), now, false))
    }

    /// Whether some bucket holds less than a unit at `now`.
    #[inline]
    pub(crate) fn is_exhausted(&self, state: &KeyState<N>, now: u64) -> bool {
        is_any_exhausted(self.iter(), &state.spent, now)
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
    fn earned(&self, now: u64) -> Points<N> {
        self.0.each_ref().map(|bucket| bucket.earned(now))
    }
}

#[inline]
fn outcome<O: Outcome<Evaluation<N>>, const N: usize>(
    state: &KeyState<N>,
    earned: Points<N>,
    now: u64,
    is_allowed: bool,
) -> O {
    O::new(is_allowed, || Evaluation {
        state: *state,
        earned,
        now,
        is_allowed,
    })
}

/// Returns the points up to which buckets are spent after spending `n` units from every one, if every one
/// holds them once `earned` steps are earned.
#[inline]
pub(crate) fn try_spend<const N: usize>(
    buckets: impl Iterator<Item = impl Borrow<Bucket>>,
    spent: &Points<N>,
    earned: &Points<N>,
    n: u64,
) -> Option<Points<N>> {
    let mut after = *spent;
    for ((spent, earned), bucket) in after.iter_mut().zip(earned).zip(buckets) {
        *spent = bucket.borrow().try_spend(*spent, *earned, n)?;
    }
    Some(after)
}

/// Whether some bucket holds less than a unit at `now`.
#[inline]
pub(crate) fn is_any_exhausted<const N: usize>(
    buckets: impl Iterator<Item = impl Borrow<Bucket>>,
    spent: &Points<N>,
    now: u64,
) -> bool {
    let mut buckets = buckets.zip(spent);
    buckets.any(|(bucket, spent)| {
        let bucket = bucket.borrow();
        bucket.is_exhausted(*spent, bucket.earned(now))
    })
}

impl<const N: usize> Index<usize> for Buckets<N> {
    type Output = Bucket;

    #[inline]
    fn index(&self, index: usize) -> &Bucket {
        &self.0[index]
    }
}
