//! The whole answer to a check.

use std::{cmp::Ordering, fmt, time::Duration};

use crate::arith::bucket::Reading;

/// The answer to a check: whether it is allowed, and every number a caller is owed.
///
/// It is a copy of the raw numbers, so it borrows nothing and costs no division until a number
/// is asked for. All its numbers are as of the instant of the decision.
///
/// For a policy of several quotas the numbers are those of the decision as a whole, and
/// [`quotas`](Decision::quotas) has each quota's own.
///
/// Two decisions are equal if they tell callers the same: the verdict, the binding quota, and of
/// each quota the limit, `remaining`, `retry_after` and `reset_after`. When they were made, and of
/// which key, makes no difference.
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
#[must_use = "a check that nobody looks at limits nothing"]
pub struct Decision<const N: usize = 1> {
    parts: [QuotaDecision; N],
    allowed: bool,
}

impl<const N: usize> Decision<N> {
    /// Of the buckets as they stand after the decision. `asked` is what a denial asked for.
    #[inline]
    pub(crate) fn new(readings: [Reading; N], asked: u64, allowed: bool) -> Decision<N> {
        let asked = if allowed { 0 } else { asked };
        Decision {
            parts: readings.map(|reading| QuotaDecision { reading, asked }),
            allowed,
        }
    }

    /// Whether the units were there, and so were spent.
    #[must_use]
    #[inline]
    pub fn is_allowed(&self) -> bool {
        self.allowed
    }

    /// Whether the same request can never pass: it asks for more than a full bucket holds.
    #[must_use]
    pub fn exceeds_burst(&self) -> bool {
        self.parts.iter().any(QuotaDecision::exceeds_burst)
    }

    /// The burst of the [binding](Decision::binding) quota, in units.
    #[must_use]
    pub fn limit(&self) -> u64 {
        self.parts[self.binding()].limit()
    }

    /// The units that are left right after the decision: the least of the quotas'.
    ///
    /// Exactly so many more checks of one unit pass at this instant.
    #[must_use]
    pub fn remaining(&self) -> u64 {
        self.parts
            .iter()
            .map(QuotaDecision::remaining)
            .min()
            .unwrap_or(0)
    }

    /// How long until the same request passes if nothing else is spent: the longest of the
    /// quotas' waits.
    ///
    /// Tight to the ns: 1 ns earlier it is still denied. `None` if the request was allowed, and if
    /// it [never](Decision::exceeds_burst) can be.
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

    /// How long until the bucket is full again if nothing else is spent: the longest of the
    /// quotas'. Zero if it is full.
    #[must_use]
    pub fn reset_after(&self) -> Duration {
        self.parts
            .iter()
            .map(QuotaDecision::reset_after)
            .max()
            .unwrap_or_default()
    }

    /// The index, in the policy, of the quota that binds.
    ///
    /// On a denial that is the quota with the longest wait, or of those that can never be met the
    /// one with the smallest burst; when allowed, the one with the least remaining. Where that is
    /// equal, it is the one that takes longer to be full, then the slower one, then the one with
    /// the smaller burst: the order in the policy makes no difference.
    #[must_use]
    pub fn binding(&self) -> usize {
        let tighter = |best: usize, next: usize| {
            let ordering = self.parts[next].cmp_tightness(&self.parts[best], self.allowed);
            if ordering.is_gt() { next } else { best }
        };
        (1..N).fold(0, tighter)
    }

    /// Each quota's own numbers, in the order of the policy.
    #[must_use]
    pub fn quotas(&self) -> &[QuotaDecision; N] {
        &self.parts
    }
}

impl<const N: usize> PartialEq for Decision<N> {
    fn eq(&self, other: &Decision<N>) -> bool {
        self.allowed == other.allowed
            && self.parts == other.parts
            && self.binding() == other.binding()
    }
}

impl<const N: usize> Eq for Decision<N> {}

impl<const N: usize> fmt::Debug for Decision<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Decision")
            .field("allowed", &self.allowed)
            .field("never", &self.exceeds_burst())
            .field("binding", &self.binding())
            .field("quotas", &self.parts)
            .finish()
    }
}

/// One quota's part in a [`Decision`].
///
/// Two are equal if their limit, `remaining`, `retry_after`, `reset_after` and `exceeds_burst` are.
///
/// # Caveats
///
/// [`available_after`](QuotaDecision::available_after) may differ between equal parts, as it
/// depends on the rate too. Under one rate it differs by 1 ns at most, and not at all if a unit
/// takes a whole number of ns.
#[derive(Clone, Copy)]
pub struct QuotaDecision {
    reading: Reading,
    /// The units that were asked for and denied; 0 if the decision was to allow.
    asked: u64,
}

impl QuotaDecision {
    /// The quota's burst, in units.
    #[must_use]
    pub fn limit(&self) -> u64 {
        self.reading.burst
    }

    /// The whole units in this quota's bucket right after the decision.
    #[must_use]
    pub fn remaining(&self) -> u64 {
        self.reading.remaining()
    }

    /// How long until this quota alone would allow the request that was denied.
    ///
    /// `None` if it would have allowed it, and if it [never](QuotaDecision::exceeds_burst) can.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        // 0 if the decision was to allow, and 0 units are always there.
        self.available_after(self.asked)
            .filter(|wait| !wait.is_zero())
    }

    /// How long until this quota's bucket is full if nothing else is spent.
    #[must_use]
    pub fn reset_after(&self) -> Duration {
        self.reading.wait_until_full()
    }

    /// How long until this quota's bucket holds `n` units if nothing else is spent.
    ///
    /// Tight to the ns, and zero if it holds them now. `None` if `n` is above the burst.
    ///
    /// ```
    /// use std::time::Duration;
    /// use tollgate::{ManualClock, Quota, RateLimiter};
    ///
    /// let limiter = RateLimiter::builder(Quota::per_minute(60)).clock(ManualClock::new()).build();
    /// let [quota] = *limiter.check_n("alice", 58).quotas();
    /// assert_eq!(quota.available_after(2), Some(Duration::ZERO));
    /// assert_eq!(quota.available_after(5), Some(Duration::from_secs(3)));
    /// assert_eq!(quota.available_after(61), None);
    /// ```
    #[must_use]
    pub fn available_after(&self, n: u64) -> Option<Duration> {
        match n {
            // A clock that stepped back may owe more than the burst; no units are there even then.
            0 => Some(Duration::ZERO),
            _ => (n <= self.limit()).then(|| self.reading.wait_for(n)),
        }
    }

    /// The time in which [`remaining`](QuotaDecision::remaining) units are earned.
    #[cfg(feature = "tower")]
    pub(crate) fn time_to_earn_remaining(&self) -> Duration {
        self.reading.time_to_earn(self.remaining())
    }

    /// Whether the request asked for more than this quota's burst.
    #[must_use]
    pub fn exceeds_burst(&self) -> bool {
        self.asked > self.reading.burst
    }
}

impl QuotaDecision {
    /// Greater if this quota, rather than the other, binds. Equal quotas alone are equal in all.
    fn cmp_tightness(&self, other: &QuotaDecision, allowed: bool) -> Ordering {
        let by_verdict = if allowed {
            other.remaining().cmp(&self.remaining())
        } else {
            match (self.exceeds_burst(), other.exceeds_burst()) {
                (true, true) => other.limit().cmp(&self.limit()),
                (never, other_never) => never
                    .cmp(&other_never)
                    .then_with(|| self.retry_after().cmp(&other.retry_after())),
            }
        };
        by_verdict
            .then_with(|| self.reset_after().cmp(&other.reset_after()))
            .then_with(|| self.reading.cmp_slowness(&other.reading))
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
            .field("never", &self.exceeds_burst())
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arith::bucket::Bucket;
    use crate::quota::Quota;

    /// The machine's clock may step back by less than its lag: the debt is then above the burst.
    #[test]
    fn nothing_is_there_at_once_even_if_the_debt_is_above_the_burst() {
        let bucket = Bucket::new(&Quota::per_second(1_000_000_000).burst(5));
        let word = 105; // as of 100 ns
        let decision = Decision::new([bucket.reading(word, bucket.earned(99), 99)], 0, true);
        assert_eq!(decision.retry_after(), None);
        let [quota] = decision.quotas();
        assert_eq!(quota.available_after(0), Some(Duration::ZERO));
        assert_eq!(quota.available_after(1), Some(Duration::from_nanos(2)));
        assert_eq!(quota.remaining(), 0);
    }
}
