//! The end of an outage under a local share: what this node admitted is charged in the store.
//!
//! The outage lasts until all is charged. Meanwhile the share admits, and no other unit is spent in the store.

use std::{
    mem,
    sync::{Arc, Weak, atomic::Ordering},
    time::Duration,
};

use tokio::{
    task::JoinSet,
    time::{Instant, sleep, timeout},
};

use super::{Command, Inner};
use crate::breaker::{INTERVAL, Known};
use crate::script::Mode;
use crate::share::Share;

/// How many keys are charged at once when the store returns.
const CHARGES: usize = 64;

/// How often what was admitted meanwhile is charged before nothing more is admitted until all is charged.
const ROUNDS: u32 = 8;

/// How long a charge may take. No request waits for it, and one that is sent again may charge twice.
const PATIENCE: Duration = Duration::from_secs(2);

/// Units on their way to the store. They are put back unless it confirms them.
struct Owed<const N: usize> {
    inner: Arc<Inner<N>>,
    name: Vec<u8>,
    n: u64,
}

/// A task that charges what was admitted. However it ends, another one may begin.
struct Returning<const N: usize>(Arc<Inner<N>>);

impl<const N: usize> Inner<N> {
    /// Charges in the store what this node admitted during an outage, and ends it.
    pub(super) async fn charge_all(self: Arc<Self>, outage: Known) {
        let returning = Returning(Arc::clone(&self));
        let Some(share) = &self.share else { return };
        for round in 0..=ROUNDS + 1 {
            if let Some(has_closed) = share.end(|| self.breaker.close()) {
                if has_closed {
                    self.ended(outage);
                }
                break;
            }
            if round == ROUNDS {
                share.freeze(true);
            }
            if !self.charge(share.take_uncharged()).await {
                break;
            }
        }
        drop(returning);
    }

    /// Charges units of keys. Returns whether the store took them; what it did not take is put back.
    async fn charge(self: &Arc<Self>, uncharged: Vec<(Vec<u8>, u64)>) -> bool {
        let owed = |(name, n)| Owed {
            inner: Arc::clone(self),
            name,
            n,
        };
        let owed: Vec<Owed<N>> = uncharged.into_iter().map(owed).collect();
        let mut charges = JoinSet::new();
        let mut are_taken = true;
        for owed in owed {
            if charges.len() >= CHARGES
                && let Some(charged) = charges.join_next().await
            {
                are_taken &= charged.unwrap_or(false);
            }
            if !are_taken {
                break;
            }
            charges.spawn(owed.charge());
        }
        while let Some(charged) = charges.join_next().await {
            are_taken &= charged.unwrap_or(false);
        }
        are_taken
    }
}

impl<const N: usize> Owed<N> {
    /// Charges the units. Returns whether no other attempt is needed.
    async fn charge(mut self) -> bool {
        let Inner {
            client,
            terms,
            settings,
            ..
        } = &*self.inner;
        let run = client.run::<N>(&self.name, Mode::Charge, terms, self.n);
        let is_over = match timeout(settings.deadline.max(PATIENCE), run).await {
            Ok(Ok(_)) => true,
            // The key is not one of this limiter, or its slot moves or has no node. One key must not keep all
            // others in the outage.
            Ok(Err(failure)) => !failure.cause.is_of_the_store(),
            Err(_) => false,
        };
        if is_over {
            self.n = 0;
        }
        is_over
    }
}

impl<const N: usize> Drop for Owed<N> {
    fn drop(&mut self) {
        if let (Some(share), 1..) = (&self.inner.share, self.n) {
            share.put_back(mem::take(&mut self.name), self.n);
        }
    }
}

impl<const N: usize> Drop for Returning<N> {
    fn drop(&mut self) {
        if let Some(share) = &self.0.share {
            share.freeze(false);
        }
        self.0.is_returning.store(false, Ordering::Release);
    }
}

/// Asks the store during an outage while this node owes it units, so that they are charged also if no check
/// follows.
pub(super) async fn attend<const N: usize>(limiter: Weak<Inner<N>>, outage: Known) {
    loop {
        sleep(INTERVAL).await;
        // Ends with the limiter.
        let Some(inner) = limiter.upgrade() else {
            return;
        };
        let lasting = inner.breaker.outage();
        if lasting.is_none_or(|lasting| lasting.since != outage.since) {
            return;
        }
        let asked = Instant::now();
        let name = inner.share.as_ref().and_then(Share::uncharged_key);
        if let Some(name) = name
            && inner.admit(asked).is_ok()
        {
            let run = inner.client.run::<N>(&name, Mode::Peek, &inner.terms, 0);
            _ = inner.send(Command::Script, asked, run).await;
        }
    }
}
