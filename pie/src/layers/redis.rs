//! L2: bytes and tokens in Redis, behind multiplexed connections that reconnect by themselves.
//!
//! A lookup never waits longer than its budget for Redis. The first call that fails or times out marks its connection
//! down; from then on calls fail at once, while a task reconnects with growing pauses. Invalidations that could not be
//! sent are kept and sent before anything is read again.

mod config;
mod link;

use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use redis::Value;
use redis::aio::MultiplexedConnection;
use uuid::Uuid;

use crate::cache::stamps::StampName;
use crate::cache::{BoxFuture, CacheLayer, Entry, Key, SharedLayer, SharedRead, SharedReply, SharedWrite};
use crate::codec::Token;
use crate::error::{Error, ErrorKind, Result};
use crate::query::Source;

pub use config::{IntoRedisConfig, RedisConfig};
use link::Link;

/// How much longer than a value its tokens live, in milliseconds: a load may take that long without its result being lost.
const TOKEN_SLACK: u64 = 60_000;
/// How many unsent invalidations are kept by name; more become one of the whole namespace.
const MAX_PENDING: usize = 10_000;
/// How many names one UNLINK takes.
const NAMES_PER_UNLINK: usize = 1_000;

/// The Redis layer (Redis 7 or newer, or Valkey).
///
/// Usually made by `Engine::builder().redis(url)`; make one by hand to put it at another place of the chain.
pub struct RedisLayer(Arc<Shared>);

struct Shared {
    config: RedisConfig,
    links: Vec<Arc<Link>>,
    next: AtomicUsize,
    /// Names whose tokens are to be removed before anything in Redis is trusted again.
    pending: Mutex<BTreeSet<StampName>>,
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
        Ok(Self(Arc::new(Shared {
            config,
            links,
            next: AtomicUsize::new(0),
            pending: Mutex::new(BTreeSet::new()),
        })))
    }
}

impl fmt::Debug for RedisLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisLayer").field("config", &self.0.config).finish_non_exhaustive()
    }
}

fn failed(error: &redis::RedisError) -> Error {
    // The detail of a Redis error may quote a command; its kind does not.
    Error::new(ErrorKind::Layer, format!("Redis refused a command: {:?}", error.kind()))
}

fn late() -> Error {
    Error::new(ErrorKind::Layer, "Redis did not answer within its time budget")
}

fn token() -> Token {
    Uuid::new_v4().into_bytes()
}

fn as_token(value: &Value) -> Option<Token> {
    match value {
        Value::BulkString(bytes) => bytes.as_slice().try_into().ok(),
        _ => None,
    }
}

impl Shared {
    fn link(&self) -> &Arc<Link> {
        let at = self.next.fetch_add(1, Ordering::Relaxed) % self.links.len();
        &self.links[at]
    }

    fn pending(&self) -> Vec<StampName> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
    }

    fn remember(&self, names: &[StampName]) {
        let mut pending = self.pending.lock().unwrap_or_else(PoisonError::into_inner);
        pending.extend(names.iter().cloned());
        if pending.len() > MAX_PENDING {
            let whole: BTreeSet<StampName> = pending.iter().map(StampName::namespace).collect();
            tracing::warn!(
                "too many unsent invalidations: the whole namespace is dropped when Redis is back"
            );
            *pending = whole;
        }
    }

    fn forget(&self, names: &[StampName]) {
        let mut pending = self.pending.lock().unwrap_or_else(PoisonError::into_inner);
        for name in names {
            pending.remove(name);
        }
    }

    /// Runs commands on one of the connections, within the budget.
    async fn run<T, F>(&self, commands: impl FnOnce(MultiplexedConnection) -> F) -> Result<T>
    where
        F: Future<Output = redis::RedisResult<T>>,
    {
        let link = self.link();
        let budget = self.config.budget;
        let work = async {
            let (connection, id) = link.connection().await?;
            Ok::<_, Error>((commands(connection).await, id))
        };
        match tokio::time::timeout(budget, work).await {
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

    async fn unlink(&self, names: &[StampName]) -> Result<()> {
        let mut pipe = redis::pipe();
        for chunk in names.chunks(NAMES_PER_UNLINK) {
            let command = pipe.cmd("UNLINK");
            for name in chunk {
                command.arg(name.as_str());
            }
            command.ignore();
        }
        self.run(|mut connection| async move { pipe.query_async::<()>(&mut connection).await }).await
    }

    /// Sends what could not be sent before. Names stay pending until Redis has confirmed them, so that no reader trusts
    /// Redis meanwhile; sending one twice costs a miss.
    async fn send_pending(&self) -> Result<()> {
        let names = self.pending();
        if !names.is_empty() {
            self.unlink(&names).await?;
            self.forget(&names);
        }
        Ok(())
    }

    async fn read(&self, reads: &[SharedRead<'_>]) -> Result<Vec<SharedReply>> {
        self.send_pending().await?;

        // Names that several keys share are asked for once; each key's own comes with its creation.
        let mut place: HashMap<&StampName, usize> = HashMap::new();
        let mut shared: Vec<&StampName> = Vec::new();
        for name in reads.iter().flat_map(|read| read.names.iter().skip(1)) {
            place.entry(name).or_insert_with(|| {
                shared.push(name);
                shared.len() - 1
            });
        }
        let ttl = reads.iter().map(|read| read.ttl).max().unwrap_or(0).saturating_add(TOKEN_SLACK);

        let mut pipe = redis::pipe();
        let mget = pipe.cmd("MGET");
        for read in reads {
            mget.arg(read.key.as_str());
        }
        for name in &shared {
            mget.arg(name.as_str());
        }
        let mut own: Vec<Token> = Vec::with_capacity(reads.len());
        for read in reads {
            let fresh = token();
            own.push(fresh);
            if let Some(name) = read.names.first() {
                create(&mut pipe, name, &fresh, ttl);
            }
        }
        let replies: Vec<Value> =
            self.run(|mut connection| async move { pipe.query_async(&mut connection).await }).await?;
        let mut replies = replies.into_iter();
        let Some(Value::Array(mut values)) = replies.next() else { return Err(garbled()) };
        if values.len() != reads.len() + shared.len() {
            return Err(garbled());
        }
        for (own, reply) in own.iter_mut().zip(replies) {
            if let Some(existing) = as_token(&reply) {
                *own = existing;
            }
        }
        let tails = values.split_off(reads.len());
        let mut tokens: Vec<Option<Token>> = tails.iter().map(as_token).collect();
        if tokens.contains(&None) {
            self.create_missing(&shared, &mut tokens, ttl).await?;
        }
        reads
            .iter()
            .zip(values)
            .zip(own)
            .map(|((read, value), own)| {
                let bytes = match value {
                    Value::BulkString(bytes) => Some(Bytes::from(bytes)),
                    _ => None,
                };
                let rest = read.names.iter().skip(1).map(|name| place.get(name).and_then(|at| tokens[*at]));
                let tokens = std::iter::once(Some(own))
                    .chain(rest)
                    .collect::<Option<Vec<Token>>>()
                    .ok_or_else(garbled)?;
                Ok(SharedReply::new(bytes, tokens))
            })
            .collect()
    }

    /// A second round trip, only after an invalidation of a name that many keys share.
    async fn create_missing(
        &self,
        names: &[&StampName],
        tokens: &mut [Option<Token>],
        ttl: u64,
    ) -> Result<()> {
        let missing: Vec<usize> = (0..names.len()).filter(|i| tokens[*i].is_none()).collect();
        let mut pipe = redis::pipe();
        let mut fresh = Vec::with_capacity(missing.len());
        for i in &missing {
            let token = token();
            fresh.push(token);
            create(&mut pipe, names[*i], &token, ttl);
        }
        let replies: Vec<Value> =
            self.run(|mut connection| async move { pipe.query_async(&mut connection).await }).await?;
        for ((i, fresh), reply) in missing.into_iter().zip(fresh).zip(replies) {
            tokens[i] = Some(as_token(&reply).unwrap_or(fresh));
        }
        Ok(())
    }

    async fn write(&self, writes: &[SharedWrite<'_>]) -> Result<()> {
        let mut pipe = redis::pipe();
        for write in writes {
            pipe.cmd("SET").arg(write.key.as_str()).arg(&write.bytes[..]).arg("PX").arg(write.ttl).ignore();
            for name in write.names {
                let ttl = write.ttl.saturating_add(TOKEN_SLACK);
                pipe.cmd("PEXPIRE").arg(name.as_str()).arg(ttl).arg("GT").ignore();
            }
        }
        self.run(|mut connection| async move { pipe.query_async::<()>(&mut connection).await }).await
    }
}

fn garbled() -> Error {
    Error::new(ErrorKind::Layer, "Redis answered in another form than asked for; pie needs Redis 7 or newer")
}

/// Creates a token unless there is one, and returns the one there was.
fn create(pipe: &mut redis::Pipeline, name: &StampName, token: &Token, ttl: u64) {
    pipe.cmd("SET").arg(name.as_str()).arg(&token[..]).arg("NX").arg("GET").arg("PX").arg(ttl);
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
        let command = redis::cmd("UNLINK").arg(key.as_str()).to_owned();
        Box::pin(async move {
            self.0.run(|mut connection| async move { command.query_async::<()>(&mut connection).await }).await
        })
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
        Box::pin(self.0.read(reads))
    }

    fn write<'a>(&'a self, writes: &'a [SharedWrite<'a>]) -> BoxFuture<'a, Result<()>> {
        Box::pin(self.0.write(writes))
    }

    fn invalidate<'a>(&'a self, names: &'a [StampName]) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move {
            let sent = self.0.unlink(names).await;
            if sent.is_err() {
                self.0.remember(names);
                // Sent as soon as there is a connection again, also when nothing is read here any more.
                let shared = Arc::downgrade(&self.0);
                let up = self.0.links[0].up();
                tokio::spawn(async move {
                    up.await;
                    if let Some(shared) = shared.upgrade() {
                        // A failure leaves the names pending; the next read sends them first.
                        let _ = shared.send_pending().await;
                    }
                });
            }
            sent
        })
    }

    fn connect(&self) -> BoxFuture<'_, Result<()>> {
        Box::pin(async move {
            let wait = self.0.config.connect_timeout;
            match tokio::time::timeout(wait, self.0.links[0].first()).await {
                Ok(result) => result.map(|_| ()),
                Err(_) => Err(Error::new(ErrorKind::Connection, "Redis did not answer while connecting")),
            }
        })
    }

    fn close(&self) {
        self.0.links.iter().for_each(|link| link.close());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> StampName {
        StampName::new("pie:", text)
    }

    #[test]
    fn too_many_unsent_invalidations_become_one_of_the_namespace() {
        let layer = RedisLayer::new("redis://127.0.0.1:1").expect("a valid url");
        let names: Vec<StampName> = (0..=MAX_PENDING).map(|i| name(&format!("k:user:{i}"))).collect();
        layer.0.remember(&names[..10]);
        assert_eq!(layer.0.pending().len(), 10);
        layer.0.remember(&names);
        assert_eq!(layer.0.pending(), [name("n")]);
    }

    #[test]
    fn a_name_added_while_others_are_sent_stays_pending() {
        let layer = RedisLayer::new("redis://127.0.0.1:1").expect("a valid url");
        layer.0.remember(&[name("k:a")]);
        let sent = layer.0.pending();
        layer.0.remember(&[name("k:b")]);
        layer.0.forget(&sent);
        assert_eq!(layer.0.pending(), [name("k:b")]);
    }
}
