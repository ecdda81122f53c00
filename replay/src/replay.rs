//! Replays requests in order of time.
//!
//! 1. The clock stands at the time *reached*: the latest time of the requests that [`Reorder`] has
//!    returned. It never goes back.
//! 2. A request whose time is before the time reached is *late*. It is decided and counted at the
//!    time reached.
//! 3. The limiter is swept each time that the clock has moved by the fill time of the policy, and
//!    by at least one minute. A sweep forgets the keys that were idle for this long, so the table
//!    holds at most the keys of two such intervals. No decision depends on a sweep.

use std::{
    io::{self, BufRead},
    time::Duration,
};

use tollgate::{ManualClock, Policy, RateLimiter};

use crate::MAX_QUOTAS;
use crate::lines::Lines;
use crate::log_line::{MAX_LINE, Request};
use crate::progress::Progress;
use crate::reorder::Reorder;
use crate::report::{Malformed, Report, Stored};
use crate::source::Source;
use crate::tally::Tally;

/// The least time between two sweeps, as a sweep visits every stored key.
const SWEEP_INTERVAL: Duration = Duration::from_secs(60);

pub(crate) struct Replay {
    policy: Policy<MAX_QUOTAS>,
    window: u64,
    clock: ManualClock,
    limiter: RateLimiter<String, MAX_QUOTAS>,
    reorder: Reorder,
    span: Option<Span>,
    tally: Tally,
    late: u64,
    malformed: Malformed,
    peak: usize,
}

/// The times of the replay, in seconds from the start of 1970.
#[derive(Clone, Copy)]
struct Span {
    first: u64,
    reached: u64,
    swept: u64,
}

impl Replay {
    /// Starts a replay under `policy` that puts requests in order within `window` seconds.
    pub(crate) fn new(policy: Policy<MAX_QUOTAS>, window: u64) -> Replay {
        let clock = ManualClock::new();
        let limiter = RateLimiter::builder(policy)
            .clock(clock.clone())
            .manual_sweep()
            .build();
        Replay {
            policy,
            window,
            clock,
            limiter,
            reorder: Reorder::within(window),
            span: None,
            tally: Tally::default(),
            late: 0,
            malformed: Malformed::default(),
            peak: 0,
        }
    }

    /// Replays the lines of `log`, which continues the logs before it.
    pub(crate) fn read(
        &mut self,
        source: &Source,
        log: impl BufRead,
        progress: &Progress,
    ) -> io::Result<()> {
        let mut lines = Lines::new(log, MAX_LINE);
        let mut number = 0;
        while let Some(line) = lines.next()? {
            number += 1;
            progress.count_line();
            match Request::parse(line) {
                Ok(request) => self.take(request),
                Err(flaw) => self.malformed.add(source, number, flaw, line),
            }
        }
        Ok(())
    }

    /// Replays the requests that still wait, sweeps, and returns the report.
    pub(crate) fn finish(mut self) -> Report {
        while let Some(request) = self.reorder.next_waiting() {
            self.decide(request);
        }
        let before_sweep = self.limiter.len();
        self.sweep();
        Report {
            policy: self.policy.to_string(),
            window: self.window,
            span: self.span.map(|span| (span.first, span.reached)),
            all: self.tally.all(),
            keys: self.tally.keys(),
            late: self.late,
            malformed: self.malformed,
            most_denied: self.tally.most_denied(),
            busiest: self.tally.busiest(),
            stored: Stored {
                peak: self.peak,
                before_sweep,
                after_sweep: self.limiter.len(),
            },
        }
    }

    fn take(&mut self, request: Request) {
        self.reorder.arrive(request);
        while let Some(request) = self.reorder.next_due() {
            self.decide(request);
        }
    }

    fn decide(&mut self, Request { key, time }: Request) {
        let reached = self.reach(time);
        if self.limiter.allow(key.as_str()) {
            self.tally.admit(key);
        } else {
            self.tally.deny(key, reached);
        }
    }

    /// Moves the clock forward to `time`, sweeps if a sweep is due, and returns the time reached.
    fn reach(&mut self, time: u64) -> u64 {
        let span = self.span.get_or_insert(Span {
            first: time,
            reached: time,
            swept: time,
        });
        if time < span.reached {
            self.late += 1;
            return span.reached;
        }
        self.clock.advance(Duration::from_secs(time - span.reached));
        span.reached = time;
        let interval = self.policy.fill_time().max(SWEEP_INTERVAL);
        if Duration::from_secs(time - span.swept) >= interval {
            span.swept = time;
            self.sweep();
        }
        time
    }

    fn sweep(&mut self) {
        // Keys are only inserted between sweeps, so the peak is right before a sweep.
        self.peak = self.peak.max(self.limiter.len());
        self.limiter.sweep();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns a line of the time 13:00:00 plus `second`.
    fn line(host: &str, second: u64) -> String {
        let (minute, second) = (second / 60, second % 60);
        format!("{host} - - [10/Oct/2000:13:{minute:02}:{second:02} +0000] \"GET /\" 200 1\n")
    }

    fn replay(policy: &str, window: u64, logs: &[&[u8]]) -> Report {
        let mut replay = Replay::new(policy.parse().unwrap(), window);
        for log in logs {
            replay
                .read(&Source::Stdin, *log, &Progress::over(&[]))
                .unwrap();
        }
        replay.finish()
    }

    fn outcome(report: &Report) -> (u64, u64, u64) {
        (report.all.admitted, report.all.denied, report.late)
    }

    #[test]
    fn lines_within_the_window_are_replayed_in_order_of_time() {
        // In the order of the lines, the bucket would be empty at second 11 and full at 21.
        let log = [line("a", 21), line("a", 11), line("b", 90)].concat();
        let report = replay("1/10 seconds", 60, &[log.as_bytes()]);
        assert_eq!(outcome(&report), (3, 0, 0));
        let report = replay("1/10 seconds", 0, &[log.as_bytes()]);
        assert_eq!(outcome(&report), (2, 1, 1));
    }

    #[test]
    fn late_lines_are_replayed_at_the_time_reached() {
        let log = [
            line("a", 0),
            line("b", 120), // Replays second 0.
            line("b", 200), // Replays second 120: that is the time reached.
            line("a", 100), // Late. Its bucket is full.
            line("a", 60),  // Late, and in the same instant.
            line("a", 121),
        ];
        let report = replay("1/10 seconds", 60, &[log.concat().as_bytes()]);
        assert_eq!(outcome(&report), (4, 2, 2));
        let minute = report.busiest.unwrap();
        assert_eq!((minute.start % 3_600, minute.denied), (120, 2));
    }

    #[test]
    fn a_line_beyond_the_window_is_not_late_if_nothing_later_was_replayed() {
        let log = [line("a", 120), line("a", 0)].concat();
        assert_eq!(outcome(&replay("1/hour", 60, &[log.as_bytes()])), (1, 1, 0));
    }

    #[test]
    fn several_logs_are_one() {
        let (one, two) = (line("a", 30), line("a", 20));
        // The order and the clock continue from log to log. The end of a log ends its last line.
        let report = replay(
            "1/10 seconds",
            60,
            &[one.trim_end().as_bytes(), two.as_bytes()],
        );
        assert_eq!(outcome(&report), (2, 0, 0));
        assert_eq!(report.span.map(|(first, last)| last - first), Some(10));
    }

    #[test]
    fn malformed_and_long_lines_are_skipped_and_counted() {
        let long = line("a", 1).replace('/', &"/".repeat(MAX_LINE));
        let log = [&line("a", 0), "not a line\n", &long, "\n", &line("a", 2)].concat();
        let report = replay("1/second", 60, &[log.as_bytes()]).to_string();
        assert!(report.contains("requests:               2\n"), "{report}");
        assert!(report.contains("malformed:              3\n"), "{report}");
        assert!(report.contains("-:2: no time stamp before a request: \"not a line\""));
        assert!(report.contains("-:3: longer than 65536 bytes: \"a - - ["));
        assert!(report.contains("-:4: no host: \"\"\n"));
    }

    #[test]
    fn sweeping_on_the_way_bounds_what_is_stored() {
        let log: Vec<_> = (0..3_000)
            .map(|second| line(&format!("host{second}"), second))
            .collect();
        let report = replay("1/10 seconds", 0, &[log.concat().as_bytes()]);
        assert_eq!(report.keys, 3_000);
        // The key of second t is in debt until t + 10. A sweep at t, before the key of t is
        // inserted, leaves 9 keys. 60 more are inserted until the next sweep.
        assert_eq!(report.stored.peak, 9 + 60);
        assert_eq!(report.stored.after_sweep, 10);
    }

    #[test]
    fn nothing_is_a_report_too() {
        let report = replay("1/second", 60, &[b""]).to_string();
        assert!(report.contains("requests:               0\n"), "{report}");
        assert!(
            report.contains("most denied keys:       none\n"),
            "{report}"
        );
        assert!(
            report.contains("busiest denied minute:  none\n"),
            "{report}"
        );
    }
}
