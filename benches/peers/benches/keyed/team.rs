//! Threads that make the batches of a cell, kept from one batch to the next.

use std::{
    mem,
    panic::{AssertUnwindSafe, catch_unwind},
    process,
    sync::{Arc, Barrier, Mutex},
    thread,
    time::Instant,
};

use tollgate_peers::keyed::{Key, Outcome, Table};

use crate::cores::{keep_to, keep_to_any};

/// The first of its threads is the one that it belongs to.
pub struct Team<'a, K> {
    sequence: &'a [K],
    outcome: Outcome,
    threads: usize,
    /// Whether each of them has a core of its own.
    are_parallel: bool,
    /// The next batch, or none if it was the last.
    batch: Mutex<Option<Batch<K>>>,
    assembled: Barrier,
    released: Barrier,
    done: Barrier,
    results: Mutex<Vec<Result>>,
}

#[derive(Clone)]
struct Batch<K> {
    table: Arc<dyn Table<K>>,
    /// Where in the sequence it begins.
    place: usize,
    untimed: usize,
    timed: usize,
}

struct Result {
    began: Instant,
    ended: Instant,
    allowed: usize,
}

/// What a batch took.
pub struct Taken {
    /// The ns that a check took each thread.
    pub nanos: f64,
    /// Whether threads that have a core each began at the same time, but for 1/10 of the batch. If
    /// not, they meet less than they are to.
    pub is_together: bool,
}

impl<'a, K: Key> Team<'a, K> {
    /// Lets `lead` use a team, which is gone when it returns.
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
            // Even if a batch is wrong and `lead` panics: else the others would wait for ever.
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

    /// Times `timed` checks by each thread, from that place on.
    pub fn time(
        &self,
        table: Arc<dyn Table<K>>,
        place: usize,
        untimed: usize,
        timed: usize,
    ) -> Taken {
        let expected = table.expected(self.outcome, (untimed + timed) * self.threads);
        *self.batch.lock().expect(CALM) = Some(Batch {
            table,
            place,
            untimed,
            timed,
        });
        self.take_part(0);
        let results = mem::take(&mut *self.results.lock().expect(CALM));
        // A new table is dropped here.
        drop(self.batch.lock().expect(CALM).take());
        let allowed: usize = results.iter().map(|result| result.allowed).sum();
        assert_eq!(allowed, expected, "allowed, of {timed} after {untimed}");
        let began = || results.iter().map(|result| result.began);
        let ended = results.iter().map(|result| result.ended).max();
        let (first, last) = (began().min(), began().max());
        let (first, last) = (first.expect("a thread"), last.expect("a thread"));
        let time = ended.expect("a thread") - first;
        Taken {
            nanos: time.as_nanos() as f64 / timed as f64,
            is_together: !self.are_parallel || last - first <= time / 10,
        }
    }

    /// Does the part of the `nth` thread in the next batch. False if there is none.
    fn take_part(&self, nth: usize) -> bool {
        let part = AssertUnwindSafe(|| self.part(nth));
        // A panic has said why. The other threads would wait for this one for ever.
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
        self.results.lock().expect(CALM).push(Result {
            began,
            ended,
            allowed,
        });
        self.done.wait();
        true
    }

    /// So many checks, from that place in the sequence on and round it.
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

const CALM: &str = "nobody panics while holding it";

struct Dismissal<'a, 'b, K: Key>(&'a Team<'b, K>);

impl<K: Key> Drop for Dismissal<'_, '_, K> {
    fn drop(&mut self) {
        // The team waits for its next batch, as none is cut short.
        if let Ok(mut batch) = self.0.batch.lock() {
            *batch = None;
        }
        self.0.assembled.wait();
    }
}
