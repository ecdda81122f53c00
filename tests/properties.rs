//! Every law as a property, over all of the parameter space, against an exact oracle.
//!
//! 1. Never over: in any stretch of time t at most burst + t * rate units.
//! 2. No drift: to the letter where a unit takes whole ns, else less than 1 ns away, for a century.
//! 3. `retry_after` is tight.
//! 4. `remaining` is exact.
//! 5. `reset_after` is exact.
//! 6. A denial spends nothing, adds no key and changes nothing.
//! 7. All or nothing, over several quotas, in any order.
//! 8. Forgetting is invisible.
//! 9. Time that stands still or steps back admits nothing extra and locks nobody out.
//! 10. No panic and no overflow, and debug and release decide alike.
//!
//! `tests/planted.py` plants a bug against each law and sees its property fail.

mod common;

use std::time::Duration;

use common::oracle::{Bracket, Counted, Oracle, answer, is_exact};
use common::strategies::{self, HORIZON, Step};
use num_bigint::BigInt;
use proptest::prelude::*;
use proptest::test_runner::FileFailurePersistence::Direct;
use tollgate::{Decision, ManualClock, Policy, Quota, RateLimiter};

/// A limiter of one key on its own clock, that knows the ns since its start.
struct Subject<const N: usize> {
    limiter: RateLimiter<u8, N>,
    clock: ManualClock,
    now: u64,
}

const KEY: &u8 = &7;

impl<const N: usize> Subject<N> {
    fn new(quotas: [Quota; N]) -> Subject<N> {
        let clock = ManualClock::new();
        let limiter = RateLimiter::builder(Policy::from(quotas))
            .clock(clock.clone())
            .shards(2)
            .manual_sweep()
            .build();
        Subject {
            limiter,
            clock,
            now: 0,
        }
    }

    /// One that has been up for `start` ns.
    fn started(quotas: [Quota; N], start: u64) -> Subject<N> {
        let mut subject = Subject::new(quotas);
        subject.advance(start);
        subject
    }

    /// To `now + by`, but not past the century for which the laws are promised.
    fn advance(&mut self, by: u64) {
        let by = by.min(HORIZON - self.now);
        self.now += by;
        self.clock.advance(Duration::from_nanos(by));
    }

    /// Lets the time of a step pass, and says how much it asks for.
    fn step(&mut self, step: Step, quota: &Quota) -> u64 {
        let (elapsed, n) = step.of(quota);
        self.advance(elapsed);
        n
    }

    fn rewind(&mut self, by: u64) {
        let by = by.min(self.now);
        self.now -= by;
        self.clock.rewind(Duration::from_nanos(by));
    }

    /// Waits for `wait`, unless that is past the century: `n` units are denied 1 ns before its end,
    /// and allowed at it.
    fn is_denied_until(&mut self, wait: Duration, n: u64) -> Result<(), TestCaseError> {
        let wait = u64::try_from(wait.as_nanos()).unwrap();
        prop_assert!(wait > 0);
        // At the end of the century nothing is earned any more.
        if self.now + wait <= HORIZON {
            self.advance(wait - 1);
            prop_assert!(!self.peek_n(n).is_allowed(), "allowed 1 ns before");
            self.advance(1);
            prop_assert!(self.peek_n(n).is_allowed(), "denied at retry_after");
        }
        Ok(())
    }

    fn check_n(&self, n: u64) -> Decision<N> {
        self.limiter.check_n(KEY, n)
    }

    fn peek_n(&self, n: u64) -> Decision<N> {
        self.limiter.peek_n(KEY, n)
    }
}

/// The most units that a quota may admit in any stretch of `nanos`, times its period in ns: by the
/// first law, and by the second 1 ns later where a unit does not take whole ns.
fn most(quota: &Quota, nanos: u64) -> BigInt {
    let slack = u64::from(!is_exact(quota));
    BigInt::from(quota.burst_size()) * quota.period().as_nanos()
        + BigInt::from(quota.units()) * (BigInt::from(nanos) + slack)
}

/// The first stretch of time in which more than `most` was admitted.
fn first_excess(quota: &Quota, admitted: &[(u64, u64)]) -> Option<(u64, u64)> {
    let mut sorted = admitted.to_vec();
    sorted.sort_unstable();
    for (index, (from, _)) in sorted.iter().enumerate() {
        let mut total = BigInt::ZERO;
        for (to, n) in &sorted[index..] {
            total += *n;
            if &total * quota.period().as_nanos() > most(quota, to - from) {
                return Some((*from, *to));
            }
        }
    }
    None
}

proptest! {
    #![proptest_config(ProptestConfig {
        // Found once, checked for ever: this file is committed.
        failure_persistence: Some(Box::new(Direct("tests/properties.regressions"))),
        ..ProptestConfig::default()
    })]

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
        let start = std::sync::Barrier::new(3);
        let checks = || {
            start.wait();
            (0..200).filter(|_| subject.limiter.allow(KEY)).count()
        };
        let admitted: u64 = std::thread::scope(|scope| {
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
            prop_assert_eq!(answer(&subject.check_n(n)), oracle.check(subject.now, n));
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

    #[test]
    fn law_7_spends_from_every_quota_or_from_none(
        quotas in [strategies::exact_quota(), strategies::exact_quota(), strategies::exact_quota()],
        steps in strategies::steps(60),
    ) {
        let (mut subject, mut oracle) = (Subject::new(quotas), Oracle::new(&quotas));
        for (index, step) in steps.iter().enumerate() {
            let (elapsed, n) = step.of(&quotas[index % 3]);
            subject.advance(elapsed);
            let decision = subject.check_n(n);
            prop_assert_eq!(answer(&decision), oracle.check(subject.now, n));

            // The decision names the quota that binds, and each quota has its own numbers.
            let binding = decision.quotas()[decision.binding()];
            prop_assert_eq!(decision.limit(), quotas[decision.binding()].burst_size());
            prop_assert_eq!(decision.exceeds_burst(), binding.exceeds_burst());
            prop_assert_eq!(decision.retry_after(), binding.retry_after());
            if decision.is_allowed() {
                prop_assert_eq!(decision.remaining(), binding.remaining());
            }
            for (quota, part) in quotas.iter().zip(decision.quotas()) {
                prop_assert_eq!(part.limit(), quota.burst_size());
                prop_assert!(part.remaining() >= decision.remaining());
                prop_assert!(part.reset_after() <= decision.reset_after());
                prop_assert!(part.retry_after() <= decision.retry_after() || decision.exceeds_burst());
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
        let mut reordered = quotas;
        reordered.rotate_left(turn);
        if swap {
            reordered.swap(0, 1);
        }
        let (mut one, mut other) = (Subject::new(quotas), Subject::new(reordered));
        for (index, step) in steps.iter().enumerate() {
            let (elapsed, n) = step.of(&quotas[index % 3]);
            one.advance(elapsed);
            other.advance(elapsed);
            let (one, other) = (one.check_n(n), other.check_n(n));
            prop_assert_eq!(answer(&one), answer(&other));
            prop_assert_eq!(one.limit(), other.limit());
            prop_assert_eq!(rate(&quotas[one.binding()]), rate(&reordered[other.binding()]));
        }
    }

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
            // The limiter knows of a time that it has been asked at.
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

    #[test]
    fn law_10_no_input_panics(
        units in strategies::any_number(),
        seconds in strategies::any_number(),
        nanos in strategies::any_number(),
        burst in strategies::any_number(),
        steps in prop::collection::vec((any::<u64>(), any::<u64>(), any::<bool>()), 1..20),
    ) {
        let long = Duration::new(seconds, u32::try_from(nanos % 1_000_000_000).unwrap());
        for period in [long, Duration::from_nanos(nanos)] {
            let quota = match Quota::new(units, period, burst) {
                Ok(quota) => quota,
                Err(refused) => {
                    prop_assert!(refused.to_string().contains("expected"));
                    continue;
                }
            };
            let mut subject = Subject::new([quota]);
            for (elapsed, n, back) in &steps {
                if *back {
                    subject.rewind(*elapsed);
                } else {
                    subject.clock.advance(Duration::from_nanos(*elapsed));
                }
                let decision = subject.check_n(*n);
                prop_assert!(decision.remaining() <= quota.burst_size());
                let text = format!("{decision:?}");
                prop_assert!(text.starts_with("Decision"));
                subject.limiter.sweep();
            }
        }
    }
}

/// A rate, so that equal rates are equal however they are written.
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

/// Law 10. CI runs this in both profiles, which must find the same digest (FNV-1a) of many
/// decisions. If a decision changes on purpose, so does the number.
#[test]
fn law_10_debug_and_release_decide_alike() {
    let mut digest: u64 = 0xcbf2_9ce4_8422_2325;
    let mut random: u64 = 1;
    let mut next = || {
        // xorshift64: Marsaglia, "Xorshift RNGs", 2003.
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        random
    };
    for _ in 0..300 {
        let size = next() % 64;
        let period = Duration::from_nanos((next() >> size).max(1));
        let Ok(quota) = Quota::new((next() >> (next() % 64)).max(1), period, 1 + next() % 1_000)
        else {
            continue;
        };
        let mut subject = Subject::new([quota]);
        for _ in 0..100 {
            subject.advance(next() >> (next() % 64));
            let decision = answer(&subject.check_n(next() % 20));
            let wait = decision
                .retry_after
                .map_or(u128::MAX, |wait| wait.as_nanos());
            let verdict = u128::from(decision.allowed);
            let left = u128::from(decision.remaining);
            for number in [verdict, left, wait, decision.reset_after.as_nanos()] {
                for byte in number.to_le_bytes() {
                    digest = (digest ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
                }
            }
        }
    }
    assert_eq!(digest, 4_698_426_654_119_437_095);
}
