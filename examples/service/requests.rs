//! Reads the body of each request before the service sees the request, and bounds its time.
//!
//! An answer to a request whose body is still arriving costs more than that request. On HTTP/1 the
//! server closes the connection, and the client may lose the answer. A proxy takes this for a failed
//! server, and sends other users to it no more. All answers do this: 401, 404, 405, 413 and 429
//! alike. Here every answer of the service finds its request's body in memory.
//!
//! A body takes at most [`BODY_LIMIT`] bytes, in a buffer of less than twice that. HTTP/1 has one
//! request at a time on a connection, HTTP/2 at most [`STREAMS`]. The rest of a longer body is
//! discarded as it arrives. This needs no key: any client can have its bodies read.
//!
//! Reading a body sends `100 Continue` to a client that waits for it.

use std::{pin::pin, time::Duration};

use axum::{
    body::{Body, HttpBody},
    extract::{Request, State},
    http::{HeaderValue, StatusCode, Version, header},
    middleware::Next,
    response::{IntoResponse, Response},
};
use tokio::time::{Instant, timeout_at};

/// The longest body that the service sees, in bytes. A longer one is answered with 413.
pub const BODY_LIMIT: usize = 64 * 1024;

/// How many bytes of a body are read before the answer 413. The connection of a longer one is closed.
const DISCARD_LIMIT: u64 = 16 * 1024 * 1024;

/// How many requests may be under way on a connection of HTTP/2.
pub const STREAMS: u32 = 200;

/// Runs the service on a request whose body is in memory. Body and service share the time `longest`.
///
/// Trailers are discarded.
pub async fn with_body_in_memory(
    State(longest): State<Duration>,
    request: Request,
    next: Next,
) -> Response {
    let deadline = Instant::now() + longest;
    let version = request.version();
    let (head, body) = request.into_parts();
    let body = match timeout_at(deadline, read(body)).await {
        Ok(Ok(body)) => body,
        Ok(Err(unread)) => return unread.answer(version),
        Err(_) => return Unread::Late.answer(version),
    };
    let request = Request::from_parts(head, Body::from(body));
    match timeout_at(deadline, next.run(request)).await {
        Ok(response) => response,
        Err(_) => too_late(),
    }
}

/// Why the service does not see a request.
enum Unread {
    /// The body is longer than [`BODY_LIMIT`]. All of it has been read.
    TooLong,
    /// The body is longer than [`DISCARD_LIMIT`]. The rest has not been read.
    Endless,
    /// The body broke off or is malformed.
    Broken,
    /// The body did not arrive in time.
    Late,
}

async fn read(body: Body) -> Result<Vec<u8>, Unread> {
    let mut body = pin!(body);
    let mut kept = Vec::new();
    let mut length = 0_u64;
    while let Some(frame) = std::future::poll_fn(|context| body.as_mut().poll_frame(context)).await
    {
        let frame = frame.map_err(|_| Unread::Broken)?;
        let Some(data) = frame.data_ref() else {
            continue;
        };
        length += data.len() as u64;
        if length > DISCARD_LIMIT {
            return Err(Unread::Endless);
        }
        if length > BODY_LIMIT as u64 {
            kept = Vec::new();
        } else {
            kept.extend_from_slice(data);
        }
    }
    if length > BODY_LIMIT as u64 {
        return Err(Unread::TooLong);
    }
    Ok(kept)
}

impl Unread {
    fn answer(self, version: Version) -> Response {
        let (mut answer, is_read) = match self {
            Unread::TooLong => (too_long(), true),
            Unread::Endless => (too_long(), false),
            Unread::Broken => {
                let why = "the body cannot be read\n";
                ((StatusCode::BAD_REQUEST, why).into_response(), false)
            }
            Unread::Late => (too_late(), false),
        };
        // hyper closes the connection. HTTP/2 has no such field, and ends the stream alone.
        if !is_read && version < Version::HTTP_2 {
            let close = HeaderValue::from_static("close");
            answer.headers_mut().insert(header::CONNECTION, close);
        }
        answer
    }
}

fn too_long() -> Response {
    let why = format!("the body is longer than {BODY_LIMIT} bytes\n");
    (StatusCode::PAYLOAD_TOO_LARGE, why).into_response()
}

fn too_late() -> Response {
    (StatusCode::REQUEST_TIMEOUT, "the request took too long\n").into_response()
}
