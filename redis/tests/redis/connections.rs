//! Connections of the user's choice, and what becomes of those that break.

use std::{
    io,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering::SeqCst},
    },
    time::{Duration, Instant},
};

use redis::aio::{ConnectionLike, ConnectionManager};
use redis::{Cmd, ErrorKind, Pipeline, RedisFuture, Value};
use tollgate::Quota;
use tollgate_redis::{Builder, Cause, SharedLimiter};

use crate::proxy::{Fault, Proxy};
use crate::server::Server;
use crate::topology::wait;

/// Ten units, of which none comes back during a test.
fn ten() -> Builder {
    SharedLimiter::builder(Quota::per_day(1).burst(10)).deadline(Duration::from_secs(5))
}

/// Spends a unit, and says how many are left.
async fn left(limiter: &SharedLimiter) -> u64 {
    let decision = limiter.check("alice").await.unwrap();
    assert!(decision.is_allowed());
    decision.remaining()
}

/// Spends units until one is decided, and says how many are left.
async fn left_at_last(limiter: &SharedLimiter) -> u64 {
    let end = Instant::now() + Duration::from_secs(30);
    loop {
        match limiter.check("alice").await {
            Ok(decision) => return decision.remaining(),
            Err(outage) => assert!(Instant::now() < end, "{outage}"),
        }
        tokio::task::yield_now().await;
    }
}

fn open(url: String) -> redis::Client {
    redis::Client::open(url).unwrap()
}

#[tokio::test]
async fn a_connection_manager_returns_after_an_outage() {
    let mut server = Server::start();
    let manager = ConnectionManager::new(server.client()).await.unwrap();
    let limiter = ten().build(manager).unwrap();
    assert_eq!((left(&limiter).await, left(&limiter).await), (9, 8));
    server.kill();
    assert_eq!(
        limiter.check("alice").await.unwrap_err().cause(),
        Cause::Connection
    );
    server.restart();
    assert_eq!(left_at_last(&limiter).await, 9);
}

/// A pool as a connection: each command takes one of its connections.
#[derive(Clone)]
struct Pooled(bb8::Pool<redis::Client>);

impl Pooled {
    async fn connection(
        &self,
    ) -> Result<bb8::PooledConnection<'_, redis::Client>, redis::RedisError> {
        let error = |error| match error {
            bb8::RunError::User(error) => error,
            bb8::RunError::TimedOut => (ErrorKind::Io, "no connection is free").into(),
        };
        self.0.get().await.map_err(error)
    }
}

impl ConnectionLike for Pooled {
    fn req_packed_command<'a>(&'a mut self, command: &'a Cmd) -> RedisFuture<'a, Value> {
        Box::pin(async move { self.connection().await?.req_packed_command(command).await })
    }

    fn req_packed_commands<'a>(
        &'a mut self,
        pipeline: &'a Pipeline,
        offset: usize,
        count: usize,
    ) -> RedisFuture<'a, Vec<Value>> {
        Box::pin(async move {
            let mut connection = self.connection().await?;
            connection
                .req_packed_commands(pipeline, offset, count)
                .await
        })
    }

    fn get_db(&self) -> i64 {
        0
    }
}

#[tokio::test]
async fn a_pool_returns_after_an_outage() {
    let mut server = Server::start();
    let pool = bb8::Pool::builder().max_size(3);
    let pool = pool.build(server.client()).await.unwrap();
    let limiter = ten().build(Pooled(pool.clone())).unwrap();
    let checks: Vec<_> = (0..9)
        .map(|_| {
            let limiter = limiter.clone();
            tokio::spawn(async move { left(&limiter).await })
        })
        .collect();
    let mut all = Vec::new();
    for check in checks {
        all.push(check.await.unwrap());
    }
    all.sort_unstable();
    assert_eq!(all, [1, 2, 3, 4, 5, 6, 7, 8, 9]);
    assert_eq!(pool.state().connections, 3);
    server.kill();
    assert!(limiter.check("alice").await.is_err());
    server.restart();
    assert_eq!(left_at_last(&limiter).await, 9);
}

#[tokio::test]
async fn the_database_and_the_protocol_of_an_address_count() {
    let server = Server::start();
    let of = |end: &str| ten().connect(open(server.url() + end)).unwrap();
    assert_eq!(left(&of("")).await, 9);
    assert_eq!(left(&of("5")).await, 9);
    assert_eq!(left(&of("5")).await, 8);
    // RESP3 has other types for the information.
    let newer = of("5?protocol=resp3");
    assert_eq!(left(&newer).await, 7);
    let info = newer.inspect().await.unwrap();
    assert_eq!((info.versions.len(), info.evicting_policy()), (1, None));
    let beyond = of("99").check("alice").await.unwrap_err();
    assert_eq!(beyond.cause(), Cause::Server);
}

#[tokio::test]
async fn a_socket_in_the_file_system_is_an_address() {
    let mut server = Server::with(&["--unixsocket", "here"]);
    let directory: (String, String) = server.run(&["CONFIG", "GET", "dir"]);
    let limiter = ten()
        .connect(open(format!("redis+unix://{}/here", directory.1)))
        .unwrap();
    assert_eq!((left(&limiter).await, left(&limiter).await), (9, 8));
    server.kill();
    assert_eq!(
        limiter.check("alice").await.unwrap_err().cause(),
        Cause::Connection
    );
    server.restart();
    assert_eq!(left_at_last(&limiter).await, 9);
}

/// Where the events of a test are written to.
#[derive(Clone, Default)]
struct Written(Arc<Mutex<Vec<u8>>>);

impl io::Write for Written {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Written {
    /// Sends the events of this thread here while the guard lives.
    fn begin(&self) -> tracing::subscriber::DefaultGuard {
        let written = self.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_ansi(false)
            .with_writer(move || written.clone())
            .finish();
        tracing::subscriber::set_default(subscriber)
    }

    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

/// A server with a user that may only do what a check needs.
fn with_user() -> Server {
    let server = Server::start();
    let rights = "on >secret ~turns:* +eval +evalsha +get +set +time +del";
    let words: Vec<&str> = ["ACL", "SETUSER", "turns"]
        .into_iter()
        .chain(rights.split(' '))
        .collect();
    let _: () = server.run(&words);
    server
}

#[tokio::test]
async fn a_user_needs_no_right_but_those_of_a_check() {
    let server = with_user();
    let url = server.url().replace("//", "//turns:secret@");
    let limiter = ten().prefix("turns").connect(open(url)).unwrap();
    for expected in (0..10).rev() {
        assert_eq!(left(&limiter).await, expected);
    }
    // It may not ask for information, which is no outage.
    assert_eq!(limiter.inspect().await, Err(Cause::Forbidden));
    // It did not ask at each check, but once, and now.
    let info: String = server.run(&["INFO", "commandstats"]);
    let line = info.lines().find(|line| line.starts_with("cmdstat_info:"));
    assert!(line.unwrap().contains("rejected_calls=2,"), "{line:?}");
    assert!(!limiter.check("alice").await.unwrap().is_allowed());
    assert_eq!(limiter.health().outage, None);
    assert!(limiter.forget("alice").await.unwrap());
    assert_eq!(limiter.health().undecided, 0);
}

#[tokio::test]
async fn a_wrong_password_is_told_and_a_mended_one_noticed() {
    let server = with_user();
    let url = server.url().replace("//", "//turns:wrong@");
    let limiter = ten().prefix("turns").connect(open(url)).unwrap();
    let written = Written::default();
    let guard = written.begin();
    assert_eq!(
        limiter.check("alice").await.unwrap_err().cause(),
        Cause::Forbidden
    );
    drop(guard);
    let text = written.text();
    for part in ["WARN", "rejects the user", "Password authentication failed"] {
        assert!(text.contains(part), "{text}");
    }
    assert!(!text.contains("wrong@"), "{text}");
    let _: () = server.run(&["ACL", "SETUSER", "turns", ">wrong"]);
    assert_eq!(left_at_last(&limiter).await, 9);
}

#[tokio::test]
async fn a_missing_password_is_told() {
    let server = Server::start();
    let limiter = server.limiter(ten());
    // The own connections of the test stay as they are.
    let mut connection = server.client().get_connection().unwrap();
    let set = |password: &str| {
        let mut command = redis::cmd("CONFIG");
        command.arg("SET").arg("requirepass").arg(password);
        command
    };
    set("secret").query::<()>(&mut connection).unwrap();
    let written = Written::default();
    let guard = written.begin();
    assert_eq!(
        limiter.check("alice").await.unwrap_err().cause(),
        Cause::Forbidden
    );
    drop(guard);
    assert!(written.text().contains("NOAUTH"), "{}", written.text());
    set("").query::<()>(&mut connection).unwrap();
    assert_eq!(left_at_last(&limiter).await, 9);
}

#[tokio::test]
async fn a_name_without_an_address_is_no_connection() {
    let url = "redis://tollgate.invalid/".to_owned();
    let limiter = ten()
        .deadline(Duration::from_secs(60))
        .connect_timeout(Duration::from_secs(60))
        .connect(open(url))
        .unwrap();
    assert_eq!(
        limiter.check("alice").await.unwrap_err().cause(),
        Cause::Connection
    );
}

/// Returns how many connections a server has, besides the one that asks.
fn connections(server: &Server) -> usize {
    let info: String = server.run(&["INFO", "clients"]);
    let mut lines = info.lines();
    let count = lines.find_map(|line| line.strip_prefix("connected_clients:"));
    count.unwrap().parse::<usize>().unwrap() - 1
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_do_not_pile_up() {
    let server = Server::start();
    let proxy = Proxy::start(server.port).await;
    let builder = SharedLimiter::builder(Quota::per_day(1).burst(10_000));
    let limiter = builder.connect(proxy.client()).unwrap();
    left_at_last(&limiter).await;
    for _ in 0..100 {
        proxy.cut();
        let checks: Vec<_> = (0..4)
            .map(|_| {
                let limiter = limiter.clone();
                tokio::spawn(async move { left_at_last(&limiter).await })
            })
            .collect();
        for check in checks {
            check.await.unwrap();
        }
    }
    println!("{} connections for 100 cuts", proxy.connections());
    assert!(proxy.connections() <= 300, "{}", proxy.connections());
    wait(|| connections(&server) <= 1);
    // Silence: whatever was tried meanwhile is given up.
    proxy.set(Fault::Swallow);
    for _ in 0..30 {
        assert!(limiter.check("alice").await.is_err());
    }
    proxy.set(Fault::None);
    left_at_last(&limiter).await;
    wait(|| connections(&server) <= 1);
}

/// Builds a limiter whose attempts to connect begin with `before`, and counts them.
fn counted<F>(
    server: &Server,
    builder: Builder,
    before: impl Fn(u64) -> F + Send + Sync + 'static,
) -> (SharedLimiter, Arc<AtomicU64>)
where
    F: Future<Output = ()> + Send + 'static,
{
    let (client, count) = (server.client(), Arc::new(AtomicU64::new(0)));
    let attempts = Arc::clone(&count);
    let limiter = builder.connect_with(move || {
        let before = before(count.fetch_add(1, SeqCst));
        let client = client.clone();
        async move {
            before.await;
            client.get_multiplexed_async_connection().await
        }
    });
    (limiter.unwrap(), attempts)
}

#[tokio::test]
async fn callers_that_go_leave_the_attempt_to_connect() {
    let server = Server::start();
    let (open, wait) = tokio::sync::watch::channel(false);
    let builder = ten()
        .deadline(Duration::from_millis(5))
        .connect_timeout(Duration::from_secs(60));
    let (limiter, attempts) = counted(&server, builder, move |_| {
        let mut wait = wait.clone();
        async move { _ = wait.wait_for(|is_open| *is_open).await }
    });
    // Five timeouts are an outage, and then some are probes.
    let mut asked = 0;
    while asked < 7 {
        let outage = limiter.check("alice").await.unwrap_err();
        assert_eq!(outage.cause(), Cause::Timeout);
        asked += u32::from(outage.was_asked());
        tokio::task::yield_now().await;
    }
    assert_eq!(attempts.load(SeqCst), 1);
    open.send_replace(true);
    left_at_last(&limiter).await;
}

#[tokio::test]
async fn an_attempt_that_panics_or_never_ends_is_followed_by_another() {
    let server = Server::start();
    let builder = ten().connect_timeout(Duration::from_millis(20));
    let (limiter, attempts) = counted(&server, builder, |number| async move {
        match number {
            0 => panic!("the first attempt to connect, as the test demands"),
            1 => std::future::pending().await,
            _ => {}
        }
    });
    for _ in 0..2 {
        let outage = limiter.check("alice").await.unwrap_err();
        assert_eq!(outage.cause(), Cause::Connection);
        assert!(outage.was_asked());
    }
    assert_eq!(left_at_last(&limiter).await, 9);
    assert_eq!(attempts.load(SeqCst), 3);
}
