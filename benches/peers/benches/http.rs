//! What does a layer cost a request, beyond the bare service? Requests are allowed or rejected, by a
//! header or by the client's address behind a proxy, of one client or of 1,000 that take turns.
//!
//! `cargo bench --manifest-path benches/peers/Cargo.toml --bench http -- --help`
//!
//! The bare service and the layers take turns ([`tollgate_peers::harness`]). The cost of a layer is
//! the median of the differences to the bare service within a turn.

use std::time::{Duration, Instant};

use clap::Parser;
use tollgate_peers::harness::{Taken, Times, Turns, median, print_machine};
use tollgate_peers::http::{Bare, By, Contender, Outcome, Tollgate, TowerGovernor};
use tollgate_peers::http::{cells, prepared, prove, request};

/// Times the layers around one service, by turns.
#[derive(Parser)]
struct Arguments {
    /// Turns of each cell.
    #[arg(long, default_value_t = 1_000)]
    turns: usize,
    /// For how long disturbed turns of a cell are repeated. Later ones count.
    #[arg(long, value_name = "SECONDS", default_value_t = 30)]
    patience: u64,
    /// Cargo's own.
    #[arg(long, hide = true)]
    bench: bool,
}

/// Requests of one contender in a turn.
const REQUESTS: u32 = 300;

fn main() {
    let arguments = Arguments::parse();
    print_machine();
    prove::<Tollgate>();
    prove::<TowerGovernor>();
    let (tollgate, peer) = (Tollgate::NAME, TowerGovernor::NAME);
    println!(
        "ns a request, medians of {} turns of {REQUESTS} requests",
        arguments.turns
    );
    println!(
        "{:36}{:>14}{tollgate:>16}{peer:>16}{:>8}",
        "",
        Bare::NAME,
        "ratio"
    );
    let turns = Turns {
        counted: arguments.turns,
        patience: Duration::from_secs(arguments.patience),
    };
    for (outcome, by, clients) in cells() {
        let times = cell(outcome, by, clients, turns);
        let cost = |contender| times.paired(contender, BARE, |time, bare| time - bare);
        let (bare, ratio) = (times.median(BARE), ratio(&times));
        let name = format!("{outcome:?} by {by:?}, clients {clients}").to_lowercase();
        println!(
            "{name:36}{bare:14.0}{:+16.0}{:+16.0}{ratio:8.2}",
            cost(TOLLGATE),
            cost(PEER)
        );
    }
}

/// The contenders by number.
const BARE: usize = 0;
const TOLLGATE: usize = 1;
const PEER: usize = 2;

fn cell(outcome: Outcome, by: By, clients: u32, turns: Turns) -> Times {
    let mut contenders = [
        prepared::<Bare>(by, outcome, clients),
        prepared::<Tollgate>(by, outcome, clients),
        prepared::<TowerGovernor>(by, outcome, clients),
    ];
    let mut client = (0..clients).cycle();
    turns.take(contenders.len(), |_, contender| {
        let serve = &mut contenders[contender];
        let mut nanos = 0;
        for _ in 0..REQUESTS {
            // Built while the clock stands still.
            let request = request(client.next().expect("a client"));
            let start = Instant::now();
            serve(request);
            nanos += start.elapsed().as_nanos();
        }
        Taken {
            nanos: nanos as f64 / f64::from(REQUESTS),
            is_together: true,
        }
    })
}

/// Returns how many times tollgate's cost the peer's is, as the median over the turns.
fn ratio(times: &Times) -> f64 {
    let [bare, tollgate, peer] = &times.nanos[..] else {
        unreachable!("three contenders")
    };
    let turns = bare.iter().zip(tollgate).zip(peer);
    median(
        turns
            .map(|((bare, tollgate), peer)| (peer - bare) / (tollgate - bare))
            .collect(),
    )
}
