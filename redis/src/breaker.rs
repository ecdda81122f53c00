//! Decides whether the store is asked: not while it is known to fail.
//!
//! The breaker opens at a failure of the store, or at [`TIMEOUTS`] of them in a row if they are timeouts.
//! While it is open, one request in each [`INTERVAL`] is a probe, and asks. A reply closes it.
//!
//! A failure counts only if nothing was answered since it was asked. So the failures of many requests that
//! were sent over one connection are one failure, and those that arrive after the store is back are none.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

use crate::outage::Cause;

/// How many timeouts in a row open the breaker.
const TIMEOUTS: u32 = 5;

/// The time between two probes: at least the first, and at most both together.
pub(crate) const INTERVAL: Duration = Duration::from_millis(200);
const JITTER: Duration = Duration::from_millis(50);

#[derive(Debug)]
pub(crate) struct Breaker {
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// The last time of an answer.
    answered: Option<Instant>,
    /// Timeouts since then.
    timeouts: u32,
    open: Option<Open>,
    /// Any number, from which the next jitter is made.
    random: u64,
}

#[derive(Clone, Copy, Debug)]
struct Open {
    since: Instant,
    cause: Cause,
    next_probe: Instant,
}

/// An outage that the breaker knows of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Known {
    pub(crate) since: Instant,
    pub(crate) cause: Cause,
}

impl Breaker {
    /// Starts closed. `seed` is any number, another on each node.
    pub(crate) fn new(seed: u64) -> Breaker {
        Breaker {
            state: Mutex::new(State {
                answered: None,
                timeouts: 0,
                open: None,
                random: seed | 1,
            }),
        }
    }

    /// Says whether a request may ask the store at `now`, and returns the outage that lasts.
    ///
    /// # Errors
    ///
    /// If it may not, because of that outage.
    pub(crate) fn admit(&self, now: Instant) -> Result<Option<Known>, Known> {
        let mut state = self.lock();
        let jitter = state.jitter();
        match &mut state.open {
            None => Ok(None),
            Some(open) if open.next_probe <= now => {
                open.next_probe = now + INTERVAL + jitter;
                Ok(Some(open.known()))
            }
            Some(open) => Err(open.known()),
        }
    }

    /// The store answered at `now`. Returns the outage that ends by this. It ends when it is
    /// [closed](Breaker::close).
    pub(crate) fn answered(&self, now: Instant) -> Option<Known> {
        let mut state = self.lock();
        state.answered = Some(now);
        state.timeouts = 0;
        state.open.as_ref().map(Open::known)
    }

    /// Lets all requests ask. Returns whether they could not.
    pub(crate) fn close(&self) -> bool {
        self.lock().open.take().is_some()
    }

    /// A request that was sent at `asked` failed at `now`. Returns the outage if it begins by this.
    pub(crate) fn failed(&self, cause: Cause, asked: Instant, now: Instant) -> Option<Known> {
        let mut state = self.lock();
        if !cause.is_of_the_store() || state.answered.is_some_and(|answered| answered >= asked) {
            return None;
        }
        let is_timeout = cause == Cause::Timeout;
        state.timeouts += u32::from(is_timeout);
        if let Some(open) = &mut state.open {
            open.cause = cause;
            return None;
        }
        if is_timeout && state.timeouts < TIMEOUTS {
            return None;
        }
        // A broken connection may be the only trouble: the next request tries another at once.
        let next_probe = match cause {
            Cause::Connection => now,
            _ => now + INTERVAL + state.jitter(),
        };
        let open = Open {
            since: now,
            cause,
            next_probe,
        };
        state.open = Some(open);
        Some(open.known())
    }

    /// Returns the outage that lasts.
    pub(crate) fn outage(&self) -> Option<Known> {
        self.lock().open.as_ref().map(Open::known)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // No method panics halfway.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Returns a time below [`JITTER`], so that nodes do not probe together. (xorshift; Marsaglia, 2003.)
    fn jitter(&mut self) -> Duration {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        JITTER * u32::from((self.random >> 48) as u16) / (1 << 16)
    }
}

impl Open {
    fn known(&self) -> Known {
        Known {
            since: self.since,
            cause: self.cause,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(start: Instant, millis: u64) -> Instant {
        start + Duration::from_millis(millis)
    }

    #[test]
    fn five_timeouts_in_a_row_open_and_an_answer_between_starts_anew() {
        let (breaker, start) = (Breaker::new(1), Instant::now());
        for time in 0..4 {
            assert!(
                breaker
                    .failed(Cause::Timeout, at(start, time), at(start, time + 50))
                    .is_none()
            );
        }
        assert!(breaker.answered(at(start, 60)).is_none());
        for time in 61..65 {
            assert!(
                breaker
                    .failed(Cause::Timeout, at(start, time), at(start, time + 50))
                    .is_none()
            );
        }
        assert!(breaker.admit(at(start, 115)).is_ok());
        let opened = breaker
            .failed(Cause::Timeout, at(start, 66), at(start, 116))
            .unwrap();
        assert_eq!(opened.cause, Cause::Timeout);
        assert!(breaker.admit(at(start, 117)).is_err());
    }

    /// Or a store that comes back is given up again by what was sent before.
    #[test]
    fn what_was_asked_before_the_last_answer_does_not_count() {
        let (breaker, start) = (Breaker::new(1), Instant::now());
        assert!(breaker.answered(at(start, 10)).is_none());
        assert!(
            breaker
                .failed(Cause::Connection, at(start, 9), at(start, 20))
                .is_none()
        );
        assert!(
            breaker
                .failed(Cause::Connection, at(start, 11), at(start, 21))
                .is_some()
        );
    }

    #[test]
    fn an_open_breaker_lets_one_probe_through_in_each_interval() {
        let (breaker, start) = (Breaker::new(7), Instant::now());
        assert!(breaker.failed(Cause::ReadOnly, start, start).is_some());
        let mut probes = Vec::new();
        for time in 0..10_000 {
            if breaker.admit(at(start, time)).is_ok() {
                probes.push(time);
            }
        }
        let gaps = |probes: &[u64]| -> Vec<u64> {
            probes.windows(2).map(|pair| pair[1] - pair[0]).collect()
        };
        let gaps = gaps(&probes);
        assert!(gaps.iter().all(|gap| (200..=251).contains(gap)), "{gaps:?}");
        assert!(gaps.iter().max() > gaps.iter().min(), "no jitter");
        assert!(breaker.answered(at(start, 10_000)).is_some());
        assert!(breaker.close());
        assert!(
            breaker.admit(at(start, 10_001)).is_ok() && breaker.admit(at(start, 10_001)).is_ok()
        );
    }

    #[test]
    fn a_broken_connection_is_tried_again_at_once_and_then_at_intervals() {
        let (breaker, start) = (Breaker::new(7), Instant::now());
        assert!(breaker.failed(Cause::Connection, start, start).is_some());
        assert!(breaker.admit(start).is_ok());
        assert_eq!(breaker.admit(start).unwrap_err().cause, Cause::Connection);
        assert!(
            breaker
                .failed(Cause::Connection, start, at(start, 1))
                .is_none()
        );
        assert!(breaker.admit(at(start, 199)).is_err());
        assert!(breaker.admit(at(start, 251)).is_ok());
    }

    #[test]
    fn trouble_with_one_key_opens_nothing() {
        let (breaker, start) = (Breaker::new(7), Instant::now());
        for cause in [Cause::Malformed, Cause::Moving] {
            for _ in 0..10 {
                assert!(breaker.failed(cause, start, start).is_none());
            }
        }
        assert!(breaker.admit(start).is_ok() && breaker.outage().is_none());
    }
}
