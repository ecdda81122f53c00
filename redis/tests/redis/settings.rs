//! The environment of the example `turns_shared`: its table in `examples/README.md` is a contract.

use std::{collections::BTreeMap, ffi::OsString};

#[cfg(unix)]
use crate::common::programs::{stopped, with_programs};
use crate::common::served::example;
use crate::turns_shared::{self, Settings};

/// The table of `turns_shared` in `examples/README.md`: each variable with its default and its bounds.
fn table() -> Vec<[String; 4]> {
    let readme = example("README.md");
    let header = "| variable | what | default | from | to |";
    let table = readme.split(header).nth(1).expect("README has the table");
    let rows = table
        .lines()
        .skip(2)
        .take_while(|line| line.starts_with('|'));
    let row = |line: &str| {
        let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
        let [variable, _, default, from, to] = cells[..] else {
            panic!("five columns: {line}");
        };
        [variable.trim_matches('`'), default, from, to].map(str::to_owned)
    };
    rows.map(row).collect()
}

/// Returns what the service reads from these variables, or its error.
fn effect(variables: &[(&str, &str)]) -> Result<BTreeMap<&'static str, String>, String> {
    let environment = |name: &str| {
        let mut variables = variables.iter();
        let variable = variables.find(|(variable, _)| *variable == name);
        variable.map(|(_, value)| OsString::from(value))
    };
    let settings = Settings::read(&environment).map_err(|error| error.to_string())?;
    let address = settings.redis.get_connection_info().addr().to_string();
    let quotas = settings.policy.quotas();
    let timeouts = settings.timeouts;
    Ok(BTreeMap::from([
        (turns_shared::REDIS_URL, format!("redis://{address}/")),
        (turns_shared::PREFIX, settings.prefix.clone()),
        (turns_shared::ON_OUTAGE, format!("{:?}", settings.on_outage)),
        (
            turns_shared::DEADLINE.name,
            format!("{:?}", settings.deadline),
        ),
        ("HOST", settings.address.ip().to_string()),
        ("PORT", settings.address.port().to_string()),
        (turns_shared::PER_MINUTE.name, quotas[0].to_string()),
        (turns_shared::PER_HOUR.name, quotas[1].to_string()),
        ("timeouts", format!("{timeouts:?}")),
    ]))
}

#[test]
fn the_variables_of_the_service_are_those_of_the_readme() {
    let row = |variable: &str, cells: [&str; 3]| {
        let [default, from, to] = cells;
        [variable, default, from, to].map(str::to_owned)
    };
    let numbers = |name, numbers: [u64; 3]| {
        let [default, from, to] = numbers.map(|number| number.to_string());
        row(name, [&default, &from, &to])
    };
    let (nodes, deadline) = (turns_shared::NODES, turns_shared::DEADLINE);
    assert_eq!(
        table(),
        [
            row(
                turns_shared::REDIS_URL,
                [turns_shared::DEFAULT_URL, "–", "–"]
            ),
            row(
                turns_shared::PREFIX,
                [turns_shared::DEFAULT_PREFIX, "–", "–"]
            ),
            row(turns_shared::ON_OUTAGE, ["allow", "–", "–"]),
            numbers(
                nodes.name,
                [nodes.default, nodes.from, nodes.to].map(u64::from)
            ),
            numbers(
                deadline.name,
                [deadline.default, deadline.from, deadline.to]
            ),
        ]
    );
    let by_default = effect(&[]).unwrap();
    assert_eq!(by_default["PORT"], "8083");
    assert_eq!(by_default[turns_shared::DEADLINE.name], "50ms");
    assert_eq!(by_default[turns_shared::ON_OUTAGE], "Allow");
    let url = turns_shared::DEFAULT_URL;
    assert_eq!(by_default[turns_shared::REDIS_URL], url);
    for (variables, variable, expected) in [
        (
            &[("REDIS_URL", "redis://:secret@192.0.2.1:7/3")][..],
            "REDIS_URL",
            "redis://192.0.2.1:7/",
        ),
        (&[("RATE_LIMIT_PREFIX", "!~")], "RATE_LIMIT_PREFIX", "!~"),
        (
            &[("RATE_LIMIT_ON_OUTAGE", "deny")],
            "RATE_LIMIT_ON_OUTAGE",
            "Deny",
        ),
        (
            &[
                ("RATE_LIMIT_ON_OUTAGE", "local"),
                ("RATE_LIMIT_NODES", "1000000"),
            ],
            "RATE_LIMIT_ON_OUTAGE",
            "Local { nodes: 1000000 }",
        ),
        (
            &[("RATE_LIMIT_DEADLINE_MS", "7")],
            "RATE_LIMIT_DEADLINE_MS",
            "7ms",
        ),
        (
            &[("RATE_LIMIT_TURNS_PER_HOUR", "7")],
            "RATE_LIMIT_TURNS_PER_HOUR",
            "7/hour",
        ),
    ] {
        let mut all = by_default.clone();
        all.insert(variable, expected.to_owned());
        assert_eq!(effect(variables), Ok(all), "{variables:?}");
    }
}

#[test]
fn an_invalid_variable_is_an_error_that_shows_no_password() {
    let long = "p".repeat(65);
    for (variable, value, expected) in [
        ("REDIS_URL", "", "a URL such as redis://127.0.0.1:6379/"),
        (
            "REDIS_URL",
            "http://:secret@host/",
            "a URL such as redis://127.0.0.1:6379/",
        ),
        ("RATE_LIMIT_PREFIX", "", ""),
        ("RATE_LIMIT_PREFIX", "a b", ""),
        ("RATE_LIMIT_PREFIX", "a{b", ""),
        ("RATE_LIMIT_PREFIX", &long, ""),
        ("RATE_LIMIT_ON_OUTAGE", "Allow", "allow, deny or local"),
        (
            "RATE_LIMIT_DEADLINE_MS",
            "0",
            "a whole number from 1 to 60000",
        ),
        ("RATE_LIMIT_NODES", "0", "a whole number from 1 to 1000000"),
        (
            "RATE_LIMIT_NODES",
            "1000001",
            "a whole number from 1 to 1000000",
        ),
    ] {
        let expected = match variable {
            "REDIS_URL" => format!("{variable} is invalid; expected {expected}"),
            "RATE_LIMIT_PREFIX" => {
                let expected = "1 to 64 printable ASCII characters without blanks and braces";
                format!("{variable} is {value:?}; expected {expected}")
            }
            _ => format!("{variable} is {value:?}; expected {expected}"),
        };
        assert_eq!(effect(&[(variable, value)]), Err(expected));
    }
}

/// Each limit within the bounds fits what the script can count.
#[test]
fn every_limit_within_the_bounds_is_one_of_a_shared_limiter() {
    let [minute, hour] = [turns_shared::PER_MINUTE, turns_shared::PER_HOUR];
    for per_minute in [minute.from, 7, 600, 999_983, minute.to] {
        for per_hour in [hour.from, 7, 999_983, hour.to - 1, hour.to] {
            let (per_minute, per_hour) = (per_minute.to_string(), per_hour.to_string());
            let environment = |name: &str| match name {
                "RATE_LIMIT_TURNS_PER_MINUTE" => Some(OsString::from(&per_minute)),
                "RATE_LIMIT_TURNS_PER_HOUR" => Some(OsString::from(&per_hour)),
                _ => None,
            };
            let settings = Settings::read(&environment).unwrap();
            assert!(settings.limiter().is_ok(), "{per_minute}, {per_hour}");
        }
    }
}

#[cfg(unix)]
#[test]
fn more_processes_than_turns_stop_the_service_at_the_start() {
    with_programs(async {
        let variables = [
            ("RATE_LIMIT_ON_OUTAGE", "local"),
            ("RATE_LIMIT_NODES", "11"),
        ];
        let variables = variables.map(|(name, value)| (name.to_owned(), value.into()));
        let error = "error: found 11 nodes for 10/minute, expected at most its burst, 10\n";
        let stopped = stopped("turns_shared", variables.into()).await;
        assert_eq!(stopped, (Some(1), error.to_owned()));
    });
}
