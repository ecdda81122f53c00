//! Layers that limit HTTP requests, each around the same service.

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

use crate::Quota;

pub use self::tollgate::Tollgate;
pub use self::tower_governor::TowerGovernor;

/// The header that has the key.
const API_KEY: &str = "x-api-key";

/// The key of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum By {
    /// The API key in a header.
    Header,
    /// The client's address, as one trusted proxy reports it in `X-Forwarded-For`.
    Address,
}

/// The outcome of every timed request of a cell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    Allowed,
    Rejected,
}

/// Returns all cells: the outcome, the key, and the number of clients that take turns.
pub fn cells() -> impl Iterator<Item = (Outcome, By, u32)> {
    let outcomes = [Outcome::Allowed, Outcome::Rejected].into_iter();
    let by = outcomes.flat_map(|outcome| [By::Header, By::Address].map(|by| (outcome, by)));
    by.flat_map(|(outcome, by)| [1, 1_000].map(|clients| (outcome, by, clients)))
}

/// A layer that limits requests and writes the headers of the limit, with its defaults otherwise.
pub trait Contender {
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

/// The bare service, which nothing limits.
pub struct Bare;

impl Contender for Bare {
    const NAME: &'static str = "bare service";

    fn by_header(_: Quota) -> impl Limited {
        service()
    }

    fn by_address(_: Quota) -> impl Limited {
        service()
    }
}

/// Returns the service that all layers are put around.
fn service() -> impl Limited + Clone {
    tower::service_fn(|_: Request<Body>| future::ready(Ok(Response::new(Body::empty()))))
}

/// Returns a request of `client`, as a browser behind a proxy sends it.
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

/// Returns the response of a service that never waits.
pub fn respond(service: &mut impl Limited, request: Request<Body>) -> Response<Body> {
    let mut context = Context::from_waker(Waker::noop());
    let Poll::Ready(Ok(())) = service.poll_ready(&mut context) else {
        unreachable!("it is ready at once");
    };
    match pin!(service.call(request)).poll(&mut context) {
        Poll::Ready(Ok(response)) => response,
        Poll::Pending => unreachable!("it responds at once"),
    }
}

/// Serves a request, and drops the response. This is what the programs time and count.
#[inline(never)]
pub fn serve(service: &mut impl Limited, request: Request<Body>) {
    drop(black_box(respond(service, request)));
}

/// Makes a service whose requests of this many clients will all have this outcome.
pub fn prepared<C: Contender>(
    by: By,
    outcome: Outcome,
    clients: u32,
) -> Box<dyn FnMut(Request<Body>)> {
    let quota = match outcome {
        Outcome::Allowed => NEVER_EXHAUSTED,
        Outcome::Rejected => SOON_EXHAUSTED,
    };
    match by {
        By::Header => prepared_service::<C>(C::by_header(quota), outcome, clients),
        By::Address => prepared_service::<C>(C::by_address(quota), outcome, clients),
    }
}

fn prepared_service<C: Contender>(
    mut service: impl Limited,
    outcome: Outcome,
    clients: u32,
) -> Box<dyn FnMut(Request<Body>)> {
    // Inserts every key, and spends its units if requests are to be rejected.
    let bursts = match outcome {
        Outcome::Allowed => 1,
        Outcome::Rejected => SOON_EXHAUSTED.burst,
    };
    for _ in 0..bursts {
        (0..clients).for_each(|client| serve(&mut service, request(client)));
    }
    for client in 0..clients {
        let status = respond(&mut service, request(client)).status();
        let expected = match outcome {
            Outcome::Rejected if C::NAME != Bare::NAME => StatusCode::TOO_MANY_REQUESTS,
            _ => StatusCode::OK,
        };
        assert_eq!(status, expected, "{} to client {client}", C::NAME);
    }
    Box::new(move |request| serve(&mut service, request))
}

/// A hundred units, each of which is earned back before the next request.
const NEVER_EXHAUSTED: Quota = Quota {
    nanos: 1,
    burst: 100,
};

/// Ten units an hour. No eleventh is earned within six minutes.
const SOON_EXHAUSTED: Quota = Quota {
    nanos: 360_000_000_000,
    burst: 10,
};

/// Proves that a layer tells clients apart, admits each exactly its burst, and writes the headers.
///
/// # Panics
///
/// If it does not.
pub fn prove<C: Contender>() {
    prove_service(C::NAME, C::by_header(SOON_EXHAUSTED));
    prove_service(C::NAME, C::by_address(SOON_EXHAUSTED));
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
    fn every_layer_admits_the_burst_of_each_client_and_writes_the_headers() {
        prove::<Tollgate>();
        prove::<TowerGovernor>();
    }
}
