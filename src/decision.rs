//! The result of a check.

use std::{cmp::Ordering, fmt, time::Duration};

use crate::arith::bucket::BucketView;

/// The result of a check: whether it is allowed, and the numbers that callers need.
///
/// A decision holds raw numbers. It borrows nothing, and divides nothing until a number is read. All
/// numbers are those of the instant of the decision.
///
/// Under a policy of several quotas the numbers are those of the decision as a whole.
/// [`quotas`](Decision::quotas) has the numbers of each quota. [`as_ref`](Decision::as_ref) is the
/// same decision without the parameter `N`.
///
/// Two decisions are equal if they have the same outcome and the same binding quota, and for each
/// quota the same limit, `remaining`, `retry_after` and `reset_after`. The key, the time and the
/// [source](Decision::source) do not count.
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
    count: u32,
    allowed: bool,
    source: DecisionSource,
}

/// Where a [`Decision`] was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum DecisionSource {
    /// In the table of keys.
    Table,
    /// In the calling thread's cache of denied keys. Such a decision is a denial, and the same as
    /// the table's.
    DeniedCache,
}

impl<const N: usize> Decision<N> {
    /// Makes a decision on the first `count` buckets, as they stand after it. `requested` is the
    /// number of units in the request.
    #[inline]
    pub(crate) fn new(
        views: [BucketView; N],
        count: u32,
        requested: u64,
        allowed: bool,
        source: DecisionSource,
    ) -> Decision<N> {
        let denied = if allowed { 0 } else { requested };
        Decision {
            parts: views.map(|view| QuotaDecision { view, denied }),
            count,
            allowed,
            source,
        }
    }

    /// Returns the decision without the number of quotas in its type.
    #[must_use]
    pub fn as_ref(&self) -> DecisionRef<'_> {
        DecisionRef {
            parts: self.quotas(),
            allowed: self.allowed,
            source: self.source,
        }
    }

    /// Whether the bucket held the units, which are then spent.
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
        self.parts.get(..count).unwrap_or(&self.parts)
    }

    /// Returns where the decision was made.
    #[must_use]
    pub fn source(&self) -> DecisionSource {
        self.source
    }

    /// Returns the names and the values of the response header fields for this decision, for
    /// servers that do not use the layer of the feature `tower`.
    ///
    /// They are those that the layer writes: `x-ratelimit-limit`, `x-ratelimit-remaining` and
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

/// A borrowed [`Decision`], whatever the number of quotas in its type.
///
/// Its methods are documented there.
#[derive(Clone, Copy)]
#[must_use = "a decision that is not read limits nothing"]
pub struct DecisionRef<'a> {
    parts: &'a [QuotaDecision],
    allowed: bool,
    source: DecisionSource,
}

impl<'a> DecisionRef<'a> {
    /// Whether the bucket held the units. See [`Decision::is_allowed`].
    #[must_use]
    pub fn is_allowed(&self) -> bool {
        self.allowed
    }

    /// Whether no wait helps. See [`Decision::exceeds_burst`].
    #[must_use]
    pub fn exceeds_burst(&self) -> bool {
        self.parts.iter().any(QuotaDecision::exceeds_burst)
    }

    /// Returns the burst of the binding quota, in units. See [`Decision::limit`].
    #[must_use]
    pub fn limit(&self) -> u64 {
        let binding = self.parts.get(self.binding());
        binding.map(QuotaDecision::limit).unwrap_or_default()
    }

    /// Returns the units that are left. See [`Decision::remaining`].
    #[must_use]
    pub fn remaining(&self) -> u64 {
        let remaining = self.parts.iter().map(QuotaDecision::remaining);
        remaining.min().unwrap_or_default()
    }

    /// Returns the time until the request passes. See [`Decision::retry_after`].
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        if self.exceeds_burst() {
            return None;
        }
        self.parts
            .iter()
            .filter_map(QuotaDecision::retry_after)
            .max()
    }

    /// Returns that time in seconds, rounded up. See [`Decision::retry_after_seconds`].
    #[must_use]
    pub fn retry_after_seconds(&self) -> Option<u64> {
        self.retry_after().map(whole_seconds)
    }

    /// Returns the time until every bucket is full. See [`Decision::reset_after`].
    #[must_use]
    pub fn reset_after(&self) -> Duration {
        let reset_after = self.parts.iter().map(QuotaDecision::reset_after);
        reset_after.max().unwrap_or_default()
    }

    /// Returns the index of the quota that binds. See [`Decision::binding`].
    #[must_use]
    pub fn binding(&self) -> usize {
        let tighter = |best: usize, next: usize| {
            let ordering = self.parts[next].cmp_tightness(&self.parts[best], self.allowed);
            if ordering.is_gt() { next } else { best }
        };
        (1..self.parts.len()).fold(0, tighter)
    }

    /// Returns the numbers of each quota. See [`Decision::quotas`].
    #[must_use]
    pub fn quotas(&self) -> &'a [QuotaDecision] {
        self.parts
    }

    /// Returns where the decision was made. See [`Decision::source`].
    #[must_use]
    pub fn source(&self) -> DecisionSource {
        self.source
    }

    /// Returns the response header fields. See [`Decision::response_fields`].
    pub fn response_fields(&self) -> impl Iterator<Item = (&'static str, u64)> + use<> {
        let retry_after = self.retry_after_seconds();
        let fields = [
            ("x-ratelimit-limit", self.limit()),
            ("x-ratelimit-remaining", self.remaining()),
            ("x-ratelimit-reset", whole_seconds(self.reset_after())),
        ];
        let retry_after = retry_after.map(|seconds| ("retry-after", seconds));
        fields.into_iter().chain(retry_after)
    }
}

/// Rounds up, so that a client that waits this many seconds has waited long enough.
pub(crate) fn whole_seconds(time: Duration) -> u64 {
    time.as_secs() + u64::from(time.subsec_nanos() > 0)
}

impl<const N: usize> PartialEq for Decision<N> {
    fn eq(&self, other: &Decision<N>) -> bool {
        self.as_ref() == other.as_ref()
    }
}

impl<const N: usize> Eq for Decision<N> {}

impl PartialEq for DecisionRef<'_> {
    fn eq(&self, other: &DecisionRef<'_>) -> bool {
        self.allowed == other.allowed
            && self.parts == other.parts
            && self.binding() == other.binding()
    }
}

impl Eq for DecisionRef<'_> {}

impl<const N: usize> fmt::Debug for Decision<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.as_ref(), f)
    }
}

impl fmt::Debug for DecisionRef<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Decision")
            .field("allowed", &self.allowed)
            .field("exceeds_burst", &self.exceeds_burst())
            .field("binding", &self.binding())
            .field("quotas", &self.parts)
            .field("source", &self.source)
            .finish()
    }
}

/// The numbers of one quota in a [`Decision`].
///
/// Two are equal if their limit, `remaining`, `retry_after`, `reset_after` and `exceeds_burst` are.
///
/// # Caveats
///
/// [`available_after`](QuotaDecision::available_after) may differ between two that are equal, as it
/// depends on the rate too. Under one rate it differs by at most 1 ns, and not at all if a unit
/// takes a whole number of ns.
#[derive(Clone, Copy)]
pub struct QuotaDecision {
    view: BucketView,
    /// The units in a request that was denied. 0 if it was allowed.
    denied: u64,
}

impl QuotaDecision {
    /// Returns the quota's burst, in units.
    #[must_use]
    pub fn limit(&self) -> u64 {
        self.view.burst
    }

    /// Returns the whole units in this quota's bucket after the decision.
    #[must_use]
    pub fn remaining(&self) -> u64 {
        self.view.remaining()
    }

    /// Returns the time until this quota alone would allow the request that was denied.
    ///
    /// `None` if it would have allowed the request, or if the request
    /// [exceeds its burst](QuotaDecision::exceeds_burst).
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        // 0 units if the request was allowed, and those are always there.
        self.available_after(self.denied)
            .filter(|wait| !wait.is_zero())
    }

    /// Returns the time until this quota's bucket is full if nothing else is spent.
    #[must_use]
    pub fn reset_after(&self) -> Duration {
        self.view.wait_until_full()
    }

    /// Returns the time until this quota's bucket holds `n` units if nothing else is spent.
    ///
    /// It is exact to the ns, and zero if the bucket holds them now. `None` if `n` is above the
    /// burst.
    ///
    /// ```
    /// use std::time::Duration;
    /// use tollgate::{ManualClock, Quota, RateLimiter};
    ///
    /// let limiter = RateLimiter::builder(Quota::per_minute(60)).clock(ManualClock::new()).build();
    /// let decision = limiter.check_n("alice", 58);
    /// let quota = decision.quotas()[0];
    /// assert_eq!(quota.available_after(2), Some(Duration::ZERO));
    /// assert_eq!(quota.available_after(5), Some(Duration::from_secs(3)));
    /// assert_eq!(quota.available_after(61), None);
    /// ```
    #[must_use]
    pub fn available_after(&self, n: u64) -> Option<Duration> {
        match n {
            // After a step back of the clock the debt may be above the burst. Even then 0 units
            // are there.
            0 => Some(Duration::ZERO),
            _ => (n <= self.limit()).then(|| self.view.wait_for(n)),
        }
    }

    /// Returns the time in which this quota earns `n` units, rounded up to whole ns. `None` if `n`
    /// is above the burst.
    #[must_use]
    pub fn time_to_earn(&self, n: u64) -> Option<Duration> {
        (n <= self.limit()).then(|| self.view.time_to_earn(n))
    }

    /// Whether the request was denied for more units than this quota's burst.
    #[must_use]
    pub fn exceeds_burst(&self) -> bool {
        self.denied > self.view.burst
    }

    /// Compares which quota binds: greater if this one does. Only equal quotas compare as equal.
    fn cmp_tightness(&self, other: &QuotaDecision, allowed: bool) -> Ordering {
        let by_outcome = if allowed {
            other.remaining().cmp(&self.remaining())
        } else {
            match (self.exceeds_burst(), other.exceeds_burst()) {
                (true, true) => other.limit().cmp(&self.limit()),
                (exceeds, other_exceeds) => exceeds
                    .cmp(&other_exceeds)
                    .then_with(|| self.retry_after().cmp(&other.retry_after())),
            }
        };
        by_outcome
            .then_with(|| self.reset_after().cmp(&other.reset_after()))
            .then_with(|| self.view.cmp_slowness(&other.view))
            .then_with(|| other.limit().cmp(&self.limit()))
    }
}

impl PartialEq for QuotaDecision {
    fn eq(&self, other: &QuotaDecision) -> bool {
        let numbers = |part: &QuotaDecision| {
            (
                part.limit(),
                part.remaining(),
                part.retry_after(),
                part.reset_after(),
                part.exceeds_burst(),
            )
        };
        numbers(self) == numbers(other)
    }
}

impl Eq for QuotaDecision {}

impl fmt::Debug for QuotaDecision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("QuotaDecision")
            .field("limit", &self.limit())
            .field("remaining", &self.remaining())
            .field("retry_after", &self.retry_after())
            .field("reset_after", &self.reset_after())
            .field("exceeds_burst", &self.exceeds_burst())
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arith::evaluate::Buckets;
    use crate::arith::state::KeyState;
    use crate::quota::Quota;

    /// The system clock may step back by less than the timer's tolerance. The debt is then above
    /// the burst.
    #[test]
    fn nothing_is_available_at_once_even_if_the_debt_is_above_the_burst() {
        let buckets = Buckets::new([Quota::per_second(1_000_000_000).burst(5).bucket()]);
        let state = KeyState::spent([105]); // what a spent bucket has at 100 ns
        let evaluation = buckets.peek(&state, 99, 0);
        let views = buckets.views(&evaluation);
        let decision = Decision::new(views, 1, 0, true, DecisionSource::Table);
        assert_eq!(decision.retry_after(), None);
        let quota = decision.quotas()[0];
        assert_eq!(quota.available_after(0), Some(Duration::ZERO));
        assert_eq!(quota.available_after(1), Some(Duration::from_nanos(2)));
        assert_eq!(quota.remaining(), 0);
    }
}
