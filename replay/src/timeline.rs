//! Counts requests and denials over time, in bounded memory.

use crate::report::{Minute, Timeline};
use crate::time::Time;

/// The most bins. When a request is behind the last one, the bins become wider.
const BINS: u64 = 480;

/// The widths of bins, in seconds. Each is a multiple of the one before it.
const WIDTHS: [u64; 11] = [
    1,
    5,
    15,
    60,
    5 * 60,
    15 * 60,
    3_600,
    3 * 3_600,
    12 * 3_600,
    86_400,
    7 * 86_400,
];

/// Bins of equal width, whose limits are multiples of it.
pub(crate) struct Bins {
    /// The number of the first bin, counted from the start of 1970.
    first: Option<u64>,
    /// In seconds.
    width: u64,
    requests: Vec<u64>,
    /// By policy.
    denied: Vec<Vec<u64>>,
}

/// The minute with the most denials, of those that come in order of time.
#[derive(Default)]
pub(crate) struct BusiestMinute {
    /// The minute of the latest denial.
    latest: Option<Minute>,
    busiest: Option<Minute>,
}

impl Bins {
    pub(crate) fn new(policies: usize) -> Bins {
        Bins {
            first: None,
            width: WIDTHS[0],
            requests: Vec::new(),
            denied: vec![Vec::new(); policies],
        }
    }

    /// Counts a request at `time`, which must not be before an earlier call's.
    pub(crate) fn count(&mut self, time: Time, is_denied: impl Iterator<Item = bool>) {
        let seconds = time.as_seconds();
        let mut first = *self.first.get_or_insert(seconds / self.width);
        while seconds / self.width - first >= BINS {
            first = self.widen(first);
        }
        let bin = (seconds / self.width - first) as usize;
        if bin >= self.requests.len() {
            self.requests.resize(bin + 1, 0);
            for denied in &mut self.denied {
                denied.resize(bin + 1, 0);
            }
        }
        self.requests[bin] += 1;
        for (denied, is_denied) in self.denied.iter_mut().zip(is_denied) {
            denied[bin] += u64::from(is_denied);
        }
    }

    /// Makes the bins wider, and returns the number of the first one.
    fn widen(&mut self, first: u64) -> u64 {
        let next = WIDTHS.iter().find(|width| **width > self.width);
        // A hundred years are 5,218 weeks.
        let next = next.copied().unwrap_or(2 * self.width);
        let factor = next / self.width;
        self.width = next;
        let skipped = (first % factor) as usize;
        merge_each(&mut self.requests, factor as usize, skipped);
        for denied in &mut self.denied {
            merge_each(denied, factor as usize, skipped);
        }
        self.first = Some(first / factor);
        first / factor
    }

    pub(crate) fn finish(self) -> Timeline {
        let start = self.first.map(|first| first * self.width);
        Timeline {
            start: start.and_then(Time::from_seconds),
            seconds_per_bin: self.width,
            requests: self.requests,
            denied: self.denied,
        }
    }
}

/// Adds up each `factor` bins. The first sum lacks the `skipped` bins before the first one.
fn merge_each(bins: &mut Vec<u64>, factor: usize, skipped: usize) {
    let (start, rest) = bins.split_at(bins.len().min(factor - skipped));
    let start = start.iter().sum();
    let rest = rest.chunks(factor).map(|part| part.iter().sum());
    *bins = std::iter::once(start).chain(rest).collect();
}

impl BusiestMinute {
    /// Counts a denial at `time`, which must not be before an earlier call's.
    pub(crate) fn count(&mut self, time: Time) {
        let start = time.minute();
        let denied = match self.latest {
            Some(minute) if minute.start == start => minute.denied + 1,
            _ => 1,
        };
        let latest = Minute { start, denied };
        self.latest = Some(latest);
        // The first of several equal minutes stays.
        if self.busiest.is_none_or(|busiest| denied > busiest.denied) {
            self.busiest = Some(latest);
        }
    }

    pub(crate) fn finish(self) -> Option<Minute> {
        self.busiest
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Time {
        Time::from_number(seconds.to_string().as_bytes()).unwrap()
    }

    fn bins(seconds: &[u64]) -> Timeline {
        let mut bins = Bins::new(1);
        for second in seconds {
            bins.count(at(*second), [second % 2 == 1].into_iter());
        }
        bins.finish()
    }

    #[test]
    fn bins_are_from_the_first_request_to_the_last() {
        let timeline = bins(&[100, 100, 101, 103]);
        assert_eq!(timeline.start, Some(at(100)));
        assert_eq!(timeline.seconds_per_bin, 1);
        assert_eq!(timeline.requests, [2, 1, 0, 1]);
        assert_eq!(timeline.denied, [[0, 1, 0, 1]]);
    }

    #[test]
    fn bins_become_wider_only_when_they_must() {
        assert_eq!(bins(&[3, 3 + BINS - 1]).seconds_per_bin, 1);
        let timeline = bins(&[3, 4, 5, 9, 3 + BINS]);
        assert_eq!(timeline.seconds_per_bin, 5);
        // The bins start at multiples of 5.
        assert_eq!(timeline.start, Some(at(0)));
        assert_eq!(timeline.requests[..3], [2, 2, 0]);
        assert_eq!(timeline.denied[0][..3], [1, 2, 0]);
        assert_eq!(timeline.requests.len() as u64, (3 + BINS) / 5 + 1);
    }

    #[test]
    fn bins_do_not_depend_on_how_often_they_became_wider() {
        let seconds: Vec<u64> = (0..2_000).map(|n| 86_399 + n * n * 7).collect();
        let timeline = bins(&seconds);
        let width = timeline.seconds_per_bin;
        assert!(WIDTHS.contains(&width) && width > 3_600);
        let start = timeline.start.unwrap().as_seconds();
        assert_eq!(start % width, 0);
        for (bin, requests) in timeline.requests.iter().enumerate() {
            let from = start + bin as u64 * width;
            let within = |second: &&u64| (from..from + width).contains(*second);
            assert_eq!(
                seconds.iter().filter(within).count() as u64,
                *requests,
                "{bin}"
            );
        }
    }

    #[test]
    fn a_hundred_years_have_bins() {
        let timeline = bins(&[0, 1, 2, 3_155_759_999]);
        assert_eq!(timeline.requests.iter().sum::<u64>(), 4);
        assert!(timeline.requests.len() as u64 <= BINS);
    }

    #[test]
    fn of_equally_busy_minutes_the_earliest_is_named() {
        let mut busiest = BusiestMinute::default();
        for second in [59, 60, 119, 121, 179, 60_000] {
            busiest.count(at(second));
        }
        let (start, denied) = (at(60), 2);
        assert_eq!(busiest.finish(), Some(Minute { start, denied }));
        assert_eq!(BusiestMinute::default().finish(), None);
    }
}
