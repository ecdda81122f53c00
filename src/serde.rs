//! Quotas and policies as their text, for configuration files.

use std::{fmt, marker::PhantomData, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::error::InvalidQuota;
use crate::policy::Policy;
use crate::quota::Quota;

/// As text: `"100/minute burst 10"`.
impl Serialize for Quota {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// From text, with the errors of [`FromStr`].
impl<'de> Deserialize<'de> for Quota {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Quota, D::Error> {
        deserializer.deserialize_str(Text("a quota such as \"100/minute burst 10\"", PhantomData))
    }
}

/// As text: `"10/minute; 60/hour"`.
impl<const N: usize> Serialize for Policy<N> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// From text, with the errors of [`FromStr`].
impl<'de, const N: usize> Deserialize<'de> for Policy<N> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Policy<N>, D::Error> {
        deserializer.deserialize_str(Text("a policy such as \"10/minute; 60/hour\"", PhantomData))
    }
}

/// Reads a `T` from text, and says what it expects of anything else.
struct Text<T>(&'static str, PhantomData<T>);

impl<T: FromStr<Err = InvalidQuota>> de::Visitor<'_> for Text<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<T, E> {
        text.parse().map_err(E::custom)
    }
}
