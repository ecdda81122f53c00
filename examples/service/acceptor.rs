//! Accepts connections, and pauses after an error.

use std::{future::poll_fn, io, net::SocketAddr, task::Context, task::Poll, time::Duration};

use tokio::net::TcpStream;
use tokio::time::{Instant, sleep_until};

/// The wait after an error. Without a free file descriptor, the next attempt would fail at once.
pub const PAUSE: Duration = Duration::from_millis(100);

/// Errors at most this far apart are one burst, which is reported once.
pub const BURST: Duration = Duration::from_secs(10);

/// A source of connections. It goes on after each error, since an error concerns one connection or
/// is temporary.
pub struct Acceptor<A, W> {
    /// Polls a listener.
    accept: A,
    /// Reports the first error of each burst.
    warn: W,
    resume_at: Option<Instant>,
    failed_at: Option<Instant>,
}

impl<A, W> Acceptor<A, W>
where
    A: FnMut(&mut Context<'_>) -> Poll<io::Result<(TcpStream, SocketAddr)>>,
    W: FnMut(io::Error),
{
    pub fn new(accept: A, warn: W) -> Acceptor<A, W> {
        Acceptor {
            accept,
            warn,
            resume_at: None,
            failed_at: None,
        }
    }

    /// Returns the next connection.
    ///
    /// The future may be dropped at any time. The next one continues its pause.
    pub async fn accept(&mut self) -> TcpStream {
        loop {
            if let Some(resume_at) = self.resume_at {
                sleep_until(resume_at).await;
                self.resume_at = None;
            }
            match poll_fn(&mut self.accept).await {
                Ok((stream, _)) => return stream,
                Err(error) => self.pause(error),
            }
        }
    }

    fn pause(&mut self, error: io::Error) {
        let now = Instant::now();
        self.resume_at = Some(now + PAUSE);
        let last = self.failed_at.replace(now);
        if last.is_none_or(|last| now - last > BURST) {
            (self.warn)(error);
        }
    }
}
