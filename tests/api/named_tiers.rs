//! Tiers by name: what a reload does, says and refuses.

use std::collections::BTreeMap;

use tollgate::{NamedTiers, Policy, Quota, UnknownTier};

use super::tiers::{by_hand, message, policy};

/// Tiers as a config file has them.
fn config<const N: usize>(tiers: &[(&str, &str)]) -> Vec<(String, Policy<N>)> {
    let tier = |(name, text): &(&str, &str)| ((*name).to_owned(), policy(text));
    tiers.iter().map(tier).collect()
}

fn unknown<const N: usize>(tiers: &NamedTiers<String, N>, name: &str) -> UnknownTier {
    tiers.get(name).unwrap_err()
}

#[test]
fn an_unknown_name_is_an_error_that_lists_the_names_there_are() {
    let (limits, _) = by_hand::<1>(Quota::per_minute(1));
    let tiers = limits.named([]).unwrap();
    let message = |name| {
        let unknown = unknown(&tiers, name);
        assert_eq!(unknown.name(), name);
        let text = unknown.to_string();
        assert_eq!(format!("{unknown:?}"), format!("UnknownTier({text:?})"));
        let error: &dyn std::error::Error = &unknown;
        assert_eq!(error.to_string(), text);
        text
    };
    assert_eq!(
        message("pro"),
        "found no tier \"pro\", expected none, as there are no tiers"
    );
    tiers.reload(config(&[("pro", "2/minute")])).unwrap();
    assert_eq!(message("Pro"), "found no tier \"Pro\", expected \"pro\"");
    tiers
        .reload(config(&[("pro", "2/minute"), ("free", "1/minute")]))
        .unwrap();
    assert_eq!(
        message("\"\n"),
        "found no tier \"\\\"\\n\", expected one of \"free\", \"pro\""
    );
    assert_eq!(unknown(&tiers, "").known(), ["free", "pro"]);
    assert_eq!(tiers.names(), ["free", "pro"]);
}

#[test]
fn a_reload_says_what_it_changed() {
    let (limits, _) = by_hand::<1>(Quota::per_minute(1));
    let tiers = limits
        .named(config(&[("trial", "1/hour"), ("pro", "10/minute")]))
        .unwrap();
    let (trial, pro) = (tiers.get("trial").unwrap(), tiers.get("pro").unwrap());

    let same = tiers
        .reload(config(&[("pro", "10/minute"), ("trial", "1/hour")]))
        .unwrap();
    assert!(same.is_empty());
    assert_eq!(same.to_string(), "nothing changed");

    let wanted = [
        ("team", "30/minute"),
        ("pro", "20/minute burst 5"),
        ("basic", "1/day"),
    ];
    let reload = tiers.reload(config(&wanted)).unwrap();
    assert!(!reload.is_empty());
    assert_eq!(reload.added, ["basic", "team"]);
    assert_eq!(reload.removed, ["trial"]);
    let [replaced] = reload.replaced.as_slice() else {
        panic!("{reload:?}");
    };
    assert_eq!(
        (replaced.name.as_str(), replaced.from, replaced.to),
        ("pro", policy("10/minute"), policy("20/minute burst 5"))
    );
    assert_eq!(
        reload.to_string(),
        "added \"basic\"; added \"team\"; replaced \"pro\": \"10/minute\" by \"20/minute burst 5\"; \
         removed \"trial\""
    );
    // The handles follow. That of a removed tier keeps its policy.
    assert_eq!(pro.check("alice").limit(), 5);
    assert!(pro == tiers.get("pro").unwrap());
    assert_eq!(trial.check("alice").limit(), 1);
    assert_eq!(trial.policy(), policy("1/hour"));
    assert_eq!(unknown(&tiers, "trial").known(), ["basic", "pro", "team"]);
}

#[test]
fn a_reload_is_all_or_nothing() {
    let (limits, _) = by_hand::<2>(policy::<2>("10/minute; 60/hour"));
    let tiers = limits
        .named(config(&[
            ("free", "1/minute"),
            ("pro", "2/minute; 20/hour"),
        ]))
        .unwrap();
    let before = format!("{tiers:?}");
    let clash = [
        ("added", "9/minute"),
        ("free", "3/minute"),
        ("pro", "4/hour; 5/day"),
    ];
    let error = tiers.reload(config(&clash)).unwrap_err();
    assert_eq!(error.name(), Some("pro"));
    assert_eq!(
        message(&error),
        "in the tier \"pro\", \"4/hour\" and \"5/day\" share a bucket; \
         expected quotas that are nearest to different periods of minute, hour"
    );
    let twice = [
        ("added", "9/minute"),
        ("free", "3/minute"),
        ("added", "9/minute"),
    ];
    assert_eq!(
        message(&tiers.reload(config(&twice)).unwrap_err()),
        "found two tiers named \"added\", expected one"
    );
    assert_eq!(format!("{tiers:?}"), before);
    assert_eq!(tiers.names(), ["free", "pro"]);
    assert_eq!(tiers.get("free").unwrap().policy(), policy("1/minute"));
    // Nor is there anything to be had of a map that is refused.
    assert!(limits.named(config(&clash)).is_err() && limits.named(config(&twice)).is_err());
}

/// A period of a policy that is refused takes no bucket from those that come later.
#[test]
fn a_reload_that_is_refused_meets_no_period() {
    let (limits, _) = by_hand::<2>(policy::<2>("10/minute"));
    let tiers = limits.named(config(&[("free", "1/minute")])).unwrap();
    let refused = tiers.reload(config(&[("a", "1/day"), ("b", "1/hour; 2/hour")]));
    assert_eq!(refused.unwrap_err().name(), Some("b"));
    assert!(tiers.reload(config(&[("a", "10/minute; 1/hour")])).is_ok());
    let refused = tiers.reload(config(&[("a", "1/hour; 1/day")]));
    assert!(message(&refused.unwrap_err()).ends_with("of minute, hour"));
}

#[test]
fn a_name_that_comes_back_while_it_is_held_is_the_same_tier() {
    let (limits, _) = by_hand::<1>(Quota::per_minute(1));
    let tiers = limits
        .named(config(&[("free", "1/hour"), ("pro", "10/minute")]))
        .unwrap();
    let held = tiers.get("pro").unwrap();
    for _ in 0..3 {
        assert_eq!(
            tiers.reload(config(&[("free", "1/hour")])).unwrap().removed,
            ["pro"]
        );
        assert!(tiers.get("pro").is_err());
        assert_eq!(held.policy(), policy("10/minute"));
        let back = tiers
            .reload(config(&[("free", "1/hour"), ("pro", "20/minute")]))
            .unwrap();
        assert_eq!(
            (back.added, back.replaced.len()),
            (vec!["pro".to_owned()], 0)
        );
        assert!(tiers.get("pro").unwrap() == held);
        assert_eq!(held.policy(), policy("20/minute"));
        held.replace(policy::<1>("10/minute")).unwrap();
    }
}

#[test]
fn a_name_that_comes_back_held_by_none_is_a_new_tier() {
    let (limits, _) = by_hand::<1>(Quota::per_minute(1));
    let tiers = limits.named(config(&[("pro", "10/minute")])).unwrap();
    let old = tiers.get("pro").unwrap().id();
    assert_eq!(tiers.reload(config(&[])).unwrap().removed, ["pro"]);
    // The number of the old one is free for this.
    let other = limits.tier(Quota::per_minute(5)).unwrap();
    assert_eq!(other.id(), old);
    tiers.reload(config(&[("pro", "10/minute")])).unwrap();
    assert_ne!(tiers.get("pro").unwrap().id(), old);
}

/// Two maps of one limiter know nothing of each other's names, and share its keys.
#[test]
fn two_maps_of_names_share_the_keys() {
    let (limits, _) = by_hand::<1>(Quota::per_minute(100));
    let one = limits.named(config(&[("pro", "10/minute")])).unwrap();
    let other = limits.named(config(&[("pro", "20/minute")])).unwrap();
    assert!(one.get("pro").unwrap() != other.get("pro").unwrap());
    assert!(one.get("pro").unwrap().check_n("alice", 10).is_allowed());
    assert_eq!(other.get("pro").unwrap().check("alice").remaining(), 9);
    assert_eq!(limits.default_tier().check("alice").remaining(), 88);
    drop(limits);
    assert!(one.reload(config(&[("pro", "30/minute")])).is_ok());
    assert_eq!(one.get("pro").unwrap().check("alice").remaining(), 17);
}

#[test]
fn tiers_are_read_from_a_map_of_any_kind() {
    let (limits, _) = by_hand::<1>(Quota::per_minute(1));
    let map: BTreeMap<String, Policy> = config(&[("pro", "10/minute")]).into_iter().collect();
    assert_eq!(limits.named(map).unwrap().names(), ["pro"]);
}

#[cfg(feature = "serde")]
#[test]
fn tiers_are_read_from_a_config_file() {
    let json = r#"{ "free": "10/minute", "pro": ["100/minute burst 50", "1000/hour"] }"#;
    let config: BTreeMap<String, Policy<2>> = serde_json::from_str(json).unwrap();
    let (limits, _) = by_hand::<2>(policy::<2>("5/minute"));
    let tiers = limits.named(config).unwrap();
    assert_eq!(tiers.names(), ["free", "pro"]);
    assert_eq!(tiers.get("free").unwrap().policy(), policy("10/minute"));
    let pro = tiers.get("pro").unwrap().check("alice");
    assert_eq!((pro.quotas().len(), pro.remaining()), (2, 49));

    let too_many = r#"{ "pro": ["1/s", "1/m", "1/h"] }"#;
    let error = serde_json::from_str::<BTreeMap<String, Policy<2>>>(too_many).unwrap_err();
    assert!(
        error
            .to_string()
            .contains("found 3 quotas in the policy, expected 1 to 2")
    );
}
