//! The machine: its processor, and the time that the host of a virtual machine takes from it.

use std::{
    fs::{self, File},
    io::{self, Write},
    path::Path,
    process::Command,
    thread,
    time::{Duration, Instant},
};

/// Prints what a number needs beside it.
pub fn print_machine() {
    println!("{}", machine());
}

/// Begins a file of results, and writes the machine beside it: `keyed.txt` for `keyed.csv`.
pub fn record(csv: &Path, columns: &str) -> io::Result<File> {
    fs::write(csv.with_extension("txt"), machine())?;
    let mut file = File::create(csv)?;
    writeln!(file, "{columns}")?;
    Ok(file)
}

/// Returns the vendor and model of the processor, the cores, the commit, the compiler and the date, each
/// on a line.
fn machine() -> String {
    let cpuinfo = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let of_processor = |name: &str| {
        let named = |line: &&str| line.split('\t').next().map(str::trim) == Some(name);
        let value = cpuinfo
            .lines()
            .find(named)
            .and_then(|line| line.split_once(':'));
        value.map_or("unknown", |(_, value)| value.trim())
    };
    let cores = thread::available_parallelism().map_or(1, usize::from);
    let lines = [
        ("vendor", of_processor("vendor_id").to_owned()),
        (
            "processor",
            format!(
                "{}, family {}, model {}",
                of_processor("model name"),
                of_processor("cpu family"),
                of_processor("model")
            ),
        ),
        ("cores", cores.to_string()),
        (
            "commit",
            output("git", &["describe", "--always", "--dirty", "--exclude=*"]),
        ),
        ("compiler", output("rustc", &["--version"])),
        ("date", output("date", &["-u", "+%F"])),
    ];
    let lines = lines.map(|(name, value)| format!("{name}: {value}\n"));
    lines.concat()
}

/// Returns the first line that a program prints.
fn output(program: &str, arguments: &[&str]) -> String {
    let mut command = Command::new(program);
    let command = command
        .args(arguments)
        .current_dir(env!("CARGO_MANIFEST_DIR"));
    let printed = command
        .output()
        .map(|output| output.stdout)
        .unwrap_or_default();
    let text = String::from_utf8_lossy(&printed);
    text.lines().next().unwrap_or("unknown").to_owned()
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
