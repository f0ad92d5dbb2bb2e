//! The shared layer: a hit in Redis against redis-rs `GET` and `serde_json`, alone, from 64 tasks, and many rows at once.
//!
//! `cargo run --release -p pie-benches --bin shared -- redis://host:port`. A binary of its own: the one that counts allocations has
//! each of them pay for that.

use std::sync::Arc;
use std::time::{Duration, Instant};

use pie::prelude::*;
use pie::{CacheConfig, RedisConfig};
use pie_benches::{Pair, User, each, new_user};

const ROUNDS: usize = 7;

fn at(ready: &[String], id: i64) -> &str {
    &ready[usize::try_from(id - 1).unwrap_or(0)]
}

async fn hits_in_redis(url: &str) -> Result<(), Box<dyn std::error::Error>> {
    let count = 2_000_i64;
    let engine = Engine::builder()
        .database("sqlite::memory:")
        .redis(RedisConfig::new(url).budget(Duration::from_secs(5)))
        .require_redis()
        .config(CacheConfig {
            key_prefix: format!("pie-bench-{}:", std::process::id()),
            ..CacheConfig::default()
        })
        .build()
        .await?;
    engine.create_tables::<(User,)>().await?;
    User::insert_many(&engine, (1..=count).map(new_user)).await?;
    let client = redis::Client::open(url)?;
    let mut raw = client.get_multiplexed_async_connection().await?;
    let ready: Vec<String> =
        (1..=count).map(|id| format!("pie-bench-floor-{}:user:{id}", std::process::id())).collect();
    for id in 1..=count {
        let user = User::find_by_id(&engine, id).required().await?;
        let json = serde_json::to_vec(&*user)?;
        redis::cmd("SET")
            .arg(at(&ready, id))
            .arg(json)
            .arg("EX")
            .arg(600)
            .query_async::<()>(&mut raw)
            .await?;
    }
    engine.cache().flush().await;
    let get = async |mut raw: redis::aio::MultiplexedConnection,
                     key: &str|
           -> Result<i64, Box<dyn std::error::Error>> {
        let bytes: Vec<u8> = redis::cmd("GET").arg(key).query_async(&mut raw).await?;
        Ok(serde_json::from_slice::<User>(&bytes)?.id)
    };

    let mut sequential = Pair::default();
    for _ in 0..ROUNDS {
        let start = Instant::now();
        for id in 1..=count {
            let user = User::find_by_id(&engine, id).required().await?;
            assert_eq!(user.source(), pie::Source::Redis);
        }
        let pie = start.elapsed();
        let start = Instant::now();
        for id in 1..=count {
            assert_eq!(get(raw.clone(), at(&ready, id)).await?, id);
        }
        sequential.round(each(pie, count.unsigned_abs()), each(start.elapsed(), count.unsigned_abs()));
    }
    sequential.print("l2_hit_seq", "");

    let ready = Arc::new(ready);
    let mut many = Pair::default();
    for _ in 0..ROUNDS {
        let all = 64 * 500;
        let start = Instant::now();
        let tasks: Vec<_> = (0..64)
            .map(|task| {
                let engine = engine.clone();
                tokio::spawn(async move {
                    for i in 0..500 {
                        let id = (task * 31 + i) % count + 1;
                        let user = User::find_by_id(&engine, id).required().await;
                        assert_eq!(user.map(|user| user.id).ok(), Some(id));
                    }
                })
            })
            .collect();
        for task in tasks {
            task.await?;
        }
        let pie = start.elapsed();
        let start = Instant::now();
        let tasks: Vec<_> = (0..64)
            .map(|task| {
                let (raw, ready) = (raw.clone(), Arc::clone(&ready));
                tokio::spawn(async move {
                    for i in 0..500 {
                        let id = (task * 31 + i) % count + 1;
                        let mut raw = raw.clone();
                        let bytes: redis::RedisResult<Vec<u8>> =
                            redis::cmd("GET").arg(at(&ready, id)).query_async(&mut raw).await;
                        let user = serde_json::from_slice::<User>(&bytes.unwrap_or_default());
                        assert_eq!(user.map(|user| user.id).ok(), Some(id));
                    }
                })
            })
            .collect();
        for task in tasks {
            task.await?;
        }
        many.round(each(pie, all), each(start.elapsed(), all));
    }
    many.print("l2_hit_64", "");

    let ids: Vec<i64> = (1..=100).collect();
    let mut batch = Pair::default();
    for _ in 0..ROUNDS {
        let start = Instant::now();
        for _ in 0..200 {
            assert_eq!(User::find_by_ids(&engine, &ids).await?.iter().flatten().count(), 100);
        }
        let pie = start.elapsed();
        let start = Instant::now();
        for _ in 0..200 {
            let values: Vec<Vec<u8>> = redis::cmd("MGET").arg(&ready[..100]).query_async(&mut raw).await?;
            let users: Vec<User> =
                values.iter().filter_map(|bytes| serde_json::from_slice(bytes).ok()).collect();
            assert_eq!(users.len(), 100);
        }
        batch.round(each(pie, 200), each(start.elapsed(), 200));
    }
    batch.print("l2_many_100", "");
    engine.cache().clear().await?;
    engine.close().await;
    Ok(())
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let Some(url) = std::env::args().nth(1) else {
        return Err("say where Redis is: `shared redis://host:port`".into());
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(hits_in_redis(&url))
}
