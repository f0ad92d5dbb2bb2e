//! Single flight: one load for all that want the same at the same time, in one process and across several.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use pie::database::DatabaseOptions;
use pie::prelude::*;
use pie::{CacheConfig, Error, ErrorKind, Memory, RedisConfig, Source};
use pie_tests::gated::{Gate, Gated};
use pie_tests::{redis_server, unique, until};
use tokio::task::JoinSet;

#[derive(Debug, Clone, PartialEq, Model)]
#[cached(ttl = "5m", jitter = "0s")]
struct User {
    #[pie(id, auto)]
    id: i64,
    name: String,
}

#[derive(Debug, Clone, PartialEq, Model)]
#[cached(ttl = "5m", max_loads = 2)]
struct Report {
    #[pie(id, auto)]
    id: i64,
}

struct Setup {
    engine: Engine,
    gate: Arc<Gate>,
    database: Gated,
}

async fn setup_with(config: CacheConfig, redis: Option<RedisConfig>) -> Setup {
    let inner = pie_tests::databases::database().open(DatabaseOptions::default()).await;
    let gate = Arc::new(Gate::default());
    let database = Gated::new(inner, &gate);
    let mut builder = Engine::builder().database(Arc::new(database.clone())).memory(Memory::default());
    if let Some(redis) = redis {
        builder = builder.redis(redis).require_redis();
    }
    let engine = builder.config(config).build().await.expect("builds");
    engine.create_tables::<(User, Report)>().await.expect("creates");
    User::insert_many(&engine, (0..20).map(|i| NewUser { name: format!("u{i}") })).await.expect("inserts");
    gate.begun();
    Setup { engine, gate, database }
}

async fn setup() -> Setup {
    setup_with(CacheConfig::default(), None).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_thousand_tasks_on_a_cold_key_are_one_load() {
    let Setup { engine, gate, .. } = setup().await;
    gate.delay(Duration::from_millis(50));
    let mut tasks = JoinSet::new();
    for _ in 0..1_000 {
        let engine = engine.clone();
        tasks.spawn(async move { User::find_by_id(&engine, 1).required().await });
    }
    while let Some(user) = tasks.join_next().await {
        assert_eq!(user.expect("runs").expect("reads").name, "u0");
    }
    assert_eq!(gate.begun(), 1);
    let stats = engine.cache().stats();
    assert_eq!((stats.total, stats.loads), (1_000, 1));
    assert_eq!(stats.joins + 1, stats.misses, "who did not join had a hit: {stats}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_dropped_leader_hands_over_and_nobody_fails() {
    let Setup { engine, gate, .. } = setup().await;
    gate.close();
    let leader = tokio::spawn({
        let engine = engine.clone();
        async move { User::find_by_id(&engine, 1).required().await }
    });
    gate.until_begun(1).await;
    let mut tasks = JoinSet::new();
    for _ in 0..1_000 {
        let engine = engine.clone();
        tasks.spawn(async move { User::find_by_id(&engine, 1).required().await });
    }
    leader.abort();
    let _ = leader.await;
    gate.open();
    while let Some(user) = tasks.join_next().await {
        assert_eq!(user.expect("runs").expect("reads").name, "u0");
    }
    assert!(gate.begun() <= 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn an_error_is_shared_and_not_kept() {
    let Setup { engine, gate, .. } = setup().await;
    gate.close();
    gate.fail(true);
    let mut tasks = JoinSet::new();
    for _ in 0..50 {
        let engine = engine.clone();
        tasks.spawn(async move { User::find_by_id(&engine, 1).required().await });
    }
    gate.until_begun(1).await;
    gate.open();
    let mut failed = 0;
    while let Some(user) = tasks.join_next().await {
        let error = user.expect("runs").expect_err("the load failed");
        assert_eq!((error.kind(), error.query()), (ErrorKind::Database, Some("find_by_id")));
        failed += 1;
    }
    assert_eq!(failed, 50);
    let stats = engine.cache().stats();
    assert_eq!(stats.joins + stats.loads, 50, "each joined or loaded");
    gate.fail(false);
    assert_eq!(User::find_by_id(&engine, 1).required().await.expect("reads").source(), Source::Database);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_panicking_load_poisons_nothing() {
    let Setup { engine, gate, .. } = setup().await;
    gate.close();
    gate.panic(true);
    let leader = tokio::spawn({
        let engine = engine.clone();
        async move { User::find_by_id(&engine, 1).required().await }
    });
    gate.until_begun(1).await;
    let waiter = tokio::spawn({
        let engine = engine.clone();
        async move { User::find_by_id(&engine, 1).required().await }
    });
    gate.let_one_go();
    assert!(leader.await.expect_err("panics").is_panic());
    gate.until_begun(1).await;
    gate.panic(false);
    gate.open();
    assert_eq!(waiter.await.expect("runs").expect("reads").name, "u0");
}

#[tokio::test]
async fn a_reader_after_an_invalidation_joins_no_older_load() {
    let Setup { engine, gate, database, .. } = setup().await;
    gate.close();
    let read = || {
        let engine = engine.clone();
        tokio::spawn(async move { User::find_by_id(&engine, 1).required().await })
    };
    let old = read();
    gate.until_begun(1).await;
    database.past_pie("new").await;
    engine.cache().delete("user:1").await.expect("deletes");
    gate.begun();
    let new = read();
    gate.until_begun(1).await;
    gate.open();
    assert_eq!(old.await.expect("runs").expect("reads").name, "u0");
    assert_eq!(new.await.expect("runs").expect("reads").name, "new");
    assert_eq!(User::find_by_id(&engine, 1).required().await.expect("reads").name, "new");
}

#[tokio::test]
async fn find_by_ids_and_find_by_id_share_loads() {
    let Setup { engine, gate, .. } = setup().await;
    gate.close();
    let many = tokio::spawn({
        let engine = engine.clone();
        async move { User::find_by_ids(&engine, &[1, 2, 3, 2]).await }
    });
    gate.until_begun(1).await;
    let others: Vec<_> = [1, 2, 3]
        .into_iter()
        .map(|id| {
            let engine = engine.clone();
            tokio::spawn(async move { User::find_by_id(&engine, id).required().await })
        })
        .collect();
    // A batch that overlaps in the other direction waits for its part only.
    let overlapping = tokio::spawn({
        let engine = engine.clone();
        async move { User::find_by_ids(&engine, &[4, 3, 1]).await }
    });
    gate.until_begun(2).await;
    gate.open();
    assert_eq!(many.await.expect("runs").expect("reads").iter().flatten().count(), 4);
    assert_eq!(overlapping.await.expect("runs").expect("reads").iter().flatten().count(), 3);
    for other in others {
        other.await.expect("runs").expect("reads");
    }
    assert_eq!(gate.begun(), 2, "one statement for 1, 2, 3 and one for 4");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn max_loads_caps_the_loads_of_the_engine_and_of_a_model() {
    let config = CacheConfig { max_loads: Some(3), ..CacheConfig::default() };
    let Setup { engine, gate, .. } = setup_with(config, None).await;
    gate.delay(Duration::from_millis(5));
    let mut tasks = JoinSet::new();
    for id in 1..=20 {
        let engine = engine.clone();
        tasks.spawn(async move { User::find_by_id(&engine, id).await.map(drop) });
    }
    while let Some(done) = tasks.join_next().await {
        done.expect("runs").expect("reads");
    }
    assert_eq!((gate.begun(), gate.most()), (20, 3));

    // A load within a load is part of it.
    let config = CacheConfig { max_loads: Some(1), ..CacheConfig::default() };
    let Setup { engine, .. } = setup_with(config, None).await;
    let cache = engine.cache();
    let outer = cache.get_or_load("outer", Duration::from_secs(60), async || {
        User::find_by_id(&engine, 1).required().await.map(|user| user.name.clone())
    });
    let outer = tokio::time::timeout(Duration::from_secs(60), outer.into_future()).await;
    assert_eq!(*outer.expect("does not wait for itself").expect("loads"), "u0");

    let Setup { engine, gate, .. } = setup().await;
    gate.delay(Duration::from_millis(5));
    for id in 1..=10 {
        let engine = engine.clone();
        tasks.spawn(async move { Report::find_by_id(&engine, id).await.map(drop) });
    }
    while let Some(done) = tasks.join_next().await {
        done.expect("runs").expect("reads");
    }
    assert_eq!((gate.begun(), gate.most()), (10, 2));
}

#[tokio::test]
async fn get_or_load_is_one_load_and_hands_over() {
    let Setup { engine, .. } = setup().await;
    let cache = engine.cache();
    let loads = AtomicU64::new(0);
    let load = async || {
        loads.fetch_add(1, Ordering::SeqCst);
        tokio::task::yield_now().await;
        Ok(7_u64)
    };
    let ttl = Duration::from_secs(60);
    let (a, b, c) = tokio::join!(
        cache.get_or_load("n", ttl, load).into_future(),
        cache.get_or_load("n", ttl, load).into_future(),
        cache.get_or_load("n", ttl, load).into_future(),
    );
    assert_eq!((*a.expect("loads"), *b.expect("loads"), *c.expect("loads")), (7, 7, 7));
    assert_eq!(loads.load(Ordering::SeqCst), 1);
    assert_eq!(cache.get_or_load("n", ttl, load).await.expect("hits").source(), Source::Memory);

    let failing = async || Err::<u64, Error>(Error::new(ErrorKind::Load, "no"));
    let error = cache.get_or_load("other", ttl, failing).await.expect_err("fails");
    assert_eq!(error.kind(), ErrorKind::Load);
    assert!(!cache.exists("other").await.expect("asks"));
}

/// Four engines are four processes to each other: each has its own memory, flights and connections.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn with_a_lock_four_processes_load_once_and_a_dead_holder_costs_its_lease() {
    let Some(port) = redis_server::shared() else { return };
    let prefix = unique("lock-") + ":";
    let mut all = Vec::new();
    let loads = Arc::new(AtomicU64::new(0));
    for _ in 0..4 {
        let redis = RedisConfig::new(format!("127.0.0.1:{port}"))
            .budget(Duration::from_secs(5))
            .connect_timeout(Duration::from_secs(20));
        // Nobody is to be woken by the end of a lease.
        let lock_lease = Duration::from_secs(600);
        let config =
            CacheConfig { key_prefix: prefix.clone(), lock: true, lock_lease, ..CacheConfig::default() };
        let setup = setup_with(config, Some(redis)).await;
        until("messages arrive", async || setup.engine.cache().messages().attached).await;
        all.push(setup);
    }
    let mut tasks = JoinSet::new();
    for setup in &all {
        setup.gate.delay(Duration::from_millis(50));
        for _ in 0..250 {
            let engine = setup.engine.clone();
            tasks.spawn(async move { User::find_by_id(&engine, 1).required().await });
        }
    }
    while let Some(user) = tasks.join_next().await {
        assert_eq!(user.expect("runs").expect("reads").name, "u0");
    }
    loads.fetch_add(all.iter().map(|setup| setup.gate.begun()).sum(), Ordering::SeqCst);
    assert_eq!(loads.load(Ordering::SeqCst), 1, "of all four processes");

    // Who waits is woken by the holder: it asks a few times, not again and again.
    let waiter = &all[1];
    all[0].gate.close();
    let holder = tokio::spawn({
        let engine = all[0].engine.clone();
        async move { User::find_by_id(&engine, 3).required().await }
    });
    all[0].gate.until_begun(1).await;
    let before = waiter.engine.cache().layers()[1].stats().total;
    let waiting = tokio::spawn({
        let engine = waiter.engine.clone();
        async move { User::find_by_id(&engine, 3).required().await }
    });
    let asked = || waiter.engine.cache().layers()[1].stats().total - before;
    until("it waits", async || asked() == 1).await;
    // Much longer than a pause between two questions would be.
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    all[0].gate.open();
    holder.await.expect("runs").expect("reads");
    let waited = tokio::time::timeout(Duration::from_secs(60), waiting).await;
    let user = waited.expect("is woken").expect("runs").expect("reads");
    assert_eq!((user.source(), asked(), waiter.gate.begun()), (Source::Redis, 2, 0));

    // Somebody took the lock and died.
    let client = redis::Client::open(format!("redis://127.0.0.1:{port}")).expect("a url");
    let mut direct = client.get_multiplexed_async_connection().await.expect("connects");
    all[0].engine.cache().flush().await;
    let stored: Vec<String> =
        redis::cmd("KEYS").arg(format!("{prefix}user:1@*")).query_async(&mut direct).await.expect("lists");
    let lock = stored[0].replace("user:1@", "user:2@") + "~l";
    let _: () = redis::cmd("SET")
        .arg(&lock)
        .arg("dead")
        .arg("PX")
        .arg(300)
        .query_async(&mut direct)
        .await
        .expect("sets");
    let user = User::find_by_id(&all[1].engine, 2).required().await.expect("reads");
    assert_eq!((user.name.as_str(), all[1].gate.begun()), ("u1", 1));
    until("the lock is given back", async || {
        let left: bool = redis::cmd("EXISTS").arg(&lock).query_async(&mut direct).await.expect("asks");
        !left
    })
    .await;
}
