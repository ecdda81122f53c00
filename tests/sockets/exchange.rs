//! What these tests share: axum's server on loopback, and requests to it.

use crate::common::http::KEY;
use crate::common::sockets::{listen, numbers, settings};
use axum::Router;
use axum::extract::{ConnectInfo, Request};
use http::{HeaderMap, StatusCode, Version};
use reqwest::{Client, ClientBuilder, RequestBuilder};
use std::{
    collections::BTreeMap,
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    sync::{Arc, Mutex},
};
use tokio::net::TcpListener;
use tollgate::RateLimiter;
use tollgate::tower::key::HeaderKey;
use tollgate::tower::{OnMissingKey, RateLimitLayer};
use tower::util::MapRequestLayer;

pub fn by_key(
    limiter: &Arc<RateLimiter<String>>,
) -> RateLimitLayer<Arc<RateLimiter<String>>, HeaderKey> {
    let no_key = OnMissingKey::Reject(StatusCode::UNAUTHORIZED);
    RateLimitLayer::new(Arc::clone(limiter), KEY, no_key)
}

pub async fn serve(app: Router) -> SocketAddr {
    serve_on(listen().await, app)
}

pub fn serve_on(listener: TcpListener, app: Router) -> SocketAddr {
    let address = listener.local_addr().unwrap();
    let app = app.into_make_service_with_connect_info::<SocketAddr>();
    tokio::spawn(async { axum::serve(listener, app).await });
    address
}

/// The number of requests that each peer, so each connection, has sent.
#[derive(Clone, Default)]
pub struct Peers(Arc<Mutex<BTreeMap<SocketAddr, usize>>>);

impl Peers {
    /// Sees what comes to `app`, and so what its layers reject.
    pub fn watch(&self, app: Router) -> Router {
        let peers = Arc::clone(&self.0);
        app.layer(MapRequestLayer::new(move |request: Request| {
            let peer: &ConnectInfo<SocketAddr> = request.extensions().get().unwrap();
            *peers.lock().unwrap().entry(peer.0).or_default() += 1;
            request
        }))
    }

    pub fn requests(&self) -> Vec<usize> {
        self.0.lock().unwrap().values().copied().collect()
    }

    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.0.lock().unwrap().keys().copied().collect()
    }
}

pub fn client(settings: ClientBuilder) -> Client {
    settings.build().unwrap()
}

pub fn http_1() -> Client {
    client(settings())
}

pub fn http_2() -> Client {
    client(settings().http2_prior_knowledge())
}

pub fn get_as(client: &Client, address: SocketAddr, key: &str) -> RequestBuilder {
    let request = client.get(format!("http://{address}/"));
    request.header("x-api-key", key)
}

pub struct Answer {
    /// What the request was limited by.
    pub key: Option<String>,
    pub status: u16,
    pub version: Version,
    pub headers: HeaderMap,
    pub text: String,
}

impl Answer {
    pub fn numbers(&self) -> [u64; 3] {
        numbers(&self.headers)
    }
}

/// Sends a request and reads all of the answer, so that the connection is free for the next.
pub async fn ask(request: RequestBuilder) -> Answer {
    let (client, request) = request.build_split();
    let request = request.unwrap();
    let key = request.headers().get("x-api-key");
    let key = key.map(|key| key.to_str().unwrap().to_owned());
    let response = client.execute(request).await.unwrap();
    Answer {
        key,
        status: response.status().as_u16(),
        version: response.version(),
        headers: response.headers().clone(),
        text: response.text().await.unwrap(),
    }
}

/// A request by hand, with `lines` as header, that wants its connection closed after the answer.
pub fn head(line: &str, lines: &[&[u8]]) -> Vec<u8> {
    let mut head = format!("{line} HTTP/1.1\r\nhost: here\r\nconnection: close\r\n").into_bytes();
    for line in lines {
        head.extend_from_slice(line);
        head.extend_from_slice(b"\r\n");
    }
    head.extend_from_slice(b"\r\n");
    head
}

/// Sends `bytes` over a connection of their own, and reads until the server closes it.
pub fn converse(address: SocketAddr, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.write_all(bytes).unwrap();
    rest(stream)
}

/// What is sent until the server closes the connection, or until it resets it.
pub fn rest(mut stream: TcpStream) -> String {
    let mut received = Vec::new();
    _ = stream.read_to_end(&mut received);
    String::from_utf8_lossy(&received).into_owned()
}

pub fn status(answer: &str) -> Option<u16> {
    answer.strip_prefix("HTTP/1.1 ")?.get(..3)?.parse().ok()
}
