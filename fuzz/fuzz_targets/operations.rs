//! Compares each decision of a limiter with an oracle.
//!
//! An input is a policy or tiers, and a sequence of operations.
//!
//! # One policy
//!
//! The policy has one or two quotas, with any
//! numbers that `Quota::new` accepts. The operations are checks, peeks, moves of the clock, sweeps
//! and forgets over three keys. The target checks that
//!
//! - every number of every check and peek equals that of `tests/common/oracle.rs`. If a unit does
//!   not take a whole number of ns, it equals the model's at a time less than 1 ns away;
//! - `remaining`, `retry_after` and `reset_after` come true, to the unit and to the ns;
//! - a denial changes nothing, and a sweep drops exactly the keys whose buckets are full;
//! - a second limiter that only sees the allowed checks of a key decides the same for it. It sees
//!   no sweep, no other key and no step back, during which time should stand still.
//!
//! # Tiers
//!
//! There are up to five policies, of one to three quotas each, in a limiter with room for one to three.
//! The operations replace policies, and drop and make tiers, too. The target checks that
//!
//! - every number of every check and peek equals that of `tests/common/tiers.rs`, if that is exact for all
//!   quotas of the input;
//! - a check charges the same units under every policy, a denial charges none and makes no wait longer,
//!   and no key is admitted more than its policies allow: laws T1 to T4;
//! - each `retry_after` comes true, to the ns, in a second limiter to which the same was done. It sees no
//!   sweep and no step back;
//! - policies that cannot be had are refused, and no others.
//!
//! `cargo fuzz fmt operations FILE` prints an input.

#![no_main]

libfuzzer_sys::fuzz_target!(|input: tollgate_fuzz::input::Input| {
    tollgate_fuzz::operations::run(&input);
});
