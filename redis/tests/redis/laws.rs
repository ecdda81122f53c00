//! The laws, on a real server: decisions are those of the rational model at whole µs.
//!
//! The script gets its time from the test, so nothing waits. It would let a key expire in real time, so the
//! connection makes each key last ([`Manual::lasting`]).

use std::time::Duration;

use tokio::task::JoinSet;
use tollgate::{DecisionSource, ManualClock, Policy, QuotaDecision, RateLimiter};
use tollgate_redis::SharedLimiter;

use crate::common::oracle::{Answer, Oracle, answer};
use crate::manual::Manual;
use crate::outages::patient;
use crate::random::Random;
use crate::server::Server;

/// Some time in 2026, in µs.
const START: u64 = 1_795_600_000_000_000;

/// The policies. The bursts of some are the largest that fit.
const POLICIES: [&str; 16] = [
    "1/minute",
    "7/minute",
    "7/minute burst 1",
    "10/minute; 60/hour",
    "60/hour; 10/minute; 3/second",
    "99991/hour burst 17",
    "1000003/hour burst 3; 7/minute",
    "300000000/second",
    "1000000/second burst 1",
    "999983/second burst 5; 1/day burst 104249",
    "10/minute burst 1501199875",
    "1/day burst 104249",
    "1000003/day burst 104249",
    "7/minute burst 150119987",
    "1/7 seconds burst 2; 3/11 seconds burst 5; 1/minute burst 9",
    "300000000/second burst 9007199254740991",
];

const LANES: usize = 14;
const CHECKS: usize = 450;

/// What a key of the model has: the rational model at the time of its last write.
#[derive(Clone)]
struct Model {
    oracle: Oracle,
    /// One model for each quota, which spends what all of them allow.
    parts: Vec<Oracle>,
    /// The model's time, in µs, and the reading of the store's clock, at the last write.
    time: u64,
    reading: u64,
    is_new: bool,
}

impl Model {
    fn new(policy: &Policy<3>) -> Model {
        Model {
            oracle: Oracle::new(policy.quotas()),
            parts: policy
                .quotas()
                .iter()
                .map(|quota| Oracle::new(&[*quota]))
                .collect(),
            time: 0,
            reading: 0,
            is_new: true,
        }
    }

    /// Spends `n` units at a reading of the store's clock, or peeks. Returns the answer of all quotas, and the
    /// numbers of each.
    fn check(&mut self, reading: u64, n: u64, spends: bool) -> (Answer, Vec<Numbers>) {
        if self.is_new {
            self.reading = reading;
        }
        // After a step back of up to a second the clock stands still, and after a longer one it goes on.
        let behind = self.reading.saturating_sub(reading);
        let is_set_back = behind > 1_000_000;
        let behind = if is_set_back { 0 } else { behind };
        let time = self.time + reading.saturating_sub(self.reading);
        let mut oracle = self.oracle.clone();
        let mut answer = oracle.check(time * 1_000, n);
        if !spends && answer.allowed {
            // The buckets as they stand.
            let unspent = self.oracle.clone().check(time * 1_000, 0);
            answer.remaining = unspent.remaining;
            answer.reset_after = unspent.reset_after;
        }
        let in_ticks = |wait: Duration| {
            let ticks = u64::try_from(wait.as_nanos().div_ceil(1_000)).unwrap();
            Duration::from_micros(ticks + behind)
        };
        answer.retry_after = answer.retry_after.map(in_ticks);
        if !answer.reset_after.is_zero() {
            answer.reset_after = in_ticks(answer.reset_after);
        }
        let is_spent = spends && answer.allowed;
        let numbers = self.parts.iter().map(|part| {
            let left = part
                .clone()
                .check(time * 1_000, if is_spent { n } else { 0 });
            Numbers {
                remaining: left.remaining,
                retry_after: match answer.allowed {
                    true => None,
                    // Alone, this quota may allow it.
                    false => part
                        .clone()
                        .check(time * 1_000, n)
                        .retry_after
                        .map(in_ticks),
                },
                reset_after: Some(left.reset_after)
                    .filter(|wait| !wait.is_zero())
                    .map_or(Duration::ZERO, in_ticks),
            }
        });
        let numbers = numbers.collect();
        if spends && n > 0 && answer.allowed {
            for part in &mut self.parts {
                part.spend(time * 1_000, n);
            }
            self.oracle = oracle;
            self.time = time;
            self.reading = self.reading.max(reading);
            self.is_new = false;
        }
        if spends && n > 0 && is_set_back && !answer.never {
            self.time = time;
            self.reading = reading;
        }
        (answer, numbers)
    }
}

/// The numbers of one quota.
#[derive(Debug, PartialEq, Eq)]
struct Numbers {
    remaining: u64,
    retry_after: Option<Duration>,
    reset_after: Duration,
}

impl Numbers {
    fn of(decision: &QuotaDecision) -> Numbers {
        Numbers {
            remaining: decision.remaining(),
            retry_after: decision.retry_after(),
            reset_after: decision.reset_after(),
        }
    }
}

/// One key under one policy, with a clock of its own.
async fn lane(server: String, policy: &'static str, seed: u64) -> usize {
    let client = redis::Client::open(server).unwrap();
    let connection = Manual::connect(&client, START).await.lasting();
    let policy: Policy<3> = policy.parse().unwrap();
    let limiter = SharedLimiter::builder(policy)
        .prefix(format!("lane-{seed}"))
        .deadline(Duration::from_secs(60))
        .denied_keys(0)
        .build(connection.clone())
        .unwrap();
    let mut random = Random::new(seed);
    let mut model = Model::new(&policy);
    let burst = policy
        .quotas()
        .iter()
        .map(|quota| quota.burst_size())
        .min()
        .unwrap();
    let (mut key, mut now, mut wait, mut reset) = (0_u64, START, 0, 0);
    for step in 0..CHECKS {
        let micros = match random.below(12) {
            0..=2 => 0,
            3 => 1,
            4 => random.below(2_000_000),
            5 => wait,
            6 => wait.saturating_sub(1),
            7 => reset,
            8 => reset.saturating_sub(1),
            9 => random.below(reset.max(1)),
            10 => wait + 1,
            _ => random.below(100_000),
        };
        let back = match random.below(60) {
            0 => random.below(1_000_000),
            1 => 1_000_000,
            2 => 1_000_001,
            3 => 1_000_001 + random.below(3_600_000_000),
            _ => 0,
        };
        now = now + micros - back;
        if now > 1 << 52 {
            // Beyond this the oracle has no ns.
            now = START;
            key += 1;
            model = Model::new(&policy);
        }
        connection.set(now);
        let n = match random.below(10) {
            0 => 0,
            1 => burst,
            2 => burst + 1,
            3 => 1 + random.below(burst),
            4 => 2,
            5 => burst - burst / 3,
            _ => 1,
        };
        let spends = random.below(5) > 0;
        let expected = model.check(now, n, spends);
        let decision = match spends {
            true => limiter.check_n(&key, n).await,
            false => limiter.peek_n(&key, n).await,
        };
        let decision =
            decision.unwrap_or_else(|outage| panic!("seed {seed}, step {step}: {outage}"));
        assert_eq!(
            (
                answer(&decision),
                decision.quotas().iter().map(Numbers::of).collect()
            ),
            expected,
            "seed {seed}, step {step}: {n} units of {policy} at {now} ({spends})"
        );
        assert_eq!(decision.source(), DecisionSource::Store);
        wait = decision.retry_after().map_or(0, micros_of);
        reset = micros_of(decision.reset_after());
    }
    CHECKS
}

fn micros_of(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap()
}

/// Laws 1 to 7, 9 and 10: more than 100,000 checks and peeks, none different.
#[tokio::test(flavor = "multi_thread")]
async fn every_decision_is_that_of_the_rational_model() {
    let server = Server::start();
    let mut lanes = JoinSet::new();
    for (index, policy) in POLICIES.into_iter().enumerate() {
        for lane_of_policy in 0..LANES {
            let seed = (index * LANES + lane_of_policy + 1) as u64;
            lanes.spawn(lane(server.url(), policy, seed));
        }
    }
    let mut checks = 0;
    while let Some(done) = lanes.join_next().await {
        checks += done.unwrap();
    }
    assert!(checks >= 100_000, "{checks}");
}

/// Decisions equal those of the limiter in memory, if a unit takes whole µs.
#[tokio::test]
async fn the_limiter_in_memory_makes_equal_decisions() {
    let server = Server::start();
    let connection = Manual::connect(&server.client(), START).await.lasting();
    let policy: Policy<2> = "10/minute; 60/hour".parse().unwrap();
    let shared = patient(policy)
        .denied_keys(0)
        .build(connection.clone())
        .unwrap();
    let clock = ManualClock::new();
    let local: RateLimiter<String, 2> = RateLimiter::builder(policy)
        .clock(clock.clone())
        .manual_sweep()
        .build();
    let mut random = Random::new(16);
    let mut now = START;
    for step in 0..2_000 {
        let micros = random.below(4_000_000);
        clock.advance(Duration::from_micros(micros));
        now += micros;
        connection.set(now);
        let n = random.below(13);
        let key = ["alice", "bob"][usize::from(random.below(2) == 0)];
        let (expected, found) = match random.below(4) {
            0 => (local.peek_n(key, n), shared.peek_n(key, n).await),
            _ => (local.check_n(key, n), shared.check_n(key, n).await),
        };
        let found = found.unwrap();
        assert_eq!(found, expected, "step {step}: {n} units of {key}");
        for (found, expected) in found.quotas().iter().zip(expected.quotas()) {
            assert_eq!(found.quota(), expected.quota());
            for n in 0..12 {
                assert_eq!(
                    found.available_after(n),
                    expected.available_after(n),
                    "step {step}"
                );
            }
        }
    }
}

/// Law 6: a denial and a peek leave the value as it is.
#[tokio::test]
async fn a_denial_writes_nothing() {
    let server = Server::start();
    let limiter = server.limiter(patient("2/hour".parse::<Policy>().unwrap()).denied_keys(0));
    assert!(!limiter.check_n("alice", 3).await.unwrap().is_allowed());
    assert!(limiter.peek("alice").await.unwrap().is_allowed());
    assert!(limiter.check_n("alice", 0).await.unwrap().is_allowed());
    assert!(server.keys().is_empty());

    assert!(limiter.check_n("alice", 2).await.unwrap().is_allowed());
    let [key] = &server.keys()[..] else {
        panic!("one key was expected")
    };
    let value: Vec<u8> = server.run(&["GET", key]);
    for n in 0..4 {
        assert_eq!(
            limiter.check_n("alice", n).await.unwrap().is_allowed(),
            n == 0
        );
        assert_eq!(
            limiter.peek_n("alice", n).await.unwrap().is_allowed(),
            n == 0
        );
    }
    assert_eq!(server.run::<Vec<u8>>(&["GET", key]), value);
}

/// A forgotten key is full, and the next denial is not from this node's cache.
#[tokio::test]
async fn a_forgotten_key_is_full() {
    let server = Server::start();
    let limiter = server.limiter(patient("2/hour".parse::<Policy>().unwrap()));
    assert!(limiter.check_n("alice", 2).await.unwrap().is_allowed());
    assert!(!limiter.allow("alice").await);
    assert_eq!(
        limiter.check("alice").await.unwrap().source(),
        DecisionSource::DeniedCache
    );
    assert_eq!(limiter.forget("alice").await, Ok(true));
    assert_eq!(limiter.forget("alice").await, Ok(false));
    assert_eq!(limiter.check("alice").await.unwrap().remaining(), 1);
}
