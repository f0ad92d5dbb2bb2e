//! `engine.cache()`: values by hand, patterns, tags, fences; and what it refuses.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeSet;
use std::time::Duration;

use pie::prelude::*;
use pie::{CacheConfig, ErrorKind, ManualClock, Memory, RedisConfig, Source};
use pie_tests::log::Log;
use pie_tests::proxy::Proxy;
use pie_tests::{redis_server, unique};
use proptest::prelude::*;
use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Report {
    title: String,
    sums: Vec<i64>,
}

#[derive(Debug, Clone, PartialEq, Model)]
#[cached(ttl = "5m")]
struct User {
    #[pie(id, auto)]
    id: i64,
    #[pie(index)]
    name: String,
}

const MINUTE: Duration = Duration::from_secs(60);

fn report(title: &str) -> Report {
    Report { title: title.into(), sums: vec![1, -2] }
}

async fn engine_with(redis: Option<(u16, &str)>, config: CacheConfig, clock: &ManualClock) -> Engine {
    let mut builder = Engine::builder().database("sqlite::memory:").memory(Memory::default()).clock(clock);
    let mut config = config;
    if let Some((port, prefix)) = redis {
        let redis = RedisConfig::new(format!("127.0.0.1:{port}"))
            .budget(Duration::from_secs(5))
            .connect_timeout(Duration::from_secs(20));
        builder = builder.redis(redis).require_redis();
        prefix.clone_into(&mut config.key_prefix);
    }
    let engine = builder.config(config).build().await.expect("builds");
    engine.create_tables::<(User,)>().await.expect("creates");
    engine
}

async fn engine() -> Engine {
    engine_with(None, CacheConfig::default(), &ManualClock::new()).await
}

async fn forget(engine: &Engine) {
    engine.cache().layers()[0].evict_all().await.expect("empties");
}

#[tokio::test]
async fn values_by_hand_live_their_time_and_are_replaced() -> pie::Result<()> {
    let clock = ManualClock::new();
    let engine = engine_with(None, CacheConfig::default(), &clock).await;
    let cache = engine.cache();
    assert_eq!(cache.get::<Report>("report:1").await?, None);
    assert!(!cache.exists("report:1").await?);
    cache.set("report:1", &report("a"), MINUTE).jitter(Duration::ZERO).await?;
    let hit = cache.get::<Report>("report:1").await?.expect("is there");
    assert_eq!((&*hit, hit.source()), (&report("a"), Source::Memory));
    cache.set("report:1", &report("b"), MINUTE).jitter(Duration::ZERO).await?;
    assert_eq!(cache.get::<Report>("report:1").await?.expect("is there").title, "b");
    clock.advance(MINUTE - Duration::from_millis(1));
    assert!(cache.exists("report:1").await?);
    clock.advance(Duration::from_millis(1));
    assert!(!cache.exists("report:1").await?);
    // Empty values have the time of empty values.
    cache.set("report:none", &None::<Report>, MINUTE * 5).await?;
    assert_eq!(cache.get::<Option<Report>>("report:none").await?.as_deref(), Some(&None));
    clock.advance(Duration::from_secs(30));
    assert!(!cache.exists("report:none").await?);
    Ok(())
}

#[tokio::test]
async fn another_type_is_an_error_that_names_it_and_not_the_value() -> pie::Result<()> {
    let engine = engine().await;
    engine.cache().set("k", "secret", MINUTE).await?;
    let error = engine.cache().get::<u64>("k").await.expect_err("no number");
    assert_eq!(error.kind(), ErrorKind::Decode);
    assert!(error.to_string().contains("u64"), "{error}");
    assert!(!format!("{error} {error:?}").contains("secret"));
    assert_eq!(*engine.cache().get::<String>("k").await?.expect("a text"), "secret");
    // Where it can be loaded, it is: another version of the program may have left it.
    let loaded = engine.cache().get_or_load("k", MINUTE, async || Ok(7_u64)).await?;
    assert_eq!((*loaded, engine.cache().stats().undecodable), (7, 1));
    assert_eq!(*engine.cache().get::<u64>("k").await?.expect("a number"), 7);
    Ok(())
}

#[tokio::test]
async fn keys_tags_families_and_clear_end_rows_and_values_alike() -> pie::Result<()> {
    let engine = engine().await;
    let cache = engine.cache();
    User::insert(&engine, NewUser { name: "Ann".into() }).await?;
    let warm = async || -> pie::Result<()> {
        cache.set("user:1", "by hand", MINUTE).await?;
        cache.set_many([("user:2", 2), ("users:x", 3)], MINUTE).tags(["numbers"]).await?;
        User::find_by_id(&engine, 1).await?;
        User::list_by_name(&engine, "Ann").await?;
        Ok(())
    };
    let left = async || -> pie::Result<String> {
        let mut left = String::new();
        for key in ["user:1", "user:2", "users:x"] {
            left.push(if cache.exists(key).await? { 'v' } else { '-' });
        }
        let cached = |source: Source| if source == Source::Memory { 'v' } else { '-' };
        left.push(cached(User::find_by_id(&engine, 1).required().await?.source()));
        left.push(cached(User::list_by_name(&engine, "Ann").await?.source()));
        Ok(left)
    };
    warm().await?;
    assert_eq!(left().await?, "vvvvv");
    for (what, expected) in [
        ("key", "-vv-v"),
        ("pattern without a wildcard", "-vv-v"),
        ("tag", "v--vv"),
        ("family", "--v-v"),
        ("other family", "vv-v-"),
        ("pattern", "v-vvv"),
        ("all", "-----"),
        ("clear", "-----"),
        ("foreign tag", "vvvvv"),
        ("no tags", "vvvvv"),
    ] {
        warm().await?;
        match what {
            "key" => cache.delete("user:1").await?,
            "pattern without a wildcard" => cache.delete_by_pattern("user:1").await?,
            "tag" => cache.delete_by_tags(["numbers"]).await?,
            "family" => cache.delete_by_pattern("user:*").await?,
            "other family" => cache.delete_by_pattern("users:*").await?,
            "pattern" => cache.delete_by_pattern("*[2-9]").await?,
            "all" => cache.delete_by_pattern("*").await?,
            "foreign tag" => cache.delete_by_tags(["other"]).await?,
            "no tags" => cache.delete_by_tags(Vec::<String>::new()).await?,
            _ => cache.clear().await?,
        }
        assert_eq!(left().await?, expected, "{what}");
    }
    Ok(())
}

#[tokio::test]
async fn scopes_do_not_meet() -> pie::Result<()> {
    let engine = engine().await;
    let (a, b) = (engine.scoped("a").cache(), engine.scoped("b").cache());
    for cache in [&a, &b, &engine.cache()] {
        cache.set("user:1", &1, MINUTE).tags(["t"]).await?;
    }
    a.delete_by_pattern("us*1").await?;
    assert!(
        !a.exists("user:1").await? && b.exists("user:1").await? && engine.cache().exists("user:1").await?
    );
    b.delete_by_tags(["t"]).await?;
    assert!(!b.exists("user:1").await? && engine.cache().exists("user:1").await?);
    b.set("user:1", &1, MINUTE).await?;
    engine.cache().clear().await?;
    assert!(!b.exists("user:1").await?, "a scope is within the namespace");
    Ok(())
}

#[tokio::test]
async fn a_fence_keeps_out_what_was_computed_before_an_invalidation() -> pie::Result<()> {
    let engine = engine().await;
    let cache = engine.cache();
    for what in ["nothing", "key", "tag", "family", "pattern", "clear", "set", "other"] {
        cache.clear().await?;
        let fence = cache.fence("sum:1").tags(["sums"]).await?;
        match what {
            "key" => cache.delete("sum:1").await?,
            "tag" => cache.delete_by_tags(["sums"]).await?,
            "family" => cache.delete_by_pattern("sum:*").await?,
            "pattern" => cache.delete_by_pattern("*:?").await?,
            "clear" => cache.clear().await?,
            "set" => cache.set("sum:1", &2, MINUTE).await?,
            "other" => cache.delete("sum:2").await?,
            _ => {}
        }
        let fits = matches!(what, "nothing" | "other");
        assert_eq!(fence.set(&1, MINUTE).await?, fits, "{what}");
        let value = cache.get::<i32>("sum:1").await?.map(|value| *value);
        assert_eq!(
            value,
            if fits {
                Some(1)
            } else if what == "set" {
                Some(2)
            } else {
                None
            },
            "{what}"
        );
    }
    Ok(())
}

#[tokio::test]
async fn what_cannot_be_meant_is_refused_and_nothing_is_lost() -> pie::Result<()> {
    let engine = engine().await;
    let cache = engine.cache();
    cache.set("a:1", &1, MINUTE).tags(["t"]).await?;
    let long = "x".repeat(1 << 20);
    let many: Vec<String> = (0..10_000).map(|i| format!("t{i}")).collect();
    let century = Duration::from_secs(200 * 365 * 86_400);
    let refused: [(&str, pie::Result<()>); 14] = [
        ("empty key", cache.delete("").await),
        ("empty key", cache.set("", &1, MINUTE).await),
        ("1048576 bytes", cache.delete(&long).await),
        ("1048576 bytes", cache.get::<i32>(&long).await.map(drop)),
        ("begins with `~`", cache.set("~n", &1, MINUTE).await),
        ("empty tag", cache.delete_by_tags(["t", ""]).await),
        ("empty tag", cache.set("b", &1, MINUTE).tags([""]).await),
        ("10000 tags", cache.set("b", &1, MINUTE).tags(&many).await),
        ("empty pattern", cache.delete_by_pattern("").await),
        ("without its `]`", cache.delete_by_pattern("a:[1").await),
        ("ends in `\\`", cache.delete_by_pattern("a:\\").await),
        ("ttl of 0", cache.set("b", &1, Duration::ZERO).await),
        ("100 years", cache.set("b", &1, century).await),
        ("ttl of 0", cache.get_or_load("b", Duration::ZERO, async || Ok(1)).await.map(drop)),
    ];
    for (part, result) in refused {
        let error = result.expect_err(part);
        assert_eq!(error.kind(), ErrorKind::InvalidQuery, "{error}");
        assert!(error.to_string().contains(part), "{error}");
    }
    assert!(cache.exists("a:1").await?, "a call that was refused did nothing");
    // Many tags at once are no mistake.
    cache.delete_by_tags(&many).await?;
    assert!(cache.exists("a:1").await?);
    // What has no JSON.
    let odd = std::collections::HashMap::from([((1, 2), 3)]);
    assert_eq!(cache.set("b", &odd, MINUTE).await.expect_err("no JSON").kind(), ErrorKind::InvalidValue);
    let off = CacheConfig { enabled: false, ..CacheConfig::default() };
    let off = engine_with(None, off, &ManualClock::new()).await;
    assert_eq!(off.cache().get::<i32>("a").await.expect_err("off").kind(), ErrorKind::Disabled);
    Ok(())
}

#[tokio::test]
async fn settings_that_cannot_work_are_refused() {
    let second = Duration::from_secs(1);
    for (part, config) in [
        ("refresh_ahead", CacheConfig { refresh_ahead: Some(1.5), ..CacheConfig::default() }),
        ("refresh_ahead", CacheConfig { refresh_ahead: Some(f64::NAN), ..CacheConfig::default() }),
        ("max_loads", CacheConfig { max_loads: Some(0), ..CacheConfig::default() }),
        ("max_age", CacheConfig { max_age: Some(Duration::ZERO), ..CacheConfig::default() }),
        ("lock_lease", CacheConfig { lock_lease: Duration::ZERO, ..CacheConfig::default() }),
    ] {
        let config = CacheConfig { stale: second, ..config };
        let built = Engine::builder().database("sqlite::memory:").config(config).build().await;
        let error = built.expect_err(part);
        assert_eq!(error.kind(), ErrorKind::InvalidConfig);
        assert!(error.to_string().contains(part), "{error}");
    }
}

#[tokio::test]
async fn a_value_over_the_limit_is_loaded_each_time_counted_and_warned_of_once() -> pie::Result<()> {
    let log = Log::start().await;
    let config = CacheConfig { max_entry_size: 1_000, ..CacheConfig::default() };
    let engine = engine_with(None, config, &ManualClock::new()).await;
    User::insert(&engine, NewUser { name: "x".repeat(2_000) }).await?;
    for _ in 0..3 {
        assert_eq!(User::find_by_id(&engine, 1).required().await?.source(), Source::Database);
    }
    engine.cache().set("big", &"y".repeat(2_000), MINUTE).await?;
    assert!(!engine.cache().exists("big").await?);
    assert_eq!(engine.cache().stats().oversized, 4);
    // Other tests of this program connect to a Redis meanwhile, which is warned of as well.
    let said = |event: &String| event.starts_with("WARN") && event.contains("max_entry_size");
    assert_eq!(log.events().iter().filter(|event| said(event)).count(), 1, "{:#?}", log.events());
    Ok(())
}

macro_rules! redis {
    () => {
        match redis_server::shared() {
            Some(port) => port,
            None => return Ok(()),
        }
    };
}

#[tokio::test]
async fn values_by_hand_go_to_redis_and_their_tags_with_them() -> pie::Result<()> {
    let port = redis!();
    let proxy = Proxy::start(port).await.expect("starts");
    let (prefix, clock) = (unique("manager-") + ":", ManualClock::new());
    let a = engine_with(Some((proxy.port(), &prefix)), CacheConfig::default(), &clock).await;
    let b = engine_with(Some((port, &prefix)), CacheConfig::default(), &clock).await;
    a.cache().set("r:1", &report("a"), MINUTE).await?;
    let hit = b.cache().get::<Report>("r:1").await?.expect("is there");
    assert_eq!((&*hit, hit.source()), (&report("a"), Source::Redis));
    assert_eq!(b.cache().get::<Report>("r:1").await?.expect("is there").source(), Source::Memory);
    // Who reads a value need not know its tags; they end it all the same, in memory too.
    b.cache().set("r:2", &report("b"), MINUTE).tags(["x", "y"]).await?;
    assert_eq!(a.cache().get::<Report>("r:2").await?.expect("is there").source(), Source::Redis);
    assert_eq!(a.cache().get::<Report>("r:2").await?.expect("is there").source(), Source::Memory);
    a.cache().delete_by_tags(["y"]).await?;
    assert!(!a.cache().exists("r:2").await?);
    forget(&b).await;
    assert!(!b.cache().exists("r:2").await?);
    // Hundreds of values in a few round trips.
    proxy.trips();
    a.cache().set_many((0..500).map(|i| (format!("n:{i}"), i)), MINUTE).await?;
    let trips = proxy.trips();
    assert!(trips <= 4, "{trips}: one to invalidate, two for the versions, one to store");
    forget(&a).await;
    let keys: Vec<String> = (0..501).map(|i| format!("n:{i}")).collect();
    let all = a.cache().get_many::<u32, _>(&keys[..500]).await?;
    assert_eq!(proxy.trips(), 1);
    assert_eq!(all.iter().flatten().map(|value| **value).collect::<Vec<_>>(), (0..500).collect::<Vec<_>>());
    forget(&a).await;
    proxy.trips();
    let all = a.cache().get_many::<u32, _>(&keys).await?;
    assert_eq!(proxy.trips(), 2, "one that is missing among many costs a second trip");
    assert_eq!(all.iter().flatten().count(), 500);
    assert!(all[500].is_none());
    a.cache().clear().await
}

#[tokio::test]
async fn reads_that_come_at_the_same_time_go_together_and_wait_for_no_reader() -> pie::Result<()> {
    let port = redis!();
    let proxy = Proxy::start(port).await.expect("starts");
    let (prefix, clock) = (unique("together-") + ":", ManualClock::new());
    let engine = engine_with(Some((proxy.port(), &prefix)), CacheConfig::default(), &clock).await;
    engine.cache().set_many((0..200).map(|i| (format!("n:{i}"), i)), MINUTE).await?;
    forget(&engine).await;
    proxy.trips();
    let keys: Vec<String> = (0..200).map(|i| format!("n:{i}")).collect();
    let all = futures_util::future::join_all(
        keys.iter()
            .map(async |key| engine.cache().get::<u32>(key).await.map(|found| found.map(|value| *value))),
    );
    for (at, found) in (0..200).zip(all.await) {
        assert_eq!(found?, Some(at));
    }
    let trips = proxy.trips();
    assert!(trips <= 2, "{trips} for 200 reads: that of the first, and that of all the others");

    // One that begins to ask and is not polled any more keeps nobody waiting.
    forget(&engine).await;
    let mut held: Vec<_> =
        keys[..3].iter().map(|key| Box::pin(async { engine.cache().get::<u32>(key).await })).collect();
    for read in &mut held {
        assert!(futures_util::poll!(read).is_pending());
    }
    let others = futures_util::future::join_all(
        keys[3..6].iter().map(async |key| engine.cache().get::<u32>(key).await),
    );
    assert_eq!(others.await.into_iter().filter(|found| matches!(found, Ok(Some(_)))).count(), 3);
    drop(held);
    engine.cache().clear().await
}

#[tokio::test]
async fn a_ttl_beyond_what_redis_takes_is_as_long_as_it_takes() -> pie::Result<()> {
    let port = redis!();
    let prefix = unique("long-") + ":";
    let engine = engine_with(Some((port, &prefix)), CacheConfig::default(), &ManualClock::new()).await;
    User::insert(&engine, NewUser { name: "Ann".into() }).await?;
    for source in [Source::Database, Source::Redis, Source::Redis] {
        let query = User::find_by_id(&engine, 1).cache(Duration::MAX).stale(Duration::MAX);
        let user = query.jitter(Duration::MAX).max_age(Duration::MAX).required().await?;
        assert_eq!(user.source(), source);
        engine.cache().flush().await;
        forget(&engine).await;
    }
    engine.cache().clear().await
}

fn pattern() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        3 => "[ab:1]".prop_map(String::from),
        2 => Just("*".to_owned()),
        2 => Just("?".to_owned()),
        1 => "\\[\\^?[ab1:]{1,3}\\]",
        1 => "\\[\\^?[ab1]-[ab1]\\]",
        1 => Just("\\*".to_owned()),
        1 => Just("\\a".to_owned()),
        1 => Just("[a-]".to_owned()),
        1 => Just("[^]".to_owned()),
        1 => Just("[]".to_owned()),
    ];
    prop::collection::vec(piece, 1..6).prop_map(|pieces| pieces.concat())
}

/// What is left of the keys after a pattern: in memory alone, with Redis behind it, and from Redis alone.
async fn survivors(
    (port, prefix): (u16, &str),
    keys: &BTreeSet<String>,
    pattern: &str,
) -> [Option<Vec<String>>; 3] {
    let clock = ManualClock::new();
    let memory = engine_with(None, CacheConfig::default(), &clock).await;
    let shared = engine_with(Some((port, prefix)), CacheConfig::default(), &clock).await;
    let other = engine_with(Some((port, prefix)), CacheConfig::default(), &clock).await;
    for engine in [&memory, &shared] {
        engine.cache().clear().await.expect("clears");
        engine.cache().set_many(keys.iter().map(|key| (key.clone(), 1)), MINUTE).await.expect("sets");
    }
    let first = memory.cache().delete_by_pattern(pattern).await.is_ok();
    let second = shared.cache().delete_by_pattern(pattern).await.is_ok();
    let left = async |engine: &Engine, asked: bool| {
        let mut left = Vec::new();
        for key in keys {
            if engine.cache().exists(key).await.expect("asks") {
                left.push(key.clone());
            }
        }
        asked.then_some(left)
    };
    let outcome = [left(&memory, first).await, left(&shared, second).await, left(&other, second).await];
    for engine in [memory, shared, other] {
        engine.close().await;
    }
    outcome
}

#[test]
fn a_pattern_leaves_the_same_survivors_in_memory_and_in_redis() {
    let Some(port) = redis_server::shared() else { return };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let prefix = unique("glob-") + ":";
    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig {
        cases: 150,
        failure_persistence: None,
        ..ProptestConfig::default()
    });
    let key = "[ab1*?]{1,2}(:[ab1*]{0,3}){0,2}";
    let cases = (prop::collection::btree_set(key, 1..25), pattern());
    let outcome = runner.run(&cases, |(keys, pattern): (BTreeSet<String>, String)| {
        let mut all = runtime.block_on(survivors((port, &prefix), &keys, &pattern));
        if all[0] != all[1] || all[0] != all[2] {
            // Two names in one slot of an engine cost a miss, once in a million pairs. Other engines have other slots.
            all = runtime.block_on(survivors((port, &prefix), &keys, &pattern));
        }
        prop_assert_eq!(&all[0], &all[1], "with Redis, pattern {}", pattern);
        prop_assert_eq!(&all[0], &all[2], "in Redis alone, pattern {}", pattern);
        Ok(())
    });
    outcome.expect("the same survivors");
}

#[tokio::test]
async fn what_expired_leaves_nothing_in_redis() -> pie::Result<()> {
    let port = redis!();
    let prefix = unique("expiry-") + ":";
    let clock = ManualClock::new();
    let config = CacheConfig { lock: true, ..CacheConfig::default() };
    let engine = engine_with(Some((port, &prefix)), config, &clock).await;
    let second = Duration::from_secs(1);
    User::insert(&engine, NewUser { name: "Ann".into() }).await?;
    for id in 1..=50 {
        User::find_by_id(&engine, id).cache(second).cache_empty(second).stale(second).await?;
        User::list_by_name(&engine, "Ann").cache(second).cache_empty(second).tags(["t"]).await?;
        engine.cache().get::<i32>(&format!("missing:{id}")).await?;
        engine.cache().get_or_load(&format!("m:{id}"), second, async || Ok(id)).await?;
        engine.cache().set(&format!("n:{id}"), &id, second).tags(["n"]).await?;
    }
    engine.cache().delete_by_pattern("n:*[1-3]").await?;
    engine.cache().flush().await;
    let client = redis::Client::open(format!("redis://127.0.0.1:{port}")).expect("a url");
    let mut direct = client.get_multiplexed_async_connection().await.expect("connects");
    pie_tests::until("nothing of pie is left", async || {
        let keys: Vec<String> =
            redis::cmd("KEYS").arg(format!("{prefix}*")).query_async(&mut direct).await.expect("lists");
        keys.is_empty()
    })
    .await;
    Ok(())
}
