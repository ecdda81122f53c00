//! Reads and discards the body of a rejected request, before its response goes out.
//!
//! Over HTTP/1 a server that answers without reading the body has to close the connection. The
//! client is still sending then, and its next write fails: it reports that error instead of the
//! response. Over HTTP/2 the server resets the stream; what arrives for it afterwards counts
//! against the whole connection, which h2 ends after 1,024 of these. So the future of a rejected
//! request reads the body first.

mod reading;

use std::time::Duration;

use http::{HeaderMap, HeaderName, Request, Version, header};

pub(super) use self::reading::{Connection, Drain};
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

    /// The longest time for a stream of HTTP/2 or HTTP/3. A call that streams to the server may
    /// send nothing until it has a response, so the response must come soon.
    const MAX_STREAM_TIME: Duration = Duration::from_secs(1);

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

/// What precedes the response to a rejected request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Plan {
    Answer(Connection),
    /// Read for at most this time. If the body does not end by then, this happens to the connection.
    Read(Duration, Connection),
}

impl Limits {
    pub(super) fn plan<I: RequestBody>(self, request: &Request<I>) -> Plan {
        let version = request.version();
        if request.body().is_at_end() {
            return Plan::Answer(Connection::Stays);
        }
        // HTTP/2 and HTTP/3 reset the stream and leave the connection.
        let (time, if_unread) = if version > Version::HTTP_11 {
            (self.time.min(Limits::MAX_STREAM_TIME), Connection::Stays)
        } else {
            (self.time, Connection::Closes)
        };
        // hyper sends `100 Continue` when the body is polled, which asks for the upload.
        // HTTP/1.0 does not have this expectation.
        let awaits_continue = version >= Version::HTTP_11 && expects_continue(request.headers());
        if awaits_continue || request.body().min_remaining() > self.bytes {
            return Plan::Answer(if_unread);
        }
        Plan::Read(time, if_unread)
    }

    pub(super) fn drain<I: RequestBody>(
        self,
        body: I,
        time: Duration,
        if_unread: Connection,
    ) -> Drain<I> {
        Drain::new(body, self.bytes, time, if_unread)
    }
}

fn expects_continue(headers: &HeaderMap) -> bool {
    has_option(headers, &header::EXPECT, b"100-continue")
}

/// Whether a header that is a list of tokens has this one.
pub(super) fn has_option(headers: &HeaderMap, name: &HeaderName, option: &[u8]) -> bool {
    let mut lines = headers.get_all(name).iter();
    lines.any(|line| {
        let mut options = line.as_bytes().split(|byte| *byte == b',');
        options.any(|one| one.trim_ascii().eq_ignore_ascii_case(option))
    })
}

#[cfg(test)]
mod tests {
    use std::{
        pin::Pin,
        task::{Context, Poll},
    };

    use super::*;
    use crate::tower::body::Discarded;

    struct Upload(u64);

    impl RequestBody for Upload {
        fn is_at_end(&self) -> bool {
            self.0 == 0
        }

        fn min_remaining(&self) -> u64 {
            self.0
        }

        fn poll_discard(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Discarded> {
            panic!("a plan polls nothing");
        }
    }

    const LIMITS: Limits = Limits {
        bytes: 100,
        time: Duration::from_secs(3),
    };

    /// `None` if the body is to be read.
    fn answered(version: Version, expect: &[&str], bytes: u64) -> Option<Connection> {
        let mut request = Request::builder().version(version);
        for line in expect {
            request = request.header("expect", *line);
        }
        match LIMITS.plan(&request.body(Upload(bytes)).unwrap()) {
            Plan::Answer(connection) => Some(connection),
            Plan::Read(time, if_unread) => {
                let is_stream = version > Version::HTTP_11;
                let second = Duration::from_secs(1);
                assert_eq!(time, if is_stream { second } else { LIMITS.time });
                assert_eq!(if_unread == Connection::Stays, is_stream);
                None
            }
        }
    }

    #[test]
    fn bodies_of_http_1_are_read_up_to_the_limit() {
        for version in [Version::HTTP_09, Version::HTTP_10, Version::HTTP_11] {
            assert_eq!(answered(version, &[], 0), Some(Connection::Stays));
            assert_eq!(answered(version, &[], 1), None);
            assert_eq!(answered(version, &[], 100), None);
            assert_eq!(answered(version, &[], 101), Some(Connection::Closes));
        }
    }

    #[test]
    fn bodies_of_http_2_and_http_3_are_read_for_a_second_and_close_no_connection() {
        for version in [Version::HTTP_2, Version::HTTP_3] {
            assert_eq!(answered(version, &[], 1), None);
            assert_eq!(answered(version, &[], 100), None);
            for (expect, bytes) in [(&[][..], 0), (&[], 101), (&["100-continue"], 1)] {
                assert_eq!(answered(version, expect, bytes), Some(Connection::Stays));
            }
        }
    }

    #[test]
    fn a_body_that_waits_for_100_continue_is_left() {
        for lines in [
            &["100-continue"][..],
            &["100-Continue"],
            &["a, 100-continue ,b"],
            &["a", "100-continue"],
        ] {
            let left = Some(Connection::Closes);
            assert_eq!(answered(Version::HTTP_11, lines, 1), left, "{lines:?}");
            // This version has no such expectation, so the body comes by itself.
            assert_eq!(answered(Version::HTTP_10, lines, 1), None, "{lines:?}");
        }
        for lines in [&["200-ok"][..], &["100-continued"], &[""]] {
            assert_eq!(answered(Version::HTTP_11, lines, 1), None, "{lines:?}");
        }
    }

    #[test]
    fn limits_that_make_no_sense_are_refused_by_their_value() {
        let error = |bytes, time| Limits::new(bytes, time).unwrap_err().to_string();
        let text = error(0, Duration::ZERO);
        assert!(
            text.starts_with("found \"0\" as") && text.contains("at least 1"),
            "{text}"
        );
        let text = error(1, Duration::from_millis(3_600_001));
        assert!(text.starts_with("found \"3600.001s\" as"), "{text}");
        assert!(text.ends_with("expected at most 1 h"), "{text}");
        let hour = Duration::from_secs(3_600);
        assert!(Limits::new(u64::MAX, hour).is_ok() && Limits::new(1, Duration::ZERO).is_ok());
    }
}
