//! The layer over real sockets: servers on loopback, and clients of their HTTP.
//!
//! What would hang is a failure.

#![cfg(feature = "tower")]

#[path = "../common/mod.rs"]
mod common;

mod connections;
mod documented;
mod exchange;
mod grpc;
mod hostile;
mod proxies;
mod responses;
mod streaming;
mod uploads;
