//! The responses to rejected requests.

use crate::common::http::request;
use crate::common::http::{Inner, KEY, Limited, field, limiter, number, request_of};
use http::Method;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use serde_json::{Value, json};
use std::panic::catch_unwind;
use std::{convert::Infallible, future::ready};
use tollgate::Quota;
use tollgate::tower::TextResponse;
use tollgate::tower::{
    GrpcResponse, JsonResponse, OnMissingKey, ProblemResponse, RateLimitLayer, RejectionResponse,
};
use tower::ServiceExt;
use tower::{Layer, service_fn};

const REJECT: OnMissingKey = OnMissingKey::Reject(StatusCode::UNAUTHORIZED);

#[tokio::test]
async fn a_custom_response_sees_the_rejection_and_keeps_its_headers() {
    let (limiter, _clock) = limiter(Quota::per_minute(3));
    let layer = RateLimitLayer::new(limiter, KEY, OnMissingKey::Reject(StatusCode::FORBIDDEN))
        .cost(|request| number(request.headers, "cost"))
        .respond_with(|rejection| {
            let decision = rejection.decision().map(|decision| decision.remaining());
            let violated: Vec<&str> = rejection.violated_quotas().collect();
            assert_eq!(rejection.key_error().is_some(), decision.is_none());
            let padded = format!("{:*>60}", rejection.to_string());
            assert_eq!(format!("{rejection:*>60}"), padded);
            let path = rejection.request().path();
            let text = format!(
                "{rejection}: {decision:?} {} {violated:?} {path}",
                rejection.cost()
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
    let response = service.send(crate::common::http::request("/a")).await;
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
        costing(1, crate::common::http::request("/")).await,
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
            .send(crate::common::http::request("/"))
            .await;
        assert_eq!(field(response.headers(), "grpc-status"), code);
    }
}

/// A status without a reason, which a user may invent, has an answer too.
#[tokio::test]
async fn an_unknown_status_has_a_response() {
    async fn answer(answer: impl RejectionResponse<String> + Send + Sync + 'static) -> String {
        let (limiter, _clock) = limiter(Quota::per_minute(1));
        let status = StatusCode::from_u16(599).unwrap();
        let layer = RateLimitLayer::new(limiter, KEY, OnMissingKey::Reject(status)).respond(answer);
        let response = Inner::default()
            .behind(&layer)
            .send(crate::common::http::request("/"))
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

#[tokio::test]
async fn any_body_that_is_made_from_a_text_will_do() {
    async fn rejected<B>() -> Response<B>
    where
        B: From<String> + Default + Send + 'static,
    {
        let (limiter, _clock) = limiter(Quota::per_minute(1));
        let inner = service_fn(|_: Request<String>| {
            ready(Ok::<_, Infallible>(Response::new(B::default())))
        });
        let service = RateLimitLayer::new(limiter, KEY, REJECT).layer(inner);
        service.oneshot(request("/")).await.unwrap()
    }
    let text = "Unauthorized: missing rate-limit key \"x-api-key\"\n";
    assert_eq!(rejected::<String>().await.into_body(), text);
    let body = rejected::<Full<bytes::Bytes>>().await.into_body();
    assert_eq!(body.collect().await.unwrap().to_bytes(), text);
    let body = rejected::<axum::body::Body>().await.into_body();
    assert_eq!(body.collect().await.unwrap().to_bytes(), text);
}

/// RFC 9110, 9.3.2. Not every server cuts the content off.
#[tokio::test]
async fn an_answer_to_head_has_the_length_of_its_content_and_not_the_content() {
    let (limiter, _clock) = limiter(Quota::per_minute(1));
    let inner = Inner::default();
    let layer = RateLimitLayer::new(limiter, KEY, REJECT);
    let head = || {
        let mut request = request_of("alice");
        *request.method_mut() = Method::HEAD;
        request
    };
    assert_eq!(inner.behind(&layer).send(head()).await.status(), 200);
    let got = inner.behind(&layer).send(request_of("alice")).await;
    let asked = inner.behind(&layer).send(head()).await;
    assert_eq!(asked.status(), 429);
    assert_eq!(asked.body(), "");
    assert_eq!(
        number(asked.headers(), "content-length") as usize,
        got.body().len()
    );
    assert_eq!(
        field(asked.headers(), "retry-after"),
        field(got.headers(), "retry-after")
    );
}

#[tokio::test]
async fn a_response_may_be_chosen_when_the_service_starts() {
    for (is_json, content_type) in [
        (true, "application/json"),
        (false, "text/plain; charset=utf-8"),
    ] {
        let answer: Box<dyn tollgate::tower::RejectionResponse<String> + Send + Sync> = if is_json {
            Box::new(JsonResponse)
        } else {
            Box::new(TextResponse)
        };
        let (limiter, _clock) = limiter(Quota::per_minute(1));
        let layer = RateLimitLayer::new(limiter, KEY, REJECT).respond(answer);
        let rejected = Inner::default().behind(&layer).send(request("/")).await;
        assert_eq!(field(rejected.headers(), "content-type"), content_type);
    }
}

#[test]
fn a_rejection_has_a_status_of_4xx_or_5xx() {
    for status in [100, 200, 304, 600] {
        let status = StatusCode::from_u16(status).unwrap();
        let (limiter, _clock) = limiter::<String, 1>(Quota::per_minute(1));
        let layer =
            catch_unwind(|| RateLimitLayer::new(limiter, KEY, OnMissingKey::Reject(status)));
        let panic = layer.unwrap_err();
        let message = panic.downcast_ref::<String>().unwrap();
        let expected = format!("found {status} as the status of a rejection, expected 4xx or 5xx");
        assert_eq!(*message, expected);
    }
}
