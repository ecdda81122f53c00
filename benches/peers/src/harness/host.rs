//! The machine: its processor, and the time that the host of a virtual machine takes from it.

use std::{
    fs,
    process::Command,
    thread,
    time::{Duration, Instant},
};

/// Prints what a number needs beside it: the processor, its cores, and the commit.
pub fn print_machine() {
    let processor = fs::read_to_string("/proc/cpuinfo").ok();
    let processor = processor.as_deref().and_then(|text| {
        let line = text.lines().find(|line| line.starts_with("model name"))?;
        Some(line.split_once(':')?.1.trim())
    });
    let cores = thread::available_parallelism().map_or(1, usize::from);
    let commit = Command::new("git")
        .args(["describe", "--always", "--dirty", "--exclude=*"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output();
    let commit = commit.map_or(String::new(), |output| {
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    });
    println!(
        "processor: {}, {cores} cores; commit: {}\n",
        processor.unwrap_or("unknown"),
        if commit.is_empty() {
            "unknown"
        } else {
            &commit
        }
    );
}

/// Starts to watch the host. The result tells whether the host has left the cores of this machine
/// alone since, but for 1/20 of the time. Threads that lose a core do not run at once.
pub(super) fn watch() -> impl FnOnce() -> bool {
    let (before, began) = (stolen(), Instant::now());
    move || stolen() - before <= began.elapsed() / 20
}

/// Returns how long the host has run something else on a core that this machine wanted, summed over
/// cores since boot. Zero where the system does not tell. The kernel counts in steps of 10 ms.
fn stolen() -> Duration {
    let stat = fs::read_to_string("/proc/stat").unwrap_or_default();
    // The name of the line, then user, nice, system, idle, iowait, irq, softirq and steal.
    let steal = stat.split_whitespace().nth(8);
    let steps = steal.and_then(|steal| steal.parse().ok()).unwrap_or(0);
    Duration::from_millis(10) * steps
}
