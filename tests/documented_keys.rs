//! The ways around a limit that its documentation names, played as a client would play them: each
//! form that the documentation shows holds, and so do the ready-made keys.
//!
//! The old forms of the documentation stand in [`bypassed`], where the same attacks succeed.

#![cfg(feature = "tower")]

mod common;

use std::{
    borrow::Cow,
    collections::HashMap,
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use axum::Router;
use axum::extract::MatchedPath;
use axum::routing::get;
use common::http::{Inner, Limited, limiter};
use http::{HeaderValue, Method, Request, StatusCode, header};
use tollgate::tower::key::{
    ClientAddress, Extension, Header, HostName, Keyless, RequestKey, from_fn, try_from_fn,
};
use tollgate::tower::{Head, NoKey, RateLimitLayer};
use tollgate::{Quota, RateLimiter};
use tower::{ServiceExt, layer::util::Stack};

const REFUSE: NoKey = NoKey::Refuse(StatusCode::BAD_REQUEST);

/// How many of these requests pass a limit of one request an hour for each key.
async fn passed<K>(key: K, no_key: NoKey, requests: Vec<Request<()>>) -> usize
where
    K: RequestKey<Key: ToOwned<Owned: Send + Sync + 'static>> + Send + Sync + 'static,
{
    let (limiter, _clock) = limiter(Quota::per_hour(1));
    let service = Inner::default().behind(&RateLimitLayer::new(limiter, key, no_key));
    let mut passed = 0;
    for request in requests {
        passed += usize::from(service.send(request).await.status() == StatusCode::OK);
    }
    passed
}

/// The forms that the documentation had before, each with the attack that it does not withstand.
/// They are here so that the attacks are known to be real.
mod bypassed {
    use super::*;

    #[tokio::test]
    async fn the_host_header_alone_is_no_key_on_http_2_and_has_many_spellings() {
        let host = || Header::from(header::HOST);
        let http2 = (0..5).map(|_| to_target("https://acme.example.com/"));
        assert_eq!(passed(host(), NoKey::LetThrough, http2.collect()).await, 5);
        let spellings = SPELLINGS.map(to_host).to_vec();
        assert_eq!(passed(host(), REFUSE, spellings).await, SPELLINGS.len());
    }

    #[tokio::test]
    async fn a_header_or_an_anonymous_client_has_a_bucket_for_each_made_up_value() {
        let client = Header::from_static("x-api-key").or(from_fn(|_| Some("anonymous")));
        assert_eq!(passed(client, REFUSE, made_up_keys()).await, 6);
    }

    #[tokio::test]
    async fn each_made_up_method_has_a_bucket() {
        let methods = from_fn(|request| Some(request.method.clone()));
        assert_eq!(passed(methods, REFUSE, made_up_methods()).await, 5);
    }

    #[tokio::test]
    async fn a_path_within_a_nested_router_is_taken_for_a_public_one() {
        let is_public = |request: &Head<'_>| ["/health", "/docs"].contains(&request.path());
        let statuses = files(is_public, &["/files/health"; 3]).await;
        assert_eq!(statuses, [200, 200, 200]);
    }

    #[tokio::test]
    async fn one_address_locks_an_account_out_where_the_layers_are_the_other_way_round() {
        assert_eq!(remaining_after_30_attempts(false).await, 0);
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

// ---- Hosts.

/// One host, in spellings that all reach it.
const SPELLINGS: [&str; 6] = [
    "acme.example.com",
    "ACME.example.com",
    "acme.example.com.",
    "acme.example.com:443",
    "aCmE.Example.COM.:443",
    "acme.example.com:",
];

/// A request whose target has a host, as those of HTTP/2 have.
fn to_target(target: &str) -> Request<()> {
    Request::get(target).body(()).unwrap()
}

/// A request whose host is in the header.
fn to_host(host: &str) -> Request<()> {
    let mut request = Request::new(());
    let host = HeaderValue::from_bytes(host.as_bytes()).unwrap();
    request.headers_mut().insert(header::HOST, host);
    request
}

fn host_of(request: &Request<()>) -> Result<String, Keyless> {
    let head = Head::from(request);
    HostName::new().key(&head).map(Cow::into_owned)
}

#[tokio::test]
async fn a_host_has_one_bucket_in_all_spellings_and_versions() {
    let in_header = SPELLINGS.map(to_host);
    let in_target = SPELLINGS.map(|host| to_target(&format!("https://{host}/")));
    let requests: Vec<_> = in_header.into_iter().chain(in_target).collect();
    for request in &requests {
        assert_eq!(host_of(request), Ok("acme.example.com".to_owned()));
    }
    assert_eq!(passed(HostName::new(), REFUSE, requests).await, 1);
}

#[test]
fn a_host_that_is_written_as_an_address_has_one_spelling() {
    for (host, expected) in [
        ("[::1]", "[::1]"),
        ("[0:0::1]:8080", "[::1]"),
        ("[2001:DB8::A]:", "[2001:db8::a]"),
        ("[::ffff:192.0.2.1]", "192.0.2.1"),
        ("192.0.2.1:80", "192.0.2.1"),
        (" \tlocalhost\t ", "localhost"),
        ("xn--bcher-kva.example", "xn--bcher-kva.example"),
        ("_dmarc.example.com", "_dmarc.example.com"),
    ] {
        assert_eq!(host_of(&to_host(host)), Ok(expected.to_owned()), "{host:?}");
    }
}

#[tokio::test]
async fn a_host_that_is_malformed_is_rejected_and_never_absent() {
    let malformed = [
        "",
        " ",
        ".",
        "..",
        ".acme.example.com",
        "acme..example.com",
        "acme.example.com..",
        "acme@example.com",
        "acme:secret@example.com:80",
        "acme%2eexample.com",
        "acme.example.com:http",
        "acme.example.com:123456",
        "acme.example.com:80:80",
        "acme.example.com,acme.example.com",
        "acme.example.com acme.example.com",
        "acme.example.com/",
        "http://acme.example.com",
        "b\u{fc}cher.example",
        "::1",
        "[::1",
        "[::1]80",
        "[::1%eth0]",
        "[192.0.2.1]",
        "[]",
    ];
    for host in malformed {
        assert_eq!(host_of(&to_host(host)), Err(Keyless::Malformed), "{host:?}");
    }
    let no_text = HeaderValue::from_bytes(b"acme\xff.example.com").unwrap();
    let mut request = Request::new(());
    request.headers_mut().insert(header::HOST, no_text);
    assert_eq!(host_of(&request), Err(Keyless::Malformed));
    let userinfo = to_target("https://me@acme.example.com/");
    assert_eq!(host_of(&userinfo), Err(Keyless::Malformed));

    let requests = malformed.map(to_host).to_vec();
    assert_eq!(
        passed(HostName::new(), NoKey::LetThrough, requests).await,
        0
    );
    assert_eq!(host_of(&Request::new(())), Err(Keyless::Absent));
}

/// The layer and the service behind it must mean the same host.
#[test]
fn a_request_that_names_two_hosts_is_rejected() {
    let mut request = to_target("https://acme.example.com/");
    for (host, expected) in [
        ("acme.example.com", Ok("acme.example.com".to_owned())),
        ("ACME.example.com:443", Ok("acme.example.com".to_owned())),
        ("other.example.com", Err(Keyless::Malformed)),
        ("", Err(Keyless::Malformed)),
    ] {
        let value = HeaderValue::from_str(host).unwrap();
        request.headers_mut().insert(header::HOST, value);
        assert_eq!(host_of(&request), expected, "{host:?}");
    }
    let mut twice = to_host("acme.example.com");
    let again = HeaderValue::from_static("acme.example.com");
    twice.headers_mut().append(header::HOST, again);
    assert_eq!(host_of(&twice), Err(Keyless::Malformed));
}

#[test]
fn a_host_is_bounded_by_what_a_name_can_be() {
    let longest = format!("{}.{}", "a".repeat(126), "b".repeat(126));
    assert_eq!(longest.len(), 253);
    let dotted = format!("{longest}.:443");
    assert_eq!(host_of(&to_host(&dotted)), Ok(longest.clone()));
    let too_long = Err(Keyless::TooLong { max_len: 253 });
    assert_eq!(host_of(&to_host(&format!("{longest}c"))), too_long);
    assert_eq!(host_of(&to_host(&"a.".repeat(4_000))), too_long);
}

#[test]
fn a_host_is_copied_only_if_its_spelling_changes() {
    let request = to_host("acme.example.com.:443");
    let head = Head::from(&request);
    assert!(matches!(
        HostName::new().key(&head),
        Ok(Cow::Borrowed("acme.example.com"))
    ));
}

/// The example of `RequestKey`.
#[tokio::test]
async fn a_made_up_host_has_no_bucket_where_hosts_are_looked_up() {
    let known = HashMap::from([("acme.example.com", 7)]);
    let tenants = try_from_fn(move |request| {
        let host = HostName::new().key(request)?;
        known.get(&*host).copied().ok_or(Keyless::Malformed)
    });
    let mut requests = SPELLINGS.map(to_host).to_vec();
    requests.extend((0..5).map(|number| to_host(&format!("acme{number}.example.com"))));
    requests.push(Request::new(()));
    assert_eq!(passed(tenants, REFUSE, requests).await, 1);
}

// ---- A key, or an anonymous client.

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

fn of_peer() -> ClientAddress {
    ClientAddress::of_peer(|request| Some(request.extensions.get::<SocketAddr>()?.ip()))
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
    let client = || Extension::<Owner>::new().or(of_peer());
    let requests: Vec<_> = made_up_keys().into_iter().map(authenticated).collect();
    assert_eq!(passed(client(), REFUSE, requests).await, 1);
    let known = [None, Some("key-of-alice"), Some("key-of-alice")];
    let known = known.map(|key| authenticated(from_address(key)));
    assert_eq!(passed(client(), REFUSE, known.to_vec()).await, 2);
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
        let (api_key, address) = (Header::from_static("x-api-key"), of_peer());
        try_from_fn(move |request| {
            let owner = match api_key.key(request) {
                Ok(sent) => owners.get(&*sent),
                Err(Keyless::Absent) => None,
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
    assert_eq!(passed(client(), REFUSE, made_up_keys()).await, 1);
    // Two keys of one owner are one client.
    let known = [None, Some("key-of-alice"), Some("second-key-of-alice")];
    assert_eq!(
        passed(client(), REFUSE, known.map(from_address).to_vec()).await,
        2
    );
}

// ---- Methods.

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
    assert_eq!(passed(is_reading(), REFUSE, made_up_methods()).await, 1);
    let of_alice = made_up_methods().into_iter().map(|mut request| {
        request.extensions_mut().insert(Owner("alice"));
        request
    });
    let both = Extension::<Owner>::new().and(is_reading());
    assert_eq!(passed(both, REFUSE, of_alice.collect()).await, 1);
}

// ---- Exemptions and costs.

/// The statuses of these paths, of a service whose files are in a nested router.
async fn files<F>(is_public: F, paths: &[&str]) -> Vec<u16>
where
    F: Fn(&Head<'_>) -> bool + Clone + Send + Sync + 'static,
{
    let (limiter, _clock) = limiter(Quota::per_hour(1));
    let layer = RateLimitLayer::new(limiter, from_fn(|_| Some(())), REFUSE).exempt(is_public);
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
    let layer = RateLimitLayer::new(limiter, from_fn(|_| Some(())), REFUSE).cost(cost);
    let service = Inner::default().behind(&layer);
    let statuses = service.statuses(100, || {
        let mut request = Request::post("/").body(()).unwrap();
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

// ---- Addresses.

/// The addresses of the examples: the proxies alone are trusted, and not their neighbours.
#[tokio::test]
async fn a_neighbour_of_the_proxies_is_not_believed() {
    let address = of_peer().x_forwarded_for(["10.0.0.2", "10.0.0.3"]).unwrap();
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
        assert_eq!(passed(address.clone(), REFUSE, requests(peer)).await, 1);
    }
}

/// What one address leaves of an account's ten attempts, if it has three an hour and makes 30.
async fn remaining_after_30_attempts(address_is_outer: bool) -> u64 {
    let (by_address, _clock) = limiter(Quota::per_hour(3));
    let (by_account, _clock) = limiter::<Owner, 1>(Quota::per_hour(10));
    let address = RateLimitLayer::new(by_address, of_peer(), REFUSE);
    let account = RateLimitLayer::new(by_account.clone(), Extension::<Owner>::new(), REFUSE);
    let sign_in = || {
        let mut request = from_address(None);
        request.extensions_mut().insert(Owner("alice"));
        request
    };
    let inner = Inner::default();
    let statuses = if address_is_outer {
        let layers = Stack::new(account, address);
        inner.behind(&layers).statuses(30, sign_in).await
    } else {
        let layers = Stack::new(address, account);
        inner.behind(&layers).statuses(30, sign_in).await
    };
    assert_eq!(statuses[..4], [200, 200, 200, 429]);
    by_account.peek(&Owner("alice")).remaining()
}

/// The advice on sign-in: by address outside, by the account inside.
#[tokio::test]
async fn one_address_cannot_lock_an_account_out() {
    assert_eq!(remaining_after_30_attempts(true).await, 7);
}

// ---- What a rejection says.

/// Case 78.
#[tokio::test]
async fn a_key_that_is_too_long_says_so_and_is_rejected_whatever_the_rule() {
    let strangers = Arc::new(RateLimiter::new(Quota::per_hour(100)));
    for (no_key, status) in [
        (NoKey::LetThrough, 400),
        (NoKey::Share(strangers.clone()), 400),
        (NoKey::Refuse(StatusCode::FORBIDDEN), 403),
    ] {
        let (limiter, _clock) = limiter::<String, 1>(Quota::per_hour(1));
        let key = Header::from_static("x-api-key").max_len(36);
        let layer = RateLimitLayer::new(limiter.clone(), key, no_key);
        let service = Inner::default().behind(&layer);
        let response = service.send(from_address(Some(&"a".repeat(37)))).await;
        assert_eq!(response.status(), status);
        let reason = response.status().canonical_reason().unwrap();
        let why = "what the request would be rate limited by is longer than 36 bytes";
        assert_eq!(*response.body(), format!("{reason}: {why}\n"));
        assert!(limiter.is_empty());
    }
    assert_eq!(strangers.peek(&()).remaining(), 100);

    // Nor does another key stand in for it.
    let long = from_address(Some(&"a".repeat(257)));
    let key = Header::from_static("x-api-key");
    let too_long = Err(Keyless::TooLong { max_len: 256 });
    let head = Head::from(&long);
    assert_eq!(key.clone().or(of_peer()).key(&head), too_long);
    let absent = from_fn(|_| None::<u8>);
    assert_eq!(
        key.clone().and(absent).key(&head).err(),
        Some(Keyless::TooLong { max_len: 256 })
    );
    assert_eq!(
        absent.and(key).key(&head).err(),
        Some(Keyless::TooLong { max_len: 256 })
    );
}
