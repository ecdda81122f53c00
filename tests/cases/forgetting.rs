//! Cases 24, 26, 28 and 30: which keys are stored and dropped, what a check costs, and `len`.

use std::{
    hash::{BuildHasherDefault, DefaultHasher, Hash, Hasher},
    sync::{Arc, OnceLock, mpsc},
    thread,
};

use tollgate::{Quota, RateLimiter};

use crate::common::cases::{DAY, HOUR, MINUTE, SECOND, Time, by_hand, nanos, quota, time_of};
use crate::common::keys::{Asked, Call, Stored, at_next, calls, has_run};
use crate::common::threads::finishes;

/// Case 24.
#[test]
fn a_key_is_forgotten_at_the_nanosecond_at_which_it_is_full_and_not_before() {
    for quota in [
        Quota::default(),
        quota(1, SECOND, 1),
        quota(7, MINUTE, 7),
        quota(300_000_000, SECOND, 30),
        quota(501_000_000, SECOND, 501),
        quota(1, DAY, 2),
        quota(5, 1, 100),
    ] {
        for spent in [1, quota.burst_size().div_ceil(2), quota.burst_size()] {
            let (limiter, time) = by_hand(quota);
            let after = limiter.check_n(&0, spent);
            // From time zero, the wait is the time of the units, rounded up.
            let full = time_of(&quota, spent);
            assert_eq!(after.reset_after(), nanos(full));
            time.set(full - 1);
            assert_eq!(limiter.sweep(), 0, "{quota}, {spent} spent");
            assert_eq!(limiter.len(), 1);
            time.set(full);
            assert_eq!(limiter.sweep(), 1, "{quota}, {spent} spent");
            assert_eq!(limiter.len(), 0);
            assert_eq!(limiter.peek(&0).remaining(), quota.burst_size());
        }
    }
}

/// Case 24. agave, limitador, lazy-limit and every LRU cache: a flood of other keys buys a new
/// burst.
#[test]
fn a_flood_of_keys_frees_no_debtor() {
    let (limiter, time) = by_hand::<u64, 1>(Quota::per_minute(100).burst(10));
    // One key for each debt from 1 to 10 units, at 0.6 s each.
    for debtor in 1..=10 {
        assert!(limiter.check_n(&debtor, debtor).is_allowed());
    }
    time.set(MINUTE / 100 * 9);
    for stranger in 1_000..51_000 {
        assert!(limiter.allow(&stranger));
    }
    // Debts of up to 9 units are paid by now.
    assert_eq!(limiter.sweep(), 9);
    assert_eq!(limiter.len(), 50_001);
    assert_eq!(limiter.peek(&10).remaining(), 9);
    // The strangers are full 0.6 s later. The last debtor would be, if it spent no more.
    time.advance(MINUTE / 100 - 1);
    assert!(limiter.allow(&10));
    time.advance(1);
    assert_eq!(limiter.sweep(), 50_000);
    assert_eq!(limiter.len(), 1);
    assert_eq!(limiter.peek(&10).remaining(), 9);
}

/// Case 24. The fast quota is full long before the slow one.
#[test]
fn a_key_is_forgotten_when_every_one_of_its_buckets_is_full() {
    for quotas in [
        [Quota::per_second(10), Quota::per_hour(60)],
        [Quota::per_hour(60), Quota::per_second(10)],
    ] {
        let (limiter, time) = by_hand::<u64, 2>(quotas);
        assert!(limiter.check_n(&0, 10).is_allowed());
        time.set(SECOND);
        assert_eq!(limiter.sweep(), 0, "the slow quota is not full");
        time.set(10 * MINUTE - 1);
        assert_eq!(limiter.sweep(), 0);
        time.set(10 * MINUTE);
        assert_eq!(limiter.sweep(), 1);
    }
}

type Fixed = BuildHasherDefault<DefaultHasher>;

/// Returns how often `run` calls `Hash`, `Eq` and `ToOwned` on this thread.
fn cost<T>(run: impl FnOnce() -> T) -> [u64; 3] {
    const CALLS: [Call; 3] = [Call::Hash, Call::Eq, Call::ToOwned];
    let before = CALLS.map(calls);
    let _ = run();
    let after = CALLS.map(calls);
    [0, 1, 2].map(|call| after[call] - before[call])
}

/// Case 26. The hasher has a fixed seed, so each run counts the same calls.
#[test]
fn a_check_touches_a_few_keys_of_a_hundred_thousand() {
    const KEYS: u64 = 100_000;
    const SHARDS: u64 = 64;
    let time = Time::new();
    let limiter: RateLimiter<Stored, 1, Fixed> =
        RateLimiter::builder(Quota::per_minute(60).burst(2))
            .clock(time.clock.clone())
            .hasher(Fixed::default())
            .shards(64)
            .manual_sweep()
            .build();

    // A new key is hashed and copied once. If the table of its shard grows, each key of that shard
    // is hashed once more.
    let mut hashed = 0;
    for key in 0..KEYS {
        let [hash, eq, to_owned] = cost(|| limiter.allow(&Asked(key)));
        let in_a_shard = key / SHARDS + 1;
        assert!(hash <= 1 + in_a_shard * 3 / 2 + 20, "{hash} at {key}");
        assert!(eq <= 8, "{eq} at {key}");
        assert_eq!(to_owned, 1);
        hashed += hash;
    }
    // That is less than two more for each key.
    assert!(hashed <= 3 * KEYS, "{hashed}");
    assert_eq!(limiter.len(), 100_000);

    // A stored key is found by one hash. A second comparison happens with 1 of 128 neighbours.
    let mut compared = 0;
    time.set(SECOND / 2);
    for key in (0..KEYS).step_by(97) {
        let one_more = cost(|| limiter.check(&Asked(key)));
        let denied = cost(|| limiter.check(&Asked(key)));
        let denied_again = cost(|| limiter.check(&Asked(key)));
        let never = cost(|| limiter.check_n(&Asked(key), 3));
        let nothing = cost(|| limiter.check_n(&Asked(key), 0));
        let peek = cost(|| limiter.peek(&Asked(key)));
        // The cache of denied keys may store one copy.
        let copies: u64 = [denied, denied_again, never]
            .iter()
            .map(|cost| cost[2])
            .sum();
        assert!(copies <= 1, "{copies}");
        for [_, _, to_owned] in [one_more, nothing, peek] {
            assert_eq!(to_owned, 0);
        }
        for [hash, eq, _] in [one_more, denied, denied_again, never, nothing, peek] {
            assert_eq!(hash, 1);
            assert!((1..=8).contains(&eq), "{eq}");
            compared += eq;
        }
        let stranger = KEYS + key;
        for [hash, eq, to_owned] in [
            cost(|| limiter.peek(&Asked(stranger))),
            cost(|| limiter.check_n(&Asked(stranger), 3)),
            cost(|| limiter.check_n(&Asked(stranger), 0)),
            cost(|| limiter.forget(&Asked(stranger))),
        ] {
            assert_eq!((hash, to_owned), (1, 0));
            assert!(eq <= 8, "{eq}");
        }
    }
    let checks = 6 * KEYS.div_ceil(97);
    assert!(compared < checks * 3 / 2, "{compared} in {checks}");
    assert_eq!(cost(|| limiter.len()), [0; 3]);
}

/// Case 26. tokio-rate-limit scans all keys on 1% of calls, axum-governor on every new key. Here
/// all keys are full, and no call drops one.
#[test]
fn no_request_sweeps() {
    let (limiter, time) = by_hand::<Stored, 1>(Quota::per_second(1).burst(2));
    for key in 0..10_000 {
        assert!(limiter.allow(&Asked(key)));
    }
    time.set(HOUR);
    let dropped = calls(Call::Drop);
    for key in 0..10_000 {
        assert!(limiter.allow(&Asked(key)));
        assert!(limiter.allow(&Asked(20_000 + key)));
        assert!(limiter.peek(&Asked(key)).is_allowed());
        assert!(!limiter.check_n(&Asked(key), 3).is_allowed());
    }
    assert_eq!(calls(Call::Drop), dropped);
    assert_eq!(limiter.len(), 20_000);
    time.advance(HOUR);
    assert_eq!(limiter.sweep(), 20_000);
    assert_eq!(calls(Call::Drop), dropped + 20_000, "a sweep does");
}

/// Case 28.
#[test]
fn a_key_that_is_not_admitted_is_not_stored() {
    let (limiter, _) = by_hand::<String, 1>(Quota::per_minute(100).burst(10));
    for n in [0, 11, 12, u64::MAX] {
        for stranger in ["", "a", "b"] {
            assert_eq!(limiter.check_n(stranger, n).is_allowed(), n == 0);
            assert_eq!(limiter.peek_n(stranger, n).is_allowed(), n == 0);
        }
    }
    assert!(limiter.peek("a").is_allowed());
    assert!(!limiter.forget("a"));
    assert_eq!(limiter.len(), 0);

    // One of two quotas denies, in either order.
    for quotas in [
        [Quota::per_second(5), Quota::per_hour(60)],
        [Quota::per_hour(60), Quota::per_second(5)],
    ] {
        let (limiter, _) = by_hand::<String, 2>(quotas);
        assert!(limiter.check_n("a", 6).exceeds_burst());
        assert_eq!(limiter.len(), 0);
        assert_eq!(limiter.check_n("a", 5).remaining(), 0);
        assert_eq!(limiter.len(), 1);
    }
}

/// A key that calls `len` of its limiter whenever it is hashed, compared or dropped.
#[derive(Clone)]
struct Nosy(u64);

static LIMITER: OnceLock<RateLimiter<Nosy>> = OnceLock::new();

fn how_many() -> usize {
    let limiter = LIMITER.get().unwrap();
    let len = limiter.len();
    assert_eq!(limiter.is_empty(), len == 0);
    assert!(format!("{limiter:?}").contains(&format!("len: {len}")));
    len
}

impl Hash for Nosy {
    fn hash<H: Hasher>(&self, state: &mut H) {
        assert!(how_many() <= 3);
        self.0.hash(state);
    }
}

impl PartialEq for Nosy {
    fn eq(&self, other: &Nosy) -> bool {
        assert!(how_many() <= 3);
        self.0 == other.0
    }
}

impl Eq for Nosy {}

impl Drop for Nosy {
    fn drop(&mut self) {
        assert!(how_many() <= 3);
    }
}

/// Case 30.
#[test]
fn len_may_be_called_from_within_a_key() {
    let ended = finishes("len from Hash, Eq or Drop", || {
        let time = Time::new();
        let limiter = LIMITER.get_or_init(|| {
            RateLimiter::builder(Quota::per_second(1).burst(2))
                .clock(time.clock.clone())
                .manual_sweep()
                .build()
        });
        for _ in 0..3 {
            for key in 0..3 {
                assert!(limiter.allow(&Nosy(key)));
                assert!(limiter.allow(&Nosy(key)));
                assert!(!limiter.allow(&Nosy(key)));
                assert!(!limiter.peek(&Nosy(key)).is_allowed());
            }
            assert!(limiter.forget(&Nosy(1)));
            assert_eq!(limiter.len(), 2);
            time.advance(2 * SECOND);
            assert_eq!(limiter.sweep(), 2);
            assert_eq!(limiter.len(), 0);
        }
    });
    ended.unwrap();
}

/// Case 30. dashmap #239: another thread has locked a shard.
#[test]
fn len_may_be_called_while_another_thread_has_locked_a_shard() {
    let ended = finishes("len beside a locked shard", || {
        let (limiter, _) = by_hand::<Stored, 1>(Quota::per_second(1).burst(50));
        let limiter = Arc::new(limiter);
        for key in 0..10 {
            assert!(limiter.allow(&Asked(key)));
        }
        type Act = fn(&RateLimiter<Stored>, &Asked) -> bool;
        let acts: [Act; 4] = [
            |limiter, key| limiter.allow(key),
            |limiter, key| limiter.peek(key).is_allowed(),
            |limiter, key| limiter.check_n(key, 2).is_allowed(),
            |limiter, key| limiter.forget(key),
        ];
        for act in acts {
            for key in 0..10 {
                let (inside, is_inside) = mpsc::channel();
                let (go, wait) = mpsc::channel();
                let holder = thread::spawn({
                    let limiter = Arc::clone(&limiter);
                    move || {
                        at_next(Call::Eq, move || {
                            inside.send(()).unwrap();
                            wait.recv().unwrap();
                        });
                        (act(&limiter, &Asked(key)), has_run())
                    }
                });
                is_inside.recv().unwrap();
                assert_eq!(limiter.len(), 10);
                assert!(!limiter.is_empty());
                assert!(format!("{limiter:?}").contains("len: 10"));
                go.send(()).unwrap();
                assert_eq!(holder.join().unwrap(), (true, true));
                // `forget` has removed the key, so store it again.
                assert!(limiter.allow(&Asked(key)));
            }
        }
    });
    ended.unwrap();
}
