//! Each call of a limiter.

use std::{borrow::Cow, net::IpAddr, time::Duration};

use tollgate::{Clock, Policy, Quota, RateLimiter};

use crate::common::cases::{HOUR, SECOND, Time, by_hand, drain, nanos};
use crate::common::keys::{Asked, Stored};

#[test]
fn peek_says_what_check_would_and_spends_and_stores_nothing() {
    let (limiter, time) = by_hand::<u64, 1>(Quota::per_minute(60).burst(3));
    for _ in 0..10 {
        let peeked = limiter.peek(&0);
        assert!(peeked.is_allowed());
        // The numbers are those of the bucket now, not those after a check.
        assert_eq!(
            (peeked.remaining(), peeked.reset_after()),
            (3, Duration::ZERO)
        );
    }
    assert!(limiter.is_empty());
    assert!(limiter.peek_n(&0, 3).is_allowed());
    assert!(limiter.peek_n(&0, 4).exceeds_burst());
    assert!(limiter.is_empty());

    assert_eq!(limiter.check_n(&0, 2).remaining(), 1);
    for _ in 0..10 {
        assert!(limiter.peek(&0).is_allowed());
        let denied = limiter.peek_n(&0, 2);
        assert!(!denied.is_allowed());
        assert_eq!(denied.remaining(), 1);
        assert_eq!(denied.retry_after(), Some(nanos(SECOND)));
        assert_eq!(denied.reset_after(), nanos(2 * SECOND));
    }
    time.set(SECOND - 1);
    assert!(!limiter.peek_n(&0, 2).is_allowed());
    time.set(SECOND);
    assert!(limiter.peek_n(&0, 2).is_allowed());
    assert_eq!(limiter.peek(&0).remaining(), 2);
    assert_eq!(drain(&limiter, 0), 2);
}

#[test]
fn a_forgotten_key_has_a_full_bucket() {
    let (limiter, time) = by_hand::<String, 1>(Quota::per_hour(1).burst(2));
    assert!(!limiter.forget("alice"), "not stored");
    for debt in [1, 2] {
        assert!(limiter.check_n("alice", debt).is_allowed());
        assert!(limiter.check_n("bob", 1).is_allowed());
        assert!(limiter.forget("alice"));
        assert!(!limiter.forget("alice"), "no longer stored");
        assert_eq!(limiter.len(), 1, "the other key is stored");
        assert_eq!(limiter.peek("alice").remaining(), 2);
        assert_eq!(limiter.peek("bob").remaining(), 2 - debt);
        time.advance(1);
    }
    // A full bucket is a burst of two, and no more.
    assert!(limiter.check_n("alice", 2).is_allowed());
    assert!(!limiter.allow("alice"));
    assert_eq!(limiter.check("alice").retry_after(), Some(nanos(HOUR)));
}

#[test]
fn sweep_returns_how_many_keys_it_dropped_and_len_how_many_are_left() {
    let (limiter, time) = by_hand::<u64, 1>(Quota::per_second(1).burst(10));
    assert_eq!(
        (limiter.len(), limiter.is_empty(), limiter.sweep()),
        (0, true, 0)
    );
    // Ten keys for each debt from 1 to 10 s.
    for key in 0..100 {
        assert!(limiter.check_n(&key, 1 + key % 10).is_allowed());
        assert_eq!(limiter.len() as u64, key + 1);
        assert!(limiter.peek(&(key + 1)).is_allowed());
    }
    for second in 1..=10 {
        time.set(second * SECOND - 1);
        assert_eq!(limiter.sweep(), 0);
        time.set(second * SECOND);
        assert_eq!(limiter.sweep(), 10);
        assert_eq!(limiter.sweep(), 0);
        assert_eq!(limiter.len() as u64, 100 - 10 * second);
    }
    assert!(limiter.is_empty());
}

/// Few keys in many shards, and many keys in few.
#[test]
fn len_is_exact_through_growth_and_shrinking() {
    for shards in [2, 64, 1_024] {
        let time = Time::new();
        let limiter: RateLimiter<u64> = RateLimiter::builder(Quota::per_second(1).burst(2))
            .clock(time.clock.clone())
            .shards(shards)
            .manual_sweep()
            .build();
        for size in [1, 10, 1_000, 20_000, 3, 2_000] {
            for key in 0..size {
                assert!(limiter.check_n(&key, 1 + key % 2).is_allowed());
            }
            assert_eq!(limiter.len() as u64, size);
            for key in (0..size).step_by(4) {
                assert!(limiter.forget(&key));
            }
            let left = size - size.div_ceil(4);
            assert_eq!(limiter.len() as u64, left);
            time.advance(SECOND);
            // Of each four keys, the second and the fourth spent two, and the third spent one.
            let full = (size + 1) / 4;
            assert_eq!(limiter.sweep() as u64, full);
            assert_eq!(limiter.len() as u64, left - full);
            assert!((0..size).all(|key| {
                let in_debt = key % 2 == 1;
                limiter.peek(&key).remaining() == if in_debt { 1 } else { 2 }
            }));
            time.advance(SECOND);
            assert_eq!(limiter.sweep() as u64, left - full);
            assert!(limiter.is_empty());
        }
    }
}

#[test]
fn each_key_has_its_own_bucket() {
    let (limiter, time) = by_hand::<u64, 1>(Quota::per_second(1).burst(3));
    for key in 0..1_000 {
        assert_eq!(drain(&limiter, key), 3);
    }
    time.set(SECOND);
    for key in (0..1_000).step_by(2) {
        assert!(limiter.allow(&key));
    }
    for key in 0..1_000 {
        assert_eq!(limiter.peek(&key).remaining(), key % 2);
    }
}

#[test]
fn a_key_is_of_any_type_that_is_hashed_and_compared() {
    let once = || Quota::per_hour(1).burst(1);

    let (limiter, _) = by_hand::<&'static str, 1>(once());
    assert!(limiter.allow(&"alice") && !limiter.allow(&"alice") && limiter.allow(&"bob"));

    let (limiter, _) = by_hand::<String, 1>(once());
    assert!(limiter.allow("alice") && !limiter.allow("alice") && limiter.allow("bob"));
    assert!(!limiter.allow(&"bob".to_owned()));

    let (limiter, _) = by_hand::<(u32, u32), 1>(once());
    assert!(limiter.allow(&(1, 2)) && !limiter.allow(&(1, 2)) && limiter.allow(&(2, 1)));

    let (limiter, _) = by_hand::<u64, 1>(once());
    assert!(limiter.allow(&1) && !limiter.allow(&1) && limiter.allow(&u64::MAX));

    let (limiter, _) = by_hand::<Vec<u8>, 1>(once());
    assert!(limiter.allow(&b"ab"[..]) && !limiter.allow(&vec![97, 98]));

    let (limiter, _) = by_hand::<IpAddr, 1>(once());
    let [v4, v6] = ["192.0.2.1", "::ffff:192.0.2.1"].map(|text| text.parse().unwrap());
    assert!(limiter.allow(&v4) && limiter.allow(&v6) && !limiter.allow(&v4));

    // One bucket for all requests.
    let (limiter, _) = by_hand::<(), 1>(once());
    assert!(limiter.allow(&()) && !limiter.allow(&()));

    let (limiter, _) = by_hand::<Stored, 1>(once());
    assert!(limiter.allow(&Asked(1)) && !limiter.allow(&Asked(1)) && limiter.allow(&Asked(2)));

    let (limiter, _) = by_hand::<Cow<'static, str>, 1>(once());
    let owned = Cow::from("alice".to_owned());
    assert!(limiter.allow(&Cow::from("alice")) && !limiter.allow(&owned));
}

/// As in the README, `K` follows from the type of the checked keys.
#[test]
fn the_key_is_inferred_from_its_use() {
    let limiter = RateLimiter::new(Quota::per_hour(1).burst(1));
    assert!(limiter.allow("alice"));
    let _: &RateLimiter<String> = &limiter;

    let limiter = RateLimiter::new(Policy::default());
    assert!(limiter.allow(&42_u32));
    let _: &RateLimiter<u32> = &limiter;

    let limiter = RateLimiter::new([Quota::per_minute(10), Quota::per_hour(60)]);
    assert!(limiter.allow("alice"));
    let _: &RateLimiter<String, 2> = &limiter;
}

#[test]
fn the_default_policy_is_a_hundred_a_minute_in_bursts_of_ten() {
    let (limiter, time) = by_hand::<u64, 1>(Policy::default());
    assert_eq!(limiter.policy().to_string(), "100/minute burst 10");
    assert_eq!(drain(&limiter, 0), 10);
    assert_eq!(
        limiter.check(&0).retry_after(),
        Some(Duration::from_millis(600))
    );
    let mut admitted = 0;
    for _ in 0..60 {
        time.advance(SECOND);
        admitted += drain(&limiter, 0);
    }
    assert_eq!(admitted, 100);
}

#[test]
fn a_limiter_shows_its_policy() {
    let quotas = [Quota::per_minute(10), Quota::per_hour(60)];
    let (limiter, _) = by_hand::<u64, 2>(quotas);
    assert_eq!(limiter.policy(), &Policy::from(quotas));
    assert_eq!(limiter.policy().quotas()[1], Quota::per_hour(60));
}

#[test]
fn debug_output_contains_no_key() {
    let (limiter, time) = by_hand::<String, 1>(Quota::per_hour(5).burst(3));
    assert!(limiter.allow("hunter2-is-a-secret"));
    assert!(limiter.allow("4111-1111-1111-1111"));
    let shown = [
        format!("{limiter:?}"),
        format!("{limiter:#?}"),
        format!("{:?}", limiter.check("hunter2-is-a-secret")),
    ];
    for text in &shown {
        assert!(
            !text.contains("hunter2") && !text.contains("1111"),
            "{text}"
        );
    }
    assert!(
        shown[0].starts_with("RateLimiter { policy: Policy(["),
        "{}",
        shown[0]
    );
    assert!(shown[0].ends_with("len: 2, .. }"), "{}", shown[0]);

    let builder = RateLimiter::<String>::builder(Quota::per_hour(5)).clock(time.clock.clone());
    let text = format!("{builder:?}");
    assert!(text.starts_with("Builder { policy: Policy(["), "{text}");
    assert!(text.contains("Clock(manual)"), "{text}");

    assert_eq!(format!("{:?}", Clock::default()), "Clock(system)");
    time.set(SECOND / 2);
    assert_eq!(format!("{:?}", time.clock), "ManualClock(500ms)");
}

/// Code that is generic over limiters sees what code for one limiter sees.
#[cfg(not(tollgate_loom))] // where `Arc` in the crate is that of loom
#[test]
fn a_limiter_decides_through_the_trait_as_it_checks() {
    use tollgate::DecisionRef;
    use tollgate::limit::{AsDecision, Checked, Limit};

    fn decide<L: Limit<str>>(limiter: &L, key: &str, n: u64) -> (Vec<Quota>, L::Decision) {
        match limiter.decide(key, n) {
            Checked::Now(decision) => (limiter.quotas(), decision),
            Checked::Later(_) => panic!("a limiter in memory decides at once"),
        }
    }
    fn numbers(decision: DecisionRef<'_>) -> String {
        format!("{decision:?}")
    }
    let quotas = [Quota::per_second(2), Quota::per_minute(3)];
    let (through, time) = by_hand::<String, 2>(quotas);
    let (direct, other_time) = by_hand::<String, 2>(quotas);
    let through = std::sync::Arc::new(through);
    for step in 0..20 {
        time.advance(step * SECOND / 3);
        other_time.advance(step * SECOND / 3);
        for n in [0, 1, 2, 5] {
            let (policy, decision) = decide(&through, "alice", n);
            assert_eq!(policy, quotas);
            let expected = direct.check_n("alice", n);
            assert_eq!(numbers(decision.as_decision()), numbers(expected.as_ref()));
        }
    }
}

/// The compiler warns if a result is dropped that is the purpose of the call.
#[test]
fn results_must_be_used() {
    let (limiter, _) = by_hand::<u64, 1>(Quota::per_second(1));
    #[expect(unused_must_use)]
    {
        limiter.allow(&0);
    }
    #[expect(unused_must_use)]
    {
        limiter.check(&0);
    }
    #[expect(unused_must_use)]
    {
        limiter.check_n(&0, 1);
    }
    #[expect(unused_must_use)]
    {
        limiter.peek(&0);
    }
    #[expect(unused_must_use)]
    {
        limiter.peek(&0).retry_after();
    }
    #[expect(unused_must_use)]
    {
        limiter.len();
    }
    #[expect(unused_must_use)]
    {
        RateLimiter::<u64>::builder(Quota::default());
    }
    #[expect(unused_must_use)]
    {
        RateLimiter::<u64>::builder(Quota::default())
            .manual_sweep()
            .build();
    }
    #[expect(unused_must_use)]
    {
        Quota::per_second(1).burst(2);
    }
    // The purpose of these is their effect.
    limiter.sweep();
    limiter.forget(&0);
}
