//! Real processes on one Redis and one SQLite, with everything going wrong that can: what each saw is checked against what
//! had been written by then. `PIE_HISTORY_OPERATIONS=1000000` for a full run.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "a test fails by panicking")]
#![allow(clippy::print_stderr, reason = "the figures are part of what the test shows")]

use std::time::Duration;

use pie_tests::history::{History, PREFIX};
use pie_tests::redis_server::RedisServer;
use pie_tests::until;
use redis::aio::MultiplexedConnection;

async fn connect(port: u16) -> MultiplexedConnection {
    let client = redis::Client::open(format!("redis://127.0.0.1:{port}")).expect("a url");
    let mut connection = None;
    until("the server answers", async || {
        connection = client.get_multiplexed_async_connection().await.ok();
        match &mut connection {
            Some(connection) => redis::cmd("PING").query_async::<()>(connection).await.is_ok(),
            None => false,
        }
    })
    .await;
    connection.expect("connected")
}

/// One thing that goes wrong. Each is over when this returns.
async fn trouble(kind: usize, server: &mut RedisServer, saved: &mut bool) -> &'static str {
    let mut direct = connect(server.port()).await;
    let run = async |direct: &mut MultiplexedConnection, words: &[&str]| {
        // The connection itself may be among those that are killed.
        let _ = redis::cmd(words[0]).arg(&words[1..]).query_async::<redis::Value>(direct).await;
    };
    match kind % 7 {
        0 => run(&mut direct, &["CLIENT", "KILL", "TYPE", "pubsub"]).await,
        1 => run(&mut direct, &["CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"]).await,
        2 | 3 => {
            let (_, keys): (u64, Vec<String>) = redis::cmd("SCAN")
                .arg(0)
                .arg("MATCH")
                .arg(format!("{PREFIX}~*"))
                .arg("COUNT")
                .arg(500)
                .query_async(&mut direct)
                .await
                .unwrap_or_default();
            let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
            if !keys.is_empty() {
                run(&mut direct, &[&["UNLINK"], &keys[..]].concat()).await;
            }
            return "tokens evicted";
        }
        4 => run(&mut direct, &["FLUSHALL"]).await,
        5 => {
            run(&mut direct, &["BGSAVE"]).await;
            until("it is saved", async || {
                let info: String =
                    redis::cmd("INFO").arg("persistence").query_async(&mut direct).await.unwrap_or_default();
                info.contains("rdb_bgsave_in_progress:0")
            })
            .await;
            *saved = true;
            return "saved";
        }
        _ if *saved => {
            server.restart_from_snapshot();
            connect(server.port()).await;
            return "restarted from an old snapshot";
        }
        _ => {}
    }
    ["message connections killed", "connections killed", "", "", "flushed"]
        .get(kind % 7)
        .copied()
        .unwrap_or("nothing")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn four_processes_see_every_write_they_have_to() {
    let Some(mut server) = RedisServer::start() else { return };
    connect(server.port()).await;
    let address = format!("127.0.0.1:{}", server.port());
    let history = History::start(&[env!("CARGO_BIN_EXE_worker")], &address, 100_000).await;

    let (mut saved, mut round, mut troubles) = (false, 0, std::collections::BTreeMap::<&str, usize>::new());
    while !history.is_done() {
        // Let them work between two troubles.
        tokio::time::sleep(Duration::from_millis(100)).await;
        *troubles.entry(trouble(round, &mut server, &mut saved).await).or_default() += 1;
        round += 1;
    }
    history.check();
    eprintln!("{troubles:?}");
}
