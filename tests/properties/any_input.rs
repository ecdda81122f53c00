//! Law 10: no panic and no overflow, and debug and release builds decide alike.

use std::time::Duration;

use proptest::prelude::*;
use tollgate::Quota;

use crate::common::oracle::answer;
use crate::common::strategies;
use crate::subject::{Subject, config};

proptest! {
    #![proptest_config(config())]

    #[test]
    fn law_10_no_input_panics(
        units in strategies::any_number(),
        seconds in strategies::any_number(),
        nanos in strategies::any_number(),
        burst in strategies::any_number(),
        steps in prop::collection::vec((any::<u64>(), any::<u64>(), any::<bool>()), 1..20),
    ) {
        let long = Duration::new(seconds, u32::try_from(nanos % 1_000_000_000).unwrap());
        for period in [long, Duration::from_nanos(nanos)] {
            let quota = match Quota::new(units, period, burst) {
                Ok(quota) => quota,
                Err(refused) => {
                    prop_assert!(refused.to_string().contains("expected"));
                    continue;
                }
            };
            let mut subject = Subject::new([quota]);
            for (elapsed, n, back) in &steps {
                if *back {
                    subject.rewind(*elapsed);
                } else {
                    subject.clock.advance(Duration::from_nanos(*elapsed));
                }
                let decision = subject.check_n(*n);
                prop_assert!(decision.remaining() <= quota.burst_size());
                let text = format!("{decision:?}");
                prop_assert!(text.starts_with("Decision"));
                subject.limiter.sweep();
            }
        }
    }
}

/// Law 10. CI runs this test in both profiles. Each must compute the same digest (FNV-1a) of many
/// decisions. Only a change of decisions on purpose may change the number.
#[test]
fn law_10_debug_and_release_decide_alike() {
    let mut digest: u64 = 0xcbf2_9ce4_8422_2325;
    let mut random: u64 = 1;
    let mut next = || {
        // xorshift64: Marsaglia, "Xorshift RNGs", 2003.
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        random
    };
    for _ in 0..300 {
        let size = next() % 64;
        let period = Duration::from_nanos((next() >> size).max(1));
        let Ok(quota) = Quota::new((next() >> (next() % 64)).max(1), period, 1 + next() % 1_000)
        else {
            continue;
        };
        let mut subject = Subject::new([quota]);
        for _ in 0..100 {
            subject.advance(next() >> (next() % 64));
            let decision = answer(&subject.check_n(next() % 20));
            let wait = decision
                .retry_after
                .map_or(u128::MAX, |wait| wait.as_nanos());
            let verdict = u128::from(decision.allowed);
            let left = u128::from(decision.remaining);
            for number in [verdict, left, wait, decision.reset_after.as_nanos()] {
                for byte in number.to_le_bytes() {
                    digest = (digest ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
                }
            }
        }
    }
    assert_eq!(digest, 4_698_426_654_119_437_095);
}
