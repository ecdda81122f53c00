//! Missing and malformed keys, and bytes that are not HTTP.

use super::exchange::*;
use crate::common::http::{KEY, limiter};
use crate::common::sockets::over_sockets;
use axum::Router;
use axum::routing::get;
use http::StatusCode;
use std::{
    io::Write,
    net::{Shutdown, SocketAddr, TcpStream},
    time::Duration,
};
use tollgate::Quota;
use tollgate::tower::{OnMissingKey, RateLimitLayer};

/// Cases 42 and 44.
#[test]
fn a_missing_key_follows_the_rule_and_a_malformed_one_is_always_rejected() {
    let long = |len: usize| [b"x-api-key: ".as_slice(), &vec![b'k'; len]].concat();
    let missing: [(&str, Vec<u8>); 4] = [
        ("no key", head("GET /", &[])),
        ("an unknown method", head("FOO /", &[])),
        ("a method of odd characters", head("!#$%&'*+-.^_`|~ /", &[])),
        ("another header", head("GET /", &[b"x-api-keys: alice"])),
    ];
    let (alice, other) = (b"x-api-key: alice".as_slice(), b"X-API-Key: x".as_slice());
    let garbage: [(&str, Vec<u8>); 8] = [
        ("an empty key", head("GET /", &[b"x-api-key:"])),
        ("a blank key", head("GET /", &[b"x-api-key: \t "])),
        ("a key a byte too long", head("GET /", &[&long(257)])),
        ("a huge key", head("GET /", &[&long(100_000)])),
        ("no UTF-8", head("GET /", &[b"x-api-key: \xff\xfe"])),
        ("two keys", head("GET /", &[alice, other])),
        ("a key twice", head("GET /", &[alice, alice])),
        ("both unknown", head("FOO /", &[other, other])),
    ];
    over_sockets(async move {
        let (shared, _clock) = limiter(Quota::per_second(1).burst(2));
        for (no_key, of_missing, of_garbage) in [
            (
                OnMissingKey::Reject(StatusCode::UNAUTHORIZED),
                [401; 4],
                401,
            ),
            (OnMissingKey::Allow, [200; 4], 400),
            (OnMissingKey::Share(shared), [200, 200, 429, 429], 400),
        ] {
            let is_shared = matches!(no_key, OnMissingKey::Share(_));
            let (limiter, _clock) = limiter(Quota::per_second(1).burst(2));
            let layer = RateLimitLayer::new(limiter.clone(), KEY, no_key);
            let app = Router::new().fallback(|| async { "inner" });
            let address = serve(app.layer(layer)).await;
            let sent = |what: &str, request: &[u8], expected: u16, has_fields: bool| {
                let answer = converse(address, request);
                assert_eq!(status(&answer), Some(expected), "{what}: {answer}");
                let fields = answer.contains("x-ratelimit-");
                assert_eq!(fields, has_fields, "{what}: {answer}");
            };
            for ((what, request), expected) in missing.iter().zip(of_missing) {
                sent(what, request, expected, is_shared);
            }
            for (what, request) in &garbage {
                sent(what, request, of_garbage, false);
            }
            assert!(limiter.is_empty());
            // The longest key that is one, and the server goes on.
            let good = head("GET /", &[&long(256)]);
            for expected in [200, 200, 429] {
                sent("a long key", &good, expected, true);
            }
            assert_eq!(limiter.len(), 1);
        }
    });
}

/// HTTP/1.1 cuts these off on the way, and HTTP/2 does not.
#[test]
fn spaces_around_a_key_do_not_make_it_another() {
    over_sockets(async {
        for client in [http_1(), http_2()] {
            let (limiter, _clock) = limiter(Quota::per_second(1).burst(3));
            let app = Router::new().route("/", get(|| async {}));
            let address = serve(app.layer(by_key(&limiter))).await;
            for (key, left) in [("alice", 2), (" alice", 1), ("alice \t", 0)] {
                let answer = ask(get_as(&client, address, key)).await;
                assert_eq!(answer.numbers(), [3, left, 3 - left]);
            }
            assert!(limiter.forget("alice") && limiter.is_empty());
        }
    });
}

/// Case 44. Some of it comes with a good key, whose unit it must not cost.
#[test]
fn what_is_no_http_spends_nothing_and_the_server_goes_on() {
    let key = b"x-api-key: alice".as_slice();
    let megabytes = [b"x-api-key: ".as_slice(), &vec![b'k'; 2_000_000]].concat();
    let lines: Vec<Vec<u8>> = (0..200).map(|n| format!("x-{n}: 0").into_bytes()).collect();
    let lines: Vec<&[u8]> = lines.iter().map(Vec::as_slice).chain([key]).collect();
    let garbage: [(&str, Vec<u8>); 11] = [
        ("nothing", Vec::new()),
        (
            "half a head",
            b"GET / HTTP/1.1\r\nx-api-key: alice\r\n".to_vec(),
        ),
        ("half of HTTP/2's greeting", b"PRI * HTTP/2.0\r\n".to_vec()),
        (
            "noise after the greeting",
            [b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", &[7; 99][..]].concat(),
        ),
        (
            "TLS",
            b"\x16\x03\x01\x00\xa5\x01\x00\x00\xa1\x03\x03".repeat(9),
        ),
        ("no request line", b"\r\n\r\n\0\0\0\0".to_vec()),
        (
            "a version to come",
            b"GET / HTTP/9.9\r\nx-api-key: alice\r\n\r\n".to_vec(),
        ),
        ("a target that is none", head("GET \\\x01", &[key])),
        ("a control character", head("GET /", &[key, b"x: \x00"])),
        ("megabytes of key", head("GET /", &[&megabytes])),
        ("too many lines", head("GET /", &lines)),
    ];
    over_sockets(async move {
        let (limiter, _clock) = limiter(Quota::per_second(1).burst(2));
        let app = Router::new().fallback(|| async { "inner" });
        let address = serve(app.layer(by_key(&limiter))).await;
        for (what, bytes) in &garbage {
            let answer = hang_up_after(address, bytes);
            let status = status(&answer);
            let is_clients_fault = status.is_none_or(|status| (400..500).contains(&status));
            assert!(is_clients_fault, "{what}: {answer}");
            assert!(limiter.is_empty(), "{what}");
        }
        let answer = converse(address, &head("GET /", &[key]));
        assert!(answer.contains("x-ratelimit-remaining: 1\r\n"), "{answer}");
    });
}

/// Case 44.
#[test]
fn made_up_keys_take_memory_for_as_long_as_they_are_in_debt() {
    over_sockets(async {
        let (limiter, clock) = limiter(Quota::per_second(1).burst(2));
        let app = Router::new().route("/", get(|| async {}));
        let layer = RateLimitLayer::new(limiter.clone(), KEY.max_len(8), OnMissingKey::Allow);
        let address = serve(app.layer(layer)).await;
        let client = http_1();
        for number in 0..500 {
            for (key, status) in [
                (format!("key-{number:04}"), 200),
                (format!("long-{number:04}"), 400),
            ] {
                assert_eq!(ask(get_as(&client, address, &key)).await.status, status);
            }
        }
        assert_eq!(limiter.len(), 500);
        clock.advance(Duration::from_secs(1));
        assert_eq!(limiter.sweep(), 500);
        assert!(limiter.is_empty());
    });
}

/// The same, and lets the server know that nothing more will come.
fn hang_up_after(address: SocketAddr, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    // Fails where the server has heard enough.
    _ = stream.write_all(bytes);
    _ = stream.shutdown(Shutdown::Write);
    rest(stream)
}
