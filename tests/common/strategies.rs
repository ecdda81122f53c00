//! Quotas and steps for the properties, from the whole parameter space, with its corners more
//! often.

use std::time::Duration;

use num_bigint::BigInt;
use proptest::prelude::*;
use tollgate::Quota;

/// The uptime for which the laws hold, in ns: 100 years of 365.25 days.
pub const HORIZON: u64 = 36_525 * 86_400 * 1_000_000_000;

/// Yields any quota.
pub fn quota() -> BoxedStrategy<Quota> {
    prop_oneof![
        2 => (1..=1_000_u64, common_period(), burst()),
        2 => (any_size(), common_period(), burst()),
        1 => (any_size(), any_size(), burst()),
        // Few units in lowest terms: exact, though no unit takes whole ns.
        1 => (1..8_u64, any_size(), burst()),
        // The fastest rates, and the slowest.
        1 => (5_845_000_000..=5_845_420_460_u64, Just(1_000_000_000), burst()),
        1 => (Just(1), HORIZON..=4 * HORIZON, burst()),
    ]
    .prop_filter_map("no such quota", |(units, period, burst)| {
        fit(units, period, burst)
    })
    .boxed()
}

/// Yields any quota whose unit takes whole ns.
pub fn exact_quota() -> BoxedStrategy<Quota> {
    prop_oneof![
        // 10/s, 100/min, 60/h: the units divide the period.
        (0..12_usize, common_period(), burst()).prop_map(|(divisor, period, burst)| {
            let divisors = [1, 2, 3, 4, 5, 10, 12, 20, 60, 100, 1_000, 1_000_000];
            (divisors[divisor], period, burst)
        }),
        (any_size(), 1..1_000_u64, burst())
            .prop_map(|(unit, units, burst)| { (units, unit.saturating_mul(units), burst) }),
    ]
    .prop_filter_map("no such quota", |(units, period, burst)| {
        fit(units, period, burst)
    })
    .prop_filter("a unit of whole ns", super::oracle::is_exact)
    .boxed()
}

/// Yields any quota that the model of tiers is exact for.
pub fn modelled_quota() -> BoxedStrategy<Quota> {
    let few_units = (1..6_u64, any_size(), burst()).prop_filter_map("no such quota", |numbers| {
        let (units, period, burst) = numbers;
        (0..64).find_map(|halved| {
            fit(units, period, (burst >> halved).max(1)).filter(super::tiers::is_modelled)
        })
    });
    prop_oneof![3 => exact_quota(), 1 => few_units].boxed()
}

/// Yields a quota whose unit takes a few ns, and for which the model of tiers is exact. So it matters in
/// which ns a unit is due.
pub fn quick_quota() -> BoxedStrategy<Quota> {
    (1..6_u64, 1..40_u64, 1..10_u64)
        .prop_filter_map("no such quota", |(units, period, burst)| {
            fit(units, period, burst)
        })
        .boxed()
}

/// Yields any quota whose burst is small enough to spend unit by unit.
pub fn quota_of_small_burst() -> BoxedStrategy<Quota> {
    (quota(), 1..50_u64)
        .prop_filter_map("no such quota", |(quota, burst)| {
            Quota::new(quota.units(), quota.period(), burst).ok()
        })
        .boxed()
}

/// Yields three quotas. Two thirds of them share the burst or the rate.
pub fn quotas_alike() -> BoxedStrategy<[Quota; 3]> {
    let alike = |[one, two, three]: [Quota; 3], how: u8| {
        let like_one = |quota: Quota| match how {
            0 => Quota::new(quota.units(), quota.period(), one.burst_size()),
            1 => Quota::new(one.units(), one.period(), quota.burst_size()),
            _ => Ok(quota),
        };
        Some([one, like_one(two).ok()?, like_one(three).ok()?])
    };
    ([quota(), quota(), quota()], 0..3_u8)
        .prop_filter_map("no such quotas", move |(quotas, how)| alike(quotas, how))
        .boxed()
}

/// Yields the uptime of a limiter: zero, any time, or nearly a century.
pub fn uptime() -> BoxedStrategy<u64> {
    prop_oneof![
        Just(0),
        any_size().prop_map(|at| at % HORIZON),
        HORIZON / 100 * 99..HORIZON
    ]
    .boxed()
}

pub fn steps(most: usize) -> impl Strategy<Value = Vec<Step>> {
    prop::collection::vec(any::<Step>(), 1..most)
}

/// A time that passes and a number of units, in measures that fit any quota.
#[derive(Clone, Copy, Debug)]
pub struct Step {
    elapsed: Elapsed,
    units: Units,
}

#[derive(Clone, Copy, Debug)]
enum Elapsed {
    Nothing,
    Nanos(u64),
    /// A multiple of the time of a unit, and up to 2 ns less or more.
    Units(u64, i8),
    /// The time in which an empty bucket fills, and up to 2 ns less or more.
    Fill(i8),
}

#[derive(Clone, Copy, Debug)]
enum Units {
    Number(u64),
    /// The burst, less a number.
    Burst(u64),
    /// The burst, divided.
    Part(u64),
    /// More than the burst.
    Above(u64),
}

impl Step {
    /// Returns the ns that pass and the units.
    pub fn of(&self, quota: &Quota) -> (u64, u64) {
        let burst = quota.burst_size();
        let near = |nanos: u64, off: i8| nanos.saturating_add_signed(off.into());
        let elapsed = match self.elapsed {
            Elapsed::Nothing => 0,
            Elapsed::Nanos(nanos) => nanos,
            Elapsed::Units(count, off) => near(time_of(quota, count), off),
            Elapsed::Fill(off) => near(time_of(quota, burst), off),
        };
        let n = match self.units {
            Units::Number(n) => n,
            Units::Burst(less) => burst.saturating_sub(less),
            Units::Part(divisor) => burst / divisor,
            Units::Above(more) => burst.saturating_add(more),
        };
        (elapsed, n)
    }
}

impl Arbitrary for Step {
    type Parameters = ();
    type Strategy = BoxedStrategy<Step>;

    fn arbitrary_with((): ()) -> BoxedStrategy<Step> {
        let elapsed = prop_oneof![
            4 => Just(Elapsed::Nothing),
            2 => any_size().prop_map(Elapsed::Nanos),
            4 => (0..5_u64, -2..=2_i8).prop_map(|(count, off)| Elapsed::Units(count, off)),
            1 => (-2..=2_i8).prop_map(Elapsed::Fill),
        ];
        let units = prop_oneof![
            6 => Just(Units::Number(1)),
            2 => (0..4_u64).prop_map(Units::Number),
            2 => (0..3_u64).prop_map(Units::Burst),
            2 => (2..20_u64).prop_map(Units::Part),
            1 => any_size().prop_map(Units::Above),
            1 => any::<u64>().prop_map(Units::Number),
        ];
        (elapsed, units)
            .prop_map(|(elapsed, units)| Step { elapsed, units })
            .boxed()
    }
}

/// Returns the ns in which one unit is earned, rounded up.
pub fn unit_time(quota: &Quota) -> u64 {
    time_of(quota, 1)
}

fn time_of(quota: &Quota, units: u64) -> u64 {
    let nanos: BigInt =
        (BigInt::from(quota.period().as_nanos()) * units + quota.units() - 1_u64) / quota.units();
    nanos.try_into().unwrap_or(u64::MAX)
}

/// Returns a quota of this rate, with the burst halved until it is valid.
fn fit(units: u64, period: u64, burst: u64) -> Option<Quota> {
    (0..64).find_map(|halved| {
        Quota::new(
            units,
            Duration::from_nanos(period),
            (burst >> halved).max(1),
        )
        .ok()
    })
}

/// Yields any number: of any size, and the smallest and largest.
pub fn any_number() -> BoxedStrategy<u64> {
    prop_oneof![8 => any_size(), 1 => 0..3_u64, 1 => u64::MAX - 2..=u64::MAX].boxed()
}

/// Yields a number from 1 on. Each number of bits is equally likely.
fn any_size() -> impl Strategy<Value = u64> + Clone {
    (any::<u64>(), 0..64_u32).prop_map(|(number, shift)| (number >> shift).max(1))
}

fn common_period() -> impl Strategy<Value = u64> {
    let second = 1_000_000_000;
    prop::sample::select(vec![second, 60 * second, 3_600 * second, 86_400 * second])
}

fn burst() -> impl Strategy<Value = u64> {
    prop_oneof![Just(1), 1..20_u64, any_size()]
}
