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
//! State is in memory, in one process: two processes limit each on their own, and a restart forgets
//! every key. Memory grows with the keys in debt, without a bound. One thread sweeps all limiters of
//! the process ([more](RateLimiter#threads)), unless they are
//! [swept by hand](Builder::manual_sweep). A limiter answers at once and does not queue.
//!
//! # Guarantees
//!
//! A [`Quota`] of u units per period P with a burst of b gives each key a bucket that holds between
//! 0 and b units, starts full and refills continuously at u / P. [`check_n`](RateLimiter::check_n)
//! is allowed if and only if the bucket holds n units, and then spends them. Of a [`Policy`] of
//! several quotas, every bucket must hold them, and each is spent from or none.
//!
//! - In any stretch of time t a key is admitted at most b + t u / P units, whatever threads and
//!   sweeps do, and whether the clock stands still or steps back ([caveats](Clock#caveats)). Where
//!   a unit does not take a whole number of ns, that is of a stretch of t + 1 ns.
//! - Where a unit takes a whole number of ns (100 a minute, 60 an hour), each decision is exactly
//!   the rational model's. Where it does not (7 a minute), each is the model's less than 1 ns
//!   away, and that does not add up, over an uptime of 100 years.
//! - [`retry_after`](Decision::retry_after), [`remaining`](Decision::remaining) and
//!   [`reset_after`](Decision::reset_after) are exact: denied 1 ns before, allowed at it.
//! - On a [coarse clock](Clock::coarse) all this is so of a time that lags behind.
//! - A denial spends nothing. Forgetting a key changes no decision. Nothing panics once a limiter
//!   is built, but what the key's own `Hash`, `Eq`, `ToOwned` and `Drop` do.
//!
//! # How it decides
//!
//! A bucket is one `u64`: the point, on an axis of earned units, up to which units are spent. Time
//! is turned into that axis by one multiplication with 128 fractional bits, which is the only place
//! where anything is rounded; all the rest is whole numbers, compared. Of token buckets kept as one
//! point in time this is the form that the ATM Forum's generic cell rate algorithm gave (Traffic
//! Management Specification 4.0, 1996), with the axis in earned units in place of time, so that
//! the time of a unit need not be rounded.
//!
//! # Testing code that limits
//!
//! A [`ManualClock`] moves time by hand:
//!
//! ```
//! use std::time::Duration;
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
//! - `serde`: [`Quota`] and [`Policy`] read and write their text forms.
//! - `tower`: [`tower::RateLimitLayer`] limits HTTP requests.
//! - `tracing`: the layer tells `tracing` of refusals; implies `tower`.
//!
//! None opens a socket or starts an async runtime.

#![warn(missing_docs, unreachable_pub)]
// Floats have no place in time or units; a lossy cast is how a limiter starts to drift; and what
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
mod limiter;
mod maintenance;
mod pad;
mod policy;
mod quota;
#[cfg(feature = "serde")]
mod serde;
mod store;
mod sweep;
mod sync;
#[cfg(all(test, tollgate_loom))]
mod tests;

#[cfg(feature = "tower")]
pub mod tower;

pub use clock::{Clock, ManualClock};
pub use decision::{Decision, QuotaDecision};
pub use error::InvalidQuota;
pub use hash::{RandomState, SeededHasher};
pub use limiter::{Builder, RateLimiter};
pub use policy::Policy;
pub use quota::Quota;

/// The examples of README are run with those here.
#[cfg(all(doctest, feature = "tower"))]
#[doc = include_str!("../README.md")]
struct Readme;
