//! The one error: a setting of a layer or a key that cannot be.

use std::{error, fmt};

use crate::pad::pad;

/// A setting that was rejected when a layer, or what finds its key, was set up.
///
/// The message names the value that was found and what was expected.
///
/// ```
/// use tollgate::tower::key::ClientAddress;
///
/// let rejected = ClientAddress::from_peer(|_| None).ipv6_prefix(129).unwrap_err();
/// assert_eq!(
///     rejected.to_string(),
///     "found \"129\" as an IPv6 prefix, expected at most 128 bits"
/// );
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvalidSetting {
    found: String,
    setting: &'static str,
    expected: String,
}

impl InvalidSetting {
    pub(super) fn new(
        found: impl Into<String>,
        setting: &'static str,
        expected: impl Into<String>,
    ) -> InvalidSetting {
        InvalidSetting {
            found: found.into(),
            setting,
            expected: expected.into(),
        }
    }
}

impl error::Error for InvalidSetting {}

impl fmt::Display for InvalidSetting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let InvalidSetting {
            found,
            setting,
            expected,
        } = self;
        pad(f, |out| {
            write!(out, "found {found:?} as {setting}, expected {expected}")
        })
    }
}
