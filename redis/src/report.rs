//! Reports to operators: warnings, at most one of a kind in a minute, and counts.

use std::{
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use tokio::time::Instant;

use crate::breaker::Known;
use crate::outage::{Cause, OnOutage};

const TARGET: &str = "tollgate";

/// The least time between two warnings of a kind.
const INTERVAL: Duration = Duration::from_secs(60);

/// Counts since the limiter was built. They are only read to be shown, so no access orders another.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    pub(crate) decided: AtomicU64,
    pub(crate) from_cache: AtomicU64,
    pub(crate) timeouts: AtomicU64,
    pub(crate) undecided: AtomicU64,
}

impl Counts {
    pub(crate) fn add(count: &AtomicU64) {
        count.fetch_add(1, Relaxed);
    }

    pub(crate) fn read(count: &AtomicU64) -> u64 {
        count.load(Relaxed)
    }
}

/// Sends warnings of outages and of settings of the store.
#[derive(Debug)]
pub(crate) struct Reporter {
    prefix: String,
    on_outage: OnOutage,
    outage: Mutex<Told>,
    keys: Mutex<Told>,
    settings: Mutex<Told>,
}

/// What was told last.
#[derive(Debug, Default)]
struct Told {
    at: Option<Instant>,
    /// Requests without a decision since then.
    undecided: u64,
    /// Whether an outage was told of whose end was not.
    is_open: bool,
}

impl Told {
    fn is_due(&self, now: Instant) -> bool {
        self.at
            .is_none_or(|at| now.saturating_duration_since(at) >= INTERVAL)
    }
}

impl Reporter {
    pub(crate) fn new(prefix: String, on_outage: OnOutage) -> Reporter {
        Reporter {
            prefix,
            on_outage,
            outage: Mutex::default(),
            keys: Mutex::default(),
            settings: Mutex::default(),
        }
    }

    /// Tells of a request that was not decided at `now`, if a warning is due.
    pub(crate) fn undecided(&self, cause: Cause, text: Option<&str>, now: Instant) {
        // Trouble with one key hides no outage, and no outage ends with it.
        let is_of_the_store = cause.is_of_the_store();
        let kind = if is_of_the_store {
            &self.outage
        } else {
            &self.keys
        };
        let mut told = kind.lock().unwrap_or_else(PoisonError::into_inner);
        told.undecided += 1;
        if !told.is_due(now) {
            return;
        }
        let undecided = told.undecided;
        *told = Told {
            at: Some(now),
            undecided: 0,
            is_open: true,
        };
        drop(told);
        // The text of an event is a literal.
        macro_rules! warn {
            ($text:literal) => {
                tracing::warn!(
                    target: TARGET,
                    prefix = self.prefix,
                    %cause,
                    error = text,
                    on_outage = ?self.on_outage,
                    undecided,
                    $text
                )
            };
        }
        if is_of_the_store {
            warn!("rate limit store unavailable");
        } else {
            warn!("rate limit store gives no decision on a key");
        }
    }

    /// Tells of the end of an outage, if its beginning was told.
    pub(crate) fn ended(&self, outage: Known, now: Instant) {
        let mut told = self.outage.lock().unwrap_or_else(PoisonError::into_inner);
        if !told.is_open {
            return;
        }
        told.is_open = false;
        let undecided = told.undecided;
        told.undecided = 0;
        drop(told);
        let lasted = now.saturating_duration_since(outage.since);
        tracing::info!(
            target: TARGET,
            prefix = self.prefix,
            cause = %outage.cause,
            ?lasted,
            undecided_since_last_event = undecided,
            "rate limit store available again"
        );
    }

    /// Warns of a setting with which the store may lose keys.
    pub(crate) fn evicts(&self, policy: &str, now: Instant) {
        let mut told = self.settings.lock().unwrap_or_else(PoisonError::into_inner);
        if !told.is_due(now) {
            return;
        }
        told.at = Some(now);
        drop(told);
        tracing::warn!(
            target: TARGET,
            prefix = self.prefix,
            maxmemory_policy = policy,
            "the store may evict keys, and an evicted key is as if it were full; set maxmemory-policy to noeviction"
        );
    }
}
