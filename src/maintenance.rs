//! The maintenance thread: one for each process, which runs jobs when they are due.
//!
//! It sweeps limiters, refreshes coarse clocks and wakes the tasks of an [`Alarm`]. It takes the
//! job that is due first, runs it without a lock, and sleeps until the next one is due.
//!
//! - **Slices.** A long job returns [`Next::Again`] after a slice. It runs again after all jobs
//!   that are due by then, so no deadline waits for more than a slice.
//! - **Lifetime.** The first job starts the thread. The thread ends when it has no job left, and is
//!   never joined. A job that is removed while it runs is run again, and cleans up in slices.
//! - **User code.** Jobs run `Drop` and `Hash` of keys, and wakers. A panic ends that run of the
//!   job and nothing else. The payload is dropped, which may panic again.
//! - **Fork.** A forked child has no such thread, and its first job starts one. Jobs of the parent
//!   do not run in the child. Dropping their [`Registration`] there removes them, if no other
//!   thread held the lock at the instant of the fork.
//!
//! `docs/architecture.md` has the reasons, under "One maintenance thread for each process".

use std::{
    any::Any,
    collections::BTreeMap,
    io, mem,
    panic::{AssertUnwindSafe, catch_unwind},
    task::Waker,
    time::Duration,
};

use crate::sync::{Arc, Mutex, Shared, Sleeper, is_same, per_process, require_threads, spawn};

/// When a job is run again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// After all jobs that are due by now.
    Again,
    /// After this time.
    In(Duration),
    /// Never.
    #[allow(dead_code, reason = "only the HTTP layer has such jobs")]
    Done,
}

/// The time after which a job that panicked is run again.
const AFTER_PANIC: Duration = Duration::from_secs(1);

/// The argument says whether the job [was removed](Registration). A removed job cleans up. It
/// returns [`Next::Again`] while there is more to do, and is dropped when it returns anything else.
type Job = Box<dyn FnMut(bool) -> Next + Send>;

/// The jobs of a process, and the thread that waits for them.
struct Queue {
    state: Mutex<State>,
    sleeper: Sleeper,
}

#[derive(Default)]
struct State {
    /// All jobs except the running one, by the time at which they are due and their number. Removed
    /// jobs that still clean up are among them.
    waiting: BTreeMap<(Duration, u64), Job>,
    /// The time at which each registered job is due, or `None` while it runs. Removed jobs are not
    /// here.
    due: BTreeMap<u64, Option<Duration>>,
    /// The number of the next job.
    next: u64,
    has_thread: bool,
}

per_process! {
    fn queue() -> Queue {
        Queue {
            state: Mutex::new(State::default()),
            sleeper: Sleeper::new(),
        }
    }
}

/// Keeps a job registered. Dropping it removes the job.
///
/// A waiting job is dropped at once, on this thread. A running job is run again to clean up. The
/// drop does not wait for it.
#[must_use = "dropping it removes the job"]
pub(crate) struct Registration {
    queue: Shared<Queue>,
    job: u64,
}

impl Registration {
    /// Registers `job`, which runs for the first time after `delay`.
    ///
    /// # Errors
    ///
    /// If the operating system refuses the thread, or the target has no threads.
    pub(crate) fn new(
        delay: Duration,
        job: impl FnMut(bool) -> Next + Send + 'static,
    ) -> io::Result<Registration> {
        require_threads()?;
        let (queue, of_thread) = (queue(), queue());
        let mut state = queue.state.lock();
        if !state.has_thread {
            spawn("tollgate", move || of_thread.run())?;
            state.has_thread = true;
        }
        let number = state.next;
        state.next += 1;
        let due = queue.sleeper.now().saturating_add(delay);
        let is_first = state.first_due().is_none_or(|first| due < first);
        state.waiting.insert((due, number), Box::new(job));
        state.due.insert(number, Some(due));
        if is_first {
            queue.sleeper.wake();
        }
        drop(state);
        Ok(Registration { queue, job: number })
    }

    /// Whether this process registered the job, and not one that it was forked from.
    pub(crate) fn is_of_this_process(&self) -> bool {
        is_same(&self.queue, &queue())
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        let is_inherited = !self.is_of_this_process();
        let state = if is_inherited {
            self.queue.state.try_lock()
        } else {
            Some(self.queue.state.lock())
        };
        let Some(mut state) = state else {
            return;
        };
        let due = state.due.remove(&self.job).flatten();
        let job = due.and_then(|due| state.waiting.remove(&(due, self.job)));
        if state.due.is_empty() && !is_inherited {
            // The thread has no job left, and ends.
            self.queue.sleeper.wake();
        }
        drop(state);
        // Not under the lock: the job may hold the last handle of a value whose `Drop` is user
        // code.
        drop(job);
    }
}

impl State {
    fn first_due(&self) -> Option<Duration> {
        let ((due, _), _) = self.waiting.first_key_value()?;
        Some(*due)
    }
}

impl Queue {
    /// Runs jobs until none is left: the body of the maintenance thread.
    fn run(&self) {
        let mut state = self.state.lock();
        loop {
            // Every job waits, except a running one. None runs now.
            let Some(due) = state.first_due() else {
                state.has_thread = false;
                return;
            };
            if due > self.sleeper.now() {
                state = self.sleeper.sleep(state, due);
                continue;
            }
            let Some(((_, number), mut job)) = state.waiting.pop_first() else {
                continue;
            };
            let registered = state.due.get_mut(&number);
            let was_removed = registered.is_none();
            if let Some(due) = registered {
                *due = None;
            }
            drop(state);
            let next = catch(|| job(was_removed)).unwrap_or(Next::In(AFTER_PANIC));

            state = self.state.lock();
            let now = self.sleeper.now();
            let due = match (next, state.due.get_mut(&number)) {
                (Next::Again, Some(due)) => *due.insert(now),
                (Next::In(delay), Some(due)) => *due.insert(now.saturating_add(delay)),
                // The job was removed while it ran, and now cleans up. Or it has more to clean up.
                (Next::Again | Next::In(_), None) if !was_removed || next == Next::Again => now,
                _ => {
                    state.due.remove(&number);
                    drop(state);
                    catch(move || drop(job));
                    state = self.state.lock();
                    continue;
                }
            };
            state.waiting.insert((due, number), job);
        }
    }
}

/// Wakes a task once, at a due time. Dropping it cancels the wake.
#[allow(dead_code, reason = "only the HTTP layer has tasks to wake")]
#[must_use = "dropping it cancels the wake"]
pub(crate) struct Alarm {
    due: Duration,
    /// The waker, until it is called.
    waker: Arc<Mutex<Option<Waker>>>,
    registration: Registration,
}

#[allow(dead_code, reason = "only the HTTP layer has tasks to wake")]
impl Alarm {
    /// Calls `waker` once `delay` of real time has passed.
    ///
    /// # Errors
    ///
    /// If the operating system refuses the maintenance thread, or the target has no threads.
    pub(crate) fn after(delay: Duration, waker: &Waker) -> io::Result<Alarm> {
        let due = queue().sleeper.now().saturating_add(delay);
        let waker = Arc::new(Mutex::new(Some(waker.clone())));
        let shared = Arc::clone(&waker);
        let registration = Registration::new(delay, move |was_removed| {
            if was_removed {
                return Next::Done;
            }
            // Not under the lock: a waker runs code of the user's runtime.
            let waker = shared.lock().take();
            if let Some(waker) = waker {
                waker.wake();
            }
            Next::Done
        })?;
        Ok(Alarm {
            due,
            waker,
            registration,
        })
    }

    /// Whether the due time has come. The clock decides; the wake is only a hint.
    pub(crate) fn is_due(&self) -> bool {
        self.registration.queue.sleeper.now() >= self.due
    }

    /// Replaces the waker, unless it would wake the same task.
    ///
    /// Call this before [`is_due`](Alarm::is_due). Otherwise a wake between the two calls goes to
    /// the former task.
    pub(crate) fn set_waker(&self, waker: &Waker) {
        let is_same = |current: &Waker| current.will_wake(waker);
        if self.waker.lock().as_ref().is_some_and(is_same) {
            return;
        }
        let waker = waker.clone();
        let former = self.waker.lock().replace(waker);
        // Not under the lock.
        drop(former);
    }
}

/// Runs user code. If it panics, the panic hook has reported it, and the payload is dropped.
fn catch<R>(run: impl FnOnce() -> R) -> Option<R> {
    catch_unwind(AssertUnwindSafe(run)).map_err(discard).ok()
}

/// Drops the payload of a panic. If its `Drop` panics, the payload of that panic is leaked.
pub(crate) fn discard(payload: Box<dyn Any + Send>) {
    if let Err(again) = catch_unwind(AssertUnwindSafe(move || drop(payload))) {
        mem::forget(again);
    }
}

#[cfg(all(test, not(tollgate_loom)))]
mod tests;
