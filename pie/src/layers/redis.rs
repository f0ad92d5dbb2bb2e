//! L2: bytes and tokens in Redis, behind multiplexed connections that reconnect by themselves.
//!
//! A lookup never waits longer than its budget for Redis. The first call that fails or times out marks its connection
//! down; from then on calls fail at once, while a task reconnects with growing pauses. Invalidations that could not be
//! sent are kept and sent before anything is read again.

mod config;
mod link;
mod listen;
mod message;
pub(crate) mod protocol;

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use redis::{Client, Pipeline, Value};
use tokio::sync::watch;

use crate::cache::stamps::StampName;
use crate::cache::{
    BoxFuture, CacheLayer, Entry, Inbox, Key, Lock, SharedLayer, SharedRead, SharedReply, SharedWrite,
};
use crate::codec::Token;
use crate::error::{Error, ErrorKind, Result};
use crate::query::Source;

pub use config::{IntoRedisConfig, RedisConfig};
use link::Link;
use listen::Listener;
use protocol::{Protocol, Wire};

/// The Redis layer (Redis 7 or newer, or Valkey).
///
/// Usually made by `Engine::builder().redis(url)`; make one by hand to put it at another place of the chain. A layer belongs
/// to one engine.
pub struct RedisLayer {
    protocol: Arc<Protocol<Pool>>,
    config: RedisConfig,
    client: Client,
    closed: watch::Sender<bool>,
}

/// The connections for commands.
pub(crate) struct Pool {
    links: Vec<Arc<Link>>,
    next: AtomicUsize,
    budget: Duration,
}

impl RedisLayer {
    /// A layer on the Redis of a URL (`redis://user:password@host:6379/0`) or a [`RedisConfig`]. Does not connect yet.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidConfig`] for a URL that cannot be understood, a pool of size 0 or a budget of 0.
    pub fn new(config: impl IntoRedisConfig) -> Result<Self> {
        let config = config.into_redis_config()?;
        let client = config.client()?;
        let links = (0..config.pool_size).map(|_| Link::new(client.clone(), &config)).collect();
        let pool = Pool { links, next: AtomicUsize::new(0), budget: config.budget };
        Ok(Self {
            protocol: Arc::new(Protocol::new(pool)),
            config,
            client,
            closed: watch::Sender::new(false),
        })
    }
}

impl fmt::Debug for RedisLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisLayer").field("config", &self.config).finish_non_exhaustive()
    }
}

fn failed(error: &redis::RedisError) -> Error {
    // The detail of a Redis error may quote a command; its kind does not.
    Error::new(ErrorKind::Layer, format!("Redis refused a command: {:?}", error.kind()))
}

fn late() -> Error {
    Error::new(ErrorKind::Layer, "Redis did not answer within its time budget")
}

impl Wire for Pool {
    /// Runs a pipeline on one of the connections, within the budget.
    #[allow(clippy::manual_async_fn, reason = "the future has to be `Send`, which only this form can say")]
    fn run(&self, pipe: Pipeline) -> impl Future<Output = Result<Vec<Value>>> + Send {
        async move {
            let link = &self.links[self.next.fetch_add(1, Ordering::Relaxed) % self.links.len()];
            let work = async {
                let (mut connection, id) = link.connection().await?;
                Ok::<_, Error>((pipe.query_async::<Vec<Value>>(&mut connection).await, id))
            };
            match tokio::time::timeout(self.budget, work).await {
                Ok(Ok((Ok(value), _))) => Ok(value),
                Ok(Ok((Err(error), id))) => {
                    // An answer of the server leaves the connection usable; everything else does not.
                    if error.is_io_error() || error.is_unrecoverable_error() {
                        link.lost(Some(id), &failed(&error));
                    }
                    Err(failed(&error))
                }
                Ok(Err(error)) => Err(error),
                Err(_) => {
                    link.lost(None, &late());
                    Err(late())
                }
            }
        }
    }
}

impl CacheLayer for RedisLayer {
    fn name(&self) -> &'static str {
        "redis"
    }

    fn source(&self) -> Source {
        Source::Redis
    }

    fn get<'a>(&'a self, _key: &'a Key) -> BoxFuture<'a, Result<Option<Entry>>> {
        Box::pin(async { Ok(None) })
    }

    fn set<'a>(&'a self, _key: &'a Key, _entry: &'a Entry) -> BoxFuture<'a, Result<()>> {
        Box::pin(async { Ok(()) })
    }

    fn delete<'a>(&'a self, key: &'a Key) -> BoxFuture<'a, Result<()>> {
        let mut pipe = redis::pipe();
        pipe.cmd("UNLINK").arg(key.as_str()).ignore();
        Box::pin(async move { self.protocol.wire.run(pipe).await.map(|_| ()) })
    }

    fn clear(&self) -> BoxFuture<'_, Result<()>> {
        Box::pin(async {
            Err(Error::new(
                ErrorKind::Layer,
                "a layer that several processes share is not emptied by one of them: use `engine.cache().clear()`",
            ))
        })
    }

    fn shared(&self) -> Option<&dyn SharedLayer> {
        Some(self)
    }
}

impl SharedLayer for RedisLayer {
    fn read<'a>(&'a self, reads: &'a [SharedRead<'a>]) -> BoxFuture<'a, Result<Vec<SharedReply>>> {
        if reads.is_empty() {
            return Box::pin(async { Ok(Vec::new()) });
        }
        Box::pin(self.protocol.read(reads))
    }

    fn write<'a>(&'a self, writes: &'a [SharedWrite<'a>]) -> BoxFuture<'a, Result<()>> {
        if writes.is_empty() {
            return Box::pin(async { Ok(()) });
        }
        Box::pin(self.protocol.write(writes))
    }

    fn invalidate<'a>(&'a self, names: &'a [StampName]) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move {
            if names.is_empty() {
                return Ok(());
            }
            let sent = self.protocol.invalidate(names).await;
            if sent.is_err() {
                self.send_later();
            }
            sent
        })
    }

    fn invalidate_pattern<'a>(&'a self, scope: &'a str, pattern: &'a str) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move {
            let sent = self.protocol.invalidate_pattern(scope, pattern).await;
            if sent.is_err() {
                self.send_later();
            }
            sent
        })
    }

    fn prefix(&self, prefix: &str) {
        self.protocol.set_prefix(prefix);
        for link in &self.protocol.wire.links {
            link.set_prefix(prefix);
        }
    }

    fn listen(&self, inbox: Inbox) -> bool {
        self.protocol.set_inbox(inbox);
        let listener = Listener {
            client: self.client.clone(),
            connect_timeout: self.config.connect_timeout,
            heartbeat: self.config.heartbeat,
            closed: self.closed.subscribe(),
        };
        tokio::spawn(listener.run(Arc::downgrade(&self.protocol)));
        true
    }

    fn lock<'a>(&'a self, key: &'a Key, lease: u64) -> BoxFuture<'a, Result<Lock>> {
        Box::pin(self.protocol.lock(key, lease))
    }

    fn unlock<'a>(&'a self, key: &'a Key, lock: Token) -> BoxFuture<'a, Result<()>> {
        Box::pin(self.protocol.unlock(key, lock))
    }

    fn unsent(&self) -> u64 {
        self.protocol.unsent()
    }

    fn connect(&self) -> BoxFuture<'_, Result<()>> {
        Box::pin(async move {
            let silent = || Error::new(ErrorKind::Connection, "Redis did not answer while connecting");
            let work = async {
                self.protocol.wire.links[0].first().await?;
                if self.protocol.inbox().is_some() {
                    self.protocol.hears().await;
                }
                Ok(())
            };
            tokio::time::timeout(self.config.connect_timeout, work).await.unwrap_or_else(|_| Err(silent()))
        })
    }

    fn close(&self) {
        self.closed.send_replace(true);
        self.protocol.wire.links.iter().for_each(|link| link.close());
    }
}

impl RedisLayer {
    /// Sends what is unsent as soon as there is a connection again, also when nothing is read here any more.
    fn send_later(&self) {
        let protocol = Arc::downgrade(&self.protocol);
        let up = self.protocol.wire.links[0].up();
        tokio::spawn(async move {
            up.await;
            if let Some(protocol) = protocol.upgrade() {
                // A failure leaves the names pending; the next read sends them first.
                let _ = protocol.send_pending().await;
            }
        });
    }
}

impl Drop for RedisLayer {
    fn drop(&mut self) {
        self.closed.send_replace(true);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> StampName {
        StampName::new("pie:", text)
    }

    #[test]
    fn too_many_unsent_invalidations_become_those_of_their_families_then_of_the_namespace() {
        let layer = RedisLayer::new("redis://127.0.0.1:1").expect("a valid url");
        let names =
            |kind: &str| -> Vec<StampName> { (0..=10_000).map(|i| name(&format!("{kind}{i}"))).collect() };
        let pending = || layer.protocol.pending().into_iter().map(|(name, _)| name).collect::<Vec<_>>();
        layer.protocol.remember(&names("k:user:")[..10]);
        assert_eq!(layer.protocol.unsent(), 10);
        layer.protocol.remember(&names("k:user:"));
        assert_eq!(pending(), [name("f:user")]);
        layer.protocol.remember(&names("i:users.status="));
        layer.protocol.remember(&[name("t:x")]);
        assert_eq!(pending(), [name("f:user"), name("f:users"), name("t:x")]);
        layer.protocol.remember(&names("t:"));
        assert_eq!(pending(), [name("n")]);
    }

    #[test]
    fn a_name_that_failed_while_it_was_being_sent_stays_pending() {
        let layer = RedisLayer::new("redis://127.0.0.1:1").expect("a valid url");
        layer.protocol.remember(&[name("k:a"), name("k:c")]);
        let sent = layer.protocol.pending();
        layer.protocol.remember(&[name("k:b")]);
        layer.protocol.remember(&[name("k:c")]);
        layer.protocol.forget(&sent);
        let left: Vec<StampName> = layer.protocol.pending().into_iter().map(|(name, _)| name).collect();
        assert_eq!(left, [name("k:b"), name("k:c")], "neither was part of what was sent");
    }
}
