//! The example `turns_shared`: two processes of it, and one Redis.
//!
//! Redis has real time here, in which a turn is earned in 6 s. So a test that counts turns also takes the
//! time, and allows for what was earned meanwhile.

use std::{
    ffi::OsString,
    sync::Arc,
    time::{Duration, Instant},
};

use http::StatusCode;
use reqwest::Client;
use serde_json::json;

use crate::common::contract::Variables;
use crate::common::http::number;
use crate::common::programs::{Program, with_programs};
use crate::common::served::{Answer, answer, client};
use crate::server::Server;

const PLAIN: &str = "turns";
const STREAMED: &str = "turns/stream";

/// The time in which a turn is earned.
const EARNED_IN: Duration = Duration::from_secs(6);

/// Two processes of the service.
struct Nodes {
    programs: [Program; 2],
    client: Client,
}

impl Nodes {
    async fn start(server: &Server, variables: &[(&str, &str)]) -> Nodes {
        let start = async || {
            let mut all = Variables::from([
                ("REDIS_URL".to_owned(), server.url().into()),
                // On a noisy machine a check may take longer than by default, and the turn would pass.
                ("RATE_LIMIT_DEADLINE_MS".to_owned(), "20000".into()),
            ]);
            all.extend(
                variables
                    .iter()
                    .map(|(name, value)| (name.to_string(), OsString::from(value))),
            );
            Program::start("turns_shared", all).await
        };
        Nodes {
            programs: [start().await, start().await],
            client: client(),
        }
    }

    async fn send(&self, node: usize, user: &str, endpoint: &str) -> Answer {
        let address = self.programs[node].address();
        let url = format!("http://{address}/api/v1/sessions/1/{endpoint}");
        let request = self.client.post(url).body("well met");
        answer(request.header("authorization", format!("Bearer token-of-{user}"))).await
    }

    /// Sends turns of a user whose bucket is full, each to the next of `places`, until one is rejected.
    /// Returns those that passed, and the rejection. Checks that ten passed, or with them what was earned.
    async fn drain(&self, user: &str, places: &[(usize, &str)]) -> (Vec<Answer>, Answer) {
        let start = Instant::now();
        let mut passed = Vec::new();
        for (node, endpoint) in places.iter().cycle() {
            let answer = self.send(*node, user, endpoint).await;
            if answer.status != StatusCode::OK {
                let most = 10 + earned_since(start);
                assert!((10..=most).contains(&passed.len()), "{}", passed.len());
                return (passed, answer);
            }
            passed.push(answer);
        }
        unreachable!("there are places");
    }

    /// Stops both processes. Returns what each has written on standard error.
    async fn stop(self) -> [String; 2] {
        let mut texts = Vec::new();
        for program in self.programs {
            program.signal("TERM").await;
            let (code, text) = program.end().await;
            assert_eq!(code, Some(0), "{text}");
            texts.push(text);
        }
        texts.try_into().unwrap()
    }
}

fn earned_since(start: Instant) -> usize {
    usize::try_from(start.elapsed().as_millis() / EARNED_IN.as_millis()).unwrap()
}

/// Checks that a turn was rejected by the limit of a minute.
#[track_caller]
fn rejected_by_the_minute(answer: &Answer) {
    let seconds = answer.json()["retry_after_seconds"].as_u64().unwrap();
    answer.is_rejected_for(seconds);
    assert!((1..=6).contains(&seconds), "{seconds}");
    assert_eq!(answer.limit_remaining_reset()[..2], [10, 0]);
}

/// Returns the number of a turn in its session.
#[track_caller]
fn number_of(answer: &Answer) -> u64 {
    let turn = match answer.body.rsplit_once("event: turn\ndata: ") {
        Some((_, turn)) => serde_json::from_str(turn).unwrap(),
        None => answer.json(),
    };
    turn["turn"].as_u64().unwrap()
}

#[test]
fn the_eleventh_turn_in_a_minute_over_two_processes_is_rejected() {
    with_programs(async {
        let server = Server::start();
        let nodes = Nodes::start(&server, &[]).await;
        let start = Instant::now();
        let (passed, rejected) = nodes.drain("alice", &[(0, PLAIN), (1, PLAIN)]).await;
        rejected_by_the_minute(&rejected);
        // One process has the denial in its cache, and the other asks Redis.
        let more = [
            nodes.send(0, "alice", PLAIN).await,
            nodes.send(1, "alice", PLAIN).await,
        ];
        if earned_since(start) == 0 {
            for (answer, left) in passed.iter().zip((0..10).rev()) {
                assert_eq!(answer.limit_remaining_reset()[..2], [10, left]);
            }
            // The hour has ten turns to earn, each in a minute.
            let reset = rejected.limit_remaining_reset()[2];
            assert!((594..=600).contains(&reset), "{reset}");
            more.iter().for_each(rejected_by_the_minute);
        }
        assert_eq!(
            server.keys(),
            ["turns:1/6000000*10+1/60000000*60:{alice}"],
            "one key for both processes"
        );
    });
}

#[test]
fn both_endpoints_of_both_processes_share_the_limit() {
    with_programs(async {
        let server = Server::start();
        let nodes = Nodes::start(&server, &[]).await;
        let places = [(0, PLAIN), (1, STREAMED), (0, STREAMED), (1, PLAIN)];
        let (passed, rejected) = nodes.drain("alice", &places).await;
        for (answer, (_, endpoint)) in passed.iter().zip(places.iter().cycle()) {
            let kind = answer.headers["content-type"].to_str().unwrap();
            let expected = match *endpoint {
                STREAMED => "text/event-stream",
                _ => "application/json",
            };
            assert_eq!(kind, expected);
        }
        // Whichever endpoint it was, the rejection is JSON.
        rejected_by_the_minute(&rejected);
    });
}

/// A turn is earned in a second here, so that turns pass again after some were rejected.
#[test]
fn each_user_has_a_limit_and_a_rejected_turn_changes_no_session() {
    with_programs(async {
        let server = Server::start();
        let limits = [
            ("RATE_LIMIT_TURNS_PER_MINUTE", "60"),
            ("RATE_LIMIT_TURNS_PER_HOUR", "1000000"),
        ];
        let nodes = Nodes::start(&server, &limits).await;
        let (mut passed, mut rejected, mut passed_again) = ([0; 2], 0, [false; 2]);
        while passed_again != [true; 2] {
            for node in [0, 1] {
                for endpoint in [PLAIN, STREAMED] {
                    let answer = nodes.send(node, "alice", endpoint).await;
                    if answer.status == StatusCode::OK {
                        passed[node] += 1;
                        // Only turns that passed at this process are in its session.
                        assert_eq!(number_of(&answer), passed[node]);
                        passed_again[node] |= rejected > 3;
                    } else {
                        answer.is_rejected_for(1);
                        rejected += 1;
                        if rejected == 1 {
                            let of_bob = nodes.send(node, "bob", endpoint).await;
                            assert_eq!(number_of(&of_bob), 1);
                            assert_eq!(of_bob.limit_remaining_reset()[1], 59);
                        }
                    }
                }
            }
        }
        assert!(passed.iter().sum::<u64>() > 60);
    });
}

#[test]
fn of_simultaneous_turns_at_two_processes_ten_pass() {
    with_programs(async {
        let server = Server::start();
        let nodes = Arc::new(Nodes::start(&server, &[]).await);
        let start = Instant::now();
        let turns: Vec<_> = (0..60)
            .map(|index| {
                let nodes = Arc::clone(&nodes);
                let endpoint = [PLAIN, STREAMED][index / 2 % 2];
                tokio::spawn(async move { nodes.send(index % 2, "alice", endpoint).await })
            })
            .collect();
        let (mut passed, mut in_session) = (0, 0);
        for turn in turns {
            let answer = turn.await.unwrap();
            if answer.status == StatusCode::OK {
                passed += 1;
                in_session = in_session.max(number_of(&answer));
            } else {
                rejected_by_the_minute(&answer);
            }
        }
        let most = 10 + earned_since(start);
        assert!((10..=most).contains(&passed), "{passed} of {most}");
        assert!(in_session >= 5, "one process has half of them at least");
    });
}

/// The warning of an outage in what a process has written on standard error.
fn warnings(text: &str) -> usize {
    text.matches("rate limit store unavailable").count()
}

/// Checks that a turn passed without a limit.
#[track_caller]
fn is_unlimited(answer: &Answer) {
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
    answer.has_no_field_about_limits();
}

/// Starts Redis again, and returns how long both processes took to limit again.
///
/// A turn takes a few ms. One that takes longer tells of a noisy machine: what it took beyond 100 ms does not
/// count.
async fn time_until_limited(server: &mut Server, nodes: &Nodes) -> Duration {
    const LONGEST: Duration = Duration::from_millis(100);
    server.restart();
    let start = Instant::now();
    let (mut is_limited, mut noise) = ([false; 2], Duration::ZERO);
    while is_limited != [true; 2] {
        for node in [0, 1] {
            // One limited turn at each, so that none is rejected.
            if !is_limited[node] {
                let sent = Instant::now();
                let answer = nodes.send(node, "bob", PLAIN).await;
                noise += sent.elapsed().saturating_sub(LONGEST);
                is_limited[node] = answer.headers.contains_key("x-ratelimit-limit");
            }
        }
    }
    start.elapsed() - noise
}

/// The origin's rule: without Redis, the check is skipped and a warning is logged.
#[test]
fn without_redis_turns_pass_with_a_warning_and_are_limited_again_within_half_a_second() {
    with_programs(async {
        let mut server = Server::start();
        // It is not there when the processes start.
        server.kill();
        let nodes = Nodes::start(&server, &[]).await;
        let mut times = Vec::new();
        // Then it is killed twice while they run.
        for round in 0..3 {
            if round > 0 {
                server.kill();
            }
            for number in 0..30 {
                let endpoint = [PLAIN, STREAMED][number / 2 % 2];
                is_unlimited(&nodes.send(number % 2, "alice", endpoint).await);
            }
            times.push(time_until_limited(&mut server, &nodes).await);
        }
        let (_, rejected) = nodes.drain("alice", &[(0, PLAIN), (1, STREAMED)]).await;
        rejected_by_the_minute(&rejected);
        assert!(
            times.iter().all(|time| *time <= Duration::from_millis(500)),
            "{times:?}"
        );
        for text in nodes.stop().await {
            assert_eq!(warnings(&text), 1, "{text}");
            let at_start = "warning: Redis is unavailable: no connection\n";
            assert!(text.starts_with(at_start), "{text}");
            let warning =
                "WARN tollgate: rate limit store unavailable prefix=\"turns\" cause=no connection";
            assert!(text.contains(warning), "{text}");
        }
    });
}

#[test]
fn without_redis_turns_are_rejected_with_503_if_so_set() {
    with_programs(async {
        let mut server = Server::start();
        let deny = Nodes::start(&server, &[("RATE_LIMIT_ON_OUTAGE", "deny")]).await;
        let local = [
            ("RATE_LIMIT_ON_OUTAGE", "local"),
            ("RATE_LIMIT_NODES", "2"),
            ("RATE_LIMIT_PREFIX", "local"),
        ];
        let local = Nodes::start(&server, &local).await;
        assert_eq!(number_of(&deny.send(0, "alice", PLAIN).await), 1);
        server.kill();
        let body = json!({ "detail": "rate limit store unavailable" });
        for (node, endpoint) in [(0, PLAIN), (1, PLAIN), (0, STREAMED), (1, STREAMED)] {
            let answer = deny.send(node, "alice", endpoint).await;
            assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
            assert_eq!(answer.json(), body);
            answer.has_no_field_about_limits();

            // Its share of 60 turns an hour is 30. It begins with none.
            let answer = local.send(node, "alice", endpoint).await;
            assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
            let seconds = number(&answer.headers, "retry-after");
            assert!((90..=120).contains(&seconds), "{seconds}");
        }
        time_until_limited(&mut server, &deny).await;
        let second = deny.send(0, "alice", PLAIN).await;
        assert_eq!(number_of(&second), 2, "rejected turns are not stored");
        for nodes in [deny, local] {
            for text in nodes.stop().await {
                assert_eq!(warnings(&text), 1, "{text}");
            }
        }
    });
}
