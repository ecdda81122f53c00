//! Connections that rested: servers and load balancers close them, some without a word.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    time::Duration,
};

use tokio::time;
use tollgate::Quota;
use tollgate_redis::{Builder, SharedLimiter};

use crate::proxy::{Fault, Proxy};
use crate::server::Server;

fn ten() -> Builder {
    SharedLimiter::builder(Quota::per_day(1).burst(10)).deadline(Duration::from_secs(4))
}

/// Lets a time pass for this process at once.
async fn rest(time: Duration) {
    time::pause();
    time::advance(time).await;
    time::resume();
}

/// How often the server was asked for a sign of life.
fn pings(server: &Server) -> u64 {
    let stats: String = server.run(&["INFO", "commandstats"]);
    let calls = stats
        .lines()
        .find_map(|line| line.strip_prefix("cmdstat_ping:calls="))
        .and_then(|rest| rest.split(',').next());
    calls.map_or(0, |calls| calls.parse().unwrap())
}

#[tokio::test]
async fn a_connection_that_was_closed_while_it_rested_costs_no_decision() {
    let server = Server::start();
    let limiter = server.limiter(ten());
    assert!(limiter.check("alice").await.unwrap().is_allowed());
    for left in (0..5).rev() {
        let _: u64 = server.run(&["CLIENT", "KILL", "TYPE", "normal"]);
        rest(Duration::from_secs(11)).await;
        let decision = limiter.check("alice").await.unwrap();
        assert_eq!(decision.remaining(), 4 + left);
    }
    assert_eq!(limiter.health().undecided, 0);
}

#[tokio::test]
async fn a_connection_that_fell_silent_while_it_rested_costs_no_decision() {
    let server = Server::start();
    let proxy = Proxy::start(server.port).await;
    let (silent, client) = (proxy.client(), server.client());
    let is_first = Arc::new(AtomicBool::new(true));
    let limiter = ten().connect_with(move || {
        let client = match is_first.swap(false, SeqCst) {
            true => silent.clone(),
            false => client.clone(),
        };
        async move { client.get_multiplexed_async_connection().await }
    });
    let limiter = limiter.unwrap();
    assert!(limiter.check("alice").await.unwrap().is_allowed());
    proxy.set(Fault::Swallow);
    rest(Duration::from_secs(11)).await;
    assert_eq!(limiter.check("alice").await.unwrap().remaining(), 8);
    assert_eq!(limiter.health().undecided, 0);
}

/// One round trip, as long as the connection is in use.
#[tokio::test]
async fn a_connection_in_use_is_not_asked_for_a_sign_of_life() {
    let server = Server::start();
    let limiter = server.limiter(ten());
    let before = pings(&server);
    for _ in 0..20 {
        assert!(limiter.peek("alice").await.unwrap().is_allowed());
        rest(Duration::from_secs(9)).await;
    }
    assert_eq!(pings(&server), before);
    rest(Duration::from_secs(11)).await;
    assert!(limiter.peek("alice").await.unwrap().is_allowed());
    assert_eq!(pings(&server), before + 1);
}
