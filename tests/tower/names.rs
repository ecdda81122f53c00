//! The names that clients see: of quotas, and of the key in a response to a request without one.

use crate::common::http::{Inner, KEY, Limited, limiter, request};
use http::StatusCode;
use tollgate::tower::key::{HostName, RequestKey, from_fn};
use tollgate::tower::{OnMissingKey, RateLimitHeaders, RateLimitLayer};
use tollgate::{Quota, RateLimiter};

const REJECT: OnMissingKey = OnMissingKey::Reject(StatusCode::UNAUTHORIZED);

#[test]
fn there_is_one_name_for_each_quota() {
    let quotas = [Quota::per_minute(10), Quota::per_hour(60)];
    let error = |names: &[&str]| {
        let headers = RateLimitHeaders::new(&quotas);
        headers
            .quota_names(names.iter().copied())
            .unwrap_err()
            .to_string()
    };
    assert_eq!(
        error(&["short"]),
        r#"found "[\"short\"]" as the names of the quotas, expected 2, one for each quota of the policy"#
    );
    assert!(error(&[]).contains("expected 2, one for each"));
    assert!(error(&["a", "b", "c"]).contains("expected 2, one for each"));
    assert!(error(&["a", "a"]).contains("a name that no other quota of the policy has"));
    assert!(
        RateLimitHeaders::new(&quotas)
            .quota_names(["a", "b"])
            .is_ok()
    );
}

/// A header has its own name, and a closure has none.
#[tokio::test]
async fn a_response_names_the_key_that_is_missing() {
    async fn text<K>(key: K, name: Option<&str>) -> String
    where
        K: RequestKey<Key: ToOwned<Owned: Send + Sync + 'static>> + Send + Sync + 'static,
    {
        let (limiter, _clock) = limiter(Quota::per_minute(1));
        let mut layer = RateLimitLayer::new(limiter, key, REJECT);
        if let Some(name) = name {
            layer = layer.key_name(name).unwrap();
        }
        let response = Inner::default().behind(&layer).send(request("/")).await;
        response.into_body()
    }
    let nothing = || from_fn(|_| None::<u64>);
    for (text, expected) in [
        (
            text(KEY, None).await,
            r#"missing rate-limit key "x-api-key""#,
        ),
        (
            text(KEY, Some("API key")).await,
            r#"missing rate-limit key "API key""#,
        ),
        (
            text(Box::new(KEY), None).await,
            r#"missing rate-limit key "x-api-key""#,
        ),
        (
            text(HostName::new(), None).await,
            r#"missing rate-limit key "host""#,
        ),
        (text(nothing(), None).await, "missing rate-limit key"),
        (
            text(nothing(), Some("user")).await,
            r#"missing rate-limit key "user""#,
        ),
    ] {
        assert_eq!(text, format!("Unauthorized: {expected}\n"));
    }
}

/// The name is in a header of gRPC, and in text that is promised to be ASCII.
#[test]
fn the_name_of_a_key_is_printable_ascii() {
    for name in ["", "clé", "a\nb", "\u{7f}"] {
        let limiter: RateLimiter<String> = RateLimiter::builder(Quota::per_minute(1))
            .manual_sweep()
            .build();
        let layer = RateLimitLayer::new(std::sync::Arc::new(limiter), KEY, REJECT);
        let error = layer.key_name(name).unwrap_err().to_string();
        let expected = "as the name of a key, expected one or more characters of printable ASCII";
        assert!(error.contains(expected), "{error}");
    }
}
