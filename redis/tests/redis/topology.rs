//! Several servers of a test's own: a cluster of three nodes, and a master with a replica and sentinels.

use std::{
    thread,
    time::{Duration, Instant},
};

use redis::cluster::{ClusterClient, ClusterClientBuilder};

use crate::server::Server;

/// How long the servers may take to agree.
const PATIENCE: Duration = Duration::from_secs(30);

/// The slots of a cluster.
const SLOTS: usize = 16_384;

/// A cluster of three nodes without replicas.
pub struct Cluster {
    pub nodes: Vec<Server>,
}

impl Cluster {
    /// Starts a cluster that serves the slots of living nodes if others are dead.
    pub fn start() -> Cluster {
        let options =
            "--cluster-enabled yes --cluster-node-timeout 5000 --cluster-require-full-coverage no";
        let options: Vec<&str> = options.split(' ').collect();
        let nodes: Vec<Server> = (0..3).map(|_| Server::with(&options)).collect();
        for (index, node) in nodes.iter().enumerate() {
            let first = SLOTS * index / 3;
            let last = SLOTS * (index + 1) / 3 - 1;
            let range = [first, last].map(|slot| slot.to_string());
            let _: () = node.run(&["CLUSTER", "SET-CONFIG-EPOCH", &(index + 1).to_string()]);
            let _: () = node.run(&["CLUSTER", "ADDSLOTSRANGE", &range[0], &range[1]]);
        }
        for node in &nodes[1..] {
            let port = node.port.to_string();
            let _: () = nodes[0].run(&["CLUSTER", "MEET", "127.0.0.1", &port]);
        }
        let cluster = Cluster { nodes };
        for node in &cluster.nodes {
            wait(|| {
                let info: String = node.run(&["CLUSTER", "INFO"]);
                let has = |line| info.lines().any(|found| found == line);
                has("cluster_state:ok")
                    && has("cluster_known_nodes:3")
                    && has("cluster_slots_ok:16384")
            });
        }
        cluster
    }

    /// Returns the settings of a client that knows the addresses of all nodes.
    pub fn client(&self) -> ClusterClientBuilder {
        ClusterClient::builder(self.nodes.iter().map(Server::url))
    }

    /// Returns the slot of a key that has no characters which are escaped.
    pub fn slot(&self, key: &str) -> usize {
        self.nodes[0].run(&["CLUSTER", "KEYSLOT", key])
    }

    /// Returns the first `count` keys whose slots a node has.
    pub fn keys_of(&self, node: usize, count: usize) -> Vec<String> {
        let keys = (0..).map(|number| format!("key{number}"));
        keys.filter(|key| (self.slot(key) * 3 + 2) / SLOTS == node)
            .take(count)
            .collect()
    }

    /// Returns the name by which the nodes know a node.
    fn id(&self, node: usize) -> String {
        self.nodes[node].run(&["CLUSTER", "MYID"])
    }

    /// Begins to move a slot: the keys of one node that it has not are asked for at the other.
    pub fn begin_move(&self, slot: usize, from: usize, to: usize) {
        let slot = slot.to_string();
        let (source, target) = (self.id(from), self.id(to));
        let _: () = self.nodes[to].run(&["CLUSTER", "SETSLOT", &slot, "IMPORTING", &source]);
        let _: () = self.nodes[from].run(&["CLUSTER", "SETSLOT", &slot, "MIGRATING", &target]);
    }

    /// Moves the keys of a slot, and returns how many there were.
    pub fn move_keys(&self, slot: usize, from: usize, to: usize) -> usize {
        let port = self.nodes[to].port.to_string();
        let slot = slot.to_string();
        let keys: Vec<String> = self.nodes[from].run(&["CLUSTER", "GETKEYSINSLOT", &slot, "1000"]);
        for key in &keys {
            let words = ["MIGRATE", "127.0.0.1", &port, key, "0", "5000"];
            let _: () = self.nodes[from].run(&words);
        }
        keys.len()
    }

    /// Ends the move of a slot.
    pub fn end_move(&self, slot: usize, from: usize, to: usize) {
        let owner = self.id(to);
        for node in [to, from] {
            let words = ["CLUSTER", "SETSLOT", &slot.to_string(), "NODE", &owner];
            let _: () = self.nodes[node].run(&words);
        }
    }

    /// Lets the clients of a node reach it at another port, which all nodes tell from then on.
    pub fn announce(&self, node: usize, port: u16) {
        let words = ["CONFIG", "SET", "cluster-announce-port", &port.to_string()];
        let _: () = self.nodes[node].run(&words);
        let address = format!("127.0.0.1:{port}@");
        for other in &self.nodes {
            wait(|| {
                let nodes: String = other.run(&["CLUSTER", "NODES"]);
                nodes.contains(&address)
            });
        }
    }
}

/// A master that three sentinels watch, under the name `mymaster`, and its replica.
pub struct Watched {
    pub servers: [Server; 2],
    pub sentinels: Vec<Server>,
}

impl Watched {
    /// Starts the servers, of which the first is the master.
    pub fn start() -> Watched {
        let mut watched = Watched::without_sentinels();
        watched.sentinels = (0..3)
            .map(|_| Server::program("redis-sentinel", &[]))
            .collect();
        let port = watched.servers[0].port.to_string();
        for sentinel in &watched.sentinels {
            let words = ["SENTINEL", "MONITOR", "mymaster", "127.0.0.1", &port, "2"];
            let _: () = sentinel.run(&words);
            for (setting, value) in [
                ("down-after-milliseconds", "500"),
                ("failover-timeout", "3000"),
            ] {
                let _: () = sentinel.run(&["SENTINEL", "SET", "mymaster", setting, value]);
            }
        }
        for sentinel in &watched.sentinels {
            wait(|| {
                let master = properties(sentinel);
                let is = |name: &str, expected: &str| {
                    let mut pairs = master.chunks(2);
                    pairs.any(|pair| pair == [name, expected])
                };
                is("num-slaves", "1") && is("num-other-sentinels", "2")
            });
        }
        watched
    }

    /// Starts a master and its replica.
    pub fn without_sentinels() -> Watched {
        let master = Server::with(&["--repl-diskless-sync-delay", "0"]);
        let port = master.port.to_string();
        let options = [
            "--repl-diskless-sync-delay",
            "0",
            "--replicaof",
            "127.0.0.1",
            &port,
        ];
        let watched = Watched {
            servers: [master, Server::with(&options)],
            sentinels: Vec::new(),
        };
        watched.wait_for_replica(1);
        watched
    }

    /// Returns what a server says of its replication, or nothing if it is cut: sentinels cut the connections
    /// of a master that they demote.
    fn replication(&self, server: usize) -> String {
        let connection = self.servers[server].client().get_connection();
        let info = connection.and_then(|mut connection| {
            let mut command = redis::cmd("INFO");
            command.arg("replication").query(&mut connection)
        });
        info.unwrap_or_default()
    }

    /// Waits until a server replicates.
    pub fn wait_for_replica(&self, server: usize) {
        wait(|| self.replication(server).contains("master_link_status:up"));
    }

    /// Waits until a server is a replica.
    pub fn wait_for_demotion(&self, server: usize) {
        wait(|| self.replication(server).contains("role:slave"));
    }

    /// Waits until the other server has all that a master has now.
    pub fn wait_until_replicated(&self, master: usize) {
        let position = |server: usize| {
            let info = self.replication(server);
            let mut lines = info.lines();
            let position = lines.find_map(|line| line.strip_prefix("master_repl_offset:"))?;
            position.parse::<u64>().ok()
        };
        let end = position(master);
        assert!(end.is_some());
        wait(|| position(1 - master) >= end);
    }

    /// Returns whether a sentinel says that a server is the master.
    pub fn is_told(&self, server: usize) -> bool {
        let port = self.servers[server].port.to_string();
        let words = ["SENTINEL", "GET-MASTER-ADDR-BY-NAME", "mymaster"];
        self.sentinels
            .iter()
            .any(|sentinel| sentinel.run::<Vec<String>>(&words)[1] == port)
    }

    /// Returns the addresses of the sentinels.
    pub fn urls(&self) -> Vec<String> {
        self.sentinels.iter().map(Server::url).collect()
    }
}

/// Returns what a sentinel says of the master.
fn properties(sentinel: &Server) -> Vec<String> {
    sentinel.run(&["SENTINEL", "MASTER", "mymaster"])
}

/// Waits until something is so.
pub fn wait(mut is_so: impl FnMut() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < end, "the servers do not agree in time");
        thread::sleep(Duration::from_millis(5));
    }
}
