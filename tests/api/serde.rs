//! Quotas and policies in serde: as their text.

use std::collections::BTreeMap;

use tollgate::{Policy, Quota};

use super::text::many_quotas;

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
fn a_serialised_quota_is_deserialised() {
    let quotas = many_quotas();
    let json = serde_json::to_string(&quotas).unwrap();
    assert_eq!(serde_json::from_str::<Vec<Quota>>(&json).unwrap(), quotas);
    // The text may be borrowed, owned or read.
    let value = serde_json::to_value(&quotas).unwrap();
    assert_eq!(serde_json::from_value::<Vec<Quota>>(value).unwrap(), quotas);
    let read = serde_json::from_reader::<_, Vec<Quota>>(json.as_bytes());
    assert_eq!(read.unwrap(), quotas);
}

#[test]
fn a_configuration_may_hold_them_anywhere() {
    let tiers: BTreeMap<String, Quota> =
        serde_json::from_str(r#"{ "free": "5/min", "paid": "1_000 per hour burst 50" }"#).unwrap();
    assert_eq!(tiers["free"], Quota::per_minute(5));
    assert_eq!(tiers["paid"], Quota::per_hour(1_000).burst(50));
    assert_eq!(serde_json::from_str::<Option<Quota>>("null").unwrap(), None);
}

#[test]
fn the_error_is_that_of_the_text() {
    for text in [
        "100/fortnight",
        "0/s",
        "",
        "6/ns",
        "1/s burst 0",
        "1/s; 1/m",
    ] {
        let invalid = text.parse::<Quota>().unwrap_err().to_string();
        let json = serde_json::to_string(text).unwrap();
        let error = serde_json::from_str::<Quota>(&json)
            .unwrap_err()
            .to_string();
        assert!(error.starts_with(&invalid), "{error}");
    }
    for text in ["", "1/s; 1/m; 1/h", "1/s;", "1/s, 1/m"] {
        let invalid = text.parse::<Policy<2>>().unwrap_err().to_string();
        let json = serde_json::to_string(text).unwrap();
        let error = serde_json::from_str::<Policy<2>>(&json)
            .unwrap_err()
            .to_string();
        assert!(error.starts_with(&invalid), "{error}");
    }
}

#[test]
fn the_error_of_another_type_has_an_example() {
    let fields = r#"{ "units": 100, "period": 60000000000, "burst": 0 }"#;
    for json in ["100", "null", "true", "[]", "[100, 60, 10]", fields] {
        let error = serde_json::from_str::<Quota>(json).unwrap_err().to_string();
        let expected = "expected a quota such as \"100/minute burst 10\"";
        assert!(error.contains(expected), "{error}");
        if json.starts_with('[') {
            // A policy may be a list.
            continue;
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
