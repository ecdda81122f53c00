BUGS = [
    dict(
        name="law 6: a denial costs a unit if there is one",
        file="src/policy.rs",
        old="""
        if let Some(spent) = spent {
            *words = spent;
        }
""",
        new="""
        if let Some(spent) = spent {
            *words = spent;
        } else {
            *words = self.try_spend(words, &earned, 1).unwrap_or(*words);
        }
""",
        tests=["law_6_denials_change_no_later_decision"],
    ),
    dict(
        name="law 6: an oversized request stores its key",
        file="src/policy.rs",
        old="n > 0 && self.quotas.iter().all(|quota| n <= quota.burst_size())",
        new="n > 0",
        tests=["law_6_denials_change_no_later_decision"],
    ),
    dict(
        name="law 7: a check spends from each quota in turn until one denies it",
        file="src/policy.rs",
        old="""
        let spent = self.try_spend(words, &earned, n);
        if let""",
        new="""
        let spent = self.try_spend(words, &earned, n);
        let buckets = words.iter_mut().zip(earned).zip(&self.buckets);
        for ((word, earned), bucket) in buckets {
            match bucket.try_spend(*word, earned, n) {
                Some(next) => *word = next,
                None => break,
            }
        }
        if let""",
        tests=["law_7_spends_from_every_quota_or_from_none"],
    ),
    dict(
        name="law 8: a sweep forgets a key when one of its buckets is full",
        file="src/policy.rs",
        old="buckets.all(|((bucket, &word), earned)| bucket.is_full(word, earned))",
        new="buckets.any(|((bucket, &word), earned)| bucket.is_full(word, earned))",
        tests=["law_8_a_limiter_that_forgets_decides_as_one_that_never_does"],
    ),
    dict(
        name="race: a policy spends from the first quota before it asks the second",
        file="src/policy.rs",
        old="""
        let spent = self.try_spend(words, &earned, n);
        if let""",
        new="""
        let spent = self.try_spend(words, &earned, n);
        if let Some(next) = self.buckets[0].try_spend(words[0], earned[0], n) {
            words[0] = next;
        }
        if let""",
        tests=[
            "a_denial_by_one_quota_spends_from_neither",
            "neither_quota_is_exceeded_while_the_faster_refills",
        ],
    ),
    dict(
        name="sweep: the thread forgets keys in debt",
        file="src/policy.rs",
        old="bucket.is_full(word, earned)",
        new="word > 0",
        tests=["a_check_against_the_automatic_sweep_mints_and_loses_nothing"],
    ),
    dict(
        name="values: equal policies have unequal hashes",
        file="src/policy.rs",
        old="self.quotas.hash(state);",
        new="std::ptr::from_ref(self).hash(state);",
        tests=["policies_that_are_equal_hash_alike"],
    ),
    dict(
        name="cache: every denial is inserted",
        file="src/policy.rs",
        old="""
self.try_spend(words, earned, 1).is_none()
""",
        new="""
!evaluation.is_allowed || self.try_spend(words, earned, 1).is_none()
""",
        tests=["a_request_for_more_than_is_left_is_not_remembered"],
    ),
]
