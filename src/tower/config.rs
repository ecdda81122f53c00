//! What a layer is set to, shared by all services that it makes.

use std::fmt;

use http::StatusCode;

use crate::decision::Decision;
use crate::limit::Limit;
use crate::limiter::RateLimiter;
use crate::sync::Arc;
use crate::tower::drain::Limits;
use crate::tower::head::Head;
use crate::tower::headers::RateLimitHeaders;
use crate::tower::key::RequestKey;
use crate::tower::names::Name;

/// What happens to a request whose key is [missing](crate::tower::key::KeyError::Missing).
///
/// A request whose key is invalid or too long is rejected under each of these: with the status of
/// [`Reject`](OnMissingKey::Reject), or 400.
#[derive(Clone)]
#[non_exhaustive]
pub enum OnMissingKey<const N: usize = 1> {
    /// The request passes without a limit. A client that can leave the key out is not limited then.
    Allow,
    /// The request is rejected with this status, which must be 4xx or 5xx.
    ///
    /// Behind authentication a missing key means that the layers are in the wrong order:
    /// `INTERNAL_SERVER_ERROR` says so. `UNAUTHORIZED` needs a `WWW-Authenticate`, which a
    /// [custom response](super::RateLimitLayer::respond_with) can add.
    Reject(StatusCode),
    /// All requests without a key share one bucket, in this limiter. One client can exhaust it for
    /// all of them.
    Share(Arc<RateLimiter<(), N>>),
}

/// What happens to a request for which no decision can be made, because the store of the limiter
/// [failed](crate::limit::Limit::Error). A limiter in memory never fails.
///
/// With the feature `tracing` each failure is an event of level `WARN`, unless the limiter
/// [tells of it](crate::limit::Limit::fallback).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum OnStoreError {
    /// The request is rejected with 503.
    Reject,
    /// The request passes without a limit, and without response fields.
    Allow,
}

/// What every service of a layer shares.
pub(super) struct Config<L, K>
where
    K: RequestKey,
    L: Limit<K::Key>,
{
    pub(super) limiter: L,
    pub(super) headers: Arc<RateLimitHeaders>,
    pub(super) key: Arc<K>,
    pub(super) key_name: Option<Name>,
    pub(super) missing_key: MissingKey<L::Decision>,
    /// `None` if the limiter says it, or else rejects.
    pub(super) store_error: Option<OnStoreError>,
    pub(super) exempt: Option<Predicate>,
    pub(super) cost: Option<Cost>,
    pub(super) inserts_decision: bool,
    /// `None` if the bodies of rejected requests are not read.
    pub(super) drain: Option<Limits>,
    #[cfg(feature = "tracing")]
    pub(super) logged_key: Option<fn(&K::Key) -> String>,
}

pub(super) type Predicate = Arc<dyn Fn(&Head<'_>) -> bool + Send + Sync>;
pub(super) type Cost = Arc<dyn Fn(&Head<'_>) -> u64 + Send + Sync>;

/// [`OnMissingKey`], for decisions of the type `D`.
pub(super) enum MissingKey<D> {
    Allow,
    Reject(StatusCode),
    Share(Arc<dyn SharedBucket<D>>, Arc<RateLimitHeaders>),
}

/// The bucket of [`OnMissingKey::Share`].
pub(super) trait SharedBucket<D>: Send + Sync {
    fn check_n(&self, n: u64) -> D;
}

impl<const N: usize> SharedBucket<Decision<N>> for RateLimiter<(), N> {
    fn check_n(&self, n: u64) -> Decision<N> {
        RateLimiter::check_n(self, &(), n)
    }
}

impl<const N: usize> From<OnMissingKey<N>> for MissingKey<Decision<N>> {
    /// # Panics
    ///
    /// If a status is not that of a rejection.
    fn from(rule: OnMissingKey<N>) -> MissingKey<Decision<N>> {
        match rule {
            OnMissingKey::Allow => MissingKey::Allow,
            OnMissingKey::Reject(status)
                if status.is_client_error() || status.is_server_error() =>
            {
                MissingKey::Reject(status)
            }
            OnMissingKey::Reject(status) => {
                panic!("found {status} as the status of a rejection, expected 4xx or 5xx")
            }
            OnMissingKey::Share(limiter) => {
                let headers = RateLimitHeaders::new(limiter.policy().quotas());
                MissingKey::Share(limiter, Arc::new(headers))
            }
        }
    }
}

impl<L, K> Config<L, K>
where
    K: RequestKey,
    L: Limit<K::Key>,
{
    /// Changes how the decisions of each limiter are written.
    pub(super) fn change_headers<E>(
        &mut self,
        change: impl Fn(&mut RateLimitHeaders) -> Result<(), E>,
    ) -> Result<(), E> {
        change(Arc::make_mut(&mut self.headers))?;
        match &mut self.missing_key {
            MissingKey::Share(_, headers) => change(Arc::make_mut(headers)),
            MissingKey::Allow | MissingKey::Reject(_) => Ok(()),
        }
    }

    /// Returns the name of the key for messages, if it has one.
    pub(super) fn key_name(&self) -> Option<&str> {
        let own = self.key_name.as_ref().map(Name::as_str);
        own.or_else(|| self.key.name())
    }
}

impl<L, K> Clone for Config<L, K>
where
    K: RequestKey,
    L: Limit<K::Key> + Clone,
{
    fn clone(&self) -> Config<L, K> {
        Config {
            limiter: self.limiter.clone(),
            headers: Arc::clone(&self.headers),
            key: Arc::clone(&self.key),
            key_name: self.key_name.clone(),
            missing_key: self.missing_key.clone(),
            store_error: self.store_error,
            exempt: self.exempt.clone(),
            cost: self.cost.clone(),
            inserts_decision: self.inserts_decision,
            drain: self.drain,
            #[cfg(feature = "tracing")]
            logged_key: self.logged_key,
        }
    }
}

impl<D> Clone for MissingKey<D> {
    fn clone(&self) -> MissingKey<D> {
        match self {
            MissingKey::Allow => MissingKey::Allow,
            MissingKey::Reject(status) => MissingKey::Reject(*status),
            MissingKey::Share(bucket, headers) => {
                MissingKey::Share(Arc::clone(bucket), Arc::clone(headers))
            }
        }
    }
}

impl<const N: usize> fmt::Debug for OnMissingKey<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            OnMissingKey::Allow => f.write_str("Allow"),
            OnMissingKey::Reject(status) => write!(f, "Reject({status})"),
            OnMissingKey::Share(limiter) => f.debug_tuple("Share").field(limiter).finish(),
        }
    }
}

impl<L, K> fmt::Debug for Config<L, K>
where
    K: RequestKey,
    L: Limit<K::Key>,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Config")
            .field("headers", &self.headers)
            .field("has_exemption", &self.exempt.is_some())
            .field("has_cost", &self.cost.is_some())
            .field("drain", &self.drain)
            .finish_non_exhaustive()
    }
}
