//! tollgate and its peers behind one interface each, and the harness that times them.
//!
//! Each contender is a file. What all of them must prove before they are timed stands beside the
//! trait that they share.

pub mod harness;
pub mod http;
pub mod keyed;

/// A quota in the terms of every contender.
#[derive(Clone, Copy, Debug)]
pub struct Quota {
    /// The time in which one unit is earned.
    pub nanos: u64,
    pub burst: u32,
}
