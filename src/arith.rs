//! Arithmetic on quotas and keys: pure, with no clock, no lock and no atomics.

pub(crate) mod bucket;
pub(crate) mod scale;
