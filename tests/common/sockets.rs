//! What the tests over real sockets share: a runtime for server and clients, and clients.

use std::{
    future::{Future, pending},
    panic::resume_unwind,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use http::HeaderMap;
use reqwest::{Client, ClientBuilder};
use tokio::net::TcpListener;
use tokio::runtime::Builder;
use tower::util::MapFutureLayer;

use super::http::number;
use super::threads::finishes;

/// Runs `test` beside the servers and clients that it spawns, and panics at the deadline.
///
/// The test has its own thread, so it may block.
pub fn over_sockets(test: impl Future<Output = ()> + Send + 'static) {
    let outcome = finishes("a test over sockets", || {
        let runtime = Builder::new_multi_thread()
            .worker_threads(4)
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(test);
    });
    if let Err(panic) = outcome {
        resume_unwind(panic);
    }
}

/// Listens on a free port of the loopback interface.
pub async fn listen() -> TcpListener {
    TcpListener::bind("127.0.0.1:0").await.unwrap()
}

/// Returns the limit, what remains, and the seconds until the bucket is full.
#[track_caller]
pub fn numbers(headers: &HeaderMap) -> [u64; 3] {
    ["limit", "remaining", "reset"].map(|name| number(headers, &format!("x-ratelimit-{name}")))
}

/// Returns a client without proxies of the environment and without retries.
pub fn settings() -> ClientBuilder {
    Client::builder().no_proxy().retry(reqwest::retry::never())
}

/// Returns a client that connects once. A request waits until that connection is free. Without
/// this, a pool may open another connection.
pub fn one_connection() -> ClientBuilder {
    let connected = Arc::new(AtomicBool::new(false));
    settings().connector_layer(MapFutureLayer::new(move |connecting| {
        let has_one = connected.swap(true, Ordering::SeqCst);
        async move {
            if has_one {
                pending::<()>().await;
            }
            connecting.await
        }
    }))
}
