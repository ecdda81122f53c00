//! A node: a process of its own, which asks for every key more often than the limit allows.

use std::{
    fs::OpenOptions,
    io::Write,
    num::NonZeroU32,
    path::PathBuf,
    process::{Child, Command},
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use redis::aio::MultiplexedConnection;
use redis::sentinel::{SentinelClient, SentinelServerType};
use tokio::{sync::Mutex, task::JoinSet, time};
use tollgate::{DecisionSource, Quota};
use tollgate_redis::{OnOutage, SharedLimiter};

use crate::record::{End, Record, now};

pub const NODES: u32 = 4;
pub const KEYS: u32 = 4;
pub const RATE: u64 = 50;
pub const BURST: u64 = 200;

/// The requests of a node for a key come this far apart.
const GAP: Duration = Duration::from_millis(4);

/// Half of the keys rest at times, so that their buckets fill up. Together they never do.
const WORK: u64 = 1_300_000_000;
const REST: u64 = 450_000_000;

/// How a node limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    Allow,
    Deny,
    Local,
    /// As the origin does: INCR and EXPIRE, one window of a second.
    Window,
}

impl Mode {
    pub const ALL: [Mode; 4] = [Mode::Allow, Mode::Deny, Mode::Local, Mode::Window];

    pub fn name(self) -> &'static str {
        match self {
            Mode::Allow => "Allow",
            Mode::Deny => "Deny",
            Mode::Local => "Local",
            Mode::Window => "INCR and EXPIRE",
        }
    }

    /// The burst of the bucket that this is compared with.
    pub fn burst(self) -> u64 {
        match self {
            Mode::Window => RATE,
            _ => BURST,
        }
    }
}

/// What a node is told.
#[derive(Clone, Debug)]
pub struct Orders {
    pub mode: Mode,
    pub deadline: Duration,
    /// From when until when it asks, in ns of the monotonic clock.
    pub from: u64,
    pub until: u64,
    pub log: PathBuf,
    /// Of the server, or of the sentinels.
    pub urls: Vec<String>,
    pub are_sentinels: bool,
}

impl Orders {
    /// Starts a node: this program, with arguments.
    pub fn start(&self) -> Child {
        let mut command = Command::new(std::env::current_exe().unwrap());
        let mode = Mode::ALL.iter().position(|mode| *mode == self.mode);
        let numbers = [
            mode.unwrap() as u64,
            self.deadline.as_millis() as u64,
            self.from,
            self.until,
            u64::from(self.are_sentinels),
        ];
        command.arg("node").args(numbers.map(|n| n.to_string()));
        command.arg(&self.log).args(&self.urls).spawn().unwrap()
    }

    /// Reads the arguments behind `node`.
    pub fn read(arguments: &[String]) -> Orders {
        let number = |index: usize| -> u64 { arguments[index].parse().unwrap() };
        Orders {
            mode: Mode::ALL[number(0) as usize],
            deadline: Duration::from_millis(number(1)),
            from: number(2),
            until: number(3),
            are_sentinels: number(4) == 1,
            log: arguments[5].clone().into(),
            urls: arguments[6..].to_vec(),
        }
    }
}

/// The limiter of a node.
#[derive(Clone)]
enum Limiter {
    Shared(SharedLimiter),
    Window(MultiplexedConnection),
}

/// Asks until its time is over.
pub async fn run(orders: Orders) {
    let limiter = limiter(&orders).await;
    let log = OpenOptions::new()
        .append(true)
        .create(true)
        .open(&orders.log);
    let log = Arc::new(log.unwrap());
    time::sleep(Duration::from_nanos(orders.from.saturating_sub(now()))).await;
    let mut ticks = time::interval(GAP);
    let mut requests = JoinSet::new();
    while now() < orders.until {
        ticks.tick().await;
        let phase = (now() - orders.from) % (2 * (WORK + REST));
        for key in 0..KEYS {
            // Key 2 and key 3 rest by turns; the others never.
            let phase = phase + u64::from(key) * (WORK + REST) / 2;
            if key >= 2 && phase % (WORK + REST) >= WORK {
                continue;
            }
            let (limiter, log) = (limiter.clone(), Arc::clone(&log));
            requests.spawn(async move {
                let sent = now();
                let end = limiter.ask(key).await;
                let received = now();
                let record = Record {
                    key,
                    end,
                    sent,
                    received,
                };
                // Written at once: a killed node forgets nothing that it admitted.
                (&*log).write_all(&record.bytes()).unwrap();
            });
        }
        while requests.try_join_next().is_some() {}
    }
    requests.join_all().await;
}

async fn limiter(orders: &Orders) -> Limiter {
    let client = redis::Client::open(orders.urls[0].as_str()).unwrap();
    let rule = match orders.mode {
        Mode::Allow => OnOutage::Allow,
        Mode::Deny => OnOutage::Deny,
        Mode::Local => OnOutage::Local {
            nodes: NonZeroU32::new(NODES).unwrap(),
        },
        Mode::Window => {
            let connection = client.get_multiplexed_async_connection();
            return Limiter::Window(connection.await.unwrap());
        }
    };
    let builder = SharedLimiter::builder(Quota::per_second(RATE).burst(BURST));
    let builder = builder.on_outage(rule).deadline(orders.deadline);
    let limiter = if orders.are_sentinels {
        let client = SentinelClient::build(
            orders.urls.clone(),
            "mymaster",
            None,
            SentinelServerType::Master,
        );
        let client = Arc::new(Mutex::new(client.unwrap()));
        builder.connect_with(move || {
            let client = Arc::clone(&client);
            async move { client.lock().await.get_async_connection().await }
        })
    } else {
        builder.connect(client)
    };
    Limiter::Shared(limiter.unwrap())
}

impl Limiter {
    async fn ask(self, key: u32) -> End {
        let name = format!("user-{key}");
        match self {
            Limiter::Shared(limiter) => match limiter.check(&name).await {
                Ok(decision) if decision.is_allowed() => End::Admitted,
                Ok(decision) if decision.source() == DecisionSource::DeniedCache => {
                    End::DeniedByCache
                }
                Ok(_) => End::Denied,
                Err(outage) if outage.is_allowed() => End::AdmittedInOutage,
                Err(_) => End::DeniedInOutage,
            },
            Limiter::Window(mut connection) => {
                let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
                let name = format!("turns:{name}:{}", now.as_secs());
                let mut pipeline = redis::pipe();
                pipeline.cmd("INCR").arg(&name);
                pipeline.cmd("EXPIRE").arg(&name).arg(1).ignore();
                match pipeline.query_async::<[u64; 1]>(&mut connection).await {
                    Ok([count]) if count <= RATE => End::Admitted,
                    Ok(_) => End::Denied,
                    Err(_) => End::AdmittedInOutage,
                }
            }
        }
    }
}
