//! Locks, atomics and threads: the only file that names them, so that the model checker can put
//! its own in their place (`--cfg tollgate_loom`).

#[cfg(not(tollgate_loom))]
mod imp {
    pub(crate) use parking_lot::{Condvar, Mutex, MutexGuard};
    pub(crate) use std::sync::Arc;
    pub(crate) use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicU64, AtomicUsize, Ordering};
    pub(crate) use std::thread::{JoinHandle, yield_now};
    pub(crate) use std::thread_local;
    use std::{io, thread, time::Duration};

    pub(crate) fn spawn(
        name: &str,
        run: impl FnOnce() + Send + 'static,
    ) -> io::Result<JoinHandle<()>> {
        thread::Builder::new().name(name.to_owned()).spawn(run)
    }

    pub(crate) fn is_current_thread(handle: &JoinHandle<()>) -> bool {
        handle.thread().id() == thread::current().id()
    }

    /// Waits until the bell is rung, for `timeout` at most.
    pub(crate) fn wait_for<'a>(
        bell: &Condvar,
        mut guard: MutexGuard<'a, ()>,
        timeout: Duration,
    ) -> MutexGuard<'a, ()> {
        bell.wait_for(&mut guard, timeout);
        guard
    }
}

#[cfg(tollgate_loom)]
mod imp {
    pub(crate) use loom::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
    pub(crate) use loom::sync::{Arc, MutexGuard};
    pub(crate) use loom::thread::JoinHandle;
    pub(crate) use loom::thread_local;
    use std::{io, time::Duration};

    /// loom's mutex without poison, as parking_lot's is.
    pub(crate) struct Mutex<T>(loom::sync::Mutex<T>);

    impl<T> Mutex<T> {
        pub(crate) fn new(value: T) -> Mutex<T> {
            Mutex(loom::sync::Mutex::new(value))
        }

        pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
            self.0
                .lock()
                .expect("a model that panicked has failed already")
        }
    }

    /// loom's condition variable, with timeouts: loom knows no time, so the first wait ends at
    /// once, as if its time had run out, and any other waits for the bell. So a model has an end,
    /// and a bell that is never rung is a deadlock, which loom reports.
    pub(crate) struct Condvar {
        bell: loom::sync::Condvar,
        timed_out: std::sync::atomic::AtomicBool,
    }

    impl Condvar {
        pub(crate) fn new() -> Condvar {
            Condvar {
                bell: loom::sync::Condvar::new(),
                timed_out: std::sync::atomic::AtomicBool::new(false),
            }
        }

        pub(crate) fn notify_one(&self) {
            self.bell.notify_one();
        }
    }

    pub(crate) fn wait_for<'a>(
        bell: &Condvar,
        guard: MutexGuard<'a, ()>,
        _: Duration,
    ) -> MutexGuard<'a, ()> {
        if bell
            .timed_out
            .swap(true, std::sync::atomic::Ordering::Relaxed)
        {
            bell.bell
                .wait(guard)
                .expect("a model that panicked has failed already")
        } else {
            guard
        }
    }

    pub(crate) fn spawn(
        _: &str,
        run: impl FnOnce() + Send + 'static,
    ) -> io::Result<JoinHandle<()>> {
        Ok(loom::thread::spawn(run))
    }

    pub(crate) fn is_current_thread(handle: &JoinHandle<()>) -> bool {
        handle.thread().id() == loom::thread::current().id()
    }
}

/// A number that nobody else in the process has been given: 0, 1 and so on. Not the model
/// checker's, to which a name is no event.
pub(crate) fn unique() -> u64 {
    use std::sync::atomic::{AtomicU64, Ordering};

    static NEXT: AtomicU64 = AtomicU64::new(0);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

pub(crate) use imp::*;
