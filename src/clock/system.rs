//! The system clock: the time stamp counter, or else the operating system's monotonic clock.

/// Reads the time in ns since a fixed instant.
#[derive(Clone)]
pub(super) struct SystemClock {
    clock: quanta::Clock,
    /// The ns of a tick, times 2^64. 0 if that does not fit, as with the monotonic clock, whose tick is
    /// 1 ns.
    ///
    /// `quanta` multiplies ticks by an integer, and shifts the product by a variable number of bits. The
    /// same result is the high half of one product, which some processors have sooner.
    tick: u64,
}

impl SystemClock {
    pub(super) fn new() -> SystemClock {
        let clock = quanta::Clock::new();
        // Exact, as the clock's shift is at most 62: it is calibrated for fewer ticks.
        let nanos = clock.delta_as_nanos(0, 1 << 62);
        let tick = nanos.checked_mul(4).unwrap_or(0);
        SystemClock { clock, tick }
    }

    #[inline]
    pub(super) fn nanos(&self) -> u64 {
        if self.tick == 0 {
            return self.clock.delta_as_nanos(0, self.clock.raw());
        }
        high_half(self.ticks(), self.tick)
    }

    /// Reads the counter, as the clock has one. `quanta` reads it in a call, which takes time.
    #[cfg(all(target_arch = "x86_64", not(miri)))]
    #[allow(unsafe_code, reason = "the instruction is not a safe function yet")]
    #[inline]
    fn ticks(&self) -> u64 {
        // SAFETY: it reads a register, and every x86-64 processor has it. `quanta` reads it too, as it has
        // found that the counter can be used.
        unsafe { std::arch::x86_64::_rdtsc() }
    }

    #[cfg(not(all(target_arch = "x86_64", not(miri))))]
    #[inline]
    fn ticks(&self) -> u64 {
        self.clock.raw()
    }
}

/// Returns the product divided by 2^64.
#[inline]
fn high_half(a: u64, b: u64) -> u64 {
    ((u128::from(a) * u128::from(b)) >> 64) as u64
}

#[cfg(all(test, not(tollgate_loom)))]
mod tests {
    use super::*;

    /// Of any number of ticks, and read one after the other.
    #[test]
    fn it_has_the_time_of_quanta_to_the_nanosecond() {
        let system = SystemClock::new();
        let of_quanta = |ticks| system.clock.delta_as_nanos(0, ticks);
        for bits in (0..64).filter(|_| system.tick != 0) {
            for ticks in [1 << bits, u64::MAX >> bits, 0x9e37_79b9_7f4a_7c15 >> bits] {
                assert_eq!(high_half(ticks, system.tick), of_quanta(ticks), "{ticks}");
            }
        }
        for _ in 0..1_000 {
            let before = of_quanta(system.clock.raw());
            let now = system.nanos();
            let after = of_quanta(system.clock.raw());
            assert!((before..=after).contains(&now), "{before}, {now}, {after}");
        }
    }
}
