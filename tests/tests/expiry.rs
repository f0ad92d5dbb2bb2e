//! Redis does not grow: what pie stores expires by itself, tokens included.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "a test fails by panicking")]

use std::time::Duration;

use pie::prelude::*;
use pie::{Memory, RedisConfig};
use pie_tests::redis_server::RedisServer;
use pie_tests::until;
use redis::aio::MultiplexedConnection;

const KEYS: u64 = 100_000;
const TTL: Duration = Duration::from_secs(2);

async fn used_memory(direct: &mut MultiplexedConnection) -> u64 {
    let info: String = redis::cmd("INFO").arg("memory").query_async(direct).await.expect("answers");
    let line = info.lines().find_map(|line| line.strip_prefix("used_memory:")).expect("is told");
    line.trim().parse().expect("a number")
}

#[tokio::test]
async fn after_everything_expired_redis_is_as_empty_as_before() {
    let Some(server) = RedisServer::start() else { return };
    let redis = RedisConfig::new(format!("127.0.0.1:{}", server.port()))
        .budget(Duration::from_secs(10))
        .connect_timeout(Duration::from_secs(20));
    let client = redis::Client::open(format!("redis://127.0.0.1:{}", server.port())).expect("a url");
    let mut direct = None;
    until("the server answers", async || {
        direct = client.get_multiplexed_async_connection().await.ok();
        direct.is_some()
    })
    .await;
    let mut direct = direct.expect("connected");
    let engine = Engine::builder()
        .database("sqlite::memory:")
        .memory(Memory::max_bytes(1 << 20))
        .redis(redis)
        .require_redis()
        .build()
        .await
        .expect("builds");
    let empty = used_memory(&mut direct).await;
    let mut most = 0;
    for batch in 0..KEYS / 1_000 {
        let values = (0..1_000).map(|i| (format!("n:{batch}:{i}"), i));
        engine
            .cache()
            .set_many(values, TTL)
            .tags([format!("batch:{batch}"), "all".into()])
            .await
            .expect("sets");
        most = most.max(used_memory(&mut direct).await);
    }
    assert!(most > empty + 1_000_000, "there was something in it: {most} against {empty} bytes");
    assert_eq!(engine.cache().layers()[1].stats().sets, KEYS);
    // The bound: no key of pie lives ten times as long as the values.
    let (_, keys): (u64, Vec<String>) =
        redis::cmd("SCAN").arg(0).arg("COUNT").arg(10_000).query_async(&mut direct).await.expect("scans");
    let mut ttls = redis::pipe();
    for key in &keys {
        ttls.cmd("PTTL").arg(key);
    }
    let ttls: Vec<i64> = ttls.query_async(&mut direct).await.expect("answers");
    assert!(!ttls.contains(&-1), "a key of pie lives for ever");
    let longest = ttls.into_iter().max().unwrap_or(0);
    assert!(u128::try_from(longest).expect("positive") <= 10 * TTL.as_millis(), "one lives for {longest} ms");

    let (mut left, mut used) = (0_u64, 0);
    until("Redis is as empty as before", async || {
        left = redis::cmd("DBSIZE").query_async(&mut direct).await.expect("answers");
        used = used_memory(&mut direct).await;
        left == 0 && used < empty + empty / 4
    })
    .await;
}
