BUGS = [
    dict(
        name="rejections: a broken body counts as read to its end",
        file="src/tower/drain/reading.rs",
        old="Discarded::Broken => return Poll::Ready(*this.if_unread),",
        new="Discarded::Broken => return Poll::Ready(Connection::Stays),",
        tests=["trailers_are_read_and_an_error_ends_the_reading"],
    ),
    dict(
        name="rejections: a body is read beyond the byte limit",
        file="src/tower/drain/reading.rs",
        old="match this.bytes_left.checked_sub(bytes.max(1)) {",
        new="match this.bytes_left.checked_sub(0 * bytes) {",
        tests=["a_body_over_the_byte_limit_is_left_and_the_close_is_announced"],
    ),
    dict(
        name="rejections: empty frames are read for ever",
        file="src/tower/drain/reading.rs",
        old="checked_sub(bytes.max(1))",
        new="checked_sub(bytes)",
        tests=["a_body_of_empty_frames_reaches_the_byte_limit"],
    ),
    dict(
        name="rejections: a body of a known length over the byte limit is read",
        file="src/tower/drain.rs",
        old="request.body().min_remaining() > self.bytes",
        new="false",
        tests=["a_body_that_is_not_read_is_not_polled_and_the_close_is_announced"],
    ),
    dict(
        name="rejections: a body is read beyond the time limit",
        file="src/tower/drain/reading.rs",
        old="if this.deadline.as_ref().is_some_and(D::is_due) {",
        new="if false {",
        tests=["a_body_that_trickles_at_the_pace_of_the_polls_gets_a_timer_too"],
    ),
    dict(
        name="rejections: no timer is set",
        file="src/tower/drain/reading.rs",
        old="match D::after(*this.time, context.waker()) {",
        new="""
match Ok::<D, io::Error>(D::after(Duration::MAX, context.waker())
                .unwrap_or_else(|_| unreachable!())) {""",
        tests=["a_slow_body_holds_its_connection_until_the_time_limit"],
        is_slow=True,
    ),
    dict(
        name="rejections: the timer wakes the task that polled first",
        file="src/tower/drain/reading.rs",
        old="deadline.set_waker(context.waker());",
        new="",
        tests=["the_timer_wakes_the_task_that_polled_last"],
    ),
    dict(
        name="rejections: a poll reads without a bound and lets no other task run",
        file="src/tower/drain/reading.rs",
        old="if frames == FRAMES {",
        new="if false {",
        tests=["a_poll_reads_64_frames_at_most_and_asks_for_another_poll"],
        is_slow=True,
    ),
    dict(
        name="rejections: a stream of HTTP/2 is read for as long as a body of HTTP/1",
        file="src/tower/drain.rs",
        old="(self.time.min(Limits::MAX_STREAM_TIME), Connection::Stays)",
        new="(self.time, Connection::Stays)",
        tests=["bodies_of_http_2_and_http_3_are_read_for_a_second_and_close_no_connection"],
    ),
    dict(
        name="rejections: bodies of HTTP/2 are not read, and h2 ends the connection",
        file="src/tower/drain.rs",
        old="        if request.body().is_at_end() {",
        new="        if version > Version::HTTP_11 || request.body().is_at_end() {",
        tests=["bodies_of_http_2_and_http_3_are_read_for_a_second_and_close_no_connection"],
    ),
    dict(
        name="rejections: a client that waits for 100 Continue is asked for its upload",
        file="src/tower/drain.rs",
        old="if awaits_continue || request",
        new="""
_ = awaits_continue;
        if request""",
        tests=["a_client_that_expects_100_continue_is_answered_without_it"],
    ),
    dict(
        name="rejections: HTTP/1.0 is believed to know 100 Continue",
        file="src/tower/drain.rs",
        old="version >= Version::HTTP_11 && expects_continue",
        new="expects_continue",
        tests=["a_rejected_upload_of_http_1_0_is_read"],
    ),
]
