//! What happens to the store and to the nodes.

use std::{
    fs,
    path::Path,
    process::Child,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use tokio::{task::block_in_place, time::sleep};

use crate::node::{Mode, NODES, Orders};
use crate::proxy::{Fault, Proxy};
use crate::record::{Record, now, wall};
use crate::server::Server;

/// A fault, or none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scenario {
    Healthy,
    Jitter,
    NodeCrash,
    Flush,
    Suspend,
    Restart,
    Failover,
}

/// What the store loses.
pub enum Loss {
    Nothing,
    Everything,
    /// What the replica was not sent before the master was killed.
    Lag,
}

/// When it happened, in ns of the monotonic clock.
pub struct Events {
    pub began: Option<u64>,
    /// When the store could be asked again, or somewhat earlier.
    pub returned: Option<u64>,
    /// How far the wall clock drifted from the monotonic one meanwhile.
    pub drift_ns: u64,
    /// The longest time for which the machine did not run a thread that was to run.
    pub stall_ns: u64,
}

/// How long things take.
#[derive(Clone, Copy)]
pub struct Pace {
    pub whole: Duration,
    /// How long a server is suspended, and how long a killed one is away.
    pub suspended: Duration,
    pub away: Duration,
}

impl Scenario {
    pub const ALL: [Scenario; 7] = [
        Scenario::Healthy,
        Scenario::Jitter,
        Scenario::NodeCrash,
        Scenario::Flush,
        Scenario::Suspend,
        Scenario::Restart,
        Scenario::Failover,
    ];

    pub fn name(self, pace: Pace) -> String {
        match self {
            Scenario::Healthy => "healthy".to_owned(),
            Scenario::Jitter => "1 to 50 ms each way, cut every 3 s".to_owned(),
            Scenario::NodeCrash => "a node crashes and is replaced".to_owned(),
            Scenario::Flush => "SCRIPT FLUSH every 100 ms".to_owned(),
            Scenario::Suspend => format!("SIGSTOP for {:?}", pace.suspended),
            Scenario::Restart => format!("SIGKILL, empty after {:?}", pace.away),
            Scenario::Failover => "failover by Sentinel".to_owned(),
        }
    }

    pub fn loss(self) -> Loss {
        match self {
            Scenario::Restart => Loss::Everything,
            Scenario::Failover => Loss::Lag,
            _ => Loss::Nothing,
        }
    }

    /// A slow network needs a longer deadline than the default.
    fn deadline(self) -> Duration {
        match self {
            Scenario::Jitter => Duration::from_millis(250),
            _ => Duration::from_millis(50),
        }
    }

    /// How long the nodes ask. A failover takes its time.
    fn length(self, pace: Pace) -> Duration {
        match self {
            Scenario::Failover => pace.whole.max(Duration::from_secs(8)),
            _ => pace.whole,
        }
    }

    /// Runs four nodes under a mode, and returns what they wrote.
    pub async fn run(self, mode: Mode, pace: Pace, folder: &Path) -> (Vec<Record>, Events) {
        let mut store = block_in_place(|| Store::start(self));
        let proxy = match self {
            Scenario::Jitter => Some(Proxy::start(store.servers[0].port).await),
            _ => None,
        };
        let urls = match &proxy {
            Some(proxy) => vec![format!("redis://127.0.0.1:{}/", proxy.port)],
            None if store.sentinels.is_empty() => vec![store.servers[0].url()],
            None => store.sentinels.iter().map(Server::url).collect(),
        };
        let length = self.length(pace);
        let from = now() + 300_000_000;
        let orders = |node: u32| Orders {
            mode,
            deadline: self.deadline(),
            from,
            until: from + length.as_nanos() as u64,
            log: folder.join(format!("node-{node}")),
            urls: urls.clone(),
            are_sentinels: !store.sentinels.is_empty(),
        };
        let replacement = orders(NODES);
        let mut nodes: Vec<Child> = (0..NODES).map(|node| orders(node).start()).collect();
        let drift = wall();
        let stall = Stall::watch();
        sleep(Duration::from_nanos(from.saturating_sub(now())) + length / 3).await;
        if self == Scenario::NodeCrash {
            nodes[0].kill().unwrap();
            nodes.push(replacement.start());
        }
        let end = Instant::now() + length - length / 3;
        let (began, returned) = store.suffer(self, proxy.as_ref(), pace, end).await;
        block_in_place(|| nodes.iter_mut().for_each(|node| _ = node.wait().unwrap()));
        let drift_ns = (wall() - drift).unsigned_abs() as u64;
        let events = Events {
            began,
            returned,
            drift_ns,
            stall_ns: stall.end(),
        };
        let logs = fs::read_dir(folder).unwrap();
        let logs = logs.map(|log| Record::read_all(&log.unwrap().path()));
        (logs.flatten().collect(), events)
    }
}

/// The servers of a scenario.
struct Store {
    servers: Vec<Server>,
    sentinels: Vec<Server>,
}

impl Store {
    fn start(scenario: Scenario) -> Store {
        let mut store = Store {
            servers: vec![Server::start()],
            sentinels: Vec::new(),
        };
        if scenario == Scenario::Failover {
            let port = store.servers[0].port.to_string();
            let options = ["--replicaof", "127.0.0.1", &port];
            store.servers.push(Server::with(&options));
            wait_until("the replica is in step", || {
                let info: String = store.servers[1].run(&["INFO", "replication"]);
                info.contains("master_link_status:up")
            });
            for _ in 0..3 {
                let sentinel = Server::program("redis-sentinel", &[]);
                let words = ["SENTINEL", "MONITOR", "mymaster", "127.0.0.1", &port, "2"];
                sentinel.run::<()>(&words);
                for (option, value) in [
                    ("down-after-milliseconds", "500"),
                    ("failover-timeout", "3000"),
                ] {
                    sentinel.run::<()>(&["SENTINEL", "SET", "mymaster", option, value]);
                }
                store.sentinels.push(sentinel);
            }
            for sentinel in &store.sentinels {
                wait_until("the sentinels know each other and the replica", || {
                    let info: String = sentinel.run(&["INFO", "sentinel"]);
                    info.contains("slaves=1,sentinels=3")
                });
            }
        }
        store
    }

    /// Does what the scenario says, until its end or the return of the store. Returns when it began and ended.
    async fn suffer(
        &mut self,
        scenario: Scenario,
        proxy: Option<&Proxy>,
        pace: Pace,
        end: Instant,
    ) -> (Option<u64>, Option<u64>) {
        let began = Some(now());
        match scenario {
            Scenario::Healthy | Scenario::NodeCrash => (None, None),
            Scenario::Jitter => {
                let proxy = proxy.unwrap();
                proxy.set(Fault::Delay(
                    Duration::from_millis(1),
                    Duration::from_millis(50),
                ));
                while Instant::now() + Duration::from_secs(1) < end {
                    proxy.cut();
                    sleep(Duration::from_secs(3).min(end - Instant::now())).await;
                }
                (None, None)
            }
            Scenario::Flush => {
                while Instant::now() < end {
                    block_in_place(|| self.servers[0].run::<()>(&["SCRIPT", "FLUSH"]));
                    sleep(Duration::from_millis(100)).await;
                }
                (None, None)
            }
            Scenario::Suspend => {
                self.servers[0].suspend();
                sleep(pace.suspended).await;
                let returned = now();
                self.servers[0].resume();
                (began, Some(returned))
            }
            Scenario::Restart => {
                self.servers[0].kill();
                sleep(pace.away).await;
                // Before it is started: how long that takes counts.
                let returned = now();
                block_in_place(|| self.servers[0].restart());
                (began, Some(returned))
            }
            Scenario::Failover => {
                self.servers[0].kill();
                let mut returned = now();
                let new_port = self.servers[1].port.to_string();
                block_in_place(|| {
                    wait_until("a sentinel names the new master", || {
                        let before = now();
                        let is_named = self.sentinels.iter().any(|sentinel| {
                            let words = ["SENTINEL", "GET-MASTER-ADDR-BY-NAME", "mymaster"];
                            let [_, port]: [String; 2] = sentinel.run(&words);
                            port == new_port
                        });
                        if !is_named {
                            returned = before;
                        }
                        is_named
                    });
                });
                (began, Some(returned))
            }
        }
    }
}

/// Watches how late a thread runs. What a check takes beyond its deadline is that.
struct Stall {
    has_ended: Arc<AtomicBool>,
    thread: JoinHandle<u64>,
}

impl Stall {
    fn watch() -> Stall {
        let has_ended = Arc::new(AtomicBool::new(false));
        let ended = Arc::clone(&has_ended);
        let thread = thread::spawn(move || {
            let (mut longest, mut last) = (0, now());
            while !ended.load(Ordering::Relaxed) {
                thread::sleep(Duration::from_millis(1));
                let next = now();
                longest = longest.max((next - last).saturating_sub(1_000_000));
                last = next;
            }
            longest
        });
        Stall { has_ended, thread }
    }

    fn end(self) -> u64 {
        self.has_ended.store(true, Ordering::Relaxed);
        self.thread.join().unwrap()
    }
}

/// Asks until something is so.
fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(30);
    while !is_so() {
        assert!(Instant::now() < end, "{what}: not within 30 s");
        thread::sleep(Duration::from_millis(2));
    }
}
