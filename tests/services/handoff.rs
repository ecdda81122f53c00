//! The contract of `handoff_api` in `examples/README.md`: one bucket for each API key, on both
//! endpoints.

use std::{sync::Arc, time::Duration};

use http::StatusCode;
use serde_json::json;
use tollgate::{ManualClock, Quota, RateLimiter};

use crate::common::http::{field, limiter, number};
use crate::common::served::{Answer, Served, answer};
use crate::common::sockets::over_sockets;
use crate::handoff_api;

const SECOND: Duration = Duration::from_secs(1);
const MILLISECOND: Duration = Duration::from_millis(1);

// ---- The first service: each API key, on both endpoints.

const CHECK: &str = "/api/v1/check";

const HANDOFF: &str = "/api/v1/handoff";

pub struct HandoffApi {
    pub served: Served,
    pub limiter: Arc<RateLimiter<handoff_api::Owner>>,
    clock: ManualClock,
}

impl HandoffApi {
    pub async fn limited_to(quota: Quota) -> HandoffApi {
        let (limiter, clock) = limiter(quota);
        let served = Served::start(handoff_api::router(Arc::clone(&limiter))).await;
        HandoffApi {
            served,
            limiter,
            clock,
        }
    }

    /// Sends a request with the key of `owner`.
    async fn send(&self, owner: &str, path: &str) -> Answer {
        let request = self.served.post(path).body("a note");
        answer(request.header("x-api-key", format!("key-of-{owner}"))).await
    }
}

#[test]
fn with_a_limit_of_one_a_minute_the_second_request_is_rejected_until_retry_after() {
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

        api.clock.advance(60 * SECOND - MILLISECOND);
        let early = api.send("alice", CHECK).await;
        assert_eq!(early.status, StatusCode::TOO_MANY_REQUESTS);
        assert_eq!(number(&early.headers, "retry-after"), 1);
        api.clock.advance(MILLISECOND);
        assert_eq!(api.send("alice", CHECK).await.status, 200);
    });
}

#[test]
fn with_a_burst_of_five_five_requests_pass_and_the_sixth_does_not() {
    over_sockets(async {
        let api = HandoffApi::limited_to(Quota::per_minute(100).burst(5)).await;
        for passed in 1..=5_u64 {
            let answer = api.send("alice", CHECK).await;
            assert_eq!(answer.status, StatusCode::OK);
            // A unit takes 0.6 s, and the field is rounded up.
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
fn the_default_limit_is_a_hundred_a_minute_and_ten_at_once() {
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
fn a_key_that_is_unknown_or_missing_is_unauthorised_and_spends_nothing() {
    over_sockets(async {
        let api = HandoffApi::limited_to(Quota::per_minute(1)).await;
        let unauthorised = async || {
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
                    answer.has_no_field_about_limits();
                }
            }
        };
        unauthorised().await;
        assert_eq!(api.limiter.len(), 0);

        // No unit is spent, neither before nor after.
        let first = api.send("alice", CHECK).await;
        assert_eq!(first.status, StatusCode::OK);
        assert_eq!(first.limit_remaining_reset(), [1, 0, 60]);
        unauthorised().await;
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
                    answer.has_no_field_about_limits();
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
