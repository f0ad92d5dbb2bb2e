//! The race that every cache has: an invalidation while a load is running. The load is held in the middle, so that the
//! order of events is the test's and not chance.

#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::Arc;

use pie::database::DatabaseOptions;
use pie::prelude::*;
use pie::{CacheConfig, Memory, RedisConfig};
use pie_tests::databases::{self, concurrent_database, sql, which};
use pie_tests::gated::{Gate, Gated};
use pie_tests::{redis_server, unique};

#[derive(Debug, Clone, PartialEq, Model)]
#[cached(ttl = "5m", tags("users"))]
struct User {
    #[pie(id, auto)]
    id: i64,
    #[pie(index)]
    name: String,
}

/// Every way to invalidate the row, after the row has changed.
const WAYS: [&str; 10] = [
    "update",
    "update by filter",
    "raw",
    "transaction",
    "key",
    "tag",
    "clear",
    "refresh",
    "family",
    "pattern",
];

async fn change(engine: &Engine, database: &Gated, way: &str, name: &str) -> pie::Result<()> {
    let past_pie = || async move { database.past_pie(name).await };
    match way {
        "update" => drop(User::update_by_id(engine, 1).name(name).await?),
        "update by filter" => drop(User::query(engine).update().set(User::NAME, name).await?),
        "raw" if which().speaks_sql() => {
            engine.sql(&sql("UPDATE users SET name = ?")).bind(name).execute().await?;
        }
        "raw" => {
            let command = databases::name_all(name).command.expect("no SQL");
            assert_eq!(engine.command(command).execute().await?, 1);
        }
        "transaction" if !engine.has_transactions() => drop(User::update_by_id(engine, 1).name(name).await?),
        "transaction" => {
            let tx = engine.begin().await?;
            User::update_by_id(&tx, 1).name(name).await?;
            tx.commit().await?;
        }
        "key" => {
            past_pie().await;
            engine.cache().delete(&User::key_by_id(1)).await?;
        }
        "tag" => {
            past_pie().await;
            engine.cache().delete_by_tags(["users"]).await?;
        }
        "clear" => {
            past_pie().await;
            engine.cache().clear().await?;
        }
        "family" => {
            past_pie().await;
            engine.cache().delete_by_pattern("user:*").await?;
        }
        "pattern" => {
            past_pie().await;
            engine.cache().delete_by_pattern("us[de]r:?").await?;
        }
        _ => {
            past_pie().await;
            User::find_by_id(engine, 1).refresh().await?;
        }
    }
    Ok(())
}

async fn race(redis: Option<u16>) -> pie::Result<()> {
    let inner = concurrent_database().open(DatabaseOptions::default()).await;
    let gate = Arc::new(Gate::default());
    let database = Gated::new(inner, &gate);
    let mut builder = Engine::builder().database(Arc::new(database.clone())).memory(Memory::default());
    if let Some(port) = redis {
        let budget = std::time::Duration::from_secs(5);
        builder = builder
            .redis(RedisConfig::new(format!("127.0.0.1:{port}")).budget(budget).connect_timeout(budget * 4))
            .require_redis();
    }
    let config = CacheConfig { key_prefix: unique("fence-") + ":", ..CacheConfig::default() };
    let engine = builder.config(config).build().await?;
    engine.create_tables::<(User,)>().await?;
    User::insert(&engine, NewUser { name: "old".into() }).await?;

    for (round, way) in WAYS.iter().enumerate() {
        engine.cache().clear().await?;
        gate.begun();
        gate.close_for(1);
        let reader = tokio::spawn({
            let engine = engine.clone();
            async move { User::find_by_id(&engine, 1).required().await }
        });
        gate.until_begun(1).await;
        let name = format!("new {round}");
        change(&engine, &database, way, &name).await?;
        gate.let_one_go();
        let held = reader.await.expect("runs")?;
        assert_ne!(held.name, name, "the held load began before the write");
        engine.cache().flush().await;
        let after = User::find_by_id(&engine, 1).required().await?;
        assert_eq!(
            after.name,
            name,
            "{way}: what was loaded before is not served after, from {}",
            after.source()
        );
        engine.cache().flush().await;
        engine.cache().layers()[0].evict_all().await?;
        let after = User::find_by_id(&engine, 1).required().await?;
        assert_eq!(after.name, name, "{way}: nor from the layer behind, {}", after.source());
    }
    Ok(())
}

#[tokio::test]
async fn a_load_held_during_a_write_is_not_served_from_memory_after_it() -> pie::Result<()> {
    race(None).await
}

#[tokio::test]
async fn a_load_held_during_a_write_is_not_served_from_redis_after_it() -> pie::Result<()> {
    match redis_server::shared() {
        Some(port) => race(Some(port)).await,
        None => Ok(()),
    }
}
