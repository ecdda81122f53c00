//! The errors of tiers.

use std::{error, fmt};

use crate::pad::pad;
use crate::quota::Quota;
use crate::tiers::Clash;

/// A policy that cannot be that of a tier, or tiers that cannot be named together.
///
/// The message names the values that were found, and what was expected.
#[derive(Clone, PartialEq, Eq)]
pub struct InvalidTier {
    kind: Kind,
}

#[derive(Clone, PartialEq, Eq)]
enum Kind {
    Clash {
        /// The name of the tier, if it has one.
        name: Option<String>,
        clash: Clash,
    },
    Duplicate {
        name: String,
    },
    TooManyPeriods {
        found: usize,
        most: usize,
    },
    NoPeriod,
}

impl InvalidTier {
    pub(super) fn named(name: &str, clash: Clash) -> InvalidTier {
        let name = Some(name.to_owned());
        InvalidTier {
            kind: Kind::Clash { name, clash },
        }
    }

    pub(super) fn duplicate(name: String) -> InvalidTier {
        InvalidTier {
            kind: Kind::Duplicate { name },
        }
    }

    pub(super) fn too_many_periods(found: usize, most: usize) -> InvalidTier {
        InvalidTier {
            kind: Kind::TooManyPeriods { found, most },
        }
    }

    pub(super) fn no_period() -> InvalidTier {
        InvalidTier {
            kind: Kind::NoPeriod,
        }
    }
}

impl InvalidTier {
    /// Returns the name of the tier, if the tiers have names and one is at fault.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        match &self.kind {
            Kind::Clash { name, .. } => name.as_deref(),
            Kind::Duplicate { name } => Some(name),
            Kind::TooManyPeriods { .. } | Kind::NoPeriod => None,
        }
    }
}

impl From<Clash> for InvalidTier {
    fn from(clash: Clash) -> InvalidTier {
        InvalidTier {
            kind: Kind::Clash { name: None, clash },
        }
    }
}

impl error::Error for InvalidTier {}

impl fmt::Display for InvalidTier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        pad(f, |out| self.write(out))
    }
}

impl InvalidTier {
    fn write(&self, out: &mut dyn fmt::Write) -> fmt::Result {
        match &self.kind {
            Kind::Clash { name, clash } => {
                if let Some(name) = name {
                    write!(out, "in the tier {name:?}, ")?;
                }
                let Clash {
                    first,
                    second,
                    periods,
                } = clash;
                if first.period() == second.period() {
                    let period = first.period_name();
                    return write!(
                        out,
                        "\"{first}\" and \"{second}\" are both per {period}; expected at most one quota for \
                         each period"
                    );
                }
                write!(
                    out,
                    "\"{first}\" and \"{second}\" share a bucket; expected quotas that are nearest to \
                     different periods of "
                )?;
                for (index, period) in periods.iter().enumerate() {
                    let separator = if index == 0 { "" } else { ", " };
                    write!(out, "{separator}{}", Quota::name_of_period(*period))?;
                }
                Ok(())
            }
            Kind::Duplicate { name } => {
                write!(out, "found two tiers named {name:?}, expected one")
            }
            Kind::TooManyPeriods { found, most } => write!(
                out,
                "found {found} periods, expected at most {most}: as many as a key has buckets"
            ),
            Kind::NoPeriod => out.write_str("found a period of 0, expected at least 1 ns"),
        }
    }
}

/// The message, so that `unwrap` and `{:?}` say what is wrong too.
impl fmt::Debug for InvalidTier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "InvalidTier({:?})", self.to_string())
    }
}

/// A name that no tier has.
///
/// The message names it, and the names that there are.
#[derive(Clone, PartialEq, Eq)]
pub struct UnknownTier {
    pub(super) name: String,
    pub(super) known: Vec<String>,
}

impl UnknownTier {
    /// Returns the name that no tier has.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the names that there are, in order.
    #[must_use]
    pub fn known(&self) -> &[String] {
        &self.known
    }
}

impl error::Error for UnknownTier {}

impl fmt::Display for UnknownTier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        pad(f, |out| {
            write!(out, "found no tier {:?}, expected ", self.name)?;
            match self.known.as_slice() {
                [] => out.write_str("none, as there are no tiers"),
                [known] => write!(out, "{known:?}"),
                known => {
                    out.write_str("one of ")?;
                    for (index, name) in known.iter().enumerate() {
                        let separator = if index == 0 { "" } else { ", " };
                        write!(out, "{separator}{name:?}")?;
                    }
                    Ok(())
                }
            }
        })
    }
}

/// The message, as in [`InvalidTier`].
impl fmt::Debug for UnknownTier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "UnknownTier({:?})", self.to_string())
    }
}
