//! Law 7: several quotas as one decision, and room in a policy for more of them.

use proptest::prelude::*;
use tollgate::{Decision, Policy, Quota, RandomState};

use crate::common::oracle::{Oracle, answer};
use crate::common::strategies::{self, Step};
use crate::subject::{Subject, config, first_excess};

proptest! {
    #![proptest_config(config())]

    #[test]
    fn law_7_spends_from_every_quota_or_from_none(
        quotas in [strategies::exact_quota(), strategies::exact_quota(), strategies::exact_quota()],
        steps in strategies::steps(60),
    ) {
        let (mut subject, mut oracle) = (Subject::new(quotas), Oracle::new(&quotas));
        let mut alone = quotas.map(|quota| Oracle::new(&[quota]));
        for (index, step) in steps.iter().enumerate() {
            let (elapsed, n) = step.of(&quotas[index % 3]);
            subject.advance(elapsed);
            let decision = subject.check_n(n);
            prop_assert_eq!(answer(&decision), oracle.check(subject.now, n));

            // The numbers of the decision are those of the quota that binds.
            let binding = decision.quotas()[decision.binding()];
            prop_assert_eq!(decision.limit(), quotas[decision.binding()].burst_size());
            prop_assert_eq!(decision.exceeds_burst(), binding.exceeds_burst());
            prop_assert_eq!(decision.retry_after(), binding.retry_after());
            if decision.is_allowed() {
                prop_assert_eq!(decision.remaining(), binding.remaining());
            }
            // Each quota has the numbers of its own model, which spends what the decision admits.
            let spent = if decision.is_allowed() { n } else { 0 };
            for ((quota, part), alone) in quotas.iter().zip(decision.quotas()).zip(&mut alone) {
                let left = alone.check(subject.now, spent);
                prop_assert_eq!(part.limit(), quota.burst_size());
                prop_assert_eq!(part.remaining(), left.remaining);
                prop_assert_eq!(part.reset_after(), left.reset_after);
                let wait = alone.clone().check(subject.now, n).retry_after;
                let wait = wait.filter(|_| !decision.is_allowed());
                prop_assert_eq!(part.retry_after(), wait);
            }
        }
    }

    #[test]
    fn law_7_each_quota_holds_for_itself_whatever_its_rate(
        quotas in [strategies::quota(), strategies::quota()],
        steps in strategies::steps(60),
    ) {
        let mut subject = Subject::new(quotas);
        let mut admitted = Vec::new();
        for (index, step) in steps.iter().enumerate() {
            let (elapsed, n) = step.of(&quotas[index % 2]);
            subject.advance(elapsed);
            let decision = subject.check_n(n);
            if decision.is_allowed() {
                admitted.push((subject.now, n));
            } else if let Some(wait) = decision.retry_after() {
                subject.is_denied_until(wait, n)?;
            }
        }
        for quota in quotas {
            prop_assert_eq!(first_excess(&quota, &admitted), None);
        }
    }

    #[test]
    fn law_7_the_order_of_quotas_makes_no_difference(
        quotas in strategies::quotas_alike(),
        turn in 0..3_usize,
        swap in any::<bool>(),
        steps in strategies::steps(40),
    ) {
        let mut order = [0, 1, 2];
        order.rotate_left(turn);
        if swap {
            order.swap(0, 1);
        }
        let reordered = order.map(|index| quotas[index]);
        let (mut one, mut other) = (Subject::new(quotas), Subject::new(reordered));
        for (index, step) in steps.iter().enumerate() {
            let (elapsed, n) = step.of(&quotas[index % 3]);
            one.advance(elapsed);
            other.advance(elapsed);
            let (one, other) = (one.check_n(n), other.check_n(n));
            prop_assert_eq!(answer(&one), answer(&other));
            prop_assert_eq!(one.limit(), other.limit());
            prop_assert_eq!(rate(&quotas[one.binding()]), rate(&reordered[other.binding()]));
            let parts = order.map(|index| one.quotas()[index]);
            prop_assert_eq!(other.quotas(), parts);
        }
    }

    #[test]
    fn law_7_one_quota_with_room_for_four_decides_as_without(
        quota in strategies::quota(),
        steps in steps(),
    ) {
        decide_alike::<1, 4>([quota], &steps)?;
    }

    #[test]
    fn law_7_two_quotas_with_room_for_three_decide_as_without(
        quotas in [strategies::quota(), strategies::quota()],
        steps in steps(),
    ) {
        decide_alike::<2, 3>(quotas, &steps)?;
    }
}

/// Returns the rate in lowest terms.
fn rate(quota: &Quota) -> (u64, u64) {
    let (units, period) = (
        quota.units(),
        u64::try_from(quota.period().as_nanos()).unwrap(),
    );
    let (mut a, mut b) = (units, period);
    while b != 0 {
        (a, b) = (b, a % b);
    }
    (units / a, period / a)
}

/// Returns all numbers of a decision as text.
fn numbers<const N: usize>(decision: &Decision<N>) -> String {
    let whole = (
        decision.limit(),
        decision.remaining(),
        decision.reset_after(),
    );
    format!("{whole:?} {decision:?}")
}

/// Checks, peeks and sweeps two limiters alike, whose policies differ only in their room.
fn decide_alike<const EXACT: usize, const ROOM: usize>(
    quotas: [Quota; EXACT],
    steps: &[(Step, u8)],
) -> Result<(), TestCaseError> {
    let policy = Policy::<ROOM>::try_from(quotas.as_slice()).unwrap();
    // With one hasher, so that both have the same keys in their caches.
    let hasher = RandomState::default();
    let mut exact = Subject::hashed_by(quotas, hasher.clone());
    let mut roomy = Subject::hashed_by(policy, hasher);
    for (index, (step, act)) in steps.iter().enumerate() {
        let (elapsed, n) = step.of(&quotas[index % EXACT]);
        exact.advance(elapsed);
        roomy.advance(elapsed);
        let (exact, roomy) = (&exact.limiter, &roomy.limiter);
        let key = act % 3;
        let peeked = (exact.peek_n(&key, n), roomy.peek_n(&key, n));
        prop_assert_eq!(numbers(&peeked.0), numbers(&peeked.1));
        match act % 8 {
            0 => prop_assert_eq!(exact.sweep(), roomy.sweep()),
            1 => prop_assert_eq!(exact.forget(&key), roomy.forget(&key)),
            _ => {
                let (exact, roomy) = (exact.check_n(&key, n), roomy.check_n(&key, n));
                prop_assert_eq!(numbers(&exact), numbers(&roomy));
                prop_assert_eq!(exact.source(), roomy.source());
            }
        }
        prop_assert_eq!(exact.len(), roomy.len());
    }
    Ok(())
}

fn steps() -> impl Strategy<Value = Vec<(Step, u8)>> {
    prop::collection::vec((any::<Step>(), any::<u8>()), 1..60)
}
