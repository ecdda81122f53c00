BUGS = [
    dict(
        name="law 7: the wait is the first quota's",
        file="src/decision/view.rs",
        old="""
.filter_map(QuotaDecision::retry_after)
            .max()""",
        new="""
.filter_map(QuotaDecision::retry_after)
            .next()""",
        tests=[
            "law_7_spends_from_every_quota_or_from_none",
            "law_7_each_quota_holds_for_itself_whatever_its_rate",
            "law_7_the_order_of_quotas_makes_no_difference",
        ],
    ),
    dict(
        name="law 7: of two quotas that n exceeds, the first binds",
        file="src/decision/part.rs",
        old="(true, true) => other.limit().cmp(&self.limit()),",
        new="(true, true) => return Ordering::Equal,",
        tests=["law_7_the_order_of_quotas_makes_no_difference"],
    ),
    dict(
        name="values: width and alignment are ignored",
        file="src/pad.rs",
        old="if f.width().is_none() && f.precision().is_none() {",
        new="if true {",
        tests=["what_is_displayed_takes_width_alignment_fill_and_precision"],
    ),
    dict(
        name="values: decisions are equal although another quota binds",
        file="src/decision/view.rs",
        old="""
            && self.binding() == other.binding()
""",
        new="",
        tests=["decisions_under_which_another_quota_binds_are_unequal"],
    ),
    dict(
        name="values: the time of a decision makes it unequal",
        file="src/decision/part.rs",
        old="numbers(self) == numbers(other)",
        new="""
numbers(self) == numbers(other)
            && format!("{:?}", self.view) == format!("{:?}", other.view)""",
        tests=["decisions_are_equal_if_they_say_the_same"],
    ),
    dict(
        name="decision: a debt that a store returns is rounded down",
        file="src/arith/bucket.rs",
        old="let steps = steps.div_ceil(u128::from(denominator.get()));",
        new="let steps = steps / u128::from(denominator.get());",
        tests=["a_debt_of_a_part_of_a_step_counts_as_a_step"],
    ),
]
