//! Layers of one's own: order, backfill, failure and panic.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::HashMap;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use pie::cache::{BoxFuture, CacheLayer, Entry, Key, LayerUsage};
use pie::prelude::*;
use pie::{Error, ErrorKind, Memory, Source};

#[derive(Debug, Clone, PartialEq, Model)]
#[cached(ttl = "5m")]
struct User {
    #[pie(id, auto)]
    id: i64,
    name: String,
}

#[derive(Debug, Clone, Default)]
struct MyCache {
    map: Arc<Mutex<HashMap<String, Entry>>>,
    /// 0 works, 1 fails, 2 panics.
    mood: Arc<AtomicU8>,
}

impl MyCache {
    fn with<T>(&self, work: impl FnOnce(&mut HashMap<String, Entry>) -> T) -> pie::Result<T> {
        match self.mood.load(Ordering::SeqCst) {
            0 => Ok(work(&mut self.map.lock().unwrap_or_else(PoisonError::into_inner))),
            1 => Err(Error::new(ErrorKind::Layer, "out of order")),
            _ => panic!("a layer that panics"),
        }
    }
}

impl CacheLayer for MyCache {
    fn name(&self) -> &'static str {
        "mine"
    }

    fn get<'a>(&'a self, key: &'a Key) -> BoxFuture<'a, pie::Result<Option<Entry>>> {
        Box::pin(async move { self.with(|map| map.get(key.as_str()).cloned()) })
    }

    fn set<'a>(&'a self, key: &'a Key, entry: &'a Entry) -> BoxFuture<'a, pie::Result<()>> {
        Box::pin(async move { self.with(|map| drop(map.insert(key.as_str().to_owned(), entry.clone()))) })
    }

    fn delete<'a>(&'a self, key: &'a Key) -> BoxFuture<'a, pie::Result<()>> {
        Box::pin(async move { self.with(|map| drop(map.remove(key.as_str()))) })
    }

    fn clear(&self) -> BoxFuture<'_, pie::Result<()>> {
        Box::pin(async move { self.with(HashMap::clear) })
    }

    fn usage(&self) -> LayerUsage {
        LayerUsage::new(self.map.lock().unwrap_or_else(PoisonError::into_inner).len() as u64, 0)
    }
}

async fn engine(mine: &MyCache, first: bool) -> Engine {
    let builder = Engine::builder().database("sqlite::memory:");
    let builder = if first {
        builder.layer(mine.clone()).memory(Memory::default())
    } else {
        builder.memory(Memory::default()).layer(mine.clone())
    };
    let engine = builder.build().await.expect("builds");
    engine.create_tables::<(User,)>().await.expect("creates");
    User::insert(&engine, NewUser { name: "Ann".into() }).await.expect("inserts");
    engine
}

#[tokio::test]
async fn layers_are_asked_in_order_and_filled_from_below() -> pie::Result<()> {
    let mine = MyCache::default();
    let engine = engine(&mine, true).await;
    assert_eq!(User::find_by_id(&engine, 1).required().await?.source(), Source::Database);
    assert_eq!(User::find_by_id(&engine, 1).required().await?.source(), Source::Layer("mine"));
    engine.cache().layers()[0].evict_all().await?;
    assert_eq!(User::find_by_id(&engine, 1).required().await?.source(), Source::Memory);
    assert_eq!(
        User::find_by_id(&engine, 1).required().await?.source(),
        Source::Layer("mine"),
        "filled from memory"
    );
    User::update_by_id(&engine, 1).name("Bob").await?;
    let row = User::find_by_id(&engine, 1).required().await?;
    assert_eq!(
        (row.source(), row.name.as_str()),
        (Source::Database, "Bob"),
        "invalid in a layer that knows nothing of it"
    );
    let stats: Vec<(u64, u64)> =
        engine.cache().layers().iter().map(|layer| (layer.stats().hits, layer.stats().misses)).collect();
    assert_eq!(stats, [(2, 3), (1, 2)]);
    Ok(())
}

#[tokio::test]
async fn a_layer_that_fails_or_panics_never_fails_a_query() -> pie::Result<()> {
    for first in [true, false] {
        for mood in [1, 2] {
            let mine = MyCache::default();
            let engine = engine(&mine, first).await;
            mine.mood.store(mood, Ordering::SeqCst);
            assert_eq!(User::find_by_id(&engine, 1).required().await?.source(), Source::Database);
            assert_eq!(User::find_by_id(&engine, 1).required().await?.source(), Source::Memory);
            User::update_by_id(&engine, 1).name("Bob").await?;
            assert_eq!(User::find_by_id(&engine, 1).required().await?.name, "Bob");
            let at = usize::from(!first);
            assert!(engine.cache().layers()[at].stats().errors >= 2);
            mine.mood.store(0, Ordering::SeqCst);
            assert_eq!(User::find_by_ids(&engine, &[1, 2]).await?.len(), 2);
        }
    }
    Ok(())
}

#[tokio::test]
async fn two_layers_of_one_name_are_refused() {
    let build = Engine::builder()
        .database("sqlite::memory:")
        .memory(Memory::default())
        .memory(Memory::default())
        .build();
    let error = build.await.expect_err("refused");
    assert_eq!(error.kind(), ErrorKind::InvalidConfig);
    assert!(error.to_string().contains("`memory`"), "{error}");
}
