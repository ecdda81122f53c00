//! What the tests over real sockets share: a runtime for server and clients, and what these read.

use std::{future::Future, panic::resume_unwind};

use http::HeaderMap;
use tokio::net::TcpListener;
use tokio::runtime::Builder;

use super::cases::finishes;
use super::http::number;

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
