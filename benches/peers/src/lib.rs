//! The rivals, each made to do what tollgate does, so that the same program can time them.
//!
//! A rival is a file, and what all must prove before they are timed stands beside the trait that
//! they share.

pub mod http;
pub mod keyed;
