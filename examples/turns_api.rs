//! A service that limits each user's turns: 10 a minute and 60 an hour, as one decision. A plain
//! and a streaming endpoint share the limit.
//!
//! `cargo run --features tower --example turns_api`
//!
//! It prints a curl command to try it with. `examples/README.md` lists its environment variables.
//!
//! The original system kept its counts in a store. If the store was down, it logged a warning and
//! skipped the check. Here the counts are in the process. So every turn is checked, and a restart
//! forgets the counts.

mod service;

use std::{
    collections::HashMap,
    convert::Infallible,
    error::Error,
    iter,
    net::SocketAddr,
    process::ExitCode,
    sync::{Arc, Mutex, PoisonError},
};

use axum::{
    Extension, Json, Router,
    extract::{Path, Request, State},
    http::{HeaderMap, StatusCode, header},
    middleware::{self, Next},
    response::{IntoResponse, Response, Sse, sse::Event},
    routing::{get, post},
};
use serde_json::{Value, json};
use tokio_stream::Stream;
use tollgate::tower::{OnMissingKey, RateLimitLayer, key};
use tollgate::{Policy, Quota, RateLimiter};

pub use service::Timeouts;
use service::{Environment, Server, Setting, settings::InvalidSetting};

/// The built-in tokens and their users. A real service would verify them.
const TOKENS: [(&str, User); 2] = [
    ("token-of-alice", User("alice")),
    ("token-of-bob", User("bob")),
];

/// The user of a token, as authentication found it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct User(&'static str);

/// Returns the routes of the service, with its limit.
pub fn router(limiter: Arc<RateLimiter<User, 2>>) -> Router {
    // A request without a user means that the layers are in the wrong order.
    let on_missing = OnMissingKey::Reject(StatusCode::INTERNAL_SERVER_ERROR);
    let limit = RateLimitLayer::new(limiter, key::ExtensionKey::<User>::new(), on_missing)
        .respond(tollgate::tower::JsonResponse);

    Router::new()
        .route("/api/v1/sessions/{id}/turns", post(turn))
        .route("/api/v1/sessions/{id}/turns/stream", post(streamed_turn))
        // The layer added last runs first. So an invalid token spends nothing, and a rejected turn
        // reaches no session.
        .route_layer(limit)
        .route_layer(middleware::from_fn(authenticate))
        // Added after the layers, and so neither authenticated nor limited.
        .route("/health", get(|| async { "ok\n" }))
        .with_state(Arc::default())
}

/// The settings, from environment variables.
pub struct Settings {
    pub policy: Policy<2>,
    pub address: SocketAddr,
    pub timeouts: Timeouts,
}

pub const PER_MINUTE: Setting<u64> = Setting {
    name: "RATE_LIMIT_TURNS_PER_MINUTE",
    default: 10,
    from: 1,
    to: 1_000_000,
};

pub const PER_HOUR: Setting<u64> = Setting {
    name: "RATE_LIMIT_TURNS_PER_HOUR",
    default: 60,
    from: 1,
    to: 1_000_000,
};

pub const PORT: Setting<u16> = service::port(8081);

impl Settings {
    pub fn read(environment: &Environment<'_>) -> Result<Settings, InvalidSetting> {
        let per_minute = PER_MINUTE.read(environment)?;
        let per_hour = PER_HOUR.read(environment)?;
        Ok(Settings {
            // Within these bounds, every number is a quota. So this does not panic.
            policy: Policy::from([Quota::per_minute(per_minute), Quota::per_hour(per_hour)]),
            address: service::address(&PORT, environment)?,
            timeouts: Timeouts::read(environment)?,
        })
    }
}

async fn authenticate(mut request: Request, next: Next) -> Response {
    let sent = bearer_token(request.headers());
    match TOKENS.iter().find(|(token, _)| sent == Some(*token)) {
        Some((_, user)) => {
            request.extensions_mut().insert(*user);
            next.run(request).await
        }
        None => {
            let scheme = [(header::WWW_AUTHENTICATE, "Bearer")];
            let detail = Json(json!({ "detail": "invalid token" }));
            (StatusCode::UNAUTHORIZED, scheme, detail).into_response()
        }
    }
}

fn bearer_token(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    let is_bearer = scheme.eq_ignore_ascii_case("bearer");
    is_bearer.then(|| token.trim_start())
}

/// The sessions of each user, with their turns. They last as long as the process.
#[derive(Default)]
struct Sessions(Mutex<HashMap<(User, String), Vec<String>>>);

impl Sessions {
    /// Stores a turn, and returns it with its number.
    fn take(&self, user: User, session: String, text: String) -> Value {
        // A panic elsewhere leaves the turns intact: each is pushed whole or not at all.
        let mut sessions = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let turns = sessions.entry((user, session.clone())).or_default();
        turns.push(text.clone());
        json!({ "session": session, "turn": turns.len(), "text": text })
    }
}

async fn turn(
    State(sessions): State<Arc<Sessions>>,
    Extension(user): Extension<User>,
    Path(session): Path<String>,
    text: String,
) -> Json<Value> {
    Json(sessions.take(user, session, text))
}

/// Takes a turn and streams it as server-sent events: each word, and then the stored turn.
async fn streamed_turn(
    State(sessions): State<Arc<Sessions>>,
    Extension(user): Extension<User>,
    Path(session): Path<String>,
    text: String,
) -> Sse<impl Stream<Item = Result<Event, Infallible>>> {
    let event = |kind, data: &str| Event::default().event(kind).data(data);
    let words = text.split_whitespace().map(|word| event("word", word));
    let words: Vec<Event> = words.collect();
    let turn = event("turn", &sessions.take(user, session, text).to_string());
    let events = words.into_iter().chain(iter::once(turn));
    Sse::new(tokio_stream::iter(events.map(Ok)))
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
    let router = router(Arc::new(RateLimiter::new(policy)));
    let server = Server::listen(address).await?;
    let url = server.url();
    service::print(format_args!("turns_api listens on {url}"));
    service::print(format_args!("limit: {policy} for each user"));
    service::print(format_args!(
        "try: curl -i -H 'Authorization: Bearer token-of-alice' -d 'a turn' \
         {url}/api/v1/sessions/1/turns"
    ));
    Ok(server.serve(router, timeouts).await?)
}
