//! A process that is killed in the middle of a write: it says where it is, and waits there.
//!
//! `crasher <redis port> <database file> <key prefix> <step>`; the step is one of `Begun`, `Locked`, `Write`, `Written`, `Commit` and
//! `Committed`. At that step it prints its name and waits for a line on its input before it goes on; at the end it prints `Done`.
#![allow(clippy::expect_used, clippy::print_stdout, reason = "part of a test")]

use std::sync::Arc;
use std::time::Duration;

use pie::database::{DatabaseOptions, Sqlite};
use pie::prelude::*;
use pie::{CacheConfig, Memory, RedisConfig};
use pie_tests::stepped::Stepped;
use tokio::io::{AsyncBufReadExt, BufReader};

#[derive(Debug, Clone, Model)]
#[cached]
struct Row {
    #[pie(id)]
    id: i64,
    #[pie(index)]
    status: String,
}

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let redis = RedisConfig::new(format!("127.0.0.1:{}", arguments[0])).budget(Duration::from_secs(60));
    let url = format!("sqlite://{}", arguments[1]);
    let inner = Sqlite::open(&url, DatabaseOptions::default()).await.expect("opens");
    let wanted = arguments[3].clone();
    let database = Stepped::new(std::sync::Arc::new(inner), move |step| {
        let here = format!("{step:?}") == wanted;
        Box::pin(async move {
            if here {
                println!("{step:?}");
                let mut line = String::new();
                BufReader::new(tokio::io::stdin()).read_line(&mut line).await.expect("a line");
            }
            Ok(())
        })
    });
    let config = CacheConfig {
        key_prefix: arguments[2].clone(),
        layer_timeout: Duration::from_secs(60),
        ..CacheConfig::default()
    };
    let engine = Engine::builder()
        .database(Arc::new(database))
        .memory(Memory::default())
        .redis(redis)
        .require_redis()
        .config(config)
        .build()
        .await
        .expect("builds");
    Row::update_by_id(&engine, 1).status("new").await.expect("writes");
    println!("Done");
    engine.close().await;
}
