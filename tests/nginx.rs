//! Rejected uploads behind a real nginx, which takes a failed upload for a failed upstream.
//!
//! `.ci/run nginx` installs nginx and runs this.

#![cfg(feature = "tower")]

mod common;
#[path = "common/nginx.rs"]
mod nginx;

use std::{collections::BTreeMap, net::SocketAddr, sync::Arc};

use axum::Router;
use axum::body::Bytes;
use axum::extract::DefaultBodyLimit;
use axum::routing::post;
use common::http::{KEY, limiter};
#[cfg(unix)]
use common::programs::{Program, with_programs};
use common::sockets::{listen, over_sockets};
use http::StatusCode;
use nginx::{Nginx, Proxying};
use reqwest::Client;
use tollgate::tower::key::HeaderKey;
use tollgate::tower::{OnMissingKey, RateLimitLayer};
use tollgate::{Quota, RateLimiter};

const WAYS: [Proxying; 3] = [Proxying::Default, Proxying::Unbuffered, Proxying::Keepalive];

/// How many requests had which status.
type Statuses = BTreeMap<u16, usize>;

#[test]
#[ignore = "needs nginx: .ci/run nginx"]
fn two_hundred_rejected_uploads_of_each_length_become_no_502() {
    for proxying in WAYS {
        for (length, uploads) in [(50_000, 200), (1_000_000, 200), (8_000_000, 200)] {
            over_sockets(async move {
                let [alice, others] = statuses(proxying, |layer| layer, length, uploads).await;
                let expected = Statuses::from([(429, uploads)]);
                assert_eq!(alice, expected, "{proxying:?}, {length} bytes");
                let expected = Statuses::from([(200, uploads)]);
                assert_eq!(
                    others, expected,
                    "{proxying:?}, {length} bytes, other users"
                );
            });
        }
    }
}

/// Or the test above could not fail.
#[test]
#[ignore = "needs nginx: .ci/run nginx"]
fn without_draining_rejected_uploads_become_502_and_other_users_are_rejected() {
    for proxying in WAYS {
        over_sockets(async move {
            let undrained = RateLimitLayer::without_draining;
            let [alice, others] = statuses(proxying, undrained, 8_000_000, 40).await;
            let failed = |statuses: &Statuses| statuses.get(&502).copied().unwrap_or(0);
            assert!(failed(&alice) > 0, "{proxying:?}: {alice:?}");
            assert!(failed(&others) > 0, "{proxying:?}: {others:?}");
        });
    }
}

/// The example services answer 401 and 413 before any limit is asked.
#[cfg(unix)]
#[test]
#[ignore = "needs nginx: .ci/run nginx"]
fn uploads_that_an_example_service_rejects_without_a_limit_become_no_502() {
    for proxying in WAYS {
        for (uploader, length, expected) in [
            ("stranger", 50_000, 401),
            ("stranger", 1_000_000, 413),
            ("key-of-bob", 1_000_000, 413),
            ("stranger", 8_000_000, 413),
        ] {
            with_programs(async move {
                let upstreams = [example_upstream().await, example_upstream().await];
                let addresses = upstreams.each_ref();
                let addresses = addresses.map(|program| program.address().parse().unwrap());
                let nginx = Nginx::start(proxying, &addresses);
                let url = format!("http://{}/api/v1/check", nginx.address);
                let users = (0..40).map(|_| "key-of-alice".to_owned());
                let [uploads, others] = statuses_of(&url, uploader, users, length).await;
                let what = format!("{proxying:?}, {uploader}, {length} bytes");
                assert_eq!(uploads, Statuses::from([(expected, 40)]), "{what}");
                assert_eq!(others, Statuses::from([(200, 40)]), "{what}, other users");
            });
        }
    }
}

/// An example service with a limit that no user reaches.
#[cfg(unix)]
async fn example_upstream() -> Program {
    let variable = ("HANDOFFKIT_API_BURST".to_owned(), "1000000".into());
    Program::start("handoff_api", [variable].into()).await
}

/// Alice is over her limit and sends `uploads` of `length` bytes to two upstreams, and after each
/// another user sends a request that passes. Returns the statuses of both.
async fn statuses(
    proxying: Proxying,
    set: impl Fn(
        RateLimitLayer<Arc<RateLimiter<String>>, HeaderKey>,
    ) -> RateLimitLayer<Arc<RateLimiter<String>>, HeaderKey>,
    length: usize,
    uploads: usize,
) -> [Statuses; 2] {
    let upstreams = [upstream(&set).await, upstream(&set).await];
    let nginx = Nginx::start(proxying, &upstreams);
    let url = format!("http://{}/", nginx.address);
    let users = (0..uploads).map(|number| format!("user-{number}"));
    statuses_of(&url, "alice", users, length).await
}

/// The client with the key `uploader` sends an upload of `length` bytes before the request of each
/// of `users`. Returns the statuses of both.
async fn statuses_of(
    url: &str,
    uploader: &str,
    users: impl Iterator<Item = String>,
    length: usize,
) -> [Statuses; 2] {
    let client = Client::builder().no_proxy().retry(reqwest::retry::never());
    let client = client.build().unwrap();
    let upload = Bytes::from(vec![b'x'; length]);
    let mut statuses = [Statuses::new(), Statuses::new()];
    for user in users {
        let requests = [
            (uploader.to_owned(), upload.clone()),
            (user, Bytes::from_static(b"a note")),
        ];
        for (statuses, (key, body)) in statuses.iter_mut().zip(requests) {
            let request = client.post(url);
            let request = request.header("x-api-key", key).body(body);
            // A connection that nginx cuts counts as 0.
            let status = match request.send().await {
                Ok(response) => response.status().as_u16(),
                Err(_) => 0,
            };
            *statuses.entry(status).or_default() += 1;
        }
    }
    statuses
}

/// A service that rejects alice, and reads what others send.
async fn upstream(
    set: impl Fn(
        RateLimitLayer<Arc<RateLimiter<String>>, HeaderKey>,
    ) -> RateLimitLayer<Arc<RateLimiter<String>>, HeaderKey>,
) -> SocketAddr {
    let (limiter, _clock) = limiter::<String, 1>(Quota::per_day(1));
    assert!(limiter.allow("alice"));
    let no_key = OnMissingKey::Reject(StatusCode::UNAUTHORIZED);
    let app = Router::new()
        .route("/", post(|_body: Bytes| async {}))
        .layer(DefaultBodyLimit::disable())
        .layer(set(RateLimitLayer::new(limiter, KEY, no_key)));
    let listener = listen().await;
    let address = listener.local_addr().unwrap();
    tokio::spawn(async { axum::serve(listener, app).await });
    address
}
