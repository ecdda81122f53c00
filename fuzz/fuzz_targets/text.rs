//! Checks the text form of quotas and policies.
//!
//! An input that is UTF-8 is the text itself. Any other input spells a text from pieces of the
//! grammar. The target checks that
//!
//! - parsing never panics, and `Quota` and `Policy` of up to 3 quotas agree on each text that they
//!   have room for;
//! - a text that is spelled by the grammar means what its pieces mean;
//! - a value that was parsed prints as a text that parses back to an equal value;
//! - every error is one short line that names a place in the text and what was found there.
//!
//! `cargo fuzz fmt text FILE` prints an input.

#![no_main]

libfuzzer_sys::fuzz_target!(|input: tollgate_fuzz::text::Input| {
    tollgate_fuzz::text::run(&input);
});
