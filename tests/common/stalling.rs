//! Clients that stall a server: each sends a part, and leaves out the rest.

use std::{pin::Pin, time::Duration};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// A way to stall.
pub struct Stall {
    pub name: &'static str,
    /// Connects to an address, stalls, and returns the connection.
    pub begin: fn(String) -> Pin<Box<dyn Future<Output = TcpStream> + Send>>,
    /// Whether no head of a request is complete. If so, the timeout for heads ends it.
    pub lacks_head: bool,
    /// Whether the client reads what the server sends.
    pub reads: bool,
}

impl Stall {
    /// Returns when the server has closed the connection. A reset closes it, too.
    pub async fn is_closed(&self, mut stream: TcpStream) {
        if self.reads {
            let mut sent = Vec::new();
            _ = stream.read_to_end(&mut sent).await;
        } else {
            // The buffers are full. Only the end lets many writes return.
            while !matches!(stream.write(b"a").await, Ok(0) | Err(_)) {}
        }
    }
}

const REQUEST: &str = "POST /api/v1/handoff HTTP/1.1\r\nhost: localhost\r\n\
                       x-api-key: key-of-alice\r\n";

macro_rules! stall {
    (no head: $name:literal, $address:ident => $stream:expr) => {
        Stall {
            lacks_head: true,
            ..stall!($name, $address => $stream)
        }
    };
    ($name:literal, $address:ident => $stream:expr) => {
        Stall {
            name: $name,
            begin: |$address| Box::pin(async move { $stream }),
            lacks_head: false,
            reads: true,
        }
    };
}

pub const STALLS: &[Stall] = &[
    stall!(no head: "no byte", address => after(&address, b"").await),
    // This byte may begin the preface of HTTP/2. The next one may not.
    stall!(no head: "one byte of either version", address => after(&address, b"P").await),
    stall!(no head: "one byte of HTTP/1", address => after(&address, b"G").await),
    stall!(no head: "half a head", address => after(&address, REQUEST.as_bytes()).await),
    stall!(no head: "an idle connection", address => {
        let mut stream = after(&address, b"GET /health HTTP/1.1\r\nhost: localhost\r\n\r\n").await;
        read_until(&mut stream, b"ok\n").await;
        stream
    }),
    stall!("half a body", address => {
        let body = "content-length: 6\r\nexpect: 100-continue\r\n\r\n";
        let mut stream = after(&address, format!("{REQUEST}{body}").as_bytes()).await;
        read_until(&mut stream, b"100 Continue\r\n\r\n").await;
        stream.write_all(b"a n").await.unwrap();
        stream
    }),
    stall!("half a chunk", address => {
        let body = "transfer-encoding: chunked\r\n\r\n10\r\na n";
        after(&address, format!("{REQUEST}{body}").as_bytes()).await
    }),
    Stall {
        reads: false,
        ..stall!("responses that are not read", address => {
            let mut stream = after(&address, b"").await;
            let note = "a".repeat(60_000);
            let request = format!("{REQUEST}content-length: {}\r\n\r\n{note}", note.len());
            // It writes until the buffers are full, so the server waits for its client to read.
            let full = Duration::from_millis(200);
            while let Ok(Ok(())) = timeout(full, stream.write_all(request.as_bytes())).await {}
            stream
        })
    },
    stall!(no head: "half the preface of HTTP/2", address => after(&address, &PREFACE[..12]).await),
    stall!(no head: "HTTP/2 without a request", address => h2(&address).await),
    stall!(no head: "half a head in HTTP/2", address => {
        let mut stream = h2(&address).await;
        let frame = headers(END_STREAM);
        stream.write_all(&frame[..frame.len() - 3]).await.unwrap();
        stream
    }),
    stall!(no head: "a head in HTTP/2 whose continuation is missing", address => {
        let mut stream = h2(&address).await;
        let mut frame = headers(0);
        frame[4] = 0; // END_HEADERS is not set.
        stream.write_all(&frame).await.unwrap();
        stream
    }),
    stall!("half a body in HTTP/2", address => {
        let mut stream = h2(&address).await;
        stream.write_all(&headers(0)).await.unwrap();
        stream.write_all(&data(0, b"a n")).await.unwrap();
        stream
    }),
    stall!("a response in HTTP/2 that there is no window for", address => {
        let mut stream = after(&address, PREFACE).await;
        // INITIAL_WINDOW_SIZE is 0.
        let settings = [0, 0, 6, 4, 0, 0, 0, 0, 0, 0, 4, 0, 0, 0, 0];
        stream.write_all(&settings).await.unwrap();
        stream.write_all(&headers(END_STREAM)).await.unwrap();
        // The frame header of SETTINGS shows that the server speaks HTTP/2.
        stream.read_exact(&mut [0; 9]).await.unwrap();
        stream
    }),
];

/// Connects, and sends `sent`.
async fn after(address: &str, sent: &[u8]) -> TcpStream {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(sent).await.unwrap();
    stream
}

async fn read_until(stream: &mut TcpStream, end: &[u8]) {
    let mut read = Vec::new();
    while !read.ends_with(end) {
        assert_ne!(stream.read_buf(&mut read).await.unwrap(), 0, "it is closed");
    }
}

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Opens a connection in HTTP/2 without a request. The server has sent its settings.
pub async fn h2(address: &str) -> TcpStream {
    let mut stream = after(address, PREFACE).await;
    stream
        .write_all(&[0, 0, 0, 4, 0, 0, 0, 0, 0])
        .await
        .unwrap();
    stream.read_exact(&mut [0; 9]).await.unwrap();
    stream
}

pub const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

/// Returns a HEADERS frame with a request, on stream 1.
pub fn headers(flags: u8) -> Vec<u8> {
    let mut block = vec![0x83, 0x86]; // POST, http
    // Names of literals are entries of the static table (4 and 1), or written out (0).
    let mut literal = |name: u8, texts: &[&str]| {
        block.push(name);
        for text in texts {
            block.push(text.len() as u8);
            block.extend(text.as_bytes());
        }
    };
    literal(4, &["/api/v1/handoff"]);
    literal(1, &["localhost"]);
    literal(0, &["x-api-key", "key-of-alice"]);
    let mut frame = vec![0, 0, block.len() as u8, 1, flags | END_HEADERS, 0, 0, 0, 1];
    frame.extend(block);
    frame
}

/// Returns a DATA frame, on stream 1.
pub fn data(flags: u8, body: &[u8]) -> Vec<u8> {
    let mut frame = vec![0, 0, body.len() as u8, 0, flags, 0, 0, 0, 1];
    frame.extend(body);
    frame
}
