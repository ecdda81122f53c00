BUGS = [
    dict(
        name="drop: the thread is not woken when its last job is removed",
        file="src/maintenance.rs",
        old="        if state.due.is_empty() && !is_inherited {",
        new="        if state.due.len() == usize::MAX {",
        tests=["dropping_the_limiter_ends_the_thread_at_any_point"],
    ),
    dict(
        name="maintenance: the thread ends and leaves its flag set",
        file="src/maintenance.rs",
        old="""
                state.has_thread = false;
""",
        new="",
        tests=["a_job_that_is_registered_as_the_thread_ends_is_run"],
    ),
    dict(
        name="maintenance: the thread is not woken for a job that is due first",
        file="src/maintenance.rs",
        old="        if is_first {",
        new="        if is_first && state.due.len() == 1 {",
        tests=["a_job_that_is_due_first_is_run_first"],
    ),
    dict(
        name="maintenance: a removed job is run as if it were registered",
        file="src/maintenance.rs",
        old="catch(|| job(was_removed))",
        new="catch(|| job(false))",
        tests=["keys_that_panic_may_be_dropped_by_the_thread"],
    ),
    dict(
        name="maintenance: a removed job runs again after it has cleaned up",
        file="src/maintenance.rs",
        old="if !was_removed || next == Next::Again => now,",
        new="if next != Next::Done => now,",
        tests=["a_job_that_is_removed_at_any_point_cleans_up_and_is_dropped"],
    ),
    dict(
        name="maintenance: a job in slices runs before all that is due",
        file="src/maintenance.rs",
        old="(Next::Again, Some(due)) => *due.insert(now),",
        new="(Next::Again, Some(due)) => *due.insert(Duration::ZERO),",
        tests=["what_is_due_does_not_wait_for_a_job_in_slices"],
    ),
    dict(
        name="maintenance: a job that panics is lost",
        file="src/maintenance.rs",
        old="catch(|| job(was_removed)).unwrap_or(Next::In(AFTER_PANIC))",
        new="catch(|| job(was_removed)).unwrap_or(Next::Done)",
        tests=["a_job_that_panics_is_not_lost"],
    ),
    dict(
        name="maintenance: a waker is not replaced",
        file="src/maintenance.rs",
        old="""
        let former = self.waker.lock().replace(waker);
        // Not under the lock.
        drop(former);""",
        new="        let _ = waker;",
        tests=["a_waker_that_is_replaced_as_its_time_comes_is_woken_or_sees_it"],
    ),
    dict(
        name="maintenance: a payload that panics when it is dropped ends the thread",
        file="src/maintenance.rs",
        old="""
    if let Err(again) = catch_unwind(AssertUnwindSafe(move || drop(payload))) {
        mem::forget(again);
    }""",
        new="    drop(payload);",
        tests=["a_panic_whose_payload_panics_ends_no_sweeping"],
    ),
    dict(
        name="case 52: a forked child takes the thread of its parent for its own",
        file="src/sync.rs",
        old="            while incarnation.process != process {",
        new="            while incarnation.process != process && incarnation.process == 0 {",
        tests=["a_forked_child_can_use_and_drop_what_it_inherits"],
        is_slow=True,
    ),
]
