//! The environment of the example services: the table in `examples/README.md` is a contract.

use std::{
    collections::{BTreeMap, BTreeSet},
    ffi::OsString,
    sync::Mutex,
    time::Duration,
};

use tollgate::{Quota, RateLimiter};

use crate::common::contract::{Row, Variables, table};
use crate::common::served::example;
use crate::{handoff_api, tiers, turns_api};

const SERVICES: [&str; 3] = ["handoff_api", "tiers", "turns_api"];

const MINUTE: Duration = Duration::from_secs(60);

/// Returns a setting of the code as a row.
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
    let text = |variable: &str, service: &str, default: &str| Row {
        variable: variable.to_owned(),
        service: service.to_owned(),
        default: default.to_owned(),
        bounds: None,
    };
    let host = |service: &str| text("HOST", service, "127.0.0.1");
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
    code.extend([
        text(tiers::TIERS_FILE, "tiers", tiers::DEFAULT_FILE),
        text(tiers::ADMIN_TOKEN, "tiers", "–"),
        host("tiers"),
        row!(tiers::PORT),
    ]);
    code.extend(timeouts("tiers"));
    assert_eq!(table(), code);
}

fn handoff_settings(variables: &Variables) -> handoff_api::Settings {
    handoff_api::Settings::read(&|name| variables.get(name).cloned()).unwrap()
}

fn turns_settings(variables: &Variables) -> turns_api::Settings {
    turns_api::Settings::read(&|name| variables.get(name).cloned()).unwrap()
}

/// Returns what the service reads from its environment: the value of each variable, or the error.
fn effect(
    service: &str,
    environment: &dyn Fn(&str) -> Option<OsString>,
) -> Result<BTreeMap<&'static str, String>, String> {
    // Each example has its own type of settings.
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
    let (own, address, timeouts) = match service {
        "handoff_api" => {
            let settings = handoff_api::Settings::read(environment);
            let settings = settings.map_err(|error| error.to_string())?;
            assert_eq!(settings.quota.period(), MINUTE);
            let limits = [
                ("HANDOFFKIT_API_RATE_LIMIT_PER_MIN", settings.quota.units()),
                ("HANDOFFKIT_API_BURST", settings.quota.burst_size()),
            ];
            let limits = limits.map(|(name, n)| (name, n.to_string()));
            (limits, settings.address, timeouts!(settings))
        }
        "turns_api" => {
            let settings = turns_api::Settings::read(environment);
            let settings = settings.map_err(|error| error.to_string())?;
            let [minute, hour] = *settings.policy.quotas() else {
                panic!("not two quotas: {}", settings.policy);
            };
            assert_eq!([minute.period(), hour.period()], [MINUTE, 60 * MINUTE]);
            assert_eq!(minute.burst_size(), minute.units());
            assert_eq!(hour.burst_size(), hour.units());
            let limits = [
                ("RATE_LIMIT_TURNS_PER_MINUTE", minute.units()),
                ("RATE_LIMIT_TURNS_PER_HOUR", hour.units()),
            ];
            let limits = limits.map(|(name, n)| (name, n.to_string()));
            (limits, settings.address, timeouts!(settings))
        }
        "tiers" => {
            let settings = tiers::Settings::read(environment);
            let settings = settings.map_err(|error| error.to_string())?;
            let file = settings.tiers_file.display().to_string();
            let token = settings.admin_token.unwrap_or("–".to_owned());
            let texts = [("TIERS_FILE", file), ("ADMIN_TOKEN", token)];
            (texts, settings.address, timeouts!(settings))
        }
        _ => panic!("no service is called {service}"),
    };
    let mut effect = BTreeMap::from(own);
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
fn a_variable_at_either_bound_is_valid_and_changes_no_other() {
    for row in table() {
        let values = match row.bounds {
            _ if row.variable == tiers::ADMIN_TOKEN => {
                ["!~aB0-_.:/+=@#$%".to_owned(), "~".repeat(128)].to_vec()
            }
            _ if row.variable == tiers::TIERS_FILE => {
                ["/", "a b", "größe.toml"].map(str::to_owned).to_vec()
            }
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

/// An IPv4 address in IPv6 form is IPv4.
#[test]
fn an_address_has_one_form_however_it_is_written() {
    for (written, meant) in [
        ("::ffff:127.0.0.1", "127.0.0.1"),
        ("::ffff:7f00:1", "127.0.0.1"),
        ("0:0:0:0:0:0:0:1", "::1"),
        ("2001:DB8::0007", "2001:db8::7"),
    ] {
        for service in SERVICES {
            let set = |name: &str| (name == "HOST").then(|| OsString::from(written));
            assert_eq!(effect(service, &set).unwrap()["HOST"], meant);
        }
    }
}

#[test]
fn the_error_of_an_invalid_variable_has_its_name_its_value_and_the_bounds() {
    for row in table() {
        for value in row.invalid() {
            let set = |name: &str| (name == row.variable).then(|| value.clone());
            let error = effect(&row.service, &set).unwrap_err();
            assert_eq!(error, row.error(&value));
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
    for service in SERVICES {
        let names = Mutex::new(Vec::new());
        let recorded = |name: &str| {
            names.lock().unwrap().push(name.to_owned());
            None
        };
        effect(service, &recorded).unwrap();
        let names = names.into_inner().unwrap();
        read.extend(names.into_iter().map(|name| (service.to_owned(), name)));
    }
    assert_eq!(read, in_table);

    // No other file reads the environment.
    for (file, count) in [
        ("handoff_api.rs", 0),
        ("tiers.rs", 0),
        ("turns_api.rs", 0),
        ("service/mod.rs", 0),
        ("service/server.rs", 0),
        ("service/settings.rs", 1),
        ("turns/mod.rs", 0),
    ] {
        let code = example(file);
        assert_eq!(code.matches("env::").count(), count, "{file}");
        assert!(!code.contains("env!("), "{file}");
    }
}

/// Within the bounds, only a burst that is too large for its rate is an error, so the test tries
/// the largest burst with each rate.
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
    // The services make the same quotas.
    let some = |from: u64, to: u64| [from, from + 1, 7, 600, 999_983, to - 1, to];
    for rate in some(rates.from, rates.to) {
        for burst in some(bursts.from, bursts.to) {
            let variables = [(rates.name, rate), (bursts.name, burst)];
            let quota = handoff_settings(&set(&variables)).quota;
            assert_eq!((quota.units(), quota.burst_size()), (rate, burst));
            assert!(RateLimiter::builder(quota).manual_sweep().build().allow(&0));

            let names = [turns_api::PER_MINUTE.name, turns_api::PER_HOUR.name];
            let policy = turns_settings(&set(&[(names[0], rate), (names[1], burst)])).policy;
            let units = policy.quotas().iter().map(|quota| quota.units());
            assert!(units.eq([rate, burst]));
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
