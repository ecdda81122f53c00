//! Which way of rejecting a request with a body lets clients see the response?
//!
//! It starts a server for each way, a real nginx in front of it, and clients that keep their
//! connection alive. Each cell is the number of requests for which the client saw 429, and the
//! median time of a request in ms. It needs nginx, curl and Python 3.
//!
//! `cargo bench --bench rejections --features tower [-- [--over] WORD-IN-A-CLIENT]`

#![allow(clippy::cast_precision_loss)]

#[path = "../tests/common/nginx.rs"]
mod nginx;
#[path = "rejections/while_sending.rs"]
mod while_sending;

use std::{
    convert::Infallible,
    env,
    io::{self, Write},
    net::SocketAddr,
    process::Command,
    sync::Arc,
    time::{Duration, Instant},
};

use axum::body::{Body, Bytes};
use axum::extract::{DefaultBodyLimit, Request};
use axum::response::Response;
use axum::{Router, middleware, routing::post};
use http::StatusCode;
use http_body_util::StreamBody;
use nginx::{Nginx, Proxying};
use tokio::net::TcpListener;
use tokio_stream::StreamExt;
use tollgate::tower::key::HeaderKey;
use tollgate::tower::{OnMissingKey, RateLimitLayer};
use tollgate::{Quota, RateLimiter};
use tower::util::{MapRequestLayer, MapResponseLayer};

/// How a server rejects.
///
/// The last column is no rejection: it shows what a client waits for when the handler reads.
const WAYS: [&str; 5] = [
    "unread",
    "read first",
    "head first",
    "all but the end",
    "allowed",
];

/// How a server rejects what is over the byte limit, which is 100 KB here.
const OVER: [&str; 4] = ["at once", "at once, close", "at limit", "at limit, close"];

const KB: usize = 1_000;
const MB: usize = 1_000 * KB;

/// Bytes, requests, and whether they are sent in chunks.
const BODIES: [(usize, usize, bool); 6] = [
    (1, 40, false),
    (50 * KB, 40, false),
    (MB, 20, false),
    (8 * MB, 10, false),
    (50 * KB, 20, true),
    (MB, 20, true),
];

#[derive(Clone, Copy)]
enum Client {
    Nginx(Proxying),
    Python,
    Reqwest,
    Curl { expects: bool },
}

const CLIENTS: [(&str, Client); 7] = [
    ("nginx", Client::Nginx(Proxying::Default)),
    ("nginx, unbuffered", Client::Nginx(Proxying::Unbuffered)),
    ("nginx, keepalive", Client::Nginx(Proxying::Keepalive)),
    ("Python http.client", Client::Python),
    ("Rust reqwest", Client::Reqwest),
    ("curl without Expect", Client::Curl { expects: false }),
    ("curl with Expect", Client::Curl { expects: true }),
];

fn main() {
    let word = env::args()
        .skip(1)
        .find(|argument| !argument.starts_with('-'));
    let word = word.unwrap_or_default();
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let is_over = env::args().any(|argument| argument == "--over");
    let ways: &[&str] = if is_over { &OVER } else { &WAYS };
    let servers: Vec<_> = ways
        .iter()
        .map(|way| runtime.block_on(serve(way)))
        .collect();
    print!("{:32}", "seen of all, median ms");
    ways.iter().for_each(|way| print!("{way:>24}"));
    println!();
    for (name, client) in CLIENTS.iter().filter(|(name, _)| name.contains(&word)) {
        for (bytes, requests, chunked) in BODIES {
            let size = match bytes {
                MB.. => format!("{} MB", bytes / MB),
                KB.. => format!("{} KB", bytes / KB),
                _ => format!("{bytes} B"),
            };
            let size = if chunked { size + " in chunks" } else { size };
            print!("{:32}", format!("{name}, {size}"));
            for (&server, way) in servers.iter().zip(ways) {
                let outcomes: Vec<String>;
                let mut times: Vec<f64> = Vec::new();
                let start = Instant::now();
                match client {
                    Client::Nginx(proxying) => {
                        let nginx = Nginx::start(*proxying, &[server]);
                        let rust = rust(nginx.address, bytes, requests, chunked);
                        (outcomes, times) = runtime.block_on(rust);
                    }
                    Client::Reqwest => {
                        (outcomes, times) =
                            runtime.block_on(rust(server, bytes, requests, chunked));
                    }
                    Client::Python => outcomes = python(server, bytes, requests, chunked),
                    Client::Curl { expects } => {
                        outcomes = curl(server, bytes, requests, chunked, *expects);
                    }
                }
                if times.is_empty() {
                    // These are processes, whose time includes their start.
                    times.push(start.elapsed().as_secs_f64() * 1e3 / requests as f64);
                }
                times.sort_by(f64::total_cmp);
                let expected = if *way == "allowed" { "200" } else { "429" };
                let seen = outcomes
                    .iter()
                    .filter(|outcome| *outcome == expected)
                    .count();
                let other = outcomes.iter().find(|outcome| *outcome != expected);
                let other = other.map_or(String::new(), |other| format!(" {other}"));
                let cell = format!("{seen}/{requests}{other} {:.1}", times[times.len() / 2]);
                print!("{cell:>24}");
                _ = io::stdout().flush();
            }
            println!();
        }
    }
}

/// Starts a server that rejects every request but the first.
async fn serve(way: &str) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let limiter = Arc::new(RateLimiter::new(Quota::per_day(1)));
    _ = limiter.check("alice");
    let no_key = OnMissingKey::Reject(StatusCode::UNAUTHORIZED);
    let layer = RateLimitLayer::new(limiter, HeaderKey::from_static("x-api-key"), no_key);
    let layer = match way {
        "read first" => layer,
        "allowed" => layer.exempt(|_| true),
        _ if OVER.contains(&way) => layer
            .drain(100_000, Duration::from_secs(10))
            .expect("limits"),
        _ => layer.without_draining(),
    };
    let app = Router::new()
        .fallback(post(|_: Bytes| async {}))
        .layer(DefaultBodyLimit::disable())
        .layer(layer);
    let app = match way {
        "head first" => app.layer(middleware::from_fn(while_sending::head_first)),
        "all but the end" => app.layer(middleware::from_fn(while_sending::all_but_the_end)),
        _ if way.starts_with("at limit") => app.layer(MapRequestLayer::new(without_length)),
        _ => app,
    };
    let app = if way.ends_with("close") {
        app.layer(MapResponseLayer::new(|mut response: Response| {
            let close = http::HeaderValue::from_static("close");
            response
                .headers_mut()
                .insert(http::header::CONNECTION, close);
            response
        }))
    } else {
        app
    };
    tokio::spawn(async { axum::serve(listener, app).await });
    address
}

/// Hides the length of the body.
fn without_length(request: Request) -> Request {
    request.map(|body| Body::from_stream(body.into_data_stream()))
}

async fn rust(
    address: SocketAddr,
    bytes: usize,
    requests: usize,
    chunked: bool,
) -> (Vec<String>, Vec<f64>) {
    let client = reqwest::Client::builder()
        .no_proxy()
        .retry(reqwest::retry::never())
        .timeout(Duration::from_secs(30))
        .build()
        .expect("a client");
    let mut outcomes = Vec::new();
    let mut times = Vec::new();
    for _ in 0..requests {
        let body = if chunked {
            let parts = vec![Bytes::from(vec![b'x'; bytes.min(50_000)]); bytes.div_ceil(50_000)];
            let frames = tokio_stream::iter(parts).map(http_body::Frame::data);
            let frames = frames.map(Ok::<_, Infallible>);
            reqwest::Body::wrap(StreamBody::new(frames))
        } else {
            vec![b'x'; bytes].into()
        };
        let request = client.post(format!("http://{address}/"));
        let start = Instant::now();
        let response = request.header("x-api-key", "alice").body(body).send().await;
        let outcome = match response {
            Ok(response) => {
                let status = response.status().as_u16().to_string();
                match response.bytes().await {
                    Ok(_) => status,
                    Err(_) => status + " cut",
                }
            }
            Err(_) => "error".to_owned(),
        };
        times.push(start.elapsed().as_secs_f64() * 1e3);
        outcomes.push(outcome);
    }
    (outcomes, times)
}

fn python(address: SocketAddr, bytes: usize, requests: usize, chunked: bool) -> Vec<String> {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/clients/keep_alive.py");
    let mut command = Command::new("python3");
    command.arg(script).arg(address.port().to_string());
    command.args([bytes.to_string(), requests.to_string()]);
    if chunked {
        command.arg("chunked");
    }
    let output = command.output().expect("Python 3");
    let output = String::from_utf8(output.stdout).expect("text");
    let mut lines: Vec<String> = output.lines().map(str::to_owned).collect();
    _ = lines.pop();
    lines
}

fn curl(
    address: SocketAddr,
    bytes: usize,
    requests: usize,
    chunked: bool,
    expects: bool,
) -> Vec<String> {
    let file = env::temp_dir().join(format!("tollgate-upload-{}", std::process::id()));
    std::fs::write(&file, vec![b'x'; bytes]).expect("a file");
    let mut command = Command::new("curl");
    command
        .args(["--silent", "--max-time", "30", "--output", "/dev/null"])
        .args(["--write-out", "%{http_code}/%{exitcode}\n"])
        .args(["--header", "x-api-key: alice", "--data-binary"])
        .arg(format!("@{}", file.display()))
        .args([
            "--header",
            if expects {
                "Expect: 100-continue"
            } else {
                "Expect:"
            },
        ]);
    if chunked {
        command.args(["--header", "transfer-encoding: chunked"]);
    }
    command.arg(format!("http://{address}/[1-{requests}]"));
    let output = command.output().expect("curl");
    let output = String::from_utf8(output.stdout).expect("text");
    _ = std::fs::remove_file(file);
    output
        .lines()
        .map(|line| line.strip_suffix("/0").unwrap_or(line).to_owned())
        .collect()
}
