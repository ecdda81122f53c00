//! Several quotas as one decision.

use std::{
    fmt,
    hash::{Hash, Hasher},
    str::FromStr,
    time::Duration,
};

use crate::arith::bucket::{Bucket, Reading};
use crate::decision::Decision;
use crate::error::{InvalidQuota, Kind};
use crate::pad::pad;
use crate::quota::{Quota, parse_list};

/// One to several quotas that a key must meet together.
///
/// A check spends from every quota or from none. Each quota binds on its own, and the order in
/// which they are given makes no difference to any decision.
///
/// ```
/// use tollgate::{Policy, Quota};
///
/// let turns = Policy::from([Quota::per_minute(10), Quota::per_hour(60)]);
/// assert_eq!(Ok(turns), "10/minute; 60/hour".parse());
/// assert_eq!(turns.to_string(), "10/minute; 60/hour");
/// ```
///
/// The text form is that of [`Quota`], with `;` between the quotas. It must hold exactly `N`:
///
/// ```
/// let one = "10/minute; 60/hour".parse::<tollgate::Policy<1>>().unwrap_err();
/// assert_eq!(one.to_string(), "found 2 quotas in the policy, expected exactly 1");
/// ```
///
/// A policy of no quotas does not compile:
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
    quotas: [Quota; N],
    buckets: [Bucket; N],
}

impl<const N: usize> Policy<N> {
    /// The quotas, in the order in which they were given.
    #[must_use]
    pub const fn quotas(&self) -> &[Quota; N] {
        &self.quotas
    }

    /// The longest time that an empty bucket takes to fill: a key that has been idle for so long
    /// is as if it had never been seen.
    #[must_use]
    pub fn fill_time(&self) -> Duration {
        let fill_time = |bucket: &Bucket| bucket.reading(0, 0, 0).fill_time();
        let longest = self.buckets.iter().map(fill_time).max();
        longest.unwrap_or_default()
    }

    /// Asks for `n` units of the buckets that `words` are, at `now`, and spends them from all if
    /// all hold as many. A denial leaves every word as it was.
    #[inline]
    pub(crate) fn spend(&self, words: &mut [u64; N], now: u64, n: u64) -> Evaluation<N> {
        let earned = self.earned(now);
        let spent = self.try_spend(words, &earned, n);
        if let Some(spent) = spent {
            *words = spent;
        }
        Evaluation {
            words: *words,
            earned,
            now,
            is_allowed: spent.is_some(),
        }
    }

    /// What [`spend`](Policy::spend) would find, with the buckets as they stand.
    #[inline]
    pub(crate) fn peek(&self, words: &[u64; N], now: u64, n: u64) -> Evaluation<N> {
        let earned = self.earned(now);
        Evaluation {
            words: *words,
            earned,
            now,
            is_allowed: self.try_spend(words, &earned, n).is_some(),
        }
    }

    /// All that is to be said of it, when `n` units were asked for.
    #[inline]
    pub(crate) fn decision(&self, evaluation: &Evaluation<N>, n: u64) -> Decision<N> {
        Decision::new(self.readings(evaluation), n, evaluation.is_allowed)
    }

    /// Whether some bucket lacks a unit.
    #[inline]
    pub(crate) fn is_exhausted(&self, evaluation: &Evaluation<N>) -> bool {
        let Evaluation { words, earned, .. } = evaluation;
        self.try_spend(words, earned, 1).is_none()
    }

    /// Whether an unknown key, whose buckets are full, is stored when `n` units are asked for: not
    /// if they are none, or more than some bucket holds.
    #[inline]
    pub(crate) fn should_insert(&self, n: u64) -> bool {
        n > 0 && self.quotas.iter().all(|quota| n <= quota.burst_size())
    }

    /// Says of words whether every bucket is full at `now`: then forgetting them changes nothing.
    /// What depends on `now` alone is computed once for all words.
    pub(crate) fn full_at(&self, now: u64) -> impl Fn(&[u64; N]) -> bool {
        let earned = self.earned(now);
        move |words| {
            let mut buckets = self.buckets.iter().zip(words).zip(earned);
            buckets.all(|((bucket, &word), earned)| bucket.is_full(word, earned))
        }
    }

    #[inline]
    fn earned(&self, now: u64) -> [u64; N] {
        self.buckets.each_ref().map(|bucket| bucket.earned(now))
    }

    /// The words after spending `n` units from every bucket, if every one holds as many.
    #[inline]
    fn try_spend(&self, words: &[u64; N], earned: &[u64; N], n: u64) -> Option<[u64; N]> {
        let mut spent = *words;
        for ((word, earned), bucket) in spent.iter_mut().zip(earned).zip(&self.buckets) {
            *word = bucket.try_spend(*word, *earned, n)?;
        }
        Some(spent)
    }

    #[inline]
    fn readings(&self, evaluation: &Evaluation<N>) -> [Reading; N] {
        let reading = |quota: usize| {
            let (word, earned) = (evaluation.words[quota], evaluation.earned[quota]);
            self.buckets[quota].reading(word, earned, evaluation.now)
        };
        // Not `array::from_fn`, which is not always compiled into its place.
        let mut readings = [reading(0); N];
        for (quota, of_quota) in readings.iter_mut().enumerate() {
            *of_quota = reading(quota);
        }
        readings
    }
}

/// What was found of a key's buckets, and no more than that: where a shard is locked, it is made
/// under the lock, and what follows from it when that is released.
pub(crate) struct Evaluation<const N: usize> {
    /// As they stand after it.
    pub(crate) words: [u64; N],
    earned: [u64; N],
    now: u64,
    pub(crate) is_allowed: bool,
}

impl<const N: usize> From<[Quota; N]> for Policy<N> {
    fn from(quotas: [Quota; N]) -> Policy<N> {
        const { assert!(N > 0, "a policy needs at least one quota") };
        Policy {
            quotas,
            buckets: quotas.map(|quota| Bucket::new(&quota)),
        }
    }
}

impl From<Quota> for Policy<1> {
    fn from(quota: Quota) -> Policy<1> {
        Policy::from([quota])
    }
}

/// The policy of the default quota: 100 a minute with a burst of 10.
impl Default for Policy<1> {
    fn default() -> Policy<1> {
        Policy::from(Quota::default())
    }
}

impl<const N: usize> PartialEq for Policy<N> {
    fn eq(&self, other: &Policy<N>) -> bool {
        self.quotas == other.quotas
    }
}

impl<const N: usize> Eq for Policy<N> {}

/// Hashes what `==` compares: the quotas, in order.
impl<const N: usize> Hash for Policy<N> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.quotas.hash(state);
    }
}

impl<const N: usize> fmt::Debug for Policy<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Policy").field(&self.quotas).finish()
    }
}

impl<const N: usize> fmt::Display for Policy<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        pad(f, |out| {
            for (index, quota) in self.quotas.iter().enumerate() {
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
        let quotas = parse_list(text)?;
        match <[Quota; N]>::try_from(quotas) {
            Ok(quotas) => Ok(Policy::from(quotas)),
            Err(quotas) => Err(Kind::Count {
                found: quotas.len(),
                expected: N,
            }
            .into()),
        }
    }
}
