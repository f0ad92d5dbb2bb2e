//! The plugin traits: what a layer of the chain has to do.
//!
//! A layer only stores. Tags, patterns, deadlines, jitter, backfill and invalidation are the chain's, above the trait:
//! an entry that was invalidated may stay in a layer for as long as it likes, it is never served.

use std::any::Any;
use std::fmt;
use std::future::Future;
use std::pin::Pin;

use bytes::Bytes;

use super::entry::Entry;
use super::health::SharedHealth;
use super::inbox::Inbox;
use super::key::{Key, Lookup};
use super::names::{Names, Tokens};
use super::stamps::StampName;
use crate::codec::Token;
use crate::error::Result;
use crate::query::Source;

/// A boxed future, so that layers and databases can stand behind `dyn`.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// What a layer says at once, without waiting.
#[derive(Debug, Clone)]
pub enum Peek {
    /// Here it is.
    Hit(Entry),
    /// It is not here.
    Miss,
    /// This layer has to be asked with [`get`](CacheLayer::get).
    Ask,
}

/// What a layer holds right now, as far as it knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct LayerUsage {
    /// How many entries; `None` where the layer does not count them.
    pub entries: Option<u64>,
    /// How many bytes they take; `None` where the layer does not know.
    pub bytes: Option<u64>,
    /// How many entries it dropped to make room since it was made.
    pub evicted: u64,
}

impl LayerUsage {
    /// A usage of this many entries and bytes.
    #[must_use]
    pub fn new(entries: u64, bytes: u64) -> Self {
        Self { entries: Some(entries), bytes: Some(bytes), evicted: 0 }
    }

    /// A usage of this many entries, of bytes that are not known.
    #[must_use]
    pub fn counted(entries: u64) -> Self {
        Self { entries: Some(entries), bytes: None, evicted: 0 }
    }

    /// A layer that does not count.
    #[must_use]
    pub fn unknown() -> Self {
        Self::default()
    }

    /// The same usage, with this many entries dropped to make room.
    #[must_use]
    pub fn evicted(mut self, entries: u64) -> Self {
        self.evicted = entries;
        self
    }
}

/// One layer of the chain.
///
/// There are two kinds. An *in-process* layer keeps [`Entry`] values as they are: implement `get`, `set`, `delete` and
/// `clear`, and `peek` if it can answer without waiting. A *shared* layer keeps bytes that other processes read as well:
/// it also returns itself from [`shared`](Self::shared), and provides the tokens that tell when a write happened elsewhere.
///
/// A failure or a panic is counted, and the chain goes on without the layer; it is never the result of a query. An in-process
/// layer that does not answer within `layer_timeout` ([`CacheConfig`](crate::CacheConfig)) counts as failed, and is left
/// alone for a second; a shared layer keeps a time budget of its own. An entry of another key than was asked for is not served.
///
/// `pie::testing::check_layer`, feature `testing`, finds the usual mistakes of an implementation.
///
/// # Examples
///
/// ```
/// use std::collections::HashMap;
/// use std::sync::{Mutex, PoisonError};
///
/// use pie::Result;
/// use pie::cache::{BoxFuture, CacheLayer, Entry, Key, LayerUsage};
///
/// #[derive(Debug, Default)]
/// struct MyCache(Mutex<HashMap<String, Entry>>);
///
/// impl MyCache {
///     fn map(&self) -> std::sync::MutexGuard<'_, HashMap<String, Entry>> {
///         self.0.lock().unwrap_or_else(PoisonError::into_inner)
///     }
/// }
///
/// impl CacheLayer for MyCache {
///     fn name(&self) -> &'static str {
///         "mine"
///     }
///     fn get<'a>(&'a self, key: &'a Key) -> BoxFuture<'a, Result<Option<Entry>>> {
///         Box::pin(async move { Ok(self.map().get(key.as_str()).cloned()) })
///     }
///     fn set<'a>(&'a self, key: &'a Key, entry: &'a Entry) -> BoxFuture<'a, Result<()>> {
///         Box::pin(async move {
///             self.map().insert(key.as_str().to_owned(), entry.clone());
///             Ok(())
///         })
///     }
///     fn delete<'a>(&'a self, key: &'a Key) -> BoxFuture<'a, Result<()>> {
///         Box::pin(async move {
///             self.map().remove(key.as_str());
///             Ok(())
///         })
///     }
///     fn clear(&self) -> BoxFuture<'_, Result<()>> {
///         Box::pin(async move {
///             self.map().clear();
///             Ok(())
///         })
///     }
///     fn expire(&self, now: u64) {
///         self.map().retain(|_, entry| entry.keep_until() > now);
///     }
///     fn usage(&self) -> LayerUsage {
///         let map = self.map();
///         LayerUsage::new(map.len() as u64, map.values().map(|entry| u64::from(entry.weight())).sum())
///     }
/// }
/// ```
pub trait CacheLayer: Any + fmt::Debug + Send + Sync {
    /// The name in statistics and in [`Source`].
    fn name(&self) -> &'static str;

    /// How answers of this layer are marked.
    fn source(&self) -> Source {
        Source::Layer(self.name())
    }

    /// Answers at once if it can. Must not wait, lock for long or allocate.
    fn peek(&self, key: Lookup<'_>) -> Peek {
        let _ = key;
        Peek::Ask
    }

    /// The entry of a key. A shared layer is asked through [`SharedLayer::read`] instead, and returns `None` here.
    ///
    /// # Errors
    /// The layer failed; the chain goes on to the next one.
    fn get<'a>(&'a self, key: &'a Key) -> BoxFuture<'a, Result<Option<Entry>>>;

    /// Stores an entry, replacing what was there. A shared layer is told through [`SharedLayer::write`] instead.
    ///
    /// # Errors
    /// The layer failed; the value is then not stored in it.
    fn set<'a>(&'a self, key: &'a Key, entry: &'a Entry) -> BoxFuture<'a, Result<()>>;

    /// Removes the entry of a key, if it is there.
    ///
    /// # Errors
    /// The layer failed.
    fn delete<'a>(&'a self, key: &'a Key) -> BoxFuture<'a, Result<()>>;

    /// Frees what it holds. Not needed for correctness: the chain has made every entry invalid before.
    ///
    /// # Errors
    /// The layer failed.
    fn clear(&self) -> BoxFuture<'_, Result<()>>;

    /// Shows every entry it holds, also expired ones; `false` if it cannot. An entry set before this is called and not
    /// replaced meanwhile has to be shown. Used by `delete_by_pattern`: where a layer cannot show its entries, a pattern
    /// that names no whole family ends everything in this process.
    fn visit(&self, each: &mut dyn FnMut(&Entry)) -> bool {
        let _ = each;
        false
    }

    /// Frees what is of no more use at this time, in milliseconds on the engine's steady clock: entries whose
    /// [`keep_until`](Entry::keep_until) is not after it. Called about once a minute while values are stored, on a thread
    /// that may block. Not needed for correctness, the chain checks every deadline; without it a layer that has no limit of
    /// its own grows for ever.
    fn expire(&self, now: u64) {
        let _ = now;
    }

    /// What it holds. Replacing an entry, or deleting one that is not there, must not change the number of entries.
    fn usage(&self) -> LayerUsage {
        LayerUsage::unknown()
    }

    /// Says what of its settings cannot work; asked when the engine is built, and when the layer is added to one.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidConfig`](crate::ErrorKind::InvalidConfig), with what to write instead.
    fn check(&self) -> Result<()> {
        Ok(())
    }

    /// Itself, if other processes read what it stores.
    fn shared(&self) -> Option<&dyn SharedLayer> {
        None
    }
}

/// One key to read from a shared layer.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct SharedRead<'a> {
    /// The key.
    pub key: &'a Key,
    /// What the value depends on; the first name is the key's own.
    pub names: Names<'a>,
    /// How long a new token has to live at least, in milliseconds.
    pub ttl: u64,
}

/// What a shared layer has for one key.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct SharedReply {
    /// The stored bytes.
    pub bytes: Option<Bytes>,
    /// The tokens of the names, in their order. All of them exist when the reply arrives; none for a value that can neither be
    /// read nor stored for now.
    pub tokens: Tokens,
    /// Whether that is because a part of the layer failed.
    pub failed: bool,
}

impl SharedReply {
    /// A reply with these bytes and tokens.
    #[must_use]
    pub fn new(bytes: Option<Bytes>, tokens: impl Into<Tokens>) -> Self {
        Self { bytes, tokens: tokens.into(), failed: false }
    }

    /// A reply for a value that a part of the layer should have, which failed.
    #[must_use]
    pub fn failed() -> Self {
        Self { bytes: None, tokens: Tokens::default(), failed: true }
    }
}

/// One value to store in a shared layer.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct SharedWrite<'a> {
    /// The key.
    pub key: &'a Key,
    /// The bytes.
    pub bytes: &'a Bytes,
    /// How long to keep them, in milliseconds.
    pub ttl: u64,
    /// What the value depends on: their tokens must live as long as the value.
    pub names: Names<'a>,
}

/// The other half of a layer that several processes share: bytes in, bytes out, and a token for each stamp name.
///
/// A token is 16 random bytes that exist while nothing invalidated the name. A missing token is a miss, so losing tokens
/// is always safe.
pub trait SharedLayer: Send + Sync {
    /// Reads values and the tokens of what they depend on, in one round trip; tokens that are missing are created.
    ///
    /// # Errors
    /// The layer could not answer within its time budget; the chain loads from the database.
    fn read<'a>(&'a self, reads: &'a [SharedRead<'a>]) -> BoxFuture<'a, Result<Vec<SharedReply>>>;

    /// Stores values, and lets their tokens live at least as long.
    ///
    /// # Errors
    /// The layer failed; nothing is stored.
    fn write<'a>(&'a self, writes: &'a [SharedWrite<'a>]) -> BoxFuture<'a, Result<()>>;

    /// Removes the tokens of these names, and tells the other processes once they are removed. When it fails the layer
    /// itself remembers the names, and removes their tokens before it answers the next read.
    ///
    /// # Errors
    /// The layer could not be reached; the invalidation is remembered.
    fn invalidate<'a>(&'a self, names: &'a [StampName]) -> BoxFuture<'a, Result<()>>;

    /// Removes the tokens of all keys (`~k:` names) of a scope whose logical key matches a pattern with Redis' rules, and
    /// tells the other processes. `scope` is the text before the `~` of the names. By default it ends the whole scope.
    ///
    /// # Errors
    /// The layer could not be reached; an invalidation that covers it is remembered.
    fn invalidate_pattern<'a>(&'a self, scope: &'a str, pattern: &'a str) -> BoxFuture<'a, Result<()>> {
        let _ = pattern;
        Box::pin(async move { self.invalidate(&[StampName::new(scope, "n")]).await })
    }

    /// Tells what all names and keys of the engine begin with; called once, before everything else.
    fn prefix(&self, prefix: &str) {
        let _ = prefix;
    }

    /// Begins to give what other processes invalidate to an inbox, and goes on until it is closed. `true` if it does:
    /// then the engine counts as detached until [`Inbox::attached`] is called.
    fn listen(&self, inbox: Inbox) -> bool {
        let _ = inbox;
        false
    }

    /// Takes the lock of a load, for `lease` milliseconds at most. By default nobody is ever kept out.
    ///
    /// # Errors
    /// The layer could not be reached; the caller loads without a lock.
    fn lock<'a>(&'a self, key: &'a Key, lease: u64) -> BoxFuture<'a, Result<Lock>> {
        let _ = (key, lease);
        Box::pin(async { Ok(Lock::Acquired([0; 16])) })
    }

    /// Gives a lock back, if it is still the one that [`lock`](Self::lock) gave, and wakes who waits for it.
    ///
    /// # Errors
    /// The layer could not be reached; the lock ends with its lease.
    fn unlock<'a>(&'a self, key: &'a Key, lock: Token) -> BoxFuture<'a, Result<()>> {
        let _ = (key, lock);
        Box::pin(async { Ok(()) })
    }

    /// How many invalidations could not be sent yet.
    fn unsent(&self) -> u64 {
        0
    }

    /// How its servers are doing, as far as is known without asking them.
    fn health(&self) -> SharedHealth {
        SharedHealth::default()
    }

    /// Connects now instead of at the first use.
    ///
    /// # Errors
    /// The layer cannot be reached.
    fn connect(&self) -> BoxFuture<'_, Result<()>> {
        Box::pin(async { Ok(()) })
    }

    /// Lets go of connections and tasks.
    fn close(&self) {}
}

/// The answer of [`SharedLayer::lock`].
pub enum Lock {
    /// The lock is the caller's; the token tells it from the next one's.
    Acquired(Token),
    /// Another process has it. The future ends when it was given back, as far as the layer hears of it, or when its lease
    /// is over.
    Held(BoxFuture<'static, ()>),
}

impl fmt::Debug for Lock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Acquired(_) => "Acquired",
            Self::Held(_) => "Held",
        })
    }
}
