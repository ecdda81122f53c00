"""tollgate-redis: the script, its numbers, and the names of keys."""

BUGS = [
    dict(
        name="redis: a bucket holds one part less",
        file="redis/src/script.rs",
        old="> depth then allowed = 0 end",
        new=">= depth then allowed = 0 end",
        tests=[
            "laws::every_decision_is_that_of_the_rational_model",
            "time_refills_to_the_microsecond",
        ],
    ),
    dict(
        name="redis: the time of a key goes back",
        file="redis/src/script.rs",
        old="if set_back or at < now then at = now end",
        new="at = now",
        tests=[
            "a_clock_that_is_set_back_locks_no_key_out",
            "laws::every_decision_is_that_of_the_rational_model",
        ],
    ),
    dict(
        name="redis: a clock that is set back by an hour locks keys out",
        file="redis/src/script.rs",
        old="  set_back = elapsed < -1000000",
        new="  set_back = elapsed < -1000000000000",
        tests=[
            "a_clock_that_is_set_back_locks_no_key_out",
            "laws::every_decision_is_that_of_the_rational_model",
        ],
    ),
    dict(
        name="redis: a denial after a step back writes no time",
        file="redis/src/script.rs",
        old="if spends or (set_back and mode == 'spend') then",
        new="if spends then",
        tests=["a_clock_that_is_set_back_locks_no_key_out"],
    ),
    dict(
        name="redis: a denial writes",
        file="redis/src/script.rs",
        old="(mode == 'spend' and allowed == 1)",
        new="(mode == 'spend')",
        tests=[
            "a_denial_writes_nothing",
            "laws::every_decision_is_that_of_the_rational_model",
        ],
    ),
    dict(
        name="redis: a peek spends",
        file="redis/src/script.rs",
        old="(mode == 'spend' and allowed == 1)",
        new="(mode ~= 'x' and allowed == 1)",
        tests=[
            "a_denial_writes_nothing",
            "laws::every_decision_is_that_of_the_rational_model",
        ],
    ),
    dict(
        name="redis: the first quota decides alone",
        file="redis/src/script.rs",
        old="if debt + argv[first + 2] > depth then",
        new="if i == 1 and debt + argv[first + 2] > depth then",
        tests=[
            "laws::every_decision_is_that_of_the_rational_model",
            "all_nodes_together_obey_two_quotas",
        ],
    ),
    dict(
        name="redis: nothing is repaid",
        file="redis/src/script.rs",
        old="debt = math.ceil(debt) - elapsed * argv[first]",
        new="debt = math.ceil(debt)",
        tests=["time_refills_to_the_microsecond"],
    ),
    dict(
        name="redis: time is rounded to ms",
        file="redis/src/script.rs",
        old="now = tonumber(argv[#argv])",
        new="now = math.floor(tonumber(argv[#argv]) / 1000) * 1000",
        tests=["time_refills_to_the_microsecond"],
    ),
    dict(
        name="redis: a step back earns",
        file="redis/src/script.rs",
        old="""
  if elapsed < 0 then elapsed = 0 end
""",
        new="""
  if elapsed < 0 then elapsed = -elapsed end
""",
        tests=["laws::every_decision_is_that_of_the_rational_model"],
    ),
    dict(
        name="redis: a key expires when it is full, to the ms",
        file="redis/src/script.rs",
        old="/ 1000) + 1000)",
        new="/ 1000))",
        tests=["a_key_expires_a_second_after_it_is_full"],
    ),
    dict(
        name="redis: a key whose time is ahead expires early",
        file="redis/src/script.rs",
        old="(at - now + longest)",
        new="(longest)",
        tests=["a_key_expires_a_second_after_it_is_full"],
    ),
    dict(
        name="redis: numbers are stored with 24 bits",
        file="redis/src/script.rs",
        old="'<' .. string.rep('d', count + 1)",
        new="'<' .. string.rep('f', count + 1) .. string.rep('I4', count + 1)",
        tests=["laws::every_decision_is_that_of_the_rational_model"],
    ),
    dict(
        name="redis: a value of another length is read",
        file="redis/src/script.rs",
        old="if #value ~= 8 * (count + 1) then",
        new="if #value < 8 * (count + 1) then",
        tests=["a_strange_value_concerns_its_key_alone_and_is_not_overwritten"],
    ),
    dict(
        name="redis: a time that is no number is read",
        file="redis/src/script.rs",
        old="if not (at >= 0 and at <= 9007199254740991) then",
        new="if at < 0 or at > 9007199254740991 then",
        tests=["a_strange_value_concerns_its_key_alone_and_is_not_overwritten"],
    ),
    dict(
        name="redis: a debt above the burst is read",
        file="redis/src/script.rs",
        old="if not (debt >= 0 and debt <= depth) then",
        new="if not (debt >= 0) then",
        tests=["a_strange_value_concerns_its_key_alone_and_is_not_overwritten"],
    ),
    dict(
        name="redis: a charge may exceed the burst",
        file="redis/src/script.rs",
        old="""
      if debt > depth then debt = depth end
""",
        new="",
        tests=["local::a_charge_empties_a_bucket_and_no_more"],
    ),
    dict(
        name="redis: any integers are a reply",
        file="redis/src/script.rs",
        old="filter(|debt| *debt <= terms.depth)",
        new="filter(|_| terms.depth > 0)",
        tests=["only_what_the_script_can_return_is_a_reply"],
    ),
    dict(
        name="redis: a burst of 2^53 parts fits",
        file="redis/src/terms.rs",
        old="            true => u128::from(MAX) / parts,",
        new="            true => u128::from(MAX + 1) / parts,",
        tests=["what_does_not_fit_is_an_error_with_the_value_and_the_bound"],
    ),
    dict(
        name="redis: a share of the policy is in its mark",
        file="redis/src/terms.rs",
        old='format!("{}/{}*{burst}", terms.rate, terms.parts)',
        new='format!("{}/{}", terms.rate, terms.parts)',
        tests=["equal_limits_have_one_mark"],
    ),
    dict(
        name="redis: policies share a key",
        file="redis/src/key.rs",
        old='let head = format!("{prefix}:{mark}:{{");',
        new='let head = format!("{prefix}:{}{{", &mark[..0]);',
        tests=[
            "a_key_lies_behind_prefix_and_mark_in_braces",
            "denied::another_policy_has_a_cache_and_buckets_of_its_own",
        ],
    ),
    dict(
        name="redis: a key's braces are not escaped",
        file="redis/src/key.rs",
        old="            name.extend(percent_encode(key, ESCAPED));",
        new="            name.push_str(&String::from_utf8_lossy(key));",
        tests=["keys_are_escaped_and_stay_apart"],
    ),
    dict(
        name="redis: a pair does not say where its first key ends",
        file="redis/src/key.rs",
        old='format!("{}:", first.len())',
        new='":".to_owned()',
        tests=["pairs_that_differ_have_different_bytes"],
    ),
    dict(
        name="redis: the length of a pair's first key has no end",
        file="redis/src/key.rs",
        old='format!("{}:", first.len())',
        new='format!("{}", first.len())',
        tests=["pairs_that_differ_have_different_bytes"],
    ),
    dict(
        name="redis: both kinds of a key have one tag",
        file="redis/src/key.rs",
        old='b"2:".to_vec()',
        new='b"1:".to_vec()',
        tests=["keys_of_one_kind_and_of_the_other_have_different_bytes"],
    ),
    dict(
        name="redis: a fraction of a debt is compared and cut off",
        file="redis/src/script.rs",
        old="math.ceil(debt) - elapsed",
        new="debt - elapsed",
        tests=["values::a_denial_of_fractions_leaves_no_unit_and_has_a_wait"],
    ),
]
