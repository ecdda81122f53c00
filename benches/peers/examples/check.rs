//! Checks the keys of a prepared limiter in turn. `benches/instructions.py` counts the instructions
//! of `keyed::counted_check` in it.
//!
//! `valgrind --tool=callgrind --toggle-collect='*keyed::counted_check*' check tollgate u64 allowed 1000 5000`
//!
//! Two runs of different length differ by nothing but checks.

use clap::{Parser, ValueEnum};
use tollgate_peers::keyed::{Key, Outcome, calls, tiers};

#[derive(Parser)]
struct Arguments {
    /// "tollgate", "tollgate check", "governor + foldhash", ...
    contender: String,
    #[arg(value_enum)]
    key: Type,
    #[arg(value_enum)]
    outcome: Verdict,
    keys: u64,
    checks: u64,
}

#[derive(Clone, Copy, ValueEnum)]
enum Type {
    #[value(name = "u64")]
    Number,
    #[value(name = "String")]
    Text,
}

#[derive(Clone, Copy, ValueEnum)]
enum Verdict {
    Allowed,
    Denied,
}

fn main() -> Result<(), String> {
    let arguments = Arguments::parse();
    match arguments.key {
        Type::Number => run::<u64>(&arguments),
        Type::Text => run::<String>(&arguments),
    }
}

fn run<K: Key>(arguments: &Arguments) -> Result<(), String> {
    let mut entries = K::peers();
    entries.extend(calls().into_iter().skip(1));
    entries.extend(
        tiers::<K, 1>()
            .into_iter()
            .filter(|entry| entry.name.starts_with("tiers")),
    );
    let names: Vec<&str> = entries.iter().map(|entry| entry.name).collect();
    let Some(entry) = (entries.iter()).find(|entry| entry.name == arguments.contender) else {
        let names = names.join(", ");
        return Err(format!(
            "found {:?}, expected one of {names}",
            arguments.contender
        ));
    };
    let outcome = match arguments.outcome {
        Verdict::Allowed => Outcome::Allowed,
        Verdict::Denied => Outcome::Denied,
    };
    let table = (entry.prepared)(outcome, arguments.keys);
    let keys: Vec<K> = (0..arguments.checks)
        .map(|check| K::nth(check % arguments.keys))
        .collect();
    let expected = table.expected(outcome, keys.len());
    assert_eq!(table.check_all_counted(&keys), expected, "allowed");
    Ok(())
}
