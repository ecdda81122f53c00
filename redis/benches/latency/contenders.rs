//! What is measured: a check, and what a service would write in its place.

use std::{
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use redis::aio::{ConnectionLike, MultiplexedConnection};
use redis::{AsyncConnectionConfig, Cmd, Pipeline, Script, Value};
use tollgate::{DecisionSource, Quota};
use tollgate_redis::{Builder, SharedLimiter};

use crate::server::Server;

/// The keys that a contender asks for in turn.
pub const KEYS: usize = 1_000;

/// Far longer than any check takes, also on a machine that is busy with something else.
const DEADLINE: Duration = Duration::from_secs(10);

/// A way to answer whether a request passes.
#[derive(Clone)]
pub enum Contender {
    Ping(MultiplexedConnection),
    Windows(MultiplexedConnection),
    Gcra(MultiplexedConnection, Arc<Script>),
    One(SharedLimiter, Expected),
    Two(SharedLimiter<2>, Expected),
}

/// What every check of a contender has to say.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Expected {
    Allowed,
    Denied(DecisionSource),
}

/// One quota, one key, in µs: the time at which the bucket will be full is stored.
///
/// `ARGV`: the time of a unit, the time of a burst, the units.
const GCRA: &str = r"
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local unit, burst = tonumber(ARGV[1]), tonumber(ARGV[2])
local full = tonumber(redis.call('GET', KEYS[1]) or now)
if full < now then full = now end
local new = full + unit * ARGV[3]
local allow_at = new - burst
if now < allow_at then
  return {0, math.floor((now + burst - full) / unit), allow_at - now, full - now}
end
redis.call('SET', KEYS[1], string.format('%.0f', new), 'PX', math.ceil((new - now) / 1000))
return {1, math.floor((now - allow_at) / unit), -1, new - now}
";

impl Contender {
    /// Spends the units of the keys that are denied from then on. The next unit is earned after hours.
    pub async fn exhaust(server: &Server) {
        let spender = server.limiter(denied());
        for key in 0..KEYS {
            assert!(spender.check_n(&name(key), 10).await.unwrap().is_allowed());
        }
    }

    /// Connects all of them, and returns them with their names. The others are compared with the first.
    ///
    /// What they do once is done: their scripts are known, and their caches filled.
    pub async fn all(server: &Server) -> Vec<(&'static str, Contender)> {
        // The whole run spends less than these bursts.
        let large = [
            Quota::per_minute(10).burst(1_000_000),
            Quota::per_hour(60).burst(1_000_000),
        ];
        let one = SharedLimiter::builder(large[0]).prefix("one");
        let two = SharedLimiter::builder(large).prefix("two");
        let (one, two) = (one.deadline(DEADLINE), two.deadline(DEADLINE));
        let (asking, caching) = (denied().denied_keys(0), denied());
        let gcra = Contender::Gcra(connect(server).await, Arc::new(Script::new(GCRA)));
        let by = |source| Expected::Denied(source);
        let contenders = vec![
            ("PING", Contender::Ping(connect(server).await)),
            (
                "INCR and EXPIRE, two windows",
                Contender::Windows(connect(server).await),
            ),
            ("GCRA script, one quota", gcra),
            (
                "check, one quota, allowed",
                Contender::One(server.limiter(one), Expected::Allowed),
            ),
            (
                "check, two quotas, allowed",
                Contender::Two(server.limiter(two), Expected::Allowed),
            ),
            (
                "check, two quotas, denied",
                Contender::Two(server.limiter(asking), by(DecisionSource::Store)),
            ),
            (
                "check, two quotas, denied by the cache",
                Contender::Two(server.limiter(caching), by(DecisionSource::DeniedCache)),
            ),
        ];
        server.run::<String>(&["SCRIPT", "LOAD", GCRA]);
        for (_, contender) in &contenders {
            contender.prepare().await;
        }
        contenders
    }

    async fn prepare(&self) {
        for key in 0..KEYS {
            match self {
                Contender::Two(limiter, _) => _ = limiter.check(&name(key)).await.unwrap(),
                Contender::One(limiter, _) => _ = limiter.check(&name(key)).await.unwrap(),
                _ => {}
            }
        }
    }

    /// Answers for one request.
    ///
    /// # Panics
    ///
    /// If the answer is another than expected: then what is measured is not what the table says.
    pub async fn ask(&mut self, key: usize) {
        match self {
            Contender::Ping(connection) => {
                let mut command = Cmd::new();
                command.arg("PING");
                let value = connection.req_packed_command(&command).await.unwrap();
                assert_eq!(value, Value::SimpleString("PONG".to_owned()));
            }
            Contender::Windows(connection) => {
                let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
                let mut pipeline = Pipeline::with_capacity(4);
                for seconds in [60, 3_600] {
                    let window = now.as_secs() / seconds;
                    let key = format!("turns:{}:{seconds}:{window}", name(key));
                    pipeline.cmd("INCR").arg(&key);
                    pipeline.cmd("EXPIRE").arg(&key).arg(seconds).ignore();
                }
                let counts: [u64; 2] = pipeline.query_async(connection).await.unwrap();
                assert!(counts[0] < 1_000_000 && counts[1] < 1_000_000);
            }
            Contender::Gcra(connection, script) => {
                let mut command = Cmd::new();
                command.arg("EVALSHA").arg(script.get_hash()).arg(1);
                command.arg(format!("gcra:{{{}}}", name(key)));
                let unit = 6_000_000_u64;
                command.arg(unit).arg(unit * 1_000_000).arg(1);
                let value = connection.req_packed_command(&command).await.unwrap();
                let [allowed, _, _, _]: [i64; 4] = redis::from_redis_value(value).unwrap();
                assert_eq!(allowed, 1);
            }
            Contender::One(limiter, expected) => {
                let decision = limiter.check(&name(key)).await.unwrap();
                expected.confirm(decision.is_allowed(), decision.source());
            }
            Contender::Two(limiter, expected) => {
                let decision = limiter.check(&name(key)).await.unwrap();
                expected.confirm(decision.is_allowed(), decision.source());
            }
        }
    }
}

impl Expected {
    fn confirm(self, is_allowed: bool, source: DecisionSource) {
        match self {
            Expected::Allowed => assert!(is_allowed),
            Expected::Denied(expected) => assert!(!is_allowed && source == expected),
        }
    }
}

/// Returns what denies, once the keys are exhausted.
fn denied() -> Builder<2> {
    let week = Quota::new(60, Duration::from_secs(604_800), 60).unwrap();
    let builder = SharedLimiter::builder([Quota::per_day(10), week]);
    builder.prefix("denied").deadline(DEADLINE)
}

/// Returns the name of a user.
fn name(key: usize) -> String {
    format!("user-{key:06}")
}

/// Connects with the settings that the limiter has for its own connection.
async fn connect(server: &Server) -> MultiplexedConnection {
    let info = server.client().get_connection_info().clone();
    let tcp = info.tcp_settings().clone().set_nodelay(true);
    let client = redis::Client::open(info.set_tcp_settings(tcp)).unwrap();
    let config = AsyncConnectionConfig::new()
        .set_connection_timeout(None)
        .set_response_timeout(None)
        .set_pipeline_buffer_size(1_024);
    let connection = client.get_multiplexed_async_connection_with_config(&config);
    connection.await.unwrap()
}
