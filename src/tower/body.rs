//! How a layer reads the body of a request that it rejects.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Buf;
use http_body::Body;

/// The body of a request, as far as a layer reads it: to discard it.
///
/// Every [`http_body::Body`] implements this: the bodies of axum, hyper and tonic, `String`, and
/// those of `http_body_util`. A service that a layer limits takes requests with such bodies only,
/// because a rejected request is answered after its body has been read; see
/// [`RateLimitLayer::drain`](super::RateLimitLayer::drain).
///
/// A body type of your own that does not implement `http_body::Body` can implement this instead.
/// The provided methods are those of a body that cannot be read:
///
/// ```
/// use tollgate::tower::RequestBody;
///
/// struct Upload(Vec<u8>);
///
/// // The whole upload is in memory, so no connection has bytes of it.
/// impl RequestBody for Upload {}
/// # let _ = Upload(Vec::new());
/// ```
#[diagnostic::on_unimplemented(
    message = "a rate limit cannot read requests with a body of type `{Self}`",
    label = "this body type cannot be read and discarded",
    note = "tollgate reads the body of a rejected request, so that the response reaches the client",
    note = "types that implement `http_body::Body` 1.x can be read: the bodies of axum, hyper and \
            tonic, `String`, `http_body_util::Empty`",
    note = "in a test, send `Request<String>` instead of `Request<()>`; for a type of your own, \
            write `impl tollgate::tower::RequestBody for …`"
)]
pub trait RequestBody {
    /// Returns true if nothing is left to read.
    fn is_at_end(&self) -> bool {
        true
    }

    /// Returns the least number of bytes that are left, or 0 if it is unknown.
    fn min_remaining(&self) -> u64 {
        0
    }

    /// Reads the next part of the body and discards it.
    ///
    /// Wakes the task when there is more to read, as [`Future::poll`] does. It is not called again
    /// after [`Discarded::End`] or [`Discarded::Broken`].
    fn poll_discard(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Discarded> {
        _ = context;
        Poll::Ready(Discarded::End)
    }
}

/// What [`RequestBody::poll_discard`] has read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Discarded {
    /// As many bytes of the body. Trailers are none.
    Bytes(u64),
    /// The end of the body.
    End,
    /// Nothing: the body cannot be read further, and is not at its end.
    Broken,
}

#[diagnostic::do_not_recommend]
impl<B: Body> RequestBody for B {
    fn is_at_end(&self) -> bool {
        self.is_end_stream() || self.size_hint().upper() == Some(0)
    }

    fn min_remaining(&self) -> u64 {
        self.size_hint().lower()
    }

    fn poll_discard(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Discarded> {
        self.poll_frame(context).map(|frame| match frame {
            None => Discarded::End,
            Some(Err(_)) => Discarded::Broken,
            Some(Ok(frame)) => {
                // Servers bound the length of headers and trailers.
                let length = frame.data_ref().map_or(0, Buf::remaining);
                Discarded::Bytes(u64::try_from(length).unwrap_or(u64::MAX))
            }
        })
    }
}
