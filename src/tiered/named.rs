//! Tiers that have names.

use std::{
    collections::BTreeMap,
    fmt,
    hash::{BuildHasher, Hash},
    mem,
    panic::{RefUnwindSafe, UnwindSafe},
};

use super::error::{InvalidTier, UnknownTier};
use super::tier::{Shared, Tier};
use super::{Handle, RandomState};
use crate::policy::Policy;
use crate::sync::Mutex;

/// Tiers by name, such as those of a config file. They can be reloaded while the service runs.
///
/// With the feature `serde`, a map of names and policies is read from any format:
///
/// ```
/// # #[cfg(feature = "serde")]
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use std::collections::BTreeMap;
/// use tollgate::{ManualClock, Policy, TieredLimiter};
///
/// let config = r#"{ "free": "10/minute", "pro": ["100/minute burst 50", "1000/hour"] }"#;
/// let config: BTreeMap<String, Policy<2>> = serde_json::from_str(config)?;
///
/// let fallback = "5/minute".parse::<Policy<2>>()?;
/// let limits: TieredLimiter<String, 2> =
///     TieredLimiter::builder(fallback).clock(ManualClock::new()).build();
/// let tiers = limits.named(config)?;
/// assert_eq!(tiers.get("pro")?.check("alice").limit(), 50);
/// assert_eq!(
///     tiers.get("gold").unwrap_err().to_string(),
///     "found no tier \"gold\", expected one of \"free\", \"pro\""
/// );
/// # Ok(())
/// # }
/// # #[cfg(not(feature = "serde"))]
/// # fn main() {}
/// ```
///
/// [`get`](NamedTiers::get) takes a lock. Keep the tier in the customer's record, rather than its name: it
/// follows every reload.
pub struct NamedTiers<K: Send, const N: usize = 1, S = RandomState> {
    handle: Handle<K, N, S>,
    tiers: Mutex<Tiers<K, N, S>>,
}

struct Tiers<K: Send, const N: usize, S> {
    by_name: BTreeMap<String, Tier<K, N, S>>,
    /// Those whose names were removed while they were held.
    removed: BTreeMap<String, Tier<K, N, S>>,
}

/// What a [`reload`](NamedTiers::reload) changed. The names are in order.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Reload<const N: usize = 1> {
    /// The names that are new.
    pub added: Vec<String>,
    /// The tiers that have another policy now.
    pub replaced: Vec<Replacement<N>>,
    /// The names that are gone.
    pub removed: Vec<String>,
}

/// A tier that has another policy.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Replacement<const N: usize = 1> {
    /// The name of the tier.
    pub name: String,
    /// The policy that it had.
    pub from: Policy<N>,
    /// The policy that it has.
    pub to: Policy<N>,
}

impl<const N: usize> Reload<N> {
    /// Whether nothing changed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.added.is_empty() && self.replaced.is_empty() && self.removed.is_empty()
    }
}

/// Such as `added "team"; replaced "pro": "10/minute" by "20/minute"; removed "trial"`.
impl<const N: usize> fmt::Display for Reload<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_empty() {
            return f.pad("nothing changed");
        }
        let added = self.added.iter().map(|name| format!("added {name:?}"));
        let replaced = self.replaced.iter().map(|replacement| {
            let Replacement { name, from, to } = replacement;
            format!("replaced {name:?}: \"{from}\" by \"{to}\"")
        });
        let removed = self.removed.iter().map(|name| format!("removed {name:?}"));
        let changes: Vec<String> = added.chain(replaced).chain(removed).collect();
        f.pad(&changes.join("; "))
    }
}

impl<K, const N: usize, S> NamedTiers<K, N, S>
where
    K: Hash + Eq + Send,
    S: BuildHasher + Clone,
{
    pub(super) fn new<T>(
        handle: Handle<K, N, S>,
        policies: T,
    ) -> Result<NamedTiers<K, N, S>, InvalidTier>
    where
        T: IntoIterator<Item = (String, Policy<N>)>,
    {
        let tiers = NamedTiers {
            handle,
            tiers: Mutex::new(Tiers {
                by_name: BTreeMap::new(),
                removed: BTreeMap::new(),
            }),
        };
        tiers.reload(policies)?;
        Ok(tiers)
    }

    /// Returns the tier of a name.
    ///
    /// # Errors
    ///
    /// If no tier has the name. The error lists the names that there are.
    pub fn get(&self, name: &str) -> Result<Tier<K, N, S>, UnknownTier> {
        let tiers = self.tiers.lock();
        tiers.by_name.get(name).cloned().ok_or_else(|| UnknownTier {
            name: name.to_owned(),
            known: tiers.by_name.keys().cloned().collect(),
        })
    }

    /// Returns the names, in order.
    #[must_use]
    pub fn names(&self) -> Vec<String> {
        self.tiers.lock().by_name.keys().cloned().collect()
    }

    /// Replaces the policies of all tiers, adds those whose names are new, and removes the names that are
    /// not among `policies`. Returns what changed.
    ///
    /// An equal policy changes nothing. Each tier is replaced as by [`Tier::replace`], one after the other,
    /// in the order of their names. New [periods](super::TieredLimiter#buckets) are met in that order.
    ///
    /// The handles of a removed name keep its last policy. If the name returns while a handle exists,
    /// it is the same tier, under the new policy. A removed tier without handles is freed at the next
    /// reload.
    ///
    /// # Errors
    ///
    /// If two quotas of a policy have the same [bucket](super::TieredLimiter#buckets), or if a name occurs
    /// twice. Then nothing has changed.
    ///
    /// # Caveats
    ///
    /// - Periods keep their buckets. If a reload had a period by mistake, a later one may be refused for it
    ///   until the service is restarted, unless [`periods`](super::TieredBuilder::periods) names the right ones.
    /// - No policies at all are valid, and remove every name. A file that is read while it is written may look
    ///   like that: write another and rename it.
    /// - Some formats drop a name that occurs twice before it comes here. serde_json keeps the last.
    pub fn reload<T>(&self, policies: T) -> Result<Reload<N>, InvalidTier>
    where
        T: IntoIterator<Item = (String, Policy<N>)>,
    {
        let mut wanted = BTreeMap::new();
        for (name, policy) in policies {
            if wanted.contains_key(&name) {
                return Err(InvalidTier::duplicate(name));
            }
            wanted.insert(name, policy);
        }
        let tiers = &mut *self.tiers.lock();
        let prepared = self.handle.core.rule.prepare(wanted.values());
        prepared.map_err(|(nth, clash)| {
            let name = wanted.keys().nth(nth).map_or("", String::as_str);
            InvalidTier::named(name, clash)
        })?;

        let mut reload = Reload {
            added: Vec::new(),
            replaced: Vec::new(),
            removed: Vec::new(),
        };
        let mut before = mem::take(&mut tiers.by_name);
        for (name, to) in wanted {
            // The periods of all policies have their buckets by now, so none of these returns an error.
            let (tier, is_known) = match before.remove(&name) {
                Some(tier) => (tier, true),
                None => match tiers.removed.remove(&name) {
                    Some(tier) => (tier, false),
                    None => (Shared::add(&self.handle, &to)?, false),
                },
            };
            let from = tier.replace(to)?;
            if !is_known {
                reload.added.push(name.clone());
            } else if from != to {
                let name = name.clone();
                reload.replaced.push(Replacement { name, from, to });
            }
            tiers.by_name.insert(name, tier);
        }
        reload.removed.extend(before.keys().cloned());
        tiers.removed.extend(before);
        tiers.removed.retain(|_, tier| tier.is_shared());
        Ok(reload)
    }
}

/// As a `RateLimiter` is.
impl<K: Send, const N: usize, S> RefUnwindSafe for NamedTiers<K, N, S> {}
impl<K: Send, const N: usize, S> UnwindSafe for NamedTiers<K, N, S> {}

impl<K: Send, const N: usize, S> NamedTiers<K, N, S> {
    /// Returns the tiers with their names, in order.
    #[must_use]
    pub fn tiers(&self) -> Vec<(String, Tier<K, N, S>)> {
        let tiers = self.tiers.lock();
        let named = tiers.by_name.iter();
        named
            .map(|(name, tier)| (name.clone(), tier.clone()))
            .collect()
    }
}

impl<K: Send, const N: usize, S> fmt::Debug for NamedTiers<K, N, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.tiers()).finish()
    }
}
