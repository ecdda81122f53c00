//! What becomes of requests during an outage, and that what a local share admits is charged.

use std::{
    collections::HashSet,
    io, mem,
    num::NonZeroU32,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering::SeqCst},
    },
    time::Duration,
};

use redis::aio::{ConnectionLike, MultiplexedConnection};
use redis::{Arg, Cmd, Pipeline, RedisFuture, Value};
use tokio::{
    task::JoinSet,
    time::{Instant, sleep},
};
use tollgate::Quota;
use tollgate_redis::{Builder, Cause, OnOutage, SharedLimiter};

use crate::outages::{AGAIN, patient};
use crate::proxy::{Fault, Proxy};
use crate::server::Server;

fn local(nodes: u32) -> OnOutage {
    let nodes = NonZeroU32::new(nodes).unwrap();
    OnOutage::Local { nodes }
}

/// A script that was sent: its mode, the name of the key, and what it costs of the first quota.
type Sent = (String, String, u64);

/// A connection that can be switched off, and that logs each script.
#[derive(Clone)]
struct Switch {
    connection: MultiplexedConnection,
    state: Arc<State>,
}

#[derive(Default)]
struct State {
    is_off: AtomicBool,
    /// After how many charges all others fail. 0 for never.
    charges: AtomicU64,
    log: Mutex<Vec<Sent>>,
}

impl Switch {
    async fn connect(server: &Server) -> Switch {
        Switch {
            connection: server
                .client()
                .get_multiplexed_async_connection()
                .await
                .unwrap(),
            state: Arc::default(),
        }
    }

    fn set(&self, is_on: bool) {
        self.state.is_off.store(!is_on, SeqCst);
    }

    fn log(&self) -> Vec<Sent> {
        mem::take(&mut self.state.log.lock().unwrap())
    }

    fn modes(&self) -> Vec<String> {
        self.log().into_iter().map(|(mode, _, _)| mode).collect()
    }
}

impl ConnectionLike for Switch {
    fn req_packed_command<'a>(&'a mut self, command: &'a Cmd) -> RedisFuture<'a, Value> {
        Box::pin(async move {
            let word = |place| match command.args_iter().nth(place) {
                Some(Arg::Simple(word)) => String::from_utf8_lossy(word).into_owned(),
                _ => String::new(),
            };
            let (name, mode, cost) = (word(3), word(4), word(7));
            let state = &self.state;
            let mut fails = state.is_off.load(SeqCst);
            if mode == "charge" && state.charges.load(SeqCst) > 0 {
                fails |= state.charges.fetch_sub(1, SeqCst) == 1;
                state.is_off.store(fails, SeqCst);
            }
            if fails {
                return Err(io::Error::from(io::ErrorKind::BrokenPipe).into());
            }
            if !mode.is_empty() {
                let cost = cost.parse().unwrap();
                state.log.lock().unwrap().push((mode, name, cost));
            }
            self.connection.req_packed_command(command).await
        })
    }

    fn req_packed_commands<'a>(
        &'a mut self,
        pipeline: &'a Pipeline,
        offset: usize,
        count: usize,
    ) -> RedisFuture<'a, Vec<Value>> {
        self.connection.req_packed_commands(pipeline, offset, count)
    }

    fn get_db(&self) -> i64 {
        self.connection.get_db()
    }
}

/// Makes checks of a key until one passes, and returns how many units that is.
async fn pass_one(limiter: &SharedLimiter, key: &str) -> u64 {
    while !limiter.check(key).await.unwrap_err().is_allowed() {
        sleep(Duration::from_millis(1)).await;
    }
    1
}

/// Waits until no limiter knows of an outage. No check is made.
async fn wait_for_the_end(limiters: &[SharedLimiter]) {
    let start = Instant::now();
    while limiters
        .iter()
        .any(|limiter| limiter.health().outage.is_some())
    {
        assert!(
            start.elapsed() < 20 * AGAIN,
            "an outage lasts though the store is back"
        );
        sleep(Duration::from_millis(2)).await;
    }
}

/// What a unit costs at 200/s: a µs earns 1 of 5,000 parts.
const UNIT: u64 = 5_000;

#[tokio::test]
async fn each_fail_mode_says_what_becomes_of_a_request() {
    let mut server = Server::start();
    server.kill();
    let quota = Quota::per_second(100);
    let limiter = |rule| server.limiter(SharedLimiter::builder(quota).on_outage(rule));
    let default = server.limiter(SharedLimiter::builder(quota));
    for limiter in [limiter(OnOutage::Allow), default] {
        let outage = limiter.check("alice").await.unwrap_err();
        assert!(outage.is_allowed() && limiter.allow("alice").await);
        assert_eq!(outage.retry_after(), None);
        assert_eq!(
            outage.to_string(),
            "rate limit store unavailable: no connection; the request passes"
        );
    }
    let denying = limiter(OnOutage::Deny);
    let outage = denying.check("alice").await.unwrap_err();
    assert!(!outage.is_allowed() && !denying.allow("alice").await);
    assert_eq!(outage.retry_after(), None);
    assert_eq!(
        outage.to_string(),
        "rate limit store unavailable: no connection; the request is rejected"
    );
    // A share begins empty. A unit is earned in 40 ms.
    let shared = limiter(local(4));
    let outage = shared.check("alice").await.unwrap_err();
    let wait = outage.retry_after().unwrap();
    assert!(
        !outage.is_allowed() && wait <= Duration::from_millis(40),
        "{wait:?}"
    );
    sleep(wait).await;
    assert!(shared.check("alice").await.unwrap_err().is_allowed());
    let outage = shared.check_n("alice", 26).await.unwrap_err();
    assert!(
        !outage.is_allowed() && outage.retry_after().is_none(),
        "more than its burst"
    );
    assert_eq!(outage.cause(), Cause::Connection);
}

/// Floods all nodes until `end` and returns what passed.
async fn flood(nodes: &[SharedLimiter], end: Instant) -> u64 {
    let mut callers = JoinSet::new();
    for node in nodes {
        let node = node.clone();
        callers.spawn(async move {
            let mut passed = 0;
            while Instant::now() < end {
                passed += u64::from(node.allow("alice").await);
                sleep(Duration::from_millis(1)).await;
            }
            passed
        });
    }
    callers.join_all().await.into_iter().sum()
}

/// The units that pass during `t` are compared with what the rate earns in `t`, which is measured.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn four_nodes_admit_no_more_than_the_rate_and_charge_it() {
    let server = Server::start();
    let proxy = Proxy::start(server.port).await;
    let (rate, burst) = (20, 40);
    let quota = Quota::per_second(rate).burst(burst);
    let node = || {
        let builder: Builder = SharedLimiter::builder(quota).on_outage(local(4));
        builder.connect(proxy.client()).unwrap()
    };
    let nodes: Vec<SharedLimiter> = (0..4).map(|_| node()).collect();
    let start = Instant::now();
    let earned = |since: Instant| since.elapsed().as_secs_f64() * rate as f64;
    let mut total = 0;
    while total < burst {
        assert!(start.elapsed() < 20 * AGAIN, "{total} of {burst} units");
        total += flood(&nodes, Instant::now() + Duration::from_millis(100)).await;
    }
    for round in 1..=2 {
        let begun = Instant::now();
        proxy.set(Fault::Refuse);
        proxy.cut();
        let admitted = flood(&nodes, begun + Duration::from_millis(1_200)).await;
        let most = earned(begun);
        // The first checks may have been answered before the cut.
        assert!(
            admitted as f64 <= most + 1.0,
            "{admitted} of {most} in outage {round}"
        );
        assert!(admitted >= 8, "{admitted} units");
        total += admitted;
        proxy.set(Fault::None);
        wait_for_the_end(&nodes).await;
        total += flood(&nodes, Instant::now() + Duration::from_millis(300)).await;
        let most = burst as f64 + earned(start);
        assert!(
            total as f64 <= most,
            "{total} of {most} after outage {round}"
        );
    }
}

#[tokio::test]
async fn what_was_admitted_is_charged_also_if_no_check_follows() {
    let server = Server::start();
    let switch = Switch::connect(&server).await;
    let quota = Quota::per_second(200).burst(1_000);
    let builder = patient(quota).on_outage(local(1));
    let limiter = builder.build(switch.clone()).unwrap();
    switch.set(false);
    let mut admitted = 0;
    for _ in 0..10 {
        admitted += pass_one(&limiter, "alice").await;
    }
    switch.set(true);
    wait_for_the_end(&[limiter]).await;
    // The store is asked without spending, at first by a hash that it does not know.
    let log = switch.log();
    let modes: Vec<&str> = log.iter().map(|(mode, _, _)| mode.as_str()).collect();
    assert_eq!(modes, ["peek", "peek", "charge"]);
    assert_eq!(log[2].2, admitted * UNIT);
}

/// The store would decide on a bucket that has earned during the outage what this node has admitted.
#[tokio::test]
async fn no_check_is_decided_by_the_store_before_all_is_charged() {
    let server = Server::start();
    let switch = Switch::connect(&server).await;
    let builder = patient(Quota::per_second(200)).on_outage(local(1));
    let limiter = builder.build(switch.clone()).unwrap();
    switch.set(false);
    pass_one(&limiter, "alice").await;
    switch.set(true);
    while limiter.check("bob").await.is_err() {
        sleep(Duration::from_millis(1)).await;
    }
    let log = switch.modes();
    let place = |mode: &str| log.iter().position(|found| found == mode).unwrap();
    assert!(place("charge") < place("spend"), "{log:?}");
    // If it has admitted nothing, the first check is decided.
    switch.set(false);
    assert!(limiter.check("bob").await.is_err());
    switch.set(true);
    assert!(limiter.check("bob").await.is_ok());
}

/// As when there are more nodes than `nodes` says.
#[tokio::test]
async fn a_charge_empties_a_bucket_and_no_more() {
    let server = Server::start();
    // Slow, so that little is earned between two charges.
    let quota = Quota::per_second(4);
    let mut nodes = Vec::new();
    for _ in 0..3 {
        let switch = Switch::connect(&server).await;
        let builder = patient(quota).on_outage(local(1)).denied_keys(0);
        nodes.push((builder.build(switch.clone()).unwrap(), switch));
    }
    nodes.iter().for_each(|(_, switch)| switch.set(false));
    let mut tasks = JoinSet::new();
    for (limiter, _) in &nodes {
        let limiter = limiter.clone();
        tasks.spawn(async move {
            for _ in 0..4 {
                pass_one(&limiter, "alice").await;
            }
        });
    }
    tasks.join_all().await;
    nodes.iter().for_each(|(_, switch)| switch.set(true));
    let limiters: Vec<SharedLimiter> = nodes.iter().map(|(limiter, _)| limiter.clone()).collect();
    wait_for_the_end(&limiters).await;
    // A debt above the burst would be no value of this limiter.
    assert!(limiters[0].peek("alice").await.is_ok());
}

#[tokio::test]
async fn what_could_not_be_charged_is_charged_later() {
    let server = Server::start();
    let switch = Switch::connect(&server).await;
    let quota = Quota::per_second(200).burst(1_000);
    let builder = patient(quota).on_outage(local(1));
    let limiter = builder.build(switch.clone()).unwrap();
    switch.set(false);
    let keys: Vec<String> = (0..150).map(|number| format!("key{number}")).collect();
    for key in &keys {
        pass_one(&limiter, key).await;
    }
    // The store fails again at the 100th charge.
    switch.state.charges.store(100, SeqCst);
    switch.set(true);
    while !switch.state.is_off.load(SeqCst) {
        sleep(Duration::from_millis(1)).await;
    }
    // All that are under way have failed by now.
    sleep(Duration::from_millis(10)).await;
    assert!(limiter.health().outage.is_some());
    switch.set(true);
    wait_for_the_end(&[limiter]).await;
    let mut log = switch.log();
    log.retain(|(mode, _, _)| mode == "charge");
    assert!(log.iter().all(|(_, _, cost)| *cost == UNIT), "{log:?}");
    let names: HashSet<String> = log.iter().map(|(_, name, _)| name.clone()).collect();
    assert_eq!((log.len(), names.len()), (keys.len(), keys.len()));
}

/// A share that admits faster than it charges ends too, and the next outage begins with empty buckets.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_outage_ends_under_load() {
    let server = Server::start();
    let switch = Switch::connect(&server).await;
    let (rate, burst) = (100_000, 1_000);
    let builder = SharedLimiter::builder(Quota::per_second(rate).burst(burst));
    let builder = builder.on_outage(local(1)).deadline(AGAIN);
    let limiter = builder.build(switch.clone()).unwrap();
    let is_over = Arc::new(AtomicBool::new(false));
    let passed = Arc::new(AtomicU64::new(0));
    let start = Instant::now();
    let mut callers = JoinSet::new();
    for _ in 0..8 {
        let (limiter, is_over, passed) =
            (limiter.clone(), Arc::clone(&is_over), Arc::clone(&passed));
        callers.spawn(async move {
            while !is_over.load(SeqCst) {
                passed.fetch_add(u64::from(limiter.allow("alice").await), SeqCst);
                tokio::task::yield_now().await;
            }
        });
    }
    for _ in 0..3 {
        switch.set(false);
        while limiter.health().outage.is_none() {
            sleep(Duration::from_millis(1)).await;
        }
        sleep(Duration::from_millis(100)).await;
        switch.set(true);
        wait_for_the_end(std::slice::from_ref(&limiter)).await;
    }
    is_over.store(true, SeqCst);
    _ = callers.join_all().await;
    let most = burst as f64 + start.elapsed().as_secs_f64() * rate as f64;
    let passed = passed.load(SeqCst);
    assert!(passed as f64 <= most, "{passed} of {most}");
}
