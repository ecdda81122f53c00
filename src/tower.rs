//! A layer that limits HTTP requests, for axum, hyper, tonic and other
//! [tower](https://docs.rs/tower-service) services.
//!
//! ```
//! use std::sync::Arc;
//! use axum::body::Body;
//! use axum::extract::Request;
//! use axum::http::StatusCode;
//! use axum::middleware::{self, Next};
//! use axum::response::{IntoResponse, Response};
//! use axum::{Router, routing::{get, post}};
//! use tollgate::tower::{JsonResponse, OnMissingKey, RateLimitLayer, key::ExtensionKey};
//! use tollgate::{ManualClock, Quota, RateLimiter};
//! use tower::ServiceExt;
//!
//! /// The user who sent a request.
//! #[derive(Clone, PartialEq, Eq, Hash)]
//! struct User(&'static str);
//!
//! async fn authenticate(mut request: Request, next: Next) -> Response {
//!     if request.headers().get("x-api-key").is_none_or(|key| key != "key-of-alice") {
//!         return StatusCode::UNAUTHORIZED.into_response();
//!     }
//!     request.extensions_mut().insert(User("alice"));
//!     next.run(request).await
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! // A service has `RateLimiter::new(Quota::per_hour(2))`. A test moves the clock.
//! let limiter = RateLimiter::builder(Quota::per_hour(2)).clock(ManualClock::new()).build();
//! let limiter = Arc::new(limiter);
//! // A request without a user comes here only if the layers are in the wrong order.
//! let on_missing = OnMissingKey::Reject(StatusCode::INTERNAL_SERVER_ERROR);
//! let limit = RateLimitLayer::new(limiter, ExtensionKey::<User>::new(), on_missing).respond(JsonResponse);
//!
//! let app = Router::new()
//!     .route("/check", post(|| async { "checked" }))
//!     .layer(limit)
//!     .layer(middleware::from_fn(authenticate)) // added last, runs first
//!     .route("/health", get(|| async { "well" })); // added after both, has neither
//!
//! let check = || Request::post("/check").header("x-api-key", "key-of-alice").body(Body::empty());
//! let first = app.clone().oneshot(check()?).await?;
//! assert_eq!(first.status(), StatusCode::OK);
//! assert_eq!(first.headers()["x-ratelimit-limit"], "2");
//! assert_eq!(first.headers()["x-ratelimit-remaining"], "1");
//!
//! let second = app.clone().oneshot(check()?).await?;
//! assert_eq!(second.status(), StatusCode::OK);
//! let third = app.clone().oneshot(check()?).await?;
//! assert_eq!(third.status(), StatusCode::TOO_MANY_REQUESTS);
//! assert_eq!(third.headers()["retry-after"], "1800"); // a unit in half an hour
//!
//! let health = app.oneshot(Request::get("/health").body(Body::empty())?).await?;
//! assert_eq!(health.status(), StatusCode::OK);
//! # Ok(())
//! # }
//! ```
//!
//! The [limiter](crate::RateLimiter) decides. The [key] is the bucket that a request is charged to; its
//! page says how to choose one, above all behind proxies. [`OnMissingKey`] is what happens to a request
//! without a key, and a [`RejectionResponse`] is the response to a rejected one.
//!
//! # Response header fields
//!
//! | field | on | value |
//! |---|---|---|
//! | `Retry-After` | 429 | whole seconds until the same request passes, rounded up, never 0 |
//! | `X-RateLimit-Limit` | every limited response | the burst of the binding quota, in units |
//! | `X-RateLimit-Remaining` | the same | the units that are left |
//! | `X-RateLimit-Reset` | the same | whole seconds until every bucket is full, rounded up |
//! | `RateLimit-Policy`, `RateLimit` | the same, if [set](RateLimitLayer::ietf_fields) | each quota by its name, as in that draft |
//!
//! All are numbers of the one decision on the request. A request that costs more than a full bucket
//! holds gets 400 and no `Retry-After`: no wait helps.
//!
//! A handler without the layer writes the same fields with [`RateLimitHeaders`], and the same bodies from
//! a [`Rejection`].
//!
//! Browsers show these fields to scripts of other origins only if `Access-Control-Expose-Headers` names
//! them. They also send `OPTIONS` requests by themselves. Put the layer for CORS outside this one: it
//! answers those requests. (An exemption of `OPTIONS` would also exempt what a handler for any method
//! does with it.)
//!
//! # Where to put it
//!
//! Place the layer inside authentication, which finds the key, and outside any work. In axum the layer
//! that is added last runs first. So add this one *before* the authentication layer, or no request will
//! have a key. `Router::layer` also limits unmatched paths (404). `Router::route_layer` limits only
//! matched paths, with their 405s. Nested layers each spend units, and the fields are those of the
//! innermost.
//!
//! gRPC services of tonic take the layer with [`GrpcResponse`].
//!
//! # Limiters elsewhere
//!
//! The limiter may be any [`Limit`](crate::limit::Limit), such as one whose state is in a store that
//! several nodes share. The layer then waits for the decision before it calls the inner service. If the
//! store fails, [`OnStoreError`] or the limiter's own rule applies: 503 by default, never 429. Only for such a limiter must the inner
//! service be `Clone`: the service that was polled ready moves into the waiting future.
//!
//! # Rejected requests with a body
//!
//! An HTTP/1 server that responds before it has read the body must close the connection. Many clients
//! then report a broken connection instead of the response. nginx responds with 502 and counts the
//! upstream as failed, for other users too. Over HTTP/2, what arrives after the response counts against
//! the connection. h2 ends it after some thousand such streams, with those of other users.
//!
//! So the response to a rejected request goes out once its body has been read and discarded: at most
//! 16 MiB, for at most 10 s (1 s over HTTP/2 and HTTP/3), or as [set](RateLimitLayer::drain). This holds
//! for every rejection.
//!
//! The layer cannot do this for others. A 401, 404, 405, 408 or 413 of an outer layer or a handler that
//! leaves the body unread has the same effect. The example services read each body first, in their
//! outermost layer.
//!
//! The body of a request that passes is not touched. A request without a body is answered at once.
//! Nothing is collected, and no runtime is started. A thread of this crate keeps the time limit.
//!
//! Some bodies are not read, or not to their end. The response then has `Connection: close`, and a
//! client that is still sending may see a broken connection instead:
//!
//! - a `Content-Length` above the byte limit, which is answered at once;
//! - a body that reaches the byte limit or the time limit;
//! - a request with `Expect: 100-continue`, which is answered at once. A client that waits for
//!   `100 Continue` has not sent the body yet, and sees the response. One that sends both at once, or a
//!   proxy that does, may not;
//! - a body that breaks off, or that an outer body limit (`http_body_util::Limited`) cuts short;
//! - if no thread can be started, what has not arrived by then.
//!
//! Over HTTP/2 and HTTP/3 the response does not mention the connection: only the stream is reset. What is
//! not read there still counts against the connection. A proxy that sends a thousand such streams within
//! h2's half a minute loses it. Set limits that its uploads meet.
//!
//! Each slow upload of a rejected client can hold its connection for the time limit, as an idle
//! connection or a slow head can. Bound those at the server: `header_read_timeout` of hyper ends a slow
//! head. It does not end a slow body, which the time limit here ends. What is outside this layer waits
//! with it: a permit of a concurrency limit is held as long, a shorter timeout replaces the 429, and a
//! graceful shutdown may wait. The memory for each connection is what the server buffers of a body (at
//! most some 400 KB in hyper).
//!
//! The body type of a service's requests has to be a [`RequestBody`], as every `http_body::Body` is.
//!
//! # Comparison
//!
//! Read from the sources of tower_governor 0.8.0 and axum-governor 2.1.2:
//!
//! | | this | tower_governor | axum-governor |
//! |---|---|---|---|
//! | `Retry-After` for a wait of 0.2 s, of 1.9 s | 1, 2 | 0, 1 | 1, 1 |
//! | `X-Forwarded-For` of an untrusted peer | ignored | believed | answered with 400 |
//! | the address taken from it | the rightmost untrusted | the leftmost | the rightmost untrusted |
//! | an entry that is no address | ends the walk | is skipped | is skipped |
//! | IPv6 clients | by /64, or as set | each alone | by /56, or as set |
//! | `::ffff:203.0.113.7` | is 203.0.113.7 | is an IPv6 client | is in one /56 with all such |
//! | no header, no peer | as `OnMissingKey` says | 500 | 400, 500 |
//! | several quotas | one decision | no | one after the other |
//! | gRPC status | yes | yes | no |
//! | key looked up asynchronously | no: by a layer before | no | yes |
//! | quotas by method or by key | no: by a layer each | no | yes |
//!
//! # Limits
//!
//! - The decision is made once, when a request's head has arrived. A long stream costs what its request
//!   costs.
//! - Nothing is given back if the inner service fails.
//! - `poll_ready` delegates to the inner service. If that reserves capacity, such as a concurrency permit,
//!   a rejected request leaves it reserved until the next request is forwarded or the service is dropped.
//!
//! With the feature `tracing`, each rejection is an event of level `DEBUG` with the target `tollgate`. It
//! has the key only if [set](RateLimitLayer::log_keys). A failed store is an event of level `WARN`.

pub mod key;

mod body;
mod config;
mod decide;
mod drain;
mod error;
mod head;
mod headers;
mod layer;
mod names;
mod rejection;
mod response;
mod service;
#[cfg(feature = "tracing")]
mod trace;

pub use body::{Discarded, RequestBody};
pub use config::{OnMissingKey, OnStoreError};
pub use error::InvalidSetting;
pub use head::Head;
pub use headers::{IetfDraft, RateLimitHeaders};
pub use layer::RateLimitLayer;
pub use rejection::Rejection;
pub use response::{
    GrpcResponse, JsonResponse, ProblemResponse, RejectionResponse, RespondWith, TextResponse,
};
pub use service::{RateLimit, RateLimitFuture, TakeReady};
