//! What a layer makes of a request: it passes or is rejected, now or once a store has answered.

use http::{Response, StatusCode};

use crate::limit::{AsDecision, Checked, Fallback, Limit};
use crate::tower::config::{Config, MissingKey, OnStoreError, Predicate};
use crate::tower::head::Head;
use crate::tower::headers::{Prepared, RateLimitHeaders, insert_retry_after};
use crate::tower::key::{KeyError, RequestKey};
use crate::tower::rejection::Rejection;
use crate::tower::response::RejectionResponse;

/// What happens to a request.
pub(super) enum Verdict<D, O> {
    /// It passes, and its response is left as it is.
    Unlimited,
    /// It passes, and its response carries these fields.
    Allowed(D, Prepared),
    Rejected(Response<O>),
}

/// A decision that a store has not made yet.
pub(super) struct Undecided<F> {
    pub(super) future: F,
    pub(super) asked: Asked,
}

/// What has to be known of a request once it is decided.
pub(super) struct Asked {
    cost: u64,
    /// The key as it is logged, if it is.
    logged_key: Option<String>,
}

impl<L, K> Config<L, K>
where
    K: RequestKey,
    L: Limit<K::Key>,
{
    pub(super) fn decide<O>(
        &self,
        request: &Head<'_>,
        respond: &impl RejectionResponse<O>,
    ) -> Checked<Verdict<L::Decision, O>, Undecided<L::Future>> {
        let is_exempt = |exempt: &Predicate| exempt(request);
        if self.exempt.as_ref().is_some_and(is_exempt) {
            return Checked::Now(Verdict::Unlimited);
        }
        let cost = || self.cost.as_ref().map_or(1, |cost| cost(request));
        let key = match (self.key.key(request), &self.missing_key) {
            (Ok(key), _) => key,
            (Err(KeyError::Missing), MissingKey::Allow) => {
                return Checked::Now(Verdict::Unlimited);
            }
            (Err(KeyError::Missing), MissingKey::Share(bucket, headers)) => {
                let cost = cost();
                let decision = bucket.check_n(cost);
                let verdict = conclude(request, decision, cost, headers, respond, || None);
                return Checked::Now(verdict);
            }
            (Err(error), rule) => {
                let status = match rule {
                    MissingKey::Reject(status) => *status,
                    MissingKey::Allow | MissingKey::Share(..) => StatusCode::BAD_REQUEST,
                };
                let rejection = Rejection::without_key(request, error, self.key_name(), status);
                trace(&rejection, || None);
                return Checked::Now(Verdict::Rejected(respond.respond(&rejection)));
            }
        };
        let cost = cost();
        match self.limiter.decide(&key, cost) {
            Checked::Now(decision) => {
                let logged_key = || self.logged_key(&key);
                let headers = &self.headers;
                let verdict = conclude(request, decision, cost, headers, respond, logged_key);
                Checked::Now(verdict)
            }
            Checked::Later(future) => {
                let logged_key = self.logged_key(&key);
                let asked = Asked { cost, logged_key };
                Checked::Later(Undecided { future, asked })
            }
        }
    }

    /// Goes on when the store has answered.
    pub(super) fn decide_later<O>(
        &self,
        request: &Head<'_>,
        answer: Result<L::Decision, L::Error>,
        asked: Asked,
        respond: &impl RejectionResponse<O>,
    ) -> Verdict<L::Decision, O> {
        let Asked { cost, logged_key } = asked;
        match answer {
            Ok(decision) => {
                let headers = &self.headers;
                conclude(request, decision, cost, headers, respond, || logged_key)
            }
            Err(error) => {
                let fallback = self.limiter.fallback(&error);
                if fallback.is_none() {
                    trace_store_error(&error);
                }
                let retry_after = match (self.store_error, fallback) {
                    (Some(OnStoreError::Allow), _) | (None, Some(Fallback::Allow)) => {
                        return Verdict::Unlimited;
                    }
                    (_, Some(Fallback::Reject { retry_after })) => retry_after,
                    (Some(OnStoreError::Reject), Some(Fallback::Allow)) | (_, None) => None,
                };
                let rejection = Rejection::of_store_error(request, cost, retry_after);
                trace(&rejection, || logged_key);
                let mut response = respond.respond(&rejection);
                insert_retry_after(response.headers_mut(), rejection.retry_after_seconds());
                Verdict::Rejected(response)
            }
        }
    }

    #[cfg(feature = "tracing")]
    fn logged_key(&self, key: &K::Key) -> Option<String> {
        self.logged_key.map(|text_of| text_of(key))
    }

    #[cfg(not(feature = "tracing"))]
    fn logged_key(&self, _: &K::Key) -> Option<String> {
        None
    }
}

/// Passes or rejects a request by its decision.
#[inline]
fn conclude<D: AsDecision, O>(
    request: &Head<'_>,
    decision: D,
    cost: u64,
    headers: &RateLimitHeaders,
    respond: &impl RejectionResponse<O>,
    logged_key: impl FnOnce() -> Option<String>,
) -> Verdict<D, O> {
    let view = decision.as_decision();
    let headers = headers.for_decision(view);
    let prepared = headers.prepare(view);
    if view.is_allowed() {
        return Verdict::Allowed(decision, prepared);
    }
    let rejection = Rejection::new(request, view, cost, &headers);
    trace(&rejection, logged_key);
    let mut response = respond.respond(&rejection);
    let fields = response.headers_mut();
    insert_retry_after(fields, view.retry_after_seconds());
    prepared.add_to(fields);
    Verdict::Rejected(response)
}

#[cfg(feature = "tracing")]
fn trace(rejection: &Rejection<'_>, key: impl FnOnce() -> Option<String>) {
    crate::tower::trace::rejection(rejection, key);
}

#[cfg(not(feature = "tracing"))]
fn trace(_: &Rejection<'_>, _: impl FnOnce() -> Option<String>) {}

#[cfg(feature = "tracing")]
fn trace_store_error(error: &impl std::fmt::Display) {
    crate::tower::trace::store_error(error);
}

#[cfg(not(feature = "tracing"))]
fn trace_store_error(_: &impl std::fmt::Display) {}
