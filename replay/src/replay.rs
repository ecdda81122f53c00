//! Replays requests in order of time, under several policies at once.
//!
//! 1. The clock stands at the time *reached*: the latest time of the requests that [`Reorder`] has
//!    returned. It never goes back.
//! 2. A request whose time is before the time reached is *late*. It is decided and counted at the
//!    time reached.
//! 3. A limiter is swept each time that its table has doubled since the last sweep. A sweep drops the
//!    keys that are not in debt, so the table holds at most about twice as many keys as were in debt. No
//!    decision depends on a sweep.

use std::io;
use std::time::Duration;

use tollgate::{ManualClock, Policy, RateLimiter};

use crate::MAX_QUOTAS;
use crate::clients::Clients;
use crate::format::{Parser, Request};
use crate::key::Key;
use crate::reorder::Reorder;
use crate::report::{Candidate, File, Outcome, Report};
use crate::suggest::{Percentage, candidates};
use crate::summary::Summary;
use crate::time::Time;
use crate::timeline::{Bins, BusiestMinute};

/// A table of fewer keys is not swept.
const SMALL: usize = 64;

/// After how many requests it is seen whether a table has doubled, as counting its keys takes time.
const REQUESTS_PER_LOOK: u64 = 256;

/// More malformed lines than one in this many are warned of.
const LINES_PER_MALFORMED: u64 = 50;

/// A longer time without requests, in seconds, is warned of: 30 days.
const LONG_GAP: u64 = 30 * 86_400;

/// More late requests than one in this many make the numbers of a report mean little.
const REQUESTS_PER_LATE: u64 = 50;

pub(crate) struct Replay {
    window: u64,
    clock: ManualClock,
    reorder: Reorder,
    policies: Vec<Contender>,
    /// The round policies, if a suggestion is wanted.
    candidates: Vec<Contender>,
    percentages: Vec<Percentage>,
    span: Option<Span>,
    requests: u64,
    late: u64,
    has_fractions: bool,
    clients: Clients,
    bins: Bins,
}

/// A policy, and what it did.
struct Contender {
    limiter: RateLimiter<Key, MAX_QUOTAS>,
    /// How many keys were stored after the last sweep.
    swept_to: usize,
    stored_at_peak: usize,
    denied: u64,
    busiest: BusiestMinute,
    /// Whether the latest request was denied.
    is_denied: bool,
}

#[derive(Clone, Copy)]
struct Span {
    first: Time,
    reached: Time,
    /// The longest time without a request, in seconds, and its end.
    gap: (u64, Time),
}

impl Replay {
    /// Starts a replay under all `policies` that puts requests in order within `window` seconds.
    pub(crate) fn new(
        policies: &[Policy<MAX_QUOTAS>],
        window: u64,
        percentages: &[Percentage],
    ) -> Replay {
        let clock = ManualClock::new();
        let contender = |policy: &Policy<MAX_QUOTAS>| Contender::new(*policy, &clock);
        let candidates = match percentages {
            [] => Vec::new(),
            _ => candidates().iter().map(contender).collect(),
        };
        Replay {
            window,
            reorder: Reorder::within(window),
            policies: policies.iter().map(contender).collect(),
            candidates,
            percentages: percentages.to_vec(),
            span: None,
            requests: 0,
            late: 0,
            has_fractions: false,
            clients: Clients::new(policies.len()),
            bins: Bins::new(policies.len()),
            clock,
        }
    }

    /// Takes the next request of the log.
    ///
    /// # Errors
    ///
    /// If a temporary file cannot be written.
    pub(crate) fn take(&mut self, request: Request) -> io::Result<()> {
        self.reorder.arrive(request);
        while let Some(request) = self.reorder.next_due() {
            self.decide(request)?;
        }
        Ok(())
    }

    /// Replays the requests that still wait, and returns the report over the `files`.
    ///
    /// # Errors
    ///
    /// If a temporary file cannot be read or written.
    pub(crate) fn finish(
        mut self,
        files: Vec<File>,
        mut warnings: Vec<String>,
        parser: &Parser,
    ) -> io::Result<Report> {
        while let Some(request) = self.reorder.next_waiting() {
            self.decide(request)?;
        }
        let mut summary = Summary::new(self.policies.len());
        self.clients.for_each(|key, requests, denied| {
            summary.add(|| parser.key_text(key), key.is_internal(), requests, denied);
        })?;

        warnings.extend(malformed_warning(&files));
        warnings.extend(late_warning(self.late, self.requests));
        warnings.extend(self.span.and_then(|span| gap_warning(span.gap)));
        warnings.extend(proxy_warning(&summary, self.requests));
        if !self.has_fractions {
            warnings.extend(
                self.policies
                    .iter()
                    .filter_map(Contender::warn_of_whole_seconds),
            );
        }
        let denied: Vec<Candidate> = self.candidates.iter().map(Contender::candidate).collect();
        let suggestions = self
            .percentages
            .iter()
            .flat_map(|percentage| percentage.suggest(&denied, self.requests));
        let requests = self.requests;
        let clients = summary.clients();
        let touched: Vec<u64> = (0..self.policies.len())
            .map(|policy| summary.touched(policy))
            .collect();
        let (classes, worst) = summary.finish();
        Ok(Report {
            first: self.span.map(|span| span.first),
            last: self.span.map(|span| span.reached),
            reading: format!("{parser}; put in order within {} s", self.window),
            reorder_seconds: self.window,
            requests,
            late: self.late,
            without_key: files.iter().map(|file| file.without_key).sum(),
            malformed: files.iter().map(|file| file.malformed).sum(),
            clients,
            files,
            classes,
            timeline: self.bins.finish(),
            suggestions: suggestions.collect(),
            warnings,
            policies: self
                .policies
                .into_iter()
                .zip(touched.into_iter().zip(worst))
                .map(|(contender, (touched, worst))| Outcome {
                    touched,
                    worst,
                    ..contender.finish(requests)
                })
                .collect(),
        })
    }

    fn decide(&mut self, Request { time, key }: Request) -> io::Result<()> {
        let reached = self.reach(time);
        self.requests += 1;
        let is_look = self.requests.is_multiple_of(REQUESTS_PER_LOOK);
        for contender in self.policies.iter_mut().chain(&mut self.candidates) {
            contender.decide(&key, reached);
            if is_look {
                contender.sweep_if_doubled();
            }
        }
        let denied = || self.policies.iter().map(|contender| contender.is_denied);
        self.bins.count(reached, denied());
        self.clients.count(key, denied())
    }

    /// Moves the clock forward to `time`, and returns the time reached.
    fn reach(&mut self, time: Time) -> Time {
        self.has_fractions |= time.has_fraction();
        let span = self.span.get_or_insert(Span {
            first: time,
            reached: time,
            gap: (0, time),
        });
        if time < span.reached {
            self.late += 1;
        } else {
            let by = time.as_nanos() - span.reached.as_nanos();
            self.clock.advance(Duration::from_nanos(by));
            span.gap = span.gap.max((by / 1_000_000_000, time));
            span.reached = time;
        }
        span.reached
    }
}

impl Contender {
    fn new(policy: Policy<MAX_QUOTAS>, clock: &ManualClock) -> Contender {
        let limiter = RateLimiter::builder(policy)
            .clock(clock.clone())
            .shards(2)
            .manual_sweep()
            .build();
        Contender {
            limiter,
            swept_to: 0,
            stored_at_peak: 0,
            denied: 0,
            busiest: BusiestMinute::default(),
            is_denied: false,
        }
    }

    fn decide(&mut self, key: &Key, now: Time) {
        self.is_denied = !self.limiter.allow(key);
        if self.is_denied {
            self.denied += 1;
            self.busiest.count(now);
        }
    }

    fn sweep_if_doubled(&mut self) {
        let stored = self.limiter.len();
        if stored > SMALL && stored > 2 * self.swept_to {
            self.sweep();
        }
    }

    fn sweep(&mut self) {
        // Keys are only inserted between sweeps, so the peak is right before a sweep.
        self.stored_at_peak = self.stored_at_peak.max(self.limiter.len());
        self.limiter.sweep();
        self.swept_to = self.limiter.len();
    }

    fn candidate(&self) -> Candidate {
        Candidate {
            policy: self.limiter.policy().to_string(),
            denied: self.denied,
        }
    }

    fn finish(mut self, requests: u64) -> Outcome {
        self.sweep();
        Outcome {
            policy: self.limiter.policy().to_string(),
            admitted: requests - self.denied,
            denied: self.denied,
            touched: 0,
            worst: Vec::new(),
            busiest: self.busiest.finish(),
            stored_at_peak: self.stored_at_peak,
            stored_at_end: self.swept_to,
        }
    }

    /// Warns of a quota that earns a good part of its burst in a second, the least that the log
    /// tells.
    fn warn_of_whole_seconds(&self) -> Option<String> {
        let mut quotas = self.limiter.policy().quotas().iter();
        let quota = quotas.find(|quota| {
            let quarter = u128::from(quota.burst_size()) * quota.period().as_nanos();
            u128::from(quota.units()) * 4_000_000_000 >= quarter
        })?;
        Some(format!(
            "the times of the log are whole seconds, and {quota} earns a quarter of its burst or more \
             in one: what it denies is only roughly known"
        ))
    }
}

fn malformed_warning(files: &[File]) -> Option<String> {
    let lines: u64 = files.iter().map(|file| file.lines).sum();
    let malformed: u64 = files.iter().map(|file| file.malformed).sum();
    (malformed > lines / LINES_PER_MALFORMED).then(|| {
        format!(
            "{malformed} of {lines} lines are malformed and were not replayed: the numbers lack them"
        )
    })
}

fn late_warning(late: u64, requests: u64) -> Option<String> {
    (late > requests / REQUESTS_PER_LATE).then(|| {
        format!(
            "{late} of {requests} requests came too late and were decided at one instant with others: \
             the numbers mean little. Name the files as arguments, in any order, instead of one pipe; \
             or raise --reorder"
        )
    })
}

/// Warns of a time without requests that is too long to be true.
fn gap_warning((seconds, end): (u64, Time)) -> Option<String> {
    (seconds > LONG_GAP).then(|| {
        let days = seconds / 86_400;
        format!(
            "there is no request in the {days} days before {end}: if a clock was wrong, leave its lines \
             out"
        )
    })
}

/// Warns if most requests come from addresses that no client on the internet has.
fn proxy_warning(summary: &Summary, requests: u64) -> Option<String> {
    let (clients, internal) = (summary.internal.clients, summary.internal.requests);
    (internal > requests / 2).then(|| {
        let addresses = if clients == 1 { "address" } else { "addresses" };
        format!(
            "{internal} of {requests} requests come from {clients} internal {addresses}, such as {}: if these are proxies, \
             their clients were limited as one. --key and --trust find the clients behind them",
            summary.internal.example
        )
    })
}
