//! When keys are forgotten, and how.
//!
//! A key may be forgotten once its bucket is full. Some thread has to look for such keys, and no
//! request may pay for it: the maintenance thread does, one shard's lock at a time, in slices. The
//! alternative, a bounded piece of sweeping on every insert, needs no thread. But it forgets
//! nothing once the inserts of a flood are over, which is when memory should shrink, and it adds
//! the scan of a shard to a request. `benches/README.md` has what either costs.
//!
//! Forgetting is invisible because a check reads the clock under the lock that a key is dropped
//! under, and because of the [`Timer`](crate::clock::Timer).

use std::{
    any::Any,
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    time::Duration,
};

use crate::maintenance::discard;
use crate::store::Cursor;

/// When keys are forgotten.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Schedule {
    /// As often as suits the policy.
    ByPolicy,
    Every(Duration),
    ByHand,
}

impl Schedule {
    /// Returns the time between two sweeps, if there are to be any.
    ///
    /// By policy, it is half the time in which an empty bucket of the slowest quota fills: then no
    /// key outstays its debt by more than half of it, and a key is looked at about three times
    /// before it goes. At least 1 s and at most 5 minutes.
    pub(crate) fn interval(self, fill_time: Duration) -> Option<Duration> {
        match self {
            Schedule::ByPolicy => {
                Some((fill_time / 2).clamp(Duration::from_secs(1), Duration::from_secs(300)))
            }
            Schedule::Every(interval) => Some(interval.max(Duration::from_millis(1))),
            Schedule::ByHand => None,
        }
    }
}

/// A sweep under way: what it drops is full at `now`, which is published.
pub(crate) struct Sweep {
    pub(crate) now: u64,
    pub(crate) cursor: Cursor,
    pub(crate) forgotten: usize,
    /// The first panic of a key's own code. The sweep goes on after it.
    panic: Option<Box<dyn Any + Send>>,
}

impl Sweep {
    pub(crate) fn at(now: u64) -> Sweep {
        Sweep {
            now,
            cursor: Cursor::default(),
            forgotten: 0,
            panic: None,
        }
    }

    /// Runs a key's own code, which may panic.
    pub(crate) fn run(&mut self, run: impl FnOnce()) {
        if let Err(payload) = catch_unwind(AssertUnwindSafe(run)) {
            match &self.panic {
                None => self.panic = Some(payload),
                Some(_) => discard(payload),
            }
        }
    }

    /// Drops keys one by one, so that a panic of one is not followed by that of another.
    pub(crate) fn drop_all<K>(&mut self, mut keys: Vec<K>) {
        while let Some(key) = keys.pop() {
            self.run(move || drop(key));
        }
    }

    /// Returns the number of keys that were forgotten.
    ///
    /// # Panics
    ///
    /// If a key's own code did.
    pub(crate) fn finish(mut self) -> usize {
        if let Some(payload) = self.panic.take() {
            resume_unwind(payload);
        }
        self.forgotten
    }
}

/// A panic that nothing asks for has been reported.
impl Drop for Sweep {
    fn drop(&mut self) {
        if let Some(payload) = self.panic.take() {
            discard(payload);
        }
    }
}
