//! Rows 9 to 26: the engine, its layers, its settings.

use pie::cache::{BoxFuture, CacheLayer, Entry, Key};
use pie::{CacheConfig, ErrorKind, Memory, MemoryConfig, RedisConfig, RedisLayer, Source, assert_statements};
use pie_tests::redis_server::{RedisServer, free_port};

use super::*;

#[tokio::test]
async fn row_09_an_engine_has_the_default_memory_cache() -> pie::Result<()> {
    let engine = Engine::builder().database("sqlite::memory:").build().await?;
    assert_eq!(sources(&engine), ["memory"]);
    Ok(())
}

#[tokio::test]
async fn row_10_queries_are_typed() -> pie::Result<()> {
    let (engine, _clock) = memory_engine().await;
    let users: Cached<Vec<User>> = User::query(&engine).await?;
    assert_eq!(users.len(), 3);
    Ok(())
}

#[tokio::test]
async fn row_11_a_query_is_cached_for_five_minutes() -> pie::Result<()> {
    let (engine, clock) = memory_engine().await;
    let ask = || User::query(&engine).cache(5 * MINUTE);
    assert_statements!(engine, 1, ask().await?);
    clock.advance(5 * MINUTE - SECOND);
    assert_statements!(engine, 0, ask().await?);
    clock.advance(SECOND);
    assert_statements!(engine, 1, ask().await?);
    Ok(())
}

#[tokio::test]
async fn row_12_redis_takes_a_config() -> pie::Result<()> {
    let Some(addr) = redis_addr() else { return Ok(()) };
    let config = RedisConfig::new(addr).password("").db(0).pool_size(10).connect_timeout(20 * SECOND);
    let engine = filled(builder().redis(config).require_redis()).await;
    assert_eq!(sources(&engine), ["redis"]);
    Ok(())
}

#[tokio::test]
async fn row_13_a_query_is_cached_in_redis_for_ten_minutes() -> pie::Result<()> {
    let Some(addr) = redis_addr() else { return Ok(()) };
    let clock = ManualClock::new();
    let engine = filled(builder().redis(redis_config(&addr)).require_redis().clock(&clock)).await;
    let ask = || User::query(&engine).cache(10 * MINUTE);
    assert_statements!(engine, 1, ask().await?);
    engine.cache().flush().await;
    clock.advance(10 * MINUTE - SECOND);
    let users = assert_statements!(engine, 0, ask().await?);
    assert_eq!((users.len(), users.source()), (3, Source::Redis));
    clock.advance(SECOND);
    assert_statements!(engine, 1, ask().await?);
    Ok(())
}

#[tokio::test]
async fn row_14_a_memory_cache_with_the_default_config() -> pie::Result<()> {
    let memory: pie::Result<Memory> = Memory::new(MemoryConfig::default());
    let engine = filled(builder().memory(memory?)).await;
    assert_eq!(sources(&engine), ["memory"]);
    Ok(())
}

#[tokio::test]
async fn row_15_a_redis_cache_with_an_address_only() -> pie::Result<()> {
    let Some(addr) = redis_addr() else { return Ok(()) };
    let layer: pie::Result<RedisLayer> = RedisLayer::new(RedisConfig::new(addr));
    let engine = filled(builder().layer(layer?)).await;
    assert_eq!(sources(&engine), ["redis"]);
    Ok(())
}

#[tokio::test]
async fn row_16_the_order_of_layers_is_that_of_the_levels() -> pie::Result<()> {
    let Some(addr) = redis_addr() else { return Ok(()) };
    let memory = Memory::new(MemoryConfig::default())?;
    let engine = filled(builder().memory(memory).redis(redis_config(&addr))).await;
    assert_eq!(sources(&engine), ["memory", "redis"]);
    Ok(())
}

#[tokio::test]
async fn row_17_first_then_second_then_backfill_and_set_writes_all() -> pie::Result<()> {
    let Some((engine, _clock)) = redis_engine().await else { return Ok(()) };
    let layers = engine.cache().layers();
    let asked = || [layers[0].stats().total, layers[1].stats().total];
    engine.cache().set("k", &1, MINUTE).await?;
    assert_eq!([layers[0].stats().sets, layers[1].stats().sets], [1, 1], "a set writes all layers");
    let before = asked();
    engine.cache().get::<u32>("k").await?;
    assert_eq!(asked(), [before[0] + 1, before[1]], "the first layer is asked first");
    layers[0].evict_all().await?;
    let found = engine.cache().get::<u32>("k").await?;
    assert_eq!(found.map(|found| found.source()), Some(Source::Redis), "then the second");
    let found = engine.cache().get::<u32>("k").await?;
    assert_eq!(found.map(|found| found.source()), Some(Source::Memory), "which filled the first");
    Ok(())
}

#[tokio::test]
async fn row_18_memory_has_a_budget_and_a_capacity() -> pie::Result<()> {
    // `NumCounters` is about ten times the entries; mini-moka sizes its counters and its buffers by itself.
    let config = MemoryConfig { max_bytes: 100 * 1024 * 1024, initial_capacity: 100_000 / 10 };
    let engine = filled(builder().memory(Memory::new(config)?)).await;
    User::find_by_id(&engine, 1).await?;
    assert_eq!(engine.cache().stats().keys, 1);
    Ok(())
}

#[tokio::test]
async fn row_19_constructors_refuse_what_cannot_work() {
    let memory = Memory::new(MemoryConfig { max_bytes: 0, ..MemoryConfig::default() }).expect_err("refused");
    let redis = RedisLayer::new(RedisConfig::new("localhost:6379").pool_size(0)).expect_err("refused");
    assert_eq!((memory.kind(), redis.kind()), (ErrorKind::InvalidConfig, ErrorKind::InvalidConfig));
}

#[tokio::test]
async fn row_20_memory_alone() -> pie::Result<()> {
    let engine = filled(builder().memory(Memory::max_bytes(1 << 20))).await;
    User::find_by_id(&engine, 1).await?;
    assert_eq!(User::find_by_id(&engine, 1).required().await?.source(), Source::Memory);
    Ok(())
}

#[tokio::test]
async fn row_21_redis_alone_with_a_password() -> pie::Result<()> {
    let Some(port) = free_port() else { return Ok(()) };
    let Some(_server) = RedisServer::start_on(port, &["--requirepass", "your-password"]) else {
        return Ok(());
    };
    let config = || redis_config(&format!("127.0.0.1:{port}")).db(0).pool_size(20);
    pie_tests::until("the server answers", async || {
        let asked = config().password("your-password");
        builder().redis(asked).require_redis().build().await.is_ok()
    })
    .await;
    let engine = filled(builder().redis(config().password("your-password")).require_redis()).await;
    User::find_by_id(&engine, 1).await?;
    engine.cache().flush().await;
    assert_eq!(User::find_by_id(&engine, 1).required().await?.source(), Source::Redis);
    let without = builder().redis(config()).require_redis().build().await;
    assert!(without.is_err_and(|error| !error.to_string().contains("your-password")));
    Ok(())
}

fn originals_config() -> CacheConfig {
    CacheConfig {
        enabled: true,
        default_ttl: 5 * MINUTE,
        key_prefix: "pie:".into(),
        enable_jitter: true,
        ttl_jitter: 2 * MINUTE,
        empty_cache_ttl: 30 * SECOND,
        ..CacheConfig::default()
    }
}

#[tokio::test]
async fn row_22_the_config_of_the_original() -> pie::Result<()> {
    let engine = Engine::builder().database("sqlite::memory:").config(originals_config()).build().await?;
    assert!(engine.cache().is_enabled());
    let from_file = pie::Settings::from_toml(
        "[cache]\nenabled = true\ndefault_ttl = \"5m\"\nkey_prefix = \"pie:\"\nenable_jitter = true\nttl_jitter = \"2m\"\n\
         empty_cache_ttl = \"30s\"\n",
    )?;
    assert_eq!(from_file.cache, Some(originals_config()));
    Ok(())
}

/// Keeps how long each entry lives.
#[derive(Debug, Clone, Default)]
struct Lives(Arc<Mutex<Vec<u64>>>);

impl CacheLayer for Lives {
    fn name(&self) -> &'static str {
        "lives"
    }
    fn get<'a>(&'a self, _: &'a Key) -> BoxFuture<'a, pie::Result<Option<Entry>>> {
        Box::pin(async { Ok(None) })
    }
    fn set<'a>(&'a self, _: &'a Key, entry: &'a Entry) -> BoxFuture<'a, pie::Result<()>> {
        self.0.lock().expect("no panic").push(entry.deadline());
        Box::pin(async { Ok(()) })
    }
    fn delete<'a>(&'a self, _: &'a Key) -> BoxFuture<'a, pie::Result<()>> {
        Box::pin(async { Ok(()) })
    }
    fn clear(&self) -> BoxFuture<'_, pie::Result<()>> {
        Box::pin(async { Ok(()) })
    }
}

/// A model whose policy is the engine's.
#[derive(Debug, Clone, Model)]
#[cached]
struct Plain {
    #[pie(id, auto)]
    id: i64,
}

/// An engine whose entries' lives are kept, in milliseconds from now.
async fn living(config: CacheConfig) -> (Engine, Box<dyn Fn() -> Vec<i64>>) {
    let (lives, clock) = (Lives::default(), ManualClock::new());
    let engine = Engine::builder()
        .database("sqlite::memory:")
        .layer(lives.clone())
        .config(config)
        .clock(&clock)
        .build()
        .await
        .expect("builds");
    engine.create_tables::<(Plain,)>().await.expect("creates");
    Plain::insert(&engine, NewPlain {}).await.expect("inserts");
    // The clock stands still: an entry that lives for a known time tells what time it is.
    Plain::query(&engine).cache(MINUTE).jitter(Duration::ZERO).await.expect("asks");
    let now = lives.0.lock().expect("no panic").drain(..).next_back().expect("stored") - 60_000;
    let taken = move || {
        let all: Vec<u64> = lives.0.lock().expect("no panic").drain(..).collect();
        all.into_iter()
            .map(|at| i64::try_from(at).expect("small") - i64::try_from(now).expect("small"))
            .collect()
    };
    (engine, Box::new(taken))
}

#[tokio::test]
async fn row_23_the_config_is_applied() -> pie::Result<()> {
    let config = CacheConfig { enable_jitter: false, ..originals_config() };
    let (engine, lives) = living(config).await;
    Plain::find_by_id(&engine, 1).await?;
    Plain::find_by_id(&engine, 9).await?;
    assert_eq!(lives(), [300_000, 30_000], "the default ttl, and that of empty answers");
    Ok(())
}

#[tokio::test]
async fn row_24_switched_off_queries_run_on_the_database_and_calls_say_so() -> pie::Result<()> {
    let engine = filled(builder().config(CacheConfig { enabled: false, ..testing::config() })).await;
    assert_statements!(engine, 2, {
        User::find_by_id(&engine, 1).await?;
        User::find_by_id(&engine, 1).await?
    });
    let cache = engine.cache();
    let outcomes = [
        cache.get::<u32>("k").await.map(drop),
        cache.set("k", &1, MINUTE).await,
        cache.delete("k").await,
        cache.delete_by_pattern("k:*").await,
        cache.delete_by_tags(["k"]).await,
        cache.exists("k").await.map(drop),
        cache.clear().await,
    ];
    assert!(
        outcomes
            .iter()
            .all(|outcome| outcome.as_ref().is_err_and(|error| error.kind() == ErrorKind::Disabled))
    );
    cache.enable();
    assert!(cache.get::<u32>("k").await?.is_none());
    Ok(())
}

#[tokio::test]
async fn row_25_the_default_jitter_is_symmetric_and_applies_to_a_querys_own_ttl() -> pie::Result<()> {
    let (engine, lives) = living(originals_config()).await;
    for _ in 0..400 {
        Plain::query(&engine).cache(10 * MINUTE).await?;
    }
    let drawn = lives();
    assert!(drawn.iter().all(|life| (480_000..=720_000).contains(life)), "ttl ± jitter");
    assert!(
        drawn.iter().any(|life| *life < 530_000) && drawn.iter().any(|life| *life > 670_000),
        "both sides"
    );
    Plain::query(&engine).cache(10 * MINUTE).jitter(Duration::ZERO).await?;
    assert_eq!(lives(), [600_000], "unless the query says so");
    Ok(())
}

#[tokio::test]
async fn row_26_the_prefix_is_applied_once() -> pie::Result<()> {
    let Some(addr) = redis_addr() else { return Ok(()) };
    let config = testing::config();
    let prefix = config.key_prefix.clone();
    let engine = filled(builder().redis(redis_config(&addr)).require_redis().config(config)).await;
    engine.cache().set("users:active", &["ann"], MINUTE).await?;
    User::find_by_id(&engine, 1).await?;
    engine.cache().flush().await;
    let client = redis::Client::open(format!("redis://{addr}")).expect("a url");
    let mut direct = client.get_multiplexed_async_connection().await.expect("connects");
    let keys = async |direct: &mut redis::aio::MultiplexedConnection, pattern: String| {
        let keys: Vec<String> = redis::cmd("KEYS").arg(pattern).query_async(direct).await.expect("answers");
        keys
    };
    let manual = keys(&mut direct, format!("{prefix}users:active@*")).await;
    let row = keys(&mut direct, format!("{prefix}user:1@*")).await;
    assert_eq!((manual.len(), row.len()), (1, 1), "as `<prefix>users:active` and `<prefix>user:1`");
    assert!(keys(&mut direct, format!("*{prefix}{prefix}*")).await.is_empty(), "never twice");
    engine.cache().delete_by_pattern("users:a*").await?;
    assert!(!engine.cache().exists("users:active").await?, "patterns are without it");
    assert_statements!(engine, 0, User::find_by_id(&engine, 1).await?);
    Ok(())
}
