//! Compares the script of `tollgate-redis`, and what reads its replies, with an oracle.
//!
//! The script runs in Lua 5.1 behind a store of this process, as it does in Redis. The limiter is asked through
//! its public interface. An input has a policy of one to three quotas, and one of these:
//!
//! - *Operations:* checks, peeks and forgets of two keys, and moves of the store's clock. Every decision equals
//!   that of `tests/common/oracle.rs` in whole µs, also after steps back. A key is forgotten only if its buckets
//!   are full, and were so a second before.
//! - *A value* of any bytes or numbers at one key. It ends in an outage that concerns this key alone, and is
//!   not overwritten, or in numbers that are in range.
//! - *Replies* of any kind. They end in an outage, or in numbers that are in range.

#![no_main]

libfuzzer_sys::fuzz_target!(|input: tollgate_fuzz::shared::Input| {
    tollgate_fuzz::shared::run(&input);
});
