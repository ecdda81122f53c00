//! Laws 8 and 9: forgetting, and time that stands still or steps back.

use proptest::prelude::*;

use crate::common::oracle::{Bracket, Counted, Oracle, answer, is_exact};
use crate::common::strategies::{self, HORIZON, Step};
use crate::subject::{KEY, Subject, config};

proptest! {
    #![proptest_config(config())]

    #[test]
    fn law_8_a_limiter_that_forgets_decides_as_one_that_never_does(
        quotas in [strategies::quota(), strategies::quota()],
        steps in strategies::steps(60),
        sweeps in prop::collection::vec(any::<bool>(), 60),
    ) {
        let (mut never, mut often) = (Subject::new(quotas), Subject::new(quotas));
        for ((index, step), sweep) in steps.iter().enumerate().zip(sweeps) {
            let (elapsed, n) = step.of(&quotas[index % 2]);
            never.advance(elapsed);
            often.advance(elapsed);
            if sweep {
                let full = often.peek_n(1).reset_after().is_zero();
                let stored = often.limiter.len();
                prop_assert_eq!(often.limiter.sweep(), if full { stored } else { 0 });
            }
            prop_assert_eq!(answer(&never.check_n(n)), answer(&often.check_n(n)));
        }
    }

    #[test]
    fn law_9_time_that_steps_back_stands_still_or_counts_on(
        quota in strategies::quota(),
        steps in strategies::steps(60),
        backs in prop::collection::vec(prop::option::weighted(0.3, any::<Step>()), 60),
        drops in prop::collection::vec(0..10_u8, 60),
    ) {
        let mut subject = Subject::new([quota]);
        let (mut oracle, mut bracket) = (Oracle::new(&[quota]), Bracket::new(&quota));
        let mut counted = Counted::from(subject.now);
        for ((step, back), drop) in steps.iter().zip(backs).zip(drops) {
            let (elapsed, n) = step.of(&quota);
            match back {
                Some(back) => subject.rewind(back.of(&quota).0),
                None => subject.advance(elapsed),
            }
            // A peek tells the limiter the time.
            let latest = counted.at(subject.now).min(HORIZON);
            let _ = subject.peek_n(1);
            match drop {
                0..3 => {
                    subject.limiter.sweep();
                }
                3 => {
                    subject.limiter.forget(KEY);
                    (oracle, bracket) = (Oracle::new(&[quota]), Bracket::new(&quota));
                }
                _ => {}
            }
            let decision = subject.check_n(n);
            if is_exact(&quota) {
                prop_assert_eq!(answer(&decision), oracle.check(latest, n));
            }
            let possible = match decision.is_allowed() {
                true => bracket.allow(latest, n),
                false => bracket.deny(latest, n),
            };
            prop_assert!(possible);
            prop_assert!(bracket.remain(latest, decision.remaining()));
        }
    }

    #[test]
    fn law_9_time_that_stands_still_admits_the_burst_and_no_more(
        quota in strategies::quota_of_small_burst(),
        start in strategies::uptime(),
    ) {
        let subject = Subject::started([quota], start);
        let asked = 2 * quota.burst_size() + 10;
        let admitted = (0..asked).filter(|_| subject.check_n(1).is_allowed()).count();
        prop_assert_eq!(admitted as u64, quota.burst_size());
    }
}
