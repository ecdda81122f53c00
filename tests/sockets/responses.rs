//! Responses of the layer over HTTP/1 and HTTP/2.

use super::exchange::*;
use crate::common::cases::{SECOND, nanos, quota};
use crate::common::http::{KEY, field, limiter, number};
use crate::common::sockets::{one_connection, over_sockets};
use axum::Router;
use axum::routing::get;
use std::time::Duration;
use tollgate::Quota;
use tollgate::tower::{IetfDraft, OnMissingKey, ProblemResponse, RateLimitLayer};

#[test]
fn every_response_carries_the_numbers_of_its_decision() {
    over_sockets(async {
        for client in [http_1(), http_2()] {
            let (limiter, clock) = limiter::<String, 1>(Quota::per_second(1).burst(3));
            let layer = by_key(&limiter).cost(|request| match request.path() {
                "/" => 1,
                _ => 4,
            });
            let app = Router::new().fallback(|| async { "inner" }).layer(layer);
            let address = serve(app).await;
            let ask_for = |path: &str| {
                let request = client.get(format!("http://{address}{path}"));
                ask(request.header("x-api-key", "alice"))
            };

            let first = ask_for("/").await;
            assert_eq!((first.status, &*first.text), (200, "inner"));
            assert_eq!(first.numbers(), [3, 2, 1]);
            assert!(!first.headers.contains_key("retry-after"));
            clock.advance(nanos(SECOND / 2));
            // 2.5 are there: full after 0.5 s and one for each that is spent.
            assert_eq!(ask_for("/").await.numbers(), [3, 1, 2]);
            assert_eq!(ask_for("/").await.numbers(), [3, 0, 3]);

            let rejected = ask_for("/").await;
            assert_eq!(rejected.status, 429);
            assert_eq!(rejected.numbers(), [3, 0, 3]);
            assert_eq!(field(&rejected.headers, "retry-after"), "1");
            let content_type = field(&rejected.headers, "content-type");
            assert_eq!(content_type, "text/plain; charset=utf-8");
            let text = "Too Many Requests: rate limit exceeded; retry after 1 s\n";
            assert_eq!(rejected.text, text);
            assert_eq!(
                number(&rejected.headers, "content-length"),
                text.len() as u64
            );

            let never = ask_for("/dear").await;
            assert_eq!(never.status, 400);
            assert_eq!(never.numbers(), [3, 0, 3]);
            assert!(!never.headers.contains_key("retry-after"));
            let text = "Bad Request: a request that costs 4 exceeds the burst of 3\n";
            assert_eq!(never.text, text);
        }
    });
}

/// Case 38, and the draft's problem type.
#[test]
fn the_policies_and_the_problem_come_over_the_wire_as_they_are() {
    over_sockets(async {
        for client in [http_1(), http_2()] {
            let (limiter, _clock) = limiter([Quota::per_minute(7).burst(1), Quota::per_hour(7)]);
            let layer = RateLimitLayer::new(limiter, KEY, OnMissingKey::Allow)
                .ietf_fields(IetfDraft::Draft11)
                .respond(ProblemResponse);
            let address = serve(Router::new().route("/", get(|| async {})).layer(layer)).await;
            let first = ask(get_as(&client, address, "alice")).await;
            let second = ask(get_as(&client, address, "alice")).await;
            assert_eq!((first.status, second.status), (200, 429));
            for answer in [&first, &second] {
                let policy = field(&answer.headers, "ratelimit-policy");
                assert_eq!(policy, r#""minute";q=7;w=60, "hour";q=7;w=3600"#);
                let limit = field(&answer.headers, "ratelimit");
                assert_eq!(limit, r#""minute";r=0;t=9, "hour";r=6;t=3086"#);
            }
            assert_eq!(field(&second.headers, "retry-after"), "9");
            let content_type = field(&second.headers, "content-type");
            assert_eq!(content_type, "application/problem+json");
            let problem: serde_json::Value = serde_json::from_str(&second.text).unwrap();
            assert_eq!(problem["violated-policies"], serde_json::json!(["minute"]));
        }
    });
}

/// hyper itself cuts the content off. The length is left to the answer.
#[test]
fn a_rejected_head_request_gets_the_length_of_its_content_and_no_content() {
    over_sockets(async {
        for settings in [one_connection(), one_connection().http2_prior_knowledge()] {
            let (limiter, _clock) = limiter(Quota::per_second(1).burst(1));
            let app = Router::new().route("/", get(|| async {}));
            let address = serve(app.layer(by_key(&limiter))).await;
            let client = client(settings);
            assert!(limiter.allow("alice"));
            let request = client.head(format!("http://{address}/"));
            let to_head = ask(request.header("x-api-key", "alice")).await;
            let to_get = ask(get_as(&client, address, "alice")).await;
            assert_eq!((to_head.status, &*to_head.text), (429, ""));
            assert_eq!(to_get.status, 429);
            let length = to_get.text.len() as u64;
            assert_eq!(number(&to_head.headers, "content-length"), length);
            assert_eq!(to_head.numbers(), to_get.numbers());
        }
    });
}

#[test]
fn a_client_that_waits_as_long_as_retry_after_says_is_let_through() {
    over_sockets(async {
        // A unit takes 42.5 s.
        let (limiter, clock) = limiter::<String, 1>(quota(2, 85 * SECOND, 1));
        let app = Router::new().route("/", get(|| async {}));
        let address = serve(app.layer(by_key(&limiter))).await;
        let client = http_1();
        let alice = || ask(get_as(&client, address, "alice"));

        assert_eq!(alice().await.status, 200);
        let rejected = alice().await;
        let wait = number(&rejected.headers, "retry-after");
        assert_eq!((rejected.status, wait), (429, 43));
        clock.advance(Duration::from_secs(wait - 1));
        assert_eq!(number(&alice().await.headers, "retry-after"), 1);
        clock.advance(Duration::from_secs(1));
        assert_eq!(alice().await.status, 200);
    });
}
