"""What a limiter on a store needs of the core: decisions from debts, and requests without one."""

BUGS = [
    dict(
        name="a debt is rounded to the axis of a limiter in memory",
        file="src/arith/scale.rs",
        old="if burst.checked_mul(self.period).is_none() {",
        new="if burst > 0 {",
        tests=[
            "a_wait_for_parts_of_a_unit_is_exact_to_the_microsecond",
            "waits_on_a_clock_are_the_rational_ones_rounded_up_to_ticks",
        ],
    ),
    dict(
        name="a wait on a clock is rounded down to ticks",
        file="src/arith/bucket.rs",
        old="time.saturating_add(standstill).div_ceil(tick)",
        new="time.saturating_add(standstill) / tick",
        tests=[
            "a_wait_for_parts_of_a_unit_is_exact_to_the_microsecond",
            "waits_on_a_clock_are_the_rational_ones_rounded_up_to_ticks",
        ],
    ),
    dict(
        name="a clock that stands still delays nothing",
        file="src/arith/bucket.rs",
        old="time.saturating_add(standstill).div_ceil(tick)",
        new="time.div_ceil(tick)",
        tests=[
            "a_clock_that_stands_still_delays_what_is_to_be_earned_and_nothing_else",
            "waits_on_a_clock_are_the_rational_ones_rounded_up_to_ticks",
        ],
    ),
    dict(
        name="a full bucket waits for a clock that stands still",
        file="src/arith/bucket.rs",
        old="if step == 0 {",
        new="if step == 0 && self.earned == 0 {",
        tests=["a_clock_that_stands_still_delays_what_is_to_be_earned_and_nothing_else"],
    ),
    dict(
        name="a wait in ticks wraps around",
        file="src/arith/bucket.rs",
        old="ticks.saturating_mul(tick)",
        new="ticks.wrapping_mul(tick)",
        tests=["no_clock_panics"],
    ),
    dict(
        name="a debt is rounded down",
        file="src/arith/bucket.rs",
        old="let steps = steps.div_ceil(u128::from(denominator.get()));",
        new="let steps = steps / u128::from(denominator.get());",
        tests=[
            "a_debt_of_a_part_of_a_step_counts_as_a_step",
            "waits_on_a_clock_are_the_rational_ones_rounded_up_to_ticks",
        ],
    ),
    dict(
        name="a decision in memory is put on another clock",
        file="src/arith/bucket.rs",
        old="""
        if !self.is_of_debt() {
            return self;
        }
""",
        new="",
        tests=["a_decision_in_memory_stays_on_its_clock_and_in_its_place"],
    ),
    dict(
        name="a decision of the table is said to be from a cache",
        file="src/decision.rs",
        old="if self.allowed || self.source != DecisionSource::Store {",
        new="if self.allowed {",
        tests=["a_decision_in_memory_stays_on_its_clock_and_in_its_place"],
    ),
    dict(
        name="an allowed decision is said to be from a cache",
        file="src/decision.rs",
        old="if self.allowed || self.source != DecisionSource::Store {",
        new="if self.source != DecisionSource::Store {",
        tests=["only_a_denial_of_a_store_can_be_from_a_cache"],
    ),
    dict(
        name="the limiter's fallback wins over a layer that rejects",
        file="src/tower/decide.rs",
        old="| (None, Some(Fallback::Allow)) => {",
        new="| (_, Some(Fallback::Allow)) => {",
        tests=["the_rule_of_the_layer_wins_over_the_limiters"],
    ),
    dict(
        name="the limiter's fallback wins over a layer that allows",
        file="src/tower/decide.rs",
        old="(Some(OnStoreError::Allow), _) | (None",
        new="(Some(OnStoreError::Allow), Some(Fallback::Allow) | None) | (None",
        tests=["the_rule_of_the_layer_wins_over_the_limiters"],
    ),
    dict(
        name="a 503 that knows its wait has no Retry-After",
        file="src/tower/decide.rs",
        old="""
                insert_retry_after(response.headers_mut(), rejection.retry_after_seconds());
""",
        new="",
        tests=["a_limiter_says_what_becomes_of_a_request_that_it_could_not_decide"],
    ),
    dict(
        name="a failed store exceeds a quota in problem+json",
        file="src/tower/response.rs",
        old="is_denied && rejection.retry_after().is_some()",
        new="(is_denied || rejection.is_store_error()) && rejection.retry_after().is_some()",
        tests=["a_failed_store_exceeds_no_quota_in_any_response"],
    ),
    dict(
        name="a failed store has no pushback in gRPC",
        file="src/tower/rejection.rs",
        old="""
            Cause::Store(retry_after) => retry_after,
""",
        new="""
            Cause::Store(_) => None,
""",
        tests=["a_failed_store_exceeds_no_quota_in_any_response"],
    ),
    dict(
        name="the wait of a failed store is rounded down",
        file="src/tower/rejection.rs",
        old="whole_seconds(wait).max(1)",
        new="wait.as_secs()",
        tests=["a_rejection_has_the_wait_of_a_failed_store"],
    ),
    dict(
        name="the layer warns of an outage too",
        file="src/tower/decide.rs",
        old="if fallback.is_none() {",
        new="if fallback.is_none() || fallback.is_some() {",
        tests=["the_limiter_alone_warns_of_an_outage"],
    ),
]
