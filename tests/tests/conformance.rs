//! The conformance suite of layers: the layers that ship pass it, and each mistake of a plugin is found and named.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use pie::cache::{
    BoxFuture, CacheLayer, Entry, Inbox, Key, LayerUsage, SharedLayer, SharedRead, SharedReply,
};
use pie::cache::{SharedWrite, StampName};
use pie::testing::{Fault, FaultyLayer, MapLayer, Violations, check_layer};
use pie::{Memory, MemoryConfig, RedisConfig, RedisLayer};
use pie_tests::redis_server;

/// What is wrong with a [`Careless`] layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mistake {
    None,
    /// The first bug of the original's sample: `Keys++` on overwrite.
    CountsReplaced,
    /// The second: `Keys--` for a key that is not there.
    CountsMissing,
    /// The third: the time to live is ignored.
    NeverExpires,
    /// The fourth: counters that are changed without being alone.
    CountsUnguarded,
    IgnoresScope,
    KeepsFirst,
    DeletesAll,
    ForgetsToClear,
    ExpiresAll,
}

/// The original's sample, with one mistake at a time.
#[derive(Debug)]
struct Careless {
    map: Mutex<HashMap<String, Entry>>,
    keys: AtomicU64,
    mistake: Mistake,
}

impl Careless {
    fn new(mistake: Mistake) -> Self {
        Self { map: Mutex::default(), keys: AtomicU64::new(0), mistake }
    }

    fn map(&self) -> MutexGuard<'_, HashMap<String, Entry>> {
        self.map.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn key(&self, key: &Key) -> String {
        if self.mistake == Mistake::IgnoresScope { key.logical().to_owned() } else { key.as_str().to_owned() }
    }

    fn count(&self, by: i64) {
        if self.mistake == Mistake::CountsUnguarded {
            let keys = self.keys.load(Ordering::Relaxed);
            std::thread::yield_now();
            self.keys.store(keys.wrapping_add_signed(by), Ordering::Relaxed);
        } else {
            self.keys.fetch_add(by as u64, Ordering::Relaxed);
        }
    }
}

impl CacheLayer for Careless {
    fn name(&self) -> &'static str {
        "careless"
    }

    fn get<'a>(&'a self, key: &'a Key) -> BoxFuture<'a, pie::Result<Option<Entry>>> {
        Box::pin(async move { Ok(self.map().get(&self.key(key)).cloned()) })
    }

    fn set<'a>(&'a self, key: &'a Key, entry: &'a Entry) -> BoxFuture<'a, pie::Result<()>> {
        Box::pin(async move {
            let mut map = self.map();
            if self.mistake == Mistake::KeepsFirst && map.contains_key(&self.key(key)) {
                return Ok(());
            }
            let replaced = map.insert(self.key(key), entry.clone()).is_some();
            if self.mistake == Mistake::CountsUnguarded {
                drop(map);
            }
            if !replaced || self.mistake == Mistake::CountsReplaced {
                self.count(1);
            }
            Ok(())
        })
    }

    fn delete<'a>(&'a self, key: &'a Key) -> BoxFuture<'a, pie::Result<()>> {
        Box::pin(async move {
            let mut map = self.map();
            let removed = map.remove(&self.key(key)).is_some();
            if self.mistake == Mistake::DeletesAll {
                map.clear();
            }
            if self.mistake == Mistake::CountsUnguarded {
                drop(map);
            }
            if removed || self.mistake == Mistake::CountsMissing {
                self.count(-1);
            }
            Ok(())
        })
    }

    fn clear(&self) -> BoxFuture<'_, pie::Result<()>> {
        Box::pin(async move {
            if self.mistake != Mistake::ForgetsToClear {
                self.map().clear();
            }
            self.keys.store(0, Ordering::Relaxed);
            Ok(())
        })
    }

    fn expire(&self, now: u64) {
        let mut map = self.map();
        match self.mistake {
            Mistake::NeverExpires => {}
            Mistake::ExpiresAll => map.clear(),
            _ => map.retain(|_, entry| entry.keep_until() > now),
        }
        self.keys.store(map.len() as u64, Ordering::Relaxed);
    }

    fn usage(&self) -> LayerUsage {
        LayerUsage::counted(self.keys.load(Ordering::Relaxed))
    }
}

#[tokio::test]
async fn the_layers_that_ship_conform() {
    check_layer(MapLayer::new).await.unwrap();
    check_layer(FaultyLayer::new).await.unwrap();
    check_layer(Memory::default).await.unwrap();
    let config = MemoryConfig { max_bytes: 16 << 20, initial_capacity: 1_000 };
    check_layer(|| Memory::new(config).expect("valid")).await.unwrap();
    check_layer(|| Careless::new(Mistake::None)).await.unwrap();
}

#[tokio::test]
async fn redis_conforms() {
    let Some(port) = redis_server::shared() else { return };
    let make = || {
        let config = RedisConfig::new(format!("127.0.0.1:{port}")).budget(Duration::from_secs(5));
        RedisLayer::new(config.connect_timeout(Duration::from_secs(20))).expect("valid")
    };
    check_layer(make).await.unwrap();
}

async fn violations<L: CacheLayer>(make: impl Fn() -> L) -> Violations {
    check_layer(make).await.expect_err("it breaks rules")
}

#[tokio::test]
async fn each_mistake_is_found_and_named() {
    for (mistake, wanted) in [
        (Mistake::CountsReplaced, "again when it is replaced"),
        (Mistake::CountsMissing, "one is deleted that is not there"),
        (Mistake::NeverExpires, "implement `expire`"),
        (Mistake::CountsUnguarded, "many threads wrote at once"),
        (Mistake::IgnoresScope, "keys are mixed up"),
        (Mistake::KeepsFirst, "does not replace"),
        (Mistake::DeletesAll, "removes another"),
        (Mistake::ForgetsToClear, "after `clear`"),
        (Mistake::ExpiresAll, "still of use"),
    ] {
        let found = violations(|| Careless::new(mistake)).await;
        assert!(found.iter().any(|rule| rule.contains(wanted)), "{mistake:?}: {found}");
    }
}

#[tokio::test]
async fn a_layer_that_fails_or_lies_is_found() {
    let with = |fault| {
        move || {
            let layer = FaultyLayer::new();
            layer.set_fault(fault);
            layer
        }
    };
    for (fault, wanted) in [
        (Fault::Fail, "`set` fails"),
        (Fault::Panic, "`set` panics"),
        (Fault::Forget, "does not give what was `set`"),
        (Fault::Lie, "gives the entry of another key"),
    ] {
        let found = violations(with(fault)).await;
        assert!(found.iter().any(|rule| rule.contains(wanted)), "{fault:?}: {found}");
    }
}

/// A shared layer in a map, with one mistake at a time.
#[derive(Debug, Clone)]
struct Store {
    inner: Arc<Mutex<Inner>>,
    mistake: SharedMistake,
}

#[derive(Debug, Default)]
struct Inner {
    bytes: HashMap<String, (bytes::Bytes, std::time::Instant)>,
    tokens: HashMap<String, [u8; 16]>,
    next: u64,
    ears: Vec<Inbox>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum SharedMistake {
    None,
    NewTokenEachTime,
    OneTokenForAll,
    InvalidatesNothing,
    InvalidatesAll,
    KeepsBytes,
    TellsNobody,
}

impl Store {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl CacheLayer for Store {
    fn name(&self) -> &'static str {
        "store"
    }

    fn get<'a>(&'a self, _: &'a Key) -> BoxFuture<'a, pie::Result<Option<Entry>>> {
        Box::pin(async { Ok(None) })
    }

    fn set<'a>(&'a self, _: &'a Key, _: &'a Entry) -> BoxFuture<'a, pie::Result<()>> {
        Box::pin(async { Ok(()) })
    }

    fn delete<'a>(&'a self, key: &'a Key) -> BoxFuture<'a, pie::Result<()>> {
        Box::pin(async move {
            self.lock().bytes.remove(key.as_str());
            Ok(())
        })
    }

    fn clear(&self) -> BoxFuture<'_, pie::Result<()>> {
        Box::pin(async { Ok(()) })
    }

    fn shared(&self) -> Option<&dyn SharedLayer> {
        Some(self)
    }
}

impl SharedLayer for Store {
    fn read<'a>(&'a self, reads: &'a [SharedRead<'a>]) -> BoxFuture<'a, pie::Result<Vec<SharedReply>>> {
        Box::pin(async move {
            let mut inner = self.lock();
            let mut replies = Vec::new();
            for read in reads {
                let mut tokens = Vec::new();
                for name in read.names {
                    inner.next += 1;
                    let mut token = [0; 16];
                    token[..8].copy_from_slice(&inner.next.to_le_bytes());
                    token = match self.mistake {
                        SharedMistake::NewTokenEachTime => token,
                        SharedMistake::OneTokenForAll => [9; 16],
                        _ => *inner.tokens.entry(name.as_str().to_owned()).or_insert(token),
                    };
                    tokens.push(token);
                }
                let stored = inner.bytes.get(read.key.as_str());
                let fresh = stored.filter(|(_, until)| {
                    self.mistake == SharedMistake::KeepsBytes || *until > std::time::Instant::now()
                });
                replies.push(SharedReply::new(fresh.map(|(bytes, _)| bytes.clone()), tokens));
            }
            Ok(replies)
        })
    }

    fn write<'a>(&'a self, writes: &'a [SharedWrite<'a>]) -> BoxFuture<'a, pie::Result<()>> {
        Box::pin(async move {
            for write in writes {
                let until = std::time::Instant::now() + Duration::from_millis(write.ttl);
                self.lock().bytes.insert(write.key.as_str().to_owned(), (write.bytes.clone(), until));
            }
            Ok(())
        })
    }

    fn invalidate<'a>(&'a self, names: &'a [StampName]) -> BoxFuture<'a, pie::Result<()>> {
        Box::pin(async move {
            let mut inner = self.lock();
            match self.mistake {
                SharedMistake::InvalidatesNothing => {}
                SharedMistake::InvalidatesAll => inner.tokens.clear(),
                _ => inner.tokens.retain(|token, _| names.iter().all(|name| name.as_str() != token)),
            }
            let ears = inner.ears.clone();
            drop(inner);
            if self.mistake != SharedMistake::TellsNobody {
                ears.iter().for_each(|ear| ear.invalidated(names));
            }
            Ok(())
        })
    }

    fn listen(&self, inbox: Inbox) -> bool {
        self.lock().ears.push(inbox.clone());
        inbox.attached();
        true
    }
}

#[tokio::test]
async fn mistakes_of_shared_layers_are_found_and_named() {
    for (mistake, wanted) in [
        (SharedMistake::None, None),
        (SharedMistake::NewTokenEachTime, Some("tokens change although nothing was invalidated")),
        (SharedMistake::OneTokenForAll, Some("two names have the same token")),
        (SharedMistake::InvalidatesNothing, Some("keeps its token after `invalidate`")),
        (SharedMistake::InvalidatesAll, Some("ends the token of another")),
        (SharedMistake::KeepsBytes, Some("stay after their time to live")),
        (SharedMistake::TellsNobody, Some("does not hear")),
    ] {
        let store = Store { inner: Arc::default(), mistake };
        match (check_layer(|| store.clone()).await, wanted) {
            (Ok(()), None) => {}
            (Err(found), Some(wanted)) => {
                assert!(found.iter().any(|rule| rule.contains(wanted)), "{mistake:?}: {found}");
            }
            (outcome, _) => panic!("{mistake:?}: {outcome:?}"),
        }
    }
}
