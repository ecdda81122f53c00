//! The order of jobs, on the real thread. Races are modelled under loom.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, mpsc};
use std::task::{Wake, Waker};

use super::*;

/// Long enough for any machine. Only a failing test waits for it.
const DEADLINE: Duration = Duration::from_secs(60);

struct Flag(AtomicBool);

impl Wake for Flag {
    fn wake(self: Arc<Flag>) {
        self.0.store(true, Ordering::SeqCst);
    }
}

/// A sweep of a large table is a job in slices.
#[test]
fn what_is_due_does_not_wait_for_a_job_in_slices() {
    let flag = Arc::new(Flag(AtomicBool::new(false)));
    let (ended, wait) = mpsc::channel();
    let (seen, mut slices) = (Arc::clone(&flag), 0_u32);
    let slow = Registration::new(Duration::ZERO, move |_| {
        slices += 1;
        let is_woken = seen.0.load(Ordering::SeqCst);
        // With no bound, the test would hang if the alarm never ran.
        if is_woken || slices == 10_000_000 {
            ended.send(is_woken).unwrap();
            return Next::Done;
        }
        Next::Again
    })
    .unwrap();
    let waker = Waker::from(Arc::clone(&flag));
    let alarm = Alarm::after(Duration::from_millis(5), &waker).unwrap();
    assert!(
        wait.recv_timeout(DEADLINE).unwrap(),
        "the alarm ran between two slices"
    );
    assert!(alarm.is_due());
    drop(slow);
}

/// No job in slices keeps another one waiting until its end.
#[test]
fn jobs_in_slices_take_turns() {
    let counts = Arc::new([AtomicU32::new(0), AtomicU32::new(0)]);
    let (ended, wait) = mpsc::channel();
    let jobs = [0, 1].map(|own| {
        let (counts, ended) = (Arc::clone(&counts), ended.clone());
        Registration::new(Duration::from_millis(1), move |_| {
            let slices = counts[own].fetch_add(1, Ordering::SeqCst);
            let other = counts[1 - own].load(Ordering::SeqCst);
            // At first the other job may not be registered yet.
            if slices >= 1_000 && other > 0 {
                ended.send(()).unwrap();
                return Next::Done;
            }
            Next::Again
        })
        .unwrap()
    });
    for _ in &jobs {
        wait.recv_timeout(DEADLINE).unwrap();
    }
}

/// The thread runs a job again 1 s after it panicked.
#[test]
fn a_job_that_panics_is_not_lost() {
    let (ended, wait) = mpsc::channel();
    let mut runs = 0;
    let job = Registration::new(Duration::ZERO, move |_| {
        runs += 1;
        ended.send(runs).unwrap();
        if runs == 1 {
            std::panic::resume_unwind(Box::new("the first time"));
        }
        Next::Done
    })
    .unwrap();
    assert_eq!(wait.recv_timeout(DEADLINE), Ok(1));
    assert_eq!(wait.recv_timeout(DEADLINE), Ok(2));
    drop(job);
}
