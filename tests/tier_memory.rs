//! Case 61: the memory of policies.
//!
//! A test binary of its own, because it counts the bytes that the process has allocated. And what these tests
//! free makes glibc keep the memory of large tables, which `memory.rs` expects to be given back.

#[path = "common/allocated.rs"]
mod allocated;

use std::{sync::Mutex, time::Duration};

use allocated::allocated;
use tollgate::{ManualClock, Quota, TieredLimiter};

/// Case 61. A policy for each row of a database: each is made, used once and dropped, while the limiter is
/// swept now and then. Memory depends on how many are made between two sweeps, and not on how many there
/// ever were.
#[test]
fn a_million_policies_used_once_are_freed() {
    let _alone = ALONE.lock().unwrap();
    const POLICIES: u64 = 1_000_000;
    const BETWEEN_SWEEPS: u64 = 10_000;
    let clock = ManualClock::new();
    let limits: TieredLimiter<u64> = TieredLimiter::builder(Quota::per_minute(60))
        .clock(clock.clone())
        .manual_sweep()
        .build();
    let mut after_tenth = 0;
    for nth in 0..POLICIES {
        let tier = limits.tier(Quota::per_minute(60 + nth)).unwrap();
        assert!(tier.allow(&nth));
        drop(tier);
        if nth % BETWEEN_SWEEPS == BETWEEN_SWEEPS - 1 {
            clock.advance(Duration::from_secs(1));
            assert_eq!(limits.sweep() as u64, BETWEEN_SWEEPS);
        }
        if nth == POLICIES / 10 {
            after_tenth = allocated();
        }
    }
    let at_end = allocated();
    assert!(
        at_end <= after_tenth,
        "{after_tenth} bytes after a tenth of the policies, {at_end} after all"
    );
    // All of them together take 100 bytes each and more.
    assert!(at_end < POLICIES * 5, "{at_end} bytes");
}

/// 100,000 tiers that live, with ten policies and with 100,000. As the documentation of the limiter says.
#[test]
fn a_tier_takes_some_hundred_bytes() {
    let _alone = ALONE.lock().unwrap();
    of_quotas([MINUTE]);
    of_quotas([MINUTE, 60 * MINUTE]);
    of_quotas([MINUTE, 60 * MINUTE, 1_440 * MINUTE, 10_080 * MINUTE]);
}

const MINUTE: Duration = Duration::from_secs(60);

/// Makes tiers of policies with a quota for each of these periods.
fn of_quotas<const N: usize>(periods: [Duration; N]) {
    const TIERS: u64 = 100_000;
    let policy = |units: u64| periods.map(|period| Quota::new(units, period, units).unwrap());
    let quotas = N as u64;
    // The table of quotas doubles, so it may have room for twice as many.
    for (policies, most) in [(10, 100 + 88 * quotas), (TIERS, 110 + 310 * quotas)] {
        let limits: TieredLimiter<u64, N> = TieredLimiter::builder(policy(1))
            .clock(ManualClock::new())
            .manual_sweep()
            .build();
        let before = allocated();
        let mut tiers = Vec::with_capacity(TIERS as usize);
        tiers.extend((0..TIERS).map(|nth| limits.tier(policy(10 + nth % policies)).unwrap()));
        let each = (allocated() - before) / TIERS;
        println!("{each} bytes for each tier of {policies} policies of {N} quotas");
        assert!(
            each <= most,
            "{each} bytes for each tier of {policies} policies of {N} quotas"
        );
    }
}

/// The tests of this file run one after the other, because each measures the whole process.
static ALONE: Mutex<()> = Mutex::new(());
