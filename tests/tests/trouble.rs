//! Redis in trouble: absent, silent, frozen, killed. Queries go on, each at most a budget slower, and Redis is used again
//! when it is back, without anything old in it.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "a test fails by panicking")]

use std::time::Duration;

use pie::prelude::*;
use pie::{ErrorKind, RedisConfig, Source};
use pie_tests::log::Log;
use pie_tests::redis_server::{RedisServer, free_port};
use pie_tests::until;
use tokio::net::TcpListener;

#[derive(Debug, Clone, PartialEq, Model)]
#[cached(ttl = "5m")]
struct User {
    #[pie(id, auto)]
    id: i64,
    name: String,
}

async fn engine(port: u16) -> Engine {
    let redis = RedisConfig::new(format!("redis://:hunter2@127.0.0.1:{port}"))
        .budget(Duration::from_millis(200))
        .connect_timeout(Duration::from_secs(1));
    engine_with(redis).await
}

async fn engine_with(redis: RedisConfig) -> Engine {
    let engine = Engine::builder()
        .database("sqlite::memory:")
        .memory(pie::Memory::default())
        .redis(redis)
        .build()
        .await
        .expect("starts without Redis");
    engine.create_tables::<(User,)>().await.expect("creates");
    User::insert(&engine, NewUser { name: "Ann".into() }).await.expect("inserts");
    engine
}

async fn forget(engine: &Engine) {
    engine.cache().layers()[0].evict_all().await.expect("empties");
}

async fn works(engine: &Engine) {
    for name in ["Bob", "Eve"] {
        assert!(User::find_by_id(engine, 1).await.expect("reads").is_some());
        assert_eq!(User::find_by_id(engine, 1).required().await.expect("reads").source(), Source::Memory);
        User::update_by_id(engine, 1).name(name).await.expect("writes");
        assert_eq!(User::find_by_id(engine, 1).required().await.expect("reads").name, name);
    }
}

async fn used_again(engine: &Engine) {
    until("Redis answers", async || {
        User::find_by_id(engine, 1).await.expect("reads");
        engine.cache().flush().await;
        forget(engine).await;
        User::find_by_id(engine, 1).required().await.expect("reads").source() == Source::Redis
    })
    .await;
}

#[tokio::test]
async fn an_engine_starts_without_redis_says_so_once_and_connects_when_it_comes() {
    let log = Log::start().await;
    let port = free_port().expect("a port");
    let engine = engine(port).await;
    works(&engine).await;
    until("it was said", async || log.events().iter().any(|event| event.starts_with("WARN"))).await;
    works(&engine).await;
    let warnings: Vec<String> = log.events().into_iter().filter(|event| event.starts_with("WARN")).collect();
    assert_eq!(warnings.len(), 1, "{warnings:#?}");
    assert!(!log.events().concat().contains("hunter2"));
    assert!(!format!("{engine:?}").contains("hunter2"));
    let Some(_redis) = RedisServer::start_on(port, &["--requirepass", "hunter2"]) else { return };
    used_again(&engine).await;
    assert!(log.events().iter().any(|event| event.contains("usable again")));
}

#[tokio::test]
async fn a_redis_that_accepts_and_stays_silent_is_none() {
    let log = Log::start().await;
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("binds");
    let port = listener.local_addr().expect("an address").port();
    let silent = tokio::spawn(async move {
        let mut open = Vec::new();
        while let Ok((socket, _)) = listener.accept().await {
            open.push(socket);
        }
    });
    let engine = engine(port).await;
    works(&engine).await;
    works(&engine).await;
    until("it was said", async || log.events().iter().any(|event| event.starts_with("WARN"))).await;
    assert_eq!(log.events().iter().filter(|event| event.starts_with("WARN")).count(), 1);
    silent.abort();
}

#[tokio::test]
async fn a_required_redis_that_is_not_there_is_an_error_without_the_password() {
    let _log = Log::start().await;
    let port = free_port().expect("a port");
    let build = Engine::builder()
        .database("sqlite::memory:")
        .redis(format!("redis://:hunter2@127.0.0.1:{port}"))
        .require_redis()
        .build();
    let error = build.await.expect_err("not there");
    assert_eq!(error.kind(), ErrorKind::Connection);
    assert!(!format!("{error} {error:?}").contains("hunter2"));
}

#[tokio::test]
async fn a_wrong_password_costs_nothing_but_the_layer() {
    let log = Log::start().await;
    let port = free_port().expect("a port");
    let Some(_redis) = RedisServer::start_on(port, &["--requirepass", "other"]) else { return };
    let engine = engine(port).await;
    works(&engine).await;
    until("it was said", async || log.events().iter().any(|event| event.starts_with("WARN"))).await;
    assert!(!log.events().concat().contains("hunter2"));
}

#[tokio::test]
async fn a_killed_redis_is_used_again_when_it_is_back() {
    let _log = Log::start().await;
    let Some(mut redis) = RedisServer::start() else { return };
    let port = redis.port();
    let engine =
        engine_with(RedisConfig::new(format!("127.0.0.1:{port}")).budget(Duration::from_secs(2))).await;
    used_again(&engine).await;
    redis.kill();
    works(&engine).await;
    let Some(_redis) = RedisServer::start_on(port, &[]) else { return };
    used_again(&engine).await;
    assert_eq!(User::find_by_id(&engine, 1).required().await.expect("reads").name, "Eve");
}

#[tokio::test]
async fn an_invalidation_that_a_frozen_redis_missed_is_sent_before_it_is_read_again() {
    let _log = Log::start().await;
    let Some(redis) = RedisServer::start() else { return };
    let client = redis::Client::open(format!("redis://127.0.0.1:{}", redis.port())).expect("a url");
    let budget = Duration::from_millis(400);
    let engine = engine_with(RedisConfig::new(format!("127.0.0.1:{}", redis.port())).budget(budget)).await;
    used_again(&engine).await;
    let mut direct = client.get_multiplexed_async_connection().await.expect("connects");
    let frozen = 4_000_u64;
    let _: () = redis::cmd("CLIENT")
        .arg("PAUSE")
        .arg(frozen)
        .arg("ALL")
        .query_async(&mut direct)
        .await
        .expect("pauses");
    User::update_by_id(&engine, 1).name("new").await.expect("writes");
    assert_eq!(User::find_by_id(&engine, 1).required().await.expect("reads").name, "new");
    // The old value and its tokens are still in Redis.
    until("Redis answers", async || {
        forget(&engine).await;
        let row = User::find_by_id(&engine, 1).required().await.expect("reads");
        assert_eq!(row.name, "new");
        engine.cache().flush().await;
        row.source() == Source::Redis
    })
    .await;
    assert!(engine.cache().layers()[1].stats().errors > 0, "the trouble was counted");
}
