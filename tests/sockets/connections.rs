//! Connections of axum's server and the buckets that they share.
//!
//! The time of every limiter stands still unless a test moves it, so counts are exact however many
//! connections race.

use super::exchange::*;
use crate::common::cases::{SECOND, nanos};
use crate::common::http::limiter;
use crate::common::sockets::{listen, one_connection, over_sockets};
use axum::Router;
use axum::routing::get;
use axum::serve::IncomingStream;
use http::Version;
use reqwest::{Client, RequestBuilder};
use std::{
    convert::Infallible,
    future::ready,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};
use tokio::net::TcpListener;
use tokio::sync::Barrier;
use tokio::task::JoinSet;
use tollgate::Quota;
use tower::{Layer, service_fn};

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
/// rejected, with nothing left.
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
