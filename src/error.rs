//! The error of quotas and policies.

use std::{error, fmt, time::Duration};

use crate::arith::scale::{MAX_NANOS_PER_UNIT, MAX_PER_SECOND, RangeError};
use crate::pad::pad;

/// A quota or a policy that is invalid, or the text of one.
///
/// The message names the value that was found, and the bound or the form that was expected. For text
/// it also names the position, unless the number of quotas is wrong. Positions count characters
/// (`char`s, not bytes) from 1.
///
/// ```
/// use std::time::Duration;
/// use tollgate::Quota;
///
/// let error = Quota::new(0, Duration::from_secs(1), 10).unwrap_err();
/// assert_eq!(error.to_string(), "a quota of 0 units never earns one; expected at least 1");
///
/// let error = "5/µs; 5".parse::<Quota>().unwrap_err();
/// assert!(error.to_string().starts_with("found \";\" at character 5, expected"));
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct InvalidQuota(Kind);

#[derive(Clone, PartialEq, Eq)]
pub(crate) enum Kind {
    Range {
        error: RangeError,
        units: u64,
        period: Duration,
        burst: u64,
    },
    PeriodTooLong {
        period: Duration,
    },
    /// `at` counts characters from 1.
    Text {
        found: String,
        at: usize,
        expected: &'static str,
    },
    /// A well-formed `text` at character `at` whose numbers are out of range.
    Quoted {
        text: String,
        at: usize,
        error: Box<InvalidQuota>,
    },
    /// Of a policy that has room for `most` quotas.
    Count {
        found: usize,
        most: usize,
    },
}

// Shared with the panics of const evaluation, which can format nothing but a `&str`.
pub(crate) const NO_UNITS: &str = "a quota of 0 units never earns one; expected at least 1";
pub(crate) const NO_PERIOD: &str = "a period of 0 is no rate; expected at least 1 ns";
pub(crate) const NO_BURST: &str = "a burst of 0 units lets nothing pass; expected at least 1";

impl From<Kind> for InvalidQuota {
    fn from(kind: Kind) -> InvalidQuota {
        InvalidQuota(kind)
    }
}

impl error::Error for InvalidQuota {}

impl fmt::Display for InvalidQuota {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        pad(f, |out| self.write(out))
    }
}

impl InvalidQuota {
    fn write(&self, out: &mut dyn fmt::Write) -> fmt::Result {
        match &self.0 {
            Kind::Range {
                error,
                units,
                period,
                burst,
            } => match error {
                RangeError::NoUnits => out.write_str(NO_UNITS),
                RangeError::NoPeriod => out.write_str(NO_PERIOD),
                RangeError::NoBurst => out.write_str(NO_BURST),
                RangeError::TooFast => write!(
                    out,
                    "{units} units per {period:?} is too fast; \
                     expected at most {MAX_PER_SECOND} a second"
                ),
                RangeError::TooSlow => write!(
                    out,
                    "{units} units per {period:?} is too slow; \
                     expected at least one unit in {:?} (484 years)",
                    Duration::from_nanos(MAX_NANOS_PER_UNIT)
                ),
                RangeError::BurstTooLarge { most } => write!(
                    out,
                    "a burst of {burst} is too large for {units} units per {period:?}; \
                     expected at most {most}"
                ),
            },
            Kind::PeriodTooLong { period } => write!(
                out,
                "a period of {period:?} is too long; expected at most {:?} (584 years)",
                Duration::from_nanos(u64::MAX)
            ),
            Kind::Text {
                found,
                at,
                expected,
            } => {
                write!(out, "found {found} at character {at}, expected {expected}")
            }
            Kind::Quoted { text, at, error } => {
                write!(out, "{error} (in {text:?} at character {at})")
            }
            Kind::Count { found, most } => {
                let quotas = if *found == 1 { "quota" } else { "quotas" };
                write!(out, "found {found} {quotas} in the policy, expected 1")?;
                match most {
                    1 => Ok(()),
                    _ => write!(out, " to {most}"),
                }
            }
        }
    }
}

/// The message, so that `unwrap` and `{:?}` say what is wrong too.
impl fmt::Debug for InvalidQuota {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "InvalidQuota({:?})", self.to_string())
    }
}
