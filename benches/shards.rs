//! How many shards do threads want? Beside its peers tollgate is measured in `benches/peers`.
//!
//! `cargo bench --bench shards`
//!
//! A time is that of one check in one thread: what does not scale shows as a longer time with more
//! threads. More threads than cores measure the scheduler too.

mod common;

use std::{
    hint::black_box,
    sync::Barrier,
    time::{Duration, Instant},
};

use common::{Keys, never_exhausted};
use criterion::{Criterion, criterion_group, criterion_main};
use tollgate::RateLimiter;

/// The time in which each of `threads` makes `checks` checks of keys below `keys`.
fn timed(threads: u64, checks: u64, keys: u64, check: impl Fn(&u64) -> bool + Sync) -> Duration {
    let start = Barrier::new(usize::try_from(threads).expect("few"));
    std::thread::scope(|scope| {
        let run = |seed| {
            let (start, check) = (&start, &check);
            scope.spawn(move || {
                let mut keys = Keys::seeded(keys, seed);
                start.wait();
                let began = Instant::now();
                for _ in 0..checks {
                    black_box(check(&keys.next()));
                }
                began.elapsed()
            })
        };
        let threads: Vec<_> = (0..threads).map(run).collect();
        let times = threads
            .into_iter()
            .map(|thread| thread.join().expect("no check panics"));
        times.max().unwrap_or_default()
    })
}

/// Threads over 1,000 and 100,000 keys, by the number of shards.
fn shards(criterion: &mut Criterion) {
    for keys in [1_000, 100_000] {
        for threads in [1, 2, 8] {
            let mut group =
                criterion.benchmark_group(format!("shards, {keys} keys, {threads} threads"));
            for shards in [8, 32, 64, 128, 256, 512, 1_024, 4_096] {
                let limiter = RateLimiter::<u64>::builder(never_exhausted())
                    .shards(shards)
                    .manual_sweep()
                    .build();
                group.bench_function(shards.to_string(), |bencher| {
                    bencher.iter_custom(|checks| {
                        timed(threads, checks, keys, |key| limiter.check(key).is_allowed())
                    });
                });
            }
            group.finish();
        }
    }
}

criterion_group!(benches, shards);
criterion_main!(benches);
