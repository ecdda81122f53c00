//! What callers see of each public type of the core, beside the laws and the cases.

// Each `#[expect(unused_must_use)]` is a test: that what it covers must be used.
#![deny(unfulfilled_lint_expectations)]

#[path = "../common/core.rs"]
mod common;

mod builder;
mod debts;
mod decision;
mod display;
mod limiter;
mod named_tiers;
mod policy;
mod quota;
#[cfg(feature = "serde")]
mod serde;
mod text;
mod text_errors;
mod tiers;
mod traits;
