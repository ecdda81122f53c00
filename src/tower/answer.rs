//! The answers to what is refused.

use std::fmt;

use http::{HeaderValue, Response, StatusCode, header};
use serde::ser::{Serialize, SerializeMap, Serializer};

use crate::tower::refusal::Refusal;

/// Answers what the layer refuses, with a body of type `B`.
///
/// The ready-made ones are [`Text`], [`Json`], [`Problem`] and [`Grpc`]; any function is one by
/// [`RateLimitLayer::answer_with`](super::RateLimitLayer::answer_with). The layer adds `Retry-After`
/// and the fields of the limit to whatever is answered, but for those that are there.
pub trait Answer<B, const N: usize = 1> {
    /// The answer to a request that is refused.
    fn answer(&self, refusal: &Refusal<'_, N>) -> Response<B>;
}

/// Plain text: `Too Many Requests: rate limit exceeded; retry after 3 s`.
#[derive(Clone, Copy, Debug, Default)]
pub struct Text;

impl<B: From<String>, const N: usize> Answer<B, N> for Text {
    fn answer(&self, refusal: &Refusal<'_, N>) -> Response<B> {
        let status = refusal.status();
        let reason = status.canonical_reason().unwrap_or("Refused");
        let text = match refusal.retry_after_seconds() {
            Some(seconds) => format!("{reason}: {refusal}; retry after {seconds} s\n"),
            None => format!("{reason}: {refusal}\n"),
        };
        response(status, "text/plain; charset=utf-8", text)
    }
}

/// JSON: `{"detail":"rate limit exceeded","retry_after_seconds":3}`.
///
/// `retry_after_seconds` is missing where waiting does not help.
#[derive(Clone, Copy, Debug, Default)]
pub struct Json;

impl<B: From<String>, const N: usize> Answer<B, N> for Json {
    fn answer(&self, refusal: &Refusal<'_, N>) -> Response<B> {
        response(
            refusal.status(),
            "application/json",
            json(&Details(refusal)),
        )
    }
}

struct Details<'a, const N: usize>(&'a Refusal<'a, N>);

impl<const N: usize> Serialize for Details<'_, N> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("detail", &Displayed(self.0))?;
        if let Some(seconds) = self.0.retry_after_seconds() {
            map.serialize_entry("retry_after_seconds", &seconds)?;
        }
        map.end()
    }
}

/// `application/problem+json` (RFC 9457).
///
/// A denial is of the type `quota-exceeded` of draft-ietf-httpapi-ratelimit-headers-11, with the
/// names of the quotas that do not allow the request: `"violated-policies":["hour"]`. A request
/// without a key is of no registered type.
#[derive(Clone, Copy, Debug, Default)]
pub struct Problem;

impl<B: From<String>, const N: usize> Answer<B, N> for Problem {
    fn answer(&self, refusal: &Refusal<'_, N>) -> Response<B> {
        let text = json(&ProblemDetails(refusal));
        response(refusal.status(), "application/problem+json", text)
    }
}

struct ProblemDetails<'a, const N: usize>(&'a Refusal<'a, N>);

impl<const N: usize> Serialize for ProblemDetails<'_, N> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let refusal = self.0;
        let (kind, title) = if refusal.decision().is_some() {
            let kind = "https://iana.org/assignments/http-problem-types#quota-exceeded";
            (kind, "Quota exceeded")
        } else {
            let reason = refusal.status().canonical_reason();
            ("about:blank", reason.unwrap_or("Refused"))
        };
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("type", kind)?;
        map.serialize_entry("title", title)?;
        map.serialize_entry("status", &refusal.status().as_u16())?;
        map.serialize_entry("detail", &Displayed(refusal))?;
        if refusal.decision().is_some() {
            let violated: Vec<&str> = refusal.violated().collect();
            map.serialize_entry("violated-policies", &violated)?;
        }
        map.end()
    }
}

/// gRPC: status `RESOURCE_EXHAUSTED`, over HTTP 200 and with no body, as gRPC wants it.
///
/// A request without a key gets the gRPC status that its HTTP status stands for. Clients that retry
/// are told when by `grpc-retry-pushback-ms`, or not to.
///
/// It works with every body that has a default, as tonic's, which is the empty one.
#[derive(Clone, Copy, Debug, Default)]
pub struct Grpc;

impl<B: Default, const N: usize> Answer<B, N> for Grpc {
    fn answer(&self, refusal: &Refusal<'_, N>) -> Response<B> {
        let mut response = Response::new(B::default());
        let headers = response.headers_mut();
        headers.insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/grpc"),
        );
        headers.insert("grpc-status", HeaderValue::from(grpc_status(refusal)));
        // Of the characters in a refusal's text none needs to be escaped: they are ASCII without %.
        if let Ok(message) = HeaderValue::try_from(refusal.to_string()) {
            headers.insert("grpc-message", message);
        }
        if let Some(decision) = refusal.decision() {
            // What is no number of ms, such as -1, means: do not try again.
            let pushback = match decision.retry_after() {
                Some(wait) => HeaderValue::from(
                    i32::try_from(wait.as_nanos().div_ceil(1_000_000)).unwrap_or(i32::MAX),
                ),
                None => HeaderValue::from_static("-1"),
            };
            headers.insert("grpc-retry-pushback-ms", pushback);
        }
        response
    }
}

/// The status codes of gRPC, by what an HTTP status says of a request.
fn grpc_status<const N: usize>(refusal: &Refusal<'_, N>) -> u16 {
    if refusal.decision().is_some() {
        return 8; // RESOURCE_EXHAUSTED
    }
    match refusal.status() {
        StatusCode::BAD_REQUEST => 3,          // INVALID_ARGUMENT
        StatusCode::NOT_FOUND => 5,            // NOT_FOUND
        StatusCode::FORBIDDEN => 7,            // PERMISSION_DENIED
        StatusCode::TOO_MANY_REQUESTS => 8,    // RESOURCE_EXHAUSTED
        StatusCode::SERVICE_UNAVAILABLE => 14, // UNAVAILABLE
        StatusCode::UNAUTHORIZED => 16,        // UNAUTHENTICATED
        _ => 2,                                // UNKNOWN
    }
}

/// Any function of the refusal.
#[derive(Clone, Copy)]
pub struct AnswerWith<F>(pub(super) F);

impl<F, B, const N: usize> Answer<B, N> for AnswerWith<F>
where
    F: Fn(&Refusal<'_, N>) -> Response<B>,
{
    fn answer(&self, refusal: &Refusal<'_, N>) -> Response<B> {
        (self.0)(refusal)
    }
}

impl<F> fmt::Debug for AnswerWith<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AnswerWith").finish_non_exhaustive()
    }
}

fn response<B: From<String>>(
    status: StatusCode,
    content_type: &'static str,
    text: String,
) -> Response<B> {
    let mut response = Response::new(B::from(text));
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

/// Strings and numbers under string keys, which is all that is written here, have a JSON form.
fn json(details: &impl Serialize) -> String {
    serde_json::to_string(details).unwrap_or_default()
}

/// Written as a string without one of its own.
struct Displayed<T>(T);

impl<T: fmt::Display> Serialize for Displayed<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}
