//! Two simple limiters for one key, in exact integers of any size. Tests compare the crate with
//! them.
//!
//! All is counted in units times the period in ns, so no step needs a division: a bucket of `burst`
//! units is `burst * period`, and each ns earns `units`.

use std::time::Duration;

use num_bigint::BigInt;
use tollgate::{Decision, Quota};

/// The numbers that a decision must have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    pub allowed: bool,
    pub never: bool,
    pub remaining: u64,
    pub retry_after: Option<Duration>,
    pub reset_after: Duration,
}

/// Returns the numbers of a decision, to compare with the oracle's.
pub fn answer<const N: usize>(decision: &Decision<N>) -> Answer {
    Answer {
        allowed: decision.is_allowed(),
        never: decision.exceeds_burst(),
        remaining: decision.remaining(),
        retry_after: decision.retry_after(),
        reset_after: decision.reset_after(),
    }
}

/// The rational model: a level that rises with time, up to the burst. Its times never step back.
#[derive(Clone, Debug)]
pub struct Oracle {
    buckets: Vec<Level>,
    now: u64,
}

#[derive(Clone, Debug)]
struct Level {
    quota: Quota,
    level: BigInt,
}

impl Oracle {
    /// Makes full buckets, at time 0.
    pub fn new(quotas: &[Quota]) -> Oracle {
        let full = |quota: &Quota| Level {
            quota: *quota,
            level: times(quota.burst_size(), quota),
        };
        Oracle {
            buckets: quotas.iter().map(full).collect(),
            now: 0,
        }
    }

    /// Spends `n` units at `now`, in ns, if every bucket holds as many.
    pub fn check(&mut self, now: u64, n: u64) -> Answer {
        self.earn(now);
        let allowed = self
            .buckets
            .iter()
            .all(|bucket| bucket.level >= times(n, &bucket.quota));
        if allowed {
            self.spend(now, n);
        }
        self.answer(n, allowed)
    }

    /// Spends `n` units at `now` whether they are there or not.
    pub fn spend(&mut self, now: u64, n: u64) {
        self.earn(now);
        for Level { quota, level } in &mut self.buckets {
            *level -= times(n, quota);
        }
    }

    fn earn(&mut self, now: u64) {
        let elapsed = now.checked_sub(self.now).expect("time goes forward");
        self.now = now;
        for Level { quota, level } in &mut self.buckets {
            *level += BigInt::from(quota.units()) * elapsed;
            *level = level.clone().min(times(quota.burst_size(), quota));
        }
    }

    fn answer(&self, n: u64, allowed: bool) -> Answer {
        let buckets = || self.buckets.iter();
        let never = buckets().any(|bucket| n > bucket.quota.burst_size());
        let remaining = buckets().map(Level::units).min().unwrap();
        let waits = buckets().map(|bucket| bucket.wait_for(n)).max().unwrap();
        let resets = buckets().map(|bucket| bucket.wait_for(bucket.quota.burst_size()));
        Answer {
            allowed,
            never,
            remaining,
            retry_after: (!allowed && !never).then_some(waits),
            reset_after: resets.max().unwrap(),
        }
    }
}

impl Level {
    /// Returns the whole units in the bucket.
    fn units(&self) -> u64 {
        let units: BigInt = self.level.clone().max(BigInt::ZERO) / nanos(&self.quota);
        units.try_into().unwrap()
    }

    /// Returns the ns until `n` units are there, rounded up.
    fn wait_for(&self, n: u64) -> Duration {
        let missing = (times(n, &self.quota) - &self.level).max(BigInt::ZERO);
        let units = BigInt::from(self.quota.units());
        let nanos: BigInt = (missing + &units - 1) / units;
        Duration::from_nanos(nanos.try_into().unwrap_or(u64::MAX))
    }
}

/// The time that a limiter counts from the readings of its clock. Time counts while the clock goes
/// forward. After a step back of up to 1 s it stands still until the clock has caught up. After a
/// longer step it counts on at once.
#[derive(Clone, Debug)]
pub struct Counted {
    time: u64,
    reading: u64,
}

impl Counted {
    /// Starts at zero, at a reading of the clock.
    pub fn from(reading: u64) -> Counted {
        Counted { time: 0, reading }
    }

    /// Returns the time at a reading, in ns.
    pub fn at(&mut self, reading: u64) -> u64 {
        const TOLERANCE: u64 = 1_000_000_000;
        let forward = reading.saturating_sub(self.reading);
        if forward > 0 || self.reading - reading > TOLERANCE {
            self.reading = reading;
        }
        self.time = self.time.saturating_add(forward);
        self.time
    }

    /// Returns how far a reading is behind the last one that counted.
    pub fn behind(&self, reading: u64) -> u64 {
        self.reading.saturating_sub(reading)
    }
}

/// The rational model at a time that is known to less than 1 ns, for quotas whose unit does not
/// take whole ns. For each decision it tells whether the model decides so at some time less than 1
/// ns earlier.
///
/// It keeps the interval of the points up to which units may be spent. The interval never grows
/// beyond 1 ns of earning, so an error that accumulates is found.
#[derive(Clone, Debug)]
pub struct Bracket {
    quota: Quota,
    low: BigInt,
    high: BigInt,
}

impl Bracket {
    pub fn new(quota: &Quota) -> Bracket {
        Bracket {
            quota: *quota,
            low: BigInt::ZERO,
            high: BigInt::ZERO,
        }
    }

    /// Spends `n` units. Returns whether they may be allowed at `now`.
    pub fn allow(&mut self, now: u64, n: u64) -> bool {
        let spent = times(n, &self.quota);
        let (earliest, latest) = self.earned(now);
        let room = &latest + times(self.quota.burst_size(), &self.quota) - &spent;
        let possible = n <= self.quota.burst_size() && self.low <= room;
        self.low = self.low.clone().max(earliest) + &spent;
        self.high = self.high.clone().max(latest).min(room) + &spent;
        possible
    }

    /// Returns whether `n` units may be denied at `now`.
    pub fn deny(&self, now: u64, n: u64) -> bool {
        let (earliest, _) = self.earned(now);
        let burst = times(self.quota.burst_size(), &self.quota);
        n > self.quota.burst_size() || self.high > earliest + burst - times(n, &self.quota)
    }

    /// Returns whether `remaining` whole units may be left at `now`.
    pub fn remain(&self, now: u64, remaining: u64) -> bool {
        let (earliest, latest) = self.earned(now);
        let burst = times(self.quota.burst_size(), &self.quota);
        let most = &burst - (&self.low - latest).max(BigInt::ZERO);
        let least = &burst - (&self.high - earliest).max(BigInt::ZERO);
        let units = times(remaining, &self.quota);
        units <= most && units + nanos(&self.quota) > least
    }

    /// Returns what is earned by 1 ns before `now`, and by `now`.
    fn earned(&self, now: u64) -> (BigInt, BigInt) {
        let units = BigInt::from(self.quota.units());
        (&units * (BigInt::from(now) - 1), units * now)
    }
}

/// Returns whether a unit takes whole ns, so that law 2 demands the exact model.
pub fn is_exact(quota: &Quota) -> bool {
    quota
        .period()
        .as_nanos()
        .is_multiple_of(u128::from(quota.units()))
}

fn times(units: u64, quota: &Quota) -> BigInt {
    units * nanos(quota)
}

fn nanos(quota: &Quota) -> BigInt {
    BigInt::from(quota.period().as_nanos())
}
