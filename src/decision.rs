//! The result of a check.

mod part;
mod view;

use std::{
    fmt,
    num::{NonZeroU32, NonZeroU64},
    time::Duration,
};

pub use part::QuotaDecision;
pub use view::DecisionRef;

use crate::arith::bucket::BucketView;
use crate::quota::Quota;

/// The result of a check: whether it is allowed, and the numbers that callers need.
///
/// A decision holds raw numbers. It borrows nothing, and divides nothing until a number is read. All
/// numbers are those of the instant of the decision.
///
/// Under a policy of several quotas the numbers are those of the decision as a whole.
/// [`quotas`](Decision::quotas) has the numbers of each quota. [`as_ref`](Decision::as_ref) is the
/// same decision without the parameter `N`.
///
/// Two decisions are equal if they have the same outcome, the same binding quota and
/// [equal](QuotaDecision) quotas. The key, the time, the tier and the [source](Decision::source) do not
/// count.
///
/// ```
/// use std::time::Duration;
/// use tollgate::{ManualClock, Quota, RateLimiter};
///
/// let quota = Quota::per_minute(60).burst(1);
/// let limiter = RateLimiter::builder(quota).clock(ManualClock::new()).build();
/// let first = limiter.check("alice");
/// assert!(first.is_allowed());
/// assert_eq!((first.limit(), first.remaining(), first.retry_after()), (1, 0, None));
///
/// let second = limiter.check("alice");
/// assert!(!second.is_allowed());
/// assert_eq!(second.retry_after(), Some(Duration::from_secs(1)));
/// ```
#[derive(Clone, Copy)]
#[must_use = "a decision that is not read limits nothing"]
pub struct Decision<const N: usize = 1> {
    /// Those from `count` on belong to no quota.
    parts: [QuotaDecision; N],
    count: u16,
    allowed: bool,
    source: DecisionSource,
    tier: Option<TierId>,
}

/// Where a [`Decision`] was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum DecisionSource {
    /// In the table of keys.
    Table,
    /// In a cache of denied keys: the calling thread's, or for a store that several nodes share, this
    /// node's. Such a decision is a denial. The calling thread's is equal to the table's, and the
    /// [caveats](crate::Clock#caveats) of the clock apply.
    DeniedCache,
    /// In a store outside of this process.
    Store,
}

/// Which tier of a limiter it was.
///
/// No other tier of the limiter has it while the tier lives. Once a tier is dropped, a later one may have
/// it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TierId(pub(crate) NonZeroU32);

impl<const N: usize> Decision<N> {
    /// Makes a decision on the first `count` buckets, as they stand after it. `requested` is the
    /// number of units in the request.
    #[inline]
    pub(crate) fn new(
        views: [BucketView; N],
        count: u16,
        requested: u64,
        allowed: bool,
        source: DecisionSource,
        tier: Option<TierId>,
    ) -> Decision<N> {
        let denied = if allowed { 0 } else { requested };
        Decision {
            parts: views.map(|view| QuotaDecision::new(view, denied)),
            count: if N == 1 { 1 } else { count },
            allowed,
            source,
            tier,
        }
    }

    /// Makes a decision on `n` units, for a limiter whose state is in a store outside of this process.
    ///
    /// `debts` has the quotas of the policy, in order. Beside each is how many units its bucket is below
    /// full after the decision, as a fraction: a numerator and a denominator. `None` if there are no
    /// quotas, or more than `N`.
    ///
    /// Times are exact to the ns on a clock that ticks in ns. [`on_clock`](Decision::on_clock) has others.
    ///
    /// ```
    /// use std::{num::NonZeroU64, time::Duration};
    /// use tollgate::{Decision, Quota};
    ///
    /// // The store counts in thousandths of a unit. 9.25 of 10 units are spent.
    /// let parts = NonZeroU64::new(1_000).unwrap();
    /// let debts = [(Quota::per_minute(60).burst(10), 9_250, parts)];
    /// let denied: Decision = Decision::from_debts(1, false, &debts).unwrap();
    /// assert_eq!(denied.remaining(), 0);
    /// assert_eq!(denied.retry_after(), Some(Duration::from_millis(250)));
    /// assert_eq!(denied.reset_after(), Duration::from_millis(9_250));
    /// ```
    #[must_use = "a decision that is not read limits nothing"]
    pub fn from_debts(
        n: u64,
        is_allowed: bool,
        debts: &[(Quota, u64, NonZeroU64)],
    ) -> Option<Decision<N>> {
        let count = u16::try_from(debts.len()).ok()?;
        let view = |&(quota, numerator, denominator): &(Quota, u64, NonZeroU64)| {
            quota.bucket().view_of_debt(numerator, denominator)
        };
        let mut views = [view(debts.first()?); N];
        for (view_of, debt) in views.get_mut(..debts.len())?.iter_mut().zip(debts) {
            *view_of = view(debt);
        }
        let source = DecisionSource::Store;
        Some(Decision::new(views, count, n, is_allowed, source, None))
    }

    /// Returns a decision [from debts](Decision::from_debts) on a clock that ticks in `tick`, and that does
    /// not go on for the next `standstill`. A decision of another source is returned unchanged.
    ///
    /// Every wait is rounded up to whole ticks, so that the store's clock has reached the time then. The
    /// clock stands still for a key if it has stepped back since the key's last change.
    ///
    /// `tick` is at least 1 ns and at most 584 years.
    ///
    /// ```
    /// use std::{num::NonZeroU64, time::Duration};
    /// use tollgate::{Decision, Quota};
    ///
    /// // A unit is earned in 142.857... ms.
    /// let debts = [(Quota::per_second(7).burst(1), 1, NonZeroU64::MIN)];
    /// let denied: Decision = Decision::from_debts(1, false, &debts).unwrap();
    /// assert_eq!(denied.retry_after(), Some(Duration::from_nanos(142_857_143)));
    ///
    /// let micros = Duration::from_micros(1);
    /// let denied = denied.on_clock(micros, Duration::from_micros(300));
    /// assert_eq!(denied.retry_after(), Some(Duration::from_micros(142_858 + 300)));
    /// ```
    pub fn on_clock(self, tick: Duration, standstill: Duration) -> Decision<N> {
        let nanos = |time: Duration| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        let tick = NonZeroU64::new(nanos(tick)).unwrap_or(NonZeroU64::MIN);
        Decision {
            parts: self
                .parts
                .map(|part| part.on_clock(tick, nanos(standstill))),
            ..self
        }
    }

    /// Returns a denial of a store as one that was made in a [cache](DecisionSource::DeniedCache) of denied
    /// keys. Any other decision is returned unchanged.
    pub fn from_cache(self) -> Decision<N> {
        if self.allowed || self.source != DecisionSource::Store {
            return self;
        }
        Decision {
            source: DecisionSource::DeniedCache,
            ..self
        }
    }

    /// Returns the decision without the number of quotas in its type.
    #[inline]
    pub fn as_ref(&self) -> DecisionRef<'_> {
        DecisionRef {
            parts: self.quotas(),
            allowed: self.allowed,
            source: self.source,
            tier: self.tier,
        }
    }

    /// Whether the bucket held the units. A check has spent them then.
    #[must_use]
    #[inline]
    pub fn is_allowed(&self) -> bool {
        self.allowed
    }

    /// Whether the request was for more units than a full bucket holds, so that no wait helps.
    #[must_use]
    pub fn exceeds_burst(&self) -> bool {
        self.as_ref().exceeds_burst()
    }

    /// Returns the burst of the [binding](Decision::binding) quota, in units.
    #[must_use]
    pub fn limit(&self) -> u64 {
        self.as_ref().limit()
    }

    /// Returns the units that are left after the decision: the fewest of all quotas.
    ///
    /// Exactly this many checks of one unit pass at this instant.
    #[must_use]
    pub fn remaining(&self) -> u64 {
        self.as_ref().remaining()
    }

    /// Returns the time until the same request passes if nothing else is spent: the longest wait of
    /// all quotas.
    ///
    /// It is exact: the request is still denied 1 ns earlier. `None` if the request was allowed, or
    /// if it [exceeds the burst](Decision::exceeds_burst).
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        self.as_ref().retry_after()
    }

    /// Returns [`retry_after`](Decision::retry_after) in seconds, rounded up, as HTTP's
    /// `Retry-After` has it. Never 0.
    ///
    /// ```
    /// use tollgate::{ManualClock, Quota, RateLimiter};
    ///
    /// let limiter = RateLimiter::builder("5/7 seconds burst 1".parse::<Quota>()?)
    ///     .clock(ManualClock::new())
    ///     .build();
    /// assert_eq!(limiter.check("alice").retry_after_seconds(), None);
    /// assert_eq!(limiter.check("alice").retry_after_seconds(), Some(2)); // 1.4 s
    /// # Ok::<(), tollgate::InvalidQuota>(())
    /// ```
    #[must_use]
    pub fn retry_after_seconds(&self) -> Option<u64> {
        self.as_ref().retry_after_seconds()
    }

    /// Returns the time until every bucket is full if nothing else is spent. Zero if all are full.
    #[must_use]
    pub fn reset_after(&self) -> Duration {
        self.as_ref().reset_after()
    }

    /// Returns the index, in the policy, of the quota that binds.
    ///
    /// - Denied: the quota with the longest wait. If the request exceeds a burst, the quota with the
    ///   smallest burst.
    /// - Allowed: the quota with the fewest units remaining.
    ///
    /// Ties go to the quota that takes longest to be full, then to the slowest rate, then to the
    /// smallest burst. The order of the quotas in the policy makes no difference.
    #[must_use]
    pub fn binding(&self) -> usize {
        self.as_ref().binding()
    }

    /// Returns the numbers of each quota, in the order of the policy.
    #[must_use]
    #[inline]
    pub fn quotas(&self) -> &[QuotaDecision] {
        let count = if N == 1 { 1 } else { self.count as usize };
        self.parts.get(..count).unwrap_or_default()
    }

    /// Returns where the decision was made.
    #[must_use]
    pub fn source(&self) -> DecisionSource {
        self.source
    }

    /// Returns the [tier](crate::Tier) that the request was checked under, or `None` if its limiter has
    /// one policy for all keys.
    #[must_use]
    pub fn tier(&self) -> Option<TierId> {
        self.tier
    }

    /// Returns the names and the values of the response header fields for this decision, for
    /// servers that do not use the layer of the feature `tower`.
    ///
    /// They are those that the layer writes by default: `x-ratelimit-limit`, `x-ratelimit-remaining` and
    /// `x-ratelimit-reset` (in seconds, rounded up), and on a denial that a wait ends, `retry-after`.
    ///
    /// ```
    /// use tollgate::{ManualClock, Quota, RateLimiter};
    ///
    /// let quota = Quota::per_minute(60).burst(1);
    /// let limiter = RateLimiter::builder(quota).clock(ManualClock::new()).build();
    /// let _ = limiter.check("alice");
    /// let denied = limiter.check("alice");
    /// let fields: Vec<String> = denied
    ///     .response_fields()
    ///     .map(|(name, value)| format!("{name}: {value}"))
    ///     .collect();
    /// assert_eq!(fields, [
    ///     "x-ratelimit-limit: 1",
    ///     "x-ratelimit-remaining: 0",
    ///     "x-ratelimit-reset: 1",
    ///     "retry-after: 1",
    /// ]);
    /// ```
    pub fn response_fields(&self) -> impl Iterator<Item = (&'static str, u64)> + use<N> {
        self.as_ref().response_fields()
    }
}

impl<const N: usize> PartialEq for Decision<N> {
    fn eq(&self, other: &Decision<N>) -> bool {
        self.as_ref() == other.as_ref()
    }
}

impl<const N: usize> Eq for Decision<N> {}

impl<const N: usize> fmt::Debug for Decision<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.as_ref(), f)
    }
}

/// Rounds up, so that a client that waits this many seconds has waited long enough.
#[inline]
pub(crate) fn whole_seconds(time: Duration) -> u64 {
    time.as_secs() + u64::from(time.subsec_nanos() > 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arith::evaluate::Buckets;
    use crate::arith::state::KeyState;

    /// The system clock may step back by less than the timer's tolerance. The debt is then above
    /// the burst.
    #[test]
    fn nothing_is_available_at_once_even_if_the_debt_is_above_the_burst() {
        let buckets = Buckets::new([Quota::per_second(1_000_000_000).burst(5).bucket()]);
        let state = KeyState::spent([105]); // what a spent bucket has at 100 ns
        let evaluation = buckets.peek(&state, 99, 0);
        let views = buckets.views(&evaluation);
        let decision = Decision::new(views, 1, 0, true, DecisionSource::Table, None);
        assert_eq!(decision.retry_after(), None);
        let quota = decision.quotas()[0];
        assert_eq!(quota.available_after(0), Some(Duration::ZERO));
        assert_eq!(quota.available_after(1), Some(Duration::from_nanos(2)));
        assert_eq!(quota.remaining(), 0);
    }
}
