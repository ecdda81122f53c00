BUGS = [
    dict(
        name="race: the second of two threads that insert one key stores it anew",
        file="src/store.rs",
        old="            change(plan, state, now)",
        new="""
            *state = T::FULL;
            change(plan, state, now)""",
        tests=["two_threads_race_for_one_unit_and_one_gets_it"],
    ),
    dict(
        name="sweep: the Drop of a key runs under the lock of its shard",
        file="src/store.rs",
        old="slice.keys.push(key);",
        new="drop(key);",
        tests=["a_swept_key_may_check_its_limiter"],
        is_slow=True,
    ),
    dict(
        name="peek: readers share the lock of a shard and keep checks out",
        file="src/store/map.rs",
        old="""
        let shard = lock_shard(&self.map.shards()[self.prefetch_shard(hash)]);
        let stored = shard.get(hash""",
        new="""
        let shard = self.map.shards()[self.prefetch_shard(hash)].read();
        let stored = shard.get(hash""",
        tests=["no_two_threads_are_in_one_shard"],
    ),
    dict(
        name="case 29: tombstones count as buckets in use",
        file="src/store/map.rs",
        old="            is_sparse: is_sparse(shard.len(), buckets),",
        new="            is_sparse: is_sparse(shard.len(), shard.capacity()),",
        tests=["each_shard_shrinks_by_its_own_size"],
    ),
    dict(
        name="forget: a key is counted as gone only after its shard is released",
        file="src/store.rs",
        old="""
        let removed = self.map.remove(hash, key, |state| {
            self.dropped.fetch_add(1, Ordering::Release);
            after(state);
        });
""",
        new="""
        let removed = self.map.remove(hash, key, after);
        if removed.is_some() {
            self.dropped.fetch_add(1, Ordering::Release);
        }
""",
        tests=["a_key_that_is_forgotten_and_stored_again_counts_once"],
    ),
    dict(
        name="upsert: a key that could not be stored is dropped under the lock",
        file="src/store/map.rs",
        old="""
                let now = now();
                let entry = (key, SharedValue::new(T::FULL));""",
        new="""
                let held = key;
                let now = now();
                let entry = (held, SharedValue::new(T::FULL));""",
        tests=["a_key_that_could_not_be_stored_is_dropped_under_no_lock"],
        is_slow=True,
    ),
    dict(
        name="table: peek uses another hash than insert",
        file="src/store/map.rs",
        old="""
        let shard = lock_shard(&self.map.shards()[self.prefetch_shard(hash)]);
        let stored = shard.get(hash""",
        new="""
        let mut hasher = self.map.hasher().build_hasher();
        key.hash(&mut hasher);
        let hash = std::hash::Hasher::finish(&hasher);
        let shard = lock_shard(&self.map.shards()[self.prefetch_shard(hash)]);
        let stored = shard.get(hash""",
        tests=["a_hasher_with_a_shortcut_of_its_own_loses_no_key"],
    ),
    dict(
        name="table: the prefetch uses the wrong place",
        file="src/store/prefetch.rs",
        old="end.wrapping_sub(place + 1)",
        new="end.wrapping_add(place)",
        tests=["most_keys_are_where_they_are_prefetched"],
    ),
    dict(
        name="table: the prefetch uses the layout from before the table grew",
        file="src/store/map.rs",
        old="""
                    self.layouts
                        .update(index, shard.data_end(), shard.buckets());""",
        new="""
                    if shard.buckets() < 9 {
                        self.layouts
                            .update(index, shard.data_end(), shard.buckets());
                    }""",
        tests=["most_keys_are_where_they_are_prefetched"],
    ),
    dict(
        name="table: the prefetch uses the layout from before the table shrank",
        file="src/store/map.rs",
        old="""
            shard.shrink_to(keys, |(stored, _)| self.hash(stored));
            let (end, buckets) = (shard.data_end(), shard.buckets());
            self.layouts.update(index, end, buckets);
""",
        new="""
            shard.shrink_to(keys, |(stored, _)| self.hash(stored));
""",
        tests=["most_keys_are_where_they_are_prefetched"],
    ),
    dict(
        name="upsert: a key is inserted before the clock is read, which may panic",
        file="src/store/map.rs",
        old="""
                let now = now();
                let entry = (key, SharedValue::new(T::FULL));
                let (_, state) = shard.insert_entry(hash, entry, hash_of);""",
        new="""
                let entry = (key, SharedValue::new(T::FULL));
                let (_, state) = shard.insert_entry(hash, entry, hash_of);
                let now = now();""",
        tests=["a_clock_that_panics_leaves_no_trace"],
    ),
    dict(
        name="sweep: a slice is the whole table",
        file="src/store.rs",
        old="visited < SLICE",
        new="visited < usize::MAX",
        tests=["a_slice_visits_some_thousand_buckets"],
    ),
    dict(
        name="sweep: a shard is scanned under one lock",
        file="src/store/map.rs",
        old="from.saturating_add(SCANNED_AT_ONCE)",
        new="from.saturating_add(usize::MAX)",
        tests=["a_slice_visits_some_thousand_buckets"],
    ),
]
