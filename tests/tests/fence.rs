//! The race that every cache has: an invalidation while a load is running. The load is held in the middle, so that the
//! order of events is the test's and not chance.

#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use pie::cache::BoxFuture;
use pie::database::{
    Database, DatabaseOptions, RawRows, RawStatement, Row, Session, Sqlite, Transaction, Written,
};
use pie::model::Schema;
use pie::plan::{ReadPlan, WritePlan};
use pie::prelude::*;
use pie::{CacheConfig, Memory, RedisConfig};
use pie_tests::{redis_server, unique};
use tokio::sync::Notify;

#[derive(Debug, Clone, PartialEq, Model)]
#[cached(ttl = "5m", tags("users"))]
struct User {
    #[pie(id, auto)]
    id: i64,
    #[pie(index)]
    name: String,
}

/// SQLite, with a gate behind a read: the values are read, and wait to be given back.
#[derive(Debug)]
struct Gated {
    inner: Sqlite,
    gate: Arc<Gate>,
}

#[derive(Debug, Default)]
struct Gate {
    closed: AtomicBool,
    read: Notify,
    open: Notify,
}

struct GatedSession(Box<dyn Session>, Arc<Gate>);

impl Session for GatedSession {
    fn read<'a>(&'a mut self, plan: &'a ReadPlan) -> BoxFuture<'a, pie::Result<Vec<Row>>> {
        Box::pin(async move {
            let rows = self.0.read(plan).await;
            if self.1.closed.swap(false, Ordering::SeqCst) {
                self.1.read.notify_one();
                self.1.open.notified().await;
            }
            rows
        })
    }

    fn write<'a>(&'a mut self, plan: &'a WritePlan) -> BoxFuture<'a, pie::Result<Written>> {
        self.0.write(plan)
    }

    fn raw<'a>(&'a mut self, statement: &'a RawStatement) -> BoxFuture<'a, pie::Result<RawRows>> {
        self.0.raw(statement)
    }
}

impl Database for Gated {
    fn name(&self) -> &'static str {
        "gated SQLite"
    }

    fn session(&self) -> Box<dyn Session> {
        Box::new(GatedSession(self.inner.session(), Arc::clone(&self.gate)))
    }

    fn begin(&self) -> BoxFuture<'_, pie::Result<Box<dyn Transaction>>> {
        self.inner.begin()
    }

    fn create_table(&self, schema: &'static Schema) -> BoxFuture<'_, pie::Result<()>> {
        self.inner.create_table(schema)
    }

    fn max_values(&self) -> usize {
        self.inner.max_values()
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        self.inner.close()
    }
}

/// Every way to invalidate the row, after the row has changed.
const WAYS: [&str; 8] =
    ["update", "update by filter", "raw", "transaction", "key", "tag", "clear", "refresh"];

async fn change(engine: &Engine, database: &Sqlite, way: &str, name: &str) -> pie::Result<()> {
    let past_pie = async || {
        let update = sqlx::query("UPDATE users SET name = ?").bind(name.to_owned());
        update.execute(database.pool()).await.expect("writes");
    };
    match way {
        "update" => drop(User::update_by_id(engine, 1).name(name).await?),
        "update by filter" => drop(User::query(engine).update().set(User::NAME, name).await?),
        "raw" => drop(engine.sql("UPDATE users SET name = ?").bind(name).execute().await?),
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
        _ => {
            past_pie().await;
            User::find_by_id(engine, 1).refresh().await?;
        }
    }
    Ok(())
}

async fn race(redis: Option<u16>) -> pie::Result<()> {
    let folder = tempfile::tempdir().expect("a folder");
    let url = format!("sqlite://{}", folder.path().join("test.db").display());
    let inner = Sqlite::open(&url, DatabaseOptions::default()).await?;
    let gate = Arc::new(Gate::default());
    let database = Arc::new(Gated { inner: inner.clone(), gate: Arc::clone(&gate) });
    let mut builder = Engine::builder().database(database).memory(Memory::default());
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
        gate.closed.store(true, Ordering::SeqCst);
        let reader = tokio::spawn({
            let engine = engine.clone();
            async move { User::find_by_id(&engine, 1).required().await }
        });
        gate.read.notified().await;
        let name = format!("new {round}");
        change(&engine, &inner, way, &name).await?;
        gate.open.notify_one();
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
