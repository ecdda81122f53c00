//! The service of `turns_api` in several processes that share one limit, on Redis.
//!
//! `cargo run -p tollgate-redis --example turns_shared`
//!
//! It prints a curl command to try it with. `examples/README.md` lists its environment variables.
//!
//! If Redis is unavailable, the service logs a warning and skips the check. It can be set to reject turns
//! then, or to limit them by a share of its own.

mod service;
mod turns;

use std::{
    borrow::Cow, error::Error, io, net::SocketAddr, num::NonZeroU32, process::ExitCode,
    time::Duration,
};

use tollgate::{Policy, Quota};
use tollgate_redis::{OnOutage, SharedKey, SharedLimiter};

pub use service::Timeouts;
use service::{Environment, Server, Setting, settings};
pub use turns::{PER_HOUR, PER_MINUTE, User, router};

/// The name of a user is the same in every process.
impl SharedKey for User {
    fn key_bytes(&self) -> Cow<'_, [u8]> {
        self.0.key_bytes()
    }
}

/// The settings, from environment variables.
pub struct Settings {
    pub policy: Policy<2>,
    pub redis: redis::Client,
    pub prefix: String,
    pub on_outage: OnOutage,
    pub deadline: Duration,
    pub address: SocketAddr,
    pub timeouts: Timeouts,
}

/// Where Redis is. Default: this machine. It may have a password, so no error shows it.
pub const REDIS_URL: &str = "REDIS_URL";
pub const DEFAULT_URL: &str = "redis://127.0.0.1:6379/";

/// What the names of all keys begin with. All processes need the same.
pub const PREFIX: &str = "RATE_LIMIT_PREFIX";
pub const DEFAULT_PREFIX: &str = "turns";

/// What becomes of turns while Redis is unavailable: `allow`, `deny` or `local`. Default: `allow`.
pub const ON_OUTAGE: &str = "RATE_LIMIT_ON_OUTAGE";

/// How many processes there are, for the share of each under `local`.
pub const NODES: Setting<u32> = Setting {
    name: "RATE_LIMIT_NODES",
    default: 1,
    from: 1,
    to: 1_000_000,
};

/// The longest time that a check takes, in ms. Then Redis counts as unavailable.
pub const DEADLINE: Setting<u64> = Setting {
    name: "RATE_LIMIT_DEADLINE_MS",
    default: 50,
    from: 1,
    to: 60_000,
};

pub const PORT: Setting<u16> = service::port(8083);

impl Settings {
    pub fn read(environment: &Environment<'_>) -> Result<Settings, Box<dyn Error>> {
        let redis = client(environment)?;
        Ok(Settings {
            policy: turns::policy(environment)?,
            prefix: prefix(environment, &redis)?,
            redis,
            on_outage: on_outage(environment)?,
            deadline: Duration::from_millis(DEADLINE.read(environment)?),
            address: service::address(&PORT, environment)?,
            timeouts: Timeouts::read(environment)?,
        })
    }

    /// Makes the limiter. It connects when it is first asked.
    pub fn limiter(&self) -> Result<SharedLimiter<2>, tollgate_redis::InvalidSetting> {
        SharedLimiter::builder(self.policy)
            .prefix(&self.prefix)
            .on_outage(self.on_outage)
            .deadline(self.deadline)
            .connect(self.redis.clone())
    }
}

/// Reads where Redis is. The error does not show it, since it may have a password.
fn client(environment: &Environment<'_>) -> Result<redis::Client, String> {
    let url = environment(REDIS_URL).unwrap_or_else(|| DEFAULT_URL.into());
    let client = url.to_str().and_then(|url| redis::Client::open(url).ok());
    client.ok_or_else(|| format!("{REDIS_URL} is invalid; expected a URL such as {DEFAULT_URL}"))
}

fn prefix(
    environment: &Environment<'_>,
    client: &redis::Client,
) -> Result<String, settings::InvalidSetting> {
    let expected = || "1 to 64 printable ASCII characters without blanks and braces".to_owned();
    let parse = |text: &str| {
        let builder = SharedLimiter::builder(Quota::default()).prefix(text);
        builder.connect(client.clone()).ok()?;
        Some(text.to_owned())
    };
    settings::read(
        environment,
        PREFIX,
        DEFAULT_PREFIX.to_owned(),
        expected,
        parse,
    )
}

fn on_outage(environment: &Environment<'_>) -> Result<OnOutage, settings::InvalidSetting> {
    // From 1, so no number is replaced.
    let nodes = NonZeroU32::new(NODES.read(environment)?).unwrap_or(NonZeroU32::MIN);
    let expected = || "allow, deny or local".to_owned();
    let parse = |text: &str| match text {
        "allow" => Some(OnOutage::Allow),
        "deny" => Some(OnOutage::Deny),
        "local" => Some(OnOutage::Local { nodes }),
        _ => None,
    };
    settings::read(environment, ON_OUTAGE, OnOutage::Allow, expected, parse)
}

#[tokio::main]
async fn main() -> ExitCode {
    // The warnings of the limiter. A closed standard error does not stop the service.
    tracing_subscriber::fmt()
        .with_writer(io::stderr)
        .log_internal_errors(false)
        .init();
    service::exit_code(run().await)
}

async fn run() -> Result<(), Box<dyn Error>> {
    let settings = Settings::read(&service::environment)?;
    let limiter = settings.limiter()?;
    let server = Server::listen(settings.address).await?;
    // The service starts without Redis too. What becomes of turns then is a setting.
    if let Err(cause) = limiter.inspect().await {
        service::console::report(format_args!("warning: Redis is unavailable: {cause}"));
    }
    let url = server.url();
    service::print(format_args!("turns_shared listens on {url}"));
    service::print(format_args!("limit: {} for each user", settings.policy));
    service::print(format_args!("try: {}", turns::curl(&url)));
    Ok(server.serve(router(limiter), settings.timeouts).await?)
}
