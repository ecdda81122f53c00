//! How a limiter is swept: in slices, by a caller or by the maintenance thread.
//!
//! That changes no decision: a check reads the clock under the lock under which a key is dropped, and
//! a sweep publishes its time to the [`Timer`](crate::clock::Timer) before it drops the first key.

use std::{
    any::Any,
    hash::{BuildHasher, Hash},
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    time::Duration,
};

use super::Core;
use crate::arith::state::State;
use crate::maintenance::{Next, discard};
use crate::rule::Rule;
use crate::store::{Cursor, Table};
use crate::sync::Arc;

impl<K, const N: usize, S, R> Core<K, N, S, R>
where
    K: Hash + Eq + Send,
    S: BuildHasher + Clone,
    R: Rule<N>,
{
    /// Begins a sweep at `now`, which is published.
    pub(crate) fn begin_sweep(&self, now: u64) -> Sweep<R::Census> {
        Sweep::at(now, self.rule.begin_census())
    }

    /// Sweeps one slice more. Returns false if there was nothing left to do.
    pub(crate) fn sweep_some(&self, sweep: &mut Sweep<R::Census>) -> bool {
        let is_full = self.rule.full_at(sweep.now, &sweep.census);
        let found = remove_some(&self.table, &mut sweep.visit, |state| !is_full(state));
        if !found {
            let has_skipped = sweep.visit.cursor.has_skipped;
            self.rule.end_census(&sweep.census, has_skipped);
        }
        found
    }
}

/// Removes the keys of one slice more that are not to be kept. Returns false if there was nothing left to
/// do.
fn remove_some<K: Hash + Eq, T: State, S: BuildHasher + Clone>(
    table: &Table<K, T, S>,
    visit: &mut Visit,
    keep: impl Fn(&T) -> bool,
) -> bool {
    let Some(slice) = table.remove_some(&mut visit.cursor, keep) else {
        return false;
    };
    visit.forgotten += slice.removed;
    visit.drop_all(slice.keys);
    if let Some(shard) = slice.sparse_shard {
        visit.run(|| table.shrink(shard));
    }
    true
}

/// A sweep that has begun. The keys that it drops have full buckets at `now`, which is published.
pub(crate) struct Sweep<C> {
    now: u64,
    census: C,
    visit: Visit,
}

/// A visit of all keys, in slices.
#[derive(Default)]
struct Visit {
    cursor: Cursor,
    forgotten: usize,
    /// The first panic of a key's own code. The visit goes on after it.
    panic: Option<Box<dyn Any + Send>>,
}

impl<C> Sweep<C> {
    fn at(now: u64, census: C) -> Sweep<C> {
        Sweep {
            now,
            census,
            visit: Visit::default(),
        }
    }

    /// Returns the number of keys that were dropped.
    ///
    /// # Panics
    ///
    /// If a key's own code did.
    pub(crate) fn finish(mut self) -> usize {
        if let Some(payload) = self.visit.panic.take() {
            resume_unwind(payload);
        }
        self.visit.forgotten
    }
}

impl Visit {
    /// Runs a key's own code, which may panic.
    fn run(&mut self, run: impl FnOnce()) {
        if let Err(payload) = catch_unwind(AssertUnwindSafe(run)) {
            match &self.panic {
                None => self.panic = Some(payload),
                Some(_) => discard(payload),
            }
        }
    }

    /// Drops keys one by one, so that two that panic do not abort the process.
    fn drop_all<K>(&mut self, mut keys: Vec<K>) {
        while let Some(key) = keys.pop() {
            self.run(move || drop(key));
        }
    }
}

/// A panic that is not passed on has been reported already.
impl Drop for Visit {
    fn drop(&mut self) {
        if let Some(payload) = self.panic.take() {
            discard(payload);
        }
    }
}

/// Returns the maintenance thread's job: a sweep at each interval, in slices. If the limiter is
/// dropped meanwhile, the job drops its keys, in slices too, so that no other job waits for all of
/// them.
pub(crate) fn sweep_every<K, const N: usize, S, R>(
    core: Arc<Core<K, N, S, R>>,
    interval: Duration,
) -> impl FnMut(bool) -> Next
where
    K: Hash + Eq + Send + 'static,
    S: BuildHasher + Clone,
    R: Rule<N>,
{
    let mut current: Option<Sweep<R::Census>> = None;
    let mut dropping: Option<Visit> = None;
    // How many keys had ever been inserted when a sweep last began with none stored.
    let mut found_empty = None;
    move |was_removed| {
        if was_removed {
            // This job has the last handle of the core.
            current = None;
            let dropping = dropping.get_or_insert_default();
            return match remove_some(&core.table, dropping, |_| false) {
                true => Next::Again,
                false => Next::Done,
            };
        }
        let mut sweep = match current.take() {
            Some(sweep) => sweep,
            None => {
                let inserted = core.table.inserted();
                if found_empty == Some(inserted) && !core.rule.has_unused() {
                    return Next::In(interval);
                }
                found_empty = (core.table.len() == 0).then_some(inserted);
                core.begin_sweep(core.timer.publish_now_in_background())
            }
        };
        if !core.sweep_some(&mut sweep) {
            return Next::In(interval);
        }
        current = Some(sweep);
        Next::Again
    }
}

#[cfg(all(test, not(tollgate_loom)))]
mod tests {
    use super::*;
    use crate::{ManualClock, Quota, RateLimiter};

    const INTERVAL: Duration = Duration::from_secs(1);

    /// Runs a job until it has nothing left to do, and returns the number of slices.
    fn sweep(job: &mut impl FnMut(bool) -> Next) -> usize {
        for slices in 0..1_000_000 {
            match job(false) {
                Next::Again => {}
                next => {
                    assert_eq!(next, Next::In(INTERVAL));
                    return slices;
                }
            }
        }
        panic!("the sweep has no end");
    }

    /// Case 29. Keys that were all forgotten one by one leave memory behind, which the next sweep
    /// gives back. A limiter that has been empty since the last sweep is not swept.
    #[test]
    fn a_limiter_that_became_empty_is_swept_once() {
        const KEYS: u64 = 50_000;
        let limiter: RateLimiter<u64> = RateLimiter::builder(Quota::per_minute(60).burst(10))
            .clock(ManualClock::new())
            .manual_sweep()
            .build();
        let table = &limiter.core.table;
        let mut job = sweep_every(Arc::clone(&limiter.core), INTERVAL);
        let empty = table.buckets();
        for _ in 0..3 {
            assert!((0..KEYS).all(|key| limiter.allow(&key)));
            assert!((0..KEYS).all(|key| limiter.forget(&key)));
            assert!(table.buckets() as u64 >= KEYS);
            assert!(sweep(&mut job) > 0);
            // A shard that had keys keeps a few buckets.
            assert!(table.buckets() <= empty + 256 * 4);
            assert_eq!(sweep(&mut job), 0, "an empty limiter is swept");
        }
    }
}
