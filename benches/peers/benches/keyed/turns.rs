//! Turns, in each of which every contender is timed once.

use std::time::{Duration, Instant};

use crate::{host, team::Taken};

/// How many turns a cell takes.
#[derive(Clone, Copy)]
pub struct Turns {
    pub counted: usize,
    /// How long those are made again that the host disturbs, or in which threads miss each other.
    pub patience: Duration,
}

/// What the turns of a cell took.
pub struct Times {
    /// In ns, of each contender by turns.
    pub nanos: Vec<Vec<f64>>,
    /// Turns that count although the host disturbed them, or threads missed each other.
    pub disturbed: usize,
}

impl Turns {
    /// Times `contenders`, another one beginning each turn, by what `time` says of a turn and of a
    /// contender.
    pub fn take(self, contenders: usize, mut time: impl FnMut(usize, usize) -> Taken) -> Times {
        let mut nanos = vec![Vec::with_capacity(self.counted); contenders];
        let (mut disturbed, mut again) = (0, 0);
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
                    again += 1;
                    continue;
                }
                disturbed += 1;
            }
            for (nanos, turned) in nanos.iter_mut().zip(turned) {
                nanos.push(turned);
            }
            turn += 1;
        }
        if again + disturbed > 0 {
            eprintln!("disturbed turns: {again} made again, {disturbed} counted");
        }
        Times { nanos, disturbed }
    }
}
