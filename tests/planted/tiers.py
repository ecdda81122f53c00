BUGS = [
    dict(
        name="tiers: a check reads its policy before it takes the lock",
        file="src/limiter/check.rs",
        old="""
            let spend = |state: &mut R::State, now| {
                let under = self.rule.under(asked);
""",
        new="""
            let under = self.rule.under(asked);
            let spend = |state: &mut R::State, now| {
""",
        tests=["a_stalled_caller_that_read_the_old_policy_does_not_move_a_key_back"],
    ),
    dict(
        name="tiers: a replacement does not wait for checks under the old policy",
        file="src/tiers.rs",
        old="        pass_all_locks();",
        new="        let _ = pass_all_locks;",
        tests=["a_check_beside_two_replacements_is_under_one_of_the_policies"],
    ),
    dict(
        name="tiers: a policy that is read without a lock is not read twice",
        file="src/tiers/live.rs",
        old="self.is_still(serial).then_some((reading, buckets))",
        new="Some((reading, buckets))",
        tests=["what_is_read_without_a_lock_is_of_one_policy"],
    ),
    dict(
        name="tiers: a replacement is not published",
        file="src/tiers/live.rs",
        old="self.current.store(serial << 1 | index, Ordering::Release);",
        new="let _ = (serial, index);",
        tests=["a_thread_that_is_told_of_a_replacement_is_not_denied_from_the_cache"],
    ),
    dict(
        name="tiers: a move of an exhausted key leaves what is cached of it",
        file="src/limiter/check.rs",
        old="if verdict.changes_exhausted {",
        new="if verdict.changes_exhausted && n > u64::MAX - 1 {",
        tests=[
            "a_thread_that_is_told_of_an_allowed_move_is_not_denied_from_the_cache",
            "a_thread_that_is_told_of_a_denied_move_is_not_denied_from_the_cache",
        ],
    ),
    dict(
        name="tiers: a denied check that moves a key leaves what is cached of it",
        file="src/tiers.rs",
        old="*state != before && before.is_exhausted(floor, bucket_of);",
        new="is_allowed && *state != before && before.is_exhausted(floor, bucket_of);",
        tests=["a_thread_that_is_told_of_a_denied_move_is_not_denied_from_the_cache"],
    ),
    dict(
        name="tiers: whether a moved key was exhausted is judged by the caller's clock",
        file="src/tiers.rs",
        old="*state != before && before.is_exhausted(floor, bucket_of);",
        new="*state != before && before.is_exhausted(now, bucket_of);",
        tests=["a_move_reaches_a_thread_whose_clock_is_behind"],
    ),
    dict(
        name="tiers: a bucket that is full by the caller's clock is forgotten",
        file="src/arith/terms.rs",
        old="own.is_full(*spent, own.earned(floor))",
        new="own.is_full(*spent, own.earned(floor.max(now)))",
        tests=["a_step_back_after_a_move_credits_no_time_twice"],
    ),
    dict(
        name="tiers: a sweep frees a quota that was released while it ran",
        file="src/tiers/registry.rs",
        old="if entry.released > releases || is_met(id) {",
        new="if is_met(id) || releases == u64::MAX {",
        tests=[
            "a_sweep_frees_no_quota_that_a_key_still_has",
            "a_quota_that_is_released_while_a_sweep_runs_is_left_to_the_next",
        ],
    ),
    dict(
        name="tiers: a sweep frees every quota that no tier has",
        file="src/tiers/registry.rs",
        old="if entry.released > releases || is_met(id) {",
        new="if entry.released > releases {",
        tests=["a_quota_that_a_key_owes_under_is_kept"],
    ),
    dict(
        name="tiers: a sweep that may have skipped keys frees quotas",
        file="src/tiers.rs",
        old="if met.is_empty() || has_skipped {",
        new="if met.is_empty() || has_skipped && releases == u64::MAX {",
        tests=["a_sweep_that_may_have_skipped_a_key_frees_nothing"],
    ),
    dict(
        name="law T1: a debt is rounded down as it is moved",
        file="src/arith/carry.rs",
        old="steps.div_ceil(u128::from(self.scale.steps_per_unit))",
        new="steps / u128::from(self.scale.steps_per_unit)",
        tests=["law_t1_debt_is_carried_in_units_whatever_the_order_of_moves"],
    ),
    dict(
        name="law T1: a denial moves every debt, cut to the new burst",
        file="src/arith/carry.rs",
        old="""
            return None;
        }
        // Each axis""",
        new="""
            let most = u128::from(to.burst) * u128::from(new.steps_per_unit);
            return u64::try_from(u128::from(to.earned(now)) + self.steps_on(new).min(most)).ok();
        }
        // Each axis""",
        tests=[
            "there_and_back_at_one_instant_changes_nothing",
            "law_t3_a_denial_changes_no_remaining_and_a_peek_nothing",
        ],
    ),
    dict(
        name="law T4: a denial moves a debt to a slower rate",
        file="src/arith/carry.rs",
        old="""
            return None;
        }
        // Each axis""",
        new="""
            return u64::try_from(u128::from(to.earned(now)) + self.steps_on(new)).ok();
        }
        // Each axis""",
        tests=[
            "a_downgrade_locks_no_key_out_for_longer_than_reset_after_was",
            "law_t4_a_denied_check_makes_no_wait_longer",
        ],
    ),
    dict(
        name="law T4: a denial leaves a debt at the slower rate",
        file="src/arith/carry.rs",
        old="(new_due < old_due).then_some(spent)",
        new="(new_due < old_due && spent == 0).then_some(spent)",
        tests=["law_t1_to_t5_whole_nanoseconds_decide_as_the_rational_model"],
    ),
    dict(
        name="law T1: a debt is carried in time",
        file="src/arith/carry.rs",
        old="u128::from(self.steps) * u128::from(scale.steps_per_unit);",
        new="u128::from(self.steps) * u128::from(self.scale.steps_per_unit);",
        tests=["law_t1_to_t5_whole_nanoseconds_decide_as_the_rational_model"],
    ),
    dict(
        name="case 56: a debt that does not fit is cut to 64 bits",
        file="src/arith/carry.rs",
        old="let spent = u64::try_from(spent).ok()?;",
        new="let spent = (spent & u128::from(u64::MAX)) as u64;",
        tests=["law_t2_never_over_the_largest_burst_and_rate_that_a_key_was_checked_under"],
    ),
    dict(
        name="law T5: quotas are matched by their index",
        file="src/tiers/registry.rs",
        old="let bucket = self.bucket(quota.period_nanos());",
        new="let bucket = if self.bucket(quota.period_nanos()) < N { nth } else { 0 };",
        tests=["law_t1_to_t5_whole_nanoseconds_decide_as_the_rational_model"],
    ),
    dict(
        name="law T5: the nearest period is the one of the least difference",
        file="src/tiers/registry.rs",
        old="""
            (high * other_low)
                .cmp(&(other_high * low))""",
        new="""
            (high - low)
                .cmp(&(other_high - other_low))""",
        tests=["law_t1_to_t5_whole_nanoseconds_decide_as_the_rational_model"],
    ),
    dict(
        name="law T5: the debt of a quota that a policy lacks is dropped",
        file="src/arith/terms.rs",
        old="if is_of_policy && is_allowed {",
        new="if is_allowed {",
        tests=[
            "a_quota_that_is_missing_for_a_while_keeps_its_debt",
            "law_t5_a_bucket_is_that_of_its_quotas_alone",
        ],
    ),
    dict(
        name="law T3: a check of no units moves a debt",
        file="src/arith/terms.rs",
        old="if n == 0 {",
        new="if n == u64::MAX {",
        tests=["law_t1_to_t5_whole_nanoseconds_decide_as_the_rational_model"],
    ),
    dict(
        name="law 8: a sweep looks at the first bucket alone",
        file="src/arith/terms.rs",
        old="let mut buckets = self.quotas.iter().zip(self.spent);",
        new="let mut buckets = self.quotas.iter().zip(self.spent).take(1);",
        tests=["law_t1_to_t5_whole_nanoseconds_decide_as_the_rational_model"],
    ),
    dict(
        name="law T3: a peek pretends that a debt has moved",
        file="src/arith/terms.rs",
        old="if quota == self.quotas[index] {",
        new="if quota != NO_QUOTA {",
        tests=["law_t1_to_t5_whole_nanoseconds_decide_as_the_rational_model"],
    ),
    dict(
        name="tiers: a serial number is given twice",
        file="src/tiers/registry.rs",
        old="self.serials += 1;",
        new="self.serials = 1;",
        tests=["law_t1_to_t5_whole_nanoseconds_decide_as_the_rational_model"],
    ),
    dict(
        name="case 58: an equal policy is a replacement",
        file="src/tiers.rs",
        old="if old == *policy {",
        new="if old == *policy && policy.quotas().is_empty() {",
        tests=["a_reload_of_an_equal_policy_changes_nothing"],
    ),
    dict(
        name="law T7: an unknown name is the first tier",
        file="src/tiered/named.rs",
        old="tiers.by_name.get(name).cloned().ok_or_else(",
        new="tiers.by_name.values().next().cloned().ok_or_else(",
        tests=["law_t7_an_unknown_name_is_an_error_that_lists_the_known_ones"],
    ),
    dict(
        name="tiers: a reload that is refused has begun",
        file="src/tiered/named.rs",
        old="            InvalidTier::named(name, clash)\n        })?;",
        new="            InvalidTier::named(name, clash)\n        }).ok();",
        tests=["a_reload_is_all_or_nothing"],
    ),
    dict(
        name="tiers: a name that is removed is forgotten while it is held",
        file="src/tiered/named.rs",
        old="tiers.removed.extend(before);",
        new="drop(before);",
        tests=["a_name_that_comes_back_while_it_is_held_is_the_same_tier"],
    ),
    dict(
        name="case 59: a stalled denial clears the bucket that denies it",
        file="src/clock/monotonic.rs",
        old="self.high_water.load(Ordering::Relaxed).min(now)",
        new="self.high_water.load(Ordering::Relaxed).max(now.min(0))",
        tests=["a_denial_that_stalls_beside_a_later_check_has_a_wait"],
    ),
    dict(
        name="tiers: a move of entries is counted after their hash, which may panic",
        file="src/store/map.rs",
        old="""
                    self.count_move(index);
                    cold_path(|| shard.reserve(1, hash_of));""",
        new="""
                    cold_path(|| shard.reserve(1, hash_of));
                    self.count_move(index);""",
        tests=["a_rehash_that_panics_hides_no_key_from_a_sweep"],
    ),
    dict(
        name="law T6: a replacement fills the copy that checks read",
        file="src/tiers/live.rs",
        old="let index = !self.current.load(Ordering::Relaxed) & 1;",
        new="let index = self.current.load(Ordering::Relaxed) & 1;",
        tests=["law_t6_a_check_at_the_same_time_sees_the_old_policy_or_the_new_one"],
    ),
    dict(
        name="tiers: what a cached denial tells is not looked at twice",
        file="src/tiers.rs",
        old="asked.tier.live.is_still(*serial).then_some(outcome)",
        new="Some(outcome)",
        tests=["a_cached_denial_beside_two_replacements_is_under_one_of_the_policies"],
    ),
    dict(
        name="case 61: the number of a freed quota is not used again",
        file="src/tiers/registry.rs",
        old="free.push(id);",
        new="let _ = &free;",
        tests=["a_million_policies_used_once_are_freed"],
    ),
]
