//! Which bodies the layer reads before it responds.

use crate::common::http::{KEY, field, limiter};
use crate::common::threads::finishes;
use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, StatusCode, Version};
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt;
use std::{
    collections::VecDeque,
    convert::Infallible,
    future::{Future, ready},
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    task::{Context, Poll, Waker},
    time::{Duration, Instant},
};
use tollgate::tower::key::HeaderKey;
use tollgate::tower::{
    GrpcResponse, JsonResponse, OnMissingKey, ProblemResponse, RateLimitLayer, RejectionResponse,
    TextResponse,
};
use tollgate::{Quota, RateLimiter};
use tower::{Layer, Service, ServiceExt, service_fn};

const REJECTED: OnMissingKey = OnMissingKey::Reject(StatusCode::UNAUTHORIZED);

/// What was done with a body.
#[derive(Default)]
struct Seen {
    polls: AtomicUsize,
    is_dropped: AtomicBool,
}

impl Seen {
    fn polls(&self) -> usize {
        self.polls.load(Ordering::SeqCst)
    }

    fn is_dropped(&self) -> bool {
        self.is_dropped.load(Ordering::SeqCst)
    }
}

type Polled = Poll<Option<Result<Frame<Bytes>, &'static str>>>;

/// A body whose polls return these, one after the other, and then the end.
struct Upload {
    polls: VecDeque<Polled>,
    hint: SizeHint,
    seen: Arc<Seen>,
}

impl Upload {
    fn of<const N: usize>(polls: [Polled; N]) -> (Upload, Arc<Seen>) {
        let seen = Arc::new(Seen::default());
        let upload = Upload {
            polls: polls.into(),
            hint: SizeHint::default(),
            seen: Arc::clone(&seen),
        };
        (upload, seen)
    }
}

impl Body for Upload {
    type Data = Bytes;
    type Error = &'static str;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Polled {
        self.seen.polls.fetch_add(1, Ordering::SeqCst);
        self.polls.pop_front().unwrap_or(Poll::Ready(None))
    }

    fn size_hint(&self) -> SizeHint {
        self.hint
    }
}

impl Drop for Upload {
    fn drop(&mut self) {
        self.seen.is_dropped.store(true, Ordering::SeqCst);
    }
}

fn data(text: &'static str) -> Polled {
    Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(text.as_bytes())))))
}

fn request<B>(body: B) -> Request<B> {
    let request = Request::post("/").header("x-api-key", "alice");
    request.body(body).unwrap()
}

/// A layer that rejects every request of alice.
fn rejecting() -> RateLimitLayer<Arc<RateLimiter<String>>, HeaderKey> {
    let (limiter, _clock) = limiter::<String, 1>(Quota::per_day(1));
    assert!(limiter.allow("alice"));
    RateLimitLayer::new(limiter, KEY, REJECTED)
}

/// Polls the response of `layer` to a request once.
fn poll_once<A: RejectionResponse<String>>(
    layer: &RateLimitLayer<Arc<RateLimiter<String>>, HeaderKey, A>,
    request: Request<Upload>,
) -> Poll<Response<String>> {
    let mut future = Box::pin(call(layer, request));
    let mut context = Context::from_waker(Waker::noop());
    future.as_mut().poll(&mut context).map(Result::unwrap)
}

/// The response of `layer` to a request, which reads all of a body that is let through.
fn call<A: RejectionResponse<String>>(
    layer: &RateLimitLayer<Arc<RateLimiter<String>>, HeaderKey, A>,
    request: Request<Upload>,
) -> impl Future<Output = Result<Response<String>, Infallible>> + use<A> {
    let inner = service_fn(|request: Request<Upload>| async {
        let text = request.into_body().collect().await.unwrap().to_bytes();
        Ok::<_, Infallible>(Response::new(String::from_utf8(text.to_vec()).unwrap()))
    });
    layer.layer(inner).call(request)
}

/// The response, which is ready at the first poll.
#[track_caller]
fn rejected<A: RejectionResponse<String>>(
    layer: &RateLimitLayer<Arc<RateLimiter<String>>, HeaderKey, A>,
    request: Request<Upload>,
) -> Response<String> {
    match poll_once(layer, request) {
        Poll::Ready(response) => response,
        Poll::Pending => panic!("the response is not ready"),
    }
}

#[test]
fn every_kind_of_rejection_reads_the_body() {
    fn check<A: RejectionResponse<String>>(
        layer: RateLimitLayer<Arc<RateLimiter<String>>, HeaderKey, A>,
        is_grpc: bool,
    ) {
        for cause in ["denied", "never", "absent", "malformed", "HEAD"] {
            let (upload, seen) = Upload::of([data("one"), data("two")]);
            let mut request = request(upload);
            let mut layer = layer.clone();
            let headers = request.headers_mut();
            let expected = match cause {
                "never" => {
                    layer = layer.cost(|_| 2);
                    400
                }
                "absent" => {
                    headers.clear();
                    401
                }
                "malformed" => {
                    headers.append("x-api-key", "bob".parse().unwrap());
                    401
                }
                _ => 429,
            };
            if cause == "HEAD" {
                *request.method_mut() = Method::HEAD;
            }
            let response = rejected(&layer, request);
            let expected = if is_grpc { 200 } else { expected };
            assert_eq!(response.status(), expected, "{cause}");
            assert_eq!((seen.polls(), seen.is_dropped()), (3, true), "{cause}");
            // The connection can carry another request.
            assert!(!response.headers().contains_key("connection"), "{cause}");
        }
    }
    check(rejecting().respond(TextResponse), false);
    check(rejecting().respond(JsonResponse), false);
    check(rejecting().respond(ProblemResponse), false);
    check(rejecting().respond(GrpcResponse), true);
}

#[tokio::test]
async fn the_body_of_a_request_that_passes_is_the_inner_services() {
    let (limiter, _clock) = limiter::<String, 1>(Quota::per_day(1));
    let layer = RateLimitLayer::new(limiter, KEY, OnMissingKey::Allow);
    for (layer, path) in [(layer.clone(), "/"), (layer.exempt(|_| true), "/exempt")] {
        let (upload, seen) = Upload::of([data("one"), data("two")]);
        let mut request = request(upload);
        *request.uri_mut() = path.parse().unwrap();
        let response = call(&layer, request).await.unwrap();
        assert_eq!(response.body(), "onetwo");
        assert_eq!(seen.polls(), 3);
    }
}

#[test]
fn a_request_without_a_body_is_not_polled() {
    for hint in [SizeHint::with_exact(0), SizeHint::default()] {
        let (mut upload, seen) = Upload::of([]);
        let is_unknown = hint.exact().is_none();
        upload.hint = hint;
        let response = rejected(&rejecting(), request(upload));
        assert_eq!(response.status(), 429);
        assert_eq!(seen.polls(), usize::from(is_unknown));
    }
}

#[test]
fn what_an_outer_layer_has_left_of_a_body_is_read() {
    let (upload, seen) = Upload::of([data("one"), data("two"), data("three")]);
    let mut request = request(upload);
    let mut context = Context::from_waker(Waker::noop());
    assert!(
        Pin::new(request.body_mut())
            .poll_frame(&mut context)
            .is_ready()
    );
    assert_eq!(rejected(&rejecting(), request).status(), 429);
    assert_eq!(seen.polls(), 4);
}

#[test]
fn trailers_are_read_and_an_error_ends_the_reading() {
    let trailers = || Poll::Ready(Some(Ok(Frame::trailers(HeaderMap::new()))));
    let (upload, seen) = Upload::of([data("one"), trailers()]);
    assert_eq!(rejected(&rejecting(), request(upload)).status(), 429);
    assert_eq!(seen.polls(), 3);

    let broken = Poll::Ready(Some(Err("the connection is broken")));
    let (upload, seen) = Upload::of([data("one"), broken, data("two")]);
    let response = rejected(&rejecting(), request(upload));
    assert_eq!((response.status().as_u16(), seen.polls()), (429, 2));
    // The server cannot read the rest either.
    assert_eq!(field(response.headers(), "connection"), "close");
}

#[test]
fn a_body_that_is_not_read_is_not_polled_and_the_close_is_announced() {
    let expecting = |mut request: Request<Upload>| {
        let headers = request.headers_mut();
        headers.insert("expect", "100-continue".parse().unwrap());
        request
    };
    let long = |mut request: Request<Upload>| {
        request.body_mut().hint = SizeHint::with_exact(16 * 1024 * 1024 + 1);
        request
    };
    let changes: [&dyn Fn(Request<Upload>) -> Request<Upload>; 2] = [&expecting, &long];
    for change in changes {
        let (upload, seen) = Upload::of([data("one")]);
        let response = rejected(&rejecting(), change(request(upload)));
        assert_eq!(response.status(), 429);
        assert_eq!((seen.polls(), seen.is_dropped()), (0, true));
        assert_eq!(field(response.headers(), "connection"), "close");
    }
}

/// More than the limit of the test below.
const LONG: &str = match std::str::from_utf8(&[b'x'; 101]) {
    Ok(text) => text,
    Err(_) => panic!("it is ASCII"),
};

#[test]
fn a_stream_of_http_2_or_3_is_read_and_says_nothing_of_its_connection() {
    let layer = rejecting().drain(100, Duration::ZERO).unwrap();
    for version in [Version::HTTP_2, Version::HTTP_3] {
        let broken = Poll::Ready(Some(Err("the stream is broken")));
        let (long, end) = (data(LONG), Poll::Ready(None));
        for (second, polls) in [(end, 2), (broken, 2), (long, 2)] {
            let (upload, seen) = Upload::of([data("one"), second, Poll::Pending]);
            let mut request = request(upload);
            *request.version_mut() = version;
            let response = rejected(&layer, request);
            assert_eq!(response.status(), 429);
            assert_eq!((seen.polls(), seen.is_dropped()), (polls, true));
            // It would be an error of the protocol.
            assert!(!response.headers().contains_key("connection"));
        }
    }
}

/// A custom answer that sets the field itself does not hide the close.
#[test]
fn the_close_is_announced_beside_other_connection_options() {
    let layer = rejecting().respond_with(|_| {
        let response = Response::builder()
            .status(429)
            .header("connection", "upgrade");
        response.body("no".to_owned()).unwrap()
    });
    let (mut upload, _) = Upload::of([data("one")]);
    upload.hint = SizeHint::with_exact(16 * 1024 * 1024 + 1);
    let response = rejected(&layer, request(upload));
    let options: Vec<_> = response.headers().get_all("connection").iter().collect();
    assert_eq!(options, ["upgrade", "close"]);
}

#[test]
fn without_draining_no_body_is_polled_and_no_field_is_added() {
    let (upload, seen) = Upload::of([data("one")]);
    let response = rejected(&rejecting().without_draining(), request(upload));
    assert_eq!((response.status().as_u16(), seen.polls()), (429, 0));
    assert!(!response.headers().contains_key("connection"));
    // The last of two settings holds.
    let layer = rejecting().without_draining();
    let layer = layer.drain(100, Duration::ZERO).unwrap();
    let (upload, seen) = Upload::of([data("one")]);
    assert_eq!(rejected(&layer, request(upload)).status(), 429);
    assert_eq!(seen.polls(), 2);
}

#[test]
fn a_body_over_the_byte_limit_is_left_and_the_close_is_announced() {
    let layer = rejecting().drain(5, Duration::from_secs(10)).unwrap();
    let (upload, seen) = Upload::of([data("one"), data("two"), data("three")]);
    let response = rejected(&layer, request(upload));
    assert_eq!(field(response.headers(), "connection"), "close");
    assert_eq!((seen.polls(), seen.is_dropped()), (2, true));

    let (upload, seen) = Upload::of([data("one"), data("to")]);
    let response = rejected(&layer, request(upload));
    assert!(!response.headers().contains_key("connection"));
    assert_eq!(seen.polls(), 3);
}

#[test]
fn what_a_response_says_of_the_connection_stays() {
    let layer = rejecting().drain(1, Duration::ZERO).unwrap();
    let layer = layer.respond_with(|rejection| {
        let response = Response::builder().status(rejection.status());
        response
            .header("connection", "close, x")
            .body(String::new())
            .unwrap()
    });
    let (upload, _) = Upload::of([data("one")]);
    let response = rejected(&layer, request(upload));
    assert_eq!(field(response.headers(), "connection"), "close, x");
}

#[test]
fn a_future_that_is_dropped_drops_the_body() {
    let (upload, seen) = Upload::of([data("one"), Poll::Pending]);
    // The future of the only poll is dropped.
    assert!(poll_once(&rejecting(), request(upload)).is_pending());
    assert!(seen.is_dropped());
}

#[test]
fn a_future_that_was_ready_is_pending_for_ever_and_does_not_panic() {
    let (upload, _) = Upload::of([]);
    let mut future = Box::pin(call(&rejecting(), request(upload)));
    let mut context = Context::from_waker(Waker::noop());
    assert!(future.as_mut().poll(&mut context).is_ready());
    assert!(future.as_mut().poll(&mut context).is_pending());
}

/// Real time is the subject: the timer is the crate's own, and no runtime has one here.
#[test]
fn a_body_that_never_comes_is_left_after_the_time_limit() {
    let outcome = finishes("a rejection with a body that never comes", || {
        let limit = Duration::from_millis(50);
        let layer = rejecting().drain(100, limit).unwrap();
        let (upload, seen) = Upload::of([data("one"), Poll::Pending, Poll::Pending, Poll::Pending]);
        let start = Instant::now();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap();
        let response = runtime.block_on(call(&layer, request(upload))).unwrap();
        assert!(start.elapsed() >= limit);
        assert_eq!(response.status(), 429);
        assert_eq!(field(response.headers(), "connection"), "close");
        assert!(seen.is_dropped());
    });
    outcome.unwrap();
}

#[test]
fn a_time_limit_of_zero_reads_what_has_arrived() {
    let layer = rejecting().drain(100, Duration::ZERO).unwrap();
    let (upload, seen) = Upload::of([Poll::Pending, data("one")]);
    let response = rejected(&layer, request(upload));
    assert_eq!(field(response.headers(), "connection"), "close");
    assert_eq!(seen.polls(), 1);
}

#[test]
fn limits_out_of_range_are_errors_with_value_and_bound() {
    let rejected = |bytes, time| rejecting().drain(bytes, time).unwrap_err().to_string();
    assert_eq!(
        rejected(0, Duration::ZERO),
        "found \"0\" as the bytes to read of a rejected request's body, expected at least 1 \
         (`without_draining` reads nothing)"
    );
    assert_eq!(
        rejected(1, Duration::from_secs(3_601)),
        "found \"3601s\" as the time to read a rejected request's body, expected at most 1 h"
    );
}

/// A service takes whatever body its requests have, so this has to compile.
#[tokio::test]
async fn the_bodies_of_axum_tonic_and_http_body_util_can_be_read() {
    async fn status<B: Body + Default>(
        layer: &RateLimitLayer<Arc<RateLimiter<String>>, HeaderKey>,
    ) -> u16 {
        let inner = service_fn(|_: Request<B>| ready(Ok::<_, Infallible>(Response::default())));
        let service = layer.layer(inner);
        let response: Response<String> = service.oneshot(request(B::default())).await.unwrap();
        response.status().as_u16()
    }
    let layer = rejecting();
    assert_eq!(status::<axum::body::Body>(&layer).await, 429);
    assert_eq!(status::<tonic::body::Body>(&layer).await, 429);
    assert_eq!(status::<http_body_util::Empty<Bytes>>(&layer).await, 429);
    assert_eq!(status::<http_body_util::Full<Bytes>>(&layer).await, 429);
    assert_eq!(status::<String>(&layer).await, 429);
}
