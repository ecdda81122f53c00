//! What the keys of a limiter are decided by: one policy that never changes, or tiers.

use crate::arith::evaluate::{Evaluation, Outcome};
use crate::arith::state::{KeyState, State};
use crate::decision::{Decision, DecisionSource};
use crate::policy::Policy;

/// What a limiter asks about the state of a key.
pub(crate) trait Rule<const N: usize>: Send + Sync + 'static {
    /// What the table stores for a key.
    type State: State;

    /// What a thread caches of an exhausted key.
    type Exhausted: Copy + Send;

    /// What a check names beside its key.
    type Tier: Sync;

    /// A tier, and a place for what a check finds, beside [`Found`](Rule::Found).
    type Asked<'a>
    where
        Self: 'a;

    /// The policy of a check.
    type Under<'a>
    where
        Self: 'a;

    /// What was found of a key's buckets.
    type Found: Outcome<Self::Found>;

    /// What a sweep gathers about all keys.
    type Census: Send;

    /// Whether [`under`](Rule::under) is to be called under the lock of a shard, and its result used before
    /// the lock is released.
    const NEEDS_LOCK: bool;

    fn ask<'a>(&'a self, tier: &'a Self::Tier) -> Self::Asked<'a>;

    fn under<'a>(&'a self, asked: &'a Self::Asked<'_>) -> Self::Under<'a>;

    /// Whether every bucket, if full, holds `n` units.
    fn can_hold(under: &Self::Under<'_>, n: u64) -> bool;

    /// Spends `n` units at `now`, if every bucket holds them. `floor` returns a time that no thread is
    /// behind.
    fn spend<O: Outcome<Self::Found>>(
        &self,
        under: &Self::Under<'_>,
        state: &mut Self::State,
        now: u64,
        n: u64,
        floor: impl Fn() -> u64,
    ) -> Verdict<O, Self::Exhausted>;

    /// Evaluates as [`spend`](Rule::spend) does, and changes nothing.
    fn peek<O: Outcome<Self::Found>>(
        &self,
        under: &Self::Under<'_>,
        state: &Self::State,
        now: u64,
        n: u64,
    ) -> O;

    /// Denies a request for one unit or more from a cached state, without a lock. `None` if the state is
    /// no longer exhausted at `now`, or was cached under another policy.
    fn deny<O: Outcome<Self::Found>>(
        &self,
        asked: &Self::Asked<'_>,
        exhausted: &Self::Exhausted,
        now: u64,
    ) -> Option<O>;

    /// Whether some bucket of a key holds less than a unit at `now`.
    fn is_exhausted(&self, state: &Self::State, now: u64) -> bool;

    /// Returns the decision on a request for `n` units.
    fn decision(
        &self,
        asked: &Self::Asked<'_>,
        found: &Self::Found,
        n: u64,
        source: DecisionSource,
    ) -> Decision<N>;

    /// Whether a sweep has something to do even if no key is stored.
    fn has_unused(&self) -> bool;

    fn begin_census(&self) -> Self::Census;

    /// Returns the test whether every bucket of a key is full at `now`, so that forgetting the key changes
    /// nothing.
    fn full_at<'a>(
        &'a self,
        now: u64,
        census: &'a Self::Census,
    ) -> impl Fn(&Self::State) -> bool + 'a;

    /// Ends a sweep. It may have skipped keys that were stored all the while, if `has_skipped`.
    fn end_census(&self, census: &Self::Census, has_skipped: bool);
}

/// What [`Rule::spend`] found and did.
pub(crate) struct Verdict<O, E> {
    pub(crate) outcome: O,
    /// The state, if the request was denied because a bucket holds less than a unit.
    pub(crate) exhausted: Option<E>,
    /// Whether the state of an exhausted key was changed, so that what is cached of it is invalid.
    pub(crate) changes_exhausted: bool,
}

/// One policy for all keys.
impl<const N: usize> Rule<N> for Policy<N> {
    type State = KeyState<N>;
    type Exhausted = KeyState<N>;
    type Tier = ();
    type Asked<'a> = ();
    type Under<'a> = &'a Policy<N>;
    type Found = Evaluation<N>;
    type Census = ();

    const NEEDS_LOCK: bool = false;

    #[inline]
    fn ask(&self, (): &()) {}

    #[inline]
    fn under<'a>(&'a self, (): &'a ()) -> &'a Policy<N> {
        self
    }

    #[inline]
    fn can_hold(under: &&Policy<N>, n: u64) -> bool {
        under.buckets().can_hold(n)
    }

    // Always: in a call of its own, the verdict would lie in memory, and a check took 2 ns more.
    #[inline(always)]
    fn spend<O: Outcome<Evaluation<N>>>(
        &self,
        under: &&Policy<N>,
        state: &mut KeyState<N>,
        now: u64,
        n: u64,
        _: impl Fn() -> u64,
    ) -> Verdict<O, KeyState<N>> {
        let buckets = under.buckets();
        let outcome: O = buckets.spend(state, now, n);
        let is_exhausted = !outcome.is_allowed() && buckets.is_exhausted(state, now);
        Verdict {
            outcome,
            exhausted: is_exhausted.then_some(*state),
            changes_exhausted: false,
        }
    }

    #[inline]
    fn peek<O: Outcome<Evaluation<N>>>(
        &self,
        under: &&Policy<N>,
        state: &KeyState<N>,
        now: u64,
        n: u64,
    ) -> O {
        under.buckets().peek(state, now, n)
    }

    #[inline]
    fn deny<O: Outcome<Evaluation<N>>>(
        &self,
        (): &(),
        exhausted: &KeyState<N>,
        now: u64,
    ) -> Option<O> {
        self.buckets().deny(exhausted, now)
    }

    #[inline]
    fn is_exhausted(&self, state: &KeyState<N>, now: u64) -> bool {
        self.buckets().is_exhausted(state, now)
    }

    #[inline]
    fn decision(
        &self,
        (): &(),
        found: &Evaluation<N>,
        n: u64,
        source: DecisionSource,
    ) -> Decision<N> {
        self.decision(found, n, source)
    }

    fn has_unused(&self) -> bool {
        false
    }

    fn begin_census(&self) {}

    fn full_at<'a>(&'a self, now: u64, (): &'a ()) -> impl Fn(&KeyState<N>) -> bool + 'a {
        self.buckets().full_at(now)
    }

    fn end_census(&self, (): &(), _: bool) {}
}
