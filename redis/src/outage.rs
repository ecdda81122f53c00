//! Outages: what they are, why they happen, and what becomes of a request then.

use std::{error, fmt, num::NonZeroU32, time::Duration};

/// What becomes of requests while the store gives no decision.
///
/// # Consistency
///
/// With N nodes, a quota of rate r and burst b, an outage of length t adds to the b + r × t that all nodes
/// admit together:
///
/// - [`Allow`](OnOutage::Allow): whatever is requested.
/// - [`Deny`](OnOutage::Deny): nothing.
/// - [`Local`](OnOutage::Local): nothing while all nodes see the outage. If only m of them do, up to m / N of
///   b + r × t, until they have charged it. So it is at its end too, when nodes return one after another.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum OnOutage {
    /// Requests pass without a limit, and a warning reports it. The default. Only keys that this node has cached
    /// as denied are still denied, for at most a minute.
    #[default]
    Allow,
    /// Requests are rejected, with 503 in the HTTP layer.
    Deny,
    /// Each node limits by its own share: a rate of r / N and a burst of b / N, for N nodes. Its buckets are
    /// empty when the outage begins. What it admits is charged in the store when that returns, before the store
    /// decides again.
    ///
    /// A charge without a reply is sent again. So it may be charged twice, but empties no more than a bucket. In a
    /// cluster, the units of a key whose slot moves or has no node are not charged, and a node that breaks
    /// connections keeps all keys on their shares.
    ///
    /// Every quota needs a burst of at least N. A node admits up to 65,536 keys during one outage, and denies
    /// others.
    Local {
        /// N: how many nodes there are. At least 1.
        nodes: NonZeroU32,
    },
}

/// Why the store gave no decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Cause {
    /// No reply within the [deadline](crate::Builder::deadline). The units may be spent or not.
    Timeout,
    /// No connection, or it broke. The units of a request that was sent may be spent or not.
    Connection,
    /// The server is a replica, and cannot write.
    ReadOnly,
    /// The server is out of memory, and evicts nothing.
    OutOfMemory,
    /// The server is loading its data.
    Loading,
    /// Too few replicas are connected (`min-replicas-to-write`).
    NoReplicas,
    /// The cluster is down.
    ClusterDown,
    /// The slot of the key is being moved to another node of the cluster, or its node is dead.
    Moving,
    /// The server rejects the user or password, scripts, or a command in one.
    Forbidden,
    /// The value of the key is not one of this limiter. Remove the key, or choose another
    /// [prefix](crate::Builder::prefix).
    Malformed,
    /// The check does not run in a tokio runtime. The store was not asked.
    NoRuntime,
    /// Any other error or reply of the server.
    Server,
}

impl Cause {
    /// Whether the cause concerns the store, and not one key alone.
    pub(crate) fn is_of_the_store(self) -> bool {
        !matches!(self, Cause::Malformed | Cause::Moving)
    }

    /// Whether another connection may help: to another server, which is the master by now, or as another
    /// user.
    pub(crate) fn is_of_the_connection(self) -> bool {
        match self {
            Cause::Timeout
            | Cause::Connection
            | Cause::ReadOnly
            | Cause::Loading
            | Cause::NoReplicas
            | Cause::ClusterDown
            | Cause::Forbidden => true,
            Cause::OutOfMemory
            | Cause::Moving
            | Cause::Malformed
            | Cause::NoRuntime
            | Cause::Server => false,
        }
    }
}

impl error::Error for Cause {}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Cause::Timeout => "no reply within the deadline",
            Cause::Connection => "no connection",
            Cause::ReadOnly => "the server is read-only",
            Cause::OutOfMemory => "the server is out of memory",
            Cause::Loading => "the server is loading its data",
            Cause::NoReplicas => "too few replicas",
            Cause::ClusterDown => "the cluster is down",
            Cause::Moving => "the slot of the key is moving or has no node",
            Cause::Forbidden => "the server rejects the user or the script",
            Cause::Malformed => "the value of the key is not one of this limiter",
            Cause::NoRuntime => "no tokio runtime",
            Cause::Server => "an error of the server",
        })
    }
}

/// The store gave no decision. It is not a denial: nothing is known of the key.
///
/// [`is_allowed`](Outage::is_allowed) says what the limiter makes of the request, by its [`OnOutage`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outage {
    pub(crate) cause: Cause,
    pub(crate) was_asked: bool,
    pub(crate) verdict: Verdict,
}

/// What an [`OnOutage`] makes of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Allowed,
    Denied { retry_after: Option<Duration> },
}

impl Outage {
    /// Returns why there is no decision.
    #[must_use]
    pub fn cause(&self) -> Cause {
        self.cause
    }

    /// Whether the store was asked. If not, it has failed before, and the next attempt is not due. Then no
    /// units of the request are spent in the store.
    #[must_use]
    pub fn was_asked(&self) -> bool {
        self.was_asked
    }

    /// Whether the request passes in spite of the outage.
    #[must_use]
    pub fn is_allowed(&self) -> bool {
        self.verdict == Verdict::Allowed
    }

    /// Returns the time after which the local share allows the request, if the outage lasts. `None` under
    /// any other [`OnOutage`], if the request is allowed, or if it exceeds the share's burst.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        match self.verdict {
            Verdict::Allowed => None,
            Verdict::Denied { retry_after } => retry_after,
        }
    }
}

impl error::Error for Outage {}

impl fmt::Display for Outage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verdict = if self.is_allowed() {
            "passes"
        } else {
            "is rejected"
        };
        write!(
            f,
            "rate limit store unavailable: {}; the request {verdict}",
            self.cause
        )
    }
}
