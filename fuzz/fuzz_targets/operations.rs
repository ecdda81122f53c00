//! A limiter against the oracle, decision by decision.
//!
//! An input is a policy of one or two quotas, from anywhere in the range that `Quota::new` accepts,
//! and a sequence of checks, peeks, moves of the clock, sweeps and forgets over three keys. It
//! checks
//!
//! - every number of every check and peek, against `tests/common/oracle.rs`: to the letter if a
//!   unit takes a whole number of ns, and otherwise against the model at a time less than 1 ns away;
//! - that `remaining`, `retry_after` and `reset_after` come true, to the unit and to the ns;
//! - that a denial changes nothing, and that just the keys with a full bucket are swept;
//! - that a limiter which has seen nothing but what a key was allowed decides the same for it: no
//!   sweep, no other key, and no step back of time, which is to stand still.
//!
//! `cargo fuzz fmt operations FILE` prints an input.

#![no_main]

libfuzzer_sys::fuzz_target!(|input: tollgate_fuzz::input::Input| {
    tollgate_fuzz::operations::run(&input);
});
