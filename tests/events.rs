//! Case 45: no event names a key. Keys are secrets, or names of people.
//!
//! In a test binary of its own, where every thread that rejects has a subscriber: tracing caches
//! whether an event has a subscriber, and may ask only the thread where it first occurs.

#![cfg(feature = "tracing")]

mod common;

use std::{
    io::Write,
    sync::{Arc, Mutex},
};

use common::http::{Inner, KEY, Limited, limiter, request_of};
use http::StatusCode;
use tollgate::tower::key::HeaderKey;
use tollgate::tower::{JsonResponse, OnMissingKey, RateLimitLayer};
use tollgate::{Quota, RateLimiter};
use tracing::subscriber::DefaultGuard;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::{filter::LevelFilter, util::SubscriberInitExt};

#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl Lines {
    /// Records the events of this thread at this level, until the guard is dropped.
    fn listen(&self, level: LevelFilter) -> DefaultGuard {
        tracing_subscriber::fmt()
            .with_max_level(level)
            .with_ansi(false)
            .with_writer(self.clone())
            .finish()
            .set_default()
    }

    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

impl Write for Lines {
    fn write(&mut self, text: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(text)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for Lines {
    type Writer = Lines;

    fn make_writer(&self) -> Lines {
        self.clone()
    }
}

/// What is logged, at this level, of an allowed request, a denied one and one without a key.
async fn logged(
    level: LevelFilter,
    layer: RateLimitLayer<Arc<RateLimiter<String>>, HeaderKey, JsonResponse>,
) -> String {
    let lines = Lines::default();
    // This thread is the whole runtime of the test.
    let guard = lines.listen(level);
    let service = Inner::default().behind(&layer);
    assert_eq!(
        service.statuses(2, || request_of("secret")).await,
        [200, 429]
    );
    assert_eq!(service.send(common::http::request("/")).await.status(), 401);
    drop(guard);
    lines.text()
}

fn layer() -> RateLimitLayer<Arc<RateLimiter<String>>, HeaderKey, JsonResponse> {
    let (limiter, _clock) = limiter(Quota::per_minute(1));
    RateLimitLayer::new(limiter, KEY, OnMissingKey::Reject(StatusCode::UNAUTHORIZED))
        .respond(JsonResponse)
}

#[tokio::test]
async fn each_rejection_is_an_event_without_its_key() {
    let text = logged(LevelFilter::TRACE, layer()).await;
    assert_eq!(text.lines().count(), 2, "{text}");
    assert!(
        text.contains("DEBUG tollgate: rate limit exceeded status=429 cost=1"),
        "{text}"
    );
    assert!(text.contains("retry_after_seconds=60"), "{text}");
    assert!(text.contains("status=401"), "{text}");
    assert!(!text.contains("secret"), "{text}");
}

#[tokio::test]
async fn a_rejection_over_a_socket_is_an_event_without_its_key() {
    let lines = Lines::default();
    // Server and client are on this thread, and so heard.
    let _guard = lines.listen(LevelFilter::DEBUG);
    let listener = common::sockets::listen().await;
    let address = listener.local_addr().unwrap();
    let app = axum::Router::new().fallback(|| async {}).layer(layer());
    tokio::spawn(async { axum::serve(listener, app).await });
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    for status in [200, 429] {
        let request = client.get(format!("http://{address}/"));
        let response = request.header("x-api-key", "secret").send().await.unwrap();
        assert_eq!(response.status(), status);
    }
    let text = lines.text();
    let is_ours = |line: &&str| line.contains(" tollgate: ");
    let ours: Vec<&str> = text.lines().filter(is_ours).collect();
    assert_eq!(ours.len(), 1, "{text}");
    assert!(
        ours[0].contains("status=429") && !ours[0].contains("secret"),
        "{text}"
    );
}

#[tokio::test]
async fn keys_are_logged_if_that_is_asked_for() {
    let text = logged(LevelFilter::DEBUG, layer().log_keys()).await;
    // As it is, and so quoted once.
    assert!(text.contains(r#" key="secret""#), "{text}");
}

#[tokio::test]
async fn a_flood_does_not_fill_the_log_of_a_service_in_production() {
    let text = logged(LevelFilter::INFO, layer()).await;
    assert!(text.is_empty(), "{text}");
}

/// Fails with an error that a log should have.
#[derive(Clone)]
struct Down;

impl tollgate::limit::Limit<str> for Down {
    type Decision = tollgate::Decision;
    type Error = &'static str;
    type Future =
        std::pin::Pin<Box<dyn Future<Output = Result<tollgate::Decision, &'static str>> + Send>>;

    fn quotas(&self) -> Vec<Quota> {
        vec![Quota::per_minute(1)]
    }

    fn decide(
        &self,
        _: &str,
        _: u64,
    ) -> tollgate::limit::Checked<tollgate::Decision, Self::Future> {
        tollgate::limit::Checked::Later(Box::pin(std::future::ready(Err("connection rejected"))))
    }
}

/// A log in production has the failure, with its reason and without the key.
#[tokio::test]
async fn a_failed_store_is_a_warning_with_its_reason() {
    let lines = Lines::default();
    let guard = lines.listen(LevelFilter::INFO);
    let layer: RateLimitLayer<Down, HeaderKey> =
        RateLimitLayer::new(Down, KEY, OnMissingKey::Allow);
    let service = Inner::default().behind(&layer);
    assert_eq!(service.send(request_of("secret")).await.status(), 503);
    drop(guard);
    let text = lines.text();
    assert_eq!(text.lines().count(), 1, "{text}");
    let expected = "WARN tollgate: rate limit store unavailable error=connection rejected";
    assert!(text.contains(expected), "{text}");
    assert!(!text.contains("secret"), "{text}");
}
