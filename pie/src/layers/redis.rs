//! L2: bytes and tokens in Redis, behind multiplexed connections that reconnect by themselves.
//!
//! A lookup never waits longer than its budget for Redis. The first call that fails or times out opens the breaker of its server;
//! from then on calls fail at once, while a task tries again with growing pauses. Invalidations that could not be sent are kept,
//! and sent before anything is read again.
//!
//! The rooms: `protocol` says what is said to Redis (`exchange`: values, `locks`, `pending`, `streak`, `message`), `wire` is how it gets
//! there: to one server (`server`, found by `address`, checked by `check`) or to many (`cluster`, where `layout` says what lies
//! where). `values` is how bytes are stored, `listen` hears other processes.

mod address;
mod anchor;
mod check;
mod cluster;
mod config;
mod exchange;
mod full;
pub(crate) mod layout;
mod listen;
mod locks;
mod message;
mod pending;
pub(crate) mod protocol;
mod server;
mod servers;
pub(crate) mod streak;
mod values;
pub(crate) mod wire;

use std::fmt;
use std::sync::Arc;

use smallvec::SmallVec;
use tokio::sync::watch;

use crate::cache::stamps::StampName;
use crate::cache::{
    BoxFuture, CacheLayer, Entry, Inbox, Key, Lock, NodeHealth, SharedHealth, SharedLayer, SharedRead,
    SharedReply, SharedWrite,
};
use crate::codec::Token;
use crate::error::{Error, ErrorKind, Result};
use crate::query::Source;

#[cfg(test)]
pub(crate) use check::{Acquaintance, identify, mark, trust};
pub use config::{IntoRedisConfig, RedisConfig};
use listen::Listener;
use protocol::Protocol;
use servers::Servers;
use values::Values;
use wire::Wire;

/// The Redis layer (Redis 7 or newer, or Valkey).
///
/// Usually made by `Engine::builder().redis(url)`; make one by hand to put it at another place of the chain. A layer belongs
/// to one engine.
pub struct RedisLayer {
    protocol: Arc<Protocol<Servers>>,
    config: RedisConfig,
    values: Values,
    closed: watch::Sender<bool>,
}

impl RedisLayer {
    /// A layer on the Redis of a URL (`redis://user:password@host:6379/0`) or a [`RedisConfig`]. Does not connect yet.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidConfig`] for a URL that cannot be understood, a pool of size 0 or a budget of 0.
    pub fn new(config: impl IntoRedisConfig) -> Result<Self> {
        let config = config.into_redis_config()?;
        let servers = config.servers()?;
        let values = Values::new(&config);
        let protocol = Arc::new(Protocol::new(servers, values.longest()));
        let weak = Arc::downgrade(&protocol);
        protocol.wire.on_newcomer(Arc::new(move || {
            if let Some(protocol) = weak.upgrade() {
                protocol.newcomer();
                send_later(&protocol);
            }
        }));
        Ok(Self { protocol, config, values, closed: watch::Sender::new(false) })
    }
}

impl fmt::Debug for RedisLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisLayer").field("config", &self.config).finish_non_exhaustive()
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
        let wire = &self.protocol.wire;
        pipe.cmd("UNLINK").arg(wire.layout().key(key));
        Box::pin(async move { wire.run(pipe, wire.deadline()).await.map(|_| ()) })
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
        Box::pin(async move {
            let mut replies = self.protocol.read(reads).await?;
            for (read, reply) in reads.iter().zip(&mut replies) {
                if let Some(stored) = reply.bytes.take() {
                    reply.bytes = Some(self.values.unseal(read.key, stored));
                }
            }
            Ok(replies)
        })
    }

    fn write<'a>(&'a self, writes: &'a [SharedWrite<'a>]) -> BoxFuture<'a, Result<()>> {
        if writes.is_empty() {
            return Box::pin(async { Ok(()) });
        }
        Box::pin(async move {
            let sealed: Vec<_> =
                writes.iter().map(|write| self.values.seal(write.key, write.bytes)).collect();
            let fitting: SmallVec<[SharedWrite<'_>; 1]> = writes
                .iter()
                .zip(&sealed)
                .filter_map(|(write, sealed)| Some(SharedWrite { bytes: sealed.as_ref()?, ..*write }))
                .collect();
            match fitting.is_empty() {
                true => Ok(()),
                false => self.protocol.write(&fitting).await,
            }
        })
    }

    fn invalidate<'a>(&'a self, names: &'a [StampName]) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move {
            if names.is_empty() {
                return Ok(());
            }
            let sent = self.protocol.invalidate(names).await;
            if sent.is_err() {
                send_later(&self.protocol);
            }
            sent
        })
    }

    fn invalidate_pattern<'a>(&'a self, scope: &'a str, pattern: &'a str) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move {
            let sent = self.protocol.invalidate_pattern(scope, pattern).await;
            if sent.is_err() {
                send_later(&self.protocol);
            }
            sent
        })
    }

    fn prefix(&self, prefix: &str) {
        self.protocol.set_prefix(prefix);
        self.protocol.wire.set_prefix(prefix);
    }

    fn listen(&self, inbox: Inbox) -> bool {
        self.protocol.set_inbox(inbox);
        let listener = Listener {
            address: self.protocol.wire.address(),
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

    fn health(&self) -> SharedHealth {
        let node = |(address, condition): (String, server::Condition)| NodeHealth {
            address,
            breaker: condition.breaker,
            since: condition.since,
            opened: condition.opened,
            trouble: condition.trouble,
            missing_rights: condition.missing_rights,
        };
        let mut health = SharedHealth::new(self.protocol.wire.conditions().into_iter().map(node).collect());
        health.full = self.protocol.full.is_known();
        health
    }

    fn connect(&self) -> BoxFuture<'_, Result<()>> {
        Box::pin(async move {
            let silent = || Error::new(ErrorKind::Connection, "Redis did not answer while connecting");
            let work = async {
                self.protocol.wire.connect().await?;
                // What a new shard has to be told first.
                self.protocol.send_pending(self.protocol.wire.deadline()).await?;
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
        self.protocol.wire.close();
    }
}

/// Sends what is unsent as soon as there is a connection again, also when nothing is read here any more.
fn send_later(protocol: &Arc<Protocol<Servers>>) {
    let up = protocol.wire.up();
    let protocol = Arc::downgrade(protocol);
    tokio::spawn(async move {
        up.await;
        if let Some(protocol) = protocol.upgrade() {
            // A failure leaves the names pending; the next read sends them first.
            let _ = protocol.send_pending(protocol.wire.deadline()).await;
        }
    });
}

impl Drop for RedisLayer {
    fn drop(&mut self) {
        self.closed.send_replace(true);
    }
}
