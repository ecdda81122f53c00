//! What several test binaries share. Each compiles this for itself and uses a part.
#![allow(dead_code)]

pub mod cases;
#[cfg(feature = "tower")]
pub mod http;
pub mod oracle;
#[cfg(feature = "tower")]
pub mod sockets;
pub mod strategies;
