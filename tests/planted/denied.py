BUGS = [
    dict(
        name="cache: an entry of any epoch is a hit",
        file="src/denied.rs",
        old="(self.epoch(hash) == entry.epoch).then_some(result)",
        new="(self.epoch(hash) >= entry.epoch).then_some(result)",
        tests=["a_thread_that_is_told_of_a_forgetting_is_not_denied_from_the_cache"],
    ),
    dict(
        name="cache: the epoch is compared before the clock is read",
        file="src/denied.rs",
        old="""
                let result = evaluate(&entry.state)?;
                (self.epoch(hash) == entry.epoch).then_some(result)""",
        new="""
                let is_valid = self.epoch(hash) == entry.epoch;
                let result = evaluate(&entry.state)?;
                is_valid.then_some(result)""",
        tests=["a_cached_denial_is_from_before_the_forgetting"],
    ),
    dict(
        name="cache: whether a forgotten key was exhausted is judged by the caller's clock",
        file="src/limiter.rs",
        old="(self.table.hash(key), self.timer.floor());",
        new="(self.table.hash(key), self.timer.now());",
        tests=["a_forgetting_reaches_a_thread_whose_clock_is_behind"],
    ),
    dict(
        name="cache: forgetting any key invalidates entries",
        file="src/limiter.rs",
        old="if self.rule.is_exhausted(state, floor) {",
        new="if self.rule.is_exhausted(state, floor.min(0)) || floor < u64::MAX {",
        tests=["a_forgotten_key_leaves_the_cached_denials_of_others"],
    ),
    dict(
        name="cache: all keys have one epoch",
        file="src/denied.rs",
        old="&self.epochs.0[(hash >> 32) as usize % EPOCHS]",
        new="&self.epochs.0[(hash >> 32) as usize / (1 << 32)]",
        tests=["a_forgotten_key_leaves_the_cached_denials_of_others"],
    ),
    dict(
        name="cache: it is read at every 16th check instead of at random",
        file="src/denied/cache.rs",
        old="count.wrapping_mul(0x9e37_79b1) < u32::MAX / SAMPLE_ONE_IN",
        new="count.is_multiple_of(SAMPLE_ONE_IN)",
        tests=["a_key_that_comes_at_every_nth_check_is_found"],
    ),
    dict(
        name="cache: a key that is allowed again keeps its entry",
        file="src/denied/cache.rs",
        old="""
            None => {
                entry.tag = REMOVED;""",
        new="""
            None => {""",
        tests=["what_is_found_is_what_was_inserted_last"],
    ),
    dict(
        name="cache: no entry is ever a hit",
        file="src/denied.rs",
        old="        if size_of_val(key) <= MAX_KEY_BYTES {",
        new="        if size_of_val(key) > MAX_KEY_BYTES {",
        tests=["a_cached_denial_takes_no_lock"],
        is_slow=True,
    ),
    dict(
        name="cache: an entry keeps its tag while its key is copied",
        file="src/denied/cache.rs",
        old="""
                entry.tag = REMOVED;
                key.clone_into(&mut entry.key);""",
        new="""
                key.clone_into(&mut entry.key);""",
        tests=["a_key_whose_copy_panics_is_not_found"],
    ),
    dict(
        name="cache: keys are compared by hash alone",
        file="src/denied/cache.rs",
        old="entry.tag == tag && entry.key.borrow() == key,",
        new="entry.tag == tag && (entry.key.borrow() == key || tag != REMOVED),",
        tests=["a_key_with_the_hash_of_a_cached_key_is_not_denied"],
    ),
    dict(
        name="cache: a key of any length is copied",
        file="src/denied.rs",
        old="        if size_of_val(key) <= MAX_KEY_BYTES {",
        new="        if size_of_val(key) <= usize::MAX / 2 {",
        tests=["a_long_key_is_not_copied"],
    ),
    dict(
        name="cache: it grows without a bound",
        file="src/denied/cache.rs",
        old="if slots == MAX_SLOTS {",
        new="if slots == 1 << 40 {",
        tests=["a_flood_of_keys_is_cached_within_bounds"],
    ),
    dict(
        name="cache: a full cache admits only some keys, in turn",
        file="src/denied/cache.rs",
        old="self.misses >= MISSES_BEFORE_SAMPLING || is_sampled(self.skipped_inserts)",
        new="self.misses >= MISSES_BEFORE_SAMPLING || self.misses.is_multiple_of(SAMPLE_ONE_IN)",
        tests=["of_more_keys_than_fit_most_slots_are_found_again"],
    ),
    dict(
        name="cache: a thread that ends makes a cache as any other",
        file="src/sync.rs",
        old="if ALIVE.try_with(|_| ()).is_err() {",
        new="if ALIVE.try_with(|_| ()).is_err() && size_of::<T>() == 0 {",
        tests=["a_thread_that_ends_denies_without_a_cache"],
    ),
    dict(
        name="cache: a panic as a thread ends aborts the process",
        file="src/sync.rs",
        old="let Ok(value) = catch_unwind(AssertUnwindSafe(make)) else {",
        new="let Ok::<_, ()>(value) = Ok(make()) else {",
        tests=["a_thread_that_ends_denies_without_a_cache"],
    ),
]
