//! Redis as the second layer: round trips, backfill, tokens, two processes' engines, odd bytes.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "a test fails by panicking")]

use std::time::Duration;

use pie::prelude::*;
use pie::{CacheConfig, ManualClock, Memory, RedisConfig, Source};
use pie_tests::log::Log;
use pie_tests::proxy::Proxy;
use pie_tests::{redis_server, unique};

#[derive(Debug, Clone, PartialEq, Model)]
#[cached(ttl = "5m", jitter = "0s", tags("users"))]
struct User {
    #[pie(id, auto)]
    id: i64,
    #[pie(unique)]
    email: String,
    #[pie(index)]
    status: String,
    age: Option<f64>,
}

/// The same table in another shape: another version of the program.
mod newer {
    use super::*;

    #[derive(Debug, Clone, PartialEq, Model)]
    #[cached(ttl = "5m")]
    pub(crate) struct User {
        #[pie(id, auto)]
        pub(crate) id: i64,
        pub(crate) email: String,
    }
}

struct Setup {
    proxy: Proxy,
    prefix: String,
    database: tempfile::NamedTempFile,
    clock: ManualClock,
    direct: redis::aio::MultiplexedConnection,
}

impl Setup {
    async fn new() -> Option<Self> {
        let port = redis_server::shared()?;
        let client = redis::Client::open(format!("redis://127.0.0.1:{port}")).expect("a url");
        Some(Self {
            proxy: Proxy::start(port).await.expect("starts"),
            prefix: unique("redis-test-") + ":",
            database: tempfile::NamedTempFile::new().expect("a file"),
            clock: ManualClock::new(),
            direct: client.get_multiplexed_async_connection().await.expect("connects"),
        })
    }

    /// One more engine on the same database and the same Redis, connected: like another process.
    async fn engine(&self) -> Engine {
        let config = RedisConfig::new(format!("127.0.0.1:{}", self.proxy.port()))
            .budget(Duration::from_secs(5))
            .connect_timeout(Duration::from_secs(20));
        let engine = Engine::builder()
            .database(format!("sqlite://{}", self.database.path().display()))
            .memory(Memory::default())
            .redis(config)
            .require_redis()
            .config(CacheConfig { key_prefix: self.prefix.clone(), ..CacheConfig::default() })
            .clock(&self.clock)
            .build()
            .await
            .expect("builds");
        engine.create_tables::<(User,)>().await.expect("creates");
        engine
    }

    async fn fill(&self, engine: &Engine, count: u32) {
        let rows = (0..count).map(|i| NewUser {
            email: format!("u{i}"),
            status: if i % 2 == 0 { "even".into() } else { "odd".into() },
            age: (i > 0).then(|| f64::from(i)),
        });
        User::insert_many(engine, rows).await.expect("inserts");
        engine.cache().flush().await;
        self.proxy.trips();
    }

    async fn keys(&self) -> Vec<String> {
        let mut direct = self.direct.clone();
        let mut cursor = 0_u64;
        let mut all = Vec::new();
        loop {
            let (next, keys): (u64, Vec<String>) = redis::cmd("SCAN")
                .arg(cursor)
                .arg("MATCH")
                .arg(format!("{}*", self.prefix))
                .arg("COUNT")
                .arg(1_000)
                .query_async(&mut direct)
                .await
                .expect("scans");
            all.extend(keys);
            cursor = next;
            if cursor == 0 {
                all.sort();
                all.dedup();
                return all;
            }
        }
    }
}

/// Empties the memory layer alone.
async fn forget(engine: &Engine) {
    engine.cache().layers()[0].evict_all().await.expect("empties");
}

macro_rules! setup {
    () => {
        match Setup::new().await {
            Some(setup) => setup,
            None => return Ok(()),
        }
    };
}

#[tokio::test]
async fn with_memory_emptied_a_read_is_one_round_trip_and_no_statement() -> pie::Result<()> {
    let log = Log::start().await;
    let setup = setup!();
    let engine = setup.engine().await;
    setup.fill(&engine, 10).await;
    log.clear();

    let row = User::find_by_id(&engine, 3).required().await?;
    let list = User::list_by_status(&engine, "even").order_by(User::ID.asc()).await?;
    let count = User::query(&engine).filter(User::AGE.gt(2.0)).count().await?;
    let page = User::query(&engine).order_by(User::ID.asc()).page(2, 3).await?;
    assert!(User::find_by_id(&engine, 99).await?.is_none());
    assert_eq!(log.statements().len(), 6);
    engine.cache().flush().await;

    setup.proxy.trips();
    for (warm, source, trips) in [(true, Source::Memory, 0), (false, Source::Redis, 1)] {
        let reset = async || {
            if !warm {
                forget(&engine).await;
            }
            setup.proxy.trips();
        };
        reset().await;
        let again = User::find_by_id(&engine, 3).required().await?;
        assert_eq!((&again, again.source(), setup.proxy.trips()), (&row, source, trips));
        reset().await;
        let again = User::list_by_status(&engine, "even").order_by(User::ID.asc()).await?;
        assert_eq!((&again, again.source(), setup.proxy.trips()), (&list, source, trips));
        reset().await;
        assert_eq!(
            (User::query(&engine).filter(User::AGE.gt(2.0)).count().await?, setup.proxy.trips()),
            (count, trips)
        );
        reset().await;
        let again = User::query(&engine).order_by(User::ID.asc()).page(2, 3).await?;
        assert_eq!((&again, again.source(), setup.proxy.trips()), (&page, source, trips));
        reset().await;
        assert_eq!((User::find_by_id(&engine, 99).await?, setup.proxy.trips()), (None, trips));
    }
    assert_eq!(log.statements(), Vec::<String>::new());
    Ok(())
}

#[tokio::test]
async fn a_miss_is_one_round_trip_before_the_database() -> pie::Result<()> {
    let log = Log::start().await;
    let setup = setup!();
    let engine = setup.engine().await;
    setup.fill(&engine, 10).await;
    User::find_by_id(&engine, 1).await?;
    engine.cache().flush().await;
    log.clear();
    setup.proxy.trips();
    User::find_by_id(&engine, 2).await?;
    engine.cache().flush().await;
    assert_eq!(log.statements().len(), 1);
    assert_eq!(setup.proxy.trips(), 2, "one before the load, and the store after it");
    Ok(())
}

#[tokio::test]
async fn after_many_hits_in_a_row_one_miss_takes_a_second_round_trip() -> pie::Result<()> {
    let log = Log::start().await;
    let setup = setup!();
    let engine = setup.engine().await;
    setup.fill(&engine, 10).await;
    User::find_by_id(&engine, 1).await?;
    engine.cache().flush().await;
    for _ in 0..64 {
        forget(&engine).await;
        assert_eq!(User::find_by_id(&engine, 1).required().await?.source(), Source::Redis);
    }
    log.clear();
    setup.proxy.trips();
    // The store after the load is one.
    for (id, trips) in [(2, 3), (3, 2), (4, 2)] {
        assert_eq!(User::find_by_id(&engine, id).required().await?.source(), Source::Database);
        engine.cache().flush().await;
        assert_eq!(setup.proxy.trips(), trips, "row {id}");
        forget(&engine).await;
        assert_eq!(User::find_by_id(&engine, id).required().await?.source(), Source::Redis);
        assert_eq!(setup.proxy.trips(), 1, "row {id} again");
    }
    assert_eq!(log.statements().len(), 3);
    Ok(())
}

#[tokio::test]
async fn a_hundred_ids_are_one_round_trip() -> pie::Result<()> {
    let log = Log::start().await;
    let setup = setup!();
    let engine = setup.engine().await;
    setup.fill(&engine, 100).await;
    let ids: Vec<i64> = (1..=100).collect();
    let loaded = User::find_by_ids(&engine, &ids).await?;
    assert_eq!(loaded.iter().flatten().count(), 100);
    engine.cache().flush().await;
    forget(&engine).await;
    log.clear();
    setup.proxy.trips();
    let again = User::find_by_ids(&engine, &ids).await?;
    assert_eq!((again.len(), setup.proxy.trips(), log.statements().len()), (100, 1, 0));
    assert!(again.iter().flatten().all(|row| row.source() == Source::Redis));
    assert_eq!(again, loaded);
    Ok(())
}

#[tokio::test]
async fn a_write_is_seen_by_every_engine_that_asks_redis() -> pie::Result<()> {
    let _log = Log::start().await;
    let setup = setup!();
    let (a, b) = (setup.engine().await, setup.engine().await);
    setup.fill(&a, 4).await;
    let read = async |engine: &Engine| -> pie::Result<(Source, Source, u64)> {
        forget(engine).await;
        let row = User::find_by_id(engine, 1).required().await?;
        let list = User::list_by_status(engine, "even").await?;
        engine.cache().flush().await;
        Ok((row.source(), list.source(), list.len() as u64))
    };
    assert_eq!(read(&a).await?, (Source::Database, Source::Database, 2));
    assert_eq!(read(&b).await?, (Source::Redis, Source::Redis, 2));
    User::update_by_id(&a, 1).status("odd").await?;
    assert_eq!(read(&b).await?, (Source::Database, Source::Database, 1));
    assert_eq!(read(&a).await?, (Source::Redis, Source::Redis, 1));
    b.cache().delete_by_tags(["users"]).await?;
    assert_eq!(read(&a).await?, (Source::Database, Source::Database, 1));
    b.cache().delete("user:1").await?;
    assert_eq!(read(&a).await?, (Source::Database, Source::Redis, 1));
    b.cache().clear().await?;
    assert_eq!(read(&a).await?, (Source::Database, Source::Database, 1));
    Ok(())
}

#[tokio::test]
async fn an_invalidation_of_many_names_is_one_round_trip() -> pie::Result<()> {
    let _log = Log::start().await;
    let setup = setup!();
    let engine = setup.engine().await;
    setup.fill(&engine, 200).await;
    setup.proxy.trips();
    User::query(&engine).update().set(User::STATUS, "all").await?;
    assert_eq!(setup.proxy.trips(), 1);
    engine.cache().delete_by_tags(["a", "b", "c"]).await?;
    assert_eq!(setup.proxy.trips(), 1);
    Ok(())
}

#[tokio::test]
async fn backfill_has_the_remaining_time_to_live() -> pie::Result<()> {
    let _log = Log::start().await;
    let setup = setup!();
    let (a, b) = (setup.engine().await, setup.engine().await);
    setup.fill(&a, 1).await;
    User::find_by_id(&a, 1).await?;
    a.cache().flush().await;
    setup.clock.advance(Duration::from_secs(120));
    let hit = User::find_by_id(&b, 1).required().await?;
    assert_eq!((hit.source(), hit.age()), (Source::Redis, Duration::from_secs(120)));
    setup.clock.advance(Duration::from_secs(179));
    let hit = User::find_by_id(&b, 1).required().await?;
    assert_eq!((hit.source(), hit.age()), (Source::Memory, Duration::from_secs(299)));
    setup.clock.advance(Duration::from_secs(1));
    assert_eq!(User::find_by_id(&b, 1).required().await?.source(), Source::Database);
    Ok(())
}

#[tokio::test]
async fn keys_have_the_prefix_once_and_everything_expires() -> pie::Result<()> {
    let _log = Log::start().await;
    let setup = setup!();
    let engine = setup.engine().await;
    setup.fill(&engine, 2).await;
    User::find_by_id(&engine, 1).await?;
    User::list_by_status(&engine.scoped("t:1"), "even").tags(["x"]).await?;
    engine.cache().flush().await;
    let keys = setup.keys().await;
    let logical: Vec<&str> = keys
        .iter()
        .map(|key| key.strip_prefix(&setup.prefix).expect("has the prefix"))
        .map(|key| key.split('@').next().expect("has a part"))
        .collect();
    assert_eq!(
        logical,
        [
            "user:1",
            "~f:user",
            "~k:user:1",
            "~n",
            "~run",
            "~s:t%3A1:users:status:even:all",
            "~s:t%3A1:~f:users",
            "~s:t%3A1:~i:users.status=even",
            "~s:t%3A1:~k:users:status:even:all",
            "~s:t%3A1:~n",
            "~s:t%3A1:~t:users",
            "~s:t%3A1:~t:x",
            "~t:users",
        ]
    );
    let mut direct = setup.direct.clone();
    for key in &keys {
        let ttl: i64 = redis::cmd("PTTL").arg(key).query_async(&mut direct).await.expect("a ttl");
        assert!((1..=450_000).contains(&ttl), "{key} lives {ttl} ms");
    }
    Ok(())
}

#[tokio::test]
async fn another_shape_is_another_key() -> pie::Result<()> {
    let _log = Log::start().await;
    let setup = setup!();
    let engine = setup.engine().await;
    setup.fill(&engine, 1).await;
    assert_eq!(User::find_by_id(&engine, 1).required().await?.source(), Source::Database);
    let newer = newer::User::find_by_id(&engine, 1).required().await?;
    assert_eq!((newer.source(), newer.email.as_str()), (Source::Database, "u0"));
    engine.cache().flush().await;
    forget(&engine).await;
    assert_eq!(User::find_by_id(&engine, 1).required().await?.source(), Source::Redis);
    assert_eq!(newer::User::find_by_id(&engine, 1).required().await?.source(), Source::Redis);
    // A write through one version ends the other's value as well.
    newer::User::update_by_id(&engine, 1).email("new").await?;
    assert_eq!(User::find_by_id(&engine, 1).required().await?.email, "new");
    assert_eq!(engine.cache().stats().undecodable, 0);
    Ok(())
}

#[tokio::test]
async fn foreign_cut_and_flipped_bytes_are_a_miss_and_are_overwritten() -> pie::Result<()> {
    let _log = Log::start().await;
    let setup = setup!();
    let engine = setup.engine().await;
    setup.fill(&engine, 1).await;
    User::find_by_id(&engine, 1).await?;
    engine.cache().flush().await;
    let key = setup.keys().await.into_iter().find(|key| key.contains("user:1@")).expect("is stored");
    let mut direct = setup.direct.clone();
    let good: Vec<u8> = redis::cmd("GET").arg(&key).query_async(&mut direct).await.expect("bytes");
    let mut flipped = good.clone();
    flipped[40] ^= 1;
    for (i, bad) in
        [b"hello".to_vec(), Vec::new(), good[..good.len() / 2].to_vec(), flipped].into_iter().enumerate()
    {
        let _: () = redis::cmd("SET").arg(&key).arg(bad).query_async(&mut direct).await.expect("sets");
        forget(&engine).await;
        assert_eq!(User::find_by_id(&engine, 1).required().await?.source(), Source::Database);
        engine.cache().flush().await;
        assert_eq!(engine.cache().stats().undecodable, i as u64 + 1);
        forget(&engine).await;
        assert_eq!(User::find_by_id(&engine, 1).required().await?.source(), Source::Redis, "overwritten");
    }
    // A missing token is a miss: any eviction is safe.
    let _: () = redis::cmd("UNLINK")
        .arg(format!("{}~f:user", setup.prefix))
        .query_async(&mut direct)
        .await
        .expect("gone");
    forget(&engine).await;
    assert_eq!(User::find_by_id(&engine, 1).required().await?.source(), Source::Database);
    // A value of another type under a key of ours.
    engine.cache().flush().await;
    let _: () = redis::pipe()
        .cmd("DEL")
        .arg(&key)
        .ignore()
        .cmd("RPUSH")
        .arg(&key)
        .arg("x")
        .ignore()
        .query_async(&mut direct)
        .await
        .expect("a list");
    forget(&engine).await;
    assert_eq!(User::find_by_id(&engine, 1).required().await?.source(), Source::Database);
    Ok(())
}

#[tokio::test]
async fn a_load_that_began_before_a_write_is_never_served_after_it() -> pie::Result<()> {
    let _log = Log::start().await;
    let setup = setup!();
    let (a, b) = (setup.engine().await, setup.engine().await);
    setup.fill(&a, 1).await;
    // Many rounds of a read and a write at once, from two engines: whoever reads after the write sees it.
    for round in 0..200_u32 {
        let age = f64::from(round);
        let reader = if round % 2 == 0 { &a } else { &b };
        if round % 4 > 1 {
            forget(reader).await;
        }
        let (read, written) =
            tokio::join!(User::find_by_id(reader, 1), User::update_by_id(&a, 1).age(age).into_future());
        read?;
        assert_eq!(written?.expect("is there").age, Some(age));
        assert_eq!(User::find_by_id(&a, 1).required().await?.age, Some(age), "round {round}");
        forget(&b).await;
        assert_eq!(User::find_by_id(&b, 1).required().await?.age, Some(age), "round {round}");
    }
    Ok(())
}

#[tokio::test]
async fn another_database_and_several_connections_work() -> pie::Result<()> {
    let _log = Log::start().await;
    let setup = setup!();
    let config = RedisConfig::new(format!("redis://127.0.0.1:{}", setup.proxy.port())).db(3).pool_size(3);
    let engine = Engine::builder()
        .database("sqlite::memory:")
        .redis(config.budget(Duration::from_secs(5)).connect_timeout(Duration::from_secs(20)))
        .require_redis()
        .config(CacheConfig { key_prefix: setup.prefix.clone(), ..CacheConfig::default() })
        .build()
        .await?;
    engine.create_tables::<(User,)>().await?;
    setup.fill(&engine, 9).await;
    for source in [Source::Database, Source::Redis] {
        for id in 1..=9 {
            assert_eq!(User::find_by_id(&engine, id).required().await?.source(), source);
        }
        engine.cache().flush().await;
    }
    assert_eq!(setup.keys().await, Vec::<String>::new(), "nothing of it is in database 0");
    engine.cache().clear().await
}
