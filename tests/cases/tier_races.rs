//! Tiers beside what stalls or panics at the worst instant.

use std::{
    cell::{Cell, RefCell},
    hash::{BuildHasher, BuildHasherDefault, DefaultHasher, Hash, Hasher},
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
        mpsc,
    },
    thread,
    time::Duration,
};

use tollgate::{Clock, ManualClock, Quota, TieredLimiter};

const SECOND: u64 = 1_000_000_000;

thread_local! {
    /// After how many reads of the clock this thread stalls.
    static READS: Cell<u32> = const { Cell::new(0) };
}

/// A thread reads the clock under the lock of its shard, and stalls. Another thread reads a later time
/// meanwhile, at which the bucket is full. The denial still says how long to wait.
#[test]
fn a_denial_that_stalls_beside_a_later_check_has_a_wait() {
    let time = Arc::new(AtomicU64::new(0));
    let (stalls, stalled) = mpsc::channel();
    let (go, goes) = mpsc::channel::<()>();
    let clock = {
        let (time, stalls, goes) = (Arc::clone(&time), Mutex::new(stalls), Mutex::new(goes));
        Clock::from_fn(move || {
            let now = time.load(Ordering::SeqCst);
            let reads = READS.get();
            READS.set(reads.saturating_sub(1));
            if reads == 1 {
                stalls.lock().unwrap().send(()).unwrap();
                goes.lock().unwrap().recv().unwrap();
            }
            Duration::from_nanos(now)
        })
    };
    // Two keys of different shards.
    let hasher = BuildHasherDefault::<DefaultHasher>::default();
    let shard = |key: u64| (hasher.hash_one(key) >> 50) & 127;
    let other_key = (2..).find(|key| shard(*key) != shard(1)).unwrap();
    let limits: TieredLimiter<u64, 1, _> = TieredLimiter::builder(Quota::per_minute(60).burst(1))
        .clock(clock)
        .hasher(hasher)
        .manual_sweep()
        .build();
    let slow = limits.tier(Quota::per_minute(30).burst(1)).unwrap();
    assert!(limits.default_tier().allow(&1));
    time.store(SECOND / 2, Ordering::SeqCst);
    let denied = thread::spawn(move || {
        // The timer reads the clock a second time, as the time is later than the published one.
        READS.set(2);
        slow.check(&1)
    });
    stalled.recv().unwrap();
    time.store(2 * SECOND, Ordering::SeqCst);
    assert!(limits.default_tier().allow(&other_key));
    go.send(()).unwrap();
    let denied = denied.join().unwrap();
    assert!(!denied.is_allowed());
    assert_eq!(denied.remaining(), 0);
    assert_eq!(denied.retry_after(), Some(Duration::from_millis(500)));
}

/// Makes hashers whose hash of a key is its place in the shard.
#[derive(Clone, Default)]
struct Place(u64);

impl BuildHasher for Place {
    type Hasher = Place;

    fn build_hasher(&self) -> Place {
        Place(0)
    }
}

impl Hasher for Place {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, _: &[u8]) {
        unreachable!()
    }

    fn write_u64(&mut self, place: u64) {
        self.0 = place;
    }
}

type Limits = TieredLimiter<Key, 1, Place>;

thread_local! {
    static LIMITS: RefCell<Option<Arc<Limits>>> = const { RefCell::new(None) };
}

/// Whether the next hash of the panicking key panics.
static PANICS: AtomicBool = AtomicBool::new(false);
/// Whether the drop of the swept key inserts another.
static INSERTS: AtomicBool = AtomicBool::new(false);

const PANICKING: u64 = 7_000;
const SWEPT: u64 = 10;

#[derive(Clone, PartialEq, Eq)]
struct Key {
    id: u64,
    place: u64,
}

impl Hash for Key {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        let panics = self.id == PANICKING && PANICS.load(Ordering::SeqCst);
        assert!(!panics, "the hash panics");
        hasher.write_u64(self.place);
    }
}

impl Drop for Key {
    fn drop(&mut self) {
        if self.id != SWEPT || !INSERTS.swap(false, Ordering::SeqCst) {
            return;
        }
        // Between two parts of the sweep, and under no lock: the shard rehashes in place, and a hash panics.
        let limits = LIMITS.with_borrow(|limits| limits.clone().unwrap());
        let (id, place) = (1 << 30, 8_000);
        PANICS.store(true, Ordering::SeqCst);
        let insert = || limits.default_tier().allow(&Key { id, place });
        let inserted = catch_unwind(AssertUnwindSafe(insert));
        PANICS.store(false, Ordering::SeqCst);
        assert!(inserted.is_err(), "the shard has not rehashed");
    }
}

/// A shard of 8,192 buckets is swept in two parts. In between it rehashes in place, which moves the key
/// that owes to the first part, and ends in a panic. The sweep has not seen the key. So it does not give the
/// number of the key's quota to another.
#[test]
fn a_rehash_that_panics_hides_no_key_from_a_sweep() {
    let clock = ManualClock::new();
    let limits: Arc<Limits> = Arc::new(
        TieredLimiter::builder(Quota::per_hour(2).burst(1))
            .clock(clock.clone())
            .hasher(Place(0))
            .shards(2)
            .manual_sweep()
            .build(),
    );
    LIMITS.set(Some(Arc::clone(&limits)));
    let fast = limits.tier(Quota::per_second(1)).unwrap();
    let ending = limits.tier(Quota::per_hour(1)).unwrap();
    let default = limits.default_tier();
    let key = |id| Key { id, place: id };
    // These fill the group of the key that owes, which lands in the next one: in the second part.
    let group = |nth: u64| Key {
        id: (1 << 21) | nth,
        place: 4_080,
    };
    let owes = Key {
        id: 1 << 20,
        place: 4_080,
    };
    for id in 0..4_080 {
        let tier = if id == SWEPT { &fast } else { default };
        assert!(tier.allow(&key(id)));
    }
    assert!((0..16).all(|nth| default.allow(&group(nth))));
    assert!(ending.allow(&owes));
    assert!((4_097..7_168).all(|id| default.allow(&key(id))));
    // What is forgotten leaves tombstones, so that the shard rehashes in place.
    for id in (0..4_080).chain(4_097..7_168) {
        assert!([SWEPT, PANICKING].contains(&id) || limits.forget(&key(id)));
    }
    assert!((0..16).all(|nth| limits.forget(&group(nth))));
    assert_eq!(limits.len(), 3);
    drop(ending);
    clock.advance(Duration::from_secs(1));
    INSERTS.store(true, Ordering::SeqCst);
    assert_eq!(limits.sweep(), 1);
    assert!(!INSERTS.load(Ordering::SeqCst), "nothing was inserted");

    let nano = Quota::new(5, Duration::from_nanos(1), 1).unwrap();
    let _number = limits.tier(nano).unwrap();
    clock.advance(Duration::from_secs(900));
    assert!(
        !default.allow(&owes),
        "an hour's debt is paid after 15 minutes"
    );
    LIMITS.set(None);
}
