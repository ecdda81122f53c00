//! The example services: the two that this crate was first made for, and one whose customers have
//! tiers. Over real sockets, with a clock that the test moves, and as programs.

#![cfg(all(feature = "serde", feature = "tower"))]
// Each example has its own copy of the files that all share, as when it is built alone.
#![allow(clippy::duplicate_mod)]

#[path = "../common/mod.rs"]
mod common;

// No test calls their `main`.
#[allow(dead_code)]
#[path = "../../examples/handoff_api.rs"]
mod handoff_api;
#[allow(dead_code)]
#[path = "../../examples/tiers.rs"]
mod tiers;
#[allow(dead_code)]
#[path = "../../examples/turns_api.rs"]
mod turns_api;

mod acceptor;
mod curl_lines;
mod handoff;
mod settings;
#[path = "tiers.rs"]
mod tiers_contract;
mod turns;

#[cfg(unix)]
mod bodies;
#[cfg(unix)]
mod programs;
#[cfg(unix)]
mod reloads;
#[cfg(unix)]
mod shutdown;
