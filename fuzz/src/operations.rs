//! The target `operations`: applies an input to a limiter.

use crate::input::{Amount, Input, OnePolicy, Operation, Step};
use crate::subject::{KEYS, Subject, nanos};
use crate::tiered;
use crate::timed::HORIZON;

pub fn run(input: &Input) {
    match input {
        Input::OnePolicy(input) => run_one_policy(input),
        Input::Tiers(input) => tiered::run(input),
    }
}

fn run_one_policy(input: &OnePolicy) {
    let Some(one) = input.first.quota() else {
        return;
    };
    match input.second.map(|second| second.quota()) {
        None => Subject::new([one], input.unforeseen).run(&input.operations),
        Some(Some(two)) => Subject::new([one, two], input.unforeseen).run(&input.operations),
        Some(None) => {}
    }
}

impl<const N: usize> Subject<N> {
    fn run(mut self, operations: &[Operation]) {
        for operation in operations {
            self.apply(*operation);
            self.counts_its_keys();
        }
    }

    fn apply(&mut self, operation: Operation) {
        match operation {
            Operation::Check(key, amount) => self.check(key.0, self.units(key.0, amount)),
            Operation::Peek(key, amount) => {
                let n = self.units(key.0, amount);
                self.comes_true(&self.look(key.0, n), key.0, n);
            }
            Operation::Advance(step) => self.advance(self.nanos(step)),
            Operation::Rewind(step) => self.rewind(self.nanos(step)),
            Operation::Forget(key) => self.forget(key.0),
            Operation::Clear => KEYS.iter().for_each(|key| self.forget(*key)),
            Operation::Sweep => self.sweep(),
            Operation::Settle => {
                let resets = KEYS.map(|key| nanos(self.timed.limiter.peek(&key).reset_after()));
                let longest = resets.into_iter().fold(0, u64::max);
                self.advance(self.timed.until(self.timed.now().saturating_add(longest)));
                self.sweep();
                assert!(self.timed.limiter.is_empty() || self.timed.now() == HORIZON);
            }
        }
    }

    fn units(&self, key: u8, amount: Amount) -> u64 {
        let (units, off) = match amount {
            Amount::Units(n) => return u64::from(n),
            Amount::Wide(n) => return n,
            Amount::Remaining(off) => (self.timed.limiter.peek(&key).remaining(), off),
            Amount::Burst(off) => (self.smallest_burst(), off),
        };
        units.saturating_add_signed(off.0)
    }

    fn nanos(&self, step: Step) -> u64 {
        let (wait, off) = match step {
            Step::Nanos(nanos) => return u64::from(nanos),
            Step::Wide(nanos) => return nanos,
            Step::Units(n, off) => (self.time_of(u64::from(n)), off),
            Step::Reset(key, off) => (nanos(self.timed.limiter.peek(&key.0).reset_after()), off),
            Step::Retry(key, amount, off) => {
                let peek = self.timed.limiter.peek_n(&key.0, self.units(key.0, amount));
                (nanos(peek.retry_after().unwrap_or_default()), off)
            }
            Step::Horizon(off) => (HORIZON - self.timed.now(), off),
        };
        wait.saturating_add_signed(off.0)
    }
}
