//! What operators are told, by the events that a test's own subscriber writes.
//!
//! The runtime has one thread, and its time is advanced by hand where a minute matters.

use std::{
    io,
    sync::{
        Arc, Mutex, OnceLock,
        atomic::{AtomicU64, Ordering::SeqCst},
    },
    time::Duration,
};

use redis::aio::ConnectionLike;
use redis::{Cmd, Pipeline, RedisFuture, Value};
use tokio::time::advance;
use tollgate::Quota;
use tollgate_redis::{Cause, OnOutage, SharedLimiter};
use tracing::{Dispatch, subscriber::DefaultGuard};

use crate::outages::{AGAIN, assert_again, generous};
use crate::server::Server;

/// The events of this thread, while it lives.
struct Events {
    text: Arc<Mutex<Vec<u8>>>,
    _guard: DefaultGuard,
}

#[derive(Clone)]
struct Writer(Arc<Mutex<Vec<u8>>>);

impl io::Write for Writer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Events {
    fn listen() -> Events {
        // With one subscriber alone, `tracing` would ask the thread that is first at an event whether it is of
        // interest to any. That may be the thread of another test, without a subscriber.
        static OTHERS: OnceLock<[Dispatch; 2]> = OnceLock::new();
        OTHERS.get_or_init(|| {
            let sink = || tracing_subscriber::fmt().with_writer(io::sink).finish();
            [Dispatch::new(sink()), Dispatch::new(sink())]
        });
        let text = Arc::<Mutex<Vec<u8>>>::default();
        let writer = Writer(Arc::clone(&text));
        let subscriber = tracing_subscriber::fmt()
            .with_writer(move || writer.clone())
            .with_ansi(false)
            .without_time()
            .finish();
        let _guard = tracing::subscriber::set_default(subscriber);
        Events { text, _guard }
    }

    /// Returns the events of this crate since the last call.
    fn take(&self) -> Vec<String> {
        let bytes = std::mem::take(&mut *self.text.lock().unwrap());
        let text = String::from_utf8(bytes).unwrap();
        assert!(!text.contains("alice"), "a key in an event: {text}");
        let lines = text.lines().filter(|line| line.contains(" tollgate: "));
        lines.map(|line| line.trim().to_owned()).collect()
    }
}

/// A store that answers at once: with a decision, with an error, or to `INFO`.
#[derive(Clone, Default)]
struct Fake {
    state: Arc<AtomicU64>,
}

const DOWN: u64 = 1;
const MALFORMED: u64 = 2;

impl Fake {
    fn set(&self, state: u64) {
        self.state.store(state, SeqCst);
    }
}

impl ConnectionLike for Fake {
    fn req_packed_command<'a>(&'a mut self, command: &'a Cmd) -> RedisFuture<'a, Value> {
        let is_information = command.args_iter().count() == 1;
        let result = match self.state.load(SeqCst) {
            DOWN => Err(io::Error::from(io::ErrorKind::BrokenPipe).into()),
            _ if is_information => Ok(Value::BulkString(b"maxmemory_policy:noeviction".to_vec())),
            MALFORMED => {
                let error = redis::make_extension_error("TOLLGATE".to_owned(), None);
                Err(error)
            }
            _ => Ok(Value::Array(vec![
                Value::Int(1),
                Value::Int(0),
                Value::Int(0),
            ])),
        };
        Box::pin(async move { result })
    }

    fn req_packed_commands<'a>(
        &'a mut self,
        _: &'a Pipeline,
        _: usize,
        _: usize,
    ) -> RedisFuture<'a, Vec<Value>> {
        unreachable!("no pipelines are sent")
    }

    fn get_db(&self) -> i64 {
        0
    }
}

#[tokio::test(start_paused = true)]
async fn an_outage_is_told_of_when_it_begins_once_a_minute_and_when_it_ends() {
    let (events, fake) = (Events::listen(), Fake::default());
    let builder = SharedLimiter::builder(Quota::per_hour(10)).prefix("turns");
    let limiter = builder
        .on_outage(OnOutage::Deny)
        .build(fake.clone())
        .unwrap();
    assert!(limiter.check("alice").await.is_ok());
    // The limiter looks at the settings, and some time passes.
    for _ in 0..2 {
        advance(Duration::from_secs(1)).await;
    }
    assert_eq!(events.take(), [""; 0]);
    fake.set(DOWN);
    assert!(limiter.check("alice").await.is_err());
    let begun = events.take();
    assert_eq!(begun.len(), 1, "{begun:?}");
    assert!(
        begun[0].starts_with("WARN tollgate: rate limit store unavailable"),
        "{begun:?}"
    );
    for part in [
        "turns",
        "cause=no connection",
        "on_outage=Deny",
        "undecided=1",
        "error=",
    ] {
        assert!(begun[0].contains(part), "{part}: {begun:?}");
    }
    // The next one is due after a minute, and counts those between.
    for second in 1..=150 {
        advance(Duration::from_secs(1)).await;
        assert!(limiter.check("alice").await.is_err());
        let told = events.take();
        assert_eq!(
            told.len(),
            usize::from(second % 60 == 0),
            "{told:?} in second {second}"
        );
        for event in told {
            assert!(event.contains("undecided=60"), "{event}");
        }
    }
    fake.set(0);
    advance(Duration::from_secs(1)).await;
    assert!(limiter.check("alice").await.is_ok());
    let ended = events.take();
    assert_eq!(ended.len(), 1, "{ended:?}");
    assert!(
        ended[0].starts_with("INFO tollgate: rate limit store available again"),
        "{ended:?}"
    );
    for part in [
        "turns",
        "cause=no connection",
        "lasted=151s",
        "undecided_since_last_event=30",
    ] {
        assert!(ended[0].contains(part), "{part}: {ended:?}");
    }
    assert!(limiter.check("alice").await.is_ok());
    assert_eq!(events.take(), [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn short_outages_are_not_told_of_each_time() {
    let (events, fake) = (Events::listen(), Fake::default());
    let limiter = generous().build(fake.clone()).unwrap();
    let mut told = Vec::new();
    for _ in 0..59 {
        // What fails at the instant of an answer may have been asked before it.
        advance(Duration::from_millis(1)).await;
        fake.set(DOWN);
        assert!(limiter.check("alice").await.is_err());
        fake.set(0);
        advance(Duration::from_millis(999)).await;
        assert!(limiter.check("alice").await.is_ok());
        told.append(&mut events.take());
    }
    assert_eq!(told.len(), 2, "a warning and its end: {told:?}");
}

/// Trouble with one key is told of as such, and hides no outage.
#[tokio::test(start_paused = true)]
async fn a_malformed_key_is_no_outage_of_the_store() {
    let (events, fake) = (Events::listen(), Fake::default());
    let limiter = generous().build(fake.clone()).unwrap();
    assert!(limiter.check("bob").await.is_ok());
    fake.set(MALFORMED);
    for _ in 0..3 {
        assert_eq!(
            limiter.check("alice").await.unwrap_err().cause(),
            Cause::Malformed
        );
    }
    let told = events.take();
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told[0].contains("gives no decision on a key"), "{told:?}");
    fake.set(DOWN);
    assert!(limiter.check("alice").await.is_err());
    let told = events.take();
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told[0].contains("rate limit store unavailable"), "{told:?}");
    assert!(told[0].contains("undecided=1"), "{told:?}");
}

/// Until a task of the limiter has looked at the settings.
async fn wait_for(events: &Events) -> Vec<String> {
    for _ in 0..2_000 {
        let told = events.take();
        if !told.is_empty() {
            return told;
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    Vec::new()
}

#[tokio::test]
async fn a_store_that_evicts_is_told_of_at_the_first_check() {
    let (events, server) = (Events::listen(), Server::start());
    let _: () = server.run(&["CONFIG", "SET", "maxmemory-policy", "allkeys-lru"]);
    let limiter = server.limiter(generous().deadline(Duration::from_secs(20)));
    assert!(limiter.check("alice").await.is_ok());
    let told = wait_for(&events).await;
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(
        told[0].starts_with("WARN tollgate: the store may evict keys"),
        "{told:?}"
    );
    assert!(told[0].contains("allkeys-lru"), "{told:?}");
    assert!(limiter.check("alice").await.is_ok());
    let info = limiter.inspect().await.unwrap();
    assert_eq!(info.evicting_policy(), Some("allkeys-lru"));
    assert_eq!(events.take(), [""; 0], "at most once a minute");
}

#[tokio::test]
async fn a_store_that_does_not_evict_is_not_told_of() {
    let (events, server) = (Events::listen(), Server::start());
    let limiter = server.limiter(generous().deadline(Duration::from_secs(20)));
    assert!(limiter.check("alice").await.is_ok());
    let info = limiter.inspect().await.unwrap();
    assert_eq!(info.versions.len(), 1);
    assert!(info.versions[0].contains('.'), "{info:?}");
    assert_eq!(info.eviction_policies, ["noeviction"]);
    assert_eq!(events.take(), [""; 0]);
}

/// A server repeats the arguments of a command that it does not know, and so the key.
#[tokio::test]
async fn an_error_of_the_server_is_told_without_the_key() {
    let (events, server) = (
        Events::listen(),
        Server::with(&["--rename-command", "EVALSHA", ""]),
    );
    let limiter = server.limiter(generous().deadline(Duration::from_secs(20)));
    assert_eq!(
        limiter.check("alice").await.unwrap_err().cause(),
        Cause::Forbidden
    );
    let told = events.take();
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told[0].contains("unknown command"), "{told:?}");
    let mut server = Server::start();
    let limiter = server.limiter(generous().deadline(Duration::from_secs(20)));
    server.kill();
    assert!(limiter.check("alice").await.is_err());
    server.restart();
    assert_again(&limiter, AGAIN, "restart").await;
    assert_eq!(events.take().len(), 2);
}
