//! The headers of responses.

use crate::common::cases::{HOUR, SECOND, quota};
use crate::common::http::{Inner, KEY, Limited, field, limiter, number, request_of};
use http::{HeaderMap, Request, Response};
use proptest::prelude::*;
use serde_json::{Value, json};
use sfv::{BareItem, List, ListEntry, Parser};
use std::{
    convert::Infallible,
    future::ready,
    sync::{Arc, Mutex},
    time::Duration,
};
use tollgate::tower::{
    IetfDraft, JsonResponse, OnMissingKey, ProblemResponse, RateLimitLayer, RejectionResponse,
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
            .respond_with(move |rejection| {
                *denied.lock().unwrap() = rejection.decision().and_then(|denied| denied.to_decision());
                JsonResponse.respond(rejection)
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
pub(super) fn list(headers: &HeaderMap, name: &str) -> List {
    Parser::new(field(headers, name)).parse().unwrap()
}

pub(super) fn member(list: &List, index: usize) -> (&str, &sfv::Parameters) {
    match &list[index] {
        ListEntry::Item(item) => match &item.bare_item {
            BareItem::String(name) => (name.as_str(), &item.params),
            other => panic!("a name is a string, not {other:?}"),
        },
        ListEntry::InnerList(list) => panic!("a quota is an item, not {list:?}"),
    }
}

pub(super) fn parameter(list: &List, index: usize, name: &str) -> Option<u64> {
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
        let rejected = service.send(request_of("alice")).await;
        let problem: Value = serde_json::from_str(rejected.body()).unwrap();
        assert_eq!(problem["violated-policies"], json!([names[0]]));
    }
}

#[test]
fn an_invalid_name_of_a_quota_is_an_error_with_its_reason() {
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
    let rejected = service.send(request_of("alice")).await;
    let names: Vec<_> = rejected
        .headers()
        .keys()
        .map(|name| name.as_str())
        .collect();
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
    // A request without the inner key gets the headers of the outer limit, from which all have spent.
    let response = service.send(crate::common::http::request("/")).await;
    assert_eq!(field(response.headers(), "x-ratelimit-limit"), "50");
    assert_eq!(field(response.headers(), "x-ratelimit-remaining"), "46");
}

#[tokio::test]
async fn requests_without_a_key_get_the_headers_of_the_limit_that_they_share() {
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
        let response = service.send(crate::common::http::request("/")).await;
        assert_eq!(response.status(), status);
        let headers = response.headers();
        assert_eq!(field(headers, "x-ratelimit-limit"), "1");
        assert_eq!(field(headers, "ratelimit-policy"), r#""hour";q=1;w=3600"#);
        assert_eq!(field(headers, "ratelimit"), r#""hour";r=0;t=3600"#);
    }
    let rejected = service.send(crate::common::http::request("/")).await;
    let problem: Value = serde_json::from_str(rejected.body()).unwrap();
    assert_eq!(problem["violated-policies"], json!(["hour"]));
    // What is set later is set for both.
    let layer = layer.quota_names(["all"]).unwrap().without_x_ratelimit();
    let service = Inner::default().behind(&layer);
    for request in [request_of("alice"), crate::common::http::request("/")] {
        let response = service.send(request).await;
        assert!(!response.headers().contains_key("x-ratelimit-limit"));
        let policies = list(response.headers(), "ratelimit-policy");
        assert_eq!(member(&policies, 0).0, "all");
    }
}
