//! Models: the limiter itself under loom. Each model runs in every interleaving of its threads, up to
//! the bound on preemptions below, and with every value that a relaxed load may return.
//!
//! Only the map is replaced ([`store`](crate::store) states its contract), and the sleep of the
//! maintenance thread ([`sync`](crate::sync)). loom does not see orders that SeqCst forbids and AcqRel
//! allows, load buffering, dashmap's own locks, and the time stamp counter.
//!
//! `RUSTFLAGS="--cfg tollgate_loom" cargo test --release --lib models`

mod models {
    mod clock;
    mod denied;
    mod drop_and_sweep;
    mod forget;
    mod maintenance;
    mod numbers;
    mod policy;
    mod refill;
    mod sweep;
    mod tiers;
}

use std::time::Duration;

use crate::sync::Arc;
use crate::{IntoPolicy, ManualClock, Quota, RateLimiter};

/// The time of a unit. Even several are less than the tolerance of the timer. So no check writes the
/// published time, whose order could hide a missing one.
const UNIT: Duration = Duration::from_micros(100);

/// Returns a quota of one unit per [`UNIT`], and a burst.
fn quota(burst: u64) -> Quota {
    Quota::per_second(10_000).burst(burst)
}

/// Runs `scenario` in every interleaving. Four preemptions are more than any model needs to find the
/// bug that is planted against it. loom's own variable can raise them.
fn model(scenario: impl Fn() + Send + Sync + 'static) {
    model_with(4, scenario);
}

/// Runs `scenario` with another bound on preemptions.
fn model_with(preemptions: usize, scenario: impl Fn() + Send + Sync + 'static) {
    let mut model = loom::model::Builder::new();
    if model.preemption_bound.is_none() {
        model.preemption_bound = Some(preemptions);
    }
    model.check(scenario);
}

type Limiter<const N: usize> = Arc<RateLimiter<Vec<u8>, N>>;

/// Returns a limiter that only the model sweeps, with its clock.
fn limiter<const N: usize>(policy: impl IntoPolicy<N>) -> (Limiter<N>, ManualClock) {
    let clock = ManualClock::new();
    let limiter = RateLimiter::builder(policy)
        .clock(clock.clone())
        .manual_sweep()
        .build();
    (Arc::new(limiter), clock)
}

/// Spends the key's last units one by one, and returns how many there were.
fn drain<const N: usize>(limiter: &Limiter<N>) -> u64 {
    let mut units = 0;
    while limiter.allow(KEY) {
        units += 1;
    }
    units
}

/// A key that is looked up before it is copied. Numbers are copied at once: `models/numbers.rs`.
const KEY: &[u8] = b"key";

/// Starts a thread that checks for `n` units and returns how many it got.
fn ask<const N: usize>(limiter: &Limiter<N>, n: u64) -> loom::thread::JoinHandle<u64> {
    let limiter = Arc::clone(limiter);
    loom::thread::spawn(move || {
        if limiter.check_n(KEY, n).is_allowed() {
            n
        } else {
            0
        }
    })
}
