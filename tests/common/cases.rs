//! What most tests share: a limiter with a clock that the test sets, and integer arithmetic that
//! yields the expected numbers.

use std::{cell::Cell, hash::Hash, time::Duration};

use tollgate::{Decision, IntoPolicy, ManualClock, Quota, QuotaDecision, RateLimiter};

pub const SECOND: u64 = 1_000_000_000;
pub const MINUTE: u64 = 60 * SECOND;
pub const HOUR: u64 = 60 * MINUTE;
pub const DAY: u64 = 24 * HOUR;
pub const WEEK: u64 = 7 * DAY;
/// 365.25 days.
pub const YEAR: u64 = 8_766 * HOUR;
/// The time of a limiter stands still from here on.
pub const CENTURY: u64 = 100 * YEAR;

pub fn nanos(nanos: u64) -> Duration {
    Duration::from_nanos(nanos)
}

/// A quota of `units` per `period` ns.
pub fn quota(units: u64, period: u64, burst: u64) -> Quota {
    Quota::new(units, nanos(period), burst).unwrap()
}

/// Makes a limiter that is swept only by a call of `sweep`, and its clock, which stands at zero.
pub fn by_hand<K, const N: usize>(policy: impl IntoPolicy<N>) -> (RateLimiter<K, N>, Time)
where
    K: Hash + Eq + Send + Sync + 'static,
{
    let time = Time::new();
    let limiter = RateLimiter::builder(policy)
        .clock(time.clock.clone())
        .shards(2)
        .manual_sweep()
        .build();
    (limiter, time)
}

/// A `ManualClock` that can be set to a time.
pub struct Time {
    pub clock: ManualClock,
    now: Cell<u64>,
}

impl Time {
    pub fn new() -> Time {
        Time {
            clock: ManualClock::new(),
            now: Cell::new(0),
        }
    }

    pub fn now(&self) -> u64 {
        self.now.get()
    }

    /// Sets the time to `now`, in ns. It may be earlier than before.
    pub fn set(&self, now: u64) {
        let before = self.now.replace(now);
        if now >= before {
            self.clock.advance(nanos(now - before));
        } else {
            self.clock.rewind(nanos(before - now));
        }
    }

    pub fn advance(&self, by: u64) {
        self.set(self.now() + by);
    }
}

/// Returns the whole units that `quota` earns in `time` ns.
pub fn earned(quota: &Quota, time: u64) -> u64 {
    let units = u128::from(time) * u128::from(quota.units()) / quota.period().as_nanos();
    units.try_into().unwrap()
}

/// Returns the ns in which `quota` earns `units`, rounded up.
pub fn time_of(quota: &Quota, units: u64) -> u64 {
    let time = u128::from(units) * quota.period().as_nanos();
    time.div_ceil(u128::from(quota.units())).try_into().unwrap()
}

/// Returns one number of each quota of a decision, in the order of the policy.
pub fn each<T, const N: usize>(
    decision: &Decision<N>,
    number: impl Fn(&QuotaDecision) -> T,
) -> Vec<T> {
    decision.quotas().iter().map(number).collect()
}

/// Spends all units that remain, sees the next one denied, and returns how many there were.
pub fn drain(limiter: &RateLimiter<u64>, key: u64) -> u64 {
    let units = limiter.peek(&key).remaining();
    let all = limiter.check_n(&key, units);
    assert!(all.is_allowed(), "{units} remained and were denied");
    assert_eq!(all.remaining(), 0);
    let more = limiter.check(&key);
    assert!(!more.is_allowed(), "one unit more than {units} passed");
    assert_eq!(more.remaining(), 0);
    units
}

/// Pseudo-random numbers, the same in every run.
pub struct Numbers(u64);

impl Numbers {
    pub fn new(seed: u64) -> Numbers {
        Numbers(seed)
    }

    /// Returns a number in `0..bound`.
    pub fn below(&mut self, bound: u64) -> u64 {
        // SplitMix64.
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % bound
    }
}
