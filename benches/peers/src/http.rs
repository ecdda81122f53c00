//! Layers that limit HTTP requests, around the same service.

mod tollgate;
mod tower_governor;

use std::{
    convert::Infallible,
    future::{self, Future},
    hint::black_box,
    net::SocketAddr,
    pin::pin,
    task::{Context, Poll, Waker},
};

use axum::{body::Body, extract::ConnectInfo};
use http::{Request, Response, StatusCode};
use tower::Service;

pub use self::tollgate::Tollgate;
pub use self::tower_governor::TowerGovernor;

/// The header that requests are limited by.
const API_KEY: &str = "x-api-key";

/// What requests are limited by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum By {
    /// The API key in a header.
    Header,
    /// The client's address, as a proxy reports it in `X-Forwarded-For`.
    Address,
}

/// What becomes of the requests that are timed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    Allowed,
    Refused,
}

/// Everything that is timed: what becomes of requests, what they are limited by, and from how many
/// clients they come by turns.
pub fn cells() -> impl Iterator<Item = (Outcome, By, u32)> {
    let outcomes = [Outcome::Allowed, Outcome::Refused].into_iter();
    let by = outcomes.flat_map(|outcome| [By::Header, By::Address].map(|by| (outcome, by)));
    by.flat_map(|(outcome, by)| [1, 1_000].map(|clients| (outcome, by, clients)))
}

/// A quota in the terms of every rival.
#[derive(Clone, Copy, Debug)]
pub struct Quota {
    /// In which one unit is earned.
    pub nanos: u64,
    pub burst: u32,
}

/// A layer that limits requests and tells clients so in header fields, as it comes.
pub trait Rival {
    const NAME: &'static str;

    fn by_header(quota: Quota) -> impl Limited;

    fn by_address(quota: Quota) -> impl Limited;
}

pub trait Limited:
    Service<Request<Body>, Response = Response<Body>, Error = Infallible> + 'static
{
}

impl<S> Limited for S where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible> + 'static
{
}

/// The bare service, which is not limited at all.
pub struct Bare;

impl Rival for Bare {
    const NAME: &'static str = "bare service";

    fn by_header(_: Quota) -> impl Limited {
        service()
    }

    fn by_address(_: Quota) -> impl Limited {
        service()
    }
}

/// What all layers are put around.
fn service() -> impl Limited + Clone {
    tower::service_fn(|_: Request<Body>| future::ready(Ok(Response::new(Body::empty()))))
}

/// A request of client `client`, as a browser behind a proxy sends it.
pub fn request(client: u32) -> Request<Body> {
    let [_, a, b, c] = client.to_be_bytes();
    let mut request = Request::get("/api/v1/check")
        .header("host", "api.example.com")
        .header(
            "user-agent",
            "Mozilla/5.0 (X11; Linux x86_64; rv:145.0) Firefox/145.0",
        )
        .header("accept", "application/json")
        .header(API_KEY, format!("key-{client:020}"))
        .header("x-forwarded-for", format!("100.{a}.{b}.{c}"))
        .body(Body::empty())
        .expect("a request");
    let peer = SocketAddr::from(([10, 0, 0, 1], 4711));
    request.extensions_mut().insert(ConnectInfo(peer));
    request
}

/// The response to a request, of services that need no waiting for.
pub fn respond(service: &mut impl Limited, request: Request<Body>) -> Response<Body> {
    let mut context = Context::from_waker(Waker::noop());
    let Poll::Ready(Ok(())) = service.poll_ready(&mut context) else {
        unreachable!("ready at once");
    };
    match pin!(service.call(request)).poll(&mut context) {
        Poll::Ready(Ok(response)) => response,
        Poll::Pending => unreachable!("answered at once"),
    }
}

/// What is timed: a request from its arrival to when its response is gone.
#[inline(never)]
pub fn serve(service: &mut impl Limited, request: Request<Body>) {
    drop(black_box(respond(service, request)));
}

/// A service whose requests of that many clients will all have that outcome.
pub fn prepared<R: Rival>(by: By, outcome: Outcome, clients: u32) -> Box<dyn FnMut(Request<Body>)> {
    let quota = match outcome {
        Outcome::Allowed => NEVER_EXHAUSTED,
        Outcome::Refused => SOON_EXHAUSTED,
    };
    match by {
        By::Header => prepared_service::<R>(R::by_header(quota), outcome, clients),
        By::Address => prepared_service::<R>(R::by_address(quota), outcome, clients),
    }
}

fn prepared_service<R: Rival>(
    mut service: impl Limited,
    outcome: Outcome,
    clients: u32,
) -> Box<dyn FnMut(Request<Body>)> {
    // Every key is known, and out of units if it is to be.
    let bursts = match outcome {
        Outcome::Allowed => 1,
        Outcome::Refused => SOON_EXHAUSTED.burst,
    };
    for _ in 0..bursts {
        (0..clients).for_each(|client| serve(&mut service, request(client)));
    }
    for client in 0..clients {
        let status = respond(&mut service, request(client)).status();
        let expected = match outcome {
            Outcome::Refused if R::NAME != Bare::NAME => StatusCode::TOO_MANY_REQUESTS,
            _ => StatusCode::OK,
        };
        assert_eq!(status, expected, "{} to client {client}", R::NAME);
    }
    Box::new(move |request| serve(&mut service, request))
}

/// A hundred at once, each of which is earned back before the next request.
const NEVER_EXHAUSTED: Quota = Quota {
    nanos: 1,
    burst: 100,
};

/// Ten an hour, so no eleventh within six minutes.
const SOON_EXHAUSTED: Quota = Quota {
    nanos: 360_000_000_000,
    burst: 10,
};

/// Proves that a rival tells clients apart, admits of each just what it should, and says so.
///
/// # Panics
///
/// If it does not.
pub fn prove<R: Rival>() {
    prove_service(R::NAME, R::by_header(SOON_EXHAUSTED));
    prove_service(R::NAME, R::by_address(SOON_EXHAUSTED));
}

fn prove_service(name: &str, mut service: impl Limited) {
    const CLIENTS: u32 = 1_000;
    let limit = SOON_EXHAUSTED.burst;
    for nth in 1..=limit + 5 {
        for client in 0..CLIENTS {
            let response = respond(&mut service, request(client));
            let number = |field: &str| -> Option<u32> {
                response.headers().get(field)?.to_str().ok()?.parse().ok()
            };
            assert_eq!(number("x-ratelimit-limit"), Some(limit), "{name}");
            let remaining = limit.saturating_sub(nth);
            assert_eq!(number("x-ratelimit-remaining"), Some(remaining), "{name}");
            if nth <= limit {
                assert_eq!(response.status(), StatusCode::OK, "{name}");
            } else {
                assert_eq!(response.status(), StatusCode::TOO_MANY_REQUESTS, "{name}");
                let wait = number("retry-after").expect(name);
                assert!((350..=360).contains(&wait), "{name}: {wait} s");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_rival_admits_the_burst_of_each_client_and_says_so() {
        prove::<Tollgate>();
        prove::<TowerGovernor>();
    }
}
