//! A limiter on its own clock, which moves by single ns.

use std::{
    cell::RefCell,
    hash::{BuildHasherDefault, DefaultHasher},
    time::Duration,
};

use tollgate::ManualClock;

use crate::oracle::Counted;

/// The uptime in ns at which a limiter's time stops, as documented at `Clock`.
pub(crate) const HORIZON: u64 = 36_525 * 86_400 * 1_000_000_000;

/// The reading of the clock when the limiter is built. The clock can then step back before it.
const START: u64 = 1_000_000_000;

/// Has no seed, so an input does the same in every run.
pub(crate) type Hasher = BuildHasherDefault<DefaultHasher>;

/// A limiter of the type `L`.
pub(crate) struct Timed<L> {
    pub(crate) limiter: L,
    clock: ManualClock,
    /// The reading of the clock.
    reading: u64,
    /// The time of the limiter, which reads the clock after each of its steps.
    counted: RefCell<Counted>,
}

impl<L> Timed<L> {
    pub(crate) fn new(build: impl FnOnce(ManualClock) -> L) -> Timed<L> {
        let clock = ManualClock::new();
        clock.advance(Duration::from_nanos(START));
        Timed {
            limiter: build(clock.clone()),
            clock,
            reading: START,
            counted: RefCell::new(Counted::from(START)),
        }
    }

    /// Returns the ns that the limiter has counted since it was built.
    pub(crate) fn now(&self) -> u64 {
        self.counted.borrow_mut().at(self.reading).min(HORIZON)
    }

    pub(crate) fn advance(&mut self, by: u64) {
        self.clock.advance(Duration::from_nanos(by));
        self.reading = self.reading.saturating_add(by);
    }

    pub(crate) fn advance_to(&mut self, now: u64) {
        self.advance(self.until(now));
    }

    /// Returns how far the clock has to move until the limiter's time is `then`.
    pub(crate) fn until(&self, then: u64) -> u64 {
        match then.saturating_sub(self.now()) {
            0 => 0,
            ahead => ahead.saturating_add(self.counted.borrow().behind(self.reading)),
        }
    }

    pub(crate) fn rewind(&mut self, by: u64) {
        self.clock.rewind(Duration::from_nanos(by));
        self.reading = self.reading.saturating_sub(by);
    }
}
