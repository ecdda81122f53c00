//! What the layer does with a request: it limits, exempts, charges, and calls the inner service.

use crate::common::http::{
    Inner, InnerService, KEY, Limited, field, limiter, number, request, request_of,
};
use http::{Method, Request, Response, StatusCode};
use std::{
    convert::Infallible,
    future::{Future, Ready, pending, ready},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, Waker},
    time::Duration,
};
use tollgate::tower::{
    JsonResponse, OnMissingKey, RateLimit, RateLimitFuture, RateLimitLayer, RequestBody,
    TextResponse, key,
};
use tollgate::{Decision, Quota, RateLimiter};
use tower::{Layer, Service, ServiceExt, service_fn};
use tower_test::mock;

const REJECT: OnMissingKey = OnMissingKey::Reject(StatusCode::UNAUTHORIZED);

#[tokio::test]
async fn what_the_quota_allows_passes_and_the_rest_is_rejected_unseen() {
    let inner = Inner::default();
    let (limiter, clock) = limiter(Quota::per_minute(60).burst(2));
    let service = inner.behind(&RateLimitLayer::new(limiter, KEY, REJECT));
    let statuses = service.statuses(4, || request_of("alice")).await;
    assert_eq!(statuses, [200, 200, 429, 429]);
    assert_eq!(inner.calls(), 2);
    // Another key has a bucket of its own, and time fills alice's.
    assert_eq!(service.send(request_of("bob")).await.status(), 200);
    clock.advance(Duration::from_secs(1));
    let statuses = service.statuses(2, || request_of("alice")).await;
    assert_eq!(statuses, [200, 429]);
}

/// Case 43. tower's own RateLimit counts in each clone: 1,500 admitted at 5 a second.
#[tokio::test]
async fn all_that_one_layer_and_its_clones_make_share_one_limiter() {
    let inner = Inner::default();
    let (limiter, _clock) = limiter(Quota::per_minute(3));
    let layer = RateLimitLayer::new(limiter, KEY, REJECT);
    let services = [
        inner.behind(&layer),
        inner.behind(&layer),
        inner.behind(&layer.clone()),
        inner.behind(&layer).clone(),
    ];
    let mut admitted = 0;
    for service in services.iter().cycle().take(12) {
        admitted += u64::from(service.send(request_of("alice")).await.status() == 200);
    }
    assert_eq!((admitted, inner.calls()), (3, 3));
}

#[tokio::test]
async fn several_layers_may_share_a_limiter() {
    let (limiter, _clock) = limiter(Quota::per_minute(2));
    let plain = Inner::default().behind(&RateLimitLayer::new(limiter.clone(), KEY, REJECT));
    let streaming =
        Inner::default().behind(&RateLimitLayer::new(limiter, KEY, REJECT).respond(JsonResponse));
    assert_eq!(plain.send(request_of("alice")).await.status(), 200);
    assert_eq!(streaming.send(request_of("alice")).await.status(), 200);
    assert_eq!(plain.send(request_of("alice")).await.status(), 429);
    assert_eq!(streaming.send(request_of("alice")).await.status(), 429);
}

/// Case 42. tower_governor answers 500 where a key is missing.
#[tokio::test]
async fn a_request_without_a_key_follows_the_rule() {
    let inner = Inner::default();
    let (passing, _clock) = limiter(Quota::per_minute(1));
    let layer = RateLimitLayer::new(passing.clone(), KEY, OnMissingKey::Allow);
    let service = inner.behind(&layer);
    for _ in 0..3 {
        let response = service.send(request("/")).await;
        assert_eq!(response.status(), 200);
        assert!(!response.headers().contains_key("x-ratelimit-limit"));
    }
    assert!(passing.is_empty());

    for status in [StatusCode::UNAUTHORIZED, StatusCode::BAD_REQUEST] {
        let (refusing, _clock) = limiter(Quota::per_minute(1));
        let layer = RateLimitLayer::new(refusing.clone(), KEY, OnMissingKey::Reject(status));
        let response = inner.behind(&layer).send(request("/")).await;
        assert_eq!(response.status(), status);
        assert!(
            response
                .body()
                .ends_with(": missing rate-limit key \"x-api-key\"\n")
        );
        for name in ["retry-after", "x-ratelimit-limit", "x-ratelimit-remaining"] {
            assert!(!response.headers().contains_key(name), "{name}");
        }
        assert!(refusing.is_empty());
    }
    assert_eq!(inner.calls(), 3);

    let (others, _clock) = limiter(Quota::per_minute(1));
    let (strangers, clock) = limiter(Quota::per_minute(60).burst(2));
    let layer = RateLimitLayer::new(others, KEY, OnMissingKey::Share(strangers));
    let service = inner.behind(&layer);
    assert_eq!(service.statuses(3, || request("/")).await, [200, 200, 429]);
    assert_eq!(service.send(request_of("alice")).await.status(), 200);
    clock.advance(Duration::from_secs(1));
    let response = service.send(request("/")).await;
    assert_eq!(response.status(), 200);
    assert_eq!(number(response.headers(), "x-ratelimit-limit"), 2);
}

#[tokio::test]
async fn what_is_exempt_is_neither_limited_nor_stored_nor_marked() {
    let inner = Inner::default();
    let (limiter, _clock) = limiter(Quota::per_minute(1));
    let layer = RateLimitLayer::new(limiter.clone(), KEY, REJECT)
        .exempt(|request| ["/health", "/docs"].contains(&request.path()))
        .exempt(|request| request.method == Method::OPTIONS);
    let service = inner.behind(&layer);
    for _ in 0..3 {
        for path in ["/health", "/docs", "/health?verbose"] {
            let mut exempt = request_of("alice");
            *exempt.uri_mut() = path.parse().unwrap();
            let response = service.send(exempt).await;
            assert_eq!(response.status(), 200);
            assert!(!response.headers().contains_key("x-ratelimit-limit"));
        }
        let mut exempt = request("/turns");
        *exempt.method_mut() = Method::OPTIONS;
        assert_eq!(service.send(exempt).await.status(), 200);
    }
    assert!(limiter.is_empty());
    // Neither a longer path nor another method.
    assert_eq!(service.send(request("/healthy")).await.status(), 401);
    assert_eq!(
        service.statuses(2, || request_of("alice")).await,
        [200, 429]
    );
}

#[tokio::test]
async fn a_request_costs_what_the_function_says() {
    let (limiter, _clock) = limiter(Quota::per_minute(10));
    let layer = RateLimitLayer::new(limiter, KEY, REJECT).cost(|request| {
        let cost = request.headers.get("cost");
        cost.map_or(1, |cost| cost.to_str().unwrap().parse().unwrap())
    });
    let service = Inner::default().behind(&layer);
    let costing = |cost: &str| {
        let mut request = request_of("alice");
        request.headers_mut().insert("cost", cost.parse().unwrap());
        request
    };
    let remaining =
        |response: &Response<String>| number(response.headers(), "x-ratelimit-remaining");

    let response = service.send(costing("7")).await;
    assert_eq!((response.status().as_u16(), remaining(&response)), (200, 3));
    let response = service.send(costing("4")).await;
    assert_eq!((response.status().as_u16(), remaining(&response)), (429, 3));
    assert_eq!(field(response.headers(), "retry-after"), "6");
    let response = service.send(costing("0")).await;
    assert_eq!((response.status().as_u16(), remaining(&response)), (200, 3));
    let response = service.send(request_of("alice")).await;
    assert_eq!((response.status().as_u16(), remaining(&response)), (200, 2));

    // A request that can never pass has another status than one that may pass later.
    for cost in ["11", "18446744073709551615"] {
        let response = service.send(costing(cost)).await;
        assert_eq!((response.status().as_u16(), remaining(&response)), (400, 2));
        assert!(!response.headers().contains_key("retry-after"));
        let text = format!("Bad Request: a request that costs {cost} exceeds the burst of 10\n");
        assert_eq!(*response.body(), text);
    }
}

#[tokio::test]
async fn the_inner_service_sees_the_decision_if_that_is_asked_for() {
    let seen = service_fn(|request: Request<String>| async move {
        let decision = request.extensions().get::<Decision<2>>();
        let text = decision.map_or("none".to_owned(), |decision| {
            decision.remaining().to_string()
        });
        Ok::<_, Infallible>(Response::new(text))
    });
    let (limiter, _clock) = limiter([Quota::per_minute(10), Quota::per_hour(3)]);
    let layer = RateLimitLayer::new(limiter, KEY, OnMissingKey::Allow);
    let response = layer.layer(seen).send(request_of("alice")).await;
    assert_eq!(response.body(), "none");
    let showing = layer.insert_decision().layer(seen);
    assert_eq!(showing.send(request_of("alice")).await.body(), "1");
    assert_eq!(showing.send(request("/")).await.body(), "none");
}

#[derive(Debug, PartialEq)]
struct Broken(&'static str);

#[tokio::test]
async fn the_error_of_the_inner_service_comes_out_as_it_is() {
    let (limiter, _clock) = limiter(Quota::per_minute(2));
    let broken = service_fn(|_: Request<String>| ready(Err::<Response<String>, _>(Broken("down"))));
    let layer = RateLimitLayer::new(limiter.clone(), KEY, REJECT);
    let service = layer.layer(broken);
    // The type is the inner one too, or this would not compile.
    let error: Broken = service
        .clone()
        .oneshot(request_of("alice"))
        .await
        .unwrap_err();
    assert_eq!(error, Broken("down"));
    // What was spent stays spent, and a rejection is no error.
    assert_eq!(limiter.peek("alice").remaining(), 1);
    _ = service.clone().oneshot(request_of("alice")).await;
    let rejected = service.oneshot(request_of("alice")).await.unwrap();
    assert_eq!(rejected.status(), 429);
}

#[tokio::test]
async fn readiness_is_the_inner_services() {
    let (limiter, _clock) = limiter(Quota::per_minute(2));
    let layer = RateLimitLayer::new(limiter.clone(), KEY, REJECT);
    let (service, mut handle) = mock::pair::<Request<String>, Response<String>>();
    let mut service = layer.layer(service);
    let mut context = Context::from_waker(Waker::noop());

    handle.allow(0);
    assert!(service.poll_ready(&mut context).is_pending());
    assert!(limiter.is_empty());
    handle.allow(1);
    assert!(matches!(
        service.poll_ready(&mut context),
        Poll::Ready(Ok(()))
    ));
    handle.send_error("broken");
    let Poll::Ready(Err(error)) = service.poll_ready(&mut context) else {
        panic!("an error of the inner service is one of the layer");
    };
    assert_eq!(error.to_string(), "broken");
}

/// Ready once polled, and called only then; a clone has to be polled itself, as tower says.
#[derive(Default)]
struct Polled(bool);

impl Clone for Polled {
    fn clone(&self) -> Polled {
        Polled(false)
    }
}

impl Service<Request<String>> for Polled {
    type Response = Response<String>;
    type Error = Infallible;
    type Future = Ready<Result<Response<String>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.0 = true;
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Request<String>) -> Self::Future {
        assert!(self.0, "called, but another was polled");
        self.0 = false;
        ready(Ok(Response::new(String::new())))
    }
}

/// Case 43. axum-governor calls a clone that was never polled.
#[tokio::test]
async fn the_service_that_was_polled_is_the_one_that_is_called() {
    let (limiter, _clock) = limiter(Quota::per_minute(3));
    let layer = RateLimitLayer::new(limiter, KEY, OnMissingKey::Allow);
    let mut service = layer.layer(Polled::default());
    for request in [request_of("alice"), request("/"), request_of("alice")] {
        let response = service.ready().await.unwrap().call(request).await.unwrap();
        assert_eq!(response.status(), 200);
    }
}

#[tokio::test]
async fn a_panic_of_the_inner_service_spoils_nothing() {
    let (limiter, _clock) = limiter(Quota::per_minute(3));
    let layer = RateLimitLayer::new(limiter.clone(), KEY, REJECT);
    let panics_at_once = service_fn(
        |_: Request<String>| -> Ready<Result<Response<String>, Infallible>> { panic!("at once") },
    );
    let panics_later = service_fn(|_: Request<String>| async {
        if true {
            panic!("later");
        }
        Ok::<_, Infallible>(Response::new(String::new()))
    });
    let at_once = tokio::spawn(layer.layer(panics_at_once).oneshot(request_of("alice")));
    assert!(at_once.await.unwrap_err().is_panic());
    let later = tokio::spawn(layer.layer(panics_later).oneshot(request_of("alice")));
    assert!(later.await.unwrap_err().is_panic());
    // Each spent its unit, and the layer goes on.
    let service = Inner::default().behind(&layer);
    assert_eq!(
        service.statuses(2, || request_of("alice")).await,
        [200, 429]
    );
}

/// Says when it is dropped.
struct Guard(Arc<AtomicBool>);

impl Drop for Guard {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

#[tokio::test]
async fn a_request_that_is_dropped_half_way_drops_the_inner_one_and_keeps_its_cost() {
    let (limiter, _clock) = limiter(Quota::per_minute(2));
    let layer = RateLimitLayer::new(limiter.clone(), KEY, REJECT);
    let dropped = Arc::new(AtomicBool::new(false));
    let guard = dropped.clone();
    let stuck = service_fn(move |_: Request<String>| {
        let guard = Guard(guard.clone());
        async move {
            let _guard = guard;
            pending::<Result<Response<String>, Infallible>>().await
        }
    });
    let mut response = Box::pin(layer.layer(stuck).oneshot(request_of("alice")));
    let mut context = Context::from_waker(Waker::noop());
    assert!(response.as_mut().poll(&mut context).is_pending());
    assert!(!dropped.load(Ordering::SeqCst));
    drop(response);
    assert!(dropped.load(Ordering::SeqCst));
    assert_eq!(limiter.peek("alice").remaining(), 1);
    let service = Inner::default().behind(&layer);
    assert_eq!(
        service.statuses(2, || request_of("alice")).await,
        [200, 429]
    );
}

/// A body that can be made from a text and otherwise not be looked at.
#[derive(Debug, PartialEq)]
enum Opaque {
    Stream(u64),
    Text(String),
}

impl RequestBody for Opaque {}

impl From<String> for Opaque {
    fn from(text: String) -> Opaque {
        Opaque::Text(text)
    }
}

#[tokio::test]
async fn a_response_goes_out_as_it_is_but_for_the_fields() {
    let inner = service_fn(|request: Request<Opaque>| async move {
        // The request came through with all that it had.
        assert_eq!(*request.body(), Opaque::Stream(1));
        assert_eq!(request.headers()["x-api-key"], "alice");
        let response = Response::builder().status(207).header("x-inner", "kept");
        Ok::<_, Infallible>(response.body(Opaque::Stream(2)).unwrap())
    });
    let (limiter, _clock) = limiter(Quota::per_minute(1));
    let service = RateLimitLayer::new(limiter, KEY, REJECT).layer(inner);
    let request = || request_of("alice").map(|_| Opaque::Stream(1));
    let response = service.clone().oneshot(request()).await.unwrap();
    assert_eq!(response.status(), 207);
    assert_eq!(response.headers().len(), 4);
    assert_eq!(field(response.headers(), "x-inner"), "kept");
    assert_eq!(*response.body(), Opaque::Stream(2));
    let rejected = service.oneshot(request()).await.unwrap();
    assert!(matches!(rejected.body(), Opaque::Text(text) if text.contains("rate limit exceeded")));
}

/// Case 45, the debug output of a layer, and what a response may print of a rejection.
#[tokio::test]
async fn no_form_of_a_layer_shows_a_key() {
    let (limiter, _clock) = limiter(Quota::per_minute(1));
    let (shared, _clock) = crate::common::http::limiter(Quota::per_minute(1));
    let layer = RateLimitLayer::new(limiter, KEY, OnMissingKey::Share(shared))
        .respond_with(|rejection| Response::new(format!("{rejection:?} {rejection}")));
    let inner =
        service_fn(|_: Request<String>| ready(Ok::<_, Infallible>(Response::new(String::new()))));
    let service = layer.layer(inner);
    _ = service.clone().oneshot(request_of("secret")).await;
    let denied = service
        .clone()
        .oneshot(request_of("secret"))
        .await
        .unwrap()
        .into_body();
    assert!(denied.contains("rate limit exceeded"), "{denied}");
    let mut doubled = request_of("secret");
    doubled
        .headers_mut()
        .append("x-api-key", "secret".parse().unwrap());
    let malformed = service.oneshot(doubled).await.unwrap().into_body();
    assert!(malformed.contains("invalid rate-limit key"), "{malformed}");
    let shown = format!(
        "{:?} {layer:?}",
        OnMissingKey::Share(crate::common::http::limiter(Quota::per_minute(1)).0)
    );
    for text in [denied, malformed, shown] {
        assert!(!text.contains("secret"), "{text}");
    }
}

#[test]
fn everything_crosses_threads() {
    fn crosses<T: Send + Sync + Unpin + 'static>() {}
    type ByKey = Arc<RateLimiter<String>>;
    type ByAddress = Arc<RateLimiter<std::net::IpAddr, 2>>;
    crosses::<RateLimitLayer<ByKey, key::HeaderKey>>();
    crosses::<RateLimitLayer<ByAddress, key::ClientAddress, JsonResponse>>();
    crosses::<RateLimit<Mutex<()>, ByKey, key::HeaderKey>>();
    crosses::<RateLimitFuture<InnerService, ByKey, key::HeaderKey, TextResponse, String>>();
    crosses::<OnMissingKey<2>>();
    crosses::<tollgate::tower::InvalidSetting>();
}
