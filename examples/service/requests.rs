//! Reads the body of each request before the service sees the request, and bounds its time.
//!
//! A response to a request whose body is still arriving has a cost. On HTTP/1 the server closes the
//! connection, and the client may lose the response. A proxy then treats the server as failed, and
//! sends it no requests of other users. This holds for all responses: 401, 404, 405, 413 and 429.
//! So the service sees a request only when the whole body is in memory.
//!
//! A body takes at most [`BODY_LIMIT`] bytes, in a buffer of less than twice that. A longer body is
//! discarded as it arrives. A connection has one request at a time over HTTP/1, and at most
//! [`STREAMS`] over HTTP/2. No API key is needed: the bodies of any client are read.
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

/// The longest body that the service sees, in bytes. A longer one gets 413.
pub const BODY_LIMIT: usize = 64 * 1024;

/// The number of bytes of a body that are read before 413. A longer body closes the connection.
const DISCARD_LIMIT: u64 = 16 * 1024 * 1024;

/// The maximum of concurrent requests on an HTTP/2 connection.
pub const STREAMS: u32 = 200;

/// Reads the body into memory, then runs the service. Both together may take `longest`.
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
        Ok(Err(unread)) => return unread.response(version),
        Err(_) => return Unread::Late.response(version),
    };
    let request = Request::from_parts(head, Body::from(body));
    match timeout_at(deadline, next.run(request)).await {
        Ok(response) => response,
        Err(_) => too_late(),
    }
}

/// The reason why the service does not see a request.
enum Unread {
    /// The body is longer than [`BODY_LIMIT`]. All of it was read.
    TooLong,
    /// The body is longer than [`DISCARD_LIMIT`]. The rest was not read.
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
    fn response(self, version: Version) -> Response {
        let (mut response, is_read) = match self {
            Unread::TooLong => (too_long(), true),
            Unread::Endless => (too_long(), false),
            Unread::Broken => {
                let why = "the body cannot be read\n";
                ((StatusCode::BAD_REQUEST, why).into_response(), false)
            }
            Unread::Late => (too_late(), false),
        };
        // hyper closes the connection. HTTP/2 has no such header, and only the stream ends.
        if !is_read && version < Version::HTTP_2 {
            let close = HeaderValue::from_static("close");
            response.headers_mut().insert(header::CONNECTION, close);
        }
        response
    }
}

fn too_long() -> Response {
    let why = format!("the body is longer than {BODY_LIMIT} bytes\n");
    (StatusCode::PAYLOAD_TOO_LARGE, why).into_response()
}

fn too_late() -> Response {
    (StatusCode::REQUEST_TIMEOUT, "the request took too long\n").into_response()
}
