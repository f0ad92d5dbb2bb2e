//! The lock across processes, with real ones.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use pie::prelude::*;
use pie_tests::{redis_server, unique};

#[derive(Debug, Clone, Model)]
struct Row {
    #[pie(id)]
    id: i64,
    version: i64,
}

struct Processes(Vec<Child>);

impl Drop for Processes {
    fn drop(&mut self) {
        for child in &mut self.0 {
            // It may have ended by itself.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

#[tokio::test]
async fn four_processes_with_a_thousand_readers_load_once() {
    let Some(port) = redis_server::shared() else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let database = folder.path().join("rows.db");
    let engine = Engine::builder().database(format!("sqlite://{}", database.display())).build().await;
    let engine = engine.expect("builds");
    engine.create_tables::<(Row,)>().await.expect("creates");
    Row::insert(&engine, NewRow { id: 1, version: 7 }).await.expect("inserts");
    engine.close().await;

    let prefix = unique("locker-") + ":";
    let start = || {
        Command::new(env!("CARGO_BIN_EXE_locker"))
            .arg(port.to_string())
            .arg(&database)
            .args([&prefix, "250"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("starts")
    };
    let mut processes = Processes((0..4).map(|_| start()).collect());
    let mut outputs: Vec<_> = processes
        .0
        .iter_mut()
        .map(|child| BufReader::new(child.stdout.take().expect("is piped")).lines())
        .collect();
    for output in &mut outputs {
        assert_eq!(output.next().expect("a line").expect("is text"), "ready");
    }
    for child in &mut processes.0 {
        child.stdin.take().expect("is piped").write_all(b"go\n").expect("hears");
    }
    let reading = tokio::task::spawn_blocking(move || {
        let lines = outputs.iter_mut().map(|output| output.next().expect("a line").expect("is text"));
        lines.map(|line| line.parse().expect("a number")).collect::<Vec<u64>>()
    });
    // When nobody wakes who waits, the processes are ended, and with them the reading.
    let Ok(loads) = tokio::time::timeout(Duration::from_secs(120), reading).await else {
        drop(processes);
        panic!("a process waits for a lock that nobody has");
    };
    let loads = loads.expect("reads");
    assert_eq!(loads.iter().sum::<u64>(), 1, "{loads:?}");
    for child in &mut processes.0 {
        assert!(child.wait().expect("ends").success());
    }
}
