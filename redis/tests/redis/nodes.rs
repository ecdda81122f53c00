//! Several nodes at once, each with a connection of its own.

use std::time::{Duration, Instant};

use tokio::task::JoinSet;
use tollgate::{Decision, Policy, Quota};
use tollgate_redis::SharedLimiter;

use crate::manual::Manual;
use crate::server::Server;

const NODES: usize = 4;

/// A unit that was admitted, between two instants.
#[derive(Clone, Copy)]
struct Admitted {
    sent: Instant,
    received: Instant,
}

/// Asks again and again for a while.
async fn hammer(limiter: SharedLimiter<2>, key: &'static str, end: Instant) -> Vec<Admitted> {
    let mut admitted = Vec::new();
    while Instant::now() < end {
        let sent = Instant::now();
        let decision = limiter.check(key).await.unwrap();
        let received = Instant::now();
        if decision.is_allowed() {
            admitted.push(Admitted { sent, received });
        }
    }
    admitted
}

/// Law 1, over nodes: in no stretch are more units admitted than b + r × t.
async fn never_over(policy: &str, denied_keys: usize) {
    let server = Server::start();
    let policy: Policy<2> = policy.parse().unwrap();
    let node = || {
        let builder = SharedLimiter::builder(policy).denied_keys(denied_keys);
        server.limiter(builder.deadline(Duration::from_secs(30)))
    };
    let nodes: Vec<SharedLimiter<2>> = (0..NODES).map(|_| node()).collect();
    for key in ["alice", "bob"] {
        let end = Instant::now() + Duration::from_millis(700);
        let mut tasks = JoinSet::new();
        for node in nodes.iter().chain(&nodes) {
            tasks.spawn(hammer(node.clone(), key, end));
        }
        let admitted: Vec<Admitted> = tasks.join_all().await.into_iter().flatten().collect();
        for quota in policy.quotas() {
            let rate = quota.units() as f64 / quota.period().as_secs_f64();
            let burst = quota.burst_size() as f64;
            let most = |time: Duration| burst + rate * (time.as_secs_f64() + 1e-6);
            // A stretch from the sending of one to the answer of another, and those that lie in it whole.
            for first in &admitted {
                let mut inside: Vec<Instant> = admitted
                    .iter()
                    .filter(|other| other.sent >= first.sent)
                    .map(|other| other.received)
                    .collect();
                inside.sort();
                for (index, received) in inside.iter().enumerate() {
                    let count = (index + 1) as f64;
                    let most = most(*received - first.sent);
                    assert!(count <= most, "{count} of {most} units under {quota}");
                }
            }
        }
        // The bucket was full at first, and nothing of it was lost.
        let bursts = policy.quotas().iter().map(|quota| quota.burst_size());
        assert!(admitted.len() as u64 >= bursts.min().unwrap());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn all_nodes_together_admit_no_more_than_one() {
    never_over("200/second burst 7", 0).await;
    never_over("200/second burst 7", 100).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn all_nodes_together_obey_two_quotas() {
    never_over("100/second burst 20; 1000/minute burst 40", 0).await;
    never_over("100/second burst 20; 1000/minute burst 40", 100).await;
}

/// At one instant the checks of all nodes are decided one after another.
#[tokio::test(flavor = "multi_thread")]
async fn simultaneous_checks_are_as_if_one_after_another() {
    let server = Server::start();
    let policy: Policy<2> = "10/minute burst 30; 60/hour burst 50".parse().unwrap();
    let mut tasks = JoinSet::new();
    for _ in 0..NODES {
        let connection = Manual::connect(&server.client(), 1_795_600_000_000_000)
            .await
            .lasting();
        let builder = SharedLimiter::builder(policy).denied_keys(0);
        let limiter = builder
            .deadline(Duration::from_secs(30))
            .build(connection)
            .unwrap();
        for _ in 0..25 {
            let limiter = limiter.clone();
            tasks.spawn(async move { limiter.check("alice").await.unwrap() });
        }
    }
    let decisions: Vec<Decision<2>> = tasks.join_all().await;
    let (allowed, denied): (Vec<_>, Vec<_>) = decisions
        .into_iter()
        .partition(|decision| decision.is_allowed());
    let parts = |index: usize| {
        let mut left: Vec<u64> = allowed
            .iter()
            .map(|decision| decision.quotas()[index].remaining())
            .collect();
        left.sort_unstable();
        left
    };
    assert_eq!(parts(0), (0..30).collect::<Vec<_>>());
    // A denied check has spent nothing of the other quota.
    assert_eq!(parts(1), (20..50).collect::<Vec<_>>());
    assert_eq!(denied.len(), NODES * 25 - 30);
    for decision in &denied {
        assert_eq!(decision, &denied[0]);
        assert_eq!(decision.quotas()[1].remaining(), 20);
        assert_eq!(decision.retry_after(), Some(Duration::from_secs(6)));
    }
}

/// What was decided between two instants.
struct Decided {
    sent: Instant,
    received: Instant,
    is_allowed: bool,
    remaining: u64,
}

/// Returns the units that a bucket must have given.
///
/// It starts full, earns always, and earns in vain only while it is full. After a decision it holds less than
/// `remaining + 1`. So between two decisions at most `rate * gap - (burst - remaining - 1)` are lost. The gap
/// is measured, so the bound also holds on a machine that stalls: then it is lower.
fn at_least(decided: &mut [Decided], rate: f64, burst: u64) -> f64 {
    decided.sort_by_key(|one| one.sent);
    let first = decided.iter().map(|one| one.received).min().unwrap();
    // The first answer to what is sent at or after each.
    let mut answers: Vec<Instant> = decided.iter().map(|one| one.received).collect();
    for index in (1..answers.len()).rev() {
        answers[index - 1] = answers[index - 1].min(answers[index]);
    }
    let mut lost = 0.0;
    for one in &*decided {
        let next = decided.partition_point(|other| other.sent < one.received);
        let last = decided[decided.len() - 1].received;
        let answer = answers.get(next).map_or(last, |answer| *answer);
        let earned = rate * answer.saturating_duration_since(one.sent).as_secs_f64();
        lost += (earned - (burst - one.remaining - 1) as f64).max(0.0);
    }
    let last = decided.last().unwrap();
    let time = last.sent.saturating_duration_since(first).as_secs_f64();
    // µs are whole: each of the two ends may be one off.
    burst as f64 + rate * (time - 2e-6) - lost - (last.remaining + 1) as f64
}

/// Of what the rate gives nothing is lost between nodes, or by their caches.
#[tokio::test(flavor = "multi_thread")]
async fn all_nodes_together_admit_what_the_rate_gives() {
    for denied_keys in [0, 100] {
        let server = Server::start();
        let end = Instant::now() + Duration::from_millis(1_500);
        let mut tasks = JoinSet::new();
        for _ in 0..NODES {
            let builder = SharedLimiter::builder(Quota::per_second(200).burst(40));
            let builder = builder.denied_keys(denied_keys);
            let node = server.limiter(builder.deadline(Duration::from_secs(30)));
            for key in 0..3_u8 {
                let node = node.clone();
                tasks.spawn(async move {
                    let mut decided = Vec::new();
                    while Instant::now() < end {
                        let sent = Instant::now();
                        let decision = node.check(&key).await.unwrap();
                        let is_allowed = decision.is_allowed();
                        decided.push(Decided {
                            sent,
                            received: Instant::now(),
                            is_allowed,
                            // A denial of one unit claims that there is none, whatever else it says.
                            remaining: decision.remaining() * u64::from(is_allowed),
                        });
                        // A denial of the cache awaits nothing.
                        tokio::task::yield_now().await;
                    }
                    (key, decided)
                });
            }
        }
        let mut of_keys = [const { Vec::new() }; 3];
        for (key, decided) in tasks.join_all().await {
            of_keys[usize::from(key)].extend(decided);
        }
        for decided in &mut of_keys {
            let admitted = decided.iter().filter(|one| one.is_allowed).count() as f64;
            let least = at_least(decided, 200.0, 40);
            assert!(admitted >= least, "{admitted} units, at least {least}");
            println!(
                "{denied_keys}: {admitted} of {least}, {} checks",
                decided.len()
            );
        }
    }
}
