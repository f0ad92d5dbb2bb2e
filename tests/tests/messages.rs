//! What processes tell each other: a write here is seen in the memory there, and what may have been missed is not trusted.
//! Each engine is a process to the others: with its own memory, stamps and connections.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "a test fails by panicking")]

use std::time::Duration;

use pie::prelude::*;
use pie::{CacheConfig, Memory, OnDetached, RedisConfig, Source};
use pie_tests::redis_server::RedisServer;
use pie_tests::{redis_server, unique, until};

#[derive(Debug, Clone, PartialEq, Model)]
#[cached(ttl = "5m", tags("users"))]
struct User {
    #[pie(id, auto)]
    id: i64,
    #[pie(index)]
    name: String,
}

struct World {
    prefix: String,
    database: tempfile::NamedTempFile,
    port: u16,
}

impl World {
    fn new(port: u16) -> Self {
        let database = tempfile::NamedTempFile::new().expect("a file");
        Self { prefix: unique("messages-") + ":", database, port }
    }

    async fn engine_with(
        &self,
        redis: impl FnOnce(RedisConfig) -> RedisConfig,
        on_detached: OnDetached,
    ) -> Engine {
        let config = RedisConfig::new(format!("127.0.0.1:{}", self.port))
            .budget(Duration::from_secs(5))
            .connect_timeout(Duration::from_secs(20));
        let key_prefix = self.prefix.clone();
        let engine = Engine::builder()
            .database(format!("sqlite://{}", self.database.path().display()))
            .memory(Memory::default())
            .redis(redis(config))
            .config(CacheConfig { key_prefix, on_detached, ..CacheConfig::default() })
            .require_redis()
            .build()
            .await
            .expect("builds");
        engine.create_tables::<(User,)>().await.expect("creates");
        attached(&engine).await;
        engine
    }

    async fn engine(&self) -> Engine {
        self.engine_with(|config| config, OnDetached::Serve).await
    }

    async fn direct(&self) -> redis::aio::MultiplexedConnection {
        let client = redis::Client::open(format!("redis://127.0.0.1:{}", self.port)).expect("a url");
        let mut connection = None;
        until("the server answers", async || {
            connection = client.get_multiplexed_async_connection().await.ok();
            connection.is_some()
        })
        .await;
        connection.expect("connected")
    }
}

async fn attached(engine: &Engine) {
    until("messages arrive", async || engine.cache().messages().attached).await;
}

async fn insert(engine: &Engine, count: usize) {
    let rows = (0..count).map(|i| NewUser { name: format!("u{i}") });
    User::insert_many(engine, rows).await.expect("inserts");
}

async fn row(engine: &Engine, id: i64) -> Cached<User> {
    User::find_by_id(engine, id).required().await.expect("reads")
}

async fn forget(engine: &Engine) {
    engine.cache().layers()[0].evict_all().await.expect("empties");
}

macro_rules! world {
    () => {
        match redis_server::shared() {
            Some(port) => World::new(port),
            None => return,
        }
    };
}

#[tokio::test]
async fn a_write_here_ends_what_is_in_memory_there_and_nothing_else() {
    let world = world!();
    let (a, b) = (world.engine().await, world.engine().await);
    insert(&a, 3).await;
    for id in 1..=3 {
        row(&b, id).await;
        assert_eq!(row(&b, id).await.source(), Source::Memory);
    }
    let before = b.cache().messages().received;
    User::update_by_id(&a, 1).name("new").await.expect("writes");
    until("the message arrived", async || row(&b, 1).await.name == "new").await;
    let messages = b.cache().messages();
    assert_eq!(messages.received, before + 1, "one message for the names of one write");
    assert!(messages.max_lag >= messages.lag && messages.attached && messages.gaps == 0, "{messages}");
    assert_eq!(row(&b, 2).await.source(), Source::Memory, "what the write did not touch stays");
    // What the writer loads after its own write stays, also when the message comes back to it.
    row(&a, 1).await;
    a.cache().flush().await;
    let heard = a.cache().messages();
    until("a heartbeat came back behind it", async || a.cache().messages().lag != heard.lag).await;
    assert_eq!(row(&a, 1).await.source(), Source::Memory);
    assert_eq!(
        a.cache().messages().received,
        0,
        "the other's fills publish nothing, and its own are its own"
    );
}

#[tokio::test]
async fn every_kind_of_invalidation_reaches_the_others() {
    let world = world!();
    let (a, b) = (world.engine().await, world.engine().await);
    insert(&a, 12).await;
    for what in ["key", "tag", "family", "pattern", "clear", "raw", "filter", "scope"] {
        for id in 1..=12 {
            row(&b, id).await;
        }
        b.scoped("s").cache().set("k", &1, Duration::from_secs(60)).await.expect("sets");
        assert_eq!(row(&b, 2).await.source(), Source::Memory);
        let cache = a.cache();
        match what {
            "key" => cache.delete("user:2").await.expect("deletes"),
            "tag" => cache.delete_by_tags(["users"]).await.expect("deletes"),
            "family" => cache.delete_by_pattern("user:*").await.expect("deletes"),
            "pattern" => cache.delete_by_pattern("us?r:[2-3]").await.expect("deletes"),
            "clear" => cache.clear().await.expect("clears"),
            "raw" => drop(a.sql("UPDATE users SET name = name").execute().await.expect("writes")),
            "filter" => {
                let update = User::query(&a).filter(User::ID.eq(2)).update().set(User::NAME, "x");
                assert_eq!(update.await.expect("writes"), 1);
            }
            _ => {
                a.scoped("s").cache().clear().await.expect("clears");
                until("the scope ended", async || !b.scoped("s").cache().exists("k").await.expect("asks"))
                    .await;
                assert_eq!(row(&b, 2).await.source(), Source::Memory, "and nothing outside of it");
                continue;
            }
        }
        until(what, async || {
            // Only a miss in memory asks Redis: then the message has arrived.
            let user = row(&b, 2).await;
            user.source() != Source::Memory
        })
        .await;
        let whole = matches!(what, "tag" | "family" | "clear" | "raw");
        let other = row(&b, 12).await.source();
        assert_eq!(other != Source::Memory, whole, "{what}: the twelfth came from {other}");
    }
}

#[tokio::test]
async fn a_lost_message_connection_is_made_again_and_what_was_missed_is_not_served() {
    let Some(server) = RedisServer::start() else { return };
    let world = World::new(server.port());
    let mut direct = world.direct().await;
    let (a, b) = (world.engine().await, world.engine().await);
    insert(&a, 1).await;
    for round in 0..5 {
        row(&b, 1).await;
        let before = b.cache().messages().detachments;
        let _: () = redis::cmd("CLIENT")
            .arg(&["KILL", "TYPE", "pubsub"])
            .query_async(&mut direct)
            .await
            .expect("kills");
        let name = format!("n{round}");
        User::update_by_id(&a, 1).name(&name).await.expect("writes");
        until("it was noticed", async || b.cache().messages().detachments > before).await;
        attached(&b).await;
        assert_eq!(row(&b, 1).await.name, name, "round {round}");
    }
}

#[tokio::test]
async fn while_detached_memory_serves_or_is_passed_by() {
    let Some(mut server) = RedisServer::start() else { return };
    let world = World::new(server.port());
    drop(world.direct().await);
    let serving = world.engine_with(|config| config, OnDetached::Serve).await;
    let passing = world.engine_with(|config| config, OnDetached::Bypass).await;
    insert(&serving, 1).await;
    for engine in [&serving, &passing] {
        until("it is in memory", async || row(engine, 1).await.source() == Source::Memory).await;
    }
    server.kill();
    for engine in [&serving, &passing] {
        until("it was noticed", async || !engine.cache().messages().attached).await;
    }
    assert_eq!(row(&serving, 1).await.source(), Source::Memory);
    for _ in 0..3 {
        assert_eq!(row(&passing, 1).await.source(), Source::Database);
    }
    // One's own writes are seen, as always; and they are sent when the server is back.
    User::update_by_id(&serving, 1).name("new").await.expect("writes");
    assert_eq!(row(&serving, 1).await.name, "new");
    assert!(serving.cache().messages().unsent > 0);
    server.restart_from_snapshot();
    until("all is sent", async || serving.cache().messages().unsent == 0).await;
    attached(&passing).await;
    until("memory is used again", async || row(&passing, 1).await.source() == Source::Memory).await;
    assert_eq!(row(&passing, 1).await.name, "new");
}

#[tokio::test]
async fn a_frozen_server_is_noticed_by_the_missing_heartbeat() {
    let Some(server) = RedisServer::start() else { return };
    let world = World::new(server.port());
    let mut direct = world.direct().await;
    let beat = Duration::from_millis(50);
    let engine = world.engine_with(|config| config.heartbeat(beat).budget(beat), OnDetached::Serve).await;
    let _: () =
        redis::cmd("CLIENT").arg(&["PAUSE", "3000", "ALL"]).query_async(&mut direct).await.expect("pauses");
    until("it was noticed", async || !engine.cache().messages().attached).await;
    attached(&engine).await;
    assert!(engine.cache().messages().detachments >= 1);
}

#[tokio::test]
async fn a_message_of_another_kind_ends_everything_in_memory() {
    let world = world!();
    let engine = world.engine().await;
    let mut direct = world.direct().await;
    insert(&engine, 1).await;
    row(&engine, 1).await;
    assert_eq!(row(&engine, 1).await.source(), Source::Memory);
    engine.cache().flush().await;
    let channel = format!("{}~m", world.prefix);
    let heard: u64 =
        redis::cmd("PUBLISH").arg(channel).arg("what?").query_async(&mut direct).await.expect("publishes");
    assert_eq!(heard, 1);
    until("the gap was noticed", async || engine.cache().messages().gaps == 1).await;
    assert_eq!(row(&engine, 1).await.source(), Source::Redis);
}

#[tokio::test]
async fn skip_memory_sees_what_another_process_wrote_at_once() {
    let world = world!();
    let (a, b) = (world.engine().await, world.engine().await);
    insert(&a, 1).await;
    for round in 0..50 {
        row(&b, 1).await;
        let name = format!("n{round}");
        User::update_by_id(&a, 1).name(&name).await.expect("writes");
        let user = User::find_by_id(&b, 1).skip_memory().required().await.expect("reads");
        assert_eq!(user.name, name);
    }
}

#[tokio::test]
async fn a_server_that_came_back_from_an_old_snapshot_is_not_believed() {
    let Some(mut server) = RedisServer::start() else { return };
    let world = World::new(server.port());
    let mut direct = world.direct().await;
    let (a, b) = (world.engine().await, world.engine().await);
    insert(&a, 1).await;
    row(&a, 1).await;
    a.cache().flush().await;
    // The old value, its tokens, and the mark of this server are in the snapshot.
    let _: () = redis::cmd("SAVE").query_async(&mut direct).await.expect("saves");
    User::update_by_id(&a, 1).name("new").await.expect("writes");
    server.restart_from_snapshot();
    let mut direct = world.direct().await;
    let restored: Vec<String> = redis::cmd("KEYS")
        .arg(format!("{}user:1@*", world.prefix))
        .query_async(&mut direct)
        .await
        .expect("lists");
    assert_eq!(restored.len(), 1, "the old value is back");
    let c = world.engine().await;
    for engine in [&a, &b, &c] {
        forget(engine).await;
        assert_eq!(row(engine, 1).await.name, "new");
    }
    until("Redis is used again", async || {
        a.cache().flush().await;
        forget(&a).await;
        let user = row(&a, 1).await;
        assert_eq!(user.name, "new");
        user.source() == Source::Redis
    })
    .await;
}
