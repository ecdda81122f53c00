//! The HTTP layer with a shared limiter: keys, responses and fields are those of a limiter in memory, and
//! an outage is what the limiter makes of it.

use std::{
    borrow::Cow,
    convert::Infallible,
    future::ready,
    io,
    net::{IpAddr, SocketAddr},
    num::NonZeroU32,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use http::{Request, Response, StatusCode};
use redis::aio::ConnectionLike;
use redis::{Cmd, Pipeline, RedisFuture, Value};
use tollgate::tower::key::{ClientAddress, ExtensionKey, HeaderKey, RequestKey, from_fn};
use tollgate::tower::{IetfDraft, JsonResponse, OnMissingKey, OnStoreError, RateLimitLayer};
use tollgate::{Decision, DecisionSource, ManualClock, Quota, RateLimiter};
use tollgate_redis::{OnOutage, SharedKey, SharedLimiter};
use tower::{Layer, Service, ServiceExt};
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::util::SubscriberInitExt;

use crate::common::http::{Inner, KEY, Limited, Strict, field, request, request_of};
use crate::manual::Manual;
use crate::server::Server;

const SECOND: u64 = 1_000_000;

/// On a noisy machine a check may take longer than by default, and the request would pass.
const PATIENT: Duration = Duration::from_secs(60);

/// The name of a user, as authentication found it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct User(&'static str);

impl SharedKey for User {
    fn key_bytes(&self) -> Cow<'_, [u8]> {
        self.0.key_bytes()
    }
}

fn missing<const N: usize>() -> OnMissingKey<N> {
    OnMissingKey::Reject(StatusCode::UNAUTHORIZED)
}

/// Sends the same requests to a service with a limiter in memory and to one with a shared limiter, on clocks
/// that go alike, and checks that the responses are equal.
async fn answers_are_equal<K>(key: K, request_of: fn(&'static str) -> Request<String>)
where
    K: RequestKey<Key: SharedKey + ToOwned<Owned: Send + Sync + 'static>>,
    K: Clone + Send + Sync + 'static,
{
    let policy = [Quota::per_minute(6).burst(4), Quota::per_hour(10)];
    let server = Server::start();
    let time = Manual::connect(&server.client(), 1_000 * SECOND).await;
    let builder = SharedLimiter::builder(policy)
        .denied_keys(0)
        .deadline(PATIENT);
    let shared = builder.build(time.clone()).unwrap();
    let clock = ManualClock::new();
    let in_memory = RateLimiter::<<K::Key as ToOwned>::Owned, 2>::builder(policy);
    let in_memory = in_memory.clock(clock.clone()).manual_sweep().build();

    macro_rules! layer {
        ($limiter:expr) => {
            RateLimitLayer::new($limiter, key.clone(), missing())
                .respond(JsonResponse)
                .ietf_fields(IetfDraft::Draft11)
                .cost(|request| u64::from(request.headers.contains_key("twice")) + 1)
        };
    }
    let (inner, other_inner) = (Inner::default(), Inner::default());
    let shared = inner.behind(&layer!(shared));
    let in_memory = other_inner.behind(&layer!(Arc::new(in_memory)));
    let mut now = 0;
    let mut statuses = Vec::new();
    for (step, name) in (0..60).zip(["alice", "alice", "bob", "alice", "no key"].iter().cycle()) {
        let wait = step * step % 7 * 1_300_000;
        now += wait;
        time.set(1_000 * SECOND + now);
        clock.advance(Duration::from_micros(wait));
        let request = || {
            let mut request = request_of(name);
            if step % 4 == 3 {
                request.headers_mut().insert("twice", "".parse().unwrap());
            }
            request
        };
        let expected = in_memory.send(request()).await;
        let found = shared.send(request()).await;
        assert_eq!(found.status(), expected.status(), "step {step}");
        assert_eq!(found.headers(), expected.headers(), "step {step}");
        assert_eq!(found.body(), expected.body(), "step {step}");
        statuses.push(found.status().as_u16());
    }
    for status in [200, 401, 429] {
        assert!(statuses.contains(&status), "no {status}");
    }
    assert_eq!(inner.calls(), other_inner.calls());
    assert!(inner.calls() > 15);
}

fn by_header(name: &str) -> Request<String> {
    match name {
        "no key" => request("/"),
        name => request_of(name),
    }
}

fn by_user(name: &'static str) -> Request<String> {
    let mut request = by_address(name);
    if name != "no key" {
        request.extensions_mut().insert(User(name));
    }
    request
}

/// Each has another address.
fn by_address(name: &str) -> Request<String> {
    let mut request = by_header(name);
    let last = match name {
        "alice" => 1,
        "bob" => 2,
        _ => return request,
    };
    let address = SocketAddr::from(([192, 0, 2, last], 4711));
    request.extensions_mut().insert(address);
    request
}

fn peer() -> impl RequestKey<Key = IpAddr> + Clone + Send + Sync + 'static {
    ClientAddress::from_peer(|request| Some(request.extensions.get::<SocketAddr>()?.ip()))
}

#[tokio::test]
async fn by_a_header_all_is_as_with_a_limiter_in_memory() {
    answers_are_equal(KEY, by_header).await;
}

#[tokio::test]
async fn by_an_address_all_is_as_with_a_limiter_in_memory() {
    answers_are_equal(peer(), by_address).await;
}

#[tokio::test]
async fn by_a_user_of_the_service_all_is_as_with_a_limiter_in_memory() {
    answers_are_equal(ExtensionKey::<User>::new(), by_user).await;
}

#[tokio::test]
async fn by_a_pair_all_is_as_with_a_limiter_in_memory() {
    let is_reading = from_fn(|request| Some(request.method.is_safe()));
    let pair = ExtensionKey::<User>::new().and(is_reading).and(KEY);
    answers_are_equal(pair, by_user).await;
}

#[cfg(feature = "tower")]
#[tokio::test]
async fn by_one_of_two_keys_all_is_as_with_a_limiter_in_memory() {
    fn either(name: &'static str) -> Request<String> {
        match name {
            "bob" => by_address(name),
            name => by_user(name),
        }
    }
    answers_are_equal(ExtensionKey::<User>::new().or(peer()), either).await;
}

/// The keys of the layer are in the store as the limiter's own are.
#[tokio::test]
async fn a_request_and_a_check_share_the_bucket_of_a_key() {
    let server = Server::start();
    let builder = SharedLimiter::builder(Quota::per_hour(2)).deadline(PATIENT);
    let limiter = server.limiter(builder.prefix("api"));
    let layer = RateLimitLayer::new(limiter.clone(), KEY, missing());
    let service = Inner::default().behind(&layer);
    assert_eq!(service.send(request_of("alice")).await.status(), 200);
    assert!(limiter.check("alice").await.unwrap().is_allowed());
    assert_eq!(service.send(request_of("alice")).await.status(), 429);
    assert_eq!(server.keys(), ["api:1/1800000000*2:{alice}"]);
    // Now from the cache of this node, with the same response.
    let asked = limiter.health().decided;
    let cached = service.send(request_of("alice")).await;
    assert_eq!(cached.status(), 429);
    assert_eq!(field(cached.headers(), "x-ratelimit-remaining"), "0");
    let seconds: u64 = field(cached.headers(), "retry-after").parse().unwrap();
    assert!((1..=1_800).contains(&seconds), "{seconds}");
    let health = limiter.health();
    assert_eq!((health.decided, health.from_cache), (asked, 1));
}

#[tokio::test]
async fn the_decision_is_left_for_the_inner_service() {
    let server = Server::start();
    let policy = [Quota::per_minute(10), Quota::per_hour(60)];
    let limiter = server.limiter(SharedLimiter::builder(policy).deadline(PATIENT));
    let found = Arc::new(Mutex::new(None));
    let left = Arc::clone(&found);
    let inner = tower::service_fn(move |request: Request<String>| {
        *left.lock().unwrap() = request.extensions().get::<Decision<2>>().copied();
        ready(Ok::<_, Infallible>(Response::new(String::new())))
    });
    let layer = RateLimitLayer::new(limiter, KEY, missing()).insert_decision();
    let response = layer.layer(inner).oneshot(request_of("alice")).await;
    assert_eq!(response.unwrap().status(), 200);
    let decision = found.lock().unwrap().unwrap();
    assert_eq!(decision.source(), DecisionSource::Store);
    assert_eq!((decision.limit(), decision.remaining()), (10, 9));
}

/// Whether the decision is the store's, the cache's, or an outage.
#[tokio::test]
async fn the_service_that_was_ready_is_called_after_redis_answered() {
    let server = Server::start();
    let shared = server.limiter(SharedLimiter::builder(Quota::per_hour(2)).deadline(PATIENT));
    let calls = Arc::new(AtomicU64::new(0));
    for (limiter, expected) in [
        (shared, [200, 200, 429, 429]),
        (without_store(OnOutage::Allow), [200; 4]),
    ] {
        let mut service = RateLimitLayer::new(limiter, KEY, missing()).layer(Strict::new(&calls));
        for expected in expected {
            let response = service.ready().await.unwrap().call(request_of("alice"));
            assert_eq!(response.await.unwrap().status(), expected);
        }
    }
    assert_eq!(calls.load(Ordering::SeqCst), 6);
}

/// A connection that is broken.
#[derive(Clone)]
struct Broken;

impl ConnectionLike for Broken {
    fn req_packed_command<'a>(&'a mut self, _: &'a Cmd) -> RedisFuture<'a, Value> {
        Box::pin(async { Err(io::Error::from(io::ErrorKind::BrokenPipe).into()) })
    }

    fn req_packed_commands<'a>(
        &'a mut self,
        _: &'a Pipeline,
        _: usize,
        _: usize,
    ) -> RedisFuture<'a, Vec<Value>> {
        Box::pin(async { Err(io::Error::from(io::ErrorKind::BrokenPipe).into()) })
    }

    fn get_db(&self) -> i64 {
        0
    }
}

/// A limiter of a unit in 2 s, and of 4 at once, whose store fails.
fn without_store(rule: OnOutage) -> SharedLimiter {
    let builder = SharedLimiter::builder(Quota::per_minute(30).burst(4)).on_outage(rule);
    builder.build(Broken).unwrap()
}

fn layer(rule: OnOutage) -> RateLimitLayer<SharedLimiter, HeaderKey, JsonResponse> {
    RateLimitLayer::new(without_store(rule), KEY, missing()).respond(JsonResponse)
}

/// Two nodes: a unit in 4 s, and 2 at once.
const LOCAL: OnOutage = OnOutage::Local {
    nodes: NonZeroU32::new(2).unwrap(),
};

/// Checks that a response has the status, and of the fields about limits only `Retry-After`, if given.
#[track_caller]
fn is_without_decision(response: &Response<String>, status: u16, retry_after: Option<&str>) {
    assert_eq!(response.status(), status);
    let about_limits = |name: &str| name.contains("ratelimit") || name == "retry-after";
    let fields = response.headers().iter();
    let found: Vec<_> = fields
        .filter(|(name, _)| about_limits(name.as_str()))
        .map(|(name, value)| (name.as_str(), value.to_str().unwrap()))
        .collect();
    let expected: Vec<_> = retry_after
        .map(|seconds| ("retry-after", seconds))
        .into_iter()
        .collect();
    assert_eq!(found, expected);
    let body = match (status, retry_after) {
        (200, _) => "inner".to_owned(),
        (_, None) => r#"{"detail":"rate limit store unavailable"}"#.to_owned(),
        (_, Some(seconds)) => format!(
            r#"{{"detail":"rate limit store unavailable","retry_after_seconds":{seconds}}}"#
        ),
    };
    assert_eq!(*response.body(), body);
}

#[tokio::test]
async fn an_outage_passes_or_is_503_as_the_limiter_says() {
    let inner = Inner::default();
    let allow = inner.behind(&layer(OnOutage::Allow));
    let deny = inner.behind(&layer(OnOutage::Deny));
    for _ in 0..20 {
        is_without_decision(&allow.send(request_of("alice")).await, 200, None);
        is_without_decision(&deny.send(request_of("alice")).await, 503, None);
    }
    assert_eq!(inner.calls(), 20);
}

/// What the share denies is no 429 either: other nodes may have units left.
#[tokio::test(start_paused = true)]
async fn a_denial_by_the_local_share_is_503_with_its_wait() {
    let inner = Inner::default();
    let service = inner.behind(&layer(LOCAL));
    is_without_decision(&service.send(request_of("alice")).await, 503, Some("4"));
    tokio::time::advance(Duration::from_millis(3_999)).await;
    is_without_decision(&service.send(request_of("alice")).await, 503, Some("1"));
    tokio::time::advance(Duration::from_millis(1)).await;
    is_without_decision(&service.send(request_of("alice")).await, 200, None);
    is_without_decision(&service.send(request_of("alice")).await, 503, Some("4"));
    assert_eq!(inner.calls(), 1);
    // More than the share ever holds: no wait helps.
    let thrice = layer(LOCAL).cost(|_| 3);
    let response = inner.behind(&thrice).send(request_of("alice")).await;
    is_without_decision(&response, 503, None);
}

#[tokio::test(start_paused = true)]
async fn what_the_layer_is_told_wins_over_what_the_limiter_says() {
    let inner = Inner::default();
    for rule in [OnOutage::Allow, OnOutage::Deny, LOCAL] {
        let allow = inner.behind(&layer(rule).on_store_error(OnStoreError::Allow));
        is_without_decision(&allow.send(request_of("alice")).await, 200, None);
        let reject = inner.behind(&layer(rule).on_store_error(OnStoreError::Reject));
        let wait = (rule == LOCAL).then_some("4");
        is_without_decision(&reject.send(request_of("alice")).await, 503, wait);
    }
    assert_eq!(inner.calls(), 3);
}

#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl io::Write for Lines {
    fn write(&mut self, text: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(text)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for Lines {
    type Writer = Lines;

    fn make_writer(&self) -> Lines {
        self.clone()
    }
}

/// The limiter warns, at most once a minute. The layer would warn of each request.
#[tokio::test]
async fn the_limiter_alone_warns_of_an_outage() {
    for rule in [OnOutage::Allow, OnOutage::Deny] {
        let service = Inner::default().behind(&layer(rule));
        // tracing asks the subscriber of the thread where an event first occurs, or all that there are when
        // a subscriber is made. So the event occurs before this test has one.
        service.send(request_of("alice")).await;

        let lines = Lines::default();
        let subscriber = tracing_subscriber::fmt()
            .with_writer(lines.clone())
            .finish();
        let guard = subscriber.set_default();
        let service = Inner::default().behind(&layer(rule));
        for _ in 0..10 {
            service.send(request_of("alice")).await;
        }
        drop(guard);
        let text = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
        assert_eq!(text.matches("WARN").count(), 1, "{text}");
        let warning = r#"rate limit store unavailable prefix="tollgate" cause=no connection"#;
        assert!(text.contains(warning), "{text}");
        assert!(!text.contains("alice"), "{text}");
    }
}
