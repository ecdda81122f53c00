//! The limiter: a policy, a clock, a table of keys and a cache of denied ones.

mod builder;
mod check;
mod schedule;
mod settings;
mod sweep;

use std::{
    borrow::Borrow,
    fmt,
    hash::{BuildHasher, Hash},
    panic::{RefUnwindSafe, UnwindSafe},
};

pub use builder::Builder;
pub(crate) use settings::{Settings, no_thread};

use crate::clock::Timer;
use crate::denied::DeniedCache;
use crate::hash::RandomState;
use crate::maintenance::Registration;
use crate::policy::{IntoPolicy, Policy};
use crate::rule::Rule;
use crate::store::Table;
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
/// Share it by reference or in an [`Arc`].
///
/// - `K` is the key as it is stored. Checks take whatever `K` [borrows as](Borrow): a
///   `RateLimiter<String>` takes a `&str`. See [which type to choose](crate#keys).
/// - `N` is the most quotas that the [`Policy`] has room for. Default: 1.
/// - `S` makes the hashers. Default: [`RandomState`].
///
/// # Limits
///
/// - **In memory, in one process.** Several processes limit each on their own, and a restart
///   forgets every key: each starts again with a full bucket.
/// - **Memory grows with the keys in debt.** A key is stored from its first allowed check until its
///   bucket is full and swept. Their number has no bound.
/// - **Copies of denied keys.** Each thread caches up to 4,096 denied keys of each limiter. With one
///   quota that takes up to 128 KiB for `u64`, and 192 KiB and the text for `String`: the size of the
///   key and 20 bytes or so for each. While few keys are denied it takes 1 KiB. Beside that come 256 to
///   512 bytes for each thread that the process has had at once, as the memory is found by the number of
///   the thread. A thread that starts takes over the cache of one that has ended. The copies are dropped
///   with the limiter, all at once, or in a check that puts another key in their place.
///
///   Keys of more than 128 bytes are not cached. The size is `size_of_val(key)`. For a `&String` that is
///   24 bytes, whatever its length. So check a `RateLimiter<String>` with a `&str`.
///
/// # Threads
///
/// One thread, named `tollgate`, sweeps all limiters of the process and refreshes all coarse clocks.
/// The first of them starts it, and it ends with the last. Limiters that are
/// [swept manually](Builder::manual_sweep) need none, unless their clock is coarse. The HTTP layer needs
/// it while it waits for the body of a rejected request.
///
/// - The thread sweeps in slices of some thousand keys, and takes the limiters by turns. An empty
///   limiter costs it next to nothing, and 2,000 limiters share it. But each limiter takes 20 KB of
///   shards (fewer if [set](Builder::shards)), so one limiter with the tenant in the key is better
///   than one for each tenant.
/// - **The key's own code.** `Drop` of swept keys and `Hash` of stored ones run on this thread. While
///   they block, nothing else is done: no sweep, no refresh of a coarse clock, no time limit of the
///   HTTP layer. If they panic, the sweep goes on with the next key.
/// - **Dropping a limiter** waits for no sweep. It drops the keys on the calling thread. If a slice
///   of a sweep of this limiter is running, the maintenance thread drops them instead, in slices.
/// - **Signals.** The thread has the signal mask of the thread that started it, so the system may
///   run signal handlers on it. A program that wants signals on one thread only blocks them before
///   it builds its first limiter, and unblocks them there.
/// - **Fork.** A forked child has no such thread. It starts its own for the limiters and clocks that
///   it builds. Limiters that it inherits can be used and dropped, and are not swept. What another
///   thread did with them at the instant of the fork goes wrong: a lock that it held stays locked
///   for ever, and the keys of a running slice are leaked. That goes for one lock of the process, too:
///   another thread holds it while it ends, or while it caches its first denied key. A child that has
///   the same process id in another namespace (the first process of a container that forks into a new
///   one) is taken for its parent. So build limiters after the fork. (A coarse clock that a child inherits goes on, as
///   [documented](crate::Clock::coarse).)
/// - **Unloading.** A library that is unloaded while the process runs must not own limiters: the
///   thread may still execute its last instructions when the last limiter has been dropped.
///
/// # Consistency
///
/// Concurrent checks of a key happen one after the other. Each decision is the model's at some
/// instant between the call and its return. No two threads spend the same unit, and no check is
/// denied while its units are there.
///
/// A check locks the key's shard of the table exclusively, reads the clock and decides.
/// [`peek`](RateLimiter::peek) does the same: readers that share the lock could keep all checks out.
/// A thread that finds a key exhausted caches what it saw. It then denies the key without the table
/// until a unit is earned. Only [`forget`](RateLimiter::forget) can change such a bucket, and it
/// invalidates what is cached of it.
///
/// On a [coarse clock](crate::Clock::coarse) decisions are the model's at a time that lags.
///
/// # Caveats
///
/// The key's `Hash` and `Eq` may run while its shard is locked. They must not call the limiter,
/// except [`len`](RateLimiter::len) and [`is_empty`](RateLimiter::is_empty). If they panic, the panic
/// propagates and no units are spent.
///
/// `ToOwned` and `Drop` run under no lock. `ToOwned` runs when a key is first stored, and when a
/// thread caches a denied one (a panic then replaces the denial). For keys of at most 32 bytes that
/// need no `Drop` it runs for every check that reaches the table.
///
/// If the `Hash` of a stored key panics while its shard rehashes in place, keys of that shard may be
/// lost with their debt. [`len`](RateLimiter::len) then stays too high by as many.
pub struct RateLimiter<K: Send, const N: usize = 1, S = RandomState> {
    core: Arc<Core<K, N, S, Policy<N>>>,
    /// Dropped last. Its job then has the last handle of the core, and drops the keys on the thread
    /// that drops the limiter. While a slice of a sweep runs, the job drops them in slices instead.
    _sweeping: Option<Registration>,
}

/// What the limiter shares with the maintenance thread.
pub(crate) struct Core<K: Send, const N: usize, S, R: Rule<N>> {
    pub(crate) rule: R,
    timer: Timer,
    pub(crate) table: Table<K, R::State, S>,
    denied: DeniedCache<K, R::Exhausted>,
}

impl<K, const N: usize, S, R> Core<K, N, S, R>
where
    K: Hash + Eq + Send,
    S: BuildHasher + Clone,
    R: Rule<N>,
{
    /// See [`RateLimiter::forget`].
    pub(crate) fn forget<Q>(&self, key: &Q) -> bool
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        let (hash, floor) = (self.table.hash(key), self.timer.floor());
        self.table.remove(hash, key, |state| {
            if self.rule.is_exhausted(state, floor) {
                self.denied.invalidate(hash);
            }
        })
    }

    /// See [`RateLimiter::sweep`].
    pub(crate) fn sweep(&self) -> usize {
        let mut sweep = self.begin_sweep(self.timer.publish_now());
        while self.sweep_some(&mut sweep) {}
        sweep.finish()
    }
}

impl<K, const N: usize> RateLimiter<K, N>
where
    K: Hash + Eq + Send + Sync + 'static,
{
    /// Makes a limiter on the system clock that is swept by the maintenance thread.
    ///
    /// The first one in a process may take 0.2 s, to calibrate the [`Clock`](crate::Clock).
    ///
    /// # Panics
    ///
    /// If the operating system refuses a thread, as targets without threads do (`wasm32`).
    /// [`Builder::manual_sweep`] needs none, and [`Builder::try_build`] returns an error instead.
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
    pub fn new(policy: impl IntoPolicy<N>) -> RateLimiter<K, N> {
        RateLimiter::builder(policy).build()
    }

    /// Returns a builder, which sets the clock, the hasher, the shards and the sweeps.
    pub fn builder(policy: impl IntoPolicy<N>) -> Builder<K, N> {
        Builder::new(policy.into_policy())
    }
}

impl<K, const N: usize, S> RateLimiter<K, N, S>
where
    K: Hash + Eq + Send,
    S: BuildHasher + Clone,
{
    /// Removes `key`, so that its next check finds full buckets. Returns false if it was not stored.
    ///
    /// If the key holds less than a unit, this invalidates what threads have cached of it, and of about 1
    /// in 64 other denied keys. A copy of the key may stay in a cache until another key takes its place.
    pub fn forget<Q>(&self, key: &Q) -> bool
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        self.core.forget(key)
    }

    /// Removes every key whose buckets are all full, and returns how many there were.
    ///
    /// No decision depends on when, or whether, this is called: an unknown key has full buckets. It
    /// locks one shard of the table at a time, for some thousand keys, and gives memory back after a
    /// flood. A key that moves meanwhile, as its shard grows or shrinks, may be left for the next
    /// sweep.
    ///
    /// # Panics
    ///
    /// If the `Drop` or the `Hash` of a key does, after all other keys have been visited.
    pub fn sweep(&self) -> usize {
        self.core.sweep()
    }

    /// Returns the number of stored keys: those in debt, and those with full buckets that are not
    /// swept yet.
    ///
    /// It takes no lock, and reads one number for each shard. While other threads store and forget
    /// keys, the result is out of date at once.
    #[must_use]
    pub fn len(&self) -> usize {
        self.core.table.len()
    }

    /// Whether no key is stored.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns the policy that every key is under.
    #[must_use]
    pub fn policy(&self) -> &Policy<N> {
        &self.core.rule
    }
}

/// Its table changes under locks that a panic releases with nothing half written.
impl<K: Send, const N: usize, S> RefUnwindSafe for RateLimiter<K, N, S> {}
impl<K: Send, const N: usize, S> UnwindSafe for RateLimiter<K, N, S> {}

/// Without the keys, which may be secrets.
impl<K, const N: usize, S> fmt::Debug for RateLimiter<K, N, S>
where
    K: Hash + Eq + Send,
    S: BuildHasher + Clone,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RateLimiter")
            .field("policy", &self.core.rule)
            .field("len", &self.len())
            .finish_non_exhaustive()
    }
}
