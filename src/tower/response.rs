//! The answers to what is rejected.

use std::fmt;

use http::{HeaderValue, Method, Response, StatusCode, header};
use serde::ser::{Serialize, SerializeMap, Serializer};

use crate::decision::Decision;
use crate::tower::rejection::Rejection;

/// Answers what the layer refuses, with a body of type `B`.
///
/// The ready-made ones are [`TextResponse`], [`JsonResponse`], [`ProblemResponse`] and [`GrpcResponse`]; any function is one by
/// [`RateLimitLayer::respond_with`](super::RateLimitLayer::respond_with). To an answer to a denial
/// the layer adds the fields of the limit, and `Retry-After` where waiting helps, but for those
/// that are there.
///
/// Those with a text work with bodies that are made from a `String`: axum's `Body`, `Full<Bytes>`,
/// `String`. For another, such as a `BoxBody`, a function turns one into the other:
///
/// ```
/// # use std::sync::Arc; use tollgate::{Quota, RateLimiter};
/// use bytes::Bytes;
/// use http::Response;
/// use http_body_util::{Full, combinators::BoxBody};
/// use tollgate::tower::{RejectionResponse, JsonResponse, OnMissingKey, RateLimitLayer, key::ExtensionKey};
/// # #[derive(Clone, PartialEq, Eq, Hash)] struct Owner(u64);
/// # let (limiter, no_key) = (Arc::new(RateLimiter::new(Quota::default())), OnMissingKey::Reject(http::StatusCode::FORBIDDEN));
///
/// let layer = RateLimitLayer::new(limiter, ExtensionKey::<Owner>::new(), no_key)
///     .respond_with(|rejection| {
///         let answer: Response<Full<Bytes>> = JsonResponse.respond(rejection);
///         answer.map(BoxBody::new)
///     });
/// # let _ = layer;
/// ```
pub trait RejectionResponse<B, const N: usize = 1> {
    /// The answer to a request that is rejected.
    fn respond(&self, rejection: &Rejection<'_, N>) -> Response<B>;
}

/// An answer that is chosen when the service starts.
impl<B, const N: usize, T: RejectionResponse<B, N> + ?Sized> RejectionResponse<B, N> for Box<T> {
    fn respond(&self, rejection: &Rejection<'_, N>) -> Response<B> {
        (**self).respond(rejection)
    }
}

/// Plain text: `Too Many Requests: rate limit exceeded; retry after 3 s`.
#[derive(Clone, Copy, Debug, Default)]
pub struct TextResponse;

impl<B: From<String>, const N: usize> RejectionResponse<B, N> for TextResponse {
    fn respond(&self, rejection: &Rejection<'_, N>) -> Response<B> {
        let reason = rejection.status().canonical_reason().unwrap_or("Rejected");
        let why = rejection.text();
        let text = match rejection.retry_after_seconds() {
            // Put together without formatting, as a flood is answered with it.
            Some(seconds) => {
                let seconds = seconds.to_string();
                [reason, ": ", &why, "; retry after ", &seconds, " s\n"].concat()
            }
            None => format!("{reason}: {why}\n"),
        };
        const TYPE: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");
        response(rejection, TYPE, text)
    }
}

/// JSON: `{"detail":"rate limit exceeded","retry_after_seconds":3}`.
///
/// `retry_after_seconds` is missing where waiting does not help.
#[derive(Clone, Copy, Debug, Default)]
pub struct JsonResponse;

impl<B: From<String>, const N: usize> RejectionResponse<B, N> for JsonResponse {
    fn respond(&self, rejection: &Rejection<'_, N>) -> Response<B> {
        const TYPE: HeaderValue = HeaderValue::from_static("application/json");
        response(rejection, TYPE, json(&Details(rejection)))
    }
}

struct Details<'a, const N: usize>(&'a Rejection<'a, N>);

impl<const N: usize> Serialize for Details<'_, N> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("detail", &*self.0.text())?;
        if let Some(seconds) = self.0.retry_after_seconds() {
            map.serialize_entry("retry_after_seconds", &seconds)?;
        }
        map.end()
    }
}

/// `application/problem+json` (RFC 9457).
///
/// What may pass later is of the type `quota-exceeded` of draft-ietf-httpapi-ratelimit-headers-11,
/// and names the quotas that do not allow the request: `"violated-policies":["hour"]`. What never
/// can, and a request without a key, are of no registered type (`about:blank`).
#[derive(Clone, Copy, Debug, Default)]
pub struct ProblemResponse;

impl<B: From<String>, const N: usize> RejectionResponse<B, N> for ProblemResponse {
    fn respond(&self, rejection: &Rejection<'_, N>) -> Response<B> {
        const TYPE: HeaderValue = HeaderValue::from_static("application/problem+json");
        response(rejection, TYPE, json(&ProblemDetails(rejection)))
    }
}

struct ProblemDetails<'a, const N: usize>(&'a Rejection<'a, N>);

impl<const N: usize> Serialize for ProblemDetails<'_, N> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let rejection = self.0;
        let may_pass_later = rejection.retry_after_seconds().is_some();
        let (kind, title) = if may_pass_later {
            let kind = "https://iana.org/assignments/http-problem-types#quota-exceeded";
            (kind, "Quota exceeded")
        } else {
            let reason = rejection.status().canonical_reason();
            ("about:blank", reason.unwrap_or("Rejected"))
        };
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("type", kind)?;
        map.serialize_entry("title", title)?;
        map.serialize_entry("status", &rejection.status().as_u16())?;
        map.serialize_entry("detail", &*rejection.text())?;
        if may_pass_later {
            let violated: Vec<&str> = rejection.violated_quotas().collect();
            map.serialize_entry("violated-policies", &violated)?;
        }
        map.end()
    }
}

/// gRPC: a status of its own over HTTP 200 and with no body, as gRPC wants it.
///
/// What may pass later is `RESOURCE_EXHAUSTED`, and what never can `INVALID_ARGUMENT`. A request
/// without a key has the code that google.rpc.Code assigns to its HTTP status, the first in order
/// that fits a rejection where it assigns several, and `UNKNOWN` where none. Clients that retry by
/// themselves are told when by `grpc-retry-pushback-ms`.
///
/// It works with every body that has a default, as tonic's, which is the empty one.
#[derive(Clone, Copy, Debug, Default)]
pub struct GrpcResponse;

impl<B: Default, const N: usize> RejectionResponse<B, N> for GrpcResponse {
    fn respond(&self, rejection: &Rejection<'_, N>) -> Response<B> {
        let mut response = Response::new(B::default());
        let headers = response.headers_mut();
        const TYPE: HeaderValue = HeaderValue::from_static("application/grpc");
        headers.insert(header::CONTENT_TYPE, TYPE);
        let code = grpc_code(rejection.status());
        headers.insert("grpc-status", HeaderValue::from(code));
        // Of the characters in a rejection's text none needs to be escaped: they are ASCII without %.
        if let Ok(message) = HeaderValue::try_from(&*rejection.text()) {
            headers.insert("grpc-message", message);
        }
        if let Some(wait) = rejection.decision().and_then(Decision::retry_after) {
            // Beyond what a client can wait for, it is told not to try again, which -1 says.
            let pushback = i32::try_from(wait.as_nanos().div_ceil(1_000_000)).unwrap_or(-1);
            headers.insert("grpc-retry-pushback-ms", HeaderValue::from(pushback));
        }
        response
    }
}

fn grpc_code(status: StatusCode) -> u16 {
    match status {
        _ if status.as_u16() == 499 => 1,        // CANCELLED
        StatusCode::BAD_REQUEST => 3,            // INVALID_ARGUMENT
        StatusCode::GATEWAY_TIMEOUT => 4,        // DEADLINE_EXCEEDED
        StatusCode::NOT_FOUND => 5,              // NOT_FOUND
        StatusCode::FORBIDDEN => 7,              // PERMISSION_DENIED
        StatusCode::TOO_MANY_REQUESTS => 8,      // RESOURCE_EXHAUSTED
        StatusCode::CONFLICT => 10,              // ABORTED
        StatusCode::NOT_IMPLEMENTED => 12,       // UNIMPLEMENTED
        StatusCode::INTERNAL_SERVER_ERROR => 13, // INTERNAL
        StatusCode::SERVICE_UNAVAILABLE => 14,   // UNAVAILABLE
        StatusCode::UNAUTHORIZED => 16,          // UNAUTHENTICATED
        _ => 2,                                  // UNKNOWN
    }
}

/// Any function of the rejection.
#[derive(Clone, Copy)]
pub struct RespondWith<F>(pub(super) F);

impl<F, B, const N: usize> RejectionResponse<B, N> for RespondWith<F>
where
    F: Fn(&Rejection<'_, N>) -> Response<B>,
{
    fn respond(&self, rejection: &Rejection<'_, N>) -> Response<B> {
        (self.0)(rejection)
    }
}

impl<F> fmt::Debug for RespondWith<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RespondWith").finish_non_exhaustive()
    }
}

fn response<B: From<String>, const N: usize>(
    rejection: &Rejection<'_, N>,
    content_type: HeaderValue,
    text: String,
) -> Response<B> {
    // An answer to HEAD says how long its content is, and must not have it (RFC 9110, 9.3.2). Not
    // every server sees to that.
    let (text, length) = if rejection.request().method == Method::HEAD {
        (String::new(), Some(text.len()))
    } else {
        (text, None)
    };
    let mut response = Response::new(B::from(text));
    *response.status_mut() = rejection.status();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, content_type);
    if let Some(length) = length {
        headers.insert(header::CONTENT_LENGTH, HeaderValue::from(length));
    }
    response
}

/// Strings and numbers under string keys, which is all that is written here, have a JSON form.
fn json(details: &impl Serialize) -> String {
    serde_json::to_string(details).unwrap_or_default()
}
