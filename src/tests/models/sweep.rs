//! Law 8 under a race: forgetting a full bucket changes no decision.

use super::super::{KEY, UNIT, ask, drain, limiter, model, quota};
use crate::sync::Arc;

/// The stalled caller and the sweep: had the asker read the clock before it moves, found its key
/// swept, and stored it anew as of then, the two units would be earned a second time.
#[test]
fn a_stalled_caller_mints_nothing_from_a_key_swept_meanwhile() {
    model(|| {
        let (limiter, clock) = limiter(quota(2));
        assert!(limiter.check_n(KEY, 2).is_allowed());
        let stalled = ask(&limiter, 2);
        clock.advance(2 * UNIT);
        limiter.sweep();
        let own = drain(&limiter);
        // Two are earned meanwhile, whoever gets them.
        assert_eq!(stalled.join().unwrap() + own + drain(&limiter), 2);
    });
}

/// The machine's clock may go back unnoticed, by less than the lag, from one core to the next: the
/// key is stored no earlier than as of when it was full.
#[test]
fn a_step_back_after_a_sweep_credits_no_time_twice() {
    model(|| {
        let (limiter, clock) = limiter(quota(2));
        assert!(limiter.check_n(KEY, 2).is_allowed());
        clock.advance(2 * UNIT);
        assert_eq!(limiter.sweep(), 1);
        clock.rewind(UNIT);
        let own = drain(&limiter);
        clock.advance(UNIT);
        assert_eq!(own + drain(&limiter), 2);
    });
}

/// The same with another thread sweeping, so that the key may be spent from between the sweeper's
/// reading of the clock and its turn at the shard.
#[test]
fn a_sweep_that_is_late_forgets_no_debt() {
    model(|| {
        let (limiter, clock) = limiter(quota(2));
        assert!(limiter.check_n(KEY, 2).is_allowed());
        clock.advance(2 * UNIT);
        let sweeping = {
            let limiter = Arc::clone(&limiter);
            loom::thread::spawn(move || limiter.sweep())
        };
        let spent = ask(&limiter, 1);
        let own = drain(&limiter);
        sweeping.join().unwrap();
        assert_eq!(spent.join().unwrap() + own + drain(&limiter), 2);
        assert_eq!(limiter.len(), 1);
    });
}
