//! The maintenance thread: no job is lost, none runs twice at once, and none outlives its removal.

use std::{
    sync::Arc as StdArc,
    task::{Wake, Waker},
    time::Duration,
};

use loom::sync::Notify;

use super::super::model;
use crate::maintenance::{Alarm, Next, Registration};
use crate::sync::{Arc, AtomicUsize, Ordering};

const SOON: Duration = Duration::from_millis(100);
/// After the end of the models' time.
const NEVER: Duration = Duration::from_secs(100);

/// A task that waits for a wake.
struct Task(Notify);

impl Task {
    /// Waits as a future does. loom wakes it without cause at times.
    fn wait_for(&self, alarm: &Alarm) {
        while !alarm.is_due() {
            self.0.wait();
        }
    }
}

impl Wake for Task {
    fn wake(self: StdArc<Task>) {
        self.0.notify();
    }
}

fn task() -> (StdArc<Task>, Waker) {
    let task = StdArc::new(Task(Notify::new()));
    (StdArc::clone(&task), Waker::from(task))
}

/// If the thread ended unnoticed, or did not learn of the job, the task would wait for ever, which is a
/// deadlock.
#[test]
fn a_job_that_is_registered_as_the_thread_ends_is_run() {
    model(|| {
        let last = Registration::new(NEVER, |_| Next::Done).unwrap();
        let ending = loom::thread::spawn(move || drop(last));
        let (task, waker) = task();
        let alarm = Alarm::after(SOON, &waker).unwrap();
        task.wait_for(&alarm);
        ending.join().unwrap();
    });
}

/// A job that is due before the one that the thread sleeps for.
#[test]
fn a_job_that_is_due_first_is_run_first() {
    model(|| {
        let late = Registration::new(NEVER, |_| Next::Done).unwrap();
        let (task, waker) = task();
        let alarm = Alarm::after(SOON, &waker).unwrap();
        task.wait_for(&alarm);
        drop(alarm);
        drop(late);
    });
}

/// loom reports a job that is never dropped as a leak. A job that is removed while it runs cleans up in
/// two more runs, and then runs no more.
#[test]
fn a_job_that_is_removed_at_any_point_cleans_up_and_is_dropped() {
    model(|| {
        let runs = Arc::new(AtomicUsize::new(0));
        let job = {
            let runs = Arc::clone(&runs);
            let mut cleanings = 0;
            move |was_removed| {
                // The job does not run elsewhere.
                assert_eq!(runs.fetch_add(1, Ordering::Relaxed) % 2, 0);
                runs.fetch_add(1, Ordering::Relaxed);
                match (was_removed, runs.load(Ordering::Relaxed)) {
                    (true, _) => {
                        cleanings += 1;
                        assert!(cleanings <= 2, "it was done");
                        [Next::Again, Next::In(SOON)][cleanings - 1]
                    }
                    (false, 2) => Next::Again,
                    (false, _) => Next::In(NEVER),
                }
            }
        };
        let registration = Registration::new(SOON, job).unwrap();
        let other = Registration::new(SOON, |_| Next::Done).unwrap();
        drop(registration);
        drop(other);
    });
}

/// A task is polled with another waker as its time comes. It sees that, or is woken.
#[test]
fn a_waker_that_is_replaced_as_its_time_comes_is_woken_or_sees_it() {
    model(|| {
        let (_, first) = task();
        let alarm = Alarm::after(SOON, &first).unwrap();
        let (task, waker) = task();
        alarm.set_waker(&waker);
        task.wait_for(&alarm);
    });
}
