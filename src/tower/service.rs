//! The service: decides on a request, and answers it or passes it on.

use std::{
    fmt,
    future::Future,
    hash::BuildHasher,
    pin::Pin,
    task::{Context, Poll, ready},
};

use http::{HeaderValue, Request, Response, header};
use pin_project_lite::pin_project;
use tower_service::Service;

use crate::hash::RandomState;
use crate::sync::Arc;
use crate::tower::body::RequestBody;
use crate::tower::config::{Config, Verdict};
use crate::tower::drain::{Connection, Drain, Plan, has_option};
use crate::tower::head::Head;
use crate::tower::headers::Written;
use crate::tower::key::{RequestKey, Stored};
use crate::tower::response::{RejectionResponse, TextResponse};

/// A service whose requests are limited; made by [`RateLimitLayer`](super::RateLimitLayer).
///
/// It is ready when the inner service is, and fails as that fails. Clones share the limiter.
#[must_use = "a service does nothing until it is called"]
pub struct RateLimit<T, K: RequestKey, const N: usize = 1, A = TextResponse, S = RandomState> {
    inner: T,
    config: Arc<Config<K, N, A, S>>,
}

impl<T, K: RequestKey, const N: usize, A, S> RateLimit<T, K, N, A, S> {
    pub(super) fn new(inner: T, config: Arc<Config<K, N, A, S>>) -> RateLimit<T, K, N, A, S> {
        RateLimit { inner, config }
    }
}

impl<T, K, const N: usize, A, S, I, O> Service<Request<I>> for RateLimit<T, K, N, A, S>
where
    T: Service<Request<I>, Response = Response<O>>,
    K: RequestKey,
    Stored<K>: 'static,
    A: RejectionResponse<O, N>,
    S: BuildHasher + Clone,
    I: RequestBody,
{
    type Response = Response<O>;
    type Error = T::Error;
    type Future = RateLimitFuture<T::Future, O, I>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), T::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut request: Request<I>) -> Self::Future {
        let config = &*self.config;
        let step = match config.verdict(&Head::from(&request)) {
            Verdict::Unlimited => Step::Passed {
                future: self.inner.call(request),
                fields: None,
            },
            Verdict::Allowed(decision, fields) => {
                if config.inserts_decision {
                    request.extensions_mut().insert(decision);
                }
                Step::Passed {
                    future: self.inner.call(request),
                    fields: Some(fields),
                }
            }
            Verdict::Rejected(mut response) => {
                let mut drain = None;
                if let Some(limits) = config.drain {
                    match limits.plan(&request) {
                        Plan::Read(time, if_unread) => {
                            let body = request.into_body();
                            drain = Some(limits.drain(body, time, if_unread));
                        }
                        Plan::Answer(connection) => announce(connection, &mut response),
                    }
                }
                Step::Rejected {
                    response: Some(response),
                    drain,
                }
            }
        };
        RateLimitFuture { step }
    }
}

pin_project! {
    /// The response of a [`RateLimit`].
    #[must_use = "a future does nothing until it is polled"]
    pub struct RateLimitFuture<F, O, I> {
        #[pin]
        step: Step<F, O, I>,
    }
}

pin_project! {
    #[project = StepPinned]
    enum Step<F, O, I> {
        Rejected {
            response: Option<Response<O>>,
            #[pin]
            drain: Option<Drain<I>>,
        },
        Passed {
            #[pin]
            future: F,
            fields: Option<Written>,
        },
    }
}

impl<F, O, E, I> Future for RateLimitFuture<F, O, I>
where
    I: RequestBody,
    F: Future<Output = Result<Response<O>, E>>,
{
    type Output = Result<Response<O>, E>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project().step.project() {
            StepPinned::Rejected {
                response,
                mut drain,
            } => {
                if let Some(body) = drain.as_mut().as_pin_mut() {
                    let connection = ready!(body.poll(context));
                    drain.set(None);
                    if let Some(response) = response {
                        announce(connection, response);
                    }
                }
                match response.take() {
                    Some(response) => Poll::Ready(Ok(response)),
                    // Polled after it was ready.
                    None => Poll::Pending,
                }
            }
            StepPinned::Passed { future, fields } => {
                let mut response = ready!(future.poll(context))?;
                if let Some(fields) = fields.take() {
                    fields.add_to(response.headers_mut());
                }
                Poll::Ready(Ok(response))
            }
        }
    }
}

/// Tells the client when the server will close the connection (RFC 9110, section 10.1.1).
fn announce<O>(connection: Connection, response: &mut Response<O>) {
    if connection == Connection::Closes {
        let headers = response.headers_mut();
        // Beside what a custom answer may have said of the connection.
        if !has_option(headers, &header::CONNECTION, b"close") {
            headers.append(header::CONNECTION, HeaderValue::from_static("close"));
        }
    }
}

impl<F, O, I> fmt::Debug for RateLimitFuture<F, O, I> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RateLimitFuture").finish_non_exhaustive()
    }
}

impl<T: Clone, K: RequestKey, const N: usize, A, S> Clone for RateLimit<T, K, N, A, S> {
    fn clone(&self) -> RateLimit<T, K, N, A, S> {
        RateLimit {
            inner: self.inner.clone(),
            config: Arc::clone(&self.config),
        }
    }
}

impl<T: fmt::Debug, K: RequestKey, const N: usize, A, S> fmt::Debug for RateLimit<T, K, N, A, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RateLimit")
            .field("inner", &self.inner)
            .field("config", &self.config)
            .finish()
    }
}
