//! What the tests of the cases share: a limiter whose time is set, integer arithmetic to expect
//! numbers from, and a key that calls back.

use std::{
    borrow::Borrow,
    cell::{Cell, RefCell},
    hash::{Hash, Hasher},
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    sync::{
        Barrier, Mutex,
        atomic::{AtomicU64, Ordering},
        mpsc,
    },
    thread,
    time::{Duration, Instant},
};

use tollgate::{IntoPolicy, ManualClock, Quota, RateLimiter};

pub const SECOND: u64 = 1_000_000_000;
pub const MINUTE: u64 = 60 * SECOND;
pub const HOUR: u64 = 60 * MINUTE;
pub const DAY: u64 = 24 * HOUR;
pub const WEEK: u64 = 7 * DAY;
/// 365.25 days.
pub const YEAR: u64 = 8_766 * HOUR;
/// Where the time of a limiter ends.
pub const CENTURY: u64 = 100 * YEAR;

/// Far longer than anything here takes: a test that gets there has failed.
const DEADLINE: Duration = Duration::from_secs(60);

pub fn nanos(nanos: u64) -> Duration {
    Duration::from_nanos(nanos)
}

/// `units` per `period` ns.
pub fn quota(units: u64, period: u64, burst: u64) -> Quota {
    Quota::new(units, nanos(period), burst).unwrap()
}

/// A limiter that forgets only when it is told to, and its clock, which stands at zero.
pub fn by_hand<K, const N: usize>(policy: impl IntoPolicy<N>) -> (RateLimiter<K, N>, Time)
where
    K: Hash + Eq + Send + Sync + 'static,
{
    let time = Time::new();
    let limiter = RateLimiter::builder(policy)
        .clock(time.clock.clone())
        .shards(2)
        .manual_sweep()
        .build();
    (limiter, time)
}

/// A `ManualClock` that can be set.
pub struct Time {
    pub clock: ManualClock,
    now: Cell<u64>,
}

impl Time {
    pub fn new() -> Time {
        Time {
            clock: ManualClock::new(),
            now: Cell::new(0),
        }
    }

    pub fn now(&self) -> u64 {
        self.now.get()
    }

    /// Sets the time to `now`, in ns, be that later or earlier.
    pub fn set(&self, now: u64) {
        let before = self.now.replace(now);
        if now >= before {
            self.clock.advance(nanos(now - before));
        } else {
            self.clock.rewind(nanos(before - now));
        }
    }

    pub fn advance(&self, by: u64) {
        self.set(self.now() + by);
    }
}

/// The whole units that `quota` earns in `time` ns from nothing.
pub fn earned(quota: &Quota, time: u64) -> u64 {
    let units = u128::from(time) * u128::from(quota.units()) / quota.period().as_nanos();
    units.try_into().unwrap()
}

/// The first ns by which `quota` has earned `units` from nothing.
pub fn time_of(quota: &Quota, units: u64) -> u64 {
    let time = u128::from(units) * quota.period().as_nanos();
    time.div_ceil(u128::from(quota.units())).try_into().unwrap()
}

/// Spends all that `peek` says is left, sees the next unit denied, and says how much that was.
pub fn drain(limiter: &RateLimiter<u64>, key: u64) -> u64 {
    let units = limiter.peek(&key).remaining();
    let all = limiter.check_n(&key, units);
    assert!(all.is_allowed(), "{units} remained and were denied");
    assert_eq!(all.remaining(), 0);
    let more = limiter.check(&key);
    assert!(!more.is_allowed(), "one unit more than {units} passed");
    assert_eq!(more.remaining(), 0);
    units
}

/// Numbers without a pattern, the same in every run.
pub struct Numbers(u64);

impl Numbers {
    pub fn new(seed: u64) -> Numbers {
        Numbers(seed)
    }

    /// One of `0..bound`.
    pub fn below(&mut self, bound: u64) -> u64 {
        // SplitMix64.
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % bound
    }
}

/// Lets other threads run until `condition` holds; fails if it never does.
pub fn wait_until(what: &str, condition: impl Fn() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < DEADLINE, "never happened: {what}");
        thread::yield_now();
    }
}

/// Has `threads` threads go through `rounds` rounds together, with `between` done by one of them
/// before each, and `run` by all; answers the sum of what `run` answered, for each round.
pub fn rounds(
    threads: usize,
    rounds: usize,
    between: impl Fn(usize) + Sync,
    run: impl Fn(usize, usize) -> u64 + Sync,
) -> Vec<u64> {
    let (start, end) = (Barrier::new(threads), Barrier::new(threads));
    let totals: Vec<AtomicU64> = (0..rounds).map(|_| AtomicU64::new(0)).collect();
    // After a panic all go on to the end and do nothing, as they would wait for one another.
    let panic = Mutex::new(None);
    let unless_panicked = |act: &dyn Fn()| {
        if panic.lock().unwrap().is_none()
            && let Err(caught) = catch_unwind(AssertUnwindSafe(act))
        {
            *panic.lock().unwrap() = Some(caught);
        }
    };
    thread::scope(|scope| {
        for thread in 0..threads {
            let (start, end, totals, between, run) = (&start, &end, &totals, &between, &run);
            scope.spawn(move || {
                for (round, total) in totals.iter().enumerate() {
                    if end.wait().is_leader() {
                        unless_panicked(&|| between(round));
                    }
                    start.wait();
                    unless_panicked(&|| {
                        total.fetch_add(run(thread, round), Ordering::Relaxed);
                    });
                }
            });
        }
    });
    if let Some(panic) = panic.into_inner().unwrap() {
        resume_unwind(panic);
    }
    totals.into_iter().map(AtomicU64::into_inner).collect()
}

/// Runs `what` on a thread of its own, and fails where it would hang.
pub fn finishes<T: Send + 'static>(
    what: &str,
    run: impl FnOnce() -> T + Send + 'static,
) -> thread::Result<T> {
    let (done, wait) = mpsc::channel();
    let thread = thread::spawn(move || {
        let result = run();
        let _ = done.send(());
        result
    });
    match wait.recv_timeout(DEADLINE) {
        Err(mpsc::RecvTimeoutError::Timeout) => panic!("hangs: {what}"),
        // Or it has panicked, which joining tells.
        Ok(()) | Err(mpsc::RecvTimeoutError::Disconnected) => thread.join(),
    }
}

/// What a limiter calls on a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Call {
    Hash,
    Eq,
    ToOwned,
    /// Of a stored key.
    Drop,
}

thread_local! {
    static CALLS: Cell<[u64; 4]> = const { Cell::new([0; 4]) };
    #[expect(clippy::type_complexity, reason = "it is all there is to say")]
    static HOOK: RefCell<Option<(Call, Box<dyn FnOnce()>)>> = const { RefCell::new(None) };
}

/// What [`Stored`] is asked for by. It counts the calls of this thread, and can call back.
#[derive(Debug)]
pub struct Asked(pub u64);

/// A key as it is stored, of a type other than what it is asked for by.
#[derive(Debug)]
pub struct Stored(Asked);

/// How often this thread has made `call` on an [`Asked`] or [`Stored`].
pub fn calls(call: Call) -> u64 {
    CALLS.get()[call as usize]
}

/// Has this thread's next `call` on an [`Asked`] or [`Stored`] run `hook` first, once.
pub fn at_next(call: Call, hook: impl FnOnce() + 'static) {
    let before = HOOK.replace(Some((call, Box::new(hook))));
    assert!(before.is_none(), "a hook that never ran");
}

/// Whether the hook has run.
pub fn has_run() -> bool {
    HOOK.with_borrow(Option::is_none)
}

/// Has this thread's next `call` panic, without the report of one.
pub fn panic_at_next(call: Call) {
    at_next(call, || resume_unwind(Box::new("at your word")));
}

fn note(call: Call) {
    let mut counts = CALLS.get();
    counts[call as usize] += 1;
    CALLS.set(counts);
    // A copy that the limiter keeps for this thread may be dropped after the hook, when it ends.
    let hook = HOOK.try_with(|hook| hook.borrow_mut().take_if(|(at, _)| *at == call));
    if let Ok(Some((_, hook))) = hook {
        hook();
    }
}

impl Hash for Asked {
    fn hash<H: Hasher>(&self, state: &mut H) {
        note(Call::Hash);
        self.0.hash(state);
    }
}

impl PartialEq for Asked {
    fn eq(&self, other: &Asked) -> bool {
        note(Call::Eq);
        self.0 == other.0
    }
}

impl Eq for Asked {}

impl ToOwned for Asked {
    type Owned = Stored;

    fn to_owned(&self) -> Stored {
        note(Call::ToOwned);
        Stored(Asked(self.0))
    }
}

impl Borrow<Asked> for Stored {
    fn borrow(&self) -> &Asked {
        &self.0
    }
}

impl Hash for Stored {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.hash(state);
    }
}

impl PartialEq for Stored {
    fn eq(&self, other: &Stored) -> bool {
        self.0 == other.0
    }
}

impl Eq for Stored {}

impl Drop for Stored {
    fn drop(&mut self) {
        note(Call::Drop);
    }
}
