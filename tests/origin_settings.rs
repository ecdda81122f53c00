//! The environment of the two example services: the table in `examples/README.md` is a contract.

#![cfg(feature = "tower")]
// Each example has its own copy of what they share, as it has when it is built alone.
#![allow(clippy::duplicate_mod)]

mod common;

// Their `main` is not called from here.
#[allow(dead_code)]
#[path = "../examples/handoff_api.rs"]
mod handoff_api;
#[allow(dead_code)]
#[path = "../examples/turns_api.rs"]
mod turns_api;

use std::{
    collections::{BTreeMap, BTreeSet},
    ffi::OsString,
    sync::Mutex,
    time::Duration,
};

use common::contract::{Row, Variables, table};
use common::served::example;
use tollgate::{Quota, RateLimiter};

const MINUTE: Duration = Duration::from_secs(60);

/// A setting of the code, as a row.
macro_rules! row {
    ($service:ident :: $setting:ident) => {
        Row {
            variable: $service::$setting.name.to_owned(),
            service: stringify!($service).to_owned(),
            default: $service::$setting.default.to_string(),
            bounds: Some([$service::$setting.from.into(), $service::$setting.to.into()]),
        }
    };
}

#[test]
fn the_table_in_readme_says_what_the_code_does() {
    let host = |service: &str| Row {
        variable: "HOST".to_owned(),
        service: service.to_owned(),
        default: "127.0.0.1".to_owned(),
        bounds: None,
    };
    let timeouts = |service: &str| {
        let timeouts = [
            &handoff_api::Timeouts::HEAD,
            &handoff_api::Timeouts::REQUEST,
            &handoff_api::Timeouts::CONNECTION,
            &handoff_api::Timeouts::DRAIN,
        ];
        timeouts.map(|setting| Row {
            variable: setting.name.to_owned(),
            service: service.to_owned(),
            default: setting.default.to_string(),
            bounds: Some([setting.from, setting.to]),
        })
    };
    let mut code = vec![
        row!(handoff_api::PER_MINUTE),
        row!(handoff_api::BURST),
        host("handoff_api"),
        row!(handoff_api::PORT),
        row!(turns_api::PER_MINUTE),
        row!(turns_api::PER_HOUR),
        host("turns_api"),
        row!(turns_api::PORT),
    ];
    code.splice(4..4, timeouts("handoff_api"));
    code.extend(timeouts("turns_api"));
    assert_eq!(table(), code);
}

fn handoff_settings(variables: &Variables) -> handoff_api::Settings {
    handoff_api::Settings::read(&|name| variables.get(name).cloned()).unwrap()
}

fn turns_settings(variables: &Variables) -> turns_api::Settings {
    turns_api::Settings::read(&|name| variables.get(name).cloned()).unwrap()
}

/// What the service makes of its environment: the value of each variable, or why it refuses one.
fn effect(
    service: &str,
    environment: &dyn Fn(&str) -> Option<OsString>,
) -> Result<BTreeMap<&'static str, String>, String> {
    // Each example has a type of its own.
    macro_rules! timeouts {
        ($settings:ident) => {{
            let timeouts = $settings.timeouts;
            [
                ("HEAD_TIMEOUT_MS", timeouts.head),
                ("REQUEST_TIMEOUT_MS", timeouts.request),
                ("CONNECTION_TIMEOUT_MS", timeouts.connection),
                ("DRAIN_TIMEOUT_MS", timeouts.drain),
            ]
        }};
    }
    let (limits, address, timeouts) = match service {
        "handoff_api" => {
            let settings = handoff_api::Settings::read(environment);
            let settings = settings.map_err(|refused| refused.to_string())?;
            assert_eq!(settings.quota.period(), MINUTE);
            let limits = [
                ("HANDOFFKIT_API_RATE_LIMIT_PER_MIN", settings.quota.units()),
                ("HANDOFFKIT_API_BURST", settings.quota.burst_size()),
            ];
            (limits, settings.address, timeouts!(settings))
        }
        "turns_api" => {
            let settings = turns_api::Settings::read(environment);
            let settings = settings.map_err(|refused| refused.to_string())?;
            let [minute, hour] = *settings.policy.quotas() else {
                panic!("two quotas, always");
            };
            assert_eq!([minute.period(), hour.period()], [MINUTE, 60 * MINUTE]);
            assert_eq!(minute.burst_size(), minute.units());
            assert_eq!(hour.burst_size(), hour.units());
            let limits = [
                ("RATE_LIMIT_TURNS_PER_MINUTE", minute.units()),
                ("RATE_LIMIT_TURNS_PER_HOUR", hour.units()),
            ];
            (limits, settings.address, timeouts!(settings))
        }
        _ => panic!("no service is called {service}"),
    };
    let mut effect: BTreeMap<_, _> = limits.map(|(name, n)| (name, n.to_string())).into();
    effect.extend(timeouts.map(|(name, time)| (name, time.as_millis().to_string())));
    effect.insert("HOST", address.ip().to_string());
    effect.insert("PORT", address.port().to_string());
    Ok(effect)
}

#[test]
fn a_variable_that_is_not_set_has_the_default_of_the_table() {
    for row in table() {
        let effect = effect(&row.service, &|_| None).unwrap();
        assert_eq!(effect[&*row.variable], row.default, "{row:?}");
    }
}

#[test]
fn a_variable_that_is_set_to_either_bound_is_taken_and_alone_changes() {
    for row in table() {
        let values = match row.bounds {
            Some([from, to]) => vec![from, from + 1, to - 1, to]
                .into_iter()
                .map(|bound| bound.to_string())
                .collect(),
            None => ["0.0.0.0", "255.255.255.255", "::", "::1", "2001:db8::7"]
                .map(str::to_owned)
                .to_vec(),
        };
        for value in values {
            let set = |name: &str| (name == row.variable).then(|| OsString::from(&value));
            let mut expected = effect(&row.service, &|_| None).unwrap();
            *expected.get_mut(&*row.variable).unwrap() = value.clone();
            assert_eq!(effect(&row.service, &set), Ok(expected), "{row:?}");
        }
    }
}

/// The address is printed as it is bound, and IPv4 as IPv4.
#[test]
fn an_address_has_one_form_however_it_is_written() {
    for (written, meant) in [
        ("::ffff:127.0.0.1", "127.0.0.1"),
        ("::ffff:7f00:1", "127.0.0.1"),
        ("0:0:0:0:0:0:0:1", "::1"),
        ("2001:DB8::0007", "2001:db8::7"),
    ] {
        for service in ["handoff_api", "turns_api"] {
            let set = |name: &str| (name == "HOST").then(|| OsString::from(written));
            assert_eq!(effect(service, &set).unwrap()["HOST"], meant);
        }
    }
}

#[test]
fn a_variable_beyond_its_bounds_is_refused_by_name_with_value_and_bound() {
    for row in table() {
        for value in row.refused() {
            let set = |name: &str| (name == row.variable).then(|| value.clone());
            let refused = effect(&row.service, &set).unwrap_err();
            assert_eq!(refused, row.refusal(&value));
        }
    }
}

#[test]
fn the_table_has_every_variable_that_the_services_read() {
    let mut in_table = BTreeSet::new();
    for row in table() {
        assert!(in_table.insert((row.service, row.variable)), "twice");
    }
    let mut read = BTreeSet::new();
    for service in ["handoff_api", "turns_api"] {
        let asked = Mutex::new(Vec::new());
        let recorded = |name: &str| {
            asked.lock().unwrap().push(name.to_owned());
            None
        };
        effect(service, &recorded).unwrap();
        let asked = asked.into_inner().unwrap();
        read.extend(asked.into_iter().map(|name| (service.to_owned(), name)));
    }
    assert_eq!(read, in_table);

    // There is no other way to the environment.
    for (file, count) in [
        ("handoff_api.rs", 0),
        ("turns_api.rs", 0),
        ("service/mod.rs", 0),
        ("service/server.rs", 0),
        ("service/settings.rs", 1),
    ] {
        let code = example(file);
        assert_eq!(code.matches("env::").count(), count, "{file}");
        assert!(!code.contains("env!("), "{file}");
    }
}

/// `Quota::new` says no only to a burst that is too large for its rate, once there is one: so the
/// largest stands for all.
#[test]
fn every_combination_within_the_bounds_is_a_quota() {
    let [rates, bursts] = [handoff_api::PER_MINUTE, handoff_api::BURST];
    for rate in rates.from..=rates.to {
        let quota = Quota::new(rate, MINUTE, bursts.to);
        assert!(quota.is_ok(), "{rate}: {quota:?}");
    }
    for (setting, period) in [
        (turns_api::PER_MINUTE, MINUTE),
        (turns_api::PER_HOUR, 60 * MINUTE),
    ] {
        for units in setting.from..=setting.to {
            let quota = Quota::new(units, period, units);
            assert!(quota.is_ok(), "{units}: {quota:?}");
        }
    }
    // And as the services make them.
    let some = |from: u64, to: u64| [from, from + 1, 7, 600, 999_983, to - 1, to];
    for rate in some(rates.from, rates.to) {
        for burst in some(bursts.from, bursts.to) {
            let variables = [(rates.name, rate), (bursts.name, burst)];
            let quota = handoff_settings(&set(&variables)).quota;
            assert_eq!((quota.units(), quota.burst_size()), (rate, burst));
            assert!(RateLimiter::builder(quota).manual_sweep().build().allow(&0));

            let names = [turns_api::PER_MINUTE.name, turns_api::PER_HOUR.name];
            let policy = turns_settings(&set(&[(names[0], rate), (names[1], burst)])).policy;
            assert_eq!(
                Vec::from_iter(policy.quotas().iter().map(|quota| quota.units())),
                [rate, burst]
            );
            assert!(
                RateLimiter::builder(policy)
                    .manual_sweep()
                    .build()
                    .allow(&0)
            );
        }
    }
}

fn set(variables: &[(&str, u64)]) -> Variables {
    let text = |(name, value): &(&str, u64)| (name.to_string(), value.to_string().into());
    variables.iter().map(text).collect()
}
