//! A policy of as many quotas as the text says.
//!
//! `Policy<N>` and `RateLimiter<_, N>` fix the number of quotas when they are compiled, so that a
//! key is stored in `N` words. Here the number is in an argument: it is looked at once, when that
//! is parsed, and from there on the limiter is behind a trait object.

use std::{error, fmt, str::FromStr, sync::Arc, time::Duration};

use tollgate::{ManualClock, Policy, RateLimiter};

/// A [`Policy`] of 1 to 8 quotas.
#[derive(Clone)]
pub(crate) struct AnyPolicy {
    text: String,
    fill_time: Duration,
    limiter: Arc<dyn Fn(ManualClock) -> Box<dyn AnyLimiter> + Send + Sync>,
}

/// A limiter by text, under however many quotas.
pub(crate) trait AnyLimiter {
    fn allow(&self, key: &str) -> bool;
    fn sweep(&self);
    /// How many keys are stored.
    fn stored(&self) -> usize;
}

impl AnyPolicy {
    /// A fresh limiter on `clock`, to be swept by hand.
    pub(crate) fn limiter(&self, clock: ManualClock) -> Box<dyn AnyLimiter> {
        (self.limiter)(clock)
    }

    /// The time that the slowest quota's bucket takes to fill from empty.
    pub(crate) fn fill_time(&self) -> Duration {
        self.fill_time
    }
}

impl<const N: usize> From<Policy<N>> for AnyPolicy {
    fn from(policy: Policy<N>) -> AnyPolicy {
        AnyPolicy {
            text: policy.to_string(),
            fill_time: policy.fill_time(),
            limiter: Arc::new(move |clock| {
                let limiter: RateLimiter<String, N> = RateLimiter::builder(policy)
                    .clock(clock)
                    .manual_sweep()
                    .build();
                Box::new(limiter)
            }),
        }
    }
}

impl FromStr for AnyPolicy {
    type Err = Box<dyn error::Error + Send + Sync>;

    fn from_str(text: &str) -> Result<AnyPolicy, Self::Err> {
        // A `;` is nothing else but what stands between two quotas.
        match text.split(';').count() {
            1 => parse::<1>(text),
            2 => parse::<2>(text),
            3 => parse::<3>(text),
            4 => parse::<4>(text),
            5 => parse::<5>(text),
            6 => parse::<6>(text),
            7 => parse::<7>(text),
            8 => parse::<8>(text),
            more => Err(format!("found {more} quotas in the policy, expected at most 8").into()),
        }
    }
}

impl fmt::Display for AnyPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl<const N: usize> AnyLimiter for RateLimiter<String, N> {
    fn allow(&self, key: &str) -> bool {
        RateLimiter::allow(self, key)
    }

    fn sweep(&self) {
        RateLimiter::sweep(self);
    }

    fn stored(&self) -> usize {
        self.len()
    }
}

fn parse<const N: usize>(text: &str) -> Result<AnyPolicy, Box<dyn error::Error + Send + Sync>> {
    Ok(AnyPolicy::from(text.parse::<Policy<N>>()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(text: &str) -> String {
        match text.parse::<AnyPolicy>() {
            Ok(policy) => panic!("{text:?} was read as {policy}"),
            Err(refusal) => refusal.to_string(),
        }
    }

    #[test]
    fn one_to_eight_quotas_are_read_and_written_alike() {
        for count in 1..=8 {
            let text = vec!["5/2 seconds burst 3"; count].join("; ");
            assert_eq!(text.parse::<AnyPolicy>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn a_ninth_quota_is_refused() {
        assert_eq!(
            refusal(&["1/hour"; 9].join(";")),
            "found 9 quotas in the policy, expected at most 8"
        );
    }

    #[test]
    fn the_errors_are_the_library_s() {
        for text in ["", ";", "1/hour;", "1/hour; 0/hour", "1/hour 2/hour"] {
            let library = match text.split(';').count() {
                1 => text.parse::<Policy<1>>().unwrap_err(),
                _ => text.parse::<Policy<2>>().unwrap_err(),
            };
            assert_eq!(refusal(text), library.to_string());
        }
    }

    #[test]
    fn every_quota_binds() {
        let clock = ManualClock::new();
        let policy: AnyPolicy = "2/second; 3/hour".parse().unwrap();
        let limiter = policy.limiter(clock.clone());
        assert_eq!([(); 3].map(|()| limiter.allow("a")), [true, true, false]);
        clock.advance(Duration::from_secs(1));
        assert_eq!([(); 2].map(|()| limiter.allow("a")), [true, false]);
        assert_eq!(limiter.stored(), 1);
    }
}
