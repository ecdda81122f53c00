//! How much of a table one slice visits.

use std::{
    cell::Cell,
    hash::{BuildHasherDefault, DefaultHasher},
};

use super::*;
use crate::arith::state::KeyState;

/// A check waits at most while one lock is held, and a job of the maintenance thread at most while a
/// slice runs.
#[test]
fn a_slice_visits_some_thousand_buckets() {
    // Two shards of 65,536 buckets; and 512 that are empty or have one key.
    for (shards, keys) in [(2, 60_000), (512, 300)] {
        let hasher = BuildHasherDefault::<DefaultHasher>::default();
        let table = Table::<u64, KeyState<1>, _>::new(shards, hasher);
        for key in 0..keys {
            table.upsert(
                table.hash(&key),
                key,
                || ((), true),
                || 0,
                |(), state, _| *state = KeyState::spent([key]),
            );
        }
        let (mut cursor, mut visited, mut slices) = (Cursor::default(), 0, 0);
        loop {
            let seen = Cell::new(0);
            let before = (cursor.shard, cursor.bucket);
            let keep = |_: &KeyState<1>| {
                seen.set(seen.get() + 1);
                true
            };
            let Some(slice) = table.remove_some(&mut cursor, keep) else {
                break;
            };
            assert_eq!((slice.removed, slice.keys.len()), (0, 0));
            // In one shard, as a whole slice may lie in one.
            assert!(cursor.bucket <= before.1 + 4_096 || cursor.shard > before.0);
            assert!(seen.get() <= 8_192, "{} keys in a slice", seen.get());
            assert!(cursor.shard - before.0 <= 512, "empty shards are not free");
            visited += seen.get();
            slices += 1;
        }
        assert_eq!(visited, keys);
        assert!(slices >= 2, "{slices} of {shards} shards");
    }
}
