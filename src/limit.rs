//! What the HTTP layer needs from a limiter, in this process or elsewhere.

use std::{
    convert::Infallible,
    fmt,
    future::Future,
    marker::PhantomData,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use crate::decision::{Decision, DecisionRef};
use crate::quota::Quota;
use crate::sync::Arc;

/// Decides on `n` units of a key, now or in a future.
///
/// A [`RateLimiter`](crate::RateLimiter) decides at once. A limiter that has to wait, such as one
/// whose state is in a store that several nodes share, returns a future. The layer of the feature
/// `tower` takes both.
///
/// ```
/// use std::convert::Infallible;
/// use std::sync::atomic::{AtomicU64, Ordering};
/// use tollgate::limit::{Checked, Limit, Immediate};
/// use tollgate::{Decision, ManualClock, Quota, RateLimiter};
///
/// /// Counts the denials of the limiter inside.
/// struct Counting {
///     limiter: RateLimiter<String>,
///     denials: AtomicU64,
/// }
///
/// impl Limit<str> for Counting {
///     type Decision = Decision;
///     type Error = Infallible;
///     type Future = Immediate<Decision>;
///
///     fn quotas(&self) -> Vec<Quota> {
///         self.limiter.policy().quotas().to_vec()
///     }
///
///     fn decide(&self, key: &str, n: u64) -> Checked<Decision, Immediate<Decision>> {
///         let decision = self.limiter.check_n(key, n);
///         if !decision.is_allowed() {
///             self.denials.fetch_add(1, Ordering::Relaxed);
///         }
///         Checked::Now(decision)
///     }
/// }
///
/// let quota = Quota::per_minute(60).burst(1);
/// let limiter = RateLimiter::builder(quota).clock(ManualClock::new()).build();
/// let counting = Counting { limiter, denials: AtomicU64::new(0) };
/// for _ in 0..3 {
///     let Checked::Now(_) = counting.decide("alice", 1) else { unreachable!() };
/// }
/// assert_eq!(counting.denials.into_inner(), 2);
/// ```
pub trait Limit<Q: ?Sized> {
    /// The type of decisions: [`Decision<N>`](Decision). A limiter whose state is elsewhere makes them
    /// by [`Decision::from_debts`].
    type Decision: AsDecision;

    /// Why no decision could be made, such as a store that cannot be reached. It is neither a denial
    /// nor an allowed request. [`Infallible`] if a decision is always made.
    type Error: fmt::Display;

    /// A decision that is not made yet. [`Immediate`] if every decision is made at once. The layer of the
    /// feature `tower` takes any other future as a `Pin<Box<_>>`.
    type Future: Future<Output = Result<Self::Decision, Self::Error>>;

    /// Returns the quotas that keys are under, in the order of [`Decision::quotas`]. A limiter of
    /// [tiers](crate::TieredLimiter) returns those of its first tier, as they are now. Each of its decisions
    /// has its own.
    fn quotas(&self) -> Vec<Quota>;

    /// Spends `n` units of `key` if its bucket holds them, and none otherwise.
    ///
    /// As with [`RateLimiter::check_n`](crate::RateLimiter::check_n), 0 units are always allowed, and
    /// more than the burst are denied and [exceed it](Decision::exceeds_burst).
    ///
    /// The units may be spent by this call or as the future is polled. If the future is dropped, as when
    /// a client disconnects, they may be spent or not.
    fn decide(&self, key: &Q, n: u64) -> Checked<Self::Decision, Self::Future>;

    /// Returns what this limiter makes of a request that it could not decide, or `None` if the layer shall
    /// say. Default: `None`.
    ///
    /// A limiter that returns `Some` tells of its failed store itself: the layer sends no event of it.
    fn fallback(&self, _: &Self::Error) -> Option<Fallback> {
        None
    }
}

/// What happens to a request that could not be decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Fallback {
    /// It passes without a limit, and without response fields.
    Allow,
    /// It is rejected with 503.
    Reject {
        /// The time after which it may pass, if one is known: the `Retry-After` of the response.
        retry_after: Option<Duration>,
    },
}

/// The result of [`Limit::decide`].
#[derive(Debug)]
#[must_use = "a decision that is not read limits nothing"]
pub enum Checked<D, F> {
    /// The decision.
    Now(D),
    /// A future of the decision.
    Later(F),
}

/// A [`Decision`] of any number of quotas.
pub trait AsDecision: Clone + Send + Sync + 'static {
    /// Returns the decision without the number of quotas in its type.
    fn as_decision(&self) -> DecisionRef<'_>;
}

impl<const N: usize> AsDecision for Decision<N> {
    fn as_decision(&self) -> DecisionRef<'_> {
        self.as_ref()
    }
}

/// The future of a limiter that makes every decision at once. It has no values.
#[derive(Debug)]
pub struct Immediate<D> {
    none: Infallible,
    decision: PhantomData<fn() -> D>,
}

impl<D> Immediate<D> {
    /// Returns anything, as there is no value to call this with.
    pub fn unreachable<T>(&self) -> T {
        match self.none {}
    }
}

impl<D> Future for Immediate<D> {
    type Output = Result<D, Infallible>;

    fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Self::Output> {
        match self.none {}
    }
}

impl<Q: ?Sized, L: Limit<Q> + ?Sized> Limit<Q> for &L {
    type Decision = L::Decision;
    type Error = L::Error;
    type Future = L::Future;

    fn quotas(&self) -> Vec<Quota> {
        (**self).quotas()
    }

    fn decide(&self, key: &Q, n: u64) -> Checked<L::Decision, L::Future> {
        (**self).decide(key, n)
    }

    fn fallback(&self, error: &L::Error) -> Option<Fallback> {
        (**self).fallback(error)
    }
}

impl<Q: ?Sized, L: Limit<Q> + ?Sized> Limit<Q> for Arc<L> {
    type Decision = L::Decision;
    type Error = L::Error;
    type Future = L::Future;

    fn quotas(&self) -> Vec<Quota> {
        (**self).quotas()
    }

    fn decide(&self, key: &Q, n: u64) -> Checked<L::Decision, L::Future> {
        (**self).decide(key, n)
    }

    fn fallback(&self, error: &L::Error) -> Option<Fallback> {
        (**self).fallback(error)
    }
}

impl<Q: ?Sized, L: Limit<Q> + ?Sized> Limit<Q> for Box<L> {
    type Decision = L::Decision;
    type Error = L::Error;
    type Future = L::Future;

    fn quotas(&self) -> Vec<Quota> {
        (**self).quotas()
    }

    fn decide(&self, key: &Q, n: u64) -> Checked<L::Decision, L::Future> {
        (**self).decide(key, n)
    }

    fn fallback(&self, error: &L::Error) -> Option<Fallback> {
        (**self).fallback(error)
    }
}
