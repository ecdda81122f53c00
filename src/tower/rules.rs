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
use crate::tower::answer::Answer;
use crate::tower::fields::{self, Fields, Written};
use crate::tower::head::Head;
use crate::tower::key::{RequestKey, Stored};
use crate::tower::refusal::Refusal;

/// What becomes of a request without a key.
#[derive(Clone)]
pub enum NoKey<const N: usize = 1> {
    /// It is let through, unlimited.
    LetThrough,
    /// It is refused with this status.
    Refuse(StatusCode),
    /// It shares one bucket, of this limiter, with all others that have no key.
    Share(Arc<RateLimiter<(), N>>),
}

/// What every service that a layer makes goes by.
pub(super) struct Rules<K: RequestKey, const N: usize, A, S> {
    pub(super) limit: Limit<Stored<K>, N, S>,
    pub(super) key: Arc<K>,
    pub(super) keyless: Keyless<N>,
    pub(super) exempt: Option<Predicate>,
    pub(super) cost: Option<Cost>,
    pub(super) answer: Arc<A>,
    pub(super) shows_decision: bool,
    #[cfg(feature = "tracing")]
    pub(super) logged_key: Option<fn(&K::Key) -> String>,
}

type Predicate = Arc<dyn Fn(&Head<'_>) -> bool + Send + Sync>;
type Cost = Arc<dyn Fn(&Head<'_>) -> u64 + Send + Sync>;

/// A limiter, and how clients are told of its decisions.
pub(super) struct Limit<K, const N: usize, S> {
    limiter: Arc<RateLimiter<K, N, S>>,
    fields: Arc<Fields<N>>,
}

/// [`NoKey`], with how clients are told.
#[derive(Clone)]
pub(super) enum Keyless<const N: usize> {
    LetThrough,
    Refuse(StatusCode),
    Share(Limit<(), N, RandomState>),
}

impl<K, const N: usize, S> Limit<K, N, S>
where
    K: Hash + Eq,
    S: BuildHasher + Clone,
{
    pub(super) fn new(limiter: Arc<RateLimiter<K, N, S>>) -> Limit<K, N, S> {
        let fields = Arc::new(Fields::new(limiter.policy()));
        Limit { limiter, fields }
    }
}

impl<const N: usize> From<NoKey<N>> for Keyless<N> {
    fn from(rule: NoKey<N>) -> Keyless<N> {
        match rule {
            NoKey::LetThrough => Keyless::LetThrough,
            NoKey::Refuse(status) => Keyless::Refuse(status),
            NoKey::Share(limiter) => Keyless::Share(Limit::new(limiter)),
        }
    }
}

impl<K: RequestKey, const N: usize, A, S> Rules<K, N, A, S> {
    /// Sets how clients are told, of each limiter that there is.
    pub(super) fn set_fields(&mut self, set: impl Fn(&mut Fields<N>)) {
        set(Arc::make_mut(&mut self.limit.fields));
        if let Keyless::Share(limit) = &mut self.keyless {
            set(Arc::make_mut(&mut limit.fields));
        }
    }
}

/// What is to be done with a request.
pub(super) enum Verdict<O, const N: usize> {
    Unlimited,
    /// It passes, and its response carries these fields.
    Allowed(Decision<N>, Written),
    Refused(Response<O>),
}

impl<K, const N: usize, A, S> Rules<K, N, A, S>
where
    K: RequestKey,
    S: BuildHasher + Clone,
{
    pub(super) fn verdict<O>(&self, request: &Head<'_>) -> Verdict<O, N>
    where
        A: Answer<O, N>,
    {
        let is_exempt = |exempt: &Predicate| exempt(request);
        if self.exempt.as_ref().is_some_and(is_exempt) {
            return Verdict::Unlimited;
        }
        let key = self.key.key(request);
        let cost = || self.cost.as_ref().map_or(1, |cost| cost(request));
        let (cost, decision, fields) = match (&key, &self.keyless) {
            (Some(key), _) => {
                let cost = cost();
                let decision = self.limit.limiter.check_n(&**key, cost);
                (cost, decision, &*self.limit.fields)
            }
            (None, Keyless::Share(limit)) => {
                let cost = cost();
                (cost, limit.limiter.check_n(&(), cost), &*limit.fields)
            }
            (None, Keyless::LetThrough) => return Verdict::Unlimited,
            (None, Keyless::Refuse(status)) => {
                let refusal = Refusal::without_key(*status);
                self.log(&refusal, None);
                return Verdict::Refused(self.answer.answer(&refusal));
            }
        };
        let written = fields.of(&decision);
        if decision.is_allowed() {
            return Verdict::Allowed(decision, written);
        }
        let refusal = Refusal::denied(&decision, cost, fields.names());
        self.log(&refusal, key.as_deref());
        let mut response = self.answer.answer(&refusal);
        let headers = response.headers_mut();
        fields::add_retry_after(headers, &refusal);
        written.add_to(headers);
        Verdict::Refused(response)
    }

    #[cfg(feature = "tracing")]
    fn log(&self, refusal: &Refusal<'_, N>, key: Option<&K::Key>) {
        crate::tower::log::refusal(refusal, || Some(self.logged_key?(key?)));
    }

    #[cfg(not(feature = "tracing"))]
    fn log(&self, _: &Refusal<'_, N>, _: Option<&K::Key>) {}
}

impl<K: RequestKey, const N: usize, A, S> Clone for Rules<K, N, A, S> {
    fn clone(&self) -> Rules<K, N, A, S> {
        Rules {
            limit: self.limit.clone(),
            key: Arc::clone(&self.key),
            keyless: self.keyless.clone(),
            exempt: self.exempt.clone(),
            cost: self.cost.clone(),
            answer: Arc::clone(&self.answer),
            shows_decision: self.shows_decision,
            #[cfg(feature = "tracing")]
            logged_key: self.logged_key,
        }
    }
}

impl<K, const N: usize, S> Clone for Limit<K, N, S> {
    fn clone(&self) -> Limit<K, N, S> {
        Limit {
            limiter: Arc::clone(&self.limiter),
            fields: Arc::clone(&self.fields),
        }
    }
}

impl<const N: usize> fmt::Debug for NoKey<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            NoKey::LetThrough => f.write_str("LetThrough"),
            NoKey::Refuse(status) => write!(f, "Refuse({status})"),
            NoKey::Share(limiter) => f.debug_tuple("Share").field(limiter).finish(),
        }
    }
}

impl<K: RequestKey, const N: usize, A, S> fmt::Debug for Rules<K, N, A, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rules")
            .field("fields", &self.limit.fields)
            .field("is_exempting", &self.exempt.is_some())
            .field("is_costing", &self.cost.is_some())
            .finish_non_exhaustive()
    }
}
