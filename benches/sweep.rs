//! What does forgetting cost the sweeping thread, what does it cost whoever checks meanwhile, and
//! what does the sweeping thread itself cost?
//!
//! `cargo bench --bench sweep`

mod common;

use std::{
    hint::black_box,
    sync::atomic::{AtomicBool, Ordering},
    time::{Duration, Instant},
};

use common::{Keys, governor_foldhash, never_exhausted};
use criterion::{BatchSize, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use tollgate::{ManualClock, Quota, RateLimiter};

/// A day to fill: nothing is forgotten unless the clock is moved.
const SLOW: Quota = Quota::per_day(1);

/// A limiter that holds `keys` keys in debt, and its clock.
fn filled(keys: u64) -> (RateLimiter<u64>, ManualClock) {
    let clock = ManualClock::new();
    let limiter = RateLimiter::builder(SLOW)
        .clock(clock.clone())
        .sweep_by_hand()
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
        bencher.iter(|| RateLimiter::<u64>::builder(SLOW).sweep_by_hand().build());
    });
    group.finish();
}

/// The slowest checks while another thread sweeps: the largest of each of several rounds, median
/// over the rounds, since one interruption by the system is longer than any lock is held. The rows
/// without a sweep show what the machine does by itself.
fn worst_check(_: &mut Criterion) {
    const ROUNDS: usize = 15;
    for keys in [1_000_000, 10_000_000] {
        println!("\nworst check of {keys} keys, median (least) of {ROUNDS} rounds");

        let limiter = RateLimiter::<u64>::builder(SLOW).sweep_by_hand().build();
        (0..keys).for_each(|key| assert!(limiter.allow(&key)));
        let check = |key: &u64| limiter.allow(key);
        report(
            "tollgate, no sweep",
            rounds(ROUNDS, keys, check, || {
                std::thread::sleep(Duration::from_millis(20));
            }),
        );
        report(
            "tollgate, sweep()",
            rounds(ROUNDS, keys, check, || {
                black_box(limiter.sweep());
            }),
        );

        let rival = governor_foldhash(SLOW);
        (0..keys).for_each(|key| assert!(rival.check_key(&key).is_ok()));
        let check = |key: &u64| rival.check_key(key).is_ok();
        report(
            "governor, no sweep",
            rounds(ROUNDS, keys, check, || {
                std::thread::sleep(Duration::from_millis(20));
            }),
        );
        report(
            "governor, retain_recent()",
            rounds(ROUNDS, keys, check, || {
                rival.retain_recent();
            }),
        );
    }
}

/// The longest check of each round, while `sweep` runs in another thread.
fn rounds(
    rounds: usize,
    keys: u64,
    check: impl Fn(&u64) -> bool + Sync,
    sweep: impl Fn() + Sync,
) -> Vec<Duration> {
    let round = || {
        let swept = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                sweep();
                swept.store(true, Ordering::Release);
            });
            let mut keys = Keys::up_to(keys);
            let mut worst = Duration::ZERO;
            while !swept.load(Ordering::Acquire) {
                let key = keys.next();
                let began = Instant::now();
                black_box(check(&key));
                worst = worst.max(began.elapsed());
            }
            worst
        })
    };
    let mut worst: Vec<_> = (0..rounds).map(|_| round()).collect();
    worst.sort();
    worst
}

fn report(name: &str, worst: Vec<Duration>) {
    println!("{name:30} {:?} ({:?})", worst[worst.len() / 2], worst[0]);
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

criterion_group!(benches, cost, thread, beside, worst_check);
criterion_main!(benches);
