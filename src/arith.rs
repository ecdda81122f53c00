//! Arithmetic on quotas and keys: pure, without a clock, a lock or an atomic.
//!
//! From the ground up: [`scale`] turns time into earned steps, [`bucket`] spends from one bucket,
//! [`state`] is what is stored for a key, and [`evaluate`] decides on all buckets of a key at once.
//! No other module knows how the state of a key is represented.

pub(crate) mod bucket;
pub(crate) mod evaluate;
pub(crate) mod scale;
pub(crate) mod state;
