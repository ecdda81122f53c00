//! Quotas, policies, decisions and errors as values: padded, compared and hashed.

use std::{
    collections::{HashMap, HashSet},
    fmt::Display,
    hash::{BuildHasher, RandomState},
    time::Duration,
};

use tollgate::{Decision, IntoPolicy, ManualClock, Policy, Quota, RateLimiter};

/// Whether `value` is padded and cut as its text is.
#[track_caller]
fn assert_padded(value: &dyn Display) {
    let text = value.to_string();
    let width = text.chars().count() + 9;
    assert_eq!(format!("{value:width$}"), format!("{text:width$}"));
    assert_eq!(format!("{value:>width$}"), format!("{text:>width$}"));
    assert_eq!(format!("{value:<width$}|"), format!("{text:<width$}|"));
    assert_eq!(format!("{value:^width$}"), format!("{text:^width$}"));
    assert_eq!(
        format!("{value:\u{b7}^width$}"),
        format!("{text:\u{b7}^width$}")
    );
    assert_eq!(format!("{value:*>width$.4}"), format!("{text:*>width$.4}"));
    assert_eq!(format!("{value:.3}"), format!("{text:.3}"));
    // Too narrow, and flags that are for numbers.
    assert_eq!(format!("{value:2}"), text);
    assert_eq!(format!("{value:#}"), text);
    assert_eq!(format!("{value:+}"), text);
}

#[test]
fn what_is_displayed_takes_width_alignment_fill_and_precision() {
    let quota = Quota::per_minute(100);
    assert_eq!(
        format!("{quota:>20}|{quota:-<12}"),
        "          100/minute|100/minute--"
    );
    assert_padded(&quota);
    assert_padded(&quota.burst(10));
    assert_padded(&Quota::new(5, Duration::from_secs(2), 9).unwrap());
    assert_padded(&Policy::from(quota));
    assert_padded(&Policy::from([quota, Quota::per_hour(60).burst(9)]));
    for text in [
        "",
        "5/\u{e9}t\u{e9}",
        "0/s",
        "6/ns",
        "1/week burst 4294967295",
        "5/s burst 0",
    ] {
        assert_padded(&text.parse::<Quota>().unwrap_err());
    }
    assert_padded(&"5/s; 5/m".parse::<Policy>().unwrap_err());
    assert_padded(&Quota::new(1, Duration::MAX, 1).unwrap_err());
    assert_padded(&Quota::new(1, Duration::ZERO, 1).unwrap_err());
    assert_padded(&Quota::new(1, Duration::from_secs(500 * 31_557_600), 1).unwrap_err());
}

#[cfg(feature = "tower")]
#[test]
fn what_the_layer_displays_takes_them_too() {
    use tollgate::tower::key::ClientAddress;

    let refused = ClientAddress::from_peer(|_| None).ipv6_prefix(129);
    assert_padded(&refused.unwrap_err());
}

#[test]
fn policies_that_are_equal_hash_alike() {
    let seed = RandomState::new();
    let policy = Policy::from([Quota::per_minute(10), Quota::per_hour(60)]);
    let read: Policy<2> = "10/minute; 60/hour".parse().unwrap();
    assert_eq!(policy, read);
    assert_eq!(seed.hash_one(policy), seed.hash_one(read));

    let others = [
        "60/hour; 10/minute",
        "10/minute; 60/hour burst 9",
        "10/minute; 61/hour",
    ];
    let mut names = HashMap::from([(policy, "first")]);
    for other in others {
        assert_eq!(names.insert(other.parse().unwrap(), other), None);
    }
    assert_eq!(names[&read], "first");
    // Of three others none has the same hash by chance but once in 6e18 times.
    let hashes: HashSet<u64> = names.keys().map(|policy| seed.hash_one(policy)).collect();
    assert_eq!(hashes.len(), 4);
}

/// A limiter under `policy`, and the clock that moves it.
fn limiter<const N: usize>(policy: impl IntoPolicy<N>) -> (RateLimiter<u64, N>, ManualClock) {
    let clock = ManualClock::new();
    let builder = RateLimiter::builder(policy).clock(clock.clone());
    (builder.manual_sweep().build(), clock)
}

/// Whether they are equal is what their texts say, and is the same both ways.
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
    // Of another key, at another time, and as a peek.
    assert_equality(&first, &minute.check(&2), true);
    assert_equality(&first, &minute.peek(&2), true);
    // Less is left, or it takes less time until all is.
    assert_equality(&first, &minute.check(&2), false);
    assert_equality(&first, &minute.peek(&1), false);

    // The same rate written otherwise tells the same.
    let (second, _) = limiter(Quota::per_second(1).burst(3));
    assert_equality(&first, &second.check(&1), true);
    // Another burst, rate or policy does not.
    let (larger, _) = limiter(Quota::per_minute(60).burst(4));
    assert_equality(&first, &larger.check(&1), false);
    let (slower, _) = limiter(Quota::per_minute(59).burst(3));
    assert_equality(&first, &slower.check(&1), false);

    // Denied for now, for longer, for ever.
    let (never, four, three) = (
        second.check_n(&1, 5),
        second.check_n(&1, 4),
        second.check_n(&1, 3),
    );
    assert_equality(&never, &four, true);
    assert_equality(&three, &four, false);
    assert_equality(&three, &second.peek_n(&1, 3), true);
    assert_equality(&three, &second.peek_n(&1, 2), false);
    // Nothing was spent, and nothing asked for: the verdict differs.
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

/// Full buckets of unlike rates tell the same of each quota; which one binds is the slower.
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
