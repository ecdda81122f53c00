//! Law T5: the period of a quota decides which bucket it has, and no other quota is concerned with that.

use proptest::prelude::*;
use tollgate::Quota;

use super::subject::{Act, Subject, acts, policies};
use crate::common::strategies;
use crate::subject::config;

proptest! {
    #![proptest_config(config())]

    #[test]
    fn law_t5_a_bucket_is_that_of_its_quotas_alone(
        policies in policies(strategies::quota()),
        room in 2..=3_usize,
        start in strategies::uptime(),
        acts in acts(strategies::quota(), 40),
    ) {
        match room {
            2 => is_alone::<2>(&policies, start, &acts)?,
            _ => is_alone::<3>(&policies, start, &acts)?,
        }
    }
}

/// Compares each bucket with a limiter that has only this one, and only the policies that have a quota for
/// it. What another policy spends, and how a denial came about, must make no difference.
fn is_alone<const N: usize>(
    policies: &[Vec<Quota>],
    start: u64,
    acts: &[Act],
) -> Result<(), TestCaseError> {
    let mut subject = Subject::<N>::new(policies);
    subject.advance(start);
    let mut alone: Vec<Subject<1>> = (0..N)
        .map(|bucket| {
            let of_bucket = subject
                .terms
                .iter()
                .flatten()
                .filter(|(_, of)| *of == bucket);
            // The first is a bucket's own. A tier for each quota is found by `tier_of`.
            let quotas: Vec<_> = of_bucket.map(|(quota, _)| vec![*quota]).collect();
            let quotas = if quotas.is_empty() {
                vec![vec![Quota::default()]]
            } else {
                quotas
            };
            Subject::new(&quotas)
        })
        .collect();
    for act in acts {
        let checked = subject.act(act);
        let now = subject.now();
        for (bucket, one) in alone.iter_mut().enumerate() {
            one.advance_to(now);
            if let Act::Forget(key) = act {
                one.limiter.forget(key);
            }
            let quota = |tier: usize| {
                let of_bucket = subject.terms[tier].iter().position(|(_, of)| *of == bucket);
                of_bucket.map(|nth| (nth, subject.terms[tier][nth].0))
            };
            if let Some((key, tier, n, decision)) = &checked
                && let Some((_, quota)) = quota(*tier)
            {
                let tier = one.tier_of(&quota);
                // More than any burst is denied.
                let n = match decision.is_allowed() || *n == 0 {
                    true => *n,
                    false => u64::MAX,
                };
                prop_assert_eq!(
                    one.tiers[tier].check_n(key, n).is_allowed(),
                    decision.is_allowed()
                );
            }
            for key in [0, 1] {
                for (tier, peek) in subject.peeks(key, 0).iter().enumerate() {
                    if let Some((nth, quota)) = quota(tier) {
                        let tier = one.tier_of(&quota);
                        let expected = one.tiers[tier].peek_n(&key, 0);
                        prop_assert_eq!(peek.quotas()[nth], expected.quotas()[0]);
                        prop_assert_eq!(peek.quotas()[nth].quota(), quota);
                    }
                }
            }
        }
    }
    Ok(())
}
