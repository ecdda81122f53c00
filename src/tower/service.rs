//! The service: passes a request on or rejects it.

use std::{
    fmt,
    future::Future,
    mem,
    pin::Pin,
    task::{Context, Poll, ready},
};

use http::{HeaderValue, Request, Response, header};
use pin_project_lite::pin_project;
use tower_service::Service;

use crate::limit::{Checked, Immediate, Limit};
use crate::sync::Arc;
use crate::tower::body::RequestBody;
use crate::tower::config::Config;
use crate::tower::decide::{Asked, Undecided, Verdict};
use crate::tower::drain::{Connection, Drain, Limits, Plan, has_option};
use crate::tower::head::Head;
use crate::tower::headers::Prepared;
use crate::tower::key::RequestKey;
use crate::tower::response::{RejectionResponse, TextResponse};

/// A service whose requests are limited, made by [`RateLimitLayer`](super::RateLimitLayer).
///
/// It is ready when the inner service is, and fails as that fails. Clones share the limiter.
#[must_use = "a service does nothing until it is called"]
pub struct RateLimit<T, L, K, A = TextResponse>
where
    K: RequestKey,
    L: Limit<K::Key>,
{
    inner: T,
    shared: Arc<Shared<L, K, A>>,
}

struct Shared<L, K, A>
where
    K: RequestKey,
    L: Limit<K::Key>,
{
    config: Config<L, K>,
    response: Arc<A>,
}

impl<T, L, K, A> RateLimit<T, L, K, A>
where
    K: RequestKey,
    L: Limit<K::Key>,
{
    pub(super) fn new(inner: T, config: Config<L, K>, response: Arc<A>) -> RateLimit<T, L, K, A> {
        let shared = Arc::new(Shared { config, response });
        RateLimit { inner, shared }
    }
}

impl<T, L, K, A, I, O> Service<Request<I>> for RateLimit<T, L, K, A>
where
    T: Service<Request<I>, Response = Response<O>>,
    K: RequestKey,
    L: Limit<K::Key, Future: TakeReady<T>>,
    A: RejectionResponse<O>,
    I: RequestBody,
{
    type Response = Response<O>;
    type Error = T::Error;
    type Future = RateLimitFuture<T, L, K, A, I>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), T::Error>> {
        self.inner.poll_ready(context)
    }

    #[inline]
    fn call(&mut self, request: Request<I>) -> Self::Future {
        let Shared { config, response } = &*self.shared;
        let step = match config.decide(&Head::from(&request), &**response) {
            Checked::Now(verdict) => Step::after(verdict, &mut self.inner, request, config),
            Checked::Later(Undecided { future, asked }) => {
                let inner = future.take_ready(&mut self.inner);
                let shared = Arc::clone(&self.shared);
                let request = Waiting {
                    inner,
                    request,
                    shared,
                    asked,
                };
                let undecided = Box::pin(Decide {
                    future,
                    request: Some(request),
                });
                Step::Undecided { undecided }
            }
        };
        RateLimitFuture { step }
    }
}

/// Takes the inner service along with a request that waits for a decision.
///
/// A limiter that [decides at once](Immediate) never does. So its inner service need not be `Clone`. For
/// a limiter with a `Pin<Box<_>>` as its future it must be.
#[diagnostic::on_unimplemented(
    message = "a layer cannot wait for the decision of this limiter before it calls `{T}`",
    note = "the future of a limiter is `tollgate::limit::Immediate<_>` or `Pin<Box<_>>`",
    note = "for `Pin<Box<_>>` the inner service must be `Clone`"
)]
pub trait TakeReady<T> {
    /// Takes the service that was polled until it was ready, and leaves a clone.
    fn take_ready(&self, inner: &mut T) -> T;
}

impl<T, D> TakeReady<T> for Immediate<D> {
    fn take_ready(&self, _: &mut T) -> T {
        self.unreachable()
    }
}

impl<T: Clone, F: ?Sized> TakeReady<T> for Pin<Box<F>> {
    fn take_ready(&self, inner: &mut T) -> T {
        let clone = inner.clone();
        mem::replace(inner, clone)
    }
}

pin_project! {
    /// The response of a [`RateLimit`].
    #[must_use = "a future does nothing until it is polled"]
    pub struct RateLimitFuture<T, L, K, A, I>
    where
        T: Service<Request<I>>,
        K: RequestKey,
        L: Limit<K::Key>,
    {
        #[pin]
        step: Step<T::Response, T::Future, Decide<L::Future, Waiting<T, L, K, A, I>>, I>,
    }
}

pin_project! {
    #[project = StepPinned]
    enum Step<R, F, U, I> {
        // Boxed, so that it takes no room in the future of a limiter that decides at once.
        Undecided {
            undecided: Pin<Box<U>>,
        },
        Rejected {
            response: Option<R>,
            #[pin]
            drain: Option<Drain<I>>,
        },
        Passed {
            #[pin]
            future: F,
            fields: Option<Prepared>,
        },
    }
}

pin_project! {
    /// A request, and the future of the decision on it.
    struct Decide<D, W> {
        #[pin]
        future: D,
        request: Option<W>,
    }
}

/// A request that waits for the decision of a store, with all that is needed then.
struct Waiting<T, L, K, A, I>
where
    K: RequestKey,
    L: Limit<K::Key>,
{
    inner: T,
    request: Request<I>,
    shared: Arc<Shared<L, K, A>>,
    asked: Asked,
}

impl<O, F, U, I: RequestBody> Step<Response<O>, F, U, I> {
    /// Passes the request to the inner service, or prepares its rejection.
    #[inline]
    fn after<T, L, K>(
        verdict: Verdict<L::Decision, O>,
        inner: &mut T,
        mut request: Request<I>,
        config: &Config<L, K>,
    ) -> Step<Response<O>, F, U, I>
    where
        T: Service<Request<I>, Future = F>,
        K: RequestKey,
        L: Limit<K::Key>,
    {
        match verdict {
            Verdict::Unlimited => Step::Passed {
                future: inner.call(request),
                fields: None,
            },
            Verdict::Allowed(decision, fields) => {
                if config.inserts_decision {
                    request.extensions_mut().insert(decision);
                }
                Step::Passed {
                    future: inner.call(request),
                    fields: Some(fields),
                }
            }
            Verdict::Rejected(response) => Step::reject(response, request, config.drain),
        }
    }

    fn reject(
        mut response: Response<O>,
        request: Request<I>,
        limits: Option<Limits>,
    ) -> Step<Response<O>, F, U, I> {
        let mut drain = None;
        if let Some(limits) = limits {
            match limits.plan(&request) {
                Plan::Read(time, if_unread) => {
                    drain = Some(limits.drain(request.into_body(), time, if_unread));
                }
                Plan::Answer(connection) => announce(connection, &mut response),
            }
        }
        Step::Rejected {
            response: Some(response),
            drain,
        }
    }
}

impl<T, L, K, A, I, O> Future for RateLimitFuture<T, L, K, A, I>
where
    T: Service<Request<I>, Response = Response<O>>,
    K: RequestKey,
    L: Limit<K::Key>,
    A: RejectionResponse<O>,
    I: RequestBody,
{
    type Output = Result<Response<O>, T::Error>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let mut step = self.project().step;
        loop {
            match step.as_mut().project() {
                StepPinned::Undecided { undecided } => {
                    let undecided = undecided.as_mut().project();
                    let answer = ready!(undecided.future.poll(context));
                    // Polled again after a panic of the inner service.
                    let Some(waiting) = undecided.request.take() else {
                        return Poll::Pending;
                    };
                    let Waiting {
                        mut inner,
                        request,
                        shared,
                        asked,
                    } = waiting;
                    let Shared { config, response } = &*shared;
                    let head = Head::from(&request);
                    let verdict = config.decide_later(&head, answer, asked, &**response);
                    let next = Step::after(verdict, &mut inner, request, config);
                    step.set(next);
                }
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
                    return match response.take() {
                        Some(response) => Poll::Ready(Ok(response)),
                        // Polled after it was ready.
                        None => Poll::Pending,
                    };
                }
                StepPinned::Passed { future, fields } => {
                    let mut response = ready!(future.poll(context))?;
                    if let Some(fields) = fields.take() {
                        fields.add_to(response.headers_mut());
                    }
                    return Poll::Ready(Ok(response));
                }
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

impl<T, L, K, A, I> fmt::Debug for RateLimitFuture<T, L, K, A, I>
where
    T: Service<Request<I>>,
    K: RequestKey,
    L: Limit<K::Key>,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RateLimitFuture").finish_non_exhaustive()
    }
}

impl<T, L, K, A> Clone for RateLimit<T, L, K, A>
where
    T: Clone,
    K: RequestKey,
    L: Limit<K::Key>,
{
    fn clone(&self) -> RateLimit<T, L, K, A> {
        RateLimit {
            inner: self.inner.clone(),
            shared: Arc::clone(&self.shared),
        }
    }
}

impl<T, L, K, A> fmt::Debug for RateLimit<T, L, K, A>
where
    T: fmt::Debug,
    K: RequestKey,
    L: Limit<K::Key>,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RateLimit")
            .field("inner", &self.inner)
            .field("config", &self.shared.config)
            .finish()
    }
}
