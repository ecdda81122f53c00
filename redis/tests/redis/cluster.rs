//! A cluster of three nodes.

use std::{
    collections::HashSet,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::SeqCst},
    },
    time::{Duration, Instant},
};

use redis::cluster_async::ClusterConnection;
use tollgate::Quota;
use tollgate_redis::{Builder, Cause, OnOutage, SharedLimiter};

use crate::proxy::{Fault, Proxy};
use crate::topology::{Cluster, wait};

/// Ten units, of which none comes back during a test.
fn ten() -> Builder {
    SharedLimiter::builder(Quota::per_day(1).burst(10)).denied_keys(0)
}

async fn connect(cluster: &Cluster, retries: Option<u32>) -> ClusterConnection {
    let mut client = cluster.client();
    if let Some(retries) = retries {
        client = client.retries(retries);
    }
    client
        .build()
        .unwrap()
        .get_async_connection()
        .await
        .unwrap()
}

/// Spends ten units of a key, and then none.
async fn spend_all(limiter: &SharedLimiter, key: &str) {
    for left in (0..10).rev() {
        let decision = limiter.check(key).await.unwrap();
        assert!(decision.is_allowed(), "{key}");
        assert_eq!(decision.remaining(), left, "{key}");
    }
    assert!(!limiter.check(key).await.unwrap().is_allowed(), "{key}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_limit_is_exact_on_every_node() {
    let cluster = Cluster::start();
    let builder = ten().deadline(Duration::from_secs(5));
    let limiter = builder.build(connect(&cluster, Some(0)).await).unwrap();
    // The first check of each node finds no script there.
    for node in 0..3 {
        for key in cluster.keys_of(node, 3) {
            spend_all(&limiter, &key).await;
        }
        assert_eq!(cluster.nodes[node].keys().len(), 3);
    }
    // One node forgets the script.
    let _: () = cluster.nodes[1].run(&["SCRIPT", "FLUSH"]);
    for node in 0..3 {
        let key = cluster.keys_of(node, 4).pop().unwrap();
        spend_all(&limiter, &key).await;
    }
    assert!(limiter.forget(&cluster.keys_of(2, 1)[0]).await.unwrap());
    assert_eq!(limiter.inspect().await.unwrap().versions.len(), 3);
    assert_eq!(limiter.health().undecided, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn braces_in_a_key_do_not_choose_its_slot() {
    let cluster = Cluster::start();
    let builder = ten().deadline(Duration::from_secs(5));
    let limiter = builder.build(connect(&cluster, Some(0)).await).unwrap();
    // Redis itself takes all of them to the slot of `b`.
    let mut slots = HashSet::new();
    for number in 0..20 {
        let key = format!("{number}{{b}}");
        assert_eq!(cluster.slot(&key), cluster.slot("b"));
        assert!(limiter.check(&key).await.unwrap().is_allowed());
    }
    for node in &cluster.nodes {
        for name in node.keys() {
            slots.insert(cluster.slot(&name));
        }
    }
    assert_eq!(slots.len(), 20);
}

/// What a load on one key has seen.
#[derive(Default)]
struct Seen {
    allowed: AtomicU64,
    denied: AtomicU64,
    undecided: AtomicU64,
    has_ended: AtomicBool,
}

impl Seen {
    /// Waits until some more requests have ended.
    async fn more(&self) {
        let count = || {
            let counts = [&self.allowed, &self.denied, &self.undecided];
            counts.map(|count| count.load(SeqCst)).iter().sum::<u64>()
        };
        let end = count() + 100;
        while count() < end {
            tokio::task::yield_now().await;
        }
    }
}

/// Moves the slot of a key under load, and returns the units that were admitted and those that may be spent
/// besides.
async fn move_under_load(retries: Option<u32>) -> (u64, u64) {
    let burst = 20_000;
    let cluster = Arc::new(Cluster::start());
    let key = cluster.keys_of(0, 1).remove(0);
    let slot = cluster.slot(&key);
    let limiter = SharedLimiter::builder(Quota::per_day(1).burst(burst))
        .denied_keys(0)
        .on_outage(OnOutage::Deny)
        .deadline(Duration::from_secs(1))
        .build(connect(&cluster, retries).await)
        .unwrap();
    let seen = Arc::new(Seen::default());
    let tasks: Vec<_> = (0..4)
        .map(|_| {
            let (limiter, seen, key) = (limiter.clone(), Arc::clone(&seen), key.clone());
            tokio::spawn(async move {
                // The last decision before and the first after the longest time without one.
                let (mut last, mut longest) = (Instant::now(), Duration::ZERO);
                while !seen.has_ended.load(SeqCst) {
                    match limiter.check(&key).await {
                        Ok(decision) => {
                            longest = longest.max(last.elapsed());
                            last = Instant::now();
                            let is_allowed = decision.is_allowed();
                            let count = if is_allowed {
                                &seen.allowed
                            } else {
                                &seen.denied
                            };
                            count.fetch_add(1, SeqCst);
                        }
                        Err(outage) => {
                            assert_eq!(outage.cause(), Cause::Moving);
                            seen.undecided.fetch_add(1, SeqCst);
                        }
                    }
                }
                longest
            })
        })
        .collect();
    let step = |run: fn(&Cluster, usize)| {
        let cluster = Arc::clone(&cluster);
        tokio::task::spawn_blocking(move || run(&cluster, slot))
    };
    seen.more().await;
    step(|cluster, slot| cluster.begin_move(slot, 0, 1))
        .await
        .unwrap();
    seen.more().await;
    step(|cluster, slot| assert_eq!(cluster.move_keys(slot, 0, 1), 1))
        .await
        .unwrap();
    seen.more().await;
    step(|cluster, slot| cluster.end_move(slot, 0, 1))
        .await
        .unwrap();
    seen.more().await;
    seen.has_ended.store(true, SeqCst);
    let mut longest = Duration::ZERO;
    for task in tasks {
        longest = longest.max(task.await.unwrap());
    }
    let undecided = seen.undecided.load(SeqCst);
    println!("retries {retries:?}: {undecided} undecided, at most {longest:?} without a decision");
    // The debt came along, and the new node decides.
    let admitted = seen.allowed.load(SeqCst);
    assert_eq!(seen.denied.load(SeqCst), 0);
    let left = limiter.peek(&key).await.unwrap().remaining();
    assert_eq!(cluster.nodes[1].keys().len(), 1);
    (admitted, burst - left - admitted)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slot_that_is_moved_keeps_its_debts_and_charges_once_without_retries() {
    let (admitted, besides) = move_under_load(Some(0)).await;
    assert!(admitted >= 300);
    // An error of a moving slot spends nothing.
    assert_eq!(besides, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slot_that_is_moved_keeps_its_debts_with_retries() {
    let (admitted, besides) = move_under_load(None).await;
    assert!(admitted >= 300);
    assert_eq!(besides, 0);
}

/// Returns how many units a check costs whose connection is cut before its reply, and whether it was decided.
async fn cost_of_a_cut(retries: Option<u32>) -> (u64, bool) {
    let cluster = Cluster::start();
    let proxy = Proxy::start(cluster.nodes[0].port).await;
    cluster.announce(0, proxy.port);
    let limiter = SharedLimiter::builder(Quota::per_day(1).burst(1_000))
        .deadline(Duration::from_secs(20))
        .build(connect(&cluster, retries).await)
        .unwrap();
    let key = cluster.keys_of(0, 1).remove(0);
    assert_eq!(limiter.check(&key).await.unwrap().remaining(), 999);
    // The limiter asks for information once, whose reply shall not be the one that is cut.
    let mut asked = 0;
    wait(|| {
        let info: String = cluster.nodes[0].run(&["INFO", "commandstats"]);
        asked += 1;
        info.contains(&format!("cmdstat_info:calls={asked},"))
    });
    assert!(limiter.peek(&key).await.is_ok());
    let name = cluster.nodes[0].keys().remove(0);
    let value = || -> Vec<u8> { cluster.nodes[0].run(&["GET", &name]) };
    let before = value();
    proxy.set(Fault::CutBeforeReply);
    let cut = tokio::spawn({
        let (limiter, key) = (limiter.clone(), key.clone());
        async move { limiter.check(&key).await.is_ok() }
    });
    // It has run, and its reply is lost.
    wait(|| value() != before);
    proxy.set(Fault::None);
    let is_decided = cut.await.unwrap();
    loop {
        // Until there is a connection again.
        if let Ok(decision) = limiter.peek(&key).await {
            return (999 - decision.remaining(), is_decided);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_check_without_a_reply_is_charged_once_without_retries_and_again_with_them() {
    assert_eq!(cost_of_a_cut(Some(0)).await, (1, false));
    let (cost, is_decided) = cost_of_a_cut(None).await;
    assert!(cost >= 2 && is_decided, "{cost} units");
}

/// What became of the checks of some keys.
#[derive(Debug, Default)]
struct Outcomes {
    decided: u64,
    undecided: u64,
    longest: Duration,
}

impl Outcomes {
    async fn check(&mut self, limiter: &SharedLimiter, key: &str) {
        let start = Instant::now();
        match limiter.check(key).await {
            Ok(_) => self.decided += 1,
            Err(_) => self.undecided += 1,
        }
        self.longest = self.longest.max(start.elapsed());
    }
}

/// Kills a node, and checks keys of each node in turn. Returns the outcomes of the keys of living nodes, and
/// of the others.
async fn with_a_dead_node(retries: Option<u32>) -> [Outcomes; 2] {
    let mut cluster = Cluster::start();
    let limiter = SharedLimiter::builder(Quota::per_day(1).burst(10_000))
        .deadline(Duration::from_millis(250))
        .build(connect(&cluster, retries).await)
        .unwrap();
    let keys = [0, 1, 2].map(|node| cluster.keys_of(node, 5));
    for key in keys.iter().flatten() {
        assert!(limiter.check(key).await.is_ok());
    }
    cluster.nodes[2].kill();
    let [mut living, mut dead] = [Outcomes::default(), Outcomes::default()];
    for number in 0..60 {
        let of = if number % 3 == 2 {
            &mut dead
        } else {
            &mut living
        };
        of.check(&limiter, &keys[number % 3][number % 5]).await;
    }
    println!("retries {retries:?}: living {living:?}, dead {dead:?}");
    [living, dead]
}

/// The deadline is five times the default, so that a machine that does something else is no outage.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_of_living_nodes_go_on_when_a_node_is_dead() {
    for retries in [Some(0), None] {
        let [living, dead] = with_a_dead_node(retries).await;
        assert_eq!((living.decided, living.undecided), (40, 0));
        assert_eq!((dead.decided, dead.undecided), (0, 20));
        assert!(dead.longest < Duration::from_secs(2), "{:?}", dead.longest);
    }
}
