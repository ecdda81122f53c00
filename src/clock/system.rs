//! The system clock: the time stamp counter, or else the operating system's monotonic clock.

/// Reads the time in ns since a fixed instant.
#[derive(Clone)]
pub(super) struct SystemClock {
    clock: quanta::Clock,
    /// The ns of a tick, times 2^64. 0 if a tick is 1 ns or longer, as with the monotonic clock, and with
    /// the counters of many processors that are not x86.
    ///
    /// `quanta` multiplies ticks by an integer, and shifts the product by a variable number of bits. The
    /// same result is the high half of one product, which some processors have sooner.
    tick: u64,
}

impl SystemClock {
    pub(super) fn new() -> SystemClock {
        let clock = quanta::Clock::new();
        let tick = tick(|ticks| clock.delta_as_nanos(0, ticks));
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

/// Returns the ns of a tick, times 2^64, or 0 if a tick is 1 ns or longer. `nanos` returns the ns of a
/// number of ticks: a product, shifted by at most 62 bits, of which it returns the lower 64 bits.
fn tick(nanos: impl Fn(u64) -> u64) -> u64 {
    // A product of 2^32 ticks is not cut off, with ticks of up to 4 s. One of 2^62 is exact.
    if nanos(1 << 32) < 1 << 32 {
        nanos(1 << 62) << 2
    } else {
        0
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

    /// Of any number of ticks, for counters of 19.2 MHz to 10 GHz. `quanta` scales like this.
    #[test]
    fn it_scales_as_quanta_does() {
        for megahertz in [
            19.2, 24.0, 25.0, 50.0, 62.499, 121.875, 249.9, 250.0, 999.9, 1_000.0, 2_445.4,
            10_000.0,
        ] {
            for shift in [20, 28, 31, 40] {
                let factor = (1_000.0 / megahertz * f64::from(shift).exp2()) as u64;
                let of_quanta =
                    |ticks: u64| ((u128::from(ticks) * u128::from(factor)) >> shift) as u64;
                let tick = tick(of_quanta);
                assert_eq!(tick == 0, factor >= 1 << shift, "{megahertz} MHz");
                for bits in (0..64).filter(|_| tick != 0) {
                    for ticks in [1 << bits, u64::MAX >> bits, 0x9e37_79b9_7f4a_7c15 >> bits] {
                        let nanos = high_half(ticks, tick);
                        assert_eq!(nanos, of_quanta(ticks), "{ticks} at {megahertz} MHz");
                    }
                }
            }
        }
    }

    #[test]
    fn it_has_the_time_of_quanta() {
        let system = SystemClock::new();
        let of_quanta = |ticks| system.clock.delta_as_nanos(0, ticks);
        for _ in 0..1_000 {
            let before = of_quanta(system.clock.raw());
            let now = system.nanos();
            let after = of_quanta(system.clock.raw());
            assert!((before..=after).contains(&now), "{before}, {now}, {after}");
        }
    }
}
