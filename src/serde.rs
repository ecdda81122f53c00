//! Quotas and policies in configuration files.

use std::{fmt, marker::PhantomData, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::error::{InvalidQuota, Kind};
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

/// From text, or in formats for people from a list of quotas as well, with the errors of [`FromStr`].
impl<'de, const N: usize> Deserialize<'de> for Policy<N> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Policy<N>, D::Error> {
        if deserializer.is_human_readable() {
            deserializer.deserialize_any(TextOrList)
        } else {
            deserializer.deserialize_str(TextOrList)
        }
    }
}

struct TextOrList<const N: usize>;

impl<'de, const N: usize> de::Visitor<'de> for TextOrList<N> {
    type Value = Policy<N>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a policy such as \"10/minute; 60/hour\", or a list of quotas")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Policy<N>, E> {
        text.parse().map_err(E::custom)
    }

    fn visit_seq<A: de::SeqAccess<'de>>(self, mut list: A) -> Result<Policy<N>, A::Error> {
        // Quotas beyond the room of the policy are counted for the error, and not stored.
        let (mut quotas, mut found) = (Vec::new(), 0_usize);
        while let Some(quota) = list.next_element::<Quota>()? {
            found += 1;
            if found <= N {
                quotas.push(quota);
            }
        }
        if found > N {
            return Err(de::Error::custom(InvalidQuota::from(Kind::Count {
                found,
                most: N,
            })));
        }
        Policy::try_from(quotas).map_err(de::Error::custom)
    }
}

/// Reads a `T` from text. The string says what is expected in an error.
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
