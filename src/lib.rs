//! An exact, keyed, self-cleaning token-bucket rate limiter for services on one node.
//!
//! ```
//! use tollgate::{Quota, RateLimiter};
//!
//! let limiter = RateLimiter::new(Quota::per_minute(100).burst(10));
//!
//! let decision = limiter.check("203.0.113.7");
//! assert!(decision.is_allowed());
//! assert_eq!(decision.remaining(), 9);
//! ```

#![warn(missing_docs, unreachable_pub)]
// Floats have no place in time or units; a lossy cast is how a limiter starts to drift; and what
// callers trust with their availability does not panic.
#![cfg_attr(
    not(any(test, tollgate_loom)),
    warn(
        clippy::cast_possible_truncation,
        clippy::cast_precision_loss,
        clippy::cast_sign_loss,
        clippy::expect_used,
        clippy::float_arithmetic,
        clippy::unwrap_used
    )
)]

mod axis;
mod bucket;
mod clock;
mod decision;
mod error;
mod hash;
mod limiter;
mod policy;
mod quota;
#[cfg(feature = "serde")]
mod serde;
mod sweep;
mod sync;
mod table;
#[cfg(all(test, tollgate_loom))]
mod tests;

pub use clock::{Clock, ManualClock};
pub use decision::{Decision, QuotaDecision};
pub use error::InvalidQuota;
pub use hash::{RandomState, SeededHasher};
pub use limiter::{Builder, RateLimiter};
pub use policy::Policy;
pub use quota::Quota;
