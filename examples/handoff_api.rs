//! A service that limits each API key: 100 requests a minute, at most 10 at once.
//!
//! `cargo run --features tower --example handoff_api`
//!
//! It prints a curl command to try it with. `examples/README.md` lists its environment variables.

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
use service::{Environment, Server, Setting, settings::InvalidSetting};

/// The built-in keys and their owners. A real service would look them up.
const KEYS: [(&str, Owner); 2] = [
    ("key-of-alice", Owner("alice")),
    ("key-of-bob", Owner("bob")),
];

/// The owner of an API key, as authentication found it. Each owner has one key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Owner(&'static str);

/// Returns the routes of the service, with its limit.
pub fn router(limiter: Arc<RateLimiter<Owner>>) -> Router {
    // A request without an owner means that the layers are in the wrong order.
    let on_missing = OnMissingKey::Reject(StatusCode::INTERNAL_SERVER_ERROR);
    let limit = RateLimitLayer::new(limiter, key::ExtensionKey::<Owner>::new(), on_missing);

    Router::new()
        .route("/api/v1/check", post(check))
        .route("/api/v1/handoff", post(handoff))
        // The layer added last runs first. So an invalid API key spends nothing.
        .route_layer(limit)
        .route_layer(middleware::from_fn(authenticate))
        // Added after the layers, and so neither authenticated nor limited.
        .route("/health", get(|| async { "ok\n" }))
        .route("/docs", get(|| async { DOCS }))
}

/// The settings, from environment variables.
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
    pub fn read(environment: &Environment<'_>) -> Result<Settings, InvalidSetting> {
        let per_minute = PER_MINUTE.read(environment)?;
        let burst = BURST.read(environment)?;
        Ok(Settings {
            // Within these bounds, every pair of a rate and a burst is a quota. So this does not
            // panic.
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
            (StatusCode::UNAUTHORIZED, scheme, "invalid API key\n").into_response()
        }
    }
}

/// Stands in for the work of checking a note.
async fn check(Extension(owner): Extension<Owner>, note: String) -> Json<Value> {
    Json(json!({ "owner": owner.0, "fit": !note.trim().is_empty() }))
}

/// Stands in for the work of handing over a note.
async fn handoff(Extension(owner): Extension<Owner>, note: String) -> Json<Value> {
    Json(json!({ "owner": owner.0, "note": note }))
}

const DOCS: &str = "\
POST /api/v1/check    checks whether a note can be handed over   X-API-Key, limited
POST /api/v1/handoff  hands over a note                          X-API-Key, limited
GET  /health          responds if the service is up
GET  /docs            shows this page
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
