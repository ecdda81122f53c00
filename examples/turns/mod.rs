//! Shared by the services `turns_api` and `turns_shared`: each user's turns, on a plain and on a
//! streaming endpoint, behind one limit.

use std::{
    collections::HashMap,
    convert::Infallible,
    iter,
    sync::{Arc, Mutex, PoisonError},
};

use axum::{
    Extension, Json, Router,
    extract::{Path, Request, State},
    http::{HeaderMap, StatusCode, header},
    middleware::{self, Next},
    response::{IntoResponse, Response, Sse, sse::Event},
    routing::{Route, get, post},
};
use serde_json::{Value, json};
use tokio_stream::Stream;
use tollgate::limit::Limit;
use tollgate::tower::{OnMissingKey, RateLimitLayer, TakeReady, key};
use tollgate::{Decision, Policy, Quota};

use super::service::{Environment, Setting, settings::InvalidSetting};

/// The built-in tokens and their users. A real service would verify them.
const TOKENS: [(&str, User); 2] = [
    ("token-of-alice", User("alice")),
    ("token-of-bob", User("bob")),
];

/// The user of a token, as authentication found it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct User(pub &'static str);

/// Returns the routes of the service, with its limit.
///
/// The limiter is in memory, or in a store that several processes share.
pub fn router<L>(limiter: L) -> Router
where
    L: Limit<User, Decision = Decision<2>, Future: TakeReady<Route> + Send>,
    L: Clone + Send + Sync + 'static,
{
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

/// Reads the limit of each user.
pub fn policy(environment: &Environment<'_>) -> Result<Policy<2>, InvalidSetting> {
    let per_minute = PER_MINUTE.read(environment)?;
    let per_hour = PER_HOUR.read(environment)?;
    // Within these bounds, every number is a quota. So this does not panic.
    Ok([Quota::per_minute(per_minute), Quota::per_hour(per_hour)].into())
}

/// Returns a line of curl that takes a turn.
pub fn curl(url: &str) -> String {
    format!(
        "curl -i -H 'Authorization: Bearer token-of-alice' -d 'a turn' {url}/api/v1/sessions/1/turns"
    )
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
