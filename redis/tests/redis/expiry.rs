//! Law 8, on a real server: a key lasts until it is full, and a second longer.

use std::{
    io::{BufRead, BufReader, Write},
    net::TcpStream,
    time::Duration,
};

use tollgate::{Decision, Policy};
use tollgate_redis::SharedLimiter;

use crate::manual::Manual;
use crate::server::Server;

/// Some time in 2026, in µs.
const START: u64 = 1_795_600_000_000_000;

/// What the server says of the commands that it runs (`MONITOR`). So an expiry is read as it was set, and no
/// time passes between.
struct Commands(BufReader<TcpStream>);

impl Commands {
    fn of(server: &Server) -> Commands {
        let mut stream = TcpStream::connect(("127.0.0.1", server.port)).unwrap();
        stream.write_all(b"MONITOR\r\n").unwrap();
        let mut commands = Commands(BufReader::new(stream));
        assert_eq!(commands.line(), "+OK");
        commands
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.0.read_line(&mut line).unwrap();
        line.trim_end().to_owned()
    }

    /// Returns the expiry of the next value that the script sets before the server gets `PING` of `mark`.
    fn expiry(&mut self, server: &Server, mark: &str) -> Option<Duration> {
        let _: String = server.run(&["PING", mark]);
        let mut expiry = None;
        loop {
            let line = self.line();
            if line.contains("lua] \"SET\"") {
                let (_, ms) = line.trim_end_matches('"').rsplit_once('"').unwrap();
                assert_eq!(expiry, None, "a check sets one value");
                expiry = Some(Duration::from_millis(ms.parse().unwrap()));
            }
            if line.contains("\"PING\"") && line.contains(mark) {
                return expiry;
            }
        }
    }
}

/// Returns the whole ms in which a key is full, and a second.
fn lasts(decision: &Decision<2>) -> Duration {
    let full_in = decision.reset_after().as_nanos().div_ceil(1_000_000);
    Duration::from_millis(u64::try_from(full_in).unwrap() + 1_000)
}

#[tokio::test]
async fn a_key_expires_a_second_after_it_is_full() {
    let server = Server::start();
    let mut commands = Commands::of(&server);
    for policy in [
        "7/minute",
        "10/minute; 60/hour",
        "99991/hour burst 17",
        "1000003/hour burst 30; 1/day burst 104249",
        "300000000/second",
    ] {
        let connection = Manual::connect(&server.client(), START).await;
        let policy: Policy<2> = policy.parse().unwrap();
        let limiter = SharedLimiter::builder(policy)
            .denied_keys(0)
            .deadline(Duration::from_secs(60))
            .build(connection.clone())
            .unwrap();
        // Also while the clock is behind, and after it was set back.
        for (step, (n, now)) in [
            (1, START),
            (2, START),
            (1, START - 300_000),
            (1, START - 1_000_000),
            (1, START - 1_000_001),
            (1, START + 700_001),
        ]
        .into_iter()
        .enumerate()
        {
            connection.set(now);
            let decision = limiter.check_n("alice", n).await.unwrap();
            assert!(decision.is_allowed(), "step {step} of {policy}");
            let expiry = commands.expiry(&server, &format!("{policy} {step}"));
            assert_eq!(
                expiry,
                Some(lasts(&decision)),
                "step {step} of {policy}: {n} units"
            );
        }
    }
}

/// Law 6: only a check that spends sets a value, and one that finds the clock set back.
#[tokio::test]
async fn a_denial_sets_a_value_only_if_the_clock_was_set_back() {
    let server = Server::start();
    let mut commands = Commands::of(&server);
    let connection = Manual::connect(&server.client(), START).await;
    let policy: Policy<2> = "10/minute; 60/hour burst 3".parse().unwrap();
    let limiter = SharedLimiter::builder(policy)
        .denied_keys(0)
        .deadline(Duration::from_secs(60))
        .build(connection.clone())
        .unwrap();
    assert!(limiter.check_n("alice", 3).await.unwrap().is_allowed());
    assert!(commands.expiry(&server, "spent").is_some());
    for back in [0, 1_000_000] {
        connection.set(START - back);
        for n in [0, 1, 3, 4] {
            _ = limiter.peek_n("alice", n).await.unwrap();
            assert_eq!(
                limiter.check_n("alice", n).await.unwrap().is_allowed(),
                n == 0
            );
            assert_eq!(commands.expiry(&server, &format!("{n} at {back}")), None);
        }
    }
    connection.set(START - 1_000_001);
    _ = limiter.peek("alice").await.unwrap();
    assert_eq!(commands.expiry(&server, "peeked"), None);
    let denied = limiter.check("alice").await.unwrap();
    assert!(!denied.is_allowed());
    assert_eq!(commands.expiry(&server, "set back"), Some(lasts(&denied)));
}
