//! Law 8 under a race: forgetting a full bucket changes no decision.

use super::super::{KEY, UNIT, ask, drain, limiter, model, quota};
use crate::sync::Arc;

/// The stalled caller and the sweep. If the thread had read the clock before it moves, found its key
/// swept and inserted it as of then, the two units would be earned a second time.
#[test]
fn a_stalled_caller_mints_nothing_from_a_key_swept_meanwhile() {
    model(|| {
        let (limiter, clock) = limiter(quota(2));
        assert!(limiter.check_n(KEY, 2).is_allowed());
        let stalled = ask(&limiter, 2);
        clock.advance(2 * UNIT);
        limiter.sweep();
        let own = drain(&limiter);
        // Two units are earned meanwhile, for either thread.
        assert_eq!(stalled.join().unwrap() + own + drain(&limiter), 2);
    });
}

/// The system clock may step back unnoticed, by less than the tolerance, from one core to the next. The
/// key is inserted no earlier than as of when its bucket was full.
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

/// The same while another thread sweeps. The key may be spent from after the sweep read the clock and
/// before it locks the shard.
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
