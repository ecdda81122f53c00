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

/// The slowest checks while another thread sweeps: the greatest, and the 99.9th percentile, which
/// are those that waited for a shard. In the rows without a sweep the other thread spins, for about
/// as long: they show what the machine does by itself to a thread whose neighbour is busy. Medians
/// over the rounds.
fn worst_check(_: &mut Criterion) {
    const ROUNDS: usize = 41;
    for keys in [1_000_000, 10_000_000] {
        println!("\nslowest checks of {keys} keys, medians of {ROUNDS} rounds");
        let spin = || {
            let began = Instant::now();
            while began.elapsed() < Duration::from_nanos(keys * 10) {
                std::hint::spin_loop();
            }
        };

        let limiter = RateLimiter::<u64>::builder(SLOW).sweep_by_hand().build();
        (0..keys).for_each(|key| assert!(limiter.allow(&key)));
        let check = |key: &u64| limiter.allow(key);
        report("tollgate, no sweep", rounds(ROUNDS, keys, check, spin));
        let sweep = || assert_eq!(limiter.sweep(), 0);
        report("tollgate, sweep()", rounds(ROUNDS, keys, check, sweep));
        drop(limiter);

        let rival = governor_foldhash(SLOW);
        (0..keys).for_each(|key| assert!(rival.check_key(&key).is_ok()));
        let check = |key: &u64| rival.check_key(key).is_ok();
        report("governor, no sweep", rounds(ROUNDS, keys, check, spin));
        let sweep = || rival.retain_recent();
        report(
            "governor, retain_recent()",
            rounds(ROUNDS, keys, check, sweep),
        );
    }
}

/// The 99.9th percentile and the greatest of each round's checks, while `sweep` runs in another
/// thread.
fn rounds(
    rounds: usize,
    keys: u64,
    check: impl Fn(&u64) -> bool + Sync,
    sweep: impl Fn() + Sync,
) -> Vec<(Duration, Duration)> {
    let round = || {
        let swept = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                sweep();
                swept.store(true, Ordering::Release);
            });
            let mut keys = Keys::up_to(keys);
            let mut times = Vec::with_capacity(1 << 20);
            while !swept.load(Ordering::Acquire) {
                let key = keys.next();
                let began = Instant::now();
                black_box(check(&key));
                times.push(began.elapsed());
            }
            times.sort();
            (times[times.len() / 1_000 * 999], times[times.len() - 1])
        })
    };
    (0..rounds).map(|_| round()).collect()
}

fn report(name: &str, rounds: Vec<(Duration, Duration)>) {
    let median = |of: fn(&(Duration, Duration)) -> Duration| {
        let mut times: Vec<_> = rounds.iter().map(of).collect();
        times.sort();
        times[times.len() / 2]
    };
    let (percentile, greatest) = (median(|round| round.0), median(|round| round.1));
    println!("{name:30} 99.9%: {percentile:>12?}   greatest: {greatest:>12?}");
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
