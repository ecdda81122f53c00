//! The contract of `turns_api` in `examples/README.md`: two quotas for each user, on the plain and
//! on the streaming endpoint.

use std::{sync::Arc, time::Duration};

use http::StatusCode;
use reqwest::RequestBuilder;
use serde_json::json;
use tollgate::{IntoPolicy, ManualClock, Quota, RateLimiter};

use crate::common::http::{field, limiter};
use crate::common::served::{Answer, Served, answer};
use crate::common::sockets::over_sockets;
use crate::turns_api;

const MINUTE: Duration = Duration::from_secs(60);
const MILLISECOND: Duration = Duration::from_millis(1);

// ---- The second service: each user's turns, plain and streamed.

/// The endpoints of a session.
const PLAIN: &str = "turns";

const STREAMED: &str = "turns/stream";

pub struct TurnsApi {
    pub served: Served,
    pub limiter: Arc<RateLimiter<turns_api::User, 2>>,
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

    /// Starts the service with the default limit.
    pub async fn by_default() -> TurnsApi {
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

    /// Takes `count` turns, and checks that all pass.
    async fn take(&self, user: &str, count: usize) {
        for _ in 0..count {
            let answer = self.send(user, PLAIN).await;
            assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
        }
    }
}

#[test]
fn the_eleventh_turn_in_a_minute_is_rejected() {
    over_sockets(async {
        let api = TurnsApi::by_default().await;
        for number in 1..=10 {
            let answer = api.send("alice", PLAIN).await;
            assert_eq!(answer.status, StatusCode::OK);
            let turn = json!({ "session": "1", "turn": number, "text": "well met" });
            assert_eq!(answer.json(), turn);
            // The minute binds. The hour takes a minute per turn to be full again.
            assert_eq!(
                answer.limit_remaining_reset(),
                [10, 10 - number, 60 * number]
            );
        }
        let rejected = api.send("alice", PLAIN).await;
        rejected.is_rejected_for(6);
        assert_eq!(rejected.limit_remaining_reset(), [10, 0, 600]);
        assert_eq!(
            rejected.body,
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
fn the_sixty_first_turn_of_an_hour_is_rejected_but_for_those_earned_since() {
    over_sockets(async {
        let api = TurnsApi::by_default().await;
        // Sixty turns, ten a minute. Six more are earned meanwhile.
        for _ in 0..6 {
            api.take("alice", 10).await;
            api.clock.advance(MINUTE);
        }
        api.take("alice", 6).await;

        let rejected = api.send("alice", PLAIN).await;
        rejected.is_rejected_for(60);
        // The hour binds. The minute has four left.
        assert_eq!(rejected.limit_remaining_reset(), [60, 0, 3_600]);
        let by_minute = api.send("bob", PLAIN).await;
        assert_eq!(by_minute.limit_remaining_reset(), [10, 9, 60]);

        for _ in 0..3 {
            api.clock.advance(MINUTE - MILLISECOND);
            api.send("alice", PLAIN).await.is_rejected_for(1);
            api.clock.advance(MILLISECOND);
            api.take("alice", 1).await;
            api.send("alice", STREAMED).await.is_rejected_for(60);
        }
        api.clock.advance(60 * MINUTE);
        api.take("alice", 10).await;
    });
}

#[test]
fn a_user_below_the_limit_is_never_rejected() {
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
fn the_streaming_endpoint_shares_the_limit_and_its_rejection_is_json() {
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
            api.send("alice", endpoint).await.is_rejected_for(6);
        }
    });
}

#[test]
fn a_rejected_turn_changes_no_session() {
    over_sockets(async {
        let api = TurnsApi::limited_to([Quota::per_minute(2), Quota::per_hour(60)]).await;
        api.take("alice", 2).await;
        for endpoint in [PLAIN, STREAMED] {
            api.send("alice", endpoint).await.is_rejected_for(30);
            // A body that is invalid for a session is not parsed.
            let unreadable = api.request("alice", "1", endpoint).body(vec![0xff]);
            answer(unreadable).await.is_rejected_for(30);
        }
        api.clock.advance(MINUTE);
        assert_eq!(api.send("alice", PLAIN).await.json()["turn"], 3);
        let streamed = api.send("alice", STREAMED).await;
        assert!(streamed.body.contains(r#""turn":4"#), "{}", streamed.body);

        // Each session has its own count, also one of another user with the same name.
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
fn nothing_is_stored_for_requests_that_are_public_or_unauthorised() {
    over_sockets(async {
        let api = TurnsApi::limited_to([Quota::per_minute(1), Quota::per_hour(1)]).await;
        for _ in 0..20 {
            let token = "Bearer token-of-alice";
            let health = answer(api.served.get("/health").header("authorization", token)).await;
            assert_eq!(health.status, StatusCode::OK);
            assert_eq!(health.body, "ok\n");
            health.has_no_field_about_limits();
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
                answer.has_no_field_about_limits();
            }
        }
        assert_eq!(api.limiter.len(), 0);

        // The one turn is not spent, and nothing is stored in the session.
        let first = api.send("alice", PLAIN).await;
        assert_eq!(first.json()["turn"], 1);
        assert_eq!(first.limit_remaining_reset(), [1, 0, 3_600]);
        assert_eq!(api.limiter.len(), 1);
    });
}

#[test]
fn a_token_is_valid_in_any_case_of_its_scheme() {
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
fn of_simultaneous_turns_on_both_endpoints_ten_pass() {
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
                _ => answer.is_rejected_for(6),
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
