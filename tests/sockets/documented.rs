//! Documented keys: the host in either version of HTTP, and Unix sockets.

use crate::common::http::limiter;
use crate::common::served::{Served, answer};
use crate::common::sockets::over_sockets;
use axum::{
    Router,
    routing::{get, post},
};
use http::{StatusCode, header};
use reqwest::Client;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tollgate::Quota;
use tollgate::tower::key::{HeaderKey, HostName, RequestKey, from_fn};
use tollgate::tower::{OnMissingKey, RateLimitLayer};

/// A service with one request an hour for each key. Requests without a key are not limited.
fn limited<K>(key: K) -> Router
where
    K: RequestKey<Key: ToOwned<Owned: Send + Sync + 'static>> + Send + Sync + 'static,
{
    let (limiter, _clock) = limiter(Quota::per_hour(1));
    let layer = RateLimitLayer::new(limiter, key, OnMissingKey::Allow);
    Router::new()
        .route("/", get(|| async { "ok" }))
        .layer(layer)
}

/// The statuses of two requests over HTTP/1 and two over HTTP/2, all to one host.
async fn statuses_over_both_versions<K>(key: K) -> [u16; 4]
where
    K: RequestKey<Key: ToOwned<Owned: Send + Sync + 'static>> + Send + Sync + 'static,
{
    let served = Served::start(limited(key)).await;
    let http1 = Client::builder().no_proxy().http1_only();
    let http2 = Client::builder().no_proxy().http2_prior_knowledge();
    let [http1, http2] = [http1, http2].map(|client| client.build().unwrap());
    let mut statuses = [0; 4];
    for (status, client) in statuses.iter_mut().zip([&http1, &http1, &http2, &http2]) {
        *status = answer(client.get(&served.url)).await.status.as_u16();
    }
    statuses
}

#[test]
fn a_host_is_limited_over_http_1_and_http_2_together() {
    over_sockets(async {
        let statuses = statuses_over_both_versions(HostName::new()).await;
        assert_eq!(statuses, [200, 429, 429, 429]);
        // The header alone is missing in HTTP/2, which is then unlimited.
        let statuses = statuses_over_both_versions(HeaderKey::from(header::HOST)).await;
        assert_eq!(statuses, [200, 429, 200, 200]);
    });
}

/// The cost of `key/choosing.md`: a client cannot tell hyper two lengths.
#[test]
fn a_chunked_body_costs_the_longest_one_whatever_length_is_told_beside() {
    over_sockets(async {
        let (limiter, _clock) = limiter(Quota::per_hour(100));
        let layer = RateLimitLayer::new(limiter, from_fn(|_| Some(())), OnMissingKey::Allow);
        let layer = layer.cost(|request| {
            let length = request.headers.get(header::CONTENT_LENGTH);
            let length = length.and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
            1 + length.map_or(64, |bytes| bytes.div_ceil(1024))
        });
        let router = Router::new()
            .route("/", post(|body: String| async { body }))
            .layer(layer);
        let served = Served::start(router).await;
        let address = served.url.strip_prefix("http://").unwrap();
        let told = "content-length: 0\r\n";
        let chunked = "transfer-encoding: chunked\r\n";
        for (lines, body, remaining) in [
            (told.to_owned(), "", "99"),
            (format!("{told}{chunked}"), "1\r\na\r\n0\r\n\r\n", "34"),
        ] {
            let mut stream = TcpStream::connect(address).await.unwrap();
            let head = "POST / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n";
            let request = format!("{head}{lines}\r\n{body}");
            stream.write_all(request.as_bytes()).await.unwrap();
            let mut answer = String::new();
            stream.read_to_string(&mut answer).await.unwrap();
            let field = format!("\r\nx-ratelimit-remaining: {remaining}\r\n");
            assert!(answer.contains(&field), "{answer}");
        }
    });
}

/// Case 77.
#[cfg(unix)]
mod unix {
    use std::{
        env, fs,
        future::IntoFuture,
        net::{IpAddr, Ipv4Addr},
        path::PathBuf,
        process,
        sync::Arc,
    };

    use axum::extract::connect_info::{ConnectInfo, Connected};
    use axum::serve::IncomingStream;
    use tokio::net::{UnixListener, UnixStream};
    use tollgate::RateLimiter;
    use tollgate::tower::key::ClientAddress;

    use super::*;

    /// A socket in a file, which is removed with it.
    struct Socket(PathBuf);

    impl Socket {
        fn listen(name: &str) -> (Socket, UnixListener) {
            // Short: the path of a socket has about 100 bytes.
            let path = env::temp_dir().join(format!("tollgate-{name}-{}", process::id()));
            _ = fs::remove_file(&path);
            let listener = UnixListener::bind(&path).unwrap();
            (Socket(path), listener)
        }

        /// The status of a request with these lines in its head.
        async fn status(&self, lines: &str) -> u16 {
            let mut stream = UnixStream::connect(&self.0).await.unwrap();
            let head = format!("GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n{lines}\r\n");
            stream.write_all(head.as_bytes()).await.unwrap();
            let mut answer = String::new();
            stream.read_to_string(&mut answer).await.unwrap();
            answer.split(' ').nth(1).unwrap().parse().unwrap()
        }
    }

    impl Drop for Socket {
        fn drop(&mut self) {
            _ = fs::remove_file(&self.0);
        }
    }

    /// The first example of `key/choosing.md` on Unix sockets.
    #[test]
    fn a_proxy_at_a_unix_socket_is_believed_and_its_clients_are_not() {
        const PROXY: IpAddr = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
        over_sockets(async {
            let address = ClientAddress::from_peer(|_| Some(PROXY));
            let address = address.x_forwarded_for(["0.0.0.0"]).unwrap();
            let (socket, listener) = Socket::listen("proxy");
            tokio::spawn(axum::serve(listener, limited(address)).into_future());
            for (forwarded, status) in [
                ("203.0.113.7", 200),
                ("203.0.113.7", 429),
                // What a client made up stands to the left of what the proxy saw.
                ("198.51.100.1, 203.0.113.7", 429),
                ("0.0.0.0, 203.0.113.7", 429),
                ("203.0.113.7, 203.0.113.8", 200),
                ("127.0.0.1", 200),
                ("198.51.100.2, 127.0.0.1", 429),
                // Clients that the proxy does not tell apart share a bucket.
                ("198.51.100.3, unix:", 200),
                ("198.51.100.4, unknown", 429),
            ] {
                let line = format!("x-forwarded-for: {forwarded}\r\n");
                assert_eq!(socket.status(&line).await, status, "{forwarded}");
            }
            assert_eq!(socket.status("").await, 429);
        });
    }

    /// The user that the peer's process runs as, as in `key/choosing.md`.
    #[derive(Clone)]
    struct Uid(Option<u32>);

    impl Connected<IncomingStream<'_, UnixListener>> for Uid {
        fn connect_info(stream: IncomingStream<'_, UnixListener>) -> Uid {
            Uid(stream.io().peer_cred().ok().map(|peer| peer.uid()))
        }
    }

    #[test]
    fn a_local_user_is_known_by_what_the_kernel_says() {
        over_sockets(async {
            let user = from_fn(|request| request.extensions.get::<ConnectInfo<Uid>>()?.0.0);
            let (limiter, _clock) = limiter::<u32, 1>(Quota::per_hour(1));
            let no_key = OnMissingKey::Reject(StatusCode::INTERNAL_SERVER_ERROR);
            let layer = RateLimitLayer::new(Arc::clone(&limiter), user, no_key);
            let router = Router::new()
                .route("/", get(|| async { "ok" }))
                .layer(layer);

            let (socket, listener) = Socket::listen("user");
            let service = router.clone().into_make_service_with_connect_info::<Uid>();
            tokio::spawn(axum::serve(listener, service).into_future());
            assert_eq!(socket.status("").await, 200);
            assert_eq!(socket.status("x-uid: 12345\r\n").await, 429);
            let own = fs::metadata(&socket.0).map(|file| {
                use std::os::unix::fs::MetadataExt;
                file.uid()
            });
            let left: &RateLimiter<u32> = &limiter;
            assert_eq!(left.peek(&own.unwrap()).remaining(), 0);

            // Served without the peer's user it rejects all requests.
            let (socket, listener) = Socket::listen("unserved");
            tokio::spawn(axum::serve(listener, router).into_future());
            assert_eq!(socket.status("").await, 500);
        });
    }
}
