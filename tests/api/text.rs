//! The text of quotas and policies: how it is written and read.

use tollgate::{Policy, Quota};

use crate::common::cases::{DAY, HOUR, MINUTE, Numbers, SECOND, WEEK, nanos, quota};

#[test]
fn a_quota_is_written_in_its_shortest_text() {
    for (quota, text) in [
        (Quota::default(), "100/minute burst 10"),
        (Quota::per_second(10), "10/second"),
        (Quota::per_minute(1), "1/minute"),
        (Quota::per_hour(60), "60/hour"),
        (Quota::per_day(1).burst(3), "1/day burst 3"),
        (quota(1, 3_600 * SECOND, 1), "1/hour"),
        (quota(1, 90 * SECOND, 1), "1/90 seconds"),
        (quota(1, 120 * SECOND, 1), "1/2 minutes"),
        (quota(5, 2 * SECOND, 5), "5/2 seconds"),
        (quota(1, WEEK, 1), "1/7 days"),
        (quota(1, 36 * HOUR, 2), "1/36 hours burst 2"),
        (quota(3, 10, 3), "3/10 nanoseconds"),
        (quota(1, 1, 1), "1/nanosecond"),
        (quota(1, 1_000, 1), "1/microsecond"),
        (quota(1, 1_500_000, 1), "1/1500 microseconds"),
        (quota(1, 2_000_000, 1), "1/2 milliseconds"),
        (quota(2, SECOND + 1, 1), "2/1000000001 nanoseconds burst 1"),
    ] {
        assert_eq!(quota.to_string(), text);
        assert_eq!(text.parse(), Ok(quota));
    }
}

#[test]
fn every_way_to_write_a_quota_is_read() {
    let minute = Quota::per_minute(100);
    for text in [
        "100/minute",
        "100/minutes",
        "100/min",
        "100/mins",
        "100/m",
        "100 / minute",
        "100 per minute",
        "100 PER MINUTE",
        "  100/1minute\t\n",
        "100/1 minute",
        "100/60 s",
        "100/60_000ms",
        "1_00/minute",
        "100/minute burst 100",
        "100/minute burst 1_0_0",
        "100/minute BURST100",
        "0100/01min",
        "\u{3000}100/minute",
    ] {
        assert_eq!(text.parse(), Ok(minute), "{text:?}");
    }
    for (nanos, names) in [
        (1, "ns nsec nsecs nanosecond nanoseconds NS"),
        (
            1_000,
            "us usec usecs microsecond microseconds \u{b5}s \u{3bc}s \u{b5}S US",
        ),
        (1_000_000, "ms msec msecs millisecond milliseconds Ms"),
        (SECOND, "s sec secs second seconds S Sec"),
        (MINUTE, "m min mins minute minutes M"),
        (HOUR, "h hr hrs hour hours Hour"),
        (DAY, "d day days D"),
        (WEEK, "w wk wks week weeks WEEKS"),
    ] {
        for name in names.split(' ') {
            for text in [
                format!("5/{name} burst 3"),
                format!("5/1{name} burst 3"),
                format!("5 per 1 {name} burst 3"),
            ] {
                assert_eq!(text.parse(), Ok(quota(5, nanos, 3)), "{text:?}");
            }
            let text = format!("5/17 {name} burst 3");
            assert_eq!(text.parse(), Ok(quota(5, 17 * nanos, 3)), "{text:?}");
        }
    }
}

/// Returns quotas of every size, and the common ones.
pub fn many_quotas() -> Vec<Quota> {
    let mut numbers = Numbers::new(1);
    let mut any_size = move || {
        let bits = numbers.below(64);
        numbers.below(u64::MAX) >> bits
    };
    let random = (0..20_000).map(|_| (any_size(), any_size(), any_size()));
    let common = (1..=200).flat_map(|units| {
        [1, SECOND / 1_000, SECOND, MINUTE, HOUR, DAY, WEEK, 30 * DAY]
            .map(|period| (units, period, units / 2 + 1))
    });
    random
        .collect::<Vec<_>>()
        .into_iter()
        .chain(common)
        .filter_map(|(units, period, burst)| Quota::new(units, nanos(period), burst).ok())
        .collect()
}

#[test]
fn the_text_of_a_quota_or_policy_is_read_back() {
    let quotas = many_quotas();
    assert!(quotas.len() > 5_000, "{}", quotas.len());
    for quota in &quotas {
        assert_eq!(quota.to_string().parse(), Ok(*quota), "{quota}");
    }
    for three in quotas.chunks_exact(3) {
        let policy = Policy::from([three[0], three[1], three[2]]);
        assert_eq!(policy.to_string().parse(), Ok(policy), "{policy}");
    }
}

#[test]
fn a_policy_is_read_from_its_text() {
    let policy = Policy::from([Quota::per_minute(10), Quota::per_hour(60).burst(9)]);
    assert_eq!(policy.to_string(), "10/minute; 60/hour burst 9");
    for text in [
        "10/minute; 60/hour burst 9",
        "10/minute;60/hour burst 9",
        " 10 per min ; 60 per h burst 9 ",
        "10/minute burst 10;60/hour burst 9",
    ] {
        assert_eq!(text.parse(), Ok(policy), "{text:?}");
    }
    assert_eq!("100/minute burst 10".parse(), Ok(Policy::default()));
}
