//! Compares each decision of a limiter with the oracle.
//!
//! An input is a policy and a sequence of operations. The policy has one or two quotas, with any
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
//! `cargo fuzz fmt operations FILE` prints an input.

#![no_main]

libfuzzer_sys::fuzz_target!(|input: tollgate_fuzz::input::Input| {
    tollgate_fuzz::operations::run(&input);
});
