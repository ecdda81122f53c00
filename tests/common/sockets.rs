//! What the tests over real sockets share: a runtime for server and clients, and what these read.

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

/// Runs `test` beside the servers and clients that it spawns, and fails where it would hang.
///
/// It has a thread of its own, so it may also block: the workers go on.
pub fn over_sockets(test: impl Future<Output = ()> + Send + 'static) {
    let outcome = finishes("a conversation over sockets", || {
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

/// A free port of this machine, that only this machine can reach.
pub async fn listen() -> TcpListener {
    TcpListener::bind("127.0.0.1:0").await.unwrap()
}

/// What a client reads: the limit, what remains, and the seconds until the bucket is full.
#[track_caller]
pub fn numbers(headers: &HeaderMap) -> [u64; 3] {
    ["limit", "remaining", "reset"].map(|name| number(headers, &format!("x-ratelimit-{name}")))
}

/// Neither the environment's proxies nor second tries, which would be requests that no test made.
pub fn settings() -> ClientBuilder {
    Client::builder().no_proxy().retry(reqwest::retry::never())
}

/// For a client that connects once: a request that finds no connection waits for that one to be
/// free. Left to itself, a pool also opens others, depending on who is faster.
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
