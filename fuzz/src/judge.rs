//! The expected decisions for one key.

use tollgate::{Decision, Quota};

use crate::oracle::{Answer, Bracket, Oracle, answer, is_exact};

#[derive(Clone)]
pub(crate) enum Judge {
    /// Expects every number exactly.
    Exact(Oracle),
    /// Expects them to within 1 ns, for quotas whose unit does not take a whole number of ns.
    Near(Vec<(Quota, Bracket)>),
}

impl Judge {
    /// Expects the decisions for an unknown key, whose buckets are full.
    pub(crate) fn new(quotas: &[Quota]) -> Judge {
        if quotas.iter().all(is_exact) {
            Judge::Exact(Oracle::new(quotas))
        } else {
            Judge::Near(
                quotas
                    .iter()
                    .map(|quota| (*quota, Bracket::new(quota)))
                    .collect(),
            )
        }
    }

    /// Judges a check of `n` units at `now`.
    pub(crate) fn check<const N: usize>(&mut self, decision: &Decision<N>, n: u64, now: u64) {
        match self {
            Judge::Exact(oracle) => assert_eq!(answer(decision), oracle.check(now, n)),
            Judge::Near(brackets) => {
                decide(brackets, decision, now, n);
                remain(brackets, decision, now);
            }
        }
    }

    /// Judges a peek for `n` units at `now`.
    pub(crate) fn peek<const N: usize>(&self, decision: &Decision<N>, n: u64, now: u64) {
        match self {
            Judge::Exact(oracle) => {
                let checked = oracle.clone().check(now, n);
                let Answer {
                    remaining,
                    reset_after,
                    ..
                } = oracle.clone().check(now, 0);
                assert_eq!(
                    answer(decision),
                    Answer {
                        remaining,
                        reset_after,
                        ..checked
                    }
                );
            }
            Judge::Near(brackets) => {
                decide(&mut brackets.clone(), decision, now, n);
                remain(brackets, decision, now);
            }
        }
    }
}

/// Checks which quotas allow the request. A bracket has no notion of a request above the burst, so
/// it is not called for one.
fn decide<const N: usize>(
    brackets: &mut Vec<(Quota, Bracket)>,
    decision: &Decision<N>,
    now: u64,
    n: u64,
) {
    let mut spent = brackets.clone();
    let mut allowed = true;
    for ((quota, bracket), part) in spent.iter_mut().zip(decision.quotas()) {
        let exceeds_burst = n > quota.burst_size();
        assert_eq!(part.exceeds_burst(), exceeds_burst, "{n} units of {quota}");
        if exceeds_burst || part.retry_after().is_some() {
            allowed = false;
            assert!(
                exceeds_burst || bracket.deny(now, n),
                "denied {n} of {quota} at {now}"
            );
        } else {
            assert!(bracket.allow(now, n), "allowed {n} of {quota} at {now}");
        }
    }
    assert_eq!(decision.is_allowed(), allowed);
    if allowed {
        *brackets = spent;
    }
}

fn remain<const N: usize>(brackets: &[(Quota, Bracket)], decision: &Decision<N>, now: u64) {
    for ((quota, bracket), part) in brackets.iter().zip(decision.quotas()) {
        let remaining = part.remaining();
        assert!(
            bracket.remain(now, remaining),
            "{remaining} remain of {quota} at {now}"
        );
    }
}
