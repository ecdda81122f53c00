//! Which quotas a limiter keeps.

use std::hash::{BuildHasherDefault, DefaultHasher};
use std::time::Duration;

use super::*;
use crate::{ManualClock, Quota};

const MINUTE: Duration = Duration::from_secs(60);

type Limits = TieredLimiter<u64>;

fn limits(shards: usize) -> (Limits, ManualClock) {
    let clock = ManualClock::new();
    let limits = TieredLimiter::builder(Quota::per_minute(60))
        .clock(clock.clone())
        .shards(shards)
        .manual_sweep()
        .build();
    (limits, clock)
}

#[test]
fn equal_quotas_are_kept_once_while_a_tier_has_them() {
    let (limits, _) = limits(2);
    let tiers: Vec<_> = (0..1_000)
        .map(|nth| limits.tier(Quota::per_minute(1 + nth % 10)).unwrap())
        .collect();
    assert_eq!(limits.known_quotas(), 1 + 10);
    limits.sweep();
    assert_eq!(limits.known_quotas(), 1 + 10);
    drop(tiers);
    assert_eq!(limits.known_quotas(), 1 + 10);
    limits.sweep();
    assert_eq!(limits.known_quotas(), 1);
}

#[test]
fn a_quota_that_a_key_owes_under_is_kept() {
    let (limits, clock) = limits(2);
    let tier = limits.tier(Quota::per_minute(2)).unwrap();
    assert!(tier.check_n(&7, 2).is_allowed());
    drop(tier);
    limits.sweep();
    assert_eq!(limits.known_quotas(), 2);
    // Its number is not given away: the debt is paid at two a minute.
    let other = limits.tier(Quota::per_minute(1_000)).unwrap();
    clock.advance(MINUTE / 2);
    assert_eq!(other.peek(&7).remaining(), 999);
    clock.advance(MINUTE / 2);
    drop(other);
    limits.sweep();
    assert_eq!((limits.known_quotas(), limits.len()), (1, 0));
}

/// A check under another tier moves the key to that tier's quota, so that its old one can be freed while
/// the key is stored.
#[test]
fn a_quota_is_freed_once_its_last_key_has_moved() {
    let (limits, _) = limits(2);
    let tier = limits.tier(Quota::per_minute(2)).unwrap();
    assert!(tier.allow(&7));
    drop(tier);
    assert!(limits.default_tier().allow(&7));
    limits.sweep();
    assert_eq!((limits.known_quotas(), limits.len()), (1, 1));
}

#[test]
fn replaced_policies_are_freed() {
    let (limits, clock) = limits(2);
    for units in 1..=10_000 {
        limits
            .default_tier()
            .replace(Quota::per_minute(units))
            .unwrap();
        assert!(limits.default_tier().allow(&7));
        if units % 100 == 0 {
            clock.advance(MINUTE);
            limits.sweep();
            assert!(limits.known_quotas() <= 2, "{}", limits.known_quotas());
        }
    }
}

/// A shard that is swept in parts shrinks between two of them. The key that owes is then where the first
/// part has looked already.
#[test]
fn a_sweep_that_may_have_skipped_a_key_frees_nothing() {
    for key in 100_000..100_016 {
        let clock = ManualClock::new();
        let limits: TieredLimiter<u64, 1, _> = TieredLimiter::builder(Quota::per_second(1))
            .clock(clock.clone())
            .hasher(BuildHasherDefault::<DefaultHasher>::default())
            .shards(2)
            .manual_sweep()
            .build();
        let core = &limits.handle().core;
        let tier = limits.tier(Quota::per_minute(2)).unwrap();
        assert!((0..20_000).all(|key| limits.default_tier().allow(&key)));
        assert!(tier.allow(&key));
        drop(tier);
        clock.advance(Duration::from_secs(1));

        let mut sweep = core.begin_sweep(1_000_000_000);
        assert!(core.sweep_some(&mut sweep));
        assert!(limits.sweep() > 10_000);
        while core.sweep_some(&mut sweep) {}
        sweep.finish();
        assert_eq!((limits.len(), limits.known_quotas()), (1, 2));
    }
}

/// A key is stored behind a sweep, and its tier ends. The sweep has not seen the key.
#[test]
fn a_quota_that_is_released_while_a_sweep_runs_is_left_to_the_next() {
    let (limits, _) = limits(2);
    let core = &limits.handle().core;
    let tier = limits.tier(Quota::per_minute(2)).unwrap();
    // So that the sweep looks for quotas that are not used.
    drop(limits.tier(Quota::per_minute(5)).unwrap());
    let mut sweep = core.begin_sweep(0);
    assert!(core.sweep_some(&mut sweep));
    assert!(tier.allow(&8));
    drop(tier);
    while core.sweep_some(&mut sweep) {}
    assert_eq!(limits.known_quotas(), 2);
    limits.sweep();
    assert_eq!(limits.known_quotas(), 2);
}
