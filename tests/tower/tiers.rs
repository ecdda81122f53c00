//! The layer in front of callers who are under different tiers: each response is about the policy that
//! its request was checked under.

use std::{
    convert::Infallible,
    future::ready,
    sync::{Arc, Mutex},
    time::Duration,
};

use http::{HeaderMap, Request, Response, StatusCode};
use proptest::prelude::*;
use serde_json::{Value, json};
use tollgate::tower::key::ExtensionKey;
use tollgate::tower::{
    Head, IetfDraft, JsonResponse, OnMissingKey, ProblemResponse, RateLimitHeaders, RateLimitLayer,
    Rejection, RejectionResponse,
};
use tollgate::{Decision, ManualClock, Policy, Tier, TieredKey, TieredLimiter};
use tower::{Layer, service_fn};

use super::headers::{list, member, parameter};
use crate::common::http::{Inner, KEY, Limited, field, number, request, request_of};

type Key = TieredKey<String, 3>;

/// A request without a tier means that the layers are in the wrong order.
const REJECT: OnMissingKey<3> = OnMissingKey::Reject(StatusCode::INTERNAL_SERVER_ERROR);

fn policy(text: &str) -> Policy<3> {
    text.parse().unwrap()
}

/// Returns a limiter that only the test sweeps, and its clock. The first policy has two quotas.
fn tiered() -> (Arc<TieredLimiter<String, 3>>, ManualClock) {
    let clock = ManualClock::new();
    let limiter = TieredLimiter::builder(policy("10/minute; 60/hour"));
    let limiter = limiter.clock(clock.clone()).manual_sweep().build();
    (Arc::new(limiter), clock)
}

fn layer(
    limiter: &Arc<TieredLimiter<String, 3>>,
) -> RateLimitLayer<Arc<TieredLimiter<String, 3>>, ExtensionKey<Key>> {
    RateLimitLayer::new(Arc::clone(limiter), ExtensionKey::new(), REJECT)
}

/// A request of alice, whom authentication has found to be under `tier`.
fn request_under(tier: &Tier<String, 3>) -> Request<String> {
    let mut request = request("/");
    request
        .extensions_mut()
        .insert(tier.key("alice".to_owned()));
    request
}

/// The fields `RateLimit-Policy` and `RateLimit`.
fn ietf(headers: &HeaderMap) -> [&str; 2] {
    ["ratelimit-policy", "ratelimit"].map(|name| field(headers, name))
}

fn violated(response: &Response<String>) -> Value {
    let problem: Value = serde_json::from_str(response.body()).unwrap();
    problem["violated-policies"].clone()
}

#[tokio::test]
async fn the_fields_of_a_response_are_about_the_tier_of_its_request() {
    let (limiter, _clock) = tiered();
    let one = limiter.tier(policy("100/day")).unwrap();
    let three = limiter
        .tier(policy("20/minute burst 5; 100/hour; 500/day"))
        .unwrap();
    let layer = layer(&limiter).ietf_fields(IetfDraft::Draft11);
    let service = Inner::default().behind(&layer);
    for (tier, numbers, fields) in [
        (
            limiter.default_tier(),
            [10, 9, 60],
            [
                r#""minute";q=10;w=60, "hour";q=60;w=3600"#,
                r#""minute";r=9;t=54, "hour";r=59;t=3540"#,
            ],
        ),
        // The debts of the first request are in other buckets.
        (
            &one,
            [100, 99, 864],
            [r#""day";q=100;w=86400"#, r#""day";r=99;t=85536"#],
        ),
        // Two units of each period are owed.
        (
            &three,
            [5, 3, 346],
            [
                r#""minute";q=20;w=60, "hour";q=100;w=3600, "day";q=500;w=86400"#,
                r#""minute";r=3;t=9, "hour";r=98;t=3528, "day";r=498;t=86055"#,
            ],
        ),
    ] {
        let response = service.send(request_under(tier)).await;
        let headers = response.headers();
        assert_eq!(response.status(), 200);
        assert_eq!(ietf(headers), fields);
        let names = ["limit", "remaining", "reset"];
        let found = names.map(|name| number(headers, &format!("x-ratelimit-{name}")));
        assert_eq!(found, numbers);
    }
}

#[tokio::test]
async fn a_rejection_names_the_quotas_of_the_tier_that_deny() {
    let (limiter, _clock) = tiered();
    let short = limiter.tier(policy("2/day")).unwrap();
    let both = limiter.tier(policy("100/minute; 2/hour; 2/day")).unwrap();
    let layer = layer(&limiter)
        .cost(|request| number(request.headers, "cost"))
        .respond(ProblemResponse);
    let service = Inner::default().behind(&layer);
    let send = |tier, cost: u64| {
        let mut request = request_under(tier);
        request.headers_mut().insert("cost", cost.into());
        service.send(request)
    };
    assert_eq!(send(&short, 2).await.status(), 200);
    let rejected = send(&short, 1).await;
    assert_eq!(rejected.status(), 429);
    assert_eq!(violated(&rejected), json!(["day"]));
    assert_eq!(number(rejected.headers(), "retry-after"), 43_200);

    // The day is a bucket that the first policy lacks.
    assert_eq!(send(limiter.default_tier(), 2).await.status(), 200);
    let rejected = send(&both, 1).await;
    assert_eq!(violated(&rejected), json!(["hour", "day"]));

    // A burst is that of the tier, too.
    for (tier, cost, burst) in [(&both, 3, 2), (limiter.default_tier(), 11, 10)] {
        let never = send(tier, cost).await;
        assert_eq!(never.status(), 400);
        let problem: Value = serde_json::from_str(never.body()).unwrap();
        let detail = format!("a request that costs {cost} exceeds the burst of {burst}");
        assert_eq!(problem["detail"], detail);
    }
}

#[tokio::test]
async fn the_fields_follow_a_policy_that_is_replaced() {
    let (limiter, _clock) = tiered();
    let pro = limiter.tier(policy("100/minute")).unwrap();
    let layer = layer(&limiter)
        .ietf_fields(IetfDraft::Draft11)
        .respond(ProblemResponse);
    let service = Inner::default().behind(&layer);
    let request = request_under(&pro);
    let response = service.send(request.clone()).await;
    assert_eq!(
        ietf(response.headers()),
        [r#""minute";q=100;w=60"#, r#""minute";r=99;t=60"#]
    );

    // Clones of the request carry the same tier.
    pro.replace(policy("200/minute; 1/day")).unwrap();
    let response = service.send(request.clone()).await;
    let expected = [
        r#""minute";q=200;w=60, "day";q=1;w=86400"#,
        r#""minute";r=198;t=60, "day";r=0;t=86400"#,
    ];
    assert_eq!(ietf(response.headers()), expected);
    let rejected = service.send(request).await;
    assert_eq!(violated(&rejected), json!(["day"]));

    limiter.default_tier().replace(policy("7/hour")).unwrap();
    let response = service.send(request_under(limiter.default_tier())).await;
    assert_eq!(
        ietf(response.headers()),
        [r#""hour";q=7;w=3600"#, r#""hour";r=6;t=3086"#]
    );
}

#[tokio::test]
async fn chosen_names_are_those_of_the_first_quotas_and_of_no_others() {
    let (limiter, _clock) = tiered();
    let equal = limiter.tier(policy("10/minute; 60/hour")).unwrap();
    let other = limiter.tier(policy("20/minute; 60/hour")).unwrap();
    let fewer = limiter.tier(policy("10/minute")).unwrap();
    let layer = layer(&limiter)
        .ietf_fields(IetfDraft::Draft11)
        .quota_names(["turns, short", "turns, long"])
        .unwrap();
    let service = Inner::default().behind(&layer);
    let names = async |tier: &Tier<String, 3>| {
        let response = service.send(request_under(tier)).await;
        assert_eq!(response.status(), 200);
        let [policy, limit] = ["ratelimit-policy", "ratelimit"].map(|name| {
            let list = list(response.headers(), name);
            let names = (0..list.len()).map(|index| member(&list, index).0.to_owned());
            names.collect::<Vec<_>>()
        });
        assert_eq!(policy, limit);
        policy
    };
    let chosen = ["turns, short", "turns, long"];
    assert_eq!(names(limiter.default_tier()).await, chosen);
    assert_eq!(names(&equal).await, chosen);
    assert_eq!(names(&other).await, ["minute", "hour"]);
    assert_eq!(names(&fewer).await, ["minute"]);

    limiter
        .default_tier()
        .replace(policy("20/minute; 60/hour"))
        .unwrap();
    assert_eq!(names(limiter.default_tier()).await, ["minute", "hour"]);
    limiter
        .default_tier()
        .replace(policy("10/minute; 60/hour"))
        .unwrap();
    assert_eq!(names(limiter.default_tier()).await, chosen);
    other.replace(policy("10/minute; 60/hour")).unwrap();
    assert_eq!(names(&other).await, chosen);
}

#[tokio::test]
async fn a_tier_is_the_limiter_of_a_layer() {
    let (limiter, clock) = tiered();
    let pro = limiter.tier(policy("2/minute")).unwrap();
    // Every key is under this tier, and is found in a header.
    let on_missing = OnMissingKey::Reject(StatusCode::UNAUTHORIZED);
    let layer = RateLimitLayer::new(pro.clone(), KEY, on_missing)
        .ietf_fields(IetfDraft::Draft11)
        .quota_names(["requests"])
        .unwrap();
    let service = Inner::default().behind(&layer);
    let response = service.send(request_of("alice")).await;
    assert_eq!(
        ietf(response.headers()),
        [r#""requests";q=2;w=60"#, r#""requests";r=1;t=30"#]
    );
    assert_eq!(
        service.statuses(2, || request_of("alice")).await,
        [200, 429]
    );
    assert_eq!(service.send(request("/")).await.status(), 401);

    // The limiter knows the same key.
    assert_eq!(limiter.default_tier().peek("alice").remaining(), 8);
    pro.replace(policy("3/minute; 4/hour")).unwrap();
    let response = service.send(request_of("alice")).await;
    let expected = [
        r#""minute";q=3;w=60, "hour";q=4;w=3600"#,
        r#""minute";r=0;t=20, "hour";r=3;t=2700"#,
    ];
    assert_eq!(ietf(response.headers()), expected);
    clock.advance(Duration::from_secs(20));
    assert_eq!(
        service.statuses(2, || request_of("alice")).await,
        [200, 429]
    );
}

/// One layer, one key, and a tier that authentication finds anew for each request.
#[tokio::test]
async fn a_request_is_limited_by_the_tier_in_its_key() {
    let (limiter, _clock) = tiered();
    let pro = limiter.tier(policy("100/minute")).unwrap();
    let service = Inner::default().behind(&layer(&limiter).respond(JsonResponse));
    let free = || request_under(limiter.default_tier());
    let statuses = service.statuses(11, free).await;
    assert_eq!((statuses[9], statuses[10]), (200, 429));
    let response = service.send(request_under(&pro)).await;
    assert_eq!(response.status(), 200);
    assert_eq!(number(response.headers(), "x-ratelimit-remaining"), 89);
    // Two of the eleven units have to be paid, at the rate of the last request that passed.
    let rejected = service.send(free()).await;
    let body = r#"{"detail":"rate limit exceeded","retry_after_seconds":2}"#;
    assert_eq!(
        (rejected.status().as_u16(), &**rejected.body()),
        (429, body)
    );

    assert_eq!(service.send(request("/")).await.status(), 500);
    // A key that is shown is no secret, and this one may be.
    let key = pro.key("alice".to_owned());
    assert_eq!((key.key(), key.tier()), (&"alice".to_owned(), &pro));
    assert!(!format!("{key:?}").contains("alice"));
}

#[test]
fn a_handler_without_a_layer_writes_the_fields_of_each_tier() {
    let (limiter, _clock) = tiered();
    let day = limiter.tier(policy("1/day")).unwrap();
    let quotas = limiter.default_tier().policy();
    let headers = RateLimitHeaders::new(quotas.quotas()).ietf_fields(IetfDraft::Draft11);
    let handle = |tier: &Tier<String, 3>| {
        let request = Request::new(());
        let decision = tier.check("alice");
        let headers = headers.for_decision(decision.as_ref());
        let mut response = if decision.is_allowed() {
            Response::new("done".to_owned())
        } else {
            let head = Head::from(&request);
            ProblemResponse.respond(&Rejection::new(&head, decision.as_ref(), 1, &headers))
        };
        headers.insert_into(response.headers_mut(), decision.as_ref());
        response
    };
    let response = handle(&day);
    assert_eq!(
        ietf(response.headers()),
        [r#""day";q=1;w=86400"#, r#""day";r=0;t=86400"#]
    );
    let rejected = handle(&day);
    assert_eq!(
        (rejected.status().as_u16(), violated(&rejected)),
        (429, json!(["day"]))
    );
    let response = handle(limiter.default_tier());
    assert_eq!(
        field(response.headers(), "ratelimit"),
        r#""minute";r=9;t=54, "hour";r=59;t=3540"#
    );

    // `insert_into` alone finds the names, too.
    let decision = day.check("alice");
    let mut fields = HeaderMap::new();
    headers.insert_into(&mut fields, decision.as_ref());
    assert_eq!(
        ietf(&fields),
        [r#""day";q=1;w=86400"#, r#""day";r=0;t=86400"#]
    );
}

proptest! {
    /// Whatever the tiers, the moves and the replacements: each field has a number of the decision that
    /// was made on the request, and each quota is one of the policy that its tier had.
    #[test]
    fn every_field_is_of_the_decision_and_of_the_policy_of_its_tier(
        policies in prop::collection::vec(prop::sample::subsequence(vec![60, 3_600, 86_400], 1..=3), 3),
        steps in prop::collection::vec((0..3_usize, 1..200_u64, 0..5_u64, 0..90_u64), 1..24),
    ) {
        let (limiter, clock) = tiered();
        let policy = |periods: &[u64], units: u64| {
            let quotas = periods.iter().map(|period| format!("{units}/{period}s"));
            quotas.collect::<Vec<_>>().join("; ").parse::<Policy<3>>().unwrap()
        };
        let tiers: Vec<_> =
            policies.iter().map(|periods| limiter.tier(policy(periods, 5)).unwrap()).collect();
        let seen = Arc::new(Mutex::new(None));
        let (allowed, denied) = (seen.clone(), seen.clone());
        let inner = service_fn(move |request: Request<String>| {
            *allowed.lock().unwrap() = request.extensions().get::<Decision<3>>().copied();
            ready(Ok::<_, Infallible>(Response::new(String::new())))
        });
        let service = layer(&limiter)
            .cost(|request| number(request.headers, "cost"))
            .insert_decision()
            .ietf_fields(IetfDraft::Draft11)
            .respond_with(move |rejection| {
                *denied.lock().unwrap() = rejection.decision().and_then(|denied| denied.to_decision());
                ProblemResponse.respond(rejection)
            })
            .layer(inner);
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        for (index, units, cost, elapsed) in steps {
            clock.advance(Duration::from_secs(elapsed));
            let tier = &tiers[index];
            if units % 3 == 0 {
                tier.replace(policy(&policies[index], units)).unwrap();
            }
            let before = tier.peek("alice");
            let mut request = request_under(tier);
            request.headers_mut().insert("cost", cost.into());
            let response = runtime.block_on(service.send(request));
            let decision: Decision<3> = seen.lock().unwrap().take().unwrap();
            prop_assert_eq!(decision.tier(), Some(tier.id()));

            let now = tier.policy();
            let quotas = now.quotas();
            prop_assert_eq!(decision.quotas().len(), quotas.len());
            let [policies, limits] = ["ratelimit-policy", "ratelimit"].map(|name| list(response.headers(), name));
            prop_assert_eq!((policies.len(), limits.len()), (quotas.len(), quotas.len()));
            let mut denying = Vec::new();
            for (index, quota) in quotas.iter().enumerate() {
                let part = &decision.quotas()[index];
                let name = quota.period_name().to_string();
                prop_assert_eq!(part.quota(), *quota);
                prop_assert_eq!(member(&policies, index).0, &name);
                prop_assert_eq!(member(&limits, index).0, &name);
                prop_assert_eq!(parameter(&policies, index, "q"), Some(quota.units()));
                prop_assert_eq!(parameter(&policies, index, "w"), Some(quota.period().as_secs()));
                prop_assert_eq!(parameter(&limits, index, "r"), Some(part.remaining()));
                if before.quotas()[index].remaining() < cost {
                    denying.push(name);
                }
            }
            prop_assert_eq!(response.status() == 200, denying.is_empty());
            // A request above the burst is a problem of another type.
            if response.status() == 429 {
                prop_assert_eq!(violated(&response), json!(denying));
            }
        }
    }
}
