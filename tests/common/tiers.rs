//! The rule by which a key is decided under policies that change, in exact integers of any size. Tests
//! compare the crate with it.
//!
//! A rate in lowest terms earns `per_nano` parts each ns, and `per_unit` parts are one unit. So a debt in
//! parts is exact at any time. A move rounds it up to whole parts of the new rate, as the rule says.

use std::time::Duration;

use num_bigint::BigInt;
use tollgate::{Decision, Quota, QuotaDecision};

/// The numbers that a decision must have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    pub allowed: bool,
    pub remaining: u64,
    pub retry_after: Option<Duration>,
    pub reset_after: Duration,
    pub parts: Vec<Part>,
}

/// The numbers of one quota.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    pub quota: Quota,
    pub never: bool,
    pub remaining: u64,
    pub retry_after: Option<Duration>,
    pub reset_after: Duration,
}

/// Returns the numbers of a decision, to compare with the oracle's.
pub fn answer<const N: usize>(decision: &Decision<N>) -> Answer {
    let part = |part: &QuotaDecision| Part {
        quota: part.quota(),
        never: part.exceeds_burst(),
        remaining: part.remaining(),
        retry_after: part.retry_after(),
        reset_after: part.reset_after(),
    };
    Answer {
        allowed: decision.is_allowed(),
        remaining: decision.remaining(),
        retry_after: decision.retry_after(),
        reset_after: decision.reset_after(),
        parts: decision.quotas().iter().map(part).collect(),
    }
}

/// Which bucket of a key a quota has, by its period.
#[derive(Clone, Debug)]
pub struct Periods {
    room: usize,
    met: Vec<u128>,
}

/// A policy: each quota, and the bucket that it has.
pub type Terms = Vec<(Quota, usize)>;

impl Periods {
    /// Keys have `room` buckets.
    pub fn new(room: usize) -> Periods {
        Periods {
            room,
            met: Vec::new(),
        }
    }

    /// Returns the buckets of a policy's quotas. `None` if two share one. Then none of its periods is met.
    pub fn place(&mut self, quotas: &[Quota]) -> Option<Terms> {
        let mut periods = self.clone();
        let mut terms = Terms::new();
        for quota in quotas {
            let bucket = periods.meet(quota.period().as_nanos());
            if terms.iter().any(|(_, other)| *other == bucket) {
                return None;
            }
            terms.push((*quota, bucket));
        }
        *self = periods;
        Some(terms)
    }

    fn meet(&mut self, period: u128) -> usize {
        if !self.met.contains(&period) && self.met.len() < self.room {
            self.met.push(period);
        }
        // The ratio of two periods, times their product: compared by its larger terms.
        let far = |met: u128| (BigInt::from(met.max(period)), BigInt::from(met.min(period)));
        let nearer = |one: &usize, other: &usize| {
            let ((high, low), (other_high, other_low)) =
                (far(self.met[*one]), far(self.met[*other]));
            let by_ratio = (high * other_low).cmp(&(other_high * low));
            by_ratio.then(self.met[*one].cmp(&self.met[*other]))
        };
        (0..self.met.len()).min_by(nearer).unwrap()
    }
}

/// The buckets of a key. Times never step back.
#[derive(Clone, Debug)]
pub struct Key {
    now: u64,
    buckets: Vec<Debt>,
}

#[derive(Clone, Debug)]
struct Debt {
    rate: Rate,
    parts: BigInt,
}

#[derive(Clone, Debug)]
struct Rate {
    per_nano: BigInt,
    per_unit: BigInt,
}

impl Key {
    /// Makes full buckets.
    pub fn new(room: usize) -> Key {
        let full = Debt {
            rate: Rate {
                per_nano: BigInt::from(1),
                per_unit: BigInt::from(1),
            },
            parts: BigInt::ZERO,
        };
        Key {
            now: 0,
            buckets: vec![full; room],
        }
    }

    /// Spends `n` units at `now`, in ns, if every bucket of the policy holds as many, and moves debts.
    pub fn check(&mut self, terms: &Terms, now: u64, n: u64) -> Answer {
        let allowed = self.peek(terms, now, n).allowed;
        self.pay(now);
        for (quota, bucket) in terms.iter().filter(|_| n > 0) {
            let debt = &mut self.buckets[*bucket];
            let mut moved = debt.moved(Rate::of(quota));
            if allowed {
                moved.parts += n * &moved.rate.per_unit;
                *debt = moved;
            } else if moved.is_sooner(debt, now) {
                *debt = moved;
            }
        }
        self.answer(terms, n, allowed)
    }

    /// Decides as a check would, and changes nothing.
    pub fn peek(&self, terms: &Terms, now: u64, n: u64) -> Answer {
        let mut key = self.clone();
        key.pay(now);
        let holds = |(quota, bucket): &(Quota, usize)| key.buckets[*bucket].leaves(quota, n);
        let allowed = n == 0 || terms.iter().all(holds);
        key.answer(terms, n, allowed)
    }

    /// Whether every bucket is full at `now`, also those that a policy lacks.
    pub fn is_full(&self, now: u64) -> bool {
        let mut key = self.clone();
        key.pay(now);
        key.buckets.iter().all(|debt| debt.parts == BigInt::ZERO)
    }

    fn pay(&mut self, now: u64) {
        let elapsed = now.checked_sub(self.now).expect("time goes forward");
        self.now = now;
        for Debt { rate, parts } in &mut self.buckets {
            *parts = (&*parts - &rate.per_nano * elapsed).max(BigInt::ZERO);
        }
    }

    fn answer(&self, terms: &Terms, n: u64, allowed: bool) -> Answer {
        let part = |(quota, bucket): &(Quota, usize)| {
            let debt = &self.buckets[*bucket];
            let never = !allowed && n > quota.burst_size();
            let wait = debt.time_to(quota.burst_size().saturating_sub(n));
            Part {
                quota: *quota,
                never,
                remaining: (quota.burst_size() - debt.units())
                    .max(BigInt::ZERO)
                    .try_into()
                    .unwrap(),
                retry_after: Some(wait).filter(|wait| !(allowed || never || wait.is_zero())),
                reset_after: debt.time_to(0),
            }
        };
        let parts: Vec<Part> = terms.iter().map(part).collect();
        let never = parts.iter().any(|part| part.never);
        let retry_after = parts.iter().filter_map(|part| part.retry_after).max();
        Answer {
            allowed,
            remaining: parts.iter().map(|part| part.remaining).min().unwrap(),
            retry_after: retry_after.filter(|_| !never),
            reset_after: parts.iter().map(|part| part.reset_after).max().unwrap(),
            parts,
        }
    }
}

impl Debt {
    /// Whether a bucket of this quota's burst holds `n` units.
    fn leaves(&self, quota: &Quota, n: u64) -> bool {
        let burst = quota.burst_size();
        n <= burst && self.parts <= (burst - n) * &self.rate.per_unit
    }

    fn moved(&self, rate: Rate) -> Debt {
        let parts = div_ceil(&self.parts * &rate.per_unit, &self.rate.per_unit);
        Debt { rate, parts }
    }

    /// Whether a denied check moves `old` to this.
    fn is_sooner(&self, old: &Debt, now: u64) -> bool {
        let is_faster =
            &self.rate.per_nano * &old.rate.per_unit > &old.rate.per_nano * &self.rate.per_unit;
        // The debt in units once the next whole unit is paid.
        let next: BigInt = (old.units() - 1_u64).max(BigInt::ZERO);
        let is_due_earlier = self.time_to(next.clone()) < old.time_to(next);
        let fits = now * &self.rate.per_nano + &self.parts <= BigInt::from(u64::MAX);
        is_faster && is_due_earlier && fits
    }

    /// Returns the units that are not there, rounded up.
    fn units(&self) -> BigInt {
        div_ceil(self.parts.clone(), &self.rate.per_unit)
    }

    /// Returns the time until the debt is at most this number of units.
    fn time_to(&self, units: impl Into<BigInt>) -> Duration {
        let parts = &self.parts - units.into() * &self.rate.per_unit;
        let nanos = div_ceil(parts.max(BigInt::ZERO), &self.rate.per_nano);
        Duration::from_nanos(nanos.try_into().expect("a debt is paid within 584 years"))
    }
}

impl Rate {
    fn of(quota: &Quota) -> Rate {
        let (units, period) = (u128::from(quota.units()), quota.period().as_nanos());
        let (mut divisor, mut rest) = (units, period);
        while rest != 0 {
            (divisor, rest) = (rest, divisor % rest);
        }
        Rate {
            per_nano: BigInt::from(units / divisor),
            per_unit: BigInt::from(period / divisor),
        }
    }
}

/// Returns whether the model is exact for this quota: a century of its parts and a full bucket fit in 64
/// bits. That holds for every unit of a whole number of ns.
pub fn is_modelled(quota: &Quota) -> bool {
    const CENTURY: u64 = 36_525 * 86_400 * 1_000_000_000;
    let Rate { per_nano, per_unit } = Rate::of(quota);
    CENTURY * per_nano + quota.burst_size() * per_unit <= BigInt::from(u64::MAX)
}

fn div_ceil(parts: BigInt, by: &BigInt) -> BigInt {
    (parts + by - 1) / by
}
