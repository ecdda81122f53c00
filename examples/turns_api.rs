//! A service that limits each user's turns: 10 a minute and 60 an hour, as one decision. A plain
//! and a streaming endpoint share the limit.
//!
//! `cargo run --features tower --example turns_api`
//!
//! It prints a curl command to try it with. `examples/README.md` lists its environment variables.
//!
//! The counts are in the process. So every turn is checked, and a restart forgets the counts.
//! `turns_shared` is this service with the counts in Redis, for several processes.

mod service;
mod turns;

use std::{error::Error, net::SocketAddr, process::ExitCode, sync::Arc};

use tollgate::{Policy, RateLimiter};

pub use service::Timeouts;
use service::{Environment, Server, Setting, settings::InvalidSetting};
pub use turns::{PER_HOUR, PER_MINUTE, User, router};

/// The settings, from environment variables.
pub struct Settings {
    pub policy: Policy<2>,
    pub address: SocketAddr,
    pub timeouts: Timeouts,
}

pub const PORT: Setting<u16> = service::port(8081);

impl Settings {
    pub fn read(environment: &Environment<'_>) -> Result<Settings, InvalidSetting> {
        Ok(Settings {
            policy: turns::policy(environment)?,
            address: service::address(&PORT, environment)?,
            timeouts: Timeouts::read(environment)?,
        })
    }
}

#[tokio::main]
async fn main() -> ExitCode {
    service::exit_code(run().await)
}

async fn run() -> Result<(), Box<dyn Error>> {
    let Settings {
        policy,
        address,
        timeouts,
    } = Settings::read(&service::environment)?;
    let limiter = RateLimiter::<User, 2>::new(policy);
    let router = router(Arc::new(limiter));
    let server = Server::listen(address).await?;
    let url = server.url();
    service::print(format_args!("turns_api listens on {url}"));
    service::print(format_args!("limit: {policy} for each user"));
    service::print(format_args!("try: {}", turns::curl(&url)));
    Ok(server.serve(router, timeouts).await?)
}
