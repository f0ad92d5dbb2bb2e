//! Rows 82 to 89: the names, and that `docs/checklist.md` tells the truth.

use std::collections::BTreeMap;

use pie::cache::{Cache, CacheStats, LayerStats};
use pie::query::Rows;
use pie::testing::MapLayer;
use pie::{CacheConfig, ErrorKind, Memory, MemoryConfig, Query, RedisLayer, Settings, Tx, assert_statements};

use super::*;

#[test]
fn row_82_types() {
    fn exists<T>() -> usize {
        size_of::<T>()
    }
    let sizes = [
        exists::<Engine>(),
        exists::<Query<'_, User, Rows>>(),
        exists::<Cache>(),
        exists::<Box<dyn CacheLayer>>(),
        exists::<CacheStats>(),
        exists::<LayerStats>(),
        exists::<CacheConfig>(),
        exists::<MemoryConfig>(),
        exists::<RedisConfig>(),
        exists::<Memory>(),
        exists::<RedisLayer>(),
    ];
    assert!(sizes.iter().all(|size| *size > 0));
}

#[tokio::test]
async fn row_83_methods_of_the_engine() -> pie::Result<()> {
    let engine = Engine::builder().database("sqlite::memory:").build().await?;
    engine.add_layer(MapLayer::new())?;
    assert_eq!(sources(&engine), ["memory", "map"]);
    let twice = engine.add_layer(MapLayer::new()).expect_err("two of one name");
    assert!(twice.to_string().contains("`map`"), "{twice}");
    engine.cache().set("k", &1, MINUTE).await?;
    let late = engine.add_layer(MyCache::default()).expect_err("it was used");
    assert_eq!(late.kind(), ErrorKind::InvalidConfig);
    assert_eq!(engine.cache().stats().keys, 2, "the layer that was added has the value as well");
    let Some(addr) = redis_addr() else { return Ok(()) };
    let with_redis =
        Engine::builder().database("sqlite::memory:").redis(addr).layer(MyCache::default()).build().await?;
    assert_eq!(sources(&with_redis), ["redis", "mine"]);
    Ok(())
}

#[tokio::test]
async fn row_84_methods_of_the_manager() -> pie::Result<()> {
    let (engine, _clock) = memory_engine().await;
    let cache = engine.cache();
    cache.set("k", &1, MINUTE).tags(["t"]).await?;
    assert_eq!(cache.get::<u32>("k").await?.as_deref(), Some(&1));
    assert!(cache.exists("k").await?);
    cache.delete("k").await?;
    cache.delete_by_pattern("k*").await?;
    cache.delete_by_tags(["t"]).await?;
    cache.clear().await?;
    assert_eq!((cache.stats().hits, cache.layers().len()), (2, 1));
    Ok(())
}

#[tokio::test]
async fn row_85_methods_of_queries() -> pie::Result<()> {
    let (engine, _clock) = memory_engine().await;
    let all = || User::query(&engine);
    let count = async |filter| all().filter(filter).count().await;
    // Filters: Eq, Ne, Gt, Gte, Lt, Lte, In, Nin, And, Or, Nor, Not, Exists, Regex.
    for (filter, wanted) in [
        (User::STATUS.eq("active"), 2),
        (User::STATUS.ne("active"), 1),
        (User::AGE.gt(31), 1),
        (User::AGE.ge(31), 2),
        (User::AGE.lt(31), 1),
        (User::AGE.le(31), 2),
        (User::AGE.in_([17, 45, 99]), 2),
        (User::AGE.not_in([17, 45, 99]), 1),
        (User::STATUS.eq("active").and(User::AGE.ge(18)), 1),
        (User::STATUS.eq("away").or(User::AGE.lt(18)), 2),
        (!User::STATUS.eq("away").or(User::AGE.lt(18)), 1),
        (User::STATUS.eq("active").not(), 1),
        (User::STATUS.not_null(), 3),
        (User::EMAIL.matches_regex("^[ab].*\\.org$"), 2),
    ] {
        assert_eq!(count(filter.clone()).await?, wanted, "{filter:?}");
    }
    let broken = count(User::EMAIL.matches_regex("[")).await.expect_err("no regular expression");
    assert_eq!(broken.kind(), ErrorKind::Database);
    // Where, Find, First, FindOne, Count, FindPagination, Distinct.
    assert_eq!(all().filter(User::AGE.gt(18)).await?.len(), 2);
    assert!(all().order_by(User::AGE.desc()).first().await?.is_some_and(|user| user.age == 45));
    assert!(all().filter(User::EMAIL.eq("ann@x.org")).one().await?.is_some());
    assert_eq!(all().order_by(User::ID.asc()).page(2, 2).await?.rows.len(), 1);
    assert_eq!(*all().distinct(User::STATUS).await?, ["active", "away"]);
    assert_eq!(*all().distinct(User::AGE).await?, [17, 31, 45], "another column is another key");
    assert_eq!(*all().filter(User::AGE.gt(18)).limit(1).distinct(User::AGE).await?, [31]);
    // Insert, InsertMany, Update, FindOneAndUpdate, FindOneAndReplace, Upsert, Delete.
    let new = |email: &str| NewUser { email: email.into(), status: "new".into(), age: 1 };
    let dan = User::insert(&engine, new("dan")).await?;
    User::insert_many(&engine, [new("eve"), new("fay")]).await?;
    assert_eq!(*all().distinct(User::STATUS).await?, ["active", "away", "new"], "a write ends it");
    assert_eq!(User::update_by_id(&engine, dan.id).age(2).await?.map(|user| user.age), Some(2));
    assert_eq!(all().filter(User::AGE.eq(1)).update().set(User::AGE, 3).await?, 2);
    assert_eq!(User::upsert_by_email(&engine, new("dan")).await?.id, dan.id);
    assert!(User::delete_by_id(&engine, dan.id).await?);
    assert_eq!(all().filter(User::STATUS.eq("new")).delete().await?, 2);
    // Aggregate, Indexes (by `create_tables`), Transaction, and several writes as one (BulkWrite).
    let by_status: Vec<(String, i64)> =
        engine.sql("SELECT status, SUM(age) FROM users GROUP BY status ORDER BY status").all().await?;
    assert_eq!(by_status, [("active".to_owned(), 48), ("away".to_owned(), 45)]);
    engine
        .transaction(|tx: Tx| async move {
            User::update_by_id(&tx, 1).age(50).await?;
            User::delete_by_id(&tx, 2).await
        })
        .await?;
    assert_eq!(all().count().await?, 2);
    // Cache, CacheWithTags, CacheWithJitter, CacheEmpty.
    let cached = || all().cache(MINUTE).tags(["t"]).jitter(SECOND).cache_empty(SECOND);
    assert_statements!(engine, 1, (cached().await?, cached().await?));
    Ok(())
}

#[test]
fn row_86_errors() {
    for (kind, words) in [
        (ErrorKind::NotFound, "not found"),
        (ErrorKind::Expired, "expired"),
        (ErrorKind::Disabled, "cache disabled"),
        (ErrorKind::Layer, "cache layer failed"),
    ] {
        let error = pie::Error::new(kind, "said so");
        assert_eq!((error.kind(), kind.as_str()), (kind, words));
        assert_eq!(error.is_not_found(), kind == ErrorKind::NotFound);
        assert_eq!(error.is_expired(), kind == ErrorKind::Expired);
        assert_eq!(error.is_disabled(), kind == ErrorKind::Disabled);
    }
}

#[test]
fn row_87_durations() -> pie::Result<()> {
    macro_rules! models {
        ($($name:ident $ttl:literal $seconds:literal),*) => {$(
            #[derive(Debug, Clone, Model)]
            #[cached(ttl = $ttl)]
            struct $name {
                #[pie(id, auto)]
                id: i64,
            }
            assert_eq!(<$name as Model>::SCHEMA.policy.ttl, Some(Duration::from_secs($seconds)));
            let settings = Settings::from_vars("P", [("P_CACHE_DEFAULT_TTL", $ttl)])?;
            assert_eq!(settings.cache.map(|cache| cache.default_ttl), Some(Duration::from_secs($seconds)));
        )*};
    }
    models!(A "5m" 300, B "10m" 600, C "30s" 30, D "2m" 120, E "1h" 3600, F "30m" 1800, G "1m" 60);
    Ok(())
}

#[test]
fn row_88_sizes() -> pie::Result<()> {
    for (text, bytes) in [("50MiB", 50 << 20), ("100MiB", 100 << 20)] {
        let settings =
            Settings::from_vars("P", [("P_MEMORY_MAX_BYTES", text), ("P_MEMORY_INITIAL_CAPACITY", "10000")])?;
        let memory = settings.memory.expect("given");
        assert_eq!((memory.max_bytes, memory.initial_capacity), (bytes, 10_000));
        Memory::new(memory)?;
    }
    for pool in ["10", "20"] {
        let settings =
            Settings::from_vars("P", [("P_REDIS_ADDR", "localhost:6379"), ("P_REDIS_POOL_SIZE", pool)])?;
        RedisLayer::new(settings.redis.expect("given"))?;
    }
    Ok(())
}

#[tokio::test]
async fn row_89_what_the_original_says_nothing_of() -> pie::Result<()> {
    let (engine, _clock) = memory_engine().await;
    // Single flight.
    let readers = (0..50).map(|_| {
        let engine = engine.clone();
        tokio::spawn(async move { User::find_by_id(&engine, 1).await.map(|user| user.is_some()) })
    });
    for reader in readers.collect::<Vec<_>>() {
        assert!(reader.await.expect("no panic")?);
    }
    assert_eq!(engine.cache().stats().loads, 1);
    // Invalidation on write, and transactions.
    let tx = engine.begin().await?;
    User::update_by_id(&tx, 1).age(1).await?;
    assert_eq!(User::find_by_id(&engine, 1).required().await?.age, 31, "not before the commit");
    tx.commit().await?;
    assert_eq!(User::find_by_id(&engine, 1).required().await?.age, 1);
    Ok(())
}

/// The rows of the document: number, API, test.
fn rows(document: &str) -> Vec<(u32, Vec<String>, String)> {
    let ticked = |cell: &str| cell.split('`').skip(1).step_by(2).map(str::to_owned).collect::<Vec<_>>();
    document
        .lines()
        .filter_map(|line| {
            let cells: Vec<&str> = line.split('|').map(str::trim).collect();
            let number = cells.get(1)?.parse().ok()?;
            let test = ticked(cells.get(4)?).into_iter().next()?;
            Some((number, ticked(cells.get(3)?), test))
        })
        .collect()
}

#[test]
fn the_document_names_a_test_and_its_calls_for_each_row() {
    let document = include_str!("../../../docs/checklist.md");
    let sources = [
        include_str!("architecture.rs"),
        include_str!("document.rs"),
        include_str!("examples.rs"),
        include_str!("layers.rs"),
        include_str!("queries.rs"),
        include_str!("set_up.rs"),
        include_str!("statistics.rs"),
        include_str!("walk.rs"),
    ];
    // Each test with its text, up to the next one.
    let mut tests: BTreeMap<&str, &str> = BTreeMap::new();
    for source in sources {
        for part in source.split("fn row_").skip(1) {
            let (name, body) = part.split_once('(').expect("a function");
            let end = body.find("\n}\n").unwrap_or(body.len());
            if name.starts_with(|c: char| c.is_ascii_digit()) {
                tests.insert(name, &body[..end]);
            }
        }
    }
    let rows = rows(document);
    let numbers: Vec<u32> = rows.iter().map(|(number, ..)| *number).collect();
    assert_eq!(numbers, (1..=89).collect::<Vec<_>>(), "every row once, in order");
    let mut left = tests.clone();
    for (number, calls, test) in &rows {
        let name = test.strip_prefix("row_").unwrap_or_else(|| panic!("row {number}: `{test}` is no test"));
        assert_eq!(name.split('_').next(), Some(&*format!("{number:02}")), "row {number}");
        let body = left.remove(name).unwrap_or_else(|| panic!("row {number}: there is no test `{test}`"));
        assert!(!calls.is_empty(), "row {number} names no call");
        for call in calls {
            assert!(body.contains(call.as_str()), "row {number}: `{test}` does not use `{call}`");
        }
    }
    assert!(left.is_empty(), "tests that the document does not know: {:?}", left.keys());
}
