//! What several test binaries share. Each compiles this for itself and uses a part.
#![allow(dead_code)]

pub mod cases;
#[cfg(feature = "tower")]
pub mod contract;
#[cfg(feature = "tower")]
pub mod http;
pub mod oracle;
#[cfg(all(feature = "tower", unix))]
pub mod programs;
#[cfg(feature = "tower")]
pub mod served;
#[cfg(feature = "tower")]
pub mod sockets;
#[cfg(all(feature = "tower", unix))]
pub mod stalling;
pub mod strategies;
