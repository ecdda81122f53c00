//! Counts decisions by key and by minute.

use std::{cmp::Reverse, collections::HashMap};

/// How many keys the report lists as the most denied.
const MOST: usize = 10;

const MINUTE: u64 = 60;

/// The decisions on one key, or on all keys.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) admitted: u64,
    pub(crate) denied: u64,
}

/// A minute of UTC, and how many requests were denied in it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Minute {
    /// Seconds from the start of 1970.
    pub(crate) start: u64,
    pub(crate) denied: u64,
}

/// Counts decisions. Its memory grows with the number of different keys.
#[derive(Default)]
pub(crate) struct Tally {
    all: Counts,
    keys: HashMap<String, Counts>,
    /// The minute of the latest denial.
    minute: Minute,
    busiest: Minute,
}

impl Tally {
    pub(crate) fn admit(&mut self, key: String) {
        self.all.admitted += 1;
        self.keys.entry(key).or_default().admitted += 1;
    }

    /// Counts a denial at `time`, which must not be before an earlier call's.
    pub(crate) fn deny(&mut self, key: String, time: u64) {
        self.all.denied += 1;
        self.keys.entry(key).or_default().denied += 1;

        let start = time - time % MINUTE;
        if self.minute.start != start {
            self.minute = Minute { start, denied: 0 };
        }
        self.minute.denied += 1;
        // The first of several equal minutes stays.
        if self.minute.denied > self.busiest.denied {
            self.busiest = self.minute;
        }
    }

    pub(crate) fn all(&self) -> Counts {
        self.all
    }

    /// Returns the number of different keys.
    pub(crate) fn keys(&self) -> usize {
        self.keys.len()
    }

    /// Returns the most denied keys in descending order, and equals in order of their text.
    pub(crate) fn most_denied(&self) -> Vec<(String, Counts)> {
        let denied = self.keys.iter().filter(|(_, counts)| counts.denied > 0);
        let mut most: Vec<_> = denied.collect();
        most.sort_unstable_by_key(|(key, counts)| (Reverse(counts.denied), *key));
        most.truncate(MOST);
        most.into_iter()
            .map(|(key, counts)| (key.clone(), *counts))
            .collect()
    }

    /// Returns the minute with the most denials, and the earliest of equals.
    pub(crate) fn busiest(&self) -> Option<Minute> {
        (self.busiest.denied > 0).then_some(self.busiest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_counted_once_however_often_it_comes() {
        let mut tally = Tally::default();
        tally.admit("a".into());
        tally.admit("b".into());
        tally.deny("a".into(), 0);
        assert_eq!(tally.keys(), 2);
        let (admitted, denied) = (2, 1);
        assert_eq!(tally.all(), Counts { admitted, denied });
    }

    #[test]
    fn the_ten_most_denied_are_ordered_by_denials_and_then_by_text() {
        let mut tally = Tally::default();
        for key in "lkjihgfedcba".chars().map(String::from) {
            tally.deny(key, 0);
        }
        tally.admit("b".into());
        tally.deny("l".into(), 0);
        tally.admit("never denied".into());
        let most = tally.most_denied();
        let keys: Vec<_> = most.iter().map(|(key, _)| key.as_str()).collect();
        assert_eq!(keys.concat(), "labcdefghi");
        let (admitted, denied) = (1, 1);
        assert_eq!(most[2].1, Counts { admitted, denied });
    }

    #[test]
    fn of_equally_busy_minutes_the_earliest_is_named() {
        let mut tally = Tally::default();
        assert_eq!(tally.busiest(), None);
        for time in [59, 60, 119, 121, 179, 60_000] {
            tally.deny("a".into(), time);
        }
        let (start, denied) = (60, 2);
        assert_eq!(tally.busiest(), Some(Minute { start, denied }));
    }
}
