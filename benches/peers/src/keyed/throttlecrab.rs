//! throttlecrab. Its check takes `&mut self`, so it stands in a mutex, for threads to share it. It
//! does not tell how many keys it stores.
//!
//! Its stores sweep during checks. This one sweeps after an interval and never sooner. The interval
//! is a day here, so that no sweep is timed. The other stores also sweep after a number of checks, or
//! by chance.
//!
//! A burst of 1 does not limit in 0.4.40: the stored entry expires at once. Where the others have a
//! burst of 1, it has a burst of 2, which is spent before it is timed.

use std::sync::Mutex;
use std::time::{Duration, SystemTime};

use throttlecrab::{PeriodicStore, RateLimiter};

use super::{Contender, Quota};

pub struct Throttlecrab {
    limiter: Mutex<RateLimiter<PeriodicStore>>,
    burst: i64,
    count: i64,
    seconds: i64,
}

impl Contender<String> for Throttlecrab {
    const NAME: &'static str = "throttlecrab";

    const LEAST_BURST: u32 = 2;

    fn new([quota]: [Quota; 1]) -> Throttlecrab {
        const SECOND: u64 = 1_000_000_000;
        let store = PeriodicStore::builder().cleanup_interval(Duration::from_secs(86_400));
        let whole = |number: u64| i64::try_from(number).expect("a small number");
        Throttlecrab {
            limiter: Mutex::new(RateLimiter::new(store.build())),
            burst: i64::from(quota.burst),
            // In the quotas here, a unit takes a whole part of a second or a number of seconds.
            count: whole((SECOND / quota.nanos).max(1)),
            seconds: whole((quota.nanos / SECOND).max(1)),
        }
    }

    #[inline]
    fn check(&self, key: &String) -> bool {
        let now = SystemTime::now();
        let mut limiter = self.limiter.lock().expect("no check panics");
        let result = limiter.rate_limit(key, self.burst, self.count, self.seconds, 1, now);
        result.expect("a quota").0
    }

    fn stored(&self) -> Option<usize> {
        None
    }
}
