//! Turns, in each of which every contender is timed once.

use std::time::{Duration, Instant};

use super::{host, median};

/// How many turns a cell takes.
#[derive(Clone, Copy)]
pub struct Turns {
    pub counted: usize,
    /// For how long disturbed turns are repeated. Later ones count. A turn is disturbed if the host
    /// takes a core away, or if threads do not start together.
    pub patience: Duration,
}

/// The time of one contender in one turn.
pub struct Taken {
    /// The ns that a check took each thread, or a request its server.
    pub nanos: f64,
    /// Whether threads that have a core each started within 1/10 of the batch. If not, they contend
    /// less than they should.
    pub is_together: bool,
}

/// The times of a cell.
pub struct Times {
    /// In ns, for each contender, by turn.
    pub nanos: Vec<Vec<f64>>,
    /// The disturbed turns that count.
    pub disturbed: usize,
}

impl Turns {
    /// Times `contenders` of them. `time` times a contender in a turn.
    pub fn take(self, contenders: usize, mut time: impl FnMut(usize, usize) -> Taken) -> Times {
        let mut nanos = vec![Vec::with_capacity(self.counted); contenders];
        let (mut disturbed, mut repeated) = (0, 0);
        let began = Instant::now();
        let mut turn = 0;
        while turn < self.counted {
            let undisturbed = host::watch();
            let mut is_together = true;
            let mut turned = vec![0.0; contenders];
            for nth in 0..contenders {
                let contender = (turn + nth) % contenders;
                let taken = time(turn, contender);
                turned[contender] = taken.nanos;
                is_together &= taken.is_together;
            }
            if !(undisturbed() && is_together) {
                if began.elapsed() < self.patience {
                    repeated += 1;
                    continue;
                }
                disturbed += 1;
            }
            for (nanos, turned) in nanos.iter_mut().zip(turned) {
                nanos.push(turned);
            }
            turn += 1;
        }
        if repeated + disturbed > 0 {
            eprintln!("disturbed turns: {repeated} repeated, {disturbed} counted");
        }
        Times { nanos, disturbed }
    }
}

impl Times {
    /// Returns the median time of a contender, in ns.
    pub fn median(&self, contender: usize) -> f64 {
        median(self.nanos[contender].clone())
    }

    /// Returns the median over the turns of what `of` makes of two contenders' times.
    pub fn paired(&self, contender: usize, other: usize, of: fn(f64, f64) -> f64) -> f64 {
        let pairs = self.nanos[contender].iter().zip(&self.nanos[other]);
        median(pairs.map(|(&time, &other)| of(time, other)).collect())
    }
}
