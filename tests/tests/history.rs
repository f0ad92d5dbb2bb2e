//! Real processes on one Redis and one SQLite, with everything going wrong that can: what each saw is checked against what
//! had been written by then. `PIE_HISTORY_OPERATIONS=1000000` for a full run.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "a test fails by panicking")]
#![allow(clippy::print_stderr, reason = "the figures are part of what the test shows")]

use std::process::{Child, Command};
use std::time::Duration;

use pie::prelude::*;
use pie_tests::redis_server::RedisServer;
use pie_tests::until;
use redis::aio::MultiplexedConnection;

#[derive(Debug, Clone, Model)]
struct Row {
    #[pie(id)]
    id: i64,
    version: i64,
}

const WORKERS: usize = 4;
const KEYS: usize = 1_000;
const PREFIX: &str = "history:";

struct Workers(Vec<Child>);

impl Drop for Workers {
    fn drop(&mut self) {
        for child in &mut self.0 {
            // It may have ended by itself.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

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

/// What is known of one row: its versions, and when each was written and acknowledged.
#[derive(Default)]
struct Known {
    /// When the write returned, and its version, in order.
    returned: Vec<(u128, i64)>,
    /// When its invalidation was acknowledged, at the latest.
    acknowledged: Vec<(u128, i64)>,
}

fn newest(known: &[(u128, i64)], before: u128) -> Option<(u128, i64)> {
    let at = known.partition_point(|(end, _)| *end < before);
    at.checked_sub(1).map(|at| known[at])
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn four_processes_see_every_write_they_have_to() {
    let Some(mut server) = RedisServer::start() else { return };
    let wanted: usize =
        std::env::var("PIE_HISTORY_OPERATIONS").ok().and_then(|n| n.parse().ok()).unwrap_or(100_000);
    let folder = tempfile::tempdir().expect("a folder");
    let database = folder.path().join("rows.db");
    {
        let engine = Engine::builder()
            .database(format!("sqlite://{}", database.display()))
            .build()
            .await
            .expect("builds");
        engine.create_tables::<(Row,)>().await.expect("creates");
        Row::insert_many(&engine, (0..1_000).map(|id| NewRow { id, version: 0 })).await.expect("inserts");
        engine.close().await;
    }
    connect(server.port()).await;
    let outputs: Vec<_> = (0..WORKERS).map(|worker| folder.path().join(format!("{worker}.txt"))).collect();
    let spawn = |(worker, output): (usize, &std::path::PathBuf)| {
        Command::new(env!("CARGO_BIN_EXE_worker"))
            .arg(server.port().to_string())
            .arg(&database)
            .arg(PREFIX)
            .args([worker, WORKERS, KEYS, wanted.div_ceil(WORKERS)].map(|number| number.to_string()))
            .arg(output)
            .spawn()
            .expect("starts")
    };
    let mut workers = Workers(outputs.iter().enumerate().map(spawn).collect());

    let (mut saved, mut round, mut troubles) = (false, 0, std::collections::BTreeMap::<&str, usize>::new());
    loop {
        if workers.0.iter_mut().all(|worker| worker.try_wait().expect("asks").is_some()) {
            break;
        }
        // Let them work between two troubles.
        tokio::time::sleep(Duration::from_millis(100)).await;
        *troubles.entry(trouble(round, &mut server, &mut saved).await).or_default() += 1;
        round += 1;
    }
    for worker in &mut workers.0 {
        assert!(worker.wait().expect("ends").success());
    }

    let mut known: Vec<Known> = (0..KEYS).map(|_| Known::default()).collect();
    let mut reads = Vec::new();
    let (mut operations, mut writes) = (0_u64, 0_u64);
    for (worker, output) in outputs.iter().enumerate() {
        for line in std::fs::read_to_string(output).expect("reads").lines() {
            let words: Vec<&str> = line.split(' ').collect();
            let number = |at: usize| words[at].parse::<u128>().expect("a number");
            if words[0] == "s" {
                eprintln!(
                    "worker {worker}: {} messages, lag at most {} µs, {} µs in the mean, {} detachments, {} gaps, {} hits, {} loads",
                    words[1], words[2], words[3], words[4], words[5], words[6], words[7]
                );
                continue;
            }
            operations += 1;
            let key = usize::try_from(number(1)).expect("small");
            let version = i64::try_from(number(4)).expect("small");
            if words[0] == "w" {
                writes += 1;
                known[key].returned.push((number(3), version));
                if words[5] == "1" {
                    known[key].acknowledged.push((number(3), version));
                }
            } else {
                reads.push((worker, key, number(2), version, words[0] == "p", words[5] == "m"));
            }
        }
    }
    for known in &mut known {
        known.returned.sort_unstable();
        known.acknowledged.sort_unstable();
        assert!(known.returned.windows(2).all(|pair| pair[0].1 < pair[1].1), "one version after the other");
    }
    let (mut own, mut past, mut worst, mut old) = (0_u64, 0_u64, 0_u128, 0_u64);
    for (worker, key, start, version, past_memory, from_memory) in reads {
        if key % WORKERS == worker
            && let Some((_, due)) = newest(&known[key].returned, start)
        {
            own += 1;
            assert!(version >= due, "G1: worker {worker} wrote {due} of row {key} and read {version}");
        }
        if let Some((when, due)) = newest(&known[key].acknowledged, start) {
            if past_memory {
                past += 1;
                assert!(
                    version >= due,
                    "G2: {due} of row {key} was acknowledged, worker {worker} read {version}"
                );
            } else if version < due && from_memory {
                // G3: until the message arrives.
                old += 1;
                let since = known[key].acknowledged.iter().find(|(_, newer)| *newer > version);
                worst = worst.max(start - since.map_or(when, |(when, _)| *when));
            }
        }
    }
    assert!(own > 0 && past > 0 && writes > 0, "nothing was checked");
    eprintln!(
        "history: {operations} operations, {writes} writes, G1 checked {own} times, G2 {past} times; {old} reads from \
         memory were behind another process, by {} µs at most; {troubles:?}",
        worst / 1_000
    );
}
