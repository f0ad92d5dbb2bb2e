//! Values past their time: served when a policy says so, never after an invalidation, never past `max_age`.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::Arc;
use std::time::Duration;

use pie::database::{DatabaseOptions, Sqlite};
use pie::prelude::*;
use pie::{CacheConfig, ErrorKind, ManualClock, Memory, RedisConfig, Source};
use pie_tests::gated::{Gate, Gated};
use pie_tests::{redis_server, unique, until};

#[derive(Debug, Clone, PartialEq, Model)]
#[cached(ttl = "60s", jitter = "0s")]
struct User {
    #[pie(id, auto)]
    id: i64,
    #[pie(index)]
    name: String,
}

const S: Duration = Duration::from_secs(1);

struct Setup {
    engine: Engine,
    gate: Arc<Gate>,
    database: Gated,
    clock: ManualClock,
}

async fn setup_with(config: CacheConfig, redis: Option<u16>) -> Setup {
    let inner = Sqlite::open("sqlite::memory:", DatabaseOptions::default()).await.expect("opens");
    let gate = Arc::new(Gate::default());
    let database = Gated::new(Arc::new(inner), &gate);
    let clock = ManualClock::new();
    let mut builder =
        Engine::builder().database(Arc::new(database.clone())).memory(Memory::default()).clock(&clock);
    if let Some(port) = redis {
        let redis = RedisConfig::new(format!("127.0.0.1:{port}")).budget(5 * S).connect_timeout(20 * S);
        builder = builder.redis(redis).require_redis();
    }
    let engine = builder.config(config).build().await.expect("builds");
    engine.create_tables::<(User,)>().await.expect("creates");
    User::insert(&engine, NewUser { name: "old".into() }).await.expect("inserts");
    gate.begun();
    Setup { engine, gate, database, clock }
}

async fn setup() -> Setup {
    setup_with(CacheConfig::default(), None).await
}

impl Setup {
    /// Changes the row so that the cache does not learn of it.
    async fn change(&self, name: &str) {
        self.database.past_pie(name).await;
    }

    async fn stale(&self) -> Cached<User> {
        User::find_by_id(&self.engine, 1).stale(30 * S).required().await.expect("reads")
    }
}

#[tokio::test]
async fn stale_serves_the_old_value_while_one_task_loads_the_new() {
    let setup = setup().await;
    assert_eq!(setup.stale().await.name, "old");
    setup.change("new").await;
    setup.clock.advance(61 * S);
    setup.gate.begun();
    setup.gate.close();
    // Many readers meanwhile, one load.
    for _ in 0..20 {
        let user = setup.stale().await;
        assert_eq!((user.name.as_str(), user.is_stale(), user.source()), ("old", true, Source::Memory));
        assert_eq!(user.age(), 61 * S);
    }
    setup.gate.until_begun(1).await;
    setup.gate.open();
    setup.engine.cache().flush().await;
    let user = setup.stale().await;
    assert_eq!((user.name.as_str(), user.is_stale()), ("new", false));
    assert_eq!(setup.gate.begun(), 1);
    assert_eq!(setup.engine.cache().stats().stale, 20);

    // Past the window it is loaded as if it was not there.
    setup.change("newer").await;
    setup.clock.advance(91 * S);
    let user = setup.stale().await;
    assert_eq!((user.name.as_str(), user.is_stale(), user.source()), ("newer", false, Source::Database));
    // Who allows nothing stale gets nothing stale.
    setup.change("newest").await;
    setup.clock.advance(61 * S);
    assert_eq!(User::find_by_id(&setup.engine, 1).required().await.expect("reads").name, "newest");
}

#[tokio::test]
async fn no_option_serves_what_was_invalidated() {
    for fails in [false, true] {
        let setup = setup().await;
        let read = async || {
            let query =
                User::find_by_id(&setup.engine, 1).stale(30 * S).stale_if_error(30 * S).soft_timeout(S);
            query.required().await
        };
        assert_eq!(read().await.expect("reads").name, "old");
        setup.clock.advance(61 * S);
        setup.change("new").await;
        setup.engine.cache().delete("user:1").await.expect("deletes");
        setup.gate.fail(fails);
        match read().await {
            Ok(user) => assert_eq!((user.name.as_str(), fails), ("new", false)),
            Err(error) => assert_eq!((error.kind(), fails), (ErrorKind::Database, true)),
        }
    }
}

#[tokio::test]
async fn an_invalidation_while_the_load_fails_takes_the_excuse_away() {
    let setup = setup().await;
    let read = || {
        let engine = setup.engine.clone();
        tokio::spawn(async move { User::find_by_id(&engine, 1).stale_if_error(30 * S).required().await })
    };
    assert_eq!(read().await.expect("runs").expect("reads").name, "old");
    setup.clock.advance(61 * S);
    setup.gate.begun();
    setup.gate.fail(true);
    setup.gate.close();
    let reader = read();
    setup.gate.until_begun(1).await;
    setup.engine.cache().delete_by_pattern("user:*").await.expect("deletes");
    setup.gate.open();
    let error = reader.await.expect("runs").expect_err("nothing valid is left");
    assert_eq!(error.kind(), ErrorKind::Database);
}

#[tokio::test]
async fn stale_if_error_serves_the_old_value_and_does_not_try_again_at_once() {
    let setup = setup().await;
    let read = async || User::find_by_id(&setup.engine, 1).stale_if_error(600 * S).required().await;
    assert_eq!(read().await.expect("reads").name, "old");
    setup.clock.advance(61 * S);
    setup.gate.begun();
    setup.gate.fail(true);
    for _ in 0..10 {
        let user = read().await.expect("excused");
        assert_eq!((user.name.as_str(), user.is_stale()), ("old", true));
    }
    assert_eq!(setup.gate.begun(), 1, "one try, then the throttle");
    setup.clock.advance(S + S / 100);
    assert!(read().await.expect("excused").is_stale());
    assert_eq!(setup.gate.begun(), 1, "another when it is over");
    setup.gate.fail(false);
    setup.clock.advance(S + S / 100);
    assert!(!read().await.expect("reads").is_stale());
    // Beyond the window the failure is told.
    setup.gate.fail(true);
    setup.clock.advance(661 * S);
    assert_eq!(read().await.expect_err("too old").kind(), ErrorKind::Database);
    assert_eq!(
        User::find_by_id(&setup.engine, 1).required().await.expect_err("asked for none").kind(),
        ErrorKind::Database
    );
}

#[tokio::test]
async fn refresh_ahead_loads_before_the_time_is_over() {
    let setup = setup().await;
    let read =
        async || User::find_by_id(&setup.engine, 1).refresh_ahead(0.8).required().await.expect("reads");
    read().await;
    setup.clock.advance(47 * S);
    setup.gate.begun();
    assert_eq!(read().await.age(), 47 * S);
    setup.engine.cache().flush().await;
    assert_eq!(setup.gate.begun(), 0, "not yet");
    setup.clock.advance(2 * S);
    for _ in 0..5 {
        let user = read().await;
        assert_eq!((user.is_stale(), user.source()), (false, Source::Memory));
    }
    setup.engine.cache().flush().await;
    assert_eq!(setup.gate.begun(), 1);
    assert_eq!(read().await.age(), Duration::ZERO);
    setup.clock.advance(20 * S);
    assert_eq!(read().await.source(), Source::Memory, "the new value has a whole life");
}

#[tokio::test]
async fn a_soft_timeout_serves_the_old_value_and_a_hard_one_fails_alone() {
    let setup = setup().await;
    let soft = Duration::from_millis(20);
    let read = |timeout: Option<Duration>| {
        let engine = setup.engine.clone();
        tokio::spawn(async move {
            let mut query = User::find_by_id(&engine, 1).stale_if_error(600 * S).soft_timeout(soft);
            if let Some(timeout) = timeout {
                query = query.stale_if_error(Duration::ZERO).timeout(timeout);
            }
            query.required().await
        })
    };
    assert_eq!(read(None).await.expect("runs").expect("reads").name, "old");
    setup.change("new").await;
    setup.clock.advance(61 * S);
    setup.gate.begun();
    setup.gate.close();
    let user = read(None).await.expect("runs").expect("reads");
    assert_eq!((user.name.as_str(), user.is_stale()), ("old", true));
    // The load goes on; a reader that takes nothing old waits for it, but not for ever.
    let error = read(Some(soft)).await.expect("runs").expect_err("waited in vain");
    assert_eq!((error.kind(), error.is_retryable()), (ErrorKind::LoadTimeout, true));
    let patient = read(Some(600 * S));
    setup.gate.open();
    assert_eq!(patient.await.expect("runs").expect("reads").name, "new");
    setup.engine.cache().flush().await;
    assert_eq!(read(None).await.expect("runs").expect("reads").source(), Source::Memory);
    assert_eq!(setup.gate.begun(), 1, "all of it was one load");
}

#[tokio::test]
async fn max_age_bounds_everything() {
    let setup = setup().await;
    let read = async |max_age: Duration| {
        let query =
            User::find_by_id(&setup.engine, 1).stale(600 * S).stale_if_error(600 * S).max_age(max_age);
        query.required().await
    };
    read(100 * S).await.expect("reads");
    setup.clock.advance(50 * S);
    assert_eq!(read(100 * S).await.expect("reads").age(), 50 * S);
    assert_eq!(
        read(40 * S).await.expect("reads").source(),
        Source::Database,
        "fresh, and too old for this one"
    );
    setup.clock.advance(99 * S);
    setup.gate.fail(true);
    assert!(read(100 * S).await.expect("allowed").is_stale());
    setup.engine.cache().flush().await;
    setup.clock.advance(S);
    assert_eq!(read(100 * S).await.expect_err("too old").kind(), ErrorKind::Database);
}

#[tokio::test]
async fn policies_go_from_query_to_model_to_engine() {
    #[derive(Debug, Clone, PartialEq, Model)]
    #[cached(ttl = "60s", jitter = "0s", stale = "10s", max_age = "1h", refresh_ahead = 0.5)]
    #[pie(table = "users")]
    struct Short {
        #[pie(id, auto)]
        id: i64,
        name: String,
    }
    let config = CacheConfig { stale: 600 * S, stale_if_error: 600 * S, ..CacheConfig::default() };
    let setup = setup_with(config, None).await;
    Short::find_by_id(&setup.engine, 1).required().await.expect("reads");
    User::find_by_id(&setup.engine, 1).required().await.expect("reads");
    setup.clock.advance(75 * S);
    // The engine's window for one, the model's for the other, the query's for the third.
    assert!(User::find_by_id(&setup.engine, 1).required().await.expect("reads").is_stale());
    setup.engine.cache().flush().await;
    assert!(!Short::find_by_id(&setup.engine, 1).required().await.expect("reads").is_stale());
    setup.clock.advance(75 * S);
    assert!(Short::find_by_id(&setup.engine, 1).stale(20 * S).required().await.expect("reads").is_stale());
}

#[tokio::test]
async fn another_process_finds_what_is_past_its_time_in_redis() {
    let Some(port) = redis_server::shared() else { return };
    let prefix = unique("stale-") + ":";
    let config = CacheConfig { key_prefix: prefix, stale: 30 * S, ..CacheConfig::default() };
    let setup = setup_with(config.clone(), Some(port)).await;
    setup.stale().await;
    setup.engine.cache().flush().await;
    setup.engine.cache().layers()[0].evict_all().await.expect("empties");
    setup.change("new").await;
    setup.clock.advance(61 * S);
    setup.gate.begun();
    setup.gate.close();
    let user = setup.stale().await;
    assert_eq!((user.name.as_str(), user.is_stale(), user.source()), ("old", true, Source::Redis));
    assert!(setup.stale().await.is_stale());
    setup.gate.until_begun(1).await;
    setup.gate.open();
    until("the new value is there", async || setup.stale().await.name == "new").await;
    setup.engine.cache().flush().await;
    assert_eq!(setup.gate.begun(), 1);
    setup.engine.cache().layers()[0].evict_all().await.expect("empties");
    let user = setup.stale().await;
    assert_eq!((user.name.as_str(), user.source()), ("new", Source::Redis));
}
