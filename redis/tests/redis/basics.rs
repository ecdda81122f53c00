//! What a limiter does on a healthy server.

use std::time::Duration;

use tollgate::{DecisionSource, Quota};
use tollgate_redis::{Cause, SharedLimiter};

use crate::manual::Manual;
use crate::outages::patient;
use crate::server::Server;

const SECOND: u64 = 1_000_000;

#[tokio::test]
async fn two_limiters_share_the_buckets_of_a_key() {
    let server = Server::start();
    let policy = [Quota::per_minute(10), Quota::per_hour(60)];
    let node = || server.limiter(patient(policy).prefix("turns"));
    let (one, other) = (node(), node());
    for left in (0..10).rev() {
        let node = if left % 2 == 0 { &one } else { &other };
        let decision = node.check("alice").await.unwrap();
        assert!(decision.is_allowed());
        assert_eq!((decision.limit(), decision.remaining()), (10, left));
        assert_eq!(decision.source(), DecisionSource::Store);
    }
    let denied = other.check("alice").await.unwrap();
    assert!(!denied.is_allowed());
    let wait = denied.retry_after().unwrap();
    assert!(
        wait > Duration::from_secs(5) && wait <= Duration::from_secs(6),
        "{wait:?}"
    );
    assert_eq!(wait.subsec_nanos() % 1_000, 0, "whole µs");
    assert!(one.allow("bob").await);
    assert_eq!(
        server.keys(),
        [
            "turns:1/6000000*10+1/60000000*60:{alice}",
            "turns:1/6000000*10+1/60000000*60:{bob}"
        ]
    );
}

#[tokio::test]
async fn time_refills_to_the_microsecond() {
    let server = Server::start();
    let time = Manual::connect(&server.client(), 1_000 * SECOND).await;
    let quota = Quota::per_minute(7).burst(2);
    let builder = patient(quota).denied_keys(0);
    let limiter = builder.build(time.clone()).unwrap();
    assert!(limiter.allow("alice").await && limiter.allow("alice").await);
    let denied = limiter.check("alice").await.unwrap();
    // A unit takes 8,571,428.57... µs.
    assert_eq!(denied.retry_after(), Some(Duration::from_micros(8_571_429)));
    time.set(1_000 * SECOND + 8_571_428);
    assert!(!limiter.check("alice").await.unwrap().is_allowed());
    time.set(1_000 * SECOND + 8_571_429);
    assert!(limiter.check("alice").await.unwrap().is_allowed());
}

/// Law 9: no key is locked out for as long as the clock was set back.
#[tokio::test]
async fn a_clock_that_is_set_back_locks_no_key_out() {
    let server = Server::start();
    let time = Manual::connect(&server.client(), 1_000 * SECOND).await;
    let quota = Quota::per_second(1);
    let limiter = patient(quota).denied_keys(0).build(time.clone()).unwrap();
    assert!(limiter.allow("alice").await);
    // By a second at most: it stands still until it has caught up.
    time.set(999 * SECOND);
    let denied = limiter.check("alice").await.unwrap();
    assert_eq!(denied.retry_after(), Some(Duration::from_secs(2)));
    // By an hour: it counts on.
    time.set(100 * SECOND);
    let denied = limiter.check("alice").await.unwrap();
    assert_eq!(denied.retry_after(), Some(Duration::from_secs(1)));
    time.set(101 * SECOND - 1);
    assert!(!limiter.allow("alice").await);
    time.set(101 * SECOND);
    assert!(limiter.allow("alice").await);
}

/// No panic after construction.
#[test]
fn a_check_without_a_runtime_is_an_outage() {
    let client = redis::Client::open("redis://127.0.0.1:1/").unwrap();
    let limiter = SharedLimiter::builder(Quota::per_second(1))
        .connect(client)
        .unwrap();
    let mut check = std::pin::pin!(limiter.check("alice"));
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    let std::task::Poll::Ready(outcome) = check.as_mut().poll(&mut context) else {
        panic!("the check waits for what never comes");
    };
    let outage = outcome.unwrap_err();
    assert_eq!(
        (outage.cause(), outage.was_asked()),
        (Cause::NoRuntime, false)
    );
}
