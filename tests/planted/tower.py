BUGS = [
    dict(
        name="case 36: Retry-After is rounded down, as by tower_governor",
        file="src/decision.rs",
        old="time.as_secs() + u64::from(time.subsec_nanos() > 0)",
        new="time.as_secs()",
        tests=[
            "retry_after_is_in_whole_seconds_rounded_up_and_never_0",
            "every_field_has_the_decisions_own_number",
        ],
    ),
    dict(
        name="case 37: a rejection always says that nothing remains",
        file="src/tower/headers.rs",
        old="remaining: decision.remaining(),",
        new="remaining: if decision.is_allowed() { decision.remaining() } else { 0 },",
        tests=["every_field_has_the_decisions_own_number"],
    ),
    dict(
        name="case 38: the window of a policy is that of its burst",
        file="src/tower/headers.rs",
        old="integer(period.as_secs())",
        new="integer(period.as_secs() * quota.burst_size() / quota.units())",
        tests=["the_policy_field_is_the_quota_as_it_was_set"],
    ),
    dict(
        name="draft 11: the window of an empty bucket is over at once",
        file="src/tower/headers.rs",
        old="0 => quota.available_after(1),",
        new="0 => Some(Duration::ZERO),",
        tests=["every_field_has_the_decisions_own_number"],
    ),
    dict(
        name="draft 11: a window outlasts Retry-After",
        file="src/tower/headers.rs",
        old="effective_window(quota).min(wait)",
        new="effective_window(quota).max(wait)",
        tests=["every_field_has_the_decisions_own_number"],
    ),
    dict(
        name="draft 11: two quotas of one period go by one name",
        file="src/tower/names.rs",
        old="if !is_unique(&name, &by_period) {",
        new="if false {",
        tests=["quotas_go_by_their_periods_or_by_what_tells_them_apart"],
    ),
    dict(
        name="fields: the layer overwrites the fields of the inner service",
        file="src/tower/headers.rs",
        old="&& !has_any(headers, [&LIMIT, &REMAINING, &RESET])",
        new="",
        tests=[
            "what_the_inner_service_has_written_is_neither_doubled_nor_mixed_with",
            "of_nested_layers_the_inner_one_is_told_of",
        ],
    ),
    dict(
        name="responses: a request above the burst is given a time to retry",
        file="src/tower/rejection.rs",
        old="let status = if decision.exceeds_burst() {",
        new="let status = if false {",
        tests=["a_problem_has_the_drafts_type_and_the_policies_that_were_violated"],
    ),
    dict(
        name="responses: a quota that allows the request is named as violated",
        file="src/tower/rejection.rs",
        old="quota.exceeds_burst() || quota.retry_after().is_some()",
        new="true",
        how="expression",
        tests=["a_denial_tells_each_quota_and_waits_for_the_one_that_binds"],
    ),
    dict(
        name="case 42: a request without a key passes although the layer rejects it",
        file="src/tower/decide.rs",
        old="return Checked::Now(Verdict::Rejected(respond.respond(&rejection)));",
        new="""
_ = respond.respond(&rejection);
                return Checked::Now(Verdict::Unlimited);""",
        tests=["a_request_without_a_key_follows_the_rule"],
    ),
    dict(
        name="case 42: a malformed key is let through like an absent one",
        file="src/tower/decide.rs",
        old="(Err(KeyError::Missing), MissingKey::Allow)",
        new="(Err(_), MissingKey::Allow)",
        tests=["a_malformed_key_is_refused_whatever_becomes_of_those_without_one"],
    ),
    dict(
        name="case 78: the response to a key that is too long names the wrong bound",
        file="src/tower/rejection.rs",
        old='Cow::Owned(format!("{} is longer than {max_len} bytes", key()))',
        new='Cow::Owned(format!("{} is longer than {} bytes", key(), max_len - max_len))',
        tests=["a_key_that_is_too_long_says_so_and_is_rejected_whatever_the_rule"],
    ),
    dict(
        name="case 43: the layer is ready when the inner service is not",
        file="src/tower/service.rs",
        old="self.inner.poll_ready(context)",
        new="""
_ = self.inner.poll_ready(context);
        Poll::Ready(Ok(()))""",
        tests=["readiness_is_the_inner_services"],
    ),
    dict(
        name="case 43: the layer does not poll the service that it calls",
        file="src/tower/service.rs",
        old="self.inner.poll_ready(context)",
        new="""
_ = context;
        Poll::Ready(Ok(()))""",
        tests=["the_service_that_was_polled_is_the_one_that_is_called"],
    ),
    dict(
        name="responses: a response to HEAD has content",
        file="src/tower/response.rs",
        old="if rejection.request().method == Method::HEAD {",
        new="if false {",
        tests=["an_answer_to_head_has_the_length_of_its_content_and_not_the_content"],
    ),
    dict(
        name="case 45: the debug form of a rejection shows the request and its key",
        file="src/tower/rejection.rs",
        old='f.debug_struct("Rejection")',
        new="""
f.debug_struct("Rejection")
            .field("request", &self.request)""",
        tests=["no_form_of_a_layer_shows_a_key"],
    ),
    dict(
        name="exemption: an exempt request spends a unit",
        file="src/tower/decide.rs",
        old="""
            return Checked::Now(Verdict::Unlimited);
        }
        let cost""",
        new="""
            if let Ok(key) = self.key.key(request) {
                _ = self.limiter.decide(&key, 1);
            }
            return Checked::Now(Verdict::Unlimited);
        }
        let cost""",
        tests=["what_is_exempt_is_neither_limited_nor_stored_nor_marked"],
    ),
    dict(
        name="rejections: a body is not read",
        file="src/tower/service.rs",
        old="drain = Some(limits.drain(request.into_body(), time, if_unread));",
        new="drop(limits.drain(request.into_body(), time, if_unread));",
        tests=[
            "a_rust_client_sees_each_rejection_over_one_connection",
            "a_python_client_sees_each_rejection_over_one_connection",
        ],
        is_slow=True,
    ),
    dict(
        name="rejections: the close of the connection is not announced",
        file="src/tower/service.rs",
        old="if connection == Connection::Closes {",
        new="if connection == Connection::Closes && false {",
        tests=["a_body_that_is_not_read_is_not_polled_and_the_close_is_announced"],
    ),
    dict(
        name="rejections: the body of a request without a key is not read",
        file="src/tower/service.rs",
        old="if let Some(limits) = limits {",
        new="""
if let Some(limits) = limits
            && response.headers().contains_key("x-ratelimit-limit")
        {""",
        tests=["every_kind_of_rejection_reads_the_body"],
    ),
    dict(
        name="stores: a request passes although its store failed",
        file="src/tower/decide.rs",
        old="trace(&rejection, || logged_key);",
        new="""
trace(&rejection, || logged_key);
                        if rejection.is_store_error() {
                            return Verdict::Unlimited;
                        }""",
        tests=["a_failed_store_is_neither_a_denial_nor_a_pass"],
    ),
    dict(
        name="stores: a failed store is a denial",
        file="src/tower/rejection.rs",
        old="status: StatusCode::SERVICE_UNAVAILABLE,",
        new="status: StatusCode::TOO_MANY_REQUESTS,",
        tests=["a_failed_store_is_neither_a_denial_nor_a_pass"],
    ),
    dict(
        name="case 43: a request that waits for a store is passed to a clone that was not polled",
        file="src/tower/service.rs",
        old="mem::replace(inner, clone)",
        new="mem::replace(&mut { clone }, inner.clone())",
        tests=["the_service_that_was_ready_is_called_after_the_store_answered"],
    ),
]
