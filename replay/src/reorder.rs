//! Puts requests in order of time, within a window.
//!
//! Servers write a line when a request ends, and several servers may write to one log. So lines are
//! only nearly in order of time. A request waits here until the log has moved on by the window:
//!
//! 1. Requests *arrive* in the order of their lines. *Newest* is the latest time of the requests
//!    that have arrived, including the one that is arriving.
//! 2. Each arrival replays all waiting requests with `time + window <= newest`, in order of time.
//!    Requests of the same time are replayed in order of arrival. The end of the last log replays
//!    all others in this order.
//! 3. A request whose wait is over when it arrives is replayed at once. The replay counts it as
//!    late if its time is before the time already reached (`replay.rs`).
//!
//! The window bounds how many requests wait. A line whose time is far in the future, because a
//! clock was wrong, waits until the end. All later lines are then replayed as they arrive.

use std::{cmp::Reverse, collections::BinaryHeap};

use crate::format::Request;
use crate::key::Key;
use crate::time::Time;

/// The requests that wait for earlier ones.
pub(crate) struct Reorder {
    /// In nanoseconds.
    window: u64,
    newest: Time,
    arrivals: u64,
    /// Time, arrival and key. Keys are never compared, as no two arrivals are equal.
    waiting: BinaryHeap<Reverse<(Time, u64, Key)>>,
}

impl Reorder {
    /// Puts requests in order within a window in seconds.
    pub(crate) fn within(window: u64) -> Reorder {
        Reorder {
            window: window.saturating_mul(1_000_000_000),
            newest: Time::default(),
            arrivals: 0,
            waiting: BinaryHeap::new(),
        }
    }

    pub(crate) fn arrive(&mut self, Request { key, time }: Request) {
        self.newest = self.newest.max(time);
        self.arrivals += 1;
        self.waiting.push(Reverse((time, self.arrivals, key)));
    }

    /// Returns the next request whose wait is over.
    pub(crate) fn next_due(&mut self) -> Option<Request> {
        let Reverse((time, ..)) = self.waiting.peek()?;
        if time.as_nanos().saturating_add(self.window) <= self.newest.as_nanos() {
            self.next_waiting()
        } else {
            None
        }
    }

    /// Returns the next request after the last arrival.
    pub(crate) fn next_waiting(&mut self) -> Option<Request> {
        let Reverse((time, _, key)) = self.waiting.pop()?;
        Some(Request { key, time })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(key: &str, second: u64) -> Request {
        let time = Time::from_number(second.to_string().as_bytes()).unwrap();
        let key = Key::Text(key.into());
        Request { time, key }
    }

    /// Returns the times that each arrival replays, and then those that the end replays.
    fn replayed(window: u64, times: &[u64]) -> Vec<Vec<u64>> {
        let mut reorder = Reorder::within(window);
        let mut replayed = Vec::new();
        for time in times {
            reorder.arrive(request("", *time));
            let due = std::iter::from_fn(|| reorder.next_due());
            replayed.push(due.map(|request| request.time.as_seconds()).collect());
        }
        let rest = std::iter::from_fn(|| reorder.next_waiting());
        replayed.push(rest.map(|request| request.time.as_seconds()).collect());
        replayed
    }

    #[test]
    fn requests_within_the_window_are_put_in_order() {
        assert_eq!(
            replayed(10, &[5, 3, 4, 14, 15]),
            [vec![], vec![], vec![], vec![3, 4], vec![5], vec![14, 15]]
        );
    }

    #[test]
    fn a_request_beyond_the_window_is_replayed_as_it_arrives() {
        assert_eq!(
            replayed(10, &[30, 20, 19, 12, 21]),
            [vec![], vec![20], vec![19], vec![12], vec![], vec![21, 30]]
        );
    }

    #[test]
    fn without_a_window_requests_are_replayed_as_they_arrive() {
        assert_eq!(replayed(0, &[3, 1, 2]), [vec![3], vec![1], vec![2], vec![]]);
    }

    #[test]
    fn requests_of_one_time_keep_the_order_of_their_lines() {
        let mut reorder = Reorder::within(60);
        for key in ["b", "c", "a"] {
            reorder.arrive(request(key, 7));
        }
        let rest = std::iter::from_fn(|| reorder.next_waiting());
        assert!(rest.eq(["b", "c", "a"].map(|key| request(key, 7))));
    }

    #[test]
    fn a_time_far_in_the_future_does_not_hold_up_the_rest() {
        assert_eq!(
            replayed(10, &[1, 1_000, 2, 3]),
            [vec![], vec![1], vec![2], vec![3], vec![1_000]]
        );
    }

    #[test]
    fn a_window_longer_than_time_waits_for_the_end() {
        assert_eq!(
            replayed(u64::MAX, &[9, 1, 5]),
            [vec![], vec![], vec![], vec![1, 5, 9]]
        );
    }
}
