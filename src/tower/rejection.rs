//! Why a request is rejected.

use std::{borrow::Cow, fmt, time::Duration};

use http::StatusCode;

use crate::decision::{DecisionRef, whole_seconds};
use crate::tower::head::Head;
use crate::tower::headers::RateLimitHeaders;
use crate::tower::key::KeyError;
use crate::tower::names::Name;

/// Why a request is rejected. A [`RejectionResponse`](super::RejectionResponse) is made from it.
///
/// Its text is one line of ASCII. There are four kinds:
///
/// | the request | status | [`decision`](Rejection::decision) | [`key_error`](Rejection::key_error) |
/// |---|---|---|---|
/// | is denied now; [`retry_after_seconds`](Rejection::retry_after_seconds) has when to retry | 429 | yes | no |
/// | exceeds a burst, so that no wait helps | 400 | yes | no |
/// | has no usable key | as [`OnMissingKey`](super::OnMissingKey) says | no | yes |
/// | could not be decided, as the limiter's store failed | 503 | no | no |
#[derive(Clone, Copy)]
pub struct Rejection<'a> {
    request: &'a Head<'a>,
    status: StatusCode,
    cause: Cause<'a>,
    /// The units that the request costs. 0 if that was not asked.
    cost: u64,
}

#[derive(Clone, Copy)]
enum Cause<'a> {
    Denied(DecisionRef<'a>, &'a [Name]),
    Key(KeyError, Option<&'a str>),
    /// With the time after which the limiter may let the request pass, if it is known.
    Store(Option<Duration>),
}

impl<'a> Rejection<'a> {
    /// Makes the rejection of a request that was denied `cost` units. `headers` has the names of the
    /// quotas: under tiers, those [for the decision](RateLimitHeaders::for_decision).
    ///
    /// The layer makes its rejections itself. This is for handlers without the layer:
    /// [`RateLimitHeaders`] has an example.
    #[must_use]
    pub fn new(
        request: &'a Head<'a>,
        decision: DecisionRef<'a>,
        cost: u64,
        headers: &'a RateLimitHeaders,
    ) -> Rejection<'a> {
        let status = if decision.exceeds_burst() {
            StatusCode::BAD_REQUEST
        } else {
            StatusCode::TOO_MANY_REQUESTS
        };
        Rejection {
            request,
            status,
            cause: Cause::Denied(decision, headers.names()),
            cost,
        }
    }

    pub(super) fn without_key(
        request: &'a Head<'a>,
        error: KeyError,
        name: Option<&'a str>,
        status: StatusCode,
    ) -> Rejection<'a> {
        Rejection {
            request,
            status,
            cause: Cause::Key(error, name),
            cost: 0,
        }
    }

    pub(super) fn of_store_error(
        request: &'a Head<'a>,
        cost: u64,
        retry_after: Option<Duration>,
    ) -> Rejection<'a> {
        Rejection {
            request,
            status: StatusCode::SERVICE_UNAVAILABLE,
            cause: Cause::Store(retry_after),
            cost,
        }
    }

    /// Returns the request that is rejected.
    #[must_use]
    pub fn request(&self) -> &'a Head<'a> {
        self.request
    }

    /// Returns the status of the ready-made responses.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// Returns the denial, or `None` if there was no decision.
    #[must_use]
    pub fn decision(&self) -> Option<DecisionRef<'a>> {
        match self.cause {
            Cause::Denied(decision, _) => Some(decision),
            Cause::Key(..) | Cause::Store(_) => None,
        }
    }

    /// Returns why the request has no usable key, or `None` if it has one.
    #[must_use]
    pub fn key_error(&self) -> Option<KeyError> {
        match self.cause {
            Cause::Key(error, _) => Some(error),
            Cause::Denied(..) | Cause::Store(_) => None,
        }
    }

    /// Whether the limiter's store failed, so that there was no decision.
    #[must_use]
    pub fn is_store_error(&self) -> bool {
        matches!(self.cause, Cause::Store(_))
    }

    /// Returns the units that the request costs. 0 if it has no usable key.
    #[must_use]
    pub fn cost(&self) -> u64 {
        self.cost
    }

    /// Returns the value of `Retry-After`: the wait in seconds, rounded up. Never 0.
    ///
    /// `None` if no wait is known to help.
    #[must_use]
    pub fn retry_after_seconds(&self) -> Option<u64> {
        match self.cause {
            Cause::Denied(decision, _) => decision.retry_after_seconds(),
            Cause::Store(retry_after) => retry_after.map(|wait| whole_seconds(wait).max(1)),
            Cause::Key(..) => None,
        }
    }

    /// Returns the wait of which [`retry_after_seconds`](Rejection::retry_after_seconds) is in seconds.
    pub(super) fn retry_after(&self) -> Option<Duration> {
        match self.cause {
            Cause::Denied(decision, _) => decision.retry_after(),
            Cause::Store(retry_after) => retry_after,
            Cause::Key(..) => None,
        }
    }

    /// Returns the names of the quotas that deny the request, in the order of the policy.
    pub fn violated_quotas(&self) -> impl Iterator<Item = &'a str> {
        let (quotas, names) = match self.cause {
            Cause::Denied(decision, names) => (decision.quotas(), names),
            Cause::Key(..) | Cause::Store(_) => (&[][..], &[][..]),
        };
        let quotas = quotas.iter().zip(names);
        quotas
            .filter(|(quota, _)| quota.exceeds_burst() || quota.retry_after().is_some())
            .map(|(_, name)| name.as_str())
    }

    /// Returns why the request is rejected, in a line of ASCII.
    pub(super) fn text(&self) -> Cow<'static, str> {
        match self.cause {
            Cause::Denied(decision, _) if decision.exceeds_burst() => {
                let (cost, limit) = (self.cost, decision.limit());
                Cow::Owned(format!(
                    "a request that costs {cost} exceeds the burst of {limit}"
                ))
            }
            Cause::Denied(..) => Cow::Borrowed("rate limit exceeded"),
            Cause::Key(error, name) => key_text(error, name),
            Cause::Store(_) => Cow::Borrowed("rate limit store unavailable"),
        }
    }
}

/// Returns what is wrong with the key, which has a `name` that the client may know.
fn key_text(error: KeyError, name: Option<&str>) -> Cow<'static, str> {
    let key = || match name {
        Some(name) => format!("rate-limit key {name:?}"),
        None => "rate-limit key".to_owned(),
    };
    match (error, name) {
        (KeyError::Missing, None) => Cow::Borrowed("missing rate-limit key"),
        (KeyError::Malformed, None) => Cow::Borrowed("invalid rate-limit key"),
        (KeyError::Missing, _) => Cow::Owned(format!("missing {}", key())),
        (KeyError::Malformed, _) => Cow::Owned(format!("invalid {}", key())),
        (KeyError::TooLong { max_len }, _) => {
            Cow::Owned(format!("{} is longer than {max_len} bytes", key()))
        }
    }
}

impl fmt::Display for Rejection<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.text())
    }
}

impl fmt::Debug for Rejection<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rejection")
            .field("status", &self.status)
            .field("decision", &self.decision())
            .field("key_error", &self.key_error())
            .field("is_store_error", &self.is_store_error())
            .field("cost", &self.cost)
            .finish()
    }
}
