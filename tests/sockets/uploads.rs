//! Rejected uploads: clients that keep their connection see the response. Slow or endless bodies
//! hold no connection for longer than the limit.

use crate::common::http::{KEY, limiter};
use crate::common::sockets::{listen, one_connection, over_sockets};
use axum::Router;
use axum::body::Bytes;
use axum::extract::DefaultBodyLimit;
use axum::routing::post;
use axum::serve::ListenerExt;
use http::{StatusCode, Version};
use http_body::Frame;
use http_body_util::StreamBody;
use std::{
    convert::Infallible,
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};
use tokio_stream::StreamExt;
use tollgate::tower::key::HeaderKey;
use tollgate::tower::{OnMissingKey, RateLimitLayer};
use tollgate::{Quota, RateLimiter};

/// The lengths of bodies: in the packet of the head, in some packets, and more than sockets buffer.
const LENGTHS: [usize; 4] = [1, 50_000, 1_000_000, 8_000_000];

/// A server that rejects every request of alice, and counts its connections.
struct Server {
    address: SocketAddr,
    connections: Arc<AtomicUsize>,
}

impl Server {
    async fn start(
        set: impl Fn(
            RateLimitLayer<Arc<RateLimiter<String>>, HeaderKey>,
        ) -> RateLimitLayer<Arc<RateLimiter<String>>, HeaderKey>,
    ) -> Server {
        let (limiter, _clock) = limiter::<String, 1>(Quota::per_day(1));
        assert!(limiter.allow("alice"));
        let no_key = OnMissingKey::Reject(StatusCode::UNAUTHORIZED);
        let layer = set(RateLimitLayer::new(limiter, KEY, no_key));
        let app = Router::new()
            .route(
                "/",
                post(|body: Bytes| async move { body.len().to_string() }),
            )
            .layer(DefaultBodyLimit::disable())
            .layer(layer);
        let listener = listen().await;
        let address = listener.local_addr().unwrap();
        let connections = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&connections);
        let listener = listener.tap_io(move |_| {
            counted.fetch_add(1, Ordering::SeqCst);
        });
        tokio::spawn(async { axum::serve(listener, app).await });
        Server {
            address,
            connections,
        }
    }

    fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}

/// A body of that length, of known length or in chunks.
fn body(length: usize, is_chunked: bool) -> reqwest::Body {
    let all = Bytes::from(vec![b'x'; length]);
    if !is_chunked {
        return all.into();
    }
    let parts: Vec<Bytes> = all.chunks(10_000).map(|part| all.slice_ref(part)).collect();
    let frames = tokio_stream::iter(parts).map(|part| Ok::<_, Infallible>(Frame::data(part)));
    reqwest::Body::wrap(StreamBody::new(frames))
}

#[test]
fn a_rust_client_sees_each_rejection_over_one_connection() {
    over_sockets(async {
        let server = Server::start(|layer| layer).await;
        let client = one_connection().build().unwrap();
        for length in LENGTHS {
            for is_chunked in [false, true] {
                for _ in 0..4 {
                    let request = client.post(format!("http://{}/", server.address));
                    let request = request.header("x-api-key", "alice");
                    let response = request.body(body(length, is_chunked)).send().await.unwrap();
                    assert_eq!(response.version(), Version::HTTP_11);
                    assert_eq!(response.status(), 429);
                    assert!(!response.headers().contains_key("connection"));
                    assert!(
                        response
                            .text()
                            .await
                            .unwrap()
                            .contains("rate limit exceeded")
                    );
                }
            }
        }
        assert_eq!(server.connections(), 1);
    });
}

/// The same of Python's `http.client`, which sends all of a request before it reads.
#[test]
fn a_python_client_sees_each_rejection_over_one_connection() {
    over_sockets(async {
        let server = Server::start(|layer| layer).await;
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/clients/keep_alive.py");
        let mut requests = 0;
        for length in LENGTHS {
            for mode in ["", "chunked"] {
                let mut command = Command::new("python3");
                command.arg(script).arg(server.address.port().to_string());
                command.args([&length.to_string(), "4", mode]);
                let output = command.output().expect("the tests need Python 3");
                let printed = String::from_utf8(output.stdout).unwrap();
                let printed: Vec<&str> = printed.lines().collect();
                let errors = String::from_utf8_lossy(&output.stderr);
                assert_eq!(printed, ["429", "429", "429", "429", "1"], "{errors}");
                requests += 1;
                assert_eq!(server.connections(), requests);
            }
        }
    });
}

#[test]
fn the_request_after_a_rejected_upload_passes_on_the_same_connection() {
    over_sockets(async {
        let server = Server::start(|layer| layer).await;
        let client = one_connection().build().unwrap();
        for (key, status, text) in [("alice", 429, "exceeded"), ("bob", 200, "500000")] {
            let request = client.post(format!("http://{}/", server.address));
            let request = request.header("x-api-key", key).body(body(500_000, false));
            let response = request.send().await.unwrap();
            assert_eq!(response.status(), status);
            assert!(response.text().await.unwrap().contains(text));
        }
        assert_eq!(server.connections(), 1);
    });
}

/// What arrives for a stream that was answered already counts against its connection, and h2 ends
/// that after 1,024 of them. Its other streams are of other users, if a proxy is the client.
#[test]
fn thousands_of_rejections_over_one_connection_of_http_2_harm_no_other_user() {
    for length in [20, 40_000] {
        over_sockets(async move {
            let server = Server::start(|layer| layer).await;
            let client = one_connection().http2_prior_knowledge().build().unwrap();
            let mut tasks = tokio::task::JoinSet::new();
            for task in 0..100 {
                let (client, address) = (client.clone(), server.address);
                tasks.spawn(async move {
                    for turn in 0..30 {
                        let (key, status) = match turn % 10 {
                            9 => (format!("bob-{task}-{turn}"), 200),
                            _ => ("alice".to_owned(), 429),
                        };
                        let request = client.post(format!("http://{address}/"));
                        let request = request.header("x-api-key", key);
                        let request = request.body(body(length, turn % 2 == 0));
                        let response = request.send().await.expect("a response");
                        assert_eq!(response.status(), status);
                        assert_eq!(response.version(), Version::HTTP_2);
                    }
                });
            }
            while let Some(task) = tasks.join_next().await {
                task.unwrap();
            }
            assert_eq!(server.connections(), 1);
        });
    }
}

/// The response comes while the body is open: a call that streams to the server gets it soon.
#[test]
fn a_stream_of_http_2_is_rejected_before_its_body_ends() {
    over_sockets(async {
        let soon = Duration::from_millis(20);
        let server = Server::start(|layer| layer.drain(1 << 24, soon).unwrap()).await;
        let client = one_connection().http2_prior_knowledge().build().unwrap();
        for _ in 0..10 {
            let (parts, open) = tokio::sync::mpsc::channel(1);
            parts
                .send(Ok(Frame::data(Bytes::from_static(b"x"))))
                .await
                .unwrap();
            let open = tokio_stream::wrappers::ReceiverStream::new(open);
            let open = open.map(|part: Result<_, Infallible>| part);
            let request = client.post(format!("http://{}/", server.address));
            let request = request.header("x-api-key", "alice");
            let response = request.body(reqwest::Body::wrap(StreamBody::new(open)));
            let response = response.send().await.unwrap();
            assert_eq!(
                (response.status().as_u16(), response.version()),
                (429, Version::HTTP_2)
            );
            drop(parts);
        }
        for length in LENGTHS {
            let request = client.post(format!("http://{}/", server.address));
            let request = request
                .header("x-api-key", "alice")
                .body(body(length, false));
            assert_eq!(request.send().await.unwrap().status(), 429);
        }
        assert_eq!(server.connections(), 1);
    });
}

fn send(address: SocketAddr, lines: &[&str]) -> TcpStream {
    let mut stream = TcpStream::connect(address).unwrap();
    let head = format!(
        "POST / HTTP/1.1\r\nhost: here\r\nx-api-key: alice\r\n{}\r\n\r\n",
        lines.join("\r\n")
    );
    stream.write_all(head.as_bytes()).unwrap();
    stream
}

/// All that the server sends until it closes the connection.
fn rest(mut stream: &TcpStream) -> String {
    let mut received = Vec::new();
    _ = stream.read_to_end(&mut received);
    String::from_utf8_lossy(&received).into_owned()
}

#[test]
fn a_client_that_expects_100_continue_is_answered_without_it() {
    over_sockets(async {
        let server = Server::start(|layer| layer).await;
        let lines = ["content-length: 1000000", "expect: 100-continue"];
        let answer = rest(&send(server.address, &lines));
        assert!(answer.starts_with("HTTP/1.1 429 "), "{answer}");
        assert!(answer.contains("\r\nconnection: close\r\n"), "{answer}");
    });
}

/// Real time is the subject. Only the lower bound is sharp, as machines may be busy.
#[test]
fn a_slow_body_holds_its_connection_until_the_time_limit() {
    over_sockets(async {
        let limit = Duration::from_millis(100);
        let server = Server::start(|layer| layer.drain(1_000, limit).unwrap()).await;
        for lines in ["content-length: 1000", "transfer-encoding: chunked"] {
            let start = Instant::now();
            let mut stream = send(server.address, &[lines]);
            stream.write_all(b"1\r\n").unwrap();
            let answer = rest(&stream);
            assert!(start.elapsed() >= limit, "{:?}", start.elapsed());
            assert!(answer.starts_with("HTTP/1.1 429 "), "{answer}");
            assert!(answer.contains("\r\nconnection: close\r\n"), "{answer}");
        }
    });
}

/// The client sends for ever, by whole buffers or by bytes of their own.
#[test]
fn an_endless_body_is_cut_at_the_byte_limit_or_the_time_limit() {
    for chunk in [
        ["400\r\n", &"x".repeat(1_024), "\r\n"].concat(),
        "1\r\nx\r\n".to_owned(),
    ] {
        over_sockets(async move {
            let limit = Duration::from_millis(200);
            let server = Server::start(|layer| layer.drain(1 << 20, limit).unwrap()).await;
            let stream = send(server.address, &["transfer-encoding: chunked"]);
            let is_cut = AtomicBool::new(false);
            thread::scope(|scope| {
                scope.spawn(|| {
                    // Ends when the server has closed the connection.
                    while (&stream).write_all(chunk.as_bytes()).is_ok() {}
                    is_cut.store(true, Ordering::SeqCst);
                });
                _ = rest(&stream);
            });
            assert!(is_cut.into_inner());
        });
    }
}

/// A length over the limit is known at once: a client that reads first sees the response.
#[test]
fn a_length_over_the_byte_limit_is_answered_at_once() {
    over_sockets(async {
        let hour = Duration::from_secs(3_600);
        let server = Server::start(|layer| layer.drain(1_000, hour).unwrap()).await;
        let answer = rest(&send(server.address, &["content-length: 1001"]));
        assert!(answer.starts_with("HTTP/1.1 429 "), "{answer}");
        assert!(answer.contains("\r\nconnection: close\r\n"), "{answer}");
    });
}

/// HTTP/1.0 has no `100 Continue`, so this client sends its body by itself.
#[test]
fn a_rejected_upload_of_http_1_0_is_read() {
    over_sockets(async {
        let server = Server::start(|layer| layer).await;
        for _ in 0..4 {
            let mut stream = TcpStream::connect(server.address).unwrap();
            let head = "POST / HTTP/1.0\r\nx-api-key: alice\r\nexpect: 100-continue\r\n\
                        content-length: 8000000\r\n\r\n";
            stream.write_all(head.as_bytes()).unwrap();
            stream.write_all(&vec![b'x'; 8_000_000]).unwrap();
            let mut answer = String::new();
            // A reset would be an error here.
            stream.read_to_string(&mut answer).unwrap();
            assert!(answer.starts_with("HTTP/1.0 429 "), "{answer}");
        }
    });
}
