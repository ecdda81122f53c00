//! How much of a table is looked at in one step.

use std::{
    cell::Cell,
    hash::{BuildHasherDefault, DefaultHasher},
};

use super::*;

/// A check waits for at most as long as one lock is held, and a job of the maintenance thread for at
/// most as long as a step takes.
#[test]
fn a_slice_looks_at_some_thousand_buckets() {
    // Two shards of 65,536 buckets; and 512 that are empty or have one key.
    for (shards, keys) in [(2, 60_000), (512, 300)] {
        let hasher = BuildHasherDefault::<DefaultHasher>::default();
        let table = Table::<u64, 1, _>::new(shards, hasher);
        for key in 0..keys {
            table.upsert(table.hash(&key), key, || true, |words| words[0] = key);
        }
        let (mut cursor, mut looked_at, mut slices) = (Cursor::default(), 0, 0);
        loop {
            let seen = Cell::new(0);
            let before = (cursor.shard, cursor.bucket);
            let keep = |_: &[u64; 1]| {
                seen.set(seen.get() + 1);
                true
            };
            let Some(slice) = table.remove_some(&mut cursor, keep) else {
                break;
            };
            assert_eq!((slice.removed, slice.keys.len()), (0, 0));
            // Of those of one shard, as all that a step looks at may lie in one.
            assert!(cursor.bucket <= before.1 + 4_096 || cursor.shard > before.0);
            assert!(seen.get() <= 8_192, "{} keys in a slice", seen.get());
            assert!(cursor.shard - before.0 <= 512, "empty shards are not free");
            looked_at += seen.get();
            slices += 1;
        }
        assert_eq!(looked_at, keys);
        assert!(slices >= 2, "{slices} of {shards} shards");
    }
}
