//! Why a request was rejected.

use std::{borrow::Cow, fmt, time::Duration};

use http::StatusCode;

use crate::decision::Decision;
use crate::tower::head::Head;
use crate::tower::key::KeyError;
use crate::tower::names::Names;

/// Why the layer refuses a request: what an [`RejectionResponse`](super::RejectionResponse) is made from.
///
/// Its text form is one line that says so. It is one of three:
///
/// - *not now*: status 429, and [`retry_after_seconds`](Rejection::retry_after_seconds);
/// - *never*: the request costs more than a full bucket holds. Status 400 and no time to retry, as
///   429 would have clients try again, and waiting does not help;
/// - *no key*: there is no [`decision`](Rejection::decision), and the status is as
///   [`OnMissingKey`](super::OnMissingKey) says.
#[derive(Clone, Copy)]
pub struct Rejection<'a, const N: usize = 1> {
    request: &'a Head<'a>,
    status: StatusCode,
    cause: Cause<'a, N>,
}

#[derive(Clone, Copy)]
enum Cause<'a, const N: usize> {
    Denied(Denied<'a, N>),
    KeyError(KeyError),
}

#[derive(Clone, Copy)]
struct Denied<'a, const N: usize> {
    decision: &'a Decision<N>,
    cost: u64,
    names: &'a Names<N>,
}

impl<'a, const N: usize> Rejection<'a, N> {
    pub(super) fn denied(
        request: &'a Head<'a>,
        decision: &'a Decision<N>,
        cost: u64,
        names: &'a Names<N>,
    ) -> Rejection<'a, N> {
        let status = if decision.exceeds_burst() {
            StatusCode::BAD_REQUEST
        } else {
            StatusCode::TOO_MANY_REQUESTS
        };
        let cause = Cause::Denied(Denied {
            decision,
            cost,
            names,
        });
        Rejection {
            request,
            status,
            cause,
        }
    }

    pub(super) fn without_key(
        request: &'a Head<'a>,
        why: KeyError,
        status: StatusCode,
    ) -> Rejection<'a, N> {
        Rejection {
            request,
            status,
            cause: Cause::KeyError(why),
        }
    }

    /// The request that is rejected.
    #[must_use]
    pub fn request(&self) -> &'a Head<'a> {
        self.request
    }

    /// The status that the ready-made answers have.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// The denial, or `None` if the request has no key.
    #[must_use]
    pub fn decision(&self) -> Option<&'a Decision<N>> {
        self.denial().map(|denied| denied.decision)
    }

    /// Why the request has no key, or `None` if it has one and was denied.
    #[must_use]
    pub fn key_error(&self) -> Option<KeyError> {
        match self.cause {
            Cause::Denied(_) => None,
            Cause::KeyError(why) => Some(why),
        }
    }

    /// The units that the request asked for; 0 if it has no key.
    #[must_use]
    pub fn cost(&self) -> u64 {
        self.denial().map_or(0, |denied| denied.cost)
    }

    /// What `Retry-After` says: the decision's wait in whole seconds, rounded up, so never 0.
    ///
    /// `None` if waiting does not help.
    #[must_use]
    pub fn retry_after_seconds(&self) -> Option<u64> {
        self.decision()?.retry_after().map(whole_seconds)
    }

    /// The names of the quotas that do not allow the request, in the order of the policy.
    pub fn violated_quotas(&self) -> impl Iterator<Item = &'a str> {
        self.denial().into_iter().flat_map(|denied| {
            let quotas = denied.decision.quotas().iter().zip(denied.names);
            quotas
                .filter(|(quota, _)| quota.exceeds_burst() || quota.retry_after().is_some())
                .map(|(_, name)| name.as_str())
        })
    }

    fn denial(&self) -> Option<Denied<'a, N>> {
        match self.cause {
            Cause::Denied(denied) => Some(denied),
            Cause::KeyError(_) => None,
        }
    }
}

impl<const N: usize> Rejection<'_, N> {
    /// Why, in a line of ASCII.
    pub(super) fn text(&self) -> Cow<'static, str> {
        Cow::Borrowed(match self.cause {
            Cause::KeyError(KeyError::Missing) => {
                "the request lacks what it would be rate limited by"
            }
            Cause::KeyError(KeyError::Malformed) => {
                "what the request would be rate limited by is malformed"
            }
            Cause::KeyError(KeyError::TooLong { max_len }) => {
                let text = "what the request would be rate limited by is longer than";
                return Cow::Owned(format!("{text} {max_len} bytes"));
            }
            Cause::Denied(Denied { decision, cost, .. }) if decision.exceeds_burst() => {
                let limit = decision.limit();
                let text = "can never pass: the limit is";
                return Cow::Owned(format!("a request that costs {cost} {text} {limit}"));
            }
            Cause::Denied(_) => "rate limit exceeded",
        })
    }
}

impl<const N: usize> fmt::Display for Rejection<'_, N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.text())
    }
}

impl<const N: usize> fmt::Debug for Rejection<'_, N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rejection")
            .field("status", &self.status)
            .field("decision", &self.decision())
            .field("cost", &self.cost())
            .finish()
    }
}

/// Rounded up: a client that waits for so many seconds has waited for long enough.
pub(super) fn whole_seconds(time: Duration) -> u64 {
    time.as_secs() + u64::from(time.subsec_nanos() > 0)
}
