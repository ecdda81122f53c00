//! A handle to a policy of a limiter.

use std::{
    borrow::Borrow,
    convert::Infallible,
    fmt,
    hash::{BuildHasher, Hash, Hasher},
    panic::{RefUnwindSafe, UnwindSafe},
};

use super::{Handle, InvalidTier};
use crate::decision::{Decision, TierId};
use crate::hash::RandomState;
use crate::limit::{Checked, Immediate, Limit};
use crate::policy::{IntoPolicy, Policy};
use crate::quota::Quota;
use crate::sync::Arc;
use crate::tiers::TierPolicy;

/// A policy of a [`TieredLimiter`](super::TieredLimiter), under which keys are checked.
///
/// It is a handle. Clones are the same tier, and equal. It keeps the limiter alive.
///
/// ```
/// use tollgate::{ManualClock, Quota, Tier, TieredLimiter};
///
/// struct Customer {
///     id: u64,
///     tier: Tier<u64>,
/// }
///
/// let limits: TieredLimiter<u64> =
///     TieredLimiter::builder(Quota::per_minute(10)).clock(ManualClock::new()).build();
/// let mut alice = Customer { id: 7, tier: limits.default_tier().clone() };
/// assert_eq!(alice.tier.check(&alice.id).remaining(), 9);
/// alice.tier = limits.tier(Quota::per_minute(100))?;
/// assert_eq!(alice.tier.check(&alice.id).remaining(), 98);
/// # Ok::<(), tollgate::InvalidTier>(())
/// ```
pub struct Tier<K: Send, const N: usize = 1, S = RandomState> {
    shared: Arc<Shared<K, N, S>>,
}

/// What the clones of a tier share.
pub(super) struct Shared<K: Send, const N: usize, S> {
    policy: TierPolicy<N>,
    handle: Handle<K, N, S>,
}

impl<K: Send, const N: usize, S> Drop for Shared<K, N, S> {
    fn drop(&mut self) {
        self.handle.core.rule.remove(&self.policy);
    }
}

impl<K: Send, const N: usize, S> Shared<K, N, S> {
    /// Makes a tier of a limiter.
    pub(super) fn add(
        handle: &Handle<K, N, S>,
        policy: &Policy<N>,
    ) -> Result<Tier<K, N, S>, InvalidTier> {
        let policy = handle.core.rule.add(policy)?;
        Ok(Tier {
            shared: Arc::new(Shared {
                policy,
                handle: handle.clone(),
            }),
        })
    }
}

impl<K, const N: usize, S> Tier<K, N, S>
where
    K: Hash + Eq + Send,
    S: BuildHasher + Clone,
{
    /// Spends one unit of `key` if every bucket holds one, and returns whether it did. See
    /// [`RateLimiter::allow`](crate::RateLimiter::allow).
    #[must_use = "a check that is not read limits nothing"]
    #[inline]
    pub fn allow<Q>(&self, key: &Q) -> bool
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ToOwned<Owned = K> + ?Sized,
    {
        let Shared { policy, handle } = &*self.shared;
        handle.core.allow(policy, key)
    }

    /// Spends one unit of `key` if every bucket of the policy holds one, and returns the decision with its
    /// numbers: those of this policy. See [`RateLimiter::check`](crate::RateLimiter::check).
    #[inline]
    pub fn check<Q>(&self, key: &Q) -> Decision<N>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ToOwned<Owned = K> + ?Sized,
    {
        self.check_n(key, 1)
    }

    /// Spends `n` units of `key` if every bucket of the policy holds them, and none otherwise. See
    /// [`RateLimiter::check_n`](crate::RateLimiter::check_n).
    #[inline]
    pub fn check_n<Q>(&self, key: &Q, n: u64) -> Decision<N>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ToOwned<Owned = K> + ?Sized,
    {
        let Shared { policy, handle } = &*self.shared;
        handle.core.decide(policy, key, n)
    }

    /// Decides as [`check`](Tier::check) would, and spends, stores and moves nothing.
    ///
    /// # Caveats
    ///
    /// Its waits are those at the rate at which the debt is paid now. A check under a faster tier may move the
    /// debt to the faster rate, and then has shorter waits.
    pub fn peek<Q>(&self, key: &Q) -> Decision<N>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        self.peek_n(key, 1)
    }

    /// Decides as [`check_n`](Tier::check_n) would, and spends, stores and moves nothing. It has the caveats
    /// of [`peek`](Tier::peek).
    pub fn peek_n<Q>(&self, key: &Q, n: u64) -> Decision<N>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        let Shared { policy, handle } = &*self.shared;
        handle.core.peek(policy, key, n)
    }

    /// Replaces the policy, and returns the one before it.
    ///
    /// It acts on every check that starts after this has returned. A check at the same time is under the
    /// old policy or the new one. Keys [keep their debt](super::TieredLimiter#debt), and nothing is earned
    /// at the new rate for time that has passed. Replacing a policy by an equal one changes nothing.
    ///
    /// It locks and releases each shard once.
    ///
    /// # Errors
    ///
    /// If two quotas of the policy have the same [bucket](super::TieredLimiter#buckets). The policy stays
    /// as it was.
    pub fn replace(&self, policy: impl IntoPolicy<N>) -> Result<Policy<N>, InvalidTier> {
        let Shared {
            policy: of_tier,
            handle,
        } = &*self.shared;
        let pass_all_locks = || handle.core.table.pass_all_locks();
        let rule = &handle.core.rule;
        Ok(rule.replace(of_tier, &policy.into_policy(), pass_all_locks)?)
    }

    /// Returns a key under this tier, for a [`Limit`] that takes keys under any tier, such as the limiter
    /// of an HTTP layer.
    pub fn key(&self, key: K) -> TieredKey<K, N, S> {
        TieredKey {
            tier: self.clone(),
            key,
        }
    }
}

impl<K: Send, const N: usize, S> Tier<K, N, S> {
    /// Returns the policy.
    #[must_use]
    pub fn policy(&self) -> Policy<N> {
        self.shared.policy.policy()
    }

    /// Returns what [`Decision::tier`] returns for decisions under this tier.
    #[must_use]
    pub fn id(&self) -> TierId {
        self.shared.policy.id()
    }

    pub(super) fn handle(&self) -> &Handle<K, N, S> {
        &self.shared.handle
    }

    /// Whether there are other handles to this tier.
    pub(super) fn is_shared(&self) -> bool {
        Arc::strong_count(&self.shared) > 1
    }
}

impl<K: Send, const N: usize, S> Clone for Tier<K, N, S> {
    fn clone(&self) -> Tier<K, N, S> {
        Tier {
            shared: Arc::clone(&self.shared),
        }
    }
}

/// Two are equal if they are the same tier, whatever their policies.
impl<K: Send, const N: usize, S> PartialEq for Tier<K, N, S> {
    fn eq(&self, other: &Tier<K, N, S>) -> bool {
        Arc::ptr_eq(&self.shared, &other.shared)
    }
}

impl<K: Send, const N: usize, S> Eq for Tier<K, N, S> {}

impl<K: Send, const N: usize, S> Hash for Tier<K, N, S> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.id().hash(state);
    }
}

impl<K: Send, const N: usize, S> fmt::Debug for Tier<K, N, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tier")
            .field("id", &self.id())
            .field("policy", &self.policy())
            .finish_non_exhaustive()
    }
}

/// As a `RateLimiter` is.
impl<K: Send, const N: usize, S> RefUnwindSafe for Tier<K, N, S> {}
impl<K: Send, const N: usize, S> UnwindSafe for Tier<K, N, S> {}

/// Decides at once, as [`check_n`](Tier::check_n) does: every key is under this tier.
impl<K, const N: usize, S, Q> Limit<Q> for Tier<K, N, S>
where
    K: Hash + Eq + Send + Borrow<Q>,
    S: BuildHasher + Clone,
    Q: Hash + Eq + ToOwned<Owned = K> + ?Sized,
{
    type Decision = Decision<N>;
    type Error = Infallible;
    type Future = Immediate<Decision<N>>;

    fn quotas(&self) -> Vec<Quota> {
        self.policy().quotas().to_vec()
    }

    #[inline]
    fn decide(&self, key: &Q, n: u64) -> Checked<Decision<N>, Immediate<Decision<N>>> {
        Checked::Now(self.check_n(key, n))
    }
}

/// A key and the tier that it is under.
///
/// A [`TieredLimiter`](super::TieredLimiter) in an HTTP layer takes it as the key of a request. The layer
/// that authenticates makes it from the customer's record, by [`Tier::key`], and leaves it as an extension.
/// Give the type a name of its own, as the two layers must agree on `N`:
///
/// ```
/// use tollgate::limit::{Checked, Limit};
/// use tollgate::{ManualClock, Quota, TieredKey, TieredLimiter};
///
/// type CustomerKey = TieredKey<String>;
///
/// let limits: TieredLimiter<String> =
///     TieredLimiter::builder(Quota::per_minute(10)).clock(ManualClock::new()).build();
/// let pro = limits.tier(Quota::per_minute(100))?;
/// let key: CustomerKey = pro.key("alice".to_owned());
/// let Checked::Now(decision) = limits.decide(&key, 1) else { unreachable!() };
/// assert_eq!((decision.limit(), decision.tier()), (100, Some(pro.id())));
/// # Ok::<(), tollgate::InvalidTier>(())
/// ```
pub struct TieredKey<K: Send, const N: usize = 1, S = RandomState> {
    tier: Tier<K, N, S>,
    key: K,
}

impl<K: Send, const N: usize, S> TieredKey<K, N, S> {
    /// Returns the tier.
    #[must_use]
    pub fn tier(&self) -> &Tier<K, N, S> {
        &self.tier
    }

    /// Returns the key.
    #[must_use]
    pub fn key(&self) -> &K {
        &self.key
    }
}

impl<K: Send + Clone, const N: usize, S> Clone for TieredKey<K, N, S> {
    fn clone(&self) -> TieredKey<K, N, S> {
        TieredKey {
            tier: self.tier.clone(),
            key: self.key.clone(),
        }
    }
}

impl<K: Send + PartialEq, const N: usize, S> PartialEq for TieredKey<K, N, S> {
    fn eq(&self, other: &TieredKey<K, N, S>) -> bool {
        self.tier == other.tier && self.key == other.key
    }
}

impl<K: Send + Eq, const N: usize, S> Eq for TieredKey<K, N, S> {}

impl<K: Send + Hash, const N: usize, S> Hash for TieredKey<K, N, S> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (&self.tier, &self.key).hash(state);
    }
}

/// Without the key, which may be a secret.
impl<K: Send, const N: usize, S> fmt::Debug for TieredKey<K, N, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TieredKey")
            .field("tier", &self.tier)
            .finish_non_exhaustive()
    }
}

/// Decides at once, each key under its own tier.
///
/// # Caveats
///
/// If the tier belongs to another limiter, that limiter decides.
impl<K, const N: usize, S> Limit<TieredKey<K, N, S>> for super::TieredLimiter<K, N, S>
where
    K: Hash + Eq + Clone + Send,
    S: BuildHasher + Clone,
{
    type Decision = Decision<N>;
    type Error = Infallible;
    type Future = Immediate<Decision<N>>;

    fn quotas(&self) -> Vec<Quota> {
        self.default.policy().quotas().to_vec()
    }

    #[inline]
    fn decide(
        &self,
        key: &TieredKey<K, N, S>,
        n: u64,
    ) -> Checked<Decision<N>, Immediate<Decision<N>>> {
        Checked::Now(key.tier.check_n(&key.key, n))
    }
}
