//! The result of a replay: plain numbers, which `text`, `html` and `--json` print.
//!
//! The order of policies is the same everywhere: that of the arguments.

use std::io;

use serde::Serialize;

use crate::time::Time;

pub(crate) mod html;
mod numbers;
pub(crate) mod text;

/// Everything that a replay found.
#[derive(Serialize)]
pub(crate) struct Report {
    /// The times at which the first and the last request were replayed.
    pub(crate) first: Option<Time>,
    pub(crate) last: Option<Time>,
    /// How lines were read and made into keys.
    pub(crate) reading: String,
    /// The window within which lines were put in order, in seconds.
    pub(crate) reorder_seconds: u64,
    /// Well-formed lines with a key. All were replayed under each policy.
    pub(crate) requests: u64,
    /// Requests whose time was before the time already reached.
    pub(crate) late: u64,
    pub(crate) without_key: u64,
    pub(crate) malformed: u64,
    pub(crate) clients: u64,
    pub(crate) files: Vec<File>,
    pub(crate) policies: Vec<Outcome>,
    /// In ascending order. Classes without a client are left out.
    pub(crate) classes: Vec<Class>,
    pub(crate) timeline: Timeline,
    pub(crate) suggestions: Vec<Suggestion>,
    pub(crate) warnings: Vec<String>,
}

/// A file, in the order of the arguments.
#[derive(Serialize)]
pub(crate) struct File {
    pub(crate) name: String,
    pub(crate) lines: u64,
    pub(crate) requests: u64,
    pub(crate) without_key: u64,
    pub(crate) malformed: u64,
    /// The first malformed lines: where, why, and how they start.
    pub(crate) shown: Vec<String>,
    pub(crate) error: Option<String>,
}

impl File {
    /// Makes what is known of a file that cannot be opened.
    pub(crate) fn unread(name: String, error: &io::Error) -> File {
        File {
            name,
            lines: 0,
            requests: 0,
            without_key: 0,
            malformed: 0,
            shown: Vec::new(),
            error: Some(error.to_string()),
        }
    }
}

/// What one policy did.
#[derive(Serialize)]
pub(crate) struct Outcome {
    /// In its text form: `10/minute; 60/hour`.
    pub(crate) policy: String,
    pub(crate) admitted: u64,
    pub(crate) denied: u64,
    /// How many clients were denied at least once.
    pub(crate) touched: u64,
    /// At most ten, the most denied first.
    pub(crate) worst: Vec<Client>,
    pub(crate) busiest: Option<Minute>,
    /// The most keys that the limiter stored at any time.
    pub(crate) stored_at_peak: usize,
    /// The keys in debt at the end.
    pub(crate) stored_at_end: usize,
}

#[derive(Serialize)]
pub(crate) struct Client {
    pub(crate) key: String,
    pub(crate) admitted: u64,
    pub(crate) denied: u64,
}

/// A minute of UTC, and how many requests were denied in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Minute {
    pub(crate) start: Time,
    pub(crate) denied: u64,
}

/// The clients with a number of requests in a range.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Class {
    pub(crate) at_least: u64,
    pub(crate) at_most: u64,
    pub(crate) clients: u64,
    pub(crate) requests: u64,
    /// Of these clients, how many were denied at least once, by policy.
    pub(crate) touched: Vec<u64>,
    /// Of these requests, how many were denied, by policy.
    pub(crate) denied: Vec<u64>,
}

/// Requests and denials over time, in bins of equal width.
#[derive(Serialize)]
pub(crate) struct Timeline {
    /// The start of the first bin, a multiple of the width.
    pub(crate) start: Option<Time>,
    pub(crate) seconds_per_bin: u64,
    pub(crate) requests: Vec<u64>,
    /// For each policy, the denials by bin.
    pub(crate) denied: Vec<Vec<u64>>,
}

/// The tightest round policy of a kind that denied few enough requests.
#[derive(Serialize)]
pub(crate) struct Suggestion {
    /// The least percentage of requests that it had to admit, as it was given.
    pub(crate) percent: String,
    /// `minute` or `hour`.
    pub(crate) per: &'static str,
    /// `None` if even the loosest denied too many.
    pub(crate) policy: Option<Candidate>,
    /// The next tighter one, which denied too many. `None` if there is none.
    pub(crate) tighter: Option<Candidate>,
}

#[derive(Clone, Serialize)]
pub(crate) struct Candidate {
    pub(crate) policy: String,
    pub(crate) denied: u64,
}

impl Report {
    /// Whether all files were read to their ends, most lines of each are well-formed, and there was a
    /// request.
    pub(crate) fn is_complete(&self) -> bool {
        self.requests > 0 && self.files.iter().all(|file| file.error.is_none())
    }
}
