//! What would this policy have done to yesterday's traffic?
//!
//! `cargo run --release -p tollgate-replay -- [--policy "10/minute; 60/hour"] [FILE…]`
//!
//! The README of this package says how logs are read and what is reported. `check.py`, beside it,
//! calculates the same numbers in another way. CI compares the two.
//!
//! A line goes through these files: [`input`] reads files and merges them, [`format`](mod@format) finds a
//! time and a key in a line, [`reorder`] puts requests in order, [`replay`] decides, and
//! [`clients`], [`summary`] and [`timeline`] count.

mod args;
mod clients;
mod flaw;
mod form;
mod format;
mod input;
mod key;
mod output;
mod progress;
mod reorder;
mod replay;
mod report;
mod suggest;
mod summary;
mod time;
mod timeline;

use std::io;
use std::process::ExitCode;

use clap::error::ErrorKind;
use clap::{CommandFactory, Parser};

use crate::args::Arguments;
use crate::format::Parser as LineParser;
use crate::input::{Merge, Source};
use crate::output::Outputs;
use crate::progress::Progress;
use crate::replay::Replay;
use crate::report::Report;

/// The most quotas of a policy.
const MAX_QUOTAS: usize = 8;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let usage = |error| {
        Arguments::command()
            .error(ErrorKind::ValueValidation, error)
            .exit()
    };
    let mut parser = arguments.parser().unwrap_or_else(usage);
    if arguments.files.is_empty() {
        if input::stdin_is_given() {
            usage("standard input is a file or a pipe: expected - to read it, or files".to_owned());
        }
        eprintln!("no file given: replaying the built-in sample");
    }
    match Outputs::open(&arguments).and_then(|outputs| {
        let report = run(&arguments, &mut parser)?;
        outputs.print(&report)?;
        Ok(report)
    }) {
        Ok(report) if report.is_complete() => ExitCode::SUCCESS,
        Ok(report) => {
            if report.requests == 0 {
                eprintln!("error: no request to replay: {}", nothing(&report));
            }
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Replays all files. An error in one is printed, and is part of the report.
fn run(arguments: &Arguments, parser: &mut LineParser) -> io::Result<Report> {
    let sources = Source::all(&arguments.files);
    // A file that is missing is reported when it is looked into.
    let lengths: Vec<_> = sources
        .iter()
        .map(|source| source.length().unwrap_or(Some(0)))
        .collect();
    let progress = Progress::over(&lengths);
    let mut replay = Replay::new(&arguments.policies, arguments.reorder, &arguments.suggest);
    let mut merge = Merge::new(&sources, parser, &progress);
    while let Some(request) = merge.next() {
        replay.take(request)?;
    }
    let (files, warnings) = merge.finish();
    let told = warnings.len();
    let report = replay.finish(files, warnings, parser)?;
    for warning in &report.warnings[told..] {
        progress.print(&format!("warning: {warning}"));
    }
    Ok(report)
}

/// Says why there is no request.
fn nothing(report: &Report) -> &'static str {
    if report.files.iter().any(|file| file.error.is_some()) {
        "see above"
    } else if report.without_key > 0 {
        "no line has a key"
    } else {
        "there are no lines"
    }
}
