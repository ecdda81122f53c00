BUGS = [
    dict(
        name="law 9: every check lets a step pass",
        file="src/rule.rs",
        old="let outcome: O = buckets.spend(state, now, n);",
        new="""
use std::sync::atomic::{AtomicU64, Ordering};
        static STEPS: AtomicU64 = AtomicU64::new(0);
        let steps = STEPS.fetch_add(1_000_000, Ordering::Relaxed);
        let outcome: O = buckets.spend(state, now + steps, n);""",
        tests=["law_9_time_that_stands_still_admits_the_burst_and_no_more"],
    ),
    dict(
        name="race: a check decides on a copy and stores it later",
        file="src/limiter/check.rs",
        old="""
            let found = self.table.update(hash, key, now, spend);
""",
        new="""
            let copy = self.table.update(hash, key, || 0, |state, _| *state);
            let found = copy.map(|mut state| {
                let mut spend = spend;
                let outcome = spend(&mut state, now());
                self.table.update(hash, key, now, |stored, _| *stored = state);
                outcome
            });
""",
        tests=["three_threads_race_for_the_last_unit_across_a_refill"],
    ),
    dict(
        name="race: a check reads the clock before it takes the lock",
        file="src/limiter/check.rs",
        old="""
            let found = self.table.update(hash, key, now, spend);
            found.unwrap_or_else(|| self.check_unknown(asked, hash, key, n))
""",
        new="""
            if n == u64::MAX {
                return self.table.update(hash, key, now, spend).unwrap();
            }
            let now = now();
            let now = move || now;
            let spend = |state: &mut R::State, now| -> O {
                self.spend(&self.rule.under(asked), hash, state, now, n, &mut None)
            };
            let found = self.table.update(hash, key, now, spend);
            let key = || key.to_owned();
            let spend = |(), state: &mut R::State, now| -> O { spend(state, now) };
            found.unwrap_or_else(|| self.table.upsert(hash, key(), || ((), true), now, spend))
""",
        tests=[
            "no_thread_is_denied_while_a_unit_is_there",
            "a_stalled_caller_mints_nothing_from_a_key_swept_meanwhile",
            "a_stalled_caller_earns_nothing_from_before_the_forgetting",
            "a_stalled_forgetting_hands_out_one_fresh_burst_and_no_more",
        ],
    ),
    dict(
        name="race: a check of a number reads the clock before it takes the lock",
        file="src/limiter/check.rs",
        old="""
            self.table
                .upsert(hash, key, || self.plan(asked, n), now, spend)
        } else {""",
        new="""
            let now = now();
            self.table
                .upsert(hash, key, || self.plan(asked, n), || now, spend)
        } else {""",
        tests=["a_stalled_caller_mints_nothing_from_a_number_swept_meanwhile"],
    ),
    dict(
        name="race: a peek reads the clock before it takes the lock",
        file="src/limiter/check.rs",
        old="""
        let look = |state: &R::State| self.look(&asked, state, n);
        let found: R::Found""",
        new="""
        let now = self.timer.now();
        let look = |state: &R::State| self.rule.peek(&self.rule.under(&asked), state, now, n);
        let found: R::Found""",
        tests=["peek_sees_no_denial_while_a_unit_is_there"],
    ),
    dict(
        name="sweep: a sweep decides under one lock and forgets under the next",
        file="src/limiter/sweep.rs",
        old="""
        let found = remove_some(&self.table, &mut sweep.visit, |state| !is_full(state));
""",
        new="""
        let all_full = std::cell::Cell::new(true);
        let look = |state: &R::State| {
            all_full.set(all_full.get() && is_full(state));
            true
        };
        let mut ahead = crate::store::Cursor::default();
        while self.table.remove_some(&mut ahead, look).is_some() {}
        let found = remove_some(&self.table, &mut sweep.visit, |_| !all_full.get());
""",
        tests=["a_sweep_that_is_late_forgets_no_debt"],
    ),
    dict(
        name="forget: it looks and removes under two locks",
        file="src/limiter.rs",
        old="        self.table.remove(hash, key, |state| {",
        new="""
        let stored = self.table.update(hash, key, || 0, |_, _| ()).is_some();
        stored | self.table.remove(hash, key, |state| {""",
        tests=["forgetting_twice_at_once_forgets_one_key"],
    ),
    dict(
        name="cache: forget invalidates no entry",
        file="src/limiter.rs",
        old="                self.denied.invalidate(hash);",
        new="                let _ = hash;",
        tests=["a_thread_that_is_told_of_a_forgetting_is_not_denied_from_the_cache"],
    ),
    dict(
        name="cache: forget invalidates before it takes the lock",
        file="src/limiter.rs",
        old="""
        self.table.remove(hash, key, |state| {
            if self.rule.is_exhausted(state, floor) {
                self.denied.invalidate(hash);
            }
        })""",
        new="""
        let _ = floor;
        self.denied.invalidate(hash);
        self.table.remove(hash, key, |_| ())""",
        tests=["a_thread_that_is_told_of_a_forgetting_is_not_denied_from_the_cache"],
    ),
    dict(
        name="cache: forget invalidates after it releases the lock",
        file="src/limiter.rs",
        old="""
        self.table.remove(hash, key, |state| {
            if self.rule.is_exhausted(state, floor) {
                self.denied.invalidate(hash);
            }
        })""",
        new="""
        let _ = floor;
        let was = self.table.remove(hash, key, |_| ());
        self.denied.invalidate(hash);
        was""",
        tests=["a_thread_that_is_told_that_a_key_was_found_forgotten_is_not_denied_from_the_cache"],
    ),
    dict(
        name="cache: the epoch is read after the table",
        file="src/limiter/check.rs",
        old="""
            self.denied.insert(hash, key, state, epoch);
""",
        new="""
            let _ = epoch;
            let epoch = self.denied.epoch(hash);
            self.denied.insert(hash, key, state, epoch);
""",
        tests=["a_thread_that_is_told_of_a_forgetting_is_not_denied_from_the_cache"],
    ),
    dict(
        name="sweep: the clock may step back to before the keys were full",
        file="src/limiter.rs",
        old="self.begin_sweep(self.timer.publish_now())",
        new="self.begin_sweep(self.timer.now())",
        tests=["a_step_back_after_a_sweep_credits_no_time_twice"],
    ),
    dict(
        name="cache: a hit denies although a unit is there again",
        file="src/arith/evaluate.rs",
        old="is_exhausted.then(|| outcome",
        new="(is_exhausted || true).then(|| outcome",
        tests=["a_cached_denial_has_the_numbers_of_the_table"],
    ),
    dict(
        name="drop: the thread drops the keys of a limiter all at once",
        file="src/limiter/sweep.rs",
        old="""
            return match remove_some(&core.table, dropping, |_| false) {
""",
        new="""
            while remove_some(&core.table, dropping, |_| false) {}
            return match remove_some(&core.table, dropping, |_| false) {
""",
        tests=["the_keys_of_a_dropped_limiter_hold_up_no_other"],
    ),
    dict(
        name="drop: the thread drops the keys of a limiter without a catch",
        file="src/limiter/sweep.rs",
        old="""
            current = None;
""",
        new="""
            if true {
                return Next::Done;
            }
            current = None;
""",
        tests=["keys_that_panic_may_be_dropped_by_the_thread"],
    ),
    dict(
        name="case 29: a sweep skips each limiter that is empty",
        file="src/limiter/sweep.rs",
        old="                if found_empty == Some(inserted) && !core.rule.has_unused() {",
        new="                if core.table.len() == 0 {",
        tests=["a_limiter_that_became_empty_is_swept_once"],
    ),
]
