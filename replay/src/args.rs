//! The arguments of the program.

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Parser;
use jiff::{Span, SpanRelativeTo};
use tollgate::Policy;

use crate::MAX_QUOTAS;
use crate::format::{Fields, FormatName, Parser as LineParser};
use crate::key::{Addresses, KeyType};
use crate::output::is_stdout;
use crate::suggest::Percentage;

/// What would this policy have done to yesterday's traffic?
///
/// Replays access logs against a rate limiter, with the log's own time as the clock. The README of
/// the package says exactly how lines are read.
#[derive(Parser)]
#[command(name = "tollgate-replay", version, after_help = EXAMPLES)]
pub(crate) struct Arguments {
    /// A rate and a burst: `100/minute burst 10`, also per second, hour, day or `5 minutes`. Without
    /// a burst, it is the number of units. 1 to 8 such quotas, separated by `;`, apply to each key as
    /// one decision. Several policies are compared side by side
    #[arg(
        long = "policy",
        value_name = "POLICY",
        default_value = "100/minute burst 10"
    )]
    pub(crate) policies: Vec<Policy<MAX_QUOTAS>>,

    /// Suggests the tightest of a few round policies that would have admitted at least this
    /// percentage of the requests: 99.9
    #[arg(long, value_name = "PERCENT")]
    pub(crate) suggest: Vec<Percentage>,

    /// auto, common, combined, vhost_combined, json, or the log format of nginx ($remote_addr ...)
    /// or Apache (%h ...) as it stands in the server's configuration
    #[arg(long, default_value = "auto", value_parser = FormatName::parse)]
    format: FormatName,

    /// The field with the time, of JSON lines: a name, or a path with dots
    #[arg(long, value_name = "FIELD")]
    time: Option<String>,

    /// The field that is limited: client, user or vhost; a field of the given log format
    /// ($http_x_api_key, %u); or a field of JSON lines, which must be named. Several are one list of
    /// addresses, from the client to the nearest proxy. Default: the client's address
    #[arg(long, value_name = "FIELD")]
    key: Vec<String>,

    /// Whether the key is an address, limited as the HTTP layer does, or a text as it stands.
    /// Default: address for fields that are known to be one, and otherwise text
    #[arg(long, value_name = "TYPE")]
    key_type: Option<KeyType>,

    /// The proxies that may report a client's address: addresses and networks, separated by commas.
    /// In a list of addresses, the client is the last one that is none of these
    #[arg(long, value_name = "NETWORKS", value_delimiter = ',')]
    trust: Vec<String>,

    /// IPv4 clients with this many leading bits in common are one
    #[arg(long, value_name = "BITS", default_value = "32")]
    ipv4_prefix: u8,

    /// IPv6 clients with this many leading bits in common are one
    #[arg(long, value_name = "BITS", default_value = "64")]
    ipv6_prefix: u8,

    /// How long a request waits, in the time of the log, for lines with an earlier time. A line
    /// that arrives after the wait is replayed at once, at the time already reached
    #[arg(
        long,
        value_name = "DURATION",
        default_value = "60s",
        value_parser = whole_seconds
    )]
    pub(crate) reorder: u64,

    /// Writes a page with pictures: denials over time, and the distribution over clients
    #[arg(long, value_name = "FILE")]
    pub(crate) html: Option<PathBuf>,

    /// Writes all numbers as JSON
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,

    /// Logs, replayed in order of time as one log; `-` is standard input. They may be compressed by
    /// gzip, zstd, bzip2 or xz. Default: a built-in sample, unless standard input is a file or a pipe
    #[arg(value_name = "FILE")]
    pub(crate) files: Vec<PathBuf>,
}

const EXAMPLES: &str = "\
Examples (a $ needs single quotes):
  tollgate-replay --policy '100/minute burst 10' --policy '10/minute; 60/hour' access.log*
  tollgate-replay --suggest 99.9 --html report.html access.log*
  tollgate-replay --format json --time ts --key request.headers.X-Api-Key.0 caddy.log
  tollgate-replay --format \"$(cat log_format.conf)\" \\
      --key '$http_x_forwarded_for' --key '$remote_addr' --trust 10.0.0.0/8 access.log";

impl Arguments {
    /// Returns what reads the lines.
    ///
    /// # Errors
    ///
    /// If arguments do not fit each other. The text names the argument and what was expected.
    pub(crate) fn parser(&self) -> Result<LineParser, String> {
        self.check_files()?;
        let addresses = Addresses::new(self.ipv4_prefix, self.ipv6_prefix, &self.trust)
            .map_err(|error| error.to_string())?;
        let fields = Fields {
            time: self.time.clone(),
            keys: self.key.clone(),
            key_type: self.key_type,
        };
        LineParser::new(&self.format, fields, addresses)
    }

    /// Checks that each file can be read as often as it is named, and each output written.
    fn check_files(&self) -> Result<(), String> {
        let outputs = [("--html", &self.html), ("--json", &self.json)];
        let outputs = outputs.map(|(argument, file)| (argument, file.as_deref()));
        if outputs.iter().all(|(_, file)| file.is_some_and(is_stdout)) {
            return Err("--html - and --json -: expected one of them at most".to_owned());
        }
        for (index, file) in self.files.iter().enumerate() {
            let is_pipe = !file.metadata().is_ok_and(|file| file.is_file());
            if is_pipe && self.files[..index].contains(file) {
                let file = file.display();
                return Err(format!(
                    "{file} is named twice: expected a pipe once, as it is read once"
                ));
            }
            for (argument, output) in outputs {
                if output.is_some_and(|output| is_same(output, file)) {
                    let file = file.display();
                    return Err(format!(
                        "{argument} {file}: expected a file that is not read"
                    ));
                }
            }
        }
        Ok(())
    }
}

/// Whether both names are of one file that exists.
fn is_same(one: &Path, other: &Path) -> bool {
    match (one.canonicalize(), other.canonicalize()) {
        (Ok(one), Ok(other)) => one == other,
        _ => false,
    }
}

/// Parses a duration as seconds, rounded up.
fn whole_seconds(text: &str) -> Result<u64, String> {
    if text.trim() == "0" {
        return Ok(0);
    }
    let duration = text
        .parse::<Span>()
        .and_then(|span| span.to_duration(SpanRelativeTo::days_are_24_hours()))
        .ok()
        .and_then(|duration| Duration::try_from(duration).ok())
        .ok_or("expected a duration of zero or more: 60s, 5 minutes, 1h 30m")?;
    Ok(duration.as_secs() + u64::from(duration.subsec_nanos() > 0))
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_arguments_are_consistent() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn a_policy_has_one_to_eight_quotas() {
        let parse = |count| {
            let policy = vec!["1/hour"; count].join("; ");
            Arguments::try_parse_from(["tollgate-replay", "--policy", &policy])
        };
        for count in 1..=MAX_QUOTAS {
            assert_eq!(parse(count).unwrap().policies[0].quotas().len(), count);
        }
        let error = parse(MAX_QUOTAS + 1).err().unwrap().to_string();
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
