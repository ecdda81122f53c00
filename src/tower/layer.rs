//! The layer, and how it is set up.

use std::{fmt, hash::BuildHasher, time::Duration};

use http::Response;
use tower_layer::Layer;

use crate::hash::RandomState;
use crate::limiter::RateLimiter;
use crate::sync::Arc;
use crate::tower::config::{Announced, Config, OnMissingKey};
use crate::tower::drain::Limits;
use crate::tower::error::InvalidSetting;
use crate::tower::head::Head;
use crate::tower::headers::IetfDraft;
use crate::tower::key::{RequestKey, Stored};
use crate::tower::names;
use crate::tower::rejection::Rejection;
use crate::tower::response::{RespondWith, TextResponse};
use crate::tower::service::RateLimit;

/// Limits the requests to a service, by a key of each request.
///
/// ```
/// use std::sync::Arc;
/// use axum::extract::MatchedPath;
/// use http::StatusCode;
/// use tollgate::tower::{OnMissingKey, RateLimitLayer, key::ExtensionKey};
/// use tollgate::{Quota, RateLimiter};
///
/// /// The owner of the API key, as authentication looked it up and left it in the extensions. (A
/// /// limit by the key itself would give an owner of many keys many buckets.)
/// #[derive(Clone, PartialEq, Eq, Hash)]
/// struct Owner(u64);
///
/// let limiter = Arc::new(RateLimiter::new(Quota::per_minute(100).burst(10)));
/// // A request without an owner comes here only if the layers are in the wrong order.
/// let no_key = OnMissingKey::Reject(StatusCode::INTERNAL_SERVER_ERROR);
/// let layer = RateLimitLayer::new(limiter, ExtensionKey::<Owner>::new(), no_key)
///     .exempt(|request| {
///         // The route that axum's router has matched, not the path as the client spelled it.
///         let route = request.extensions.get::<MatchedPath>();
///         route.is_some_and(|route| ["/health", "/docs"].contains(&route.as_str()))
///     });
/// # let _ = layer;
/// ```
///
/// A request is decided on when the service is called, before its body is read. If it is allowed,
/// the inner service gets it as it came, and its response goes out as it is, with the fields of the
/// limit added. If it is rejected, the inner service is not called. A unit is spent on a request
/// that is allowed, whatever becomes of it.
///
/// All services that a layer and its clones make share the limiter, and so may several layers.
#[must_use = "a layer limits nothing until it is put around a service"]
pub struct RateLimitLayer<K: RequestKey, const N: usize = 1, A = TextResponse, S = RandomState> {
    config: Config<K, N, A, S>,
}

impl<K, const N: usize, S> RateLimitLayer<K, N, TextResponse, S>
where
    K: RequestKey,
    Stored<K>: 'static,
    S: BuildHasher + Clone,
{
    /// A layer that asks `limiter` about the `key` of each request; `no_key` says what becomes of
    /// requests that have none.
    ///
    /// Unless set otherwise, each request costs one unit, none is exempt, rejections are answered in
    /// plain [`TextResponse`], and responses carry `X-RateLimit-Limit`, `X-RateLimit-Remaining` and
    /// `X-RateLimit-Reset`: the [limit](crate::Decision::limit) and what
    /// [remains](crate::Decision::remaining) in units, and the whole seconds, rounded up, until
    /// every bucket [is full](crate::Decision::reset_after).
    ///
    /// # Panics
    ///
    /// If `no_key` refuses with a status that is none of 4xx and 5xx.
    pub fn new(
        limiter: Arc<RateLimiter<Stored<K>, N, S>>,
        key: K,
        no_key: OnMissingKey<N>,
    ) -> RateLimitLayer<K, N, TextResponse, S> {
        RateLimitLayer {
            config: Config {
                keyed: Announced::new(limiter),
                key: Arc::new(key),
                no_key: no_key.into(),
                exempt: None,
                cost: None,
                response: Arc::new(TextResponse),
                inserts_decision: false,
                drain: Some(Limits::DEFAULT),
                #[cfg(feature = "tracing")]
                logged_key: None,
            },
        }
    }
}

impl<K, const N: usize, A, S> RateLimitLayer<K, N, A, S>
where
    K: RequestKey,
    S: BuildHasher + Clone,
{
    /// Lets the requests that `is_exempt` through, unlimited and without fields. With several calls,
    /// each predicate exempts.
    ///
    /// # Caveats
    ///
    /// A client writes the method and the path. `//health`, `/health/` and `/%68ealth` may or may
    /// not be `/health`, as the router has it, and a handler may take any method. So decide by the
    /// route that the router has matched, as in the [example](RateLimitLayer).
    /// [More](super::key#what-a-client-chooses).
    pub fn exempt<F>(mut self, is_exempt: F) -> RateLimitLayer<K, N, A, S>
    where
        F: Fn(&Head<'_>) -> bool + Send + Sync + 'static,
    {
        self.config.exempt = Some(match self.config.exempt {
            None => Arc::new(is_exempt),
            Some(before) => Arc::new(move |request| before(request) || is_exempt(request)),
        });
        self
    }

    /// Spends as many units on each request as `cost` says, instead of one.
    ///
    /// A cost above the burst of a quota never passes, and is answered so.
    ///
    /// # Caveats
    ///
    /// A cost of 0 always passes: it is no limit. If the cost follows from what a client may leave
    /// out, such as the length of a body, charge the most where it is missing. There is an
    /// [example](super::key#what-a-client-chooses).
    pub fn cost<F>(mut self, cost: F) -> RateLimitLayer<K, N, A, S>
    where
        F: Fn(&Head<'_>) -> u64 + Send + Sync + 'static,
    {
        self.config.cost = Some(Arc::new(cost));
        self
    }

    /// Answers rejections with `answer`: [`JsonResponse`](super::JsonResponse), [`ProblemResponse`](super::ProblemResponse),
    /// [`GrpcResponse`](super::GrpcResponse), or an [`RejectionResponse`](super::RejectionResponse) of your own.
    pub fn respond<T>(self, response: T) -> RateLimitLayer<K, N, T, S> {
        let Config {
            keyed,
            key,
            no_key,
            exempt,
            cost,
            response: _,
            inserts_decision,
            drain,
            #[cfg(feature = "tracing")]
            logged_key,
        } = self.config;
        RateLimitLayer {
            config: Config {
                keyed,
                key,
                no_key,
                exempt,
                cost,
                response: Arc::new(response),
                inserts_decision,
                drain,
                #[cfg(feature = "tracing")]
                logged_key,
            },
        }
    }

    /// Answers rejections with what `answer` returns.
    ///
    /// ```
    /// # use std::sync::Arc; use tollgate::{Quota, RateLimiter, tower::{OnMissingKey, RateLimitLayer, key::ExtensionKey}};
    /// # #[derive(Clone, PartialEq, Eq, Hash)] struct Owner(u64);
    /// # let (limiter, no_key) = (Arc::new(RateLimiter::new(Quota::default())), OnMissingKey::Reject(http::StatusCode::FORBIDDEN));
    /// let layer = RateLimitLayer::new(limiter, ExtensionKey::<Owner>::new(), no_key)
    ///     .respond_with(|rejection| {
    ///         let mut response = http::Response::new(format!("slow down: {rejection}"));
    ///         *response.status_mut() = rejection.status();
    ///         response
    ///     });
    /// # let _ = layer;
    /// ```
    pub fn respond_with<F, B>(self, respond: F) -> RateLimitLayer<K, N, RespondWith<F>, S>
    where
        F: Fn(&Rejection<'_, N>) -> Response<B>,
    {
        self.respond(RespondWith(respond))
    }

    /// Leaves out `X-RateLimit-Limit`, `X-RateLimit-Remaining` and `X-RateLimit-Reset`.
    pub fn without_x_ratelimit(mut self) -> RateLimitLayer<K, N, A, S> {
        self.config.set_fields(|fields| fields.x_ratelimit = false);
        self
    }

    /// Adds the fields `RateLimit-Policy` and `RateLimit` as this `draft` has them.
    pub fn ietf_fields(mut self, draft: IetfDraft) -> RateLimitLayer<K, N, A, S> {
        self.config.set_fields(|fields| fields.set_ietf(draft));
        self
    }

    /// Names the quotas of the policy, in its order, for the IETF's fields and
    /// [`ProblemResponse`](super::ProblemResponse): those of [`OnMissingKey::Share`]'s limiter too.
    ///
    /// If not said, each is named after its period: `minute`, `7 days`; quotas of equal periods
    /// after all that they are: `100/minute burst 10`.
    ///
    /// # Errors
    ///
    /// If a name is empty, has a character that is not printable ASCII, or is there twice.
    pub fn quota_names<T: Into<String>>(
        mut self,
        quotas: [T; N],
    ) -> Result<RateLimitLayer<K, N, A, S>, InvalidSetting> {
        let names = names::chosen(quotas.map(Into::into))?;
        self.config
            .set_fields(|fields| fields.set_names(names.clone()));
        Ok(self)
    }

    /// Leaves the [`Decision`](crate::Decision) that allowed a request in its extensions, where the
    /// inner service finds it.
    pub fn insert_decision(mut self) -> RateLimitLayer<K, N, A, S> {
        self.config.inserts_decision = true;
        self
    }

    /// Sets how much of a rejected request's body is read before the response goes out: at most
    /// `max_bytes` and the rest of one frame, for at most `max_time`.
    ///
    /// Default: 16 MiB, 10 s. `max_bytes`: at least 1. `max_time`: from 0, which reads what has
    /// arrived and waits for nothing, to 1 h. It counts from when the layer first waits, and is at
    /// most 1 s over HTTP/2 and HTTP/3, where a call may stream until it is answered.
    ///
    /// Set `max_bytes` to at least what a proxy in front lets through (`client_max_body_size` of
    /// nginx), or such a proxy turns the rejection of a larger upload into 502. The
    /// [module](super#rejected-requests-with-a-body) says why bodies are read, and which are not.
    ///
    /// # Errors
    ///
    /// If `max_bytes` is 0, or if `max_time` is longer than 1 h.
    ///
    /// # Examples
    ///
    /// ```
    /// # use std::{sync::Arc, time::Duration}; use tollgate::{Quota, RateLimiter, tower::{OnMissingKey, RateLimitLayer, key::ExtensionKey}};
    /// # #[derive(Clone, PartialEq, Eq, Hash)] struct Owner(u64);
    /// # let (limiter, no_key) = (Arc::new(RateLimiter::new(Quota::default())), OnMissingKey::Reject(http::StatusCode::FORBIDDEN));
    /// // Uploads of up to 100 MB come through the proxy.
    /// let layer = RateLimitLayer::new(limiter, ExtensionKey::<Owner>::new(), no_key)
    ///     .drain(100_000_000, Duration::from_secs(30))?;
    /// assert!(layer.drain(0, Duration::from_secs(30)).is_err());
    /// # Ok::<_, tollgate::tower::InvalidSetting>(())
    /// ```
    pub fn drain(
        mut self,
        max_bytes: u64,
        max_time: Duration,
    ) -> Result<RateLimitLayer<K, N, A, S>, InvalidSetting> {
        self.config.drain = Some(Limits::new(max_bytes, max_time)?);
        Ok(self)
    }

    /// Answers rejected requests at once, and leaves their bodies unread.
    ///
    /// For a service that reads bodies in an outer layer, a server that reads what a service has
    /// left, or a client that limits its own requests.
    pub fn without_draining(mut self) -> RateLimitLayer<K, N, A, S> {
        self.config.drain = None;
        self
    }

    /// Logs the key of each request that is rejected, in its `Debug` form. Without this, no key is
    /// logged: keys are often secrets, or names of people.
    #[cfg(feature = "tracing")]
    pub fn log_keys(mut self) -> RateLimitLayer<K, N, A, S>
    where
        K::Key: fmt::Debug,
    {
        self.config.logged_key = Some(|key| format!("{key:?}"));
        self
    }
}

impl<T, K: RequestKey, const N: usize, A, S> Layer<T> for RateLimitLayer<K, N, A, S> {
    type Service = RateLimit<T, K, N, A, S>;

    fn layer(&self, inner: T) -> RateLimit<T, K, N, A, S> {
        RateLimit::new(inner, Arc::new(self.config.clone()))
    }
}

impl<K: RequestKey, const N: usize, A, S> Clone for RateLimitLayer<K, N, A, S> {
    fn clone(&self) -> RateLimitLayer<K, N, A, S> {
        RateLimitLayer {
            config: self.config.clone(),
        }
    }
}

impl<K: RequestKey, const N: usize, A, S> fmt::Debug for RateLimitLayer<K, N, A, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("RateLimitLayer").field(&self.config).finish()
    }
}
