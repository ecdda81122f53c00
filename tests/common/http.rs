//! What the tests of the layer share: a service to stand behind it, and requests to it.

use std::{
    convert::Infallible,
    future::{Ready, ready},
    hash::Hash,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll},
};

use http::{HeaderMap, Request, Response, StatusCode};
use tollgate::tower::key::{HeaderKey, RequestKey};
use tollgate::tower::{OnMissingKey, RateLimitLayer};
use tollgate::{IntoPolicy, ManualClock, Quota, RateLimiter};
use tower::{Layer, Service, ServiceExt};

/// The header that requests are limited by in most tests.
pub const KEY: HeaderKey = HeaderKey::from_static("x-api-key");

/// Returns a limiter that only the test sweeps, and its clock.
pub fn limiter<K, const N: usize>(
    policy: impl IntoPolicy<N>,
) -> (Arc<RateLimiter<K, N>>, ManualClock)
where
    K: Hash + Eq + Send + Sync + 'static,
{
    let clock = ManualClock::new();
    let limiter = RateLimiter::builder(policy)
        .clock(clock.clone())
        .manual_sweep()
        .build();
    (Arc::new(limiter), clock)
}

/// A request without a key.
pub fn request(path: &str) -> Request<String> {
    Request::get(path).body(String::new()).unwrap()
}

/// A request whose key is `key`.
pub fn request_of(key: &str) -> Request<String> {
    let request = Request::get("/").header("x-api-key", key);
    request.body(String::new()).unwrap()
}

/// How many of these requests pass a limit of one request an hour for each key.
pub async fn passed<K>(key: K, no_key: OnMissingKey, requests: Vec<Request<()>>) -> usize
where
    K: RequestKey<Key: ToOwned<Owned: Send + Sync + 'static>> + Send + Sync + 'static,
{
    let (limiter, _clock) = limiter(Quota::per_hour(1));
    let service = Inner::default().behind(&RateLimitLayer::new(limiter, key, no_key));
    let mut passed = 0;
    for request in requests {
        let request = request.map(|()| String::new());
        passed += usize::from(service.send(request).await.status() == StatusCode::OK);
    }
    passed
}

/// Answers "inner", and counts how often it was asked.
#[derive(Clone, Default)]
pub struct Inner {
    calls: Arc<AtomicU64>,
}

impl Inner {
    pub fn calls(&self) -> u64 {
        self.calls.load(Ordering::SeqCst)
    }

    /// This service behind `layer`.
    pub fn behind<L>(&self, layer: &L) -> impl Limited + use<L>
    where
        L: Layer<InnerService>,
        L::Service: Limited,
    {
        layer.layer(InnerService(self.clone()))
    }
}

#[derive(Clone)]
pub struct InnerService(Inner);

impl<B> Service<Request<B>> for InnerService {
    type Response = Response<String>;
    type Error = Infallible;
    type Future = std::future::Ready<Result<Response<String>, Infallible>>;

    fn poll_ready(
        &mut self,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Result<(), Infallible>> {
        std::task::Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Request<B>) -> Self::Future {
        self.0.calls.fetch_add(1, Ordering::SeqCst);
        std::future::ready(Ok(Response::new("inner".to_owned())))
    }
}

/// A service that answers in text and never fails, cloned for each request as servers do.
pub trait Limited:
    Service<Request<String>, Response = Response<String>, Error = Infallible, Future: Send>
    + Clone
    + Send
{
    fn send(&self, request: Request<String>) -> impl Future<Output = Response<String>> + Send {
        let response = self.clone().oneshot(request);
        async { response.await.unwrap_or_else(|never| match never {}) }
    }

    /// The statuses of the answers to `count` such requests, one after the other.
    fn statuses(
        &self,
        count: usize,
        request: impl Fn() -> Request<String> + Send,
    ) -> impl Future<Output = Vec<u16>> + Send {
        let service = self.clone();
        async move {
            let mut statuses = Vec::new();
            for _ in 0..count {
                statuses.push(service.send(request()).await.status().as_u16());
            }
            statuses
        }
    }
}

impl<T> Limited for T where
    T: Service<Request<String>, Response = Response<String>, Error = Infallible, Future: Send>
        + Clone
        + Send
{
}

/// The value of a header that must be there once, as text.
#[track_caller]
pub fn field<'a>(headers: &'a HeaderMap, name: &str) -> &'a str {
    let lines: Vec<_> = headers.get_all(name).iter().collect();
    assert_eq!(lines.len(), 1, "{name} in {headers:?}");
    lines[0].to_str().unwrap()
}

/// The value of a header that must be there once, as a number.
#[track_caller]
pub fn number(headers: &HeaderMap, name: &str) -> u64 {
    field(headers, name).parse().unwrap()
}

/// A service of which each clone must be polled until it is ready before it is called.
pub struct Strict {
    is_ready: bool,
    calls: Arc<AtomicU64>,
}

impl Strict {
    /// Makes one that counts its calls.
    pub fn new(calls: &Arc<AtomicU64>) -> Strict {
        Strict {
            is_ready: false,
            calls: Arc::clone(calls),
        }
    }
}

impl Clone for Strict {
    fn clone(&self) -> Strict {
        Strict::new(&self.calls)
    }
}

impl Service<Request<String>> for Strict {
    type Response = Response<String>;
    type Error = Infallible;
    type Future = Ready<Result<Response<String>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.is_ready = true;
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Request<String>) -> Self::Future {
        assert!(self.is_ready, "called before it was ready");
        self.is_ready = false;
        self.calls.fetch_add(1, Ordering::SeqCst);
        ready(Ok(Response::new(String::new())))
    }
}
