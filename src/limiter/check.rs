//! The check: one path through the cache of denied keys and the table, and one exit.

use std::{
    borrow::Borrow,
    convert::Infallible,
    hash::{BuildHasher, Hash},
    mem,
};

use super::{Core, RateLimiter};
use crate::arith::evaluate::Evaluation;
use crate::arith::state::KeyState;
use crate::decision::{Decision, DecisionSource};
use crate::denied::Lookup;
use crate::limit::{Checked, Immediate, Limit};
use crate::quota::Quota;

impl<K, const N: usize, S> RateLimiter<K, N, S>
where
    K: Hash + Eq + 'static,
    S: BuildHasher + Clone,
{
    /// Spends one unit of `key` if every bucket of the key holds one, and returns whether it did.
    #[must_use = "a check that is not read limits nothing"]
    #[inline]
    pub fn allow<Q>(&self, key: &Q) -> bool
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ToOwned<Owned = K> + ?Sized,
    {
        self.check(key).is_allowed()
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
        let core = &*self.core;
        let hash = core.table.hash(key);
        let (evaluation, source) = match core.look_up_denied(hash, key, n) {
            Lookup::Hit(denial) => (denial, DecisionSource::DeniedCache),
            Lookup::Miss { should_insert } => {
                let evaluation = core.check_table(hash, key, n, should_insert);
                (evaluation, DecisionSource::Table)
            }
        };
        core.policy.decision(&evaluation, n, source)
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
        let evaluation = core.table.read(key, look);
        let evaluation = evaluation.unwrap_or_else(|| look(&KeyState::FULL));
        core.policy.decision(&evaluation, n, DecisionSource::Table)
    }
}

impl<K, const N: usize, S> Core<K, N, S>
where
    K: Hash + Eq + 'static,
    S: BuildHasher + Clone,
{
    /// Spends from a key whose shard the caller has locked, at a `now` that is read under that lock.
    ///
    /// A reading taken earlier may be stale once the lock is held. The caller could be denied units
    /// that were earned while it waited. A key that was swept meanwhile could be inserted as of the
    /// old time, and be credited that interval twice. Reading after the state is found is also
    /// faster: the read of the clock overlaps the cache miss on the state.
    #[inline]
    fn spend(&self, state: &mut KeyState<N>, n: u64) -> Evaluation<N> {
        self.policy.buckets().spend(state, self.timer.now(), n)
    }

    #[inline]
    fn peek(&self, state: &KeyState<N>, n: u64) -> Evaluation<N> {
        self.policy.buckets().peek(state, self.timer.now(), n)
    }

    /// Looks up whether this thread has cached that `key` is exhausted.
    #[inline]
    fn look_up_denied<Q>(&self, hash: u64, key: &Q, n: u64) -> Lookup<Evaluation<N>>
    where
        K: Borrow<Q>,
        Q: Eq + ?Sized,
    {
        if n == 0 {
            return Lookup::Miss {
                should_insert: false,
            };
        }
        self.denied.lookup(hash, key, |state| {
            let evaluation = self.peek(state, n);
            let is_exhausted = self.policy.buckets().is_exhausted(&evaluation);
            is_exhausted.then_some(evaluation)
        })
    }

    /// Checks `key` in the table. Caches it if it is exhausted and `should_cache`.
    #[inline]
    fn check_table<Q>(&self, hash: u64, key: &Q, n: u64, should_cache: bool) -> Evaluation<N>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ToOwned<Owned = K> + ?Sized,
    {
        let epoch = self.denied.epoch();
        let spend = move |state: &mut KeyState<N>| self.spend(state, n);
        let evaluation = if const { is_cheap::<K>() } {
            let should_insert = move || self.should_insert(n);
            let key = key.to_owned();
            self.table.upsert(hash, key, should_insert, spend)
        } else {
            let found = self.table.update(hash, key, spend);
            found.unwrap_or_else(|| self.check_unknown(hash, key, n))
        };
        if should_cache && !evaluation.is_allowed && self.policy.buckets().is_exhausted(&evaluation)
        {
            self.denied.insert(hash, key, evaluation.state, epoch);
        }
        evaluation
    }

    #[cold]
    fn check_unknown<Q>(&self, hash: u64, key: &Q, n: u64) -> Evaluation<N>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ToOwned<Owned = K> + ?Sized,
    {
        if !self.should_insert(n) {
            return self.peek(&KeyState::FULL, n);
        }
        // The key is cloned before any lock is taken. Another thread may insert it meanwhile.
        let spend = |state: &mut KeyState<N>| self.spend(state, n);
        self.table.upsert(hash, key.to_owned(), || true, spend)
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
    K: Hash + Eq + Borrow<Q> + 'static,
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
