//! Asks a prepared limiter for keys by turns, through `keyed::ask`, so that the instructions of a
//! check can be counted.
//!
//! `valgrind --tool=callgrind --toggle-collect='*keyed::ask*' check tollgate u64 allowed 1000 5000`
//!
//! Two runs of unlike length differ by nothing but checks.

use clap::{Parser, ValueEnum};
use tollgate_peers::keyed::{Key, Outcome};

#[derive(Parser)]
struct Arguments {
    /// "tollgate", "governor + foldhash", ...
    contender: String,
    #[arg(value_enum)]
    key: Type,
    #[arg(value_enum)]
    outcome: Verdict,
    keys: u64,
    checks: u64,
    /// Hold each key to two quotas.
    #[arg(long)]
    two_quotas: bool,
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
    Refused,
}

fn main() -> Result<(), String> {
    let arguments = Arguments::parse();
    match arguments.key {
        Type::Number => run::<u64>(&arguments),
        Type::Text => run::<String>(&arguments),
    }
}

fn run<K: Key>(arguments: &Arguments) -> Result<(), String> {
    let contenders = if arguments.two_quotas {
        K::contenders_of_two_quotas()
    } else {
        K::contenders()
    };
    let names: Vec<&str> = contenders.iter().map(|contender| contender.name).collect();
    let wanted = |name: &&str| *name == arguments.contender;
    let Some(contender) = names.iter().position(wanted) else {
        let names = names.join(", ");
        return Err(format!(
            "found {:?}, expected one of {names}",
            arguments.contender
        ));
    };
    let outcome = match arguments.outcome {
        Verdict::Allowed => Outcome::Allowed,
        Verdict::Refused => Outcome::Refused,
    };
    let table = (contenders[contender].prepared)(outcome, arguments.keys);
    let asked: Vec<K> = (0..arguments.checks)
        .map(|check| K::nth(check % arguments.keys))
        .collect();
    let expected = table.expected(outcome, asked.len());
    assert_eq!(table.ask_all(&asked), expected, "allowed");
    Ok(())
}
