//! A connection whose server has the time of a test: it appends the time to the script's arguments.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use redis::aio::{ConnectionLike, MultiplexedConnection};
use redis::{Arg, AsyncConnectionConfig, Cmd, Pipeline, RedisFuture, Value};

/// A connection with a clock of its own, in µs.
#[derive(Clone)]
pub struct Manual {
    connection: MultiplexedConnection,
    now: Arc<AtomicU64>,
    /// Whether keys never expire.
    are_lasting: bool,
}

impl Manual {
    pub async fn connect(client: &redis::Client, now: u64) -> Manual {
        // The limiter has the only deadline. By default the connection has one of 500 ms beside it.
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(None)
            .set_response_timeout(None);
        let connection = client.get_multiplexed_async_connection_with_config(&config);
        Manual {
            connection: connection.await.unwrap(),
            now: Arc::new(AtomicU64::new(now)),
            are_lasting: false,
        }
    }

    /// Makes each key of the script last. Otherwise it would expire in real time.
    pub fn lasting(mut self) -> Manual {
        self.are_lasting = true;
        self
    }

    pub fn set(&self, now: u64) {
        self.now.store(now, Ordering::SeqCst);
    }
}

impl ConnectionLike for Manual {
    fn req_packed_command<'a>(&'a mut self, command: &'a Cmd) -> RedisFuture<'a, Value> {
        Box::pin(async move {
            let words = command.args_iter().map(|word| match word {
                Arg::Simple(word) => word,
                other => panic!("{other:?} is no word"),
            });
            let words: Vec<&[u8]> = words.collect();
            if !words[0].starts_with(b"EVAL") {
                return self.connection.req_packed_command(command).await;
            }
            let mut timed = Cmd::new();
            words.iter().for_each(|word| _ = timed.arg(*word));
            timed.arg(self.now.load(Ordering::SeqCst));
            if !self.are_lasting {
                return self.connection.req_packed_command(&timed).await;
            }
            let mut pipeline = Pipeline::new();
            pipeline.add_command(timed).cmd("PERSIST").arg(words[3]);
            let mut replies = self.connection.req_packed_commands(&pipeline, 0, 2).await?;
            Ok(replies.swap_remove(0))
        })
    }

    fn req_packed_commands<'a>(
        &'a mut self,
        pipeline: &'a Pipeline,
        offset: usize,
        count: usize,
    ) -> RedisFuture<'a, Vec<Value>> {
        self.connection.req_packed_commands(pipeline, offset, count)
    }

    fn get_db(&self) -> i64 {
        self.connection.get_db()
    }
}
