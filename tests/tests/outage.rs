//! What Redis' absence costs: loads under a cap, values past their time, errors for those who ask for them; and what it says of
//! itself: rights, memory, health.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "a test fails by panicking")]
#![allow(clippy::print_stderr, reason = "the figures are part of what the test shows")]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use pie::cache::BreakerState;
use pie::database::{DatabaseOptions, Sqlite};
use pie::prelude::*;
use pie::{CacheConfig, ErrorKind, ManualClock, Memory, MemoryConfig, OnL2Down, RedisConfig, Source};
use pie_tests::gated::{Gate, Gated};
use pie_tests::log::Log;
use pie_tests::proxy::Proxy;
use pie_tests::redis_server::{RedisServer, free_port};
use pie_tests::{redis_server, unique, until};
use tokio::sync::Mutex;
use tokio::task::JoinSet;

#[derive(Debug, Clone, PartialEq, Model)]
#[cached(ttl = "5m", jitter = "0s")]
struct Row {
    #[pie(id)]
    id: i64,
    version: i64,
}

/// The same table; its reads serve old values while Redis cannot be used, and wait for it for a moment only.
mod patient {
    use super::*;

    #[derive(Debug, Clone, PartialEq, Model)]
    #[cached(ttl = "1m", jitter = "0s", stale_if_error = "1h", on_l2_down = "stale", l2_budget = "20ms")]
    pub(crate) struct Row {
        #[pie(id)]
        pub(crate) id: i64,
        pub(crate) version: i64,
    }
}

async fn forget(engine: &Engine) {
    engine.cache().layers()[0].evict_all().await.expect("empties");
}

/// Skewed as look-ups are (xorshift, then the smaller of three).
fn draw(state: &mut u64, end: u64) -> u64 {
    let mut one = || {
        *state ^= *state << 13;
        *state ^= *state >> 7;
        *state ^= *state << 17;
        *state % end
    };
    one().min(one()).min(one())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_kills_under_load_are_no_error_and_no_stampede() {
    const KEYS: u64 = 500;
    const CAP: usize = 6;
    let _log = Log::start().await;
    let port = free_port().expect("a port");
    let Some(mut server) = RedisServer::start_on(port, &[]) else { return };
    let file = tempfile::NamedTempFile::new().expect("a file");
    let mut options = DatabaseOptions::default();
    options.acquire_timeout = Duration::from_secs(60);
    let inner = Sqlite::open(&format!("sqlite://{}", file.path().display()), options).await.expect("opens");
    let gate = Arc::new(Gate::default());
    gate.delay_sometimes(Duration::from_millis(5));
    let engine = Engine::builder()
        .database(Arc::new(Gated::new(Arc::new(inner), &gate)))
        .memory(Memory::new(MemoryConfig { max_bytes: 64 << 10, ..MemoryConfig::default() }).expect("valid"))
        .redis(RedisConfig::new(format!("127.0.0.1:{port}")))
        .config(CacheConfig { max_loads: Some(CAP), ..CacheConfig::default() })
        .build()
        .await
        .expect("builds");
    engine.create_tables::<(Row,)>().await.expect("creates");
    Row::insert_many(&engine, (0..KEYS).map(|id| NewRow { id: id.cast_signed(), version: 0 }))
        .await
        .expect("inserts");

    let returned: Arc<Vec<AtomicI64>> = Arc::new((0..KEYS).map(|_| AtomicI64::new(0)).collect());
    let owners: Arc<Vec<Mutex<i64>>> = Arc::new((0..KEYS).map(|_| Mutex::new(0)).collect());
    let (stop, reads, writes) =
        (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let mut tasks = JoinSet::new();
    for task in 0..64_u64 {
        let (engine, returned, owners) = (engine.clone(), Arc::clone(&returned), Arc::clone(&owners));
        let (stop, reads, writes) = (Arc::clone(&stop), Arc::clone(&reads), Arc::clone(&writes));
        tasks.spawn(async move {
            let mut state = 0x9e37_79b9_7f4a_7c15 ^ (task + 1);
            while !stop.load(Ordering::Relaxed) {
                let key = draw(&mut state, KEYS);
                let writes_now = draw(&mut state, 100) == 0;
                // Each row has one writer.
                let key = if writes_now { (key - key % 64 + task) % KEYS } else { key };
                let (id, at) = (key.cast_signed(), usize::try_from(key).expect("small"));
                if writes_now {
                    let mut version = owners[at].lock().await;
                    *version += 1;
                    Row::update_by_id(&engine, id).version(*version).await.expect("no error to a caller");
                    returned[at].store(*version, Ordering::SeqCst);
                    writes.fetch_add(1, Ordering::Relaxed);
                } else {
                    let due = returned[at].load(Ordering::SeqCst);
                    let row = Row::find_by_id(&engine, id);
                    let row =
                        if key % 3 == 0 { row.skip_memory().required().await } else { row.required().await };
                    let seen = row.expect("no error to a caller").version;
                    assert!(seen >= due, "row {id}: {due} was written before, and {seen} was read");
                    reads.fetch_add(1, Ordering::Relaxed);
                }
                tokio::task::yield_now().await;
            }
        });
    }
    let more = async |count: u64| {
        let before = reads.load(Ordering::Relaxed);
        until("they went on", async || reads.load(Ordering::Relaxed) >= before + count).await;
    };
    more(2_000).await;
    for _ in 0..10 {
        server.kill();
        more(1_000).await;
        server.restart(&[]);
        until("Redis is used again", async || engine.health().is_ok()).await;
        more(1_000).await;
    }
    stop.store(true, Ordering::Relaxed);
    while let Some(ended) = tasks.join_next().await {
        ended.expect("no task failed");
    }
    assert!(gate.most() <= CAP as u64, "{} loads at once", gate.most());
    let health = engine.health();
    let opened = health.layers[1].shared.as_ref().expect("is shared").nodes[0].opened;
    assert!(opened >= 10, "the breaker opened {opened} times");
    eprintln!(
        "ten kills: {reads:?} reads, {writes:?} writes, at most {} loads at once, the breaker opened {opened} times",
        gate.most()
    );
}

#[tokio::test]
async fn a_read_that_may_serves_what_is_past_its_time_while_redis_is_gone() {
    let _log = Log::start().await;
    let port = free_port().expect("a port");
    let Some(mut server) = RedisServer::start_on(port, &[]) else { return };
    let clock = ManualClock::new();
    let engine = Engine::builder()
        .database("sqlite::memory:")
        .memory(Memory::default())
        .redis(RedisConfig::new(format!("127.0.0.1:{port}")).budget(Duration::from_secs(5)))
        .clock(&clock)
        .build()
        .await
        .expect("builds");
    engine.create_tables::<(Row,)>().await.expect("creates");
    Row::insert(&engine, NewRow { id: 1, version: 1 }).await.expect("inserts");
    let read = async || patient::Row::find_by_id(&engine, 1).required().await;
    until("it is stored", async || {
        forget(&engine).await;
        let source = read().await.expect("reads").source();
        engine.cache().flush().await;
        source == Source::Redis
    })
    .await;
    server.kill();
    until("that is known", async || {
        let _ = Row::find_by_id(&engine, 2).skip_memory().await;
        !engine.health().is_ok()
    })
    .await;

    // Past its time, the value is served from memory, and the database is spared.
    clock.advance(Duration::from_secs(90));
    let before = engine.statements();
    let row = read().await.expect("reads");
    assert_eq!((row.source(), row.is_stale(), row.version), (Source::Memory, true, 1));
    assert_eq!(engine.statements(), before);
    // Who says otherwise gets otherwise.
    let fails = patient::Row::find_by_id(&engine, 3).on_l2_down(OnL2Down::Fail).await;
    assert_eq!(fails.expect_err("Redis is gone").kind(), ErrorKind::Layer);
    let asks = patient::Row::find_by_id(&engine, 3).on_l2_down(OnL2Down::Database).await;
    assert!(asks.expect("the database answers").is_none());
    // Without an old value the database answers; an invalidated one is none.
    let before = engine.statements();
    assert!(patient::Row::find_by_id(&engine, 4).await.expect("reads").is_none());
    assert_eq!(engine.statements(), before + 1);
    patient::Row::update_by_id(&engine, 1).version(2).await.expect("writes");
    assert_eq!(read().await.expect("reads").version, 2);
    // Beyond the window nothing old is served.
    clock.advance(Duration::from_secs(2 * 60 * 60));
    let row = read().await.expect("reads");
    assert_eq!((row.source(), row.is_stale()), (Source::Database, false));

    // Redis is back: a value past its time is loaded anew.
    server.restart(&[]);
    until("Redis is used again", async || {
        let _ = Row::find_by_id(&engine, 2).skip_memory().await;
        engine.health().is_ok()
    })
    .await;
    clock.advance(Duration::from_secs(90));
    assert!(!read().await.expect("reads").is_stale());
}

#[tokio::test]
async fn serving_old_values_needs_to_be_told_for_how_long() {
    let config = CacheConfig { on_l2_down: OnL2Down::Stale, ..CacheConfig::default() };
    let build = Engine::builder().database("sqlite::memory:").config(config).build();
    let error = build.await.expect_err("for how long?");
    assert_eq!(error.kind(), ErrorKind::InvalidConfig);
    assert!(error.to_string().contains("stale_if_error"), "{error}");
}

#[tokio::test]
async fn what_a_user_may_not_do_and_what_memory_lacks_is_said_once() {
    let log = Log::start().await;
    let Some(server) = RedisServer::start() else { return };
    let client = redis::Client::open(format!("redis://127.0.0.1:{}", server.port())).expect("a url");
    let mut direct = None;
    until("the server answers", async || {
        direct = client.get_multiplexed_async_connection().await.ok();
        direct.is_some()
    })
    .await;
    let mut direct = direct.expect("connected");
    let user =
        ["SETUSER", "app", "on", ">hunter2", "~pie:*", "&pie:*", "+@all", "-eval", "-publish", "-subscribe"];
    redis::cmd("ACL").arg(&user).query_async::<()>(&mut direct).await.expect("is set");
    let config = RedisConfig::new(format!("127.0.0.1:{}", server.port())).username("app").password("hunter2");
    let engine = Engine::builder()
        .database("sqlite::memory:")
        .memory(Memory::default())
        .redis(config.budget(Duration::from_secs(5)))
        .build()
        .await
        .expect("builds");
    engine.create_tables::<(Row,)>().await.expect("creates");
    Row::insert(&engine, NewRow { id: 1, version: 1 }).await.expect("inserts");
    until("Redis answers", async || {
        forget(&engine).await;
        let row = Row::find_by_id(&engine, 1).required().await.expect("reads");
        engine.cache().flush().await;
        row.source() == Source::Redis
    })
    .await;
    Row::update_by_id(&engine, 1).version(2).await.expect("writes");
    forget(&engine).await;
    assert_eq!(Row::find_by_id(&engine, 1).required().await.expect("reads").version, 2);
    assert_eq!(engine.health().unsent(), 0, "tokens are removed, whether or not others are told");
    let health = engine.health();
    let node = &health.layers[1].shared.as_ref().expect("is shared").nodes[0];
    assert_eq!((node.breaker, &node.missing_rights[..]), (BreakerState::Closed, &["EVAL", "PUBLISH"][..]));
    assert!(!health.attached && !health.is_ok(), "nothing is heard without SUBSCRIBE");
    until("that is said", async || log.events().iter().any(|event| event.contains("SUBSCRIBE"))).await;
    let warnings = |what: &str| {
        log.events().iter().filter(|event| event.starts_with("WARN") && event.contains(what)).count()
    };
    assert_eq!((warnings("EVAL"), warnings("PUBLISH")), (1, 1), "{:#?}", log.events());
    assert_eq!(warnings("noeviction"), 1);
    let _: redis::RedisResult<()> =
        redis::cmd("CLIENT").arg(&["KILL", "TYPE", "normal"]).query_async(&mut direct).await;
    until("it came back", async || {
        let _ = Row::find_by_id(&engine, 2).skip_memory().await;
        let health = engine.health();
        let node = &health.layers[1].shared.as_ref().expect("is shared").nodes[0];
        node.opened == 1 && node.breaker == BreakerState::Closed
    })
    .await;
    assert_eq!((warnings("EVAL"), warnings("noeviction"), warnings("not usable")), (1, 1, 1));
    assert!(!log.events().concat().contains("hunter2"));
}

#[tokio::test]
async fn values_are_signed_compressed_and_bounded_on_their_way() {
    let _log = Log::start().await;
    let Some(port) = redis_server::shared() else { return };
    let prefix = unique("values-test-") + ":";
    let file = tempfile::NamedTempFile::new().expect("a file");
    let engine = async |secrets: &[&str], longest: usize| {
        let redis = RedisConfig::new(format!("127.0.0.1:{port}"))
            .budget(Duration::from_secs(5))
            .max_value_size(longest)
            .authenticate_with(secrets.iter().copied());
        let engine = Engine::builder()
            .database(format!("sqlite://{}", file.path().display()))
            .memory(Memory::default())
            .redis(redis)
            .config(CacheConfig { key_prefix: prefix.clone(), ..CacheConfig::default() })
            .build()
            .await
            .expect("builds");
        engine.create_tables::<(Row,)>().await.expect("creates");
        engine
    };
    let (new, old) = ("a secret of sixteen bytes or more", "another of sixteen bytes or more");
    let a = engine(&[new], 8 << 20).await;
    Row::insert(&a, NewRow { id: 1, version: 1 }).await.expect("inserts");
    let source = async |engine: &Engine| {
        forget(engine).await;
        let row = Row::find_by_id(engine, 1).required().await.expect("reads");
        engine.cache().flush().await;
        assert_eq!(row.version, 1);
        row.source()
    };
    assert_eq!((source(&a).await, source(&a).await), (Source::Database, Source::Redis));
    // Who knows another secret, or none, does not believe it, and replaces it.
    let b = engine(&[old], 8 << 20).await;
    assert_eq!((source(&b).await, source(&b).await), (Source::Database, Source::Redis));
    assert_eq!(b.cache().stats().undecodable, 1);
    // Who is replacing one by the other believes both.
    let both = engine(&[new, old], 8 << 20).await;
    assert_eq!(source(&both).await, Source::Redis);
    let none = engine(&[], 8 << 20).await;
    assert_eq!(source(&none).await, Source::Database);
    assert_eq!(source(&both).await, Source::Database, "nobody vouches for it");
    // What is too long is not stored there.
    let small = engine(&[new], 20).await;
    assert_eq!((source(&small).await, source(&small).await), (Source::Database, Source::Database));
}

/// A connection that does what an operator does.
async fn operator(port: u16) -> redis::aio::MultiplexedConnection {
    let client = redis::Client::open(format!("redis://127.0.0.1:{port}")).expect("a url");
    let mut connection = None;
    until("the server answers", async || {
        connection = client.get_multiplexed_async_connection().await.ok();
        connection.is_some()
    })
    .await;
    connection.expect("connected")
}

async fn tell(operator: &mut redis::aio::MultiplexedConnection, words: &[&str]) {
    redis::cmd(words[0]).arg(&words[1..]).query_async::<()>(operator).await.expect("is done");
}

/// An engine on a Redis of its own, with a few rows.
async fn with_rows(port: u16) -> Engine {
    let redis = RedisConfig::new(format!("127.0.0.1:{port}")).budget(Duration::from_secs(5));
    let engine = Engine::builder()
        .database("sqlite::memory:")
        .memory(Memory::default())
        .redis(redis.heartbeat(Duration::from_millis(100)))
        .build()
        .await
        .expect("builds");
    engine.create_tables::<(Row,)>().await.expect("creates");
    Row::insert_many(&engine, (1..=9).map(|id| NewRow { id, version: 1 })).await.expect("inserts");
    engine
}

async fn source(engine: &Engine, id: i64) -> Source {
    forget(engine).await;
    let row = Row::find_by_id(engine, id).required().await.expect("reads");
    engine.cache().flush().await;
    row.source()
}

#[tokio::test]
async fn a_full_redis_is_still_read_and_told_of_writes() {
    let log = Log::start().await;
    let Some(server) = RedisServer::start() else { return };
    let mut operator = operator(server.port()).await;
    let engine = with_rows(server.port()).await;
    for id in 1..=3 {
        until("it is stored", async || source(&engine, id).await == Source::Redis).await;
    }
    // Below what it has already: nothing more goes in, nothing is evicted.
    tell(&mut operator, &["CONFIG", "SET", "maxmemory", "1"]).await;
    assert_eq!(source(&engine, 4).await, Source::Database, "the trouble is found out by a miss");
    for _ in 0..3 {
        assert_eq!(source(&engine, 4).await, Source::Database, "and not stored");
        assert_eq!((source(&engine, 1).await, source(&engine, 2).await), (Source::Redis, Source::Redis));
    }
    let health = engine.health();
    assert!(health.layers[1].shared.as_ref().expect("is shared").full && !health.is_ok(), "{health}");
    // A write ends what is there, in the full server as well.
    Row::update_by_id(&engine, 1).version(2).await.expect("writes");
    assert_eq!(engine.health().unsent(), 0);
    assert_eq!(source(&engine, 1).await, Source::Database);
    assert_eq!(source(&engine, 3).await, Source::Redis);
    tell(&mut operator, &["CONFIG", "SET", "maxmemory", "0"]).await;
    until("it is stored again", async || source(&engine, 4).await == Source::Redis).await;
    until("all is well", async || engine.health().is_ok()).await;
    let said = |what: &str| log.events().iter().filter(|event| event.contains(what)).count();
    assert_eq!((said("Redis is full"), said("takes values again"), said("not usable")), (1, 1, 0));
}

#[tokio::test]
async fn a_server_that_became_a_replica_is_noticed_without_a_read() {
    let _log = Log::start().await;
    let Some(server) = RedisServer::start() else { return };
    let mut operator = operator(server.port()).await;
    let engine = with_rows(server.port()).await;
    until("it is stored", async || source(&engine, 1).await == Source::Redis).await;
    tell(&mut operator, &["REPLICAOF", "127.0.0.1", "1"]).await;
    until("the heartbeat sees it", async || !engine.health().is_ok()).await;
    tell(&mut operator, &["REPLICAOF", "NO", "ONE"]).await;
    until("it is a master again", async || engine.health().is_ok()).await;
}

#[tokio::test]
async fn that_a_full_redis_has_room_again_is_noticed_without_a_value_to_store() {
    let _log = Log::start().await;
    let Some(server) = RedisServer::start() else { return };
    let mut operator = operator(server.port()).await;
    let redis = RedisConfig::new(format!("127.0.0.1:{}", server.port())).heartbeat(Duration::from_millis(50));
    let engine = Engine::builder().database("sqlite::memory:").redis(redis).require_redis().build().await;
    let engine = engine.expect("builds");
    engine.create_tables::<(Row,)>().await.expect("creates");
    Row::insert_many(&engine, (1..=2).map(|id| NewRow { id, version: 0 })).await.expect("inserts");
    until("a row is stored", async || {
        Row::find_by_id(&engine, 1).required().await.expect("reads").source() == Source::Redis
    })
    .await;
    tell(&mut operator, &["CONFIG", "SET", "maxmemory", "1"]).await;
    until("it is known", async || {
        Row::find_by_id(&engine, 2).required().await.expect("reads");
        engine.health().layers[0].shared.as_ref().expect("is shared").full
    })
    .await;
    tell(&mut operator, &["CONFIG", "SET", "maxmemory", "0"]).await;
    // Nothing but hits, which store nothing.
    until("it is known that there is room", async || {
        let row = Row::find_by_id(&engine, 1).required().await.expect("reads");
        assert_eq!(row.source(), Source::Redis);
        engine.health().is_ok()
    })
    .await;
}

#[tokio::test]
async fn something_of_anothers_in_the_place_of_a_lock_keeps_nobody_out() {
    let _log = Log::start().await;
    let Some(server) = RedisServer::start() else { return };
    let mut operator = operator(server.port()).await;
    let engine = with_rows(server.port()).await;
    until("it is stored", async || source(&engine, 1).await == Source::Redis).await;
    let keys: Vec<String> =
        redis::cmd("KEYS").arg("pie:row:1@*").query_async(&mut operator).await.expect("keys");
    let lock = format!("{}~l", keys[0]);
    tell(&mut operator, &["SET", &lock, "another's, without an end"]).await;
    let row = Row::find_by_id(&engine, 1).refresh().lock(true).required().await.expect("reads");
    assert_eq!(row.source(), Source::Database);
}

#[tokio::test]
async fn two_masters_at_once_cost_nobody_his_own_writes_and_leave_nothing_old() {
    let _log = Log::start().await;
    let (port, at_once) = (free_port().expect("a port"), ["--repl-diskless-sync-delay", "0"]);
    let Some(old) = RedisServer::start_on(port, &at_once) else { return };
    let operator_of_old = operator(old.port()).await;
    let master = old.port().to_string();
    let port = free_port().expect("a port");
    let new = RedisServer::start_on(port, &["--replicaof", "127.0.0.1", &master]).expect("starts");
    let mut operator_of_new = operator(new.port()).await;
    let (near_old, near_new) =
        (Proxy::start(old.port()).await.expect("starts"), Proxy::start(old.port()).await.expect("starts"));
    let file = tempfile::NamedTempFile::new().expect("a file");
    let engine = async |proxy: &Proxy| {
        let engine = Engine::builder()
            .database(format!("sqlite://{}", file.path().display()))
            .memory(Memory::default())
            .redis(RedisConfig::new(format!("127.0.0.1:{}", proxy.port())).budget(Duration::from_secs(5)))
            .require_redis()
            .build()
            .await
            .expect("builds");
        engine.create_tables::<(Row,)>().await.expect("creates");
        until("it hears", async || engine.health().is_ok()).await;
        engine
    };
    let (left, moved) = (engine(&near_old).await, engine(&near_new).await);
    Row::insert_many(&left, (1..=2).map(|id| NewRow { id, version: 0 })).await.expect("inserts");
    let past = async |engine: &Engine, id| {
        Row::find_by_id(engine, id).skip_memory().required().await.expect("reads")
    };
    let plain = async |engine: &Engine, id| Row::find_by_id(engine, id).required().await.expect("reads");
    for id in [1, 2] {
        until("it is stored", async || past(&left, id).await.source() == Source::Redis).await;
    }
    until("the replica has it all", async || {
        let wait = redis::cmd("WAIT").arg(1).arg(100).query_async(&mut operator_of_old.clone()).await;
        wait.is_ok_and(|copies: i64| copies == 1)
    })
    .await;

    // One engine is led to the new master; the other stays with the old one, which goes on.
    tell(&mut operator_of_new, &["REPLICAOF", "NO", "ONE"]).await;
    near_new.lead_to(new.port());
    for id in [1, 2] {
        until("it is stored there", async || past(&moved, id).await.source() == Source::Redis).await;
    }
    Row::update_by_id(&left, 1).version(1).await.expect("writes");
    Row::update_by_id(&moved, 2).version(1).await.expect("writes");
    assert_eq!((left.health().unsent(), moved.health().unsent()), (0, 0), "both were told that it is done");
    assert_eq!((past(&left, 1).await.version, past(&moved, 2).await.version), (1, 1), "each sees its own");
    // What two masters cost while there are two: neither can know of the other.
    assert_eq!((past(&left, 2).await.version, past(&moved, 1).await.version), (0, 0));
    assert_eq!((plain(&left, 2).await.version, plain(&moved, 1).await.version), (0, 0));

    // The other one is led there as well, where the row that it wrote is stored as it was, and the mark is the new master's.
    near_old.lead_to(new.port());
    let mut seen = Vec::new();
    until("it is led there", async || {
        seen.push(past(&left, 1).await.version);
        left.health().is_ok()
    })
    .await;
    assert!(seen.iter().all(|version| *version == 1), "its own write, also where that was lost: {seen:?}");
    assert_eq!((past(&left, 1).await.version, plain(&left, 1).await.version), (1, 1));
    assert_eq!(plain(&left, 2).await.version, 1, "nothing that the old master said is left in memory");
    until("the other one is told", async || plain(&moved, 1).await.version == 1).await;
    assert_eq!(past(&moved, 1).await.version, 1);
}
