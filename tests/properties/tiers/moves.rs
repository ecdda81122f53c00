//! Law T1: a debt is carried in units, whatever the order of moves.

use num_bigint::BigInt;
use proptest::prelude::*;
use proptest::sample::Index;
use tollgate::Quota;

use super::subject::{Act, Subject, acts, policies};
use crate::common::bounds::is_faster;
use crate::common::strategies::{self, Step};
use crate::subject::config;

proptest! {
    #![proptest_config(config())]

    #[test]
    fn law_t1_debt_is_carried_in_units_whatever_the_order_of_moves(
        policies in policies(strategies::quota()),
        room in 1..=3_usize,
        start in strategies::uptime(),
        acts in acts(strategies::quota(), 20),
        moves in moves(),
    ) {
        with_room!(room, remains_at_one_instant(&policies, start, &acts, &moves));
    }

    #[test]
    fn law_t1_moves_cost_less_than_a_step_each_and_give_nothing(
        policies in policies(strategies::quota()),
        start in strategies::uptime(),
        spent in any::<Step>(),
        elapsed in any::<Step>(),
        moves in moves(),
    ) {
        let first = policies[0][0];
        let (mut moved, mut unmoved) = (Subject::<1>::new(&policies), Subject::<1>::new(&policies));
        let mut charged = 0_u64;
        for subject in [&mut moved, &mut unmoved] {
            subject.advance(start);
            let n = spent.of(&first).1 % (first.burst_size() + 1);
            prop_assert!(subject.tiers[0].check_n(&0, n).is_allowed());
            subject.advance(elapsed.of(&first).0);
        }
        let mut fastest = first;
        for (tier, step) in &moves {
            let tier = tier.index(moved.tiers.len());
            let quota = moved.tiers[tier].policy().quotas()[0];
            let n = step.of(&quota).1;
            if moved.tiers[tier].check_n(&0, n).is_allowed() {
                charged += n;
            }
            if is_faster(&quota, &fastest) {
                fastest = quota;
            }
        }
        // Both are on the first axis now, or the request is above the burst in both.
        let back = || charged.checked_add(1).map(|all| {
            (moved.tiers[0].check_n(&0, 1), unmoved.tiers[0].check_n(&0, all))
        });
        if let Some((moved, unmoved)) = back() {
            prop_assert_eq!(moved.is_allowed(), unmoved.is_allowed());
            if moved.is_allowed() {
                prop_assert_eq!(moved.remaining(), unmoved.remaining());
                let reset = |of: u128| i128::try_from(of).unwrap();
                let later = reset(moved.reset_after().as_nanos())
                    - reset(unmoved.reset_after().as_nanos());
                prop_assert!(later >= 0, "{} ns were given away", -later);
                // A step is at most what is earned in 1 ns. The wait is rounded up.
                let (units, period) = (BigInt::from(fastest.units()), fastest.period().as_nanos());
                let steps = units * first.period().as_nanos() * (moves.len() + 1);
                let most = steps / (BigInt::from(first.units()) * period) + 1;
                prop_assert!(BigInt::from(later) <= most, "{} ns more, of {}", later, most);
            }
        }
    }
}

/// Yields requests under tiers, all at one instant.
fn moves() -> impl Strategy<Value = Vec<(Index, Step)>> {
    prop::collection::vec((any::<Index>(), any::<Step>()), 1..12)
}

/// Checks that requests at one instant change what remains, under any policy, by what they spent.
fn remains_at_one_instant<const N: usize>(
    policies: &[Vec<Quota>],
    start: u64,
    acts: &[Act],
    moves: &[(Index, Step)],
) -> Result<(), TestCaseError> {
    let mut subject = Subject::<N>::new(policies);
    subject.advance(start);
    for act in acts {
        subject.act(act);
    }
    let remaining = || {
        let parts = subject.peeks(0, 0).into_iter().map(|peek| {
            let parts = peek.quotas().iter().map(|part| part.remaining());
            parts.collect::<Vec<u64>>()
        });
        parts.collect::<Vec<_>>()
    };
    let mut expected = remaining();
    for (tier, step) in moves {
        let tier = tier.index(subject.tiers.len());
        let n = step.of(&subject.terms[tier][0].0).1;
        if subject.tiers[tier].check_n(&0, n).is_allowed() {
            let is_charged = |bucket| subject.terms[tier].iter().any(|(_, of)| *of == bucket);
            for (parts, terms) in expected.iter_mut().zip(&subject.terms) {
                for (left, (_, bucket)) in parts.iter_mut().zip(terms) {
                    if is_charged(*bucket) {
                        *left = left.saturating_sub(n);
                    }
                }
            }
        }
        prop_assert_eq!(remaining(), expected.clone());
    }
    Ok(())
}
