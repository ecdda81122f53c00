//! The cells: which keys are checked, with which outcome, by how many threads, and for how long.

use std::time::Duration;

use tollgate_peers::keyed::{Key, Outcome};

/// The keys of a cell.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Workload {
    /// This many keys, all equally often.
    Uniform(u64),
    /// This many keys. The second occurs half as often as the first, the third a third as often, and
    /// so on.
    Zipf(u64),
    /// Keys of a new table.
    FirstSight,
    /// As `Uniform`, with two quotas.
    TwoQuotas(u64),
}

impl Workload {
    fn name(self) -> String {
        match self {
            Workload::Uniform(keys) => format!("{keys} keys"),
            Workload::Zipf(keys) => format!("{keys} keys zipf"),
            Workload::FirstSight => self.column(),
            Workload::TwoQuotas(keys) => format!("{keys} keys, two quotas"),
        }
    }

    /// Returns its name in the file.
    pub fn column(self) -> String {
        match self {
            Workload::Uniform(keys) => keys.to_string(),
            Workload::Zipf(_) => "zipf".to_owned(),
            Workload::FirstSight => "first sight".to_owned(),
            Workload::TwoQuotas(keys) => format!("{keys}, two quotas"),
        }
    }

    /// Returns the name under which the summary has its cells.
    pub fn section(self) -> &'static str {
        match self {
            Workload::Uniform(_) | Workload::Zipf(_) => "keyed",
            Workload::FirstSight => "first sight",
            Workload::TwoQuotas(_) => "two quotas",
        }
    }

    /// Returns the keys in the order of the checks.
    pub fn sequence<K: Key>(self) -> Vec<K> {
        let mut random = fastrand::Rng::with_seed(1);
        match self {
            // The sequence fits in the cache with the few keys.
            Workload::Uniform(keys @ ..=1_000) | Workload::TwoQuotas(keys) => {
                let next = |_| K::nth(random.u64(..keys));
                (0..1 << 14).map(next).collect()
            }
            Workload::Uniform(keys) => {
                let next = |_| K::nth(random.u64(..keys));
                (0..1 << 22).map(next).collect()
            }
            Workload::Zipf(keys) => zipf(keys, &mut random).map(K::nth).collect(),
            Workload::FirstSight => (0..NEW_KEYS).map(K::nth).collect(),
        }
    }
}

/// The keys that a new table grows to.
pub const NEW_KEYS: u64 = 100_000;

/// Returns keys that occur as often as one over their rank. Ranks are spread over the keys, so that
/// frequent keys do not lie side by side.
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

pub struct Cell {
    pub key: &'static str,
    pub workload: Workload,
    pub outcome: Outcome,
    pub threads: usize,
}

impl Cell {
    pub fn name(&self) -> String {
        let Cell { key, threads, .. } = self;
        let (keys, outcome) = (self.workload.name(), self.outcome());
        format!("{key}, {keys}, {outcome}, threads {threads}")
    }

    pub fn outcome(&self) -> &'static str {
        match self.outcome {
            Outcome::Allowed => "allowed",
            Outcome::Denied => "denied",
        }
    }

    pub fn pace(&self) -> Pace {
        match self.workload {
            Workload::FirstSight => Pace {
                turns: 41,
                untimed: 0.0,
                timed: Duration::ZERO,
            },
            Workload::Uniform(..=1_000) | Workload::TwoQuotas(_) => Pace {
                turns: 41,
                untimed: 0.25,
                // Threads that share a core alternate every few ms.
                timed: Duration::from_millis(if self.threads > 2 { 20 } else { 5 }),
            },
            Workload::Uniform(10_000_000..) => Pace {
                turns: 15,
                untimed: 0.5,
                timed: Duration::from_millis(30),
            },
            // A part of these fits in the cache.
            Workload::Uniform(_) | Workload::Zipf(_) => Pace {
                turns: 15,
                untimed: 1.5,
                timed: Duration::from_millis(30),
            },
        }
    }
}

/// The number of turns, and the size of a batch.
pub struct Pace {
    pub turns: usize,
    /// Checks before the clock starts, for each timed one.
    pub untimed: f64,
    pub timed: Duration,
}
