//! What would this policy have done to yesterday's traffic?
//!
//! `cargo run --release -p tollgate-replay -- [--policy "10/minute; 60/hour"] [FILE…]`
//!
//! The program reads access logs and checks each request against a limiter, at the time of its
//! line. It reports which requests would have been denied, and to which clients. Without a file it
//! replays a built-in sample.
//!
//! `check.py`, in the folder of the package, calculates the same numbers in another way. CI
//! compares the two.

mod lines;
mod log_line;
mod progress;
mod reorder;
mod replay;
mod report;
mod source;
mod tally;

use std::{
    io::{self, Write},
    path::PathBuf,
    process::ExitCode,
    time::Duration,
};

use clap::Parser;
use jiff::{Span, SpanRelativeTo};
use tollgate::Policy;

use crate::progress::Progress;
use crate::replay::Replay;
use crate::report::Report;
use crate::source::Source;

/// The most quotas of a policy.
const MAX_QUOTAS: usize = 8;

/// What would this policy have done to yesterday's traffic?
///
/// Replays access logs in the common or combined format against a rate limiter, with the client's
/// address as the key and the log's own time as the clock.
#[derive(Parser)]
#[command(name = "tollgate-replay")]
struct Arguments {
    /// 1 to 8 quotas, separated by `;`, which apply to each key as one decision
    #[arg(long, default_value = "100/minute burst 10")]
    policy: Policy<MAX_QUOTAS>,

    /// How long a request waits, in the time of the log, for lines with an earlier time. A line
    /// that arrives after the wait is replayed at once, at the time already reached
    #[arg(
        long,
        value_name = "DURATION",
        default_value = "60s",
        value_parser = whole_seconds
    )]
    reorder: u64,

    /// Logs, plain or gzip, replayed in this order as one log; `-` is standard input. Default: a
    /// built-in sample
    #[arg(value_name = "FILE")]
    files: Vec<PathBuf>,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    if arguments.files.is_empty() {
        eprintln!("no file given: replaying the built-in sample");
    }
    let printed = run(&arguments).and_then(|report| print(&report));
    match printed {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Replays all sources. An error names its source.
fn run(arguments: &Arguments) -> io::Result<Report> {
    let sources = Source::all(&arguments.files);
    let mut lengths = Vec::new();
    for source in &sources {
        // A missing file is reported now, and not after a long replay of the files before it.
        lengths.push(source.length().map_err(|error| in_source(source, &error))?);
    }

    let progress = Progress::over(&lengths);
    let mut replay = Replay::new(arguments.policy, arguments.reorder);
    for source in &sources {
        source
            .open(&progress)
            .and_then(|log| replay.read(source, log, &progress))
            .map_err(|error| in_source(source, &error))?;
    }
    Ok(replay.finish())
}

fn in_source(source: &Source, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{source}: {error}"))
}

/// Prints the report. A reader that closes the pipe early is no error.
fn print(report: &Report) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    let printed = write!(stdout, "{report}").and_then(|()| stdout.flush());
    match printed {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(io::Error::new(
            error.kind(),
            format!("standard output: {error}"),
        )),
        _ => Ok(()),
    }
}

/// Parses a duration as seconds, rounded up. The time stamps of logs have no fractions of a second.
fn whole_seconds(text: &str) -> Result<u64, String> {
    if text.trim() == "0" {
        return Ok(0);
    }
    let duration = text
        .parse::<Span>()
        .and_then(|span| span.to_duration(SpanRelativeTo::days_are_24_hours()))
        .map_err(|error| error.to_string())?;
    match Duration::try_from(duration) {
        Ok(duration) => Ok(duration.as_secs() + u64::from(duration.subsec_nanos() > 0)),
        Err(_) => Err("expected a duration of zero or more".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;
    use clap::error::ErrorKind;

    use super::*;

    fn report(arguments: &[&str]) -> String {
        let arguments =
            Arguments::try_parse_from([&["tollgate-replay"], arguments].concat()).unwrap();
        run(&arguments).unwrap().to_string()
    }

    fn usage_error(arguments: &[&str]) -> clap::Error {
        match Arguments::try_parse_from([&["tollgate-replay"], arguments].concat()) {
            Ok(_) => panic!("{arguments:?} were accepted"),
            Err(error) => error,
        }
    }

    #[test]
    fn the_arguments_are_consistent() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn the_sample_is_replayed_under_the_default_policy() {
        assert_eq!(
            report(&[]),
            "\
policy:                 100/minute burst 10
reordered within:       60 s
first request:          2026-03-12 09:58:40 UTC
last request:           2026-03-12 10:03:25 UTC
requests:               58
keys:                   7
admitted:               51
denied:                 7
late:                   1
malformed:              1
  sample.log:30: no time stamp before a request: \"192.0.2.10 - - [12/Mar/2026:09:59\"
most denied keys:
         5 denied       14 admitted  198.51.100.23
         2 denied       13 admitted  2001:db8:0:1::beef
busiest denied minute:  2026-03-12 09:59 UTC, 5 denied
stored at the peak:     6
stored before sweeping: 4
stored after sweeping:  1
"
        );
    }

    #[test]
    fn the_sample_is_replayed_under_several_quotas() {
        assert_eq!(
            report(&["--policy", "10/minute; 60/hour"]),
            "\
policy:                 10/minute; 60/hour
reordered within:       60 s
first request:          2026-03-12 09:58:40 UTC
last request:           2026-03-12 10:03:25 UTC
requests:               58
keys:                   7
admitted:               47
denied:                 11
late:                   1
malformed:              1
  sample.log:30: no time stamp before a request: \"192.0.2.10 - - [12/Mar/2026:09:59\"
most denied keys:
         8 denied       11 admitted  198.51.100.23
         3 denied       12 admitted  2001:db8:0:1::beef
busiest denied minute:  2026-03-12 09:59 UTC, 8 denied
stored at the peak:     7
stored before sweeping: 7
stored after sweeping:  6
"
        );
    }

    #[test]
    fn a_missing_file_is_an_error_that_names_it() {
        let arguments = Arguments::parse_from(["tollgate-replay", "-", "there/is/no.log"]);
        let error = run(&arguments)
            .map(|report| report.to_string())
            .unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
        assert!(error.to_string().starts_with("there/is/no.log: "));
    }

    #[test]
    fn a_bad_policy_is_an_error_in_the_words_of_the_library() {
        let error = usage_error(&["--policy", "10/minute; 60/fortnight"]);
        assert_eq!(error.kind(), ErrorKind::ValueValidation);
        assert_eq!(error.exit_code(), 2);
        assert!(
            error
                .to_string()
                .contains("found \"fortnight\" at character 15, expected a unit of time")
        );
    }

    #[test]
    fn a_policy_has_one_to_eight_quotas() {
        let policy = |count| vec!["1/hour"; count].join("; ");
        for count in 1..=MAX_QUOTAS {
            let report = report(&["--policy", &policy(count)]);
            assert!(report.contains("admitted:               7\n"), "{report}");
        }
        let error = usage_error(&["--policy", &policy(MAX_QUOTAS + 1)]).to_string();
        assert!(
            error.contains("found 9 quotas in the policy, expected 1 to 8"),
            "{error}"
        );
    }

    #[test]
    fn a_window_is_read_in_common_notations() {
        for (text, seconds) in [
            ("0", 0),
            ("0s", 0),
            ("60s", 60),
            ("2 minutes", 120),
            ("1h 30m", 5_400),
            ("1 day", 86_400),
            ("PT1M", 60),
            ("1ms", 1),
            ("1.5s", 2),
        ] {
            assert_eq!(whole_seconds(text), Ok(seconds), "{text}");
        }
    }

    #[test]
    fn a_window_that_is_no_duration_is_an_error() {
        for text in ["", "60", "soon", "1 month", "-1s", "-0.5s"] {
            assert!(whole_seconds(text).is_err(), "{text}");
        }
    }
}
