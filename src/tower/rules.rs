//! What a layer goes by, and what that makes of a request.

use std::{fmt, hash::BuildHasher};

use http::{Response, StatusCode};

use crate::decision::Decision;
use crate::limiter::RateLimiter;
use crate::sync::Arc;
use crate::tower::answer::Answer;
use crate::tower::fields::{self, Fields};
use crate::tower::head::Head;
use crate::tower::key::{RequestKey, Stored};
use crate::tower::refusal::Refusal;

/// What becomes of a request without a key.
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
    pub(super) limiter: Arc<RateLimiter<Stored<K>, N, S>>,
    pub(super) key: Arc<K>,
    pub(super) no_key: NoKey<N>,
    pub(super) exempt: Option<Predicate>,
    pub(super) cost: Option<Cost>,
    pub(super) answer: Arc<A>,
    pub(super) fields: Arc<Fields<N>>,
    pub(super) shows_decision: bool,
    #[cfg(feature = "tracing")]
    pub(super) logged_key: Option<fn(&K::Key) -> String>,
}

type Predicate = Arc<dyn Fn(&Head<'_>) -> bool + Send + Sync>;
type Cost = Arc<dyn Fn(&Head<'_>) -> u64 + Send + Sync>;

/// What is to be done with a request.
pub(super) enum Verdict<O, const N: usize> {
    Unlimited,
    Allowed(Decision<N>),
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
        if self
            .exempt
            .as_ref()
            .is_some_and(|is_exempt| is_exempt(request))
        {
            return Verdict::Unlimited;
        }
        let key = self.key.key(request);
        let cost = || self.cost.as_ref().map_or(1, |cost| cost(request));
        let (decision, cost) = match (&key, &self.no_key) {
            (Some(key), _) => {
                let cost = cost();
                (self.limiter.check_n(&**key, cost), cost)
            }
            (None, NoKey::Share(limiter)) => {
                let cost = cost();
                (limiter.check_n(&(), cost), cost)
            }
            (None, NoKey::LetThrough) => return Verdict::Unlimited,
            (None, NoKey::Refuse(status)) => {
                let refusal = Refusal::without_key(*status);
                return Verdict::Refused(self.refuse(&refusal, None));
            }
        };
        if decision.is_allowed() {
            return Verdict::Allowed(decision);
        }
        let refusal = Refusal::denied(&decision, cost, &self.fields.names);
        Verdict::Refused(self.refuse(&refusal, key.as_deref()))
    }

    fn refuse<O>(&self, refusal: &Refusal<'_, N>, key: Option<&K::Key>) -> Response<O>
    where
        A: Answer<O, N>,
    {
        self.log(refusal, key);
        let mut response = self.answer.answer(refusal);
        let headers = response.headers_mut();
        fields::add_retry_after(headers, refusal);
        if let Some(decision) = refusal.decision() {
            self.fields.of(decision).add_to(headers);
        }
        response
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
            limiter: Arc::clone(&self.limiter),
            key: Arc::clone(&self.key),
            no_key: self.no_key.clone(),
            exempt: self.exempt.clone(),
            cost: self.cost.clone(),
            answer: Arc::clone(&self.answer),
            fields: Arc::clone(&self.fields),
            shows_decision: self.shows_decision,
            #[cfg(feature = "tracing")]
            logged_key: self.logged_key,
        }
    }
}

impl<const N: usize> Clone for NoKey<N> {
    fn clone(&self) -> NoKey<N> {
        match self {
            NoKey::LetThrough => NoKey::LetThrough,
            NoKey::Refuse(status) => NoKey::Refuse(*status),
            NoKey::Share(limiter) => NoKey::Share(Arc::clone(limiter)),
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
            .field("no_key", &self.no_key)
            .field("fields", &self.fields)
            .field("shows_decision", &self.shows_decision)
            .finish_non_exhaustive()
    }
}
