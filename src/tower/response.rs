//! The responses to rejected requests.

use std::fmt;

use http::{HeaderValue, Method, Response, StatusCode, header};
use serde::ser::{Serialize, SerializeMap, Serializer};

use crate::tower::rejection::Rejection;

/// Makes the response to a rejected request, with a body of type `B`.
///
/// The ready-made ones are [`TextResponse`], [`JsonResponse`], [`ProblemResponse`] and
/// [`GrpcResponse`]. Any function is one by
/// [`RateLimitLayer::respond_with`](super::RateLimitLayer::respond_with). The layer adds the rate
/// limit headers, and `Retry-After` if waiting helps, unless the response already has them.
///
/// Those with a text work with bodies that are made from a `String`: axum's `Body`, `Full<Bytes>`,
/// `String`. For another body, such as a `BoxBody`, a function converts one:
///
/// ```
/// # use std::sync::Arc; use tollgate::{Quota, RateLimiter};
/// use bytes::Bytes;
/// use http::Response;
/// use http_body_util::{Full, combinators::BoxBody};
/// use tollgate::tower::{JsonResponse, OnMissingKey, RateLimitLayer, RejectionResponse, key::ExtensionKey};
/// # #[derive(Clone, PartialEq, Eq, Hash)] struct Owner(u64);
/// # let (limiter, on_missing) = (Arc::new(RateLimiter::new(Quota::default())), OnMissingKey::Reject(http::StatusCode::FORBIDDEN));
///
/// let layer = RateLimitLayer::new(limiter, ExtensionKey::<Owner>::new(), on_missing)
///     .respond_with(|rejection| {
///         let response: Response<Full<Bytes>> = JsonResponse.respond(rejection);
///         response.map(BoxBody::new)
///     });
/// # let _ = layer;
/// ```
pub trait RejectionResponse<B> {
    /// Returns the response to a rejected request.
    fn respond(&self, rejection: &Rejection<'_>) -> Response<B>;
}

/// A response that is chosen when the service starts.
impl<B, T: RejectionResponse<B> + ?Sized> RejectionResponse<B> for Box<T> {
    fn respond(&self, rejection: &Rejection<'_>) -> Response<B> {
        (**self).respond(rejection)
    }
}

/// Plain text: `Too Many Requests: rate limit exceeded; retry after 3 s`.
#[derive(Clone, Copy, Debug, Default)]
pub struct TextResponse;

impl<B: From<String>> RejectionResponse<B> for TextResponse {
    fn respond(&self, rejection: &Rejection<'_>) -> Response<B> {
        let reason = rejection.status().canonical_reason().unwrap_or("Rejected");
        let why = rejection.text();
        let text = match rejection.retry_after_seconds() {
            // Put together without formatting, as this is the response to a flood.
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
/// `retry_after_seconds` is missing if no wait helps.
#[derive(Clone, Copy, Debug, Default)]
pub struct JsonResponse;

impl<B: From<String>> RejectionResponse<B> for JsonResponse {
    fn respond(&self, rejection: &Rejection<'_>) -> Response<B> {
        const TYPE: HeaderValue = HeaderValue::from_static("application/json");
        response(rejection, TYPE, json(&Details(rejection)))
    }
}

struct Details<'a>(&'a Rejection<'a>);

impl Serialize for Details<'_> {
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
/// A denied request that may pass later has the type `quota-exceeded` of
/// draft-ietf-httpapi-ratelimit-headers-11, and the names of the quotas that deny it:
/// `"violated-policies":["hour"]`. All others have no registered type (`about:blank`).
#[derive(Clone, Copy, Debug, Default)]
pub struct ProblemResponse;

impl<B: From<String>> RejectionResponse<B> for ProblemResponse {
    fn respond(&self, rejection: &Rejection<'_>) -> Response<B> {
        const TYPE: HeaderValue = HeaderValue::from_static("application/problem+json");
        response(rejection, TYPE, json(&ProblemDetails(rejection)))
    }
}

struct ProblemDetails<'a>(&'a Rejection<'a>);

impl Serialize for ProblemDetails<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let rejection = self.0;
        let is_denied = rejection.decision().is_some();
        let exceeds_quota = is_denied && rejection.retry_after().is_some();
        let (kind, title) = if exceeds_quota {
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
        if exceeds_quota {
            let violated: Vec<&str> = rejection.violated_quotas().collect();
            map.serialize_entry("violated-policies", &violated)?;
        }
        map.end()
    }
}

/// gRPC: HTTP 200 without a body, and a gRPC status in the headers, as gRPC specifies it.
///
/// - A denied request that may pass later: `RESOURCE_EXHAUSTED`.
/// - A request that exceeds a burst: `INVALID_ARGUMENT`.
/// - A failed store: `UNAVAILABLE`.
/// - A request without a usable key: the code that `google.rpc.Code` has for the HTTP status (the
///   first that fits; `UNKNOWN` if none).
///
/// If a wait helps, `grpc-retry-pushback-ms` tells clients that retry by themselves.
///
/// It works with every body whose default is empty, such as tonic's.
#[derive(Clone, Copy, Debug, Default)]
pub struct GrpcResponse;

impl<B: Default> RejectionResponse<B> for GrpcResponse {
    fn respond(&self, rejection: &Rejection<'_>) -> Response<B> {
        let mut response = Response::new(B::default());
        let headers = response.headers_mut();
        const TYPE: HeaderValue = HeaderValue::from_static("application/grpc");
        headers.insert(header::CONTENT_TYPE, TYPE);
        let code = grpc_code(rejection.status());
        headers.insert("grpc-status", HeaderValue::from(code));
        // The text is ASCII, so `%` is all that has to be percent-encoded.
        if let Ok(message) = HeaderValue::try_from(rejection.text().replace('%', "%25")) {
            headers.insert("grpc-message", message);
        }
        if let Some(wait) = rejection.retry_after() {
            // -1 tells the client not to retry, as it cannot wait this long.
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

/// A function of the rejection, as a response. Made by
/// [`respond_with`](super::RateLimitLayer::respond_with).
#[derive(Clone, Copy)]
pub struct RespondWith<F>(pub(super) F);

impl<F, B> RejectionResponse<B> for RespondWith<F>
where
    F: Fn(&Rejection<'_>) -> Response<B>,
{
    fn respond(&self, rejection: &Rejection<'_>) -> Response<B> {
        (self.0)(rejection)
    }
}

impl<F> fmt::Debug for RespondWith<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RespondWith").finish_non_exhaustive()
    }
}

fn response<B: From<String>>(
    rejection: &Rejection<'_>,
    content_type: HeaderValue,
    text: String,
) -> Response<B> {
    // A response to HEAD has the length of its content, and must not have the content (RFC 9110,
    // section 9.3.2). Not every server removes it.
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

/// Strings and numbers under string keys, as all details here, always have a JSON form.
fn json(details: &impl Serialize) -> String {
    serde_json::to_string(details).unwrap_or_default()
}
