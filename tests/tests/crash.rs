//! A process that is killed at each step of a write, and what the others serve after that: what is committed at most a time to live late.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "a test fails by panicking")]
#![allow(clippy::print_stdout, reason = "it tells what it measured")]

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use pie::prelude::*;
use pie::{CacheConfig, Memory, RedisConfig};
use pie_tests::{redis_server, unique, until};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

const TTL: Duration = Duration::from_millis(1_500);

#[derive(Debug, Clone, PartialEq, Model)]
#[cached(ttl = "1500ms", jitter = "0s", empty_ttl = "1s")]
struct Row {
    #[pie(id)]
    id: i64,
    #[pie(index)]
    status: String,
}

/// The process, killed when dropped.
struct Writer(Child, std::io::Lines<BufReader<ChildStdout>>);

impl Writer {
    fn start(port: u16, database: &std::path::Path, prefix: &str, step: &str) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_crasher"))
            .arg(port.to_string())
            .arg(database)
            .args([prefix, step])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("starts");
        let output = BufReader::new(child.stdout.take().expect("is piped")).lines();
        Self(child, output)
    }

    /// The next thing it says.
    fn says(&mut self) -> String {
        self.1.next().expect("a line").expect("is text")
    }

    fn go_on(&mut self) {
        self.0.stdin.as_mut().expect("is piped").write_all(b"\n").expect("listens");
    }

    /// `SIGKILL`.
    fn kill(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A way to Redis that can be closed: what is sent then does not arrive, or its answers do not.
#[derive(Default)]
struct Gate {
    held: AtomicBool,
    mute: AtomicBool,
    /// Bytes that were sent and held, and answers that were.
    caught: AtomicU64,
}

async fn gated(server: u16, gate: &Arc<Gate>) -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a port");
    let port = listener.local_addr().expect("bound").port();
    let gate = Arc::clone(gate);
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let server = TcpStream::connect(("127.0.0.1", server)).await.expect("Redis is there");
            let (mut from_client, mut to_client) = client.into_split();
            let (mut from_server, mut to_server) = server.into_split();
            let (down, up) = (Arc::clone(&gate), Arc::clone(&gate));
            tokio::spawn(async move {
                let mut buffer = vec![0; 1 << 16];
                while let Ok(count @ 1..) = from_server.read(&mut buffer).await {
                    if down.mute.load(Ordering::SeqCst) {
                        down.caught.fetch_add(1, Ordering::SeqCst);
                    } else if to_client.write_all(&buffer[..count]).await.is_err() {
                        break;
                    }
                }
            });
            tokio::spawn(async move {
                let mut buffer = vec![0; 1 << 16];
                while let Ok(count @ 1..) = from_client.read(&mut buffer).await {
                    if up.held.load(Ordering::SeqCst) {
                        up.caught.fetch_add(1, Ordering::SeqCst);
                    } else if to_server.write_all(&buffer[..count]).await.is_err() {
                        break;
                    }
                }
            });
        }
    });
    port
}

struct World {
    _folder: tempfile::TempDir,
    database: std::path::PathBuf,
    prefix: String,
    /// Two other processes, as it were: each with a memory of its own.
    others: [Engine; 2],
}

impl World {
    async fn new(port: u16) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let (database, prefix) = (folder.path().join("a.db"), unique("crash-") + ":");
        let engine = async || {
            let config = CacheConfig { key_prefix: prefix.clone(), ..CacheConfig::default() };
            let engine = Engine::builder()
                .database(format!("sqlite://{}", database.display()))
                .memory(Memory::default())
                .redis(RedisConfig::new(format!("127.0.0.1:{port}")))
                .require_redis()
                .config(config)
                .build()
                .await
                .expect("builds");
            until("messages arrive", async || engine.cache().messages().attached).await;
            engine
        };
        let others = [engine().await, engine().await];
        others[0].create_tables::<(Row,)>().await.expect("creates");
        Row::insert(&others[0], NewRow { id: 1, status: "old".into() }).await.expect("inserts");
        Self { _folder: folder, database, prefix, others }
    }

    /// Reads in each of the others, so that it is cached; whether all of them see this status.
    async fn see(&self, status: &str) -> bool {
        let mut all = true;
        for engine in &self.others {
            for from_redis in [false, true] {
                let row = Row::find_by_id(engine, 1);
                let row = if from_redis { row.skip_memory() } else { row };
                let row = row.required().await.expect("reads");
                assert!(row.age() <= TTL, "older than its time to live: {:?}", row.age());
                let list = Row::list_by_status(engine, "new");
                let list = if from_redis { list.skip_memory() } else { list };
                let list = list.await.expect("reads");
                assert!(list.age() <= TTL, "older than its time to live: {:?}", list.age());
                all &= row.status == status && list.is_empty() == (status == "old");
            }
        }
        all
    }

    /// What is true now.
    async fn truth(&self) -> String {
        let row = Row::find_by_id(&self.others[0], 1).no_cache().required().await.expect("reads");
        row.status.clone()
    }

    /// How long it takes until all see what is true; and that a next writer is not kept waiting.
    async fn stale_for(&self) -> Duration {
        let (start, truth) = (Instant::now(), self.truth().await);
        until("the truth is served", async || self.see(&truth).await).await;
        let stale = start.elapsed();
        Row::update_by_id(&self.others[1], 1).status("next").await.expect("nothing is locked");
        until("the next write is served", async || self.see_next().await).await;
        stale
    }

    async fn see_next(&self) -> bool {
        let mut all = true;
        for engine in &self.others {
            all &= Row::find_by_id(engine, 1).required().await.expect("reads").status == "next";
        }
        all
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_killed_writer_leaves_behind_ends_with_its_time_to_live() {
    let Some(port) = redis_server::shared() else { return };
    for step in ["Begun", "Locked", "Write", "Written", "Commit", "Committed"] {
        let world = World::new(port).await;
        assert!(world.see("old").await);
        let mut writer = Writer::start(port, &world.database, &world.prefix, step);
        assert_eq!(writer.says(), step);
        writer.kill();
        let committed = step == "Committed";
        assert_eq!(world.truth().await, if committed { "new" } else { "old" }, "{step}");
        if !committed {
            assert!(world.see("old").await, "what was not committed is never seen");
        }
        let stale = world.stale_for().await;
        println!(
            r#"{{"bench": "crash", "killed_at": "{step}", "stale_ms": {}, "ttl_ms": {}}}"#,
            stale.as_millis(),
            TTL.as_millis()
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_while_it_invalidates() {
    let Some(port) = redis_server::shared() else { return };
    for (step, mute) in [("Sent", false), ("Received", true)] {
        let world = World::new(port).await;
        let gate = Arc::new(Gate::default());
        let way = gated(port, &gate).await;
        assert!(world.see("old").await);
        let mut writer = Writer::start(way, &world.database, &world.prefix, "Committed");
        assert_eq!(writer.says(), "Committed");
        if mute { &gate.mute } else { &gate.held }.store(true, Ordering::SeqCst);
        writer.go_on();
        until("the invalidation is on its way", async || gate.caught.load(Ordering::SeqCst) > 0).await;
        writer.kill();
        assert_eq!(world.truth().await, "new");
        let stale = world.stale_for().await;
        println!(
            r#"{{"bench": "crash", "killed_at": "{step}", "stale_ms": {}, "ttl_ms": {}}}"#,
            stale.as_millis(),
            TTL.as_millis()
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_writer_that_lives_leaves_nothing() {
    let Some(port) = redis_server::shared() else { return };
    let world = World::new(port).await;
    assert!(world.see("old").await);
    let mut writer = Writer::start(port, &world.database, &world.prefix, "Committed");
    assert_eq!(writer.says(), "Committed");
    writer.go_on();
    assert_eq!(writer.says(), "Done");
    for engine in &world.others {
        // Past the memory there is no message to wait for.
        let row = Row::find_by_id(engine, 1).skip_memory().required().await.expect("reads");
        assert_eq!(row.status, "new");
    }
    println!(
        r#"{{"bench": "crash", "killed_at": "never", "stale_ms": {}, "ttl_ms": {}}}"#,
        world.stale_for().await.as_millis(),
        TTL.as_millis()
    );
}
