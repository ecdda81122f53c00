//! Asks the store. The only file that names the crate `redis`.
//!
//! A request is sent once. Only if the server says that it did not run (`NOSCRIPT`, `MOVED`, `TRYAGAIN`) is
//! it sent again: anything else may have run.

mod source;

use std::{fmt, future::Future, pin::Pin, sync::OnceLock};

use redis::{AsyncConnectionConfig, Cmd, ErrorKind, Script, ServerErrorKind, Value};
// Of the public interface.
pub(crate) use redis::{Client as RedisClient, RedisError, aio::ConnectionLike};

pub(crate) use self::source::Patience;
use self::source::{Given, Made, Source};
use crate::outage::Cause;
use crate::script::{self, Argument, Mode, Reply};
use crate::terms::Terms;

type Pending<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// How often a request is sent to a cluster that redirects it.
const REDIRECTIONS: u32 = 3;

/// The commands that wait for the socket. By default they are 50, and callers beyond that wait in turn.
const PIPELINE: usize = 1_024;

/// Where the arguments begin in a server's error of an unknown command.
const ARGUMENTS: &str = ", with args";

/// Why the store gave no reply, with what the server said.
#[derive(Clone, Debug)]
pub(crate) struct Failure {
    pub(crate) cause: Cause,
    pub(crate) text: String,
}

/// What a request needs to be allowed to do.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Command {
    /// To run the script.
    Script,
    /// To run another command. The user may lack the permission, which says nothing of the script.
    Other,
}

impl Command {
    /// Whether a failure of this command says something of checks.
    pub(crate) fn is_concerned(self, cause: Cause) -> bool {
        self == Command::Script || cause != Cause::Forbidden
    }
}

/// Asks the store, over the connections of a source.
pub(crate) struct Client {
    source: Box<dyn Source>,
}

impl Client {
    pub(crate) fn given<C>(connection: C) -> Client
    where
        C: ConnectionLike + Clone + Send + Sync + 'static,
    {
        Client {
            source: Box::new(Given(connection)),
        }
    }

    pub(crate) fn made<C, F>(
        patience: Patience,
        make: impl Fn() -> F + Send + Sync + 'static,
    ) -> Client
    where
        C: ConnectionLike + Clone + Send + Sync + 'static,
        F: Future<Output = Result<C, RedisError>> + Send + 'static,
    {
        let make = move || -> Pending<'static, Result<C, RedisError>> { Box::pin(make()) };
        Client {
            source: Box::new(Made::new(patience, Box::new(make))),
        }
    }

    /// Connects to the server of a client, without Nagle's delay.
    pub(crate) fn of(client: &RedisClient, patience: Patience) -> Client {
        let info = client.get_connection_info().clone();
        let tcp = info.tcp_settings().clone().set_nodelay(true);
        // A client can be made of what a client has.
        let client =
            RedisClient::open(info.set_tcp_settings(tcp)).unwrap_or_else(|_| client.clone());
        Client::made(patience, move || {
            let client = client.clone();
            async move {
                let config = AsyncConnectionConfig::new()
                    .set_connection_timeout(None)
                    .set_response_timeout(None)
                    .set_pipeline_buffer_size(PIPELINE);
                client
                    .get_multiplexed_async_connection_with_config(&config)
                    .await
            }
        })
    }

    /// Runs the script on the key at `name`.
    pub(crate) async fn run<const N: usize>(
        &self,
        name: &[u8],
        mode: Mode,
        terms: &[Terms],
        n: u64,
    ) -> Result<Reply<N>, Failure> {
        let arguments = script::arguments(mode, terms, n);
        let hash = script_of(script::text());
        let value = self.send(Command::Script, |is_known| {
            let mut command = Cmd::with_capacity(4 + arguments.len(), name.len() + 256);
            if is_known {
                command.arg("EVALSHA").arg(hash.get_hash());
            } else {
                command.arg("EVAL").arg(script::text());
            }
            command.arg(1).arg(name);
            for argument in &arguments {
                match argument {
                    Argument::Text(text) => command.arg(*text),
                    Argument::Number(number) => command.arg(*number),
                };
            }
            command
        });
        let value = value.await?;
        let integers = integers(&value);
        let reply = integers
            .as_deref()
            .and_then(|integers| Reply::read(integers, terms, n));
        reply.ok_or_else(|| Failure::server(format!("the script returned {value:?}")))
    }

    /// Removes the key at `name`, and says whether there was one.
    pub(crate) async fn remove(&self, name: &[u8]) -> Result<bool, Failure> {
        let value = self.send(Command::Other, |_| {
            let mut command = Cmd::new();
            command.arg("DEL").arg(name);
            command
        });
        match value.await? {
            Value::Int(removed) => Ok(removed > 0),
            other => Err(Failure::server(format!("DEL returned {other:?}"))),
        }
    }

    /// Returns what the servers say of themselves: of a cluster, several texts.
    pub(crate) async fn information(&self) -> Result<Vec<String>, Failure> {
        let value = self.send(Command::Other, |_| {
            let mut command = Cmd::new();
            command.arg("INFO");
            command
        });
        let mut texts = Vec::new();
        collect(&value.await?, &mut texts);
        Ok(texts)
    }

    /// Replaces the connection before the next request.
    pub(crate) fn renew(&self) {
        self.source.renew(None);
    }

    /// Sends a command. It is made anew, and without the hash of the script, if the server lacks the script.
    async fn send(&self, command: Command, words: impl Fn(bool) -> Cmd) -> Result<Value, Failure> {
        let (number, mut connection) = self.source.connection().await?;
        let mut is_known = true;
        let mut redirections = 0;
        loop {
            let result = connection.req_packed_command(&words(is_known)).await;
            let error = match result.and_then(Value::extract_error) {
                Ok(value) => {
                    self.source.answered(number);
                    return Ok(value);
                }
                Err(error) => error,
            };
            match error.kind() {
                ErrorKind::Server(ServerErrorKind::NoScript) if is_known => is_known = false,
                ErrorKind::Server(ServerErrorKind::Moved | ServerErrorKind::TryAgain)
                    if redirections < REDIRECTIONS =>
                {
                    redirections += 1;
                    tokio::task::yield_now().await;
                }
                _ => {
                    let failure = Failure::from(error);
                    if failure.cause.is_of_the_connection() && command.is_concerned(failure.cause) {
                        self.source.renew(Some(number));
                    }
                    return Err(failure);
                }
            }
        }
    }
}

/// Returns the script with its hash.
fn script_of(text: &'static str) -> &'static Script {
    static SCRIPT: OnceLock<Script> = OnceLock::new();
    SCRIPT.get_or_init(|| Script::new(text))
}

fn integers(value: &Value) -> Option<Vec<i64>> {
    let Value::Array(values) = value else {
        return None;
    };
    let integer = |value: &Value| match value {
        Value::Int(number) => Some(*number),
        _ => None,
    };
    values.iter().map(integer).collect()
}

/// Collects the texts in a value, however deep they are.
fn collect(value: &Value, texts: &mut Vec<String>) {
    match value {
        Value::BulkString(bytes) => texts.push(String::from_utf8_lossy(bytes).into_owned()),
        Value::SimpleString(text) | Value::VerbatimString { text, .. } => texts.push(text.clone()),
        Value::Array(values) | Value::Set(values) => {
            values.iter().for_each(|value| collect(value, texts))
        }
        Value::Map(pairs) => pairs.iter().for_each(|(_, value)| collect(value, texts)),
        _ => {}
    }
}

impl Failure {
    pub(crate) fn timeout() -> Failure {
        Failure {
            cause: Cause::Timeout,
            text: Cause::Timeout.to_string(),
        }
    }

    fn server(text: String) -> Failure {
        Failure {
            cause: Cause::Server,
            text,
        }
    }
}

impl From<RedisError> for Failure {
    fn from(error: RedisError) -> Failure {
        let cause = match error.kind() {
            ErrorKind::Server(kind) => match kind {
                ServerErrorKind::ReadOnly => Cause::ReadOnly,
                ServerErrorKind::BusyLoading => Cause::Loading,
                ServerErrorKind::ClusterDown | ServerErrorKind::MasterDown => Cause::ClusterDown,
                ServerErrorKind::Moved | ServerErrorKind::Ask | ServerErrorKind::TryAgain => {
                    Cause::Moving
                }
                ServerErrorKind::NoPerm => Cause::Forbidden,
                _ => Cause::of_code(error.code(), error.detail()),
            },
            ErrorKind::Extension => Cause::of_code(error.code(), error.detail()),
            ErrorKind::AuthenticationFailed => Cause::Forbidden,
            ErrorKind::Io if error.is_timeout() => Cause::Timeout,
            ErrorKind::Io
            | ErrorKind::Parse
            | ErrorKind::ClusterConnectionNotFound
            | ErrorKind::MasterNameNotFoundBySentinel
            | ErrorKind::NoValidReplicasFoundBySentinel => Cause::Connection,
            _ => Cause::Server,
        };
        let mut text = error.to_string();
        // Behind this the server repeats the command, and so the key.
        if let Some(end) = text.find(ARGUMENTS) {
            text.truncate(end);
        }
        Failure { cause, text }
    }
}

impl Cause {
    /// Returns the cause of an error by its code, and by its text if the code says nothing.
    fn of_code(code: Option<&str>, detail: Option<&str>) -> Cause {
        // Behind this the server repeats the command, and so a key, which may be any text.
        let detail = detail.map(|detail| detail.split(ARGUMENTS).next().unwrap_or(detail));
        let has = |text| detail.is_some_and(|detail: &str| detail.contains(text));
        match code {
            Some("OOM") => Cause::OutOfMemory,
            Some("NOREPLICAS") => Cause::NoReplicas,
            Some("NOAUTH" | "WRONGPASS") => Cause::Forbidden,
            Some("WRONGTYPE" | "TOLLGATE") => Cause::Malformed,
            Some("MISCONF") => Cause::ReadOnly,
            // Redis 6 has the error of a command as the text of the script's error.
            _ if has("OOM ") => Cause::OutOfMemory,
            _ if has("READONLY") => Cause::ReadOnly,
            _ if has("NOREPLICAS") => Cause::NoReplicas,
            _ if has("WRONGTYPE") || has("TOLLGATE") => Cause::Malformed,
            _ if has("not allowed from script") || has("unknown command") => Cause::Forbidden,
            // The user may run scripts, and not what is in this one.
            _ if has("The user executing the script") || has("ACL failure in script") => {
                Cause::Forbidden
            }
            _ => Cause::Server,
        }
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").finish_non_exhaustive()
    }
}
