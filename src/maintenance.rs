//! The maintenance thread: one for each process, which does what is due later.
//!
//! Limiters have it sweep, coarse clocks have it read the time, and an [`Alarm`] has it wake a
//! task. It takes the job that is due first, runs it without a lock, and sleeps until the next is
//! due. A job that would take long is cut in slices: it asks to be run again
//! [at once](Next::Again), behind whatever is due by then, so no deadline waits for more than a
//! slice.
//!
//! - The first job starts the thread, and the thread ends when it has no job left. It is never
//!   joined. A job that is removed while it runs is run once more, and cleans up in slices.
//! - Jobs run user code (`Drop` and `Hash` of keys, wakers). A panic in a job costs that run and
//!   nothing else; the payload is dropped, and may panic again.
//! - A forked child has no such thread. Its first job starts one; jobs that the parent registered
//!   are not run in the child, and dropping their [`Registration`] there removes them if no other
//!   thread held the lock at the instant of the fork.

use std::{
    any::Any,
    collections::BTreeMap,
    io, mem,
    panic::{AssertUnwindSafe, catch_unwind},
    task::Waker,
    time::Duration,
};

use crate::sync::{Arc, Mutex, Shared, Sleeper, is_same, per_process, require_threads, spawn};

/// What a job wants after a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// To be run again as soon as everything that is due by now has been run.
    Again,
    /// To be run again after this time.
    In(Duration),
    /// Never to be run again.
    #[allow(dead_code, reason = "the layer for HTTP alone has such jobs")]
    Done,
}

/// When a job that panicked is run again.
const AFTER_PANIC: Duration = Duration::from_secs(1);

/// The argument says whether the job [has been removed](Registration). If so, it cleans up, returns
/// [`Next::Again`] while there is more, and is dropped at any other answer.
type Job = Box<dyn FnMut(bool) -> Next + Send>;

/// What is to be done, and by when.
struct Queue {
    state: Mutex<State>,
    sleeper: Sleeper,
}

#[derive(Default)]
struct State {
    /// The jobs by the time at which they are due and their number, but for the one that runs:
    /// those that are registered, and those that clean up.
    waiting: BTreeMap<(Duration, u64), Job>,
    /// The time at which each registered job is due, or `None` while it runs.
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

/// Keeps a job registered. Dropping it removes the job: at once, or if it runs, when it has cleaned
/// up. A run under way is not waited for.
#[must_use = "dropping it removes the job"]
pub(crate) struct Registration {
    queue: Shared<Queue>,
    job: u64,
}

impl Registration {
    /// Has `job` run after `delay` for the first time.
    ///
    /// # Errors
    ///
    /// If the operating system refuses the thread.
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

    /// Whether it was registered by this process: not by one that this was forked from.
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
            // The thread has nothing left to do.
            self.queue.sleeper.wake();
        }
        drop(state);
        // Not under the lock: it may hold the last handle of what runs user code when dropped.
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
    /// The maintenance thread.
    fn run(&self) {
        let mut state = self.state.lock();
        loop {
            // Only the job that runs is not waiting, and none runs now.
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
                // It was removed while it ran, and now cleans up; or it has more to clean up.
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

/// Wakes a task once, when its time has come. Dropping it cancels that.
#[allow(dead_code, reason = "the layer for HTTP alone has tasks to wake")]
#[must_use = "dropping it cancels the wake"]
pub(crate) struct Alarm {
    due: Duration,
    /// The task to wake, until it is woken.
    waker: Arc<Mutex<Option<Waker>>>,
    registration: Registration,
}

#[allow(dead_code, reason = "the layer for HTTP alone has tasks to wake")]
impl Alarm {
    /// Wakes `waker` once `delay` of real time has passed.
    ///
    /// # Errors
    ///
    /// If the operating system refuses the maintenance thread.
    pub(crate) fn after(delay: Duration, waker: &Waker) -> io::Result<Alarm> {
        let due = queue().sleeper.now().saturating_add(delay);
        let waker = Arc::new(Mutex::new(Some(waker.clone())));
        let shared = Arc::clone(&waker);
        let registration = Registration::new(delay, move |was_removed| {
            if was_removed {
                return Next::Done;
            }
            // Woken without the lock: a waker runs code of the user's runtime.
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

    /// Whether the time has come. The clock decides, and the wake is a hint.
    pub(crate) fn is_due(&self) -> bool {
        self.registration.queue.sleeper.now() >= self.due
    }

    /// Replaces the waker, unless it would wake the same task. To be called before
    /// [`is_due`](Alarm::is_due), or a wake between the two goes to the former task.
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

/// Runs user code. If it panics, that has been reported, and the payload is dropped.
fn catch<R>(run: impl FnOnce() -> R) -> Option<R> {
    catch_unwind(AssertUnwindSafe(run)).map_err(discard).ok()
}

/// Drops the payload of a panic, whose own `Drop` may panic. The payload of that is leaked.
pub(crate) fn discard(payload: Box<dyn Any + Send>) {
    if let Err(again) = catch_unwind(AssertUnwindSafe(move || drop(payload))) {
        mem::forget(again);
    }
}

#[cfg(all(test, not(tollgate_loom)))]
mod tests;
