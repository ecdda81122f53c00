//! Where connections come from.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{
    sync::watch,
    time::{Instant, timeout},
};

use super::{Cmd, ConnectionLike, ErrorKind, Pending, RedisError};

/// A connection for one request.
pub(super) type Connection = Box<dyn ConnectionLike + Send>;

/// A connection that has not answered for this long is asked whether it lives before a request is sent.
/// Servers and load balancers close idle connections, some without a word.
pub(super) const REST: Duration = Duration::from_secs(10);

/// How long a source waits.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Patience {
    /// For a connection.
    pub(crate) connect: Duration,
    /// For the answer of a connection that has rested.
    pub(crate) answer: Duration,
}

/// Where connections come from.
pub(super) trait Source: Send + Sync {
    /// Returns a connection, and its number.
    fn connection(&self) -> Pending<'_, Result<(u64, Connection), RedisError>>;

    /// The connection of this number has answered.
    fn answered(&self, number: u64);

    /// Replaces the connection of this number before the next request, or any connection.
    fn renew(&self, number: Option<u64>);
}

/// One connection, which is cloned for each request. It restores itself, or never.
pub(super) struct Given<C>(pub(super) C);

/// A connection that is made when one is needed.
pub(super) struct Made<C> {
    state: Mutex<Slot<C>>,
    maker: Arc<Maker<C>>,
    /// For the answer of a connection that has rested.
    patience: Duration,
}

/// A function that makes connections.
type Make<C> = Box<dyn Fn() -> Pending<'static, Result<C, RedisError>> + Send + Sync>;

struct Maker<C> {
    make: Make<C>,
    timeout: Duration,
}

/// The connection of a [`Made`], or the one that is being made.
struct Slot<C> {
    number: u64,
    receiver: Option<Receiver<C>>,
    /// When the connection answered last, or was started to be made.
    answered: Instant,
}

type Receiver<C> = watch::Receiver<Option<Result<C, RedisError>>>;

impl<C> Source for Given<C>
where
    C: ConnectionLike + Clone + Send + Sync + 'static,
{
    fn connection(&self) -> Pending<'_, Result<(u64, Connection), RedisError>> {
        let connection: Connection = Box::new(self.0.clone());
        Box::pin(async { Ok((0, connection)) })
    }

    fn answered(&self, _: u64) {}

    fn renew(&self, _: Option<u64>) {}
}

impl<C> Source for Made<C>
where
    C: ConnectionLike + Clone + Send + Sync + 'static,
{
    fn connection(&self) -> Pending<'_, Result<(u64, Connection), RedisError>> {
        Box::pin(async move {
            let (number, mut connection) = self.made().await?;
            if !self.has_rested(number) {
                return Ok((number, connection));
            }
            if timeout(self.patience, is_alive(&mut connection)).await == Ok(true) {
                self.answered(number);
                return Ok((number, connection));
            }
            self.renew(Some(number));
            self.made().await
        })
    }

    fn answered(&self, number: u64) {
        let mut slot = self.lock();
        if slot.number == number {
            slot.answered = Instant::now();
        }
    }

    fn renew(&self, number: Option<u64>) {
        let mut slot = self.lock();
        // An attempt goes on until its own timeout.
        let has_ended = slot
            .receiver
            .as_ref()
            .is_some_and(|receiver| receiver.borrow().is_some());
        if has_ended && number.is_none_or(|number| number == slot.number) {
            slot.receiver = None;
        }
    }
}

/// Whether a connection answers. An error of the server is an answer.
async fn is_alive(connection: &mut Connection) -> bool {
    let mut ping = Cmd::new();
    ping.arg("PING");
    match connection.req_packed_command(&ping).await {
        Ok(_) => true,
        Err(error) => !error.is_io_error() && !error.is_unrecoverable_error(),
    }
}

impl<C> Made<C>
where
    C: ConnectionLike + Clone + Send + Sync + 'static,
{
    pub(super) fn new(patience: Patience, make: Make<C>) -> Made<C> {
        Made {
            state: Mutex::new(Slot {
                number: 0,
                receiver: None,
                answered: Instant::now(),
            }),
            maker: Arc::new(Maker {
                make,
                timeout: patience.connect,
            }),
            patience: patience.answer,
        }
    }

    /// Returns the connection, and its number, once it is made.
    async fn made(&self) -> Result<(u64, Connection), RedisError> {
        let (number, mut receiver) = self.receiver();
        // The task sends one value, and then ends.
        let made = match receiver.wait_for(Option::is_some).await {
            Ok(made) => made.clone(),
            Err(_) => None,
        };
        match made {
            Some(Ok(connection)) => Ok((number, Box::new(connection) as Connection)),
            Some(Err(error)) => Err(error),
            None => Err((
                ErrorKind::Io,
                "the attempt to connect panicked, or its runtime ended",
            )
                .into()),
        }
    }

    /// Returns where the connection arrives, and starts to make one if there is none.
    ///
    /// It is made in a task of its own, so that a caller's deadline does not end the attempt. An attempt that
    /// has failed says nothing of the store now: it may be back.
    fn receiver(&self) -> (u64, Receiver<C>) {
        let mut slot = self.lock();
        if let Some(receiver) = &slot.receiver {
            // The sender is dropped once it has sent, or if the task panicked or was dropped.
            let has_ended = receiver.has_changed().is_err();
            let has_failed = match &*receiver.borrow() {
                Some(made) => made.is_err(),
                None => has_ended,
            };
            if !has_failed {
                return (slot.number, receiver.clone());
            }
        }
        let (sender, receiver) = watch::channel(None);
        slot.number += 1;
        slot.receiver = Some(receiver.clone());
        slot.answered = Instant::now();
        let maker = Arc::clone(&self.maker);
        tokio::spawn(async move {
            let made = timeout(maker.timeout, (maker.make)()).await;
            // Not a timeout of a request: nothing was sent.
            let timed_out = || (ErrorKind::Io, "the attempt to connect took too long").into();
            // If it fails, the limiter is gone.
            _ = sender.send(Some(made.unwrap_or_else(|_| Err(timed_out()))));
        });
        (slot.number, receiver)
    }

    fn has_rested(&self, number: u64) -> bool {
        let slot = self.lock();
        slot.number == number && slot.answered.elapsed() >= REST
    }

    fn lock(&self) -> MutexGuard<'_, Slot<C>> {
        // No method panics halfway.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
