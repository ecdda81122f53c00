//! A master that sentinels watch, and what a limiter does when it fails or is demoted.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::{Duration, Instant},
};

use redis::sentinel::{SentinelClient, SentinelServerType};
use tokio::sync::Mutex;
use tollgate::Quota;
use tollgate_redis::{Builder, Cause, SharedLimiter};

use crate::proxy::{Fault, Proxy};
use crate::topology::{Watched, wait};

/// A thousand units, of which none comes back during a test.
fn thousand() -> Builder {
    SharedLimiter::builder(Quota::per_day(1).burst(1_000)).denied_keys(0)
}

/// Builds a limiter on whichever server is the master.
fn limiter(sentinels: Vec<String>, builder: Builder) -> SharedLimiter {
    let name = "mymaster".to_owned();
    let client = SentinelClient::build(sentinels, name, None, SentinelServerType::Master);
    let client = Arc::new(Mutex::new(client.unwrap()));
    let limiter = builder.connect_with(move || {
        let client = Arc::clone(&client);
        async move { client.lock().await.get_async_connection().await }
    });
    limiter.unwrap()
}

/// Checks a key until a check is allowed, and returns the longest time of one.
async fn until_allowed(limiter: &SharedLimiter, key: &str) -> Duration {
    let mut longest = Duration::ZERO;
    let end = Instant::now() + Duration::from_secs(30);
    loop {
        assert!(Instant::now() < end, "{key} is not allowed in time");
        let start = Instant::now();
        let result = limiter.check(key).await;
        longest = longest.max(start.elapsed());
        match result {
            Ok(decision) if decision.is_allowed() => return longest,
            _ => tokio::time::sleep(Duration::from_millis(1)).await,
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_promoted_replica_has_the_debts_and_is_found() {
    let mut watched = Watched::start();
    let limiter = limiter(watched.urls(), thousand());
    until_allowed(&limiter, "alice").await;
    for _ in 1..600 {
        assert!(limiter.check("alice").await.unwrap().is_allowed());
    }
    watched.wait_until_replicated(0);
    watched.servers[0].kill();
    let killed = Instant::now();
    let back = tokio::spawn({
        let limiter = limiter.clone();
        async move { (until_allowed(&limiter, "bob").await, Instant::now()) }
    });
    wait(|| watched.is_told(1));
    let told = Instant::now();
    let (longest, back) = back.await.unwrap();
    println!(
        "told {:?} after the kill, in use {:?} later, the longest check took {longest:?}",
        told - killed,
        back.saturating_duration_since(told),
    );
    // The deadline is 50 ms. The rest is for a machine that does something else.
    assert!(longest < Duration::from_millis(500), "{longest:?}");
    // What was replicated was not lost.
    assert_eq!(limiter.peek("alice").await.unwrap().remaining(), 400);
    for _ in 0..400 {
        assert!(limiter.check("alice").await.unwrap().is_allowed());
    }
    assert!(!limiter.check("alice").await.unwrap().is_allowed());
}

/// The client asks all sentinels at once, and waits for the first one of its list for a second.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_silent_sentinel_needs_a_longer_time_to_connect() {
    let watched = Watched::start();
    let silent = Proxy::start(watched.sentinels[0].port).await;
    silent.set(Fault::Swallow);
    let mut urls = watched.urls();
    urls[0] = format!("redis://127.0.0.1:{}/", silent.port);
    let builder = thousand().connect_timeout(Duration::from_secs(5));
    let limiter = limiter(urls, builder);
    until_allowed(&limiter, "alice").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_master_that_is_demoted_by_the_sentinels_is_left() {
    let watched = Watched::start();
    let limiter = limiter(watched.urls(), thousand());
    until_allowed(&limiter, "alice").await;
    watched.wait_until_replicated(0);
    let _: () = watched.sentinels[0].run(&["SENTINEL", "FAILOVER", "mymaster"]);
    // The old master is alive all the time.
    watched.wait_for_demotion(0);
    let demoted = Instant::now();
    // Whatever is allowed now is a write on the new master.
    let longest = until_allowed(&limiter, "bob").await;
    println!("in use {:?} after the demotion", demoted.elapsed());
    assert!(longest < Duration::from_millis(500), "{longest:?}");
    watched.wait_for_replica(0);
    watched.wait_until_replicated(1);
    assert_eq!(limiter.peek("alice").await.unwrap().remaining(), 999);
    assert_eq!(limiter.peek("bob").await.unwrap().remaining(), 999);
    assert_eq!(watched.servers[1].keys().len(), 2);
}

/// Two servers, and a limiter that connects to the one of this number. Nothing breaks its connections.
struct Pair {
    watched: Watched,
    master: Arc<AtomicUsize>,
    limiter: SharedLimiter,
}

impl Pair {
    fn start(builder: Builder) -> Pair {
        let watched = Watched::without_sentinels();
        let clients = [0, 1].map(|server: usize| watched.servers[server].client());
        let master = Arc::new(AtomicUsize::new(0));
        let chosen = Arc::clone(&master);
        let limiter = builder.connect_with(move || {
            let client = clients[chosen.load(SeqCst)].clone();
            async move { client.get_multiplexed_async_connection().await }
        });
        Pair {
            watched,
            master,
            limiter: limiter.unwrap(),
        }
    }

    /// Makes the replica the master, and the other way round.
    fn switch(&self) {
        let old = self.master.load(SeqCst);
        let new = 1 - old;
        let port = self.watched.servers[new].port.to_string();
        self.watched.wait_until_replicated(old);
        let _: () = self.watched.servers[new].run(&["REPLICAOF", "NO", "ONE"]);
        let _: () = self.watched.servers[old].run(&["REPLICAOF", "127.0.0.1", &port]);
        self.master.store(new, SeqCst);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_write_to_a_demoted_master_leads_to_the_new_one() {
    let pair = Pair::start(thousand());
    until_allowed(&pair.limiter, "alice").await;
    let mut shortest = Duration::MAX;
    for round in 0..5 {
        pair.switch();
        let switched = Instant::now();
        let outage = pair.limiter.check("alice").await.unwrap_err();
        assert_eq!(outage.cause(), Cause::ReadOnly);
        until_allowed(&pair.limiter, "alice").await;
        shortest = shortest.min(switched.elapsed());
        println!(
            "round {round}: in use {:?} after the switch",
            switched.elapsed()
        );
        pair.watched.wait_for_replica(1 - pair.master.load(SeqCst));
    }
    // The best of some rounds, as the machine does other things too.
    assert!(shortest < Duration::from_millis(500), "{shortest:?}");
    assert_eq!(pair.limiter.peek("alice").await.unwrap().remaining(), 994);
}

/// A denial writes nothing, so a demoted master gives it too. It is right: the debts that it has are a part
/// of those of the new one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_demoted_master_denies_what_the_new_one_denies() {
    let quota = Quota::per_day(1).burst(1);
    let pair = Pair::start(SharedLimiter::builder(quota).denied_keys(0));
    until_allowed(&pair.limiter, "alice").await;
    assert!(pair.limiter.peek("bob").await.unwrap().is_allowed());
    pair.switch();
    // From here on the old master learns nothing.
    let _: () = pair.watched.servers[0].run(&["REPLICAOF", "127.0.0.1", "1"]);
    let other = pair.watched.servers[1].limiter(SharedLimiter::builder(quota));
    assert!(!other.check("alice").await.unwrap().is_allowed());
    assert!(!pair.limiter.check("alice").await.unwrap().is_allowed());
    // A peek is of what the old master knows, until a check is allowed there.
    until_allowed(&other, "bob").await;
    assert!(pair.limiter.peek("bob").await.unwrap().is_allowed());
    assert_eq!(
        pair.limiter.check("bob").await.unwrap_err().cause(),
        Cause::ReadOnly
    );
    loop {
        if let Ok(decision) = pair.limiter.peek("bob").await {
            assert!(!decision.is_allowed());
            break;
        }
    }
}
