//! Cases 24 and 26 to 30: what is forgotten, when, and at whose cost. (29 is in `memory.rs`.)

mod common;

use std::{
    hash::{BuildHasherDefault, DefaultHasher, Hash, Hasher},
    sync::{Arc, OnceLock, mpsc},
    thread,
    time::Duration,
};

use common::cases::{
    Asked, Call, DAY, HOUR, MINUTE, Numbers, SECOND, Stored, Time, YEAR, at_next, by_hand, calls,
    drain, finishes, has_run, nanos, quota, time_of, wait_until,
};
use common::oracle::answer;
use tollgate::{Quota, RateLimiter};

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
            // Started at time zero with whole units, the wait is the ceiling of theirs.
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

/// Case 24. At any later time too, by what the decision said.
#[test]
fn a_key_is_forgotten_after_reset_after_and_not_before() {
    for quota in [Quota::default(), quota(7, MINUTE, 7), quota(19, 7, 190)] {
        for start in [1, 12_345, SECOND, 50 * YEAR + 7] {
            let (limiter, time) = by_hand::<u64, 1>(quota);
            time.set(start);
            let reset = limiter.check_n(&0, quota.burst_size()).reset_after();
            time.clock.advance(reset - nanos(1));
            assert_eq!(limiter.sweep(), 0, "{quota} from {start} ns");
            time.clock.advance(nanos(1));
            assert_eq!(limiter.sweep(), 1, "{quota} from {start} ns");
        }
    }
}

/// Case 24. agave, limitador, lazy-limit and every LRU cache: a flood of others buys a fresh burst.
#[test]
fn a_flood_of_keys_frees_no_debtor() {
    let (limiter, time) = by_hand::<u64, 1>(Quota::per_minute(100).burst(10));
    // One for each debt from 1 to 10 units, at 0.6 s each.
    for debtor in 1..=10 {
        assert!(limiter.check_n(&debtor, debtor).is_allowed());
    }
    time.set(MINUTE / 100 * 9);
    for stranger in 1_000..51_000 {
        assert!(limiter.allow(&stranger));
    }
    // Whose debts are of up to 9 units are full by now.
    assert_eq!(limiter.sweep(), 9);
    assert_eq!(limiter.len(), 50_001);
    assert_eq!(limiter.peek(&10).remaining(), 9);
    // The strangers are full 0.6 s later, and so the last debtor were, but for one unit more.
    time.advance(MINUTE / 100 - 1);
    assert!(limiter.allow(&10));
    time.advance(1);
    assert_eq!(limiter.sweep(), 50_000);
    assert_eq!(limiter.len(), 1);
    assert_eq!(limiter.peek(&10).remaining(), 9);
}

/// Case 24. With several quotas, the fast one is full long before the slow one is.
#[test]
fn a_key_is_forgotten_when_every_one_of_its_buckets_is_full() {
    for quotas in [
        [Quota::per_second(10), Quota::per_hour(60)],
        [Quota::per_hour(60), Quota::per_second(10)],
    ] {
        let (limiter, time) = by_hand::<u64, 2>(quotas);
        assert!(limiter.check_n(&0, 10).is_allowed());
        time.set(SECOND);
        assert_eq!(limiter.sweep(), 0, "the fast one is full, the slow one not");
        time.set(10 * MINUTE - 1);
        assert_eq!(limiter.sweep(), 0);
        time.set(10 * MINUTE);
        assert_eq!(limiter.sweep(), 1);
    }
}

/// Case 24. Twins, of which one is swept as often as can be.
#[test]
fn no_decision_tells_whether_the_limiter_forgets() {
    let quotas = [quota(10, SECOND, 5), quota(7, MINUTE, 7)];
    let (swept, time) = by_hand::<u64, 2>(quotas);
    let (hoarding, hoarding_time) = by_hand::<u64, 2>(quotas);
    let mut numbers = Numbers::new(24);
    let mut forgotten = 0;
    for _ in 0..20_000 {
        let now = time.now() + numbers.below(4 * SECOND);
        time.set(now);
        hoarding_time.set(now);
        let (key, n) = (numbers.below(20), numbers.below(7));
        forgotten += swept.sweep();
        assert_eq!(
            answer(&swept.check_n(&key, n)),
            answer(&hoarding.check_n(&key, n))
        );
    }
    assert!(forgotten > 1_000, "or it proves nothing");
    assert_eq!(hoarding.len(), 20);
}

type Fixed = BuildHasherDefault<DefaultHasher>;

/// How often `run` has this thread call `Hash`, `Eq` and `ToOwned`.
fn cost<T>(run: impl FnOnce() -> T) -> [u64; 3] {
    const CALLS: [Call; 3] = [Call::Hash, Call::Eq, Call::ToOwned];
    let before = CALLS.map(calls);
    let _ = run();
    let after = CALLS.map(calls);
    [0, 1, 2].map(|call| after[call] - before[call])
}

/// Case 26. Seeded alike in every run, so that the numbers are those of every run.
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

    // A new key is hashed and copied once. Where the table of its shard is full, it grows: that
    // hashes the shard once more, and no other.
    let mut hashed = 0;
    for key in 0..KEYS {
        let [hash, eq, to_owned] = cost(|| limiter.allow(&Asked(key)));
        let in_a_shard = key / SHARDS + 1;
        assert!(hash <= 1 + in_a_shard * 3 / 2 + 20, "{hash} at {key}");
        assert!(eq <= 8, "{eq} at {key}");
        assert_eq!(to_owned, 1);
        hashed += hash;
    }
    // Spread over all, that is less than two more for each.
    assert!(hashed <= 3 * KEYS, "{hashed}");
    assert_eq!(limiter.len(), 100_000);

    // Any of them is found by one hash. An Eq beyond the one that is right is a chance of 1 in 128
    // for each of some keys that sit near.
    let mut compared = 0;
    time.set(SECOND / 2);
    for key in (0..KEYS).step_by(97) {
        let one_more = cost(|| limiter.check(&Asked(key)));
        let denied = cost(|| limiter.check(&Asked(key)));
        let denied_again = cost(|| limiter.check(&Asked(key)));
        let never = cost(|| limiter.check_n(&Asked(key), 3));
        let nothing = cost(|| limiter.check_n(&Asked(key), 0));
        let peek = cost(|| limiter.peek(&Asked(key)));
        // The thread may keep a copy of a refused key, one.
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

/// Case 26. tokio-rate-limit scans everything on 1% of calls, axum-governor on every new key. Here
/// everything is to be forgotten, and no call does it.
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
    assert_eq!(calls(Call::Drop), dropped + 20_000, "as a sweep does");
}

/// Case 27. No runtime, no thread of the user's, no call.
#[test]
fn a_limiter_forgets_by_itself() {
    let time = Time::new();
    let limiter: RateLimiter<u64> = RateLimiter::builder(Quota::per_second(1).burst(10))
        .clock(time.clock.clone())
        .sweep_every(Duration::from_millis(1))
        .build();
    for round in 0..10 {
        for key in 0..1_000 {
            assert!(limiter.check_n(&key, 1 + key % 2).is_allowed());
        }
        time.advance(SECOND);
        // Those who spent two are still in debt, however often it sweeps.
        wait_until("half are forgotten", || limiter.len() <= 500);
        for _ in 0..1_000 {
            thread::yield_now();
        }
        assert_eq!(limiter.len(), 500, "round {round}");
        time.advance(SECOND);
        wait_until("the rest is forgotten", || limiter.is_empty());
    }
}

/// Case 27. As it is built when nothing is said of sweeping. It takes the second of real time that
/// is the shortest such interval.
#[test]
fn a_limiter_forgets_by_itself_without_being_asked_to() {
    let time = Time::new();
    let limiter: RateLimiter<u64, 2> =
        RateLimiter::builder([Quota::per_second(1_000), Quota::per_second(10).burst(2)])
            .clock(time.clock.clone())
            .build();
    for key in 0..100 {
        assert!(limiter.allow(&key));
    }
    time.set(SECOND);
    wait_until("all are forgotten", || limiter.is_empty());
}

/// Case 28.
#[test]
fn what_is_not_admitted_is_not_stored() {
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

    // Denied by one of several quotas, though the others would have let it pass.
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

/// Case 28. gcra deletes the key: a bypass.
#[test]
fn an_oversized_request_does_not_reset_its_key() {
    let (limiter, time) = by_hand::<u64, 1>(Quota::per_minute(60).burst(5));
    assert_eq!(drain(&limiter, 0), 5);
    for now in [0, SECOND / 2, SECOND - 1] {
        time.set(now);
        for n in [6, 1_000, u64::MAX] {
            assert!(limiter.check_n(&0, n).exceeds_burst());
            assert!(!limiter.allow(&0));
        }
        assert_eq!(limiter.len(), 1);
        assert_eq!(limiter.check(&0).retry_after(), Some(nanos(SECOND - now)));
    }
    time.set(SECOND);
    assert!(limiter.check_n(&0, 6).exceeds_burst());
    assert_eq!(drain(&limiter, 0), 1);
}

/// A key that asks its limiter how many there are whenever it is compared or dropped.
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
fn len_may_be_asked_from_within_a_key() {
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

/// Case 30. dashmap #239: while another thread is inside the lock of a shard, and of each one.
#[test]
fn len_may_be_asked_while_another_thread_holds_a_shard() {
    let ended = finishes("len beside a held shard", || {
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
                // Stored again, if it was forgotten.
                assert!(limiter.allow(&Asked(key)));
            }
        }
    });
    ended.unwrap();
}
