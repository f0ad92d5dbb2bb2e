//! What can be seen of the cache: statistics by model, times, metrics; spans are in `spans.rs`.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::Arc;
use std::time::Duration;

use metrics_exporter_prometheus::PrometheusBuilder;
use pie::cache::GroupKind;
use pie::database::Sqlite;
use pie::prelude::*;
use pie::testing::{self, ManualClock};
use pie::{Memory, MemoryConfig};
use pie_tests::gated::{Gate, Gated};

#[derive(Debug, Clone, Model)]
#[cached(ttl = "5m", jitter = "0s")]
struct User {
    #[pie(id, auto)]
    id: i64,
    name: String,
}

#[derive(Debug, Clone, Model)]
#[cached(ttl = "5m", jitter = "0s", stale = "1h")]
struct Order {
    #[pie(id, auto)]
    id: i64,
}

async fn gated() -> (Engine, Arc<Gate>, ManualClock) {
    let (gate, clock) = (Arc::new(Gate::default()), ManualClock::new());
    let options = pie::database::DatabaseOptions::default();
    let database =
        Gated::new(Arc::new(Sqlite::open("sqlite::memory:", options).await.expect("opens")), &gate);
    let builder = Engine::builder().database(Arc::new(database)).config(testing::config()).clock(&clock);
    let engine = builder.build().await.expect("builds");
    engine.create_tables::<(User, Order)>().await.expect("creates");
    User::insert(&engine, NewUser { name: "secret name".into() }).await.expect("inserts");
    Order::insert(&engine, NewOrder {}).await.expect("inserts");
    (engine, gate, clock)
}

#[tokio::test]
async fn each_model_is_counted_by_itself_and_the_sum_is_the_engines() -> pie::Result<()> {
    let (engine, gate, clock) = gated().await;
    for _ in 0..3 {
        User::find_by_id(&engine, 1).await?;
    }
    Order::find_by_id(&engine, 1).await?;
    clock.advance(Duration::from_secs(301));
    Order::find_by_id(&engine, 1).await?;
    engine.cache().flush().await;
    gate.fail(true);
    assert!(User::find_by_id(&engine, 9).await.is_err());
    gate.fail(false);
    engine.cache().set("k", &1, Duration::from_secs(60)).await?;
    engine.cache().get::<u32>("k").await?;

    let users = engine.cache().stats_of::<User>();
    assert_eq!((users.name, users.kind), ("User", GroupKind::Model));
    assert_eq!((users.hits, users.misses, users.loads, users.failed_loads), (2, 2, 2, 1));
    assert_eq!(users.hit_rate, 50.0);
    assert_eq!(users.load_latency.count, 1, "of loads that did not fail");
    let orders = engine.cache().stats_of::<Order>();
    assert_eq!((orders.hits, orders.misses, orders.loads, orders.stale), (1, 1, 2, 1));
    let report = engine.cache().report();
    let by_hand = report.groups.iter().find(|group| group.kind == GroupKind::Manual).expect("used");
    assert_eq!((by_hand.hits, by_hand.misses), (1, 0));
    let all = report.stats;
    assert_eq!((all.hits, all.misses, all.loads, all.failed_loads, all.stale), (4, 3, 4, 1, 1));
    assert_eq!(all.load_latency.count, 3);
    assert_eq!(all, engine.cache().stats());
    Ok(())
}

#[tokio::test]
async fn what_fills_the_memory_is_told_by_model() -> pie::Result<()> {
    let (engine, _gate, clock) = gated().await;
    User::find_by_id(&engine, 1).await?;
    User::find_by_id(&engine, 9).await?;
    User::query(&engine).await?;
    Order::find_by_id(&engine, 1).await?;
    let large = "x".repeat(10_000);
    engine.cache().set("k", &large, Duration::from_secs(60)).await?;
    let held = || {
        let held = engine.cache().holdings().into_iter();
        held.map(|held| (held.layer, held.name, held.keys, held.dead)).collect::<Vec<_>>()
    };
    let users = ("memory", "User", 3, 0);
    assert_eq!(held(), [("memory", "by hand", 1, 0), users, ("memory", "Order", 1, 0)], "the largest first");
    let size: u64 = engine.cache().holdings().iter().map(|held| held.size).sum();
    assert_eq!(size, engine.cache().stats().size);
    Order::delete_by_id(&engine, 1).await?;
    clock.advance(Duration::from_secs(61));
    assert_eq!(held(), [("memory", "by hand", 1, 1), ("memory", "User", 3, 1), ("memory", "Order", 1, 1)]);
    Ok(())
}

#[tokio::test]
async fn joins_and_times_are_counted() -> pie::Result<()> {
    let (engine, gate, _clock) = gated().await;
    gate.close();
    let readers: Vec<_> = (0..10)
        .map(|_| {
            let engine = engine.clone();
            tokio::spawn(async move { User::find_by_id(&engine, 1).await.map(drop) })
        })
        .collect();
    gate.until_begun(1).await;
    tokio::task::yield_now().await;
    gate.open();
    for reader in readers {
        reader.await.expect("no panic")?;
    }
    let stats = engine.cache().stats_of::<User>();
    assert_eq!((stats.loads, stats.joins + stats.loads + stats.hits), (1, 10));
    assert!(stats.load_latency.max >= stats.load_latency.p50 && stats.load_latency.p50 > Duration::ZERO);
    Ok(())
}

#[tokio::test]
async fn engines_do_not_share_their_counters() -> pie::Result<()> {
    let ((one, ..), (two, ..)) = (gated().await, gated().await);
    User::find_by_id(&one, 1).await?;
    assert_eq!((one.cache().stats().total, two.cache().stats().total), (1, 0));
    assert_eq!(two.cache().stats_of::<User>().total, 0);
    Ok(())
}

#[tokio::test]
async fn evictions_of_mini_moka_are_exact() -> pie::Result<()> {
    let memory = Memory::new(MemoryConfig { max_bytes: 400_000, initial_capacity: 0 })?;
    let engine = Engine::builder()
        .database("sqlite::memory:")
        .memory(memory)
        .config(testing::config())
        .build()
        .await?;
    let (cache, minute) = (engine.cache(), Duration::from_secs(60));
    let stored = |round: u64| (0..2_000).map(move |i| (format!("k{i}"), i + round));
    cache.set_many(stored(0), minute).await?;
    let stats = cache.stats();
    assert_eq!(stats.keys + stats.evicted_keys, 2_000, "what was stored is there, or was evicted");
    assert!(stats.evicted_keys > 0 && stats.keys > 0);

    // Within the budget nothing is evicted, however often it is replaced, deleted or emptied.
    let engine = Engine::builder().database("sqlite::memory:").config(testing::config()).build().await?;
    let cache = engine.cache();
    for round in 0..3 {
        cache.set_many(stored(round), minute).await?;
    }
    assert_eq!((cache.stats().keys, cache.stats().evicted_keys), (2_000, 0));
    cache.clear().await?;
    assert_eq!((cache.stats().keys, cache.stats().evicted_keys), (0, 0));
    Ok(())
}

#[tokio::test]
async fn the_metrics_facade_gets_what_the_statistics_say() -> pie::Result<()> {
    let recorder = PrometheusBuilder::new().build_recorder();
    let handle = recorder.handle();
    let (engine, ..) = gated().await;
    let publish = || metrics::with_local_recorder(&recorder, || engine.cache().publish_metrics());
    for _ in 0..3 {
        User::find_by_id(&engine, 1).await?;
    }
    publish();
    let has = |line: &str| {
        let rendered = handle.render();
        assert!(rendered.lines().any(|found| found == line), "{line}\n{rendered}");
    };
    has(r#"pie_lookups_total{of="User",result="hit"} 2"#);
    has(r#"pie_lookups_total{of="User",result="miss"} 1"#);
    has(r#"pie_loads_total{of="User"} 1"#);
    has(r#"pie_layer_lookups_total{layer="memory",result="hit"} 2"#);
    has(r#"pie_layer_keys{layer="memory"} 1"#);
    has("pie_invalidations_total 2");
    User::find_by_id(&engine, 1).await?;
    publish();
    publish();
    has(r#"pie_lookups_total{of="User",result="hit"} 3"#);
    // Another engine of the same process adds up.
    let (other, ..) = gated().await;
    User::find_by_id(&other, 1).await?;
    metrics::with_local_recorder(&recorder, || other.cache().publish_metrics());
    has(r#"pie_lookups_total{of="User",result="miss"} 2"#);
    has(r#"pie_layer_keys{layer="memory"} 2"#);
    assert!(!handle.render().contains("secret name"), "no value of a row");
    Ok(())
}

#[tokio::test]
async fn what_was_written_while_the_cache_was_off_is_seen_when_it_is_on_again() -> pie::Result<()> {
    let (engine, ..) = gated().await;
    let cache = engine.cache();
    User::find_by_id(&engine, 1).await?;
    cache.set("k", &1, Duration::from_secs(60)).tags(["t"]).await?;
    cache.set("other", &1, Duration::from_secs(60)).await?;
    cache.disable();
    assert!(!engine.scoped("tenant").cache().is_enabled(), "of all handles of the engine");
    User::update_by_id(&engine, 1).name("new").await?;
    assert!(cache.delete_by_tags(["t"]).await.is_err_and(|error| error.is_disabled()), "done, and said");
    cache.enable();
    assert_eq!(User::find_by_id(&engine, 1).required().await?.name, "new");
    assert!(!cache.exists("k").await?);
    assert!(cache.exists("other").await?, "and nothing else is lost");
    Ok(())
}
