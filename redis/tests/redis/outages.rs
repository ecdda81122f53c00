//! No check takes longer than its deadline, and none is sent twice.
//!
//! # Time
//!
//! The bound is the deadline and 5 ms. The machine may be late too: beside the checks, as many tasks measure
//! how late a plain sleep of the same length wakes. The latest check may be later than the latest sleep by
//! 5 ms. A fault that finds a later one begins anew, up to [`ROUNDS`] times. A limiter that waits longer
//! than its deadline does so in each of them.

use std::{cell::RefCell, time::Duration};

use tokio::{
    task::JoinSet,
    time::{Instant, sleep},
};
use tollgate::{IntoPolicy, Quota};
use tollgate_redis::{Builder, Cause, SharedLimiter};

use crate::proxy::{Fault, Proxy};
use crate::server::Server;

pub const DEADLINE: Duration = Duration::from_millis(50);
const SLACK: Duration = Duration::from_millis(5);

/// In which time a store is in use again once it is back.
pub const AGAIN: Duration = Duration::from_millis(500);

const ROUNDS: usize = 5;
const IN_FLIGHT: usize = 40;

/// A limiter of so many units that none is denied, without a cache.
pub fn generous() -> Builder {
    SharedLimiter::builder(Quota::per_hour(1_000_000)).denied_keys(0)
}

/// A limiter whose deadline no machine misses, for what does not depend on the deadline.
pub fn patient<const N: usize>(policy: impl IntoPolicy<N>) -> Builder<N> {
    SharedLimiter::builder(policy).deadline(Duration::from_secs(20))
}

/// Returns the longest of many checks at once, and by how much the machine wakes a sleeping task too late.
async fn longest(limiter: &SharedLimiter) -> (Duration, Duration) {
    let mut checks = JoinSet::new();
    let mut sleeps = JoinSet::new();
    for _ in 0..IN_FLIGHT {
        let limiter = limiter.clone();
        checks.spawn(async move {
            let start = Instant::now();
            _ = limiter.check("alice").await;
            start.elapsed()
        });
        sleeps.spawn(async {
            let start = Instant::now();
            sleep(DEADLINE).await;
            start.elapsed() - DEADLINE
        });
    }
    let longest = checks.join_all().await.into_iter().max().unwrap();
    (longest, sleeps.join_all().await.into_iter().max().unwrap())
}

/// Makes checks during a fault. Returns how long they took and how late the machine was, if that is too long.
async fn too_long(limiter: &SharedLimiter) -> Option<(Duration, Duration)> {
    // The first take opens the breaker, and the others have probes among them.
    for _ in 0..4 {
        let (longest, late) = longest(limiter).await;
        if longest > DEADLINE + SLACK + late {
            return Some((longest, late));
        }
        sleep(Duration::from_millis(100)).await;
    }
    None
}

/// Asserts that checks are bounded while a fault lasts, and that the store is in use again `limit` after it.
async fn assert_bounded(
    limiter: &SharedLimiter,
    fault: &str,
    limit: Duration,
    mut begin: impl FnMut(),
    mut end: impl FnMut(),
) {
    let mut found = Vec::new();
    while found.len() < ROUNDS {
        assert_again(limiter, limit, fault).await;
        begin();
        let too_long = too_long(limiter).await;
        end();
        assert_again(limiter, limit, fault).await;
        match too_long {
            None => return,
            Some(times) => found.push(times),
        }
    }
    panic!("{fault}: {found:?}");
}

/// Asserts that a store is in use again within `limit` and what the machine is late by.
pub async fn assert_again(limiter: &SharedLimiter, limit: Duration, fault: &str) {
    let start = Instant::now();
    let mut late = Duration::ZERO;
    while let Err(outage) = limiter.check("alice").await {
        let step = Instant::now();
        sleep(Duration::from_millis(5)).await;
        late += step.elapsed() - Duration::from_millis(5);
        let lasted = start.elapsed().saturating_sub(late);
        assert!(lasted < limit, "{fault}: {outage} after {lasted:?}");
    }
}

/// Returns how often the server ran a command.
pub fn calls(server: &Server, command: &str) -> u64 {
    let information: String = server.run(&["INFO", "commandstats"]);
    let prefix = format!("cmdstat_{command}:calls=");
    let line = information
        .lines()
        .find_map(|line| line.strip_prefix(&prefix));
    line.map_or(0, |line| line.split(',').next().unwrap().parse().unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hung_server_delays_no_check_beyond_the_deadline() {
    let server = Server::start();
    let limiter = server.limiter(generous());
    let (suspend, resume) = (|| server.suspend(), || server.resume());
    assert_bounded(&limiter, "SIGSTOP", AGAIN, suspend, resume).await;
    // Also once an attempt to connect to it has failed, and another one is under way.
    server.suspend();
    let start = Instant::now();
    while start.elapsed() < Duration::from_millis(700) {
        assert!(limiter.check("alice").await.is_err());
        sleep(Duration::from_millis(10)).await;
    }
    server.resume();
    assert_again(&limiter, AGAIN, "SIGCONT").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dead_server_delays_no_check_beyond_the_deadline() {
    let server = RefCell::new(Server::start());
    let limiter = server.borrow().limiter(generous());
    let (kill, restart) = (
        || server.borrow_mut().kill(),
        || server.borrow_mut().restart(),
    );
    assert_bounded(&limiter, "SIGKILL", AGAIN, kill, restart).await;
    // It lacked the script.
    assert_eq!(calls(&server.borrow(), "eval"), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_fault_of_the_network_delays_a_check_beyond_the_deadline() {
    let server = Server::start();
    let proxy = Proxy::start(server.port).await;
    let limiter = generous().connect(proxy.client()).unwrap();
    let second = Duration::from_secs(1);
    // What an attempt to connect has lost does not arrive any more. It ends with its own timeout.
    let limit = Duration::from_millis(500) + AGAIN;
    for fault in [
        Fault::Swallow,
        Fault::LoseReplies,
        Fault::CutBeforeReply,
        Fault::Refuse,
        Fault::Delay(second, 2 * second),
        Fault::Delay(Duration::from_millis(1), Duration::from_millis(50)),
    ] {
        let (begin, end) = (|| proxy.set(fault), || proxy.set(Fault::None));
        assert_bounded(&limiter, &format!("{fault:?}"), limit, begin, end).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_not_there_yet_is_used_once_it_is() {
    let mut server = Server::start();
    server.kill();
    let mut found = Vec::new();
    let limiter = loop {
        let limiter = server.limiter(generous());
        match too_long(&limiter).await {
            None => break limiter,
            Some(times) => found.push(times),
        }
        assert!(found.len() < ROUNDS, "{found:?}");
    };
    let outage = limiter.check("alice").await.unwrap_err();
    assert_eq!(outage.cause(), Cause::Connection);
    server.restart();
    assert_again(&limiter, AGAIN, "start").await;
}

/// The handshake takes 160 ms at least, and no check waits for it beyond its deadline.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_attempt_to_connect_goes_on_in_the_background() {
    let server = Server::start();
    let proxy = Proxy::start(server.port).await;
    let patience = Duration::from_secs(20);
    let builder = generous().connect_timeout(patience);
    let limiter = builder.connect(proxy.client()).unwrap();
    let delay = Duration::from_millis(80);
    proxy.set(Fault::Delay(delay, delay));
    for _ in 0..2 {
        let outage = limiter.check("alice").await.unwrap_err();
        assert_eq!(outage.cause(), Cause::Timeout);
    }
    proxy.set(Fault::None);
    // No check is made until the connection is there. The next ones are answered on it.
    sleep(4 * delay).await;
    assert_again(&limiter, patience, "slow handshake").await;
    assert_eq!(proxy.connections(), 1);
}

/// A request that was sent may have run. So a check that fails has spent its units once at most.
#[tokio::test]
async fn a_check_without_a_reply_is_not_sent_again() {
    for fault in [Fault::LoseReplies, Fault::CutBeforeReply] {
        let server = Server::start();
        let proxy = Proxy::start(server.port).await;
        let quota = Quota::per_day(1_000);
        let limiter = SharedLimiter::builder(quota)
            .connect(proxy.client())
            .unwrap();
        let direct = server.limiter(patient(quota));
        assert_again(&limiter, 10 * AGAIN, "start").await;
        let (mut failed, mut sent) = (0, calls(&server, "evalsha"));
        for _ in 0..3 {
            proxy.set(fault);
            let outage = limiter.check_n("alice", 7).await.unwrap_err();
            assert!(outage.was_asked(), "{fault:?}");
            failed += 1;
            proxy.set(Fault::None);
            proxy.cut();
            // Whatever arrived has run once this is answered.
            assert_again(&limiter, 10 * AGAIN, "cut").await;
        }
        sent = calls(&server, "evalsha") - sent;
        assert_eq!(
            calls(&server, "eval"),
            1,
            "only the first check lacks the script"
        );
        let spent = 1_000 - direct.peek("alice").await.unwrap().remaining();
        // Each that failed spent 7 or nothing, and the others one each.
        assert!(
            spent <= 1 + 7 * failed + (sent - failed),
            "{fault:?}: {spent} units of {sent}"
        );
        assert!(spent > 7 * failed, "{fault:?}: nothing was lost");
    }
}

/// A server that lacks the script has not run it. So the check is sent again with the script in it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flush_of_the_scripts_is_not_seen() {
    let server = Server::start();
    let limiter = server.limiter(generous().deadline(Duration::from_secs(20)));
    for round in 0..20 {
        let mut checks = JoinSet::new();
        for number in 0..50 {
            let limiter = limiter.clone();
            checks.spawn(async move { limiter.check("alice").await.unwrap().is_allowed() });
            if number % 25 == round {
                let _: () = server.run(&["SCRIPT", "FLUSH"]);
            }
        }
        assert!(
            checks
                .join_all()
                .await
                .into_iter()
                .all(|is_allowed| is_allowed)
        );
    }
    // Each check ran once: by its hash, or if that failed, by its text.
    assert_eq!(calls(&server, "evalsha"), 1_000);
    let stats: String = server.run(&["INFO", "commandstats"]);
    let line = stats
        .lines()
        .find(|line| line.starts_with("cmdstat_evalsha:"));
    let failed = line
        .unwrap()
        .split("failed_calls=")
        .nth(1)
        .unwrap()
        .parse::<u64>();
    assert_eq!(calls(&server, "eval"), failed.unwrap());
    assert!(calls(&server, "eval") > 10);
}
