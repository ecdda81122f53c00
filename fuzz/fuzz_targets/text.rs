//! The text form of quotas and policies.
//!
//! An input that is UTF-8 is a text as it stands; any other is spelled from pieces of the grammar.
//! It checks
//!
//! - that parsing never panics, and that `Quota` and `Policy` of 1, 2 and 3 agree on each text;
//! - that a text spelled by the grammar means what its pieces mean;
//! - that whatever parses prints as a text that parses back to an equal value;
//! - that every error is one short line, which names a place in the text and what is found there.
//!
//! `cargo fuzz fmt text FILE` prints an input.

#![no_main]

libfuzzer_sys::fuzz_target!(|input: tollgate_fuzz::text::Input| {
    tollgate_fuzz::text::run(&input);
});
