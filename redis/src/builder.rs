//! The settings of a limiter.

use std::{future::Future, time::Duration};

use tollgate::IntoPolicy;

use crate::client::{Client, ConnectionLike, Patience, RedisClient, RedisError};
use crate::error::InvalidSetting;
use crate::key::Names;
use crate::limiter::{Settings, SharedLimiter};
use crate::outage::OnOutage;
use crate::share::Share;
use crate::terms::{Terms, mark};

/// Sets up a [`SharedLimiter`].
#[derive(Clone, Debug)]
#[must_use = "a builder does nothing until it is built"]
pub struct Builder<const N: usize = 1> {
    settings: Settings<N>,
    connect_timeout: Duration,
    are_hashed: bool,
}

impl<const N: usize> SharedLimiter<N> {
    /// Starts to build a limiter with this policy.
    pub fn builder(policy: impl IntoPolicy<N>) -> Builder<N> {
        Builder {
            settings: Settings {
                policy: policy.into_policy(),
                prefix: "tollgate".to_owned(),
                deadline: Duration::from_millis(50),
                on_outage: OnOutage::default(),
                denied_keys: 10_000,
            },
            connect_timeout: Duration::from_millis(500),
            are_hashed: false,
        }
    }
}

impl<const N: usize> Builder<N> {
    /// Sets what the keys in the store begin with. Default: `tollgate`.
    ///
    /// Two limiters share their buckets if they have one prefix, the same quotas in the same order, and both or
    /// neither [hash keys](Builder::hash_keys). All nodes of a service need the same prefix. It is printable ASCII without spaces and braces, of 1 to 64 bytes.
    pub fn prefix(mut self, prefix: impl Into<String>) -> Builder<N> {
        self.settings.prefix = prefix.into();
        self
    }

    /// Sets the longest time that a check takes, whatever the store and the network do. Default: 50 ms. From
    /// 1 ms to 1 min.
    ///
    /// It includes the wait for a connection. Half of it must be enough for a round trip: a connection that has not
    /// answered for 10 s is first asked whether it lives, for so long. A connection that you make may have a shorter timeout of its own:
    /// that of a `MultiplexedConnection` is 500 ms by default.
    pub fn deadline(mut self, deadline: Duration) -> Builder<N> {
        self.settings.deadline = deadline;
        self
    }

    /// Sets how long an attempt to connect may take. Default: 500 ms. From 1 ms to 1 min.
    ///
    /// Attempts go on in the background, so no check waits for one beyond its own deadline. This has no
    /// effect on a [given](Builder::build) connection.
    pub fn connect_timeout(mut self, timeout: Duration) -> Builder<N> {
        self.connect_timeout = timeout;
        self
    }

    /// Sets what becomes of requests while the store gives no decision. Default: [`OnOutage::Allow`].
    pub fn on_outage(mut self, rule: OnOutage) -> Builder<N> {
        self.settings.on_outage = rule;
        self
    }

    /// Sets how many denied keys this node caches, rounded up to an even number. Default: 10,000. 0 caches none.
    ///
    /// What takes debts away elsewhere is not seen for up to a minute: a key that was removed in the store or
    /// forgotten by another node, and a step forward of the store's clock. The numbers of a cached denial are those
    /// of the last reply, repaid since. If other nodes have spent more since, the wait is longer in truth.
    ///
    /// A cached key costs some 100 bytes and the name of the key in the store.
    pub fn denied_keys(mut self, most: usize) -> Builder<N> {
        self.settings.denied_keys = most;
        self
    }

    /// Stores the first half of the SHA-256 of each key in its place. Default: only for keys longer than 64
    /// bytes.
    ///
    /// It hides keys that cannot be guessed, such as tokens, from those who can read the store.
    pub fn hash_keys(mut self) -> Builder<N> {
        self.are_hashed = true;
        self
    }

    /// Builds the limiter on the server of a client. It connects at the first check, and anew after errors.
    ///
    /// # Errors
    ///
    /// If a setting is out of range, or a quota is: with `u` units per `p` µs in lowest terms and a burst of
    /// `b`, both `b × p` and `u` are below 2^53. For `10/minute` that is a burst of 1,501,199,875. For `1/day` it is
    /// 104,249.
    pub fn connect(self, client: RedisClient) -> Result<SharedLimiter<N>, InvalidSetting> {
        let patience = self.patience();
        self.on(|| Client::of(&client, patience))
    }

    /// Builds the limiter on connections that a function makes. It is called for the first check, and for
    /// the next check after a connection broke, was read-only, or was silent too often.
    ///
    /// This is for what needs more than an address to connect. With Sentinel (feature `sentinel` of the crate
    /// `redis`) the function asks which server is the master:
    ///
    /// ```no_run
    /// use std::{sync::Arc, time::Duration};
    ///
    /// use redis::sentinel::{SentinelClient, SentinelServerType};
    /// use tokio::sync::Mutex;
    /// use tollgate::Quota;
    /// use tollgate_redis::SharedLimiter;
    ///
    /// let sentinels = vec!["redis://10.0.0.1:26379", "redis://10.0.0.2:26379", "redis://10.0.0.3:26379"];
    /// let name = "mymaster".to_owned();
    /// let client = SentinelClient::build(sentinels, name, None, SentinelServerType::Master)?;
    /// let client = Arc::new(Mutex::new(client));
    /// let turns = SharedLimiter::builder(Quota::per_minute(10))
    ///     // The client waits for a silent sentinel for a second, and then for the next.
    ///     .connect_timeout(Duration::from_secs(5))
    ///     .connect_with(move || {
    ///         let client = Arc::clone(&client);
    ///         async move { client.lock().await.get_async_connection().await }
    ///     })?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Caveats
    ///
    /// A master that was demoted is noticed when its connections break, as Sentinel breaks them, or when a
    /// check is allowed there: it cannot write. Until then its denials are right, as the new master has all
    /// its debts but those that were lost in the lag. A [`peek`](SharedLimiter::peek) is of what it knows.
    ///
    /// # Errors
    ///
    /// As [`connect`](Builder::connect).
    pub fn connect_with<C, F>(
        self,
        make: impl Fn() -> F + Send + Sync + 'static,
    ) -> Result<SharedLimiter<N>, InvalidSetting>
    where
        C: ConnectionLike + Clone + Send + Sync + 'static,
        F: Future<Output = Result<C, RedisError>> + Send + 'static,
    {
        let patience = self.patience();
        self.on(|| Client::made(patience, make))
    }

    /// Builds the limiter on a connection that restores itself, such as a `ClusterConnection` or a
    /// `ConnectionManager`. It is cloned for each check.
    ///
    /// A `MultiplexedConnection` does not restore itself: use [`connect_with`](Builder::connect_with). A pool
    /// is a connection if a type of yours says how it sends a command. With `bb8` (a feature of the crate
    /// `redis`):
    ///
    /// ```no_run
    /// use redis::aio::ConnectionLike;
    /// use redis::{Client, Cmd, ErrorKind, Pipeline, RedisError, RedisFuture, Value};
    /// use tollgate::Quota;
    /// use tollgate_redis::SharedLimiter;
    ///
    /// #[derive(Clone)]
    /// struct Pool(bb8::Pool<Client>);
    ///
    /// impl Pool {
    ///     async fn connection(&self) -> Result<bb8::PooledConnection<'_, Client>, RedisError> {
    ///         self.0.get().await.map_err(|error| match error {
    ///             bb8::RunError::User(error) => error,
    ///             bb8::RunError::TimedOut => (ErrorKind::Io, "no connection is free").into(),
    ///         })
    ///     }
    /// }
    ///
    /// impl ConnectionLike for Pool {
    ///     fn req_packed_command<'a>(&'a mut self, command: &'a Cmd) -> RedisFuture<'a, Value> {
    ///         Box::pin(async move { self.connection().await?.req_packed_command(command).await })
    ///     }
    ///
    ///     fn req_packed_commands<'a>(
    ///         &'a mut self,
    ///         commands: &'a Pipeline,
    ///         offset: usize,
    ///         count: usize,
    ///     ) -> RedisFuture<'a, Vec<Value>> {
    ///         Box::pin(async move {
    ///             let mut connection = self.connection().await?;
    ///             connection.req_packed_commands(commands, offset, count).await
    ///         })
    ///     }
    ///
    ///     fn get_db(&self) -> i64 {
    ///         0
    ///     }
    /// }
    ///
    /// # async fn serve() -> Result<(), Box<dyn std::error::Error>> {
    /// let pool = bb8::Pool::builder().build(Client::open("redis://127.0.0.1/")?).await?;
    /// let turns = SharedLimiter::builder(Quota::per_minute(10)).build(Pool(pool))?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Caveats
    ///
    /// A connection that sends commands again charges twice what ran and was not answered. That never admits
    /// too much. A `ClusterConnection` does so unless `ClusterClientBuilder::retries` is 0. Without retries
    /// the keys of a dead node fail at once, and not at the deadline, and keys that have left a slot which is
    /// being moved have no decision until it is moved.
    ///
    /// A limiter knows one store, not the nodes of a cluster. If five checks in a row time out, all of keys of
    /// a silent node, no key has a decision until a probe is answered: one check in each 200 to 250 ms is one.
    ///
    /// # Errors
    ///
    /// As [`connect`](Builder::connect).
    pub fn build<C>(self, connection: C) -> Result<SharedLimiter<N>, InvalidSetting>
    where
        C: ConnectionLike + Clone + Send + Sync + 'static,
    {
        self.on(|| Client::given(connection))
    }

    fn patience(&self) -> Patience {
        Patience {
            connect: self.connect_timeout,
            answer: self.settings.deadline / 2,
        }
    }

    /// Builds the limiter with a client.
    fn on(self, client: impl FnOnce() -> Client) -> Result<SharedLimiter<N>, InvalidSetting> {
        let Settings {
            policy,
            prefix,
            deadline,
            on_outage,
            ..
        } = &self.settings;
        for (setting, time) in [
            ("a deadline", *deadline),
            ("a connect timeout", self.connect_timeout),
        ] {
            if !(Duration::from_millis(1)..=Duration::from_secs(60)).contains(&time) {
                let found = format!("{time:?} as {setting}");
                return Err(InvalidSetting::new(found, "1 ms to 1 min"));
            }
        }
        let is_plain = |byte: u8| byte.is_ascii_graphic() && !matches!(byte, b'{' | b'}');
        if !(1..=64).contains(&prefix.len()) || !prefix.bytes().all(is_plain) {
            return Err(InvalidSetting::new(
                format_args!("{prefix:?} as the prefix"),
                "1 to 64 printable ASCII characters without spaces and braces",
            ));
        }
        let terms = Terms::of(policy)?;
        let share = match on_outage {
            OnOutage::Local { nodes } => Some(Share::new(policy.quotas(), *nodes)?),
            OnOutage::Allow | OnOutage::Deny => None,
        };
        let names = Names::new(prefix, &mark(&terms), self.are_hashed);
        Ok(SharedLimiter::new(
            self.settings,
            terms,
            names,
            share,
            client(),
        ))
    }
}
