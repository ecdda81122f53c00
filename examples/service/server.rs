//! A server over HTTP/1 and HTTP/2 that bounds every wait for a client:
//!
//! | wait | ends after |
//! |---|---|
//! | for the first request, and over HTTP/1 for the head of each later one | `HEAD_TIMEOUT_MS` |
//! | for the body of a request and its handler together | `REQUEST_TIMEOUT_MS` |
//! | for the end of a connection, idle or busy | `CONNECTION_TIMEOUT_MS`, then it drains |
//! | for requests in progress when a connection drains or the service stops | `DRAIN_TIMEOUT_MS` |
//!
//! `axum::serve` has none of these timeouts, so hyper serves the connections here.

use std::{future, io, net::SocketAddr, pin::pin, sync::Arc, time::Duration};

use axum::{Router, extract::Request, middleware};
use hyper::{body::Incoming, service::service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tower::ServiceExt;

use super::acceptor::Acceptor;
use super::console;
use super::requests::{STREAMS, with_body_in_memory};
use super::settings::{Environment, InvalidSetting, Setting};

/// How long the server waits for a client.
#[derive(Clone, Copy, Debug)]
pub struct Timeouts {
    pub head: Duration,
    pub request: Duration,
    pub connection: Duration,
    pub drain: Duration,
}

impl Timeouts {
    pub const HEAD: Setting<u64> = milliseconds("HEAD_TIMEOUT_MS", 10_000);
    pub const REQUEST: Setting<u64> = milliseconds("REQUEST_TIMEOUT_MS", 30_000);
    pub const CONNECTION: Setting<u64> = milliseconds("CONNECTION_TIMEOUT_MS", 300_000);
    pub const DRAIN: Setting<u64> = milliseconds("DRAIN_TIMEOUT_MS", 8_000);

    pub fn read(environment: &Environment<'_>) -> Result<Timeouts, InvalidSetting> {
        let read = |setting: &Setting<u64>| setting.read(environment).map(Duration::from_millis);
        Ok(Timeouts {
            head: read(&Timeouts::HEAD)?,
            request: read(&Timeouts::REQUEST)?,
            connection: read(&Timeouts::CONNECTION)?,
            drain: read(&Timeouts::DRAIN)?,
        })
    }
}

const fn milliseconds(name: &'static str, default: u64) -> Setting<u64> {
    Setting {
        name,
        default,
        from: 1,
        to: 3_600_000,
    }
}

/// A server that listens and does not serve yet.
pub struct Server {
    listener: TcpListener,
    signals: Signals,
    address: SocketAddr,
}

impl Server {
    pub async fn listen(address: SocketAddr) -> io::Result<Server> {
        // First, so that a signal after the address is printed is never lost.
        let signals = Signals::listen()?;
        let listener = TcpListener::bind(address).await.map_err(|error| {
            io::Error::new(error.kind(), format!("cannot listen on {address}: {error}"))
        })?;
        let address = listener.local_addr()?;
        Ok(Server {
            listener,
            signals,
            address,
        })
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Serves until the first signal, and then finishes the requests in progress.
    ///
    /// Connections that are still open after the drain timeout are closed, and their number is
    /// logged. A second signal ends the wait.
    pub async fn serve(mut self, router: Router, timeouts: Timeouts) -> io::Result<()> {
        // The outermost layer. Authentication, the limit, 404 and 405 respond after the body is
        // read.
        let in_memory = middleware::from_fn_with_state(timeouts.request, with_body_in_memory);
        let router = router.layer(in_memory);
        let listener = self.listener;
        let warn =
            |error: io::Error| console::report(format_args!("warning: cannot accept: {error}"));
        let mut acceptor = Acceptor::new(|context| listener.poll_accept(context), warn);
        let (stop, stopping) = watch::channel(false);
        let mut connections = JoinSet::new();
        loop {
            tokio::select! {
                stream = acceptor.accept() => {
                    let stopping = stopping.clone();
                    connections.spawn(serve_connection(stream, router.clone(), timeouts, stopping));
                }
                Some(_) = connections.join_next() => {}
                () = self.signals.next() => break,
            }
        }
        drop(listener);
        stop.send_replace(true);
        let all_ended = async { while connections.join_next().await.is_some() {} };
        let in_time = tokio::select! {
            in_time = timeout(timeouts.drain, all_ended) => in_time,
            () = self.signals.next() => {
                return Err(io::Error::other("stopped with requests under way"));
            }
        };
        if in_time.is_err() {
            let count = connections.len();
            let waited = timeouts.drain.as_millis();
            console::report(format_args!(
                "warning: connections still open after {waited} ms, now closed: {count}"
            ));
        }
        Ok(())
        // `connections` is dropped here, which closes the remaining ones.
    }
}

/// Serves one connection until it ends, exceeds a timeout, or the service stops.
async fn serve_connection(
    stream: TcpStream,
    router: Router,
    timeouts: Timeouts,
    mut stopping: watch::Receiver<bool>,
) {
    let received = Arc::new(Notify::new());
    let service = {
        let received = Arc::clone(&received);
        service_fn(move |request: Request<Incoming>| {
            received.notify_one();
            router.clone().oneshot(request)
        })
    };
    let mut server = auto::Builder::new(TokioExecutor::new());
    let mut http1 = server.http1();
    http1.timer(TokioTimer::new());
    http1.header_read_timeout(timeouts.head);
    server.http2().max_concurrent_streams(STREAMS);
    let mut connection = pin!(server.serve_connection(TokioIo::new(stream), service));
    // hyper's own timeout starts once it knows the HTTP version. A client may never send that much.
    let is_silent = async {
        if timeout(timeouts.head, received.notified()).await.is_ok() {
            future::pending::<()>().await;
        }
    };
    let is_old = tokio::select! {
        biased;
        _ = &mut connection => return,
        () = is_silent => return,
        _ = stopping.wait_for(|is_stopping| *is_stopping) => false,
        () = sleep(timeouts.connection) => true,
    };
    connection.as_mut().graceful_shutdown();
    if is_old {
        _ = timeout(timeouts.drain, connection).await;
    } else {
        // `Server::serve` has one deadline for all connections.
        _ = connection.await;
    }
}

/// The signals that stop a service: Ctrl-C and SIGTERM.
#[cfg(unix)]
struct Signals {
    interrupt: tokio::signal::unix::Signal,
    terminate: tokio::signal::unix::Signal,
}

#[cfg(unix)]
impl Signals {
    fn listen() -> io::Result<Signals> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Signals {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
        })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

/// The signal that stops a service: Ctrl-C.
#[cfg(windows)]
struct Signals(tokio::signal::windows::CtrlC);

#[cfg(windows)]
impl Signals {
    fn listen() -> io::Result<Signals> {
        tokio::signal::windows::ctrl_c().map(Signals)
    }

    async fn next(&mut self) {
        self.0.recv().await;
    }
}
