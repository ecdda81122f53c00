//! Applies an input to a limiter whose store runs the script in this process.

mod replies;
pub mod store;

use std::time::Duration;

use arbitrary::Arbitrary;
use tokio::runtime::{Builder, Runtime};
use tollgate::{Decision, Policy, Quota};
use tollgate_redis::{Cause, SharedLimiter};

use crate::oracle::{Answer, Oracle, answer};
use replies::Reply;
use store::Connection;

/// Some time in 2026, in µs.
const START: u64 = 1_795_600_000_000_000;

/// Beyond this the oracle has no ns.
const END: u64 = 1 << 52;

/// How far the store's clock may step back and stand still, in µs.
const TOLERANCE: u64 = 1_000_000;

const KEYS: usize = 2;

#[derive(Arbitrary, Debug)]
pub struct Input {
    quotas: Vec<Numbers>,
    what: What,
}

#[derive(Arbitrary, Debug)]
enum What {
    /// Each decision is that of the oracle.
    Operations(Vec<Operation>),
    /// A key has a value of any bytes, or of any numbers.
    Value(Vec<u8>),
    Numbers(f64, Vec<f64>),
    /// The server replies anything.
    Replies(Vec<Reply>),
}

#[derive(Arbitrary, Debug)]
struct Numbers {
    rate: Rate,
    burst: Burst,
}

/// Units, and a period.
#[derive(Arbitrary, Debug, Clone, Copy)]
enum Rate {
    Second(u32),
    Minute(u16),
    Hour(u32),
    Day(u32),
    Seconds(u8, u8),
    Any(u64, u64),
}

#[derive(Arbitrary, Debug, Clone, Copy)]
enum Burst {
    Tiny(u8),
    Units,
    Any(u64),
    /// The largest that fits.
    Most,
}

#[derive(Arbitrary, Debug)]
enum Operation {
    Check(u8, Amount),
    Peek(u8, Amount),
    Forget(u8),
    Forward(u32),
    Back(u32),
    /// To the end of the last wait, and so many µs before or behind it.
    ToRetry(i8),
    ToReset(i8),
}

#[derive(Arbitrary, Debug, Clone, Copy)]
enum Amount {
    One,
    Burst,
    Beyond,
    Some(u16),
    Any(u64),
}

thread_local! {
    /// Its clock moves if all tasks wait, so no outage takes time.
    static RUNTIME: Runtime = Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
}

pub fn run(input: &Input) {
    let quotas: Vec<Quota> = input
        .quotas
        .iter()
        .filter_map(Numbers::quota)
        .take(3)
        .collect();
    let Ok(policy) = Policy::<3>::try_from(quotas) else {
        return;
    };
    store::clear();
    store::set_time(START);
    let builder = SharedLimiter::builder(policy).denied_keys(0);
    // The deadline is that of a machine that hangs.
    let builder = builder.deadline(Duration::from_secs(60));
    // What does not fit is an error.
    let Ok(limiter) = builder.build(Connection) else {
        return;
    };
    RUNTIME.with(|runtime| {
        runtime.block_on(async {
            match &input.what {
                What::Operations(operations) => operate(&limiter, operations).await,
                What::Value(value) => check_beside(&limiter, value.clone()).await,
                What::Numbers(at, debts) => {
                    let numbers = std::iter::once(at).chain(debts);
                    let value = numbers.flat_map(|number| number.to_le_bytes()).collect();
                    check_beside(&limiter, value).await;
                }
                What::Replies(replies) => replies::check(&limiter, replies).await,
            }
        });
    });
}

impl Numbers {
    fn quota(&self) -> Option<Quota> {
        const SECOND: u64 = 1_000_000_000;
        let (units, period) = match self.rate {
            Rate::Second(units) => (units.into(), SECOND),
            Rate::Minute(units) => (units.into(), 60 * SECOND),
            Rate::Hour(units) => (units.into(), 3_600 * SECOND),
            Rate::Day(units) => (units.into(), 86_400 * SECOND),
            Rate::Seconds(units, seconds) => (units.into(), u64::from(seconds) * SECOND),
            Rate::Any(units, nanos) => (units, nanos),
        };
        let period = Duration::from_nanos(period);
        let burst = match self.burst {
            Burst::Tiny(burst) => burst.into(),
            Burst::Units => units,
            Burst::Any(burst) => burst,
            Burst::Most => most(&Quota::new(units, period, 1).ok()?)?,
        };
        Quota::new(units, period, burst).ok()
    }
}

/// Returns the largest burst that the documentation promises for a rate.
fn most(quota: &Quota) -> Option<u64> {
    let most = ((1_u128 << 53) - 1) / parts(quota);
    (most > 0).then_some(u64::try_from(most).ok()?)
}

/// Returns the burst in parts of a unit, for a quota that fits.
fn depth(quota: &Quota) -> u64 {
    u64::try_from(u128::from(quota.burst_size()) * parts(quota)).expect("a depth fits")
}

/// Returns the µs in which a whole number of units is earned: the fewest.
fn parts(quota: &Quota) -> u128 {
    let (mut a, mut b) = (u128::from(quota.units()) * 1_000, quota.period().as_nanos());
    while b != 0 {
        (a, b) = (b, a % b);
    }
    quota.period().as_nanos() / a
}

/// What a key of the model has: the rational model at the time of its last write.
#[derive(Clone)]
struct Model {
    oracle: Oracle,
    /// The model's time and the reading of the store's clock, in µs, at the last write.
    time: u64,
    reading: u64,
}

impl Model {
    fn new(policy: &Policy<3>, reading: u64) -> Model {
        Model {
            oracle: Oracle::new(policy.quotas()),
            time: 0,
            reading,
        }
    }

    /// Returns what must be decided at a reading of the clock, and whether it is written, and spends it.
    fn check(&mut self, reading: u64, n: u64, spends: bool) -> (Answer, bool) {
        let behind = self.reading.saturating_sub(reading);
        let is_set_back = behind > TOLERANCE;
        let behind = if is_set_back { 0 } else { behind };
        let time = self.time + reading.saturating_sub(self.reading);
        let mut oracle = self.oracle.clone();
        let mut answer = oracle.check(time * 1_000, n);
        if !spends && answer.allowed {
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
        let writes = spends && n > 0 && !answer.never;
        if writes && answer.allowed {
            self.oracle = oracle;
            self.time = time;
            self.reading = self.reading.max(reading);
        }
        if writes && is_set_back {
            self.time = time;
            self.reading = reading;
        }
        let writes = writes && (answer.allowed || is_set_back);
        (answer, writes)
    }

    /// Whether the buckets are full at a reading.
    fn is_full(&self, reading: u64) -> bool {
        let (answer, _) = self.clone().check(reading, 0, false);
        answer.reset_after.is_zero()
    }
}

async fn operate(limiter: &SharedLimiter<3>, operations: &[Operation]) {
    let policy = limiter.policy();
    let bursts = policy.quotas().iter().map(|quota| quota.burst_size());
    let burst = bursts.min().expect("a policy has a quota");
    let mut now = START;
    let mut models: [Option<Model>; KEYS] = [const { None }; KEYS];
    let (mut retry, mut reset) = (0, 0);
    for operation in operations {
        let (key, n, spends) = match operation {
            Operation::Forward(micros) => {
                now += u64::from(*micros);
                continue;
            }
            Operation::Back(micros) => {
                now = now.saturating_sub(u64::from(*micros)).max(TOLERANCE);
                continue;
            }
            Operation::ToRetry(edge) => {
                now = now
                    .saturating_add(retry)
                    .saturating_add_signed((*edge).into());
                continue;
            }
            Operation::ToReset(edge) => {
                now = now
                    .saturating_add(reset)
                    .saturating_add_signed((*edge).into());
                continue;
            }
            Operation::Forget(key) => {
                let key = usize::from(*key) % KEYS;
                let was_there = is_stored(key);
                assert_eq!(limiter.forget(&key).await, Ok(was_there));
                // The server may lose its scripts at any time.
                store::flush_script();
                models[key] = None;
                continue;
            }
            Operation::Check(key, amount) => (key, amount, true),
            Operation::Peek(key, amount) => (key, amount, false),
        };
        if now > END {
            return;
        }
        store::set_time(now);
        let key = usize::from(*key) % KEYS;
        let n = match *n {
            Amount::One => 1,
            Amount::Burst => burst,
            Amount::Beyond => burst + 1,
            Amount::Some(n) => n.into(),
            Amount::Any(n) => n,
        };
        let expiries = store::expiries();
        let decided = match spends {
            true => limiter.check_n(&key, n).await,
            false => limiter.peek_n(&key, n).await,
        };
        let decision = decided.expect("the store answers");
        if store::expiries() > expiries
            && let Some(model) = models[key].take()
        {
            // Also a second earlier, in case the clock steps back.
            assert!(
                model.is_full(now - TOLERANCE),
                "a key in debt was forgotten"
            );
        }
        let model = models[key].get_or_insert_with(|| Model::new(policy, now));
        let (expected, writes) = model.check(now, n, spends);
        assert_eq!(answer(&decision), expected, "{n} units at {now}");
        writes_once(&store::take_writes(), writes, expected.reset_after);
        if !is_stored(key) {
            models[key] = None;
        }
        let micros = |time: Duration| u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        retry = decision.retry_after().map_or(0, micros);
        reset = micros(decision.reset_after());
    }
}

/// Checks that a key was written if it had to be, and expires a second after it is full.
fn writes_once(found: &[u64], writes: bool, full_after: Duration) {
    assert_eq!(found.len(), usize::from(writes), "{found:?}");
    for px in found {
        let millis = u64::try_from(full_after.as_micros().div_ceil(1_000)).unwrap() + 1_000;
        // The script divides doubles.
        assert!(px.abs_diff(millis) <= 1, "{px} ms, not {millis}");
    }
}

fn is_stored(key: usize) -> bool {
    let end = format!("{{{key}}}");
    let names = store::names();
    names.iter().any(|name| name.ends_with(end.as_bytes()))
}

/// Checks a key with this value, and one beside it.
async fn check_beside(limiter: &SharedLimiter<3>, value: Vec<u8>) {
    assert!(limiter.allow(&0_u8).await);
    let [name] = &store::names()[..] else {
        panic!("one key was expected");
    };
    store::set_value(name, value.clone());
    let is_fine = is_of(limiter.policy(), &value);
    match limiter.check(&0_u8).await {
        Ok(decision) => {
            assert!(is_fine, "{value:?}");
            read(&decision);
        }
        Err(outage) => {
            assert!(!is_fine, "{value:?}");
            assert_eq!(outage.cause(), Cause::Malformed);
            assert_eq!(
                store::value(name),
                Some(value),
                "a strange value was overwritten"
            );
        }
    }
    assert!(
        limiter
            .check(&1_u8)
            .await
            .is_ok_and(|decision| decision.is_allowed())
    );
    assert!(limiter.health().outage.is_none());
    assert_eq!(limiter.forget(&0_u8).await, Ok(true));
    assert!(
        limiter
            .check(&0_u8)
            .await
            .is_ok_and(|decision| decision.is_allowed())
    );
}

/// Whether a value is one that a limiter could have written.
fn is_of(policy: &Policy<3>, value: &[u8]) -> bool {
    let (numbers, []) = value.as_chunks::<8>() else {
        return false;
    };
    let mut numbers = numbers.iter().map(|bytes| f64::from_le_bytes(*bytes));
    let Some(at) = numbers.next() else {
        return false;
    };
    let debts: Vec<f64> = numbers.collect();
    let depths = policy.quotas().iter().map(|quota| depth(quota) as f64);
    (0.0..=((1_u64 << 53) - 1) as f64).contains(&at)
        && debts.len() == policy.quotas().len()
        && debts
            .iter()
            .zip(depths)
            .all(|(debt, depth)| (0.0..=depth).contains(debt))
}

/// Reads every number of a decision.
fn read(decision: &Decision<3>) {
    for quota in decision.quotas() {
        assert!(quota.remaining() <= quota.limit());
        let longest = quota.time_to_earn(quota.limit()).expect("a full bucket");
        // Rounded up to a tick, and with a clock that is behind.
        let longest = longest + Duration::from_micros(TOLERANCE + 1);
        assert!(quota.reset_after() <= longest, "{:?}", quota.reset_after());
        assert!(quota.retry_after() <= Some(longest));
    }
    assert_eq!(
        decision.is_allowed(),
        decision.retry_after().is_none() && !decision.exceeds_burst()
    );
}
