//! The two services that this crate was first made for, as `examples/` rebuilds them: over real
//! sockets with a clock that the test moves, by the contract in `examples/README.md`.

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

use std::{sync::Arc, time::Duration};

use common::http::{field, limiter, number};
use common::served::{Answer, Curl, Served, answer, client, example};
use common::sockets::over_sockets;
use http::StatusCode;
use reqwest::RequestBuilder;
use serde_json::json;
use tollgate::{IntoPolicy, ManualClock, Quota, RateLimiter};

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
        let api =
            HandoffApi::limited_to(handoff_api::Settings::read(&|_| None).unwrap().quota).await;
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
    async fn limited_to(policy: impl IntoPolicy<2>) -> TurnsApi {
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
        TurnsApi::limited_to(turns_api::Settings::read(&|_| None).unwrap().policy).await
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
                assert_eq!(answer.json(), json!({ "detail": "invalid token" }));
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
