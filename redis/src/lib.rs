//! One [`tollgate`] rate limit over several nodes, on Redis or Valkey.
//!
//! ```no_run
//! use tollgate::Quota;
//! use tollgate_redis::SharedLimiter;
//!
//! # async fn serve() -> Result<(), Box<dyn std::error::Error>> {
//! let client = redis::Client::open("redis://127.0.0.1/")?;
//! let turns = SharedLimiter::builder([Quota::per_minute(10), Quota::per_hour(60)])
//!     .prefix("turns")
//!     .connect(client)?;
//!
//! if !turns.allow("alice").await {
//!     println!("slow down");
//! }
//! # Ok(())
//! # }
//! ```
//!
//! [`SharedLimiter`] has the guarantees, [`OnOutage`] what becomes of requests without a store, and
//! [`Builder`] the settings and their defaults.
//!
//! # HTTP
//!
//! A [`SharedLimiter`] is a [`Limit`](tollgate::limit::Limit), so `tollgate::tower::RateLimitLayer` takes it.
//! Keys, responses and header fields are those of a limiter in memory. An outage passes or is rejected with
//! 503, never with 429.

#![warn(missing_docs, unreachable_pub)]
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

mod breaker;
mod builder;
mod client;
mod denied;
mod error;
mod health;
mod key;
mod limiter;
mod outage;
mod report;
mod script;
mod share;
mod terms;

/// Compiles the example of README.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

pub use builder::Builder;
pub use error::InvalidSetting;
pub use health::{Health, OutageHealth, StoreInfo};
pub use key::SharedKey;
pub use limiter::SharedLimiter;
pub use outage::{Cause, OnOutage, Outage};
