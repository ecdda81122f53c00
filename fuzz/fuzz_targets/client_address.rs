//! Checks the client's address behind proxies, for any header lines of the client.
//!
//! There are two kinds of input:
//!
//! - *Lines.* The input begins with `x`, `f` or `c`. Its first line names a header:
//!   `x-forwarded-for`, `forwarded` or one of a CDN. The other lines are header lines that a
//!   trusted peer sends.
//! - *A chain* (any other input). A client with any address sends header lines of any bytes. Up to
//!   four trusted proxies add the address that they saw, or hide it, in every legal spelling.
//!
//! The target checks that
//!
//! - no bytes panic, and the same request has the same key again;
//! - a chain ends at the client's own address, or at the proxy that hid or dropped it;
//! - any other result is an address in a header line that is read, or the peer;
//! - the result equals that of a reading from left to right, if the lines are well formed.
//!
//! `cargo fuzz fmt client_address FILE` prints an input.

#![no_main]

libfuzzer_sys::fuzz_target!(|input: tollgate_fuzz::client_address::Input| {
    tollgate_fuzz::client_address::run(&input);
});
