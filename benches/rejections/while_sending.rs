//! The way that was not chosen: the response goes out at once, and its body reads the rest of the
//! request while it is being sent.

use std::{
    future::Future,
    pin::Pin,
    sync::{Arc, Mutex},
    task::{Context, Poll, ready},
    time::Duration,
};

use axum::body::{Body, Bytes};
use axum::extract::Request;
use axum::middleware::Next;
use axum::response::Response;
use http::StatusCode;
use http_body::{Body as _, Frame, SizeHint};
use tokio::time::Sleep;

/// Short, so that a cell that waits for it ends soon.
const TIME: Duration = Duration::from_millis(500);

/// The head of the response goes out at once, its body once the request has been read.
pub async fn head_first(request: Request, next: Next) -> Response {
    while_sending(request, next, false).await
}

/// All of the response goes out at once, but for the mark that it has ended.
pub async fn all_but_the_end(request: Request, next: Next) -> Response {
    while_sending(request, next, true).await
}

async fn while_sending(request: Request, next: Next, sends_data: bool) -> Response {
    let (parts, body) = request.into_parts();
    let lent = Arc::new(Mutex::new(body));
    let request = Request::from_parts(parts, Body::new(Lent(Arc::clone(&lent))));
    let response = next.run(request).await;
    if response.status() != StatusCode::TOO_MANY_REQUESTS {
        return response;
    }
    let reading = Reading {
        request: Some(lent),
        time: Box::pin(tokio::time::sleep(TIME)),
        sends_data,
    };
    let (mut parts, body) = response.into_parts();
    if sends_data {
        parts.headers.remove(http::header::CONTENT_LENGTH);
    }
    Response::from_parts(parts, Body::new(Sending { body, reading }))
}

/// The body of a request, which the response takes over.
struct Lent(Arc<Mutex<Body>>);

impl http_body::Body for Lent {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut *self.0.lock().unwrap()).poll_frame(context)
    }
}

struct Reading {
    request: Option<Arc<Mutex<Body>>>,
    time: Pin<Box<Sleep>>,
    sends_data: bool,
}

impl Reading {
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<()> {
        while let Some(request) = &self.request {
            if self.time.as_mut().poll(context).is_ready() {
                self.request = None;
                break;
            }
            let mut body = request.lock().unwrap();
            let frame = ready!(Pin::new(&mut *body).poll_frame(context));
            drop(body);
            if !matches!(frame, Some(Ok(_))) {
                self.request = None;
            }
        }
        Poll::Ready(())
    }
}

struct Sending {
    body: Body,
    reading: Reading,
}

impl http_body::Body for Sending {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        if !self.reading.sends_data {
            ready!(self.reading.poll(context));
        }
        let frame = ready!(Pin::new(&mut self.body).poll_frame(context));
        if frame.is_none() {
            ready!(self.reading.poll(context));
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.reading.request.is_none() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        if self.reading.sends_data {
            SizeHint::default()
        } else {
            self.body.size_hint()
        }
    }
}
