//! One process of the lock test: many readers of one cold row; says how many loads that took.
//!
//! `locker <redis port> <database file> <key prefix> <readers>`; waits for a line on its input before it begins.
#![allow(clippy::expect_used, clippy::print_stdout, reason = "part of a test")]

use std::sync::Arc;
use std::time::Duration;

use pie::database::{DatabaseOptions, Sqlite};
use pie::prelude::*;
use pie::{CacheConfig, Memory, RedisConfig};
use pie_tests::gated::{Gate, Gated};
use pie_tests::until;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::task::JoinSet;

#[derive(Debug, Clone, Model)]
#[cached(ttl = "5m", lock = true)]
struct Row {
    #[pie(id)]
    id: i64,
    version: i64,
}

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let redis = RedisConfig::new(format!("127.0.0.1:{}", arguments[0]))
        .budget(Duration::from_secs(10))
        .connect_timeout(Duration::from_secs(20));
    let url = format!("sqlite://{}", arguments[1]);
    let inner = Sqlite::open(&url, DatabaseOptions::default()).await.expect("opens");
    let gate = Arc::new(Gate::default());
    gate.delay(Duration::from_millis(50));
    let config = CacheConfig {
        key_prefix: arguments[2].clone(),
        // Nobody is to be woken by its end.
        lock_lease: Duration::from_secs(600),
        ..CacheConfig::default()
    };
    let engine = Engine::builder()
        .database(Arc::new(Gated::new(Arc::new(inner), &gate)))
        .memory(Memory::default())
        .redis(redis)
        .require_redis()
        .config(config)
        .build()
        .await
        .expect("builds");
    until("messages arrive", async || engine.cache().messages().attached).await;
    println!("ready");
    let mut line = String::new();
    BufReader::new(tokio::io::stdin()).read_line(&mut line).await.expect("a line");
    let mut readers = JoinSet::new();
    for _ in 0..arguments[3].parse::<usize>().expect("a number") {
        let engine = engine.clone();
        readers.spawn(async move { Row::find_by_id(&engine, 1).required().await.map(|row| row.version) });
    }
    while let Some(version) = readers.join_next().await {
        assert_eq!(version.expect("runs").expect("reads"), 7);
    }
    println!("{}", gate.begun());
    engine.close().await;
}
