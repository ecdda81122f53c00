//! The client's address behind proxies, whatever the client sends.
//!
//! An input that begins with `x`, `f` or `c` has in its first line the name of a header, which is
//! `x-forwarded-for`, `forwarded` or one of a CDN, and in the others the lines of that header, sent
//! by a trusted peer. Any other is a chain: a client of any address sends header lines of any
//! bytes, and up to four trusted proxies add the address that they saw, or hide it, in all
//! spellings that are legal. It checks
//!
//! - that no bytes panic, and that the same request has the same key again;
//! - that a chain ends at the client's own address, whatever it sent; or at the proxy that hid or
//!   dropped what is further out;
//! - that whatever else is found stands in a header line that is to be read, or is the peer;
//! - that it is what a reading from left to right finds, where the lines are well formed.
//!
//! `cargo fuzz fmt client_address FILE` prints an input.

#![no_main]

libfuzzer_sys::fuzz_target!(|input: tollgate_fuzz::client_address::Input| {
    tollgate_fuzz::client_address::run(&input);
});
