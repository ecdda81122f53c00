//! tokio-rate-limit, whose `check` is no async function. It does not tell how many keys it stores.
//!
//! Its rates are whole units a second. A slower one becomes 0, by way of `TokenBucket`, as the
//! builder wants at least one a second: such a bucket is never refilled. So it decides here as the
//! others do, for whom an hour is longer than the program runs, and does less for it.

use tokio_rate_limit::{RateLimiter, algorithm::TokenBucket};

use super::{Quota, Rival};

pub struct TokioRateLimit(RateLimiter<TokenBucket>);

impl Rival<String> for TokioRateLimit {
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
