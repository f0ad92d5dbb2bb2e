//! Every trouble with Redis in every state of a value, on real servers: right answers, a bounded number of loads, no hang, and
//! recovery without a restart. A cell that did not run is a failure.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "a test fails by panicking")]
#![allow(clippy::print_stderr, reason = "the figures are part of what the test shows")]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use pie::cache::BreakerState;
use pie::prelude::*;
use pie::{CacheConfig, Memory, RedisConfig, Source};
use pie_tests::log::Log;
use pie_tests::proxy::{Answers, Proxy};
use pie_tests::redis_server::{RedisServer, free_port};
use pie_tests::until;
use redis::aio::MultiplexedConnection;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

#[derive(Debug, Clone, PartialEq, Model)]
#[cached(ttl = "5m", jitter = "0s")]
struct User {
    #[pie(id, auto)]
    id: i64,
    name: String,
}

const PASSWORD: &str = "hunter2-hunter2";
const PREFIX: &str = "matrix:";
const ROWS: i64 = 40;
/// The row whose state is known; background readers use those after it.
const ROW: i64 = 1;
const MAX_VALUE: usize = 1 << 20;
/// Far more than a lookup may take, and far less than a client's own patience.
const HANG: Duration = Duration::from_secs(30);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Trouble {
    RefusedAtStart,
    KilledUnderLoad,
    FrozenAndContinued,
    /// Every answer takes this many milliseconds longer.
    Slow(u64),
    Blackholed,
    CutMidReply,
    RestartedEmpty,
    /// `maxmemory` is reached, with this policy.
    Full(&'static str),
    ReadOnly,
    NoAuth,
    NoPerm,
    WrongPass,
    Loading,
    Busy,
    Garbage,
    WrongType,
    HugeValue,
}

const TROUBLES: [Trouble; 25] = [
    Trouble::RefusedAtStart,
    Trouble::KilledUnderLoad,
    Trouble::FrozenAndContinued,
    Trouble::Slow(50),
    Trouble::Slow(500),
    Trouble::Blackholed,
    Trouble::CutMidReply,
    Trouble::RestartedEmpty,
    Trouble::Full("noeviction"),
    Trouble::Full("allkeys-lru"),
    Trouble::Full("allkeys-lfu"),
    Trouble::Full("allkeys-random"),
    Trouble::Full("volatile-lru"),
    Trouble::Full("volatile-lfu"),
    Trouble::Full("volatile-random"),
    Trouble::Full("volatile-ttl"),
    Trouble::ReadOnly,
    Trouble::NoAuth,
    Trouble::NoPerm,
    Trouble::WrongPass,
    Trouble::Loading,
    Trouble::Busy,
    Trouble::Garbage,
    Trouble::WrongType,
    Trouble::HugeValue,
];

/// Where the row is when the trouble begins, and what is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    InMemory,
    InRedis,
    Nowhere,
    /// Several rows, some in Redis and some nowhere.
    Many,
    /// It is written, and read again.
    Written,
    /// Invalidated by a pattern.
    Pattern,
}

const STATES: [State; 6] =
    [State::InMemory, State::InRedis, State::Nowhere, State::Many, State::Written, State::Pattern];

impl Trouble {
    /// Whether Redis can be used while it lasts.
    fn leaves_redis(self) -> bool {
        matches!(
            self,
            Self::Slow(50) | Self::RestartedEmpty | Self::Full(_) | Self::WrongType | Self::HugeValue
        )
    }
}

/// One cell's server, engine, and the engine of another process that nothing happens to.
struct Cell {
    trouble: Trouble,
    server: Option<RedisServer>,
    port: u16,
    proxy: Proxy,
    engine: Engine,
    database: tempfile::NamedTempFile,
    /// Keeps what makes the trouble going.
    helper: Option<tokio::task::JoinHandle<()>>,
}

async fn engine(database: &std::path::Path, port: u16, budget: Duration) -> Engine {
    let redis = RedisConfig::new(format!("redis://default:{PASSWORD}@127.0.0.1:{port}"))
        .budget(budget)
        .connect_timeout(Duration::from_secs(2))
        .heartbeat(Duration::from_millis(300))
        .max_value_size(MAX_VALUE);
    Engine::builder()
        .database(format!("sqlite://{}", database.display()))
        .memory(Memory::default())
        .redis(redis)
        .config(CacheConfig { key_prefix: PREFIX.into(), ..CacheConfig::default() })
        .build()
        .await
        .expect("starts whatever Redis does")
}

async fn forget(engine: &Engine) {
    engine.cache().layers()[0].evict_all().await.expect("empties");
}

impl Cell {
    async fn new(trouble: Trouble) -> Option<Self> {
        let port = free_port().expect("a port");
        let server = match trouble {
            Trouble::RefusedAtStart => None,
            _ => Some(RedisServer::start_on(
                port,
                &["--requirepass", PASSWORD, "--enable-debug-command", "yes"],
            )?),
        };
        let proxy = Proxy::start(port).await.expect("starts");
        let database = tempfile::NamedTempFile::new().expect("a file");
        let engine = engine(database.path(), proxy.port(), Duration::from_millis(300)).await;
        engine.create_tables::<(User,)>().await.expect("creates");
        let rows = (1..=ROWS).map(|id| NewUser { name: format!("name {id}") });
        User::insert_many(&engine, rows).await.expect("inserts");
        let cell = Self { trouble, server, port, proxy, engine, database, helper: None };
        if cell.server.is_some() {
            cell.recovered().await;
        }
        Some(cell)
    }

    async fn direct(&self) -> MultiplexedConnection {
        let client = redis::Client::open(format!("redis://default:{PASSWORD}@127.0.0.1:{}", self.port))
            .expect("a url");
        let patient = redis::AsyncConnectionConfig::new().set_response_timeout(Some(HANG));
        let mut connection = None;
        until("the server can be talked to", async || {
            connection = client.get_multiplexed_async_connection_with_config(&patient).await.ok();
            connection.is_some()
        })
        .await;
        connection.expect("connected")
    }

    async fn run(&self, words: &[&str]) -> redis::RedisResult<redis::Value> {
        let mut direct = self.direct().await;
        redis::cmd(words[0]).arg(&words[1..]).query_async(&mut direct).await
    }

    async fn keys(&self) -> Vec<String> {
        let mut direct = self.direct().await;
        redis::cmd("KEYS").arg(format!("{PREFIX}*")).query_async(&mut direct).await.expect("keys")
    }

    /// Puts the row where the state says, in a Redis that works.
    async fn prepare(&self, state: State) {
        User::find_by_id(&self.engine, ROW).await.expect("reads");
        User::find_by_ids(&self.engine, &[2, 3]).await.expect("reads");
        self.engine.cache().flush().await;
        match state {
            State::InMemory => {}
            State::Nowhere => {
                self.engine.cache().delete(&format!("user:{ROW}")).await.expect("deletes");
                forget(&self.engine).await;
            }
            _ => forget(&self.engine).await,
        }
    }

    async fn begin(&mut self) {
        let set = async |cell: &Self, words: &[&str]| {
            cell.run(words).await.expect("is set");
        };
        match self.trouble {
            Trouble::RefusedAtStart => {}
            Trouble::KilledUnderLoad => self.server.as_mut().expect("runs").kill(),
            Trouble::FrozenAndContinued => self.server.as_ref().expect("runs").freeze(true),
            Trouble::Slow(ms) => self.proxy.answers(Answers::Late(Duration::from_millis(ms))),
            Trouble::Blackholed => self.proxy.answers(Answers::Hold),
            Trouble::CutMidReply => self.proxy.answers(Answers::Half),
            Trouble::Garbage => self.proxy.answers(Answers::Garbage),
            Trouble::RestartedEmpty => {
                self.server.as_mut().expect("runs").restart(&["--requirepass", PASSWORD]);
                self.direct().await;
            }
            Trouble::Full(policy) => {
                set(self, &["CONFIG", "SET", "maxmemory-policy", policy]).await;
                let info: String = {
                    let mut direct = self.direct().await;
                    redis::cmd("INFO").arg("memory").query_async(&mut direct).await.expect("tells")
                };
                let used = info.lines().find_map(|line| line.strip_prefix("used_memory:")).expect("used");
                let limit = used.trim().parse::<u64>().expect("a number") + (1 << 20);
                set(self, &["CONFIG", "SET", "maxmemory", &limit.to_string()]).await;
                let mut direct = self.direct().await;
                // More than fits, none of it ours; what has no end cannot be evicted by the policies for what has one.
                let junk = vec![b'x'; 8_192];
                for i in 0..300 {
                    let mut set = redis::cmd("SET");
                    set.arg(format!("junk:{i}")).arg(&junk);
                    if i % 2 == 0 {
                        set.arg("EX").arg(600);
                    }
                    if set.query_async::<()>(&mut direct).await.is_err() {
                        break;
                    }
                }
            }
            Trouble::ReadOnly => set(self, &["REPLICAOF", "127.0.0.1", "1"]).await,
            Trouble::NoAuth | Trouble::WrongPass => {
                // Whom it knew before goes, and comes back with a password that is wrong now.
                let mut direct = self.direct().await;
                let mut words = vec!["ACL", "SETUSER", "default", "resetpass", ">another-password"];
                if self.trouble == Trouble::NoAuth {
                    words.push("off");
                }
                let all: redis::RedisResult<()> = redis::pipe()
                    .cmd(words[0])
                    .arg(&words[1..])
                    .ignore()
                    .cmd("ACL")
                    .arg(&["SETUSER", "admin", "on", ">admin-password", "~*", "&*", "+@all"])
                    .ignore()
                    .query_async(&mut direct)
                    .await;
                all.expect("is set");
                let _: redis::RedisResult<()> = redis::cmd("CLIENT")
                    .arg(&["KILL", "TYPE", "normal", "SKIPME", "yes"])
                    .query_async(&mut direct)
                    .await;
            }
            Trouble::NoPerm => {
                set(self, &["ACL", "SETUSER", "default", "-mget", "-set", "-unlink", "-publish"]).await;
            }
            Trouble::Loading => {
                set(self, &["DEBUG", "POPULATE", "100000", "junk", "1"]).await;
                set(self, &["SAVE"]).await;
                let slow = [
                    "--requirepass",
                    PASSWORD,
                    "--key-load-delay",
                    "300",
                    "--loading-process-events-interval-bytes",
                    "1024",
                ];
                self.server.as_mut().expect("runs").restart_with(&slow);
                let cell = &*self;
                until("it loads", async || {
                    cell.run(&["GET", "x"]).await.is_err_and(|error| error.code() == Some("LOADING"))
                })
                .await;
            }
            Trouble::Busy => {
                set(self, &["CONFIG", "SET", "busy-reply-threshold", "20"]).await;
                let mut direct = self.direct().await;
                self.helper = Some(tokio::spawn(async move {
                    let mut script = redis::cmd("EVAL");
                    script.arg("while true do end").arg(0);
                    // Ends when it is killed.
                    let _ = script.query_async::<()>(&mut direct).await;
                }));
                let cell = &*self;
                until("it is busy", async || {
                    cell.run(&["GET", "x"]).await.is_err_and(|error| error.code() == Some("BUSY"))
                })
                .await;
            }
            Trouble::WrongType => {
                for key in self.keys().await {
                    self.run(&["DEL", &key]).await.expect("is gone");
                    self.run(&["RPUSH", &key, "another's"]).await.expect("is a list");
                }
            }
            Trouble::HugeValue => {
                let mut direct = self.direct().await;
                for key in self.keys().await {
                    if !key.contains('~') {
                        let huge = vec![b'x'; 16 * MAX_VALUE];
                        redis::cmd("SET")
                            .arg(key)
                            .arg(huge)
                            .query_async::<()>(&mut direct)
                            .await
                            .expect("is set");
                    }
                }
            }
        }
    }

    async fn end(&mut self) {
        let as_admin = async |cell: &Self, words: &[&str]| {
            let url = format!("redis://admin:admin-password@127.0.0.1:{}", cell.port);
            let client = redis::Client::open(url).expect("a url");
            let mut admin = client.get_multiplexed_async_connection().await.expect("connects");
            redis::cmd(words[0]).arg(&words[1..]).query_async::<()>(&mut admin).await.expect("is set");
        };
        match self.trouble {
            Trouble::RefusedAtStart => {
                self.server = RedisServer::start_on(self.port, &["--requirepass", PASSWORD]);
            }
            Trouble::KilledUnderLoad => {
                self.server.as_mut().expect("ran").restart(&["--requirepass", PASSWORD]);
            }
            Trouble::FrozenAndContinued => self.server.as_ref().expect("runs").freeze(false),
            Trouble::Slow(_) | Trouble::Blackholed | Trouble::CutMidReply | Trouble::Garbage => {
                self.proxy.answers(Answers::Pass);
            }
            Trouble::RestartedEmpty | Trouble::WrongType | Trouble::HugeValue => {}
            Trouble::Full(_) => {
                self.run(&["CONFIG", "SET", "maxmemory", "0"]).await.expect("is set");
            }
            Trouble::ReadOnly => {
                self.run(&["REPLICAOF", "NO", "ONE"]).await.expect("is a master");
            }
            Trouble::NoAuth | Trouble::WrongPass => {
                let known = format!(">{PASSWORD}");
                as_admin(self, &["ACL", "SETUSER", "default", "on", "resetpass", &known]).await;
            }
            Trouble::NoPerm => {
                self.run(&["ACL", "SETUSER", "default", "+@all"]).await.expect("is set");
            }
            Trouble::Loading => {
                self.run(&["CONFIG", "SET", "key-load-delay", "0"]).await.expect("is set");
            }
            Trouble::Busy => {
                self.run(&["SCRIPT", "KILL"]).await.expect("is killed");
                self.helper.take().expect("ran").await.expect("ended");
            }
        }
    }

    /// Waits until everything is as if nothing had been.
    async fn recovered(&self) {
        until("Redis is used again", async || {
            User::find_by_id(&self.engine, 9).await.expect("reads");
            self.engine.cache().flush().await;
            forget(&self.engine).await;
            let again = User::find_by_id(&self.engine, 9).required().await.expect("reads");
            again.source() == Source::Redis && self.engine.health().is_ok()
        })
        .await;
    }
}

/// Readers that go on while the trouble begins; every answer is checked.
struct Load {
    stop: Arc<AtomicBool>,
    reads: Arc<AtomicU64>,
    tasks: JoinSet<()>,
}

impl Load {
    fn start(engine: &Engine) -> Self {
        let (stop, reads) = (Arc::<AtomicBool>::default(), Arc::<AtomicU64>::default());
        let mut tasks = JoinSet::new();
        for task in 0..8_i64 {
            let (engine, stop, reads) = (engine.clone(), Arc::clone(&stop), Arc::clone(&reads));
            tasks.spawn(async move {
                let mut at = task;
                while !stop.load(Ordering::Relaxed) {
                    at = (at * 7 + 3) % (ROWS - 10);
                    let id = 10 + at;
                    let row = User::find_by_id(&engine, id).skip_memory();
                    let row = tokio::time::timeout(HANG, row.into_future()).await.expect("no hang");
                    assert_eq!(row.expect("no error").expect("is there").name, format!("name {id}"));
                    reads.fetch_add(1, Ordering::Relaxed);
                    tokio::task::yield_now().await;
                }
            });
        }
        Self { stop, reads, tasks }
    }

    async fn end(mut self) {
        let before = self.reads.load(Ordering::Relaxed);
        until("they went on", async || self.reads.load(Ordering::Relaxed) > before + 16).await;
        self.stop.store(true, Ordering::Relaxed);
        while let Some(ended) = self.tasks.join_next().await {
            ended.expect("no reader failed");
        }
    }
}

/// What the state asks, in the trouble; how many statements it took, and how long.
async fn act(cell: &Cell, state: State) -> (u64, Duration) {
    let engine = &cell.engine;
    let (before, begun) = (engine.statements(), Instant::now());
    match state {
        State::InMemory => {
            for _ in 0..100 {
                let row = User::find_by_id(engine, ROW).required().await.expect("reads");
                assert_eq!((row.source(), row.name.as_str()), (Source::Memory, "name 1"));
            }
        }
        State::InRedis | State::Nowhere => {
            let row = User::find_by_id(engine, ROW).required().await.expect("reads");
            assert_eq!(row.name, "name 1");
        }
        State::Many => {
            let rows = User::find_by_ids(engine, &[2, 3, 4, 5]).await.expect("reads");
            let names: Vec<String> = rows.iter().flatten().map(|row| row.name.clone()).collect();
            assert_eq!(names, ["name 2", "name 3", "name 4", "name 5"]);
        }
        State::Written => {
            User::update_by_id(engine, ROW).name("new").await.expect("writes");
            let row = User::find_by_id(engine, ROW).required().await.expect("reads");
            assert_eq!(row.name, "new");
        }
        State::Pattern => {
            engine.cache().delete_by_pattern("user:1*").await.expect("is kept for later");
            let row = User::find_by_id(engine, ROW).required().await.expect("reads");
            assert_eq!(row.name, "name 1");
        }
    }
    (engine.statements() - before, begun.elapsed())
}

async fn run(trouble: Trouble, state: State) -> Option<Duration> {
    let mut cell = Cell::new(trouble).await?;
    cell.prepare(state).await;
    if !matches!(trouble, Trouble::WrongType | Trouble::HugeValue) {
        // Before the trouble, through its beginning, and on.
        let load = Load::start(&cell.engine);
        cell.begin().await;
        load.end().await;
    } else {
        cell.begin().await;
    }
    if trouble == Trouble::RestartedEmpty && state == State::InMemory {
        // Messages may have been lost, and the server is another: what memory has ends as soon as this is known, on each of the two
        // connections. Before the row is read, not meanwhile.
        let messages = || cell.engine.cache().messages();
        until("messages arrive again", async || messages().detachments > 0 && messages().attached).await;
        until("the server is known", async || {
            User::find_by_id(&cell.engine, 9).skip_memory().await.expect("reads");
            cell.engine.health().is_ok()
        })
        .await;
    }
    if matches!(trouble, Trouble::RefusedAtStart | Trouble::RestartedEmpty) && state == State::InMemory {
        User::find_by_id(&cell.engine, ROW).await.expect("reads");
    }
    cell.proxy.bytes();
    let (statements, took) =
        tokio::time::timeout(HANG, act(&cell, state)).await.expect("no hang beyond the budget");
    let most = match state {
        State::InMemory => 0,
        State::InRedis | State::Nowhere | State::Many => 1,
        // Its own, then a load.
        State::Written => 2,
        State::Pattern => 1,
    };
    assert!(statements <= most, "{statements} statements, expected {most} at most");
    if state != State::InMemory && !trouble.leaves_redis() {
        assert_eq!(statements, most, "the database answers");
        // And once the trouble is known, Redis is not asked any more by those who wait.
        let health = cell.engine.health();
        let breaker = health.layers[1].shared.as_ref().expect("is shared").breaker();
        assert_ne!(breaker, BreakerState::Closed, "{health}");
    }
    if trouble == Trouble::HugeValue && matches!(state, State::InRedis | State::Many) {
        // It was replaced. Put there once more, it is asked for with a bound.
        cell.engine.cache().flush().await;
        cell.begin().await;
        forget(&cell.engine).await;
        cell.proxy.bytes();
        act(&cell, state).await;
        let read = cell.proxy.bytes();
        assert!(read < 5 * MAX_VALUE as u64, "{read} bytes were read of values of {MAX_VALUE} at most");
    }
    let unsent = cell.engine.health().unsent();
    assert!(unsent < 1_000, "{unsent} invalidations wait");

    cell.end().await;
    cell.recovered().await;
    // Who asks Redis now, in another process, sees what was written meanwhile.
    let expected = if state == State::Written { "new" } else { "name 1" };
    let other = engine(cell.database.path(), cell.port, Duration::from_secs(10)).await;
    for _ in 0..2 {
        let row = User::find_by_id(&other, ROW).skip_memory().required().await.expect("reads");
        assert_eq!(row.name, expected, "another process, after the recovery");
        other.cache().flush().await;
    }
    User::update_by_id(&cell.engine, ROW).name("last").await.expect("writes");
    let row = User::find_by_id(&other, ROW).skip_memory().required().await.expect("reads");
    assert_eq!(row.name, "last", "a write after the recovery");
    other.close().await;
    cell.engine.close().await;
    Some(took)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_trouble_in_every_state() {
    let log = Log::start().await;
    // A part of it, while one trouble is being looked into: `PIE_MATRIX=Slow`.
    let only = std::env::var("PIE_MATRIX").unwrap_or_default();
    let cells: Vec<(Trouble, State)> =
        TROUBLES.iter().flat_map(|trouble| STATES.iter().map(|state| (*trouble, *state))).collect();
    let wanted: Vec<(Trouble, State)> =
        cells.into_iter().filter(|cell| format!("{cell:?}").contains(&only)).collect();
    // Each in a runtime of its own; so many at once, since most of the time they wait.
    let (at_once, mut running) = (Arc::new(Semaphore::new(6)), JoinSet::new());
    for (trouble, state) in wanted.clone() {
        let at_once = Arc::clone(&at_once);
        running.spawn(async move {
            let _turn = at_once.acquire_owned().await.expect("is open");
            let cell = tokio::task::spawn_blocking(move || {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
                runtime.expect("a runtime").block_on(run(trouble, state))
            });
            (format!("{trouble:?} × {state:?}"), cell.await.map_err(|error| error.to_string()))
        });
    }
    let (mut ran, mut failed) = (BTreeMap::new(), Vec::new());
    while let Some(cell) = running.join_next().await {
        match cell.expect("is told") {
            (name, Ok(Some(took))) => _ = ran.insert(name, took),
            (_, Ok(None)) => return,
            (name, Err(why)) => failed.push(format!("{name}: {why}")),
        }
    }
    let slowest = ran.iter().max_by_key(|(_, took)| **took);
    eprintln!("matrix: {} cells; the slowest answer: {slowest:?}", ran.len());
    assert!(failed.is_empty(), "{} cells failed:\n{}", failed.len(), failed.join("\n"));
    assert_eq!(ran.len(), wanted.len(), "every cell ran");
    let said = log.events().join("\n");
    assert!(!said.contains(PASSWORD) && !said.contains("hunter2"), "no password in the log");
}
