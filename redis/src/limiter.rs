//! The limiter: from a key to a decision or an outage.

mod charge;

use std::{
    fmt,
    future::Future,
    hash::{BuildHasher, RandomState},
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::{
    runtime::Handle,
    time::{Instant, sleep, timeout},
};
use tollgate::limit::{Checked, Fallback, Limit};
use tollgate::{Decision, Policy, Quota};

use crate::breaker::{Breaker, Known};
use crate::client::{Client, Command, Failure};
use crate::denied::Denied;
use crate::health::{Health, OutageHealth, StoreInfo};
use crate::key::{Names, SharedKey};
use crate::outage::{Cause, OnOutage, Outage, Verdict};
use crate::report::{Counts, Reporter};
use crate::script::{Mode, Reply};
use crate::share::Share;
use crate::terms::Terms;

/// The time until the limiter asks for the settings of the store again, if that failed.
const INSPECTION: Duration = Duration::from_secs(60);

/// A rate limiter whose buckets are in Redis or Valkey, so that several nodes share one limit.
///
/// It decides as [`tollgate::RateLimiter`] does, with the same quotas and decisions. A clone is cheap and
/// shares everything. Two limiters with the same prefix and equal quotas, in any processes, share their
/// buckets.
///
/// ```no_run
/// use tollgate::Quota;
/// use tollgate_redis::SharedLimiter;
///
/// # async fn turn() -> Result<(), Box<dyn std::error::Error>> {
/// let client = redis::Client::open("redis://127.0.0.1/")?;
/// let turns = SharedLimiter::builder([Quota::per_minute(10), Quota::per_hour(60)])
///     .prefix("turns")
///     .connect(client)?;
///
/// match turns.check("alice").await {
///     Ok(decision) if decision.is_allowed() => println!("{} left", decision.remaining()),
///     Ok(denied) => println!("retry after {:?}", denied.retry_after()),
///     // Not a denial: nothing is known. `is_allowed` follows `Builder::on_outage`.
///     Err(outage) => println!("{outage}"),
/// }
/// # Ok(())
/// # }
/// ```
///
/// # Consistency
///
/// - Each check is one script on one key, which the store runs alone. So in any interval of length t of the
///   store's clock, a key is admitted at most b + r × t units by all nodes together.
/// - Decisions are exact on that clock, which ticks in µs: [`retry_after`](Decision::retry_after) is whole
///   µs, and the same request, alone, is denied 1 µs earlier.
/// - All this holds for one incarnation of the data. A key that the store loses is as if it were full: by
///   eviction, `FLUSHALL`, a restart without persistence, or a failover to a replica that lags (then for what
///   was spent in the lag). Each loss admits at most b more.
/// - The store's clock is a wall clock. A step forward by s admits at most r × s more. While it is behind by
///   up to 1 s after a step back, nothing is earned. After a longer step time counts on at once.
///
/// # Caveats
///
/// - A check needs a tokio runtime with its timer enabled. Without a runtime it ends as an outage,
///   [`Cause::NoRuntime`]. Without the timer it panics.
/// - A request without a reply in time may have spent its units. It is never sent again.
/// - Dropping the future of a check may leave its units spent.
#[derive(Clone)]
pub struct SharedLimiter<const N: usize = 1> {
    inner: Arc<Inner<N>>,
}

pub(crate) struct Inner<const N: usize> {
    settings: Settings<N>,
    terms: Vec<Terms>,
    names: Names,
    share: Option<Share>,
    client: Client,
    breaker: Breaker,
    denied: Denied<N>,
    counts: Counts,
    reporter: Reporter,
    /// Whether the settings of the store were looked at since it was last unavailable.
    is_inspected: AtomicBool,
    /// Whether a task charges what was admitted during an outage.
    is_returning: AtomicBool,
}

/// What a limiter is set to.
#[derive(Clone, Debug)]
pub(crate) struct Settings<const N: usize> {
    pub(crate) policy: Policy<N>,
    pub(crate) prefix: String,
    pub(crate) deadline: Duration,
    pub(crate) on_outage: OnOutage,
    pub(crate) denied_keys: usize,
}

/// A request to the store that may be dropped, as by a timeout of the caller that is shorter than the deadline.
/// If it waited for long by then, that counts as a timeout. Otherwise such callers would never learn of an outage.
struct Unfinished<'a, const N: usize> {
    inner: &'a Arc<Inner<N>>,
    asked: Instant,
    is_over: bool,
}

impl<const N: usize> Drop for Unfinished<'_, N> {
    fn drop(&mut self) {
        let now = Instant::now();
        let has_waited =
            now.saturating_duration_since(self.asked) >= self.inner.settings.deadline / 4;
        // A runtime that ends drops its tasks, and starts none.
        if !self.is_over && has_waited && Handle::try_current().is_ok() {
            self.inner.failed(Cause::Timeout, self.asked, now);
        }
    }
}

/// A request without a decision.
struct Undecided {
    cause: Cause,
    /// What the server said, if it was asked.
    text: Option<String>,
}

impl<const N: usize> SharedLimiter<N> {
    /// Makes a limiter on a client. Its share is given if it has one.
    pub(crate) fn new(
        settings: Settings<N>,
        terms: Vec<Terms>,
        names: Names,
        share: Option<Share>,
        client: Client,
    ) -> SharedLimiter<N> {
        let inner = Inner {
            terms,
            names,
            share,
            client,
            breaker: Breaker::new(RandomState::new().hash_one(0)),
            denied: Denied::new(settings.denied_keys),
            counts: Counts::default(),
            reporter: Reporter::new(settings.prefix.clone(), settings.on_outage),
            is_inspected: AtomicBool::new(false),
            is_returning: AtomicBool::new(false),
            settings,
        };
        SharedLimiter {
            inner: Arc::new(inner),
        }
    }

    /// Spends a unit of `key`, and returns whether the request passes.
    ///
    /// During an outage that is what [`Builder::on_outage`](crate::Builder::on_outage) says.
    pub async fn allow(&self, key: &(impl SharedKey + ?Sized)) -> bool {
        match self.check(key).await {
            Ok(decision) => decision.is_allowed(),
            Err(outage) => outage.is_allowed(),
        }
    }

    /// Spends a unit of `key` if every bucket holds one.
    ///
    /// # Errors
    ///
    /// If the store gives no decision within the [deadline](crate::Builder::deadline). The outage says what becomes
    /// of the request.
    pub async fn check(&self, key: &(impl SharedKey + ?Sized)) -> Result<Decision<N>, Outage> {
        self.check_n(key, 1).await
    }

    /// Spends `n` units of `key` if every bucket holds them, and none otherwise.
    ///
    /// 0 units are always allowed. More than a burst are denied and [exceed it](Decision::exceeds_burst).
    ///
    /// # Errors
    ///
    /// As [`check`](SharedLimiter::check).
    pub async fn check_n(
        &self,
        key: &(impl SharedKey + ?Sized),
        n: u64,
    ) -> Result<Decision<N>, Outage> {
        let name = self.inner.names.name(&key.key_bytes());
        match self.inner.cached(&name, n) {
            Some(decision) => Ok(decision),
            None => self.inner.decide(name, Mode::Spend, n).await,
        }
    }

    /// Returns what [`check`](SharedLimiter::check) would decide, and spends nothing.
    ///
    /// It asks the store, also for a key that this node has cached as denied. After the store's clock was set back
    /// by more than 1 s, the key earns again from the next `check` on, and not from a peek.
    ///
    /// # Errors
    ///
    /// As [`check`](SharedLimiter::check).
    pub async fn peek(&self, key: &(impl SharedKey + ?Sized)) -> Result<Decision<N>, Outage> {
        self.peek_n(key, 1).await
    }

    /// Returns what [`check_n`](SharedLimiter::check_n) would decide, and spends nothing.
    ///
    /// # Errors
    ///
    /// As [`check`](SharedLimiter::check).
    pub async fn peek_n(
        &self,
        key: &(impl SharedKey + ?Sized),
        n: u64,
    ) -> Result<Decision<N>, Outage> {
        let name = self.inner.names.name(&key.key_bytes());
        self.inner.decide(name, Mode::Peek, n).await
    }

    /// Makes the buckets of `key` full, and returns whether the store had the key.
    ///
    /// Other nodes may deny it from their caches for up to a minute.
    ///
    /// # Errors
    ///
    /// If the store does not confirm it within the deadline.
    pub async fn forget(&self, key: &(impl SharedKey + ?Sized)) -> Result<bool, Cause> {
        let inner = &self.inner;
        let name = inner.names.name(&key.key_bytes());
        // Also before, as the future may be dropped.
        inner.denied.remove(&name);
        let result = inner.ask(inner.client.remove(&name)).await;
        inner.denied.remove(&name);
        result.map_err(|undecided| undecided.cause)
    }

    /// Asks the store for its version and its eviction policy, and warns if it may evict keys.
    ///
    /// The limiter does this itself after its first decision, and after each outage. Call it when the
    /// service starts, to be told then.
    ///
    /// # Errors
    ///
    /// If the store does not reply within the deadline.
    pub async fn inspect(&self) -> Result<StoreInfo, Cause> {
        self.inner.inspect().await
    }

    /// Returns the state of the store as this node knows it, and counts.
    ///
    /// Only checks find out that an outage is over. Without checks it lasts.
    #[must_use]
    pub fn health(&self) -> Health {
        let Inner {
            breaker,
            counts,
            denied,
            ..
        } = &*self.inner;
        let outage = breaker.outage().map(|outage| OutageHealth {
            cause: outage.cause,
            lasted: Instant::now().saturating_duration_since(outage.since),
        });
        Health {
            outage,
            decided: Counts::read(&counts.decided),
            from_cache: Counts::read(&counts.from_cache),
            timeouts: Counts::read(&counts.timeouts),
            undecided: Counts::read(&counts.undecided),
            denied_keys: denied.len(),
        }
    }

    /// Returns the policy that every key is under.
    #[must_use]
    pub fn policy(&self) -> &Policy<N> {
        &self.inner.settings.policy
    }
}

impl<const N: usize> Inner<N> {
    /// Returns the denial of this node's cache, if it has one.
    fn cached(&self, name: &[u8], n: u64) -> Option<Decision<N>> {
        let reply = self.denied.find(name, n, &self.terms, Instant::now())?;
        Counts::add(&self.counts.from_cache);
        self.decision(&reply, n, false).map(Decision::from_cache)
    }

    /// Asks the store for a decision.
    async fn decide(
        self: &Arc<Self>,
        name: Vec<u8>,
        mode: Mode,
        n: u64,
    ) -> Result<Decision<N>, Outage> {
        let (asked, ticket) = (Instant::now(), self.denied.ticket());
        let probed = match self.admit(asked) {
            Ok(probed) => probed,
            Err(undecided) => return Err(self.outage(undecided, &name, mode, n)),
        };
        // The store decides on nothing before it knows what this node has admitted.
        let owing = probed.filter(|_| {
            let share = self.share.as_ref();
            share.is_some_and(|share| !share.is_untouched())
        });
        // What exceeds a burst, and what is nothing, changes no key.
        let exceeds = self.terms.iter().any(|terms| n > terms.quota.burst_size());
        let (sent_mode, sent) = match n {
            _ if exceeds || owing.is_some() => (Mode::Peek, 0),
            0 => (Mode::Peek, 0),
            _ => (mode, n),
        };
        let run = self.client.run(&name, sent_mode, &self.terms, sent);
        let replied = self.send(Command::Script, asked, run).await;
        let undecided = match (replied, owing) {
            (Ok(_), Some(Known { cause, .. })) => Undecided { cause, text: None },
            (Ok(reply), None) => {
                Counts::add(&self.counts.decided);
                let decision = self.decision(&reply, n, reply.is_allowed && !exceeds);
                if !reply.is_allowed {
                    self.denied
                        .insert(name, ticket, asked, Instant::now(), reply);
                }
                // A policy has 1 to N quotas, so there is one.
                return decision.ok_or(Outage {
                    cause: Cause::Server,
                    was_asked: true,
                    verdict: Verdict::Denied { retry_after: None },
                });
            }
            (Err(undecided), _) => undecided,
        };
        Err(self.outage(undecided, &name, mode, n))
    }

    /// Says what becomes of a request without a decision, and tells of it.
    fn outage(&self, undecided: Undecided, name: &[u8], mode: Mode, n: u64) -> Outage {
        let Undecided { cause, text } = undecided;
        let now = Instant::now();
        Counts::add(&self.counts.undecided);
        self.reporter.undecided(cause, text.as_deref(), now);
        let verdict = match (self.settings.on_outage, &self.share) {
            (OnOutage::Allow, _) => Verdict::Allowed,
            (OnOutage::Local { .. }, Some(share)) => share.decide(name, mode, n, || {
                let since = self.breaker.outage().map_or(now, |outage| outage.since);
                now.saturating_duration_since(since)
            }),
            (OnOutage::Deny | OnOutage::Local { .. }, _) => Verdict::Denied { retry_after: None },
        };
        Outage {
            cause,
            was_asked: text.is_some(),
            verdict,
        }
    }

    /// Makes a decision on `n` units of a reply.
    fn decision(&self, reply: &Reply<N>, n: u64, is_allowed: bool) -> Option<Decision<N>> {
        let debts = self.terms.iter().zip(&reply.debts);
        let debts = debts.map(|(terms, debt)| (terms.quota, *debt, terms.parts));
        let debts: Vec<_> = debts.collect();
        let decision = Decision::from_debts(n, is_allowed, &debts)?;
        let behind = Duration::from_micros(reply.behind);
        Some(decision.on_clock(Duration::from_micros(1), behind))
    }

    /// Runs a command beside the script, unless the store is known to fail.
    async fn ask<T>(
        self: &Arc<Self>,
        request: impl Future<Output = Result<T, Failure>>,
    ) -> Result<T, Undecided> {
        let asked = Instant::now();
        self.admit(asked)?;
        self.send(Command::Other, asked, request).await
    }

    /// Says whether the store may be asked, and returns the outage that lasts.
    fn admit(&self, asked: Instant) -> Result<Option<Known>, Undecided> {
        if Handle::try_current().is_err() {
            let cause = Cause::NoRuntime;
            return Err(Undecided { cause, text: None });
        }
        let undecided = |Known { cause, .. }| Undecided { cause, text: None };
        self.breaker.admit(asked).map_err(undecided)
    }

    /// Asks the store, at most until the deadline.
    async fn send<T>(
        self: &Arc<Self>,
        command: Command,
        asked: Instant,
        request: impl Future<Output = Result<T, Failure>>,
    ) -> Result<T, Undecided> {
        let mut unfinished = Unfinished {
            inner: self,
            asked,
            is_over: false,
        };
        let result = timeout(self.settings.deadline, request).await;
        unfinished.is_over = true;
        let now = Instant::now();
        let failure = match result.unwrap_or_else(|_| Err(Failure::timeout())) {
            Ok(reply) => {
                self.answered(now);
                return Ok(reply);
            }
            Err(failure) => failure,
        };
        if !failure.cause.is_of_the_store() {
            self.answered(now);
        }
        if failure.cause == Cause::Timeout {
            Counts::add(&self.counts.timeouts);
        }
        if command.is_concerned(failure.cause) {
            self.failed(failure.cause, asked, now);
        }
        Err(Undecided {
            cause: failure.cause,
            text: Some(failure.text),
        })
    }

    /// The store failed.
    fn failed(self: &Arc<Self>, cause: Cause, asked: Instant, now: Instant) {
        let begun = self.breaker.failed(cause, asked, now);
        // A silent connection is found by its timeouts alone.
        if cause == Cause::Timeout && self.breaker.outage().is_some() {
            self.client.renew();
        }
        if let (Some(outage), Some(_)) = (begun, &self.share) {
            tokio::spawn(charge::attend(Arc::downgrade(self), outage));
        }
    }

    /// The store answered.
    fn answered(self: &Arc<Self>, now: Instant) {
        if let Some(outage) = self.breaker.answered(now) {
            if self.share.is_none() {
                if self.breaker.close() {
                    self.ended(outage);
                }
            } else if !self.is_returning.swap(true, Ordering::AcqRel) {
                tokio::spawn(Arc::clone(self).charge_all(outage));
            }
        }
        if !self.is_inspected.swap(true, Ordering::Relaxed) {
            let inner = Arc::clone(self);
            tokio::spawn(async move {
                if inner.inspect().await.is_ok() {
                    return;
                }
                let waiting = Arc::downgrade(&inner);
                drop(inner);
                sleep(INSPECTION).await;
                if let Some(inner) = waiting.upgrade() {
                    inner.is_inspected.store(false, Ordering::Relaxed);
                }
            });
        }
    }

    /// An outage ended by this thread.
    fn ended(&self, outage: Known) {
        // The store may have lost keys.
        self.denied.clear();
        self.is_inspected.store(false, Ordering::Relaxed);
        self.reporter.ended(outage, Instant::now());
    }

    /// A failure says nothing of checks: the user may lack the right, or one node of a cluster may be dead.
    async fn inspect(&self) -> Result<StoreInfo, Cause> {
        if Handle::try_current().is_err() {
            return Err(Cause::NoRuntime);
        }
        let texts = timeout(self.settings.deadline, self.client.information()).await;
        let texts = texts.unwrap_or_else(|_| Err(Failure::timeout()));
        let info = StoreInfo::read(&texts.map_err(|failure| failure.cause)?);
        if let Some(policy) = info.evicting_policy() {
            self.reporter.evicts(policy, Instant::now());
        }
        Ok(info)
    }
}

impl<Q: SharedKey + ?Sized, const N: usize> Limit<Q> for SharedLimiter<N> {
    type Decision = Decision<N>;
    type Error = Outage;
    type Future = Pin<Box<dyn Future<Output = Result<Decision<N>, Outage>> + Send>>;

    fn quotas(&self) -> Vec<Quota> {
        self.policy().quotas().to_vec()
    }

    fn decide(&self, key: &Q, n: u64) -> Checked<Decision<N>, Self::Future> {
        let name = self.inner.names.name(&key.key_bytes());
        if let Some(denied) = self.inner.cached(&name, n) {
            return Checked::Now(denied);
        }
        let inner = Arc::clone(&self.inner);
        Checked::Later(Box::pin(
            async move { inner.decide(name, Mode::Spend, n).await },
        ))
    }

    fn fallback(&self, outage: &Outage) -> Option<Fallback> {
        Some(match outage.verdict {
            Verdict::Allowed => Fallback::Allow,
            Verdict::Denied { retry_after } => Fallback::Reject { retry_after },
        })
    }
}

impl<const N: usize> fmt::Debug for SharedLimiter<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SharedLimiter")
            .field("policy", &self.inner.settings.policy)
            .field("names", &self.inner.names)
            .field("on_outage", &self.inner.settings.on_outage)
            .finish_non_exhaustive()
    }
}
