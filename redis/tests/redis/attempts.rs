//! Attempts to connect, which outlast the checks that wait for them.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use tokio::{sync::Notify, task::yield_now};
use tollgate::Quota;
use tollgate_redis::{Cause, SharedLimiter};

use crate::server::Server;

/// Or a store that is back is taken for one that fails, for the time between two probes.
#[tokio::test]
async fn an_attempt_that_failed_before_a_check_is_not_its_outage() {
    let server = Server::start();
    let (client, ends, attempts) = (
        server.client(),
        Arc::new(Notify::new()),
        Arc::new(AtomicU32::new(0)),
    );
    let (end, counted) = (Arc::clone(&ends), Arc::clone(&attempts));
    let builder = SharedLimiter::builder(Quota::per_minute(10));
    // For the second check. The first waits for nothing else.
    let builder = builder.deadline(Duration::from_millis(500));
    let builder = builder.connect_timeout(Duration::from_secs(60));
    let limiter = builder.connect_with(move || {
        let (client, end) = (client.clone(), Arc::clone(&end));
        let is_first = counted.fetch_add(1, Ordering::SeqCst) == 0;
        async move {
            if is_first {
                end.notified().await;
                let refused = std::io::ErrorKind::ConnectionRefused;
                return Err(std::io::Error::from(refused).into());
            }
            client.get_multiplexed_async_connection().await
        }
    });
    let limiter = limiter.unwrap();
    let outage = limiter.check("alice").await.unwrap_err();
    assert_eq!(outage.cause(), Cause::Timeout);
    ends.notify_one();
    // The attempt's task is the only other one on this thread.
    for _ in 0..10 {
        yield_now().await;
    }
    let decision = limiter.check("alice").await.unwrap();
    assert!(decision.is_allowed());
    assert_eq!(attempts.load(Ordering::SeqCst), 2);
}
