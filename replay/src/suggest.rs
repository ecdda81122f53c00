//! Suggests a policy: the tightest round one that would have denied few enough requests.

use std::str::FromStr;

use tollgate::{Policy, Quota};

use crate::MAX_QUOTAS;
use crate::form::is_digits;
use crate::report::{Candidate, Suggestion};

/// The units of the policies that are tried, per minute.
const PER_MINUTE: [u64; 12] = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000];

/// And per hour.
const PER_HOUR: [u64; 12] = [
    10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000, 20_000, 50_000,
];

/// Returns the policies that are tried, each kind from the tightest on. Each has as much burst as units.
pub(crate) fn candidates() -> Vec<Policy<MAX_QUOTAS>> {
    let minutes = PER_MINUTE.map(Quota::per_minute);
    let hours = PER_HOUR.map(Quota::per_hour);
    let quotas = minutes.into_iter().chain(hours);
    quotas
        .map(|quota| Policy::from(quota).with_room())
        .collect()
}

/// A percentage of requests that must be admitted, exactly as it is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Percentage {
    text: String,
    /// In parts of [`WHOLE`].
    parts: u128,
}

const DIGITS: usize = 9;

/// 100%, in units of the last digit that is read.
const WHOLE: u128 = 100 * 10_u128.pow(DIGITS as u32);

impl FromStr for Percentage {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Percentage, &'static str> {
        let expected = "expected a percentage from 50 to 100, with at most 9 decimals: 99.9";
        let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
        let is_number = is_digits(whole.as_bytes()) && is_digits(fraction.as_bytes());
        if !is_number || fraction.len() > DIGITS || whole.len() > 3 {
            return Err(expected);
        }
        let digits = format!("{whole}{fraction:0<DIGITS$}");
        let parts = digits.parse().map_err(|_| expected)?;
        // Less is a fraction that was meant as a percentage.
        if !(WHOLE / 2..=WHOLE).contains(&parts) {
            return Err(expected);
        }
        let text = text.to_owned();
        Ok(Percentage { text, parts })
    }
}

impl Percentage {
    fn permits(&self, denied: u64, requests: u64) -> bool {
        u128::from(denied) * WHOLE <= u128::from(requests) * (WHOLE - self.parts)
    }

    /// Returns a suggestion for each kind of policy, from the denials of all [`candidates`].
    pub(crate) fn suggest(&self, denied: &[Candidate], requests: u64) -> Vec<Suggestion> {
        let (minutes, hours) = denied.split_at(PER_MINUTE.len().min(denied.len()));
        [("minute", minutes), ("hour", hours)]
            .map(|(per, candidates)| {
                let tightest = candidates
                    .iter()
                    .position(|candidate| self.permits(candidate.denied, requests));
                let tighter = tightest.unwrap_or(candidates.len()).checked_sub(1);
                Suggestion {
                    percent: self.text.clone(),
                    per,
                    policy: tightest.map(|index| candidates[index].clone()),
                    tighter: tighter.and_then(|index| candidates.get(index).cloned()),
                }
            })
            .into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn percentage(text: &str) -> Option<Percentage> {
        text.parse().ok()
    }

    #[test]
    fn a_percentage_is_read_exactly() {
        let permits = |text, denied, requests| percentage(text).unwrap().permits(denied, requests);
        assert!(permits("99.9", 1, 1_000) && !permits("99.9", 2, 1_999));
        assert!(permits("100", 0, 1) && !permits("100.0", 1, u64::MAX));
        assert!(permits("50", 1, 2));
        assert!(permits("99.999999999", 1, 100_000_000_000));
        assert!(!permits("99.999999999", 1, 99_999_999_999));
        for text in [
            "",
            ".",
            "99.",
            ".9",
            "-1",
            "100.1",
            "101",
            "0.999",
            "49.999999999",
            "1e1",
            "99.9%",
            "0.0000000001",
        ] {
            assert_eq!(percentage(text), None, "{text}");
        }
    }

    #[test]
    fn the_candidates_are_from_the_tightest_on() {
        let texts: Vec<_> = candidates().iter().map(Policy::to_string).collect();
        assert_eq!(texts.len(), PER_MINUTE.len() + PER_HOUR.len());
        assert_eq!((&*texts[0], &*texts[11]), ("1/minute", "5000/minute"));
        assert_eq!((&*texts[12], &*texts[23]), ("10/hour", "50000/hour"));
    }

    #[test]
    fn the_tightest_that_denied_few_enough_is_suggested() {
        let denied: Vec<_> = candidates()
            .iter()
            .zip([40, 30, 20, 10, 9, 8, 7, 6, 5, 4, 3, 2].into_iter().cycle())
            .map(|(policy, denied)| Candidate {
                policy: policy.to_string(),
                denied,
            })
            .collect();
        let suggest = |percent: &str| {
            let suggestions = percentage(percent).unwrap().suggest(&denied, 1_000);
            let text =
                |candidate: &Option<Candidate>| candidate.as_ref().map(|it| it.policy.clone());
            suggestions
                .iter()
                .map(|it| (text(&it.policy), text(&it.tighter)))
                .collect::<Vec<_>>()
        };
        let some = |policy: &str| Some(policy.to_owned());
        assert_eq!(
            suggest("99"),
            [
                (some("10/minute"), some("5/minute")),
                (some("100/hour"), some("50/hour"))
            ]
        );
        assert_eq!(
            suggest("90"),
            [(some("1/minute"), None), (some("10/hour"), None)]
        );
        assert_eq!(
            suggest("99.9"),
            [(None, some("5000/minute")), (None, some("50000/hour"))]
        );
    }
}
