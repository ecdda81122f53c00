//! The example services read the body of a request before they answer. A client that keeps its
//! connection sees each answer, and can use the connection again.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::common::contract::Variables;
use crate::common::programs::{Program, with_programs};

const HANDOFF: &str = "/api/v1/handoff";
const ALICE: &str = "x-api-key: key-of-alice";
const STRANGER: &str = "x-api-key: key-of-mallory";
const TURNS: &str = "/api/v1/sessions/1/turns";

const DISCARD_LIMIT: usize = 16 * 1024 * 1024;

/// A request timeout that no test reaches, and a limit of one request a key.
fn variables() -> Variables {
    let text = |(name, value): (&str, &str)| (name.to_owned(), value.into());
    let variables = [
        ("REQUEST_TIMEOUT_MS", "3600000"),
        ("HANDOFFKIT_API_RATE_LIMIT_PER_MIN", "1"),
        ("HANDOFFKIT_API_BURST", "1"),
    ];
    variables.map(text).into()
}

async fn connect(program: &Program) -> TcpStream {
    TcpStream::connect(program.address()).await.unwrap()
}

fn head(method: &str, path: &str, header: &str, length: usize) -> String {
    format!(
        "{method} {path} HTTP/1.1\r\nhost: localhost\r\n{header}\r\ncontent-length: {length}\r\n\r\n"
    )
}

/// Reads one answer, with its body. Returns its status and its head.
async fn answer(stream: &mut TcpStream) -> (u16, String) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let byte = stream.read_u8().await.expect("an answer");
        head.push(byte);
    }
    let head = String::from_utf8(head).unwrap().to_ascii_lowercase();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    let length = head.split("content-length: ").nth(1).map_or(0, |rest| {
        rest.split("\r\n").next().unwrap().parse().unwrap()
    });
    stream.read_exact(&mut vec![0; length]).await.unwrap();
    (status, head)
}

/// Sends half of the body, waits until another client is served, and sends the rest. The server has
/// time to answer before the rest.
async fn send_in_halves(program: &Program, stream: &mut TcpStream, head: &str, length: usize) {
    stream.write_all(head.as_bytes()).await.unwrap();
    let body = vec![b'a'; length];
    let (start, rest) = body.split_at(length / 2);
    stream.write_all(start).await.unwrap();
    for _ in 0..3 {
        assert_eq!(is_up(program).await, 200);
    }
    stream
        .write_all(rest)
        .await
        .expect("the server reads the rest");
}

async fn is_up(program: &Program) -> u16 {
    let mut stream = connect(program).await;
    let request = "GET /health HTTP/1.1\r\nhost: localhost\r\n\r\n";
    stream.write_all(request.as_bytes()).await.unwrap();
    answer(&mut stream).await.0
}

#[test]
fn a_connection_is_usable_after_each_answer_to_an_upload() {
    with_programs(async {
        let handoff = Program::start("handoff_api", variables()).await;
        let turns = Program::start("turns_api", variables()).await;
        assert_eq!(handoff.try_it().await, 200);
        let token = "authorization: Bearer token-of-alice";
        for (program, method, path, header, length, expected) in [
            (&handoff, "POST", HANDOFF, STRANGER, 60_000, 401),
            (&handoff, "POST", HANDOFF, STRANGER, 1_000_000, 413),
            (&handoff, "POST", HANDOFF, ALICE, 1_000_000, 413),
            (&handoff, "POST", HANDOFF, ALICE, 60_000, 429),
            (&handoff, "POST", "/nowhere", ALICE, 60_000, 404),
            (&handoff, "PUT", "/health", ALICE, 60_000, 405),
            (&handoff, "POST", HANDOFF, ALICE, DISCARD_LIMIT, 413),
            (
                &turns,
                "POST",
                TURNS,
                "authorization: Bearer a",
                60_000,
                401,
            ),
            (&turns, "POST", TURNS, token, 1_000_000, 413),
            (&turns, "POST", TURNS, token, 60_000, 200),
        ] {
            let mut stream = connect(program).await;
            let head = head(method, path, header, length);
            send_in_halves(program, &mut stream, &head, length).await;
            let (status, answered) = answer(&mut stream).await;
            assert_eq!(status, expected, "{head}{answered}");
            assert!(!answered.contains("connection: close"), "{answered}");
            let again = "GET /health HTTP/1.1\r\nhost: localhost\r\n\r\n";
            stream.write_all(again.as_bytes()).await.unwrap();
            assert_eq!(answer(&mut stream).await.0, 200, "{head}");
        }
    });
}

#[test]
fn a_body_that_is_not_read_whole_is_answered_and_ends_the_connection() {
    with_programs(async {
        let program = Program::start("handoff_api", variables()).await;
        let beyond = vec![b'a'; DISCARD_LIMIT + 1];
        let chunked = format!(
            "POST {HANDOFF} HTTP/1.1\r\nhost: localhost\r\n{ALICE}\r\n\
             transfer-encoding: chunked\r\n\r\n"
        );
        for (head, body, expected) in [
            // The client has more to send, and waits for the answer.
            (
                head("POST", HANDOFF, ALICE, 2 * beyond.len()),
                &*beyond,
                413,
            ),
            (chunked, b"no length\r\n", 400),
        ] {
            let mut stream = connect(&program).await;
            stream.write_all(head.as_bytes()).await.unwrap();
            stream.write_all(body).await.unwrap();
            let (status, answered) = answer(&mut stream).await;
            assert_eq!(status, expected);
            assert!(answered.contains("connection: close\r\n"), "{answered}");
            assert_eq!(stream.read(&mut [0; 64]).await.unwrap_or(0), 0);
        }
        assert_eq!(program.try_it().await, 200);
    });
}
