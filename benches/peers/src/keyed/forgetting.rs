//! tollgate, beside a thread that forgets denied keys.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use tollgate::RateLimiter;

use super::{Contender, Key, Quota, tollgate::own};

const PER_SECOND: u32 = 10_000;

/// The first of the keys that are forgotten, which no cell checks.
const OTHERS: u64 = 1 << 40;

pub struct Forgetting<K: Key> {
    limiter: Arc<RateLimiter<K>>,
    is_over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl<K: Key> Contender<K> for Forgetting<K> {
    const NAME: &'static str = "beside 10000 forgets a second";

    fn new(quotas: [Quota; 1]) -> Forgetting<K> {
        let builder = RateLimiter::builder(quotas.map(own)).manual_sweep();
        let limiter = Arc::new(builder.build());
        let is_over = Arc::new(AtomicBool::new(false));
        let forgets = (Arc::clone(&limiter), Arc::clone(&is_over));
        Forgetting {
            limiter,
            is_over,
            thread: Some(thread::spawn(move || forget_others(&forgets.0, &forgets.1))),
        }
    }

    #[inline]
    fn check(&self, key: &K) -> bool {
        self.limiter.allow::<K::Query>(key.borrow())
    }

    fn stored(&self) -> Option<usize> {
        None
    }
}

impl<K: Key> Drop for Forgetting<K> {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.join().expect("it does not panic");
        }
    }
}

/// Exhausts keys and forgets them, until it is over.
fn forget_others<K: Key>(limiter: &RateLimiter<K>, is_over: &AtomicBool) {
    let burst = limiter.policy().quotas()[0].burst_size();
    let start = Instant::now();
    let mut nth = 0;
    while !is_over.load(Ordering::Relaxed) {
        let due = start + Duration::from_secs(1) * nth / PER_SECOND;
        thread::sleep(due.saturating_duration_since(Instant::now()));
        let key = K::nth(OTHERS + u64::from(nth) % 1_000);
        assert!(
            limiter
                .check_n::<K::Query>(key.borrow(), burst)
                .is_allowed()
        );
        assert!(limiter.forget::<K::Query>(key.borrow()));
        nth += 1;
    }
}
