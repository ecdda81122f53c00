//! Concurrency in miniature, on the real table, for Miri.
//!
//! Miri sees data races, uses of memory that was freed, leaks, and values of relaxed loads that this
//! machine never shows. The loom models use a table of their own; here is dashmap's, with the scan
//! of a shard in parts, which is unsafe code. Each seed is another order of the threads:
//!
//! `.ci/run miri`

use std::{
    borrow::Borrow,
    hash::{BuildHasherDefault, Hash, Hasher},
    sync::{
        Barrier,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::Duration,
};

use tollgate::{ManualClock, Quota, RateLimiter};

const BURST: u64 = 2;
const UNIT: Duration = Duration::from_nanos(10);
/// Of each thread.
const CALLS: u64 = if cfg!(miri) { 3 } else { 1_000 };

/// Law 1 on two keys, of which a thread forgets one. A forgotten key starts with a full bucket.
fn race<K, Q>(keys: [K; 2])
where
    K: Borrow<Q> + Hash + Eq + Clone + Send + Sync + 'static,
    Q: ToOwned<Owned = K> + Hash + Eq + Sync + ?Sized,
{
    let clock = ManualClock::new();
    let limiter: RateLimiter<K> = RateLimiter::builder(Quota::new(1, UNIT, BURST).unwrap())
        .clock(clock.clone())
        .shards(2)
        .manual_sweep()
        .build();
    let passed = [0; 2].map(AtomicU64::new);
    let bursts = [1; 2].map(AtomicU64::new);
    let start = Barrier::new(4);
    let run = |call: &dyn Fn()| {
        start.wait();
        (0..CALLS).for_each(|_| call());
    };
    let check = || {
        for (key, passed) in keys.iter().zip(&passed) {
            let units = u64::from(limiter.allow(key.borrow()));
            passed.fetch_add(units, Ordering::Relaxed);
        }
    };
    let sweep = || {
        clock.advance(UNIT);
        limiter.sweep();
    };
    let forget = || {
        let is_removed = limiter.forget(keys[0].borrow());
        bursts[0].fetch_add(u64::from(is_removed), Ordering::Relaxed);
    };
    thread::scope(|scope| {
        scope.spawn(|| run(&check));
        scope.spawn(|| run(&check));
        scope.spawn(|| run(&sweep));
        scope.spawn(|| run(&forget));
    });
    for ((key, passed), bursts) in keys.iter().zip(&passed).zip(&bursts) {
        let spent = passed.load(Ordering::Relaxed);
        let left = limiter.peek(key.borrow()).remaining();
        let most = bursts.load(Ordering::Relaxed) * BURST + CALLS;
        assert!(spent >= BURST.min(CALLS), "{spent} passed");
        assert!(
            spent + left <= most,
            "{spent} passed, {left} remain, of {most}"
        );
    }
}

#[test]
fn threads_that_check_sweep_and_forget_strings_exceed_no_limit() {
    race::<String, str>(["alice", "bob"].map(str::to_owned));
}

#[test]
fn threads_that_check_sweep_and_forget_numbers_exceed_no_limit() {
    race::<u64, u64>([1, 2]);
}

/// Puts every key into the first of two shards: dashmap takes bit 56.
#[derive(Default)]
struct FirstShard(u64);

impl Hasher for FirstShard {
    fn write(&mut self, bytes: &[u8]) {
        // A length and one number, each of 8 bytes.
        let (number, _) = bytes.split_first_chunk().unwrap();
        self.write_u64(u64::from_le_bytes(*number));
    }

    fn write_u64(&mut self, number: u64) {
        self.0 = (self.0 ^ number).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }

    fn write_usize(&mut self, number: usize) {
        self.write_u64(number as u64);
    }

    fn finish(&self) -> u64 {
        (self.0 ^ (self.0 >> 32)) & !(1 << 56)
    }
}

/// A shard of 8,192 buckets, or under Miri of 128, is scanned in two parts. Every third key is still
/// in debt.
#[test]
fn a_sweep_of_a_shard_in_parts_forgets_each_full_key_and_no_other() {
    const KEYS: u64 = if cfg!(miri) { 99 } else { 3_600 };
    let clock = ManualClock::new();
    let limiter = RateLimiter::<Vec<u64>>::builder(Quota::new(1, UNIT, 4).unwrap())
        .clock(clock.clone())
        .hasher(BuildHasherDefault::<FirstShard>::default())
        .shards(2)
        .manual_sweep()
        .build();
    for key in 0..KEYS {
        let units = if key % 3 == 0 { 4 } else { 1 };
        assert!(limiter.check_n(&[key][..], units).is_allowed());
    }
    clock.advance(UNIT);
    assert_eq!(limiter.sweep() as u64, KEYS / 3 * 2);
    assert_eq!(limiter.len() as u64, KEYS / 3);
    for key in 0..KEYS {
        let left = if key % 3 == 0 { 1 } else { 4 };
        assert_eq!(limiter.peek(&[key][..]).remaining(), left);
    }
}
