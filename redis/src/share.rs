//! The local share of a node: how it limits while the store is unavailable.
//!
//! Each of N nodes has 1 / N of the rate and of the burst. Its buckets are empty when the outage begins: what
//! a key had left is in the store, where any node may have spent it. So N shares admit at most the rate × t
//! of all while the outage lasts, as if the store had been asked. What a node admits is charged in the store when that returns.

use std::{
    collections::{HashMap, hash_map::Entry},
    mem,
    num::NonZeroU32,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tollgate::{Quota, RandomState};

use crate::error::InvalidSetting;
use crate::outage::Verdict;
use crate::script::Mode;

/// The most keys that are admitted during one outage.
const MAX_KEYS: usize = 1 << 16;

#[derive(Debug)]
pub(crate) struct Share {
    quotas: Vec<Part>,
    table: Mutex<Table>,
}

#[derive(Debug, Default)]
struct Table {
    keys: HashMap<Vec<u8>, Admitted, RandomState>,
    /// Whether nothing is admitted, until all is charged.
    is_frozen: bool,
}

/// A quota's part, in µs and in units of which `parts` are one.
#[derive(Clone, Copy, Debug)]
struct Part {
    rate: u128,
    parts: u128,
    depth: u128,
}

impl Part {
    /// Returns the µs until `n` units are there, or `None` if they never are.
    fn wait(&self, debt: u128, n: u64) -> Option<u64> {
        let n = u128::from(n);
        if n > self.depth / self.parts {
            return None;
        }
        let missing = (debt + n * self.parts).saturating_sub(self.depth);
        Some(u64::try_from(missing.div_ceil(self.rate)).unwrap_or(u64::MAX))
    }
}

/// A key that was admitted.
#[derive(Clone, Debug)]
struct Admitted {
    /// The µs since the outage began.
    at: u64,
    debts: Vec<u128>,
    /// The units that the store does not know of.
    uncharged: u64,
}

impl Share {
    /// Makes the share of one of `nodes`.
    ///
    /// # Errors
    ///
    /// If a quota's burst is less than the number of nodes.
    pub(crate) fn new(quotas: &[Quota], nodes: NonZeroU32) -> Result<Share, InvalidSetting> {
        let part = |quota: &Quota| {
            let burst = quota.burst_size() / u64::from(nodes.get());
            if burst == 0 {
                return Err(InvalidSetting::new(
                    format_args!("{nodes} nodes for {quota}"),
                    format_args!("at most its burst, {}", quota.burst_size()),
                ));
            }
            let parts = quota.period().as_nanos() * u128::from(nodes.get());
            Ok(Part {
                rate: u128::from(quota.units()) * 1_000,
                parts,
                depth: u128::from(burst) * parts,
            })
        };
        Ok(Share {
            quotas: quotas.iter().map(part).collect::<Result<_, _>>()?,
            table: Mutex::default(),
        })
    }

    /// Decides on `n` units of a key. `elapsed` returns the time since the outage began.
    ///
    /// It is called under the lock under which an outage [ends](Share::end), so that no key is admitted for
    /// the time of an outage that is over.
    pub(crate) fn decide(
        &self,
        name: &[u8],
        mode: Mode,
        n: u64,
        elapsed: impl FnOnce() -> Duration,
    ) -> Verdict {
        let mut table = self.lock();
        let Table { keys, is_frozen } = &mut *table;
        let now = u64::try_from(elapsed().as_micros()).unwrap_or(u64::MAX);
        let known = keys.get(name);
        let debts: Vec<u128> = (0..self.quotas.len())
            .map(|index| self.debt(index, known, now))
            .collect();
        let waits = self
            .quotas
            .iter()
            .zip(&debts)
            .map(|(part, debt)| part.wait(*debt, n));
        // `None` if one of them never ends.
        let longest = waits
            .collect::<Option<Vec<u64>>>()
            .and_then(|waits| waits.into_iter().max());
        let is_full = known.is_none() && keys.len() >= MAX_KEYS;
        if longest != Some(0) || is_full || *is_frozen {
            let retry_after = longest.filter(|wait| *wait > 0).map(Duration::from_micros);
            return Verdict::Denied { retry_after };
        }
        if n == 0 || mode == Mode::Peek {
            return Verdict::Allowed;
        }
        let debts = self
            .quotas
            .iter()
            .zip(debts)
            .map(|(part, debt)| debt + u128::from(n) * part.parts);
        let debts = debts.collect();
        match keys.entry(name.to_vec()) {
            Entry::Occupied(mut entry) => {
                let admitted = entry.get_mut();
                admitted.at = admitted.at.max(now);
                admitted.debts = debts;
                admitted.uncharged = admitted.uncharged.saturating_add(n);
            }
            Entry::Vacant(entry) => {
                entry.insert(Admitted {
                    at: now,
                    debts,
                    uncharged: n,
                });
            }
        }
        Verdict::Allowed
    }

    /// Returns the debt of a key now.
    fn debt(&self, index: usize, known: Option<&Admitted>, now: u64) -> u128 {
        let Part { rate, depth, .. } = self.quotas[index];
        let (at, debt) = known.map_or((0, depth), |admitted| (admitted.at, admitted.debts[index]));
        debt.saturating_sub(u128::from(now.saturating_sub(at)).saturating_mul(rate))
    }

    /// Returns the keys with units that the store does not know of, and takes them as charged.
    pub(crate) fn take_uncharged(&self) -> Vec<(Vec<u8>, u64)> {
        let mut table = self.lock();
        let uncharged = table
            .keys
            .iter_mut()
            .filter(|(_, admitted)| admitted.uncharged > 0);
        uncharged
            .map(|(name, admitted)| (name.clone(), mem::take(&mut admitted.uncharged)))
            .collect()
    }

    /// Takes units back that could not be charged.
    pub(crate) fn put_back(&self, name: Vec<u8>, n: u64) {
        let mut table = self.lock();
        let debts = || self.quotas.iter().map(|part| part.depth).collect();
        let admitted = table.keys.entry(name).or_insert_with(|| Admitted {
            at: 0,
            debts: debts(),
            uncharged: 0,
        });
        admitted.uncharged = admitted.uncharged.saturating_add(n);
    }

    /// Returns a key with units that the store does not know of.
    pub(crate) fn uncharged_key(&self) -> Option<Vec<u8>> {
        let table = self.lock();
        let mut keys = table.keys.iter();
        let (name, _) = keys.find(|(_, admitted)| admitted.uncharged > 0)?;
        Some(name.clone())
    }

    /// Whether nothing was admitted since the outage began.
    pub(crate) fn is_untouched(&self) -> bool {
        self.lock().keys.is_empty()
    }

    /// Admits nothing from now on, or goes on with it.
    pub(crate) fn freeze(&self, is_frozen: bool) {
        self.lock().is_frozen = is_frozen;
    }

    /// Forgets all buckets if nothing is left to be charged. Returns what `close` returns then.
    pub(crate) fn end<T>(&self, close: impl FnOnce() -> T) -> Option<T> {
        let mut table = self.lock();
        if table.keys.values().any(|admitted| admitted.uncharged > 0) {
            return None;
        }
        let closed = close();
        let dropped = mem::take(&mut *table);
        drop(table);
        // Not under the lock, as it may be large.
        drop(dropped);
        Some(closed)
    }

    fn lock(&self) -> MutexGuard<'_, Table> {
        // No method panics halfway.
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use tollgate::Policy;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    impl Share {
        fn spend(&self, name: &[u8], n: u64, elapsed: Duration) -> Verdict {
            self.decide(name, Mode::Spend, n, || elapsed)
        }
    }

    fn share(text: &str, nodes: u32) -> Result<Share, InvalidSetting> {
        let policy: Policy<2> = text.parse().unwrap();
        Share::new(policy.quotas(), NonZeroU32::new(nodes).unwrap())
    }

    /// Four nodes together admit no more than the rate, from the start of the outage on.
    #[test]
    fn the_shares_of_all_nodes_add_up_to_the_rate() {
        let shares: Vec<Share> = (0..4)
            .map(|_| share("60/minute burst 8", 4).unwrap())
            .collect();
        let mut admitted = 0;
        for second in 0..100 {
            for share in &shares {
                for _ in 0..5 {
                    admitted +=
                        u64::from(share.spend(b"a", 1, second * SECOND) == Verdict::Allowed);
                }
            }
            assert!(admitted <= u64::from(second), "{admitted} in {second} s");
        }
        assert_eq!(admitted, 96);
        // At rest a share fills up to its part of the burst.
        let passed =
            (0..10).filter(|_| shares[0].spend(b"b", 1, 1_000 * SECOND) == Verdict::Allowed);
        assert_eq!(passed.count(), 2);
    }

    #[test]
    fn a_denial_of_the_share_has_the_wait_of_its_slowest_quota() {
        let share = share("60/minute burst 4; 60/hour burst 4", 2).unwrap();
        let wait = |n, at| match share.spend(b"a", n, at) {
            Verdict::Denied { retry_after } => retry_after,
            Verdict::Allowed => panic!("{n} units pass at {at:?}"),
        };
        assert_eq!(wait(1, Duration::ZERO), Some(120 * SECOND));
        assert_eq!(wait(2, 10 * SECOND), Some(230 * SECOND));
        assert_eq!(wait(3, Duration::ZERO), None);
        assert_eq!(wait(u64::MAX, Duration::ZERO), None);
        assert_eq!(share.spend(b"a", 0, Duration::ZERO), Verdict::Allowed);
        assert_eq!(share.spend(b"a", 1, 120 * SECOND), Verdict::Allowed);
    }

    #[test]
    fn what_was_admitted_is_charged_once_and_ends_the_outage() {
        let share = share("60/minute burst 8", 2).unwrap();
        for _ in 0..3 {
            assert_eq!(share.spend(b"a", 1, 10 * SECOND), Verdict::Allowed);
        }
        assert_eq!(share.end(|| "closed"), None);
        assert_eq!(share.take_uncharged(), [(b"a".to_vec(), 3)]);
        assert!(share.take_uncharged().is_empty());
        share.put_back(b"a".to_vec(), 3);
        assert_eq!(share.end(|| "closed"), None);
        assert_eq!(share.take_uncharged(), [(b"a".to_vec(), 3)]);
        assert_eq!(share.end(|| "closed"), Some("closed"));
        // The next outage begins with empty buckets.
        assert_ne!(share.spend(b"a", 1, Duration::ZERO), Verdict::Allowed);
    }

    #[test]
    fn a_burst_below_the_number_of_nodes_is_an_error() {
        let error = share("10/minute; 60/hour burst 3", 4).unwrap_err();
        assert_eq!(
            error.to_string(),
            "found 4 nodes for 60/hour burst 3, expected at most its burst, 3"
        );
    }

    #[test]
    fn a_share_is_bounded() {
        let share = share("60/minute burst 2", 1).unwrap();
        for key in 0..MAX_KEYS + 10 {
            _ = share.spend(key.to_string().as_bytes(), 1, 60 * SECOND);
        }
        assert_eq!(share.take_uncharged().len(), MAX_KEYS);
    }
}
