//! Applies an input to a limiter with tiers, and checks it against the rule and the laws at every step.

use std::time::Duration;

use tollgate::{Decision, ManualClock, Policy, Quota, TieredLimiter};

use crate::bounds::{Checked, first_excess};
use crate::input::{Amount, Key, Numbers};
use crate::subject::{KEYS, nanos};
use crate::tiered_input::{Operation, Step, Tier, Tiers};
use crate::tiers::{self, Periods, Terms, answer, is_modelled};
use crate::timed::{HORIZON, Hasher, Timed};

pub fn run(input: &Tiers) {
    match input.room {
        1 => run_with_room::<1>(input),
        2 => run_with_room::<2>(input),
        _ => run_with_room::<3>(input),
    }
}

fn run_with_room<const N: usize>(input: &Tiers) {
    let Some(first) = quotas::<N>(&input.first) else {
        return;
    };
    let Some(mut subject) = Subject::<N>::new(first) else {
        return;
    };
    for quotas in input
        .others
        .iter()
        .filter_map(|numbers| quotas::<N>(numbers))
    {
        subject.act(Act::Add(quotas));
    }
    for operation in &input.operations {
        subject.apply(operation);
    }
}

/// Returns the valid ones of the quotas, as many as there is room for. `None` if there are none.
fn quotas<const N: usize>(numbers: &[Numbers]) -> Option<Vec<Quota>> {
    let quotas: Vec<Quota> = numbers.iter().filter_map(Numbers::quota).take(N).collect();
    (!quotas.is_empty()).then_some(quotas)
}

type Handle<const N: usize> = tollgate::Tier<u8, N, Hasher>;

/// What decides about a key, and can be done again to another limiter.
#[derive(Clone, Debug)]
enum Act {
    Add(Vec<Quota>),
    Replace(usize, Vec<Quota>),
    Drop(usize),
    Check {
        at: u64,
        key: u8,
        tier: usize,
        n: u64,
    },
    Forget(u8),
}

struct Subject<const N: usize> {
    twin: Twin<N>,
    /// What was done since the start, for another limiter. It has seen no sweep and no step back.
    acts: Vec<Act>,
    keys: [tiers::Key; KEYS.len()],
    histories: [Vec<Checked>; KEYS.len()],
    stored: [bool; KEYS.len()],
    /// Whether the model is exact for all quotas so far.
    is_modelled: bool,
}

/// A limiter, its tiers and their policies.
struct Twin<const N: usize> {
    timed: Timed<TieredLimiter<u8, N, Hasher>>,
    tiers: Vec<Handle<N>>,
    terms: Vec<Terms>,
    periods: Periods,
}

impl<const N: usize> Twin<N> {
    /// Returns `None` if the policy cannot be had.
    fn new(first: &[Quota]) -> Option<Twin<N>> {
        let mut periods = Periods::new(N);
        let build = |clock| {
            let builder = TieredLimiter::builder(policy::<N>(first)).clock(clock);
            let builder = builder.hasher(Hasher::default()).shards(2);
            builder.manual_sweep().try_build()
        };
        let Some(terms) = periods.place(first) else {
            assert!(build(ManualClock::new()).is_err());
            return None;
        };
        let timed = Timed::new(|clock| build(clock).unwrap());
        Some(Twin {
            tiers: vec![timed.limiter.default_tier().clone()],
            timed,
            terms: vec![terms],
            periods,
        })
    }

    fn add(&mut self, quotas: &[Quota]) {
        let made = self.timed.limiter.tier(policy::<N>(quotas));
        let terms = self.periods.place(quotas);
        assert_eq!(made.is_ok(), terms.is_some());
        if let (Ok(tier), Some(terms)) = (made, terms) {
            assert_eq!(tier.policy(), policy(quotas));
            self.tiers.push(tier);
            self.terms.push(terms);
        }
    }

    fn replace(&mut self, tier: usize, quotas: &[Quota]) {
        let before = self.tiers[tier].policy();
        let replaced = self.tiers[tier].replace(policy::<N>(quotas));
        let terms = self.periods.place(quotas);
        assert_eq!(replaced.is_ok(), terms.is_some());
        if let Some(terms) = terms {
            self.terms[tier] = terms;
            assert_eq!(replaced, Ok(before));
        }
    }

    fn act(&mut self, act: &Act) -> Option<Decision<N>> {
        match act {
            Act::Add(quotas) => self.add(quotas),
            Act::Replace(tier, quotas) => self.replace(*tier, quotas),
            Act::Drop(tier) => {
                self.tiers.remove(*tier);
                self.terms.remove(*tier);
            }
            Act::Check { at, key, tier, n } => {
                self.timed.advance_to(*at);
                return Some(self.tiers[*tier].check_n(key, *n));
            }
            Act::Forget(key) => _ = self.timed.limiter.forget(key),
        }
        None
    }

    fn peeks(&self, key: u8, n: u64) -> Vec<Decision<N>> {
        let peek = |tier: &Handle<N>| tier.peek_n(&key, n);
        self.tiers.iter().map(peek).collect()
    }
}

impl<const N: usize> Subject<N> {
    fn new(first: Vec<Quota>) -> Option<Subject<N>> {
        Some(Subject {
            twin: Twin::new(&first)?,
            is_modelled: first.iter().all(is_modelled),
            acts: vec![Act::Add(first)],
            keys: KEYS.map(|_| tiers::Key::new(N)),
            histories: KEYS.map(|_| Vec::new()),
            stored: KEYS.map(|_| false),
        })
    }

    fn act(&mut self, act: Act) -> Option<Decision<N>> {
        if let Act::Add(quotas) | Act::Replace(_, quotas) = &act {
            self.is_modelled &= quotas.iter().all(is_modelled);
        }
        let decision = self.twin.act(&act);
        self.acts.push(act);
        decision
    }

    fn apply(&mut self, operation: &Operation) {
        match operation {
            Operation::Check(key, tier, amount) => {
                let tier = self.tier(*tier);
                self.check(key.0, tier, self.units(*key, tier, *amount));
            }
            Operation::Peek(key, tier, amount) => {
                let n = self.units(*key, self.tier(*tier), *amount);
                self.look(key.0, n);
            }
            Operation::Advance(step) => {
                let by = self.nanos(*step);
                self.twin.timed.advance(by);
            }
            Operation::Rewind(step) => {
                let by = self.nanos(*step);
                self.twin.timed.rewind(by);
            }
            Operation::Replace(tier, numbers) => {
                if let Some(quotas) = quotas::<N>(numbers) {
                    self.act(Act::Replace(self.tier(*tier), quotas));
                }
            }
            Operation::Drop(tier, numbers) => {
                let tier = self.tier(*tier);
                // The limiter itself has the first one.
                if tier > 0 {
                    self.act(Act::Drop(tier));
                }
                if let Some(quotas) = quotas::<N>(numbers) {
                    self.act(Act::Add(quotas));
                }
            }
            Operation::Forget(key) => self.forget(key.0),
            Operation::Sweep => self.sweep(),
        }
        // The limiter reads the clock. It cannot know a time that it has not read.
        KEYS.iter().for_each(|key| _ = self.look(*key, 1));
        let stored = self.stored.iter().filter(|is_stored| **is_stored).count();
        assert_eq!(self.twin.timed.limiter.len(), stored);
    }

    /// Peeks under each tier, and judges what is found.
    fn look(&self, key: u8, n: u64) -> Vec<Decision<N>> {
        // Both read the clock.
        let (now, peeks) = (self.twin.timed.now(), self.twin.peeks(key, n));
        if self.is_modelled {
            let model = &self.keys[usize::from(key)];
            for (peek, terms) in peeks.iter().zip(&self.twin.terms) {
                assert_eq!(
                    answer(peek),
                    model.peek(terms, now, n),
                    "{terms:?} at {now}"
                );
            }
        }
        peeks
    }

    fn check(&mut self, key: u8, tier: usize, n: u64) {
        let before = self.look(key, n);
        let (id, at) = (usize::from(key), self.twin.timed.now());
        let terms = self.twin.terms[tier].clone();
        let decision = self.act(Act::Check { at, key, tier, n }).unwrap();
        if self.is_modelled {
            let expected = self.keys[id].check(&terms, at, n);
            assert_eq!(answer(&decision), expected, "{n} under {terms:?} at {at}");
        }
        assert_eq!(decision.is_allowed(), before[tier].is_allowed());
        let after = self.look(key, n);
        if decision.is_allowed() {
            self.stored[id] |= n > 0;
            self.is_charged(&terms, n, &before, &after);
        } else {
            is_no_worse(&before, &after, n);
            self.comes_true(&decision, key, tier, n);
        }
        if n > 0 {
            let admitted = if decision.is_allowed() { n } else { 0 };
            self.histories[id].push(Checked {
                at,
                terms,
                admitted,
            });
            assert_eq!(first_excess(N, &self.histories[id]), None);
        }
    }

    /// Checks law T1: what remains under any policy is what was not spent.
    fn is_charged(&self, terms: &Terms, n: u64, before: &[Decision<N>], after: &[Decision<N>]) {
        for ((before, after), of_tier) in before.iter().zip(after).zip(&self.twin.terms) {
            for ((before, after), (_, bucket)) in
                before.quotas().iter().zip(after.quotas()).zip(of_tier)
            {
                let is_charged = terms.iter().any(|(_, of)| of == bucket);
                let spent = if is_charged { n } else { 0 };
                assert_eq!(after.remaining(), before.remaining().saturating_sub(spent));
                if !is_charged {
                    assert_eq!(after.reset_after(), before.reset_after());
                }
            }
        }
    }

    /// Checks the wait of a denial in a limiter to which the same was done.
    fn comes_true(&self, decision: &Decision<N>, key: u8, tier: usize, n: u64) {
        let Some(wait) = decision.retry_after() else {
            return;
        };
        assert!(!wait.is_zero());
        let due = self.twin.timed.now().saturating_add(nanos(wait));
        // Time stands still after the horizon.
        if due > HORIZON {
            return;
        }
        let Act::Add(first) = &self.acts[0] else {
            return;
        };
        let mut twin = Twin::<N>::new(first).unwrap();
        for act in &self.acts[1..] {
            _ = twin.act(act);
        }
        twin.timed.advance_to(due - 1);
        let early = twin.tiers[tier].check_n(&key, n);
        assert_eq!(
            early.retry_after(),
            Some(Duration::from_nanos(1)),
            "{early:?}"
        );
        twin.timed.advance_to(due);
        assert!(twin.tiers[tier].check_n(&key, n).is_allowed());
    }

    fn forget(&mut self, key: u8) {
        let id = usize::from(key);
        assert_eq!(self.twin.timed.limiter.forget(&key), self.stored[id]);
        self.act(Act::Forget(key));
        self.stored[id] = false;
        self.keys[id] = tiers::Key::new(N);
        self.histories[id].clear();
    }

    fn sweep(&mut self) {
        let (before, now) = (self.twin.timed.limiter.len(), self.twin.timed.now());
        let swept = self.twin.timed.limiter.sweep();
        assert_eq!(self.twin.timed.limiter.len(), before - swept);
        for key in KEYS {
            let id = usize::from(key);
            if self.is_modelled {
                self.stored[id] &= !self.keys[id].is_full(now);
                continue;
            }
            // A bucket that no tier has may keep a key that looks full. So it is forgotten.
            let peeks = self.twin.peeks(key, 0);
            if self.stored[id] && peeks.iter().all(|peek| peek.reset_after().is_zero()) {
                self.twin.timed.limiter.forget(&key);
                self.stored[id] = false;
                self.forget(key);
            }
        }
    }

    fn tier(&self, tier: Tier) -> usize {
        usize::from(tier.0) % self.twin.tiers.len()
    }

    fn units(&self, key: Key, tier: usize, amount: Amount) -> u64 {
        let (units, off) = match amount {
            Amount::Units(n) => return u64::from(n),
            Amount::Wide(n) => return n,
            Amount::Remaining(off) => (self.twin.tiers[tier].peek(&key.0).remaining(), off),
            Amount::Burst(off) => (self.twin.terms[tier][0].0.burst_size(), off),
        };
        units.saturating_add_signed(off.0)
    }

    fn nanos(&self, step: Step) -> u64 {
        let (wait, off) = match step {
            Step::Nanos(nanos) => return u64::from(nanos),
            Step::Wide(nanos) => return nanos,
            Step::Units(tier, n, off) => {
                let quota = self.twin.terms[self.tier(tier)][0].0;
                let time = u128::from(n) * quota.period().as_nanos();
                let time = time.div_ceil(u128::from(quota.units()));
                (u64::try_from(time).unwrap_or(u64::MAX), off)
            }
            Step::Retry(key, tier, amount, off) => {
                let tier = self.tier(tier);
                let n = self.units(key, tier, amount);
                let wait = self.twin.tiers[tier].peek_n(&key.0, n).retry_after();
                (nanos(wait.unwrap_or_default()), off)
            }
            Step::Reset(key, tier, off) => {
                let tier = self.tier(tier);
                (nanos(self.twin.tiers[tier].peek(&key.0).reset_after()), off)
            }
            Step::Horizon(off) => (HORIZON - self.twin.timed.now(), off),
        };
        wait.saturating_add_signed(off.0)
    }
}

/// Checks laws T3 and T4: a denial changed no `remaining`, and made no wait longer.
fn is_no_worse<const N: usize>(before: &[Decision<N>], after: &[Decision<N>], n: u64) {
    for (before, after) in before.iter().zip(after) {
        for (before, after) in before.quotas().iter().zip(after.quotas()) {
            assert_eq!(before.remaining(), after.remaining());
            for n in [1, n, before.limit()] {
                assert!(after.available_after(n) <= before.available_after(n));
            }
        }
    }
}

fn policy<const N: usize>(quotas: &[Quota]) -> Policy<N> {
    Policy::try_from(quotas).unwrap()
}
