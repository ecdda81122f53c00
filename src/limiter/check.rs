//! The check: one path through the cache of denied keys and the table, and one exit.

use std::{
    borrow::Borrow,
    convert::Infallible,
    hash::{BuildHasher, Hash},
    mem,
};

use super::{Core, RateLimiter};
use crate::arith::evaluate::Outcome;
use crate::arith::state::State;
use crate::decision::{Decision, DecisionSource};
use crate::denied::Lookup;
use crate::limit::{Checked, Immediate, Limit};
use crate::quota::Quota;
use crate::rule::Rule;

impl<K, const N: usize, S> RateLimiter<K, N, S>
where
    K: Hash + Eq + Send,
    S: BuildHasher + Clone,
{
    /// Spends one unit of `key` if every bucket of the key holds one, and returns whether it did.
    ///
    /// It makes no [`Decision`], and takes less time than [`check`](RateLimiter::check).
    #[must_use = "a check that is not read limits nothing"]
    #[inline]
    pub fn allow<Q>(&self, key: &Q) -> bool
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ToOwned<Owned = K> + ?Sized,
    {
        self.core.allow(&(), key)
    }

    /// Spends one unit of `key` if every bucket of the key holds one, and returns the decision with its
    /// numbers.
    ///
    /// The key is anything that `K` borrows as. [The front page](crate#keys) says which type to choose.
    ///
    /// ```
    /// use std::time::Duration;
    /// use tollgate::{ManualClock, Quota, RateLimiter};
    ///
    /// let quota = Quota::per_minute(60).burst(1);
    /// let limiter: RateLimiter<String> =
    ///     RateLimiter::builder(quota).clock(ManualClock::new()).build();
    /// assert!(limiter.check("alice").is_allowed());
    /// assert_eq!(limiter.check("alice").retry_after(), Some(Duration::from_secs(1)));
    /// ```
    #[inline]
    pub fn check<Q>(&self, key: &Q) -> Decision<N>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ToOwned<Owned = K> + ?Sized,
    {
        self.check_n(key, 1)
    }

    /// Spends `n` units of `key` if every bucket of the key holds them, and none otherwise.
    ///
    /// `n` may be 0: that is always allowed and spends nothing. If `n` is above the burst, the
    /// request is denied and [exceeds the burst](Decision::exceeds_burst). A request for 0 units, or for
    /// more than the burst, stores no key.
    ///
    /// ```
    /// use tollgate::{ManualClock, Quota, RateLimiter};
    ///
    /// let quota = Quota::per_minute(100).burst(10);
    /// let limiter = RateLimiter::builder(quota).clock(ManualClock::new()).build();
    /// assert!(limiter.check_n("alice", 7).is_allowed());
    /// assert!(!limiter.check_n("alice", 7).is_allowed());
    /// assert_eq!(limiter.check_n("alice", 0).remaining(), 3);
    /// assert!(limiter.check_n("alice", 11).exceeds_burst());
    /// ```
    #[inline]
    pub fn check_n<Q>(&self, key: &Q, n: u64) -> Decision<N>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ToOwned<Owned = K> + ?Sized,
    {
        self.core.decide(&(), key, n)
    }

    /// Decides as [`check`](RateLimiter::check) would, and spends and stores nothing.
    /// [`remaining`](Decision::remaining) is what the bucket holds now. A later check may find less, as
    /// other threads spend.
    pub fn peek<Q>(&self, key: &Q) -> Decision<N>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        self.peek_n(key, 1)
    }

    /// Decides as [`check_n`](RateLimiter::check_n) would, and spends and stores nothing.
    pub fn peek_n<Q>(&self, key: &Q, n: u64) -> Decision<N>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        self.core.peek(&(), key, n)
    }
}

impl<K, const N: usize, S, R> Core<K, N, S, R>
where
    K: Hash + Eq + Send,
    S: BuildHasher + Clone,
    R: Rule<N>,
{
    /// Spends `n` units of `key`, if it holds them, and returns the decision.
    #[inline]
    pub(crate) fn decide<Q>(&self, tier: &R::Tier, key: &Q, n: u64) -> Decision<N>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ToOwned<Owned = K> + ?Sized,
    {
        let asked = self.rule.ask(tier);
        let (found, source) = self.check(&asked, key, n);
        self.rule.decision(&asked, &found, n, source)
    }

    /// Spends one unit of `key`, if it holds one, and returns whether it did.
    #[inline]
    pub(crate) fn allow<Q>(&self, tier: &R::Tier, key: &Q) -> bool
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ToOwned<Owned = K> + ?Sized,
    {
        let asked = self.rule.ask(tier);
        self.check::<Q, bool>(&asked, key, 1).0
    }

    /// Spends `n` units of `key`, if it holds them.
    #[inline]
    fn check<Q, O: Outcome<R::Found>>(
        &self,
        asked: &R::Asked<'_>,
        key: &Q,
        n: u64,
    ) -> (O, DecisionSource)
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ToOwned<Owned = K> + ?Sized,
    {
        let hash = self.table.hash(key);
        match self.look_up_denied(asked, hash, key, n) {
            Lookup::Hit(denial) => (denial, DecisionSource::DeniedCache),
            Lookup::Miss { should_insert } => {
                let outcome = self.check_table(asked, hash, key, n, should_insert);
                (outcome, DecisionSource::Table)
            }
        }
    }

    /// Returns the decision on `n` units of `key`, and changes nothing.
    pub(crate) fn peek<Q>(&self, tier: &R::Tier, key: &Q, n: u64) -> Decision<N>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        let asked = self.rule.ask(tier);
        let look = |state: &R::State| self.look(&asked, state, n);
        let found: R::Found = self.table.read(self.table.hash(key), key, look);
        self.rule.decision(&asked, &found, n, DecisionSource::Table)
    }

    /// Denies `n` units of `key`, if this thread has cached that the key is exhausted.
    #[inline]
    fn look_up_denied<Q, O: Outcome<R::Found>>(
        &self,
        asked: &R::Asked<'_>,
        hash: u64,
        key: &Q,
        n: u64,
    ) -> Lookup<O>
    where
        K: Borrow<Q>,
        Q: Eq + ?Sized,
    {
        if n == 0 {
            return Lookup::Miss {
                should_insert: false,
            };
        }
        let deny = |state: &R::Exhausted| self.rule.deny(asked, state, self.timer.now());
        self.denied.lookup(hash, key, deny)
    }

    /// Checks `key` in the table. Caches it if it is exhausted and `should_cache`.
    #[inline]
    fn check_table<Q, O: Outcome<R::Found>>(
        &self,
        asked: &R::Asked<'_>,
        hash: u64,
        key: &Q,
        n: u64,
        should_cache: bool,
    ) -> O
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ToOwned<Owned = K> + ?Sized,
    {
        let epoch = self.denied.epoch(hash);
        let mut exhausted = None;
        let now = || self.timer.now();
        let outcome = if const { is_cheap::<K>() } {
            let spend = |under, state: &mut R::State, now| {
                self.spend(&under, hash, state, now, n, &mut exhausted)
            };
            let key = key.to_owned();
            self.table
                .upsert(hash, key, || self.plan(asked, n), now, spend)
        } else {
            let spend = |state: &mut R::State, now| {
                let under = self.rule.under(asked);
                self.spend(&under, hash, state, now, n, &mut exhausted)
            };
            let found = self.table.update(hash, key, now, spend);
            found.unwrap_or_else(|| self.check_unknown(asked, hash, key, n))
        };
        if let Some(state) = exhausted
            && should_cache
        {
            self.denied.insert(hash, key, state, epoch);
        }
        outcome
    }

    #[cold]
    fn check_unknown<Q, O: Outcome<R::Found>>(
        &self,
        asked: &R::Asked<'_>,
        hash: u64,
        key: &Q,
        n: u64,
    ) -> O
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ToOwned<Owned = K> + ?Sized,
    {
        if n == 0 {
            return self
                .table
                .read(hash, key, |state| self.look(asked, state, n));
        }
        if !R::NEEDS_LOCK && !self.plan(asked, n).1 {
            return self.look(asked, &R::State::FULL, n);
        }
        // The key is cloned before any lock is taken. Another thread may insert it meanwhile.
        let now = || self.timer.now();
        let spend =
            |under, state: &mut R::State, now| self.spend(&under, hash, state, now, n, &mut None);
        let key = key.to_owned();
        self.table
            .upsert(hash, key, || self.plan(asked, n), now, spend)
    }

    /// Returns what a request for `n` units is decided by, and whether it inserts an unknown key, whose
    /// buckets are full: unless it spends nothing or exceeds a burst.
    #[inline]
    fn plan<'a>(&'a self, asked: &'a R::Asked<'_>, n: u64) -> (R::Under<'a>, bool) {
        let under = self.rule.under(asked);
        let should_insert = n > 0 && R::can_hold(&under, n);
        (under, should_insert)
    }

    /// Spends from a key whose shard is locked, at a `now` that was read under that lock.
    /// `exhausted` is set to the key's state if the key holds less than a unit.
    ///
    /// A reading taken earlier may be stale once the lock is held. The caller could be denied units
    /// that were earned while it waited. A key that was swept meanwhile could be inserted as of the
    /// old time, and be credited that interval twice. Reading after the state is found is also
    /// faster: the read of the clock overlaps the cache miss on the state.
    // Always: in a call of its own, `exhausted` would lie in memory, and a check took 2 ns more.
    #[inline(always)]
    fn spend<O: Outcome<R::Found>>(
        &self,
        under: &R::Under<'_>,
        hash: u64,
        state: &mut R::State,
        now: u64,
        n: u64,
        exhausted: &mut Option<R::Exhausted>,
    ) -> O {
        let floor = || self.timer.floor_after(now);
        let verdict = self.rule.spend(under, state, now, n, floor);
        if verdict.changes_exhausted {
            self.denied.invalidate(hash);
        }
        *exhausted = verdict.exhausted;
        verdict.outcome
    }

    #[inline]
    fn look<O: Outcome<R::Found>>(&self, asked: &R::Asked<'_>, state: &R::State, n: u64) -> O {
        let under = self.rule.under(asked);
        self.rule.peek(&under, state, self.timer.now(), n)
    }
}

/// Whether a key is copied for every check, in case it is inserted, rather than looked up first. A
/// number, for example, is copied in a register and needs no dropping.
const fn is_cheap<K>() -> bool {
    !mem::needs_drop::<K>() && size_of::<K>() <= 32
}

/// Decides at once, as [`check_n`](RateLimiter::check_n) does.
impl<K, const N: usize, S, Q> Limit<Q> for RateLimiter<K, N, S>
where
    K: Hash + Eq + Send + Borrow<Q>,
    S: BuildHasher + Clone,
    Q: Hash + Eq + ToOwned<Owned = K> + ?Sized,
{
    type Decision = Decision<N>;
    type Error = Infallible;
    type Future = Immediate<Decision<N>>;

    fn quotas(&self) -> Vec<Quota> {
        self.core.rule.quotas().to_vec()
    }

    #[inline]
    fn decide(&self, key: &Q, n: u64) -> Checked<Decision<N>, Immediate<Decision<N>>> {
        Checked::Now(self.check_n(key, n))
    }
}
