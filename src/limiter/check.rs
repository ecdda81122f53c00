//! The check: one path through the cache of denied keys and the table, and one exit.

use std::{
    borrow::Borrow,
    convert::Infallible,
    hash::{BuildHasher, Hash},
    mem,
};

use super::{Core, RateLimiter};
use crate::arith::evaluate::Outcome;
use crate::arith::state::KeyState;
use crate::decision::{Decision, DecisionSource};
use crate::denied::Lookup;
use crate::limit::{Checked, Immediate, Limit};
use crate::quota::Quota;

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
        self.core.check::<Q, bool>(key, 1).0
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
        let (evaluation, source) = self.core.check(key, n);
        self.core.policy.decision(&evaluation, n, source)
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
        let core = &*self.core;
        let look = |state: &KeyState<N>| core.peek(state, n);
        let evaluation = core.table.read(core.table.hash(key), key, look);
        let evaluation = evaluation.unwrap_or_else(|| look(&KeyState::FULL));
        core.policy.decision(&evaluation, n, DecisionSource::Table)
    }
}

impl<K, const N: usize, S> Core<K, N, S>
where
    K: Hash + Eq + Send,
    S: BuildHasher + Clone,
{
    /// Spends `n` units of `key`, if it holds them.
    #[inline]
    fn check<Q, O: Outcome<N>>(&self, key: &Q, n: u64) -> (O, DecisionSource)
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ToOwned<Owned = K> + ?Sized,
    {
        let hash = self.table.hash(key);
        match self.look_up_denied(hash, key, n) {
            Lookup::Hit(denial) => (denial, DecisionSource::DeniedCache),
            Lookup::Miss { should_insert } => {
                let outcome = self.check_table(hash, key, n, should_insert);
                (outcome, DecisionSource::Table)
            }
        }
    }

    /// Denies `n` units of `key`, if this thread has cached that the key is exhausted.
    #[inline]
    fn look_up_denied<Q, O: Outcome<N>>(&self, hash: u64, key: &Q, n: u64) -> Lookup<O>
    where
        K: Borrow<Q>,
        Q: Eq + ?Sized,
    {
        if n == 0 {
            return Lookup::Miss {
                should_insert: false,
            };
        }
        let deny = |state: &KeyState<N>| self.policy.buckets().deny(state, self.timer.now());
        self.denied.lookup(hash, key, deny)
    }

    /// Checks `key` in the table. Caches it if it is exhausted and `should_cache`.
    #[inline]
    fn check_table<Q, O: Outcome<N>>(&self, hash: u64, key: &Q, n: u64, should_cache: bool) -> O
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ToOwned<Owned = K> + ?Sized,
    {
        let epoch = self.denied.epoch(hash);
        let mut exhausted = None;
        let now = || self.timer.now();
        let spend = |state: &mut KeyState<N>, now| self.spend(state, now, n, &mut exhausted);
        let outcome = if const { is_cheap::<K>() } {
            let should_insert = move || self.should_insert(n);
            let key = key.to_owned();
            self.table.upsert(hash, key, should_insert, now, spend)
        } else {
            let found = self.table.update(hash, key, now, spend);
            found.unwrap_or_else(|| self.check_unknown(hash, key, n))
        };
        if let Some(state) = exhausted
            && should_cache
        {
            self.denied.insert(hash, key, state, epoch);
        }
        outcome
    }

    #[cold]
    fn check_unknown<Q, O: Outcome<N>>(&self, hash: u64, key: &Q, n: u64) -> O
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ToOwned<Owned = K> + ?Sized,
    {
        if !self.should_insert(n) {
            return self.peek(&KeyState::FULL, n);
        }
        // The key is cloned before any lock is taken. Another thread may insert it meanwhile.
        let now = || self.timer.now();
        let spend = |state: &mut KeyState<N>, now| self.spend(state, now, n, &mut None);
        let key = key.to_owned();
        self.table.upsert(hash, key, || true, now, spend)
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
    fn spend<O: Outcome<N>>(
        &self,
        state: &mut KeyState<N>,
        now: u64,
        n: u64,
        exhausted: &mut Option<KeyState<N>>,
    ) -> O {
        let buckets = self.policy.buckets();
        let outcome: O = buckets.spend(state, now, n);
        if !outcome.is_allowed() && buckets.is_exhausted(state, now) {
            *exhausted = Some(*state);
        }
        outcome
    }

    #[inline]
    fn peek<O: Outcome<N>>(&self, state: &KeyState<N>, n: u64) -> O {
        self.policy.buckets().peek(state, self.timer.now(), n)
    }

    /// Whether a request for `n` units inserts an unknown key, whose buckets are full: unless it
    /// spends nothing or exceeds a burst.
    #[inline]
    fn should_insert(&self, n: u64) -> bool {
        n > 0 && self.policy.buckets().can_hold(n)
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

    fn quotas(&self) -> &[Quota] {
        self.core.policy.quotas()
    }

    #[inline]
    fn decide(&self, key: &Q, n: u64) -> Checked<Decision<N>, Immediate<Decision<N>>> {
        Checked::Now(self.check_n(key, n))
    }
}
