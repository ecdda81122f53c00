//! Each trouble of a server has its cause, and is over soon after the trouble.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::time::sleep;
use tollgate_redis::{Cause, SharedLimiter};

use crate::outages::{AGAIN, assert_again, generous};
use crate::server::Server;

/// Asserts that checks fail by this cause, with probes among them.
async fn assert_cause(limiter: &SharedLimiter, cause: Cause) {
    let mut asked = 0;
    let mut found = None;
    for _ in 0..2_000 {
        if let Err(outage) = limiter.check("alice").await {
            asked += u32::from(outage.was_asked() && outage.cause() == cause);
            found = Some(outage);
        }
        if asked == 2 {
            assert_eq!(limiter.health().outage.unwrap().cause, cause);
            return;
        }
        sleep(Duration::from_millis(1)).await;
    }
    panic!("no outage by {cause}, but {found:?}");
}

async fn assert_trouble(server: &Server, cause: Cause, begin: &[&str], end: &[&str]) {
    let limiter = server.limiter(generous());
    assert_again(&limiter, 20 * AGAIN, "start").await;
    let words = |text: &str| text.split(' ').map(str::to_owned).collect::<Vec<_>>();
    let run = |text: &str| {
        let words = words(text);
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let _: redis::Value = server.run(&words);
    };
    begin.iter().for_each(|text| run(text));
    assert_cause(&limiter, cause).await;
    end.iter().for_each(|text| run(text));
    assert_again(&limiter, AGAIN, &cause.to_string()).await;
    assert_eq!(limiter.health().outage, None);
}

#[tokio::test]
async fn a_replica_is_read_only() {
    let server = Server::start();
    let begin = [
        "CONFIG SET replica-serve-stale-data yes",
        "REPLICAOF 127.0.0.1 1",
    ];
    assert_trouble(&server, Cause::ReadOnly, &begin, &["REPLICAOF NO ONE"]).await;
}

#[tokio::test]
async fn a_replica_without_its_master_does_not_answer() {
    let server = Server::start();
    let begin = [
        "CONFIG SET replica-serve-stale-data no",
        "REPLICAOF 127.0.0.1 1",
    ];
    assert_trouble(&server, Cause::ClusterDown, &begin, &["REPLICAOF NO ONE"]).await;
}

#[tokio::test]
async fn a_server_is_out_of_memory() {
    let server = Server::start();
    let end = ["CONFIG SET maxmemory 0"];
    assert_trouble(
        &server,
        Cause::OutOfMemory,
        &["CONFIG SET maxmemory 1"],
        &end,
    )
    .await;
}

#[tokio::test]
async fn a_master_has_too_few_replicas() {
    let server = Server::start();
    let begin = ["CONFIG SET min-replicas-to-write 1"];
    let end = ["CONFIG SET min-replicas-to-write 0"];
    assert_trouble(&server, Cause::NoReplicas, &begin, &end).await;
}

#[tokio::test]
async fn a_user_may_not_run_scripts() {
    let server = Server::start();
    let begin = ["ACL SETUSER default -evalsha -eval"];
    assert_trouble(
        &server,
        Cause::Forbidden,
        &begin,
        &["ACL SETUSER default +@all"],
    )
    .await;
    let begin = ["ACL SETUSER default -set"];
    assert_trouble(
        &server,
        Cause::Forbidden,
        &begin,
        &["ACL SETUSER default +@all"],
    )
    .await;
}

#[tokio::test]
async fn a_password_is_wrong_or_missing() {
    let server = Server::start();
    let _: () = server.run(&["ACL", "SETUSER", "admin", "on", ">other", "~*", "+@all"]);
    let admin = redis::Client::open(format!("redis://admin:other@127.0.0.1:{}/", server.port));
    let mut admin = admin.unwrap().get_connection().unwrap();
    let mut password = |password: &str| {
        let mut command = redis::cmd("CONFIG");
        command.arg("SET").arg("requirepass").arg(password);
        command.query::<()>(&mut admin).unwrap();
    };
    password("secret");
    for user in ["", ":wrong@"] {
        let url = format!("redis://{user}127.0.0.1:{}/", server.port);
        let limiter = generous()
            .connect(redis::Client::open(url).unwrap())
            .unwrap();
        assert_cause(&limiter, Cause::Forbidden).await;
        password(if user.is_empty() { "" } else { "wrong" });
        assert_again(&limiter, AGAIN, "a password").await;
        password("secret");
    }
}

/// `DEBUG` makes a server load for a while.
#[tokio::test]
async fn a_server_loads_its_data() {
    let server = Server::with(&["--enable-debug-command", "yes", "--key-load-delay", "3000"]);
    let limiter = server.limiter(generous().deadline(Duration::from_millis(500)));
    assert!(limiter.check("alice").await.is_ok());
    // 3 ms for each key, and it answers between them.
    let _: () = server.run(&["DEBUG", "POPULATE", "1000"]);
    let _: () = server.run(&[
        "CONFIG",
        "SET",
        "loading-process-events-interval-bytes",
        "1024",
    ]);
    let client = server.client();
    let loading = tokio::task::spawn_blocking(move || {
        let mut connection = client.get_connection().unwrap();
        redis::cmd("DEBUG")
            .arg("RELOAD")
            .query::<()>(&mut connection)
            .unwrap();
    });
    assert_cause(&limiter, Cause::Loading).await;
    loading.await.unwrap();
    assert_again(&limiter, AGAIN, "loading").await;
}

/// With Sentinel another server is the master by now. It is found by another connection only.
#[tokio::test]
async fn a_server_that_is_no_master_any_more_is_left() {
    for trouble in [
        &["CONFIG SET min-replicas-to-write 1"][..],
        &[
            "CONFIG SET replica-serve-stale-data no",
            "REPLICAOF 127.0.0.1 1",
        ],
        &["REPLICAOF 127.0.0.1 1"],
        &["ACL SETUSER default -evalsha"],
    ] {
        let (old, new) = (Server::start(), Server::start());
        let client = Arc::new(Mutex::new(old.client()));
        let current = Arc::clone(&client);
        let limiter = generous().connect_with(move || {
            let client = current.lock().unwrap().clone();
            async move { client.get_multiplexed_async_connection().await }
        });
        let limiter = limiter.unwrap();
        assert_again(&limiter, 20 * AGAIN, "start").await;
        for text in trouble {
            let words: Vec<&str> = text.split(' ').collect();
            let _: redis::Value = old.run(&words);
        }
        // The old one is asked a few times before the new one is there.
        let mut asked = 0;
        while asked < 3 {
            let outage = limiter.check("alice").await.unwrap_err();
            asked += u32::from(outage.was_asked());
            sleep(Duration::from_millis(1)).await;
        }
        *client.lock().unwrap() = new.client();
        // The connection that was made last is to the old one, too.
        assert_again(&limiter, 2 * AGAIN, trouble[0]).await;
        assert_eq!(new.keys().len(), 1);
    }
}

/// An attempt ends without a connection if its function panics, or with the runtime that it began on.
#[tokio::test]
async fn an_attempt_to_connect_that_ends_is_followed_by_another() {
    let server = Server::start();
    let client = server.client();
    let attempts = Arc::new(AtomicU64::new(0));
    let made = Arc::clone(&attempts);
    let limiter = generous().connect_with(move || {
        let (client, attempt) = (client.clone(), made.fetch_add(1, Ordering::SeqCst));
        async move {
            assert!(attempt >= 3, "this is a test of a panic");
            client.get_multiplexed_async_connection().await
        }
    });
    let limiter = limiter.unwrap();
    let outage = limiter.check("alice").await.unwrap_err();
    assert_eq!(outage.cause(), Cause::Connection);
    assert_again(&limiter, 4 * AGAIN, "panics").await;
    assert_eq!(attempts.load(Ordering::SeqCst), 4);

    // The server is silent while the first runtime lives.
    let limiter = server.limiter(generous());
    server.suspend();
    let first = limiter.clone();
    let on_a_runtime = move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build();
        assert!(runtime.unwrap().block_on(first.check("alice")).is_err());
    };
    tokio::task::spawn_blocking(on_a_runtime).await.unwrap();
    server.resume();
    assert_again(&limiter, AGAIN, "a runtime that ended").await;
}

/// The attempt fails between two probes. The second of them must not take its error for news.
#[tokio::test]
async fn an_attempt_that_failed_before_is_no_answer() {
    let server = Server::start();
    let client = server.client();
    let attempts = Arc::new(AtomicU64::new(0));
    let made = Arc::clone(&attempts);
    let builder = generous().connect_timeout(Duration::from_millis(100));
    let limiter = builder.connect_with(move || {
        let (client, attempt) = (client.clone(), made.fetch_add(1, Ordering::SeqCst));
        async move {
            if attempt == 0 {
                std::future::pending::<()>().await;
            }
            client.get_multiplexed_async_connection().await
        }
    });
    let limiter = limiter.unwrap();
    assert_eq!(
        limiter.check("alice").await.unwrap_err().cause(),
        Cause::Timeout
    );
    // Longer than the attempt's timeout. The breaker is closed, so the next check is the next request.
    sleep(Duration::from_millis(200)).await;
    assert!(limiter.check("alice").await.is_ok());
    assert_eq!(attempts.load(Ordering::SeqCst), 2);
}
