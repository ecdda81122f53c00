//! What clients are told: header fields and bodies.

#![cfg(feature = "tower")]

mod common;

use std::{
    convert::Infallible,
    future::ready,
    sync::{Arc, Mutex},
    time::Duration,
};

use common::cases::{HOUR, SECOND, quota};
use common::http::{Inner, KEY, Limited, field, limiter, number, request_of};
use http::{HeaderMap, Request, Response, StatusCode};
use proptest::prelude::*;
use serde_json::{Value, json};
use sfv::{BareItem, List, ListEntry, Parser};
use tollgate::tower::{
    GrpcResponse, IetfDraft, JsonResponse, OnMissingKey, ProblemResponse, RateLimitLayer,
    RejectionResponse,
};
use tollgate::{Decision, IntoPolicy, Quota};
use tower::{Layer, service_fn};

const LET_THROUGH: OnMissingKey = OnMissingKey::Allow;

/// The answer to a request that comes `elapsed` after the bucket was emptied.
async fn denied_after<const N: usize>(
    policy: impl IntoPolicy<N>,
    elapsed: Duration,
) -> Response<String> {
    let (limiter, clock) = limiter(policy);
    let service = Inner::default().behind(&RateLimitLayer::new(
        limiter.clone(),
        KEY,
        OnMissingKey::Allow,
    ));
    while limiter.allow("alice") {}
    clock.advance(elapsed);
    service.send(request_of("alice")).await
}

/// Case 36. tower_governor and actix-governor say 0, axum-governor says 1 for 1.9 s.
#[tokio::test]
async fn retry_after_is_in_whole_seconds_rounded_up_and_never_0() {
    for (nanos, seconds) in [
        (SECOND / 5, "1"),
        (1, "1"),
        (SECOND - 1, "1"),
        (SECOND, "1"),
        (SECOND + 1, "2"),
        (19 * SECOND / 10, "2"),
        (2 * SECOND, "2"),
        (HOUR, "3600"),
    ] {
        // A unit takes an hour and that long, of which the hour is over.
        let quota = quota(1, HOUR + nanos, 1);
        let response = denied_after(quota, Duration::from_nanos(HOUR)).await;
        assert_eq!(response.status(), 429);
        assert_eq!(
            field(response.headers(), "retry-after"),
            seconds,
            "{nanos} ns"
        );
    }
}

proptest! {
    /// Case 37. All fields, of what is allowed and of what is not, are the numbers of the decision
    /// that was made on the request.
    #[test]
    fn every_field_has_the_decisions_own_number(
        units in 1..1_000_u64,
        burst in 1..1_000_u64,
        hourly in 1..1_000_u64,
        checks in prop::collection::vec((0..1_200_u64, 0..90_000_u64), 1..12),
    ) {
        let policy = [Quota::per_minute(units).burst(burst), Quota::per_hour(hourly)];
        let (limiter, clock) = limiter(policy);
        let seen = Arc::new(Mutex::new(None));
        let (allowed, denied) = (seen.clone(), seen.clone());
        let inner = service_fn(move |request: Request<String>| {
            *allowed.lock().unwrap() = request.extensions().get::<Decision<2>>().copied();
            ready(Ok::<_, Infallible>(Response::new(String::new())))
        });
        let service = RateLimitLayer::new(limiter, KEY, OnMissingKey::Allow)
            .cost(|request| number(request.headers, "cost"))
            .insert_decision()
            .ietf_fields(IetfDraft::Draft11)
            .respond_with(move |refusal| {
                *denied.lock().unwrap() = refusal.decision().and_then(|denied| denied.to_decision());
                JsonResponse.respond(refusal)
            })
            .layer(inner);
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        for (cost, elapsed) in checks {
            clock.advance(Duration::from_millis(elapsed));
            let mut request = request_of("alice");
            request.headers_mut().insert("cost", cost.into());
            let response = runtime.block_on(service.send(request));
            let decision = seen.lock().unwrap().take().unwrap();
            let headers = response.headers();

            let status = match (decision.is_allowed(), decision.exceeds_burst()) {
                (true, _) => 200,
                (false, false) => 429,
                (false, true) => 400,
            };
            prop_assert_eq!(response.status().as_u16(), status);
            prop_assert_eq!(number(headers, "x-ratelimit-limit"), decision.limit());
            prop_assert_eq!(number(headers, "x-ratelimit-remaining"), decision.remaining());
            let reset = seconds(decision.reset_after());
            prop_assert_eq!(number(headers, "x-ratelimit-reset"), reset);
            match decision.retry_after() {
                Some(wait) => {
                    prop_assert_eq!(number(headers, "retry-after"), seconds(wait));
                    prop_assert!(seconds(wait) > 0);
                }
                None => prop_assert!(!headers.contains_key("retry-after")),
            }

            let limits = list(headers, "ratelimit");
            prop_assert_eq!(limits.len(), 2);
            for (index, (quota, name)) in policy.iter().zip(["minute", "hour"]).enumerate() {
                let remaining = decision.quotas()[index].remaining();
                prop_assert_eq!(member(&limits, index).0, name);
                prop_assert_eq!(parameter(&limits, index, "r"), Some(remaining));
                let window = parameter(&limits, index, "t").unwrap();
                // In the window as much is earned as remains, and not in a second less.
                let earned = u128::from(window) * 1_000_000_000 * u128::from(quota.units());
                let period = quota.period().as_nanos();
                let denies = decision.quotas()[index].retry_after().is_some();
                if !denies && remaining > 0 {
                    prop_assert!(earned >= u128::from(remaining) * period);
                    let less = u128::from(window - 1) * 1_000_000_000 * u128::from(quota.units());
                    prop_assert!(less < u128::from(remaining) * period);
                }
                if remaining == 0 {
                    let a_second = 1_000_000_000 * u128::from(quota.units());
                    prop_assert!(window > 0 && earned <= period + a_second);
                }
                // Retry-After does not end before the window of what denied the request does.
                if let Some(wait) = decision.retry_after().filter(|_| denies) {
                    prop_assert!(window <= seconds(wait));
                }
            }
        }
    }
}

/// Rounded up, in another way than the layer does it.
fn seconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos().div_ceil(1_000_000_000)).unwrap()
}

/// A field as the structured list that it must be.
fn list(headers: &HeaderMap, name: &str) -> List {
    Parser::new(field(headers, name)).parse().unwrap()
}

fn member(list: &List, index: usize) -> (&str, &sfv::Parameters) {
    match &list[index] {
        ListEntry::Item(item) => match &item.bare_item {
            BareItem::String(name) => (name.as_str(), &item.params),
            other => panic!("a name is a string, not {other:?}"),
        },
        ListEntry::InnerList(list) => panic!("a quota is an item, not {list:?}"),
    }
}

fn parameter(list: &List, index: usize, name: &str) -> Option<u64> {
    let (_, parameters) = member(list, index);
    let value = parameters.get(name)?;
    let value = value.as_integer().expect("a number is an integer");
    Some(u64::try_from(i64::from(value)).unwrap())
}

/// What `RateLimit-Policy` and `RateLimit` say of the first request.
async fn ietf<const N: usize>(policy: impl IntoPolicy<N>) -> (String, String) {
    let (limiter, _clock) = limiter(policy);
    let layer =
        RateLimitLayer::new(limiter, KEY, OnMissingKey::Allow).ietf_fields(IetfDraft::Draft11);
    let response = Inner::default()
        .behind(&layer)
        .send(request_of("alice"))
        .await;
    let text = |name| field(response.headers(), name).to_owned();
    for name in ["ratelimit-policy", "ratelimit"] {
        assert_eq!(list(response.headers(), name).len(), N);
    }
    (text("ratelimit-policy"), text("ratelimit"))
}

/// Case 38. axum-governor makes w=59 of 7 a minute and w=3599 of 7 an hour.
#[tokio::test]
async fn the_policy_field_is_the_quota_as_it_was_set() {
    let expected = |policy: &str, limit: &str| (policy.to_owned(), limit.to_owned());
    assert_eq!(
        ietf(Quota::per_minute(7)).await,
        expected(r#""minute";q=7;w=60"#, r#""minute";r=6;t=52"#)
    );
    assert_eq!(
        ietf(Quota::per_hour(7)).await,
        expected(r#""hour";q=7;w=3600"#, r#""hour";r=6;t=3086"#)
    );
    assert_eq!(
        ietf([Quota::per_minute(10), Quota::per_hour(60)]).await,
        expected(
            r#""minute";q=10;w=60, "hour";q=60;w=3600"#,
            r#""minute";r=9;t=54, "hour";r=59;t=3540"#
        )
    );
    // Of 100 a minute no more than 9 now, which are earned in 5.4 s.
    assert_eq!(
        ietf(Quota::per_minute(100).burst(10)).await,
        expected(r#""minute";q=100;w=60"#, r#""minute";r=9;t=6"#)
    );
    assert_eq!(
        ietf(quota(5, 7 * 24 * HOUR, 1)).await,
        expected(r#""7 days";q=5;w=604800"#, r#""7 days";r=0;t=120960"#)
    );
    // The draft has no parts of a second.
    assert_eq!(
        ietf(quota(5, SECOND / 2, 5)).await,
        expected(r#""500 milliseconds";q=5"#, r#""500 milliseconds";r=4;t=1"#)
    );
    // Nor more than 15 digits.
    let (policy, _) = ietf(quota(10_000_000_000_000_000, 100_000_000 * SECOND, 1)).await;
    assert!(policy.contains("q=999999999999999;w=100000000"), "{policy}");
}

#[tokio::test]
async fn a_denial_tells_each_quota_and_waits_for_the_one_that_binds() {
    let (limiter, clock) = limiter([Quota::per_minute(2), Quota::per_hour(3)]);
    let layer = RateLimitLayer::new(limiter, KEY, OnMissingKey::Allow)
        .ietf_fields(IetfDraft::Draft11)
        .respond(ProblemResponse);
    let service = Inner::default().behind(&layer);
    assert_eq!(
        service.statuses(2, || request_of("alice")).await,
        [200, 200]
    );
    let response = service.send(request_of("alice")).await;
    assert_eq!(field(response.headers(), "retry-after"), "30");
    assert_eq!(
        field(response.headers(), "ratelimit"),
        r#""minute";r=0;t=30, "hour";r=1;t=1200"#
    );
    let problem: Value = serde_json::from_str(response.body()).unwrap();
    assert_eq!(problem["violated-policies"], json!(["minute"]));

    clock.advance(Duration::from_secs(30));
    assert_eq!(service.send(request_of("alice")).await.status(), 200);
    let response = service.send(request_of("alice")).await;
    assert_eq!(field(response.headers(), "retry-after"), "1170");
    assert_eq!(field(response.headers(), "x-ratelimit-limit"), "3");
    let problem: Value = serde_json::from_str(response.body()).unwrap();
    assert_eq!(problem["violated-policies"], json!(["minute", "hour"]));
}

#[tokio::test]
async fn quotas_go_by_their_periods_or_by_what_tells_them_apart() {
    async fn names<const N: usize>(policy: [Quota; N]) -> Vec<String> {
        let (policy, _) = ietf(policy).await;
        let list: List = Parser::new(&policy).parse().unwrap();
        (0..N)
            .map(|index| member(&list, index).0.to_owned())
            .collect()
    }
    assert_eq!(
        names([
            Quota::per_second(5),
            quota(60, 90 * SECOND, 60),
            Quota::per_day(9)
        ])
        .await,
        ["second", "90 seconds", "day"]
    );
    assert_eq!(
        names([
            Quota::per_minute(5),
            Quota::per_minute(60).burst(2),
            Quota::per_hour(60)
        ])
        .await,
        ["5/minute", "60/minute burst 2", "hour"]
    );
    assert_eq!(
        names([Quota::per_minute(5), Quota::per_minute(5)]).await,
        ["5/minute, 1", "5/minute, 2"]
    );
}

#[tokio::test]
async fn quotas_go_by_the_names_that_they_are_given_whenever_that_is() {
    for names_come_first in [true, false] {
        let (limiter, _clock) = limiter([Quota::per_minute(1), Quota::per_hour(60)]);
        let layer = RateLimitLayer::new(limiter, KEY, OnMissingKey::Allow).respond(ProblemResponse);
        let names = ["turns, \"short\"", r"turns\long"];
        let layer = if names_come_first {
            layer
                .quota_names(names)
                .unwrap()
                .ietf_fields(IetfDraft::Draft11)
        } else {
            layer
                .ietf_fields(IetfDraft::Draft11)
                .quota_names(names)
                .unwrap()
        };
        let service = Inner::default().behind(&layer);
        let response = service.send(request_of("alice")).await;
        for field in ["ratelimit-policy", "ratelimit"] {
            let list = list(response.headers(), field);
            assert_eq!([member(&list, 0).0, member(&list, 1).0], names);
        }
        let refused = service.send(request_of("alice")).await;
        let problem: Value = serde_json::from_str(refused.body()).unwrap();
        assert_eq!(problem["violated-policies"], json!([names[0]]));
    }
}

#[test]
fn a_name_that_no_structured_field_carries_is_refused_with_its_reason() {
    let named = |names: [&str; 2]| {
        let (limiter, _clock) = limiter([Quota::per_minute(1), Quota::per_hour(60)]);
        let layer = RateLimitLayer::new(limiter, KEY, OnMissingKey::Allow);
        layer.quota_names(names).unwrap_err().to_string()
    };
    let ascii = "expected one or more characters of printable ASCII";
    assert_eq!(
        named(["", "b"]),
        format!("found \"\" as the name of a quota, {ascii}")
    );
    assert_eq!(
        named(["a", "größe"]),
        format!("found \"größe\" as the name of a quota, {ascii}")
    );
    assert_eq!(
        named(["a\n", "b"]),
        format!("found \"a\\n\" as the name of a quota, {ascii}")
    );
    assert_eq!(
        named(["a", "a"]),
        "found \"a\" as the name of a quota, expected a name that no other quota of the policy has"
    );
}

#[tokio::test]
async fn fields_can_be_left_out() {
    let (limiter, _clock) = limiter(Quota::per_minute(1));
    let layer = RateLimitLayer::new(limiter, KEY, LET_THROUGH).without_x_ratelimit();
    let service = Inner::default().behind(&layer);
    assert!(service.send(request_of("alice")).await.headers().is_empty());
    let refused = service.send(request_of("alice")).await;
    let names: Vec<_> = refused.headers().keys().map(|name| name.as_str()).collect();
    assert_eq!(names, ["content-type", "retry-after"]);
}

#[tokio::test]
async fn what_the_inner_service_has_written_is_neither_doubled_nor_mixed_with() {
    for (theirs, ours) in [
        (
            "x-ratelimit-limit",
            ["ratelimit-policy", "ratelimit"].as_slice(),
        ),
        ("x-ratelimit-remaining", &["ratelimit-policy", "ratelimit"]),
        ("x-ratelimit-reset", &["ratelimit-policy", "ratelimit"]),
        (
            "ratelimit",
            &[
                "x-ratelimit-limit",
                "x-ratelimit-remaining",
                "x-ratelimit-reset",
            ],
        ),
        (
            "ratelimit-policy",
            &[
                "x-ratelimit-limit",
                "x-ratelimit-remaining",
                "x-ratelimit-reset",
            ],
        ),
    ] {
        let inner = service_fn(move |_: Request<String>| {
            let response = Response::builder().header(theirs, "theirs");
            ready(Ok::<_, Infallible>(response.body(String::new()).unwrap()))
        });
        let (limiter, _clock) = limiter(Quota::per_minute(1));
        let layer = RateLimitLayer::new(limiter, KEY, LET_THROUGH).ietf_fields(IetfDraft::Draft11);
        let response = layer.layer(inner).send(request_of("alice")).await;
        assert_eq!(field(response.headers(), theirs), "theirs");
        for name in ours {
            field(response.headers(), name);
        }
        assert_eq!(
            response.headers().len(),
            1 + ours.len(),
            "{:?}",
            response.headers()
        );
    }
}

#[tokio::test]
async fn of_nested_layers_the_inner_one_is_told_of() {
    let (by_key, _clock) = limiter(Quota::per_minute(2));
    let (by_method, _clock) = limiter(Quota::per_minute(50));
    let methods = tollgate::tower::key::from_fn(|request| Some(request.method.clone()));
    let inner = Inner::default().behind(&RateLimitLayer::new(by_key, KEY, LET_THROUGH));
    let service = RateLimitLayer::new(by_method, methods, LET_THROUGH).layer(inner);
    for status in [200, 200, 429] {
        let response = service.send(request_of("alice")).await;
        assert_eq!(response.status(), status);
        assert_eq!(field(response.headers(), "x-ratelimit-limit"), "2");
    }
    // One without the inner key is told of the outer limit, from which all have spent.
    let response = service.send(common::http::request("/")).await;
    assert_eq!(field(response.headers(), "x-ratelimit-limit"), "50");
    assert_eq!(field(response.headers(), "x-ratelimit-remaining"), "46");
}

#[tokio::test]
async fn requests_without_a_key_are_told_of_the_limit_that_they_share() {
    let (known, _clock) = limiter(Quota::per_minute(60));
    let (strangers, _clock) = limiter(Quota::per_hour(1));
    let layer = RateLimitLayer::new(known, KEY, OnMissingKey::Share(strangers))
        .ietf_fields(IetfDraft::Draft11)
        .respond(ProblemResponse);
    let service = Inner::default().behind(&layer);
    let response = service.send(request_of("alice")).await;
    let policy = field(response.headers(), "ratelimit-policy");
    assert_eq!(policy, r#""minute";q=60;w=60"#);
    for status in [200, 429] {
        let response = service.send(common::http::request("/")).await;
        assert_eq!(response.status(), status);
        let headers = response.headers();
        assert_eq!(field(headers, "x-ratelimit-limit"), "1");
        assert_eq!(field(headers, "ratelimit-policy"), r#""hour";q=1;w=3600"#);
        assert_eq!(field(headers, "ratelimit"), r#""hour";r=0;t=3600"#);
    }
    let refused = service.send(common::http::request("/")).await;
    let problem: Value = serde_json::from_str(refused.body()).unwrap();
    assert_eq!(problem["violated-policies"], json!(["hour"]));
    // What is set later is set for both.
    let layer = layer.quota_names(["all"]).unwrap().without_x_ratelimit();
    let service = Inner::default().behind(&layer);
    for request in [request_of("alice"), common::http::request("/")] {
        let response = service.send(request).await;
        assert!(!response.headers().contains_key("x-ratelimit-limit"));
        let policies = list(response.headers(), "ratelimit-policy");
        assert_eq!(member(&policies, 0).0, "all");
    }
}

#[tokio::test]
async fn an_answer_of_ones_own_sees_the_refusal_and_keeps_its_fields() {
    let (limiter, _clock) = limiter(Quota::per_minute(3));
    let layer = RateLimitLayer::new(limiter, KEY, OnMissingKey::Reject(StatusCode::FORBIDDEN))
        .cost(|request| number(request.headers, "cost"))
        .respond_with(|refusal| {
            let decision = refusal.decision().map(|decision| decision.remaining());
            let violated: Vec<&str> = refusal.violated_quotas().collect();
            assert_eq!(refusal.key_error().is_some(), decision.is_none());
            let padded = format!("{:*>60}", refusal.to_string());
            assert_eq!(format!("{refusal:*>60}"), padded);
            let path = refusal.request().path();
            let text = format!(
                "{refusal}: {decision:?} {} {violated:?} {path}",
                refusal.cost()
            );
            let response = Response::builder()
                .status(503)
                .header("retry-after", "soon");
            response.body(text).unwrap()
        });
    let service = Inner::default().behind(&layer);
    let send = |cost: u64| {
        let mut request = request_of("alice");
        request.headers_mut().insert("cost", cost.into());
        service.send(request)
    };
    assert_eq!(send(2).await.status(), 200);
    let response = send(2).await;
    assert_eq!(response.status(), 503);
    assert_eq!(field(response.headers(), "retry-after"), "soon");
    assert_eq!(field(response.headers(), "x-ratelimit-remaining"), "1");
    assert_eq!(
        response.body(),
        r#"rate limit exceeded: Some(1) 2 ["minute"] /"#
    );
    let never = "a request that costs 4 exceeds the burst of 3";
    assert_eq!(
        *send(4).await.body(),
        format!("{never}: Some(1) 4 [\"minute\"] /")
    );
    let response = service.send(common::http::request("/a")).await;
    let lacking = r#"missing rate-limit key "x-api-key""#;
    assert_eq!(*response.body(), format!("{lacking}: None 0 [] /a"));
}

/// What a layer with this answer says, not now, never and without a key.
async fn answers<A>(answer: A) -> [Response<String>; 3]
where
    A: RejectionResponse<String> + Send + Sync + 'static,
{
    let (limiter, _clock) = limiter(Quota::per_minute(4));
    let layer = RateLimitLayer::new(limiter, KEY, OnMissingKey::Reject(StatusCode::UNAUTHORIZED))
        .cost(|request| number(request.headers, "cost"))
        .respond(answer);
    let service = Inner::default().behind(&layer);
    let costing = |cost: u64, mut request: Request<String>| {
        request.headers_mut().insert("cost", cost.into());
        service.send(request)
    };
    assert_eq!(costing(3, request_of("alice")).await.status(), 200);
    [
        costing(2, request_of("alice")).await,
        costing(5, request_of("alice")).await,
        costing(1, common::http::request("/")).await,
    ]
}

#[tokio::test]
async fn text_is_a_line() {
    let [denied, never, keyless] = answers(tollgate::tower::TextResponse).await;
    assert_eq!(
        denied.body(),
        "Too Many Requests: rate limit exceeded; retry after 15 s\n"
    );
    assert_eq!(
        never.body(),
        "Bad Request: a request that costs 5 exceeds the burst of 4\n"
    );
    assert_eq!(
        keyless.body(),
        "Unauthorized: missing rate-limit key \"x-api-key\"\n"
    );
    for (response, status) in [(denied, 429), (never, 400), (keyless, 401)] {
        assert_eq!(response.status(), status);
        assert_eq!(
            field(response.headers(), "content-type"),
            "text/plain; charset=utf-8"
        );
    }
}

#[tokio::test]
async fn json_says_when_to_retry_in_the_number_of_the_field() {
    let [denied, never, keyless] = answers(JsonResponse).await;
    assert_eq!(
        denied.body(),
        r#"{"detail":"rate limit exceeded","retry_after_seconds":15}"#
    );
    assert_eq!(field(denied.headers(), "retry-after"), "15");
    assert_eq!(
        never.body(),
        r#"{"detail":"a request that costs 5 exceeds the burst of 4"}"#
    );
    assert_eq!(
        keyless.body(),
        r#"{"detail":"missing rate-limit key \"x-api-key\""}"#
    );
    for (response, status) in [(denied, 429), (never, 400), (keyless, 401)] {
        assert_eq!(response.status(), status);
        assert_eq!(
            field(response.headers(), "content-type"),
            "application/json"
        );
    }
}

#[tokio::test]
async fn a_problem_has_the_drafts_type_and_the_policies_that_were_violated() {
    let [denied, never, keyless] = answers(ProblemResponse).await;
    let exceeded = "https://iana.org/assignments/http-problem-types#quota-exceeded";
    for (response, expected) in [
        (
            denied,
            json!({
                "type": exceeded, "title": "Quota exceeded", "status": 429,
                "detail": "rate limit exceeded", "violated-policies": ["minute"],
            }),
        ),
        (
            never,
            json!({
                "type": "about:blank", "title": "Bad Request", "status": 400,
                "detail": "a request that costs 5 exceeds the burst of 4",
            }),
        ),
        (
            keyless,
            json!({
                "type": "about:blank", "title": "Unauthorized", "status": 401,
                "detail": "missing rate-limit key \"x-api-key\"",
            }),
        ),
    ] {
        assert_eq!(
            field(response.headers(), "content-type"),
            "application/problem+json"
        );
        assert_eq!(response.status().as_u16(), expected["status"]);
        let problem: Value = serde_json::from_str(response.body()).unwrap();
        assert_eq!(problem, expected);
    }
}

#[tokio::test]
async fn grpc_has_its_own_status_over_200() {
    let [denied, never, keyless] = answers(GrpcResponse).await;
    for (response, status, pushback, message) in [
        (denied, "8", Some("15000"), "rate limit exceeded"),
        (
            never,
            "3",
            None,
            "a request that costs 5 exceeds the burst of 4",
        ),
        (keyless, "16", None, "missing rate-limit key \"x-api-key\""),
    ] {
        assert_eq!(response.status(), 200);
        let headers = response.headers();
        assert_eq!(field(headers, "content-type"), "application/grpc");
        assert_eq!(field(headers, "grpc-status"), status);
        assert_eq!(field(headers, "grpc-message"), message);
        match pushback {
            Some(pushback) => assert_eq!(field(headers, "grpc-retry-pushback-ms"), pushback),
            None => assert!(!headers.contains_key("grpc-retry-pushback-ms")),
        }
        assert!(response.body().is_empty());
    }
}

#[tokio::test]
async fn a_request_without_a_key_has_the_grpc_status_of_its_http_status() {
    for (status, code) in [
        (400, "3"),
        (401, "16"),
        (403, "7"),
        (404, "5"),
        (429, "8"),
        (409, "10"),
        (500, "13"),
        (501, "12"),
        (503, "14"),
        (504, "4"),
        (418, "2"),
        (499, "1"),
    ] {
        let (limiter, _clock) = limiter(Quota::per_minute(1));
        let status = StatusCode::from_u16(status).unwrap();
        let layer =
            RateLimitLayer::new(limiter, KEY, OnMissingKey::Reject(status)).respond(GrpcResponse);
        let response = Inner::default()
            .behind(&layer)
            .send(common::http::request("/"))
            .await;
        assert_eq!(field(response.headers(), "grpc-status"), code);
    }
}

/// A status without a reason, which a user may invent, has an answer too.
#[tokio::test]
async fn a_status_that_nobody_knows_is_answered() {
    async fn answer(answer: impl RejectionResponse<String> + Send + Sync + 'static) -> String {
        let (limiter, _clock) = limiter(Quota::per_minute(1));
        let status = StatusCode::from_u16(599).unwrap();
        let layer = RateLimitLayer::new(limiter, KEY, OnMissingKey::Reject(status)).respond(answer);
        let response = Inner::default()
            .behind(&layer)
            .send(common::http::request("/"))
            .await;
        assert_eq!(response.status(), status);
        response.into_body()
    }
    assert!(
        answer(tollgate::tower::TextResponse)
            .await
            .starts_with("Rejected: ")
    );
    let problem: Value = serde_json::from_str(&answer(ProblemResponse).await).unwrap();
    assert_eq!(
        (&problem["title"], &problem["status"]),
        (&json!("Rejected"), &json!(599))
    );
}
