//! A service that limits each API key: 100 requests a minute, ten of them at once.
//!
//! `cargo run --features tower --example handoff_api`
//!
//! It prints a line to try it with. README, beside this file, has the variables that set it.

mod service;

use std::{error::Error, net::SocketAddr, process::ExitCode, sync::Arc};

use axum::{
    Extension, Json, Router,
    extract::Request,
    http::{StatusCode, header},
    middleware::{self, Next},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use serde_json::{Value, json};
use tollgate::tower::{OnMissingKey, RateLimitLayer, key};
use tollgate::{Quota, RateLimiter};

pub use service::Timeouts;
use service::{Environment, Refused, Server, Setting};

/// The built-in keys and whose each is. A real service would look them up.
const KEYS: [(&str, Owner); 2] = [
    ("key-of-alice", Owner("alice")),
    ("key-of-bob", Owner("bob")),
];

/// Who has proved to hold a key. Each holds one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Owner(&'static str);

/// The service, with its limit.
pub fn router(limiter: Arc<RateLimiter<Owner>>) -> Router {
    // Authentication has left a key, or the layers are in the wrong order.
    let no_key = OnMissingKey::Reject(StatusCode::INTERNAL_SERVER_ERROR);
    let limit = RateLimitLayer::new(limiter, key::ExtensionKey::<Owner>::new(), no_key);

    Router::new()
        .route("/api/v1/check", post(check))
        .route("/api/v1/handoff", post(handoff))
        // The last layer is the outermost: strangers are turned away before anything is spent.
        .route_layer(limit)
        .route_layer(middleware::from_fn(authenticate))
        // Behind the layers, and so neither authenticated nor limited.
        .route("/health", get(|| async { "ok\n" }))
        .route("/docs", get(|| async { DOCS }))
}

/// What is set by the environment.
pub struct Settings {
    pub quota: Quota,
    pub address: SocketAddr,
    pub timeouts: Timeouts,
}

pub const PER_MINUTE: Setting<u64> = Setting {
    name: "HANDOFFKIT_API_RATE_LIMIT_PER_MIN",
    default: 100,
    from: 1,
    to: 1_000_000,
};

pub const BURST: Setting<u64> = Setting {
    name: "HANDOFFKIT_API_BURST",
    default: 10,
    from: 1,
    to: 1_000_000,
};

pub const PORT: Setting<u16> = service::port(8080);

impl Settings {
    pub fn read(environment: &Environment<'_>) -> Result<Settings, Refused> {
        let per_minute = PER_MINUTE.read(environment)?;
        let burst = BURST.read(environment)?;
        Ok(Settings {
            // Any rate goes with any burst within these bounds, so this does not panic.
            quota: Quota::per_minute(per_minute).burst(burst),
            address: service::address(&PORT, environment)?,
            timeouts: Timeouts::read(environment)?,
        })
    }
}

async fn authenticate(mut request: Request, next: Next) -> Response {
    let sent = request.headers().get("x-api-key");
    let is_sent = |key: &str| sent.is_some_and(|sent| sent == key);
    match KEYS.iter().find(|(key, _)| is_sent(key)) {
        Some((_, owner)) => {
            request.extensions_mut().insert(*owner);
            next.run(request).await
        }
        None => {
            let scheme = [(header::WWW_AUTHENTICATE, "ApiKey")];
            (StatusCode::UNAUTHORIZED, scheme, "unknown API key\n").into_response()
        }
    }
}

/// Stands in for the work of looking a note over.
async fn check(Extension(owner): Extension<Owner>, note: String) -> Json<Value> {
    Json(json!({ "owner": owner.0, "fit": !note.trim().is_empty() }))
}

/// Stands in for the work of handing a note over.
async fn handoff(Extension(owner): Extension<Owner>, note: String) -> Json<Value> {
    Json(json!({ "owner": owner.0, "note": note }))
}

const DOCS: &str = "\
POST /api/v1/check    is this note fit to be handed over?   X-API-Key, limited
POST /api/v1/handoff  hands a note over                     X-API-Key, limited
GET  /health          is the service up?
GET  /docs            this page
";

#[tokio::main]
async fn main() -> ExitCode {
    service::exit_code(run().await)
}

async fn run() -> Result<(), Box<dyn Error>> {
    let Settings {
        quota,
        address,
        timeouts,
    } = Settings::read(&service::environment)?;
    let router = router(Arc::new(RateLimiter::new(quota)));
    let server = Server::listen(address).await?;
    let url = server.url();
    service::print(format_args!("handoff_api listens on {url}"));
    service::print(format_args!("limit: {quota} for each API key"));
    service::print(format_args!(
        "try: curl -i -H 'X-API-Key: key-of-alice' -d 'a note' {url}/api/v1/check"
    ));
    Ok(server.serve(router, timeouts).await?)
}
