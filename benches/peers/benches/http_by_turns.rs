//! The rows of `http`, for a machine whose pace changes from one moment to the next: the bare
//! service and each layer serve a few requests by turns, and what a layer costs over the bare
//! service is the median of the differences within a turn.
//!
//! `cargo bench --manifest-path benches/peers/Cargo.toml --bench http_by_turns [-- TURNS]`

use std::time::Instant;

use tollgate_peers::http::{Bare, By, Outcome, Rival, Tollgate, TowerGovernor};
use tollgate_peers::http::{cells, prepared, prove, request};

/// Requests of one contender, until it is the next one's turn.
const REQUESTS: u32 = 300;

fn main() {
    // Cargo adds an argument of its own.
    let turns = std::env::args().find_map(|argument| argument.parse().ok());
    let turns: usize = turns.unwrap_or(1_000);
    prove::<Tollgate>();
    prove::<TowerGovernor>();
    let (tollgate, rival) = (Tollgate::NAME, TowerGovernor::NAME);
    println!("ns a request, medians of {turns} turns of {REQUESTS} requests");
    println!(
        "{:36}{:>14}{tollgate:>16}{rival:>16}{:>8}",
        "",
        Bare::NAME,
        "ratio"
    );
    for (outcome, by, clients) in cells() {
        let [bare, tollgate, rival, ratio] = cell(outcome, by, clients, turns);
        let name = format!("{outcome:?} by {by:?}, clients {clients}").to_lowercase();
        println!("{name:36}{bare:14.0}{tollgate:+16.0}{rival:+16.0}{ratio:8.2}");
    }
}

/// The time of the bare service, what tollgate takes over it and what its rival does, and how many
/// times as much that is.
fn cell(outcome: Outcome, by: By, clients: u32, turns: usize) -> [f64; 4] {
    let mut contenders = [
        prepared::<Bare>(by, outcome, clients),
        prepared::<Tollgate>(by, outcome, clients),
        prepared::<TowerGovernor>(by, outcome, clients),
    ];
    let mut client = (0..clients).cycle();
    let mut times: [Vec<f64>; 4] = Default::default();
    for _ in 0..turns {
        let [bare, tollgate, rival] = contenders.each_mut().map(|serve| {
            let mut nanos = 0;
            for _ in 0..REQUESTS {
                // Built while no time is taken.
                let request = request(client.next().expect("a client"));
                let start = Instant::now();
                serve(request);
                nanos += start.elapsed().as_nanos();
            }
            nanos as f64 / f64::from(REQUESTS)
        });
        let (tollgate, rival) = (tollgate - bare, rival - bare);
        for (times, time) in times
            .iter_mut()
            .zip([bare, tollgate, rival, rival / tollgate])
        {
            times.push(time);
        }
    }
    times.map(median)
}

fn median(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}
