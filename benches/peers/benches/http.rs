//! What does a layer cost a request over the bare service, which all are put around: allowed and
//! refused, by a header and by the client's address behind a proxy, with one client and with 1,000
//! by turns?
//!
//! `cargo bench --manifest-path benches/peers/Cargo.toml --bench http`

use criterion::measurement::WallTime;
use criterion::{BatchSize, BenchmarkGroup, Criterion, criterion_group, criterion_main};
use tollgate_peers::http::{Bare, By, Outcome, Rival, Tollgate, TowerGovernor};
use tollgate_peers::http::{cells, prepared, prove, request};

fn layers(criterion: &mut Criterion) {
    prove::<Tollgate>();
    prove::<TowerGovernor>();
    for (outcome, by, clients) in cells() {
        let name = format!("{outcome:?} by {by:?}, clients {clients}");
        let mut group = criterion.benchmark_group(name.to_lowercase());
        cell::<Bare>(&mut group, by, outcome, clients);
        cell::<Tollgate>(&mut group, by, outcome, clients);
        cell::<TowerGovernor>(&mut group, by, outcome, clients);
        group.finish();
    }
}

fn cell<R: Rival>(
    group: &mut BenchmarkGroup<'_, WallTime>,
    by: By,
    outcome: Outcome,
    clients: u32,
) {
    group.bench_function(R::NAME, |bencher| {
        let mut serve = prepared::<R>(by, outcome, clients);
        let mut turns = (0..clients).cycle();
        bencher.iter_batched(
            || request(turns.next().expect("a client")),
            &mut serve,
            // One at a time, as a server has them, and built while the clock stands still: to read
            // it costs every row the same.
            BatchSize::PerIteration,
        );
    });
}

criterion_group!(benches, layers);
criterion_main!(benches);
