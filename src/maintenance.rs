//! STAND-IN for the maintenance thread, with the same interface. To be replaced when the branches
//! are merged: this one starts a thread for each alarm.

use std::{io, task::Waker, time::Duration};

use crate::sync::{Arc, AtomicBool, Condvar, Mutex, Ordering, spawn, wait_for};

/// Wakes a task once a time has passed. Dropping it cancels.
pub(crate) struct Alarm {
    shared: Arc<Shared>,
}

struct Shared {
    is_due: AtomicBool,
    is_cancelled: AtomicBool,
    waker: Mutex<Waker>,
    lock: Mutex<()>,
    bell: Condvar,
}

impl Alarm {
    /// Wakes `waker` once `delay` has passed.
    pub(crate) fn after(delay: Duration, waker: &Waker) -> io::Result<Alarm> {
        let shared = Arc::new(Shared {
            is_due: AtomicBool::new(false),
            is_cancelled: AtomicBool::new(false),
            waker: Mutex::new(waker.clone()),
            lock: Mutex::new(()),
            bell: Condvar::new(),
        });
        let sleeper = Arc::clone(&shared);
        spawn("tollgate-alarm", move || {
            let guard = sleeper.lock.lock();
            if sleeper.is_cancelled.load(Ordering::SeqCst) {
                return;
            }
            drop(wait_for(&sleeper.bell, guard, delay));
            if !sleeper.is_cancelled.load(Ordering::SeqCst) {
                sleeper.is_due.store(true, Ordering::SeqCst);
                let waker = sleeper.waker.lock().clone();
                waker.wake();
            }
        })?;
        Ok(Alarm { shared })
    }

    /// True once the time has passed.
    pub(crate) fn is_due(&self) -> bool {
        self.shared.is_due.load(Ordering::SeqCst)
    }

    /// Replaces the waker, if it differs.
    pub(crate) fn set_waker(&self, waker: &Waker) {
        let mut current = self.shared.waker.lock();
        if !current.will_wake(waker) {
            *current = waker.clone();
        }
    }
}

impl Drop for Alarm {
    fn drop(&mut self) {
        let guard = self.shared.lock.lock();
        self.shared.is_cancelled.store(true, Ordering::SeqCst);
        self.shared.bell.notify_one();
        drop(guard);
    }
}
