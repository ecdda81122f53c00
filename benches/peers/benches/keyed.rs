//! What does a check cost: of one key, of 1,000, of a million and of ten million, allowed and
//! refused, by one thread and by several at once? What does the first check of a key cost, and one
//! of two quotas?
//!
//! `cargo bench --manifest-path benches/peers/Cargo.toml --bench keyed -- --help`
//!
//! For a machine whose pace changes from one moment to the next: in each turn of a cell, every
//! contender makes one batch of checks, and another is the first to. A time is that of one check in
//! one thread: what does not scale shows as a longer time with more threads, and more threads than
//! cores measure the scheduler too. Given are the median time, and the median of how many times
//! tollgate's time it is within a turn.
//!
//! - A batch begins with checks that are not timed, as the turns of others have displaced its keys
//!   from the caches. Of a million keys and more only a part is back when the clock starts.
//! - It lasts from when its threads are released until the last has done its checks. Each of
//!   several threads is kept to a core.
//! - Keys asked for lie ready, in the order in which they are asked for, and are read from another
//!   place in each turn and by each thread.
//! - A turn in which the host of a virtual machine took a core away, or in which threads with a
//!   core each did not begin together, is made again, as long as patience lasts.
//! - Every check is counted, and a batch whose checks do not all have the outcome ends the program.
//! - "First sight": keys that no table holds, shared out among the threads. For each batch there is
//!   a new table, which grows from empty.

#[path = "keyed/cores.rs"]
mod cores;
#[path = "keyed/host.rs"]
mod host;
#[path = "keyed/team.rs"]
mod team;
#[path = "keyed/turns.rs"]
mod turns;

use std::{
    fs::File,
    io::{self, Write},
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use clap::Parser;
use tollgate_peers::keyed::{Contender, FLOOR, GOVERNOR, GOVERNOR_FOLDHASH, TOLLGATE};
use tollgate_peers::keyed::{Key, Outcome, Table};

use team::Team;
use turns::{Times, Turns};

/// Times checks of tollgate and its peers, by turns.
#[derive(Parser)]
struct Arguments {
    /// Turns of each cell, rather than as many as its size affords.
    #[arg(long)]
    turns: Option<usize>,
    /// For how long turns of a cell are made again that the host of this machine disturbs, or in
    /// which threads miss each other. Later ones count.
    #[arg(long, value_name = "SECONDS", default_value_t = 30)]
    patience: u64,
    /// Write the rows to this file, too.
    #[arg(long)]
    csv: Option<PathBuf>,
    /// Only these contenders, by name; tollgate is one in any case.
    #[arg(long, value_delimiter = ',')]
    contenders: Vec<String>,
    /// Only cells whose name contains each of these, such as "u64, 1000 keys" or "threads 2".
    patterns: Vec<String>,
    /// Cargo's own.
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() -> io::Result<()> {
    let mut bench = Bench::new(Arguments::parse())?;
    bench.keys::<u64>()?;
    bench.keys::<String>()?;
    bench.summarize();
    Ok(())
}

/// What is asked for in a cell.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Asked {
    /// That many keys, each as often.
    Uniform(u64),
    /// That many, the second half as often as the first, the third a third as often, and so on.
    Zipf(u64),
    /// Keys of a new table.
    FirstSight,
    /// As `Uniform`, with two quotas.
    TwoQuotas(u64),
}

impl Asked {
    fn name(self) -> String {
        match self {
            Asked::Uniform(keys) => format!("{keys} keys"),
            Asked::Zipf(keys) => format!("{keys} keys zipf"),
            Asked::FirstSight => self.column(),
            Asked::TwoQuotas(keys) => format!("{keys} keys, two quotas"),
        }
    }

    fn column(self) -> String {
        match self {
            Asked::Uniform(keys) => keys.to_string(),
            Asked::Zipf(_) => "zipf".to_owned(),
            Asked::FirstSight => "first sight".to_owned(),
            Asked::TwoQuotas(keys) => format!("{keys}, two quotas"),
        }
    }

    /// What the cells are summed up under.
    fn section(self) -> &'static str {
        match self {
            Asked::Uniform(_) | Asked::Zipf(_) => "keyed",
            Asked::FirstSight => "first sight",
            Asked::TwoQuotas(_) => "two quotas",
        }
    }

    /// The keys in the order in which they are asked for.
    fn sequence<K: Key>(self) -> Vec<K> {
        let mut random = fastrand::Rng::with_seed(1);
        match self {
            // Few keys, and a sequence that fits in the cache with them.
            Asked::Uniform(keys @ ..=1_000) | Asked::TwoQuotas(keys) => {
                let next = |_| K::nth(random.u64(..keys));
                (0..1 << 14).map(next).collect()
            }
            Asked::Uniform(keys) => {
                let next = |_| K::nth(random.u64(..keys));
                (0..1 << 22).map(next).collect()
            }
            Asked::Zipf(keys) => zipf(keys, &mut random).map(K::nth).collect(),
            Asked::FirstSight => (0..NEW_KEYS).map(K::nth).collect(),
        }
    }
}

/// Keys that a table grows to from empty, by all threads together.
const NEW_KEYS: u64 = 100_000;

/// Keys that occur as often as one over their rank. Ranks are spread over the keys, so that those
/// often asked for do not lie side by side.
fn zipf(keys: u64, random: &mut fastrand::Rng) -> impl Iterator<Item = u64> {
    let mut sum = 0.0;
    let up_to = (1..=keys).map(|rank| {
        sum += 1.0 / rank as f64;
        sum
    });
    let up_to: Vec<f64> = up_to.collect();
    (0..1 << 20).map(move |_| {
        let at = random.f64() * sum;
        let rank = up_to.partition_point(|&sum| sum <= at) as u64;
        // A prime that divides no number of keys here, so that no two ranks share a key.
        rank * 611_953 % keys
    })
}

/// What is timed, beside whom.
struct Cell {
    key: &'static str,
    asked: Asked,
    outcome: Outcome,
    threads: usize,
}

impl Cell {
    fn name(&self) -> String {
        let Cell {
            key,
            asked,
            threads,
            ..
        } = self;
        let (asked, outcome) = (asked.name(), self.outcome());
        format!("{key}, {asked}, {outcome}, threads {threads}")
    }

    fn outcome(&self) -> &'static str {
        match self.outcome {
            Outcome::Allowed => "allowed",
            Outcome::Refused => "refused",
        }
    }

    fn pace(&self) -> Pace {
        match self.asked {
            Asked::FirstSight => Pace {
                turns: 41,
                untimed: 0.0,
                timed: Duration::ZERO,
            },
            Asked::Uniform(..=1_000) | Asked::TwoQuotas(_) => Pace {
                turns: 41,
                untimed: 0.25,
                // Threads that share a core take turns of some ms.
                timed: Duration::from_millis(if self.threads > 2 { 20 } else { 5 }),
            },
            Asked::Uniform(10_000_000..) => Pace {
                turns: 15,
                untimed: 0.5,
                timed: Duration::from_millis(30),
            },
            // These have parts that the cache can hold.
            Asked::Uniform(_) | Asked::Zipf(_) => Pace {
                turns: 15,
                untimed: 1.5,
                timed: Duration::from_millis(30),
            },
        }
    }
}

/// How many turns, and what a batch is to be.
struct Pace {
    turns: usize,
    /// Checks before the timed ones, for each of those.
    untimed: f64,
    timed: Duration,
}

struct Bench {
    arguments: Arguments,
    csv: Option<File>,
    rows: Vec<Row>,
}

struct Row {
    section: &'static str,
    cell: String,
    contender: &'static str,
    ratio: f64,
}

impl Bench {
    fn new(arguments: Arguments) -> io::Result<Bench> {
        let names: Vec<&str> = (String::contenders().iter())
            .map(|contender| contender.name)
            .collect();
        for name in &arguments.contenders {
            if !names.contains(&name.as_str()) {
                let expected = names.join(", ");
                let error = format!("found contender {name:?}, expected some of {expected}");
                return Err(io::Error::other(error));
            }
        }
        let mut csv = arguments.csv.as_ref().map(File::create).transpose()?;
        if let Some(csv) = &mut csv {
            writeln!(
                csv,
                "keys,type,outcome,threads,contender,ns,ratio,disturbed"
            )?;
        }
        Ok(Bench {
            arguments,
            csv,
            rows: Vec::new(),
        })
    }

    /// All cells of one type of key.
    fn keys<K: Key>(&mut self) -> io::Result<()> {
        let outcomes = [Outcome::Allowed, Outcome::Refused];
        for keys in [1, 1_000, 1_000_000, 10_000_000] {
            let asked: &[Asked] = match keys {
                1_000_000 => &[Asked::Uniform(keys), Asked::Zipf(keys)],
                _ => &[Asked::Uniform(keys)],
            };
            for outcome in outcomes {
                self.tables::<K>(K::contenders(), keys, asked, outcome, &[1, 2, 8])?;
            }
        }
        for threads in [1, 2] {
            self.first_sight::<K>(threads)?;
        }
        for keys in [1, 1_000] {
            let asked = [Asked::TwoQuotas(keys)];
            for outcome in outcomes {
                let contenders = K::contenders_of_two_quotas();
                self.tables::<K>(contenders, keys, &asked, outcome, &[1, 2])?;
            }
        }
        Ok(())
    }

    /// The cells that can share prepared tables.
    fn tables<K: Key>(
        &mut self,
        contenders: Vec<Contender<K>>,
        keys: u64,
        asked: &[Asked],
        outcome: Outcome,
        threads: &[usize],
    ) -> io::Result<()> {
        let cells = asked.iter().flat_map(|&asked| {
            threads.iter().map(move |&threads| Cell {
                key: K::NAME,
                asked,
                outcome,
                threads,
            })
        });
        let cells: Vec<Cell> = cells.filter(|cell| self.wants(cell)).collect();
        if cells.is_empty() {
            return Ok(());
        }
        let contenders = self.proved(contenders);
        let prepare = |contender: &Contender<K>| (contender.prepared)(outcome, keys);
        let tables: Vec<_> = contenders.iter().map(prepare).collect();
        for &asked in asked {
            let cells: Vec<_> = cells.iter().filter(|cell| cell.asked == asked).collect();
            if cells.is_empty() {
                continue;
            }
            let sequence = asked.sequence();
            for cell in cells {
                let pace = cell.pace();
                let turns = self.turns(&pace);
                let times = Team::with(&sequence, outcome, cell.threads, |team| {
                    by_turns(team, &tables, turns, &pace)
                });
                self.tell(cell, &contenders, &times)?;
            }
        }
        Ok(())
    }

    fn first_sight<K: Key>(&mut self, threads: usize) -> io::Result<()> {
        let cell = Cell {
            key: K::NAME,
            asked: Asked::FirstSight,
            outcome: Outcome::Allowed,
            threads,
        };
        if !self.wants(&cell) {
            return Ok(());
        }
        let contenders = self.proved(K::contenders());
        let turns = self.turns(&cell.pace());
        let checks = NEW_KEYS as usize / threads;
        let sequence = cell.asked.sequence();
        let times = Team::with(&sequence, cell.outcome, threads, |team| {
            turns.take(contenders.len(), |_, contender| {
                let table = (contenders[contender].fresh)();
                team.time(table, 0, 0, checks)
            })
        });
        self.tell(&cell, &contenders, &times)
    }

    fn turns(&self, pace: &Pace) -> Turns {
        Turns {
            counted: self.arguments.turns.unwrap_or(pace.turns),
            patience: Duration::from_secs(self.arguments.patience),
        }
    }

    fn wants(&self, cell: &Cell) -> bool {
        let name = cell.name();
        let mut patterns = self.arguments.patterns.iter();
        patterns.all(|pattern| name.contains(pattern))
    }

    /// The contenders that are wanted, once they have proved what must be so.
    fn proved<K: Key>(&self, mut contenders: Vec<Contender<K>>) -> Vec<Contender<K>> {
        let wanted = &self.arguments.contenders;
        contenders.retain(|Contender { name, .. }| {
            *name == TOLLGATE || wanted.is_empty() || wanted.iter().any(|wanted| wanted == name)
        });
        for contender in &contenders {
            (contender.prove)();
        }
        contenders
    }

    /// Prints a cell's rows.
    fn tell<K>(
        &mut self,
        cell: &Cell,
        contenders: &[Contender<K>],
        times: &Times,
    ) -> io::Result<()> {
        println!("{}", cell.name());
        let tollgate = contenders
            .iter()
            .position(|contender| contender.name == TOLLGATE);
        let tollgate = &times.nanos[tollgate.expect("one in any case")];
        let disturbed = times.disturbed;
        for (Contender { name, .. }, times) in contenders.iter().zip(&times.nanos) {
            let paired = times.iter().zip(tollgate);
            let ratio = median(paired.map(|(time, tollgate)| time / tollgate).collect());
            let nanos = median(times.clone());
            println!("    {name:22}{nanos:10.1}{ratio:8.2}");
            if let Some(csv) = &mut self.csv {
                let keys = quoted(cell.asked.column());
                let Cell { key, threads, .. } = cell;
                let outcome = cell.outcome();
                writeln!(
                    csv,
                    "{keys},{key},{outcome},{threads},{name},{nanos:.2},{ratio:.4},{disturbed}"
                )?;
            }
            self.rows.push(Row {
                section: cell.asked.section(),
                cell: cell.name(),
                contender: name,
                ratio,
            });
        }
        Ok(())
    }

    fn summarize(&self) {
        println!("\ntimes tollgate's time, geometric means over cells");
        for section in ["keyed", "first sight", "two quotas"] {
            for contender in [GOVERNOR, GOVERNOR_FOLDHASH] {
                let rows = self.rows.iter();
                let rows = rows.filter(|row| row.section == section && row.contender == contender);
                let logarithms: Vec<f64> = rows.map(|row| row.ratio.ln()).collect();
                if !logarithms.is_empty() {
                    let cells = logarithms.len();
                    let mean = (logarithms.iter().sum::<f64>() / cells as f64).exp();
                    println!("    {section:14}{contender:22}{mean:8.2}  of {cells}");
                }
            }
        }
        println!("\ncells in which a peer takes less time than tollgate");
        for row in &self.rows {
            if row.ratio < 1.0 && row.contender != FLOOR {
                println!("    {:50}{:22}{:8.2}", row.cell, row.contender, row.ratio);
            }
        }
    }
}

/// A field of the file.
fn quoted(text: String) -> String {
    if text.contains(',') {
        format!("\"{text}\"")
    } else {
        text
    }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// Batches that last as long as the pace has it, each contender's of as many checks in each turn.
fn by_turns<K: Key>(
    team: &Team<'_, K>,
    tables: &[Arc<dyn Table<K>>],
    turns: Turns,
    pace: &Pace,
) -> Times {
    let checks = tables.iter().map(|table| {
        let mut checks = 1 << 10;
        loop {
            // The least of three, as one that the system interrupts would have all turns be short:
            // then they would time how the threads of a team start.
            let nanos = (0..3).map(|nth| {
                let table = Arc::clone(table);
                team.time(table, nth * checks, 0, checks).nanos
            });
            let nanos = nanos.fold(f64::INFINITY, f64::min) * checks as f64;
            let share = pace.timed.as_nanos() as f64 / nanos;
            if share < 2.0 {
                return (share * checks as f64) as usize;
            }
            checks *= 2;
        }
    });
    let checks: Vec<usize> = checks.collect();
    let mut random = fastrand::Rng::with_seed(2);
    let places: Vec<usize> = (0..turns.counted)
        .map(|_| random.usize(..1 << 22))
        .collect();
    turns.take(tables.len(), |turn, contender| {
        let timed = checks[contender];
        let untimed = (timed as f64 * pace.untimed) as usize;
        let table = Arc::clone(&tables[contender]);
        team.time(table, places[turn], untimed, timed)
    })
}
