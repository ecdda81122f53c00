//! How long do the slowest checks take while another thread sweeps, and while the table grows?
//!
//! `cargo bench --manifest-path benches/peers/Cargo.toml --bench latency -- --help` (Linux only)
//!
//! One thread times each of its checks, of random keys of a full table. A round lasts as long as the
//! work of the other thread:
//!
//! - `sweep`: it sweeps that table, and drops no key.
//! - `elsewhere`: it sweeps a second table of the same kind. The two threads share caches and memory,
//!   and no lock.
//! - `spin`: it spins for as long as the last sweep of that contender took.
//!
//! `growth` has no other thread: the checks are the first of a million keys, from an empty table on.
//! The slowest are those in which the table, or a part of it, moves.
//!
//! Each round has a 99.99th percentile and a maximum, and a row has their medians over the rounds. In
//! a round of fewer than 10,000 checks both are the maximum, for example where one check waits for a
//! whole sweep. Contenders take turns, and each round starts with another one.
//!
//! A check is also slow when its thread, or the thread that holds its lock, loses its core to another
//! program, or to another machine of the same host. So each thread is kept to a core of its own, and
//! there are two rows of each cell. Those called `undisturbed` have the rounds in which
//!
//! - other machines had the checking thread's core for less than 20 us between two looks, by how far
//!   its CPU time fell behind the clock. There is a look after each check of 5 us or more. If the
//!   system switched threads in between, nothing is counted: the check may have let others run while
//!   it waited, and then the time belongs to the check.
//! - the other thread was off its core for less than 100 us, or 1/200 of a long round, for any reason.
//!   The system itself takes 20 to 100 us of each 10 ms.
//!
//! If fewer than eleven rounds are left, there are more rounds, up to four times as many. If that does
//! not help, there is no row. No time is subtracted from any check.

use std::{
    fs::File,
    hint::black_box,
    io::{self, Write},
    path::PathBuf,
    sync::Barrier,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

use clap::Parser;
use nix::sys::resource::{UsageWho, getrusage};
use nix::time::ClockId;
use tollgate_peers::harness::cores::{keep_to, keep_to_any};
use tollgate_peers::harness::{median, print_machine, record};
use tollgate_peers::keyed::{Contender, Sweep, prepared};
use tollgate_peers::keyed::{Floor, Governor, MutexMap, Outcome, Quota, Tollgate};

/// Times the slowest checks of tollgate and its peers.
#[derive(Parser)]
struct Arguments {
    /// Rounds of each contender with each work of the other thread.
    #[arg(long, default_value_t = 41)]
    rounds: usize,
    /// The sizes of the tables that are swept.
    #[arg(long, value_delimiter = ',', default_values_t = [1_000_000, 10_000_000])]
    keys: Vec<u64>,
    /// Write the rows to this file, too.
    #[arg(long)]
    csv: Option<PathBuf>,
    /// Cargo's own.
    #[arg(long, hide = true)]
    bench: bool,
}

/// The least number of rounds that a row has.
const ENOUGH: usize = 11;

/// The cores of the two threads.
const CHECKING: usize = 0;
const OTHER: usize = 1;

fn main() -> io::Result<()> {
    let arguments = Arguments::parse();
    print_machine();
    const COLUMNS: &str = "what,keys,contender,p9999_ns,max_ns";
    let csv = arguments.csv.as_deref();
    let mut csv = csv.map(|path| record(path, COLUMNS)).transpose()?;
    println!(
        "{:60}{:>14}{:>14}{:>8}",
        "ns", "99.99%", "maximum", "rounds"
    );
    for &keys in &arguments.keys {
        let mut subjects: Vec<Box<dyn Subject>> = vec![
            Box::new(Swept::<Tollgate<u64>>::new(keys)),
            Box::new(Swept::<Governor<u64, 1, std::hash::RandomState>>::new(keys)),
            Box::new(Swept::<Governor<u64, 1, foldhash::fast::RandomState>>::new(
                keys,
            )),
            Box::new(Swept::<MutexMap<u64>>::new(keys)),
            Box::new(Swept::<Floor<u64>>::new(keys)),
        ];
        let whats = [
            Some(Beside::Sweep),
            Some(Beside::Elsewhere),
            Some(Beside::Spin),
        ];
        report(&mut subjects, &whats, keys, arguments.rounds, &mut csv)?;
    }
    let mut subjects: Vec<Box<dyn Subject>> = vec![
        Box::new(Grown::<Tollgate<u64>>::new()),
        Box::new(Grown::<Governor<u64, 1, std::hash::RandomState>>::new()),
        Box::new(Grown::<Governor<u64, 1, foldhash::fast::RandomState>>::new()),
        Box::new(Grown::<MutexMap<u64>>::new()),
        Box::new(Grown::<Floor<u64>>::new()),
    ];
    report(&mut subjects, &[None], GROWN, arguments.rounds, &mut csv)
}

/// Makes all rounds, and prints their rows.
fn report(
    subjects: &mut [Box<dyn Subject>],
    whats: &[Option<Beside>],
    keys: u64,
    rounds: usize,
    csv: &mut Option<File>,
) -> io::Result<()> {
    let mut all: Vec<Vec<Vec<Round>>> = (subjects.iter())
        .map(|_| whats.iter().map(|_| Vec::new()).collect())
        .collect();
    keep_to(CHECKING);
    for round in 0..4 * rounds {
        for nth in 0..subjects.len() {
            let subject = (round + nth) % subjects.len();
            for (what, made) in whats.iter().zip(&mut all[subject]) {
                let undisturbed = made.iter().filter(|round| round.is_undisturbed);
                if round < rounds || undisturbed.count() < ENOUGH {
                    made.extend(subjects[subject].round(*what));
                }
            }
        }
    }
    // Tables may be made on any core.
    keep_to_any();
    for (nth, what) in whats.iter().enumerate() {
        let what = what.map_or("growth", Beside::name);
        for (subject, rounds) in subjects.iter().zip(&all) {
            let every: Vec<&Round> = rounds[nth].iter().collect();
            let undisturbed = every.iter().copied().filter(|round| round.is_undisturbed);
            let undisturbed = undisturbed.collect();
            row(what, keys, subject.name(), every, csv)?;
            let what = format!("{what} undisturbed");
            row(&what, keys, subject.name(), undisturbed, csv)?;
        }
    }
    Ok(())
}

fn row(
    what: &str,
    keys: u64,
    name: &str,
    rounds: Vec<&Round>,
    csv: &mut Option<File>,
) -> io::Result<()> {
    let title = format!("{what}, {keys} keys, {name}");
    let count = rounds.len();
    if count < ENOUGH {
        println!("{title:60}{:>14}{:>14}{count:8}", "", "");
        return Ok(());
    }
    let percentile = median(rounds.iter().map(|round| round.percentile).collect());
    let greatest = median(rounds.iter().map(|round| round.greatest).collect());
    println!("{title:60}{percentile:14}{greatest:14}{count:8}");
    if let Some(csv) = csv {
        writeln!(csv, "{what},{keys},{name},{percentile},{greatest}")?;
    }
    Ok(())
}

/// The work of the other thread.
#[derive(Clone, Copy)]
enum Beside {
    Sweep,
    Elsewhere,
    Spin,
}

impl Beside {
    fn name(self) -> &'static str {
        match self {
            Beside::Sweep => "sweep",
            Beside::Elsewhere => "elsewhere",
            Beside::Spin => "spin",
        }
    }
}

/// A contender with its tables.
trait Subject {
    fn name(&self) -> &'static str;

    /// Makes a round beside another thread, or alone. Returns none if the host kept the checking
    /// thread off its core for so long that it checked nothing.
    fn round(&mut self, beside: Option<Beside>) -> Option<Round>;
}

/// The slowest checks of a round, in ns.
struct Round {
    percentile: u64,
    greatest: u64,
    is_undisturbed: bool,
}

/// Two tables of denied keys. One of them is checked.
struct Swept<C> {
    keys: u64,
    checked: C,
    elsewhere: C,
    random: fastrand::Rng,
    swept: Duration,
}

impl<C: Sweep<u64>> Swept<C> {
    fn new(keys: u64) -> Swept<C> {
        C::prove();
        Swept {
            keys,
            checked: prepared(Outcome::Denied, keys),
            elsewhere: prepared(Outcome::Denied, keys),
            random: fastrand::Rng::with_seed(1),
            swept: Duration::ZERO,
        }
    }
}

impl<C: Sweep<u64>> Subject for Swept<C> {
    fn name(&self) -> &'static str {
        C::NAME
    }

    fn round(&mut self, beside: Option<Beside>) -> Option<Round> {
        let Swept {
            keys,
            checked,
            elsewhere,
            random,
            swept,
        } = self;
        let expected = !C::DECIDES;
        let (ready, done) = (Barrier::new(2), AtomicBool::new(false));
        let other = || {
            keep_to(OTHER);
            ready.wait();
            let (began, before) = (Instant::now(), time_on_core());
            match beside {
                Some(Beside::Sweep) => checked.sweep(),
                Some(Beside::Elsewhere) => elsewhere.sweep(),
                Some(Beside::Spin) => {
                    while began.elapsed() < *swept {
                        std::hint::spin_loop();
                    }
                }
                None => {}
            }
            let ran = time_on_core() - before;
            let took = began.elapsed();
            done.store(true, Ordering::Release);
            (took, ran)
        };
        let (times, (took, ran)) = thread::scope(|scope| {
            let other = scope.spawn(other);
            let mut times = Times::new();
            ready.wait();
            times.begin();
            while !done.load(Ordering::Acquire) {
                let key = random.u64(..*keys);
                times.time(|| assert_eq!(black_box(checked.check(&key)), expected));
            }
            (times, other.join().expect("it does not panic"))
        });
        if let Some(Beside::Sweep) = beside {
            *swept = took;
        }
        let mut round = times.round()?;
        let off_core = took.saturating_sub(ran);
        round.is_undisturbed &= off_core < (took / 200).max(Duration::from_micros(100));
        Some(round)
    }
}

/// A table that grows.
struct Grown<C>(std::marker::PhantomData<C>);

/// The keys that a table grows to.
const GROWN: u64 = 1_000_000;

impl<C: Contender<u64>> Grown<C> {
    fn new() -> Grown<C> {
        C::prove();
        Grown(std::marker::PhantomData)
    }
}

impl<C: Contender<u64>> Subject for Grown<C> {
    fn name(&self) -> &'static str {
        C::NAME
    }

    fn round(&mut self, _: Option<Beside>) -> Option<Round> {
        let hourly = Quota {
            nanos: 3_600_000_000_000,
            burst: C::LEAST_BURST,
        };
        let limiter = C::new([hourly]);
        let mut times = Times::new();
        times.begin();
        for key in 0..GROWN {
            times.time(|| assert!(black_box(limiter.check(&key))));
        }
        assert_eq!(limiter.stored(), Some(GROWN as usize));
        times.round()
    }
}

/// The times of checks in this thread.
struct Times {
    clock: quanta::Clock,
    all: Vec<u64>,
    /// The time at which the last check ended.
    last: u64,
    seen: Seen,
    /// The longest time, in ns, that other machines had the core between two looks.
    stolen: u64,
}

/// A look of a thread at its own times.
struct Seen {
    at: u64,
    on_core: Duration,
    switches: i64,
}

/// In less time than this, in ns, no other machine takes the core and gives it back.
const UNINTERRUPTED: u64 = 5_000;

/// A round that lost less time than this, in ns, is undisturbed.
const NEGLIGIBLE: u64 = 20_000;

impl Times {
    fn new() -> Times {
        let clock = quanta::Clock::new();
        Times {
            seen: Seen::now(&clock),
            last: clock.raw(),
            all: Vec::with_capacity(1 << 20),
            stolen: 0,
            clock,
        }
    }

    fn begin(&mut self) {
        self.seen = Seen::now(&self.clock);
        self.last = self.clock.raw();
    }

    #[inline]
    fn time(&mut self, check: impl FnOnce()) {
        let began = self.clock.raw();
        check();
        let ended = self.clock.raw();
        self.all.push(self.clock.delta_as_nanos(began, ended));
        if self.clock.delta_as_nanos(self.last, ended) >= UNINTERRUPTED {
            self.look();
        }
        self.last = self.clock.raw();
    }

    /// Counts the time that was stolen since the last look.
    #[cold]
    fn look(&mut self) {
        let before = std::mem::replace(&mut self.seen, Seen::now(&self.clock));
        if self.seen.switches == before.switches {
            let wall = self.clock.delta_as_nanos(before.at, self.seen.at);
            let ran = (self.seen.on_core - before.on_core).as_nanos() as u64;
            self.stolen = self.stolen.max(wall.saturating_sub(ran));
        }
    }

    fn round(mut self) -> Option<Round> {
        self.look();
        self.all.sort_unstable();
        let &greatest = self.all.last()?;
        let percentile = self.all[(self.all.len() * 9_999 / 10_000).min(self.all.len() - 1)];
        Some(Round {
            percentile,
            greatest,
            is_undisturbed: self.stolen < NEGLIGIBLE,
        })
    }
}

impl Seen {
    fn now(clock: &quanta::Clock) -> Seen {
        let usage = getrusage(UsageWho::RUSAGE_THREAD).expect("Linux has it");
        Seen {
            switches: usage.voluntary_context_switches() + usage.involuntary_context_switches(),
            on_core: time_on_core(),
            at: clock.raw(),
        }
    }
}

/// Returns how long this thread has run. The time in which other programs, or other machines of the
/// same host, had its core does not count.
fn time_on_core() -> Duration {
    let time = ClockId::CLOCK_THREAD_CPUTIME_ID.now();
    time.expect("Linux has it").into()
}
