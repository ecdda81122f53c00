//! A limiter whose decisions come later, as from a store that several nodes share: the layer keeps
//! every promise that it keeps with a limiter in memory, and a failed store is no denial.

use std::{
    convert::Infallible,
    fmt,
    future::{Future, poll_fn, ready},
    pin::Pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use http::{Request, Response, StatusCode};
use tollgate::limit::{Checked, Fallback, Limit};
use tollgate::tower::key::HeaderKey;
use tollgate::tower::{
    GrpcResponse, JsonResponse, OnMissingKey, OnStoreError, ProblemResponse, RateLimitLayer,
    Rejection,
};
use tollgate::{Decision, Quota, RateLimiter};
use tower::{Layer, Service, ServiceExt};

use crate::common::http::{
    Inner, KEY, Limited, Strict, field, limiter, number, request, request_of,
};

/// A limiter behind a store. It answers at the third poll, and fails while `is_down`.
#[derive(Clone)]
struct Store {
    limiter: Arc<RateLimiter<String>>,
    is_down: Arc<AtomicBool>,
    /// Units that a decision was made on.
    spent: Arc<AtomicU64>,
    /// What it makes of a request while it is down.
    fallback: Option<Fallback>,
}

/// Why the store fails.
#[derive(Debug)]
struct Down;

impl fmt::Display for Down {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("connection rejected")
    }
}

type Later = Pin<Box<dyn Future<Output = Result<Decision, Down>> + Send>>;

impl Limit<str> for Store {
    type Decision = Decision;
    type Error = Down;
    type Future = Later;

    fn quotas(&self) -> Vec<Quota> {
        self.limiter.policy().quotas().to_vec()
    }

    fn decide(&self, key: &str, n: u64) -> Checked<Decision, Later> {
        let (store, key) = (self.clone(), key.to_owned());
        Checked::Later(Box::pin(async move {
            let mut polls = 0;
            poll_fn(|context| {
                polls += 1;
                context.waker().wake_by_ref();
                if polls < 3 {
                    Poll::Pending
                } else {
                    Poll::Ready(())
                }
            })
            .await;
            if store.is_down.load(Ordering::SeqCst) {
                return Err(Down);
            }
            store.spent.fetch_add(n, Ordering::SeqCst);
            Ok(store.limiter.check_n(key.as_str(), n))
        }))
    }

    fn fallback(&self, _: &Down) -> Option<Fallback> {
        self.fallback
    }
}

fn store(quota: Quota) -> (Store, tollgate::ManualClock) {
    let (limiter, clock) = limiter(quota);
    let store = Store {
        limiter,
        is_down: Arc::default(),
        spent: Arc::default(),
        fallback: None,
    };
    (store, clock)
}

/// A store that is down, and says what becomes of requests.
fn failed_store(fallback: Fallback) -> Store {
    let (mut store, _clock) = store(Quota::per_minute(60).burst(3));
    store.is_down.store(true, Ordering::SeqCst);
    store.fallback = Some(fallback);
    store
}

const REJECT: Fallback = Fallback::Reject { retry_after: None };

/// 1.2 s, which is 2 s in the response.
const REJECT_FOR_A_TIME: Fallback = Fallback::Reject {
    retry_after: Some(Duration::from_millis(1_200)),
};

fn layer(store: &Store) -> RateLimitLayer<Store, HeaderKey> {
    RateLimitLayer::new(
        store.clone(),
        KEY,
        OnMissingKey::Reject(StatusCode::UNAUTHORIZED),
    )
}

#[tokio::test]
async fn a_decision_that_comes_later_passes_and_rejects_as_one_at_once() {
    let (store, _clock) = store(Quota::per_minute(60).burst(3));
    let inner = Inner::default();
    let later = inner.behind(&layer(&store).respond(JsonResponse).cost(|request| {
        request
            .headers
            .get("cost")
            .map_or(1, |_| number(request.headers, "cost"))
    }));
    let (direct, _clock) = limiter(Quota::per_minute(60).burst(3));
    let rule = OnMissingKey::Reject(StatusCode::UNAUTHORIZED);
    let layer = RateLimitLayer::new(direct, KEY, rule)
        .respond(JsonResponse)
        .cost(|request| {
            request
                .headers
                .get("cost")
                .map_or(1, |_| number(request.headers, "cost"))
        });
    let at_once = Inner::default().behind(&layer);
    for cost in [1, 1, 4, 1, 1, 2] {
        let request = || {
            let mut request = request_of("alice");
            request.headers_mut().insert("cost", cost.into());
            request
        };
        let (later, at_once) = (later.send(request()).await, at_once.send(request()).await);
        assert_eq!(later.status(), at_once.status());
        assert_eq!(later.headers(), at_once.headers());
        assert_eq!(later.body(), at_once.body());
    }
    assert_eq!(inner.calls(), 3);
}

/// An exempt request and one without a usable key do not reach the store.
#[tokio::test]
async fn what_needs_no_decision_asks_no_store() {
    let (store, _clock) = store(Quota::per_minute(60).burst(3));
    let inner = Inner::default();
    let service = inner.behind(&layer(&store).exempt(|request| request.path() == "/health"));
    assert_eq!(service.send(request("/health")).await.status(), 200);
    assert_eq!(service.send(request("/")).await.status(), 401);
    let mut doubled = request_of("alice");
    doubled
        .headers_mut()
        .append("x-api-key", "bob".parse().unwrap());
    assert_eq!(service.send(doubled).await.status(), 401);
    assert_eq!((store.spent.load(Ordering::SeqCst), inner.calls()), (0, 1));
}

/// Not a 429, and not a pass: by default 503, and the inner service is not called.
#[tokio::test]
async fn a_failed_store_is_neither_a_denial_nor_a_pass() {
    let (store, _clock) = store(Quota::per_minute(60).burst(3));
    store.is_down.store(true, Ordering::SeqCst);
    let inner = Inner::default();
    let response = inner.behind(&layer(&store)).send(request_of("alice")).await;
    assert_eq!(response.status(), 503);
    assert_eq!(
        response.body(),
        "Service Unavailable: rate limit store unavailable\n"
    );
    for name in ["retry-after", "x-ratelimit-limit", "x-ratelimit-remaining"] {
        assert!(!response.headers().contains_key(name), "{name}");
    }
    let json = layer(&store).respond(JsonResponse);
    let response = inner.behind(&json).send(request_of("alice")).await;
    assert_eq!(
        response.body(),
        r#"{"detail":"rate limit store unavailable"}"#
    );
    let grpc = layer(&store).respond(GrpcResponse);
    let response = inner.behind(&grpc).send(request_of("alice")).await;
    assert_eq!(response.status(), 200);
    assert_eq!(field(response.headers(), "grpc-status"), "14");
    assert_eq!(inner.calls(), 0);

    // The store is back.
    store.is_down.store(false, Ordering::SeqCst);
    let response = inner.behind(&layer(&store)).send(request_of("alice")).await;
    assert_eq!(response.status(), 200);
}

/// Only if the service says so, and then without fields that no decision stands behind.
#[tokio::test]
async fn a_failed_store_passes_requests_if_it_is_set_to() {
    let (store, _clock) = store(Quota::per_minute(60).burst(3));
    store.is_down.store(true, Ordering::SeqCst);
    let inner = Inner::default();
    let service = inner.behind(&layer(&store).on_store_error(OnStoreError::Allow));
    let response = service.send(request_of("alice")).await;
    assert_eq!((response.status().as_u16(), inner.calls()), (200, 1));
    assert!(!response.headers().contains_key("x-ratelimit-limit"));
}

/// Checks that a response is one of a failed store: it passed or was rejected, with no field about limits but
/// `Retry-After`, if given.
#[track_caller]
fn is_without_decision(response: &Response<String>, status: u16, retry_after: Option<&str>) {
    assert_eq!(response.status(), status);
    let found = response.headers().get("retry-after");
    assert_eq!(found.map(|value| value.to_str().unwrap()), retry_after);
    let body = match (status, retry_after) {
        (200, _) => "inner".to_owned(),
        (_, None) => r#"{"detail":"rate limit store unavailable"}"#.to_owned(),
        (_, Some(seconds)) => format!(
            r#"{{"detail":"rate limit store unavailable","retry_after_seconds":{seconds}}}"#
        ),
    };
    assert_eq!(*response.body(), body);
    assert!(!response.headers().contains_key("x-ratelimit-limit"));
}

/// Also if the layer has the limiter behind a pointer.
#[tokio::test]
async fn a_limiter_says_what_becomes_of_a_request_that_it_could_not_decide() {
    for (fallback, status, retry_after) in [
        (Fallback::Allow, 200, None),
        (REJECT, 503, None),
        (REJECT_FOR_A_TIME, 503, Some("2")),
    ] {
        let store = failed_store(fallback);
        let inner = Inner::default();
        let plain = inner.behind(&layer(&store).respond(JsonResponse));
        is_without_decision(&plain.send(request_of("alice")).await, status, retry_after);
        macro_rules! check {
            ($limiter:expr) => {
                let layer = RateLimitLayer::new($limiter, KEY, OnMissingKey::Allow);
                let service = inner.behind(&layer.respond(JsonResponse));
                let response = service.send(request_of("alice")).await;
                is_without_decision(&response, status, retry_after);
            };
        }
        check!(Arc::new(store.clone()));
        check!(Box::new(store.clone()));
        let leaked: &'static Store = Box::leak(Box::new(store.clone()));
        check!(leaked);
        assert_eq!(inner.calls(), if status == 200 { 4 } else { 0 });
    }
}

/// A wait that a limiter knows makes no denial of a failed store.
#[tokio::test]
async fn a_failed_store_exceeds_no_quota_in_any_response() {
    for (fallback, retry_after, pushback) in [
        (REJECT, None, None),
        (REJECT_FOR_A_TIME, Some("2"), Some("1200")),
    ] {
        let layer = layer(&failed_store(fallback));
        let inner = Inner::default();
        let problem = inner.behind(&layer.clone().respond(ProblemResponse));
        let problem = problem.send(request_of("alice")).await;
        assert_eq!(
            problem.body(),
            r#"{"type":"about:blank","title":"Service Unavailable","status":503,"detail":"rate limit store unavailable"}"#
        );
        let grpc = inner.behind(&layer.respond(GrpcResponse));
        let grpc = grpc.send(request_of("alice")).await;
        assert_eq!(field(grpc.headers(), "grpc-status"), "14");
        let text = |response: &Response<String>, name| {
            let value = response.headers().get(name)?;
            Some(value.to_str().unwrap().to_owned())
        };
        for response in [&problem, &grpc] {
            assert_eq!(text(response, "retry-after").as_deref(), retry_after);
        }
        let found = text(&grpc, "grpc-retry-pushback-ms");
        assert_eq!(found.as_deref(), pushback);
    }
}

/// The rule of the layer is that of the service, and the limiter's is a default.
#[tokio::test]
async fn the_rule_of_the_layer_wins_over_the_limiters() {
    for (fallback, wait) in [
        (Fallback::Allow, None),
        (REJECT, None),
        (REJECT_FOR_A_TIME, Some("2")),
    ] {
        let inner = Inner::default();
        let layer = layer(&failed_store(fallback)).respond(JsonResponse);
        let allow = inner.behind(&layer.clone().on_store_error(OnStoreError::Allow));
        is_without_decision(&allow.send(request_of("alice")).await, 200, None);
        let reject = inner.behind(&layer.on_store_error(OnStoreError::Reject));
        is_without_decision(&reject.send(request_of("alice")).await, 503, wait);
        assert_eq!(inner.calls(), 1);
    }
}

/// The wait is that of the request alone, and of no quota.
#[tokio::test]
async fn a_rejection_has_the_wait_of_a_failed_store() {
    for (fallback, expected) in [(REJECT, None), (REJECT_FOR_A_TIME, Some(2))] {
        let seen = move |rejection: &Rejection<'_>| {
            assert!(rejection.is_store_error() && rejection.decision().is_none());
            assert_eq!(rejection.retry_after_seconds(), expected);
            assert_eq!(rejection.violated_quotas().count(), 0);
            Response::new(rejection.to_string())
        };
        let layer = layer(&failed_store(fallback)).respond_with(seen);
        let response = Inner::default()
            .behind(&layer)
            .send(request_of("alice"))
            .await;
        assert_eq!(response.body(), "rate limit store unavailable");
    }
}

/// A custom response can tell a failed store from a denial.
#[tokio::test]
async fn a_rejection_says_that_the_store_failed() {
    let (store, _clock) = store(Quota::per_minute(60).burst(3));
    store.is_down.store(true, Ordering::SeqCst);
    let seen = |rejection: &Rejection<'_>| {
        let decision = rejection.decision().is_some();
        let parts = (rejection.is_store_error(), decision, rejection.key_error());
        Response::new(format!("{parts:?} {}", rejection.cost()))
    };
    let service = Inner::default().behind(&layer(&store).cost(|_| 2).respond_with(seen));
    let response = service.send(request_of("alice")).await;
    assert_eq!(response.body(), "(true, false, None) 2");
}

/// A client that goes away while the store is asked is not passed on, and nothing hangs.
#[tokio::test]
async fn a_request_that_is_dropped_while_it_waits_calls_nothing() {
    let (store, _clock) = store(Quota::per_minute(60).burst(3));
    let inner = Inner::default();
    let service = inner.behind(&layer(&store));
    let mut response = Box::pin(service.send(request_of("alice")));
    let mut context = Context::from_waker(std::task::Waker::noop());
    assert!(response.as_mut().poll(&mut context).is_pending());
    drop(response);
    assert_eq!((inner.calls(), store.spent.load(Ordering::SeqCst)), (0, 0));
    assert_eq!(service.send(request_of("alice")).await.status(), 200);
}

/// The decision that allowed a request is in its extensions on this path too.
#[tokio::test]
async fn a_later_decision_is_left_for_the_inner_service() {
    let (store, _clock) = store(Quota::per_minute(60).burst(3));
    let remaining = Arc::new(Mutex::new(None));
    let seen = Arc::clone(&remaining);
    let inner = tower::service_fn(move |request: Request<String>| {
        let decision = request.extensions().get::<Decision>();
        *seen.lock().unwrap() = decision.map(Decision::remaining);
        ready(Ok::<_, Infallible>(Response::new(String::new())))
    });
    let service = layer(&store).insert_decision().layer(inner);
    service.oneshot(request_of("alice")).await.unwrap();
    assert_eq!(*remaining.lock().unwrap(), Some(2));
}

/// Case 43, of a decision that comes later.
#[tokio::test]
async fn the_service_that_was_ready_is_called_after_the_store_answered() {
    let (store, _clock) = store(Quota::per_minute(60).burst(1));
    let calls = Arc::new(AtomicU64::new(0));
    let mut service = layer(&store).layer(Strict::new(&calls));
    for expected in [200, 429] {
        let response = service.ready().await.unwrap().call(request_of("alice"));
        assert_eq!(response.await.unwrap().status(), expected);
    }
    assert_eq!(calls.load(Ordering::SeqCst), 1);
}

/// The body of a rejected request is read before the response goes out, as with a limiter in memory.
#[tokio::test]
async fn the_body_of_a_request_that_is_rejected_later_is_read() {
    use http_body_util::StreamBody;

    let (store, _clock) = store(Quota::per_minute(60).burst(1));
    assert!(store.limiter.allow("alice"));
    let polls = Arc::new(AtomicU64::new(0));
    let count = Arc::clone(&polls);
    let frames = tokio_stream::iter((0..5).map(move |_| {
        count.fetch_add(1, Ordering::SeqCst);
        let bytes = bytes::Bytes::from_static(b"part");
        Ok::<_, Infallible>(http_body::Frame::data(bytes))
    }));
    let inner = tower::service_fn(|_: Request<StreamBody<_>>| {
        ready(Ok::<_, Infallible>(Response::new(String::new())))
    });
    let mut request = Request::new(StreamBody::new(frames));
    request
        .headers_mut()
        .insert("x-api-key", "alice".parse().unwrap());
    let response = layer(&store).layer(inner).oneshot(request).await.unwrap();
    assert_eq!(response.status(), 429);
    assert_eq!(polls.load(Ordering::SeqCst), 5);
}

/// Without the layer: the fields that it writes by default are those of the decision itself.
#[test]
fn the_default_fields_are_the_response_fields_of_a_decision() {
    use tollgate::tower::RateLimitHeaders;

    let (limiter, _clock) = limiter::<String, 2>([Quota::per_minute(3), Quota::per_hour(60)]);
    let headers = RateLimitHeaders::new(limiter.policy().quotas());
    for n in [1, 2, 1, 0, 4] {
        let decision = limiter.check_n("alice", n);
        let mut written = http::HeaderMap::new();
        headers.insert_into(&mut written, decision.as_ref());
        let mut expected = http::HeaderMap::new();
        for (name, value) in decision.response_fields() {
            expected.insert(name, value.into());
        }
        assert_eq!(written, expected, "{n} units");
    }
}

/// A service that cannot be cloned, behind a limiter that decides at once.
#[tokio::test]
async fn a_service_that_is_no_clone_can_be_limited() {
    struct Alone(u64);

    impl Service<Request<String>> for Alone {
        type Response = Response<String>;
        type Error = Infallible;
        type Future = std::future::Ready<Result<Response<String>, Infallible>>;

        fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
            Poll::Ready(Ok(()))
        }

        fn call(&mut self, _: Request<String>) -> Self::Future {
            self.0 += 1;
            ready(Ok(Response::new(self.0.to_string())))
        }
    }

    let (limiter, _clock) = limiter(Quota::per_minute(60).burst(2));
    let mut service = RateLimitLayer::new(limiter, KEY, OnMissingKey::Allow).layer(Alone(0));
    for expected in [200, 200, 429] {
        let response = service.ready().await.unwrap().call(request_of("alice"));
        assert_eq!(response.await.unwrap().status(), expected);
    }
}
