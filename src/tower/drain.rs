//! Reads and discards the body of a rejected request, before its response goes out.
//!
//! Over HTTP/1 a server that answers without reading the body has to close the connection. The
//! client is still sending then, and its next write fails: it reports that error instead of the
//! response. So the future of a rejected request reads the body first.
//!
//! - Frames are dropped as they come. Nothing is collected.
//! - Every frame counts as at least one byte, so the byte limit ends every body.
//! - No timer is set while each poll finds something to read, for at most [`FREE_TURNS`] polls.
//! - A poll reads at most [`FRAMES`] frames, and then lets other tasks run.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, Waker},
    time::Duration,
};

use http::{HeaderMap, Request, Version, header};
use pin_project_lite::pin_project;

use crate::maintenance::Alarm;
use crate::tower::body::RequestBody;
use crate::tower::error::InvalidSetting;

/// How much of a rejected request's body is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Limits {
    bytes: u64,
    time: Duration,
}

impl Limits {
    /// The largest body that nginx lets through by default is 1 MB; services often raise that to
    /// 8 or 10 MB. See `docs/architecture.md` for what was measured.
    pub(super) const DEFAULT: Limits = Limits {
        bytes: 16 * 1024 * 1024,
        time: Duration::from_secs(10),
    };

    const MAX_TIME: Duration = Duration::from_secs(60 * 60);

    pub(super) fn new(bytes: u64, time: Duration) -> Result<Limits, InvalidSetting> {
        if bytes == 0 {
            let setting = "the bytes to read of a rejected request's body";
            let expected = "at least 1 (`without_draining` reads nothing)";
            return Err(InvalidSetting::new("0", setting, expected));
        }
        if time > Limits::MAX_TIME {
            let setting = "the time to read a rejected request's body";
            return Err(InvalidSetting::new(
                format!("{time:?}"),
                setting,
                "at most 1 h",
            ));
        }
        Ok(Limits { bytes, time })
    }
}

/// Whether the body was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Drained {
    /// To its end, or it need not be read: the connection can carry another request.
    Whole,
    /// Not to its end: the server closes the connection after the response.
    InPart,
}

/// What precedes the response to a rejected request.
pub(super) enum Plan<I> {
    Answer(Drained),
    Read(Drain<I>),
}

impl<I: RequestBody> Plan<I> {
    /// Consumes the request, and drops all of it that is not needed.
    pub(super) fn of(request: Request<I>, limits: Limits) -> Plan<I> {
        let version = request.version();
        // HTTP/2 and HTTP/3 reset the stream, without harm to the connection.
        if version > Version::HTTP_11 || request.body().is_at_end() {
            return Plan::Answer(Drained::Whole);
        }
        // hyper sends `100 Continue` when the body is polled, which asks for the upload.
        // HTTP/1.0 does not have this expectation.
        let awaits_continue = version == Version::HTTP_11 && expects_continue(request.headers());
        if awaits_continue || request.body().min_remaining() > limits.bytes {
            return Plan::Answer(Drained::InPart);
        }
        Plan::Read(Drain::new(request.into_body(), limits))
    }
}

fn expects_continue(headers: &HeaderMap) -> bool {
    let mut lines = headers.get_all(header::EXPECT).iter();
    lines.any(|line| {
        let mut expectations = line.as_bytes().split(|byte| *byte == b',');
        expectations.any(|one| one.trim_ascii().eq_ignore_ascii_case(b"100-continue"))
    })
}

/// The frames that a poll reads at most.
const FRAMES: u32 = 64;
/// The polls that may ask for another one at once, before a timer is set.
const FREE_TURNS: u32 = 32;

/// The time at which the reading ends.
pub(super) trait Deadline: Sized {
    fn after(delay: Duration, waker: &Waker) -> io::Result<Self>;
    fn is_due(&self) -> bool;
    fn set_waker(&self, waker: &Waker);
}

impl Deadline for Alarm {
    fn after(delay: Duration, waker: &Waker) -> io::Result<Alarm> {
        Alarm::after(delay, waker)
    }

    fn is_due(&self) -> bool {
        self.is_due()
    }

    fn set_waker(&self, waker: &Waker) {
        self.set_waker(waker);
    }
}

pin_project! {
    /// Reads a body until it ends or a limit is reached.
    pub(super) struct Drain<I, D = Alarm> {
        #[pin]
        body: I,
        bytes_left: u64,
        time: Duration,
        free_turns: u32,
        deadline: Option<D>,
    }
}

impl<I: RequestBody, D: Deadline> Drain<I, D> {
    fn new(body: I, limits: Limits) -> Drain<I, D> {
        Drain {
            body,
            bytes_left: limits.bytes,
            time: limits.time,
            free_turns: FREE_TURNS,
            deadline: None,
        }
    }

    pub(super) fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Drained> {
        let mut this = self.project();
        if this.deadline.as_ref().is_some_and(D::is_due) {
            return Poll::Ready(Drained::InPart);
        }
        let mut frames = 0;
        let is_waiting = loop {
            if frames == FRAMES {
                break false;
            }
            let Poll::Ready(frame) = this.body.as_mut().poll_discard(context) else {
                break true;
            };
            let Some(bytes) = frame else {
                return Poll::Ready(Drained::Whole);
            };
            if this.body.is_at_end() {
                return Poll::Ready(Drained::Whole);
            }
            let Some(left) = this.bytes_left.checked_sub(bytes.max(1)) else {
                return Poll::Ready(Drained::InPart);
            };
            *this.bytes_left = left;
            frames += 1;
        };
        if let Some(deadline) = this.deadline {
            deadline.set_waker(context.waker());
            // It may have passed before the waker was replaced.
            if deadline.is_due() {
                return Poll::Ready(Drained::InPart);
            }
        } else if frames > 0 && *this.free_turns > 0 {
            // More may have arrived already: the server fills its buffer between two polls.
            *this.free_turns -= 1;
            context.waker().wake_by_ref();
            return Poll::Pending;
        } else if this.time.is_zero() {
            return Poll::Ready(Drained::InPart);
        } else {
            match D::after(*this.time, context.waker()) {
                Ok(deadline) => *this.deadline = Some(deadline),
                // Without a thread no time limit holds, so only what was there has been read.
                Err(_) => return Poll::Ready(Drained::InPart),
            }
        }
        if !is_waiting {
            context.waker().wake_by_ref();
        }
        Poll::Pending
    }
}
