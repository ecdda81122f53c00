//! Quotas and policies as values, and as text.

mod common;

use std::{collections::HashSet, time::Duration};

use common::cases::{DAY, HOUR, MINUTE, Numbers, SECOND, WEEK, nanos, quota};
use tollgate::{InvalidQuota, Policy, Quota};

#[test]
fn a_quota_is_what_it_was_made_of() {
    for (quota, units, period, burst) in [
        (Quota::per_second(7), 7, SECOND, 7),
        (Quota::per_minute(100), 100, MINUTE, 100),
        (Quota::per_hour(60), 60, HOUR, 60),
        (Quota::per_day(1), 1, DAY, 1),
        (Quota::per_minute(100).burst(10), 100, MINUTE, 10),
        (
            Quota::per_minute(100).burst(10).burst(500),
            100,
            MINUTE,
            500,
        ),
        (quota(5, 2 * SECOND, 3), 5, 2 * SECOND, 3),
        (quota(u64::MAX, u64::MAX, 1), u64::MAX, u64::MAX, 1),
    ] {
        assert_eq!(quota.units(), units);
        assert_eq!(quota.period(), nanos(period));
        assert_eq!(quota.burst_size(), burst);
        assert_eq!(Quota::new(units, nanos(period), burst), Ok(quota));
    }
}

#[test]
fn quotas_are_made_and_read_in_const() {
    const API: Quota = Quota::per_minute(100).burst(10);
    const PARTS: (u64, Duration, u64) = (API.units(), API.period(), API.burst_size());
    assert_eq!(PARTS, (100, Duration::from_secs(60), 10));
    const ALL: [Quota; 3] = [Quota::per_second(1), Quota::per_hour(2), Quota::per_day(3)];
    assert_eq!(ALL.map(|quota| quota.units()), [1, 2, 3]);
    assert_eq!(API, Quota::default());
}

#[test]
fn quotas_are_equal_if_they_are_written_alike() {
    assert_eq!(Quota::per_minute(60), quota(60, MINUTE, 60));
    assert_ne!(Quota::per_second(1).burst(60), Quota::per_minute(60));
    assert_ne!(Quota::per_second(1), Quota::per_second(1).burst(2));
    assert_ne!(Quota::per_second(1), Quota::per_second(2).burst(1));
    assert_ne!(Quota::per_second(1), Quota::per_minute(1));
    let set = HashSet::from([
        Quota::per_second(1),
        Quota::per_second(1),
        Quota::per_hour(1),
    ]);
    assert_eq!(set.len(), 2);
}

fn message(refused: InvalidQuota) -> String {
    let message = refused.to_string();
    // `unwrap` shows it too.
    assert_eq!(format!("{refused:?}"), format!("InvalidQuota({message:?})"));
    let error: &dyn std::error::Error = &refused;
    assert_eq!(error.to_string(), message);
    message
}

fn refusal(units: u64, period: Duration, burst: u64) -> String {
    message(Quota::new(units, period, burst).unwrap_err())
}

#[test]
fn a_refusal_names_the_value_and_the_bound() {
    for (units, period, burst, expected) in [
        (
            0,
            Duration::from_secs(1),
            1,
            "a quota of 0 units never earns one; expected at least 1",
        ),
        (
            1,
            Duration::ZERO,
            1,
            "a period of 0 is no rate; expected at least 1 ns",
        ),
        (
            1,
            Duration::from_secs(1),
            0,
            "a burst of 0 units lets nothing pass; expected at least 1",
        ),
        (
            6_000_000,
            Duration::from_millis(1),
            9,
            "6000000 units per 1ms is too fast; expected at most 5845420460 a second",
        ),
        (
            1,
            Duration::from_secs(500 * 31_557_600),
            1,
            "1 units per 15778800000s is too slow; \
             expected at least one unit in 15290984073.709551615s (484 years)",
        ),
        (
            2,
            Duration::from_secs(18_446_744_074),
            1,
            "a period of 18446744074s is too long; \
             expected at most 18446744073.709551615s (584 years)",
        ),
        // 15,290,984,073,709,551,615 ns by the minute and the hundred: 25,484,973,456 and a rest.
        (
            100,
            Duration::from_secs(60),
            25_484_973_457,
            "a burst of 25484973457 is too large for 100 units per 60s; \
             expected at most 25484973456",
        ),
    ] {
        assert_eq!(refusal(units, period, burst), expected);
    }
    assert!(Quota::new(100, Duration::from_secs(60), 25_484_973_456).is_ok());
}

#[test]
fn the_fastest_rates_are_where_the_documentation_says() {
    // A burst of as many takes room as well, and the more of it the longer the period is.
    let seconds: fn(u64) -> Quota = Quota::per_second;
    for (make, most) in [
        (seconds, 5_845_420_459),
        (Quota::per_minute, 350_725_220_986),
        (Quota::per_hour, 21_043_489_653_456),
        (Quota::per_day, 505_030_500_840_758),
    ] {
        assert_eq!(make(most).units(), most);
        assert!(
            std::panic::catch_unwind(|| make(most + 1)).is_err(),
            "{most}"
        );
    }
    assert!(Quota::new(5_845_420_460, Duration::from_secs(1), 1).is_ok());
    let refused = Quota::new(5_845_420_461, Duration::from_secs(1), 1).unwrap_err();
    assert!(
        refused
            .to_string()
            .ends_with("expected at most 5845420460 a second")
    );
}

#[test]
fn a_burst_that_takes_484_years_to_refill_is_accepted_where_a_unit_takes_whole_ns() {
    let years = u128::from(484 * 31_557_600 * SECOND);
    for unit in [1, 7, 1_000, 600_000_000, WEEK] {
        let burst = u64::try_from(years / u128::from(unit)).unwrap();
        assert!(Quota::new(1, nanos(unit), burst).is_ok(), "{unit} ns");
    }
}

#[test]
fn a_burst_that_is_too_large_is_told_the_largest() {
    // Of 2^64 - 1 steps a century at so many steps per ns takes its part; the rest is for a burst.
    for (units, period, steps_per_nano, steps_per_unit) in [
        (5, 1, 5, 1),
        (2, 1, 2, 1),
        (1, 1, 1, 1),
        (1, 600_000_000, 1, 600_000_000),
    ] {
        let century = 3_155_760_000_000_000_000 * steps_per_nano;
        let most = (u64::MAX - century) / steps_per_unit;
        let refused = Quota::new(units, nanos(period), most + 1)
            .unwrap_err()
            .to_string();
        assert!(
            refused.ends_with(&format!("expected at most {most}")),
            "{refused}"
        );
        assert!(Quota::new(units, nanos(period), most).is_ok());
    }
}

#[test]
fn the_text_of_a_quota_is_the_plainest_there_is() {
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

const A_UNIT_OF_TIME: &str = "a unit of time (ns, us, ms, second, minute, hour, day or week)";

#[test]
fn a_text_that_is_no_quota_is_refused_with_what_was_found_and_where() {
    let units = "a number of units";
    let slash = "\"/\" or \"per\"";
    let end = "\"burst\" or the end of the quota";
    let number = "a number up to 18446744073709551615";
    for (text, found, at, expected) in [
        ("", "the end", 1, units),
        ("   ", "the end", 4, units),
        ("minute", "\"minute\"", 1, units),
        ("-5/s", "\"-\"", 1, units),
        ("_5/s", "\"_\"", 1, units),
        ("/s", "\"/\"", 1, units),
        ("\u{ff15}/s", "\"\u{ff15}\"", 1, units),
        ("100", "the end", 4, slash),
        ("100 ", "the end", 5, slash),
        ("100 minute", "\"minute\"", 5, slash),
        ("100perminute", "\"perminute\"", 4, slash),
        ("1.5/s", "\".\"", 2, slash),
        ("100 requests/minute", "\"requests\"", 5, slash),
        ("100/", "the end", 5, A_UNIT_OF_TIME),
        ("100/fortnight", "\"fortnight\"", 5, A_UNIT_OF_TIME),
        ("100 per fortnight", "\"fortnight\"", 9, A_UNIT_OF_TIME),
        ("100/2", "the end", 6, A_UNIT_OF_TIME),
        ("100/2 /s", "\"/\"", 7, A_UNIT_OF_TIME),
        ("100/month", "\"month\"", 5, A_UNIT_OF_TIME),
        ("100/secondss", "\"secondss\"", 5, A_UNIT_OF_TIME),
        ("100/ss", "\"ss\"", 5, A_UNIT_OF_TIME),
        ("100/minuteburst", "\"minuteburst\"", 5, A_UNIT_OF_TIME),
        ("100/burst 5", "\"burst\"", 5, A_UNIT_OF_TIME),
        ("100/minute 10", "\"10\"", 12, end),
        ("100/minute bursts 10", "\"bursts\"", 12, end),
        ("100/minute;", "\";\"", 11, end),
        ("100/minute burst 10 burst 10", "\"burst\"", 21, end),
        ("100/minute burst 10;", "\";\"", 20, end),
        ("100/minute!", "\"!\"", 11, end),
        ("100/minute/hour", "\"/\"", 11, end),
        (
            "99999999999999999999/s",
            "\"99999999999999999999\"",
            1,
            number,
        ),
        (
            "1/18446744073709551616ns",
            "\"18446744073709551616\"",
            3,
            number,
        ),
        (
            "1/s burst 18446744073709551616",
            "\"18446744073709551616\"",
            11,
            number,
        ),
        (
            "1/99999999999 weeks",
            "\"99999999999\"",
            3,
            "a period of at most 584 years",
        ),
        // 584 years are 30,500 weeks and a half.
        (
            "1/ 30501 weeks",
            "\"30501\"",
            4,
            "a period of at most 584 years",
        ),
        (
            "100/minute burst",
            "the end",
            17,
            "a number of units for the burst",
        ),
        (
            "100/minute burst none",
            "\"none\"",
            18,
            "a number of units for the burst",
        ),
        // Counted in characters, not in bytes.
        (
            "\u{3000}\u{3000}5/\u{e9}t\u{e9}",
            "\"\u{e9}t\u{e9}\"",
            5,
            A_UNIT_OF_TIME,
        ),
        ("5/\u{1f552}", "\"\u{1f552}\"", 3, A_UNIT_OF_TIME),
    ] {
        let expected = format!("found {found} at character {at}, expected {expected}");
        let refused = text.parse::<Quota>().unwrap_err();
        assert_eq!(message(refused), expected, "{text:?}");
    }
}

#[test]
fn a_text_whose_numbers_are_refused_is_quoted() {
    for (text, expected) in [
        (
            "0/s",
            "a quota of 0 units never earns one; expected at least 1 \
             (in \"0/s\" at character 1)",
        ),
        (
            "  5/0 seconds burst 2  ",
            "a period of 0 is no rate; expected at least 1 ns \
             (in \"5/0 seconds burst 2\" at character 3)",
        ),
        (
            "10/minute burst 0",
            "a burst of 0 units lets nothing pass; expected at least 1 \
             (in \"10/minute burst 0\" at character 1)",
        ),
        (
            "6/ns",
            "6 units per 1ns is too fast; expected at most 5845420460 a second \
             (in \"6/ns\" at character 1)",
        ),
        (
            "1/week burst 4294967295",
            "a burst of 4294967295 is too large for 1 units per 604800s; \
             expected at most 25282 (in \"1/week burst 4294967295\" at character 1)",
        ),
    ] {
        assert_eq!(message(text.parse::<Quota>().unwrap_err()), expected);
    }
}

#[test]
fn a_message_stays_a_line_whatever_the_text() {
    let long = "x".repeat(1_000_000);
    for (text, excerpt) in [
        (long.clone(), "x".repeat(40)),
        (format!("5/{long}"), "x".repeat(40)),
        ("9".repeat(1_000_000), "9".repeat(40)),
        (format!("0/{}1s", "_".repeat(100)), "_".to_owned()),
        (
            format!("0/{}1s", "0".repeat(100)),
            format!("0/{}", "0".repeat(38)),
        ),
        ("\u{e9}".repeat(100), "\u{e9}".repeat(40)),
    ] {
        let message = message(text.parse::<Quota>().unwrap_err());
        assert!(message.contains(&excerpt), "{message}");
        assert!(message.chars().count() < 250, "{message}");
    }
    // What comes from strangers is shown escaped.
    let message = message("5/\n\u{1b}[31m".parse::<Quota>().unwrap_err());
    assert!(
        message.starts_with("found \"\\u{1b}\" at character 4"),
        "{message}"
    );
}

/// Quotas of every size, among which are those of everyday.
fn many_quotas() -> Vec<Quota> {
    let mut numbers = Numbers::new(1);
    let mut any_size = move || {
        let bits = numbers.below(64);
        numbers.below(u64::MAX) >> bits
    };
    let random = (0..20_000).map(|_| (any_size(), any_size(), any_size()));
    let everyday = (1..=200).flat_map(|units| {
        [1, SECOND / 1_000, SECOND, MINUTE, HOUR, DAY, WEEK, 30 * DAY]
            .map(|period| (units, period, units / 2 + 1))
    });
    random
        .collect::<Vec<_>>()
        .into_iter()
        .chain(everyday)
        .filter_map(|(units, period, burst)| Quota::new(units, nanos(period), burst).ok())
        .collect()
}

#[test]
fn what_is_written_is_read_back() {
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
fn a_policy_is_its_quotas_in_order() {
    let quotas = [Quota::per_minute(10), Quota::per_hour(60)];
    let policy = Policy::from(quotas);
    assert_eq!(policy.quotas(), &quotas);
    assert_eq!(policy, Policy::from(quotas));
    assert_ne!(policy, Policy::from([quotas[1], quotas[0]]));
    assert_eq!(Policy::from(quotas[0]), Policy::from([quotas[0]]));
    assert_eq!(Policy::default(), Policy::from(Quota::default()));
    assert_eq!(
        Policy::default().quotas(),
        &[Quota::per_minute(100).burst(10)]
    );
    assert_eq!(
        format!("{:?}", Policy::from(quotas[0])),
        format!("Policy([{:?}])", quotas[0])
    );
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

#[test]
fn a_policy_of_more_quotas_than_it_has_room_for_is_an_error() {
    let error = "1/s; 1/m".parse::<Policy<1>>().unwrap_err();
    assert_eq!(message(error), "found 2 quotas in the policy, expected 1");
    let error = "1/s; 1/m; 1/h".parse::<Policy<2>>().unwrap_err();
    assert_eq!(
        message(error),
        "found 3 quotas in the policy, expected 1 to 2"
    );
    let nothing: &[Quota] = &[];
    let error = Policy::<3>::try_from(nothing).unwrap_err();
    assert_eq!(
        message(error),
        "found 0 quotas in the policy, expected 1 to 3"
    );
    let error = Policy::<2>::try_from(vec![Quota::per_second(1); 4]).unwrap_err();
    assert_eq!(
        message(error),
        "found 4 quotas in the policy, expected 1 to 2"
    );
}

#[test]
fn a_text_that_is_no_policy_is_refused_with_what_was_found_and_where() {
    for (text, expected) in [
        (
            "",
            "found the end at character 1, expected a number of units",
        ),
        (
            ";",
            "found \";\" at character 1, expected a number of units",
        ),
        (
            "1/s;",
            "found the end at character 5, expected a number of units",
        ),
        (
            "1/s;;1/m",
            "found \";\" at character 5, expected a number of units",
        ),
        (
            "10/minute, 5/hour",
            "found \",\" at character 10, expected \"burst\", \";\" or the end of the policy",
        ),
        (
            "1/s; 1/m 1/h",
            "found \"1\" at character 10, expected \"burst\", \";\" or the end of the policy",
        ),
        (
            "1/s; 1/fortnight",
            "found \"fortnight\" at character 8, \
             expected a unit of time (ns, us, ms, second, minute, hour, day or week)",
        ),
        (
            "100/minute; 0/hour burst 3; 1/s",
            "a quota of 0 units never earns one; expected at least 1 \
             (in \"0/hour burst 3\" at character 13)",
        ),
    ] {
        let refused = text.parse::<Policy<2>>().unwrap_err();
        assert_eq!(message(refused), expected, "{text:?}");
    }
}

#[cfg(feature = "serde")]
mod serde {
    use std::collections::BTreeMap;

    use tollgate::{Policy, Quota};

    use super::many_quotas;

    #[test]
    fn quotas_and_policies_are_their_text() {
        let quota = Quota::default();
        let text = "\"100/minute burst 10\"";
        assert_eq!(serde_json::to_string(&quota).unwrap(), text);
        assert_eq!(serde_json::from_str::<Quota>(text).unwrap(), quota);

        let policy = Policy::from([Quota::per_minute(10), Quota::per_hour(60)]);
        let text = "\"10/minute; 60/hour\"";
        assert_eq!(serde_json::to_string(&policy).unwrap(), text);
        assert_eq!(serde_json::from_str::<Policy<2>>(text).unwrap(), policy);
        let one = serde_json::to_string(&Policy::default()).unwrap();
        assert_eq!(one, "\"100/minute burst 10\"");
        assert_eq!(
            serde_json::from_str::<Policy>(&one).unwrap(),
            Policy::default()
        );
    }

    #[test]
    fn what_is_serialised_is_deserialised() {
        let quotas = many_quotas();
        let json = serde_json::to_string(&quotas).unwrap();
        assert_eq!(serde_json::from_str::<Vec<Quota>>(&json).unwrap(), quotas);
        // Whether the text is borrowed, owned or comes from a reader.
        let value = serde_json::to_value(&quotas).unwrap();
        assert_eq!(serde_json::from_value::<Vec<Quota>>(value).unwrap(), quotas);
        let read = serde_json::from_reader::<_, Vec<Quota>>(json.as_bytes());
        assert_eq!(read.unwrap(), quotas);
    }

    #[test]
    fn a_configuration_may_hold_them_anywhere() {
        let tiers: BTreeMap<String, Quota> =
            serde_json::from_str(r#"{ "free": "5/min", "paid": "1_000 per hour burst 50" }"#)
                .unwrap();
        assert_eq!(tiers["free"], Quota::per_minute(5));
        assert_eq!(tiers["paid"], Quota::per_hour(1_000).burst(50));
        assert_eq!(serde_json::from_str::<Option<Quota>>("null").unwrap(), None);
    }

    #[test]
    fn what_is_refused_as_text_is_refused_with_the_same_words() {
        for text in [
            "100/fortnight",
            "0/s",
            "",
            "6/ns",
            "1/s burst 0",
            "1/s; 1/m",
        ] {
            let refused = text.parse::<Quota>().unwrap_err().to_string();
            let json = serde_json::to_string(text).unwrap();
            let error = serde_json::from_str::<Quota>(&json)
                .unwrap_err()
                .to_string();
            assert!(error.starts_with(&refused), "{error}");
        }
        for text in ["", "1/s; 1/m; 1/h", "1/s;", "1/s, 1/m"] {
            let refused = text.parse::<Policy<2>>().unwrap_err().to_string();
            let json = serde_json::to_string(text).unwrap();
            let error = serde_json::from_str::<Policy<2>>(&json)
                .unwrap_err()
                .to_string();
            assert!(error.starts_with(&refused), "{error}");
        }
    }

    #[test]
    fn what_is_no_text_is_refused_with_an_example() {
        let fields = r#"{ "units": 100, "period": 60000000000, "burst": 0 }"#;
        for json in ["100", "null", "true", "[]", "[100, 60, 10]", fields] {
            let error = serde_json::from_str::<Quota>(json).unwrap_err().to_string();
            let expected = "expected a quota such as \"100/minute burst 10\"";
            assert!(error.contains(expected), "{error}");
            if json.starts_with('[') {
                continue; // may be a policy
            }
            let error = serde_json::from_str::<Policy<2>>(json)
                .unwrap_err()
                .to_string();
            let expected = "expected a policy such as \"10/minute; 60/hour\"";
            assert!(error.contains(expected), "{error}");
        }
    }

    #[test]
    fn a_policy_is_read_from_a_list_too() {
        let policy: Policy<3> = serde_json::from_str(r#"["10/minute", "60/hour"]"#).unwrap();
        assert_eq!(Ok(policy), "10/minute; 60/hour".parse());
        for (json, expected) in [
            ("[]", "found 0 quotas in the policy, expected 1 to 2"),
            (
                r#"["1/s", "1/m", "1/h"]"#,
                "found 3 quotas in the policy, expected 1 to 2",
            ),
            (r#"["1/s", 7]"#, "expected a quota such as"),
            (r#"["1/s", "0/m"]"#, "a quota of 0 units never earns one"),
            (r#"["1/s; 1/m"]"#, "found \";\" at character 4"),
        ] {
            let error = serde_json::from_str::<Policy<2>>(json)
                .unwrap_err()
                .to_string();
            assert!(error.contains(expected), "{json}: {error}");
        }
    }
}
