//! All laws at once, of quotas whose decisions are exact.

use std::thread;

use proptest::prelude::*;
use tollgate::Quota;

use super::subject::{Act, Subject, histories};
use crate::common::strategies;
use crate::common::tiers::{Key, answer};
use crate::subject::config;

proptest! {
    #![proptest_config(config())]

    #[test]
    fn law_t1_to_t5_whole_nanoseconds_decide_as_the_rational_model(
        (policies, acts) in histories(strategies::modelled_quota(), 60),
        room in 1..=3_usize,
        start in strategies::uptime(),
    ) {
        with_room!(room, decides_as_the_model(&policies, start, &acts));
    }
}

fn decides_as_the_model<const N: usize>(
    policies: &[Vec<Quota>],
    start: u64,
    acts: &[Act],
) -> Result<(), TestCaseError> {
    let mut subject = Subject::<N>::new(policies);
    subject.advance(start);
    let mut keys = [Key::new(N), Key::new(N)];
    let mut stored = [false; 2];
    for (index, act) in acts.iter().enumerate() {
        let mut checked = None;
        match act {
            Act::Forget(key) => {
                let id = usize::from(*key);
                prop_assert_eq!(subject.limiter.forget(key), stored[id]);
                (keys[id], stored[id]) = (Key::new(N), false);
            }
            Act::Sweep => {
                let now = subject.now();
                let is_swept = [0, 1].map(|id| stored[id] && keys[id].is_full(now));
                prop_assert_eq!(subject.limiter.sweep(), count(is_swept));
                for (stored, is_swept) in stored.iter_mut().zip(is_swept) {
                    *stored &= !is_swept;
                }
            }
            _ => checked = subject.begin(act),
        }
        let now = subject.now();
        let mut n = 1;
        if let Some((key, tier, units)) = checked {
            let id = usize::from(key);
            n = units;
            // Now and then on another thread, so that this one's cache of denied keys is to be invalidated.
            let check = || subject.tiers[tier].check_n(&key, n);
            let decision = match index % 4 {
                3 => thread::scope(|scope| scope.spawn(check).join().unwrap()),
                _ => check(),
            };
            let expected = keys[id].check(&subject.terms[tier], now, n);
            prop_assert_eq!(answer(&decision), expected, "{} of {} at {}", n, key, now);
            prop_assert_eq!(decision.tier(), Some(subject.tiers[tier].id()));
            stored[id] |= decision.is_allowed() && n > 0;
        }
        for (id, key) in (0..).zip(&keys) {
            for (terms, peeked) in subject.terms.iter().zip(subject.peeks(id, n)) {
                prop_assert_eq!(answer(&peeked), key.peek(terms, now, n));
            }
        }
        prop_assert_eq!(subject.limiter.len(), count(stored));
    }
    Ok(())
}

fn count(keys: [bool; 2]) -> usize {
    keys.into_iter().filter(|is_one| *is_one).count()
}
