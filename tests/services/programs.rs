//! The example services as programs: what they print, what stops them at the start, and how
//! they end.

use http::StatusCode;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use crate::common::contract::{UNSET, Variables, table};
use crate::common::programs::{Program, stopped, with_programs};
use crate::common::served::{answer, client};

const HANDOFF: &str = "/api/v1/handoff";

#[test]
fn a_program_prints_its_limit_and_a_request_that_works() {
    with_programs(async {
        let mut limits = Vec::new();
        for service in ["handoff_api", "turns_api"] {
            for variables in [
                UNSET,
                limits_set(service, |[from, _]| from),
                limits_set(service, |[_, to]| to),
            ] {
                let program = Program::start(service, variables).await;
                limits.push(program.limit().await);
            }
        }
        let limits: Vec<_> = limits
            .iter()
            .map(|(text, limit)| (&**text, *limit))
            .collect();
        assert_eq!(
            limits,
            [
                ("100/minute burst 10 for each API key", 10),
                ("1/minute for each API key", 1),
                ("1000000/minute for each API key", 1_000_000),
                ("10/minute; 60/hour for each user", 10),
                ("1/minute; 1/hour for each user", 1),
                ("1000000/minute; 1000000/hour for each user", 1_000_000),
            ]
        );
    });
}

/// Returns the variables that set the limits of `service`, each at one of its bounds.
fn limits_set(service: &str, bound: fn([u64; 2]) -> u64) -> Variables {
    let rows = table().into_iter().filter(|row| row.service == service);
    let is_other = |name: &str| name == "PORT" || name.ends_with("_TIMEOUT_MS");
    let rows = rows.filter(|row| !is_other(&row.variable));
    rows.filter_map(|row| Some((row.variable, bound(row.bounds?).to_string().into())))
        .collect()
}

#[test]
fn an_invalid_variable_stops_a_program_at_the_start_and_is_named() {
    with_programs(async {
        for row in table() {
            // `settings.rs` tries all values.
            let values = row.invalid();
            for value in [&values[0], &values[values.len() - 1]] {
                let variables = [(row.variable.clone(), value.clone())].into();
                let error = format!("error: {}\n", row.error(value));
                assert_eq!(stopped(&row.service, variables).await, (Some(1), error));
            }
        }
    });
}

#[test]
fn a_port_that_is_taken_stops_a_program_at_the_start_and_is_named() {
    with_programs(async {
        let taken = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = taken.local_addr().unwrap();
        let port = address.port().to_string().into();
        let (code, error) = stopped("turns_api", [("PORT".to_owned(), port)].into()).await;
        assert_eq!(code, Some(1));
        let start = format!("error: cannot listen on {address}: ");
        assert!(error.starts_with(&start), "{error}");
    });
}

#[test]
fn a_program_that_gets_a_signal_finishes_the_request_under_way() {
    with_programs(async {
        for signal in ["TERM", "INT"] {
            let program = Program::start("handoff_api", UNSET).await;
            // An idle connection delays nothing.
            let idle = client();
            let answer = answer(program.curl.request(&idle, &program.curl.url)).await;
            assert_eq!(answer.status, StatusCode::OK);

            let mut request = program.begin(HANDOFF, "x-api-key: key-of-alice").await;
            program.ask_to_stop(signal).await;
            request.write_all(b"a note").await.unwrap();
            let mut rest = String::new();
            request.read_to_string(&mut rest).await.unwrap();
            assert!(rest.starts_with("HTTP/1.1 200 OK\r\n"), "{rest}");
            assert!(rest.contains(r#""note":"a note""#), "{rest}");
            assert_eq!(program.end().await, (Some(0), String::new()));
            drop(idle);
        }
    });
}

#[test]
fn a_program_that_gets_a_second_signal_does_not_wait() {
    with_programs(async {
        let program = Program::start("turns_api", UNSET).await;
        let token = "authorization: Bearer token-of-alice";
        let request = program.begin("/api/v1/sessions/1/turns", token).await;
        program.ask_to_stop("TERM").await;
        program.signal("TERM").await;
        let stopped = "error: stopped with requests under way\n".to_owned();
        assert_eq!(program.end().await, (Some(1), stopped));
        drop(request);
    });
}
