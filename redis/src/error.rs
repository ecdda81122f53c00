//! The error of a setting.

use std::{error, fmt};

use tollgate::Quota;

/// A setting that was rejected when a limiter was built.
///
/// The message names the value that was found and what was expected.
///
/// ```
/// use tollgate::Quota;
/// use tollgate_redis::SharedLimiter;
///
/// let quota = Quota::per_day(1_000_003).burst(200_000);
/// let client = redis::Client::open("redis://127.0.0.1/")?;
/// let rejected = SharedLimiter::builder(quota).connect(client).unwrap_err();
/// assert_eq!(
///     rejected.to_string(),
///     "found a burst of 200000 for 1000003/day, expected at most 104249"
/// );
/// # Ok::<(), redis::RedisError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvalidSetting(String);

impl InvalidSetting {
    pub(crate) fn new(found: impl fmt::Display, expected: impl fmt::Display) -> InvalidSetting {
        InvalidSetting(format!("found {found}, expected {expected}"))
    }

    /// A quota of `rate` units per `parts` µs in lowest terms, of which bursts of `most` units fit.
    pub(crate) fn range(quota: &Quota, rate: u128, parts: u128, most: u128) -> InvalidSetting {
        let burst = quota.burst_size();
        if most == 0 {
            return InvalidSetting::new(
                format_args!("{quota}, which is {rate} units per {parts} µs in lowest terms"),
                "each to be below 2^53",
            );
        }
        let rate = format!("{}/{}", quota.units(), quota.period_name());
        InvalidSetting::new(
            format_args!("a burst of {burst} for {rate}"),
            format_args!("at most {most}"),
        )
    }
}

impl error::Error for InvalidSetting {}

impl fmt::Display for InvalidSetting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}
