//! The cases: ways in which real limiters went wrong. Each test names its case by number.
//!
//! `README.md` lists which test is of which case.

#[path = "../common/core.rs"]
mod common;

mod clocks;
mod denied_cache;
mod forgetting;
mod hashing;
mod index;
mod numbers;
mod panicking_keys;
mod races;
mod range;
mod rates;
mod several_quotas;
mod sweeping;
mod tier_races;
mod tiers;
mod time;
mod totals;
