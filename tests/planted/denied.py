BUGS = [
    dict(
        name="cache: an entry of any epoch is a hit",
        file="src/denied.rs",
        old="Some(evaluation) if self.epoch() == epoch =>",
        new="Some(evaluation) if self.epoch() >= epoch =>",
        tests=["a_thread_that_is_told_of_a_forgetting_is_not_denied_from_the_cache"],
    ),
    dict(
        name="cache: the epoch is compared before the clock is read",
        file="src/denied.rs",
        old="""
            match evaluate(hit.state) {
                Some(evaluation) if self.epoch() == epoch =>""",
        new="""
            let now = self.epoch();
            match evaluate(hit.state) {
                Some(evaluation) if now == epoch =>""",
        tests=["a_cached_denial_is_from_before_the_forgetting"],
    ),
    dict(
        name="cache: it is read at every 16th check instead of at random",
        file="src/denied/cache.rs",
        old="count.wrapping_mul(0x9e37_79b1) < u32::MAX / REPLACE_ONE_IN",
        new="count.is_multiple_of(REPLACE_ONE_IN)",
        tests=["a_key_that_comes_at_every_nth_check_is_found"],
    ),
    dict(
        name="cache: a limiter does not get the place of a dropped one",
        file="src/denied.rs",
        old="if caches[place(self.limiter)].as_deref().is_none_or(is_free) {",
        new="""
let _ = is_free;
            if caches[place(self.limiter)].is_none() {""",
        tests=["the_caches_of_dropped_limiters_are_reused"],
    ),
    dict(
        name="cache: entries survive a change of epoch",
        file="src/denied.rs",
        old="                *cache = Cache::new::<K, N>(epoch);",
        new="                cache.epoch = epoch;",
        tests=["a_forgotten_key_ends_all_cached_denials"],
    ),
    dict(
        name="cache: no entry is ever a hit",
        file="src/denied.rs",
        old="            if cache.epoch == epoch {",
        new="            if cache.epoch > epoch {",
        tests=["a_cached_denial_takes_no_lock"],
        is_slow=True,
    ),
    dict(
        name="cache: keys are compared by hash alone",
        file="src/denied/cache.rs",
        old="entry.key.borrow() == key {",
        new="entry.key.borrow() == key || wanted != EMPTY {",
        tests=["a_key_with_the_hash_of_a_cached_key_is_not_denied"],
    ),
    dict(
        name="cache: limiters are distinguished by their place alone",
        file="src/denied.rs",
        old="        (cache.limiter == self.limiter).then_some",
        new="        (cache.limiter <= self.limiter).then_some",
        tests=["more_limiters_than_a_thread_has_caches_are_told_apart"],
    ),
    dict(
        name="cache: a key of any length is copied",
        file="src/denied.rs",
        old="        if size_of_val(key) > MAX_KEY_BYTES {",
        new="        if size_of_val(key) > usize::MAX / 2 {",
        tests=["a_long_key_is_not_copied"],
    ),
    dict(
        name="cache: it grows without a bound",
        file="src/denied/cache.rs",
        old="self.sets.len() == MAX_SETS",
        new="self.sets.len() == 1 << 40",
        tests=["a_flood_of_keys_is_cached_within_bounds"],
    ),
    dict(
        name="cache: a full cache admits only some keys, in turn",
        file="src/denied/cache.rs",
        old="self.misses >= MISSES_BEFORE_SAMPLING || is_sampled(self.skipped_inserts)",
        new="self.misses >= MISSES_BEFORE_SAMPLING || self.misses.is_multiple_of(REPLACE_ONE_IN)",
        tests=["a_thousand_keys_are_found_again"],
    ),
    dict(
        name="cache: entries outlive their limiter",
        file="src/denied.rs",
        old="        let is_own = |cache: &mut Box<LimiterCache>| cache.limiter == self.limiter;",
        new="        let is_own = |_: &mut Box<LimiterCache>| false;",
        tests=["a_thread_that_drops_a_limiter_drops_its_cached_keys"],
    ),
    dict(
        name="cache: another thread's entries outlive their limiter for ever",
        file="src/denied.rs",
        old="cache.take_if(|cache| cache.epoch.load(Ordering::Relaxed) == DEAD);",
        new="cache.take_if(|cache| cache.epoch.load(Ordering::Relaxed) == DEAD - 1);",
        tests=["another_thread_drops_its_copies_when_it_caches_for_another_limiter"],
    ),
]
