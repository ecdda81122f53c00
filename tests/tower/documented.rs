//! The ways around a limit that its documentation names, played as a client would play them. Each
//! form that the documentation shows holds, and so do the ready-made keys.
//!
//! The old forms of the documentation stand in [`bypassed`], where the same attacks succeed.

use crate::common::http::{Inner, Limited, limiter, passed};
use axum::Router;
use axum::extract::MatchedPath;
use axum::routing::get;
use http::{HeaderValue, Method, Request, StatusCode, header};
use std::{
    collections::HashMap,
    net::{IpAddr, SocketAddr},
};
use tollgate::Quota;
use tollgate::tower::key::{
    ClientAddress, ExtensionKey, HeaderKey, KeyError, RequestKey, from_fn, try_from_fn,
};
use tollgate::tower::{Head, OnMissingKey, RateLimitLayer};
use tower::{ServiceExt, layer::util::Stack};

const REJECT: OnMissingKey = OnMissingKey::Reject(StatusCode::BAD_REQUEST);

/// The forms that the documentation had before, each with the attack that it does not withstand.
/// They are here so that the attacks are known to be real.
mod bypassed {
    use super::*;

    #[tokio::test]
    async fn a_header_or_an_anonymous_client_has_a_bucket_for_each_made_up_value() {
        let client = HeaderKey::from_static("x-api-key").or(from_fn(|_| Some("anonymous")));
        assert_eq!(passed(client, REJECT, made_up_keys()).await, 6);
    }

    #[tokio::test]
    async fn each_made_up_method_has_a_bucket() {
        let methods = from_fn(|request| Some(request.method.clone()));
        assert_eq!(passed(methods, REJECT, made_up_methods()).await, 5);
    }

    #[tokio::test]
    async fn a_path_within_a_nested_router_is_taken_for_a_public_one() {
        let is_public = |request: &Head<'_>| ["/health", "/docs"].contains(&request.path());
        let statuses = files(is_public, &["/files/health"; 3]).await;
        assert_eq!(statuses, [200, 200, 200]);
    }

    #[tokio::test]
    async fn one_address_locks_an_account_out_where_the_layers_are_the_other_way_round() {
        assert_eq!(remaining_after_30_attempts(3, 1, false).await, 0);
    }

    #[tokio::test]
    async fn one_address_locks_an_account_out_where_its_burst_is_not_below_that_of_the_account() {
        assert_eq!(remaining_after_30_attempts(9, 1, true).await, 1);
        assert_eq!(remaining_after_30_attempts(10, 1, true).await, 0);
        assert_eq!(remaining_after_30_attempts(20, 1, true).await, 0);
    }

    /// The bursts are those that hold.
    #[tokio::test]
    async fn one_address_locks_an_account_out_where_its_rate_is_above_that_of_the_account() {
        assert_eq!(remaining_after_100_hours([3, 3], [2, 10]).await, 0);
    }

    /// The account is left what its burst has more, and earns nothing for its owner.
    #[tokio::test]
    async fn one_address_takes_all_that_an_account_earns_where_their_rates_are_the_same() {
        assert_eq!(remaining_after_100_hours([2, 3], [2, 10]).await, 7);
    }

    #[tokio::test]
    async fn a_cost_of_the_length_that_is_told_is_none_for_one_that_is_not() {
        let cost = |request: &Head<'_>| {
            let length = request.headers.get(header::CONTENT_LENGTH);
            length.map_or(0, |length| length.to_str().unwrap().parse().unwrap())
        };
        assert_eq!(allowed_at_cost(cost, None).await, 100);
    }
}

const ADDRESS: [u8; 4] = [203, 0, 113, 7];

fn from_address(key: Option<&str>) -> Request<()> {
    let mut request = Request::new(());
    request
        .extensions_mut()
        .insert(SocketAddr::from((ADDRESS, 4711)));
    if let Some(key) = key {
        request
            .headers_mut()
            .insert("x-api-key", key.parse().unwrap());
    }
    request
}

/// An anonymous request, and then the same client with a made-up key for each request.
fn made_up_keys() -> Vec<Request<()>> {
    let keys = (0..5).map(|number| from_address(Some(&format!("made-up-{number}"))));
    [from_address(None)].into_iter().chain(keys).collect()
}

fn from_peer() -> ClientAddress {
    ClientAddress::from_peer(|request| Some(request.extensions.get::<SocketAddr>()?.ip()))
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Owner(&'static str);

/// Leaves the owner of a known key, and nothing for an unknown one.
fn authenticated(mut request: Request<()>) -> Request<()> {
    if request
        .headers()
        .get("x-api-key")
        .is_some_and(|key| key == "key-of-alice")
    {
        request.extensions_mut().insert(Owner("alice"));
    }
    request
}

/// The example of `RequestKey::or`.
#[tokio::test]
async fn a_made_up_key_is_the_anonymous_client_behind_authentication() {
    let client = || ExtensionKey::<Owner>::new().or(from_peer());
    let requests: Vec<_> = made_up_keys().into_iter().map(authenticated).collect();
    assert_eq!(passed(client(), REJECT, requests).await, 1);
    let known = [None, Some("key-of-alice"), Some("key-of-alice")];
    let known = known.map(|key| authenticated(from_address(key)));
    assert_eq!(passed(client(), REJECT, known.to_vec()).await, 2);
}

/// The example of `try_from_fn`.
#[tokio::test]
async fn a_made_up_key_is_the_anonymous_client_where_keys_are_looked_up() {
    #[derive(Clone, Debug, PartialEq, Eq, Hash)]
    enum Client {
        Owner(&'static str),
        Anonymous(IpAddr),
    }
    let client = || {
        let owners = HashMap::from([("key-of-alice", "alice"), ("second-key-of-alice", "alice")]);
        let (api_key, address) = (HeaderKey::from_static("x-api-key"), from_peer());
        try_from_fn(move |request| {
            let owner = match api_key.key(request) {
                Ok(sent) => owners.get(&*sent),
                Err(KeyError::Missing) => None,
                Err(why) => return Err(why),
            };
            match owner {
                Some(owner) => Ok(Client::Owner(owner)),
                None => address
                    .key(request)
                    .map(|address| Client::Anonymous(*address)),
            }
        })
    };
    assert_eq!(passed(client(), REJECT, made_up_keys()).await, 1);
    // Two keys of one owner are one client.
    let known = [None, Some("key-of-alice"), Some("second-key-of-alice")];
    assert_eq!(
        passed(client(), REJECT, known.map(from_address).to_vec()).await,
        2
    );
}

fn made_up_methods() -> Vec<Request<()>> {
    let methods = ["POST", "PUT", "GEU", "GEV", "get"];
    let methods = methods.map(|method| Method::from_bytes(method.as_bytes()).unwrap());
    let request = |method| Request::builder().method(method).body(()).unwrap();
    methods.map(request).to_vec()
}

/// The examples of `from_fn` and `RequestKey::and`.
#[tokio::test]
async fn made_up_methods_share_a_bucket() {
    let is_reading = || from_fn(|request| Some(request.method.is_safe()));
    assert_eq!(passed(is_reading(), REJECT, made_up_methods()).await, 1);
    let of_alice = made_up_methods().into_iter().map(|mut request| {
        request.extensions_mut().insert(Owner("alice"));
        request
    });
    let both = ExtensionKey::<Owner>::new().and(is_reading());
    assert_eq!(passed(both, REJECT, of_alice.collect()).await, 1);
}

/// The statuses of these paths, of a service whose files are in a nested router.
async fn files<F>(is_public: F, paths: &[&str]) -> Vec<u16>
where
    F: Fn(&Head<'_>) -> bool + Clone + Send + Sync + 'static,
{
    let (limiter, _clock) = limiter(Quota::per_hour(1));
    let layer = RateLimitLayer::new(limiter, from_fn(|_| Some(())), REJECT).exempt(is_public);
    let files = Router::new()
        .route("/{name}", get(|| async { "a file" }))
        .layer(layer.clone());
    let router = Router::new()
        .route("/health", get(|| async { "ok" }))
        .route("/docs", get(|| async { "docs" }))
        .layer(layer)
        .nest("/files", files);
    let mut statuses = Vec::new();
    for path in paths {
        let request = Request::get(*path).body(axum::body::Body::empty()).unwrap();
        let response = router.clone().oneshot(request).await.unwrap();
        statuses.push(response.status().as_u16());
    }
    statuses
}

/// The predicate of `key/choosing.md`, to the letter.
fn is_public(request: &Head<'_>) -> bool {
    let route = request.extensions.get::<MatchedPath>();
    route.is_some_and(|route| ["/health", "/docs"].contains(&route.as_str()))
}

/// Case 76.
#[tokio::test]
async fn what_is_exempt_is_what_the_router_says() {
    let paths = ["/health", "/health", "/docs", "/health?a"];
    assert_eq!(files(is_public, &paths).await, [200, 200, 200, 200]);
    // Each is another route, or none, and the first of them spends the only unit.
    for path in [
        "//health",
        "/health/",
        "/health%2f",
        "/HEALTH",
        "/%68ealth",
        "/health;a",
        "/./health",
        "/docs/../health",
    ] {
        let statuses = files(is_public, &[path, "/files/a", "/health"]).await;
        assert_eq!(statuses, [404, 429, 200], "{path}");
    }
    assert_eq!(files(is_public, &["/files/health"; 2]).await, [200, 429]);
}

/// How many of 100 requests with this `Content-Length` pass a limit of 130 units.
async fn allowed_at_cost<F>(cost: F, length: Option<&str>) -> usize
where
    F: Fn(&Head<'_>) -> u64 + Send + Sync + 'static,
{
    let (limiter, _clock) = limiter(Quota::per_hour(130));
    let layer = RateLimitLayer::new(limiter, from_fn(|_| Some(())), REJECT).cost(cost);
    let service = Inner::default().behind(&layer);
    let statuses = service.statuses(100, || {
        let mut request = Request::post("/").body(String::new()).unwrap();
        if let Some(length) = length {
            let length = HeaderValue::from_str(length).unwrap();
            request.headers_mut().insert(header::CONTENT_LENGTH, length);
        }
        request
    });
    statuses
        .await
        .iter()
        .filter(|status| **status == 200)
        .count()
}

/// The cost of `key/choosing.md`, to the letter.
fn cost(request: &Head<'_>) -> u64 {
    const LONGEST: u64 = 64;
    let length = request.headers.get(header::CONTENT_LENGTH);
    // `Transfer-Encoding` overrides the length. Not every server removes it.
    let length = length.filter(|_| !request.headers.contains_key(header::TRANSFER_ENCODING));
    let length = length.and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
    1 + length.map_or(LONGEST, |bytes| bytes.div_ceil(1024))
}

#[tokio::test]
async fn a_length_that_is_not_told_costs_the_longest_body_and_no_cost_is_0() {
    for (length, allowed) in [
        (None, 2),
        (Some("garbage"), 2),
        (Some("-1"), 2),
        (Some("99999999999999999999999"), 2),
        (Some("18446744073709551615"), 0),
        (Some("65536"), 2),
        (Some("1"), 65),
    ] {
        assert_eq!(allowed_at_cost(cost, length).await, allowed, "{length:?}");
    }
    assert_eq!(allowed_at_cost(cost, Some("0")).await, 100);
    let upload = Request::post("/")
        .header("content-length", "0")
        .body(())
        .unwrap();
    assert_eq!(cost(&Head::from(&upload)), 1);
}

#[test]
fn a_chunked_body_costs_the_longest_one_whatever_length_is_told() {
    for coding in ["chunked", "gzip, chunked", "identity"] {
        let upload = Request::post("/")
            .header("content-length", "1")
            .header("transfer-encoding", coding)
            .body(())
            .unwrap();
        assert_eq!(cost(&Head::from(&upload)), 65, "{coding}");
    }
}

/// The addresses of the examples: the proxies alone are trusted, and not their neighbours.
#[tokio::test]
async fn a_neighbour_of_the_proxies_is_not_believed() {
    let address = from_peer()
        .x_forwarded_for(["10.0.0.2", "10.0.0.3"])
        .unwrap();
    let requests = |peer: [u8; 4]| {
        let request = move |number: u8| {
            let made_up = format!("198.51.100.{number}, 203.0.113.7");
            let request = Request::builder().header("x-forwarded-for", made_up);
            let mut request = request.body(()).unwrap();
            request
                .extensions_mut()
                .insert(SocketAddr::from((peer, 4711)));
            request
        };
        (0..5).map(request).collect::<Vec<_>>()
    };
    for (peer, client) in [([10, 0, 0, 2], ADDRESS), ([10, 0, 0, 4], [10, 0, 0, 4])] {
        for request in requests(peer) {
            let key = address.key(&Head::from(&request)).unwrap().into_owned();
            assert_eq!(key, IpAddr::from(client));
        }
        assert_eq!(passed(address.clone(), REJECT, requests(peer)).await, 1);
    }
}

/// Returns what `addresses` leave of an account's ten attempts an hour. Each may make
/// `per_address` attempts an hour, and makes 30.
async fn remaining_after_30_attempts(
    per_address: u64,
    addresses: u8,
    address_is_outer: bool,
) -> u64 {
    let (by_address, _clock) = limiter(Quota::per_hour(per_address));
    let (by_account, _clock) = limiter::<Owner, 1>(Quota::per_hour(10));
    let address = RateLimitLayer::new(by_address, from_peer(), REJECT);
    let account = RateLimitLayer::new(by_account.clone(), ExtensionKey::<Owner>::new(), REJECT);
    for number in 0..addresses {
        let sign_in = || sign_in_from(number);
        let inner = Inner::default();
        if address_is_outer {
            let layers = Stack::new(account.clone(), address.clone());
            inner.behind(&layers).statuses(30, sign_in).await
        } else {
            let layers = Stack::new(address.clone(), account.clone());
            inner.behind(&layers).statuses(30, sign_in).await
        };
    }
    by_account.peek(&Owner("alice")).remaining()
}

/// Returns what one address leaves of an account's attempts after 100 hours, in each of which it
/// makes 30. Both limits are a rate an hour and a burst.
async fn remaining_after_100_hours(address: [u64; 2], account: [u64; 2]) -> u64 {
    let quota = |[rate, burst]: [u64; 2]| Quota::per_hour(rate).burst(burst);
    let (by_address, address_clock) = limiter(quota(address));
    let (by_account, account_clock) = limiter::<Owner, 1>(quota(account));
    let address = RateLimitLayer::new(by_address, from_peer(), REJECT);
    let account = RateLimitLayer::new(by_account.clone(), ExtensionKey::<Owner>::new(), REJECT);
    let service = Inner::default().behind(&Stack::new(account, address));
    for _ in 0..100 {
        for clock in [&address_clock, &account_clock] {
            clock.advance(std::time::Duration::from_secs(3600));
        }
        service.statuses(30, || sign_in_from(0)).await;
    }
    by_account.peek(&Owner("alice")).remaining()
}

fn sign_in_from(number: u8) -> Request<String> {
    let mut request = from_address(None).map(|()| String::new());
    let peer = SocketAddr::from(([203, 0, 113, number], 4711));
    request.extensions_mut().insert(peer);
    request.extensions_mut().insert(Owner("alice"));
    request
}

/// The advice on sign-in: by address outside and smaller, by the account inside.
#[tokio::test]
async fn one_address_with_the_smaller_limit_cannot_lock_an_account_out() {
    assert_eq!(remaining_after_30_attempts(3, 1, true).await, 7);
    // The account is full again each hour: it earns more than the address takes.
    assert_eq!(remaining_after_100_hours([1, 3], [2, 10]).await, 9);
}

/// The risk that the advice names.
#[tokio::test]
async fn several_addresses_together_can_lock_an_account_out() {
    assert_eq!(remaining_after_30_attempts(3, 3, true).await, 1);
    assert_eq!(remaining_after_30_attempts(3, 4, true).await, 0);
}
