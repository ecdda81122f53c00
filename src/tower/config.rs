//! What a layer goes by, and what that makes of a request.

use std::{
    fmt,
    hash::{BuildHasher, Hash},
};

use http::{Response, StatusCode};

use crate::decision::Decision;
use crate::hash::RandomState;
use crate::limiter::RateLimiter;
use crate::sync::Arc;
use crate::tower::drain::Limits;
use crate::tower::head::Head;
use crate::tower::headers::{self, Fields, Written};
use crate::tower::key::{KeyError, RequestKey, Stored};
use crate::tower::rejection::Rejection;
use crate::tower::response::RejectionResponse;

/// What becomes of a request whose key is [absent](crate::tower::key::KeyError::Missing).
///
/// One whose key is malformed or too long is rejected under each of these: with the status of
/// [`Reject`](OnMissingKey::Reject), or 400.
#[derive(Clone)]
pub enum OnMissingKey<const N: usize = 1> {
    /// It is let through, unlimited. A client that can leave the key out then has no limit.
    Allow,
    /// It is rejected with this status, which is one of 4xx or 5xx.
    ///
    /// Behind authentication a request without a key means that the layers are in the wrong order:
    /// `INTERNAL_SERVER_ERROR` says so. `UNAUTHORIZED` has to come with `WWW-Authenticate`, which
    /// an [answer of your own](super::RateLimitLayer::respond_with) can add.
    Reject(StatusCode),
    /// It shares one bucket, of this limiter, with all others that have no key. One client can
    /// exhaust the bucket for all of them.
    Share(Arc<RateLimiter<(), N>>),
}

/// What every service that a layer makes goes by.
pub(super) struct Config<K: RequestKey, const N: usize, A, S> {
    pub(super) keyed: Announced<Stored<K>, N, S>,
    pub(super) key: Arc<K>,
    pub(super) no_key: Fallback<N>,
    pub(super) exempt: Option<Predicate>,
    pub(super) cost: Option<Cost>,
    pub(super) response: Arc<A>,
    pub(super) inserts_decision: bool,
    /// `None` if the bodies of rejected requests are not read.
    pub(super) drain: Option<Limits>,
    #[cfg(feature = "tracing")]
    pub(super) logged_key: Option<fn(&K::Key) -> String>,
}

type Predicate = Arc<dyn Fn(&Head<'_>) -> bool + Send + Sync>;
type Cost = Arc<dyn Fn(&Head<'_>) -> u64 + Send + Sync>;

/// A limiter, and how clients are told of its decisions.
pub(super) struct Announced<K, const N: usize, S> {
    limiter: Arc<RateLimiter<K, N, S>>,
    fields: Arc<Fields<N>>,
}

/// [`OnMissingKey`], with how clients are told.
#[derive(Clone)]
pub(super) enum Fallback<const N: usize> {
    Allow,
    Reject(StatusCode),
    Share(Announced<(), N, RandomState>),
}

impl<K, const N: usize, S> Announced<K, N, S>
where
    K: Hash + Eq + 'static,
    S: BuildHasher + Clone,
{
    pub(super) fn new(limiter: Arc<RateLimiter<K, N, S>>) -> Announced<K, N, S> {
        let fields = Arc::new(Fields::new(limiter.policy()));
        Announced { limiter, fields }
    }
}

impl<const N: usize> From<OnMissingKey<N>> for Fallback<N> {
    /// # Panics
    ///
    /// If a status is not that of a rejection.
    fn from(rule: OnMissingKey<N>) -> Fallback<N> {
        match rule {
            OnMissingKey::Allow => Fallback::Allow,
            OnMissingKey::Reject(status)
                if status.is_client_error() || status.is_server_error() =>
            {
                Fallback::Reject(status)
            }
            OnMissingKey::Reject(status) => {
                panic!("found {status} as the status of a rejection, expected one of 4xx or 5xx")
            }
            OnMissingKey::Share(limiter) => Fallback::Share(Announced::new(limiter)),
        }
    }
}

impl<K: RequestKey, const N: usize, A, S> Config<K, N, A, S> {
    /// Sets how clients are told, of each limiter that there is.
    pub(super) fn set_fields(&mut self, set: impl Fn(&mut Fields<N>)) {
        set(Arc::make_mut(&mut self.keyed.fields));
        if let Fallback::Share(shared) = &mut self.no_key {
            set(Arc::make_mut(&mut shared.fields));
        }
    }
}

/// What is to be done with a request.
pub(super) enum Verdict<O, const N: usize> {
    Unlimited,
    /// It passes, and its response carries these fields.
    Allowed(Decision<N>, Written),
    Rejected(Response<O>),
}

impl<K, const N: usize, A, S> Config<K, N, A, S>
where
    K: RequestKey,
    Stored<K>: 'static,
    S: BuildHasher + Clone,
{
    pub(super) fn verdict<O>(&self, request: &Head<'_>) -> Verdict<O, N>
    where
        A: RejectionResponse<O, N>,
    {
        let is_exempt = |exempt: &Predicate| exempt(request);
        if self.exempt.as_ref().is_some_and(is_exempt) {
            return Verdict::Unlimited;
        }
        let key = self.key.key(request);
        let cost = || self.cost.as_ref().map_or(1, |cost| cost(request));
        let (cost, decision, fields) = match (&key, &self.no_key) {
            (Ok(key), _) => {
                let cost = cost();
                let decision = self.keyed.limiter.check_n(&**key, cost);
                (cost, decision, &*self.keyed.fields)
            }
            (Err(KeyError::Missing), Fallback::Allow) => return Verdict::Unlimited,
            (Err(KeyError::Missing), Fallback::Share(shared)) => {
                let cost = cost();
                (cost, shared.limiter.check_n(&(), cost), &*shared.fields)
            }
            (Err(why), rule) => {
                let status = match rule {
                    Fallback::Reject(status) => *status,
                    Fallback::Allow | Fallback::Share(_) => StatusCode::BAD_REQUEST,
                };
                let rejection = Rejection::without_key(request, *why, status);
                self.log(&rejection, None);
                return Verdict::Rejected(self.response.respond(&rejection));
            }
        };
        let written = fields.of(&decision);
        if decision.is_allowed() {
            return Verdict::Allowed(decision, written);
        }
        let rejection = Rejection::denied(request, &decision, cost, fields.names());
        self.log(&rejection, key.as_deref().ok());
        let mut response = self.response.respond(&rejection);
        let headers = response.headers_mut();
        headers::add_retry_after(headers, &rejection);
        written.add_to(headers);
        Verdict::Rejected(response)
    }

    #[cfg(feature = "tracing")]
    fn log(&self, rejection: &Rejection<'_, N>, key: Option<&K::Key>) {
        crate::tower::trace::rejection(rejection, || Some(self.logged_key?(key?)));
    }

    #[cfg(not(feature = "tracing"))]
    fn log(&self, _: &Rejection<'_, N>, _: Option<&K::Key>) {}
}

impl<K: RequestKey, const N: usize, A, S> Clone for Config<K, N, A, S> {
    fn clone(&self) -> Config<K, N, A, S> {
        Config {
            keyed: self.keyed.clone(),
            key: Arc::clone(&self.key),
            no_key: self.no_key.clone(),
            exempt: self.exempt.clone(),
            cost: self.cost.clone(),
            response: Arc::clone(&self.response),
            inserts_decision: self.inserts_decision,
            drain: self.drain,
            #[cfg(feature = "tracing")]
            logged_key: self.logged_key,
        }
    }
}

impl<K, const N: usize, S> Clone for Announced<K, N, S> {
    fn clone(&self) -> Announced<K, N, S> {
        Announced {
            limiter: Arc::clone(&self.limiter),
            fields: Arc::clone(&self.fields),
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

impl<K: RequestKey, const N: usize, A, S> fmt::Debug for Config<K, N, A, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Config")
            .field("fields", &self.keyed.fields)
            .field("is_exempting", &self.exempt.is_some())
            .field("is_costing", &self.cost.is_some())
            .field("drain", &self.drain)
            .finish_non_exhaustive()
    }
}
