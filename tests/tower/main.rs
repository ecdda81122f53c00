//! The HTTP layer, called as a service.

#![cfg(feature = "tower")]

#[path = "../common/mod.rs"]
mod common;

mod addresses;
mod documented;
mod draining;
mod headers;
mod hosts;
mod keys;
mod layer;
mod names;
mod responses;
mod stores;
mod tiers;
