//! Arithmetic on quotas and keys: pure, without a clock, a lock or an atomic.
//!
//! From the ground up: [`scale`] turns time into earned steps, [`bucket`] spends from one bucket,
//! [`state`] is what is stored for a key, and [`evaluate`] decides on all buckets of a key at once.
//! [`carry`] moves a debt from one axis to another, and [`terms`] decides on a key whose policy changes.
//! No other module knows how the state of a key is represented.

pub(crate) mod bucket;
mod carry;
pub(crate) mod evaluate;
pub(crate) mod scale;
pub(crate) mod state;
pub(crate) mod terms;
