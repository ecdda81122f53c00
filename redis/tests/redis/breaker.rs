//! While the store is known to fail, it is not asked, apart from one probe in each interval.

use std::time::Duration;

use tokio::{
    task::JoinSet,
    time::{Instant, sleep, timeout},
};
use tollgate_redis::{Cause, SharedLimiter};

use crate::outages::{AGAIN, assert_again, calls, generous};
use crate::proxy::{Fault, Proxy};
use crate::server::Server;

/// Makes checks until one has this cause and was not asked.
async fn open(limiter: &SharedLimiter, cause: Cause) {
    let mut found = Vec::new();
    for _ in 0..1_000 {
        if let Err(outage) = limiter.check("alice").await {
            if outage.cause() == cause && !outage.was_asked() {
                return;
            }
            found.push(outage);
        }
    }
    panic!("no outage by {cause}: {:?}", found.last());
}

/// Counts what is asked, which is what is delayed. Time is not measured.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn at_most_those_in_flight_and_five_are_delayed() {
    for in_flight in [1, 8, 64] {
        let server = Server::start();
        let limiter = server.limiter(generous());
        assert_again(&limiter, 20 * AGAIN, "start").await;
        server.suspend();
        let start = Instant::now();
        let mut callers = JoinSet::new();
        for _ in 0..in_flight {
            let limiter = limiter.clone();
            callers.spawn(async move {
                let mut asked = 0;
                for _ in 0..20 {
                    let outage = limiter.check("alice").await.unwrap_err();
                    asked += u64::from(outage.was_asked());
                }
                asked
            });
        }
        let asked: u64 = callers.join_all().await.into_iter().sum();
        // On a slow machine there are probes too.
        let probes = u64::try_from(start.elapsed().as_millis() / 200).unwrap();
        assert!(
            asked <= in_flight + 5 + probes,
            "{asked} of {in_flight} in flight, {probes} probes"
        );
        assert_eq!(limiter.health().outage.unwrap().cause, Cause::Timeout);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_open_breaker_asks_once_in_each_interval() {
    let mut server = Server::start();
    let proxy = Proxy::start(server.port).await;
    let limiter = generous().connect(proxy.client()).unwrap();
    assert_again(&limiter, 20 * AGAIN, "start").await;
    server.kill();
    proxy.cut();
    open(&limiter, Cause::Connection).await;
    let (start, connections) = (Instant::now(), proxy.connections());
    let (mut asked, mut not_asked) = (0, 0);
    while start.elapsed() < Duration::from_millis(1_500) {
        let outage = limiter.check("alice").await.unwrap_err();
        if outage.was_asked() {
            asked += 1;
        } else {
            not_asked += 1;
        }
        tokio::task::yield_now().await;
    }
    let most = u64::try_from(start.elapsed().as_millis() / 200).unwrap() + 1;
    assert!(asked <= most, "{asked} probes, at most {most}");
    assert!(asked >= 4, "{asked} probes");
    assert!(not_asked > 1_000, "{not_asked} checks without a probe");
    // Each probe is one attempt to connect.
    assert_eq!(proxy.connections() - connections, asked);
}

#[tokio::test]
async fn a_killed_connection_costs_only_the_checks_in_flight() {
    let server = Server::start();
    let proxy = Proxy::start(server.port).await;
    let builder = generous().deadline(Duration::from_secs(20));
    let limiter = builder.connect(proxy.client()).unwrap();
    for _ in 0..3 {
        assert!(limiter.check("alice").await.is_ok());
        proxy.set(Fault::Swallow);
        let mut checks = JoinSet::new();
        for _ in 0..4 {
            let limiter = limiter.clone();
            checks.spawn(async move { limiter.check("alice").await });
        }
        tokio::task::yield_now().await;
        proxy.set(Fault::None);
        proxy.cut();
        for outage in checks.join_all().await {
            let cause = outage.unwrap_err().cause();
            assert!(
                matches!(cause, Cause::Connection | Cause::Timeout),
                "{cause}"
            );
        }
        assert!(limiter.check("alice").await.is_ok());
    }
}

/// A probe may be lost, as its caller may go away. The next one is due in time.
#[tokio::test]
async fn a_probe_that_is_dropped_is_followed_by_another() {
    let server = Server::start();
    let proxy = Proxy::start(server.port).await;
    let limiter = generous().connect(proxy.client()).unwrap();
    proxy.set(Fault::Refuse);
    open(&limiter, Cause::Connection).await;
    proxy.set(Fault::Swallow);
    let mut dropped = 0;
    while dropped < 3 {
        let check = limiter.check("alice");
        let mut check = std::pin::pin!(check);
        // It is dropped while it waits for the store.
        tokio::select! {
            biased;
            _ = &mut check => {}
            () = tokio::task::yield_now() => dropped += 1,
        }
        sleep(Duration::from_millis(1)).await;
    }
    proxy.set(Fault::None);
    proxy.cut();
    assert_again(&limiter, AGAIN, "dropped probes").await;
}

#[tokio::test]
async fn a_malformed_key_opens_nothing() {
    let server = Server::start();
    let limiter = server.limiter(generous().deadline(Duration::from_secs(20)));
    assert_again(&limiter, 20 * AGAIN, "start").await;
    let name = server.keys().remove(0);
    for value in [
        &["SET", &name, "text"][..],
        &["DEL", &name],
        &["LPUSH", &name, "1"],
    ] {
        let _: redis::Value = server.run(value);
        for _ in 0..10 {
            let checked = limiter.check("alice").await;
            if value[0] != "DEL" {
                assert_eq!(checked.unwrap_err().cause(), Cause::Malformed);
            }
            assert!(limiter.check("bob").await.is_ok());
        }
        if value[0] == "DEL" {
            let _: redis::Value = server.run(value);
        }
        assert_eq!(limiter.health().outage, None);
    }
    assert_eq!(limiter.forget("alice").await, Ok(true));
    assert!(limiter.check("alice").await.is_ok());
}

/// Nor does a command beside the script that the user may not run.
#[tokio::test]
async fn a_user_who_may_only_run_the_script_has_no_outage() {
    let server = Server::start();
    let rule = "ACL SETUSER node on >secret ~tollgate:* +evalsha +eval +get +set +time";
    let _: () = server.run(&rule.split(' ').collect::<Vec<_>>());
    let proxy = Proxy::start(server.port).await;
    let url = format!("redis://node:secret@127.0.0.1:{}/", proxy.port);
    let limiter = generous()
        .deadline(Duration::from_secs(20))
        .connect(redis::Client::open(url).unwrap())
        .unwrap();
    for _ in 0..50 {
        assert!(limiter.check("alice").await.is_ok());
        tokio::task::yield_now().await;
    }
    assert_eq!(limiter.inspect().await, Err(Cause::Forbidden));
    assert_eq!(limiter.forget("alice").await, Err(Cause::Forbidden));
    assert!(limiter.check("alice").await.is_ok());
    assert_eq!(limiter.health().outage, None);
    // The limiter asks once itself, and not with each check.
    let errors: String = server.run(&["INFO", "commandstats"]);
    let line = errors
        .lines()
        .find(|line| line.starts_with("cmdstat_info:"))
        .unwrap();
    let rejected = line.split("rejected_calls=").nth(1).unwrap();
    assert_eq!(rejected.split(',').next(), Some("2"), "{line}");
    assert!(calls(&server, "evalsha") > 50);
    assert_eq!(proxy.connections(), 1, "a connection was replaced");
}

/// As behind a timeout of the service that is shorter than the deadline.
#[tokio::test]
async fn checks_that_are_dropped_before_their_deadline_reveal_an_outage_too() {
    let server = Server::start();
    let proxy = Proxy::start(server.port).await;
    let limiter = generous().connect(proxy.client()).unwrap();
    assert_again(&limiter, 20 * AGAIN, "start").await;
    proxy.set(Fault::Swallow);
    let start = Instant::now();
    while limiter.health().outage.is_none() {
        assert!(start.elapsed() < 20 * AGAIN, "no outage is known");
        _ = timeout(Duration::from_millis(20), limiter.check("alice")).await;
    }
    assert_eq!(limiter.health().outage.unwrap().cause, Cause::Timeout);
    // The silent connection is replaced.
    proxy.set(Fault::None);
    let start = Instant::now();
    while limiter.health().outage.is_some() {
        assert!(start.elapsed() < 20 * AGAIN, "the outage lasts");
        _ = timeout(Duration::from_millis(20), limiter.check("alice")).await;
    }
    assert!(proxy.connections() >= 2);
}
