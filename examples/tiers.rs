//! A service with free and pro customers. Their limits are in a TOML file, which SIGHUP reloads. An
//! operator moves customers to other tiers, and shows and forgets what they have spent.
//!
//! `cargo run --features serde,tower --example tiers`
//!
//! It prints a curl command to try it with. `examples/README.md` lists its environment variables.

mod service;

use std::{
    collections::BTreeMap,
    error::Error,
    fmt, fs, io,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::ExitCode,
    sync::{
        Arc, PoisonError, RwLock,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use axum::{
    Extension, Json, Router,
    extract::{self, Request, State},
    http::{StatusCode, header},
    middleware::{self, Next},
    response::{IntoResponse, Response},
    routing::{get, put},
};
use serde_json::{Value, json};
use tollgate::tower::{IetfDraft, JsonResponse, OnMissingKey, RateLimitLayer, key::ExtensionKey};
use tollgate::{Clock, NamedTiers, Policy, Quota, Reload, Tier, TieredKey, TieredLimiter};

pub use service::Timeouts;
use service::{Environment, Server, Setting, console, settings};

/// The policies of a file, by the names of their tiers.
pub type Policies = BTreeMap<String, Policy<2>>;

/// The built-in API keys, with the id of the customer and the tier at the start. A real service would
/// read them from a database.
const CUSTOMERS: [(&str, &str, &str); 2] = [
    ("key-of-alice", "alice", "free"),
    ("key-of-bob", "bob", "pro"),
];

/// A record of the table of customers.
struct Customer {
    id: String,
    tier_name: String,
    /// It follows every reload of the file, so requests look up no name.
    tier: Tier<String, 2>,
}

/// The state of the service.
pub struct Api {
    limiter: Arc<TieredLimiter<String, 2>>,
    tiers: NamedTiers<String, 2>,
    /// The customers by their API keys.
    customers: RwLock<BTreeMap<&'static str, Customer>>,
    reloads: AtomicU64,
    failed_reloads: AtomicU64,
}

impl Api {
    /// # Errors
    ///
    /// If two quotas of a policy share a bucket. If a customer has a tier that is not among the policies.
    pub fn new(clock: impl Into<Clock>, policies: Policies) -> Result<Api, Box<dyn Error>> {
        // No customer is under this policy. It says that minutes and hours have a bucket each.
        let first = [Quota::per_minute(10), Quota::per_hour(60)];
        let limiter = TieredLimiter::builder(first).clock(clock).build();
        let tiers = limiter.named(policies)?;
        let mut customers = BTreeMap::new();
        for (api_key, id, tier_name) in CUSTOMERS {
            let customer = Customer {
                id: id.to_owned(),
                tier_name: tier_name.to_owned(),
                tier: tiers.get(tier_name)?,
            };
            customers.insert(api_key, customer);
        }
        Ok(Api {
            limiter: Arc::new(limiter),
            tiers,
            customers: RwLock::new(customers),
            reloads: AtomicU64::new(0),
            failed_reloads: AtomicU64::new(0),
        })
    }

    /// Reads the file again. If it is bad, nothing changes.
    pub fn reload(&self, file: &Path) -> Result<Reload<2>, InvalidFile> {
        let reloaded = read_policies(file).and_then(|policies| {
            let reloaded = self.tiers.reload(policies);
            reloaded.map_err(|error| InvalidFile::new(file, error))
        });
        let count = match reloaded {
            Ok(_) => &self.reloads,
            Err(_) => &self.failed_reloads,
        };
        count.fetch_add(1, Ordering::Relaxed);
        reloaded
    }

    /// Runs `read` on the record of a customer.
    fn with_customer<T>(
        &self,
        id: &str,
        read: impl FnOnce(&mut Customer) -> T,
    ) -> Result<T, Failure> {
        // A panic elsewhere leaves the records intact: the parts of each are replaced together.
        let mut customers = self
            .customers
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        let mut records = customers.values_mut();
        match records.find(|customer| customer.id == id) {
            Some(customer) => Ok(read(customer)),
            None => Err(failure(
                StatusCode::NOT_FOUND,
                format_args!("found no customer {id:?}"),
            )),
        }
    }

    /// Returns the request's customer as a key under the customer's tier.
    fn key(&self, request: &Request) -> Option<TieredKey<String, 2>> {
        let api_key = request.headers().get("x-api-key")?.to_str().ok()?;
        let customers = self
            .customers
            .read()
            .unwrap_or_else(PoisonError::into_inner);
        let customer = customers.get(api_key)?;
        Some(customer.tier.key(customer.id.clone()))
    }
}

/// Returns the routes of the service, with its limit. Without an `admin_token`, there are none for an
/// operator.
pub fn router(api: Arc<Api>, admin_token: Option<String>) -> Router {
    // A request without a key means that the layers are in the wrong order.
    let on_missing = OnMissingKey::Reject(StatusCode::INTERNAL_SERVER_ERROR);
    let key = ExtensionKey::<TieredKey<String, 2>>::new();
    let limit = RateLimitLayer::new(Arc::clone(&api.limiter), key, on_missing)
        .ietf_fields(IetfDraft::Draft11)
        .respond(JsonResponse);

    let mut router = Router::new()
        .route("/work", get(work))
        // The layer added last runs first. So an invalid API key spends nothing.
        .route_layer(limit)
        .route_layer(middleware::from_fn_with_state(
            Arc::clone(&api),
            authenticate,
        ))
        // Added after the layers, and so neither authenticated nor limited.
        .route("/health", get(|| async { "ok\n" }));
    if let Some(token) = admin_token {
        let admin = Router::new()
            .route("/admin/tiers", get(show_tiers))
            .route("/admin/keys/{id}", get(show_key).delete(forget_key))
            .route("/admin/customers/{id}/tier", put(change_tier))
            .route_layer(middleware::from_fn_with_state(Arc::new(token), authorize));
        router = router.merge(admin);
    }
    router.with_state(api)
}

async fn authenticate(State(api): State<Arc<Api>>, mut request: Request, next: Next) -> Response {
    match api.key(&request) {
        Some(key) => {
            request.extensions_mut().insert(key);
            next.run(request).await
        }
        None => unauthorized("ApiKey", "invalid API key"),
    }
}

async fn authorize(State(token): State<Arc<String>>, request: Request, next: Next) -> Response {
    let sent = request.headers().get("x-admin-token");
    if sent.is_some_and(|sent| sent == token.as_str()) {
        next.run(request).await
    } else {
        unauthorized("AdminToken", "invalid admin token")
    }
}

fn unauthorized(scheme: &'static str, detail: &str) -> Response {
    let scheme = [(header::WWW_AUTHENTICATE, scheme)];
    (scheme, failure(StatusCode::UNAUTHORIZED, detail)).into_response()
}

type Failure = (StatusCode, Json<Value>);

fn failure(status: StatusCode, detail: impl fmt::Display) -> Failure {
    (status, Json(json!({ "detail": detail.to_string() })))
}

/// Stands in for the work of the service.
async fn work(Extension(customer): Extension<TieredKey<String, 2>>) -> Json<Value> {
    Json(json!({ "customer": customer.key() }))
}

/// Shows the tiers, and how often the file was reloaded.
async fn show_tiers(State(api): State<Arc<Api>>) -> Json<Value> {
    let tiers = api.tiers.names().into_iter().filter_map(|name| {
        // A reload may have removed the name.
        let tier = api.tiers.get(&name).ok()?;
        Some((name, tier.policy().to_string()))
    });
    Json(json!({
        "tiers": tiers.collect::<BTreeMap<_, _>>(),
        "reloads": api.reloads.load(Ordering::Relaxed),
        "failed_reloads": api.failed_reloads.load(Ordering::Relaxed),
    }))
}

/// Shows what a customer has left. It spends nothing.
async fn show_key(
    State(api): State<Arc<Api>>,
    extract::Path(id): extract::Path<String>,
) -> Result<Json<Value>, Failure> {
    api.with_customer(&id, |customer| shown(customer))
}

fn shown(customer: &Customer) -> Json<Value> {
    let decision = customer.tier.peek(&customer.id);
    let quotas = decision.quotas().iter().map(|quota| {
        json!({
            "quota": quota.quota().to_string(),
            "remaining": quota.remaining(),
            "reset_after_seconds": whole_seconds(quota.reset_after()),
        })
    });
    Json(json!({
        "customer": customer.id,
        "tier": customer.tier_name,
        "is_allowed": decision.is_allowed(),
        "remaining": decision.remaining(),
        "retry_after_seconds": decision.retry_after_seconds(),
        "reset_after_seconds": whole_seconds(decision.reset_after()),
        "quotas": quotas.collect::<Vec<_>>(),
    }))
}

/// Rounds up, as the header fields do.
fn whole_seconds(time: Duration) -> u64 {
    time.as_secs() + u64::from(time.subsec_nanos() > 0)
}

/// Forgets what a customer has spent.
async fn forget_key(
    State(api): State<Arc<Api>>,
    extract::Path(id): extract::Path<String>,
) -> Result<Json<Value>, Failure> {
    api.with_customer(&id, |customer| {
        let was_stored = api.limiter.forget(&customer.id);
        Json(json!({ "customer": customer.id, "was_stored": was_stored }))
    })
}

/// Moves a customer to the tier whose name is the body. What the customer has spent stays spent.
async fn change_tier(
    State(api): State<Arc<Api>>,
    extract::Path(id): extract::Path<String>,
    name: String,
) -> Result<Json<Value>, Failure> {
    api.with_customer(&id, |customer| {
        let tier = api.tiers.get(&name);
        customer.tier = tier.map_err(|error| failure(StatusCode::UNPROCESSABLE_ENTITY, error))?;
        customer.tier_name = name;
        Ok(shown(customer))
    })?
}

/// The settings, from environment variables.
pub struct Settings {
    pub tiers_file: PathBuf,
    pub admin_token: Option<String>,
    pub address: SocketAddr,
    pub timeouts: Timeouts,
}

/// The file of the tiers. Default: that of this directory, for a service that starts in the one above it.
pub const TIERS_FILE: &str = "TIERS_FILE";
pub const DEFAULT_FILE: &str = "examples/tiers.toml";

pub const ADMIN_TOKEN: &str = "ADMIN_TOKEN";

pub const PORT: Setting<u16> = service::port(8082);

impl Settings {
    pub fn read(environment: &Environment<'_>) -> Result<Settings, Box<dyn Error>> {
        let expected = || "the path of a file, in UTF-8".to_owned();
        let parse = |text: &str| (!text.is_empty()).then(|| PathBuf::from(text));
        let default = PathBuf::from(DEFAULT_FILE);
        Ok(Settings {
            tiers_file: settings::read(environment, TIERS_FILE, default, expected, parse)?,
            admin_token: admin_token(environment)?,
            address: service::address(&PORT, environment)?,
            timeouts: Timeouts::read(environment)?,
        })
    }
}

/// Reads the token of an operator. The error does not show it, since it is a secret.
fn admin_token(environment: &Environment<'_>) -> Result<Option<String>, String> {
    let Some(token) = environment(ADMIN_TOKEN) else {
        return Ok(None);
    };
    let is_valid = |token: &String| {
        (16..=128).contains(&token.len()) && token.bytes().all(|byte| byte.is_ascii_graphic())
    };
    let token = token.into_string().ok().filter(is_valid);
    token.map(Some).ok_or_else(|| {
        format!(
            "{ADMIN_TOKEN} is invalid; expected 16 to 128 printable ASCII characters, no blanks"
        )
    })
}

/// Reads the policies of a file.
pub fn read_policies(file: &Path) -> Result<Policies, InvalidFile> {
    let text = fs::read_to_string(file).map_err(|error| InvalidFile::new(file, error))?;
    toml::from_str(&text).map_err(|error| InvalidFile::new(file, error))
}

/// A file that cannot be read, or is no set of tiers.
#[derive(Debug)]
pub struct InvalidFile {
    file: PathBuf,
    why: String,
}

impl InvalidFile {
    fn new(file: &Path, why: impl Error) -> InvalidFile {
        let file = file.to_owned();
        // An error of TOML has several lines, and ends with an empty one.
        let why = why.to_string().trim_end().to_owned();
        InvalidFile { file, why }
    }
}

impl Error for InvalidFile {}

impl fmt::Display for InvalidFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.file.display(), self.why)
    }
}

/// Reloads the file on each signal, and reports what changed.
async fn reload_on_hangup(mut hangups: Hangups, api: Arc<Api>, file: PathBuf) {
    while hangups.next().await {
        // Both the file and the table take time, for which no request should wait.
        let (api, file) = (Arc::clone(&api), file.clone());
        let reloading = tokio::task::spawn_blocking(move || match api.reload(&file) {
            Ok(reload) => console::report(format_args!("reloaded {}: {reload}", file.display())),
            Err(error) => {
                console::report(format_args!("warning: the tiers stay as they are: {error}"))
            }
        });
        // A panic has printed its message, and the next signal is a new attempt.
        _ = reloading.await;
    }
}

/// The signal that reloads the file: SIGHUP.
#[cfg(unix)]
struct Hangups(tokio::signal::unix::Signal);

#[cfg(unix)]
impl Hangups {
    fn listen() -> io::Result<Hangups> {
        use tokio::signal::unix::{SignalKind, signal};
        signal(SignalKind::hangup()).map(Hangups)
    }

    async fn next(&mut self) -> bool {
        self.0.recv().await.is_some()
    }
}

/// Windows has no such signal, so the file is read once.
#[cfg(windows)]
struct Hangups;

#[cfg(windows)]
impl Hangups {
    fn listen() -> io::Result<Hangups> {
        Ok(Hangups)
    }

    async fn next(&mut self) -> bool {
        false
    }
}

#[tokio::main]
async fn main() -> ExitCode {
    service::exit_code(run().await)
}

async fn run() -> Result<(), Box<dyn Error>> {
    let Settings {
        tiers_file,
        admin_token,
        address,
        timeouts,
    } = Settings::read(&service::environment)?;
    let policies = read_policies(&tiers_file)?;
    let limits: Vec<String> = policies
        .iter()
        .map(|(name, policy)| format!("{policy} ({name})"))
        .collect();
    let api = Api::new(Clock::default(), policies)
        .map_err(|error| format!("{}: {error}", tiers_file.display()))?;
    let api = Arc::new(api);
    // Before the address is printed, so that a signal after that does not end the service.
    let hangups = Hangups::listen()?;
    let server = Server::listen(address).await?;
    let url = server.url();
    tokio::spawn(reload_on_hangup(hangups, Arc::clone(&api), tiers_file));
    service::print(format_args!("tiers listens on {url}"));
    service::print(format_args!(
        "limit: {} for each customer",
        limits.join(", ")
    ));
    service::print(format_args!(
        "try: curl -i -H 'X-API-Key: key-of-alice' {url}/work"
    ));
    Ok(server.serve(router(api, admin_token), timeouts).await?)
}
