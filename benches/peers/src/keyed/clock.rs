//! No limiter: one reading of the clock. The rest of a check's time is the limiter's.

use super::{Contender, Key, Quota};

pub struct ClockAlone {
    clock: quanta::Clock,
    start: u64,
}

impl<K: Key> Contender<K> for ClockAlone {
    const NAME: &'static str = "the clock alone";

    const DECIDES: bool = false;

    fn new(_: [Quota; 1]) -> ClockAlone {
        let clock = quanta::Clock::new();
        ClockAlone {
            start: clock.raw(),
            clock,
        }
    }

    #[inline]
    fn check(&self, _: &K) -> bool {
        self.clock.raw() >= self.start
    }

    fn stored(&self) -> Option<usize> {
        None
    }

    /// The clock advances.
    fn prove() {
        let clock = quanta::Clock::new();
        let start = clock.raw();
        while clock.raw() <= start {}
    }
}
