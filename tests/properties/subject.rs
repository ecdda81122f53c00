//! A limiter of one key on its own clock, and the bound of the first law.

use std::time::Duration;

use num_bigint::BigInt;
use proptest::prelude::*;
use proptest::test_runner::FileFailurePersistence::Direct;
use tollgate::{Decision, IntoPolicy, ManualClock, Quota, RandomState, RateLimiter};

use crate::common::oracle::is_exact;
use crate::common::strategies::{HORIZON, Step};

/// The configuration of every property. A failure that was found once is checked in each run.
pub fn config() -> ProptestConfig {
    ProptestConfig {
        failure_persistence: Some(Box::new(Direct("tests/properties.regressions"))),
        ..ProptestConfig::default()
    }
}

/// A limiter of one key on its own clock, with the ns since its start.
pub struct Subject<const N: usize> {
    pub limiter: RateLimiter<u8, N>,
    pub clock: ManualClock,
    pub now: u64,
}

pub const KEY: &u8 = &7;

impl<const N: usize> Subject<N> {
    pub fn new(policy: impl IntoPolicy<N>) -> Subject<N> {
        Subject::hashed_by(policy, RandomState::default())
    }

    pub fn hashed_by(policy: impl IntoPolicy<N>, hasher: RandomState) -> Subject<N> {
        let clock = ManualClock::new();
        let limiter = RateLimiter::builder(policy)
            .clock(clock.clone())
            .hasher(hasher)
            .shards(2)
            .manual_sweep()
            .build();
        Subject {
            limiter,
            clock,
            now: 0,
        }
    }

    /// Makes one that has been up for `start` ns.
    pub fn started(policy: impl IntoPolicy<N>, start: u64) -> Subject<N> {
        let mut subject = Subject::new(policy);
        subject.advance(start);
        subject
    }

    /// Moves the time to `now + by`, but not past the century for which the laws hold.
    pub fn advance(&mut self, by: u64) {
        let by = by.min(HORIZON - self.now);
        self.now += by;
        self.clock.advance(Duration::from_nanos(by));
    }

    /// Moves the time by that of a step, and returns the units that it checks.
    pub fn step(&mut self, step: Step, quota: &Quota) -> u64 {
        let (elapsed, n) = step.of(quota);
        self.advance(elapsed);
        n
    }

    pub fn rewind(&mut self, by: u64) {
        let by = by.min(self.now);
        self.now -= by;
        self.clock.rewind(Duration::from_nanos(by));
    }

    /// Checks that `n` units are denied 1 ns before `wait` has passed, and allowed when it has.
    /// Checks nothing if that is past the century.
    pub fn is_denied_until(&mut self, wait: Duration, n: u64) -> Result<(), TestCaseError> {
        let wait = u64::try_from(wait.as_nanos()).unwrap();
        prop_assert!(wait > 0);
        // Nothing is earned after the century.
        if self.now + wait <= HORIZON {
            self.advance(wait - 1);
            prop_assert!(!self.peek_n(n).is_allowed(), "allowed 1 ns before");
            self.advance(1);
            prop_assert!(self.peek_n(n).is_allowed(), "denied at retry_after");
        }
        Ok(())
    }

    pub fn check_n(&self, n: u64) -> Decision<N> {
        self.limiter.check_n(KEY, n)
    }

    pub fn peek_n(&self, n: u64) -> Decision<N> {
        self.limiter.peek_n(KEY, n)
    }
}

/// Returns the most units that a quota may admit in `nanos` ns, times its period in ns. If a unit
/// does not take whole ns, law 2 gives it 1 ns more.
pub fn most(quota: &Quota, nanos: u64) -> BigInt {
    let slack = u64::from(!is_exact(quota));
    BigInt::from(quota.burst_size()) * quota.period().as_nanos()
        + BigInt::from(quota.units()) * (BigInt::from(nanos) + slack)
}

/// Returns the first stretch of time in which more than `most` was admitted.
pub fn first_excess(quota: &Quota, admitted: &[(u64, u64)]) -> Option<(u64, u64)> {
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
