//! The layer, and its settings.

use std::{convert::Infallible, fmt, time::Duration};

use http::Response;
use tower_layer::Layer;

use crate::decision::Decision;
use crate::limit::Limit;
use crate::sync::Arc;
use crate::tower::config::{Config, OnMissingKey, OnStoreError};
use crate::tower::drain::Limits;
use crate::tower::error::InvalidSetting;
use crate::tower::head::Head;
use crate::tower::headers::{IetfDraft, RateLimitHeaders};
use crate::tower::key::RequestKey;
use crate::tower::names::Name;
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
/// let on_missing = OnMissingKey::Reject(StatusCode::INTERNAL_SERVER_ERROR);
/// let layer = RateLimitLayer::new(limiter, ExtensionKey::<Owner>::new(), on_missing)
///     .exempt(|request| {
///         // The route that axum's router has matched, not the path as the client spelled it.
///         let route = request.extensions.get::<MatchedPath>();
///         route.is_some_and(|route| ["/health", "/docs"].contains(&route.as_str()))
///     });
/// # let _ = layer;
/// ```
///
/// The layer decides when the service is called, before the body is read. If the request is allowed,
/// the inner service gets it unchanged, and the fields of the limit are added to its response. If it
/// is rejected, the inner service is not called. An allowed request spends its units, whatever
/// becomes of it.
///
/// `L` is the limiter: an `Arc` of a [`RateLimiter`](crate::RateLimiter), or any [`Limit`]. `K` finds
/// the key of a request, and `A` makes the [responses](super::RejectionResponse) to rejected ones. All
/// services that a layer and its clones make share the limiter, and several layers can share one.
#[must_use = "a layer limits nothing until it is put around a service"]
pub struct RateLimitLayer<L, K, A = TextResponse>
where
    K: RequestKey,
    L: Limit<K::Key>,
{
    config: Config<L, K>,
    response: Arc<A>,
}

impl<L, K> RateLimitLayer<L, K>
where
    K: RequestKey,
    L: Limit<K::Key>,
{
    /// Makes a layer that asks `limiter` about the `key` of each request. `on_missing` is what happens
    /// to a request without one.
    ///
    /// Defaults: each request costs one unit, and none is exempt. Rejections have a plain
    /// [`TextResponse`]. Responses carry `X-RateLimit-Limit`, `X-RateLimit-Remaining` and
    /// `X-RateLimit-Reset`: the [limit](crate::Decision::limit) and what
    /// [remains](crate::Decision::remaining) in units, and the seconds, rounded up, until every bucket
    /// [is full](crate::Decision::reset_after).
    ///
    /// # Panics
    ///
    /// If `on_missing` rejects with a status that is not 4xx or 5xx.
    pub fn new<const N: usize>(
        limiter: L,
        key: K,
        on_missing: OnMissingKey<N>,
    ) -> RateLimitLayer<L, K>
    where
        L: Limit<K::Key, Decision = Decision<N>>,
    {
        let headers = RateLimitHeaders::new(&limiter.quotas());
        RateLimitLayer {
            config: Config {
                limiter,
                headers: Arc::new(headers),
                key: Arc::new(key),
                key_name: None,
                missing_key: on_missing.into(),
                store_error: None,
                exempt: None,
                cost: None,
                inserts_decision: false,
                drain: Some(Limits::DEFAULT),
                #[cfg(feature = "tracing")]
                logged_key: None,
            },
            response: Arc::new(TextResponse),
        }
    }
}

impl<L, K, A> RateLimitLayer<L, K, A>
where
    K: RequestKey,
    L: Limit<K::Key>,
{
    /// Exempts the requests for which `is_exempt` returns true: they pass without a limit and without
    /// response fields. After several calls, each predicate exempts.
    ///
    /// # Caveats
    ///
    /// The client writes the method and the path. Whether `//health`, `/health/` and `/%68ealth` are
    /// `/health` depends on the router, and a handler may take any method. So decide by the route that
    /// the router has matched, as in the [example](RateLimitLayer).
    /// [More](super::key#what-a-client-chooses).
    pub fn exempt<F>(mut self, is_exempt: F) -> RateLimitLayer<L, K, A>
    where
        F: Fn(&Head<'_>) -> bool + Send + Sync + 'static,
    {
        self.config.exempt = Some(match self.config.exempt {
            None => Arc::new(is_exempt),
            Some(before) => Arc::new(move |request| before(request) || is_exempt(request)),
        });
        self
    }

    /// Charges each request the units that `cost` returns. Default: 1.
    ///
    /// A cost above the burst of a quota never passes. The response says so.
    ///
    /// # Caveats
    ///
    /// A cost of 0 always passes: it is no limit. If the cost depends on something that a client may
    /// leave out, such as the length of a body, charge the most where it is missing. There is an
    /// [example](super::key#what-a-client-chooses).
    pub fn cost<F>(mut self, cost: F) -> RateLimitLayer<L, K, A>
    where
        F: Fn(&Head<'_>) -> u64 + Send + Sync + 'static,
    {
        self.config.cost = Some(Arc::new(cost));
        self
    }

    /// Sets the response to rejections: [`JsonResponse`](super::JsonResponse),
    /// [`ProblemResponse`](super::ProblemResponse), [`GrpcResponse`](super::GrpcResponse), or a custom
    /// [`RejectionResponse`](super::RejectionResponse). Default: [`TextResponse`].
    pub fn respond<T>(self, response: T) -> RateLimitLayer<L, K, T> {
        RateLimitLayer {
            config: self.config,
            response: Arc::new(response),
        }
    }

    /// Sets the response to rejections to what `respond` returns.
    ///
    /// ```
    /// # use std::sync::Arc; use tollgate::{Quota, RateLimiter, tower::{OnMissingKey, RateLimitLayer, key::ExtensionKey}};
    /// # #[derive(Clone, PartialEq, Eq, Hash)] struct Owner(u64);
    /// # let (limiter, on_missing) = (Arc::new(RateLimiter::new(Quota::default())), OnMissingKey::Reject(http::StatusCode::FORBIDDEN));
    /// let layer = RateLimitLayer::new(limiter, ExtensionKey::<Owner>::new(), on_missing)
    ///     .respond_with(|rejection| {
    ///         let mut response = http::Response::new(format!("slow down: {rejection}"));
    ///         *response.status_mut() = rejection.status();
    ///         response
    ///     });
    /// # let _ = layer;
    /// ```
    pub fn respond_with<F, B>(self, respond: F) -> RateLimitLayer<L, K, RespondWith<F>>
    where
        F: Fn(&Rejection<'_>) -> Response<B>,
    {
        self.respond(RespondWith(respond))
    }

    /// Sets what happens to a request when the limiter's store fails. Default: what the limiter
    /// [says](Limit::fallback), or else it is rejected with 503.
    ///
    /// A [`RateLimiter`](crate::RateLimiter) is in memory and never fails.
    pub fn on_store_error(mut self, rule: OnStoreError) -> RateLimitLayer<L, K, A> {
        self.config.store_error = Some(rule);
        self
    }

    /// Sets the name of the key in responses to requests without a usable one, such as `user id`:
    /// `missing rate-limit key "user id"`. Default: the [name](RequestKey::name) that the key has,
    /// which for a [`HeaderKey`](super::key::HeaderKey) is that of the header.
    ///
    /// # Errors
    ///
    /// If the name is empty or has a character that is not printable ASCII.
    pub fn key_name(
        mut self,
        name: impl Into<String>,
    ) -> Result<RateLimitLayer<L, K, A>, InvalidSetting> {
        self.config.key_name = Some(Name::new(name.into(), "the name of a key")?);
        Ok(self)
    }

    /// Leaves out `X-RateLimit-Limit`, `X-RateLimit-Remaining` and `X-RateLimit-Reset`.
    pub fn without_x_ratelimit(self) -> RateLimitLayer<L, K, A> {
        self.change_headers(RateLimitHeaders::remove_x_ratelimit)
    }

    /// Adds the fields `RateLimit-Policy` and `RateLimit` of this `draft`.
    pub fn ietf_fields(self, draft: IetfDraft) -> RateLimitLayer<L, K, A> {
        self.change_headers(|headers| headers.set_ietf(draft))
    }

    /// Names the quotas of the policy, as [`RateLimitHeaders::quota_names`] does. The limiter of
    /// [`OnMissingKey::Share`] gets the same names.
    ///
    /// # Errors
    ///
    /// If there are not as many names as quotas. If a name is empty, occurs twice, or has a character
    /// that is not printable ASCII.
    pub fn quota_names<T>(
        mut self,
        names: impl IntoIterator<Item = T>,
    ) -> Result<RateLimitLayer<L, K, A>, InvalidSetting>
    where
        T: Into<String>,
    {
        let names: Vec<String> = names.into_iter().map(Into::into).collect();
        self.config
            .change_headers(|headers| headers.set_names(names.clone()))?;
        Ok(self)
    }

    /// Inserts the [`Decision`] that allowed a request into its extensions, for the inner service.
    pub fn insert_decision(mut self) -> RateLimitLayer<L, K, A> {
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
    /// # let (limiter, on_missing) = (Arc::new(RateLimiter::new(Quota::default())), OnMissingKey::Reject(http::StatusCode::FORBIDDEN));
    /// // Uploads of up to 100 MB come through the proxy.
    /// let layer = RateLimitLayer::new(limiter, ExtensionKey::<Owner>::new(), on_missing)
    ///     .drain(100_000_000, Duration::from_secs(30))?;
    /// assert!(layer.drain(0, Duration::from_secs(30)).is_err());
    /// # Ok::<_, tollgate::tower::InvalidSetting>(())
    /// ```
    pub fn drain(
        mut self,
        max_bytes: u64,
        max_time: Duration,
    ) -> Result<RateLimitLayer<L, K, A>, InvalidSetting> {
        self.config.drain = Some(Limits::new(max_bytes, max_time)?);
        Ok(self)
    }

    /// Responds to rejected requests at once, and leaves their bodies unread.
    ///
    /// This is for a service that reads bodies in an outer layer, a server that reads what a service
    /// has left, or a client that limits its own requests.
    pub fn without_draining(mut self) -> RateLimitLayer<L, K, A> {
        self.config.drain = None;
        self
    }

    /// Logs the key of each rejected request, in its `Debug` form. By default no key is logged, as keys
    /// are often secrets or names of people.
    #[cfg(feature = "tracing")]
    pub fn log_keys(mut self) -> RateLimitLayer<L, K, A>
    where
        K::Key: fmt::Debug,
    {
        self.config.logged_key = Some(|key| format!("{key:?}"));
        self
    }

    fn change_headers(mut self, change: impl Fn(&mut RateLimitHeaders)) -> RateLimitLayer<L, K, A> {
        let change = |headers: &mut RateLimitHeaders| {
            change(headers);
            Ok::<(), Infallible>(())
        };
        let Ok(()) = self.config.change_headers(change);
        self
    }
}

impl<T, L, K, A> Layer<T> for RateLimitLayer<L, K, A>
where
    K: RequestKey,
    L: Limit<K::Key> + Clone,
{
    type Service = RateLimit<T, L, K, A>;

    fn layer(&self, inner: T) -> RateLimit<T, L, K, A> {
        RateLimit::new(inner, self.config.clone(), Arc::clone(&self.response))
    }
}

impl<L, K, A> Clone for RateLimitLayer<L, K, A>
where
    K: RequestKey,
    L: Limit<K::Key> + Clone,
{
    fn clone(&self) -> RateLimitLayer<L, K, A> {
        RateLimitLayer {
            config: self.config.clone(),
            response: Arc::clone(&self.response),
        }
    }
}

impl<L, K, A> fmt::Debug for RateLimitLayer<L, K, A>
where
    K: RequestKey,
    L: Limit<K::Key>,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("RateLimitLayer").field(&self.config).finish()
    }
}
