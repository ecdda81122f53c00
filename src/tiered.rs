//! A limiter whose keys are under different policies, which can change.

mod builder;
mod error;
mod named;
mod tier;

use std::{
    borrow::Borrow,
    fmt,
    hash::{BuildHasher, Hash},
    panic::{RefUnwindSafe, UnwindSafe},
};

pub use self::builder::TieredBuilder;
pub use self::error::{InvalidTier, UnknownTier};
pub use self::named::{NamedTiers, Reload, Replacement};
use self::tier::Shared;
pub use self::tier::{Tier, TieredKey};
use crate::hash::RandomState;
use crate::limiter::{Core, Settings, no_thread};
use crate::maintenance::Registration;
use crate::policy::{IntoPolicy, Policy};
use crate::sync::Arc;
use crate::tiers::Policies;

/// A rate limiter whose keys are under different policies: tiers, or a limit for each customer. Policies
/// can be replaced while it runs. Keys are checked by its [tiers](Tier), and not by the limiter itself.
///
/// ```
/// use tollgate::{ManualClock, Policy, TieredLimiter};
///
/// let free: Policy<2> = "10/minute; 60/hour".parse()?;
/// let limits: TieredLimiter<String, 2> =
///     TieredLimiter::builder(free).clock(ManualClock::new()).build();
/// let pro = limits.tier("100/minute; 2000/hour".parse::<Policy<2>>()?)?;
///
/// assert_eq!(limits.default_tier().check_n("alice", 10).remaining(), 0);
/// assert_eq!(pro.check("alice").remaining(), 89); // An upgrade helps at once, and forgets no debt.
///
/// pro.replace("200/minute; 2000/hour".parse::<Policy<2>>()?)?;
/// assert_eq!(pro.check("alice").remaining(), 188);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// A [`Tier`] is a handle to a policy of this limiter, with the methods that check. Keep it in the
/// customer's record: any number of tiers is fine, and clones are cheap. The policy that the limiter was
/// made with is [a tier too](TieredLimiter::default_tier). [`NamedTiers`] reads tiers from a config file.
/// To change the limit of all customers of a plan, [replace](Tier::replace) the policy of its tier. To move
/// one customer to another plan, put another tier into the record.
///
/// A policy with fewer quotas than `N` is parsed, or made by [`Policy::with_room`].
///
/// `K`, `N` and `S` are those of a [`RateLimiter`](crate::RateLimiter), whose
/// [limits](crate::RateLimiter#limits), [threads](crate::RateLimiter#threads) and
/// [consistency](crate::RateLimiter#consistency) apply. If all keys are under one policy for ever, use
/// that: it is faster and smaller. Beside [`forget`](TieredLimiter::forget), a check under another tier
/// may change an exhausted bucket, and invalidates what is cached of it. What is cached under a policy
/// ends with the policy.
///
/// # Debt
///
/// A key that is checked under another policy keeps its debt, in units. Moves at one instant refill
/// nothing. Between checks, a debt is paid at the rate that it was last moved to.
///
/// - **In any interval of length t**, each [bucket](#buckets) admits at most burst + t × rate units.
///   The burst is the largest, and the rate the fastest, of the quotas that the bucket had under the
///   policies that the key was checked under in that interval. If a unit does not
///   take a whole number of ns, the interval is 1 ns longer. Each change of policy adds up to 1 ns.
/// - **An upgrade adds the larger burst at once.** A burst of 10 that is spent leaves 90 of a burst of
///   100. The faster rate counts from the next check on, allowed or denied.
/// - **A downgrade locks no customer out.** A debt above the new burst is paid at the rate that it was
///   last moved to, until it fits. So a denial makes no wait longer than
///   [`reset_after`](crate::Decision::reset_after) was. Once a request is allowed, the new rate
///   applies.
/// - **A denial spends nothing**, under any policy. It may move a debt to a faster rate, which makes waits
///   shorter. [`peek`](Tier::peek) moves nothing.
///
/// # Buckets
///
/// A key has `N` buckets. A quota's bucket follows from its period: the first `N` different periods that
/// the limiter meets have one each. They are those of its first policy, unless
/// [the builder](TieredBuilder::periods) names others. Later periods share the bucket of the nearest one,
/// by ratio. So under `"10/minute; 60/hour"` and then `"1000/day"`, a day's quota inherits the hour's debt.
///
/// If a policy has no quota for a bucket, that bucket neither denies nor is charged. Its debt is kept, is
/// paid at its own rate, and is there when such a quota comes back.
///
/// # Caveats
///
/// - **A faster tier pays what a slower one owes.** A debt is paid at the rate of the last allowed
///   check, or at a faster one that has denied since. To limit reads and writes of one customer
///   separately, use two limiters, and not two tiers.
/// - **Memory.** A key takes 4 bytes more for each bucket than in a `RateLimiter`, and padding: 8 to 17
///   bytes of heap for one `u64` with one quota, by how full the table is. A cached denial takes 8
///   bytes more. A tier takes some 100 bytes and 80 for each of the `N` buckets. The first
///   [`replace`](Tier::replace) adds 80 for each bucket. A quota that no other tier has takes some 200
///   more. So 10,000 customers with a rate of their own take some 4 MB with one quota, and 7 MB with
///   two. Quotas that no tier has any more are freed by sweeps. Their places are used again, and are
///   given back with the limiter.
/// - **Denied keys that owe under another policy** are not cached. A customer who was downgraded while in debt
///   is denied in the table, until the debt fits.
/// - **Periods keep their buckets** for the life of the limiter. So it may refuse a policy that a new limiter
///   would take.
/// - **Under a lock.** The key's `Hash` and `Eq`, and a clock that is a function, must not call the
///   limiter, its tiers or its named tiers, except [`len`](TieredLimiter::len) and
///   [`is_empty`](TieredLimiter::is_empty).
/// - **Sweeps** come as often as suits the first policy, unless set.
pub struct TieredLimiter<K: Send, const N: usize = 1, S = RandomState> {
    default: Tier<K, N, S>,
}

/// What tiers share: the limiter.
struct Handle<K: Send, const N: usize, S> {
    core: Arc<Core<K, N, S, Policies<N>>>,
    /// Dropped after the core, as in a `RateLimiter`.
    sweeping: Arc<Option<Registration>>,
}

impl<K: Send, const N: usize, S> Clone for Handle<K, N, S> {
    fn clone(&self) -> Handle<K, N, S> {
        Handle {
            core: Arc::clone(&self.core),
            sweeping: Arc::clone(&self.sweeping),
        }
    }
}

impl<K, const N: usize> TieredLimiter<K, N>
where
    K: Hash + Eq + Send + Sync + 'static,
{
    /// Makes a limiter with a first policy, on the system clock, that is swept by the maintenance thread.
    ///
    /// # Panics
    ///
    /// If two quotas of the policy have one period. If the operating system refuses a thread, as targets
    /// without threads do (`wasm32`). [`TieredBuilder::try_build`] returns an error instead.
    #[must_use]
    #[track_caller]
    pub fn new(policy: impl IntoPolicy<N>) -> TieredLimiter<K, N> {
        TieredLimiter::builder(policy).build()
    }

    /// Returns a builder, which sets the clock, the hasher, the shards, the sweeps and the periods.
    pub fn builder(policy: impl IntoPolicy<N>) -> TieredBuilder<K, N> {
        TieredBuilder::new(policy.into_policy())
    }
}

impl<K, const N: usize, S> TieredLimiter<K, N, S>
where
    K: Hash + Eq + Send,
    S: BuildHasher + Clone,
{
    /// Returns the tier of the policy that the limiter was made with. That policy can be replaced, too.
    #[must_use]
    pub fn default_tier(&self) -> &Tier<K, N, S> {
        &self.default
    }

    /// Makes a tier. Two tiers of equal policies are different: one can be replaced without the other.
    ///
    /// # Errors
    ///
    /// If two quotas of the policy have the same [bucket](TieredLimiter#buckets). The error names both.
    ///
    /// ```
    /// use tollgate::{Policy, TieredLimiter};
    ///
    /// let limits: TieredLimiter<u64, 2> =
    ///     TieredLimiter::new("10/minute; 60/hour".parse::<Policy<2>>()?);
    /// let error = limits.tier("60/hour; 200/day".parse::<Policy<2>>()?).unwrap_err();
    /// assert_eq!(
    ///     error.to_string(),
    ///     "\"60/hour\" and \"200/day\" share a bucket; \
    ///      expected quotas that are nearest to different periods of minute, hour"
    /// );
    /// # Ok::<(), tollgate::InvalidQuota>(())
    /// ```
    pub fn tier(&self, policy: impl IntoPolicy<N>) -> Result<Tier<K, N, S>, InvalidTier> {
        Shared::add(self.handle(), &policy.into_policy())
    }

    /// Makes tiers that have names, such as those of a config file.
    ///
    /// # Errors
    ///
    /// As [`NamedTiers::reload`].
    pub fn named<T>(&self, policies: T) -> Result<NamedTiers<K, N, S>, InvalidTier>
    where
        T: IntoIterator<Item = (String, Policy<N>)>,
    {
        NamedTiers::new(self.handle().clone(), policies)
    }

    /// Removes `key`, so that its next check under any tier finds full buckets. Returns false if it was
    /// not stored. See [`RateLimiter::forget`](crate::RateLimiter::forget).
    pub fn forget<Q>(&self, key: &Q) -> bool
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        self.handle().core.forget(key)
    }

    /// Removes every key whose buckets are all full, and returns how many there were. It also frees the
    /// quotas that no tier has and no key owes. See [`RateLimiter::sweep`](crate::RateLimiter::sweep).
    ///
    /// # Panics
    ///
    /// If the `Drop` or the `Hash` of a key does, after all other keys have been visited.
    pub fn sweep(&self) -> usize {
        self.handle().core.sweep()
    }

    /// Returns the number of stored keys, under any tier. See
    /// [`RateLimiter::len`](crate::RateLimiter::len).
    #[must_use]
    pub fn len(&self) -> usize {
        self.handle().core.table.len()
    }

    /// Whether no key is stored.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl<K: Send, const N: usize, S> TieredLimiter<K, N, S> {
    fn handle(&self) -> &Handle<K, N, S> {
        self.default.handle()
    }

    /// Returns how many quotas are kept.
    #[cfg(all(test, not(tollgate_loom)))]
    pub(crate) fn known_quotas(&self) -> usize {
        self.handle().core.rule.known_quotas()
    }
}

/// As a `RateLimiter` is.
impl<K: Send, const N: usize, S> RefUnwindSafe for TieredLimiter<K, N, S> {}
impl<K: Send, const N: usize, S> UnwindSafe for TieredLimiter<K, N, S> {}

/// Without the keys, which may be secrets.
impl<K, const N: usize, S> fmt::Debug for TieredLimiter<K, N, S>
where
    K: Hash + Eq + Send,
    S: BuildHasher + Clone,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TieredLimiter")
            .field("default_tier", &self.default)
            .field("len", &self.len())
            .finish_non_exhaustive()
    }
}

#[cfg(all(test, not(tollgate_loom)))]
mod tests;
