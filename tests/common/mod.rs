//! What several test binaries share. Each compiles this for itself and uses a part.
// Nothing reaches into a test binary: `pub` says what the tests themselves may use.
#![allow(dead_code, unreachable_pub)]

pub mod cases;
pub mod oracle;
pub mod strategies;
