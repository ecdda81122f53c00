//! What does the upkeep of tollgate's limiters cost?
//!
//! `cargo bench --manifest-path benches/peers/Cargo.toml --bench upkeep -- --help`
//!
//! - `readers`: one thread checks a key for 4 s while eight threads peek at it.
//! - `sweeps`: one thread peeks at the keys of a table while another thread sweeps it. The table
//!   shrinks where 24% of the keys or fewer are left. Each row has five sweeps.
//! - `limiters`: a process has 2,000 and 10,000 limiters, which are swept each second.
//!
//! On a busy machine `sweeps` measures the scheduler: when a thread loses its core while it holds a
//! lock, others wait for its next turn.

use std::{
    fs,
    hint::black_box,
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    thread,
    time::{Duration, Instant},
};

use clap::{Parser, ValueEnum};
use tollgate::{ManualClock, Quota, RateLimiter};
use tollgate_peers::harness::{median, print_machine};

/// Measures the upkeep of limiters.
#[derive(Parser)]
struct Arguments {
    /// Default: all.
    #[arg(value_enum)]
    parts: Vec<Part>,
    /// The sizes of the tables of `sweeps`.
    #[arg(long, value_delimiter = ',', default_values_t = [1_000, 100_000, 1_000_000, 8_000_000])]
    keys: Vec<u64>,
    /// Cargo's own.
    #[arg(long, hide = true)]
    bench: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Part {
    Readers,
    Sweeps,
    Limiters,
}

fn main() {
    let arguments = Arguments::parse();
    print_machine();
    let is_wanted = |part| arguments.parts.is_empty() || arguments.parts.contains(&part);
    if is_wanted(Part::Readers) {
        readers();
    }
    if is_wanted(Part::Sweeps) {
        arguments.keys.iter().for_each(|&keys| sweeps(keys));
    }
    if is_wanted(Part::Limiters) {
        [2_000, 10_000].into_iter().for_each(limiters);
    }
}

fn readers() {
    let quota = Quota::per_second(1_000_000_000);
    let limiter: RateLimiter<u64> = RateLimiter::builder(quota).manual_sweep().build();
    assert!(limiter.allow(&7));
    let (is_over, peeks) = (AtomicBool::new(false), AtomicU64::new(0));
    let mut checks = 0_u64;
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                let mut own = 0;
                while !is_over.load(Ordering::Relaxed) {
                    _ = black_box(limiter.peek(&7));
                    own += 1;
                }
                peeks.fetch_add(own, Ordering::Relaxed);
            });
        }
        let start = Instant::now();
        while start.elapsed() < Duration::from_secs(4) {
            _ = black_box(limiter.check(&7));
            checks += 1;
        }
        is_over.store(true, Ordering::Relaxed);
    });
    println!(
        "readers: {checks} checks beside {} peeks",
        peeks.into_inner()
    );
}

fn sweeps(keys: u64) {
    println!(
        "\nsweeps, {keys} keys; slowest peek in us: median, least, most; sweep in us: the same"
    );
    for (name, kept) in [
        ("no key is dropped", keys),
        ("24% are left", keys / 100 * 24),
        ("1% is left", keys / 100),
        ("all are dropped", 0),
    ] {
        let sweeps: Vec<(Duration, Duration)> = (0..5).map(|_| sweep(keys, kept)).collect();
        let summary = |times: Vec<Duration>| {
            let (least, most) = (times.iter().min(), times.iter().max());
            let (least, most) = (*least.expect("five"), *most.expect("five"));
            [median(times), least, most].map(|time| time.as_micros())
        };
        let peeks = summary(sweeps.iter().map(|sweep| sweep.0).collect());
        let sweeps = summary(sweeps.iter().map(|sweep| sweep.1).collect());
        println!("{name:20} {peeks:>7?}  {sweeps:>7?}");
    }
}

/// Returns the time of the slowest peek beside a sweep, and that of the sweep.
fn sweep(keys: u64, kept: u64) -> (Duration, Duration) {
    let clock = ManualClock::new();
    let limiter: RateLimiter<u64> = RateLimiter::builder(Quota::per_minute(60).burst(10))
        .clock(clock.clone())
        .manual_sweep()
        .build();
    for key in 0..keys {
        _ = black_box(limiter.check_n(&key, if key < kept { 10 } else { 1 }));
    }
    clock.advance(Duration::from_secs(1));
    let (has_begun, is_over) = (AtomicBool::new(false), AtomicBool::new(false));
    thread::scope(|scope| {
        let peeking = scope.spawn(|| {
            let mut random = fastrand::Rng::with_seed(1);
            let mut slowest = Duration::ZERO;
            while !is_over.load(Ordering::Relaxed) {
                let key = random.u64(..keys);
                let start = Instant::now();
                _ = black_box(limiter.peek(&key));
                slowest = slowest.max(start.elapsed());
                has_begun.store(true, Ordering::Relaxed);
            }
            slowest
        });
        while !has_begun.load(Ordering::Relaxed) {
            thread::yield_now();
        }
        let start = Instant::now();
        assert_eq!(limiter.sweep() as u64, keys - kept);
        let sweep = start.elapsed();
        is_over.store(true, Ordering::Relaxed);
        (peeking.join().expect("it has not panicked"), sweep)
    })
}

fn limiters(count: u64) {
    let before = kilobytes("VmRSS");
    let start = Instant::now();
    let limiters: Vec<RateLimiter<u64>> = (0..count)
        .map(|_| RateLimiter::new(Quota::per_second(1)))
        .collect();
    let build = start.elapsed().as_millis();
    thread::sleep(Duration::from_secs(1));
    let each = (kilobytes("VmRSS") - before) as f64 / count as f64;
    let (threads, virtual_memory) = (status("Threads"), kilobytes("VmSize") / 1_000);
    let ticks = cpu_ticks();
    thread::sleep(Duration::from_secs(5));
    // A tick is a hundredth of a second.
    let idle = (cpu_ticks() - ticks) as f64 / 5.0;
    let start = Instant::now();
    drop(limiters);
    println!(
        "\nlimiters, {count}: built in {build} ms, {each:.1} kB each, {virtual_memory} MB of virtual \
         memory, {threads} threads, {idle:.1}% of a core idle, dropped in {} ms",
        start.elapsed().as_millis()
    );
}

/// Returns the value of `name` in the kernel's status of this process.
fn status(name: &str) -> String {
    let text = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let value = text.lines().find_map(|line| line.strip_prefix(name));
    value
        .unwrap_or_default()
        .trim_start_matches([':', '\t'])
        .to_owned()
}

fn kilobytes(name: &str) -> u64 {
    status(name)
        .trim_end_matches("kB")
        .trim()
        .parse()
        .unwrap_or(0)
}

/// Returns the processor time of this process, in clock ticks.
fn cpu_ticks() -> u64 {
    let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // Behind the name, which may have spaces.
    let fields = stat.rsplit(')').next().unwrap_or_default();
    let fields = fields.split_whitespace().skip(11).take(2);
    fields.filter_map(|field| field.parse::<u64>().ok()).sum()
}
