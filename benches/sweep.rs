//! What does forgetting cost the sweeping thread, what does it cost whoever checks meanwhile, and
//! what does the sweeping thread itself cost? The slowest checks meanwhile are measured beside its
//! peers' in `benches/peers`.
//!
//! `cargo bench --bench sweep`

mod common;

use std::{hint::black_box, time::Duration};

use common::{Keys, never_exhausted};
use criterion::{BatchSize, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use tollgate::{ManualClock, Quota, RateLimiter};

/// A day to fill: nothing is forgotten unless the clock is moved.
const SLOW: Quota = Quota::per_day(1);

/// A limiter that holds `keys` keys in debt, and its clock.
fn filled(keys: u64) -> (RateLimiter<u64>, ManualClock) {
    let clock = ManualClock::new();
    let limiter = RateLimiter::builder(SLOW)
        .clock(clock.clone())
        .manual_sweep()
        .build();
    for key in 0..keys {
        assert!(limiter.allow(&key));
    }
    (limiter, clock)
}

/// The cost by table size, with nothing to forget and with everything.
fn cost(criterion: &mut Criterion) {
    for keys in [1_000, 100_000, 1_000_000] {
        let mut group = criterion.benchmark_group("sweep");
        group.sample_size(10).throughput(Throughput::Elements(keys));
        let (limiter, _) = filled(keys);
        group.bench_function(BenchmarkId::new("nothing to forget", keys), |bencher| {
            bencher.iter(|| assert_eq!(limiter.sweep(), 0));
        });
        group.bench_function(BenchmarkId::new("everything to forget", keys), |bencher| {
            bencher.iter_batched_ref(
                || {
                    let (limiter, clock) = filled(keys);
                    clock.advance(Duration::from_secs(86_400));
                    limiter
                },
                |limiter| assert_eq!(limiter.sweep() as u64, keys),
                BatchSize::PerIteration,
            );
        });
        group.finish();
    }
}

/// A limiter with the sweeping thread, and one without: made and dropped, and what a first check
/// of a key costs beside it.
fn thread(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("made and dropped");
    group.bench_function("with a thread", |bencher| {
        bencher.iter(|| RateLimiter::<u64>::builder(SLOW).build());
    });
    group.bench_function("by hand", |bencher| {
        bencher.iter(|| RateLimiter::<u64>::builder(SLOW).manual_sweep().build());
    });
    group.finish();
}

/// Checks of a thousand keys while a limiter sweeps as often as it can: what a request pays.
fn beside(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("check beside sweeps");
    for (name, interval) in [("every ms", 1), ("once an hour", 3_600_000)] {
        let mut keys = Keys::up_to(1_000);
        let limiter = RateLimiter::<u64>::builder(never_exhausted())
            .sweep_every(Duration::from_millis(interval))
            .build();
        group.bench_function(name, |bencher| {
            bencher.iter(|| black_box(limiter.check(&keys.next())));
        });
    }
    group.finish();
}

criterion_group!(benches, cost, thread, beside);
criterion_main!(benches);
