//! The two services that this crate was first made for, as `examples/` rebuilds them: over real
//! sockets with a clock that the test moves, by the contract in `examples/README.md`, and as the
//! programs that a person starts.

#![cfg(feature = "tower")]
// Each example has its own copy of what they share, as it has when it is built alone.
#![allow(clippy::duplicate_mod)]

mod common;

// Their `main` is not called from here.
#[allow(dead_code)]
#[path = "../examples/handoff_api.rs"]
mod handoff_api;
#[allow(dead_code)]
#[path = "../examples/turns_api.rs"]
mod turns_api;

use std::{
    collections::{BTreeMap, BTreeSet},
    ffi::{OsStr, OsString},
    fs,
    future::IntoFuture,
    path::Path,
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::Router;
use common::http::{field, limiter, number};
use common::sockets::{listen, over_sockets};
use http::{HeaderMap, StatusCode};
use reqwest::{Client, Method, RequestBuilder};
use serde_json::{Value, json};
use tollgate::{ManualClock, Policy, Quota, RateLimiter};

const MINUTE: Duration = Duration::from_secs(60);
const MILLISECOND: Duration = Duration::from_millis(1);

// ---- The first service: each API key, on both endpoints.

const CHECK: &str = "/api/v1/check";
const HANDOFF: &str = "/api/v1/handoff";

struct HandoffApi {
    served: Served,
    limiter: Arc<RateLimiter<handoff_api::Owner>>,
    clock: ManualClock,
}

impl HandoffApi {
    async fn limited_to(quota: Quota) -> HandoffApi {
        let (limiter, clock) = limiter(quota);
        let served = Served::start(handoff_api::router(Arc::clone(&limiter))).await;
        HandoffApi {
            served,
            limiter,
            clock,
        }
    }

    /// A request with the key of `owner`.
    async fn send(&self, owner: &str, path: &str) -> Answer {
        let request = self.served.post(path).body("a note");
        answer(request.header("x-api-key", format!("key-of-{owner}"))).await
    }
}

#[test]
fn with_a_limit_of_one_a_minute_the_second_request_is_refused() {
    over_sockets(async {
        let api = HandoffApi::limited_to(Quota::per_minute(1).burst(1)).await;
        let first = api.send("alice", CHECK).await;
        assert_eq!(first.status, StatusCode::OK);
        assert_eq!(first.json(), json!({ "owner": "alice", "fit": true }));
        assert_eq!(first.limit_remaining_reset(), [1, 0, 60]);
        assert!(!first.headers.contains_key("retry-after"));

        let second = api.send("alice", CHECK).await;
        assert_eq!(second.status, StatusCode::TOO_MANY_REQUESTS);
        assert_eq!(number(&second.headers, "retry-after"), 60);
        assert_eq!(second.limit_remaining_reset(), [1, 0, 60]);
        assert_eq!(
            second.body,
            "Too Many Requests: rate limit exceeded; retry after 60 s\n"
        );
    });
}

#[test]
fn with_a_burst_of_five_five_requests_pass_and_the_sixth_does_not() {
    over_sockets(async {
        let api = HandoffApi::limited_to(Quota::per_minute(100).burst(5)).await;
        for passed in 1..=5_u64 {
            let answer = api.send("alice", CHECK).await;
            assert_eq!(answer.status, StatusCode::OK);
            // A unit takes 0.6 s, and what is told is rounded up.
            let reset = (600 * passed).div_ceil(1_000);
            assert_eq!(answer.limit_remaining_reset(), [5, 5 - passed, reset]);
        }
        let sixth = api.send("alice", CHECK).await;
        assert_eq!(sixth.status, StatusCode::TOO_MANY_REQUESTS);
        assert_eq!(number(&sixth.headers, "retry-after"), 1);
        assert_eq!(sixth.limit_remaining_reset(), [5, 0, 3]);
    });
}

#[test]
fn the_limit_that_is_set_if_nothing_is_said_is_a_hundred_a_minute_and_ten_at_once() {
    over_sockets(async {
        let api = HandoffApi::limited_to(handoff_settings(&UNSET).quota).await;
        for passed in 1..=10 {
            let answer = api.send("alice", HANDOFF).await;
            assert_eq!(answer.status, StatusCode::OK);
            assert_eq!(answer.limit_remaining_reset()[..2], [10, 10 - passed]);
        }
        assert_eq!(api.send("alice", HANDOFF).await.status, 429);
        for _ in 0..200 {
            api.clock
                .advance(600 * MILLISECOND - Duration::from_nanos(1));
            assert_eq!(api.send("alice", HANDOFF).await.status, 429);
            api.clock.advance(Duration::from_nanos(1));
            assert_eq!(api.send("alice", HANDOFF).await.status, 200);
        }
    });
}

#[test]
fn both_endpoints_share_the_bucket_of_a_key_and_two_keys_do_not() {
    over_sockets(async {
        let api = HandoffApi::limited_to(Quota::per_minute(2)).await;
        assert_eq!(api.send("alice", CHECK).await.status, 200);
        assert_eq!(api.send("alice", HANDOFF).await.status, 200);
        assert_eq!(api.send("alice", CHECK).await.status, 429);
        assert_eq!(api.send("alice", HANDOFF).await.status, 429);
        let bob = api.send("bob", HANDOFF).await;
        assert_eq!(bob.json(), json!({ "owner": "bob", "note": "a note" }));
        assert_eq!(bob.limit_remaining_reset(), [2, 1, 30]);
        assert_eq!(api.limiter.len(), 2);
    });
}

#[test]
fn a_key_that_is_unknown_or_missing_is_turned_away_and_spends_nothing() {
    over_sockets(async {
        let api = HandoffApi::limited_to(Quota::per_minute(1)).await;
        let turned_away = async || {
            for path in [CHECK, HANDOFF] {
                for key in [None, Some(""), Some("key-of-mallory"), Some("Key-Of-Alice")] {
                    let request = api.served.post(path).body("a note");
                    let answer = answer(match key {
                        Some(key) => request.header("x-api-key", key),
                        None => request,
                    })
                    .await;
                    assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{key:?}");
                    assert_eq!(field(&answer.headers, "www-authenticate"), "ApiKey");
                    answer.says_nothing_of_a_limit();
                }
            }
        };
        turned_away().await;
        assert_eq!(api.limiter.len(), 0);

        // Neither before nor after is a unit of anybody's spent.
        let first = api.send("alice", CHECK).await;
        assert_eq!(first.status, StatusCode::OK);
        assert_eq!(first.limit_remaining_reset(), [1, 0, 60]);
        turned_away().await;
        assert_eq!(api.limiter.len(), 1);
        assert_eq!(
            number(&api.send("alice", CHECK).await.headers, "retry-after"),
            60
        );
    });
}

#[test]
fn health_and_docs_are_public_and_not_limited() {
    over_sockets(async {
        let api = HandoffApi::limited_to(Quota::per_minute(1)).await;
        for (path, body) in [("/health", "ok\n"), ("/docs", "POST /api/v1/check ")] {
            for key in ["key-of-alice", "key-of-mallory"] {
                for _ in 0..5 {
                    let request = api.served.get(path).header("x-api-key", key);
                    let answer = answer(request).await;
                    assert_eq!(answer.status, StatusCode::OK);
                    assert!(answer.body.starts_with(body), "{}", answer.body);
                    answer.says_nothing_of_a_limit();
                }
            }
        }
        assert_eq!(api.limiter.len(), 0);

        assert_eq!(api.send("alice", CHECK).await.status, 200);
        assert_eq!(api.send("alice", CHECK).await.status, 429);
        let answer = answer(
            api.served
                .get("/health")
                .header("x-api-key", "key-of-alice"),
        )
        .await;
        assert_eq!(answer.status, StatusCode::OK);
    });
}

#[test]
fn a_refused_key_passes_after_retry_after_and_not_a_millisecond_before() {
    over_sockets(async {
        let api = HandoffApi::limited_to(Quota::per_minute(1)).await;
        assert_eq!(api.send("alice", CHECK).await.status, 200);
        for _ in 0..3 {
            let refused = api.send("alice", CHECK).await;
            assert_eq!(refused.status, StatusCode::TOO_MANY_REQUESTS);
            let wait = Duration::from_secs(number(&refused.headers, "retry-after"));
            assert_eq!(wait, MINUTE);

            api.clock.advance(wait - MILLISECOND);
            let early = api.send("alice", CHECK).await;
            assert_eq!(early.status, StatusCode::TOO_MANY_REQUESTS);
            assert_eq!(number(&early.headers, "retry-after"), 1);
            api.clock.advance(MILLISECOND);
            assert_eq!(api.send("alice", CHECK).await.status, 200);
        }
    });
}

// ---- The second service: each user's turns, plain and streamed.

/// The endpoints of a session.
const PLAIN: &str = "turns";
const STREAMED: &str = "turns/stream";

struct TurnsApi {
    served: Served,
    limiter: Arc<RateLimiter<turns_api::User, 2>>,
    clock: ManualClock,
}

impl TurnsApi {
    async fn limited_to(policy: impl Into<Policy<2>>) -> TurnsApi {
        let (limiter, clock) = limiter(policy);
        let served = Served::start(turns_api::router(Arc::clone(&limiter))).await;
        TurnsApi {
            served,
            limiter,
            clock,
        }
    }

    /// With the limit that is set if nothing is said.
    async fn by_default() -> TurnsApi {
        TurnsApi::limited_to(turns_settings(&UNSET).policy).await
    }

    fn request(&self, user: &str, session: &str, endpoint: &str) -> RequestBuilder {
        let path = format!("/api/v1/sessions/{session}/{endpoint}");
        let request = self.served.post(&path).body("well met");
        request.header("authorization", format!("Bearer token-of-{user}"))
    }

    async fn send(&self, user: &str, endpoint: &str) -> Answer {
        answer(self.request(user, "1", endpoint)).await
    }

    /// Takes `count` turns, which all pass.
    async fn take(&self, user: &str, count: usize) {
        for _ in 0..count {
            let answer = self.send(user, PLAIN).await;
            assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
        }
    }
}

#[test]
fn the_eleventh_turn_in_a_minute_is_refused() {
    over_sockets(async {
        let api = TurnsApi::by_default().await;
        for number in 1..=10 {
            let answer = api.send("alice", PLAIN).await;
            assert_eq!(answer.status, StatusCode::OK);
            let turn = json!({ "session": "1", "turn": number, "text": "well met" });
            assert_eq!(answer.json(), turn);
            // The minute binds. The hour takes a minute for each turn to be full again.
            assert_eq!(
                answer.limit_remaining_reset(),
                [10, 10 - number, 60 * number]
            );
        }
        let refused = api.send("alice", PLAIN).await;
        refused.is_refused_for(6);
        assert_eq!(refused.limit_remaining_reset(), [10, 0, 600]);
        // To the letter.
        assert_eq!(
            refused.body,
            r#"{"detail":"rate limit exceeded","retry_after_seconds":6}"#
        );
        assert_eq!(
            api.send("bob", PLAIN).await.status,
            200,
            "each user has a limit"
        );
    });
}

#[test]
fn the_sixty_first_turn_of_an_hour_is_refused_but_for_those_earned_since() {
    over_sockets(async {
        let api = TurnsApi::by_default().await;
        // Ten at a time are sixty in five minutes, in which five more are earned, and in the minute
        // that those take another one.
        for _ in 0..6 {
            api.take("alice", 10).await;
            api.clock.advance(MINUTE);
        }
        api.take("alice", 6).await;

        let refused = api.send("alice", PLAIN).await;
        refused.is_refused_for(60);
        // The hour binds; four are left of the minute's.
        assert_eq!(refused.limit_remaining_reset(), [60, 0, 3_600]);
        let by_minute = api.send("bob", PLAIN).await;
        assert_eq!(by_minute.limit_remaining_reset(), [10, 9, 60]);

        for _ in 0..3 {
            api.clock.advance(MINUTE - MILLISECOND);
            api.send("alice", PLAIN).await.is_refused_for(1);
            api.clock.advance(MILLISECOND);
            api.take("alice", 1).await;
            api.send("alice", STREAMED).await.is_refused_for(60);
        }
        api.clock.advance(60 * MINUTE);
        api.take("alice", 10).await;
    });
}

#[test]
fn whoever_stays_below_the_limit_is_never_refused() {
    over_sockets(async {
        let api = TurnsApi::by_default().await;
        // One a minute for three hours, and ten in one minute of each.
        for minute in 0..180 {
            api.take("alice", if minute % 60 == 0 { 10 } else { 1 })
                .await;
            api.clock.advance(MINUTE);
        }
    });
}

#[test]
fn the_streaming_endpoint_shares_the_limit_and_its_refusal_is_json() {
    over_sockets(async {
        let api = TurnsApi::by_default().await;
        for number in 1..=10 {
            let is_streamed = number % 2 == 0;
            let answer = api
                .send("alice", if is_streamed { STREAMED } else { PLAIN })
                .await;
            assert_eq!(answer.status, StatusCode::OK);
            assert_eq!(
                answer.limit_remaining_reset(),
                [10, 10 - number, 60 * number]
            );
            let turn = json!({ "session": "1", "turn": number, "text": "well met" });
            if is_streamed {
                assert_eq!(field(&answer.headers, "content-type"), "text/event-stream");
                let words = "event: word\ndata: well\n\nevent: word\ndata: met\n\n";
                let events = format!("{words}event: turn\ndata: {turn}\n\n");
                assert_eq!(answer.body, events);
            } else {
                assert_eq!(answer.json(), turn);
            }
        }
        for endpoint in [STREAMED, PLAIN] {
            api.send("alice", endpoint).await.is_refused_for(6);
        }
    });
}

#[test]
fn a_refused_turn_comes_near_no_session() {
    over_sockets(async {
        let api = TurnsApi::limited_to([Quota::per_minute(2), Quota::per_hour(60)]).await;
        api.take("alice", 2).await;
        for endpoint in [PLAIN, STREAMED] {
            api.send("alice", endpoint).await.is_refused_for(30);
            // A body that no session would take is not looked at.
            let unreadable = api.request("alice", "1", endpoint).body(vec![0xff]);
            answer(unreadable).await.is_refused_for(30);
        }
        api.clock.advance(MINUTE);
        assert_eq!(api.send("alice", PLAIN).await.json()["turn"], 3);
        let streamed = api.send("alice", STREAMED).await;
        assert!(streamed.body.contains(r#""turn":4"#), "{}", streamed.body);

        // Another session, and another user's of the same name, count their own.
        assert_eq!(api.send("bob", PLAIN).await.json()["turn"], 1);
        api.clock.advance(MINUTE);
        let other = answer(api.request("alice", "2", PLAIN)).await;
        assert_eq!(
            other.json(),
            json!({ "session": "2", "turn": 1, "text": "well met" })
        );
    });
}

#[test]
fn nothing_is_stored_for_what_is_public_or_turned_away() {
    over_sockets(async {
        let api = TurnsApi::limited_to([Quota::per_minute(1), Quota::per_hour(1)]).await;
        for _ in 0..20 {
            let token = "Bearer token-of-alice";
            let health = answer(api.served.get("/health").header("authorization", token)).await;
            assert_eq!(health.status, StatusCode::OK);
            assert_eq!(health.body, "ok\n");
            health.says_nothing_of_a_limit();
        }
        for endpoint in [PLAIN, STREAMED] {
            let path = format!("/api/v1/sessions/1/{endpoint}");
            for sent in [
                None,
                Some("token-of-alice"),
                Some("Basic token-of-alice"),
                Some("Bearer"),
                Some("Bearer token-of-mallory"),
                Some("Bearer token-of-alice, Bearer token-of-bob"),
            ] {
                let request = api.served.post(&path).body("well met");
                let answer = answer(match sent {
                    Some(sent) => request.header("authorization", sent),
                    None => request,
                })
                .await;
                assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{sent:?}");
                assert_eq!(field(&answer.headers, "www-authenticate"), "Bearer");
                assert_eq!(answer.json(), json!({ "detail": "unknown token" }));
                answer.says_nothing_of_a_limit();
            }
        }
        assert_eq!(api.limiter.len(), 0);

        // Nor was anything spent of the one turn there is, or stored in the session.
        let first = api.send("alice", PLAIN).await;
        assert_eq!(first.json()["turn"], 1);
        assert_eq!(first.limit_remaining_reset(), [1, 0, 3_600]);
        assert_eq!(api.limiter.len(), 1);
    });
}

#[test]
fn a_token_is_known_however_its_scheme_is_capitalised() {
    over_sockets(async {
        let api = TurnsApi::limited_to([Quota::per_minute(3), Quota::per_hour(3)]).await;
        let path = format!("/api/v1/sessions/1/{PLAIN}");
        for (remaining, scheme) in [(2, "Bearer"), (1, "bearer"), (0, "BEARER ")] {
            let request = api.served.post(&path).body("well met");
            let token = format!("{scheme} token-of-alice");
            let answer = answer(request.header("authorization", token)).await;
            assert_eq!(answer.status, StatusCode::OK, "{scheme}");
            assert_eq!(answer.limit_remaining_reset()[1], remaining);
        }
    });
}

#[test]
fn a_refused_user_passes_after_retry_after_and_not_a_millisecond_before() {
    over_sockets(async {
        let api = TurnsApi::by_default().await;
        api.take("alice", 10).await;
        for endpoint in [PLAIN, STREAMED] {
            let refused = api.send("alice", endpoint).await;
            let wait = Duration::from_secs(number(&refused.headers, "retry-after"));
            assert_eq!(wait, Duration::from_secs(6));
            api.clock.advance(wait - MILLISECOND);
            api.send("alice", endpoint).await.is_refused_for(1);
            api.clock.advance(MILLISECOND);
            assert_eq!(api.send("alice", endpoint).await.status, 200);
        }
    });
}

#[test]
fn of_simultaneous_turns_on_both_endpoints_as_many_pass_as_there_are() {
    over_sockets(async {
        let api = Arc::new(TurnsApi::by_default().await);
        let turns: Vec<_> = (0..40)
            .map(|index| {
                let api = Arc::clone(&api);
                let endpoint = [PLAIN, STREAMED][index % 2];
                tokio::spawn(async move { api.send("alice", endpoint).await })
            })
            .collect();
        let mut passed = 0;
        for turn in turns {
            let answer = turn.await.unwrap();
            match answer.status {
                StatusCode::OK => passed += 1,
                _ => answer.is_refused_for(6),
            }
        }
        assert_eq!(passed, 10);
        api.clock.advance(MINUTE);
        assert_eq!(
            api.send("alice", PLAIN).await.json()["turn"],
            11,
            "ten are stored"
        );
    });
}

// ---- The contract of the environment.

/// A row of the table in `examples/README.md`. HOST has no bounds.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Row {
    variable: String,
    service: String,
    default: String,
    bounds: Option<[u64; 2]>,
}

impl Row {
    /// Values that are refused: one beyond each bound, and what is no such value at all.
    fn refused(&self) -> Vec<OsString> {
        let mut values = ["abc", "", " ", "-1", "1.5", "1e3", "10 "]
            .map(OsString::from)
            .to_vec();
        match self.bounds {
            None => values.extend(["localhost", "127.0.0.256", "[::1]"].map(OsString::from)),
            Some([from, to]) => {
                let below = from
                    .checked_sub(1)
                    .map_or("-1".to_owned(), |below| below.to_string());
                let above = (to + 1).to_string();
                let beyond_any = "99999999999999999999999".to_owned();
                values.extend([below, above, beyond_any].map(OsString::from));
            }
        }
        #[cfg(unix)]
        {
            use std::os::unix::ffi::OsStringExt;
            values.push(OsString::from_vec(b"1\xff0".to_vec()));
        }
        values
    }

    /// What the service says of a value that it refuses.
    fn refusal(&self, value: &OsStr) -> String {
        let expected = match self.bounds {
            None => "an IPv4 or IPv6 address".to_owned(),
            Some([from, to]) => format!("a whole number from {from} to {to}"),
        };
        format!("{} is {value:?}; expected {expected}", self.variable)
    }
}

/// The table, as it is written.
fn table() -> Vec<Row> {
    let readme = example("README.md");
    let header = "| variable | service | what | default | from | to |";
    let table = readme.split(header).nth(1).expect("README has the table");
    let rows = table
        .lines()
        .skip(2)
        .take_while(|line| line.starts_with('|'));
    let rows: Vec<Row> = rows.map(row).collect();
    assert!(rows.len() >= 8, "these are not all: {rows:?}");
    rows
}

fn row(line: &str) -> Row {
    let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
    let [variable, service, what, default, from, to] = cells[..] else {
        panic!("six columns: {line}");
    };
    assert!(!what.is_empty(), "{line}");
    let code = |cell: &str| cell.trim_matches('`').to_owned();
    let bounds = match [from, to] {
        ["–", "–"] => None,
        bounds => Some(bounds.map(|bound| bound.parse().unwrap())),
    };
    Row {
        variable: code(variable),
        service: code(service),
        default: default.to_owned(),
        bounds,
    }
}

/// A setting of the code, as a row.
macro_rules! row {
    ($service:ident :: $setting:ident) => {
        Row {
            variable: $service::$setting.name.to_owned(),
            service: stringify!($service).to_owned(),
            default: $service::$setting.default.to_string(),
            bounds: Some([$service::$setting.from.into(), $service::$setting.to.into()]),
        }
    };
}

#[test]
fn the_table_in_readme_says_what_the_code_does() {
    let host = |service: &str| Row {
        variable: "HOST".to_owned(),
        service: service.to_owned(),
        default: "127.0.0.1".to_owned(),
        bounds: None,
    };
    let code = [
        row!(handoff_api::PER_MINUTE),
        row!(handoff_api::BURST),
        host("handoff_api"),
        row!(handoff_api::PORT),
        row!(turns_api::PER_MINUTE),
        row!(turns_api::PER_HOUR),
        host("turns_api"),
        row!(turns_api::PORT),
    ];
    assert_eq!(table(), code);
}

type Variables = BTreeMap<String, OsString>;

const UNSET: Variables = Variables::new();

fn handoff_settings(variables: &Variables) -> handoff_api::Settings {
    handoff_api::Settings::read(&|name| variables.get(name).cloned()).unwrap()
}

fn turns_settings(variables: &Variables) -> turns_api::Settings {
    turns_api::Settings::read(&|name| variables.get(name).cloned()).unwrap()
}

/// What the service makes of its environment: the value of each variable, or why it refuses one.
fn effect(
    service: &str,
    environment: &dyn Fn(&str) -> Option<OsString>,
) -> Result<BTreeMap<&'static str, String>, String> {
    let (limits, address) = match service {
        "handoff_api" => {
            let settings = handoff_api::Settings::read(environment);
            let settings = settings.map_err(|refused| refused.to_string())?;
            assert_eq!(settings.quota.period(), MINUTE);
            let limits = [
                ("HANDOFFKIT_API_RATE_LIMIT_PER_MIN", settings.quota.units()),
                ("HANDOFFKIT_API_BURST", settings.quota.burst_size()),
            ];
            (limits, settings.address)
        }
        "turns_api" => {
            let settings = turns_api::Settings::read(environment);
            let settings = settings.map_err(|refused| refused.to_string())?;
            let [minute, hour] = *settings.policy.quotas();
            assert_eq!([minute.period(), hour.period()], [MINUTE, 60 * MINUTE]);
            assert_eq!(minute.burst_size(), minute.units());
            assert_eq!(hour.burst_size(), hour.units());
            let limits = [
                ("RATE_LIMIT_TURNS_PER_MINUTE", minute.units()),
                ("RATE_LIMIT_TURNS_PER_HOUR", hour.units()),
            ];
            (limits, settings.address)
        }
        _ => panic!("no service is called {service}"),
    };
    let mut effect: BTreeMap<_, _> = limits.map(|(name, n)| (name, n.to_string())).into();
    effect.insert("HOST", address.ip().to_string());
    effect.insert("PORT", address.port().to_string());
    Ok(effect)
}

#[test]
fn a_variable_that_is_not_set_has_the_default_of_the_table() {
    for row in table() {
        let effect = effect(&row.service, &|_| None).unwrap();
        assert_eq!(effect[&*row.variable], row.default, "{row:?}");
    }
}

#[test]
fn a_variable_that_is_set_to_either_bound_is_taken_and_alone_changes() {
    for row in table() {
        let values = match row.bounds {
            Some([from, to]) => vec![from, from + 1, to - 1, to]
                .into_iter()
                .map(|bound| bound.to_string())
                .collect(),
            None => ["0.0.0.0", "255.255.255.255", "::", "::1", "2001:db8::7"]
                .map(str::to_owned)
                .to_vec(),
        };
        for value in values {
            let set = |name: &str| (name == row.variable).then(|| OsString::from(&value));
            let mut expected = effect(&row.service, &|_| None).unwrap();
            *expected.get_mut(&*row.variable).unwrap() = value.clone();
            assert_eq!(effect(&row.service, &set), Ok(expected), "{row:?}");
        }
    }
}

#[test]
fn a_variable_beyond_its_bounds_is_refused_by_name_with_value_and_bound() {
    for row in table() {
        for value in row.refused() {
            let set = |name: &str| (name == row.variable).then(|| value.clone());
            let refused = effect(&row.service, &set).unwrap_err();
            assert_eq!(refused, row.refusal(&value));
        }
    }
}

#[test]
fn the_table_has_every_variable_that_the_services_read() {
    let mut in_table = BTreeSet::new();
    for row in table() {
        assert!(in_table.insert((row.service, row.variable)), "twice");
    }
    let mut read = BTreeSet::new();
    for service in ["handoff_api", "turns_api"] {
        let asked = Mutex::new(Vec::new());
        let recorded = |name: &str| {
            asked.lock().unwrap().push(name.to_owned());
            None
        };
        effect(service, &recorded).unwrap();
        let asked = asked.into_inner().unwrap();
        read.extend(asked.into_iter().map(|name| (service.to_owned(), name)));
    }
    assert_eq!(read, in_table);

    // There is no other way to the environment.
    for (file, count) in [
        ("handoff_api.rs", 0),
        ("turns_api.rs", 0),
        ("service/mod.rs", 1),
    ] {
        let code = example(file);
        assert_eq!(code.matches("env::").count(), count, "{file}");
        assert!(!code.contains("env!("), "{file}");
    }
}

/// `Quota::new` says no only to a burst that is too large for its rate, once there is one: so the
/// largest stands for all.
#[test]
fn every_combination_within_the_bounds_is_a_quota() {
    let [rates, bursts] = [handoff_api::PER_MINUTE, handoff_api::BURST];
    for rate in rates.from..=rates.to {
        let quota = Quota::new(rate, MINUTE, bursts.to);
        assert!(quota.is_ok(), "{rate}: {quota:?}");
    }
    for (setting, period) in [
        (turns_api::PER_MINUTE, MINUTE),
        (turns_api::PER_HOUR, 60 * MINUTE),
    ] {
        for units in setting.from..=setting.to {
            let quota = Quota::new(units, period, units);
            assert!(quota.is_ok(), "{units}: {quota:?}");
        }
    }
    // And as the services make them.
    let some = |from: u64, to: u64| [from, from + 1, 7, 600, 999_983, to - 1, to];
    for rate in some(rates.from, rates.to) {
        for burst in some(bursts.from, bursts.to) {
            let variables = [(rates.name, rate), (bursts.name, burst)];
            let quota = handoff_settings(&set(&variables)).quota;
            assert_eq!((quota.units(), quota.burst_size()), (rate, burst));
            assert!(
                RateLimiter::builder(quota)
                    .sweep_by_hand()
                    .build()
                    .allow(&0)
            );

            let names = [turns_api::PER_MINUTE.name, turns_api::PER_HOUR.name];
            let policy = turns_settings(&set(&[(names[0], rate), (names[1], burst)])).policy;
            assert_eq!(policy.quotas().map(|quota| quota.units()), [rate, burst]);
            assert!(
                RateLimiter::builder(policy)
                    .sweep_by_hand()
                    .build()
                    .allow(&0)
            );
        }
    }
}

fn set(variables: &[(&str, u64)]) -> Variables {
    let text = |(name, value): &(&str, u64)| (name.to_string(), value.to_string().into());
    variables.iter().map(text).collect()
}

#[test]
fn the_curl_lines_of_readme_do_what_they_are_there_for() {
    over_sockets(async {
        let handoff = HandoffApi::limited_to(Quota::default()).await;
        let turns = TurnsApi::by_default().await;
        let mut answered = 0;
        for line in example("README.md")
            .lines()
            .filter(|line| line.starts_with("curl "))
        {
            let curl = Curl::parse(line);
            let url = [
                (handoff_api::PORT.default, &handoff.served.url),
                (turns_api::PORT.default, &turns.served.url),
            ]
            .into_iter()
            .find_map(|(port, url)| {
                let path = curl
                    .url
                    .strip_prefix(&format!("http://127.0.0.1:{port}/"))?;
                Some(format!("{url}/{path}"))
            })
            .unwrap_or_else(|| panic!("of no service: {line}"));
            let answer = answer(curl.request(&client(), &url)).await;
            assert_eq!(answer.status, StatusCode::OK, "{line}");
            answered += 1;
        }
        assert_eq!(answered, 7);
        assert_eq!((handoff.limiter.len(), turns.limiter.len()), (1, 1));
    });
}

// ---- The programs, as they are started.

#[cfg(unix)]
mod programs {
    use std::{env, io, path::PathBuf, process::Stdio};

    use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
    use tokio::net::{TcpListener, TcpStream};
    use tokio::process::{Child, Command};
    use tokio::time::timeout;

    use super::*;

    /// Shorter than what `over_sockets` waits for: that gives up on a test and ends nothing.
    const GUARD: Duration = Duration::from_secs(30);

    #[test]
    fn a_program_says_what_it_does_and_the_line_that_it_prints_to_try_it_works() {
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

    /// The variables of the table that set the limits of `service`, each at one of its bounds.
    fn limits_set(service: &str, bound: fn([u64; 2]) -> u64) -> Variables {
        let rows = table().into_iter().filter(|row| row.service == service);
        let rows = rows.filter(|row| row.variable != "PORT");
        rows.filter_map(|row| Some((row.variable, bound(row.bounds?).to_string().into())))
            .collect()
    }

    #[test]
    fn a_bad_variable_stops_a_program_at_start_and_is_named() {
        with_programs(async {
            for row in table() {
                for value in row.refused() {
                    let variables = [(row.variable.clone(), value.clone())].into();
                    let refusal = format!("error: {}\n", row.refusal(&value));
                    assert_eq!(stopped(&row.service, variables).await, (Some(1), refusal));
                }
            }
        });
    }

    #[test]
    fn a_port_that_is_taken_stops_a_program_at_start_and_is_named() {
        with_programs(async {
            let taken = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let address = taken.local_addr().unwrap();
            let port = address.port().to_string().into();
            let (code, refusal) = stopped("turns_api", [("PORT".to_owned(), port)].into()).await;
            assert_eq!(code, Some(1));
            let start = format!("error: cannot listen on {address}: ");
            assert!(refusal.starts_with(&start), "{refusal}");
        });
    }

    #[test]
    fn a_program_that_is_asked_to_stop_finishes_the_request_under_way() {
        with_programs(async {
            for signal in ["TERM", "INT"] {
                let program = Program::start("handoff_api", UNSET).await;
                // A connection that is kept alive, with nothing under way, holds nobody up.
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
    fn a_program_that_is_asked_twice_waits_for_nobody() {
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

    /// Runs `test`, and ends what it has started where it would hang.
    fn with_programs(test: impl Future<Output = ()> + Send + 'static) {
        over_sockets(async {
            let in_time = timeout(GUARD, test).await;
            in_time.expect("the programs do not do what is waited for");
        });
    }

    /// An example that has been started, and has printed where it listens.
    struct Program {
        child: Child,
        limit: String,
        /// The request that it says to try.
        curl: Curl,
    }

    impl Program {
        async fn start(service: &str, mut variables: Variables) -> Program {
            variables.insert("PORT".to_owned(), "0".into());
            let mut child = command(service, variables).spawn().unwrap();
            let stdout = child.stdout.take().unwrap();
            let mut lines = BufReader::new(stdout).lines();
            let mut line = async |start: &str| {
                let line = lines.next_line().await.unwrap();
                let line = line.unwrap_or_else(|| panic!("{service} ended"));
                let rest = line.strip_prefix(start);
                rest.unwrap_or_else(|| panic!("not {start:?}: {line}"))
                    .to_owned()
            };
            let url = line(&format!("{service} listens on ")).await;
            let limit = line("limit: ").await;
            let curl = Curl::parse(&line("try: ").await);
            let port = url.strip_prefix("http://127.0.0.1:").unwrap();
            assert_ne!(port.parse::<u16>().unwrap(), 0);
            assert!(curl.url.starts_with(&format!("{url}/")), "{}", curl.url);
            Program { child, limit, curl }
        }

        fn address(&self) -> &str {
            let (address, _) = self.curl.url["http://".len()..].split_once('/').unwrap();
            address
        }

        /// The limit, as it is printed and as a client is told.
        async fn limit(&self) -> (String, u64) {
            let answer = answer(self.curl.request(&client(), &self.curl.url)).await;
            assert_eq!(answer.status, StatusCode::OK);
            let [limit, remaining, _] = answer.limit_remaining_reset();
            assert_eq!(remaining, limit - 1);
            (self.limit.clone(), limit)
        }

        /// Begins a request whose body of six bytes is still to come, and returns once a handler
        /// waits for that.
        async fn begin(&self, path: &str, header: &str) -> TcpStream {
            let mut stream = TcpStream::connect(self.address()).await.unwrap();
            let head = format!(
                "POST {path} HTTP/1.1\r\nhost: localhost\r\n{header}\r\n\
                 content-length: 6\r\nexpect: 100-continue\r\n\r\n"
            );
            stream.write_all(head.as_bytes()).await.unwrap();
            let expected = b"HTTP/1.1 100 Continue\r\n\r\n";
            let mut begun = [0; 25];
            stream.read_exact(&mut begun).await.unwrap();
            assert_eq!(begun, *expected);
            stream
        }

        async fn signal(&self, signal: &str) {
            let id = self.child.id().expect("it has not been waited for");
            let mut kill = Command::new("kill");
            let status = kill.args(["-s", signal, &id.to_string()]).status().await;
            assert!(status.unwrap().success());
        }

        /// Returns once it has stopped to listen.
        async fn ask_to_stop(&self, signal: &str) {
            self.signal(signal).await;
            loop {
                match TcpStream::connect(self.address()).await {
                    Ok(_) => tokio::task::yield_now().await,
                    Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => break,
                    // One that was still in the queue.
                    Err(error) => assert_eq!(error.kind(), io::ErrorKind::ConnectionReset),
                }
            }
        }

        /// Its exit code, and all that it has said on standard error.
        async fn end(self) -> (Option<i32>, String) {
            let output = self.child.wait_with_output().await.unwrap();
            let text = String::from_utf8(output.stderr).unwrap();
            (output.status.code(), text)
        }
    }

    /// The exit code of a program that stops at start, and what it says on standard error.
    async fn stopped(service: &str, variables: Variables) -> (Option<i32>, String) {
        let mut child = command(service, variables).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        assert_eq!(lines.next_line().await.unwrap(), None, "it listens");
        let output = child.wait_with_output().await.unwrap();
        let text = String::from_utf8(output.stderr).unwrap();
        (output.status.code(), text)
    }

    /// The example with these variables and no others.
    fn command(service: &str, variables: Variables) -> Command {
        let mut command = Command::new(program(service));
        command.env_clear().envs(variables).kill_on_drop(true);
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// The example, as cargo has built it beside this test.
    fn program(service: &str) -> PathBuf {
        let test = env::current_exe().unwrap();
        let profile = test.ancestors().nth(2).expect("tests lie in PROFILE/deps");
        let program = profile.join("examples").join(service);
        let built = fs::metadata(&program).and_then(|program| program.modified());
        let written = [format!("{service}.rs"), "service/mod.rs".to_owned()].map(|file| {
            fs::metadata(example_path(&file))
                .unwrap()
                .modified()
                .unwrap()
        });
        // A test alone is built without the examples.
        assert!(
            built.is_ok_and(|built| written.iter().all(|written| *written <= built)),
            "examples/{service} is missing or stale: cargo build --examples --features tower"
        );
        program
    }
}

// ---- A server and its client.

struct Served {
    url: String,
    client: Client,
}

impl Served {
    async fn start(router: Router) -> Served {
        let listener = listen().await;
        let url = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(axum::serve(listener, router).into_future());
        let client = client();
        Served { url, client }
    }

    fn get(&self, path: &str) -> RequestBuilder {
        self.client.get(format!("{}{path}", self.url))
    }

    fn post(&self, path: &str) -> RequestBuilder {
        self.client.post(format!("{}{path}", self.url))
    }
}

fn client() -> Client {
    Client::builder().no_proxy().build().unwrap()
}

struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    body: String,
}

async fn answer(request: RequestBuilder) -> Answer {
    let response = request.send().await.unwrap();
    Answer {
        status: response.status(),
        headers: response.headers().clone(),
        body: response.text().await.unwrap(),
    }
}

impl Answer {
    #[track_caller]
    fn json(&self) -> Value {
        assert_eq!(field(&self.headers, "content-type"), "application/json");
        serde_json::from_str(&self.body).unwrap()
    }

    #[track_caller]
    fn limit_remaining_reset(&self) -> [u64; 3] {
        ["limit", "remaining", "reset"]
            .map(|name| number(&self.headers, &format!("x-ratelimit-{name}")))
    }

    /// 429, with the same whole number of seconds in the header and in the body.
    #[track_caller]
    fn is_refused_for(&self, seconds: u64) {
        assert_eq!(self.status, StatusCode::TOO_MANY_REQUESTS, "{}", self.body);
        assert_eq!(number(&self.headers, "retry-after"), seconds);
        let body = json!({ "detail": "rate limit exceeded", "retry_after_seconds": seconds });
        assert_eq!(self.json(), body);
    }

    #[track_caller]
    fn says_nothing_of_a_limit(&self) {
        let is_of_limits = |name: &str| name.contains("ratelimit") || name == "retry-after";
        let found = self.headers.keys().find(|name| is_of_limits(name.as_str()));
        assert_eq!(found, None);
    }
}

/// What a line of curl asks for. An option that is not known here is a failure.
struct Curl {
    url: String,
    headers: Vec<(String, String)>,
    /// With a body it is a POST.
    body: Option<String>,
}

impl Curl {
    fn parse(line: &str) -> Curl {
        let mut words = words(line).into_iter();
        assert_eq!(words.next().as_deref(), Some("curl"), "{line}");
        let mut curl = Curl {
            url: String::new(),
            headers: Vec::new(),
            body: None,
        };
        while let Some(word) = words.next() {
            match &*word {
                // How it prints what it gets.
                "-i" | "-N" => {}
                "-d" => curl.body = words.next(),
                "-H" => {
                    let header = words.next().unwrap();
                    let (name, value) = header.split_once(": ").expect("a name and a value");
                    curl.headers.push((name.to_owned(), value.to_owned()));
                }
                url if url.starts_with("http://") && curl.url.is_empty() => curl.url = word,
                _ => panic!("{word:?} in {line}"),
            }
        }
        curl
    }

    fn request(&self, client: &Client, url: &str) -> RequestBuilder {
        let method = if self.body.is_some() {
            Method::POST
        } else {
            Method::GET
        };
        let mut request = client.request(method, url);
        for (name, value) in &self.headers {
            request = request.header(name, value);
        }
        request.body(self.body.clone().unwrap_or_default())
    }
}

/// The words of a line for the shell, with no more than single quotes.
fn words(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    for (index, part) in line.split('\'').enumerate() {
        if index % 2 == 1 {
            words.push(part.to_owned());
        } else {
            words.extend(part.split_whitespace().map(str::to_owned));
        }
    }
    words
}

fn example(file: &str) -> String {
    fs::read_to_string(example_path(file)).unwrap()
}

fn example_path(file: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("examples")
        .join(file)
}
