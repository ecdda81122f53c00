BUGS = [
    dict(
        name="law 6: a denial costs a unit if there is one",
        file="src/arith/evaluate.rs",
        old="""
        if let Some(spent) = spent {
            state.spent = spent;
        }
""",
        new="""
        if let Some(spent) = spent {
            state.spent = spent;
        } else {
            state.spent = try_spend(self.iter(), &state.spent, &earned, 1).unwrap_or(state.spent);
        }
""",
        tests=["law_6_denials_change_no_later_decision"],
    ),
    dict(
        name="law 6: an oversized request stores its key",
        file="src/limiter/check.rs",
        old="let should_insert = n > 0 && R::can_hold(&under, n);",
        new="let should_insert = n > 0;",
        tests=["law_6_denials_change_no_later_decision"],
    ),
    dict(
        name="law 7: a check spends from each quota in turn until one denies it",
        file="src/arith/evaluate.rs",
        old="""
        let spent = try_spend(self.iter(), &state.spent, &earned, n);
        if let""",
        new="""
        let spent = try_spend(self.iter(), &state.spent, &earned, n);
        let buckets = state.spent.iter_mut().zip(&self.0);
        for (spent, bucket) in buckets {
            match bucket.try_spend(*spent, bucket.earned(now), n) {
                Some(next) => *spent = next,
                None => break,
            }
        }
        if let""",
        tests=["law_7_spends_from_every_quota_or_from_none"],
    ),
    dict(
        name="law 8: a sweep forgets a key when one of its buckets is full",
        file="src/arith/evaluate.rs",
        old="buckets.all(|((bucket, spent), earned)| bucket.is_full(spent, earned))",
        new="buckets.any(|((bucket, spent), earned)| bucket.is_full(spent, earned))",
        tests=["law_8_a_limiter_that_forgets_decides_as_one_that_never_does"],
    ),
    dict(
        name="race: a policy spends from the first quota before it asks the second",
        file="src/arith/evaluate.rs",
        old="""
        let spent = try_spend(self.iter(), &state.spent, &earned, n);
        if let""",
        new="""
        let spent = try_spend(self.iter(), &state.spent, &earned, n);
        if let Some(next) = self.0[0].try_spend(state.spent[0], self.0[0].earned(now), n) {
            state.spent[0] = next;
        }
        if let""",
        tests=[
            "a_denial_by_one_quota_spends_from_neither",
            "neither_quota_is_exceeded_while_the_faster_refills",
        ],
    ),
    dict(
        name="sweep: the thread forgets keys in debt",
        file="src/arith/evaluate.rs",
        old="bucket.is_full(spent, earned)",
        new="spent > 0",
        tests=["a_check_against_the_automatic_sweep_mints_and_loses_nothing"],
    ),
    dict(
        name="values: equal policies have unequal hashes",
        file="src/policy.rs",
        old="self.quotas().hash(state);",
        new="std::ptr::from_ref(self).hash(state);",
        tests=["policies_that_are_equal_hash_alike"],
    ),
    dict(
        name="cache: every denial is inserted",
        file="src/rule.rs",
        old="let is_exhausted = !outcome.is_allowed() && buckets.is_exhausted(state, now);",
        new="let is_exhausted = !outcome.is_allowed();",
        tests=["a_denial_while_a_unit_is_left_copies_no_key"],
    ),
    dict(
        name="policy: a quota that the policy lacks binds",
        file="src/arith/bucket.rs",
        old="        burst: u64::MAX,",
        new="        burst: 1,",
        tests=["law_7_one_quota_with_room_for_four_decides_as_without"],
    ),
    dict(
        name="policy: a quota that the policy lacks is shown",
        file="src/decision.rs",
        old="self.parts.get(..count).unwrap_or_default()",
        new="self.parts.get(..count.max(N)).unwrap_or_default()",
        tests=["an_empty_place_is_shown_nowhere"],
    ),
    dict(
        name="decision: a cached denial claims to come from the table",
        file="src/limiter/check.rs",
        old="Lookup::Hit(denial) => (denial, DecisionSource::DeniedCache),",
        new="Lookup::Hit(denial) => (denial, DecisionSource::Table),",
        tests=["a_decision_names_its_source"],
    ),
]
