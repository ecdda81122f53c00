//! The two services that this crate was first made for, as `examples/` rebuilds them: over real
//! sockets, with a clock that the test moves, and as programs.

#![cfg(feature = "tower")]
// Each example has its own copy of the files that both share, as when it is built alone.
#![allow(clippy::duplicate_mod)]

#[path = "../common/mod.rs"]
mod common;

// No test calls their `main`.
#[allow(dead_code)]
#[path = "../../examples/handoff_api.rs"]
mod handoff_api;
#[allow(dead_code)]
#[path = "../../examples/turns_api.rs"]
mod turns_api;

mod acceptor;
mod curl_lines;
mod handoff;
mod settings;
mod turns;

#[cfg(unix)]
mod bodies;
#[cfg(unix)]
mod programs;
#[cfg(unix)]
mod shutdown;
