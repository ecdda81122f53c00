//! What four nodes admit while things fail, against b + t × rate. It needs `redis-server` and `redis-sentinel`.
//!
//! Each node is a process of its own, asks for four keys some four times as often as the limit allows, and writes
//! down for each request when it was sent and when the answer arrived. All of them read one clock.

use std::{
    env, fs,
    process::{self, ExitCode},
    time::Duration,
};

#[path = "../../benches/peers/src/harness/host.rs"]
#[allow(dead_code, reason = "it is that of the other benchmarks")]
mod host;
#[path = "faults/judge.rs"]
mod judge;
#[path = "faults/node.rs"]
mod node;
#[path = "../tests/redis/proxy.rs"]
#[allow(dead_code, reason = "it is that of the tests")]
mod proxy;
#[path = "faults/record.rs"]
mod record;
#[path = "faults/scenario.rs"]
mod scenario;
#[path = "../tests/redis/server.rs"]
#[allow(dead_code, reason = "it is that of the tests")]
mod server;

use judge::Outcome;
use node::{BURST, KEYS, Mode, NODES, Orders, RATE};
use scenario::{Pace, Scenario};

const USAGE: &str = "Counts what four nodes admit while the store fails.
It fails if a bound is broken.
  --quick    3 s for each scenario and mode, not 30
  WORDS      only scenarios whose name has one of them";

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    if let Some((first, orders)) = arguments.split_first()
        && first == "node"
    {
        runtime.block_on(node::run(Orders::read(orders)));
        return ExitCode::SUCCESS;
    }
    let mut pace = Pace {
        whole: Duration::from_secs(30),
        suspended: Duration::from_secs(5),
        away: Duration::from_secs(2),
    };
    let mut words = Vec::new();
    for argument in arguments {
        match argument.as_str() {
            "--quick" => {
                pace = Pace {
                    whole: Duration::from_secs(3),
                    suspended: Duration::from_millis(800),
                    away: Duration::from_millis(500),
                }
            }
            // Cargo's own.
            "--bench" => {}
            _ if argument.starts_with('-') => {
                println!("{USAGE}");
                return ExitCode::FAILURE;
            }
            _ => words.push(argument),
        }
    }
    judge::prove();
    host::print_machine();
    println!(
        "{NODES} nodes, {KEYS} keys, {RATE}/second burst {BURST}, {:?} each\n",
        pace.whole
    );
    println!(
        "| scenario | mode | units over | may be over | admitted | of them undecided | undecided | requests | longest check, ms | longest stall, ms | store away, ms | back in use, ms |"
    );
    println!("|---|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|");
    let mut are_within = true;
    let mut most_drift = 0;
    for scenario in Scenario::ALL {
        let name = scenario.name(pace);
        if !words.is_empty() && !words.iter().any(|word| name.contains(word)) {
            continue;
        }
        for mode in Mode::ALL {
            // The origin's way, for comparison.
            if mode == Mode::Window && scenario != Scenario::Healthy {
                continue;
            }
            let folder = env::temp_dir().join(format!("tollgate-faults-{}", process::id()));
            fs::create_dir_all(&folder).unwrap();
            let (records, events) = runtime.block_on(scenario.run(mode, pace, &folder));
            fs::remove_dir_all(&folder).unwrap();
            let outcome = Outcome::of(scenario, mode, &records, &events);
            are_within &= outcome.is_within();
            most_drift = most_drift.max(events.drift_ns);
            print_row(&name, mode, &outcome);
        }
    }
    println!("\nThe wall clock drifted by at most {most_drift} ns.");
    if are_within {
        println!("Every bound was kept.");
        ExitCode::SUCCESS
    } else {
        println!("A bound was broken.");
        ExitCode::FAILURE
    }
}

fn print_row(name: &str, mode: Mode, outcome: &Outcome) {
    let millis = |ns: u64| format!("{:.1}", ns as f64 / 1e6);
    let over = match outcome.is_within() {
        true => outcome.over.to_string(),
        false => format!("**{}**", outcome.over),
    };
    println!(
        "| {name} | {} | {over} | {} | {} | {} | {} | {} | {} | {} | {} | {} |",
        mode.name(),
        outcome
            .bound
            .map_or("—".to_owned(), |bound| bound.to_string()),
        outcome.admitted,
        outcome.admitted_in_outage,
        outcome.undecided,
        outcome.requests,
        millis(outcome.longest_ns),
        millis(outcome.stall_ns),
        outcome.away_ns.map_or("—".to_owned(), millis),
        outcome.back_ns.map_or("—".to_owned(), millis),
    );
}
