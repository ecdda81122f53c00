//! The rest of what a limiter does: each call, each option and each number of a decision.

// Each `#[expect(unused_must_use)]` below is a test: that what it covers must be used.
#![deny(unfulfilled_lint_expectations)]

mod common;

use std::{collections::hash_map, thread, time::Duration};

use common::cases::{
    Asked, HOUR, MINUTE, Numbers, SECOND, Stored, Time, by_hand, drain, nanos, quota, wait_until,
};
use common::oracle::{Oracle, answer};
use tollgate::{Clock, Decision, ManualClock, Policy, Quota, RateLimiter};

#[test]
fn available_after_is_what_a_check_of_so_many_would_have_to_wait() {
    let policy = [quota(7, MINUTE, 9), quota(60, HOUR, 20)];
    let (limiter, time) = by_hand(policy);
    for (spent, elapsed) in [(9, 0), (0, SECOND), (1, 8 * SECOND), (0, 40 * SECOND)] {
        time.advance(elapsed);
        assert!(limiter.check_n(&0, spent).is_allowed());
        let now = limiter.peek_n(&0, 0);
        for n in 0..=21 {
            let asked = limiter.peek_n(&0, n);
            for (quota, asked) in now.quotas().iter().zip(asked.quotas()) {
                let expected = asked.retry_after().unwrap_or_default();
                let expected = (!asked.exceeds_burst()).then_some(expected);
                assert_eq!(quota.available_after(n), expected, "{n}");
            }
        }
    }
}

/// Of quotas whose unit takes whole ns, which are exact: long walks of every call.
#[test]
fn every_number_of_every_decision_is_the_models() {
    for quota in [
        Quota::default(),
        quota(10, SECOND, 10),
        quota(60, HOUR, 5),
        quota(2, 5 * SECOND, 3),
        quota(1_000_000_000, SECOND, 1_000),
        quota(1, 7 * 24 * HOUR, 4),
        quota(1, 1, u64::from(u32::MAX)),
    ] {
        let (limiter, time) = by_hand(quota);
        let mut oracle = Oracle::new(&[quota]);
        let mut numbers = Numbers::new(quota.burst_size());
        let unit = u64::try_from(quota.period().as_nanos()).unwrap() / quota.units();
        for _ in 0..5_000 {
            time.advance(
                [0, 1, unit - 1, unit, numbers.below(3 * unit)][numbers.below(5) as usize],
            );
            let most = [2, 4, quota.burst_size() + 2][numbers.below(3) as usize];
            let n = numbers.below(most);
            let expected = oracle.check(time.now(), n);
            // Seen before, without being spent; spent once; and all the same after.
            let peeked = limiter.peek_n(&0, n);
            assert_eq!(peeked.is_allowed(), expected.allowed);
            let decision = limiter.check_n(&0, n);
            assert_eq!(
                answer(&decision),
                expected,
                "{quota}, {n} at {} ns",
                time.now()
            );
            assert_eq!(decision.limit(), quota.burst_size());
            assert_eq!(decision.binding(), 0);
            let rest = limiter.peek_n(&0, 0);
            assert_eq!(rest.remaining(), expected.remaining);
            assert_eq!(rest.reset_after(), expected.reset_after);
            // One quota's part is the whole.
            let part = &decision.quotas()[0];
            assert_eq!(part.limit(), decision.limit());
            assert_eq!(part.remaining(), decision.remaining());
            assert_eq!(part.retry_after(), decision.retry_after());
            assert_eq!(part.reset_after(), decision.reset_after());
            assert_eq!(part.exceeds_burst(), decision.exceeds_burst());
        }
    }
}

#[test]
fn peek_says_what_check_would_and_spends_and_stores_nothing() {
    let (limiter, time) = by_hand::<u64, 1>(Quota::per_minute(60).burst(3));
    for _ in 0..10 {
        let peeked = limiter.peek(&0);
        assert!(peeked.is_allowed());
        // What the bucket holds now, and not what would be left.
        assert_eq!(
            (peeked.remaining(), peeked.reset_after()),
            (3, Duration::ZERO)
        );
    }
    assert!(limiter.is_empty());
    assert!(limiter.peek_n(&0, 3).is_allowed());
    assert!(limiter.peek_n(&0, 4).exceeds_burst());
    assert!(limiter.is_empty());

    assert_eq!(limiter.check_n(&0, 2).remaining(), 1);
    for _ in 0..10 {
        assert!(limiter.peek(&0).is_allowed());
        let denied = limiter.peek_n(&0, 2);
        assert!(!denied.is_allowed());
        assert_eq!(denied.remaining(), 1);
        assert_eq!(denied.retry_after(), Some(nanos(SECOND)));
        assert_eq!(denied.reset_after(), nanos(2 * SECOND));
    }
    time.set(SECOND - 1);
    assert!(!limiter.peek_n(&0, 2).is_allowed());
    time.set(SECOND);
    assert!(limiter.peek_n(&0, 2).is_allowed());
    assert_eq!(limiter.peek(&0).remaining(), 2);
    assert_eq!(drain(&limiter, 0), 2);
}

#[test]
fn a_forgotten_key_has_a_full_bucket_whatever_its_debt() {
    let (limiter, time) = by_hand::<String, 1>(Quota::per_hour(1).burst(2));
    assert!(!limiter.forget("alice"), "not stored");
    for debt in [1, 2] {
        assert!(limiter.check_n("alice", debt).is_allowed());
        assert!(limiter.check_n("bob", 1).is_allowed());
        assert!(limiter.forget("alice"));
        assert!(!limiter.forget("alice"), "no longer stored");
        assert_eq!(limiter.len(), 1, "and nobody else is");
        assert_eq!(limiter.peek("alice").remaining(), 2);
        assert_eq!(limiter.peek("bob").remaining(), 2 - debt);
        time.advance(1);
    }
    // Two at once again, and no more than that.
    assert!(limiter.check_n("alice", 2).is_allowed());
    assert!(!limiter.allow("alice"));
    assert_eq!(limiter.check("alice").retry_after(), Some(nanos(HOUR)));
}

#[test]
fn sweep_says_how_many_it_forgot_and_len_how_many_are_left() {
    let (limiter, time) = by_hand::<u64, 1>(Quota::per_second(1).burst(10));
    assert_eq!(
        (limiter.len(), limiter.is_empty(), limiter.sweep()),
        (0, true, 0)
    );
    // One key for each debt from 1 to 10 s, ten times over.
    for key in 0..100 {
        assert!(limiter.check_n(&key, 1 + key % 10).is_allowed());
        assert_eq!(limiter.len() as u64, key + 1);
        assert!(limiter.peek(&(key + 1)).is_allowed());
    }
    for second in 1..=10 {
        time.set(second * SECOND - 1);
        assert_eq!(limiter.sweep(), 0);
        time.set(second * SECOND);
        assert_eq!(limiter.sweep(), 10);
        assert_eq!(limiter.sweep(), 0);
        assert_eq!(limiter.len() as u64, 100 - 10 * second);
    }
    assert!(limiter.is_empty());
}

/// From a few keys in many shards to many in few.
#[test]
fn len_is_exact_through_growth_and_shrinking() {
    for shards in [2, 64, 1_024] {
        let time = Time::new();
        let limiter: RateLimiter<u64> = RateLimiter::builder(Quota::per_second(1).burst(2))
            .clock(time.clock.clone())
            .shards(shards)
            .manual_sweep()
            .build();
        for size in [1, 10, 1_000, 20_000, 3, 2_000] {
            for key in 0..size {
                assert!(limiter.check_n(&key, 1 + key % 2).is_allowed());
            }
            assert_eq!(limiter.len() as u64, size);
            for key in (0..size).step_by(4) {
                assert!(limiter.forget(&key));
            }
            let left = size - size.div_ceil(4);
            assert_eq!(limiter.len() as u64, left);
            time.advance(SECOND);
            // Of each four the second and the fourth spent two, the third one.
            let full = (size + 1) / 4;
            assert_eq!(limiter.sweep() as u64, full);
            assert_eq!(limiter.len() as u64, left - full);
            assert!((0..size).all(|key| {
                let in_debt = key % 2 == 1;
                limiter.peek(&key).remaining() == if in_debt { 1 } else { 2 }
            }));
            time.advance(SECOND);
            assert_eq!(limiter.sweep() as u64, left - full);
            assert!(limiter.is_empty());
        }
    }
}

#[test]
fn keys_do_not_share() {
    let (limiter, time) = by_hand::<u64, 1>(Quota::per_second(1).burst(3));
    for key in 0..1_000 {
        assert_eq!(drain(&limiter, key), 3);
    }
    time.set(SECOND);
    for key in (0..1_000).step_by(2) {
        assert!(limiter.allow(&key));
    }
    for key in 0..1_000 {
        assert_eq!(limiter.peek(&key).remaining(), key % 2);
    }
}

#[test]
fn keys_are_of_any_type_that_is_hashed_and_compared() {
    let once = || Quota::per_hour(1).burst(1);

    let (limiter, _) = by_hand::<&'static str, 1>(once());
    assert!(limiter.allow(&"alice") && !limiter.allow(&"alice") && limiter.allow(&"bob"));

    let (limiter, _) = by_hand::<String, 1>(once());
    assert!(limiter.allow("alice") && !limiter.allow("alice") && limiter.allow("bob"));
    assert!(!limiter.allow(&"bob".to_owned()));

    let (limiter, _) = by_hand::<(u32, u32), 1>(once());
    assert!(limiter.allow(&(1, 2)) && !limiter.allow(&(1, 2)) && limiter.allow(&(2, 1)));

    let (limiter, _) = by_hand::<u64, 1>(once());
    assert!(limiter.allow(&1) && !limiter.allow(&1) && limiter.allow(&u64::MAX));

    let (limiter, _) = by_hand::<Vec<u8>, 1>(once());
    assert!(limiter.allow(&b"ab"[..]) && !limiter.allow(&vec![97, 98]));

    let (limiter, _) = by_hand::<std::net::IpAddr, 1>(once());
    let [v4, v6] = ["192.0.2.1", "::ffff:192.0.2.1"].map(|text| text.parse().unwrap());
    assert!(limiter.allow(&v4) && limiter.allow(&v6) && !limiter.allow(&v4));

    // One bucket for all.
    let (limiter, _) = by_hand::<(), 1>(once());
    assert!(limiter.allow(&()) && !limiter.allow(&()));

    let (limiter, _) = by_hand::<Stored, 1>(once());
    assert!(limiter.allow(&Asked(1)) && !limiter.allow(&Asked(1)) && limiter.allow(&Asked(2)));

    let (limiter, _) = by_hand::<std::borrow::Cow<'static, str>, 1>(once());
    let owned = std::borrow::Cow::from("alice".to_owned());
    assert!(limiter.allow(&std::borrow::Cow::from("alice")) && !limiter.allow(&owned));
}

/// `K` is found out from what is asked with, as in the README.
#[test]
fn the_key_is_inferred_from_its_use() {
    let limiter = RateLimiter::new(Quota::per_hour(1).burst(1));
    assert!(limiter.allow("alice"));
    let _: &RateLimiter<String> = &limiter;

    let limiter = RateLimiter::new(Policy::default());
    assert!(limiter.allow(&42_u32));
    let _: &RateLimiter<u32> = &limiter;

    let limiter = RateLimiter::new([Quota::per_minute(10), Quota::per_hour(60)]);
    assert!(limiter.allow("alice"));
    let _: &RateLimiter<String, 2> = &limiter;
}

#[test]
fn the_default_policy_is_a_hundred_a_minute_in_bursts_of_ten() {
    let (limiter, time) = by_hand::<u64, 1>(Policy::default());
    assert_eq!(limiter.policy().to_string(), "100/minute burst 10");
    assert_eq!(drain(&limiter, 0), 10);
    assert_eq!(
        limiter.check(&0).retry_after(),
        Some(Duration::from_millis(600))
    );
    let mut admitted = 0;
    for _ in 0..60 {
        time.advance(SECOND);
        admitted += drain(&limiter, 0);
    }
    assert_eq!(admitted, 100);
}

#[test]
fn a_limiter_shows_its_policy() {
    let quotas = [Quota::per_minute(10), Quota::per_hour(60)];
    let (limiter, _) = by_hand::<u64, 2>(quotas);
    assert_eq!(limiter.policy(), &Policy::from(quotas));
    assert_eq!(limiter.policy().quotas()[1], Quota::per_hour(60));
}

#[test]
fn what_is_shown_for_debugging_is_no_key() {
    let (limiter, time) = by_hand::<String, 1>(Quota::per_hour(5).burst(3));
    assert!(limiter.allow("hunter2-is-a-secret"));
    assert!(limiter.allow("4111-1111-1111-1111"));
    let shown = [
        format!("{limiter:?}"),
        format!("{limiter:#?}"),
        format!("{:?}", limiter.check("hunter2-is-a-secret")),
    ];
    for text in &shown {
        assert!(
            !text.contains("hunter2") && !text.contains("1111"),
            "{text}"
        );
    }
    assert!(
        shown[0].starts_with("RateLimiter { policy: Policy(["),
        "{}",
        shown[0]
    );
    assert!(shown[0].ends_with("len: 2, .. }"), "{}", shown[0]);

    let builder = RateLimiter::<String>::builder(Quota::per_hour(5)).clock(time.clock.clone());
    let text = format!("{builder:?}");
    assert!(text.starts_with("Builder { policy: Policy(["), "{text}");
    assert!(text.contains("Clock(manual)"), "{text}");

    assert_eq!(format!("{:?}", Clock::default()), "Clock(system)");
    time.set(SECOND / 2);
    assert_eq!(format!("{:?}", time.clock), "ManualClock(500ms)");
}

/// A decision says all its numbers when it is printed.
#[test]
fn a_decision_shows_its_numbers() {
    let (limiter, _) =
        by_hand::<u64, 2>([Quota::per_second(1).burst(2), Quota::per_minute(1).burst(3)]);
    assert!(limiter.check_n(&0, 2).is_allowed());
    assert_eq!(
        format!("{:?}", limiter.check_n(&0, 2)),
        "Decision { allowed: false, exceeds_burst: false, binding: 1, quotas: [\
         QuotaDecision { limit: 2, remaining: 0, retry_after: Some(2s), reset_after: 2s, \
         exceeds_burst: false }, \
         QuotaDecision { limit: 3, remaining: 1, retry_after: Some(60s), reset_after: 120s, \
         exceeds_burst: false }], source: Table }"
    );
    let never = format!("{:?}", limiter.check_n(&0, 3));
    assert!(
        never.starts_with("Decision { allowed: false, exceeds_burst: true, binding: 0,"),
        "{never}"
    );
}

/// A decision is a copy: what happens later does not change it.
#[test]
fn a_decision_is_of_its_instant() {
    let (limiter, time) = by_hand::<u64, 1>(Quota::per_second(1).burst(3));
    let first = limiter.check(&0);
    let copy = first;
    time.set(HOUR);
    assert_eq!(drain(&limiter, 0), 3);
    limiter.forget(&0);
    for decision in [first, copy] {
        assert!(decision.is_allowed());
        assert_eq!(
            (decision.remaining(), decision.reset_after()),
            (2, nanos(SECOND))
        );
    }
}

/// In both orders of two quotas, which of them binds, as its index in the first.
fn binding(
    quotas: [Quota; 2],
    decide: impl Fn(&RateLimiter<u64, 2>, &Time) -> Decision<2>,
) -> usize {
    let [one, other] = [quotas, [quotas[1], quotas[0]]].map(|quotas| {
        let (limiter, time) = by_hand::<u64, 2>(quotas);
        let decision = decide(&limiter, &time);
        assert_eq!(decision.limit(), quotas[decision.binding()].burst_size());
        decision.binding()
    });
    assert_eq!(one, 1 - other, "{quotas:?}: the order makes a difference");
    one
}

#[test]
fn when_allowed_the_quota_with_the_least_remaining_binds() {
    let quotas = [Quota::per_hour(1).burst(5), Quota::per_second(100).burst(4)];
    assert_eq!(binding(quotas, |limiter, _| limiter.check(&0)), 1);
    assert_eq!(binding(quotas, |limiter, _| limiter.check_n(&0, 4)), 1);
    // The fast one is full again, and the slow one has less.
    let later = |limiter: &RateLimiter<u64, 2>, time: &Time| {
        assert!(limiter.check_n(&0, 4).is_allowed());
        time.set(SECOND);
        limiter.check(&0)
    };
    assert_eq!(binding(quotas, later), 0);
}

#[test]
fn of_equal_remaining_the_one_that_takes_longer_to_be_full_binds() {
    let quotas = [
        Quota::per_second(100).burst(5),
        Quota::per_second(1).burst(5),
    ];
    assert_eq!(binding(quotas, |limiter, _| limiter.check(&0)), 1);
    // One is left in each: of two, which is 1 s from full, and of four, which is minutes from it.
    let quotas = [Quota::per_second(1).burst(2), Quota::per_minute(1).burst(4)];
    let later = |limiter: &RateLimiter<u64, 2>, time: &Time| {
        assert!(limiter.check_n(&0, 2).is_allowed());
        time.set(2 * SECOND);
        let allowed = limiter.check(&0);
        assert_eq!(
            Vec::from_iter(allowed.quotas().iter().map(|quota| quota.remaining())),
            [1, 1]
        );
        assert_eq!(allowed.reset_after(), nanos(3 * MINUTE - 2 * SECOND));
        allowed
    };
    assert_eq!(binding(quotas, later), 1);
}

#[test]
fn of_full_buckets_that_hold_as_much_the_slower_one_binds() {
    let quotas = [Quota::per_second(2).burst(5), Quota::per_second(1).burst(5)];
    assert_eq!(binding(quotas, |limiter, _| limiter.peek_n(&0, 0)), 1);
    assert_eq!(binding(quotas, |limiter, _| limiter.peek(&0)), 1);
    let alike = [Quota::per_second(1), Quota::per_second(1)];
    let (limiter, _) = by_hand::<u64, 2>(alike);
    assert_eq!(
        limiter.check(&0).binding(),
        0,
        "there is nothing to tell them by"
    );
}

#[test]
fn when_denied_the_quota_with_the_longest_wait_binds() {
    // Nothing is left in the fast one; in the slow one there is, and too little.
    let quotas = [
        Quota::per_second(10).burst(3),
        Quota::per_minute(1).burst(4),
    ];
    let denied = |n: u64| {
        move |limiter: &RateLimiter<u64, 2>, _: &Time| {
            assert!(limiter.check_n(&0, 3).is_allowed());
            let denied = limiter.check_n(&0, n);
            assert!(!denied.is_allowed());
            denied
        }
    };
    assert_eq!(binding(quotas, denied(1)), 0);
    assert_eq!(binding(quotas, denied(2)), 1);
    assert_eq!(binding(quotas, denied(3)), 1);
    // What can never pass binds before any wait.
    assert_eq!(binding(quotas, denied(4)), 0);
    let neither = [
        Quota::per_second(10).burst(3),
        Quota::per_minute(1).burst(3),
    ];
    assert_eq!(binding(neither, denied(4)), 1, "the longer to be full");
    // Of two that can never be met the smaller burst says what could be.
    let (small, large) = (
        Quota::per_second(10).burst(3),
        Quota::per_minute(1).burst(4),
    );
    assert_eq!(binding([small, large], denied(5)), 0);
    assert_eq!(binding([large, small], denied(5)), 1);
}

/// 1 a second and 1 in two: after 2, a second and 1 more, both are a second from the next.
#[test]
fn of_equal_waits_the_one_that_takes_longer_to_be_full_binds() {
    let quotas = [quota(1, SECOND, 2), quota(1, 2 * SECOND, 3)];
    let denied = |limiter: &RateLimiter<u64, 2>, time: &Time| {
        assert!(limiter.check_n(&0, 2).is_allowed());
        time.set(SECOND);
        assert!(limiter.check(&0).is_allowed());
        let denied = limiter.check(&0);
        let waits = Vec::from_iter(denied.quotas().iter().map(|quota| quota.retry_after()));
        assert_eq!(waits, [Some(nanos(SECOND)); 2]);
        assert_eq!(denied.reset_after(), nanos(5 * SECOND));
        denied
    };
    assert_eq!(binding(quotas, denied), 1);
}

#[test]
fn a_builder_takes_any_number_of_shards() {
    for shards in [0, 1, 2, 3, 4, 100, 256, 65_536, usize::MAX] {
        let time = Time::new();
        let limiter: RateLimiter<u64> = RateLimiter::builder(Quota::per_second(1).burst(1))
            .clock(time.clock.clone())
            .shards(shards)
            .manual_sweep()
            .build();
        for key in 0..100 {
            assert!(
                limiter.allow(&key) && !limiter.allow(&key),
                "{shards} shards"
            );
        }
        time.set(SECOND);
        assert_eq!(limiter.sweep(), 100);
    }
}

#[test]
fn a_builder_takes_a_hasher() {
    let limiter: RateLimiter<String, 1, hash_map::RandomState> =
        RateLimiter::builder(Quota::per_hour(1).burst(1))
            .hasher(hash_map::RandomState::new())
            .clock(ManualClock::new())
            .manual_sweep()
            .build();
    for key in ["alice", "bob"] {
        assert!(limiter.allow(key) && !limiter.allow(key));
    }
}

/// The options may be given in any order, and a hasher changes none of the others.
#[test]
fn a_builder_keeps_what_it_was_told() {
    let time = Time::new();
    let builder = RateLimiter::<u64>::builder(Quota::per_hour(7).burst(3))
        .clock(time.clock.clone())
        .shards(5)
        .manual_sweep();
    let before = format!("{builder:?}");
    let builder = builder.hasher(hash_map::RandomState::new());
    assert_eq!(format!("{builder:?}"), before);
    let limiter = builder.try_build().unwrap();
    assert_eq!(limiter.policy(), &Policy::from(Quota::per_hour(7).burst(3)));
    assert!(limiter.check_n(&0, 3).is_allowed());
    time.set(HOUR / 7);
    assert!(!limiter.allow(&0));
    time.set(HOUR / 7 + 1);
    assert!(limiter.allow(&0));
}

/// No interval is too short or too long, and the last word on sweeping counts.
#[test]
fn a_builder_takes_any_interval() {
    for interval in [
        Duration::ZERO,
        Duration::from_nanos(1),
        Duration::from_millis(1),
    ] {
        let time = Time::new();
        let limiter: RateLimiter<u64> = RateLimiter::builder(Quota::per_second(1))
            .clock(time.clock.clone())
            .manual_sweep()
            .sweep_every(interval)
            .build();
        assert!(limiter.allow(&0));
        time.set(SECOND);
        wait_until("a sweep", || limiter.is_empty());
    }
    for interval in [Duration::from_secs(u64::MAX), Duration::MAX] {
        let time = Time::new();
        let limiter: RateLimiter<u64> = RateLimiter::builder(Quota::per_second(1))
            .clock(time.clock.clone())
            .sweep_every(interval)
            .build();
        assert!(limiter.allow(&0));
        time.set(SECOND);
        // By hand it may be swept all the same.
        assert_eq!(limiter.sweep(), 1);
    }
}

#[test]
fn a_limiter_swept_by_hand_never_sweeps_by_itself() {
    let time = Time::new();
    let limiter: RateLimiter<u64> = RateLimiter::builder(Quota::per_second(1))
        .clock(time.clock.clone())
        .sweep_every(Duration::from_millis(1))
        .manual_sweep()
        .build();
    let swept: RateLimiter<u64> = RateLimiter::builder(Quota::per_second(1))
        .clock(time.clock.clone())
        .sweep_every(Duration::from_millis(1))
        .build();
    for round in 1..=10 {
        assert!(limiter.allow(&0) && swept.allow(&0));
        time.set(round * SECOND);
        wait_until("the other one sweeps", || swept.is_empty());
        assert_eq!(limiter.len(), 1);
    }
}

/// On the machine's clock, as in production: all that can be said without waiting for it.
#[test]
fn a_limiter_runs_on_the_machines_clock() {
    let limiter = RateLimiter::new(Quota::per_day(1).burst(3));
    let first = limiter.check("alice");
    assert!(first.is_allowed());
    assert_eq!(first.remaining(), 2);
    assert_eq!(first.reset_after(), Duration::from_secs(86_400));
    assert!(limiter.check_n("alice", 2).is_allowed());
    let denied = limiter.check("alice");
    assert!(!denied.is_allowed());
    let wait = denied.retry_after().unwrap();
    assert!(wait <= Duration::from_secs(86_400) && wait > Duration::from_secs(86_000));

    // And it does move: of a unit each ns, some have come back.
    let limiter = RateLimiter::new(Quota::per_second(1_000_000_000).burst(1_000));
    assert!(limiter.check_n("alice", 1_000).is_allowed());
    wait_until("time passes", || {
        limiter.check_n("alice", 1_000).is_allowed()
    });
}

/// Two limiters on one clock see it move as one.
#[test]
fn clones_of_a_manual_clock_share_their_time() {
    let clock = ManualClock::new();
    let limiters = [clock.clone(), clock.clone()].map(|clock| {
        RateLimiter::<u64>::builder(Quota::per_second(1))
            .clock(Clock::from(clock))
            .manual_sweep()
            .build()
    });
    assert!(
        limiters
            .iter()
            .all(|limiter| limiter.allow(&0) && !limiter.allow(&0))
    );
    let moved = thread::spawn(move || clock.advance(Duration::from_secs(1))).join();
    moved.unwrap();
    assert!(
        limiters
            .iter()
            .all(|limiter| limiter.allow(&0) && !limiter.allow(&0))
    );
    let apart = by_hand::<u64, 1>(Quota::per_second(1)).0;
    assert!(apart.allow(&0) && !apart.allow(&0));
}

/// What would be useless or wrong when its result is dropped says so to the compiler.
#[test]
fn results_must_be_used() {
    let (limiter, _) = by_hand::<u64, 1>(Quota::per_second(1));
    #[expect(unused_must_use)]
    {
        limiter.allow(&0);
    }
    #[expect(unused_must_use)]
    {
        limiter.check(&0);
    }
    #[expect(unused_must_use)]
    {
        limiter.check_n(&0, 1);
    }
    #[expect(unused_must_use)]
    {
        limiter.peek(&0);
    }
    #[expect(unused_must_use)]
    {
        limiter.peek(&0).retry_after();
    }
    #[expect(unused_must_use)]
    {
        limiter.len();
    }
    #[expect(unused_must_use)]
    {
        RateLimiter::<u64>::builder(Quota::default());
    }
    #[expect(unused_must_use)]
    {
        RateLimiter::<u64>::builder(Quota::default())
            .manual_sweep()
            .build();
    }
    #[expect(unused_must_use)]
    {
        Quota::per_second(1).burst(2);
    }
    // These are done for what they do.
    limiter.sweep();
    limiter.forget(&0);
}
