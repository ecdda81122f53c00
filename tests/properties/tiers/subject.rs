//! A limiter with tiers on its own clock, what is done to it, and where its quotas have their buckets.

use std::time::Duration;

use proptest::prelude::*;
use proptest::sample::Index;
use tollgate::{Decision, ManualClock, Policy, Quota, Tier, TieredLimiter};

use crate::common::oracle::Counted;
use crate::common::strategies::{self, HORIZON, Step};
use crate::common::tiers::{Periods, Terms};

/// Something that is done to a limiter. What it names is taken modulo what there is.
#[derive(Clone, Debug)]
pub enum Act {
    /// Time passes, and units are checked.
    Check(u8, Index, Step),
    /// Time passes until a request is due, and up to 2 ns less or more. It is checked.
    Due(u8, Index, Step, i8),
    /// What was checked last is checked again. The cache of denied keys may decide now.
    Again,
    /// Time passes until all buckets of a policy are full, and up to 2 ns less or more.
    Full(u8, Index, i8),
    Back(Step),
    Replace(Index, Vec<Quota>),
    Forget(u8),
    Sweep,
}

pub fn acts(quota: BoxedStrategy<Quota>, most: usize) -> impl Strategy<Value = Vec<Act>> {
    let key = || prop_oneof![6 => Just(0_u8), 1 => Just(1)];
    let act = prop_oneof![
        12 => (key(), any::<Index>(), any::<Step>())
            .prop_map(|(key, tier, step)| Act::Check(key, tier, step)),
        4 => (key(), any::<Index>(), any::<Step>(), -2..=2_i8)
            .prop_map(|(key, tier, step, off)| Act::Due(key, tier, step, off)),
        1 => (key(), any::<Index>(), -2..=2_i8)
            .prop_map(|(key, tier, off)| Act::Full(key, tier, off)),
        6 => Just(Act::Again),
        1 => any::<Step>().prop_map(Act::Back),
        3 => (any::<Index>(), quotas(quota)).prop_map(|(tier, to)| Act::Replace(tier, to)),
        1 => key().prop_map(Act::Forget),
        2 => Just(Act::Sweep),
    ];
    prop::collection::vec(act, 1..most)
}

/// Yields policies and acts, of quotas of any kind, or of quick ones.
pub fn histories(
    quota: BoxedStrategy<Quota>,
    most: usize,
) -> impl Strategy<Value = (Vec<Vec<Quota>>, Vec<Act>)> {
    let quick = strategies::quick_quota();
    prop_oneof![
        2 => (policies(quota.clone()), acts(quota, most)),
        1 => (policies(quick.clone()), acts(quick, most)),
    ]
}

/// Yields two to four policies, of one to three quotas each.
pub fn policies(quota: BoxedStrategy<Quota>) -> impl Strategy<Value = Vec<Vec<Quota>>> {
    prop::collection::vec(quotas(quota), 2..=4)
}

fn quotas(quota: BoxedStrategy<Quota>) -> impl Strategy<Value = Vec<Quota>> {
    prop::collection::vec(quota, 1..=3)
}

/// A limiter, its tiers and their policies as the tests have them. It counts the ns since its start.
pub struct Subject<const N: usize> {
    pub limiter: TieredLimiter<u8, N>,
    pub tiers: Vec<Tier<u8, N>>,
    pub terms: Vec<Terms>,
    periods: Periods,
    clock: ManualClock,
    reading: u64,
    counted: Counted,
    /// The key, the tier and the units of the last check.
    last: Option<(u8, usize, u64)>,
}

impl<const N: usize> Subject<N> {
    /// Makes a tier of each policy that can be had, and checks that there is none of the others. Of the
    /// first policy, what has a bucket of its own.
    pub fn new(policies: &[Vec<Quota>]) -> Subject<N> {
        let mut first: Vec<Quota> = Vec::new();
        for quota in &policies[0] {
            if first.len() < N && first.iter().all(|other| other.period() != quota.period()) {
                first.push(*quota);
            }
        }
        let clock = ManualClock::new();
        let limiter = TieredLimiter::<u8, N>::builder(policy(&first))
            .clock(clock.clone())
            .shards(2)
            .manual_sweep()
            .build();
        let mut periods = Periods::new(N);
        let mut subject = Subject {
            tiers: vec![limiter.default_tier().clone()],
            terms: vec![periods.place(&first).unwrap()],
            limiter,
            periods,
            clock,
            reading: 0,
            counted: Counted::from(0),
            last: None,
        };
        for quotas in &policies[1..] {
            subject.add(quotas);
        }
        subject
    }

    /// Makes a tier of a policy, unless two of its quotas share a bucket. Returns whether it did.
    pub fn add(&mut self, quotas: &[Quota]) -> bool {
        let quotas = &quotas[..quotas.len().min(N)];
        let (expected, tier) = (
            self.periods.place(quotas),
            self.limiter.tier(policy(quotas)),
        );
        assert_eq!(expected.is_some(), tier.is_ok(), "{tier:?}");
        if let (Some(terms), Ok(tier)) = (expected, tier) {
            self.terms.push(terms);
            self.tiers.push(tier);
            return true;
        }
        false
    }

    /// Returns a tier whose policy is this quota.
    pub fn tier_of(&mut self, quota: &Quota) -> usize {
        let policy = policy::<N>(&[*quota]);
        let tier = self.tiers.iter().position(|tier| tier.policy() == policy);
        tier.unwrap_or_else(|| {
            self.add(&[*quota]);
            self.tiers.len() - 1
        })
    }

    /// Replaces the policy of a tier, unless two of its quotas share a bucket.
    pub fn replace(&mut self, tier: usize, quotas: &[Quota]) {
        let quotas = &quotas[..quotas.len().min(N)];
        let expected = self.periods.place(quotas);
        let before = self.tiers[tier].policy();
        let replaced = self.tiers[tier].replace(policy::<N>(quotas));
        assert_eq!(expected.is_some(), replaced.is_ok(), "{replaced:?}");
        if let Some(terms) = expected {
            self.terms[tier] = terms;
            assert_eq!(replaced, Ok(before));
        }
    }

    /// Returns the time of the limiter.
    pub fn now(&mut self) -> u64 {
        self.counted.at(self.reading).min(HORIZON)
    }

    /// Moves the clock, but the time not past the century for which the laws hold.
    pub fn advance(&mut self, by: u64) {
        let by = by.min(HORIZON.saturating_sub(self.now()));
        self.clock.advance(Duration::from_nanos(by));
        self.reading += by;
        self.tell_time();
    }

    pub fn advance_to(&mut self, time: u64) {
        let by = time - self.now();
        self.advance(by);
        // After a step back, time stands still at first.
        let by = time.min(HORIZON) - self.now();
        self.advance(by);
        assert_eq!(self.now(), time.min(HORIZON));
    }

    pub fn rewind(&mut self, by: u64) {
        let by = by.min(self.reading);
        self.clock.rewind(Duration::from_nanos(by));
        self.reading -= by;
        self.tell_time();
    }

    fn tell_time(&mut self) {
        self.now();
        let _ = self.tiers[0].peek(&0);
    }

    /// Does an act, but for the check at its end: of a key under a tier, for a number of units.
    pub fn begin(&mut self, act: &Act) -> Option<(u8, usize, u64)> {
        let check = self.prepare(act);
        self.last = check.or(self.last);
        check
    }

    fn prepare(&mut self, act: &Act) -> Option<(u8, usize, u64)> {
        let near = |wait: Option<Duration>, off: i8| {
            let wait = u64::try_from(wait.unwrap_or_default().as_nanos()).unwrap();
            wait.saturating_add_signed(off.into())
        };
        match act {
            Act::Check(key, tier, step) => {
                let tier = tier.index(self.tiers.len());
                let (elapsed, n) = step.of(&self.tiers[tier].policy().quotas()[0]);
                self.advance(elapsed);
                Some((*key, tier, n))
            }
            Act::Due(key, tier, step, off) => {
                let tier = tier.index(self.tiers.len());
                let (_, n) = step.of(&self.tiers[tier].policy().quotas()[0]);
                let due = self.tiers[tier].peek_n(key, n).retry_after();
                self.advance(near(due, *off));
                Some((*key, tier, n))
            }
            Act::Again => self.last,
            Act::Full(key, tier, off) => {
                let tier = tier.index(self.tiers.len());
                let full = self.tiers[tier].peek(key).reset_after();
                self.advance(near(Some(full), *off));
                None
            }
            Act::Back(step) => {
                self.rewind(step.of(&self.tiers[0].policy().quotas()[0]).0);
                None
            }
            Act::Replace(tier, quotas) => {
                self.replace(tier.index(self.tiers.len()), quotas);
                None
            }
            Act::Forget(key) => {
                self.limiter.forget(key);
                None
            }
            Act::Sweep => {
                self.limiter.sweep();
                None
            }
        }
    }

    /// Does an act. Returns the key, the tier, the units and the decision of a check.
    pub fn act(&mut self, act: &Act) -> Option<(u8, usize, u64, Decision<N>)> {
        let (key, tier, n) = self.begin(act)?;
        Some((key, tier, n, self.tiers[tier].check_n(&key, n)))
    }

    /// Returns a peek for `n` units of a key under each tier.
    pub fn peeks(&self, key: u8, n: u64) -> Vec<Decision<N>> {
        let peek = |tier: &Tier<u8, N>| tier.peek_n(&key, n);
        self.tiers.iter().map(peek).collect()
    }
}

pub fn policy<const N: usize>(quotas: &[Quota]) -> Policy<N> {
    Policy::try_from(quotas).unwrap()
}
