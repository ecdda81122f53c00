//! A thread that sleeps nearly always: what forgets keys, and what keeps a coarse time.

use std::{
    io,
    panic::{AssertUnwindSafe, catch_unwind},
    time::Duration,
};

use crate::sync::{
    Arc, AtomicBool, Condvar, JoinHandle, Mutex, Ordering, is_current_thread, spawn, wait_for,
};

/// A thread that does something at intervals, until this is dropped.
pub(crate) struct Background {
    stop: Arc<Stop>,
    thread: Option<JoinHandle<()>>,
}

/// How the thread is told to end. `asked` is stored under `lock`, so that it cannot be missed
/// between looking and waiting; the thread looks without the lock too, between two keys.
pub(crate) struct Stop {
    asked: AtomicBool,
    lock: Mutex<()>,
    bell: Condvar,
}

impl Stop {
    /// Relaxed: it guards no data, and the thread is joined.
    pub(crate) fn is_asked(&self) -> bool {
        self.asked.load(Ordering::Relaxed)
    }
}

impl Background {
    /// Starts the thread. Its `work` is to do no more than it must once its [`Stop`] is asked for.
    pub(crate) fn start(
        name: &str,
        interval: Duration,
        work: impl Fn(&Stop) + Send + 'static,
    ) -> io::Result<Background> {
        let stop = Arc::new(Stop {
            asked: AtomicBool::new(false),
            lock: Mutex::new(()),
            bell: Condvar::new(),
        });
        let told = Arc::clone(&stop);
        let thread = spawn(name, move || {
            let mut guard = told.lock.lock();
            while !told.is_asked() {
                guard = wait_for(&told.bell, guard, interval);
                if told.is_asked() {
                    break;
                }
                drop(guard);
                // Of a sweep, a key's own Hash and Drop can panic, and that has been reported by
                // then. It must not end all forgetting: the next sweep goes on.
                let _ = catch_unwind(AssertUnwindSafe(|| work(&told)));
                guard = told.lock.lock();
            }
        })?;
        Ok(Background {
            stop,
            thread: Some(thread),
        })
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        let guard = self.stop.lock.lock();
        self.stop.asked.store(true, Ordering::Relaxed);
        self.stop.bell.notify_one();
        drop(guard);
        // A key whose Drop holds the last handle to its limiter ends it from the sweeping thread.
        if let Some(thread) = self.thread.take()
            && !is_current_thread(&thread)
        {
            // An error is a panic that has been reported.
            let _ = thread.join();
        }
    }
}
