//! What reaches SQLite: every query and every write, counted by the statements sqlx reports.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "a test fails by panicking")]

use std::time::Duration;

use pie::prelude::*;
use pie::{CacheConfig, ManualClock, Source};
use pie_tests::log::Log;

#[derive(Debug, Clone, PartialEq, Model)]
#[cached(ttl = "5m", jitter = "0s", empty_ttl = "30s")]
struct User {
    #[pie(id, auto)]
    id: i64,
    #[pie(unique)]
    email: String,
    #[pie(index)]
    status: String,
    age: i32,
}

/// Without an index: nothing of an old row has to be known.
#[derive(Debug, Clone, PartialEq, Model)]
#[cached]
struct Note {
    #[pie(id, auto)]
    id: i64,
    text: String,
}

/// Without `#[cached]`: the database answers, unless a query asks for the cache.
#[derive(Debug, Clone, PartialEq, Model)]
struct Plain {
    #[pie(id, auto)]
    id: i64,
    #[pie(index)]
    kind: String,
}

async fn engine_with(config: CacheConfig, clock: &ManualClock) -> Engine {
    let engine = Engine::builder()
        .database("sqlite::memory:")
        .config(config)
        .clock(clock)
        .build()
        .await
        .expect("builds");
    engine.create_tables::<(User, Note, Plain)>().await.expect("creates");
    for (email, status, age) in [("ann", "active", 31), ("bob", "active", 40), ("eve", "away", 25)] {
        let new = NewUser { email: email.into(), status: status.into(), age };
        User::insert(&engine, new).await.expect("inserts");
    }
    engine
}

async fn engine() -> Engine {
    engine_with(CacheConfig::default(), &ManualClock::new()).await
}

#[tokio::test]
async fn a_cold_read_is_one_statement_and_a_warm_one_none() -> pie::Result<()> {
    let log = Log::start().await;
    let engine = engine().await;
    log.clear();
    for _ in 0..3 {
        User::find_by_id(&engine, 1).required().await?;
        User::find_by_email(&engine, "ann").required().await?;
        User::list_by_status(&engine, "active").order_by(User::ID.desc()).limit(20).await?;
        User::query(&engine).filter(User::AGE.ge(18)).await?;
        User::query(&engine).filter(User::AGE.ge(18)).count().await?;
        User::query(&engine).filter(User::AGE.ge(18)).exists().await?;
        User::query(&engine).order_by(User::AGE.asc()).first().await?;
        User::query(&engine).filter(User::EMAIL.eq("eve")).one().await?;
        User::find_by_id(&engine, 99).await?;
    }
    let statements = log.statements();
    assert_eq!(statements.len(), 9, "{statements:#?}");
    User::query(&engine).order_by(User::ID.asc()).page(1, 2).await?;
    User::query(&engine).order_by(User::ID.asc()).page(1, 2).await?;
    assert_eq!(log.statements().len(), 2, "a page is its rows and its total");
    let stats = engine.cache().stats();
    assert_eq!((stats.hits, stats.misses, stats.loads), (19, 10, 10));
    Ok(())
}

#[tokio::test]
async fn filters_that_mean_the_same_share_one_entry() -> pie::Result<()> {
    let log = Log::start().await;
    let engine = engine().await;
    log.clear();
    let (adult, active) = (User::AGE.ge(18), User::STATUS.eq("active"));
    User::query(&engine).filter(adult.clone().and(active.clone())).await?;
    User::query(&engine).filter(active.clone().and(adult.clone())).await?;
    User::query(&engine).filter(adult.clone()).filter(active.clone()).filter(adult.clone()).await?;
    assert_eq!(log.statements().len(), 1);
    User::query(&engine).filter(User::ID.in_([3, 1, 2])).await?;
    User::query(&engine).filter(User::ID.in_([1, 2, 3, 3])).await?;
    assert_eq!(log.statements().len(), 1);
    User::query(&engine).filter(adult.or(active)).await?;
    assert_eq!(log.statements().len(), 1);
    Ok(())
}

#[tokio::test]
async fn many_ids_are_one_statement_for_those_that_are_missing() -> pie::Result<()> {
    let log = Log::start().await;
    let engine = engine().await;
    User::find_by_id(&engine, 2).await?;
    log.clear();
    User::find_by_ids(&engine, &[1, 2, 3, 99, 1]).await?;
    let statements = log.statements();
    assert_eq!(statements.len(), 1);
    assert_eq!(statements[0].matches('?').count(), 3, "{statements:?}");
    User::find_by_ids(&engine, &[3, 2, 1, 99]).await?;
    User::find_by_ids(&engine, &[]).await?;
    assert_eq!(log.statements().len(), 0);
    Ok(())
}

#[tokio::test]
async fn writes_are_as_many_statements_as_the_docs_say() -> pie::Result<()> {
    let log = Log::start().await;
    let engine = engine().await;
    log.clear();
    let new = |email: &str| NewUser { email: email.into(), status: "new".into(), age: 1 };
    User::insert(&engine, new("a")).await?;
    assert_eq!(log.statements().len(), 1, "insert");
    User::insert_many(&engine, ["b", "c"].map(new)).await?;
    assert_eq!(log.statements().len(), 1, "insert_many");
    User::insert_many(&engine, []).await?;
    assert_eq!(log.statements().len(), 0, "insert_many of nothing");
    User::update_by_id(&engine, 1).age(3).await?;
    assert_eq!(log.statements().len(), 1, "update of a column without an index");
    User::update_by_id(&engine, 1).status("away").await?;
    assert_eq!(log.statements().len(), 2, "update of an indexed column: the old value, and the update");
    User::upsert_by_email(&engine, new("a")).await?;
    assert_eq!(log.statements().len(), 2, "upsert");
    User::delete_by_id(&engine, 1).await?;
    assert_eq!(log.statements().len(), 1, "delete");
    User::query(&engine).filter(User::AGE.gt(1)).update().set(User::AGE, 9).await?;
    assert_eq!(log.statements().len(), 2, "update by filter");
    User::query(&engine).filter(User::AGE.eq(9)).delete().await?;
    assert_eq!(log.statements().len(), 2, "delete by filter");
    User::query(&engine).filter(User::AGE.eq(9)).delete().await?;
    assert_eq!(log.statements().len(), 1, "delete by filter of nothing");
    let note = Note::insert(&engine, NewNote { text: "a".into() }).await?;
    log.clear();
    Note::update_by_id(&engine, note.id).text("b").await?;
    assert_eq!(log.statements().len(), 1, "update of a model without indexes");
    Ok(())
}

#[tokio::test]
async fn a_write_ends_what_it_touches_and_nothing_else() -> pie::Result<()> {
    let log = Log::start().await;
    let engine = engine().await;
    let read = async || -> pie::Result<()> {
        User::find_by_id(&engine, 1).await?;
        User::find_by_id(&engine, 3).await?;
        User::list_by_status(&engine, "active").await?;
        User::list_by_status(&engine, "away").await?;
        User::list_by_status(&engine, "gone").await?;
        User::query(&engine).filter(User::AGE.gt(1)).await?;
        Ok(())
    };
    read().await?;
    log.clear();
    User::update_by_id(&engine, 3).status("gone").await?;
    log.clear();
    read().await?;
    let statements = log.statements();
    // The row 3, both lists it was in and is in now, and the query over the whole table.
    assert_eq!(statements.len(), 4, "{statements:#?}");
    assert_eq!(User::find_by_id(&engine, 1).required().await?.source(), Source::Memory);
    assert_eq!(User::list_by_status(&engine, "active").await?.source(), Source::Memory);
    Ok(())
}

#[tokio::test]
async fn a_ttl_ends_at_its_time_and_an_empty_one_sooner() -> pie::Result<()> {
    let log = Log::start().await;
    let clock = ManualClock::new();
    let engine = engine_with(CacheConfig::default(), &clock).await;
    log.clear();
    User::find_by_id(&engine, 1).await?;
    User::find_by_id(&engine, 99).await?;
    clock.advance(Duration::from_millis(29_999));
    User::find_by_id(&engine, 99).await?;
    assert_eq!(log.statements().len(), 2);
    clock.advance(Duration::from_millis(1));
    User::find_by_id(&engine, 99).await?;
    assert_eq!(log.statements().len(), 1, "an empty answer ended after 30 seconds");
    clock.advance(Duration::from_millis(269_999));
    let user = User::find_by_id(&engine, 1).required().await?;
    assert_eq!((user.source(), user.age()), (Source::Memory, Duration::from_millis(299_999)));
    clock.advance(Duration::from_millis(1));
    assert_eq!(User::find_by_id(&engine, 1).required().await?.source(), Source::Database);
    Ok(())
}

#[tokio::test]
async fn a_reader_never_gets_what_is_older_than_its_own_ttl() -> pie::Result<()> {
    let log = Log::start().await;
    let clock = ManualClock::new();
    let engine = engine_with(CacheConfig::default(), &clock).await;
    let hour = User::find_by_id(&engine, 1).cache(Duration::from_secs(3_600)).jitter(Duration::ZERO);
    hour.await?;
    clock.advance(Duration::from_secs(1_800));
    log.clear();
    User::find_by_id(&engine, 1).cache(Duration::from_secs(3_600)).jitter(Duration::ZERO).await?;
    assert_eq!(log.statements().len(), 0);
    User::find_by_id(&engine, 1).await?;
    assert_eq!(log.statements().len(), 1, "half an hour is too old for five minutes");
    Ok(())
}

#[tokio::test]
async fn jitter_draws_the_ttl_of_each_value() -> pie::Result<()> {
    let _log = Log::start().await;
    let clock = ManualClock::new();
    let engine = engine_with(CacheConfig::default(), &clock).await;
    let rows = (0..200).map(|i| NewNote { text: i.to_string() });
    let ids: Vec<i64> = Note::insert_many(&engine, rows).await?.iter().map(|note| note.id).collect();
    for id in &ids {
        Note::find_by_id(&engine, *id)
            .cache(Duration::from_secs(600))
            .jitter(Duration::from_secs(120))
            .await?;
    }
    let alive = async |after: u64| -> pie::Result<usize> {
        clock.advance(Duration::from_secs(after));
        let mut alive = 0;
        for id in &ids {
            let note = Note::find_by_id(&engine, *id)
                .cache(Duration::from_secs(600))
                .jitter(Duration::from_secs(120));
            // Asked without being stored anew, so that each is counted once.
            alive +=
                usize::from(note.cache_empty(Duration::ZERO).required().await?.source() == Source::Memory);
        }
        Ok(alive)
    };
    assert_eq!(alive(479).await?, 200, "none ends before ttl - jitter");
    let middle = alive(121).await?;
    assert!((40..160).contains(&middle), "about half are alive at the ttl, not {middle}");
    Ok(())
}

#[tokio::test]
async fn queries_say_how_they_are_cached() -> pie::Result<()> {
    let log = Log::start().await;
    let engine = engine().await;
    Plain::insert(&engine, NewPlain { kind: "a".into() }).await?;
    let twice = async |what: &str, expected: usize, query: &dyn Fn() -> pie::Query<'static, Plain>| {
        log.clear();
        query().await.expect("reads");
        query().await.expect("reads");
        assert_eq!(log.statements().len(), expected, "{what}");
    };
    let engine: &'static Engine = Box::leak(Box::new(engine));
    let minute = Duration::from_secs(60);
    twice("not cached", 2, &|| Plain::query(engine)).await;
    twice("cache", 1, &|| Plain::query(engine).cache(minute)).await;
    twice("tags", 1, &|| Plain::list_by_kind(engine, "a").tags(["plain"])).await;
    twice("cache_empty, with rows", 1, &|| Plain::query(engine).limit(5).cache_empty(minute)).await;
    twice("cache_empty, without", 1, &|| Plain::list_by_kind(engine, "z").cache_empty(minute)).await;
    twice("cache_if(true)", 1, &|| Plain::query(engine).limit(7).cache_if(true)).await;
    twice("cache_if(false)", 2, &|| Plain::query(engine).cache(minute).cache_if(false)).await;
    twice("no_cache", 2, &|| Plain::query(engine).cache(minute).no_cache()).await;
    twice("a ttl of zero", 2, &|| Plain::query(engine).cache(Duration::ZERO)).await;
    twice("refresh", 2, &|| Plain::query(engine).cache(minute).refresh()).await;

    log.clear();
    engine.cache().delete_by_tags(["plain"]).await?;
    Plain::list_by_kind(engine, "a").tags(["plain"]).await?;
    assert_eq!(log.statements().len(), 1, "the tag ended it");
    Plain::list_by_kind(engine, "a").cache(minute).await?;
    assert_eq!(log.statements().len(), 1, "without the tag it is another entry");
    let tags: Vec<String> = (0..20).map(|i| i.to_string()).collect();
    let error = Plain::query(engine).tags(&tags).await.expect_err("too many");
    assert_eq!(error.kind(), pie::ErrorKind::InvalidQuery);
    Ok(())
}

#[tokio::test]
async fn a_refresh_is_what_later_reads_get() -> pie::Result<()> {
    let log = Log::start().await;
    let engine = engine().await;
    User::find_by_id(&engine, 1).await?;
    User::find_by_ids(&engine, &[1, 2]).await?;
    log.clear();
    assert_eq!(User::find_by_id(&engine, 1).refresh().required().await?.source(), Source::Database);
    assert_eq!(User::find_by_id(&engine, 1).required().await?.source(), Source::Memory);
    assert_eq!(log.statements().len(), 1);
    User::find_by_ids(&engine, &[1, 2]).refresh().await?;
    assert_eq!(log.statements().len(), 1);
    assert_eq!(User::find_by_id(&engine, 2).required().await?.source(), Source::Memory);
    Ok(())
}

#[tokio::test]
async fn a_cache_that_is_switched_off_leaves_everything_to_the_database() -> pie::Result<()> {
    let log = Log::start().await;
    let config = CacheConfig { enabled: false, ..CacheConfig::default() };
    let engine = engine_with(config, &ManualClock::new()).await;
    log.clear();
    for _ in 0..2 {
        User::find_by_id(&engine, 1).cache(Duration::from_secs(60)).await?;
        User::find_by_ids(&engine, &[1, 2]).await?;
    }
    assert_eq!(log.statements().len(), 4);
    let error = engine.cache().delete("user:1").await.expect_err("off");
    assert_eq!(error.kind(), pie::ErrorKind::Disabled);
    Ok(())
}

#[tokio::test]
async fn text_comparisons_use_the_index() -> pie::Result<()> {
    let _log = Log::start().await;
    let engine = engine().await;
    for condition in ["(\"status\" COLLATE BINARY) = 'x'", "(\"status\" COLLATE BINARY) IN ('x', 'y')"] {
        let plan: Vec<(i64, i64, i64, String)> =
            engine.sql(&format!("EXPLAIN QUERY PLAN SELECT * FROM users WHERE {condition}")).all().await?;
        assert!(plan[0].3.contains("USING INDEX users_status_index"), "{plan:?}");
    }
    Ok(())
}
