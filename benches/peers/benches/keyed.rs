//! What does a check cost? Of one key, of 1,000, of a million and of ten million, allowed and denied,
//! with one thread and with several. What does the first check of a key cost, and one of two quotas?
//!
//! `cargo bench --manifest-path benches/peers/Cargo.toml --bench keyed -- --help`
//!
//! Contenders take turns ([`tollgate_peers::harness`]). A time is that of one check in one thread:
//! what does not scale shows as a longer time with more threads. More threads than cores measure the
//! scheduler too.
//!
//! - A batch starts with checks that are not timed, because the turns of others evict its keys from
//!   the processor's caches. Of a million keys and more, only a part is back when the clock starts.
//! - A batch lasts from the release of its threads to the end of the last one. Each of several
//!   threads is kept to a core.
//! - The keys lie ready in the order of the checks. Each turn and each thread starts at another place.
//! - A disturbed turn is repeated while patience lasts: the host took a core away, or threads with a
//!   core each did not start together.
//! - Every check is counted. A batch in which a check has another outcome ends the program.
//! - "First sight": keys that no table holds, shared out among the threads. Each batch has a new
//!   table, which grows from empty.

#[path = "keyed/cells.rs"]
mod cells;

use std::{
    fs::File,
    io::{self, Write},
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use clap::{Parser, ValueEnum};
use tollgate_peers::harness::{Batch, Team, Times, Turns, print_machine, record};
use tollgate_peers::keyed::{Entry, Key, Outcome, TOLLGATE, Table};
use tollgate_peers::keyed::{
    calls, clocks, forgets, hashers, peers_of_any_key, shards, sweeps, tiers,
};

use cells::{Cell, NEW_KEYS, Pace, Workload};

/// Times checks of tollgate and others, by turns.
#[derive(Parser)]
struct Arguments {
    /// The others: peers, or tollgate with other options.
    #[arg(long, value_enum, default_value_t = Against::Peers)]
    against: Against,
    /// Turns of each cell. Default: by size, 15 or 41.
    #[arg(long)]
    turns: Option<usize>,
    /// For how long disturbed turns of a cell are repeated. Later ones count.
    #[arg(long, value_name = "SECONDS", default_value_t = 30)]
    patience: u64,
    /// Write the rows to this file, too, and the machine beside it.
    #[arg(long)]
    csv: Option<PathBuf>,
    /// Only these contenders, by name. tollgate is always one.
    #[arg(long, value_delimiter = ',')]
    contenders: Vec<String>,
    /// Only cells whose name contains each of these, such as "u64, 1000 keys" or "threads 2".
    patterns: Vec<String>,
    /// Cargo's own.
    #[arg(long, hide = true)]
    bench: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Against {
    Peers,
    Shards,
    Hashers,
    Calls,
    Clocks,
    Forgets,
    Sweeps,
    Tiers,
}

impl Against {
    fn entries<K: Key>(self) -> Vec<Entry<K>> {
        match self {
            Against::Peers => K::peers(),
            Against::Shards => shards(),
            Against::Hashers => hashers(),
            Against::Calls => calls(),
            Against::Clocks => clocks(),
            Against::Forgets => forgets(),
            Against::Sweeps => sweeps(),
            Against::Tiers => tiers::<K, 1>(),
        }
    }
}

fn main() -> io::Result<()> {
    let mut bench = Bench::new(Arguments::parse())?;
    print_machine();
    bench.cells::<u64>()?;
    bench.cells::<String>()?;
    bench.summarize();
    Ok(())
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
    decides: bool,
    ratio: f64,
}

impl Bench {
    fn new(arguments: Arguments) -> io::Result<Bench> {
        let names: Vec<&str> = (arguments.against.entries::<String>().iter())
            .map(|entry| entry.name)
            .collect();
        for name in &arguments.contenders {
            if !names.contains(&name.as_str()) {
                let expected = names.join(", ");
                let error = format!("found contender {name:?}, expected some of {expected}");
                return Err(io::Error::other(error));
            }
        }
        const COLUMNS: &str = "keys,type,outcome,threads,contender,ns,ratio,disturbed";
        let csv = arguments.csv.as_deref();
        let csv = csv.map(|path| record(path, COLUMNS)).transpose()?;
        Ok(Bench {
            arguments,
            csv,
            rows: Vec::new(),
        })
    }

    /// Times all cells of one type of key.
    fn cells<K: Key>(&mut self) -> io::Result<()> {
        let entries = self.arguments.against.entries::<K>();
        for keys in [1, 1_000, 1_000_000, 10_000_000] {
            let workloads: &[Workload] = match keys {
                1_000_000 => &[Workload::Uniform(keys), Workload::Zipf(keys)],
                _ => &[Workload::Uniform(keys)],
            };
            for outcome in OUTCOMES {
                self.tables(&entries, keys, workloads, outcome, &[1, 2, 8])?;
            }
        }
        for threads in [1, 2] {
            self.first_sight(&entries, threads)?;
        }
        let of_two_quotas = match self.arguments.against {
            Against::Peers => peers_of_any_key::<K, 2>(),
            Against::Tiers => tiers::<K, 2>(),
            _ => Vec::new(),
        };
        if !of_two_quotas.is_empty() {
            let entries = of_two_quotas;
            for keys in [1, 1_000] {
                for outcome in OUTCOMES {
                    let workloads = [Workload::TwoQuotas(keys)];
                    self.tables(&entries, keys, &workloads, outcome, &[1, 2])?;
                }
            }
        }
        Ok(())
    }

    /// Times the cells that can share prepared tables.
    fn tables<K: Key>(
        &mut self,
        entries: &[Entry<K>],
        keys: u64,
        workloads: &[Workload],
        outcome: Outcome,
        threads: &[usize],
    ) -> io::Result<()> {
        let cells = workloads.iter().flat_map(|&workload| {
            threads.iter().map(move |&threads| Cell {
                key: K::NAME,
                workload,
                outcome,
                threads,
            })
        });
        let cells: Vec<Cell> = cells.filter(|cell| self.is_wanted(cell)).collect();
        if cells.is_empty() {
            return Ok(());
        }
        let entries = self.proved(entries);
        let prepare = |entry: &Entry<K>| (entry.prepared)(outcome, keys);
        let tables: Vec<_> = entries.iter().map(prepare).collect();
        for &workload in workloads {
            let mut cells = (cells.iter())
                .filter(|cell| cell.workload == workload)
                .peekable();
            if cells.peek().is_none() {
                continue;
            }
            let sequence = workload.sequence();
            for cell in cells {
                let pace = cell.pace();
                let turns = self.turns(&pace);
                let times = Team::with(&sequence, outcome, cell.threads, |team| {
                    by_turns(team, &tables, turns, &pace)
                });
                self.report(cell, &entries, &times)?;
            }
        }
        Ok(())
    }

    fn first_sight<K: Key>(&mut self, entries: &[Entry<K>], threads: usize) -> io::Result<()> {
        let cell = Cell {
            key: K::NAME,
            workload: Workload::FirstSight,
            outcome: Outcome::Allowed,
            threads,
        };
        if !self.is_wanted(&cell) {
            return Ok(());
        }
        let entries = self.proved(entries);
        let turns = self.turns(&cell.pace());
        let sequence = cell.workload.sequence();
        let times = Team::with(&sequence, cell.outcome, threads, |team| {
            turns.take(entries.len(), |_, contender| {
                team.time(Batch {
                    table: (entries[contender].fresh)(),
                    place: 0,
                    untimed: 0,
                    timed: NEW_KEYS as usize / threads,
                })
            })
        });
        self.report(&cell, &entries, &times)
    }

    fn turns(&self, pace: &Pace) -> Turns {
        Turns {
            counted: self.arguments.turns.unwrap_or(pace.turns),
            patience: Duration::from_secs(self.arguments.patience),
        }
    }

    fn is_wanted(&self, cell: &Cell) -> bool {
        let name = cell.name();
        let mut patterns = self.arguments.patterns.iter();
        patterns.all(|pattern| name.contains(pattern))
    }

    /// Returns the contenders that are wanted, after each has proved that it limits.
    fn proved<K: Key>(&self, entries: &[Entry<K>]) -> Vec<Entry<K>> {
        let wanted = &self.arguments.contenders;
        let is_wanted = |entry: &&Entry<K>| {
            let name = entry.name;
            name == TOLLGATE || wanted.is_empty() || wanted.iter().any(|wanted| wanted == name)
        };
        let entries: Vec<Entry<K>> = entries.iter().filter(is_wanted).cloned().collect();
        for entry in &entries {
            (entry.prove)();
        }
        entries
    }

    /// Prints the rows of a cell, and writes them to the file.
    fn report<K>(&mut self, cell: &Cell, entries: &[Entry<K>], times: &Times) -> io::Result<()> {
        println!("{}", cell.name());
        let tollgate = entries.iter().position(|entry| entry.name == TOLLGATE);
        let tollgate = tollgate.expect("it is always one");
        let disturbed = times.disturbed;
        for (nth, &Entry { name, decides, .. }) in entries.iter().enumerate() {
            let ratio = times.paired(nth, tollgate, |time, tollgate| time / tollgate);
            let nanos = times.median(nth);
            println!("    {name:22}{nanos:10.1}{ratio:8.2}");
            if let Some(csv) = &mut self.csv {
                let keys = quoted(cell.workload.column());
                let Cell { key, threads, .. } = cell;
                let outcome = cell.outcome();
                writeln!(
                    csv,
                    "{keys},{key},{outcome},{threads},{name},{nanos:.2},{ratio:.4},{disturbed}"
                )?;
            }
            self.rows.push(Row {
                section: cell.workload.section(),
                cell: cell.name(),
                contender: name,
                decides,
                ratio,
            });
        }
        Ok(())
    }

    fn summarize(&self) {
        println!("\ntime over tollgate's, geometric means over cells");
        for section in ["keyed", "first sight", "two quotas"] {
            let rows = || self.rows.iter().filter(|row| row.section == section);
            let mut contenders: Vec<&str> = Vec::new();
            for row in rows().filter(|row| row.contender != TOLLGATE) {
                if !contenders.contains(&row.contender) {
                    contenders.push(row.contender);
                }
            }
            for contender in contenders {
                let rows = rows().filter(|row| row.contender == contender);
                let logarithms: Vec<f64> = rows.map(|row| row.ratio.ln()).collect();
                let cells = logarithms.len();
                let mean = (logarithms.iter().sum::<f64>() / cells as f64).exp();
                println!("    {section:14}{contender:22}{mean:8.2}  of {cells}");
            }
        }
        println!("\ncells that tollgate loses");
        for row in &self.rows {
            // As printed.
            let is_lost = (row.ratio * 100.0).round() < 100.0;
            if is_lost && row.decides {
                println!("    {:50}{:22}{:8.2}", row.cell, row.contender, row.ratio);
            }
        }
    }
}

const OUTCOMES: [Outcome; 2] = [Outcome::Allowed, Outcome::Denied];

/// A field of the file.
fn quoted(text: String) -> String {
    if text.contains(',') {
        format!("\"{text}\"")
    } else {
        text
    }
}

/// Times batches that last about as long as the pace has it. Each contender makes the same number of
/// checks in each turn.
fn by_turns<K: Key>(
    team: &Team<'_, K>,
    tables: &[Arc<dyn Table<K>>],
    turns: Turns,
    pace: &Pace,
) -> Times {
    let batch = |contender: usize, place, untimed, timed| Batch {
        table: Arc::clone(&tables[contender]),
        place,
        untimed,
        timed,
    };
    let checks = (0..tables.len()).map(|contender| {
        let mut checks = 1 << 10;
        loop {
            // The least of three. A batch that the system interrupts would make every turn short, and
            // short turns time the start of the threads.
            let nanos =
                (0..3).map(|nth| team.time(batch(contender, nth * checks, 0, checks)).nanos);
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
        team.time(batch(contender, places[turn], untimed, timed))
    })
}
