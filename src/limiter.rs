//! The limiter: a policy, a clock and a table, and who forgets.

mod builder;
mod sweep;

use std::{
    borrow::Borrow,
    fmt,
    hash::{BuildHasher, Hash},
    mem,
    panic::{RefUnwindSafe, UnwindSafe},
};

pub use builder::Builder;

use crate::clock::Timer;
use crate::decision::Decision;
use crate::denied::{DeniedCache, Lookup};
use crate::hash::RandomState;
use crate::maintenance::Registration;
use crate::policy::{Evaluation, Policy};
use crate::store::Table;
use crate::sweep::Sweep;
use crate::sync::Arc;

/// A thread-safe rate limiter with a token bucket for each key.
///
/// ```
/// use tollgate::{Quota, RateLimiter};
///
/// let limiter = RateLimiter::new(Quota::per_minute(100).burst(10));
/// let decision = limiter.check("203.0.113.7");
/// assert!(decision.is_allowed());
/// assert_eq!(decision.remaining(), 9);
/// ```
///
/// Share it by reference or in an [`Arc`]. `K` is the key as it is stored; whatever it
/// [borrows as](Borrow) can be asked with, so that a `RateLimiter<String>` takes a `&str`, and
/// allocates only for a key that is stored, or copied as it is refused. `N` is the number of quotas
/// in the [`Policy`], 1 unless an array of them is given; `S` makes the hashers.
///
/// # Limits
///
/// - **In memory, in one process.** Several processes limit each on their own, and a restart
///   forgets every key: each starts again with a full bucket.
/// - **Memory grows with the keys in debt.** A key is stored from its first allowed check until
///   its bucket is full and swept. There is no bound on their number.
/// - **Copies of denied keys.** Each thread that denies keys keeps copies of up to 2,048 of them
///   for each limiter, for up to 64 limiters: 48 KiB each for `u64`. A key of more than 128 bytes,
///   by `size_of_val`, is not copied. That does not count what a `String` or a struct owns, so
///   check a `RateLimiter<String>` with a `&str`. A thread drops its copies when it drops the
///   limiter, when it ends, and, of limiters dropped elsewhere, when it begins to keep copies for
///   another. A `Drop` that panics as a thread ends aborts the process.
///
/// # Threads
///
/// One thread, named `tollgate`, sweeps all limiters of the process and refreshes all coarse
/// clocks. The first of them starts it, and it ends with the last. Limiters that are
/// [swept by hand](Builder::manual_sweep) need none. (The layer for HTTP does, while it waits for
/// the body of a rejected request.)
///
/// - It sweeps in slices of some thousand keys, and takes the limiters by turns. An empty limiter
///   costs it next to nothing, and 2,000 limiters one thread: but each takes 39 KB of shards
///   ([fewer](Builder::shards) if set), so one limiter with the tenant in the key is better than
///   one for each tenant.
/// - **The key's own code.** `Drop` of swept keys and `Hash` of stored ones run on this thread. If
///   they block, nothing else is done meanwhile: no sweep, no refresh of a coarse clock, no time
///   limit of the layer for HTTP. If they panic, the sweep goes on with the next.
/// - **Dropping a limiter** waits for no sweep. It drops the keys, unless a slice of a sweep of
///   this limiter is under way. Then that thread drops them, in slices.
/// - **Signals.** The thread has the signal mask of the thread that started it, so the system may
///   run signal handlers on it. A program that wants signals on one thread alone blocks them
///   before it builds its first limiter, and unblocks them there.
/// - **Fork.** A forked child has no such thread. It starts one of its own for the limiters and
///   clocks that it builds. The limiters that it inherits can be used and dropped, but are not
///   swept, and what another thread was doing with them at the instant of the fork goes wrong: a
///   lock that it held stays locked for ever, and keys of a sweep under way are leaked. A child that
///   has the same process id in another namespace (a container's first process that forks into a new
///   one) is taken for its parent. So build limiters after the fork. (A coarse clock that it
///   inherits goes on, as [documented](crate::Clock::coarse).)
/// - **Unloading.** A library that is unloaded while the process runs must not use limiters of its
///   own: the thread may still be at its last instructions when the last limiter is dropped.
///
/// # Consistency
///
/// Concurrent checks of a key happen one after the other: each decision is the model's at some
/// instant between the call and its return. No two threads pass on one unit, and no check is
/// denied while its units are there.
///
/// More precisely, a check locks the key's shard of the table exclusively, reads the clock and
/// decides. [`peek`](RateLimiter::peek) does the same: readers that share the lock could keep all
/// checks out. A thread that finds a key without a unit caches what it saw, and denies the key
/// again without the table until a unit is earned: nothing can change such a bucket but
/// [`forget`](RateLimiter::forget), and that invalidates the caches.
///
/// On a [coarse clock](crate::Clock::coarse) decisions are the model's on a time that lags.
///
/// The key's `Hash` and `Eq` may run under that lock. They must not call the limiter, except
/// [`len`](RateLimiter::len) and [`is_empty`](RateLimiter::is_empty). If they panic, the panic
/// propagates and no units are spent. `ToOwned` and `Drop` run under no lock. `ToOwned` runs when a
/// key is first stored, when a thread copies a denied one (a panic then replaces the denial), and
/// for each check of a key of at most 32 bytes that needs no dropping.
///
/// One loss is possible. If the `Hash` of a stored key panics while its shard rehashes in place,
/// keys of that shard may be lost with their debt, and [`len`](RateLimiter::len) stays too high by
/// as many.
pub struct RateLimiter<K, const N: usize = 1, S = RandomState> {
    core: Arc<Core<K, N, S>>,
    /// Dropped last: its job has the last handle of the core then, and drops the keys on the thread
    /// that drops the limiter, unless a slice of a sweep is under way. Then it drops them in slices.
    _sweeping: Option<Registration>,
}

/// What the limiter shares with the maintenance thread.
struct Core<K, const N: usize, S> {
    policy: Policy<N>,
    timer: Timer,
    table: Table<K, N, S>,
    denied: DeniedCache<K, N>,
}

impl<K, const N: usize> RateLimiter<K, N>
where
    K: Hash + Eq + Send + Sync + 'static,
{
    /// A limiter on the machine's clock that forgets by itself.
    ///
    /// The first one in a process may take 0.2 s, to calibrate the [`Clock`](crate::Clock).
    ///
    /// # Panics
    ///
    /// If the operating system refuses a thread; [`Builder::try_build`] says so instead.
    ///
    /// # Examples
    ///
    /// Ten a minute and sixty an hour for each user, as one decision:
    ///
    /// ```
    /// use tollgate::{Quota, RateLimiter};
    ///
    /// let turns = RateLimiter::new([Quota::per_minute(10), Quota::per_hour(60)]);
    /// assert!(turns.allow("alice"));
    /// ```
    #[must_use]
    pub fn new(policy: impl Into<Policy<N>>) -> RateLimiter<K, N> {
        RateLimiter::builder(policy).build()
    }

    /// A limiter to be set up further.
    pub fn builder(policy: impl Into<Policy<N>>) -> Builder<K, N> {
        Builder::new(policy.into())
    }
}

impl<K, const N: usize, S> RateLimiter<K, N, S>
where
    K: Hash + Eq + 'static,
    S: BuildHasher + Clone,
{
    /// Spends one unit of `key` if its bucket holds one, and says whether it did.
    #[must_use = "a check that nobody looks at limits nothing"]
    #[inline]
    pub fn allow<Q>(&self, key: &Q) -> bool
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ToOwned<Owned = K> + ?Sized,
    {
        self.check(key).is_allowed()
    }

    /// Spends one unit of `key` if its bucket holds one, and says all there is to say.
    #[inline]
    pub fn check<Q>(&self, key: &Q) -> Decision<N>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ToOwned<Owned = K> + ?Sized,
    {
        self.check_n(key, 1)
    }

    /// Spends `n` units of `key` if its bucket holds as many, and none otherwise.
    ///
    /// `n` may be 0, which is always allowed and spends nothing, and more than the burst, which is
    /// denied and [never](Decision::exceeds_burst) allowed. Neither stores an unknown key.
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
        let should_insert = match core.lookup(hash, key, n) {
            Lookup::Hit(denial) => return core.policy.decision(&denial, n),
            Lookup::Miss { should_insert } => should_insert,
        };
        let epoch = core.denied.epoch();
        let spend = move |words: &mut [u64; N]| core.spend(words, n);
        let evaluation = if const { is_cheap::<K>() } {
            let should_insert = move || core.policy.should_insert(n);
            core.table
                .upsert(hash, key.to_owned(), should_insert, spend)
        } else {
            core.table
                .update(hash, key, spend)
                .unwrap_or_else(|| core.check_unknown(hash, key, n))
        };
        if should_insert && !evaluation.is_allowed && core.policy.is_exhausted(&evaluation) {
            core.denied.insert(hash, key, evaluation.words, epoch);
        }
        core.policy.decision(&evaluation, n)
    }

    /// What [`check`](RateLimiter::check) would decide, with nothing spent and nothing stored:
    /// [`remaining`](Decision::remaining) is what the bucket holds now.
    pub fn peek<Q>(&self, key: &Q) -> Decision<N>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        self.peek_n(key, 1)
    }

    /// What [`check_n`](RateLimiter::check_n) would decide, with nothing spent and nothing stored.
    pub fn peek_n<Q>(&self, key: &Q, n: u64) -> Decision<N>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        let core = &*self.core;
        let look = |words: &[u64; N]| core.policy.peek(words, core.timer.now(), n);
        let evaluation = core.table.read(key, look);
        let evaluation = evaluation.unwrap_or_else(|| look(&[0; N]));
        core.policy.decision(&evaluation, n)
    }

    /// Forgets `key`, whatever its debt: its bucket is full again. False if it was not stored.
    ///
    /// It ends what all threads insert of refused keys, and their next refusals ask the table. A
    /// thread may keep a copy of the key until it remembers another.
    pub fn forget<Q>(&self, key: &Q) -> bool
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        self.core
            .table
            .remove(key, || self.core.denied.invalidate())
    }

    /// Forgets every key whose bucket is full, and says how many those were.
    ///
    /// A key that moves meanwhile, as its shard grows or shrinks, may be passed over until the next
    /// sweep. No decision depends on when, or whether, this is called: an unknown key has a full
    /// bucket.
    /// It locks one shard of the table at a time, for some thousand keys, and gives memory back
    /// after a flood.
    ///
    /// # Panics
    ///
    /// If the `Drop` or the `Hash` of a key does, once all other keys have been looked at.
    pub fn sweep(&self) -> usize {
        let mut sweep = Sweep::at(self.core.timer.publish_now());
        while self.core.sweep_some(&mut sweep) {}
        sweep.finish()
    }

    /// The number of stored keys: those in debt, and those with a full bucket that are not swept
    /// yet. It takes no lock, and reads a number for each shard; while other threads store and
    /// forget keys it is out of date at once.
    #[must_use]
    pub fn len(&self) -> usize {
        self.core.table.len()
    }

    /// Whether no key is stored.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The policy that every key is under.
    #[must_use]
    pub fn policy(&self) -> &Policy<N> {
        &self.core.policy
    }
}

impl<K, const N: usize, S> Core<K, N, S>
where
    K: Hash + Eq + 'static,
    S: BuildHasher + Clone,
{
    /// Decides on words whose shard the caller holds, at a `now` that is read while it does.
    ///
    /// Read before, it would be an old one for whoever stalls or waits for the lock: he would be
    /// refused units that were earned meanwhile, and a key that was swept meanwhile would be stored
    /// as of then, to earn once more what it had earned and spent. Read after the words are found,
    /// it costs least too: the processor does not wait for the one before it turns to the other.
    #[inline]
    fn spend(&self, words: &mut [u64; N], n: u64) -> Evaluation<N> {
        self.policy.spend(words, self.timer.now(), n)
    }

    /// The denial of a key that this thread remembers to be refused.
    #[inline]
    fn lookup<Q>(&self, hash: u64, key: &Q, n: u64) -> Lookup<Evaluation<N>>
    where
        K: Borrow<Q>,
        Q: Eq + ?Sized,
    {
        if n == 0 {
            return Lookup::Miss {
                should_insert: false,
            };
        }
        self.denied.lookup(hash, key, |words| {
            let evaluation = self.policy.peek(words, self.timer.now(), n);
            let is_lacking = self.policy.is_exhausted(&evaluation);
            is_lacking.then_some(evaluation)
        })
    }

    #[cold]
    fn check_unknown<Q>(&self, hash: u64, key: &Q, n: u64) -> Evaluation<N>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ToOwned<Owned = K> + ?Sized,
    {
        if !self.policy.should_insert(n) {
            return self.policy.peek(&[0; N], self.timer.now(), n);
        }
        // The key is cloned before any lock is taken. Another thread may store it meanwhile.
        self.table
            .upsert(hash, key.to_owned(), || true, |words| self.spend(words, n))
    }
}

/// Whether a key is copied for every check, in case that it is to be stored, rather than looked for
/// first: a number, say, that is copied in a register and needs no dropping.
const fn is_cheap<K>() -> bool {
    !mem::needs_drop::<K>() && size_of::<K>() <= 32
}

/// Its table changes under locks that a panic releases with nothing half written.
impl<K, const N: usize, S> RefUnwindSafe for RateLimiter<K, N, S> {}
impl<K, const N: usize, S> UnwindSafe for RateLimiter<K, N, S> {}

/// Without the keys, which may be secrets.
impl<K, const N: usize, S> fmt::Debug for RateLimiter<K, N, S>
where
    K: Hash + Eq + 'static,
    S: BuildHasher + Clone,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RateLimiter")
            .field("policy", &self.core.policy)
            .field("len", &self.len())
            .finish_non_exhaustive()
    }
}
