//! Threads that check the batches of a cell. They stay from one batch to the next.

use std::{
    mem,
    panic::{AssertUnwindSafe, catch_unwind},
    process,
    sync::{Arc, Barrier, Mutex},
    thread,
    time::Instant,
};

use super::cores::{keep_to, keep_to_any};
use super::turns::Taken;
use crate::keyed::{Key, Outcome, Table};

/// A team of threads. The first is the thread that leads it.
pub struct Team<'a, K> {
    sequence: &'a [K],
    outcome: Outcome,
    threads: usize,
    /// Whether each thread has a core of its own.
    are_parallel: bool,
    /// The next batch, or none after the last.
    batch: Mutex<Option<Batch<K>>>,
    assembled: Barrier,
    released: Barrier,
    done: Barrier,
    results: Mutex<Vec<Part>>,
}

/// The checks of each thread.
#[derive(Clone)]
pub struct Batch<K> {
    pub table: Arc<dyn Table<K>>,
    /// The place in the sequence at which the first thread starts.
    pub place: usize,
    /// The checks before the clock starts.
    pub untimed: usize,
    pub timed: usize,
}

/// One thread's part of a batch.
struct Part {
    began: Instant,
    ended: Instant,
    allowed: usize,
}

impl<'a, K: Key> Team<'a, K> {
    /// Gives `lead` a team, which ends when `lead` returns.
    pub fn with<R>(
        sequence: &'a [K],
        outcome: Outcome,
        threads: usize,
        lead: impl FnOnce(&Team<'a, K>) -> R,
    ) -> R {
        keep_to_any();
        let cores = thread::available_parallelism().map_or(1, usize::from);
        let team = Team {
            sequence,
            outcome,
            threads,
            are_parallel: threads <= cores,
            batch: Mutex::new(None),
            assembled: Barrier::new(threads),
            released: Barrier::new(threads),
            done: Barrier::new(threads),
            results: Mutex::default(),
        };
        if threads > 1 {
            keep_to(0);
        }
        thread::scope(|scope| {
            // Also if a batch is wrong and `lead` panics. The other threads would wait for ever.
            let dismissal = Dismissal(&team);
            for nth in 1..threads {
                let team = &team;
                scope.spawn(move || {
                    keep_to(nth);
                    while team.take_part(nth) {}
                });
            }
            lead(dismissal.0)
        })
    }

    /// Times a batch, from the release of the threads to the end of the last one.
    ///
    /// # Panics
    ///
    /// If a check has another outcome than the team expects.
    pub fn time(&self, batch: Batch<K>) -> Taken {
        let (untimed, timed) = (batch.untimed, batch.timed);
        let expected = batch
            .table
            .expected(self.outcome, (untimed + timed) * self.threads);
        *self.batch.lock().expect(CALM) = Some(batch);
        self.take_part(0);
        let results = mem::take(&mut *self.results.lock().expect(CALM));
        // This drops a new table.
        drop(self.batch.lock().expect(CALM).take());
        let allowed: usize = results.iter().map(|part| part.allowed).sum();
        assert_eq!(allowed, expected, "allowed, of {timed} after {untimed}");
        let began = || results.iter().map(|part| part.began);
        let ended = results.iter().map(|part| part.ended).max();
        let (first, last) = (began().min(), began().max());
        let (first, last) = (first.expect("a thread"), last.expect("a thread"));
        let time = ended.expect("a thread") - first;
        Taken {
            nanos: time.as_nanos() as f64 / timed as f64,
            is_together: !self.are_parallel || last - first <= time / 10,
        }
    }

    /// Does the part of the `nth` thread in the next batch. Returns false if there is none.
    fn take_part(&self, nth: usize) -> bool {
        let part = AssertUnwindSafe(|| self.part(nth));
        // The panic has printed its reason. The other threads would wait for this one for ever.
        catch_unwind(part).unwrap_or_else(|_| process::exit(101))
    }

    fn part(&self, nth: usize) -> bool {
        self.assembled.wait();
        let batch = self.batch.lock().expect(CALM).clone();
        let Some(Batch {
            table,
            place,
            untimed,
            timed,
        }) = batch
        else {
            return false;
        };
        let place = place + nth * (self.sequence.len() / self.threads);
        let mut allowed = self.check(&*table, place, untimed);
        self.released.wait();
        let began = Instant::now();
        allowed += self.check(&*table, place + untimed, timed);
        let ended = Instant::now();
        drop(table);
        self.results.lock().expect(CALM).push(Part {
            began,
            ended,
            allowed,
        });
        self.done.wait();
        true
    }

    /// Makes `checks` checks from `place` in the sequence on, and round it. Returns how many were
    /// allowed.
    fn check(&self, table: &dyn Table<K>, place: usize, mut checks: usize) -> usize {
        let mut place = place % self.sequence.len();
        let mut allowed = 0;
        while checks > 0 {
            let end = self.sequence.len().min(place + checks);
            allowed += table.check_all(&self.sequence[place..end]);
            checks -= end - place;
            place = 0;
        }
        allowed
    }
}

const CALM: &str = "no thread panics while it holds the lock";

struct Dismissal<'a, 'b, K: Key>(&'a Team<'b, K>);

impl<K: Key> Drop for Dismissal<'_, '_, K> {
    fn drop(&mut self) {
        // The team waits for its next batch, as no batch is cut short.
        if let Ok(mut batch) = self.0.batch.lock() {
            *batch = None;
        }
        self.0.assembled.wait();
    }
}
