//! tokio-rate-limit. Its `check` is not async. It does not tell how many keys it stores.
//!
//! Its rates are whole units a second, and its builder takes at least one. `TokenBucket` takes a
//! slower rate as 0: such a bucket never refills. It decides here as the others do, because their
//! hour is longer than the program runs, and it does less work for it.

use tokio_rate_limit::{RateLimiter, algorithm::TokenBucket};

use super::{Contender, Quota};

pub struct TokioRateLimit(RateLimiter<TokenBucket>);

impl Contender<String> for TokioRateLimit {
    const NAME: &'static str = "tokio-rate-limit";

    fn new([quota]: [Quota; 1]) -> TokioRateLimit {
        let per_second = 1_000_000_000 / quota.nanos;
        let bucket = TokenBucket::new(u64::from(quota.burst), per_second);
        TokioRateLimit(RateLimiter::from_algorithm(bucket))
    }

    #[inline]
    fn check(&self, key: &String) -> bool {
        self.0.check(key).permitted
    }

    fn stored(&self) -> Option<usize> {
        None
    }
}
