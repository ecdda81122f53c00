//! What does a check cost with one thread: allowed, denied, of a key first seen, and beside the
//! clock alone and governor on the same keys?
//!
//! `cargo bench --bench hot_path`

mod common;

use std::{hash::BuildHasher, hint::black_box};

use common::{Keys, governor_default, governor_foldhash, never_exhausted, soon_exhausted};
use criterion::{BatchSize, BenchmarkId, Criterion, criterion_group, criterion_main};
use tollgate::{Policy, Quota, RateLimiter};

/// Enough to leave the hot line, few enough to stay in the first cache.
const KEYS: u64 = 1_000;

fn clock_alone(criterion: &mut Criterion) {
    let clock = quanta::Clock::new();
    criterion.bench_function("clock alone", |bencher| {
        bencher.iter(|| black_box(clock.now()))
    });
}

/// Mostly allowed, and after the first burst mostly denied: one group each, with the same rows.
fn verdicts(criterion: &mut Criterion) {
    for (name, quota) in [("allow", never_exhausted()), ("deny", soon_exhausted())] {
        let mut group = criterion.benchmark_group(name);

        let mut keys = Keys::up_to(KEYS);
        let limiter = RateLimiter::<u64>::new(quota);
        group.bench_function("tollgate u64", |bencher| {
            bencher.iter(|| black_box(limiter.check(&keys.next())));
        });
        let limiter = RateLimiter::<u64>::new(quota);
        group.bench_function("tollgate u64, allow()", |bencher| {
            bencher.iter(|| black_box(limiter.allow(&keys.next())));
        });
        let limiter = governor_default(quota);
        group.bench_function("governor u64", |bencher| {
            bencher.iter(|| black_box(limiter.check_key(&keys.next()).is_ok()));
        });
        let limiter = governor_foldhash(quota);
        group.bench_function("governor u64, foldhash", |bencher| {
            bencher.iter(|| black_box(limiter.check_key(&keys.next()).is_ok()));
        });

        let names: Vec<String> = (0..KEYS).map(|key| format!("user-{key:019}")).collect();
        let name = |key: u64| &names[usize::try_from(key).expect("at most KEYS")];
        let limiter = RateLimiter::<String>::new(quota);
        group.bench_function("tollgate String by &str", |bencher| {
            bencher.iter(|| black_box(limiter.check(name(keys.next()).as_str())));
        });
        let limiter = governor_default(quota);
        group.bench_function("governor String", |bencher| {
            bencher.iter(|| black_box(limiter.check_key(name(keys.next())).is_ok()));
        });
        let limiter = governor_foldhash(quota);
        group.bench_function("governor String, foldhash", |bencher| {
            bencher.iter(|| black_box(limiter.check_key(name(keys.next())).is_ok()));
        });

        let two = Policy::from([
            quota,
            Quota::per_day(2 * quota.units()).burst(quota.burst_size()),
        ]);
        let limiter = RateLimiter::<u64, 2>::new(two);
        group.bench_function("tollgate u64, two quotas", |bencher| {
            bencher.iter(|| black_box(limiter.check(&keys.next())));
        });
        group.finish();
    }
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

/// 10,000 keys nobody has seen, into an empty table.
fn first_sight(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("first sight of 10,000 keys");
    group.throughput(criterion::Throughput::Elements(10_000));
    group.bench_function("tollgate u64", |bencher| {
        bencher.iter_batched_ref(
            || {
                RateLimiter::<u64>::builder(never_exhausted())
                    .sweep_by_hand()
                    .build()
            },
            |limiter| (0..10_000).filter(|key| limiter.allow(key)).count(),
            BatchSize::LargeInput,
        );
    });
    group.bench_function("governor u64, foldhash", |bencher| {
        bencher.iter_batched_ref(
            || governor_foldhash(never_exhausted()),
            |limiter| {
                (0..10_000)
                    .filter(|key| limiter.check_key(key).is_ok())
                    .count()
            },
            BatchSize::LargeInput,
        );
    });
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
        let builder = RateLimiter::<u64>::builder(never_exhausted());
        let limiter = builder.hasher(hasher.clone()).build();
        group.bench_function(BenchmarkId::new(name, "u64"), |bencher| {
            bencher.iter(|| black_box(limiter.check(&keys.next())));
        });
        let names: Vec<String> = (0..KEYS).map(|key| format!("user-{key:019}")).collect();
        let builder = RateLimiter::<String>::builder(never_exhausted());
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

criterion_group!(
    benches,
    clock_alone,
    verdicts,
    numbers,
    first_sight,
    hashers
);
criterion_main!(benches);
