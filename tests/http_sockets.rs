//! The layer over real sockets: axum's server on loopback, and clients of its HTTP.
//!
//! The time of every limiter stands still unless a test moves it, so counts are exact however many
//! connections race. No test waits for time to pass, and what would hang is a failure.

#![cfg(feature = "tower")]

mod common;

use std::{
    collections::BTreeMap,
    convert::Infallible,
    future::{pending, ready},
    io::{Read, Write},
    net::{IpAddr, Ipv4Addr, Shutdown, SocketAddr, TcpStream},
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use axum::Router;
use axum::body::Body;
use axum::extract::{ConnectInfo, Request};
use axum::response::Response;
use axum::routing::{get, post};
use axum::serve::IncomingStream;
use common::cases::{SECOND, nanos, quota};
use common::http::{KEY, field, limiter, number};
use common::sockets::{listen, numbers, one_connection, over_sockets, settings};
use http::{HeaderMap, StatusCode, Version};
use reqwest::{Client, ClientBuilder, RequestBuilder};
use tokio::net::TcpListener;
use tokio::sync::{Barrier, mpsc};
use tokio::task::JoinSet;
use tokio_stream::wrappers::ReceiverStream;
use tollgate::tower::key::{ClientAddress, HeaderKey};
use tollgate::tower::{IetfDraft, OnMissingKey, ProblemResponse, RateLimitLayer};
use tollgate::{Quota, RateLimiter};
use tower::util::MapRequestLayer;
use tower::{Layer, service_fn};

const LOCALHOST: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// Case 43. tower's `RateLimit` admits 1,500 where 5 were allowed, as each clone counts alone.
#[test]
fn connections_that_are_kept_alive_share_the_bucket_of_a_key() {
    over_sockets(async {
        let (limiter, clock) = limiter(Quota::per_second(1).burst(10));
        let peers = Peers::default();
        let app = Router::new().route("/", get(|| async {}));
        let address = serve(peers.watch(app.layer(by_key(&limiter)))).await;
        let clients: [Client; 4] = std::array::from_fn(|_| client(one_connection()));

        let mut statuses = Vec::new();
        for _ in 0..25 {
            for client in &clients {
                let answer = ask(get_as(client, address, "alice")).await;
                assert_eq!(answer.version, Version::HTTP_11);
                statuses.push(answer.status);
            }
        }
        assert_eq!(statuses, [[200; 10].as_slice(), &[429; 90]].concat());

        clock.advance(Duration::from_secs(3));
        let mut statuses = Vec::new();
        for client in &clients {
            statuses.push(ask(get_as(client, address, "alice")).await.status);
        }
        assert_eq!(statuses, [200, 200, 200, 429]);
        // Or they were not the connections that this is about.
        assert_eq!(peers.requests(), [26; 4]);
    });
}

/// Case 43. Some servers make a service for each connection out of a layer.
#[test]
fn a_layer_that_is_put_around_a_service_for_each_connection_shares_the_bucket() {
    over_sockets(async {
        let (limiter, _clock) = limiter::<String, 1>(Quota::per_second(1).burst(10));
        let layer = by_key(&limiter);
        let app = Router::new().route("/", get(|| async {}));
        let made = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&made);
        let make = service_fn(move |_: IncomingStream<'_, TcpListener>| {
            counted.fetch_add(1, Ordering::SeqCst);
            ready(Ok::<_, Infallible>(layer.clone().layer(app.clone())))
        });
        let listener = listen().await;
        let address = listener.local_addr().unwrap();
        tokio::spawn(async { axum::serve(listener, make).await });

        let mut statuses = Vec::new();
        for _ in 0..5 {
            let client = client(one_connection());
            for _ in 0..4 {
                statuses.push(ask(get_as(&client, address, "alice")).await.status);
            }
        }
        assert_eq!(statuses, [[200; 10], [429; 10]].concat());
        assert_eq!(made.load(Ordering::SeqCst), 5);
    });
}

/// Of each, axum makes a service of its own out of the layer.
#[test]
fn the_routes_of_a_router_share_a_bucket_and_so_does_what_no_route_matches() {
    over_sockets(async {
        let (limiter, _clock) = limiter::<String, 1>(Quota::per_second(1).burst(4));
        let app = Router::new()
            .route("/first", get(|| async {}))
            .route("/second", get(|| async {}))
            .layer(by_key(&limiter));
        let address = serve(app).await;
        let client = http_1();
        let mut statuses = Vec::new();
        for path in ["first", "second", "nowhere", "first", "second", "nowhere"] {
            let request = client.get(format!("http://{address}/{path}"));
            statuses.push(ask(request.header("x-api-key", "alice")).await.status);
        }
        assert_eq!(statuses, [200, 200, 404, 200, 429, 429]);
    });
}

#[test]
fn simultaneous_requests_from_many_connections_are_admitted_exactly() {
    over_sockets(async {
        let keys = ["alice", "bob", "carol"];
        let (limiter, clock) = limiter(Quota::per_second(1).burst(7));
        let peers = Peers::default();
        let app = Router::new().route("/", get(|| async {}));
        let address = serve(peers.watch(app.layer(by_key(&limiter)))).await;
        let clients: Vec<Client> = (0..24).map(|_| client(one_connection())).collect();

        // A burst; what 2.5 s earn; and the unit of which half was earned before.
        for (wait, units) in [(0, 7), (5 * SECOND / 2, 2), (SECOND / 2, 1)] {
            clock.advance(nanos(wait));
            let asked = clients.iter().map(|client| {
                let twice = keys.into_iter().chain(keys);
                twice.map(|key| get_as(client, address, key)).collect()
            });
            let answers = at_once(asked.collect()).await;
            assert_eq!(answers.len(), 24 * 2 * keys.len());
            for key in keys {
                let expected: Vec<u64> = (0..units).collect();
                assert_eq!(left_by_admitted(&answers, key), expected, "{key}");
            }
        }
        assert_eq!(peers.requests(), [18; 24]);
    });
}

#[test]
fn concurrent_streams_of_one_http_2_connection_are_admitted_exactly() {
    over_sockets(async {
        // The handler goes on when ten are in it, so these streams really are open at once.
        let together = Arc::new(Barrier::new(10));
        let handler = move || {
            let together = Arc::clone(&together);
            async move {
                together.wait().await;
            }
        };
        let (limiter, clock) = limiter(Quota::per_second(1).burst(40));
        let peers = Peers::default();
        let app = Router::new().route("/", get(handler));
        let address = serve(peers.watch(app.layer(by_key(&limiter)))).await;
        let client = client(one_connection().http2_prior_knowledge());

        for (wait, units) in [(0, 40), (10, 10)] {
            clock.advance(Duration::from_secs(wait));
            let asked = (0..100).map(|_| vec![get_as(&client, address, "alice")]);
            let answers = at_once(asked.collect()).await;
            for answer in &answers {
                assert_eq!(answer.version, Version::HTTP_2);
            }
            let expected: Vec<u64> = (0..units).collect();
            assert_eq!(left_by_admitted(&answers, "alice"), expected);
        }
        assert_eq!(peers.requests(), [200]);
    });
}

/// They come in one packet, and are answered in their order.
#[test]
fn requests_that_do_not_wait_for_their_answers_are_each_limited() {
    over_sockets(async {
        let (limiter, _clock) = limiter::<String, 1>(Quota::per_second(1).burst(3));
        let app = Router::new().route("/", get(|| async {}));
        let address = serve(app.layer(by_key(&limiter))).await;
        let one = b"GET / HTTP/1.1\r\nhost: here\r\nx-api-key: alice\r\n\r\n".as_slice();
        let last = head("GET /", &[b"x-api-key: alice"]);
        let answers = converse(address, &[one, one, one, one, &last].concat());
        let statuses: Vec<&str> = answers
            .split("HTTP/1.1 ")
            .skip(1)
            .map(|answer| &answer[..3])
            .collect();
        assert_eq!(statuses, ["200", "200", "200", "429", "429"]);
    });
}

#[test]
fn every_response_carries_the_numbers_of_its_decision() {
    over_sockets(async {
        for client in [http_1(), http_2()] {
            let (limiter, clock) = limiter::<String, 1>(Quota::per_second(1).burst(3));
            let layer = by_key(&limiter).cost(|request| match request.path() {
                "/" => 1,
                _ => 4,
            });
            let app = Router::new().fallback(|| async { "inner" }).layer(layer);
            let address = serve(app).await;
            let ask_for = |path: &str| {
                let request = client.get(format!("http://{address}{path}"));
                ask(request.header("x-api-key", "alice"))
            };

            let first = ask_for("/").await;
            assert_eq!((first.status, &*first.text), (200, "inner"));
            assert_eq!(first.numbers(), [3, 2, 1]);
            assert!(!first.headers.contains_key("retry-after"));
            clock.advance(nanos(SECOND / 2));
            // 2.5 are there: full after 0.5 s and one for each that is spent.
            assert_eq!(ask_for("/").await.numbers(), [3, 1, 2]);
            assert_eq!(ask_for("/").await.numbers(), [3, 0, 3]);

            let refused = ask_for("/").await;
            assert_eq!(refused.status, 429);
            assert_eq!(refused.numbers(), [3, 0, 3]);
            assert_eq!(field(&refused.headers, "retry-after"), "1");
            let content_type = field(&refused.headers, "content-type");
            assert_eq!(content_type, "text/plain; charset=utf-8");
            let text = "Too Many Requests: rate limit exceeded; retry after 1 s\n";
            assert_eq!(refused.text, text);
            assert_eq!(
                number(&refused.headers, "content-length"),
                text.len() as u64
            );

            let never = ask_for("/dear").await;
            assert_eq!(never.status, 400);
            assert_eq!(never.numbers(), [3, 0, 3]);
            assert!(!never.headers.contains_key("retry-after"));
            let text = "Bad Request: a request that costs 4 exceeds the burst of 3\n";
            assert_eq!(never.text, text);
        }
    });
}

/// Case 38, and the draft's problem type.
#[test]
fn the_policies_and_the_problem_come_over_the_wire_as_they_are() {
    over_sockets(async {
        for client in [http_1(), http_2()] {
            let (limiter, _clock) = limiter([Quota::per_minute(7).burst(1), Quota::per_hour(7)]);
            let layer = RateLimitLayer::new(limiter, KEY, OnMissingKey::Allow)
                .ietf_fields(IetfDraft::Draft11)
                .respond(ProblemResponse);
            let address = serve(Router::new().route("/", get(|| async {})).layer(layer)).await;
            let first = ask(get_as(&client, address, "alice")).await;
            let second = ask(get_as(&client, address, "alice")).await;
            assert_eq!((first.status, second.status), (200, 429));
            for answer in [&first, &second] {
                let policy = field(&answer.headers, "ratelimit-policy");
                assert_eq!(policy, r#""minute";q=7;w=60, "hour";q=7;w=3600"#);
                let limit = field(&answer.headers, "ratelimit");
                assert_eq!(limit, r#""minute";r=0;t=9, "hour";r=6;t=3086"#);
            }
            assert_eq!(field(&second.headers, "retry-after"), "9");
            let content_type = field(&second.headers, "content-type");
            assert_eq!(content_type, "application/problem+json");
            let problem: serde_json::Value = serde_json::from_str(&second.text).unwrap();
            assert_eq!(problem["violated-policies"], serde_json::json!(["minute"]));
        }
    });
}

/// hyper itself cuts the content off. The length is left to the answer.
#[test]
fn a_refused_head_request_is_told_the_length_of_its_content_and_gets_none_of_it() {
    over_sockets(async {
        for settings in [one_connection(), one_connection().http2_prior_knowledge()] {
            let (limiter, _clock) = limiter(Quota::per_second(1).burst(1));
            let app = Router::new().route("/", get(|| async {}));
            let address = serve(app.layer(by_key(&limiter))).await;
            let client = client(settings);
            assert!(limiter.allow("alice"));
            let request = client.head(format!("http://{address}/"));
            let to_head = ask(request.header("x-api-key", "alice")).await;
            let to_get = ask(get_as(&client, address, "alice")).await;
            assert_eq!((to_head.status, &*to_head.text), (429, ""));
            assert_eq!(to_get.status, 429);
            let length = to_get.text.len() as u64;
            assert_eq!(number(&to_head.headers, "content-length"), length);
            assert_eq!(to_head.numbers(), to_get.numbers());
        }
    });
}

#[test]
fn a_client_that_waits_as_long_as_retry_after_says_is_let_through() {
    over_sockets(async {
        // A unit takes 42.5 s.
        let (limiter, clock) = limiter::<String, 1>(quota(2, 85 * SECOND, 1));
        let app = Router::new().route("/", get(|| async {}));
        let address = serve(app.layer(by_key(&limiter))).await;
        let client = http_1();
        let alice = || ask(get_as(&client, address, "alice"));

        assert_eq!(alice().await.status, 200);
        let refused = alice().await;
        let wait = number(&refused.headers, "retry-after");
        assert_eq!((refused.status, wait), (429, 43));
        clock.advance(Duration::from_secs(wait - 1));
        assert_eq!(number(&alice().await.headers, "retry-after"), 1);
        clock.advance(Duration::from_secs(1));
        assert_eq!(alice().await.status, 200);
    });
}

/// The second chunk is made after the first has arrived: whoever waits for it never sees either.
#[test]
fn a_streaming_response_passes_chunk_by_chunk() {
    over_sockets(async {
        for client in [http_1(), http_2()] {
            let (limiter, _clock) = limiter::<String, 1>(Quota::per_second(1).burst(3));
            let (app, mut started) = streaming();
            let address = serve(app.layer(by_key(&limiter))).await;

            let sent = get_as(&client, address, "alice").send();
            let mut response = sent.await.unwrap();
            assert_eq!(field(response.headers(), "x-ratelimit-remaining"), "2");
            let chunks = started.recv().await.unwrap();
            for chunk in ["first", "second"] {
                chunks.send(Ok(chunk)).await.unwrap();
                assert_eq!(response.chunk().await.unwrap().unwrap(), chunk);
            }
            drop(chunks);
            assert_eq!(response.text().await.unwrap(), "");
        }
    });
}

/// The second chunk is sent after the first has come back.
#[test]
fn a_streaming_request_passes_chunk_by_chunk() {
    over_sockets(async {
        let (limiter, _clock) = limiter::<String, 1>(Quota::per_second(1).burst(3));
        let echo = |request: Request| async { Response::new(request.into_body()) };
        let app = Router::new().route("/", post(echo));
        let address = serve(app.layer(by_key(&limiter))).await;

        let mut stream = TcpStream::connect(address).unwrap();
        let head = head(
            "POST /",
            &[b"x-api-key: alice", b"transfer-encoding: chunked"],
        );
        stream.write_all(&head).unwrap();
        for chunk in ["5\r\nfirst\r\n", "6\r\nsecond\r\n"] {
            stream.write_all(chunk.as_bytes()).unwrap();
            read_until(&mut stream, chunk);
        }
        stream.write_all(b"0\r\n\r\n").unwrap();
        assert!(rest(stream).ends_with("0\r\n\r\n"));
    });
}

#[test]
fn a_rejection_does_not_ask_for_a_body_that_waits_for_100_continue() {
    over_sockets(async {
        let (limiter, _clock) = limiter::<String, 1>(Quota::per_second(1).burst(1));
        let app = Router::new().route("/", post(|_body: String| async {}));
        let address = serve(app.layer(by_key(&limiter))).await;
        assert!(limiter.allow("alice"));

        let mut stream = TcpStream::connect(address).unwrap();
        let length = b"content-length: 1000000".as_slice();
        // Nor is the client asked to send it.
        let expect = b"expect: 100-continue".as_slice();
        let head = head("POST /", &[b"x-api-key: alice", length, expect]);
        stream.write_all(&head).unwrap();
        let answer = rest(stream);
        assert_eq!(status(&answer), Some(429), "{answer}");
    });
}

/// Case 39.
#[test]
fn nobody_but_a_trusted_proxy_says_whose_request_it_is() {
    over_sockets(async {
        for key in [
            peer(),
            peer()
                .x_forwarded_for(["10.0.0.0/8", "2001:db8::/32"])
                .unwrap(),
            peer().forwarded(["10.0.0.0/8", "127.0.0.2"]).unwrap(),
        ] {
            let (limiter, _clock) = limiter(Quota::per_second(1).burst(2));
            let address = serve(Router::new().layer(by_address(&limiter, key))).await;
            let client = http_1();
            let mut statuses = Vec::new();
            for invented in ["198.51.100.1", "198.51.100.2", "10.0.0.1"] {
                let request = client.get(format!("http://{address}/"));
                let request = request.header("x-forwarded-for", invented);
                let request = request.header("forwarded", format!("for={invented}"));
                statuses.push(ask(request).await.status);
            }
            assert_eq!(statuses, [404, 404, 429]);
            assert_eq!(limiter.len(), 1);
            assert_eq!(limiter.peek(&LOCALHOST).remaining(), 0);
        }
    });
}

/// Cases 39 to 41. tower_governor takes the leftmost address.
#[test]
fn a_trusted_proxy_names_the_client_at_the_right_end() {
    let cases: [(&[&str], &str); 12] = [
        (&["203.0.113.7"], "203.0.113.7"),
        (&["198.51.100.1, 203.0.113.7"], "203.0.113.7"),
        (&["198.51.100.1,203.0.113.7,10.0.0.2"], "203.0.113.7"),
        // Several lines are one list.
        (&["198.51.100.1", "203.0.113.7, 10.0.0.2"], "203.0.113.7"),
        (
            &["198.51.100.1, 203.0.113.7", "10.0.0.2", "10.0.0.3"],
            "203.0.113.7",
        ),
        // What is no address ends the walk at the proxy that wrote it.
        (&["203.0.113.7, unknown"], "127.0.0.1"),
        (&["203.0.113.7, unknown, 10.0.0.2"], "10.0.0.2"),
        (&[], "127.0.0.1"),
        // Case 40.
        (&["::ffff:203.0.113.7"], "203.0.113.7"),
        (&["203.0.113.7, ::ffff:10.0.0.2"], "203.0.113.7"),
        // Case 41.
        (&["2001:db8:1:2:3:4:5:6"], "2001:db8:1:2::"),
        (&["2001:db8:1:2::9, 10.0.0.2"], "2001:db8:1:2::"),
    ];
    over_sockets(async move {
        let (limiter, _clock) = limiter(Quota::per_second(1).burst(2));
        let key = peer().x_forwarded_for(["127.0.0.1", "10.0.0.0/8"]).unwrap();
        let address = serve(Router::new().layer(by_address(&limiter, key))).await;
        let client = http_1();
        for (lines, expected) in cases {
            let mut request = client.get(format!("http://{address}/"));
            for line in lines {
                request = request.header("x-forwarded-for", *line);
            }
            assert_eq!(
                field(&ask(request).await.headers, "x-ratelimit-remaining"),
                "1"
            );
            assert!(limiter.forget(&expected.parse().unwrap()), "{lines:?}");
            assert!(limiter.is_empty(), "{lines:?}");
        }
    });
}

/// All of 127.0.0.0/8 is this machine: to the server, these are two.
#[cfg(target_os = "linux")]
#[test]
fn of_two_peers_the_trusted_one_alone_is_believed() {
    over_sockets(async {
        let (limiter, _clock) = limiter(Quota::per_second(1).burst(2));
        let key = peer().x_forwarded_for(["127.0.0.1"]).unwrap();
        let address = serve(Router::new().layer(by_address(&limiter, key))).await;
        for (from, client) in [
            ([127, 0, 0, 1], [203, 0, 113, 7]),
            ([127, 0, 0, 2], [127, 0, 0, 2]),
        ] {
            let proxy = one_connection().local_address(IpAddr::from(from));
            let request = self::client(proxy).get(format!("http://{address}/"));
            ask(request.header("x-forwarded-for", "203.0.113.7")).await;
            assert!(limiter.forget(&IpAddr::from(client)), "{from:?}");
            assert!(limiter.is_empty(), "{from:?}");
        }
    });
}

/// Case 40. actix-governor and axum-governor have all IPv4 clients of such a socket share a bucket.
#[test]
fn a_peer_that_an_ipv6_socket_reports_as_mapped_is_the_ipv4_peer() {
    over_sockets(async {
        let Ok(listener) = TcpListener::bind("[::ffff:127.0.0.1]:0").await else {
            eprintln!("skipped: without IPv6 there is no such socket");
            return;
        };
        let (limiter, _clock) = limiter(Quota::per_second(1).burst(2));
        let key = peer().x_forwarded_for(["127.0.0.1"]).unwrap();
        let peers = Peers::default();
        let app = peers.watch(Router::new().layer(by_address(&limiter, key)));
        let address = serve_on(listener, app);
        let address = SocketAddr::new(LOCALHOST, address.port());
        let client = http_1();

        ask(client.get(format!("http://{address}/"))).await;
        assert!(peers.addresses().iter().all(SocketAddr::is_ipv6));
        assert!(limiter.forget(&LOCALHOST));
        // And it is the trusted one.
        let request = client.get(format!("http://{address}/"));
        ask(request.header("x-forwarded-for", "203.0.113.7")).await;
        assert!(limiter.forget(&IpAddr::from([203, 0, 113, 7])));
        assert!(limiter.is_empty());
    });
}

/// Cases 42 and 44.
#[test]
fn a_missing_key_falls_under_the_rule_and_garbage_for_one_is_refused_under_any() {
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

#[test]
fn a_client_that_goes_away_in_the_middle_of_a_response_has_spent_its_unit() {
    over_sockets(async {
        for client in [http_1(), http_2()] {
            let (limiter, _clock) = limiter::<String, 1>(Quota::per_second(1).burst(3));
            let (app, mut started) = streaming();
            let address = serve(app.layer(by_key(&limiter))).await;

            let mut response = get_as(&client, address, "alice").send().await.unwrap();
            let chunks = started.recv().await.unwrap();
            chunks.send(Ok("first")).await.unwrap();
            assert_eq!(response.chunk().await.unwrap().unwrap(), "first");
            drop(response);
            // The server has seen it go.
            chunks.closed().await;

            let response = get_as(&client, address, "alice").send().await.unwrap();
            assert_eq!(response.status(), 200);
            assert_eq!(field(response.headers(), "x-ratelimit-remaining"), "1");
        }
    });
}

#[test]
fn a_client_that_goes_away_before_the_response_has_spent_its_unit() {
    over_sockets(async {
        let (limiter, _clock) = limiter::<String, 1>(Quota::per_second(1).burst(3));
        let (held, mut dropped) = mpsc::channel::<()>(1);
        let held = Arc::new(Mutex::new(Some(held)));
        let (entered, mut entry) = mpsc::channel(1);
        // The first request stays in here for as long as there is someone to answer.
        let handler = move || {
            let held = held.lock().unwrap().take();
            let entered = entered.clone();
            async move {
                if held.is_some() {
                    entered.send(()).await.unwrap();
                    pending::<()>().await;
                }
            }
        };
        let address = serve(
            Router::new()
                .route("/", get(handler))
                .layer(by_key(&limiter)),
        )
        .await;

        let mut stream = TcpStream::connect(address).unwrap();
        stream
            .write_all(&head("GET /", &[b"x-api-key: alice"]))
            .unwrap();
        entry.recv().await.unwrap();
        drop(stream);
        assert_eq!(dropped.recv().await, None);

        let answer = ask(get_as(&http_1(), address, "alice")).await;
        assert_eq!((answer.status, answer.numbers()), (200, [3, 1, 2]));
    });
}

fn by_key(
    limiter: &Arc<RateLimiter<String>>,
) -> RateLimitLayer<Arc<RateLimiter<String>>, HeaderKey> {
    let no_key = OnMissingKey::Reject(StatusCode::UNAUTHORIZED);
    RateLimitLayer::new(Arc::clone(limiter), KEY, no_key)
}

/// A request without an address would be a mistake of these tests, and no server's fault.
fn by_address(
    limiter: &Arc<RateLimiter<IpAddr>>,
    key: ClientAddress,
) -> RateLimitLayer<Arc<RateLimiter<IpAddr>>, ClientAddress> {
    let no_key = OnMissingKey::Reject(StatusCode::IM_A_TEAPOT);
    RateLimitLayer::new(Arc::clone(limiter), key, no_key)
}

/// The peer, where axum leaves it.
fn peer() -> ClientAddress {
    ClientAddress::from_peer(|request| {
        let ConnectInfo(peer) = request.extensions.get::<ConnectInfo<SocketAddr>>()?;
        Some(peer.ip())
    })
}

async fn serve(app: Router) -> SocketAddr {
    serve_on(listen().await, app)
}

fn serve_on(listener: TcpListener, app: Router) -> SocketAddr {
    let address = listener.local_addr().unwrap();
    let app = app.into_make_service_with_connect_info::<SocketAddr>();
    tokio::spawn(async { axum::serve(listener, app).await });
    address
}

/// The number of requests that each peer, so each connection, has sent.
#[derive(Clone, Default)]
struct Peers(Arc<Mutex<BTreeMap<SocketAddr, usize>>>);

impl Peers {
    /// Sees what comes to `app`, and so what its layers refuse.
    fn watch(&self, app: Router) -> Router {
        let peers = Arc::clone(&self.0);
        app.layer(MapRequestLayer::new(move |request: Request| {
            let peer: &ConnectInfo<SocketAddr> = request.extensions().get().unwrap();
            *peers.lock().unwrap().entry(peer.0).or_default() += 1;
            request
        }))
    }

    fn requests(&self) -> Vec<usize> {
        self.0.lock().unwrap().values().copied().collect()
    }

    fn addresses(&self) -> Vec<SocketAddr> {
        self.0.lock().unwrap().keys().copied().collect()
    }
}

type Chunks = mpsc::Sender<Result<&'static str, Infallible>>;

/// What answers in the chunks that the test sends it, which receives whereto for each request.
fn streaming() -> (Router, mpsc::Receiver<Chunks>) {
    let (starts, started) = mpsc::channel(1);
    let handler = move || {
        let starts = starts.clone();
        async move {
            let (chunks, body) = mpsc::channel(1);
            starts.send(chunks).await.unwrap();
            Body::from_stream(ReceiverStream::new(body))
        }
    };
    (Router::new().route("/", get(handler)), started)
}

fn client(settings: ClientBuilder) -> Client {
    settings.build().unwrap()
}

fn http_1() -> Client {
    client(settings())
}

fn http_2() -> Client {
    client(settings().http2_prior_knowledge())
}

fn get_as(client: &Client, address: SocketAddr, key: &str) -> RequestBuilder {
    let request = client.get(format!("http://{address}/"));
    request.header("x-api-key", key)
}

struct Answer {
    /// What the request was limited by.
    key: Option<String>,
    status: u16,
    version: Version,
    headers: HeaderMap,
    text: String,
}

impl Answer {
    fn numbers(&self) -> [u64; 3] {
        numbers(&self.headers)
    }
}

/// Sends a request and reads all of the answer, so that the connection is free for the next.
async fn ask(request: RequestBuilder) -> Answer {
    let (client, request) = request.build_split();
    let request = request.unwrap();
    let key = request.headers().get("x-api-key");
    let key = key.map(|key| key.to_str().unwrap().to_owned());
    let response = client.execute(request).await.unwrap();
    Answer {
        key,
        status: response.status().as_u16(),
        version: response.version(),
        headers: response.headers().clone(),
        text: response.text().await.unwrap(),
    }
}

/// Sends the requests of each list one after the other, and all lists at once.
async fn at_once(lists: Vec<Vec<RequestBuilder>>) -> Vec<Answer> {
    let start = Arc::new(Barrier::new(lists.len()));
    let mut tasks = JoinSet::new();
    for requests in lists {
        let start = Arc::clone(&start);
        tasks.spawn(async move {
            start.wait().await;
            let mut answers = Vec::new();
            for request in requests {
                answers.push(ask(request).await);
            }
            answers
        });
    }
    tasks.join_all().await.into_iter().flatten().collect()
}

/// What remained after each request of `key` that was admitted, in ascending order. All others were
/// refused, with nothing left.
fn left_by_admitted(answers: &[Answer], key: &str) -> Vec<u64> {
    let mut left = Vec::new();
    for answer in answers
        .iter()
        .filter(|answer| answer.key.as_deref() == Some(key))
    {
        let [_, remaining, _] = answer.numbers();
        match answer.status {
            200 => left.push(remaining),
            status => assert_eq!((status, remaining), (429, 0)),
        }
    }
    left.sort_unstable();
    left
}

/// A request by hand, with `lines` as header, that wants its connection closed after the answer.
fn head(line: &str, lines: &[&[u8]]) -> Vec<u8> {
    let mut head = format!("{line} HTTP/1.1\r\nhost: here\r\nconnection: close\r\n").into_bytes();
    for line in lines {
        head.extend_from_slice(line);
        head.extend_from_slice(b"\r\n");
    }
    head.extend_from_slice(b"\r\n");
    head
}

/// Sends `bytes` over a connection of their own, and reads until the server closes it.
fn converse(address: SocketAddr, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.write_all(bytes).unwrap();
    rest(stream)
}

/// The same, and lets the server know that nothing more will come.
fn hang_up_after(address: SocketAddr, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    // Fails where the server has heard enough.
    _ = stream.write_all(bytes);
    _ = stream.shutdown(Shutdown::Write);
    rest(stream)
}

/// What is sent until the server closes the connection, or until it resets it.
fn rest(mut stream: TcpStream) -> String {
    let mut received = Vec::new();
    _ = stream.read_to_end(&mut received);
    String::from_utf8_lossy(&received).into_owned()
}

fn read_until(stream: &mut TcpStream, end: &str) {
    let mut received = Vec::new();
    while !received.ends_with(end.as_bytes()) {
        let mut byte = [0];
        stream.read_exact(&mut byte).unwrap();
        received.extend(byte);
    }
}

fn status(answer: &str) -> Option<u16> {
    answer.strip_prefix("HTTP/1.1 ")?.get(..3)?.parse().ok()
}
