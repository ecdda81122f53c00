//! Law T2: never over, by the policies that a key was checked under.

use std::{sync::Barrier, thread};

use num_bigint::BigInt;
use proptest::prelude::*;
use tollgate::{Quota, Tier};

use super::subject::{Act, Subject, histories};
use crate::common::bounds::{Checked, first_excess, is_faster};
use crate::common::strategies::{self, HORIZON};
use crate::subject::config;

proptest! {
    #![proptest_config(config())]

    #[test]
    fn law_t2_never_over_the_largest_burst_and_rate_that_a_key_was_checked_under(
        (policies, acts) in histories(strategies::quota(), 60),
        room in 1..=3_usize,
        start in strategies::uptime(),
    ) {
        with_room!(room, is_never_over(&policies, start, &acts));
    }

    #[test]
    fn law_t2_never_over_between_policies_of_whole_nanoseconds(
        (policies, acts) in histories(strategies::modelled_quota(), 60),
        room in 1..=3_usize,
        start in strategies::uptime(),
    ) {
        with_room!(room, is_never_over(&policies, start, &acts));
    }

    #[test]
    fn law_t2_never_over_with_threads_under_different_tiers(
        quotas in prop::collection::vec((strategies::exact_quota(), 1..50_u64), 3),
        ticks in prop::collection::vec(0..3_u64, 1..20),
    ) {
        let small = |(quota, burst): &(Quota, u64)| {
            vec![Quota::new(quota.units(), quota.period(), *burst).unwrap_or(*quota)]
        };
        let quotas: Vec<_> = quotas.iter().map(small).collect();
        let mut subject = Subject::<1>::new(&quotas[..2]);
        let unit = strategies::unit_time(&quotas[0][0]).min(HORIZON / 100);
        let start = Barrier::new(3);
        let checks = &|tier: Tier<u8>| {
            start.wait();
            (0..200).filter(|_| tier.allow(&0)).count()
        };
        let tiers = [subject.tiers[0].clone(), subject.tiers[1].clone()];
        let admitted: usize = thread::scope(|scope| {
            let checkers = tiers.map(|tier| scope.spawn(move || checks(tier)));
            start.wait();
            for tick in &ticks {
                subject.advance(tick * unit);
                subject.limiter.sweep();
                // To another policy, and back.
                subject.replace(1, &quotas[2]);
                subject.replace(1, &quotas[1]);
            }
            checkers.into_iter().map(|checker| checker.join().unwrap()).sum()
        });
        let quotas = quotas.concat();
        let burst = quotas.iter().map(Quota::burst_size).max().unwrap();
        let faster = |one: Quota, other| if is_faster(&one, &other) { one } else { other };
        let fastest = quotas.into_iter().reduce(faster).unwrap();
        let period = fastest.period().as_nanos();
        let most = BigInt::from(burst) * period + BigInt::from(fastest.units()) * subject.now();
        prop_assert!(BigInt::from(admitted) * period <= most, "{} admitted", admitted);
    }
}

fn is_never_over<const N: usize>(
    policies: &[Vec<Quota>],
    start: u64,
    acts: &[Act],
) -> Result<(), TestCaseError> {
    let mut subject = Subject::<N>::new(policies);
    subject.advance(start);
    let mut histories = [Vec::new(), Vec::new()];
    for act in acts {
        if let Act::Forget(key) = act {
            let history = std::mem::take(&mut histories[usize::from(*key)]);
            prop_assert_eq!(first_excess(N, &history), None, "{:?}", history);
        }
        let Some((key, tier, n, decision)) = subject.act(act) else {
            continue;
        };
        if n > 0 {
            histories[usize::from(key)].push(Checked {
                at: subject.now(),
                terms: subject.terms[tier].clone(),
                admitted: if decision.is_allowed() { n } else { 0 },
            });
        }
    }
    for history in histories {
        prop_assert_eq!(first_excess(N, &history), None, "{:?}", history);
    }
    Ok(())
}
