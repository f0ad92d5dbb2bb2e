//! Rows 42 to 51: what a query says about the cache.

use pie::{Source, assert_statements};

use super::*;

#[tokio::test]
async fn row_42_a_ttl() -> pie::Result<()> {
    let (engine, clock) = memory_engine().await;
    let ask = || User::find_by_id(&engine, 1).cache(MINUTE);
    assert_statements!(engine, 1, ask().await?);
    assert_statements!(engine, 0, ask().await?);
    clock.advance(MINUTE);
    assert_statements!(engine, 1, ask().await?);
    Ok(())
}

/// A model that is cached only where a query asks for it.
#[derive(Debug, Clone, Model)]
struct Plain {
    #[pie(id, auto)]
    id: i64,
}

#[tokio::test]
async fn row_43_tags_with_the_default_ttl() -> pie::Result<()> {
    let (engine, clock) = memory_engine().await;
    engine.create_tables::<(Plain,)>().await?;
    Plain::insert(&engine, NewPlain {}).await?;
    let ask = || Plain::query(&engine).tags(["users", "active"]);
    assert_statements!(engine, 1, ask().await?);
    clock.advance(5 * MINUTE - SECOND);
    assert_statements!(engine, 0, ask().await?);
    clock.advance(SECOND);
    assert_statements!(engine, 1, ask().await?);
    Ok(())
}

#[tokio::test]
async fn row_44_delete_by_tags() -> pie::Result<()> {
    let (engine, _clock) = memory_engine().await;
    let ask = || User::query(&engine).tags(["users", "active"]);
    assert_statements!(engine, 1, ask().await?);
    engine.cache().delete_by_tags(["users"]).await?;
    assert_statements!(engine, 1, ask().await?);
    Ok(())
}

#[tokio::test]
async fn row_45_jitter() -> pie::Result<()> {
    let (engine, clock) = memory_engine().await;
    let ask = |i: i32| User::query(&engine).filter(User::AGE.gt(-i)).cache(10 * MINUTE).jitter(2 * MINUTE);
    for i in 0..200 {
        ask(i).await?;
    }
    let expired = async || {
        let before = engine.statements();
        for i in 0..200 {
            // Looks, and stores nothing new.
            ask(i).cache_if(true).await.expect("answers");
        }
        engine.statements() - before
    };
    clock.advance(8 * MINUTE - SECOND);
    assert_eq!(expired().await, 0, "none lives shorter than ttl - jitter");
    clock.advance(2 * MINUTE);
    let half = expired().await;
    assert!((40..160).contains(&half), "about half of them end before the ttl, not {half}");
    Ok(())
}

#[tokio::test]
async fn row_46_empty_answers_are_cached_shortly() -> pie::Result<()> {
    let (engine, clock) = memory_engine().await;
    let nobody = || User::query(&engine).filter(User::AGE.gt(200)).cache_empty(10 * SECOND);
    let ask = async || {
        assert!(nobody().await.expect("answers").is_empty());
        assert!(nobody().first().await.expect("answers").is_none());
        assert_eq!(nobody().count().await.expect("answers"), 0);
    };
    assert_statements!(engine, 3, ask().await);
    assert_statements!(engine, 0, ask().await);
    clock.advance(10 * SECOND);
    assert_statements!(engine, 3, ask().await);
    let somebody = || User::query(&engine).cache_empty(10 * SECOND);
    somebody().await?;
    clock.advance(5 * MINUTE - SECOND);
    assert_statements!(engine, 0, somebody().await?);
    Ok(())
}

#[tokio::test]
async fn row_47_options_are_chained_and_the_last_wins() -> pie::Result<()> {
    let (engine, clock) = memory_engine().await;
    let ask = || {
        User::query(&engine)
            .cache(MINUTE)
            .tags(["a"])
            .cache_empty(SECOND)
            .cache(2 * MINUTE)
            .tags(["b"])
            .no_cache()
            .cache_if(true)
    };
    assert_statements!(engine, 1, ask().await?);
    clock.advance(MINUTE);
    engine.cache().delete_by_tags(["a"]).await?;
    assert_statements!(engine, 0, ask().await?);
    engine.cache().delete_by_tags(["b"]).await?;
    assert_statements!(engine, 1, ask().await?);
    Ok(())
}

#[tokio::test]
async fn row_48_find_first_one_and_count_are_cached() -> pie::Result<()> {
    let (engine, _clock) = memory_engine().await;
    let ask = async || -> pie::Result<()> {
        assert_eq!(User::query(&engine).await?.len(), 3);
        assert!(
            User::query(&engine).order_by(User::AGE.asc()).first().await?.is_some_and(|user| user.age == 17)
        );
        assert!(User::query(&engine).filter(User::AGE.eq(45)).one().await?.is_some());
        assert_eq!(User::query(&engine).count().await?, 3);
        assert!(User::query(&engine).exists().await?);
        assert_eq!(User::query(&engine).order_by(User::ID.asc()).page(1, 2).await?.total, 3);
        assert_eq!(*User::query(&engine).distinct(User::STATUS).await?, ["active", "away"]);
        Ok(())
    };
    assert_statements!(engine, 8, ask().await?);
    assert_statements!(engine, 0, ask().await?);
    Ok(())
}

#[tokio::test]
async fn row_49_answers_are_written_to_every_layer() -> pie::Result<()> {
    let Some((engine, _clock)) = redis_engine().await else { return Ok(()) };
    let users = User::query(&engine).await?;
    engine.cache().flush().await;
    let sets: Vec<_> = engine.cache().layers().iter().map(|layer| layer.stats().sets).collect();
    assert_eq!(sets, [1, 1]);
    engine.cache().layers()[0].evict_all().await?;
    let again = User::query(&engine).await?;
    assert_eq!((again.source(), again), (Source::Redis, users));
    Ok(())
}

#[tokio::test]
async fn row_50_nobody_writes_to_the_cache_by_hand() -> pie::Result<()> {
    let (engine, _clock) = memory_engine().await;
    User::query(&engine).await?;
    let again = assert_statements!(engine, 0, User::query(&engine).await?);
    assert_eq!(again.source(), Source::Memory);
    User::update_by_id(&engine, 1).age(32).await?;
    assert!(User::query(&engine).await?.iter().any(|user| user.age == 32), "nor ends it by hand");
    Ok(())
}

#[derive(Debug, Clone, Model)]
#[cached(ttl = "5m", tags("users"), jitter = "2m")]
struct Above {
    #[pie(id, auto)]
    id: i64,
}

#[tokio::test]
async fn row_51_the_attribute() -> pie::Result<()> {
    let (engine, clock) = memory_engine().await;
    engine.create_tables::<(Above,)>().await?;
    Above::insert(&engine, NewAbove {}).await?;
    Above::find_by_id(&engine, 1).await?;
    clock.advance(3 * MINUTE - SECOND);
    assert_statements!(engine, 0, Above::find_by_id(&engine, 1).await?);
    engine.cache().delete_by_tags(["users"]).await?;
    assert_statements!(engine, 1, Above::find_by_id(&engine, 1).await?);
    clock.advance(7 * MINUTE + SECOND);
    assert_statements!(engine, 1, Above::find_by_id(&engine, 1).await?);
    Ok(())
}
