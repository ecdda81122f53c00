//! One quota's part in a decision.

use std::{cmp::Ordering, fmt, num::NonZeroU64, time::Duration};

use crate::arith::bucket::BucketView;
use crate::quota::Quota;

/// The numbers of one quota in a [`Decision`](super::Decision).
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
    #[inline]
    pub(super) fn new(view: BucketView, denied: u64) -> QuotaDecision {
        QuotaDecision { view, denied }
    }

    pub(super) fn on_clock(self, tick: NonZeroU64, standstill: u64) -> QuotaDecision {
        let view = self.view.on_clock(tick, standstill);
        QuotaDecision { view, ..self }
    }

    /// Returns the quota, as it was given.
    ///
    /// ```
    /// use tollgate::{ManualClock, Quota, RateLimiter};
    ///
    /// let policy = [Quota::per_minute(10), Quota::per_hour(60)];
    /// let limiter = RateLimiter::builder(policy).clock(ManualClock::new()).build();
    /// assert_eq!(limiter.check("alice").quotas()[1].quota(), Quota::per_hour(60));
    /// ```
    #[must_use]
    pub fn quota(&self) -> Quota {
        Quota::of_bucket(self.view.rate(), self.view.burst)
    }

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

    /// Returns the time in which this quota's bucket earns `n` units, rounded up to whole ns. `None` if
    /// `n` is above the burst.
    ///
    /// That is the rate at which the bucket is refilled now. Under a [tier](crate::Tier) it differs from
    /// the quota's while the bucket owes units that were spent under another policy.
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
    pub(super) fn cmp_tightness(&self, other: &QuotaDecision, allowed: bool) -> Ordering {
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
            .then_with(|| self.view.rate().cmp_slowness(&other.view.rate()))
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
