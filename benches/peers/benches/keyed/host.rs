//! What the host of a virtual machine takes from it.

use std::{
    fs,
    time::{Duration, Instant},
};

/// Begins to watch, and says later whether the host has let this machine alone since: if it takes
/// cores away for longer than 1/20 of the time, threads that are to run at once do not.
pub fn watch() -> impl FnOnce() -> bool {
    let (before, began) = (stolen(), Instant::now());
    move || stolen() - before <= began.elapsed() / 20
}

/// How long the host has run something else on a core that this machine wanted, of all cores and
/// since it began; zero where nothing tells. It is counted in steps of 10 ms.
fn stolen() -> Duration {
    let stat = fs::read_to_string("/proc/stat").unwrap_or_default();
    // The name of the line, then user, nice, system, idle, iowait, irq, softirq and steal.
    let steal = stat.split_whitespace().nth(8);
    let steps = steal.and_then(|steal| steal.parse().ok()).unwrap_or(0);
    Duration::from_millis(10) * steps
}
