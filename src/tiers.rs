//! Policies that change: what a key can be under, and how it is decided then.

mod live;
mod quotas;
mod registry;

use std::{
    array,
    cell::{OnceCell, RefCell},
};

use self::live::{Live, Order, Placed, Reading, Serial};
use self::quotas::QuotaTable;
pub(crate) use self::registry::Clash;
use self::registry::{Periods, Registry};
use crate::arith::bucket::{Bucket, BucketView};
use crate::arith::evaluate::{Outcome, is_any_exhausted, try_spend};
use crate::arith::state::{NO_QUOTA, Points, QuotaId, TieredState};
use crate::decision::{Decision, DecisionSource, TierId};
use crate::policy::Policy;
use crate::rule::{Rule, Verdict};
use crate::sync::Mutex;

/// The policies of a limiter.
pub(crate) struct Policies<const N: usize> {
    quotas: QuotaTable,
    registry: Mutex<Registry<N>>,
}

/// A tier: a policy that can be replaced.
pub(crate) struct TierPolicy<const N: usize> {
    live: Live<N>,
    id: TierId,
    /// One `replace` at a time.
    replacing: Mutex<()>,
}

/// The state of a key that a thread caches: exhausted, with every bucket on the axis of its quota.
#[derive(Clone, Copy)]
pub(crate) struct Exhausted<const N: usize> {
    serial: Serial,
    spent: Points<N>,
}

/// What was found of a key.
///
/// No function that is called writes to it, so that all of it can stay in registers. A function that is
/// called leaves what it finds in [`Asked`].
// In this order, an enum of it has no other field in the bytes of `views`, which then stay whole words.
#[repr(C)]
pub(crate) struct Found<const N: usize> {
    is_allowed: bool,
    count: usize,
    /// Of each quota of the policy, in its order.
    views: [BucketView; N],
}

/// A tier, and a place for the buckets of a key that were [moved](Policies::found_moved).
pub(crate) struct Asked<'a, const N: usize> {
    tier: &'a TierPolicy<N>,
    moved: OnceCell<[BucketView; N]>,
}

impl<const N: usize> Outcome<Found<N>> for Found<N> {
    #[inline(always)]
    fn new(_: bool, found: impl FnOnce() -> Found<N>) -> Found<N> {
        found()
    }

    #[inline]
    fn is_allowed(&self) -> bool {
        self.is_allowed
    }
}

impl<const N: usize> Policies<N> {
    /// `periods` have buckets of their own, as far as there are any.
    pub(crate) fn new(periods: impl IntoIterator<Item = u64>) -> Policies<N> {
        let mut known = Periods::default();
        for period in periods {
            known.bucket(period);
        }
        Policies {
            quotas: QuotaTable::new(),
            registry: Mutex::new(Registry::new(known)),
        }
    }

    /// Makes a tier.
    pub(crate) fn add(&self, policy: &Policy<N>) -> Result<TierPolicy<N>, Clash> {
        let registry = &mut *self.registry.lock();
        let (placed, serial) = self.acquire(registry, policy)?;
        Ok(TierPolicy {
            live: Live::new(&placed, serial),
            id: registry.add_tier(),
            replacing: Mutex::new(()),
        })
    }

    /// Gives the periods of these policies their buckets, so that tiers can have the policies. Returns an
    /// error, with the index of the policy that cannot be had, if that changes nothing.
    pub(crate) fn prepare<'a>(
        &self,
        policies: impl IntoIterator<Item = &'a Policy<N>>,
    ) -> Result<(), (usize, Clash)> {
        self.registry.lock().place_all(policies)
    }

    /// Takes the quotas of one more policy of a tier. Returns the policy in its places and a new serial
    /// number.
    fn acquire(
        &self,
        registry: &mut Registry<N>,
        policy: &Policy<N>,
    ) -> Result<(Placed<N>, u64), Clash> {
        let set = |id, bucket| self.quotas.set(id, bucket);
        let placed = registry.acquire(policy, set)?;
        Ok((placed, registry.next_serial()))
    }

    /// Replaces the policy of a tier, and returns the one before it. `pass_all_locks` returns once every
    /// check that had begun has released its shard.
    pub(crate) fn replace(
        &self,
        tier: &TierPolicy<N>,
        policy: &Policy<N>,
        pass_all_locks: impl FnOnce(),
    ) -> Result<Policy<N>, Clash> {
        let _one_at_a_time = tier.replacing.lock();
        let reading = tier.live.read();
        let (old, old_ids) = (reading.policy(), reading.quotas());
        if old == *policy {
            return Ok(old);
        }
        let (placed, serial) = self.acquire(&mut self.registry.lock(), policy)?;
        tier.live.publish(&placed, serial);
        pass_all_locks();
        self.registry.lock().release(&old_ids);
        Ok(old)
    }

    /// Ends a tier, which no check can be under any more.
    pub(crate) fn remove(&self, tier: &TierPolicy<N>) {
        let ids = tier.live.read().quotas();
        let registry = &mut *self.registry.lock();
        registry.release(&ids);
        registry.remove_tier(tier.id);
    }

    /// Returns how many quotas are known, used or not.
    #[cfg(all(test, not(tollgate_loom)))]
    pub(crate) fn known_quotas(&self) -> usize {
        self.registry.lock().numbers()
    }

    /// Leaves what is found of a key whose buckets are on the axes of other quotas than those of the policy.
    #[cold]
    #[inline(never)]
    fn find_moved(&self, under: Under<'_, N>, state: TieredState<N>, now: u64) {
        let (terms, state) = (under.reading.terms(), &state);
        let view = |place| terms.view(place as usize, state, now, |id| self.quotas.bucket(id));
        let _ = under.moved.set(under.reading.order().places.map(view));
    }

    /// Returns what was found of such a key.
    #[inline(always)]
    fn found_moved(
        &self,
        under: &Under<'_, N>,
        state: &TieredState<N>,
        now: u64,
        is_allowed: bool,
    ) -> Found<N> {
        self.find_moved(*under, *state, now);
        Found {
            views: [BucketView::NONE; N],
            count: under.reading.order().count,
            is_allowed,
        }
    }

    /// Spends from such a key. Returns whether it is allowed, and whether the state of an exhausted key was
    /// changed.
    #[cold]
    #[inline(never)]
    fn spend_moved(
        &self,
        reading: Reading<'_, N>,
        state: &mut TieredState<N>,
        now: u64,
        n: u64,
        floor: u64,
    ) -> (bool, bool) {
        let (before, terms) = (*state, reading.terms());
        let bucket_of = |id| self.quotas.bucket(id);
        let is_allowed = terms.spend_and_move(state, now, n, floor, bucket_of);
        let changes_exhausted = *state != before && before.is_exhausted(floor, bucket_of);
        (is_allowed, changes_exhausted)
    }
}

impl<const N: usize> Reading<'_, N> {
    /// Returns what was found of a key whose buckets are on the axes of the policy's quotas.
    #[inline(always)]
    fn found(&self, spent: &Points<N>, earned: &Points<N>, now: u64, is_allowed: bool) -> Found<N> {
        let Order { places, count } = self.order();
        let view = |place: u32| {
            let place = place as usize;
            self.bucket_for_view(place)
                .view(spent[place], earned[place], now)
        };
        Found {
            views: places.map(view),
            count,
            is_allowed,
        }
    }
}

impl<const N: usize> TierPolicy<N> {
    /// Returns a number that no other living tier of the limiter has.
    pub(crate) fn id(&self) -> TierId {
        self.id
    }

    /// Returns the policy.
    pub(crate) fn policy(&self) -> Policy<N> {
        let _no_replacement = self.replacing.lock();
        self.live.read().policy()
    }
}

/// What a check is decided by, which is read under the lock of its shard.
#[derive(Clone, Copy)]
pub(crate) struct Under<'a, const N: usize> {
    reading: Reading<'a, N>,
    moved: &'a OnceCell<[BucketView; N]>,
}

impl<const N: usize> Rule<N> for Policies<N> {
    type State = TieredState<N>;
    type Exhausted = Exhausted<N>;
    type Tier = TierPolicy<N>;
    type Under<'a> = Under<'a, N>;
    type Asked<'a> = Asked<'a, N>;
    type Found = Found<N>;
    type Census = Census;

    const NEEDS_LOCK: bool = true;

    #[inline]
    fn ask<'a>(&'a self, tier: &'a TierPolicy<N>) -> Asked<'a, N> {
        let moved = OnceCell::new();
        Asked { tier, moved }
    }

    #[inline]
    fn under<'a>(&'a self, asked: &'a Asked<'_, N>) -> Under<'a, N> {
        Under {
            reading: asked.tier.live.read(),
            moved: &asked.moved,
        }
    }

    #[inline]
    fn can_hold(under: &Under<'_, N>, n: u64) -> bool {
        (0..N).all(|index| n <= under.reading.burst(index))
    }

    #[inline(always)]
    fn spend<O: Outcome<Found<N>>>(
        &self,
        under: &Under<'_, N>,
        state: &mut TieredState<N>,
        now: u64,
        n: u64,
        floor: impl Fn() -> u64,
    ) -> Verdict<O, Exhausted<N>> {
        let reading = &under.reading;
        let quotas = reading.quotas();
        let buckets: [Bucket; N] = array::from_fn(|index| reading.bucket_for_check(index));
        let earned = buckets.each_ref().map(|bucket| bucket.earned(now));
        // A key without quotas has full buckets, on any axis.
        let (is_allowed, changes_exhausted) = if *state.quotas() == quotas || state.is_new() {
            let spent = try_spend(buckets.iter(), state.points(), &earned, n);
            if let Some(spent) = spent {
                *state = TieredState::new(spent, quotas);
            }
            (spent.is_some(), false)
        } else {
            self.spend_moved(*reading, state, now, n, floor())
        };
        let is_exhausted = !is_allowed
            && *state.quotas() == quotas
            && is_any_exhausted(buckets.iter(), state.points(), now);
        let exhausted = is_exhausted.then(|| Exhausted {
            serial: reading.serial,
            spent: *state.points(),
        });
        let found = || {
            if *state.quotas() == quotas {
                return reading.found(state.points(), &earned, now, is_allowed);
            }
            self.found_moved(under, state, now, is_allowed)
        };
        Verdict {
            outcome: O::new(is_allowed, found),
            exhausted,
            changes_exhausted,
        }
    }

    fn peek<O: Outcome<Found<N>>>(
        &self,
        under: &Under<'_, N>,
        state: &TieredState<N>,
        now: u64,
        n: u64,
    ) -> O {
        let terms = under.reading.terms();
        let is_allowed = terms.allows(state, now, n, |id| self.quotas.bucket(id));
        O::new(is_allowed, || {
            self.found_moved(under, state, now, is_allowed)
        })
    }

    #[inline]
    fn deny<O: Outcome<Found<N>>>(
        &self,
        asked: &Asked<'_, N>,
        exhausted: &Exhausted<N>,
        now: u64,
    ) -> Option<O> {
        let Exhausted { serial, spent } = exhausted;
        let (reading, buckets) = asked.tier.live.read_unlocked(*serial)?;
        if !is_any_exhausted(buckets.iter(), spent, now) {
            return None;
        }
        let outcome = O::new(false, || {
            // Words of two policies are not computed with: what is earned follows from `buckets`.
            let earned = buckets.each_ref().map(|bucket| bucket.earned(now));
            reading.found(spent, &earned, now, false)
        });
        asked.tier.live.is_still(*serial).then_some(outcome)
    }

    fn is_exhausted(&self, state: &TieredState<N>, now: u64) -> bool {
        state.is_exhausted(now, |id| self.quotas.bucket(id))
    }

    #[inline]
    fn decision(
        &self,
        asked: &Asked<'_, N>,
        found: &Found<N>,
        n: u64,
        source: DecisionSource,
    ) -> Decision<N> {
        // A policy asserts that its quotas are as few.
        let count = u16::try_from(found.count).unwrap_or(u16::MAX);
        let tier = Some(asked.tier.id);
        let decision = |views| Decision::new(views, count, n, found.is_allowed, source, tier);
        match asked.moved.get() {
            Some(views) => decision(*views),
            None => decision(found.views),
        }
    }

    fn has_unused(&self) -> bool {
        self.registry.lock().has_unused()
    }

    fn begin_census(&self) -> Census {
        let registry = self.registry.lock();
        let (releases, quotas) = registry.begin_census();
        let met = if registry.has_unused() {
            vec![0; quotas.div_ceil(WORD)]
        } else {
            Vec::new()
        };
        Census {
            releases,
            met: RefCell::new(met),
        }
    }

    fn full_at<'a>(
        &'a self,
        now: u64,
        census: &'a Census,
    ) -> impl Fn(&TieredState<N>) -> bool + 'a {
        move |state| {
            let is_full = state.is_full(now, |id| self.quotas.bucket(id));
            if !is_full {
                census.meet(state.quotas());
            }
            is_full
        }
    }

    fn end_census(&self, census: &Census, has_skipped: bool) {
        let (met, releases) = (census.met.borrow(), census.releases);
        if met.is_empty() || has_skipped {
            return;
        }
        let is_met = |id: QuotaId| {
            let (word, bit) = position(id);
            // One that was given later was not looked for.
            met.get(word).is_none_or(|word| word & bit != 0)
        };
        self.registry.lock().end_census(releases, is_met);
    }
}

/// Which quotas a sweep has met beside the buckets of keys.
pub(crate) struct Census {
    /// How often quotas had been released when it began.
    releases: u64,
    /// A bit for each quota. Empty if none was unused when it began.
    met: RefCell<Vec<u64>>,
}

const WORD: usize = u64::BITS as usize;

impl Census {
    fn meet(&self, quotas: &[QuotaId]) {
        let mut met = self.met.borrow_mut();
        for &id in quotas.iter().filter(|id| **id != NO_QUOTA) {
            let (word, bit) = position(id);
            if let Some(word) = met.get_mut(word) {
                *word |= bit;
            }
        }
    }
}

fn position(id: QuotaId) -> (usize, u64) {
    let position = id as usize - 1;
    (position / WORD, 1 << (position % WORD))
}
