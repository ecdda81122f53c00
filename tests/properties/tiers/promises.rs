//! Laws T3 and T4: what a denial leaves as it was, and what comes true of a wait.

use std::time::Duration;

use proptest::prelude::*;
use tollgate::{Decision, Quota};

use super::subject::{Act, Subject, histories};
use crate::common::strategies::{self, HORIZON};
use crate::subject::config;

proptest! {
    #![proptest_config(config())]

    #[test]
    fn law_t3_a_denial_changes_no_remaining_and_a_peek_nothing(
        (policies, acts) in histories(strategies::quota(), 40),
        room in 1..=3_usize,
        start in strategies::uptime(),
    ) {
        with_room!(room, spends_nothing(&policies, start, &acts));
    }

    #[test]
    fn law_t3_retry_after_is_tight_and_no_denial_makes_an_earlier_one_untrue(
        (policies, acts) in histories(strategies::quota(), 30),
        room in 1..=3_usize,
        start in strategies::uptime(),
    ) {
        with_room!(room, keeps_promises(&policies, start, &acts));
    }

    #[test]
    fn law_t4_a_denied_check_makes_no_wait_longer(
        (policies, acts) in histories(strategies::quota(), 40),
        room in 1..=3_usize,
        start in strategies::uptime(),
    ) {
        with_room!(room, locks_no_key_out(&policies, start, &acts));
    }
}

fn remaining<const N: usize>(peeks: &[Decision<N>]) -> Vec<Vec<u64>> {
    let parts = |peek: &Decision<N>| peek.quotas().iter().map(|part| part.remaining()).collect();
    peeks.iter().map(parts).collect()
}

fn spends_nothing<const N: usize>(
    policies: &[Vec<Quota>],
    start: u64,
    acts: &[Act],
) -> Result<(), TestCaseError> {
    let mut subject = Subject::<N>::new(policies);
    subject.advance(start);
    for act in acts {
        let Some((key, tier, n)) = subject.begin(act) else {
            continue;
        };
        let before = subject.peeks(key, n);
        prop_assert_eq!(&subject.peeks(key, n), &before);
        // A check of no units moves nothing.
        prop_assert!(subject.tiers[tier].check_n(&key, 0).is_allowed());
        prop_assert_eq!(&subject.peeks(key, n), &before);
        let stored = subject.limiter.len();
        let decision = subject.tiers[tier].check_n(&key, n);
        prop_assert_eq!(decision.is_allowed(), before[tier].is_allowed());
        if !decision.is_allowed() {
            prop_assert_eq!(remaining(&[decision]), remaining(&before[tier..=tier]));
            prop_assert_eq!(remaining(&subject.peeks(key, n)), remaining(&before));
            prop_assert_eq!(subject.limiter.len(), stored);
        }
    }
    Ok(())
}

/// What was done to a limiter, so that it can be done to another. That sees no sweep, no other key and no
/// step back.
enum Done {
    Checked { at: u64, tier: usize, n: u64 },
    Replaced { tier: usize, to: Vec<Quota> },
    Forgotten,
}

fn again<const N: usize>(policies: &[Vec<Quota>], history: &[Done]) -> Subject<N> {
    let mut subject = Subject::new(policies);
    for done in history {
        match done {
            Done::Checked { at, tier, n } => {
                subject.advance_to(*at);
                let _ = subject.tiers[*tier].check_n(&0, *n);
            }
            Done::Replaced { tier, to } => subject.replace(*tier, to),
            Done::Forgotten => {
                subject.limiter.forget(&0);
            }
        }
    }
    subject
}

/// A request, and when it was said to be allowed.
#[derive(Debug)]
struct Promise {
    tier: usize,
    n: u64,
    due: u64,
}

/// Checks promises that no allowed check came after: the last one to the ns, and that the others are true.
fn keep<const N: usize>(
    policies: &[Vec<Quota>],
    history: &[Done],
    promises: &[Promise],
) -> Result<(), TestCaseError> {
    let Some((last, earlier)) = promises.split_last() else {
        return Ok(());
    };
    if last.due <= HORIZON {
        let mut subject = again::<N>(policies, history);
        subject.advance_to(last.due - 1);
        let early = subject.tiers[last.tier].check_n(&0, last.n);
        prop_assert!(!early.is_allowed(), "allowed 1 ns before: {:?}", last);
        prop_assert_eq!(early.retry_after(), Some(Duration::from_nanos(1)));
        subject.advance_to(last.due);
        let due = subject.tiers[last.tier].check_n(&0, last.n);
        prop_assert!(due.is_allowed(), "denied when it is due: {:?}", last);
    }
    let mut subject = again::<N>(policies, history);
    let mut earlier: Vec<&Promise> = earlier.iter().collect();
    earlier.sort_by_key(|promise| promise.due);
    for promise in earlier.into_iter().filter(|promise| promise.due <= HORIZON) {
        let time = promise.due.max(subject.now());
        subject.advance_to(time);
        let due = subject.tiers[promise.tier].peek_n(&0, promise.n);
        prop_assert!(due.is_allowed(), "made untrue: {:?}", promise);
    }
    Ok(())
}

fn keeps_promises<const N: usize>(
    policies: &[Vec<Quota>],
    start: u64,
    acts: &[Act],
) -> Result<(), TestCaseError> {
    let mut subject = Subject::<N>::new(policies);
    subject.advance(start);
    let (mut history, mut promises) = (Vec::new(), Vec::<Promise>::new());
    for act in acts {
        // Of one key.
        let act = match act.clone() {
            Act::Check(_, tier, step) => Act::Check(0, tier, step),
            Act::Due(_, tier, step, off) => Act::Due(0, tier, step, off),
            Act::Forget(_) => Act::Forget(0),
            other => other,
        };
        if let Act::Forget(_) = act {
            history.push(Done::Forgotten);
            promises.clear();
        }
        if let Act::Replace(tier, quotas) = &act {
            // A promise is of a policy.
            let tier = tier.index(subject.tiers.len());
            promises.retain(|promise| promise.tier != tier);
            let to = quotas.clone();
            history.push(Done::Replaced { tier, to });
        }
        let Some((_, tier, n, decision)) = subject.act(&act) else {
            continue;
        };
        let at = subject.now();
        history.push(Done::Checked { at, tier, n });
        if decision.is_allowed() && n > 0 {
            promises.clear();
        }
        // An earlier promise has come true, or will.
        if let Some(wait) = decision.retry_after() {
            let wait = u64::try_from(wait.as_nanos()).unwrap();
            prop_assert!(wait > 0);
            let due = at.saturating_add(wait);
            promises.push(Promise { tier, n, due });
            keep::<N>(policies, &history, &promises)?;
        }
    }
    Ok(())
}

/// Returns the wait for some numbers of units, under each tier and of each quota.
fn waits<const N: usize>(peeks: &[Decision<N>], n: u64) -> Vec<Option<Duration>> {
    let parts = peeks.iter().flat_map(|peek| peek.quotas());
    let waits = parts.flat_map(|part| {
        let numbers = [1, n, part.limit() / 2, part.limit() - 1, part.limit()];
        numbers.map(|n| part.available_after(n))
    });
    waits.collect()
}

fn locks_no_key_out<const N: usize>(
    policies: &[Vec<Quota>],
    start: u64,
    acts: &[Act],
) -> Result<(), TestCaseError> {
    let mut subject = Subject::<N>::new(policies);
    subject.advance(start);
    for act in acts {
        let Some((key, tier, n)) = subject.begin(act) else {
            continue;
        };
        let before = subject.peeks(key, n);
        let decision = subject.tiers[tier].check_n(&key, n);
        if decision.is_allowed() {
            continue;
        }
        let after = subject.peeks(key, n);
        for (now, earlier) in waits(&after, n).into_iter().zip(waits(&before, n)) {
            prop_assert!(
                now <= earlier,
                "{:?} from {:?}: {:?}",
                now,
                earlier,
                decision
            );
        }
        for (part, peeked) in decision.quotas().iter().zip(before[tier].quotas()) {
            prop_assert!(part.available_after(1) <= Some(peeked.reset_after()));
        }
    }
    Ok(())
}
