//! Which bucket a quota has, and which number stands for it.
//!
//! **Buckets by period.** A key has `N` buckets. The first `N` different periods have one each, for the
//! life of the limiter. Any later period shares the bucket of the nearest of those, by ratio. So where a
//! debt is kept does not depend on the order in which a key is checked under policies.
//!
//! **Numbers by use.** Equal quotas share a number. The registry counts the tier policies that use a
//! number. After the last one releases it, keys in debt may still store it. A sweep frees the number if
//! it began after the release and does not meet the number. By then no check stores it, and each check
//! that did has released its shard's lock.

use std::collections::{HashMap, HashSet};
use std::num::NonZeroU32;

use super::live::Placed;
use crate::arith::bucket::Bucket;
use crate::arith::evaluate::Buckets;
use crate::arith::state::{NO_QUOTA, QuotaId};
use crate::arith::terms::Terms;
use crate::decision::TierId;
use crate::policy::Policy;
use crate::quota::Quota;

/// Two quotas of one policy that have the same bucket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Clash {
    pub(crate) first: Quota,
    pub(crate) second: Quota,
    /// The periods that have buckets of their own, in ns.
    pub(crate) periods: Vec<u64>,
}

pub(super) struct Registry<const N: usize> {
    periods: Periods<N>,
    ids: HashMap<Quota, QuotaId>,
    /// By their number, less 1.
    quotas: Vec<Entry>,
    free_ids: Vec<QuotaId>,
    /// Those that no policy uses.
    unused: HashSet<QuotaId>,
    /// How often a number was released.
    releases: u64,
    serials: u64,
    free_tiers: Vec<TierId>,
    /// The next number that no tier has had.
    tiers: NonZeroU32,
}

struct Entry {
    quota: Quota,
    /// How many policies of tiers use it.
    users: usize,
    /// The number of the release that left it unused.
    released: u64,
}

/// The periods that have a bucket of their own, in ns: at most `N`, in the order of the buckets.
#[derive(Clone, Default)]
pub(super) struct Periods<const N: usize>(Vec<u64>);

impl<const N: usize> Periods<N> {
    /// Returns the bucket of a period. If it is new, and a bucket is free, it gets that.
    pub(super) fn bucket(&mut self, period: u64) -> usize {
        if let Some(index) = self.0.iter().position(|of| *of == period) {
            return index;
        }
        if self.0.len() < N {
            self.0.push(period);
            return self.0.len() - 1;
        }
        let nearest = (0..N).min_by(|&one, &other| {
            let (one, other) = (self.0[one], self.0[other]);
            // max(p, q) / min(p, q), compared as fractions.
            let parts = |of: u64| (u128::from(of.max(period)), u128::from(of.min(period)));
            let ((high, low), (other_high, other_low)) = (parts(one), parts(other));
            (high * other_low)
                .cmp(&(other_high * low))
                .then(one.cmp(&other))
        });
        nearest.unwrap_or(0)
    }

    /// Returns the bucket of each quota of a policy, in its order. An error changes nothing.
    fn place(&mut self, policy: &Policy<N>) -> Result<[u32; N], Clash> {
        let known = self.0.len();
        let mut places = [0_u32; N];
        for (nth, quota) in policy.quotas().iter().enumerate() {
            let bucket = self.bucket(quota.period_nanos());
            // A policy asserts that it has room for fewer than 2^16.
            let bucket = u32::try_from(bucket).unwrap_or(0);
            let earlier = places.iter().take(nth).position(|of| *of == bucket);
            if let Some(earlier) = earlier {
                let periods = self.0.clone();
                self.0.truncate(known);
                return Err(Clash {
                    first: policy.quotas()[earlier],
                    second: *quota,
                    periods,
                });
            }
            places[nth] = bucket;
        }
        Ok(places)
    }
}

impl<const N: usize> Registry<N> {
    pub(super) fn new(periods: Periods<N>) -> Registry<N> {
        Registry {
            periods,
            ids: HashMap::new(),
            quotas: Vec::new(),
            free_ids: Vec::new(),
            unused: HashSet::new(),
            releases: 0,
            serials: 0,
            free_tiers: Vec::new(),
            tiers: NonZeroU32::MIN,
        }
    }

    /// Gives the periods of policies their buckets. An error has the index of the policy that has two quotas
    /// with one bucket. Then no period has been given one.
    pub(super) fn place_all<'a>(
        &mut self,
        policies: impl IntoIterator<Item = &'a Policy<N>>,
    ) -> Result<(), (usize, Clash)> {
        let mut periods = self.periods.clone();
        for (index, policy) in policies.into_iter().enumerate() {
            periods.place(policy).map_err(|clash| (index, clash))?;
        }
        self.periods = periods;
        Ok(())
    }

    /// Counts one more policy of a tier. `set` is called for each number that is given to a quota anew. An
    /// error changes nothing.
    pub(super) fn acquire(
        &mut self,
        policy: &Policy<N>,
        set: impl Fn(QuotaId, Bucket),
    ) -> Result<Placed<N>, Clash> {
        let places = self.periods.place(policy)?;
        let mut quotas = [NO_QUOTA; N];
        let mut buckets = [Bucket::ABSENT; N];
        for (quota, &place) in policy.quotas().iter().zip(&places) {
            quotas[place as usize] = self.acquire_quota(quota, &set);
            buckets[place as usize] = quota.bucket();
        }
        Ok(Placed {
            terms: Terms {
                quotas,
                buckets: Buckets::new(buckets),
            },
            places,
            count: policy.count(),
        })
    }

    fn acquire_quota(&mut self, quota: &Quota, set: impl Fn(QuotaId, Bucket)) -> QuotaId {
        if let Some(&id) = self.ids.get(quota) {
            let entry = &mut self.quotas[index(id)];
            if entry.users == 0 {
                self.unused.remove(&id);
            }
            entry.users += 1;
            return id;
        }
        let entry = Entry {
            quota: *quota,
            users: 1,
            released: 0,
        };
        let id = match self.free_ids.pop() {
            Some(id) => {
                self.quotas[index(id)] = entry;
                id
            }
            None => {
                self.quotas.push(entry);
                // 2^32 quotas would take 800 GB.
                QuotaId::try_from(self.quotas.len()).unwrap_or(QuotaId::MAX)
            }
        };
        self.ids.insert(*quota, id);
        set(id, quota.bucket());
        id
    }

    /// Counts one policy of a tier less, whose quotas have these numbers. No check can give them to a key
    /// any more, unless another tier uses them.
    pub(super) fn release(&mut self, ids: &[QuotaId; N]) {
        for &id in ids.iter().filter(|id| **id != NO_QUOTA) {
            self.releases += 1;
            let entry = &mut self.quotas[index(id)];
            entry.users -= 1;
            entry.released = self.releases;
            if entry.users == 0 {
                self.unused.insert(id);
            }
        }
    }

    pub(super) fn has_unused(&self) -> bool {
        !self.unused.is_empty()
    }

    /// Returns how often numbers had been released by now, and how many numbers were ever given.
    pub(super) fn begin_census(&self) -> (u64, usize) {
        (self.releases, self.quotas.len())
    }

    /// Frees the unused numbers that were released by the time `releases`, and not met since.
    pub(super) fn end_census(&mut self, releases: u64, is_met: impl Fn(QuotaId) -> bool) {
        let (quotas, ids, free) = (&self.quotas, &mut self.ids, &mut self.free_ids);
        self.unused.retain(|&id| {
            let entry = &quotas[index(id)];
            if entry.released > releases || is_met(id) {
                return true;
            }
            ids.remove(&entry.quota);
            free.push(id);
            false
        });
        // Both are as large as they ever were.
        if self.ids.len() < self.ids.capacity() / 4 {
            self.ids.shrink_to_fit();
        }
        if self.unused.len() < self.unused.capacity() / 4 {
            self.unused.shrink_to_fit();
        }
    }

    /// Returns a number that no policy has had.
    pub(super) fn next_serial(&mut self) -> u64 {
        self.serials += 1;
        self.serials
    }

    /// Returns the number of a new tier, which no other has.
    pub(super) fn add_tier(&mut self) -> TierId {
        self.free_tiers.pop().unwrap_or_else(|| {
            let next = TierId(self.tiers);
            // 2^32 tiers would take more memory than there is.
            self.tiers = self.tiers.saturating_add(1);
            next
        })
    }

    pub(super) fn remove_tier(&mut self, id: TierId) {
        self.free_tiers.push(id);
    }

    /// Returns how many numbers stand for a quota.
    #[cfg(all(test, not(tollgate_loom)))]
    pub(super) fn numbers(&self) -> usize {
        self.ids.len()
    }
}

fn index(id: QuotaId) -> usize {
    id as usize - 1
}
