//! Layers of one's own: order, backfill, failure and panic.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::HashMap;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use pie::cache::{
    BoxFuture, CacheLayer, Entry, Key, LayerUsage, Lookup, Peek, SharedLayer, SharedRead, SharedReply,
    SharedWrite, StampName,
};
use pie::prelude::*;
use pie::testing::{self, Fault, FaultyLayer, ManualClock, MapLayer};
use pie::{CacheConfig, Error, ErrorKind, Memory, OnL2Down, Source};
use pie_tests::log::Log;

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

/// Which call of a [`Jumpy`] layer panics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum At {
    Peek,
    GetBefore,
    SetBefore,
    Usage,
    Visit,
    Expire,
}

/// A layer that panics in one of its calls, before it gives a future.
#[derive(Debug)]
struct Jumpy(At, MapLayer);

impl Jumpy {
    fn jump(&self, at: At) {
        assert!(self.0 != at, "a layer that panics at {at:?}");
    }
}

impl CacheLayer for Jumpy {
    fn name(&self) -> &'static str {
        "jumpy"
    }
    fn peek(&self, key: Lookup<'_>) -> Peek {
        self.jump(At::Peek);
        if self.0 == At::GetBefore { Peek::Ask } else { self.1.peek(key) }
    }
    fn get<'a>(&'a self, key: &'a Key) -> BoxFuture<'a, pie::Result<Option<Entry>>> {
        self.jump(At::GetBefore);
        self.1.get(key)
    }
    fn set<'a>(&'a self, key: &'a Key, entry: &'a Entry) -> BoxFuture<'a, pie::Result<()>> {
        self.jump(At::SetBefore);
        self.1.set(key, entry)
    }
    fn delete<'a>(&'a self, key: &'a Key) -> BoxFuture<'a, pie::Result<()>> {
        self.1.delete(key)
    }
    fn clear(&self) -> BoxFuture<'_, pie::Result<()>> {
        self.1.clear()
    }
    fn visit(&self, each: &mut dyn FnMut(&Entry)) -> bool {
        self.jump(At::Visit);
        self.1.visit(each)
    }
    fn expire(&self, now: u64) {
        self.jump(At::Expire);
        self.1.expire(now);
    }
    fn usage(&self) -> LayerUsage {
        self.jump(At::Usage);
        self.1.usage()
    }
}

#[tokio::test]
async fn a_panic_in_any_call_counts_as_a_failure_of_the_layer() -> pie::Result<()> {
    for at in [At::Peek, At::GetBefore, At::SetBefore, At::Usage, At::Visit, At::Expire] {
        let clock = ManualClock::new();
        let builder = Engine::builder().database("sqlite::memory:").clock(&clock);
        let engine = builder.layer(Jumpy(at, MapLayer::new())).memory(Memory::default()).build().await?;
        engine.create_tables::<(User,)>().await?;
        User::insert(&engine, NewUser { name: "Ann".into() }).await?;
        for _ in 0..3 {
            assert_eq!(User::find_by_id(&engine, 1).required().await?.name, "Ann");
        }
        engine.cache().set("k:1", &1, Duration::from_secs(600)).await?;
        engine.cache().delete_by_pattern("k:?").await?;
        assert!(!engine.cache().exists("k:1").await?, "{at:?}");
        clock.advance(Duration::from_secs(61));
        User::find_by_id(&engine, 2).await?;
        engine.cache().flush().await;
        let stats = engine.cache().layers()[0].stats();
        assert!(stats.panics >= 1 && stats.errors >= stats.panics, "{at:?}: {stats:?}");
    }
    Ok(())
}

#[tokio::test]
async fn an_entry_of_another_key_is_not_served_but_counted_and_named() -> pie::Result<()> {
    let log = Log::start().await;
    let layer = FaultyLayer::new();
    let engine = Engine::builder().database("sqlite::memory:").layer(layer.clone()).build().await?;
    engine.create_tables::<(User,)>().await?;
    for name in ["Ann", "Bob"] {
        User::insert(&engine, NewUser { name: name.into() }).await?;
    }
    User::find_by_id(&engine, 1).await?;
    layer.set_fault(Fault::Lie);
    for _ in 0..3 {
        assert_eq!(User::find_by_id(&engine, 2).required().await?.name, "Bob");
    }
    assert_eq!(
        User::find_by_ids(&engine, &[2, 1]).await?.iter().flatten().map(|user| user.id).collect::<Vec<_>>(),
        [2, 1]
    );
    let stats = engine.cache().layers()[0].stats();
    assert!(stats.errors >= 4, "{stats:?}");
    let said = log.events().into_iter().filter(|event| event.contains("entry of another key"));
    assert_eq!(said.filter(|event| event.contains("faulty")).count(), 1, "said once, with the layer's name");
    Ok(())
}

#[tokio::test]
async fn a_layer_that_hangs_is_waited_for_once_and_then_left_alone() -> pie::Result<()> {
    let (layer, clock) = (FaultyLayer::new(), ManualClock::new());
    let engine = Engine::builder()
        .database("sqlite::memory:")
        .layer(layer.clone())
        .memory(Memory::default())
        .config(CacheConfig { layer_timeout: Duration::from_millis(20), ..testing::config() })
        .clock(&clock)
        .build()
        .await?;
    engine.create_tables::<(User,)>().await?;
    User::insert(&engine, NewUser { name: "Ann".into() }).await?;
    layer.set_fault(Fault::Hang);
    assert_eq!(User::find_by_id(&engine, 1).required().await?.source(), Source::Database);
    let errors = || engine.cache().layers()[0].stats().errors;
    assert_eq!(errors(), 1, "it was waited for once");
    for id in [1, 2, 3, 1] {
        User::find_by_id(&engine, id).await?;
    }
    assert_eq!(errors(), 1, "and not again within a second");
    assert_eq!(User::find_by_id(&engine, 1).required().await?.source(), Source::Memory);
    layer.set_fault(Fault::None);
    clock.advance(Duration::from_secs(1));
    User::find_by_id(&engine, 1).await?;
    assert_eq!(
        User::find_by_id(&engine, 1).required().await?.source(),
        Source::Layer("faulty"),
        "it is used again"
    );
    assert_eq!(errors(), 1);
    Ok(())
}

#[tokio::test]
async fn what_is_past_its_time_is_freed() -> pie::Result<()> {
    let (map, clock) = (MapLayer::new(), ManualClock::new());
    let builder = Engine::builder().database("sqlite::memory:").layer(map).memory(Memory::default());
    let engine = builder.config(testing::config()).clock(&clock).build().await?;
    let cache = engine.cache();
    let keys = || cache.layers().iter().map(|layer| layer.stats().keys).collect::<Vec<_>>();
    cache.set_many((0..1_000).map(|i| (format!("short:{i}"), i)), Duration::from_secs(30)).await?;
    cache.set_many((0..10).map(|i| (format!("long:{i}"), i)), Duration::from_secs(600)).await?;
    assert_eq!(keys(), [Some(1_010); 2]);
    clock.advance(Duration::from_secs(60));
    cache.set("one more", &1, Duration::from_secs(600)).await?;
    cache.flush().await;
    assert_eq!(keys(), [Some(11); 2]);
    assert_eq!(cache.stats().evicted_keys, 0, "nothing was pushed out");
    assert_eq!(cache.get_many::<u32, _>(&["long:3", "short:3"]).await?.iter().flatten().count(), 1);
    Ok(())
}

#[tokio::test]
async fn reads_that_insist_fail_alone() -> pie::Result<()> {
    // The one that insists leads, and those who do not wait for it: they load for themselves.
    let (layer, clock) = (FaultyLayer::new(), ManualClock::new());
    let builder =
        Engine::builder().database("sqlite::memory:").layer(layer.clone()).config(testing::config());
    let engine = builder.clock(&clock).build().await?;
    engine.create_tables::<(User,)>().await?;
    User::insert(&engine, NewUser { name: "Ann".into() }).await?;
    layer.set_fault(Fault::Fail);
    let readers = (0..20).map(|i| {
        let engine = engine.clone();
        tokio::spawn(async move {
            let ask = User::find_by_id(&engine, 1);
            let ask = if i % 2 == 0 { ask.on_l2_down(OnL2Down::Fail) } else { ask };
            (i, ask.await)
        })
    });
    for reader in readers.collect::<Vec<_>>() {
        let (i, outcome) = reader.await.expect("no panic");
        match outcome {
            Ok(user) => assert!(user.is_some()),
            Err(error) => assert!(i % 2 == 0 && error.kind() == ErrorKind::Layer, "{i}: {error}"),
        }
    }
    layer.set_fault(Fault::None);
    assert!(User::find_by_id(&engine, 1).on_l2_down(OnL2Down::Fail).await?.is_some());
    Ok(())
}

/// A shared layer that fails when it is asked for several values at once.
#[derive(Debug, Default, Clone)]
struct Picky {
    stored: Arc<Mutex<HashMap<String, Bytes>>>,
    together: Arc<AtomicU64>,
    /// How often it was asked for one value.
    alone: Arc<AtomicU64>,
}

impl Picky {
    fn stored(&self) -> MutexGuard<'_, HashMap<String, Bytes>> {
        self.stored.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl CacheLayer for Picky {
    fn name(&self) -> &'static str {
        "picky"
    }
    fn get<'a>(&'a self, _: &'a Key) -> BoxFuture<'a, pie::Result<Option<Entry>>> {
        Box::pin(async { Ok(None) })
    }
    fn set<'a>(&'a self, _: &'a Key, _: &'a Entry) -> BoxFuture<'a, pie::Result<()>> {
        Box::pin(async { Ok(()) })
    }
    fn delete<'a>(&'a self, _: &'a Key) -> BoxFuture<'a, pie::Result<()>> {
        Box::pin(async { Ok(()) })
    }
    fn clear(&self) -> BoxFuture<'_, pie::Result<()>> {
        Box::pin(async { Ok(()) })
    }
    fn shared(&self) -> Option<&dyn SharedLayer> {
        Some(self)
    }
}

impl SharedLayer for Picky {
    fn read<'a>(&'a self, reads: &'a [SharedRead<'a>]) -> BoxFuture<'a, pie::Result<Vec<SharedReply>>> {
        Box::pin(async move {
            // Long enough for others to come meanwhile.
            tokio::task::yield_now().await;
            let [read] = reads else {
                self.together.fetch_add(1, Ordering::SeqCst);
                return Err(Error::new(ErrorKind::Layer, "one at a time"));
            };
            self.alone.fetch_add(1, Ordering::SeqCst);
            let bytes = self.stored().get(read.key.as_str()).cloned();
            Ok(vec![SharedReply::new(bytes, vec![[7; 16]; read.names.len()])])
        })
    }
    fn write<'a>(&'a self, writes: &'a [SharedWrite<'a>]) -> BoxFuture<'a, pie::Result<()>> {
        Box::pin(async move {
            for write in writes {
                self.stored().insert(write.key.as_str().to_owned(), write.bytes.clone());
            }
            Ok(())
        })
    }
    fn invalidate<'a>(&'a self, _: &'a [StampName]) -> BoxFuture<'a, pie::Result<()>> {
        Box::pin(async { Ok(()) })
    }
}

#[tokio::test]
async fn readers_whose_common_call_fails_ask_by_themselves() -> pie::Result<()> {
    let layer = Picky::default();
    let engine = Engine::builder().database("sqlite::memory:").layer(layer.clone()).build().await?;
    engine.create_tables::<(User,)>().await?;
    for id in 0..10 {
        User::insert(&engine, NewUser { name: format!("user {id}") }).await?;
    }
    for id in 1..=10 {
        User::find_by_id(&engine, id).required().await?;
        engine.cache().flush().await;
    }
    let loads = engine.cache().stats().loads;
    let all = futures_util::future::join_all(
        (1..=10).map(async |id| User::find_by_id(&engine, id).required().await),
    );
    for user in all.await {
        assert_eq!(user?.source(), Source::Layer("picky"));
    }
    assert_eq!(engine.cache().stats().loads, loads, "none of them had to ask the database");
    assert!(layer.together.load(Ordering::SeqCst) >= 1, "they did ask together first");
    Ok(())
}

#[tokio::test]
async fn a_shared_layer_is_asked_once_for_all_that_read_one_value_at_the_same_time() -> pie::Result<()> {
    let layer = Picky::default();
    let engine = Engine::builder().database("sqlite::memory:").layer(layer.clone()).build().await?;
    engine.create_tables::<(User,)>().await?;
    User::insert(&engine, NewUser { name: "Ann".into() }).await?;
    User::find_by_id(&engine, 1).required().await?;
    engine.cache().flush().await;
    let (asked, before) = (layer.alone.swap(0, Ordering::SeqCst), engine.cache().stats());
    assert!(asked >= 1);
    // The first waits for the layer while the others come.
    let all =
        futures_util::future::join_all((0..10).map(async |_| User::find_by_id(&engine, 1).required().await));
    for user in all.await {
        assert_eq!(user?.source(), Source::Layer("picky"));
    }
    let after = engine.cache().stats();
    assert_eq!(layer.alone.load(Ordering::SeqCst), 1, "who waits has the answer of the one that asked");
    assert_eq!((after.joins - before.joins, after.hits - before.hits), (9, 10));
    assert_eq!((after.loads, layer.together.load(Ordering::SeqCst)), (before.loads, 0));
    Ok(())
}
