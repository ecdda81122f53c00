//! A decision without the number of quotas in its type.

use std::{fmt, time::Duration};

use super::{Decision, DecisionSource, QuotaDecision, TierId, whole_seconds};

/// A borrowed [`Decision`], whatever the number of quotas in its type.
///
/// Its methods are documented there.
#[derive(Clone, Copy)]
#[must_use = "a decision that is not read limits nothing"]
pub struct DecisionRef<'a> {
    pub(super) parts: &'a [QuotaDecision],
    pub(super) allowed: bool,
    pub(super) source: DecisionSource,
    pub(super) tier: Option<TierId>,
}

impl<'a> DecisionRef<'a> {
    /// Whether the bucket held the units. See [`Decision::is_allowed`].
    #[must_use]
    #[inline]
    pub fn is_allowed(&self) -> bool {
        self.allowed
    }

    /// Whether no wait helps. See [`Decision::exceeds_burst`].
    #[must_use]
    #[inline]
    pub fn exceeds_burst(&self) -> bool {
        self.parts.iter().any(QuotaDecision::exceeds_burst)
    }

    /// Returns the burst of the binding quota, in units. See [`Decision::limit`].
    #[must_use]
    #[inline]
    pub fn limit(&self) -> u64 {
        let binding = self.parts.get(self.binding());
        binding.map(QuotaDecision::limit).unwrap_or_default()
    }

    /// Returns the units that are left. See [`Decision::remaining`].
    #[must_use]
    #[inline]
    pub fn remaining(&self) -> u64 {
        let remaining = self.parts.iter().map(QuotaDecision::remaining);
        remaining.min().unwrap_or_default()
    }

    /// Returns the time until the request passes. See [`Decision::retry_after`].
    #[must_use]
    #[inline]
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
    #[inline]
    pub fn retry_after_seconds(&self) -> Option<u64> {
        self.retry_after().map(whole_seconds)
    }

    /// Returns the time until every bucket is full. See [`Decision::reset_after`].
    #[must_use]
    #[inline]
    pub fn reset_after(&self) -> Duration {
        let reset_after = self.parts.iter().map(QuotaDecision::reset_after);
        reset_after.max().unwrap_or_default()
    }

    /// Returns the index of the quota that binds. See [`Decision::binding`].
    #[must_use]
    #[inline]
    pub fn binding(&self) -> usize {
        let tighter = |best: usize, next: usize| {
            let ordering = self.parts[next].cmp_tightness(&self.parts[best], self.allowed);
            if ordering.is_gt() { next } else { best }
        };
        (1..self.parts.len()).fold(0, tighter)
    }

    /// Returns the numbers of each quota. See [`Decision::quotas`].
    #[must_use]
    #[inline]
    pub fn quotas(&self) -> &'a [QuotaDecision] {
        self.parts
    }

    /// Returns where the decision was made. See [`Decision::source`].
    #[must_use]
    pub fn source(&self) -> DecisionSource {
        self.source
    }

    /// Returns the tier that the request was checked under. See [`Decision::tier`].
    #[must_use]
    pub fn tier(&self) -> Option<TierId> {
        self.tier
    }

    /// Returns a copy with room for `N` quotas, or `None` if the decision has more.
    #[must_use]
    pub fn to_decision<const N: usize>(&self) -> Option<Decision<N>> {
        let (first, count) = (self.parts.first()?, self.parts.len());
        let mut parts = [*first; N];
        parts.get_mut(..count)?.copy_from_slice(self.parts);
        Some(Decision {
            parts,
            count: u16::try_from(count).ok()?,
            allowed: self.allowed,
            source: self.source,
            tier: self.tier,
        })
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

impl PartialEq for DecisionRef<'_> {
    fn eq(&self, other: &DecisionRef<'_>) -> bool {
        self.allowed == other.allowed
            && self.parts == other.parts
            && self.binding() == other.binding()
    }
}

impl Eq for DecisionRef<'_> {}

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
