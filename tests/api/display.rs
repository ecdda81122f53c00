//! What is displayed takes the width, alignment, fill and precision of the format.

use std::{fmt::Display, time::Duration};

use tollgate::{Policy, Quota};

/// Checks that `value` is padded and cut as its text is.
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
    // A width that is too small, and flags for numbers.
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
fn errors_of_the_layer_take_width_alignment_fill_and_precision() {
    use tollgate::tower::key::ClientAddress;

    let invalid = ClientAddress::from_peer(|_| None).ipv6_prefix(129);
    assert_padded(&invalid.unwrap_err());
}
