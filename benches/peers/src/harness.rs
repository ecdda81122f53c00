//! The harness: contenders take turns in one run.
//!
//! The pace of a shared machine changes from one moment to the next. In each turn every contender
//! is timed once, and each turn starts with another one. A reported time is the median over the
//! turns. A reported ratio is the median of the ratios within a turn, so it compares times of the
//! same moment.

pub mod cores;
mod host;
mod team;
mod turns;

pub use self::host::{print_machine, record};
pub use self::team::{Batch, Team};
pub use self::turns::{Taken, Times, Turns};

/// Returns the upper median of `values`, of which there is at least one.
pub fn median<T: Copy + PartialOrd>(mut values: Vec<T>) -> T {
    values.sort_by(|a, b| a.partial_cmp(b).expect("times and ratios are no NaN"));
    values[values.len() / 2]
}
