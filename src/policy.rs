//! One to several quotas, as a value.

use std::{
    fmt,
    hash::{Hash, Hasher},
    str::FromStr,
    time::Duration,
};

use crate::arith::bucket::Bucket;
use crate::arith::evaluate::{Buckets, Evaluation};
use crate::decision::{Decision, DecisionSource};
use crate::error::{InvalidQuota, Kind};
use crate::pad::pad;
use crate::quota::{Quota, parse_list};

/// One to `N` quotas that apply to a key as one decision.
///
/// A check spends from every quota or from none. Each quota binds on its own, and their order makes
/// no difference to any decision.
///
/// ```
/// use tollgate::{Policy, Quota};
///
/// let turns = Policy::from([Quota::per_minute(10), Quota::per_hour(60)]);
/// assert_eq!(Ok(turns), "10/minute; 60/hour".parse());
/// assert_eq!(turns.to_string(), "10/minute; 60/hour");
/// ```
///
/// # How many
///
/// `N` is the most quotas that the policy has room for, at least 1. A key takes 8 bytes for each, so
/// `N` should be no larger than needed. How many there are may be known only at run time:
///
/// ```
/// use tollgate::{Policy, Quota, RateLimiter};
///
/// let from_text: Policy<3> = "10/minute; 60/hour".parse()?;
/// let from_list = Policy::<3>::try_from(vec![Quota::per_minute(10), Quota::per_hour(60)])?;
/// assert_eq!(from_text, from_list);
/// assert_eq!(from_list.quotas(), [Quota::per_minute(10), Quota::per_hour(60)]);
///
/// let limiter: RateLimiter<String, 3> = RateLimiter::new(from_list);
/// assert_eq!(limiter.check("alice").quotas().len(), 2);
/// # Ok::<(), tollgate::InvalidQuota>(())
/// ```
///
/// # Text
///
/// The text form is that of [`Quota`], with `;` between the quotas. With the feature `serde`, formats
/// that describe themselves (JSON, TOML, YAML) may have a list of quotas instead. An XML element is
/// neither: read it as a `String` and parse it.
///
/// ```
/// use tollgate::{Policy, Quota};
///
/// let error = "10/minute; 60/hour".parse::<Policy<1>>().unwrap_err();
/// assert_eq!(error.to_string(), "found 2 quotas in the policy, expected 1");
/// let error = Policy::<2>::try_from([Quota::per_minute(10); 0].as_slice()).unwrap_err();
/// assert_eq!(error.to_string(), "found 0 quotas in the policy, expected 1 to 2");
/// ```
///
/// An array without quotas does not compile:
///
/// ```compile_fail
/// let nothing = tollgate::Policy::from([] as [tollgate::Quota; 0]);
/// ```
/// ```
/// let something = tollgate::Policy::from([tollgate::Quota::per_second(1); 1]);
/// assert_eq!(something.quotas().len(), 1);
/// ```
#[derive(Clone, Copy)]
pub struct Policy<const N: usize = 1> {
    /// Those from `count` on repeat the first quota, and mean nothing.
    quotas: [Quota; N],
    /// From 1 to `N`.
    count: u16,
    /// Those from `count` on are absent.
    buckets: Buckets<N>,
}

impl<const N: usize> Policy<N> {
    /// Returns the quotas, in the order in which they were given.
    #[must_use]
    #[inline]
    pub const fn quotas(&self) -> &[Quota] {
        self.quotas.split_at(self.count as usize).0
    }

    /// Returns the same policy with room for `M` quotas, which does not compile if `M` is less than `N`.
    ///
    /// ```
    /// use tollgate::{Policy, Quota, RateLimiter};
    ///
    /// let policy = Policy::from(Quota::per_minute(10)).with_room::<4>();
    /// let limiter: RateLimiter<String, 4> = RateLimiter::new(policy);
    /// assert_eq!(limiter.policy().quotas(), [Quota::per_minute(10)]);
    /// ```
    /// ```compile_fail
    /// let quota = tollgate::Quota::per_minute(10);
    /// let less = tollgate::Policy::from([quota, quota]).with_room::<1>();
    /// ```
    #[must_use]
    pub fn with_room<const M: usize>(self) -> Policy<M> {
        const {
            assert!(M >= N, "a policy needs room for all its quotas");
            assert!(
                M <= u16::MAX as usize,
                "a policy has room for fewer than 2^16 quotas"
            );
        };
        Policy::placed(self.quotas[0], self.quotas())
    }

    /// Places the quotas, at most `N`, and leaves the other places absent. `first` is one of them.
    fn placed(first: Quota, quotas: &[Quota]) -> Policy<N> {
        let mut slots = [first; N];
        let mut buckets = [Bucket::ABSENT; N];
        for ((slot, bucket), quota) in slots.iter_mut().zip(&mut buckets).zip(quotas) {
            *slot = *quota;
            *bucket = quota.bucket();
        }
        Policy {
            quotas: slots,
            count: count(quotas.len()),
            buckets: Buckets::new(buckets),
        }
    }

    /// Returns the longest time in which an empty bucket fills. A key that has been idle for this
    /// long is as if it had never been seen.
    #[must_use]
    pub fn fill_time(&self) -> Duration {
        let fill_time = |quota: &Quota| quota.bucket().fill_time();
        let longest = self.quotas().iter().map(fill_time).max();
        longest.unwrap_or_default()
    }

    /// Returns the policy of the first `count` quotas, which were those of a policy.
    pub(crate) fn of_placed(quotas: &[Quota; N], count: usize) -> Policy<N> {
        Policy::placed(quotas[0], quotas.get(..count).unwrap_or(quotas))
    }

    /// Returns how many quotas there are.
    pub(crate) const fn count(&self) -> u16 {
        self.count
    }

    /// Returns the buckets that every key has.
    #[inline]
    pub(crate) const fn buckets(&self) -> &Buckets<N> {
        &self.buckets
    }

    /// Returns the decision that follows from the evaluation of a request for `n` units.
    #[inline]
    pub(crate) fn decision(
        &self,
        evaluation: &Evaluation<N>,
        n: u64,
        source: DecisionSource,
    ) -> Decision<N> {
        let views = self.buckets.views(evaluation);
        Decision::new(views, self.count, n, evaluation.is_allowed, source, None)
    }
}

/// A policy without an empty place.
impl<const N: usize> From<[Quota; N]> for Policy<N> {
    fn from(quotas: [Quota; N]) -> Policy<N> {
        const {
            assert!(N > 0, "a policy needs at least one quota");
            assert!(
                N <= u16::MAX as usize,
                "a policy has room for fewer than 2^16 quotas"
            );
        };
        Policy {
            quotas,
            count: count(N),
            buckets: Buckets::new(quotas.map(|quota| quota.bucket())),
        }
    }
}

impl From<Quota> for Policy<1> {
    fn from(quota: Quota) -> Policy<1> {
        Policy::from([quota])
    }
}

/// # Errors
///
/// If there are no quotas, or more than `N`.
impl<const N: usize> TryFrom<&[Quota]> for Policy<N> {
    type Error = InvalidQuota;

    fn try_from(quotas: &[Quota]) -> Result<Policy<N>, InvalidQuota> {
        const {
            assert!(N > 0, "a policy needs room for at least one quota");
            assert!(
                N <= u16::MAX as usize,
                "a policy has room for fewer than 2^16 quotas"
            );
        };
        let found = quotas.len();
        let (Some(&first), true) = (quotas.first(), found <= N) else {
            return Err(Kind::Count { found, most: N }.into());
        };
        Ok(Policy::placed(first, quotas))
    }
}

/// # Errors
///
/// If there are no quotas, or more than `N`.
impl<const N: usize> TryFrom<Vec<Quota>> for Policy<N> {
    type Error = InvalidQuota;

    fn try_from(quotas: Vec<Quota>) -> Result<Policy<N>, InvalidQuota> {
        Policy::try_from(quotas.as_slice())
    }
}

/// Both constructors assert that this fits.
#[expect(clippy::cast_possible_truncation, reason = "at most `N`")]
const fn count(quotas: usize) -> u16 {
    quotas as u16
}

/// The policy of the default quota: 100 a minute with a burst of 10.
impl Default for Policy<1> {
    fn default() -> Policy<1> {
        Policy::from(Quota::default())
    }
}

impl<const N: usize> PartialEq for Policy<N> {
    fn eq(&self, other: &Policy<N>) -> bool {
        self.quotas() == other.quotas()
    }
}

impl<const N: usize> Eq for Policy<N> {}

/// Hashes what `==` compares: the quotas, in order.
impl<const N: usize> Hash for Policy<N> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.quotas().hash(state);
    }
}

impl<const N: usize> fmt::Debug for Policy<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Policy").field(&self.quotas()).finish()
    }
}

impl<const N: usize> fmt::Display for Policy<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        pad(f, |out| {
            for (index, quota) in self.quotas().iter().enumerate() {
                let separator = if index == 0 { "" } else { "; " };
                write!(out, "{separator}{quota}")?;
            }
            Ok(())
        })
    }
}

impl<const N: usize> FromStr for Policy<N> {
    type Err = InvalidQuota;

    fn from_str(text: &str) -> Result<Policy<N>, InvalidQuota> {
        Policy::try_from(parse_list(text)?)
    }
}

/// What a limiter takes as its policy: a [`Quota`], an array of quotas, or a [`Policy`].
///
/// A list whose length is known at run time is first made a policy that has room for it:
///
/// ```
/// use tollgate::{Policy, Quota, RateLimiter};
///
/// let configured = vec![Quota::per_minute(10), Quota::per_hour(60)];
/// let policy = Policy::<4>::try_from(configured)?;
/// let limiter = RateLimiter::new(policy);
/// assert!(limiter.allow("alice"));
/// # Ok::<(), tollgate::InvalidQuota>(())
/// ```
///
/// A `Vec` is not a policy: it may hold more than `N` quotas.
///
/// ```compile_fail
/// let limiter = tollgate::RateLimiter::<u64, 4>::new(vec![tollgate::Quota::per_minute(10)]);
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a policy with room for `{N}` quotas",
    label = "expected a `Quota`, an array of quotas or a `Policy`",
    note = "a list whose length is known at run time is made a policy with room for it: \
            `Policy::<4>::try_from(list)?`",
    note = "a policy of fewer quotas is given room: `Policy::from([one, other]).with_room::<4>()`",
    note = "what converts into a policy is converted first: `Policy::from(value)`",
    note = "text is parsed: `\"10/minute; 60/hour\".parse::<Policy<2>>()?`"
)]
pub trait IntoPolicy<const N: usize> {
    /// Returns the policy.
    fn into_policy(self) -> Policy<N>;
}

impl IntoPolicy<1> for Quota {
    fn into_policy(self) -> Policy<1> {
        Policy::from(self)
    }
}

impl<const N: usize> IntoPolicy<N> for [Quota; N] {
    fn into_policy(self) -> Policy<N> {
        Policy::from(self)
    }
}

impl<const N: usize> IntoPolicy<N> for Policy<N> {
    fn into_policy(self) -> Policy<N> {
        self
    }
}
