//! How many bytes of heap does a stored key take, in a table of a million keys?
//!
//! `cargo run --release --manifest-path benches/peers/Cargo.toml --example heap [-- KEYS]`
//!
//! It counts what the table holds of the allocator when all keys are stored, the keys' own bytes with
//! it. It does not count what the allocator adds. Tables grow by doubling, so at another number of keys
//! they have more or less room to spare.

use std::{
    alloc::{GlobalAlloc, Layout, System},
    env,
    error::Error,
    sync::atomic::{AtomicUsize, Ordering},
};

use tollgate_peers::keyed::{Key, Outcome, tiers};

fn main() -> Result<(), Box<dyn Error>> {
    let keys = match env::args().nth(1) {
        Some(keys) => keys.parse()?,
        None => 1_000_000,
    };
    println!("type,contender,bytes_per_key");
    rows::<u64>(keys);
    rows::<String>(keys);
    Ok(())
}

fn rows<K: Key>(keys: u64) {
    let tiers = tiers::<K, 1>()
        .into_iter()
        .filter(|entry| entry.name == "tiers");
    for contender in K::peers().into_iter().chain(tiers) {
        let before = LIVE.load(Ordering::Relaxed);
        let table = (contender.prepared)(Outcome::Denied, keys);
        let bytes = LIVE.load(Ordering::Relaxed) - before;
        println!(
            "{},{},{:.1}",
            K::NAME,
            contender.name,
            bytes as f64 / keys as f64
        );
        drop(table);
    }
}

/// The bytes that are allocated now.
static LIVE: AtomicUsize = AtomicUsize::new(0);

#[global_allocator]
static COUNTING: Counting = Counting;

struct Counting;

// SAFETY: it is the system's allocator, and a counter that nothing depends on.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        LIVE.fetch_add(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller keeps the contract of this method, which is the same.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        LIVE.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller keeps the contract of this method, which is the same.
        unsafe { System.dealloc(block, layout) }
    }
}
