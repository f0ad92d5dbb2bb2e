//! Layers for tests: one in a map, and one that misbehaves on command.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::cache::{BoxFuture, CacheLayer, Entry, Key, LayerUsage, Lookup, Peek};
use crate::error::{Error, ErrorKind, Result};

/// A layer in a map, without any limit of size. Clones share what they hold.
#[derive(Debug, Clone, Default)]
pub struct MapLayer(Arc<Mutex<HashMap<Box<[u8]>, Entry>>>);

impl MapLayer {
    /// An empty layer.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    fn map(&self) -> MutexGuard<'_, HashMap<Box<[u8]>, Entry>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl CacheLayer for MapLayer {
    fn name(&self) -> &'static str {
        "map"
    }

    fn peek(&self, key: Lookup<'_>) -> Peek {
        self.map().get(key.bytes()).cloned().map_or(Peek::Miss, Peek::Hit)
    }

    fn get<'a>(&'a self, key: &'a Key) -> BoxFuture<'a, Result<Option<Entry>>> {
        Box::pin(async move { Ok(self.map().get(key.lookup().bytes()).cloned()) })
    }

    fn set<'a>(&'a self, key: &'a Key, entry: &'a Entry) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move {
            self.map().insert(key.lookup().bytes().into(), entry.clone());
            Ok(())
        })
    }

    fn delete<'a>(&'a self, key: &'a Key) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move {
            self.map().remove(key.lookup().bytes());
            Ok(())
        })
    }

    fn clear(&self) -> BoxFuture<'_, Result<()>> {
        Box::pin(async move {
            self.map().clear();
            Ok(())
        })
    }

    fn visit(&self, each: &mut dyn FnMut(&Entry)) -> bool {
        self.map().values().for_each(each);
        true
    }

    fn expire(&self, now: u64) {
        self.map().retain(|_, entry| entry.keep_until() > now);
    }

    fn usage(&self) -> LayerUsage {
        let map = self.map();
        LayerUsage::new(map.len() as u64, map.values().map(|entry| u64::from(entry.weight())).sum())
    }
}

/// What a [`FaultyLayer`] does wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[repr(u8)]
#[non_exhaustive]
pub enum Fault {
    /// Nothing.
    #[default]
    None,
    /// Every call fails.
    Fail,
    /// Every call hangs until the fault is another one; looked at each time the future is polled by a timer.
    Hang,
    /// Every call panics.
    Panic,
    /// It gives the entry of another key, if it has one.
    Lie,
    /// It says that it stored what it forgot.
    Forget,
}

impl Fault {
    const ALL: [Self; 6] = [Self::None, Self::Fail, Self::Hang, Self::Panic, Self::Lie, Self::Forget];
}

/// A layer that does wrong on command, for tests of what a program does then. Clones are the same layer.
///
/// # Examples
///
/// ```
/// use pie::prelude::*;
/// use pie::testing::{Fault, FaultyLayer};
/// # #[derive(Debug, Clone, Model)]
/// # #[cached(ttl = "5m")]
/// # struct User { #[pie(id, auto)] id: i64, name: String }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> pie::Result<()> {
/// let layer = FaultyLayer::new();
/// let engine = Engine::builder().database("sqlite::memory:").layer(layer.clone()).build().await?;
/// engine.create_tables::<(User,)>().await?;
/// layer.set_fault(Fault::Fail);
/// assert!(User::find_by_id(&engine, 1).await?.is_none(), "a failing cache never fails a query");
/// assert_eq!(engine.cache().layers()[0].stats().errors, 2);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, Default)]
pub struct FaultyLayer {
    map: MapLayer,
    fault: Arc<AtomicU8>,
}

impl FaultyLayer {
    /// A layer that does nothing wrong yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Does this wrong from now on.
    pub fn set_fault(&self, fault: Fault) {
        self.fault.store(fault as u8, Ordering::SeqCst);
    }

    /// What it does wrong.
    #[must_use]
    pub fn fault(&self) -> Fault {
        let fault = self.fault.load(Ordering::SeqCst);
        Fault::ALL.into_iter().find(|known| *known as u8 == fault).unwrap_or_default()
    }

    #[allow(clippy::panic, reason = "it is what the test asked for")]
    async fn misbehave(&self) -> Result<()> {
        match self.fault() {
            Fault::Fail => Err(Error::new(ErrorKind::Layer, "the layer fails, as it was told to")),
            Fault::Panic => panic!("the layer panics, as it was told to"),
            Fault::Hang => {
                while self.fault() == Fault::Hang {
                    tokio::time::sleep(std::time::Duration::from_millis(1)).await;
                }
                Ok(())
            }
            Fault::None | Fault::Lie | Fault::Forget => Ok(()),
        }
    }
}

impl CacheLayer for FaultyLayer {
    fn name(&self) -> &'static str {
        "faulty"
    }

    fn get<'a>(&'a self, key: &'a Key) -> BoxFuture<'a, Result<Option<Entry>>> {
        Box::pin(async move {
            self.misbehave().await?;
            if self.fault() == Fault::Lie {
                let map = self.map.map();
                let other = map.values().find(|entry| !entry.is_for(key.lookup()));
                return Ok(other.cloned());
            }
            self.map.get(key).await
        })
    }

    fn set<'a>(&'a self, key: &'a Key, entry: &'a Entry) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move {
            self.misbehave().await?;
            if self.fault() == Fault::Forget { Ok(()) } else { self.map.set(key, entry).await }
        })
    }

    fn delete<'a>(&'a self, key: &'a Key) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move {
            self.misbehave().await?;
            self.map.delete(key).await
        })
    }

    fn clear(&self) -> BoxFuture<'_, Result<()>> {
        Box::pin(async move {
            self.misbehave().await?;
            self.map.clear().await
        })
    }

    fn visit(&self, each: &mut dyn FnMut(&Entry)) -> bool {
        self.map.visit(each)
    }

    fn expire(&self, now: u64) {
        self.map.expire(now);
    }

    fn usage(&self) -> LayerUsage {
        self.map.usage()
    }
}
