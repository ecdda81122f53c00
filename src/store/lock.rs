//! The lock of a shard: spin, yield, then park.

use std::hint;

use dashmap::{RwLock, RwLockWriteGuard};

use crate::sync::yield_now;

/// How many spin-loop hints a thread makes before each retry.
const SPINS: [usize; 3] = [8, 32, 128];

/// How many retries follow, each after other threads have run, before the thread parks.
const YIELDS: usize = 100;

/// Locks a shard exclusively, to read it too. With more threads than cores there is always a reader
/// that is not running, and a shared lock would keep out all threads that wait for an exclusive one.
///
/// dashmap parks a thread after 14 spins and 7 yields, and at once while another is parked. Two
/// threads that check one key then spend their time on waking each other. With spins that grow, few
/// threads park for a lock that is held for a fraction of a us, and the state of a key stays in the
/// cache of one core for several checks.
///
/// The yields are for more threads than cores, where the thread that holds the lock may not be
/// running, and for sweeps. They take longer than a sweep holds the lock, so that no thread has to be
/// woken. `docs/architecture.md` has the figures.
#[inline]
pub(super) fn lock_shard<T>(shard: &RwLock<T>) -> RwLockWriteGuard<'_, T> {
    shard.try_write().unwrap_or_else(|| {
        cold_path(|| {
            for retry in 0..SPINS.len() + YIELDS {
                match SPINS.get(retry) {
                    Some(&spins) => (0..spins).for_each(|_| hint::spin_loop()),
                    None => yield_now(),
                }
                if let Some(guard) = shard.try_write() {
                    return guard;
                }
            }
            shard.write()
        })
    })
}

/// Keeps code that seldom runs out of the code that always does.
#[cold]
#[inline(never)]
pub(super) fn cold_path<R>(run: impl FnOnce() -> R) -> R {
    run()
}
