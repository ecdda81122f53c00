//! Decisions of a store outside of this process, which are made from debts.

use std::{num::NonZeroU64, time::Duration};

use proptest::prelude::*;
use tollgate::{Decision, DecisionSource, Quota};

use crate::common::cases::{HOUR, MINUTE, SECOND, by_hand, nanos, quota};

const MICROSECOND: Duration = Duration::from_micros(1);

fn parts(parts: u64) -> NonZeroU64 {
    NonZeroU64::new(parts).unwrap()
}

/// A store that counts exactly makes the decisions that a limiter in memory makes.
#[test]
fn a_decision_from_debts_has_the_numbers_of_a_limiter() {
    // A unit takes a whole number of ns, so a debt in ns is one in parts of a unit.
    let quotas = [
        (quota(10, SECOND, 5), SECOND / 10),
        (quota(1, 7 * SECOND, 3), 7 * SECOND),
    ];
    let (limiter, time) = by_hand::<u64, 2>(quotas.map(|(quota, _)| quota));
    for step in 0..200 {
        time.advance(step * step % 37 * SECOND / 50);
        for n in [0, 1, 2, 4, 6] {
            let expected = limiter.check_n(&0, n);
            let debts: Vec<_> = expected
                .quotas()
                .iter()
                .zip(quotas)
                .map(|(part, (quota, unit))| {
                    let debt = part.reset_after().as_nanos().try_into().unwrap();
                    (quota, debt, parts(unit))
                })
                .collect();
            let decision = Decision::<3>::from_debts(n, expected.is_allowed(), &debts).unwrap();
            assert_eq!(
                decision.as_ref(),
                expected.as_ref(),
                "step {step}, {n} units"
            );
            assert_eq!(decision.source(), DecisionSource::Store);
            for (part, expected) in decision.quotas().iter().zip(expected.quotas()) {
                for n in 0..7 {
                    assert_eq!(part.available_after(n), expected.available_after(n));
                }
            }
            assert!(Decision::<1>::from_debts(n, true, &debts).is_none());
        }
    }
    assert!(Decision::<2>::from_debts(1, true, &[]).is_none());
}

/// No debt panics, whatever a store returns.
#[test]
fn a_decision_from_any_debt_has_numbers() {
    let numbers = [0, 1, 2, 1_000, u64::MAX / 2, u64::MAX - 1, u64::MAX];
    for quota in [
        quota(7, MINUTE, 10),
        Quota::per_second(5_845_420_459),
        quota(1, 484 * 365 * 86_400 * SECOND, 1),
    ] {
        for numerator in numbers {
            for denominator in numbers.into_iter().filter_map(NonZeroU64::new) {
                let debts = [(quota, numerator, denominator)];
                let decision: Decision = Decision::from_debts(1, false, &debts).unwrap();
                let whole_units = numerator / denominator;
                let most = quota.burst_size().saturating_sub(whole_units);
                assert!(decision.remaining() <= most, "{debts:?}: {decision:?}");
                _ = (decision.retry_after(), decision.response_fields().count());
            }
        }
    }
}

/// Rounded towards the caller's disadvantage: no unit is there early.
#[test]
fn a_debt_of_a_part_of_a_step_counts_as_a_step() {
    let debts = [(Quota::per_second(1).burst(2), 1, parts(1_000_000_000_000))];
    let decision: Decision = Decision::from_debts(1, true, &debts).unwrap();
    assert_eq!(
        (decision.remaining(), decision.reset_after()),
        (1, nanos(1))
    );
}

/// 7 a minute: a unit is 60,000,000 parts, of which 7 are earned in a µs. It takes 8,571,428.57... µs.
#[test]
fn a_wait_for_parts_of_a_unit_is_exact_to_the_microsecond() {
    const UNIT: u64 = 60_000_000;
    let quota = quota(7, MINUTE, 3);
    for missing in [
        1,
        6,
        7,
        8,
        14,
        7_000_000,
        UNIT - 7,
        UNIT - 4,
        UNIT - 1,
        UNIT,
    ] {
        // A unit is missing but for these parts.
        let debts = [(quota, 2 * UNIT + missing, parts(UNIT))];
        let exact: Decision = Decision::from_debts(1, false, &debts).unwrap();
        let wait = (missing * 1_000).div_ceil(7);
        assert_eq!(exact.retry_after(), Some(nanos(wait)), "{missing} parts");
        let micros = exact.on_clock(MICROSECOND, Duration::ZERO);
        let wait = Duration::from_micros(missing.div_ceil(7));
        assert_eq!(micros.retry_after(), Some(wait), "{missing} parts");
        let reset = Duration::from_micros((2 * UNIT + missing).div_ceil(7));
        assert_eq!(micros.reset_after(), reset, "{missing} parts");
        // What is in the bucket does not depend on its clock.
        assert_eq!(micros.remaining(), exact.remaining());
    }
}

/// On a clock that stands still, a unit that is there is there now.
#[test]
fn a_clock_that_stands_still_delays_what_is_to_be_earned_and_nothing_else() {
    let quotas = [Quota::per_second(1).burst(5), Quota::per_minute(1).burst(2)];
    let debts = quotas.map(|quota| (quota, 2, NonZeroU64::MIN));
    let decision: Decision<2> = Decision::from_debts(1, false, &debts).unwrap();
    let later = decision.on_clock(MICROSECOND, Duration::from_nanos(2_500));
    let [second, minute] = *later.quotas() else {
        panic!("two quotas")
    };
    assert_eq!((second.remaining(), minute.remaining()), (3, 0));
    assert_eq!(second.available_after(3), Some(Duration::ZERO));
    let delay = Duration::from_micros(3);
    assert_eq!(second.available_after(4), Some(nanos(SECOND) + delay));
    assert_eq!(second.reset_after(), nanos(2 * SECOND) + delay);
    assert_eq!(later.retry_after(), Some(nanos(MINUTE) + delay));
    // The rate is the same on any clock.
    assert_eq!(minute.time_to_earn(1), Some(nanos(MINUTE)));
    let full = [(quotas[0], 0, NonZeroU64::MIN)];
    let full: Decision = Decision::from_debts(1, true, &full).unwrap();
    let full = full.on_clock(MICROSECOND, nanos(HOUR));
    assert_eq!(full.reset_after(), Duration::ZERO);
}

/// A limiter in memory has its own clock.
#[test]
fn a_decision_in_memory_stays_on_its_clock_and_in_its_place() {
    let (limiter, _) = by_hand::<u64, 1>(quota(7, SECOND, 1));
    assert!(limiter.allow(&0));
    for expected in [DecisionSource::Table, DecisionSource::DeniedCache] {
        let denied = limiter.check(&0);
        assert_eq!(denied.source(), expected);
        let moved = denied.on_clock(nanos(SECOND), nanos(HOUR));
        assert_eq!(moved, denied);
        assert_eq!(moved.retry_after(), Some(nanos(142_857_143)));
        assert_eq!(denied.from_cache().source(), expected);
    }
}

/// The cache of a node has denials only, and they are equal to the store's.
#[test]
fn only_a_denial_of_a_store_can_be_from_a_cache() {
    let debts = [(Quota::per_second(1).burst(1), 1, NonZeroU64::MIN)];
    let denied: Decision = Decision::from_debts(1, false, &debts).unwrap();
    assert_eq!(denied.source(), DecisionSource::Store);
    let cached = denied.from_cache();
    assert_eq!(cached.source(), DecisionSource::DeniedCache);
    assert_eq!(cached, denied);
    let allowed: Decision = Decision::from_debts(1, true, &debts).unwrap();
    assert_eq!(allowed.from_cache().source(), DecisionSource::Store);
    // On another clock it is still the store's.
    let moved = denied.on_clock(MICROSECOND, Duration::ZERO);
    assert_eq!(moved.source(), DecisionSource::Store);
    assert_eq!(moved.from_cache().source(), DecisionSource::DeniedCache);
}

/// The shortest tick is 1 ns. Waits that are too long for 64 bits of ns saturate.
#[test]
fn no_clock_panics() {
    let times = [
        Duration::ZERO,
        nanos(1),
        nanos(u64::MAX / 2),
        nanos(u64::MAX),
        Duration::MAX,
    ];
    let quotas = [quota(7, MINUTE, 10), quota(1, MINUTE, 10)];
    for (quota, debt) in quotas
        .into_iter()
        .flat_map(|quota| [(quota, 0), (quota, 1), (quota, u64::MAX)])
    {
        let debts = [(quota, debt, NonZeroU64::MIN)];
        let denied: Decision = Decision::from_debts(10, false, &debts).unwrap();
        for tick in times {
            for standstill in times {
                let moved = denied.on_clock(tick, standstill);
                assert!(moved.reset_after() >= denied.reset_after(), "{moved:?}");
                assert!(moved.retry_after() >= denied.retry_after(), "{moved:?}");
                assert_eq!(moved.remaining(), denied.remaining());
            }
        }
        assert_eq!(denied.on_clock(Duration::ZERO, Duration::ZERO), denied);
    }
}

/// A quota of up to a million units, and of which a full bucket fits in 64 bits of `units / period` ns.
fn any_quota() -> impl Strategy<Value = Quota> {
    let period = prop_oneof![1..1_000_000_u64, 1..=1_000_000_000_000_u64];
    let units = prop_oneof![1..10_u64, 1..=1_000_000_u64];
    let parts = (units, period, 1..=1_000_000_u64);
    parts.prop_filter_map("no quota", |(units, period, burst)| {
        Quota::new(units, nanos(period), burst).ok()
    })
}

proptest! {
    /// Law 3 and law 5 on any clock: a wait is the rational one, rounded up to whole ticks.
    #[test]
    fn waits_on_a_clock_are_the_rational_ones_rounded_up_to_ticks(
        quota in any_quota(),
        denominator in 1..=10_000_000_u64,
        debt: u64,
        n in any::<prop::sample::Index>(),
        tick in prop_oneof![Just(1), Just(1_000), 1..=1_000_000_000_u64],
        standstill in prop_oneof![Just(0), 0..=1_000_000_000_000_u64],
    ) {
        let burst = quota.burst_size();
        let n = n.index(usize::try_from(burst).unwrap()) as u64 + 1;
        let numerator = debt % (burst * denominator + 1);
        let debts = [(quota, numerator, parts(denominator))];
        let decision: Decision = Decision::from_debts(n, false, &debts).unwrap();
        let decision = decision.on_clock(nanos(tick), nanos(standstill));

        let [units, period] = [u128::from(quota.units()), quota.period().as_nanos()];
        let denominator = u128::from(denominator);
        // The ns until the debt is at most this many units.
        let wait = |units_owed: u64| {
            let missing = u128::from(numerator).checked_sub(u128::from(units_owed) * denominator);
            let Some(missing @ 1..) = missing else {
                return 0;
            };
            let in_time = missing * period + u128::from(standstill) * units * denominator;
            let tick = u128::from(tick);
            in_time.div_ceil(units * denominator * tick) * tick
        };
        let nanos = |time: Option<Duration>| time.map_or(0, |time| time.as_nanos());
        prop_assert_eq!(nanos(decision.retry_after()), wait(burst - n));
        prop_assert_eq!(nanos(Some(decision.reset_after())), wait(0));
        let owed = u128::from(numerator).div_ceil(denominator);
        prop_assert_eq!(u128::from(decision.remaining()), u128::from(burst) - owed);
    }
}
