#!/usr/bin/env python3
"""Plants a bug, one at a time, in a copy of the tree, and sees the test that guards it fail.

A test that has never failed proves little. Each entry below names a law, an edit that breaks it in
a way that real limiters have been broken, and the tests that must fail then. An edit whose text is
no longer there is an error, told first: it moves with the code. Then every test named runs on the
untouched copy and must pass.

    python3 tests/planted.py            all of them
    python3 tests/planted.py sweep      those whose name holds "sweep"
"""

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
COPY = ROOT / "target" / "planted"


@dataclass
class Bug:
    name: str
    file: str
    old: str
    new: str
    suite: str  # the test binary, "lib" for that of the crate itself, or "models" for loom
    tests: list


BUGS = [
    Bug(
        "law 1: the room of a bucket is not checked against the cost",
        "src/arith/bucket.rs",
        "if start <= earned + (self.depth - cost) {",
        "if start < earned + self.depth {",
        "properties",
        ["law_1_never_over", "law_1_never_over_with_threads_and_a_clock_that_moves"],
    ),
    Bug(
        "law 2: the time of a unit is floored to whole ns, as in most limiters",
        "src/arith/scale.rs",
        "let (units, period) = (units / divisor, period / divisor);",
        "let (units, period) = (units / divisor, period / divisor);\n        "
        "let (units, period) = if units < period { (1, period / units) } else { (units, period) };",
        "properties",
        ["law_2_any_other_decides_as_the_model_less_than_1_ns_away"],
    ),
    Bug(
        "law 2: a burst may be so large that a step is longer than a ns",
        "src/arith/scale.rs",
        "if finest < coarsest as u128 {",
        "if finest == 0 {",
        "properties",
        ["law_2_whole_nanoseconds_decide_as_the_rational_model"],
    ),
    Bug(
        "law 2: spending from a full bucket rounds up",
        "src/arith/bucket.rs",
        "let start = word.max(earned);",
        "let start = word.max(earned + 1);",
        "properties",
        [
            "law_2_whole_nanoseconds_decide_as_the_rational_model",
            "law_2_a_full_bucket_passes_exactly_its_burst_at_one_instant",
        ],
    ),
    Bug(
        "law 3: the wait is rounded down",
        "src/arith/scale.rs",
        "        if self.steps_per_unit == self.period {\n            return step.div_ceil(self.units);",
        "        if self.steps_per_unit == self.period {\n            return step / self.units;",
        "properties",
        ["law_3_retry_after_is_tight"],
    ),
    Bug(
        "law 3: the wait of an inexact quota is a ns too long",
        "src/arith/scale.rs",
        "(step as u128 * self.period as u128).div_ceil(rate) as u64",
        "(step as u128 * self.period as u128).div_ceil(rate) as u64 + 1",
        "properties",
        ["law_3_retry_after_is_tight"],
    ),
    Bug(
        "law 4: a part of a unit counts as a unit",
        "src/arith/bucket.rs",
        "self.depth.saturating_sub(debt) / self.scale.steps_per_unit",
        "self.depth.saturating_sub(debt).div_ceil(self.scale.steps_per_unit)",
        "properties",
        ["law_4_exactly_the_remaining_units_pass_now"],
    ),
    Bug(
        "law 5: full is said a step too early",
        "src/arith/bucket.rs",
        "self.until(self.word)\n",
        "self.until(self.word.saturating_sub(self.scale.steps_per_unit))\n",
        "properties",
        ["law_5_the_bucket_is_full_at_reset_after_and_not_1_ns_before"],
    ),
    Bug(
        "law 6: a denial costs a unit if there is one",
        "src/policy.rs",
        "        if let Some(spent) = spent {\n"
        "            *words = spent;\n"
        "        }\n",
        "        if let Some(spent) = spent {\n"
        "            *words = spent;\n"
        "        } else {\n"
        "            *words = self.try_spend(words, &earned, 1).unwrap_or(*words);\n"
        "        }\n",
        "properties",
        ["law_6_denials_change_no_later_decision"],
    ),
    Bug(
        "law 6: an oversized request stores its key",
        "src/policy.rs",
        "n > 0 && self.quotas.iter().all(|quota| n <= quota.burst_size())",
        "n > 0",
        "properties",
        ["law_6_denials_change_no_later_decision"],
    ),
    Bug(
        "law 7: quotas are spent from one after the other until one refuses",
        "src/policy.rs",
        "        let spent = self.try_spend(words, &earned, n);\n"
        "        if let",
        "        let spent = self.try_spend(words, &earned, n);\n"
        "        let buckets = words.iter_mut().zip(earned).zip(&self.buckets);\n"
        "        for ((word, earned), bucket) in buckets {\n"
        "            match bucket.try_spend(*word, earned, n) {\n"
        "                Some(next) => *word = next,\n"
        "                None => break,\n"
        "            }\n"
        "        }\n"
        "        if let",
        "properties",
        ["law_7_spends_from_every_quota_or_from_none"],
    ),
    Bug(
        "law 7: the wait is the first quota's",
        "src/decision.rs",
        ".filter_map(QuotaDecision::retry_after)\n            .max()",
        ".filter_map(QuotaDecision::retry_after)\n            .next()",
        "properties",
        [
            "law_7_spends_from_every_quota_or_from_none",
            "law_7_each_quota_holds_for_itself_whatever_its_rate",
            "law_7_the_order_of_quotas_makes_no_difference",
        ],
    ),
    Bug(
        "law 7: of two quotas that can never be met the first is named",
        "src/decision.rs",
        "(true, true) => other.limit().cmp(&self.limit()),",
        "(true, true) => return Ordering::Equal,",
        "properties",
        ["law_7_the_order_of_quotas_makes_no_difference"],
    ),
    Bug(
        "law 8: a key is forgotten a unit before its bucket is full",
        "src/arith/bucket.rs",
        "        word <= earned\n",
        "        word <= earned + self.axis.scale.steps_per_unit\n",
        "properties",
        ["law_8_a_limiter_that_forgets_decides_as_one_that_never_does"],
    ),
    Bug(
        "law 8: a key is forgotten when one of its buckets is full",
        "src/policy.rs",
        "buckets.all(|((bucket, &word), earned)| bucket.is_full(word, earned))",
        "buckets.any(|((bucket, &word), earned)| bucket.is_full(word, earned))",
        "properties",
        ["law_8_a_limiter_that_forgets_decides_as_one_that_never_does"],
    ),
    Bug(
        "law 9: a clock that steps back is believed",
        "src/clock/monotonic.rs",
        'if time.wrapping_sub(high_water) <= self.lag {',
        'if time.wrapping_sub(high_water) <= self.lag || time < high_water {',
        "properties",
        ["law_9_time_that_steps_back_stands_still_or_counts_on"],
    ),
    Bug(
        "law 9: a step back is noticed only if it is a long one",
        "src/clock/monotonic.rs",
        'const EXACT_LAG: u64 = if cfg!(tollgate_loom) { SYSTEM_LAG } else { 0 };',
        'const EXACT_LAG: u64 = SYSTEM_LAG;',
        "properties",
        ["law_9_time_that_steps_back_stands_still_or_counts_on"],
    ),
    Bug(
        "case 51: after a long step back time stands still for as long",
        "src/clock/monotonic.rs",
        'pub(crate) const STEP_TOLERANCE: u64 = 1_000_000_000;',
        'pub(crate) const STEP_TOLERANCE: u64 = u64::MAX;',
        "cases_time",
        ["after_a_long_step_back_no_key_waits_longer_than_its_debt", "a_clock_that_steps_back_again_and_again_is_counted_on_from"],
    ),
    Bug(
        "law 9: time counts on from a step back of less than 1 s",
        "src/clock/monotonic.rs",
        'pub(crate) const STEP_TOLERANCE: u64 = 1_000_000_000;',
        'pub(crate) const STEP_TOLERANCE: u64 = 0;',
        "cases_time",
        ["after_a_step_back_time_stands_still_until_the_clock_has_caught_up"],
    ),
    Bug(
        "clock: a thread that stalls before it compares is taken for a step back",
        "src/clock/monotonic.rs",
        (
            '            let high_water = self.high_water.load(Ordering::Acquire);\n'
            '            let shift = self.shift.load(Ordering::Acquire);\n'
            '            let reading = self.clock.nanos();\n'
        ),
        (
            '            let shift = self.shift.load(Ordering::Acquire);\n'
            '            let reading = self.clock.nanos();\n'
            '            let high_water = self.high_water.load(Ordering::Acquire);\n'
        ),
        "models",
        ["a_thread_that_stalls_beside_the_clock_is_not_taken_for_a_step_back"],
    ),
    Bug(
        "clock: the reading that confirms a step back is not ordered after the published time",
        "src/clock/monotonic.rs",
        (
            '            let high_water = self.high_water.load(Ordering::Acquire);\n'
            '            let shift = self.shift.load(Ordering::Acquire);\n'
            '            let reading'
        ),
        (
            '            let high_water = self.high_water.load(Ordering::Relaxed);\n'
            '            let shift = self.shift.load(Ordering::Acquire);\n'
            '            let reading'
        ),
        "models",
        ["a_thread_that_stalls_beside_the_clock_is_not_taken_for_a_step_back"],
    ),
    Bug(
        "clock: each thread that sees a step back counts on from it again",
        "src/clock/monotonic.rs",
        "            if exchange.is_ok() {\n",
        "            if exchange.is_err() {\n                self.shift.fetch_add("
        "raised.wrapping_sub(shift), Ordering::AcqRel);\n            }\n"
        "            if true {\n",
        "models",
        ["a_long_step_back_is_counted_on_from_once"],
    ),
    Bug(
        "clock: a raised shift is added to a reading from before the step",
        "src/clock/monotonic.rs",
        "            let shift = self.shift.load(Ordering::Acquire);\n"
        "            let reading = self.clock.nanos();\n",
        "            let reading = self.clock.nanos();\n"
        "            let shift = self.shift.load(Ordering::Acquire);\n",
        "models",
        ["a_long_step_back_is_counted_on_from_once"],
    ),
    Bug(
        "law 9: every check lets a step pass",
        "src/limiter.rs",
        "        self.policy.spend(words, self.timer.now(), n)",
        "        use std::sync::atomic::{AtomicU64, Ordering};\n"
        "        static STEPS: AtomicU64 = AtomicU64::new(0);\n"
        "        let steps = STEPS.fetch_add(1_000_000, Ordering::Relaxed);\n"
        "        self.policy.spend(words, self.timer.now() + steps, n)",
        "properties",
        ["law_9_time_that_stands_still_admits_the_burst_and_no_more"],
    ),
    Bug(
        "time: a coarse clock counts what has passed anew at each refresh",
        "src/clock/coarse.rs",
        'self.cached.fetch_max(self.timer.now(), Ordering::Relaxed);',
        'self.cached.fetch_add(self.timer.now(), Ordering::Relaxed);',
        "cases_time",
        ["a_coarse_clock_hands_out_nothing_early_and_all_in_the_end"],
    ),
    Bug(
        "time: a coarse clock stands still while its thread is held up",
        "src/clock/coarse.rs",
        "if readings.is_ok_and(is_checked) {",
        'if readings.is_err() {',
        "maintenance",
        ["a_coarse_clock_goes_on_while_the_thread_is_held_up"],
    ),
    Bug(
        "law 10: a request above the burst is multiplied out",
        "src/arith/bucket.rs",
        "        if n > self.burst {\n            return None;\n        }\n",
        "",
        "properties",
        ["law_10_no_input_panics"],
    ),
    Bug(
        "law 10: the century is not counted when a quota is built",
        "src/arith/scale.rs",
        "let finest = match century.checked_add(",
        "let finest = match (century * 0).checked_add(",
        "properties",
        ["law_10_no_input_panics"],
    ),
    Bug(
        "law 10: what is refused is summed up without a look at 128 bits",
        "src/arith/scale.rs",
        "match century.checked_add(coarsest as u128 * period as u128) {",
        "match Some(century + coarsest as u128 * period as u128) {",
        "properties",
        ["law_10_no_input_panics"],
    ),
    Bug(
        "race: decided on a copy and stored later",
        "src/limiter.rs",
        "            core.table\n"
        "                .update(hash, key, spend)\n",
        "            let copy = core.table.read(key, |words| *words);\n"
        "            let evaluation = copy.map(|mut words| {\n"
        "                let evaluation = core.spend(&mut words, n);\n"
        "                core.table.update(hash, key, |stored| *stored = words);\n"
        "                evaluation\n"
        "            });\n"
        "            evaluation\n",
        "models",
        ["three_threads_race_for_the_last_unit_across_a_refill"],
    ),
    Bug(
        "race: of two threads that both find the key unknown the second stores it anew",
        "src/store.rs",
        "            let result = change(words);\n",
        "            *words = [0; N];\n            let result = change(words);\n",
        "models",
        ["two_threads_race_for_one_unit_and_one_gets_it"],
    ),
    Bug(
        "race: the clock is read before the lock is taken",
        "src/limiter.rs",
        "            core.table\n"
        "                .update(hash, key, spend)\n"
        "                .unwrap_or_else(|| core.check_unknown(hash, key, n))\n",
        "            let now = core.timer.now();\n"
        "            let spend = |words: &mut [u64; N]| core.policy.spend(words, now, n);\n"
        "            let evaluation = core.table.update(hash, key, spend);\n"
        "            let store = || core.table.upsert(hash, key.to_owned(), || true, spend);\n"
        "            evaluation.unwrap_or_else(store)\n",
        "models",
        [
            "no_thread_is_denied_while_a_unit_is_there",
            "a_stalled_caller_mints_nothing_from_a_key_swept_meanwhile",
            "a_stalled_caller_earns_nothing_from_before_the_forgetting",
            "a_stalled_forgetting_hands_out_one_fresh_burst_and_no_more",
        ],
    ),
    Bug(
        "race: for a number the clock is read before the lock is taken",
        "src/limiter.rs",
        "            core.table.upsert(hash, key.to_owned(), should_insert, spend)\n"
        "        }",
        "            let now = core.timer.now();\n"
        "            let spend = |words: &mut [u64; N]| core.policy.spend(words, now, n);\n"
        "            core.table.upsert(hash, key.to_owned(), should_insert, spend)\n"
        "        }",
        "models",
        ["a_stalled_caller_mints_nothing_from_a_number_swept_meanwhile"],
    ),
    Bug(
        "race: a peek reads the clock before it takes the lock",
        "src/limiter.rs",
        "        let look = |words: &[u64; N]| core.policy.peek(words, core.timer.now(), n);",
        "        let now = core.timer.now();\n"
        "        let look = |words: &[u64; N]| core.policy.peek(words, now, n);",
        "models",
        ["peek_sees_no_denial_while_a_unit_is_there"],
    ),
    Bug(
        "race: a policy spends from the first quota before it asks the second",
        "src/policy.rs",
        "        let spent = self.try_spend(words, &earned, n);\n"
        "        if let",
        "        let spent = self.try_spend(words, &earned, n);\n"
        "        if let Some(next) = self.buckets[0].try_spend(words[0], earned[0], n) {\n"
        "            words[0] = next;\n"
        "        }\n"
        "        if let",
        "models",
        [
            "a_denial_by_one_quota_spends_from_neither",
            "neither_quota_is_exceeded_while_the_faster_refills",
        ],
    ),
    Bug(
        "sweep: full is decided under one lock and forgotten under the next",
        "src/limiter/sweep.rs",
        "        self.remove_some(sweep, |words| !is_full(words))\n",
        "        let all_full = std::cell::Cell::new(true);\n"
        "        let look = |words: &[u64; N]| {\n"
        "            all_full.set(all_full.get() && is_full(words));\n"
        "            true\n        };\n"
        "        let mut ahead = crate::store::Cursor::default();\n"
        "        while self.table.remove_some(&mut ahead, look).is_some() {}\n"
        "        self.remove_some(sweep, |_| !all_full.get())\n",
        "models",
        ["a_sweep_that_is_late_forgets_no_debt"],
    ),
    Bug(
        "sweep: the Drop of a key runs under the lock of its shard",
        "src/store.rs",
        'slice.keys.push(key);',
        'drop(key);',
        "maintenance",
        ["a_swept_key_may_check_its_limiter"],
    ),
    Bug(
        "peek: readers share the lock of a shard, and keep checks out",
        "src/store/map.rs",
        (
            '        let shard = lock_shard(&self.map.shards()[self.prefetch_shard(hash)]);\n'
            '        let stored = shard.get(hash'
        ),
        (
            '        let shard = self.map.shards()[self.prefetch_shard(hash)].read();\n'
            '        let stored = shard.get(hash'
        ),
        "maintenance",
        ["no_two_threads_are_in_one_shard"],
    ),
    Bug(
        "case 29: tombstones are taken for room that a shard does not have",
        "src/store/map.rs",
        '            is_sparse: is_sparse(shard.len(), buckets),',
        '            is_sparse: is_sparse(shard.len(), shard.capacity()),',
        "memory",
        ["each_shard_shrinks_by_its_own_size"],
    ),
    Bug(
        "forget: a key is counted as gone only when its shard is released",
        "src/store.rs",
        "        let removed = self.map.remove(key, || {\n"
        "            self.dropped.fetch_add(1, Ordering::Release);\n"
        "            after();\n        });\n",
        "        let removed = self.map.remove(key, after);\n"
        "        if removed.is_some() {\n"
        "            self.dropped.fetch_add(1, Ordering::Release);\n        }\n",
        "models",
        ["a_key_that_is_forgotten_and_stored_again_counts_once"],
    ),
    Bug(
        "upsert: a key that could not be stored is dropped under the lock",
        "src/store/map.rs",
        "            let key = key;\n            let mut shard = shard;\n",
        "            let mut shard = shard;\n            let key = key;\n",
        "cases_hashing",
        ["a_key_that_could_not_be_stored_is_dropped_under_no_lock"],
    ),
    Bug(
        "sweep: the thread forgets keys in debt",
        "src/policy.rs",
        "bucket.is_full(word, earned)",
        "word > 0",
        "models",
        ["a_check_against_the_automatic_sweep_mints_and_loses_nothing"],
    ),
    Bug(
        "forget: looks and removes under two locks",
        "src/limiter.rs",
        "        self.core.table.remove(key, || self.core.denied.invalidate())",
        "        let stored = self.core.table.read(key, |_| ()).is_some();\n"
        "        self.core.table.remove(key, || self.core.denied.invalidate());\n        stored",
        "models",
        ["forgetting_twice_at_once_forgets_one_key"],
    ),
    Bug(
        "memory: a forgetting ends no memory",
        "src/limiter.rs",
        "        self.core.table.remove(key, || self.core.denied.invalidate())",
        "        self.core.table.remove(key, || ())",
        "models",
        ["a_thread_that_is_told_of_a_forgetting_is_not_denied_from_the_cache"],
    ),
    Bug(
        "memory: a forgetting ends the memories before it takes the lock",
        "src/limiter.rs",
        "        self.core.table.remove(key, || self.core.denied.invalidate())",
        "        self.core.denied.invalidate();\n        self.core.table.remove(key, || ())",
        "models",
        ["a_thread_that_is_told_of_a_forgetting_is_not_denied_from_the_cache"],
    ),
    Bug(
        "memory: a forgetting ends the memories after it released the lock",
        "src/limiter.rs",
        "        self.core.table.remove(key, || self.core.denied.invalidate())",
        "        let was = self.core.table.remove(key, || ());\n"
        "        self.core.denied.invalidate();\n        was",
        "models",
        ["a_thread_that_is_told_that_a_key_was_found_forgotten_is_not_denied_from_the_cache"],
    ),
    Bug(
        "memory: the epoch is read when the table has been asked",
        "src/limiter.rs",
        "            core.denied.insert(hash, key, evaluation.words, epoch);\n",
        "            let _ = epoch;\n"
        "            let epoch = core.denied.epoch();\n"
        "            core.denied.insert(hash, key, evaluation.words, epoch);\n",
        "models",
        ["a_thread_that_is_told_of_a_forgetting_is_not_denied_from_the_cache"],
    ),
    Bug(
        "memory: believed in whatever epoch",
        "src/denied.rs",
        "Some(evaluation) if self.epoch() == epoch =>",
        "Some(evaluation) if self.epoch() >= epoch =>",
        "models",
        ["a_thread_that_is_told_of_a_forgetting_is_not_denied_from_the_cache"],
    ),
    Bug(
        "memory: the epoch is compared before the clock is read",
        "src/denied.rs",
        "            match judge(hit.words) {\n                Some(evaluation) if self.epoch() == epoch =>",
        "            let now = self.epoch();\n            match judge(hit.words) {\n"
        "                Some(evaluation) if now == epoch =>",
        "models",
        ["a_cached_denial_is_from_before_the_forgetting"],
    ),
    Bug(
        "memory: looked into at every 16th check, whoever's that is",
        "src/denied/cache.rs",
        "count.wrapping_mul(0x9e37_79b1) < u32::MAX / REPLACE_ONE_IN",
        "count.is_multiple_of(PATIENCE)",
        "lib",
        ["denied::cache::tests::a_key_that_comes_at_every_nth_check_is_found"],
    ),
    Bug(
        "memory: a place that a limiter had is not given to another",
        "src/denied.rs",
        "if homes[place(self.limiter)].as_deref().is_none_or(is_free) {",
        "let _ = is_free;\n            if homes[place(self.limiter)].is_none() {",
        "refusals",
        ["the_caches_of_dropped_limiters_are_reused"],
    ),
    Bug(
        "table: a key is looked at by another hash than it is stored by",
        "src/store/map.rs",
        "        let hash = self.hash(key);\n        let shard = lock_shard",
        "        let mut hasher = self.map.hasher().build_hasher();\n"
        "        key.hash(&mut hasher);\n"
        "        let hash = std::hash::Hasher::finish(&hasher);\n        let shard = lock_shard",
        "cases_hashing",
        ["a_hasher_with_a_shortcut_of_its_own_loses_no_key"],
    ),
    Bug(
        "table: keys are asked for where they are not",
        "src/store/prefetch.rs",
        "end.wrapping_sub(place + 1)",
        "end.wrapping_add(place)",
        "lib",
        ["store::map::tests::most_keys_are_where_they_are_prefetched"],
    ),
    Bug(
        "table: keys are asked for where they were before the table grew",
        "src/store/map.rs",
        (
            '            shard.reserve(1, hash_of);\n'
            '            self.layouts[index].update(shard.data_end(), shard.buckets());\n'
        ),
        (
            '            shard.reserve(1, hash_of);\n'
            '            if shard.buckets() < 9 {\n'
            '                self.layouts[index].update(shard.data_end(), shard.buckets());\n'
            '            }\n'
        ),
        "lib",
        ["store::map::tests::most_keys_are_where_they_are_prefetched"],
    ),
    Bug(
        "table: keys are asked for where they were before the table shrank",
        "src/store/map.rs",
        (
            '            shard.shrink_to(keys, |(stored, _)| self.hash(stored));\n'
            '            self.layouts[index].update(shard.data_end(), shard.buckets());\n'
        ),
        (
            '            shard.shrink_to(keys, |(stored, _)| self.hash(stored));\n'
        ),
        "lib",
        ["store::map::tests::most_keys_are_where_they_are_prefetched"],
    ),
    Bug(
        "text: the Kelvin sign passes for a k, as Unicode folds it",
        "src/quota/text.rs",
        "let lower = word.to_ascii_lowercase();",
        "let lower = word.to_lowercase();",
        "quota_text",
        ["letters_that_only_look_like_a_name_are_none"],
    ),
    Bug(
        "text: a quote keeps the blanks behind the quota",
        "src/quota/text.rs",
        "excerpt(self.text[start..self.at].trim_end())",
        "excerpt(&self.text[start..self.at])",
        "quota_text",
        ["an_error_quotes_a_quota_without_the_blanks_around_it"],
    ),
    Bug(
        "text: a position counts bytes",
        "src/quota/text.rs",
        "text[..at].chars().count() + 1",
        "text[..at].len() + 1",
        "quota_text",
        ["a_position_counts_characters_however_many_bytes_they_take"],
    ),
    Bug(
        "values: width and alignment are ignored",
        "src/pad.rs",
        "if f.width().is_none() && f.precision().is_none() {",
        "if true {",
        "values",
        ["what_is_displayed_takes_width_alignment_fill_and_precision"],
    ),
    Bug(
        "values: policies that are equal hash unlike",
        "src/policy.rs",
        "self.quotas.hash(state);",
        "std::ptr::from_ref(self).hash(state);",
        "values",
        ["policies_that_are_equal_hash_alike"],
    ),
    Bug(
        "values: decisions are equal whichever quota binds",
        "src/decision.rs",
        "            && self.binding() == other.binding()\n",
        "",
        "values",
        ["decisions_under_which_another_quota_binds_are_unequal"],
    ),
    Bug(
        "values: the time of a decision makes it unequal",
        "src/decision.rs",
        "numbers(self) == numbers(other)",
        "numbers(self) == numbers(other)\n            "
        "&& format!(\"{:?}\", self.reading) == format!(\"{:?}\", other.reading)",
        "values",
        ["decisions_are_equal_if_they_say_the_same"],
    ),
    Bug(
        "hash: one folded product, so that some seeds heap structured keys up",
        "src/hash.rs",
        "use foldhash::{SharedSeed, quality};",
        "use foldhash::{SharedSeed, fast as quality};",
        "lib",
        ["hash::tests::structured_keys_spread_as_under_a_random_function"],
    ),
    Bug(
        "case 46: all limiters of a process have one seed",
        "src/hash.rs",
        "RandomState::with_seeds(random(), shared)",
        "RandomState::with_seeds(0, shared)",
        "cases_hashing",
        ["no_two_limiters_hash_alike"],
    ),
    Bug(
        "sweep: the clock may step back to before the keys were full",
        "src/limiter.rs",
        "Sweep::at(self.core.timer.publish_now())",
        "Sweep::at(self.core.timer.now())",
        "models",
        ["a_step_back_after_a_sweep_credits_no_time_twice"],
    ),
    Bug(
        "memory: kept through a change of epoch",
        "src/denied.rs",
        "                *cache = Cache::new::<K, N>(epoch);",
        "                cache.epoch = epoch;",
        "refusals",
        ["a_forgotten_key_ends_all_cached_denials"],
    ),
    Bug(
        "memory: nothing is remembered",
        "src/denied.rs",
        "            if cache.epoch == epoch {",
        "            if cache.epoch > epoch {",
        "refusals",
        ["a_cached_denial_takes_no_lock"],
    ),
    Bug(
        "memory: keys are compared by hash",
        "src/denied/cache.rs",
        "entry.key.borrow() == key {",
        "entry.key.borrow() == key || wanted != EMPTY {",
        "refusals",
        ["a_key_with_the_hash_of_a_cached_key_is_not_denied"],
    ),
    Bug(
        "memory: limiters are told apart by their place",
        "src/denied.rs",
        "        (home.limiter == self.limiter).then_some",
        "        (home.limiter <= self.limiter).then_some",
        "refusals",
        ["more_limiters_than_a_thread_has_caches_are_told_apart"],
    ),
    Bug(
        "memory: whatever was denied is remembered",
        "src/policy.rs",
        "self.try_spend(words, earned, 1).is_none()\n",
        "!evaluation.is_allowed || self.try_spend(words, earned, 1).is_none()\n",
        "refusals",
        ["a_denial_is_not_cached_while_a_unit_is_left"],
    ),
    Bug(
        "memory: refuses when a unit is there again",
        "src/limiter.rs",
        "is_lacking.then_some(evaluation)",
        "(is_lacking || true).then_some(evaluation)",
        "refusals",
        ["a_cached_denial_has_the_numbers_of_the_table"],
    ),
    Bug(
        "memory: a key of any length is copied",
        "src/denied.rs",
        "        if size_of_val(key) > MAX_KEY_BYTES {",
        "        if size_of_val(key) > usize::MAX / 2 {",
        "refusals",
        ["a_long_key_is_not_copied"],
    ),
    Bug(
        "memory: grows without a bound",
        "src/denied/cache.rs",
        "const MAX_SETS: usize = 512;",
        "const MAX_SETS: usize = 1 << 40;",
        "refusals",
        ["a_flood_of_keys_is_cached_within_bounds"],
    ),
    Bug(
        "memory: whoever finds it full never gets in",
        "src/denied/cache.rs",
        "self.misses >= MISSES_BEFORE_SAMPLING || is_sampled(self.skipped_inserts)",
        "self.misses >= DOUBT || self.misses.is_multiple_of(PATIENCE)",
        "lib",
        ["denied::cache::tests::a_thousand_keys_are_found_again"],
    ),
    Bug(
        "memory: stays when the limiter is gone",
        "src/denied.rs",
        "        let is_own = |cache: &mut Box<LimiterCache>| cache.limiter == self.limiter;",
        "        let is_own = |_: &mut Box<LimiterCache>| false;",
        "refusals",
        ["a_thread_that_drops_a_limiter_drops_its_cached_keys"],
    ),
    Bug(
        "memory: of limiters that are gone, another thread's stays for ever",
        "src/denied.rs",
        "cache.take_if(|cache| cache.epoch.load(Ordering::Relaxed) == DEAD);",
        "cache.take_if(|cache| cache.epoch.load(Ordering::Relaxed) == DEAD - 1);",
        "refusals",
        ["another_thread_drops_its_copies_when_it_caches_for_another_limiter"],
    ),
    Bug(
        "drop: the thread is not woken when its last job is removed",
        "src/maintenance.rs",
        '        if state.due.is_empty() && !is_inherited {',
        '        if state.due.len() == usize::MAX {',
        "models",
        ["dropping_the_limiter_ends_the_thread_at_any_point"],
    ),
    Bug(
        "maintenance: the thread ends and does not say so",
        "src/maintenance.rs",
        (
            '                state.has_thread = false;\n'
        ),
        '',
        "models",
        ["a_job_that_is_registered_as_the_thread_ends_is_run"],
    ),
    Bug(
        "maintenance: the thread is not told of a job that is due first",
        "src/maintenance.rs",
        '        if is_first {',
        '        if is_first && state.due.len() == 1 {',
        "models",
        ["a_job_that_is_due_first_is_run_first"],
    ),
    Bug(
        "maintenance: a job that was removed is not told so",
        "src/maintenance.rs",
        "catch(|| job(was_removed))",
        "catch(|| job(false))",
        "maintenance",
        ["keys_that_panic_may_be_dropped_by_the_thread"],
    ),
    Bug(
        "maintenance: a job that was removed goes on when it has cleaned up",
        "src/maintenance.rs",
        "if !was_removed || next == Next::Again => now,",
        "if next != Next::Done => now,",
        "models",
        ["a_job_that_is_removed_at_any_point_cleans_up_and_is_dropped"],
    ),
    Bug(
        "maintenance: a job in slices goes before all that is due",
        "src/maintenance.rs",
        "(Next::Again, Some(due)) => *due.insert(now),",
        "(Next::Again, Some(due)) => *due.insert(Duration::ZERO),",
        "lib",
        ["maintenance::tests::what_is_due_does_not_wait_for_a_job_in_slices"],
    ),
    Bug(
        "maintenance: a job that panics is lost",
        "src/maintenance.rs",
        "catch(|| job(was_removed)).unwrap_or(Next::In(AFTER_PANIC))",
        "catch(|| job(was_removed)).unwrap_or(Next::Done)",
        "lib",
        ["maintenance::tests::a_job_that_panics_is_not_lost"],
    ),
    Bug(
        "drop: the thread drops the keys of a limiter all at once",
        "src/limiter/sweep.rs",
        "            return match core.drop_some(sweep) {\n",
        "            while core.drop_some(sweep) {}\n            return match core.drop_some(sweep) {\n",
        "maintenance",
        ["the_keys_of_a_dropped_limiter_hold_up_no_other"],
    ),
    Bug(
        "drop: the thread drops the keys of a limiter without a catch",
        "src/limiter/sweep.rs",
        "            if !is_dropping {\n",
        "            if true {\n                return Next::Done;\n            }\n            if !is_dropping {\n",
        "maintenance",
        ["keys_that_panic_may_be_dropped_by_the_thread"],
    ),
    Bug(
        "clock: a sweep by itself calls the user's function",
        "src/clock/monotonic.rs",
        "        if self.clock.is_function() {",
        "        if false {",
        "cases_time",
        ["the_paused_time_of_a_runtime_is_a_limiters_time"],
    ),
    Bug(
        "len: a key is counted before the clock is read, which may panic",
        "src/store.rs",
        "            let result = change(words);\n            // Only now",
        "            let stored = &self.stored[self.map.shard(hash)];\n"
        "            stored.fetch_add(usize::from(matches!(found, Found::New)), Ordering::Relaxed);\n"
        "            let result = change(words);\n"
        "            stored.fetch_sub(usize::from(matches!(found, Found::New)), Ordering::Relaxed);\n"
        "            // Only now",
        "cases_time",
        ["a_clock_that_panics_leaves_no_trace"],
    ),
    Bug(
        "case 29: a limiter that was found empty is not swept again",
        "src/limiter/sweep.rs",
        "                if found_empty == Some(inserted) {",
        "                if core.table.len() == 0 {",
        "lib",
        ["limiter::sweep::tests::a_limiter_that_became_empty_is_swept_once"],
    ),
    Bug(
        "sweep: a slice is the whole table",
        "src/store.rs",
        "const SLICE: usize = 4_096;",
        "const SLICE: usize = usize::MAX;",
        "lib",
        ["store::tests::a_slice_visits_some_thousand_buckets"],
    ),
    Bug(
        "sweep: a shard is scanned under one lock",
        "src/store/map.rs",
        "const SCANNED_AT_ONCE: usize = 4_096;",
        "const SCANNED_AT_ONCE: usize = usize::MAX;",
        "lib",
        ["store::tests::a_slice_visits_some_thousand_buckets"],
    ),
    Bug(
        "time: two coarse clocks that are used by turns are one of them never checked",
        "src/clock/coarse.rs",
        "    reading.wrapping_mul(0x9e37_79b9) < u32::MAX / CHECK_ONE_IN\n",
        "    reading.is_multiple_of(CHECK_ONE_IN)\n",
        "maintenance",
        ["a_coarse_clock_goes_on_while_the_thread_is_held_up"],
    ),
    Bug(
        "maintenance: a waker is not replaced",
        "src/maintenance.rs",
        (
            '        let former = self.waker.lock().replace(waker);\n'
            '        // Not under the lock.\n'
            '        drop(former);'
        ),
        '        let _ = waker;',
        "models",
        ["a_waker_that_is_replaced_as_its_time_comes_is_woken_or_sees_it"],
    ),
    Bug(
        "maintenance: a payload that panics when it is dropped ends the thread",
        "src/maintenance.rs",
        (
            '    if let Err(again) = catch_unwind(AssertUnwindSafe(move || drop(payload))) {\n'
            '        mem::forget(again);\n'
            '    }'
        ),
        '    drop(payload);',
        "maintenance",
        ["a_panic_whose_payload_panics_ends_no_sweeping"],
    ),
    Bug(
        "case 52: a forked child takes the thread of its parent for its own",
        "src/sync.rs",
        '            while incarnation.process != process {',
        '            while incarnation.process != process && incarnation.process == 0 {',
        "fork",
        ["a_forked_child_can_use_and_drop_what_it_inherits"],
    ),
    Bug(
        "case 36: Retry-After is rounded down, as by tower_governor",
        "src/tower/rejection.rs",
        "time.as_secs() + u64::from(time.subsec_nanos() > 0)",
        "time.as_secs()",
        "tower_fields",
        [
            "retry_after_is_in_whole_seconds_rounded_up_and_never_0",
            "every_field_has_the_decisions_own_number",
        ],
    ),
    Bug(
        "case 37: a refusal says that nothing remains, whatever does",
        "src/tower/headers.rs",
        "remaining: decision.remaining(),",
        "remaining: if decision.is_allowed() { decision.remaining() } else { 0 },",
        "tower_fields",
        ["every_field_has_the_decisions_own_number"],
    ),
    Bug(
        "case 38: the window of a policy is that of its burst",
        "src/tower/headers.rs",
        "integer(period.as_secs())",
        "integer(period.as_secs() * quota.burst_size() / quota.units())",
        "tower_fields",
        ["the_policy_field_is_the_quota_as_it_was_set"],
    ),
    Bug(
        "draft 11: the window of an empty bucket is over at once",
        "src/tower/headers.rs",
        "0 => quota.available_after(1).unwrap_or_default(),",
        "0 => Duration::ZERO,",
        "tower_fields",
        ["every_field_has_the_decisions_own_number"],
    ),
    Bug(
        "draft 11: a window outlasts Retry-After",
        "src/tower/headers.rs",
        "effective_window(quota).min(wait)",
        "effective_window(quota).max(wait)",
        "tower_fields",
        ["every_field_has_the_decisions_own_number"],
    ),
    Bug(
        "draft 11: two quotas of one period go by one name",
        "src/tower/names.rs",
        "if !is_alone(&name, &by_period) {",
        "if false {",
        "tower_fields",
        ["quotas_go_by_their_periods_or_by_what_tells_them_apart"],
    ),
    Bug(
        "fields: what the inner service wrote is written over",
        "src/tower/headers.rs",
        "&& !has_any(headers, [&LIMIT, &REMAINING, &RESET])",
        "",
        "tower_fields",
        [
            "what_the_inner_service_has_written_is_neither_doubled_nor_mixed_with",
            "of_nested_layers_the_inner_one_is_told_of",
        ],
    ),
    Bug(
        "answers: what can never pass is told to retry, as if it could",
        "src/tower/rejection.rs",
        "let status = if decision.exceeds_burst() {",
        "let status = if false {",
        "tower_fields",
        ["a_problem_has_the_drafts_type_and_the_policies_that_were_violated"],
    ),
    Bug(
        "answers: a quota that allows the request is named as violated",
        "src/tower/rejection.rs",
        ".filter(|(quota, _)| quota.exceeds_burst() || quota.retry_after().is_some())",
        ".filter(|_| true)",
        "tower_fields",
        ["a_denial_tells_each_quota_and_waits_for_the_one_that_binds"],
    ),
    Bug(
        "case 39: lines of X-Forwarded-For are read from the first",
        "src/tower/key/forwarded.rs",
        "headers.get_all(name).iter().rev()",
        "headers.get_all(name).iter()",
        "tower_keys",
        [
            "trusted_hops_are_walked_from_the_right_over_all_lines",
            "nothing_that_a_client_sends_changes_who_it_is",
        ],
    ),
    Bug(
        "case 39: anybody is believed, as by tower_governor",
        "src/tower/key/address.rs",
        "network.contains(&client)",
        "network.contains(&client) || client == peer",
        "tower_keys",
        ["an_untrusted_peer_is_the_client_whatever_it_says"],
    ),
    Bug(
        "case 39: a hop that is no address is skipped, as by axum-governor",
        "src/tower/key/address.rs",
        "Some(None) | None => break,",
        "Some(None) => {}\n                None => break,",
        "tower_keys",
        ["a_hop_that_is_no_address_ends_the_walk_where_it_stands", "forwarded_is_walked_alike"],
    ),
    Bug(
        "case 39: one byte that is no text spoils the line",
        "src/tower/key/forwarded.rs",
        "let mut rest = Some(line.as_bytes());",
        "let mut rest = line.to_str().ok().map(str::as_bytes);",
        "tower_keys",
        ["a_hop_that_is_no_address_ends_the_walk_where_it_stands"],
    ),
    Bug(
        "case 39: a byte that is no text beside the node ends the walk",
        "src/tower/key/forwarded.rs",
        "Syntax::Forwarded => forwarded_for(element),",
        "Syntax::Forwarded => std::str::from_utf8(element)\n"
        "                .ok().and_then(|_| forwarded_for(element)),",
        "tower_keys",
        ["what_is_no_text_beside_the_node_hides_nobody"],
    ),
    Bug(
        "case 39: quoted separators separate",
        "src/tower/key/forwarded.rs",
        "if *byte == b'\"' {",
        "if false {",
        "tower_keys",
        ["forwarded_is_walked_alike"],
    ),
    Bug(
        "case 39: an escaped quote ends a quoted string",
        "src/tower/key/forwarded.rs",
        "if !is_quoted || backslashes % 2 == 0 {",
        "if !is_quoted || backslashes < 9 {",
        "tower_keys",
        ["forwarded_is_walked_alike"],
    ),
    Bug(
        "case 40: a peer that is IPv4 written as IPv6 stays so",
        "src/tower/key/address.rs",
        "ok_or(KeyError::Missing)?.to_canonical();",
        "ok_or(KeyError::Missing)?;",
        "tower_keys",
        ["an_ipv4_address_written_as_ipv6_is_the_ipv4_address"],
    ),
    Bug(
        "case 40: a hop that is IPv4 written as IPv6 stays so",
        "src/tower/key/forwarded.rs",
        "Some(address.to_canonical())",
        "Some(address)",
        "tower_keys",
        ["an_ipv4_address_written_as_ipv6_is_the_ipv4_address"],
    ),
    Bug(
        "case 41: each IPv6 address is a client",
        "src/tower/key/address.rs",
        "ipv6_prefix: 64,",
        "ipv6_prefix: 128,",
        "tower_keys",
        ["ipv6_clients_are_grouped_by_prefix_and_ipv4_ones_are_not"],
    ),
    Bug(
        "case 42: a request without a key passes, whatever the rule",
        "src/tower/config.rs",
        "return Verdict::Rejected(self.response.respond(&rejection));",
        "_ = self.answer.answer(&refusal);\n                return Verdict::Unlimited;",
        "tower_layer",
        ["a_request_without_a_key_follows_the_rule"],
    ),
    Bug(
        "case 42: whoever spoils his key is let through as if he had none",
        "src/tower/config.rs",
        "(Err(KeyError::Missing), Fallback::Allow)",
        "(Err(_), Fallback::Allow)",
        "tower_keys",
        ["a_malformed_key_is_refused_whatever_becomes_of_those_without_one"],
    ),
    Bug(
        "case 42: whoever spoils his key comes by another",
        "src/tower/key/combine.rs",
        "            Err(KeyError::Missing) =>",
        "            Err(KeyError::Missing | KeyError::Malformed) =>",
        "tower_keys",
        ["a_malformed_key_is_refused_whatever_becomes_of_those_without_one"],
    ),
    Bug(
        "keys: a client that sends too long a key gets another",
        "src/tower/key/combine.rs",
        "            Err(KeyError::Missing) =>",
        "            Err(KeyError::Missing | KeyError::TooLong { .. }) =>",
        "documented_keys",
        ["a_key_that_is_too_long_says_so_and_is_rejected_whatever_the_rule"],
    ),
    Bug(
        "keys: of two keys the absent one counts, and the spoilt one is let through",
        "src/tower/key/combine.rs",
        "(Err(KeyError::Missing), Err(why)) | (Err(why), _) | (Ok(_), Err(why)) => {",
        "(Err(why), _) | (Ok(_), Err(why)) => {",
        "tower_keys",
        ["a_malformed_key_is_refused_whatever_becomes_of_those_without_one"],
    ),
    Bug(
        "case 78: a key that is too long is called malformed",
        "src/tower/key/header.rs",
        "return Err(KeyError::TooLong { max_len });",
        "_ = max_len;\n            return Err(KeyError::Malformed);",
        "documented_keys",
        ["a_key_that_is_too_long_says_so_and_is_rejected_whatever_the_rule"],
    ),
    Bug(
        "case 78: the answer to a key that is too long does not say so",
        "src/tower/rejection.rs",
        "Cause::KeyError(KeyError::TooLong { max_len }) => {",
        "Cause::KeyError(KeyError::TooLong { .. }) => {\n                let max_len = 0;",
        "documented_keys",
        ["a_key_that_is_too_long_says_so_and_is_rejected_whatever_the_rule"],
    ),
    Bug(
        "hosts: the target is not looked at, as if HTTP/2 had a Host field",
        "src/tower/key/host.rs",
        "let target = request.uri.authority();",
        "let target = request.uri.authority().filter(|_| false);",
        "tower_host",
        [
            "a_host_has_one_bucket_in_all_spellings_and_versions",
            "a_request_that_names_two_hosts_is_rejected",
        ],
    ),
    Bug(
        "hosts: upper case is another host",
        "src/tower/key/host.rs",
        "if name.bytes().any(|byte| byte.is_ascii_uppercase()) {",
        "if false {",
        "tower_host",
        ["a_host_has_one_bucket_in_all_spellings_and_versions"],
    ),
    Bug(
        "hosts: a last dot makes another host, or none",
        "src/tower/key/host.rs",
        "name.strip_suffix('.').unwrap_or(name);",
        "name;",
        "tower_host",
        ["a_host_has_one_bucket_in_all_spellings_and_versions"],
    ),
    Bug(
        "hosts: target and header may name two hosts",
        "src/tower/key/host.rs",
        "(Some(target), Some(line)) if target != line",
        "(Some(target), Some(line)) if false && target != line",
        "tower_host",
        ["a_request_that_names_two_hosts_is_rejected"],
    ),
    Bug(
        "hosts: the first of two Host lines counts",
        "src/tower/key/host.rs",
        "if lines.next().is_some() {",
        "if false {",
        "tower_host",
        ["a_request_that_names_two_hosts_is_rejected"],
    ),
    Bug(
        "hosts: what is no name is a key",
        "src/tower/key/host.rs",
        "|| !name.split('.').all(is_label) {",
        "{",
        "tower_host",
        ["a_host_that_is_malformed_is_rejected_and_never_absent"],
    ),
    Bug(
        "hosts: a malformed host is an absent one",
        "src/tower/key/host.rs",
        "    if !is_port(port) || !name.split('.').all(is_label) {\n"
        "        return Err(KeyError::Malformed);",
        "    if !is_port(port) || !name.split('.').all(is_label) {\n"
        "        return Err(KeyError::Missing);",
        "tower_host",
        ["a_host_that_is_malformed_is_rejected_and_never_absent"],
    ),
    Bug(
        "hosts: a name has no bound",
        "src/tower/key/host.rs",
        "if name.len() > MAX_LEN {",
        "if false {",
        "tower_host",
        ["a_host_is_bounded_by_what_a_name_can_be"],
    ),
    Bug(
        "case 43: the layer is ready when the inner service is not",
        "src/tower/service.rs",
        "self.inner.poll_ready(context)",
        "_ = self.inner.poll_ready(context);\n        Poll::Ready(Ok(()))",
        "tower_layer",
        ["readiness_is_the_inner_services"],
    ),
    Bug(
        "case 43: nobody polls the service that is called",
        "src/tower/service.rs",
        "self.inner.poll_ready(context)",
        "_ = context;\n        Poll::Ready(Ok(()))",
        "tower_layer",
        ["the_service_that_was_polled_is_the_one_that_is_called"],
    ),
    Bug(
        "case 44: a key may be as long as a header",
        "src/tower/key/header.rs",
        "if value.len() > self.max_len {",
        "if false {",
        "tower_keys",
        [
            "a_header_is_a_key_only_if_there_is_no_doubt_about_it",
            "garbage_is_refused_and_leaves_nothing_behind",
        ],
    ),
    Bug(
        "answers: HEAD is answered with content",
        "src/tower/response.rs",
        "if rejection.request().method == Method::HEAD {",
        "if false {",
        "tower_layer",
        ["an_answer_to_head_has_the_length_of_its_content_and_not_the_content"],
    ),
    Bug(
        "case 45: a refusal shows the request that it is of, with its key",
        "src/tower/rejection.rs",
        "f.debug_struct(\"Rejection\")",
        "f.debug_struct(\"Rejection\")\n            .field(\"request\", &self.request)",
        "tower_layer",
        ["no_form_of_a_layer_shows_a_key"],
    ),
    Bug(
        "exemption: what is exempt spends all the same",
        "src/tower/config.rs",
        "            return Verdict::Unlimited;\n        }\n        let key",
        "            if let Ok(key) = self.key.key(request) {\n"
        "                _ = self.keyed.limiter.check_n(&*key, 1);\n            }\n"
        "            return Verdict::Unlimited;\n        }\n        let key",
        "tower_layer",
        ["what_is_exempt_is_neither_limited_nor_stored_nor_marked"],
    ),
    Bug(
        "rejections: a body is not read",
        "src/tower/service.rs",
        "drain = Some(limits.drain(body, time, if_unread));",
        "drop(limits.drain(body, time, if_unread));",
        "rejected_uploads",
        [
            "a_rust_client_sees_each_rejection_over_one_connection",
            "a_python_client_sees_each_rejection_over_one_connection",
        ],
    ),
    Bug(
        "rejections: a body that breaks was read to its end",
        "src/tower/drain/reading.rs",
        "Discarded::Broken => return Poll::Ready(*this.if_unread),",
        "Discarded::Broken => return Poll::Ready(Connection::Stays),",
        "tower_drain",
        ["trailers_are_read_and_an_error_ends_the_reading"],
    ),
    Bug(
        "rejections: a body is read beyond the byte limit",
        "src/tower/drain/reading.rs",
        "match this.bytes_left.checked_sub(bytes.max(1)) {",
        "match this.bytes_left.checked_sub(0 * bytes) {",
        "tower_drain",
        ["a_body_over_the_byte_limit_is_left_and_the_close_is_announced"],
    ),
    Bug(
        "rejections: empty frames are read for ever",
        "src/tower/drain/reading.rs",
        "checked_sub(bytes.max(1))",
        "checked_sub(bytes)",
        "lib",
        ["tower::drain::reading::tests::a_body_of_empty_frames_reaches_the_byte_limit"],
    ),
    Bug(
        "rejections: a known length over the byte limit is read all the same",
        "src/tower/drain.rs",
        "request.body().min_remaining() > self.bytes",
        "false",
        "tower_drain",
        ["a_body_that_is_not_read_is_not_polled_and_the_close_is_announced"],
    ),
    Bug(
        "rejections: the time limit has passed, and the body is read further",
        "src/tower/drain/reading.rs",
        "if this.deadline.as_ref().is_some_and(D::is_due) {",
        "if false {",
        "lib",
        ["tower::drain::reading::tests::a_body_that_trickles_at_the_pace_of_the_polls_gets_a_timer_too"],
    ),
    Bug(
        "rejections: no timer is set",
        "src/tower/drain/reading.rs",
        "match D::after(*this.time, context.waker()) {",
        "match Ok::<D, io::Error>(D::after(Duration::MAX, context.waker())\n"
        "                .unwrap_or_else(|_| unreachable!())) {",
        "rejected_uploads",
        ["a_slow_body_holds_its_connection_until_the_time_limit"],
    ),
    Bug(
        "rejections: the timer wakes a task that polls no longer",
        "src/tower/drain/reading.rs",
        "deadline.set_waker(context.waker());",
        "",
        "lib",
        ["tower::drain::reading::tests::the_timer_wakes_the_task_that_polled_last"],
    ),
    Bug(
        "rejections: a poll reads all that there is, and lets no other task run",
        "src/tower/drain/reading.rs",
        "if frames == FRAMES {",
        "if false {",
        "lib",
        ["tower::drain::reading::tests::a_poll_reads_64_frames_at_most_and_asks_for_another_poll"],
    ),
    Bug(
        "rejections: a stream of HTTP/2 is read for as long as a body of HTTP/1",
        "src/tower/drain.rs",
        "(self.time.min(Limits::MAX_STREAM_TIME), Connection::Stays)",
        "(self.time, Connection::Stays)",
        "lib",
        [
            "tower::drain::tests::"
            "bodies_of_http_2_and_http_3_are_read_for_a_second_and_close_no_connection"
        ],
    ),
    Bug(
        "rejections: the bodies of HTTP/2 are left, and h2 ends the connection",
        "src/tower/drain.rs",
        "        if request.body().is_at_end() {",
        "        if version > Version::HTTP_11 || request.body().is_at_end() {",
        "lib",
        [
            "tower::drain::tests::"
            "bodies_of_http_2_and_http_3_are_read_for_a_second_and_close_no_connection"
        ],
    ),
    Bug(
        "rejections: a client that waits for 100 Continue is asked for its upload",
        "src/tower/drain.rs",
        "if awaits_continue || request",
        "_ = awaits_continue;\n        if request",
        "rejected_uploads",
        ["a_client_that_expects_100_continue_is_answered_without_it"],
    ),
    Bug(
        "rejections: HTTP/1.0 is believed to know 100 Continue",
        "src/tower/drain.rs",
        "version >= Version::HTTP_11 && expects_continue",
        "expects_continue",
        "rejected_uploads",
        ["a_rejected_upload_of_http_1_0_is_read"],
    ),
    Bug(
        "rejections: the close of the connection is not announced",
        "src/tower/service.rs",
        "if connection == Connection::Closes {",
        "if connection == Connection::Closes && false {",
        "tower_drain",
        ["a_body_that_is_not_read_is_not_polled_and_the_close_is_announced"],
    ),
    Bug(
        "rejections: only what is denied is read, and not what has no key",
        "src/tower/service.rs",
        "if let Some(limits) = config.drain {",
        "if let Some(limits) = config.drain\n"
        "                    && response.headers().contains_key(\"x-ratelimit-limit\")\n                {",
        "tower_drain",
        ["every_kind_of_rejection_reads_the_body"],
    ),
]


def command_of(suite):
    """What runs the tests of a suite, and its environment."""
    if suite == "models":
        command = ["cargo", "test", "--quiet", "--release", "--lib", "--"]
        return command, {"RUSTFLAGS": "--cfg tollgate_loom"}
    binary = ["--lib"] if suite == "lib" else ["--test", suite]
    return ["cargo", "test", "--quiet", "--all-features", *binary, "--"], {}


def run(suite, test):
    """Runs one test; the exit code and all it printed."""
    command, variables = command_of(suite)
    environment = dict(os.environ, RUST_BACKTRACE="0", CARGO_TARGET_DIR=str(target(suite)))
    environment.update(variables)
    # Cases enough for the rarest of these bugs, so that none is missed by chance; and no shrinking,
    # as nobody reads the counterexample.
    environment["PROPTEST_CASES"] = "1000"
    environment["PROPTEST_MAX_SHRINK_ITERS"] = "0"
    filters = [test] if suite == "models" else ["--exact", test]
    done = subprocess.run(
        command + filters, cwd=COPY, env=environment, capture_output=True, text=True, timeout=600
    )
    return done.returncode, done.stdout + done.stderr


def target(suite):
    """A place of its own. In the tree's, cargo would take the copy's artefacts for the tree's."""
    return ROOT / "target" / ("planted-loom" if suite == "models" else "planted-build")


def copy_tree():
    shutil.rmtree(COPY, ignore_errors=True)
    names = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    ).stdout
    for name in filter(None, names.split("\0")):
        source, copy = ROOT / name, COPY / name
        if source.is_file():
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, copy)


def main():
    wanted = [bug for bug in BUGS if all(word in bug.name for word in sys.argv[1:])]
    copy_tree()
    failures = [
        f"{bug.name}: its text is not in {bug.file} exactly once"
        for bug in wanted
        if (COPY / bug.file).read_text().count(bug.old) != 1
    ]
    tests = {(bug.suite, test) for bug in wanted for test in bug.tests}
    for suite, test in sorted(tests) if not failures else []:
        code, output = run(suite, test)
        if code != 0 or "1 passed" not in output:
            failures.append(f"{test} does not pass as it is:\n{output}")
    found = 0
    for bug in wanted if not failures else []:
        path = COPY / bug.file
        sound = path.read_text()
        path.write_text(sound.replace(bug.old, bug.new))
        for test in bug.tests:
            code, output = run(bug.suite, test)
            is_found = code != 0 and ("1 failed" in output or "SIGABRT" in output)
            found += is_found
            mark = "found " if is_found else "MISSED"
            print(f"{mark}  {bug.name}\n          by {test}", flush=True)
            if not is_found:
                failures.append(f"{bug.name}: {test} did not fail:\n{output[-2000:]}")
        path.write_text(sound)
    for failure in failures:
        print(f"\n{failure}", file=sys.stderr)
    print(f"{found} passed, {len(failures)} failed")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
