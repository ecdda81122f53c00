//! A decision as a value: its source, its response fields, its text, and when two are equal.

use std::time::Duration;

use tollgate::{Decision, DecisionSource, IntoPolicy, ManualClock, Quota, RateLimiter};

use crate::common::cases::{HOUR, MINUTE, SECOND, by_hand, drain, nanos, quota};

/// The first denial of a key is the table's. Later ones on the same thread are the cache's, until a
/// unit is earned or the key is forgotten.
#[test]
fn a_decision_names_its_source() {
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

#[test]
fn decisions_of_two_sources_are_equal() {
    let (limiter, _) = by_hand::<u64, 2>([Quota::per_second(1), Quota::per_minute(2)]);
    assert!(limiter.allow(&0));
    let (first, second) = (limiter.check(&0), limiter.check(&0));
    assert_ne!(first.source(), second.source());
    assert_eq!(first, second);
    assert_eq!(first.as_ref(), second.as_ref());
}

/// A client that waits this long is not denied again. It is never 0.
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

#[test]
fn available_after_is_the_wait_of_a_check_of_as_many_units() {
    let policy = [quota(7, MINUTE, 9), quota(60, HOUR, 20)];
    let (limiter, time) = by_hand(policy);
    for (spent, elapsed) in [(9, 0), (0, SECOND), (1, 8 * SECOND), (0, 40 * SECOND)] {
        time.advance(elapsed);
        assert!(limiter.check_n(&0, spent).is_allowed());
        let now = limiter.peek_n(&0, 0);
        for n in 0..=21 {
            let peeked = limiter.peek_n(&0, n);
            for (quota, peeked) in now.quotas().iter().zip(peeked.quotas()) {
                let expected = peeked.retry_after().unwrap_or_default();
                let expected = (!peeked.exceeds_burst()).then_some(expected);
                assert_eq!(quota.available_after(n), expected, "{n}");
            }
        }
    }
}

#[test]
fn the_debug_output_of_a_decision_has_all_numbers() {
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

/// A decision is a copy. It outlives its limiter.
#[test]
fn a_decision_is_of_its_instant() {
    let (limiter, time) = by_hand::<u64, 1>(Quota::per_second(1).burst(3));
    let first = limiter.check(&0);
    let copy = first;
    time.set(HOUR);
    assert_eq!(drain(&limiter, 0), 3);
    limiter.forget(&0);
    drop(limiter);
    for decision in [first, copy] {
        assert!(decision.is_allowed());
        assert_eq!(
            (decision.remaining(), decision.reset_after()),
            (2, nanos(SECOND))
        );
    }
}

/// Makes a limiter, and the clock that moves its time.
fn limiter<const N: usize>(policy: impl IntoPolicy<N>) -> (RateLimiter<u64, N>, ManualClock) {
    let clock = ManualClock::new();
    let builder = RateLimiter::builder(policy).clock(clock.clone());
    (builder.manual_sweep().build(), clock)
}

/// Checks that two decisions are equal if and only if their texts are, in both directions.
#[track_caller]
fn assert_equality<const N: usize>(one: &Decision<N>, other: &Decision<N>, expected: bool) {
    assert_eq!(one == other, expected, "{one:?}, {other:?}");
    assert_eq!(other == one, expected, "{other:?}, {one:?}");
    assert_eq!(format!("{one:?}") == format!("{other:?}"), expected);
    let (same_one, same_other) = (*one, *other);
    assert!(same_one == *one && same_other == *other);
}

#[test]
fn decisions_are_equal_if_they_say_the_same() {
    let (minute, clock) = limiter(Quota::per_minute(60).burst(3));
    let first = minute.check(&1);
    clock.advance(Duration::from_nanos(123_456_789));
    // Another key, another time, and a peek.
    assert_equality(&first, &minute.check(&2), true);
    assert_equality(&first, &minute.peek(&2), true);
    // Less remains, or the bucket is full sooner.
    assert_equality(&first, &minute.check(&2), false);
    assert_equality(&first, &minute.peek(&1), false);

    // The same rate in other numbers.
    let (second, _) = limiter(Quota::per_second(1).burst(3));
    assert_equality(&first, &second.check(&1), true);
    // Another burst, rate or policy.
    let (larger, _) = limiter(Quota::per_minute(60).burst(4));
    assert_equality(&first, &larger.check(&1), false);
    let (slower, _) = limiter(Quota::per_minute(59).burst(3));
    assert_equality(&first, &slower.check(&1), false);

    // Denied for now, for longer, and for ever.
    let (never, four, three) = (
        second.check_n(&1, 5),
        second.check_n(&1, 4),
        second.check_n(&1, 3),
    );
    assert_equality(&never, &four, true);
    assert_equality(&three, &four, false);
    assert_equality(&three, &second.peek_n(&1, 3), true);
    assert_equality(&three, &second.peek_n(&1, 2), false);
    // A check of 0 units is allowed, with the same numbers.
    assert_equality(&second.check_n(&1, 0), &three, false);
}

#[test]
fn decisions_of_several_quotas_are_equal_if_each_part_is() {
    let quotas = [Quota::per_minute(60).burst(3), Quota::per_hour(60).burst(3)];
    let (limiter, _) = limiter(quotas);
    let (one, other) = (limiter.check(&1), limiter.check(&2));
    assert_equality(&one, &other, true);
    assert_eq!(one.quotas(), other.quotas());
    assert_ne!(one.quotas()[0], one.quotas()[1]);
    assert_equality(&one, &limiter.check(&2), false);
    let (turned, _) = self::limiter([quotas[1], quotas[0]]);
    assert_equality(&one, &turned.check(&1), false);
}

/// Full buckets of different rates have the same numbers, and the slower one binds.
#[test]
fn decisions_under_which_another_quota_binds_are_unequal() {
    let (second, minute) = (Quota::per_second(3), Quota::per_minute(3));
    let (one, _) = limiter([second, minute]);
    let (other, _) = limiter([minute, second]);
    let (one, other) = (one.peek(&1), other.peek(&1));
    assert_eq!(one.quotas(), other.quotas());
    assert_ne!(one.binding(), other.binding());
    assert_equality(&one, &other, false);
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
