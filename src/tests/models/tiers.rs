//! Policies that change under a race: a debt is moved once, and by the policy that is in force.

use std::time::Duration;

use super::super::{KEY, UNIT, model, model_with, quota};
use crate::sync::{Arc, AtomicBool, Ordering};
use crate::{ManualClock, Quota, Tier, TieredLimiter};

type Limits = Arc<TieredLimiter<Vec<u8>>>;
type OneTier = Tier<Vec<u8>>;

/// Returns a limiter that only the model sweeps, with its clock.
fn limits(policy: Quota) -> (Limits, ManualClock) {
    let clock = ManualClock::new();
    let limits = TieredLimiter::builder(policy)
        .clock(clock.clone())
        .manual_sweep()
        .build();
    (Arc::new(limits), clock)
}

/// A quota that earns nothing while a model runs.
fn slow(burst: u64) -> Quota {
    Quota::per_hour(1).burst(burst)
}

fn ask(tier: &OneTier) -> loom::thread::JoinHandle<bool> {
    let tier = tier.clone();
    loom::thread::spawn(move || tier.allow(KEY))
}

fn drain(tier: &OneTier) -> u64 {
    let mut units = 0;
    while tier.allow(KEY) {
        units += 1;
    }
    units
}

#[test]
fn checks_under_two_tiers_race_for_one_unit_and_one_gets_it() {
    model(|| {
        let (limits, _) = limits(slow(1));
        let other = limits.tier(Quota::per_hour(2).burst(1)).unwrap();
        let asking = ask(&other);
        let own = limits.default_tier().allow(KEY);
        assert!(own != asking.join().unwrap());
        assert_eq!(limits.len(), 1);
        assert!(!other.peek(KEY).is_allowed() && !limits.default_tier().peek(KEY).is_allowed());
    });
}

/// The debt of one unit is carried to a tier with a larger burst, whichever check comes first.
#[test]
fn a_debt_is_carried_once_while_it_is_moved_and_added_to() {
    model(|| {
        let (limits, _) = limits(slow(3));
        let large = limits.tier(Quota::per_hour(2).burst(4)).unwrap();
        assert!(limits.default_tier().allow(KEY));
        let asking = ask(&large);
        assert!(limits.default_tier().allow(KEY));
        assert!(asking.join().unwrap());
        assert_eq!(large.peek(KEY).remaining(), 1);
        assert_eq!(limits.default_tier().peek(KEY).remaining(), 0);
    });
}

/// The key is full on its own axis, and moves to another while it is swept.
#[test]
fn a_sweep_beside_a_move_forgets_no_debt() {
    model(|| {
        let (limits, clock) = limits(quota(2));
        let slow = limits.tier(slow(2)).unwrap();
        assert!(limits.default_tier().check_n(KEY, 2).is_allowed());
        clock.advance(2 * UNIT);
        let sweeping = {
            let limits = Arc::clone(&limits);
            loom::thread::spawn(move || limits.sweep())
        };
        assert!(slow.allow(KEY));
        sweeping.join().unwrap();
        assert_eq!(slow.peek(KEY).remaining(), 1);
        assert_eq!(limits.len(), 1);
    });
}

/// The clock steps back unnoticed after a check under another tier has found a bucket full. That bucket
/// is not credited the time twice.
#[test]
fn a_step_back_after_a_move_credits_no_time_twice() {
    model(|| {
        let (limits, clock) = limits(quota(2));
        let same_rate = limits.tier(Quota::per_second(10_000).burst(3)).unwrap();
        assert!(limits.default_tier().check_n(KEY, 2).is_allowed());
        clock.advance(2 * UNIT);
        assert!(!same_rate.check_n(KEY, 4).is_allowed());
        clock.rewind(UNIT);
        let own = drain(limits.default_tier());
        clock.advance(UNIT);
        assert_eq!(own + drain(limits.default_tier()), 2);
    });
}

/// Case 60. The thread reads the policy, another replaces it and moves the key, and only then does the
/// first thread go on. The key is to be paid at the new rate, which is the rate of the last check.
#[test]
fn a_stalled_caller_that_read_the_old_policy_does_not_move_a_key_back() {
    model(|| {
        let (limits, clock) = limits(slow(3));
        let tier = limits.default_tier();
        assert!(tier.allow(KEY));
        let stalled = ask(tier);
        tier.replace(quota(3)).unwrap();
        assert!(tier.allow(KEY));
        assert!(stalled.join().unwrap());
        clock.advance(3 * UNIT);
        assert_eq!(tier.peek(KEY).remaining(), 3);
    });
}

/// A check reads the policy under the lock of its shard, and no replacement fills what it reads. (The thread
/// that stores is the one that goes first: loom remembers one access of a word, and would not see that a
/// thread which reads a word before it stores it is in another's way.)
#[test]
fn a_check_beside_two_replacements_is_under_one_of_the_policies() {
    model(|| {
        let (limits, _) = limits(Quota::per_hour(10));
        let tier = limits.default_tier();
        let asking = {
            let tier = tier.clone();
            loom::thread::spawn(move || {
                let quota = tier.check(KEY).quotas()[0].quota();
                assert_eq!(quota.units(), quota.burst_size());
            })
        };
        tier.replace(Quota::per_hour(12)).unwrap();
        tier.replace(Quota::per_hour(14)).unwrap();
        asking.join().unwrap();
    });
}

/// A thread that has cached its denial reads the policy without a lock. The numbers of its decision are those
/// of one policy.
#[test]
fn a_cached_denial_beside_two_replacements_is_under_one_of_the_policies() {
    // More preemptions make a thousand times as many executions, as every word that is read has two values.
    model_with(2, || {
        let (limits, _) = limits(slow(1));
        let tier = limits.default_tier();
        assert!(tier.allow(KEY));
        let asking = {
            let tier = tier.clone();
            loom::thread::spawn(move || {
                let _ = tier.allow(KEY);
                let decision = tier.check(KEY);
                assert!(decision.is_allowed() || decision.remaining() == 0);
            })
        };
        tier.replace(slow(2)).unwrap();
        tier.replace(slow(3)).unwrap();
        asking.join().unwrap();
    });
}

/// Denied under the slow tier, and cached. Another thread moves the debt to a faster rate by a check, and
/// tells of it once it is paid.
fn a_move_reaches_a_thread_that_has_cached(fast: Quota, is_allowed: bool) {
    model(move || {
        let (limits, clock) = limits(slow(1));
        let fast = limits.tier(fast).unwrap();
        assert!(limits.default_tier().allow(KEY));
        let told = Arc::new(AtomicBool::new(false));
        let asking = {
            let (slow, told) = (limits.default_tier().clone(), Arc::clone(&told));
            loom::thread::spawn(move || {
                let first = slow.allow(KEY);
                let knows = told.load(Ordering::Acquire);
                let second = slow.allow(KEY);
                assert!(!(first && second), "one unit");
                assert!(first || second || !knows, "denied what was there");
            })
        };
        assert_eq!(fast.allow(KEY), is_allowed);
        clock.advance(2 * UNIT);
        told.store(true, Ordering::Release);
        asking.join().unwrap();
    });
}

#[test]
fn a_thread_that_is_told_of_an_allowed_move_is_not_denied_from_the_cache() {
    a_move_reaches_a_thread_that_has_cached(quota(2), true);
}

#[test]
fn a_thread_that_is_told_of_a_denied_move_is_not_denied_from_the_cache() {
    a_move_reaches_a_thread_that_has_cached(quota(1), false);
}

/// The debt is paid by the time of the move. A thread whose clock is behind, by less than the timer's lag,
/// would still find the old state exhausted.
#[test]
fn a_move_reaches_a_thread_whose_clock_is_behind() {
    model(|| {
        let (limits, clock) = limits(quota(3));
        let (fast, slow) = (limits.default_tier(), limits.tier(slow(3)).unwrap());
        assert!(fast.check_n(KEY, 3).is_allowed());
        assert!(!fast.allow(KEY));
        let told = Arc::new(AtomicBool::new(false));
        let moving = {
            let told = Arc::clone(&told);
            loom::thread::spawn(move || {
                clock.advance(3 * UNIT);
                assert!(slow.allow(KEY));
                clock.rewind(2 * UNIT + UNIT / 2);
                told.store(true, Ordering::Release);
            })
        };
        if told.load(Ordering::Acquire) {
            assert!(fast.allow(KEY));
        }
        moving.join().unwrap();
    });
}

#[test]
fn a_thread_that_is_told_of_a_replacement_is_not_denied_from_the_cache() {
    model(|| {
        let (limits, _) = limits(slow(1));
        let tier = limits.default_tier().clone();
        assert!(tier.allow(KEY));
        let told = Arc::new(AtomicBool::new(false));
        let asking = {
            let (tier, told) = (tier.clone(), Arc::clone(&told));
            loom::thread::spawn(move || {
                let first = tier.allow(KEY);
                let knows = told.load(Ordering::Acquire);
                let second = tier.allow(KEY);
                assert!(!(first && second), "one unit");
                assert!(first || second || !knows, "denied what was there");
            })
        };
        tier.replace(quota(2)).unwrap();
        told.store(true, Ordering::Release);
        asking.join().unwrap();
    });
}

/// The thread's tier ends while a sweep looks for quotas that no key has, and its number may be given to
/// another quota. The key is paid at the rate that it was checked under.
#[test]
fn a_sweep_frees_no_quota_that_a_key_still_has() {
    model(|| {
        let (limits, clock) = limits(slow(2));
        // So that the sweep looks for quotas that no key has.
        drop(limits.tier(Quota::per_hour(7)).unwrap());
        let ending = limits.tier(Quota::per_hour(2).burst(2)).unwrap();
        let asking = loom::thread::spawn(move || {
            assert!(ending.allow(KEY));
        });
        limits.sweep();
        let fast = limits.tier(quota(2)).unwrap();
        asking.join().unwrap();
        clock.advance(Duration::from_micros(900));
        assert_eq!(limits.default_tier().peek(KEY).remaining(), 1);
        drop(fast);
    });
}
