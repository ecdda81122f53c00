//! A policy as the script counts it: time in whole µs, debts in whole parts of a unit.
//!
//! A quota of `units` per `period` ns is `rate` units per `parts` µs in lowest terms. One part is `1 / parts`
//! of a unit. So each µs earns `rate` parts, exactly, and a unit costs `parts`. Nothing is rounded.
//!
//! A Lua number is a double. It holds every integer up to [`MAX`], and every number that the script keeps
//! stays at or below it:
//!
//! - A debt is at most `depth`, which is the burst in parts. That is checked here.
//! - `elapsed * rate` is exact up to 2^53. If it is more, it rounds to 2^53 at least, as rounding is monotonic.
//!   That is above every debt, so the debt is repaid, as it is in truth.
//! - `debt + cost` may be above it, but it is only compared with `depth`. If it is more, it is at least
//!   `depth + 1`, which is exact, and so it is when rounded. The comparison is right. (With a depth of 2^53
//!   it would not be: 2^53 + 1 rounds to 2^53.)

use std::num::NonZeroU64;

use tollgate::{Policy, Quota};

use crate::error::InvalidSetting;

/// The largest integer that a double holds with its successor.
pub(crate) const MAX: u64 = (1 << 53) - 1;

/// A clock of the store that is behind the last change of a key by at most this, in µs, stands still until
/// it has caught up. If it is further behind, it counts on at once. A key expires this long after it is full.
pub(crate) const TOLERANCE: u64 = 1_000_000;

/// One quota of a policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Terms {
    pub(crate) quota: Quota,
    /// The parts that a µs earns.
    pub(crate) rate: u64,
    /// The parts of a unit.
    pub(crate) parts: NonZeroU64,
    /// The burst in parts.
    pub(crate) depth: u64,
}

impl Terms {
    /// Returns the terms of each quota.
    ///
    /// # Errors
    ///
    /// If a quota has numbers above [`MAX`].
    pub(crate) fn of<const N: usize>(policy: &Policy<N>) -> Result<Vec<Terms>, InvalidSetting> {
        policy.quotas().iter().map(Terms::new).collect()
    }

    fn new(quota: &Quota) -> Result<Terms, InvalidSetting> {
        let period = quota.period().as_nanos();
        let units = u128::from(quota.units()) * 1_000;
        let divisor = greatest_common_divisor(units, period);
        let (rate, parts) = (units / divisor, period / divisor);
        // Solved for the burst: burst * parts <= MAX.
        let most = match rate <= u128::from(MAX) {
            true => u128::from(MAX) / parts,
            false => 0,
        };
        if most < u128::from(quota.burst_size()) {
            return Err(InvalidSetting::range(quota, rate, parts, most));
        }
        let depth = u128::from(quota.burst_size()) * parts;
        let small = |number: u128| u64::try_from(number).unwrap_or(MAX);
        Ok(Terms {
            quota: *quota,
            rate: small(rate),
            // A quotient of a period, which is not 0.
            parts: NonZeroU64::new(small(parts)).unwrap_or(NonZeroU64::MIN),
            depth: small(depth),
        })
    }

    /// Returns what `n` units cost, in parts. A request for more than the burst costs as much as `u64` holds.
    pub(crate) fn cost(&self, n: u64) -> u64 {
        n.saturating_mul(self.parts.get())
    }

    /// Returns a debt after `elapsed` µs.
    pub(crate) fn repay(&self, debt: u64, elapsed: u64) -> u64 {
        debt.saturating_sub(elapsed.saturating_mul(self.rate))
    }

    /// Whether the bucket lacks some of `n` units at this debt.
    pub(crate) fn lacks(&self, debt: u64, n: u64) -> bool {
        debt.saturating_add(self.cost(n)) > self.depth
    }
}

/// Returns the mark of a policy: the same for the same terms, and different otherwise.
///
/// Each quota is `rate/parts*burst`, with the rate in units per so many µs.
pub(crate) fn mark(terms: &[Terms]) -> String {
    let quotas: Vec<String> = terms
        .iter()
        .map(|terms| {
            let burst = terms.quota.burst_size();
            format!("{}/{}*{burst}", terms.rate, terms.parts)
        })
        .collect();
    quotas.join("+")
}

fn greatest_common_divisor(mut a: u128, mut b: u128) -> u128 {
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_quota_is_in_lowest_terms_of_parts_and_microseconds() {
        let policy: Policy<3> = "10/minute; 7/minute; 300000000/second".parse().unwrap();
        let terms = Terms::of(&policy).unwrap();
        let of = |index: usize| (terms[index].rate, terms[index].parts.get());
        assert_eq!(
            (of(0), of(1), of(2)),
            ((1, 6_000_000), (7, 60_000_000), (300, 1))
        );
        assert_eq!(terms[0].depth, 60_000_000);
        assert_eq!(mark(&terms), "1/6000000*10+7/60000000*7+300/1*300000000");
    }

    #[test]
    fn what_does_not_fit_is_an_error_with_the_value_and_the_bound() {
        for (text, most) in [
            ("10/minute burst", 1_501_199_875),
            ("1/day burst", 104_249),
            ("1000003/day burst", 104_249),
            ("300000000/second burst", 9_007_199_254_740_991),
        ] {
            let parse = |burst: u64| format!("{text} {burst}").parse::<Policy>().unwrap();
            assert!(Terms::of(&parse(most)).is_ok(), "{text}");
            let error = Terms::of(&parse(most + 1)).unwrap_err().to_string();
            assert!(
                error.contains(&format!("a burst of {}", most + 1)),
                "{error}"
            );
            assert!(error.contains(&format!("at most {most}")), "{error}");
        }
    }

    #[test]
    fn a_rate_that_fits_with_no_burst_is_an_error_of_its_own() {
        let fine = Quota::new(999_983, Duration::from_nanos((1 << 56) + 1), 1).unwrap();
        let error = Terms::of(&Policy::from(fine)).unwrap_err().to_string();
        assert!(error.contains("2^53"), "{error}");
    }

    #[test]
    fn equal_limits_have_one_mark() {
        let mark = |text: &str| mark(&Terms::of(&text.parse::<Policy<2>>().unwrap()).unwrap());
        assert_eq!(mark("60/minute burst 5"), mark("1/second burst 5"));
        assert_ne!(mark("60/minute burst 5"), mark("60/minute burst 6"));
        assert_ne!(mark("60/minute"), mark("60/minute; 1/second"));
    }
}
