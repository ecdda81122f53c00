//! Values in the store that are not this limiter's: from another program, or damaged.

use std::time::Duration;

use tollgate::Quota;
use tollgate_redis::{Cause, OnOutage, SharedLimiter};

use crate::manual::Manual;
use crate::outages::patient;
use crate::server::Server;

/// Two quotas, so that a value has three numbers.
fn limiter(server: &Server) -> SharedLimiter<2> {
    let policy = [Quota::per_minute(10), Quota::per_hour(60)];
    server.limiter(patient(policy))
}

fn name(server: &Server) -> String {
    let keys = server.keys();
    let [name] = &keys[..] else {
        panic!("one key was expected: {keys:?}");
    };
    name.clone()
}

/// Sets the value of a key to any bytes.
fn set(server: &Server, name: &str, value: &[u8]) {
    let mut connection = server.client().get_connection().unwrap();
    let mut command = redis::cmd("SET");
    command.arg(name).arg(value);
    command.exec(&mut connection).unwrap();
}

fn doubles(numbers: &[f64]) -> Vec<u8> {
    numbers
        .iter()
        .flat_map(|number| number.to_le_bytes())
        .collect()
}

/// Checks that `alice`, whose key is strange, is the only one without a decision, and can be repaired.
async fn is_malformed(limiter: &SharedLimiter<2>) {
    let outage = limiter.check("alice").await.unwrap_err();
    assert_eq!(outage.cause(), Cause::Malformed);
    assert!(outage.was_asked() && outage.is_allowed());
    assert!(limiter.check("bob").await.is_ok());
    assert_eq!(limiter.health().outage, None);
}

#[tokio::test]
async fn a_strange_value_concerns_its_key_alone_and_is_not_overwritten() {
    let server = Server::start();
    let limiter = limiter(&server);
    assert!(limiter.allow("alice").await);
    let name = name(&server);
    let now = 1.8e15;
    for value in [
        Vec::new(),
        b"17".to_vec(),
        doubles(&[now]),
        [doubles(&[now, 0.0, 0.0]), vec![0]].concat(),
        doubles(&[f64::NEG_INFINITY, 0.0, 0.0]),
        doubles(&[now, 0.0]),
        doubles(&[now, 0.0, 0.0, 0.0]),
        doubles(&[now, 0.0, 0.0])[..23].to_vec(),
        doubles(&[f64::NAN, 0.0, 0.0]),
        doubles(&[f64::INFINITY, 0.0, 0.0]),
        doubles(&[-1.0, 0.0, 0.0]),
        doubles(&[9_007_199_254_740_992.0, 0.0, 0.0]),
        doubles(&[now, f64::NAN, 0.0]),
        doubles(&[now, 0.0, f64::NAN]),
        doubles(&[now, -1.0, 0.0]),
        doubles(&[now, 60_000_001.0, 0.0]),
        doubles(&[now, 0.0, f64::INFINITY]),
    ] {
        set(&server, &name, &value);
        is_malformed(&limiter).await;
        assert_eq!(server.run::<Vec<u8>>(&["GET", &name]), value);
    }
    assert_eq!(limiter.forget("alice").await, Ok(true));
    assert_eq!(limiter.check("alice").await.unwrap().remaining(), 9);
}

#[tokio::test]
async fn a_key_of_another_type_is_left_alone() {
    let server = Server::start();
    let limiter = limiter(&server);
    assert!(limiter.allow("alice").await);
    let name = name(&server);
    assert_eq!(limiter.forget("alice").await, Ok(true));
    for (kind, command) in [
        ("list", &["LPUSH", &name, "x"][..]),
        ("set", &["SADD", &name, "x"]),
        ("hash", &["HSET", &name, "x", "y"]),
    ] {
        let _: u64 = server.run(command);
        is_malformed(&limiter).await;
        assert_eq!(server.run::<String>(&["TYPE", &name]), kind);
        assert_eq!(limiter.forget("alice").await, Ok(true));
        assert_eq!(limiter.check("alice").await.unwrap().remaining(), 9);
        assert_eq!(limiter.forget("alice").await, Ok(true));
    }
}

/// A time that is far ahead, or in parts of a µs, locks no key out and makes no number strange.
#[tokio::test]
async fn a_value_in_range_is_taken_as_it_is() {
    let server = Server::start();
    let limiter = limiter(&server);
    assert!(limiter.allow("alice").await);
    let name = name(&server);
    for (value, remaining) in [
        (doubles(&[9_007_199_254_740_991.0, 54_000_000.0, 0.0]), 0),
        (doubles(&[0.0, 60_000_000.0, 3_600_000_000.0]), 9),
        (doubles(&[1.5, 0.5, -0.0]), 9),
    ] {
        set(&server, &name, &value);
        let decision = limiter.check("alice").await.unwrap();
        assert!(decision.is_allowed());
        assert_eq!(decision.remaining(), remaining);
    }
}

#[tokio::test]
async fn a_strange_value_ends_as_an_outage_is_set_to() {
    let server = Server::start();
    let first = limiter(&server);
    assert!(first.allow("alice").await);
    set(&server, &name(&server), b"17");
    for (on_outage, passes) in [(OnOutage::Allow, true), (OnOutage::Deny, false)] {
        let policy = [Quota::per_minute(10), Quota::per_hour(60)];
        let limiter = server.limiter(patient(policy).on_outage(on_outage));
        for outage in [limiter.check("alice").await, limiter.peek("alice").await] {
            let outage = outage.unwrap_err();
            assert_eq!(outage.cause(), Cause::Malformed);
            assert_eq!(outage.is_allowed(), passes);
            assert_eq!(outage.retry_after(), None);
        }
        assert_eq!(limiter.allow("alice").await, passes);
        assert!(limiter.check("bob").await.unwrap().is_allowed());
    }
}

/// A decision on a value in parts of a part, or of a µs, contradicts itself in no number.
#[tokio::test]
async fn a_denial_of_fractions_leaves_no_unit_and_has_a_wait() {
    const NOW: u64 = 1_795_600_000_000_000;
    let server = Server::start();
    let connection = Manual::connect(&server.client(), NOW).await.lasting();
    let builder = patient([Quota::per_minute(10), Quota::per_hour(60)]);
    let limiter = builder.denied_keys(0).build(connection).unwrap();
    assert!(limiter.allow("alice").await);
    let name = name(&server);
    let now = NOW as f64;
    for value in [
        [now, 54_000_000.5, 0.0],
        [now, 0.0, 3_540_000_000.5],
        [now + 0.5, 54_000_000.5, 0.0],
        [now - 0.5, 54_000_000.75, 0.0],
        [now - 0.25, 54_000_001.0, 0.0],
        [now, 53_999_999.5, 0.5],
    ] {
        set(&server, &name, &doubles(&value));
        let decision = limiter.check("alice").await.unwrap();
        let is_denied = !decision.is_allowed();
        assert_eq!(decision.retry_after().is_some(), is_denied, "{value:?}");
        if is_denied {
            assert_eq!(decision.remaining(), 0, "{value:?}");
            assert!(decision.retry_after() >= Some(Duration::from_micros(1)));
        }
    }
}
