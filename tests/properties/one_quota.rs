//! Laws 1 to 6, of one quota.

use std::{sync::Barrier, thread, time::Duration};

use num_bigint::BigInt;
use proptest::prelude::*;

use crate::common::oracle::{Bracket, Oracle, answer};
use crate::common::strategies::{self, HORIZON};
use crate::subject::{KEY, Subject, config, first_excess, most};

proptest! {
    #![proptest_config(config())]

    #[test]
    fn law_1_never_over(quota in strategies::quota(), steps in strategies::steps(60)) {
        let mut subject = Subject::new([quota]);
        let mut admitted = Vec::new();
        for step in steps {
            let n = subject.step(step, &quota);
            if subject.check_n(n).is_allowed() {
                admitted.push((subject.now, n));
            }
        }
        prop_assert_eq!(first_excess(&quota, &admitted), None);
    }

    #[test]
    fn law_1_never_over_with_threads_and_a_clock_that_moves(
        quota in strategies::quota_of_small_burst(),
        ticks in prop::collection::vec(0..3_u64, 1..20),
    ) {
        let subject = Subject::new([quota]);
        let unit = strategies::unit_time(&quota).min(HORIZON / 100);
        let elapsed = ticks.iter().sum::<u64>() * unit;
        let start = Barrier::new(3);
        let checks = || {
            start.wait();
            (0..200).filter(|_| subject.limiter.allow(KEY)).count()
        };
        let admitted: u64 = thread::scope(|scope| {
            let checkers = [scope.spawn(checks), scope.spawn(checks)];
            start.wait();
            for tick in &ticks {
                subject.clock.advance(Duration::from_nanos(tick * unit));
                subject.limiter.sweep();
            }
            checkers.into_iter().map(|checker| checker.join().unwrap() as u64).sum()
        });
        prop_assert!(BigInt::from(admitted) * quota.period().as_nanos() <= most(&quota, elapsed));
    }

    #[test]
    fn law_2_whole_nanoseconds_decide_as_the_rational_model(
        quota in strategies::exact_quota(),
        start in strategies::uptime(),
        steps in strategies::steps(60),
    ) {
        let (mut subject, mut oracle) = (Subject::new([quota]), Oracle::new(&[quota]));
        subject.advance(start);
        for step in steps {
            let n = subject.step(step, &quota);
            let (peeked, decision) = (subject.peek_n(n), subject.check_n(n));
            prop_assert_eq!(answer(&decision), oracle.check(subject.now, n));
            // A peek decides alike, on the bucket as it is before the check.
            if decision.is_allowed() {
                prop_assert!(peeked.is_allowed());
                prop_assert_eq!(peeked.remaining(), decision.remaining() + n);
            } else {
                prop_assert_eq!(peeked, decision);
            }
        }
    }

    #[test]
    fn law_2_any_other_decides_as_the_model_less_than_1_ns_away(
        quota in strategies::quota(),
        start in strategies::uptime(),
        steps in strategies::steps(60),
    ) {
        let (mut subject, mut bracket) = (Subject::new([quota]), Bracket::new(&quota));
        subject.advance(start);
        for step in steps {
            let n = subject.step(step, &quota);
            let decision = subject.check_n(n);
            let possible = match decision.is_allowed() {
                true => bracket.allow(subject.now, n),
                false => bracket.deny(subject.now, n),
            };
            prop_assert!(possible);
            prop_assert!(bracket.remain(subject.now, decision.remaining()));
        }
    }

    #[test]
    fn law_2_a_full_bucket_passes_exactly_its_burst_at_one_instant(
        quota in strategies::quota(),
        start in strategies::uptime(),
        first in any::<u64>(),
    ) {
        let subject = Subject::started([quota], start);
        let burst = quota.burst_size();
        prop_assert_eq!(subject.check_n(1).remaining(), burst - 1);
        let part = first % burst;
        prop_assert!(subject.check_n(part).is_allowed());
        prop_assert!(subject.check_n(burst - 1 - part).is_allowed());
        prop_assert!(!subject.check_n(1).is_allowed());
    }

    #[test]
    fn law_3_retry_after_is_tight(
        quota in strategies::quota(),
        start in strategies::uptime(),
        steps in strategies::steps(20),
    ) {
        let mut subject = Subject::started([quota], start);
        for step in steps {
            let n = subject.step(step, &quota);
            let decision = subject.check_n(n);
            prop_assert_eq!(decision.exceeds_burst(), n > quota.burst_size());
            match decision.retry_after() {
                None => prop_assert!(decision.is_allowed() || decision.exceeds_burst()),
                Some(wait) => {
                    prop_assert!(!decision.is_allowed() && !decision.exceeds_burst());
                    subject.is_denied_until(wait, n)?;
                }
            }
        }
    }

    #[test]
    fn law_4_exactly_the_remaining_units_pass_now(
        quota in strategies::quota(),
        start in strategies::uptime(),
        steps in strategies::steps(20),
    ) {
        let mut subject = Subject::started([quota], start);
        for step in steps {
            let n = subject.step(step, &quota);
            let remaining = subject.check_n(n).remaining();
            prop_assert!(remaining <= quota.burst_size());
            prop_assert_eq!(subject.peek_n(1).remaining(), remaining);
            prop_assert!(subject.peek_n(remaining).is_allowed());
            prop_assert!(!subject.peek_n(remaining + 1).is_allowed());
            if remaining < 50 {
                for left in (0..remaining).rev() {
                    prop_assert_eq!(subject.check_n(1).remaining(), left);
                }
                prop_assert!(!subject.check_n(1).is_allowed());
            }
        }
    }

    #[test]
    fn law_5_the_bucket_is_full_at_reset_after_and_not_1_ns_before(
        quota in strategies::quota(),
        start in strategies::uptime(),
        steps in strategies::steps(20),
    ) {
        let mut subject = Subject::started([quota], start);
        for step in steps {
            let n = subject.step(step, &quota);
            let reset = u64::try_from(subject.check_n(n).reset_after().as_nanos()).unwrap();
            if subject.now + reset > HORIZON {
                break;
            }
            if reset > 0 {
                subject.advance(reset - 1);
                prop_assert!(subject.peek_n(1).remaining() < quota.burst_size());
                prop_assert_eq!(subject.limiter.sweep(), 0);
                subject.advance(1);
            }
            prop_assert_eq!(subject.peek_n(1).remaining(), quota.burst_size());
            prop_assert_eq!(subject.peek_n(1).reset_after(), Duration::ZERO);
        }
    }

    #[test]
    fn law_6_denials_change_no_later_decision(
        quota in strategies::quota(),
        steps in strategies::steps(40),
        asks in prop::collection::vec(any::<u64>(), 1..40),
    ) {
        let (mut left_alone, mut pestered) = (Subject::new([quota]), Subject::new([quota]));
        let too_much = |subject: &Subject<1>, ask: u64| {
            let remaining = subject.peek_n(1).remaining();
            ask.saturating_add(remaining).saturating_add(1)
        };
        prop_assert!(!pestered.check_n(too_much(&pestered, asks[0])).is_allowed());
        prop_assert!(pestered.limiter.is_empty());
        for (step, ask) in steps.iter().zip(asks.iter().cycle()) {
            let (elapsed, n) = step.of(&quota);
            left_alone.advance(elapsed);
            pestered.advance(elapsed);
            for _ in 0..2 {
                prop_assert!(!pestered.check_n(too_much(&pestered, *ask)).is_allowed());
            }
            prop_assert_eq!(answer(&left_alone.check_n(n)), answer(&pestered.check_n(n)));
            prop_assert_eq!(left_alone.limiter.len(), pestered.limiter.len());
        }
    }
}
