//! The cache of denied keys: a flood of one key costs one round trip for each node and wait.

use std::time::Duration;

use tokio::time::{Instant, sleep};
use tollgate::{DecisionSource, Quota};

use crate::outages::{AGAIN, assert_again, calls, patient};
use crate::server::Server;

#[tokio::test]
async fn a_flood_of_a_denied_key_is_answered_from_the_cache() {
    let server = Server::start();
    let node = || server.limiter(patient(Quota::per_hour(5)));
    let nodes = [node(), node(), node(), node()];
    let mut allowed = 0;
    for number in 0..20_000 {
        let decision = nodes[number % 4].check("alice").await.unwrap();
        allowed += u64::from(decision.is_allowed());
        let is_cached = decision.source() == DecisionSource::DeniedCache;
        assert_eq!(is_cached, number >= 9, "check {number}");
    }
    assert_eq!(allowed, 5);
    assert_eq!(calls(&server, "evalsha"), 9);
    let from_cache: u64 = nodes.iter().map(|node| node.health().from_cache).sum();
    assert_eq!(from_cache, 20_000 - 9);
}

#[tokio::test]
async fn the_cache_holds_no_more_keys_than_it_may() {
    let server = Server::start();
    let builder = patient(Quota::per_hour(1)).denied_keys(10);
    let limiter = server.limiter(builder);
    for key in 0..2_000 {
        let key = key.to_string();
        assert!(limiter.check(&key).await.unwrap().is_allowed());
        assert!(!limiter.check(&key).await.unwrap().is_allowed());
        assert!(limiter.health().denied_keys <= 10);
    }
    assert!(limiter.health().denied_keys >= 5);
    let off = server.limiter(patient(Quota::per_hour(1)).denied_keys(0));
    for _ in 0..3 {
        let denied = off.check("7").await.unwrap();
        assert_eq!(denied.source(), DecisionSource::Store);
    }
    assert_eq!(off.health().denied_keys, 0);
}

#[tokio::test]
async fn a_forgotten_key_is_not_denied_from_the_cache() {
    let server = Server::start();
    let limiter = server.limiter(patient(Quota::per_hour(1)));
    for _ in 0..3 {
        _ = limiter.check("alice").await.unwrap();
    }
    assert_eq!(limiter.forget("alice").await, Ok(true));
    let decision = limiter.check("alice").await.unwrap();
    assert!(decision.is_allowed());
    assert_eq!(decision.source(), DecisionSource::Store);
    assert_eq!(limiter.forget("bob").await, Ok(false));
}

#[tokio::test]
async fn a_store_that_lost_its_data_is_asked_again() {
    let mut server = Server::start();
    let limiter = server.limiter(patient(Quota::per_hour(1)));
    for _ in 0..3 {
        _ = limiter.check("alice").await.unwrap();
    }
    server.kill();
    // What is known is still denied. Another key tells of the outage.
    assert_eq!(
        limiter.check("alice").await.unwrap().source(),
        DecisionSource::DeniedCache
    );
    while limiter.health().outage.is_none() {
        assert!(limiter.check("bob").await.is_err());
    }
    server.restart();
    let start = Instant::now();
    while limiter.check("bob").await.is_err() {
        assert!(start.elapsed() < 20 * AGAIN);
        sleep(Duration::from_millis(5)).await;
    }
    assert!(limiter.check("alice").await.unwrap().is_allowed());
    assert_again(&limiter, AGAIN, "restart").await;
}

#[tokio::test]
async fn another_policy_has_a_cache_and_buckets_of_its_own() {
    let server = Server::start();
    let one = server.limiter(patient(Quota::per_hour(1)));
    let other = server.limiter(patient(Quota::per_hour(2)));
    for _ in 0..3 {
        _ = one.check("alice").await.unwrap();
    }
    assert!(other.check("alice").await.unwrap().is_allowed());
    assert_eq!(server.keys().len(), 2);
}

/// A caller that comes back after the time it was told passes.
#[tokio::test]
async fn a_cached_denial_tells_no_time_too_early() {
    let server = Server::start();
    let quota = Quota::per_second(30).burst(2);
    let limiter = server.limiter(patient(quota));
    let mut cached = 0;
    for _ in 0..30 {
        let denied = loop {
            let decision = limiter.check("alice").await.unwrap();
            if decision.source() == DecisionSource::DeniedCache {
                break decision;
            }
            // On a slow machine its time may have come between two checks.
        };
        cached += 1;
        let wait = denied.retry_after().unwrap();
        assert!(wait <= Duration::from_millis(34), "{wait:?}");
        sleep(wait).await;
        let decision = limiter.check("alice").await.unwrap();
        assert!(decision.is_allowed(), "{denied:?}, then {decision:?}");
    }
    assert_eq!(cached, 30);
}

/// The cached numbers are between those that the store has just before and just after, apart from the
/// round trip of the denial that was cached.
#[tokio::test]
async fn a_cached_denial_has_the_numbers_of_the_store() {
    let server = Server::start();
    let policy = [Quota::per_minute(6).burst(1), Quota::per_hour(60)];
    let limiter = server.limiter(patient(policy));
    assert!(limiter.check("alice").await.unwrap().is_allowed());
    let start = Instant::now();
    assert!(!limiter.check("alice").await.unwrap().is_allowed());
    let round_trip = start.elapsed();
    for _ in 0..50 {
        let before = limiter.peek("alice").await.unwrap();
        let cached = limiter.check("alice").await.unwrap();
        assert_eq!(cached.source(), DecisionSource::DeniedCache);
        let after = limiter.peek("alice").await.unwrap();
        let wait = cached.retry_after().unwrap();
        assert!(wait <= before.retry_after().unwrap() + round_trip);
        assert!(wait >= after.retry_after().unwrap());
        assert_eq!(
            (cached.limit(), cached.remaining()),
            (before.limit(), before.remaining())
        );
        // A peek is never answered from the cache, and a denial that it has is newer.
        assert_eq!(before.source(), DecisionSource::Store);
    }
}

#[tokio::test]
async fn a_denial_of_more_units_does_not_deny_fewer() {
    let server = Server::start();
    let limiter = server.limiter(patient(Quota::per_hour(10)));
    assert!(limiter.check_n("alice", 7).await.unwrap().is_allowed());
    let source = |n| {
        let limiter = limiter.clone();
        async move {
            let decision = limiter.check_n("alice", n).await.unwrap();
            (decision.is_allowed(), decision.source())
        }
    };
    assert_eq!(source(5).await, (false, DecisionSource::Store));
    assert_eq!(source(5).await, (false, DecisionSource::DeniedCache));
    assert_eq!(source(6).await, (false, DecisionSource::DeniedCache));
    assert_eq!(source(4).await, (false, DecisionSource::DeniedCache));
    assert_eq!(source(0).await, (true, DecisionSource::Store));
    assert_eq!(source(3).await, (true, DecisionSource::Store));
    // What exceeds a burst is denied, and cached with what it says of the key.
    assert!(!source(11).await.0);
    assert_eq!(source(1).await, (false, DecisionSource::Store));
}
