//! When to forget. What keeps it invisible is the [`Timer`](crate::clock::Timer)'s.
//!
//! # Why a thread
//!
//! A key may be forgotten once its bucket is full. Somebody has to look for such keys, and no
//! request may pay for it: so a thread of the limiter's own does, which sleeps on a condition
//! variable, takes one shard's lock at a time, and ends when the limiter is dropped. The other way,
//! a bounded piece of sweeping on every insert, needs no thread, but it forgets nothing once the
//! inserts of a flood are over, which is when memory is to shrink, and it lays a shard's scan on a
//! request. `benches/README.md` has what either costs.

use std::{
    io,
    panic::{AssertUnwindSafe, catch_unwind},
    time::Duration,
};

use crate::sync::{
    Arc, AtomicBool, Condvar, JoinHandle, Mutex, Ordering, is_current_thread, spawn, wait_for,
};

/// When keys are forgotten.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Schedule {
    /// As often as suits the policy.
    ByPolicy,
    Every(Duration),
    ByHand,
}

impl Schedule {
    /// The time between two sweeps, if there are to be any.
    ///
    /// By policy, half the time that the slowest quota takes to fill an empty bucket: then no key
    /// outstays its debt by more than half of it, and a key is looked at about three times before
    /// it goes. At least a second and at most five minutes.
    pub(crate) fn interval(self, fill_time: Duration) -> Option<Duration> {
        match self {
            Schedule::ByPolicy => {
                Some((fill_time / 2).clamp(Duration::from_secs(1), Duration::from_secs(300)))
            }
            Schedule::Every(interval) => Some(interval.max(Duration::from_millis(1))),
            Schedule::ByHand => None,
        }
    }
}

/// A thread that sweeps now and then, until it is dropped.
pub(crate) struct Sweeper {
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

impl Sweeper {
    /// Starts the thread. A `sweep` is to do no more than it must once its [`Stop`] is asked for.
    pub(crate) fn start(
        interval: Duration,
        sweep: impl Fn(&Stop) + Send + 'static,
    ) -> io::Result<Sweeper> {
        let stop = Arc::new(Stop {
            asked: AtomicBool::new(false),
            lock: Mutex::new(()),
            bell: Condvar::new(),
        });
        let told = Arc::clone(&stop);
        let thread = spawn("tollgate-sweep", move || {
            let mut guard = told.lock.lock();
            while !told.is_asked() {
                guard = wait_for(&told.bell, guard, interval);
                if told.is_asked() {
                    break;
                }
                drop(guard);
                // Only the key's own Hash and Drop can panic in there, and the panic has been
                // reported by then. It must not end all forgetting: the next sweep goes on.
                let _ = catch_unwind(AssertUnwindSafe(|| sweep(&told)));
                guard = told.lock.lock();
            }
        })?;
        Ok(Sweeper {
            stop,
            thread: Some(thread),
        })
    }
}

impl Drop for Sweeper {
    fn drop(&mut self) {
        let guard = self.stop.lock.lock();
        self.stop.asked.store(true, Ordering::Relaxed);
        self.stop.bell.notify_one();
        drop(guard);
        // A key whose Drop holds the last handle to the limiter ends it from the sweeping thread.
        if let Some(thread) = self.thread.take()
            && !is_current_thread(&thread)
        {
            // An error is a panic that has been reported.
            let _ = thread.join();
        }
    }
}
