//! Threads in tests: they wait for a condition, run rounds together, and have a deadline.

use std::{
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    sync::{
        Barrier, Mutex,
        atomic::{AtomicU64, Ordering},
        mpsc,
    },
    thread,
    time::{Duration, Instant},
};

/// A wait that reaches this has failed. Whatever is waited for takes far less.
const DEADLINE: Duration = Duration::from_secs(60);

/// Yields to other threads until `condition` holds, and panics at the deadline.
pub fn wait_until(what: &str, condition: impl Fn() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < DEADLINE, "never happened: {what}");
        thread::yield_now();
    }
}

/// Lets `threads` threads go through `rounds` rounds together. Before each round one of them calls
/// `between`, and in it all call `run`. Returns the sum of what `run` returned, for each round.
pub fn rounds(
    threads: usize,
    rounds: usize,
    between: impl Fn(usize) + Sync,
    run: impl Fn(usize, usize) -> u64 + Sync,
) -> Vec<u64> {
    let (start, end) = (Barrier::new(threads), Barrier::new(threads));
    let totals: Vec<AtomicU64> = (0..rounds).map(|_| AtomicU64::new(0)).collect();
    // After a panic all threads go on without calls: they would wait for each other for ever.
    let panic = Mutex::new(None);
    let unless_panicked = |act: &dyn Fn()| {
        if panic.lock().unwrap().is_none()
            && let Err(caught) = catch_unwind(AssertUnwindSafe(act))
        {
            *panic.lock().unwrap() = Some(caught);
        }
    };
    thread::scope(|scope| {
        for thread in 0..threads {
            let (start, end, totals, between, run) = (&start, &end, &totals, &between, &run);
            scope.spawn(move || {
                for (round, total) in totals.iter().enumerate() {
                    if end.wait().is_leader() {
                        unless_panicked(&|| between(round));
                    }
                    start.wait();
                    unless_panicked(&|| {
                        total.fetch_add(run(thread, round), Ordering::Relaxed);
                    });
                }
            });
        }
    });
    if let Some(panic) = panic.into_inner().unwrap() {
        resume_unwind(panic);
    }
    totals.into_iter().map(AtomicU64::into_inner).collect()
}

/// Runs `run` on a new thread, and panics at the deadline if it hangs.
pub fn finishes<T: Send + 'static>(
    what: &str,
    run: impl FnOnce() -> T + Send + 'static,
) -> thread::Result<T> {
    let (done, wait) = mpsc::channel();
    let thread = thread::spawn(move || {
        let result = run();
        let _ = done.send(());
        result
    });
    match wait.recv_timeout(DEADLINE) {
        Err(mpsc::RecvTimeoutError::Timeout) => panic!("hangs: {what}"),
        // If it has panicked, `join` returns the panic.
        Ok(()) | Err(mpsc::RecvTimeoutError::Disconnected) => thread.join(),
    }
}
