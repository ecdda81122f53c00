//! Keys of requests: headers, extensions, closures and their combinations.

use crate::common::http::{Inner, KEY, Limited, limiter, request, request_of};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, StatusCode};
use std::borrow::Cow;
use tollgate::tower::key::{
    Either, ExtensionKey, HeaderKey, KeyError, RequestKey, from_fn, try_from_fn,
};
use tollgate::tower::{Head, OnMissingKey, RateLimitLayer};
use tollgate::{Quota, RateLimiter};

pub type Stored<K> = <<K as RequestKey>::Key as ToOwned>::Owned;

/// The key of a request, as the limiter stores it.
pub fn found<K: RequestKey, B>(key: &K, request: &Request<B>) -> Result<Stored<K>, KeyError> {
    key.key(&Head::from(request)).map(Cow::into_owned)
}

/// The key of a request, where that is absent otherwise.
pub fn key<K: RequestKey, B>(key: &K, request: &Request<B>) -> Option<Stored<K>> {
    match found(key, request) {
        Ok(key) => Some(key),
        Err(KeyError::Missing) => None,
        Err(why) => panic!("{why:?}"),
    }
}

pub fn with_header(name: &str, values: &[&[u8]]) -> Request<String> {
    let mut request = request("/");
    for value in values {
        let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
        let value = HeaderValue::from_bytes(value).unwrap();
        request.headers_mut().append(name, value);
    }
    request
}

/// Case 44.
#[test]
fn a_header_is_a_key_only_if_there_is_no_doubt_about_it() {
    let key_of = |values: &[&[u8]]| found(&KEY, &with_header("x-api-key", values));
    let is = |key: &str| Ok(key.to_owned());
    assert_eq!(key_of(&[b"alice"]), is("alice"));
    assert_eq!(key_of(&["größe".as_bytes()]), is("größe"));
    assert_eq!(key_of(&[b"a b, c"]), is("a b, c"));
    // HTTP/1 servers cut spaces off, those of HTTP/2 do not: it is one key all the same.
    for spaced in [&b" alice"[..], b"alice ", b"\talice\t "] {
        assert_eq!(key_of(&[spaced]), is("alice"));
    }
    assert_eq!(key_of(&[]), Err(KeyError::Missing));
    assert_eq!(key_of(&[b""]), Err(KeyError::Malformed));
    assert_eq!(key_of(&[b" "]), Err(KeyError::Malformed));
    assert_eq!(key_of(&[b"\xff\xfe"]), Err(KeyError::Malformed));
    // The service behind might go by another of them.
    assert_eq!(key_of(&[b"alice", b"bob"]), Err(KeyError::Malformed));
    assert_eq!(key_of(&[b"alice", b"alice"]), Err(KeyError::Malformed));
    // Or a stranger could fill the table with long ones.
    assert_eq!(key_of(&[&[b'a'; 256]]), is(&"a".repeat(256)));
    let too_long = |max_len| Err(KeyError::TooLong { max_len });
    assert_eq!(key_of(&[&[b'a'; 257]]), too_long(256));
    let short = HeaderKey::from_static("x-api-key").max_len(5);
    assert_eq!(found(&short, &request_of("alice")), is("alice"));
    assert_eq!(found(&short, &request_of("alicia")), too_long(5));
    let named = HeaderKey::from(HeaderName::from_static("x-other"));
    assert_eq!(found(&named, &with_header("X-Other", &[b"7"])), is("7"));
    let long = with_header("x-other", &[&[b'a'; 257]]);
    assert_eq!(found(&named, &long), too_long(256));
}

/// Case 47. What is borrowed is looked up as it is: only a key that is stored is copied.
#[test]
fn a_header_and_an_extension_are_asked_for_without_a_copy() {
    let request = request_of("alice");
    let key = KEY.key(&Head::from(&request));
    assert!(matches!(key, Ok(Cow::Borrowed("alice"))));
    let request = request_with("of a user".to_owned());
    let key = ExtensionKey::<String>::new();
    assert!(matches!(
        key.key(&Head::from(&request)),
        Ok(Cow::Borrowed(_))
    ));
}

/// A client that sends a malformed key must not lose its limit, nor get another one.
#[tokio::test]
async fn a_malformed_key_is_refused_whatever_becomes_of_those_without_one() {
    let spoilt = || with_header("x-api-key", &[b"alice", b"x"]);
    let (strangers, _clock) = limiter(Quota::per_minute(100));
    for (rule, status, of_the_absent) in [
        (OnMissingKey::Allow, 400, 200),
        (OnMissingKey::Share(strangers.clone()), 400, 200),
        (OnMissingKey::Reject(StatusCode::FORBIDDEN), 403, 403),
    ] {
        let inner = Inner::default();
        let (limiter, _clock) = limiter(Quota::per_minute(1));
        let layer = RateLimitLayer::new(limiter.clone(), KEY, rule);
        let response = inner.behind(&layer).send(spoilt()).await;
        assert_eq!(response.status(), status);
        assert!(
            response.body().contains("invalid rate-limit key"),
            "{}",
            response.body()
        );
        assert_eq!(inner.calls(), 0);
        assert!(limiter.is_empty());
        let response = inner.behind(&layer).send(request("/")).await;
        assert_eq!(response.status(), of_the_absent);
    }
    assert_eq!(strangers.peek(&()).remaining(), 99);

    let anybody = from_fn(|_| Some(()));
    assert_eq!(found(&KEY.or(anybody), &spoilt()), Err(KeyError::Malformed));
    assert_eq!(
        found(&KEY.or(anybody).or(anybody), &spoilt()),
        Err(KeyError::Malformed)
    );
    let absent = from_fn(|_| None::<()>);
    assert_eq!(found(&KEY.and(absent), &spoilt()), Err(KeyError::Malformed));
    assert_eq!(found(&absent.and(KEY), &spoilt()), Err(KeyError::Malformed));
    assert_eq!(
        found(&absent.and(KEY), &request_of("alice")),
        Err(KeyError::Missing)
    );
    assert_eq!(
        found(&KEY.and(anybody), &request("/")),
        Err(KeyError::Missing)
    );
    assert_eq!(found(&absent.or(KEY), &spoilt()), Err(KeyError::Malformed));
}

#[tokio::test]
async fn a_key_may_be_chosen_when_the_service_starts() {
    for (is_other, statuses) in [(true, [400, 400]), (false, [200, 429])] {
        let key: Box<dyn RequestKey<Key = str> + Send + Sync> = if is_other {
            Box::new(HeaderKey::from_static("x-other"))
        } else {
            Box::new(KEY)
        };
        let (limiter, _clock) = limiter(Quota::per_minute(1));
        let layer =
            RateLimitLayer::new(limiter, key, OnMissingKey::Reject(StatusCode::BAD_REQUEST));
        let service = Inner::default().behind(&layer);
        assert_eq!(service.statuses(2, || request_of("alice")).await, statuses);
    }
}

#[test]
fn a_closure_may_say_why_it_finds_nothing() {
    let number = try_from_fn(|request| {
        let header = request.headers.get("x-api-key").ok_or(KeyError::Missing)?;
        let text = header.to_str().map_err(|_| KeyError::Malformed)?;
        text.parse::<u64>().map_err(|_| KeyError::Malformed)
    });
    assert_eq!(found(&number, &request_of("7")), Ok(7));
    assert_eq!(
        found(&number, &request_of("seven")),
        Err(KeyError::Malformed)
    );
    assert_eq!(found(&number, &request("/")), Err(KeyError::Missing));
    let anybody = from_fn(|_| Some(()));
    assert_eq!(
        found(&number.or(anybody), &request_of("seven")),
        Err(KeyError::Malformed)
    );
}

/// Case 44, through the layer: garbage is answered by the rule, and nothing of it is stored.
#[tokio::test]
async fn garbage_is_refused_and_leaves_nothing_behind() {
    let (limiter, _clock) = limiter(Quota::per_minute(1));
    let layer = RateLimitLayer::new(
        limiter.clone(),
        KEY,
        OnMissingKey::Reject(StatusCode::BAD_REQUEST),
    );
    let service = Inner::default().behind(&layer);
    let huge = vec![b'k'; 1 << 20];
    for garbage in [&b"\x80"[..], b"\xed\xa0\x80", b"", &huge] {
        let mut request = with_header("x-api-key", &[garbage]);
        *request.method_mut() = Method::from_bytes(b"GARBAGE!").unwrap();
        *request.uri_mut() = "*".parse().unwrap();
        assert_eq!(service.send(request).await.status(), 400);
    }
    assert!(limiter.is_empty());
    let mut request = request_of("alice");
    *request.method_mut() = Method::from_bytes(b"GARBAGE!").unwrap();
    assert_eq!(service.send(request).await.status(), 200);
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct UserId(u64);

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Tier(u8);

fn request_with<T: Clone + Send + Sync + 'static>(extension: T) -> Request<String> {
    let mut request = request("/");
    request.extensions_mut().insert(extension);
    request
}

#[test]
fn an_extension_is_found_by_its_type() {
    assert_eq!(
        key(&ExtensionKey::<UserId>::new(), &request_with(UserId(7))),
        Some(UserId(7))
    );
    assert_eq!(
        key(&ExtensionKey::<UserId>::new(), &request_with(Tier(7))),
        None
    );
    assert_eq!(key(&ExtensionKey::<UserId>::default(), &request("/")), None);
    assert_eq!(
        format!("{:?}", ExtensionKey::<u64>::new()),
        "ExtensionKey<u64>"
    );
}

#[test]
fn a_closure_may_combine_parts_of_the_request() {
    let host_and_path = from_fn(|request| {
        let host = request.headers.get("host")?.to_str().ok()?;
        Some((host.to_owned(), request.path().to_owned()))
    });
    let hosted = Request::get("/a?b")
        .header("host", "example.com")
        .body(())
        .unwrap();
    let expected = ("example.com".to_owned(), "/a".to_owned());
    assert_eq!(key(&host_and_path, &hosted), Some(expected));
    assert_eq!(key(&host_and_path, &request("/a")), None);
}

#[test]
fn keys_combine() {
    let both = ExtensionKey::<UserId>::new().and(ExtensionKey::<Tier>::new());
    let mut request = request_with(UserId(7));
    assert_eq!(key(&both, &request), None);
    request.extensions_mut().insert(Tier(1));
    assert_eq!(key(&both, &request), Some((UserId(7), Tier(1))));

    let either = ExtensionKey::<UserId>::new().or(KEY);
    assert_eq!(
        key(&either, &request_with(UserId(7))),
        Some(Either::First(UserId(7)))
    );
    assert_eq!(
        key(&either, &request_of("alice")),
        Some(Either::Second("alice".to_owned()))
    );
    assert_eq!(key(&either, &crate::common::http::request("/")), None);
    // One is never taken for the other.
    let same = from_fn(|_| Some(1)).or(from_fn(|_| Some(1)));
    assert_ne!(
        key(&same, &crate::common::http::request("/")),
        Some(Either::Second(1))
    );
    // And they nest.
    let nested = both.or(either);
    assert_eq!(
        key(&nested, &request_of("alice")),
        Some(Either::Second(Either::Second("alice".to_owned())))
    );
}

#[tokio::test]
async fn combined_keys_limit_each_pair_alone() {
    let (limiter, _clock) = limiter(Quota::per_minute(1));
    let by = KEY.and(from_fn(|request| Some(request.method.clone())));
    let layer = RateLimitLayer::new(limiter, by, OnMissingKey::Allow);
    let service = Inner::default().behind(&layer);
    let posted = || {
        let mut request = request_of("alice");
        *request.method_mut() = Method::POST;
        request
    };
    assert_eq!(
        service.statuses(2, || request_of("alice")).await,
        [200, 429]
    );
    assert_eq!(service.statuses(2, posted).await, [200, 429]);
    assert_eq!(service.statuses(2, || request_of("bob")).await, [200, 429]);
}

#[should_panic(expected = "HeaderName::from_static with invalid bytes")]
#[test]
fn an_invalid_header_name_panics_when_it_is_set() {
    _ = HeaderKey::from_static("X-Upper");
}

/// What is stored is what a limiter without a layer would store.
#[tokio::test]
async fn the_limiter_can_be_asked_beside_the_layer() {
    let limiter = std::sync::Arc::new(RateLimiter::<String>::new(Quota::per_hour(2)));
    let layer = RateLimitLayer::new(limiter.clone(), KEY, OnMissingKey::Allow);
    let service = Inner::default().behind(&layer);
    assert_eq!(service.send(request_of("alice")).await.status(), 200);
    assert!(limiter.allow("alice"));
    assert_eq!(service.send(request_of("alice")).await.status(), 429);
    assert!(limiter.forget("alice"));
    assert_eq!(service.send(request_of("alice")).await.status(), 200);
}

#[test]
fn a_head_is_the_request_without_its_body() {
    let mut request = Request::post("/a/%62?c")
        .version(http::Version::HTTP_2)
        .body("body")
        .unwrap();
    request
        .headers_mut()
        .insert("x", HeaderValue::from_static("y"));
    request.extensions_mut().insert(7_u8);
    let head = Head::from(&request);
    assert_eq!((head.method, head.path()), (&Method::POST, "/a/%62"));
    assert_eq!(
        (head.uri.query(), head.version),
        (Some("c"), http::Version::HTTP_2)
    );
    let headers: &HeaderMap = head.headers;
    assert_eq!(
        (headers["x"].as_bytes(), head.extensions.get()),
        (&b"y"[..], Some(&7_u8))
    );
}

/// Case 78.
#[tokio::test]
async fn a_key_that_is_too_long_says_so_and_is_rejected_whatever_the_rule() {
    let strangers = std::sync::Arc::new(RateLimiter::new(Quota::per_hour(100)));
    for (no_key, status) in [
        (OnMissingKey::Allow, 400),
        (OnMissingKey::Share(strangers.clone()), 400),
        (OnMissingKey::Reject(StatusCode::FORBIDDEN), 403),
    ] {
        let (limiter, _clock) = limiter::<String, 1>(Quota::per_hour(1));
        let key = HeaderKey::from_static("x-api-key").max_len(36);
        let layer = RateLimitLayer::new(limiter.clone(), key, no_key);
        let service = Inner::default().behind(&layer);
        let response = service.send(request_of(&"a".repeat(37))).await;
        assert_eq!(response.status(), status);
        let reason = response.status().canonical_reason().unwrap();
        let why = r#"rate-limit key "x-api-key" is longer than 36 bytes"#;
        assert_eq!(*response.body(), format!("{reason}: {why}\n"));
        assert!(limiter.is_empty());
    }
    assert_eq!(strangers.peek(&()).remaining(), 100);

    // Nor does another key stand in for it.
    let long = request_of(&"a".repeat(257));
    let key = HeaderKey::from_static("x-api-key");
    let too_long = Err(KeyError::TooLong { max_len: 256 });
    let head = Head::from(&long);
    assert_eq!(key.clone().or(from_fn(|_| Some(()))).key(&head), too_long);
    let absent = from_fn(|_| None::<u8>);
    assert_eq!(
        key.clone().and(absent).key(&head).err(),
        Some(KeyError::TooLong { max_len: 256 })
    );
    assert_eq!(
        absent.and(key).key(&head).err(),
        Some(KeyError::TooLong { max_len: 256 })
    );
}
