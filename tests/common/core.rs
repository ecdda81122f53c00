//! What the tests of the core share: all that needs no HTTP, so that their binaries compile none of
//! it. Each test binary compiles this module for itself and uses a part of it.
#![allow(dead_code)]

pub mod bounds;
pub mod cases;
pub mod keys;
pub mod oracle;
pub mod rerun;
pub mod strategies;
pub mod threads;
pub mod tiers;
