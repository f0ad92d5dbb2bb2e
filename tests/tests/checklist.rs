//! Everything the original's cache shows, row by row: `docs/checklist.md` says which test shows which row.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "checklist/architecture.rs"]
mod architecture;
#[path = "checklist/document.rs"]
mod document;
#[path = "checklist/examples.rs"]
mod examples;
#[path = "checklist/layers.rs"]
mod layers;
#[path = "checklist/queries.rs"]
mod queries;
#[path = "checklist/set_up.rs"]
mod set_up;
#[path = "checklist/statistics.rs"]
mod statistics;
#[path = "checklist/walk.rs"]
mod walk;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use pie::cache::{BoxFuture, CacheLayer, Entry, Key, LayerUsage};
use pie::prelude::*;
use pie::testing::{self, ManualClock};
use pie::{EngineBuilder, RedisConfig};
use pie_tests::redis_server;

pub(crate) const SECOND: Duration = Duration::from_secs(1);
pub(crate) const MINUTE: Duration = Duration::from_secs(60);

#[derive(Debug, Clone, PartialEq, Model, serde::Serialize, serde::Deserialize)]
#[cached(ttl = "5m", jitter = "0s", empty_ttl = "30s")]
pub(crate) struct User {
    #[pie(id, auto)]
    pub(crate) id: i64,
    #[pie(unique)]
    pub(crate) email: String,
    #[pie(index)]
    pub(crate) status: String,
    pub(crate) age: i32,
}

/// A layer of one's own, in a map.
#[derive(Debug, Clone, Default)]
pub(crate) struct MyCache(Arc<Mutex<HashMap<String, Entry>>>);

impl MyCache {
    pub(crate) fn map(&self) -> MutexGuard<'_, HashMap<String, Entry>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl CacheLayer for MyCache {
    fn name(&self) -> &'static str {
        "mine"
    }

    fn get<'a>(&'a self, key: &'a Key) -> BoxFuture<'a, pie::Result<Option<Entry>>> {
        Box::pin(async { Ok(self.map().get(key.as_str()).cloned()) })
    }

    fn set<'a>(&'a self, key: &'a Key, entry: &'a Entry) -> BoxFuture<'a, pie::Result<()>> {
        self.map().insert(key.as_str().to_owned(), entry.clone());
        Box::pin(async { Ok(()) })
    }

    fn delete<'a>(&'a self, key: &'a Key) -> BoxFuture<'a, pie::Result<()>> {
        self.map().remove(key.as_str());
        Box::pin(async { Ok(()) })
    }

    fn clear(&self) -> BoxFuture<'_, pie::Result<()>> {
        self.map().clear();
        Box::pin(async { Ok(()) })
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

/// A builder on an empty database, in a namespace of its own and without jitter.
pub(crate) fn builder() -> EngineBuilder {
    Engine::builder().database("sqlite::memory:").config(testing::config())
}

/// The address of the shared Redis.
pub(crate) fn redis_addr() -> Option<String> {
    redis_server::shared().map(|port| format!("127.0.0.1:{port}"))
}

/// A patient configuration, so that a busy machine changes no answer.
pub(crate) fn redis_config(addr: &str) -> RedisConfig {
    RedisConfig::new(addr).budget(5 * SECOND).connect_timeout(20 * SECOND)
}

/// Three users: 1 and 2 are active, 3 is away.
pub(crate) async fn filled(builder: EngineBuilder) -> Engine {
    let engine = builder.build().await.expect("builds");
    engine.create_tables::<(User,)>().await.expect("creates");
    let users = [("ann", "active", 31), ("bob", "active", 17), ("cid", "away", 45)];
    let users = users.map(|(name, status, age)| NewUser {
        email: format!("{name}@x.org"),
        status: status.into(),
        age,
    });
    User::insert_many(&engine, users).await.expect("inserts");
    engine
}

/// An engine with memory only, and its clock.
pub(crate) async fn memory_engine() -> (Engine, ManualClock) {
    let clock = ManualClock::new();
    (filled(builder().clock(&clock)).await, clock)
}

/// An engine with memory and Redis, and its clock; `None` where there is no Redis.
pub(crate) async fn redis_engine() -> Option<(Engine, ManualClock)> {
    let (addr, clock) = (redis_addr()?, ManualClock::new());
    let builder = builder().memory(pie::Memory::default()).redis(redis_config(&addr)).require_redis();
    Some((filled(builder.clock(&clock)).await, clock))
}

pub(crate) fn sources(engine: &Engine) -> Vec<&'static str> {
    engine.cache().layers().iter().map(|layer| layer.stats().name).collect()
}
