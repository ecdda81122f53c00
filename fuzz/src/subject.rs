//! A limiter that is checked against the laws at every step, with a judge for each key.

use std::{fmt::Debug, time::Duration};

use tollgate::{Decision, Quota, QuotaDecision, RateLimiter};

use crate::judge::Judge;
use crate::timed::{HORIZON, Hasher, Timed};

pub(crate) const KEYS: [u8; 3] = [0, 1, 2];

pub(crate) struct Subject<const N: usize> {
    pub(crate) timed: Timed<RateLimiter<u8, N, Hasher>>,
    quotas: [Quota; N],
    /// Whether the clock steps back without a sweep before it.
    unforeseen: bool,
    judges: [Judge; KEYS.len()],
    /// The times and units of the allowed checks of each key, since it was forgotten.
    histories: [Vec<(u64, u64)>; KEYS.len()],
    stored: [bool; KEYS.len()],
}

fn timed<const N: usize>(quotas: [Quota; N]) -> Timed<RateLimiter<u8, N, Hasher>> {
    Timed::new(|clock| {
        let builder = RateLimiter::builder(quotas).clock(clock);
        builder
            .hasher(Hasher::default())
            .shards(2)
            .manual_sweep()
            .build()
    })
}

impl<const N: usize> Subject<N> {
    pub(crate) fn new(quotas: [Quota; N], unforeseen: bool) -> Subject<N> {
        Subject {
            timed: timed(quotas),
            quotas,
            unforeseen,
            judges: KEYS.map(|_| Judge::new(&quotas)),
            histories: KEYS.map(|_| Vec::new()),
            stored: [false; KEYS.len()],
        }
    }

    pub(crate) fn check(&mut self, key: u8, n: u64) {
        let before = self.look(key, n);
        let decision = self.timed.limiter.check_n(&key, n);
        let (id, now) = (usize::from(key), self.timed.now());
        self.judges[id].check(&decision, n, now);
        if decision.is_allowed() && n > 0 {
            self.stored[id] = true;
            self.histories[id].push((now, n));
        }
        let after = self.look(key, n);
        self.comes_true(&after, key, n);

        assert_eq!(decision.is_allowed(), before.is_allowed());
        assert_eq!(held(&decision), held(&after));
        if !decision.is_allowed() {
            assert_eq!(numbers(&decision), numbers(&before));
            assert_eq!(numbers(&after), numbers(&before));
        }
    }

    pub(crate) fn forget(&mut self, key: u8) {
        let id = usize::from(key);
        assert_eq!(self.timed.limiter.forget(&key), self.stored[id]);
        self.stored[id] = false;
        self.histories[id].clear();
        self.judges[id] = Judge::new(&self.quotas);
    }

    pub(crate) fn sweep(&mut self) {
        let full = KEYS.map(|key| self.timed.limiter.peek(&key).reset_after().is_zero());
        let before = self.stored;
        for (stored, full) in self.stored.iter_mut().zip(full) {
            *stored &= !full;
        }
        assert_eq!(
            self.timed.limiter.sweep(),
            count(before) - count(self.stored)
        );
    }

    pub(crate) fn counts_its_keys(&self) {
        assert_eq!(self.timed.limiter.len(), count(self.stored));
    }

    pub(crate) fn advance(&mut self, by: u64) {
        self.timed.advance(by);
        // The limiter reads the clock. It cannot know a time that it has not read.
        _ = self.look(KEYS[0], 0);
    }

    pub(crate) fn rewind(&mut self, by: u64) {
        if !self.unforeseen {
            self.sweep();
        }
        self.timed.rewind(by);
        _ = self.look(KEYS[0], 0);
    }

    pub(crate) fn smallest_burst(&self) -> u64 {
        let bursts = self.quotas.iter().map(Quota::burst_size);
        bursts.fold(u64::MAX, u64::min)
    }

    /// Returns the time in ns that `n` units of the last quota take.
    pub(crate) fn time_of(&self, n: u64) -> u64 {
        u64::try_from(time_of(n, &self.quotas[N - 1])).unwrap_or(u64::MAX)
    }

    /// Peeks, and checks all that the decision says of this instant.
    pub(crate) fn look(&self, key: u8, n: u64) -> Decision<N> {
        let judge = &self.judges[usize::from(key)];
        let peek_n = |n| {
            let peek = self.timed.limiter.peek_n(&key, n);
            judge.peek(&peek, n, self.timed.now());
            peek
        };
        let peek = peek_n(n);
        let remaining = peek.remaining();
        assert_eq!(peek.is_allowed(), n <= remaining);
        assert!(peek_n(remaining).is_allowed());
        assert!(remaining == u64::MAX || !peek_n(remaining + 1).is_allowed());

        let binding = peek.quotas()[peek.binding()];
        assert_eq!(peek.limit(), binding.limit());
        assert_eq!(peek.exceeds_burst(), binding.exceeds_burst());
        assert_eq!(peek.retry_after(), binding.retry_after());
        assert!(!peek.is_allowed() || remaining == binding.remaining());

        for (part, quota) in peek.quotas().iter().zip(&self.quotas) {
            // No step back locks a key out.
            let longest = time_of(quota.burst_size(), quota);
            assert!(part.reset_after().as_nanos() <= longest);
        }
        peek
    }

    /// Checks the waits of a peek in a twin, which has only seen the allowed checks of the key: no
    /// sweep, no other key, no step back.
    pub(crate) fn comes_true(&self, peek: &Decision<N>, key: u8, n: u64) {
        let (id, now) = (usize::from(key), self.timed.now());
        let mut twin = timed(self.quotas);
        for (then, n) in &self.histories[id] {
            twin.advance_to(*then);
            assert!(twin.limiter.check_n(&key, *n).is_allowed());
        }
        twin.advance_to(now);
        assert_eq!(numbers(&twin.limiter.peek_n(&key, n)), numbers(peek));

        let after = |wait| now.saturating_add(nanos(wait));
        let retry = peek.retry_after().map(after);
        let resets = peek.quotas().iter().map(|part| after(part.reset_after()));
        let resets: Vec<u64> = resets.collect();

        let waits = resets.iter().copied().chain(retry);
        let mut times: Vec<u64> = waits
            .flat_map(|then| [then.saturating_sub(1), then])
            .collect();
        times.sort_unstable();
        // Time stands still after the horizon.
        for at in times.into_iter().filter(|at| (now..=HORIZON).contains(at)) {
            twin.advance_to(at);
            let later = twin.limiter.peek_n(&key, n);
            self.judges[id].peek(&later, n, at);
            let is_due = peek.is_allowed() || retry.is_some_and(|then| at >= then);
            assert_eq!(later.is_allowed(), is_due);
            for (part, reset) in later.quotas().iter().zip(&resets) {
                assert_eq!(part.remaining() == part.limit(), at >= *reset);
            }
        }
    }
}

/// Returns all numbers of each quota of a decision.
fn numbers<const N: usize>(decision: &Decision<N>) -> Vec<impl PartialEq + Debug + use<N>> {
    let all = |part: &QuotaDecision| (part.exceeds_burst(), part.retry_after(), held_by(part));
    decision.quotas().iter().map(all).collect()
}

/// Returns the numbers that do not depend on the units of the request.
fn held<const N: usize>(decision: &Decision<N>) -> Vec<(u64, Duration)> {
    decision.quotas().iter().map(held_by).collect()
}

fn held_by(part: &QuotaDecision) -> (u64, Duration) {
    (part.remaining(), part.reset_after())
}

fn count(keys: [bool; KEYS.len()]) -> usize {
    keys.into_iter().filter(|is_one| *is_one).count()
}

/// Returns the time in ns that `n` units take, rounded up.
fn time_of(n: u64, quota: &Quota) -> u128 {
    (u128::from(n) * quota.period().as_nanos()).div_ceil(u128::from(quota.units()))
}

pub(crate) fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
