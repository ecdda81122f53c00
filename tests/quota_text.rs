//! The text form of quotas: what an error quotes, where it points, and which letters are names.

use tollgate::{Policy, Quota};

fn refusal(text: &str) -> String {
    text.parse::<Quota>().unwrap_err().to_string()
}

/// The blanks behind a quota belong to nothing that was refused.
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
            assert_eq!(refusal(&format!("{quota}{blanks}")), expected);
            for behind in ["; 5/s", ";5/s"] {
                let text = format!("{quota}{blanks}{behind}");
                let refused = text.parse::<Policy<2>>().unwrap_err().to_string();
                assert_eq!(refused, expected, "{text:?}");
            }
            let text = format!("5/s;{blanks}{quota}{blanks}");
            let refused = text.parse::<Policy<2>>().unwrap_err().to_string();
            let at = 5 + blanks.chars().count();
            let expected = format!("{reason} (in {quota:?} at character {at})");
            assert_eq!(refused, expected, "{text:?}");
        }
    }
}

/// Nor does an excerpt end in blanks where it is cut.
#[test]
fn an_excerpt_that_is_cut_ends_without_blanks() {
    let text = format!("0/minute{}burst 3", " ".repeat(60));
    let refused = refusal(&text);
    assert!(
        refused.contains("(in \"0/minute…\" at character 1)"),
        "{refused}"
    );
}

/// Names are ASCII in either case, and the micro sign. Unicode makes a `k` of the Kelvin sign when
/// it writes it in lower case, and a `S` of the long s in upper case.
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
        // Letters of full width, and Greek and Cyrillic letters of the same shape.
        "\u{ff53}".to_owned(),
        "\u{ff2d}\u{ff33}".to_owned(),
        "\u{455}".to_owned(),
        "h\u{3bf}ur".to_owned(),
        "\u{43c}".to_owned(),
    ] {
        let quota = format!("5/{word}");
        let refused = refusal(&quota);
        assert!(
            refused.contains("expected a unit of time"),
            "{quota}: {refused}"
        );
        assert!(refused.contains("at character 3"), "{quota}: {refused}");
        let counted = format!("5/7 {word} burst 9");
        assert!(counted.parse::<Quota>().is_err(), "{counted}");
    }
    for keyword in [format!("bur{long_s}t"), format!("BUR{long_s}T")] {
        let refused = refusal(&format!("5/s {keyword} 3"));
        assert!(
            refused.contains("expected \"burst\" or the end"),
            "{refused}"
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

/// `text` has the fault at `|`.
#[track_caller]
fn assert_position(text: &str, end: &str) {
    let at = text.chars().position(|c| c == '|').unwrap() + 1;
    let text = text.replace('|', "");
    for refused in [
        text.parse::<Policy<1>>()
            .err()
            .map(|refused| refused.to_string()),
        text.parse::<Policy<3>>()
            .err()
            .map(|refused| refused.to_string()),
    ] {
        let refused = refused.unwrap();
        let expected = format!("at character {at}{end}");
        assert!(
            refused.contains(&expected),
            "{text:?}: {refused}, expected {expected}"
        );
    }
}

/// A position counts characters: what stands before it may take one to four bytes each.
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
    let refused = text.parse::<Policy<2>>().unwrap_err().to_string();
    assert!(
        refused.starts_with("found the end at character 9,"),
        "{refused}"
    );
}
