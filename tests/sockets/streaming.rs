//! Streamed bodies, and clients that close their connection.

use super::exchange::*;
use crate::common::http::{field, limiter};
use crate::common::sockets::over_sockets;
use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::response::Response;
use axum::routing::{get, post};
use std::{
    convert::Infallible,
    future::pending,
    io::{Read, Write},
    net::TcpStream,
    sync::{Arc, Mutex},
};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tollgate::Quota;

/// The second chunk is made after the first has arrived: a layer that collects the body would never send either.
#[test]
fn a_streaming_response_passes_chunk_by_chunk() {
    over_sockets(async {
        for client in [http_1(), http_2()] {
            let (limiter, _clock) = limiter::<String, 1>(Quota::per_second(1).burst(3));
            let (app, mut started) = streaming();
            let address = serve(app.layer(by_key(&limiter))).await;

            let sent = get_as(&client, address, "alice").send();
            let mut response = sent.await.unwrap();
            assert_eq!(field(response.headers(), "x-ratelimit-remaining"), "2");
            let chunks = started.recv().await.unwrap();
            for chunk in ["first", "second"] {
                chunks.send(Ok(chunk)).await.unwrap();
                assert_eq!(response.chunk().await.unwrap().unwrap(), chunk);
            }
            drop(chunks);
            assert_eq!(response.text().await.unwrap(), "");
        }
    });
}

/// The second chunk is sent after the first has come back.
#[test]
fn a_streaming_request_passes_chunk_by_chunk() {
    over_sockets(async {
        let (limiter, _clock) = limiter::<String, 1>(Quota::per_second(1).burst(3));
        let echo = |request: Request| async { Response::new(request.into_body()) };
        let app = Router::new().route("/", post(echo));
        let address = serve(app.layer(by_key(&limiter))).await;

        let mut stream = TcpStream::connect(address).unwrap();
        let head = head(
            "POST /",
            &[b"x-api-key: alice", b"transfer-encoding: chunked"],
        );
        stream.write_all(&head).unwrap();
        for chunk in ["5\r\nfirst\r\n", "6\r\nsecond\r\n"] {
            stream.write_all(chunk.as_bytes()).unwrap();
            read_until(&mut stream, chunk);
        }
        stream.write_all(b"0\r\n\r\n").unwrap();
        assert!(rest(stream).ends_with("0\r\n\r\n"));
    });
}

#[test]
fn a_client_that_goes_away_in_the_middle_of_a_response_has_spent_its_unit() {
    over_sockets(async {
        for client in [http_1(), http_2()] {
            let (limiter, _clock) = limiter::<String, 1>(Quota::per_second(1).burst(3));
            let (app, mut started) = streaming();
            let address = serve(app.layer(by_key(&limiter))).await;

            let mut response = get_as(&client, address, "alice").send().await.unwrap();
            let chunks = started.recv().await.unwrap();
            chunks.send(Ok("first")).await.unwrap();
            assert_eq!(response.chunk().await.unwrap().unwrap(), "first");
            drop(response);
            // The server has seen it go.
            chunks.closed().await;

            let response = get_as(&client, address, "alice").send().await.unwrap();
            assert_eq!(response.status(), 200);
            assert_eq!(field(response.headers(), "x-ratelimit-remaining"), "1");
        }
    });
}

#[test]
fn a_client_that_goes_away_before_the_response_has_spent_its_unit() {
    over_sockets(async {
        let (limiter, _clock) = limiter::<String, 1>(Quota::per_second(1).burst(3));
        let (held, mut dropped) = mpsc::channel::<()>(1);
        let held = Arc::new(Mutex::new(Some(held)));
        let (entered, mut entry) = mpsc::channel(1);
        // The first request stays in here for as long as there is someone to answer.
        let handler = move || {
            let held = held.lock().unwrap().take();
            let entered = entered.clone();
            async move {
                if held.is_some() {
                    entered.send(()).await.unwrap();
                    pending::<()>().await;
                }
            }
        };
        let address = serve(
            Router::new()
                .route("/", get(handler))
                .layer(by_key(&limiter)),
        )
        .await;

        let mut stream = TcpStream::connect(address).unwrap();
        stream
            .write_all(&head("GET /", &[b"x-api-key: alice"]))
            .unwrap();
        entry.recv().await.unwrap();
        drop(stream);
        assert_eq!(dropped.recv().await, None);

        let answer = ask(get_as(&http_1(), address, "alice")).await;
        assert_eq!((answer.status, answer.numbers()), (200, [3, 1, 2]));
    });
}

type Chunks = mpsc::Sender<Result<&'static str, Infallible>>;

/// What answers in the chunks that the test sends it, which receives whereto for each request.
fn streaming() -> (Router, mpsc::Receiver<Chunks>) {
    let (starts, started) = mpsc::channel(1);
    let handler = move || {
        let starts = starts.clone();
        async move {
            let (chunks, body) = mpsc::channel(1);
            starts.send(chunks).await.unwrap();
            Body::from_stream(ReceiverStream::new(body))
        }
    };
    (Router::new().route("/", get(handler)), started)
}

fn read_until(stream: &mut TcpStream, end: &str) {
    let mut received = Vec::new();
    while !received.ends_with(end.as_bytes()) {
        let mut byte = [0];
        stream.read_exact(&mut byte).unwrap();
        received.extend(byte);
    }
}
