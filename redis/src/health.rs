//! What a limiter says of its store.

use std::time::Duration;

use crate::outage::Cause;

/// The state of a [`SharedLimiter`](crate::SharedLimiter)'s store, as this node knows it from its checks, and
/// counts of this node since the limiter was built.
///
/// Every check counts in one of `decided`, `from_cache` and `undecided`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Health {
    /// The outage that lasts, if there is one.
    pub outage: Option<OutageHealth>,
    /// The decisions of the store.
    pub decided: u64,
    /// The denials of this node's cache of denied keys, without a round trip.
    pub from_cache: u64,
    /// The requests to the store without a reply in time.
    pub timeouts: u64,
    /// The requests without a decision, for any [`Cause`].
    pub undecided: u64,
    /// The keys in this node's cache of denied keys. Those whose time has come are counted too.
    pub denied_keys: usize,
}

/// An outage that lasts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct OutageHealth {
    /// Why the store gives no decisions.
    pub cause: Cause,
    /// How long it has not done so.
    pub lasted: Duration,
}

/// What the servers of a store say of themselves.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct StoreInfo {
    /// The version of each server, as `redis_version` or `valkey_version` has it.
    pub versions: Vec<String>,
    /// The `maxmemory-policy` of each server.
    pub eviction_policies: Vec<String>,
}

impl StoreInfo {
    /// Reads the texts of `INFO`, one of each server.
    pub(crate) fn read(texts: &[String]) -> StoreInfo {
        let values = |names: &[&str]| {
            let of = |text: &String| {
                let value = |name: &&str| {
                    let mut lines = text.lines();
                    lines.find_map(|line| {
                        line.strip_prefix(name)?
                            .strip_prefix(':')
                            .map(str::to_owned)
                    })
                };
                names.iter().find_map(value)
            };
            texts.iter().filter_map(of).collect()
        };
        StoreInfo {
            versions: values(&["valkey_version", "redis_version"]),
            eviction_policies: values(&["maxmemory_policy"]),
        }
    }

    /// Returns a policy by which a server may evict keys that are not full, if one has such a policy.
    #[must_use]
    pub fn evicting_policy(&self) -> Option<&str> {
        let policies = self.eviction_policies.iter().map(String::as_str);
        policies.into_iter().find(|policy| *policy != "noeviction")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_information_of_every_server_is_read() {
        let one = "# Server\r\nredis_version:7.0.15\r\n# Memory\r\nmaxmemory_policy:noeviction\r\n";
        let other =
            "redis_version:7.2.4\r\nvalkey_version:8.1.0\r\nmaxmemory_policy:allkeys-lru\r\n";
        let info = StoreInfo::read(&[one.to_owned(), other.to_owned()]);
        assert_eq!(info.versions, ["7.0.15", "8.1.0"]);
        assert_eq!(info.evicting_policy(), Some("allkeys-lru"));
        assert_eq!(StoreInfo::read(&[one.to_owned()]).evicting_policy(), None);
        assert_eq!(StoreInfo::read(&[]).evicting_policy(), None);
    }
}
