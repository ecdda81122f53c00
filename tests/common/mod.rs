//! What the tests of the HTTP layer and of the example services share. Each test binary compiles
//! this module for itself and uses a part of it.
#![allow(dead_code)]

pub mod cases;
pub mod threads;

#[cfg(feature = "tower")]
pub mod contract;
#[cfg(feature = "tower")]
pub mod http;
#[cfg(all(feature = "tower", unix))]
pub mod programs;
#[cfg(feature = "tower")]
pub mod served;
#[cfg(feature = "tower")]
pub mod sockets;
#[cfg(all(feature = "tower", unix))]
pub mod stalling;
