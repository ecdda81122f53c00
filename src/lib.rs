//! An exact, keyed, self-cleaning token-bucket rate limiter for services on one node.
//!
//! ```
//! use tollgate::{Quota, RateLimiter};
//!
//! let requests = RateLimiter::new(Quota::per_minute(100).burst(10));
//!
//! let decision = requests.check("key-of-alice");
//! assert!(decision.is_allowed());
//! assert_eq!(decision.remaining(), 9);
//! ```
//!
//! # Limits
//!
//! - State is in memory, in one process. Two processes limit each on their own, and a restart forgets
//!   every key.
//! - Memory grows with the keys in debt (whose bucket is not full), without a bound.
//! - One thread sweeps all limiters of the process ([more](RateLimiter#threads)), unless the program
//!   [sweeps](Builder::manual_sweep).
//! - A check decides at once. It does not queue or wait.
//! - A [`RateLimiter`] has one policy for all keys, for ever. Limits that differ between customers, or that
//!   change while the service runs, are for a [`TieredLimiter`].
//!
//! # Guarantees
//!
//! A [`Quota`] of u units per period P with a burst of b gives each key a bucket. The bucket holds
//! between 0 and b units, starts full and refills continuously at u / P.
//! [`check_n`](RateLimiter::check_n) is allowed if and only if the bucket holds n units, and then
//! spends them. Under a [`Policy`] of several quotas every bucket must hold them, and either all are
//! spent from or none.
//!
//! - In any interval of length t, a key is admitted at most b + t·u/P units. Threads, sweeps and
//!   clocks that stand still or step back ([caveats](Clock#caveats)) do not change that.
//! - If a unit takes a whole number of ns (100 a minute, 60 an hour), every decision is exactly the
//!   rational model's. Otherwise (7 a minute) it is the model's at a time less than 1 ns away, and
//!   the interval above is t + 1 ns. The error does not accumulate over an uptime of 100 years.
//! - [`retry_after`](Decision::retry_after), [`remaining`](Decision::remaining) and
//!   [`reset_after`](Decision::reset_after) are exact. If nothing else is spent, a denied request is still
//!   denied 1 ns before `retry_after`, and allowed at it.
//! - A denial spends nothing. Forgetting a key whose buckets are full changes no decision.
//! - No method of a limiter panics, except by code of the caller: the key's `Hash`, `Eq`, `Borrow`,
//!   `ToOwned` and `Drop`, the hasher, and a clock function. [`Quota::per_minute`] and its like panic on
//!   invalid numbers; [`Quota::try_per_minute`] and its like return an error.
//!
//! On a [coarse clock](Clock::coarse) all this holds at a time that lags.
//!
//! # Keys
//!
//! | the key you have | the type to choose | the call |
//! |---|---|---|
//! | `id: u64`, or another number | `RateLimiter<u64>` | `check(&id)` |
//! | `name: &str` or `String` | `RateLimiter<String>` | `check(name)`, `check(name.as_str())` |
//! | `name: &'static str` | `RateLimiter<&'static str>` | `check(&name)` |
//! | `bytes: &[u8]` | `RateLimiter<Vec<u8>>` | `check(bytes)` |
//! | `address: IpAddr` | `RateLimiter<IpAddr>` | `check(&address)` |
//! | `(address, id)`, both `Copy` | `RateLimiter<(IpAddr, u64)>` | `check(&(address, id))` |
//! | `(address, name)`, owned | `RateLimiter<(IpAddr, String)>` | `check(&(address, name))` |
//! | `(address, name)`, one borrowed | `RateLimiter<(IpAddr, String)>` | `check(&(address, name) as &dyn Pair)` |
//!
//! For two quotas the type is `RateLimiter<String, 2>`, and so on.
//!
//! A check with a borrowed form allocates only when the key is stored or cached. An owned pair costs the
//! caller one allocation for each check. A trait avoids it, as it makes both pairs look alike:
//!
//! ```
//! use std::{borrow::Borrow, hash::{Hash, Hasher}, net::IpAddr};
//! use tollgate::{ManualClock, Quota, RateLimiter};
//!
//! trait Pair {
//!     fn parts(&self) -> (IpAddr, &str);
//! }
//!
//! impl Pair for (IpAddr, String) {
//!     fn parts(&self) -> (IpAddr, &str) { (self.0, &self.1) }
//! }
//!
//! impl Pair for (IpAddr, &str) {
//!     fn parts(&self) -> (IpAddr, &str) { (self.0, self.1) }
//! }
//!
//! impl<'a> Borrow<dyn Pair + 'a> for (IpAddr, String) {
//!     fn borrow(&self) -> &(dyn Pair + 'a) { self }
//! }
//!
//! // The same hash as that of `(IpAddr, String)`, or stored keys are not found.
//! impl Hash for dyn Pair + '_ {
//!     fn hash<H: Hasher>(&self, state: &mut H) { self.parts().hash(state) }
//! }
//!
//! impl PartialEq for dyn Pair + '_ {
//!     fn eq(&self, other: &Self) -> bool { self.parts() == other.parts() }
//! }
//!
//! impl Eq for dyn Pair + '_ {}
//!
//! impl ToOwned for dyn Pair + '_ {
//!     type Owned = (IpAddr, String);
//!     fn to_owned(&self) -> (IpAddr, String) { (self.parts().0, self.parts().1.to_owned()) }
//! }
//!
//! let logins: RateLimiter<(IpAddr, String)> =
//!     RateLimiter::builder(Quota::per_minute(5).burst(1)).clock(ManualClock::new()).build();
//! let address = IpAddr::from([203, 0, 113, 7]);
//! assert!(logins.allow(&(address, "alice") as &dyn Pair));
//! assert!(!logins.allow(&(address, "alice") as &dyn Pair));
//! assert!(logins.allow(&(address, "bob") as &dyn Pair));
//! ```
//!
//! # How it decides
//!
//! A bucket is one `u64`: the point, on an axis of earned units, up to which units are spent. One
//! multiplication with 128 fractional bits turns time into that axis. Nothing else is rounded: all
//! the rest is whole numbers, added and compared.
//!
//! This is the generic cell rate algorithm (GCRA; ATM Forum, Traffic Management Specification 4.0,
//! 1996), with the theoretical arrival time (TAT) kept in earned units instead of time. So the time
//! of a unit need not be rounded.
//!
//! # Testing code that limits
//!
//! A test moves a [`ManualClock`]:
//!
//! ```
//! use tollgate::{ManualClock, Quota, RateLimiter};
//!
//! let clock = ManualClock::new();
//! let limiter = RateLimiter::builder(Quota::per_minute(1)).clock(clock.clone()).build();
//! assert!(limiter.allow("alice"));
//! assert!(!limiter.allow("alice"));
//! clock.advance(limiter.check("alice").retry_after().unwrap());
//! assert!(limiter.allow("alice"));
//! ```
//!
//! # Features
//!
//! - `serde`: [`Quota`] and [`Policy`] read and write their text forms. A policy is read from a list too.
//! - `tower`: [`tower::RateLimitLayer`] limits HTTP requests.
//! - `tracing`: the layer sends rejections to `tracing`; implies `tower`.
//!
//! No feature opens a socket or starts an async runtime. Without features a decision still has its
//! [response fields](Decision::response_fields), for servers that do not use `tower`.

#![warn(missing_docs, unreachable_pub)]
// Floats have no place in time or units. A lossy cast is how a limiter starts to drift. And code that
// callers trust with their availability does not panic.
#![cfg_attr(
    not(test),
    warn(
        clippy::cast_possible_truncation,
        clippy::cast_precision_loss,
        clippy::cast_sign_loss,
        clippy::expect_used,
        clippy::float_arithmetic,
        clippy::unwrap_used
    )
)]

mod arith;
mod clock;
mod decision;
mod denied;
mod error;
mod hash;
pub mod limit;
mod limiter;
mod maintenance;
mod pad;
mod policy;
mod quota;
mod rule;
#[cfg(feature = "serde")]
mod serde;
mod store;
mod sync;
#[cfg(all(test, tollgate_loom))]
mod tests;
mod tiered;
mod tiers;

#[cfg(feature = "tower")]
pub mod tower;

pub use clock::{Clock, ManualClock};
pub use decision::{Decision, DecisionRef, DecisionSource, QuotaDecision, TierId};
pub use error::InvalidQuota;
pub use hash::{RandomState, SeededHasher};
pub use limiter::{Builder, RateLimiter};
pub use policy::{IntoPolicy, Policy};
pub use quota::Quota;
pub use tiered::{
    InvalidTier, NamedTiers, Reload, Replacement, Tier, TieredBuilder, TieredKey, TieredLimiter,
    UnknownTier,
};

/// Runs the examples of README.
#[cfg(all(doctest, feature = "tower"))]
#[doc = include_str!("../README.md")]
struct Readme;

/// Runs the examples of the guide.
#[cfg(doctest)]
#[doc = include_str!("../docs/guide.md")]
struct Guide;
