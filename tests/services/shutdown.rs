//! The example services end on a signal, whatever their clients do. A client that stalls
//! neither keeps a connection for ever nor keeps other clients out.
//!
//! Time is the subject here. Each test waits for an event, and none for a time to pass. The only
//! upper bound is the guard of `with_programs`.

use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::common::contract::Variables;
use crate::common::programs::{Program, with_programs};
use crate::common::served::{answer, client};
use crate::common::stalling::{END_STREAM, STALLS, Stall, data, h2, headers};

const HANDOFF: &str = "/api/v1/handoff";
const KEY: &str = "x-api-key: key-of-alice";

/// A timeout that no test reaches.
const NEVER: u64 = 3_600_000;

/// Returns the timeouts in milliseconds, and a limit that no test reaches.
fn timeouts(head: u64, request: u64, connection: u64, drain: u64) -> Variables {
    let variables = [
        ("HEAD_TIMEOUT_MS", head),
        ("REQUEST_TIMEOUT_MS", request),
        ("CONNECTION_TIMEOUT_MS", connection),
        ("DRAIN_TIMEOUT_MS", drain),
        ("HANDOFFKIT_API_BURST", 1_000_000),
    ];
    let text = |(name, value): (&str, u64)| (name.to_owned(), value.to_string().into());
    variables.map(text).into()
}

/// Returns the warning of a service that has closed connections at the deadline.
fn closed(count: u32, drain: u64) -> String {
    format!("warning: connections still open after {drain} ms, now closed: {count}\n")
}

/// Only the deadline for draining can end these connections.
#[test]
fn no_client_holds_a_service_beyond_the_deadline() {
    with_programs(async {
        let ending = STALLS.iter().map(|Stall { name, begin, .. }| {
            let ended = async move {
                let timeouts = timeouts(NEVER, NEVER, NEVER, 300);
                let program = Program::start("handoff_api", timeouts).await;
                let stalled = begin(program.address().to_owned()).await;
                // Another request gives the service time to read what was sent.
                assert_eq!(program.try_it().await, 200);
                program.signal("TERM").await;
                let ended = program.end().await;
                drop(stalled);
                ended
            };
            (name, tokio::spawn(ended))
        });
        for (name, ended) in ending.collect::<Vec<_>>() {
            let (code, text) = ended.await.expect(name);
            assert_eq!(code, Some(0), "{name}: {text}");
            assert!(text.is_empty() || text == closed(1, 300), "{name}: {text}");
        }
    });
}

#[test]
fn all_stalled_connections_together_are_closed_at_the_deadline_and_counted() {
    with_programs(async {
        let program = Program::start("handoff_api", timeouts(NEVER, NEVER, NEVER, 500)).await;
        let mut stalled = Vec::new();
        for _ in 0..3 {
            stalled.push(program.begin(HANDOFF, KEY).await);
        }
        let start = Instant::now();
        program.signal("TERM").await;
        assert_eq!(program.end().await, (Some(0), closed(3, 500)));
        assert!(start.elapsed().as_millis() >= 500, "it did not wait");
        for mut stream in stalled {
            assert_eq!(stream.read(&mut [0; 64]).await.unwrap_or(0), 0);
        }
    });
}

/// The warning about closed connections cannot be written.
#[test]
fn a_service_whose_standard_error_is_closed_ends_as_it_would() {
    with_programs(async {
        let mut program = Program::start("handoff_api", timeouts(NEVER, NEVER, NEVER, 100)).await;
        let stalled = program.begin(HANDOFF, KEY).await;
        program.close_stderr();
        program.signal("TERM").await;
        assert_eq!(program.end().await, (Some(0), String::new()));
        drop(stalled);
    });
}

#[test]
fn a_request_under_way_in_http_2_finishes_and_then_the_connection_ends() {
    with_programs(async {
        let program = Program::start("handoff_api", timeouts(NEVER, NEVER, NEVER, NEVER)).await;
        let mut stream = h2(program.address()).await;
        stream.write_all(&headers(0)).await.unwrap();
        stream.write_all(&data(0, b"a n")).await.unwrap();
        program.ask_to_stop("TERM").await;
        stream.write_all(&data(END_STREAM, b"ote")).await.unwrap();
        let mut frames = Vec::new();
        let body = br#"{"note":"a note","owner":"alice"}"#;
        while !frames.windows(body.len()).any(|window| window == body) {
            assert_ne!(stream.read_buf(&mut frames).await.unwrap(), 0, "{frames:?}");
        }
        // A client closes its connection after GOAWAY.
        drop(stream);
        assert_eq!(program.end().await, (Some(0), String::new()));
    });
}

#[test]
fn a_service_ends_at_once_where_nothing_is_under_way() {
    with_programs(async {
        for service in ["handoff_api", "turns_api"] {
            // The test fails before this deadline.
            let program = Program::start(service, timeouts(NEVER, NEVER, NEVER, NEVER)).await;
            let silent = TcpStream::connect(program.address()).await.unwrap();
            let mut one_byte = TcpStream::connect(program.address()).await.unwrap();
            one_byte.write_all(b"P").await.unwrap();
            let idle = client();
            let tried = answer(program.curl.request(&idle, &program.curl.url)).await;
            assert_eq!(tried.status, 200);
            let idle_h2 = h2(program.address()).await;
            program.ask_to_stop("TERM").await;
            drop(idle_h2);
            assert_eq!(program.end().await, (Some(0), String::new()));
            drop((silent, one_byte, idle));
        }
    });
}

/// No signal is sent. The timeouts end each stall and close its connection.
#[test]
fn a_connection_that_stalls_is_closed_and_others_are_served_meanwhile() {
    with_programs(async {
        let timeouts = timeouts(2_000, 3_000, 4_000, 500);
        let program = Program::start("handoff_api", timeouts).await;
        let begun = STALLS.iter().flat_map(|stall| {
            let address = program.address();
            (0..8).map(move |_| (stall, tokio::spawn((stall.begin)(address.to_owned()))))
        });
        let mut stalled = Vec::new();
        for (stall, begun) in begun.collect::<Vec<_>>() {
            stalled.push((stall, begun.await.expect(stall.name)));
        }
        assert_eq!(program.try_it().await, 200);
        for (stall, connection) in stalled {
            let closed = timeout(Duration::from_secs(20), stall.is_closed(connection));
            closed.await.expect(stall.name);
        }
        assert_eq!(program.try_it().await, 200);
        program.signal("TERM").await;
        assert_eq!(program.end().await, (Some(0), String::new()));
    });
}

/// Of either version of HTTP, and after a first request, too.
#[test]
fn a_client_that_sends_no_head_is_closed_by_the_timeout_for_heads() {
    with_programs(async {
        let program = Program::start("handoff_api", timeouts(1_500, NEVER, NEVER, NEVER)).await;
        let stalls = STALLS.iter().filter(|stall| stall.lacks_head);
        let closing = stalls.map(|stall| {
            let begun = (stall.begin)(program.address().to_owned());
            let closed = async { stall.is_closed(begun.await).await };
            (
                stall.name,
                tokio::spawn(timeout(Duration::from_secs(20), closed)),
            )
        });
        let closing: Vec<_> = closing.collect();
        assert_eq!(closing.len(), 9);
        for (name, closed) in closing {
            closed.await.expect(name).expect(name);
        }
    });
}

/// Each byte arrives in time, but the head or the body never ends.
#[test]
fn a_client_that_drips_is_closed_too() {
    with_programs(async {
        let head = "POST /api/v1/handoff HTTP/1.1\r\nhost: a\r\nx-api-key: key-of-alice\r\n";
        for (start, head_timeout, request_timeout) in [
            (format!("{head}x-drip: "), 500, NEVER),
            (format!("{head}content-length: 60000\r\n\r\n"), NEVER, 500),
        ] {
            let timeouts = timeouts(head_timeout, request_timeout, NEVER, NEVER);
            let program = Program::start("handoff_api", timeouts).await;
            let mut stream = TcpStream::connect(program.address()).await.unwrap();
            stream.write_all(start.as_bytes()).await.unwrap();
            let mut answer = Vec::new();
            loop {
                let pause = Duration::from_millis(20);
                match timeout(pause, stream.read_buf(&mut answer)).await {
                    Err(_) => _ = stream.write(b"a").await,
                    Ok(Ok(0) | Err(_)) => break,
                    Ok(Ok(_)) => {}
                }
            }
            // The answer may be lost if the server closes while the client still sends.
            let answer = String::from_utf8(answer).unwrap();
            assert!(
                answer.is_empty() || answer.starts_with("HTTP/1.1 408 "),
                "{answer}"
            );
        }
    });
}

#[test]
fn a_body_that_does_not_arrive_is_answered_with_408() {
    with_programs(async {
        for (service, path, header) in [
            ("handoff_api", HANDOFF, KEY),
            (
                "turns_api",
                "/api/v1/sessions/1/turns",
                "authorization: Bearer token-of-alice",
            ),
        ] {
            let program = Program::start(service, timeouts(NEVER, 200, NEVER, NEVER)).await;
            let mut request = program.begin(path, header).await;
            request.write_all(b"half").await.unwrap();
            let mut answer = String::new();
            request.read_to_string(&mut answer).await.unwrap();
            assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
            assert!(answer.contains("\r\nconnection: close\r\n"), "{answer}");
            assert!(answer.ends_with("the request took too long\n"), "{answer}");
        }
    });
}

#[test]
fn a_body_beyond_the_bound_is_answered_with_413() {
    with_programs(async {
        let program = Program::start("handoff_api", timeouts(NEVER, NEVER, NEVER, NEVER)).await;
        let url = format!("http://{}{HANDOFF}", program.address());
        let client = client();
        for (length, status) in [(65_536, 200), (65_537, 413)] {
            let request = client.post(&url).header("x-api-key", "key-of-alice");
            let answer = answer(request.body("a".repeat(length))).await;
            assert_eq!(answer.status, status);
        }
    });
}
