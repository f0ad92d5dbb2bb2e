//! `pie::testing`: namespaces, counters, faults.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "a test fails by panicking")]

use std::time::Duration;

use pie::prelude::*;
use pie::testing::{self, FaultyLayer};
use pie::{CacheConfig, Memory, RedisConfig, Source, assert_loads, assert_statements};
use pie_tests::redis_server;

#[derive(Debug, Clone, Model)]
#[cached(ttl = "5m")]
struct User {
    #[pie(id)]
    id: i64,
    name: String,
}

/// One of a thousand tests: writes, reads, invalidates, under the same keys as all others.
async fn one(number: i64, port: u16) -> pie::Result<()> {
    let redis = RedisConfig::new(format!("127.0.0.1:{port}"))
        .budget(Duration::from_secs(30))
        .connect_timeout(Duration::from_secs(60))
        .heartbeat(Duration::from_secs(30));
    let engine = Engine::builder()
        .database("sqlite::memory:")
        .memory(Memory::max_bytes(1 << 20))
        .redis(redis)
        .require_redis()
        .config(testing::config())
        .build()
        .await?;
    engine.create_tables::<(User,)>().await?;
    User::insert(&engine, NewUser { id: 1, name: format!("test {number}") }).await?;
    engine.cache().set("k", &number, Duration::from_secs(60)).tags(["t"]).await?;
    assert_eq!(
        User::find_by_id(&engine, 1).required().await?.source(),
        Source::Database,
        "nobody else's row"
    );
    engine.cache().flush().await;
    engine.cache().layers()[0].evict_all().await?;
    let user = User::find_by_id(&engine, 1).required().await?;
    assert_eq!((user.source(), user.name.as_str()), (Source::Redis, &*format!("test {number}")));
    assert_eq!(engine.cache().get::<i64>("k").await?.as_deref(), Some(&number));
    if number % 3 == 0 {
        engine.cache().clear().await?;
        engine.cache().delete_by_tags(["t"]).await?;
        assert!(!engine.cache().exists("k").await?);
    } else {
        assert!(engine.cache().exists("k").await?, "nobody else's invalidation");
    }
    engine.close().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_tests_share_one_redis_without_a_flush() {
    let Some(port) = redis_server::shared() else { return };
    // All of them at once, unless a process may not open that many files: each takes a few.
    let files = std::fs::read_to_string("/proc/self/limits").unwrap_or_default();
    let files = files
        .lines()
        .find_map(|line| line.strip_prefix("Max open files")?.split_whitespace().next()?.parse().ok());
    let turns =
        std::sync::Arc::new(tokio::sync::Semaphore::new((files.unwrap_or(1_000) / 8).clamp(10, 1_000)));
    let tests: Vec<_> = (0..1_000)
        .map(|number| {
            let turns = std::sync::Arc::clone(&turns);
            tokio::spawn(async move {
                let _turn = turns.acquire_owned().await.expect("never closed");
                one(number, port).await
            })
        })
        .collect();
    for test in tests {
        test.await.expect("no panic").expect("no error");
    }
}

#[test]
fn namespaces_are_never_the_same() {
    let all: std::collections::HashSet<String> = (0..10_000).map(|_| testing::namespace()).collect();
    assert_eq!(all.len(), 10_000);
    let CacheConfig { key_prefix, enable_jitter, .. } = testing::config();
    assert!(key_prefix.starts_with("test-") && !enable_jitter);
}

async fn engine() -> Engine {
    let builder = Engine::builder().database("sqlite::memory:").config(testing::config());
    let engine = builder.layer(FaultyLayer::new()).build().await.expect("builds");
    engine.create_tables::<(User,)>().await.expect("creates");
    engine
}

#[tokio::test]
async fn statements_and_loads_are_counted() -> pie::Result<()> {
    let engine = engine().await;
    let ann =
        assert_statements!(engine, 1, User::insert(&engine, NewUser { id: 1, name: "Ann".into() }).await?);
    assert_eq!(ann.name, "Ann");
    assert_loads!(engine, 1, User::find_by_id(&engine, 1).await?);
    assert_loads!(engine, 0, User::find_by_id(&engine, 1).await?);
    assert_statements!(engine, 2, User::query(&engine).page(1, 1).await?);
    assert_statements!(engine, 1, User::update_by_id(&engine, 1).name("Bob").await?);
    let before = engine.statements();
    engine.transaction(|tx: Tx| async move { User::find_by_id(&tx, 1).await.map(drop) }).await?;
    assert_eq!(engine.statements(), before + 1, "those that begin and end transactions do not count");
    assert_statements!(engine, 1, engine.sql("SELECT 1").all::<(i64,)>().await?);
    Ok(())
}

#[tokio::test]
#[should_panic(expected = "statements that reached the database: 1 instead of 0")]
async fn another_number_of_statements_fails_the_test() {
    let engine = engine().await;
    assert_statements!(engine, 0, User::find_by_id(&engine, 1).await.expect("answers"));
}

#[tokio::test]
#[should_panic(expected = "loads on behalf of the cache: 1 instead of 2")]
async fn another_number_of_loads_fails_the_test() {
    let engine = engine().await;
    assert_loads!(engine, 2, User::find_by_id(&engine, 1).await.expect("answers"));
}
