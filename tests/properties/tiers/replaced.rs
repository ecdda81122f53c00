//! Law T6: a policy is replaced as a key's tier is changed. Law T7: an unknown name is an error.

use std::collections::BTreeMap;
use std::{sync::Barrier, thread};

use proptest::prelude::*;
use tollgate::{ManualClock, Policy, Quota, TieredLimiter};

use super::subject::{Act, Subject, acts, policies, policy};
use crate::common::strategies::{self, HORIZON};
use crate::common::tiers::{Answer, answer};
use crate::subject::config;

proptest! {
    #![proptest_config(config())]

    #[test]
    fn law_t6_a_replaced_policy_decides_as_another_tier(
        policies in policies(strategies::quota()),
        room in 1..=3_usize,
        start in strategies::uptime(),
        acts in acts(strategies::quota(), 40),
    ) {
        with_room!(room, decides_as_another_tier(&policies, start, &acts));
    }

    #[test]
    fn law_t6_replacing_a_policy_by_an_equal_one_changes_nothing(
        policies in policies(strategies::quota()),
        room in 1..=3_usize,
        start in strategies::uptime(),
        acts in acts(strategies::quota(), 30),
    ) {
        with_room!(room, equal_ones_change_nothing(&policies, start, &acts));
    }

    #[test]
    fn law_t6_a_check_at_the_same_time_sees_the_old_policy_or_the_new_one(
        old in [strategies::quota_of_small_burst(), strategies::quota_of_small_burst()],
        new in strategies::quota_of_small_burst(),
        replaced in 1..20_usize,
    ) {
        let mut policies = [Policy::<2>::try_from(&old[..1]).unwrap(), policy(&[new])];
        if let Ok(tier) = limiter(policies[0]).tier(old) {
            policies[0] = tier.policy();
        }
        let limits = limiter(policies[0]);
        let tier = limits.default_tier().clone();
        let start = Barrier::new(2);
        let seen: Result<Vec<Policy<2>>, TestCaseError> = thread::scope(|scope| {
            let checker = scope.spawn(|| {
                start.wait();
                let check = |_| {
                    let quotas = tier.check(&0).quotas().to_vec();
                    policy(&Vec::from_iter(quotas.iter().map(|part| part.quota())))
                };
                (0..200).map(check).collect()
            });
            start.wait();
            for nth in 1..=replaced {
                let (from, to) = (policies[(nth + 1) % 2], policies[nth % 2]);
                prop_assert_eq!(tier.replace(to), Ok(from));
                prop_assert_eq!(tier.peek(&0).quotas().len(), to.quotas().len());
                prop_assert_eq!(tier.check(&0).quotas()[0].quota(), to.quotas()[0]);
            }
            Ok(checker.join().unwrap())
        });
        for seen in seen? {
            prop_assert!(policies.contains(&seen), "{seen} of {policies:?}");
        }
    }

    #[test]
    fn law_t7_an_unknown_name_is_an_error_that_lists_the_known_ones(
        policies in prop::collection::btree_map("[a-d]{0,2}", strategies::quota(), 0..6),
        others in prop::collection::btree_map("[a-d]{0,2}", strategies::quota(), 0..6),
        asked in prop::collection::vec("[a-d]{0,2}", 1..6),
    ) {
        let limits = limiter(Policy::from(Quota::default()));
        let of = |policies: &BTreeMap<String, Quota>| -> Vec<(String, Policy)> {
            policies.iter().map(|(name, quota)| (name.clone(), Policy::from(*quota))).collect()
        };
        let tiers = limits.named(of(&policies)).unwrap();
        for policies in [policies, others] {
            tiers.reload(of(&policies)).unwrap();
            let names: Vec<String> = policies.keys().cloned().collect();
            prop_assert_eq!(&tiers.names(), &names);
            for name in asked.iter().chain(policies.keys()) {
                match (tiers.get(name), policies.get(name)) {
                    (Ok(tier), Some(quota)) => {
                        prop_assert_eq!(tier.policy(), Policy::from(*quota));
                    }
                    (Err(unknown), None) => {
                        prop_assert_eq!(unknown.name(), name);
                        prop_assert_eq!(unknown.known(), names.as_slice());
                        let message = unknown.to_string();
                        for known in [name].into_iter().chain(&names) {
                            prop_assert!(message.contains(&format!("{known:?}")), "{}", message);
                        }
                    }
                    (found, expected) => prop_assert!(false, "{found:?} for {expected:?}"),
                }
            }
        }
    }
}

fn limiter<const N: usize>(policy: Policy<N>) -> TieredLimiter<u8, N> {
    TieredLimiter::builder(policy)
        .clock(ManualClock::new())
        .shards(2)
        .manual_sweep()
        .build()
}

/// Compares tiers that are replaced with tiers that are left, for new ones of the new policies.
fn decides_as_another_tier<const N: usize>(
    policies: &[Vec<Quota>],
    start: u64,
    acts: &[Act],
) -> Result<(), TestCaseError> {
    let mut replaced = Subject::<N>::new(policies);
    let mut left = Subject::<N>::new(policies);
    replaced.advance(start);
    // The tier of the second limiter that stands for each of the first.
    let mut stands_for: Vec<usize> = (0..replaced.tiers.len()).collect();
    for act in acts {
        let checked = replaced.act(act);
        let now = replaced.now();
        left.advance_to(now);
        match act {
            Act::Replace(tier, quotas) => {
                let tier = tier.index(replaced.tiers.len());
                if left.add(quotas) {
                    stands_for[tier] = left.tiers.len() - 1;
                }
            }
            Act::Forget(key) => {
                left.limiter.forget(key);
            }
            _ => {}
        }
        let numbers = |subject: &Subject<N>, tiers: &[usize]| -> Vec<Answer> {
            let peek = |tier: &usize| [0, 1].map(|key| answer(&subject.tiers[*tier].peek(&key)));
            tiers.iter().flat_map(peek).collect()
        };
        if let Some((key, tier, n, decision)) = checked {
            let expected = left.tiers[stands_for[tier]].check_n(&key, n);
            prop_assert_eq!(answer(&decision), answer(&expected));
        }
        let all: Vec<usize> = (0..replaced.tiers.len()).collect();
        prop_assert_eq!(numbers(&replaced, &all), numbers(&left, &stands_for));
    }
    Ok(())
}

/// Compares a limiter with one whose policies are replaced by themselves before each act.
fn equal_ones_change_nothing<const N: usize>(
    policies: &[Vec<Quota>],
    start: u64,
    acts: &[Act],
) -> Result<(), TestCaseError> {
    let (mut left, mut reloaded) = (Subject::<N>::new(policies), Subject::<N>::new(policies));
    left.advance(start);
    reloaded.advance(start.min(HORIZON));
    for act in acts {
        for tier in &reloaded.tiers {
            let equal = tier.policy();
            prop_assert_eq!(tier.replace(equal), Ok(equal));
        }
        let (expected, found) = (left.act(act), reloaded.act(act));
        let decision =
            |checked: Option<(u8, usize, u64, _)>| checked.map(|(.., decision)| decision);
        prop_assert_eq!(
            decision(expected).as_ref().map(answer),
            decision(found).as_ref().map(answer)
        );
        for key in [0, 1] {
            prop_assert_eq!(left.peeks(key, 1), reloaded.peeks(key, 1));
        }
        prop_assert_eq!(left.limiter.len(), reloaded.limiter.len());
    }
    Ok(())
}
