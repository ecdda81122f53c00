//! Tests on a real `redis-server`, each on a server of its own.
//!
//! Every server listens on loopback, on a port that was free, and ends with the test that started it.

mod attempts;
mod basics;
mod breaker;
mod cluster;
mod common;
mod connections;
mod denied;
mod expiry;
mod http;
mod idle;
mod laws;
mod local;
mod manual;
mod nodes;
mod outages;
mod proxy;
mod random;
mod recovery;
mod sentinel;
mod server;
mod settings;
mod tls;
mod topology;
#[cfg(unix)]
mod turns;
// No test calls its `main`.
#[allow(dead_code)]
#[path = "../../../examples/turns_shared.rs"]
mod turns_shared;
mod values;
mod warnings;
