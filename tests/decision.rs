//! What a decision tells beside the numbers that the laws are about: its source, its response fields,
//! and the same without the number of quotas in its type.

mod common;

use std::time::Duration;

use common::cases::{MINUTE, SECOND, by_hand, nanos, quota};
use tollgate::limit::{AsDecision, Checked, Limit};
use tollgate::{DecisionRef, DecisionSource, Quota};

/// The first denial of a key is the table's. Those that follow on the thread are the cache's, until
/// a unit is earned or the key is forgotten.
#[test]
fn a_decision_says_where_it_was_made() {
    let (limiter, time) = by_hand::<u64, 1>(Quota::per_second(1).burst(1));
    let check = || {
        let decision = limiter.check(&0);
        (decision.is_allowed(), decision.source())
    };
    assert_eq!(check(), (true, DecisionSource::Table));
    assert_eq!(check(), (false, DecisionSource::Table));
    assert_eq!(check(), (false, DecisionSource::DeniedCache));
    assert_eq!(limiter.peek(&0).source(), DecisionSource::Table);
    time.set(SECOND);
    assert_eq!(check(), (true, DecisionSource::Table));
    assert_eq!(check(), (false, DecisionSource::Table));
    assert_eq!(check(), (false, DecisionSource::DeniedCache));
    assert!(limiter.forget(&0));
    assert_eq!(check(), (true, DecisionSource::Table));
}

/// What is decided is the same, wherever it is.
#[test]
fn the_source_makes_no_difference_to_equality() {
    let (limiter, _) = by_hand::<u64, 2>([Quota::per_second(1), Quota::per_minute(2)]);
    assert!(limiter.allow(&0));
    let (first, second) = (limiter.check(&0), limiter.check(&0));
    assert_ne!(first.source(), second.source());
    assert_eq!(first, second);
    assert_eq!(first.as_ref(), second.as_ref());
}

/// Rounded up, so that a client that waits this long is not denied again; never 0.
#[test]
fn a_wait_in_seconds_is_rounded_up() {
    for (wait, expected) in [
        (1, 1),
        (SECOND - 1, 1),
        (SECOND, 1),
        (SECOND + 1, 2),
        (90 * SECOND, 90),
    ] {
        let (limiter, _) = by_hand::<u64, 1>(quota(1, wait, 1));
        assert_eq!(limiter.check(&0).retry_after_seconds(), None);
        let denied = limiter.check(&0);
        assert_eq!(denied.retry_after(), Some(nanos(wait)));
        assert_eq!(denied.retry_after_seconds(), Some(expected), "{wait} ns");
    }
    let (limiter, _) = by_hand::<u64, 1>(Quota::per_second(1));
    assert_eq!(limiter.check_n(&0, 2).retry_after_seconds(), None);
}

/// `retry-after` is there if and only if a wait helps.
#[test]
fn the_response_fields_are_the_numbers_of_the_decision() {
    let (limiter, _) = by_hand::<u64, 2>([quota(2, SECOND, 2), quota(3, 7 * SECOND, 3)]);
    let fields = |n| Vec::from_iter(limiter.check_n(&0, n).response_fields());
    let numbers = |limit, remaining, reset| {
        vec![
            ("x-ratelimit-limit", limit),
            ("x-ratelimit-remaining", remaining),
            ("x-ratelimit-reset", reset),
        ]
    };
    // The second quota has one unit left, and is full in 14/3 s.
    assert_eq!(fields(2), numbers(2, 0, 5));
    let mut denied = numbers(2, 0, 5);
    denied.push(("retry-after", 1));
    assert_eq!(fields(1), denied);
    assert_eq!(fields(4), numbers(2, 0, 5));
}

#[test]
fn the_time_to_earn_units_follows_from_the_rate_alone() {
    let (limiter, time) = by_hand::<u64, 1>(quota(7, MINUTE, 10));
    let part = limiter.check_n(&0, 10).quotas()[0];
    time.set(SECOND);
    let later = limiter.peek(&0).quotas()[0];
    for part in [part, later] {
        assert_eq!(part.time_to_earn(0), Some(Duration::ZERO));
        // 60 s / 7, rounded up to whole ns.
        assert_eq!(part.time_to_earn(1), Some(nanos(8_571_428_572)));
        assert_eq!(part.time_to_earn(7), Some(nanos(MINUTE)));
        assert_eq!(part.time_to_earn(11), None);
    }
}

/// Code that is generic over limiters sees what code for one limiter sees.
#[test]
fn a_limiter_decides_through_the_trait_as_it_checks() {
    fn decide<L: Limit<str>>(limiter: &L, key: &str, n: u64) -> (Vec<Quota>, L::Decision) {
        match limiter.decide(key, n) {
            Checked::Now(decision) => (limiter.quotas().to_vec(), decision),
            Checked::Later(_) => panic!("a limiter in memory decides at once"),
        }
    }
    fn numbers(decision: DecisionRef<'_>) -> String {
        format!("{decision:?}")
    }
    let quotas = [Quota::per_second(2), Quota::per_minute(3)];
    let (through, time) = by_hand::<String, 2>(quotas);
    let (direct, other_time) = by_hand::<String, 2>(quotas);
    let through = std::sync::Arc::new(through);
    for step in 0..20 {
        time.advance(step * SECOND / 3);
        other_time.advance(step * SECOND / 3);
        for n in [0, 1, 2, 5] {
            let (policy, decision) = decide(&through, "alice", n);
            assert_eq!(policy, quotas);
            let expected = direct.check_n("alice", n);
            assert_eq!(numbers(decision.as_decision()), numbers(expected.as_ref()));
        }
    }
}

/// A borrowed decision is copied into one with room for its quotas, and into none with less.
#[test]
fn a_borrowed_decision_is_copied_into_one_with_room() {
    let (limiter, _) = by_hand::<u64, 2>([Quota::per_second(2), Quota::per_minute(3)]);
    let decision = limiter.check_n(&0, 2);
    assert_eq!(decision.as_ref().to_decision::<2>(), Some(decision));
    let roomy = decision.as_ref().to_decision::<5>().unwrap();
    assert_eq!(roomy.as_ref(), decision.as_ref());
    assert_eq!(roomy.quotas().len(), 2);
    assert_eq!(decision.as_ref().to_decision::<1>(), None);
    assert_eq!(decision.as_ref().to_decision::<0>(), None);
}
