//! The errors of a text that is no quota or policy: what was found, where, and what was expected.

use tollgate::{InvalidQuota, Policy, Quota};

/// Returns the text of an error, which its `Debug` and `dyn Error` show, too.
fn message(invalid: InvalidQuota) -> String {
    let message = invalid.to_string();
    assert_eq!(format!("{invalid:?}"), format!("InvalidQuota({message:?})"));
    let error: &dyn std::error::Error = &invalid;
    assert_eq!(error.to_string(), message);
    message
}

const A_UNIT_OF_TIME: &str = "a unit of time (ns, us, ms, second, minute, hour, day or week)";

#[test]
fn the_error_of_a_text_that_is_no_quota_says_what_was_found_and_where() {
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
        // Positions count characters, not bytes.
        (
            "\u{3000}\u{3000}5/\u{e9}t\u{e9}",
            "\"\u{e9}t\u{e9}\"",
            5,
            A_UNIT_OF_TIME,
        ),
        ("5/\u{1f552}", "\"\u{1f552}\"", 3, A_UNIT_OF_TIME),
    ] {
        let expected = format!("found {found} at character {at}, expected {expected}");
        let invalid = text.parse::<Quota>().unwrap_err();
        assert_eq!(message(invalid), expected, "{text:?}");
    }
}

#[test]
fn the_error_of_numbers_out_of_range_quotes_the_text() {
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
fn an_error_is_one_short_line_for_any_text() {
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
    // Control characters are escaped.
    let message = message("5/\n\u{1b}[31m".parse::<Quota>().unwrap_err());
    assert!(
        message.starts_with("found \"\\u{1b}\" at character 4"),
        "{message}"
    );
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
fn the_error_of_a_text_that_is_no_policy_says_what_was_found_and_where() {
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
        let invalid = text.parse::<Policy<2>>().unwrap_err();
        assert_eq!(message(invalid), expected, "{text:?}");
    }
}

/// Returns the error of a text that is no quota.
fn error(text: &str) -> String {
    message(text.parse::<Quota>().unwrap_err())
}

/// In a policy, the blanks of the other quotas are left out as well.
#[test]
fn an_error_quotes_a_quota_without_the_blanks_around_it() {
    let burst = "a burst of 0 units lets nothing pass; expected at least 1";
    let units = "a quota of 0 units never earns one; expected at least 1";
    for blanks in ["", " ", "   ", "\t", "\r\n", "\u{3000}", "\u{a0} \n"] {
        for (quota, reason) in [
            ("0/minute", units),
            ("0 per 5 minutes", units),
            ("0/minute burst 3", units),
            ("1/minute burst 0", burst),
        ] {
            let expected = format!("{reason} (in {quota:?} at character 1)");
            assert_eq!(error(&format!("{quota}{blanks}")), expected);
            for behind in ["; 5/s", ";5/s"] {
                let text = format!("{quota}{blanks}{behind}");
                let invalid = text.parse::<Policy<2>>().unwrap_err().to_string();
                assert_eq!(invalid, expected, "{text:?}");
            }
            let text = format!("5/s;{blanks}{quota}{blanks}");
            let invalid = text.parse::<Policy<2>>().unwrap_err().to_string();
            let at = 5 + blanks.chars().count();
            let expected = format!("{reason} (in {quota:?} at character {at})");
            assert_eq!(invalid, expected, "{text:?}");
        }
    }
}

/// A long text is cut, and the blanks before the cut are left out.
#[test]
fn an_excerpt_that_is_cut_ends_without_blanks() {
    let text = format!("0/minute{}burst 3", " ".repeat(60));
    let invalid = error(&text);
    assert!(
        invalid.contains("(in \"0/minute…\" at character 1)"),
        "{invalid}"
    );
}

/// Names are ASCII in either case, and the micro sign. In Unicode the lower case of the Kelvin sign
/// is `k`, and the upper case of the long s is `S`.
#[test]
fn letters_that_only_look_like_a_name_are_none() {
    let kelvin = '\u{212a}';
    let long_s = '\u{17f}';
    for word in [
        format!("w{kelvin}"),
        format!("W{kelvin}S"),
        format!("wee{kelvin}"),
        format!("wee{kelvin}s"),
        long_s.to_string(),
        format!("m{long_s}"),
        format!("n{long_s}"),
        format!("\u{b5}{long_s}"),
        format!("second{long_s}"),
        format!("{long_s}ec"),
        // The dotted capital I, the dotless i, and an i with the dot beside it.
        "m\u{130}n".to_owned(),
        "M\u{130}NUTE".to_owned(),
        "m\u{131}n".to_owned(),
        "mi\u{307}n".to_owned(),
        // Letters of full width, and Greek and Cyrillic ones of the same shape.
        "\u{ff53}".to_owned(),
        "\u{ff2d}\u{ff33}".to_owned(),
        "\u{455}".to_owned(),
        "h\u{3bf}ur".to_owned(),
        "\u{43c}".to_owned(),
    ] {
        let quota = format!("5/{word}");
        let invalid = error(&quota);
        assert!(
            invalid.contains("expected a unit of time"),
            "{quota}: {invalid}"
        );
        assert!(invalid.contains("at character 3"), "{quota}: {invalid}");
        let counted = format!("5/7 {word} burst 9");
        assert!(counted.parse::<Quota>().is_err(), "{counted}");
    }
    for keyword in [format!("bur{long_s}t"), format!("BUR{long_s}T")] {
        let invalid = error(&format!("5/s {keyword} 3"));
        assert!(
            invalid.contains("expected \"burst\" or the end"),
            "{invalid}"
        );
    }
    for micro in [
        "\u{b5}s", "\u{b5}S", "\u{3bc}s", "\u{3bc}S", "\u{39c}S", "us", "US",
    ] {
        let quota: Quota = format!("5/{micro}").parse().unwrap();
        assert_eq!(quota.to_string(), "5/microsecond", "{micro}");
        assert_eq!(quota, "5/microsecond".parse().unwrap());
    }
    assert_eq!("5/WK".parse(), "5/week".parse::<Quota>());
    assert_eq!("5/WeeKs".parse(), "5/week".parse::<Quota>());
}

/// Checks that the error of `text` without its `|` points to where that was.
#[track_caller]
fn assert_position(text: &str, end: &str) {
    let at = text.chars().position(|c| c == '|').unwrap() + 1;
    let text = text.replace('|', "");
    for error in [
        text.parse::<Policy<1>>().unwrap_err().to_string(),
        text.parse::<Policy<3>>().unwrap_err().to_string(),
    ] {
        let expected = format!("at character {at}{end}");
        assert!(
            error.contains(&expected),
            "{text:?}: {error}, expected {expected}"
        );
    }
}

/// The characters before a position take one to four bytes each.
#[test]
fn a_position_counts_characters_however_many_bytes_they_take() {
    for before in [
        "",
        "\u{a0}",
        "\u{3000}\u{2003}",
        "5/\u{b5}s;",
        "5/\u{b5}s; 5/\u{3bc}s; ",
        "\u{3000}5\u{a0}per\u{2003}7\u{3000}\u{b5}S burst\u{a0}9\u{3000};\u{3000}",
    ] {
        for (fault, end) in [
            ("|fortnight", ", expected a number"),
            ("|\u{1f552}", ", expected a number"),
            ("5/|\u{e9}t\u{e9}", ", expected a unit"),
            ("5/|e\u{301}te\u{301}", ", expected a unit"),
            ("5/\u{3000}|;", ", expected a unit"),
            ("5/\u{3000}3\u{a0}|?", ", expected a unit"),
            (
                "5/\u{b5}s\u{3000}burst\u{3000}|\u{ff15}",
                ", expected a number",
            ),
            ("5/\u{b5}s|!", ", expected \"burst\""),
            ("5/\u{b5}s \u{2003}|\u{1f552}", ", expected \"burst\""),
            ("\u{2003}|0/\u{b5}s\u{2003}", ")"),
            ("\u{2003}|5/s burst\u{2003}0\u{2003};", ")"),
            (
                "5/\u{a0}|18446744073709551616\u{b5}s",
                ", expected a number",
            ),
            ("5/\u{a0}|99999999999\u{3000}weeks", ", expected a period"),
        ] {
            assert_position(&format!("{before}{fault}"), end);
        }
    }
    let text = "5/\u{b5}s;\u{3000}5/";
    let invalid = text.parse::<Policy<2>>().unwrap_err().to_string();
    assert!(
        invalid.starts_with("found the end at character 9,"),
        "{invalid}"
    );
}
