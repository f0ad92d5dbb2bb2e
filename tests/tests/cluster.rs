//! Redis as a cluster: one network wait for a lookup, hot names on every shard, a lost shard, failover and resharding under load.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "a test fails by panicking")]

use std::time::Duration;

use pie::prelude::*;
use pie::{ErrorKind, Memory, OnL2Down, RedisConfig, Source};
use pie_tests::cluster::RedisCluster;
use pie_tests::history::{History, config};
use pie_tests::log::Log;
use pie_tests::until;

#[derive(Debug, Clone, PartialEq, Model)]
#[cached(ttl = "5m", jitter = "0s", tags("people"))]
struct User {
    #[pie(id, auto)]
    id: i64,
    #[pie(index)]
    name: String,
}

const ROWS: i64 = 200;

async fn engine(cluster: &RedisCluster, file: &std::path::Path) -> Engine {
    let redis =
        config(&cluster.shape()).budget(Duration::from_secs(10)).connect_timeout(Duration::from_secs(20));
    let engine = Engine::builder()
        .database(format!("sqlite://{}", file.display()))
        .memory(Memory::default())
        .redis(redis.heartbeat(Duration::from_millis(200)))
        .require_redis()
        .build()
        .await
        .expect("connects");
    engine.create_tables::<(User,)>().await.expect("creates");
    engine
}

async fn fill(engine: &Engine) {
    User::insert_many(engine, (1..=ROWS).map(|id| NewUser { name: format!("name {id}") }))
        .await
        .expect("inserts");
}

async fn forget(engine: &Engine) {
    engine.cache().layers()[0].evict_all().await.expect("empties");
}

/// Reads every row, past memory; how many Redis had.
async fn read_all(engine: &Engine) -> i64 {
    forget(engine).await;
    let mut hits = 0;
    for id in 1..=ROWS {
        let row = User::find_by_id(engine, id).required().await.expect("reads");
        hits += i64::from(row.source() == Source::Redis);
    }
    engine.cache().flush().await;
    hits
}

async fn all_stored(engine: &Engine) {
    until("every row is in Redis", async || read_all(engine).await == ROWS).await;
}

/// How often a command was run on each master.
async fn calls(cluster: &RedisCluster, command: &str) -> Vec<u64> {
    let mut all = Vec::new();
    for node in cluster.nodes().await.into_iter().filter(|node| node.is_master) {
        let mut connection = RedisCluster::connect(node.port).await.expect("answers");
        let info: String =
            redis::cmd("INFO").arg("commandstats").query_async(&mut connection).await.expect("tells");
        let line = info.lines().find_map(|line| line.strip_prefix(&format!("cmdstat_{command}:calls=")));
        let count = line.and_then(|line| line.split(',').next()?.parse().ok()).unwrap_or(0);
        all.push(count);
    }
    all
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_is_used_like_one_server_and_every_shard_alike() {
    let _log = Log::start().await;
    let Some(cluster) = RedisCluster::start().await else { return };
    let file = tempfile::NamedTempFile::new().expect("a file");
    let (a, b) = (engine(&cluster, file.path()).await, engine(&cluster, file.path()).await);
    fill(&a).await;
    all_stored(&a).await;
    assert_eq!(read_all(&b).await, ROWS, "another process has them from Redis");

    // A row, the token of its key, the namespace's and the family's are asked for on one shard; only the tag's is elsewhere.
    let before = [calls(&cluster, "get").await, calls(&cluster, "set").await];
    assert_eq!(read_all(&b).await, ROWS);
    let after = [calls(&cluster, "get").await, calls(&cluster, "set").await];
    let [each, sets] = [0, 1].map(|of: usize| -> Vec<u64> {
        after[of].iter().zip(&before[of]).map(|(after, before)| after - before).collect()
    });
    let all: u64 = each.iter().sum();
    assert_eq!(all, 5 * ROWS.unsigned_abs(), "value, key, namespace, family, tag: {each:?}");
    // All of those before were hits: nobody makes a token for a miss.
    assert_eq!(sets.iter().sum::<u64>(), 0, "{sets:?}");
    // The tag is one name, on one shard: a row's four are spread.
    let without_tag = |count: &u64| {
        if *count == *each.iter().max().unwrap_or(&0) { count - ROWS.unsigned_abs() } else { *count }
    };
    for count in each.iter().map(without_tag) {
        let share = count * 3 * 100 / (4 * ROWS.unsigned_abs());
        assert!((60..=140).contains(&share), "{each:?}: {share} percent of its share");
    }

    // Many keys, lists, and every way to end them.
    let ids: Vec<i64> = (1..=ROWS).collect();
    forget(&b).await;
    let rows = User::find_by_ids(&b, &ids).await.expect("reads");
    assert!(rows.iter().flatten().all(|row| row.source() == Source::Redis));
    assert_eq!(User::list_by_name(&b, "name 7").await.expect("reads").len(), 1);
    User::update_by_id(&a, 7).name("other").await.expect("writes");
    forget(&b).await;
    assert_eq!(User::list_by_name(&b, "name 7").await.expect("reads").len(), 0);
    let row = User::find_by_id(&b, 7).required().await.expect("reads");
    assert_eq!((row.source(), row.name.as_str()), (Source::Database, "other"));
    a.cache().delete_by_pattern("user:1?").await.expect("deletes");
    assert_eq!(read_all(&b).await, ROWS - 10);
    a.cache().delete_by_tags(["people"]).await.expect("deletes");
    assert_eq!(read_all(&b).await, 0);
    all_stored(&b).await;
    a.cache().delete_by_pattern("user:*").await.expect("deletes the family");
    assert_eq!(read_all(&b).await, 0);
    all_stored(&b).await;
    a.cache().clear().await.expect("clears");
    assert_eq!(read_all(&b).await, 0);
    // The other's memory hears of it.
    all_stored(&b).await;
    User::update_by_id(&a, 8).name("heard").await.expect("writes");
    until("it is heard", async || User::find_by_id(&b, 8).required().await.expect("reads").name == "heard")
        .await;
    assert!(User::find_by_id(&a, 9).lock(true).refresh().await.expect("reads").is_some());
    until("all is well", async || a.health().is_ok() && b.health().is_ok()).await;
    assert_eq!(a.health().layers[1].shared.as_ref().expect("is shared").nodes.len(), 3);
    a.close().await;
    b.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lookup_is_one_network_wait_whatever_shards_it_needs() {
    let _log = Log::start().await;
    let Some(cluster) = RedisCluster::start_counted().await else { return };
    let file = tempfile::NamedTempFile::new().expect("a file");
    let redis =
        RedisConfig::cluster(cluster.proxies().iter().map(|proxy| format!("127.0.0.1:{}", proxy.port())))
            .budget(Duration::from_secs(10))
            .connect_timeout(Duration::from_secs(20))
            // Its own trips would count.
            .heartbeat(Duration::from_secs(600));
    let engine = Engine::builder()
        .database(format!("sqlite://{}", file.path().display()))
        .memory(Memory::default())
        .redis(redis)
        .require_redis()
        .build()
        .await
        .expect("connects");
    engine.create_tables::<(User,)>().await.expect("creates");
    fill(&engine).await;
    all_stored(&engine).await;
    let ids: Vec<i64> = (1..=ROWS).collect();
    let trips = || -> Vec<u64> { cluster.proxies().iter().map(|proxy| proxy.trips()).collect() };
    // Who has which slots is asked for now and then, on connections of their own: so until a try without that.
    until("a row is one trip to each shard at most", async || {
        forget(&engine).await;
        trips();
        let row = User::find_by_id(&engine, 5).required().await.expect("reads");
        assert_eq!(row.source(), Source::Redis);
        trips().iter().all(|trips| *trips <= 1)
    })
    .await;
    until("many rows are one trip to each shard at most", async || {
        forget(&engine).await;
        trips();
        let rows = User::find_by_ids(&engine, &ids).await.expect("reads");
        assert!(rows.iter().flatten().all(|row| row.source() == Source::Redis));
        let trips = trips();
        trips.iter().sum::<u64>() > 0 && trips.iter().all(|trips| *trips <= 1)
    })
    .await;
    // Others are told when every shard has removed what it had: another trip, after those.
    until("an invalidation is one trip to each shard, and one to tell", async || {
        trips();
        engine.cache().clear().await.expect("clears");
        let trips = trips();
        trips.iter().sum::<u64>() == 4 && trips.iter().max() == Some(&2)
    })
    .await;
    engine.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_shard_costs_its_own_rows_and_heals() {
    let _log = Log::start().await;
    let Some(mut cluster) = RedisCluster::start().await else { return };
    // What the others have stays readable, and nobody takes the place of the lost one.
    cluster.tell_all(&["CONFIG", "SET", "cluster-require-full-coverage", "no"]).await;
    cluster.tell_all(&["CONFIG", "SET", "cluster-replica-no-failover", "yes"]).await;
    let file = tempfile::NamedTempFile::new().expect("a file");
    let a = engine(&cluster, file.path()).await;
    fill(&a).await;
    a.cache().flush().await;
    all_stored(&a).await;
    let lost = cluster.nodes().await.into_iter().find(|node| node.is_master).expect("there is one").port;
    cluster.kill(lost);
    // The tag of all rows may be on it: then none can be used.
    let mut hits = 0;
    until("that is known", async || {
        hits = read_all(&a).await;
        !a.health().is_ok()
    })
    .await;
    assert!(hits < ROWS, "{hits}");
    User::update_by_id(&a, 1).name("new").await.expect("writes");
    assert_eq!(User::find_by_id(&a, 1).required().await.expect("reads").name, "new");
    // What a read does without its shard is its own choice.
    let mut failed = 0;
    for id in 1..=ROWS {
        let strict = User::find_by_id(&a, id).skip_memory().on_l2_down(OnL2Down::Fail).await;
        failed += i64::from(strict.is_err_and(|error| error.kind() == ErrorKind::Layer));
    }
    assert!(failed > 0, "some rows are on the lost shard");
    cluster.tell_all(&["CONFIG", "SET", "cluster-replica-no-failover", "no"]).await;
    // Its replica takes over, with what it had: nothing of that is believed.
    all_stored(&a).await;
    until("all is well", async || a.health().is_ok()).await;
    let b = engine(&cluster, file.path()).await;
    assert_eq!(User::find_by_id(&b, 1).required().await.expect("reads").name, "new");
    a.close().await;
    b.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_shard_brings_back_from_an_old_snapshot_is_not_believed() {
    let _log = Log::start().await;
    let Some(mut cluster) = RedisCluster::start().await else { return };
    // Nobody takes the place of a shard that comes back.
    cluster.tell_all(&["CONFIG", "SET", "cluster-replica-no-failover", "yes"]).await;
    let file = tempfile::NamedTempFile::new().expect("a file");
    let (a, b) = (engine(&cluster, file.path()).await, engine(&cluster, file.path()).await);
    fill(&a).await;
    all_stored(&a).await;
    // Every shard keeps what it has now: the values, and the tokens that they were stored under.
    cluster.tell_all(&["SAVE"]).await;
    User::query(&a).update().set(User::NAME, "new").await.expect("writes");
    for node in cluster.nodes().await.into_iter().filter(|node| node.is_master) {
        cluster.restart_from_snapshot(node.port).await;
        for engine in [&b, &a] {
            for id in 1..=ROWS {
                let row = User::find_by_id(engine, id).skip_memory().required().await.expect("reads");
                assert_eq!(row.name, "new", "row {id}");
            }
        }
    }
    all_stored(&a).await;
    a.close().await;
    b.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failover_and_a_resharding_under_load_show_nothing_old() {
    let Some(mut cluster) = RedisCluster::start().await else { return };
    let history = History::start(&[env!("CARGO_BIN_EXE_worker")], &cluster.shape(), 100_000).await;
    history.everyone_reads_from_redis().await;
    cluster.reshard(500).await;
    history.everyone_reads_from_redis().await;
    cluster.fail_over().await;
    history.everyone_reads_from_redis().await;
    history.check();
}

#[tokio::test]
async fn a_cluster_taken_for_a_server_is_said() {
    let log = Log::start().await;
    let Some(cluster) = RedisCluster::start().await else { return };
    let build = Engine::builder()
        .database("sqlite::memory:")
        .redis(RedisConfig::new(format!("127.0.0.1:{}", cluster.ports()[0])))
        .require_redis()
        .build();
    let error = build.await.expect_err("is a cluster");
    assert!(error.to_string().contains("RedisConfig::cluster"), "{error}");
    drop(log);
}
