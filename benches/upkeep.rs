//! What the upkeep of limiters costs: `cargo bench --bench upkeep`, or with `-- NAME…` for some of
//!
//! - `readers`: one thread checks a key that eight threads peek at, for 4 s.
//! - `waits`: one thread peeks at keys of a table of 8 million (`KEYS=` another number) while
//!   another sweeps it, which gives memory back where 24% or less are left. The slowest peek of a
//!   sweep, of five sweeps the median, the least and the most.
//! - `limiters`: 2,000 and 10,000 limiters of a process, which are swept each second.
//!
//! It names the processor. On a busy machine, `waits` measures the scheduler: a thread that loses
//! its core with a lock has others wait for its next turn.

use std::{
    env, fs,
    hint::black_box,
    sync::{
        Barrier,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use tollgate::{ManualClock, Quota, RateLimiter};

fn main() {
    let all: [(&str, fn()); 3] = [
        ("readers", readers),
        ("waits", waits),
        ("limiters", limiters),
    ];
    let wanted: Vec<String> = env::args()
        .skip(1)
        .filter(|argument| !argument.starts_with('-'))
        .collect();
    let processor = status("/proc/cpuinfo", "model name").unwrap_or_default();
    println!("processor: {processor}");
    for (name, run) in all {
        if wanted.is_empty() || wanted.iter().any(|wanted| wanted == name) {
            println!("\n{name}");
            run();
        }
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
    println!("{checks} checks beside {} peeks", peeks.into_inner());
}

fn waits() {
    let keys = env::var("KEYS").map_or(8_000_000, |keys| keys.parse().expect("a number of KEYS"));
    println!("{keys} keys; slowest peek in us: median, least, most; sweep in ms: median");
    for (name, kept) in [
        ("nothing is forgotten", keys),
        ("24% are left", keys / 100 * 24),
        ("1% is left", keys / 100),
        ("all are forgotten", 0),
    ] {
        let mut rounds: Vec<(Duration, Duration)> =
            (0..5).map(|_| beside_a_sweep(keys, kept)).collect();
        rounds.sort_unstable();
        let slowest = [2, 0, 4].map(|round| rounds[round].0.as_micros());
        let mut sweeps: Vec<Duration> = rounds.into_iter().map(|(_, sweep)| sweep).collect();
        sweeps.sort_unstable();
        println!("{name:22} {slowest:>7?}  {:>6}", sweeps[2].as_millis());
    }
}

/// The slowest peek beside a sweep, and how long that took.
fn beside_a_sweep(keys: u64, kept: u64) -> (Duration, Duration) {
    let clock = ManualClock::new();
    let limiter: RateLimiter<u64> = RateLimiter::builder(Quota::per_minute(60).burst(10))
        .clock(clock.clone())
        .manual_sweep()
        .build();
    for key in 0..keys {
        _ = black_box(limiter.check_n(&key, if key < kept { 10 } else { 1 }));
    }
    clock.advance(Duration::from_secs(1));
    let (ready, is_over) = (Barrier::new(2), AtomicBool::new(false));
    thread::scope(|scope| {
        let peeking = scope.spawn(|| {
            let (mut slowest, mut key) = (Duration::ZERO, 1_u64);
            ready.wait();
            while !is_over.load(Ordering::Relaxed) {
                // The generator of Knuth's MMIX.
                key = key.wrapping_mul(6_364_136_223_846_793_005);
                key = key.wrapping_add(1_442_695_040_888_963_407);
                let start = Instant::now();
                _ = black_box(limiter.peek(&((key >> 33) % keys)));
                slowest = slowest.max(start.elapsed());
            }
            slowest
        });
        ready.wait();
        let start = Instant::now();
        assert_eq!(limiter.sweep() as u64, keys - kept);
        let sweep = start.elapsed();
        is_over.store(true, Ordering::Relaxed);
        (peeking.join().expect("it has not panicked"), sweep)
    })
}

fn limiters() {
    for count in [2_000_u64, 10_000] {
        let before = kilobytes("VmRSS");
        let start = Instant::now();
        let limiters: Vec<RateLimiter<u64>> = (0..count)
            .map(|_| RateLimiter::new(Quota::per_second(1)))
            .collect();
        let build = start.elapsed().as_millis();
        thread::sleep(Duration::from_secs(1));
        let each = (kilobytes("VmRSS") - before) as f64 / count as f64;
        let threads = status("/proc/self/status", "Threads").unwrap_or_default();
        let ticks = cpu_ticks();
        thread::sleep(Duration::from_secs(5));
        // A tick is a hundredth of a second.
        let idle = (cpu_ticks() - ticks) as f64 / 5.0;
        let start = Instant::now();
        drop(limiters);
        println!(
            "{count}: built in {build} ms, {each:.1} kB each, {threads} threads, \
             {idle:.1}% of a core idle, dropped in {} ms",
            start.elapsed().as_millis()
        );
    }
}

/// What follows a name in one of the kernel's files.
fn status(file: &str, name: &str) -> Option<String> {
    let text = fs::read_to_string(file).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    Some(line.trim_start_matches(['\t', ' ', ':']).to_owned())
}

fn kilobytes(name: &str) -> u64 {
    let text = status("/proc/self/status", name).unwrap_or_default();
    text.trim_end_matches("kB").trim().parse().unwrap_or(0)
}

/// The processor time of this process, in clock ticks.
fn cpu_ticks() -> u64 {
    let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // Behind the name, which may have spaces.
    let fields = stat.rsplit(')').next().unwrap_or_default();
    let fields = fields.split_whitespace().skip(11).take(2);
    fields.filter_map(|field| field.parse::<u64>().ok()).sum()
}
