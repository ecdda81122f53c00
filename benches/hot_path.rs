//! What is a check made of: what does reading the clock cost, and what hashing, and what do the
//! numbers of a denial? Beside its peers tollgate is measured in `benches/peers`.
//!
//! `cargo bench --bench hot_path`

mod common;

use std::{hash::BuildHasher, hint::black_box, time::Duration};

use common::{Keys, never_exhausted, soon_exhausted};
use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use tollgate::{Clock, Quota, RateLimiter};

/// Enough to leave the hot line, few enough to stay in the first cache.
const KEYS: u64 = 1_000;

fn clock_alone(criterion: &mut Criterion) {
    let clock = quanta::Clock::new();
    criterion.bench_function("clock alone", |bencher| {
        bencher.iter(|| black_box(clock.now()))
    });
}

/// What each source of time makes of the same checks.
fn clocks(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("clocks");
    let coarse = Clock::coarse(Duration::from_millis(1)).expect("a thread");
    for (name, clock) in [("machine", Clock::default()), ("coarse", coarse)] {
        for (verdict, quota) in [("allow", never_exhausted()), ("deny", soon_exhausted())] {
            let mut keys = Keys::up_to(KEYS);
            let builder = RateLimiter::<u64>::builder(quota).clock(clock.clone());
            let limiter = builder.manual_sweep().build();
            group.bench_function(BenchmarkId::new(name, verdict), |bencher| {
                bencher.iter(|| black_box(limiter.check(&keys.next())));
            });
        }
    }
    group.finish();
}

/// A denial with the header that goes with it.
fn numbers(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("numbers of a denial");
    for text in ["100/minute burst 10", "7/minute burst 10"] {
        let limiter = RateLimiter::<u64>::new(text.parse::<Quota>().expect("a quota"));
        while limiter.allow(&1) {}
        group.bench_function(BenchmarkId::new("check and retry_after", text), |bencher| {
            bencher.iter(|| black_box(limiter.check(&1).retry_after()));
        });
    }
    group.finish();
}

/// The same checks by the hasher that the builder is given.
fn hashers(criterion: &mut Criterion) {
    fn cell<S: BuildHasher + Clone + Send + Sync + 'static>(
        group: &mut criterion::BenchmarkGroup<'_, criterion::measurement::WallTime>,
        name: &str,
        hasher: S,
    ) {
        let mut keys = Keys::up_to(KEYS);
        let builder = RateLimiter::<u64>::builder(never_exhausted()).manual_sweep();
        let limiter = builder.hasher(hasher.clone()).build();
        group.bench_function(BenchmarkId::new(name, "u64"), |bencher| {
            bencher.iter(|| black_box(limiter.check(&keys.next())));
        });
        let names: Vec<String> = (0..KEYS).map(|key| format!("user-{key:019}")).collect();
        let builder = RateLimiter::<String>::builder(never_exhausted()).manual_sweep();
        let limiter = builder.hasher(hasher).build();
        group.bench_function(BenchmarkId::new(name, "24-byte String"), |bencher| {
            bencher.iter(|| {
                let name = &names[usize::try_from(keys.next()).expect("at most KEYS")];
                black_box(limiter.check(name.as_str()))
            });
        });
    }

    let mut group = criterion.benchmark_group("hashers");
    cell(
        &mut group,
        "tollgate's default",
        tollgate::RandomState::default(),
    );
    cell(
        &mut group,
        "foldhash::fast",
        foldhash::fast::RandomState::default(),
    );
    cell(
        &mut group,
        "foldhash::quality",
        foldhash::quality::RandomState::default(),
    );
    cell(&mut group, "SipHash (std)", std::hash::RandomState::new());
    group.finish();
}

criterion_group!(benches, clock_alone, clocks, numbers, hashers);
criterion_main!(benches);
