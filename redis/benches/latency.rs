//! How long a check takes, beside what a service would write in its place. It needs `redis-server`.
//!
//! All run on one server, with one client library and equal settings, and take turns. The client has one thread, so
//! that on two cores the server has the other.

use std::{
    env,
    fmt::Write,
    time::{Duration, Instant},
};

use tokio::{runtime, task::JoinSet};

#[path = "latency/contenders.rs"]
mod contenders;
#[path = "../../benches/peers/src/harness/host.rs"]
#[allow(dead_code, reason = "it is that of the other benchmarks")]
mod host;
#[path = "../tests/redis/server.rs"]
#[allow(dead_code, reason = "it is that of the tests")]
mod server;

use contenders::{Contender, KEYS};
use server::Server;

/// How many requests are in flight, and the requests of a turn.
const LOADS: [(usize, usize); 3] = [(1, 2_000), (64, 12_800), (512, 20_480)];

const USAGE: &str = "Measures a check on Redis.
  --rounds N    turns of each contender (at least 1, default 15)
  --quick       the same as --rounds 1";

/// What a turn of a contender gave. Times are in µs.
struct Turn {
    percentiles: [f64; 3],
    per_second: f64,
    /// The time of the server for a request, and the time that it counts for scripts alone.
    server: f64,
}

fn main() {
    let Some(rounds) = rounds() else {
        println!("{USAGE}");
        return;
    };
    let server = Server::start();
    host::print_machine();
    let info: String = server.run(&["INFO", "server"]);
    println!("server: Redis {}", field(&info, "redis_version:"));
    println!("client: redis {}", version_of("redis"));
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    println!("load before: {}", load.trim());
    println!("rounds: {rounds}\n");
    let runtime = runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(measure(&server, rounds));
}

/// Returns the number of rounds, or `None` if the arguments ask for help or are not known.
fn rounds() -> Option<usize> {
    let mut rounds = 15;
    let mut arguments = env::args().skip(1);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--rounds" => rounds = arguments.next()?.parse().ok().filter(|n| *n > 0)?,
            "--quick" => rounds = 1,
            // Cargo's own.
            "--bench" => {}
            _ => return None,
        }
    }
    Some(rounds)
}

async fn measure(server: &Server, rounds: usize) {
    Contender::exhaust(server).await;
    // Anew in each round: the denials in a cache last for a minute.
    let mut contenders = Contender::all(server).await;

    // By load, by contender, by round.
    let mut turns: Vec<Vec<Vec<Turn>>> = LOADS
        .iter()
        .map(|_| contenders.iter().map(|_| Vec::new()).collect())
        .collect();
    for round in 0..=rounds {
        contenders = Contender::all(server).await;
        for (of_load, (in_flight, requests)) in turns.iter_mut().zip(LOADS) {
            for (index, (_, contender)) in contenders.iter().enumerate() {
                let turn = take_turn(server, contender, in_flight, requests).await;
                // The first round warms up.
                if round > 0 {
                    of_load[index].push(turn);
                }
            }
        }
    }
    for (of_load, (in_flight, _)) in turns.iter().zip(LOADS) {
        println!("{}", table(in_flight, &contenders, of_load));
    }
}

async fn take_turn(
    server: &Server,
    contender: &Contender,
    in_flight: usize,
    requests: usize,
) -> Turn {
    server.run::<String>(&["CONFIG", "RESETSTAT"]);
    let mut tasks = JoinSet::new();
    let began = Instant::now();
    for task in 0..in_flight {
        let mut contender = contender.clone();
        let mut times = Vec::with_capacity(requests / in_flight);
        tasks.spawn(async move {
            for request in 0..requests / in_flight {
                let key = (task * 7 + request) % KEYS;
                let asked = Instant::now();
                contender.ask(key).await;
                times.push(asked.elapsed());
            }
            times
        });
    }
    let mut times: Vec<Duration> = tasks.join_all().await.into_iter().flatten().collect();
    let took = began.elapsed();
    times.sort_unstable();
    let at = |part: f64| micros(times[(times.len() as f64 * part) as usize]);
    let statistics: String = server.run(&["INFO", "commandstats"]);
    Turn {
        percentiles: [at(0.5), at(0.99), at(0.999)],
        per_second: times.len() as f64 / took.as_secs_f64(),
        server: server_time(&statistics) / times.len() as f64,
    }
}

/// Returns the µs that the server spent on the commands of clients.
fn server_time(statistics: &str) -> f64 {
    let of = |command: &str| {
        let line = field(statistics, &format!("cmdstat_{command}:"));
        let of_line = |text: &str| line.split(',').find_map(|part| part.strip_prefix(text));
        let usec: f64 = of_line("usec=").map_or(0.0, |usec| usec.parse().unwrap());
        usec
    };
    // What a script calls is in its own time too, and counts once.
    let direct: f64 = ["ping", "incr", "expire"].map(of).iter().sum();
    direct + of("evalsha")
}

fn table(in_flight: usize, contenders: &[(&str, Contender)], turns: &[Vec<Turn>]) -> String {
    let mut text = format!("### {in_flight} in flight\n\n");
    text += "| µs | p50 | p99 | p99.9 | p50 − PING's | p50 / PING's | server | requests/s |\n";
    text += "|---|--:|--:|--:|--:|--:|--:|--:|\n";
    for (index, (name, _)) in contenders.iter().enumerate() {
        let of = |value: &dyn Fn(&Turn, &Turn) -> f64| {
            // Of one round, so that both had the same minute.
            let pairs = turns[index].iter().zip(&turns[0]);
            median(pairs.map(|(turn, ping)| value(turn, ping)).collect())
        };
        let [p50, p99, p999] = [0, 1, 2].map(|index| of(&|turn, _| turn.percentiles[index]));
        let more = of(&|turn, ping| turn.percentiles[0] - ping.percentiles[0]);
        let ratio = of(&|turn, ping| turn.percentiles[0] / ping.percentiles[0]);
        let (server, per_second) = (of(&|turn, _| turn.server), of(&|turn, _| turn.per_second));
        _ = writeln!(
            text,
            "| {name} | {p50:.1} | {p99:.1} | {p999:.1} | {more:.1} | {ratio:.2} | {server:.2} | {per_second:.0} |"
        );
    }
    text
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    values[values.len() / 2]
}

fn micros(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}

/// Returns what is behind the name of a line.
fn field<'a>(text: &'a str, name: &str) -> &'a str {
    let value = text.lines().find_map(|line| line.strip_prefix(name));
    value.unwrap_or_default().trim()
}

/// Returns the version of a crate in the lock file.
fn version_of(name: &str) -> &'static str {
    let lock = include_str!("../../Cargo.lock");
    let behind = lock
        .split(&format!("name = \"{name}\"\nversion = \""))
        .nth(1);
    behind
        .and_then(|text| text.split('"').next())
        .unwrap_or("unknown")
}
