//! The keys that this node knows to be denied.
//!
//! After a denial the other nodes can only add to the debts of a key. So it is denied until its time
//! whatever they do, and this node need not ask. A flood of one key costs one round trip for each wait.
//!
//! Two instants bound the time of the store's decision: before the request was sent, and after the reply
//! arrived. A cached denial is decided by the first, so that it is never wrong, and its numbers are those of
//! the second. So a caller that waits for that long is not too early, unless other nodes have spent since.
//!
//! # Caveats
//!
//! What takes debts away is not seen for up to [`LONGEST`]: a key that was removed in the store or forgotten
//! by another node, and a step forward of the store's clock. After an outage all is forgotten.

use std::{
    collections::HashMap,
    mem,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::time::Instant;
use tollgate::RandomState;

use crate::script::Reply;
use crate::terms::Terms;

/// The longest time for which a denial is cached.
const LONGEST: Duration = Duration::from_secs(60);

/// A denial, as the store replied.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Denial<const N: usize> {
    /// Before it was asked.
    asked: Instant,
    /// After it replied.
    replied: Instant,
    reply: Reply<N>,
}

/// A bounded cache of denials, by where their keys lie.
///
/// It has two generations of half the capacity. When the young one is full, it replaces the old one.
#[derive(Debug)]
pub(crate) struct Denied<const N: usize> {
    state: Mutex<State<N>>,
    capacity: usize,
}

#[derive(Debug)]
struct State<const N: usize> {
    /// The young one, and the old one.
    generations: [HashMap<Vec<u8>, Denial<N>, RandomState>; 2],
    /// How often keys were removed.
    removals: u64,
}

/// The state of the cache before a request. What is removed while the request is under way stays removed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ticket {
    removals: u64,
}

impl<const N: usize> Denied<N> {
    /// Makes a cache of at most `capacity` keys, rounded up to an even number. 0 caches nothing.
    pub(crate) fn new(capacity: usize) -> Denied<N> {
        Denied {
            state: Mutex::new(State {
                generations: Default::default(),
                removals: 0,
            }),
            capacity,
        }
    }

    /// Returns a denial of `n` units at `now`, if it is certain.
    pub(crate) fn find(
        &self,
        name: &[u8],
        n: u64,
        terms: &[Terms],
        now: Instant,
    ) -> Option<Reply<N>> {
        if self.capacity == 0 {
            return None;
        }
        let state = self.lock();
        let denial = *state.generations.iter().find_map(|map| map.get(name))?;
        drop(state);
        denial.at(n, terms, now)
    }

    /// Returns a ticket for a request that is about to be sent.
    pub(crate) fn ticket(&self) -> Ticket {
        let removals = self.lock().removals;
        Ticket { removals }
    }

    /// Inserts a denial whose request was sent at `asked` and whose reply arrived at `replied`, if nothing was removed
    /// since it has its ticket.
    pub(crate) fn insert(
        &self,
        name: Vec<u8>,
        ticket: Ticket,
        asked: Instant,
        replied: Instant,
        reply: Reply<N>,
    ) {
        let half = self.capacity.div_ceil(2);
        if half == 0 {
            return;
        }
        let denial = Denial {
            asked,
            replied,
            reply,
        };
        let mut state = self.lock();
        if state.removals != ticket.removals {
            return;
        }
        let [young, old] = &mut state.generations;
        let mut dropped = HashMap::default();
        if young.len() >= half && !young.contains_key(&name) {
            dropped = mem::replace(old, mem::take(young));
        }
        old.remove(&name);
        young.insert(name, denial);
        drop(state);
        // Not under the lock, as it may be large.
        drop(dropped);
    }

    /// Removes a key.
    pub(crate) fn remove(&self, name: &[u8]) {
        let mut state = self.lock();
        state.removals += 1;
        for map in &mut state.generations {
            map.remove(name);
        }
    }

    /// Removes every key.
    pub(crate) fn clear(&self) {
        let mut state = self.lock();
        state.removals += 1;
        let dropped = mem::take(&mut state.generations);
        drop(state);
        drop(dropped);
    }

    /// Returns how many keys are cached.
    pub(crate) fn len(&self) -> usize {
        self.lock().generations.iter().map(HashMap::len).sum()
    }

    fn lock(&self) -> MutexGuard<'_, State<N>> {
        // No method panics halfway.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<const N: usize> Denial<N> {
    fn at(&self, n: u64, terms: &[Terms], now: Instant) -> Option<Reply<N>> {
        let age = now.saturating_duration_since(self.asked);
        if age > LONGEST {
            return None;
        }
        // The clocks of two machines differ by less than a thousandth, and the store's ticks in µs.
        let longest = age + age / 1_000 + Duration::from_micros(1);
        let certain = self.after(longest, terms);
        let lacks = |(terms, debt): (&Terms, &u64)| terms.lacks(*debt, n);
        if !terms.iter().zip(&certain.debts).any(lacks) {
            return None;
        }
        Some(self.after(now.saturating_duration_since(self.replied), terms))
    }

    /// Returns the reply as the store would give it `elapsed` later.
    fn after(&self, elapsed: Duration, terms: &[Terms]) -> Reply<N> {
        let elapsed = u64::try_from(elapsed.as_micros()).unwrap_or(u64::MAX);
        let mut reply = self.reply;
        let earning = elapsed.saturating_sub(reply.behind);
        reply.behind = reply.behind.saturating_sub(elapsed);
        for (debt, terms) in reply.debts.iter_mut().zip(terms) {
            *debt = terms.repay(*debt, earning);
        }
        reply
    }
}

#[cfg(test)]
mod tests {
    use tollgate::Policy;

    use super::*;

    fn terms() -> Vec<Terms> {
        Terms::of(&"60/minute burst 2".parse::<Policy>().unwrap()).unwrap()
    }

    /// A bucket of two units that lacks all of them. A unit takes 1 s.
    fn empty(behind: u64) -> Reply<1> {
        Reply {
            is_allowed: false,
            behind,
            debts: [2_000_000],
        }
    }

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn a_denial_is_cached_until_the_store_might_allow() {
        let (denied, terms, start) = (Denied::new(10), terms(), Instant::now());
        denied.insert(
            b"a".to_vec(),
            denied.ticket(),
            start,
            start + 20 * MS,
            empty(0),
        );
        let debt = |at, n| {
            denied
                .find(b"a", n, &terms, start + at)
                .map(|reply| reply.debts[0])
        };
        assert_eq!(debt(20 * MS, 1), Some(2_000_000));
        // The numbers are those since the reply, and the decision is by the time before it was asked.
        assert_eq!(debt(520 * MS, 1), Some(1_500_000));
        assert_eq!(debt(998 * MS, 1), Some(1_022_000));
        assert_eq!(debt(1_000 * MS, 1), None);
        // A request for more is denied for longer, and one of nothing never.
        assert_eq!(debt(1_000 * MS, 2), Some(1_020_000));
        assert_eq!(debt(20 * MS, 0), None);
        assert!(denied.find(b"b", 1, &terms, start).is_none());
    }

    #[test]
    fn a_key_whose_time_is_ahead_earns_nothing_until_then() {
        let (denied, terms, start) = (Denied::new(10), terms(), Instant::now());
        denied.insert(b"a".to_vec(), denied.ticket(), start, start, empty(300_000));
        let reply = denied.find(b"a", 1, &terms, start + 100 * MS).unwrap();
        assert_eq!((reply.behind, reply.debts[0]), (200_000, 2_000_000));
        assert!(denied.find(b"a", 1, &terms, start + 1_290 * MS).is_some());
        assert!(denied.find(b"a", 1, &terms, start + 1_300 * MS).is_none());
    }

    #[test]
    fn the_cache_is_bounded_in_keys_and_in_time() {
        let start = Instant::now();
        let terms = Terms::of(&"1/day burst 1".parse::<Policy>().unwrap()).unwrap();
        let reply = Reply {
            is_allowed: false,
            behind: 0,
            debts: [terms[0].depth],
        };
        let denied = Denied::<1>::new(10);
        for key in 0..1_000_u32 {
            denied.insert(
                key.to_string().into_bytes(),
                denied.ticket(),
                start,
                start,
                reply,
            );
            assert!(denied.len() <= 10);
        }
        assert!(denied.find(b"999", 1, &terms, start + LONGEST).is_some());
        assert!(
            denied
                .find(b"999", 1, &terms, start + LONGEST + MS)
                .is_none()
        );
        denied.remove(b"999");
        assert!(denied.find(b"999", 1, &terms, start).is_none());
        assert!(denied.find(b"998", 1, &terms, start).is_some());
        denied.clear();
        assert_eq!(denied.len(), 0);
        let off = Denied::<1>::new(0);
        off.insert(b"a".to_vec(), off.ticket(), start, start, reply);
        assert_eq!(off.len(), 0);
    }
    /// Or a key would be denied again that was forgotten while a check of it was under way.
    #[test]
    fn what_was_asked_before_a_removal_is_not_cached() {
        let (denied, terms, start) = (Denied::new(10), terms(), Instant::now());
        for remove in [|denied: &Denied<1>| denied.remove(b"a"), Denied::clear] {
            let ticket = denied.ticket();
            remove(&denied);
            denied.insert(b"a".to_vec(), ticket, start, start, empty(0));
            assert!(denied.find(b"a", 1, &terms, start).is_none());
        }
        denied.insert(b"a".to_vec(), denied.ticket(), start, start, empty(0));
        assert!(denied.find(b"a", 1, &terms, start).is_some());
    }

    /// The store's clock may be just below its next tick when it denies.
    #[test]
    fn a_tick_of_the_store_is_allowed_for() {
        let terms = Terms::of(&"1000000/second burst 1".parse::<Policy>().unwrap()).unwrap();
        let (denied, start) = (Denied::new(10), Instant::now());
        let reply = Reply {
            is_allowed: false,
            behind: 0,
            debts: [terms[0].depth],
        };
        denied.insert(b"a".to_vec(), denied.ticket(), start, start, reply);
        let just_before = start + Duration::from_nanos(999);
        assert!(denied.find(b"a", 1, &terms, just_before).is_none());
    }
}
