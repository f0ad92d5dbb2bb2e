//! Savepoints: what they undo, what they invalidate, and what cannot be done meanwhile.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "a test fails by panicking")]

use pie::prelude::*;
use pie::{ErrorKind, Tx, assert_loads, testing};

#[derive(Debug, Clone, PartialEq, Model)]
#[cached(ttl = "1h")]
struct User {
    #[pie(id)]
    id: i64,
    #[pie(unique)]
    email: String,
    #[pie(index)]
    status: String,
}

async fn engine() -> Engine {
    let builder = Engine::builder().database(pie_tests::databases::concurrent_database());
    let engine = builder.config(testing::config()).build().await.expect("builds");
    engine.create_tables::<(User,)>().await.expect("creates");
    engine
}

fn user(id: i64, status: &str) -> NewUser {
    NewUser { id, email: format!("{id}@x.org"), status: status.into() }
}

/// Reads everything, so that it is cached; gives the ids of each status.
async fn seen(engine: &Engine) -> [Vec<i64>; 3] {
    let ids = async |status: &str| {
        let list = User::list_by_status(engine, status).order_by(User::ID.asc()).await.expect("reads");
        list.iter().map(|user| user.id).collect::<Vec<_>>()
    };
    [ids("a").await, ids("b").await, ids("c").await]
}

#[tokio::test]
async fn what_is_undone_is_not_there_and_invalidates_nothing() -> pie::Result<()> {
    if !pie_tests::databases::which().speaks_sql() {
        return Ok(());
    }
    let engine = engine().await;
    User::insert(&engine, user(1, "a")).await?;
    assert_eq!(seen(&engine).await, [vec![1], vec![], vec![]]);

    let tx = engine.begin().await?;
    User::insert(&tx, user(2, "b")).await?;
    let part = tx.savepoint().await?;
    User::insert(&part, user(3, "c")).await?;
    assert_eq!(User::query(&part).count().await?, 3, "its own writes and those before it");
    part.rollback().await?;
    assert_eq!(User::query(&tx).count().await?, 2);
    assert_loads!(engine, 0, seen(&engine).await);
    tx.commit().await?;
    // The list of `b` and no other was ended.
    assert_loads!(engine, 1, assert_eq!(seen(&engine).await, [vec![1], vec![2], vec![]]));
    Ok(())
}

#[tokio::test]
async fn what_is_kept_is_invalidated_by_the_commit_of_the_whole() -> pie::Result<()> {
    if !pie_tests::databases::which().speaks_sql() {
        return Ok(());
    }
    let engine = engine().await;
    seen(&engine).await;
    let tx = engine.begin().await?;
    let part = tx.savepoint().await?;
    User::insert(&part, user(1, "a")).await?;
    let inner = part.savepoint().await?;
    User::insert(&inner, user(2, "b")).await?;
    inner.commit().await?;
    part.commit().await?;
    assert_loads!(engine, 0, seen(&engine).await);
    tx.commit().await?;
    assert_loads!(engine, 2, assert_eq!(seen(&engine).await, [vec![1], vec![2], vec![]]));

    // A part that was kept goes with a whole that is undone.
    let tx = engine.begin().await?;
    let part = tx.savepoint().await?;
    User::delete_by_id(&part, 1).await?;
    part.commit().await?;
    tx.rollback().await?;
    assert_loads!(engine, 0, assert_eq!(seen(&engine).await, [vec![1], vec![2], vec![]]));

    // And a part that was kept in a part that is undone.
    let tx = engine.begin().await?;
    let part = tx.savepoint().await?;
    let inner = part.savepoint().await?;
    User::delete_by_id(&inner, 1).await?;
    inner.commit().await?;
    part.rollback().await?;
    User::delete_by_id(&tx, 2).await?;
    tx.commit().await?;
    assert_loads!(engine, 1, assert_eq!(seen(&engine).await, [vec![1], vec![], vec![]]));
    Ok(())
}

#[tokio::test]
async fn a_dropped_savepoint_is_undone() -> pie::Result<()> {
    if !pie_tests::databases::which().speaks_sql() {
        return Ok(());
    }
    let engine = engine().await;
    seen(&engine).await;
    let tx = engine.begin().await?;
    User::insert(&tx, user(1, "a")).await?;
    {
        let part = tx.savepoint().await?;
        User::insert(&part, user(2, "b")).await?;
        let inner = part.savepoint().await?;
        User::insert(&inner, user(3, "c")).await?;
        drop(part);
        // What was in it is over with it.
        let error = User::query(&inner).count().await.expect_err("it is over");
        assert_eq!(error.kind(), ErrorKind::TransactionFinished);
    }
    assert_eq!(User::query(&tx).count().await?, 1);
    let again = tx.savepoint().await?;
    User::insert(&again, user(4, "c")).await?;
    again.commit().await?;
    tx.commit().await?;
    assert_loads!(engine, 2, assert_eq!(seen(&engine).await, [vec![1], vec![], vec![4]]));
    Ok(())
}

#[tokio::test]
async fn the_outside_cannot_be_used_while_a_savepoint_is_open() -> pie::Result<()> {
    if !pie_tests::databases::which().speaks_sql() {
        return Ok(());
    }
    let engine = engine().await;
    let kind = |outcome: pie::Result<u64>| outcome.expect_err("it is not free").kind();
    let tx = engine.begin().await?;
    let part = tx.savepoint().await?;
    assert_eq!(kind(User::query(&tx).count().await), ErrorKind::InvalidQuery);
    assert_eq!(kind(User::insert(&tx, user(1, "a")).await.map(|_| 0)), ErrorKind::InvalidQuery);
    assert_eq!(kind(tx.sql("SELECT 1").execute().await), ErrorKind::InvalidQuery);
    assert_eq!(kind(tx.savepoint().await.map(|_| 0)), ErrorKind::InvalidQuery);
    User::insert(&part, user(2, "b")).await?;
    // Nothing of it becomes permanent: neither the whole nor the part.
    assert_eq!(kind(tx.commit().await.map(|()| 0)), ErrorKind::InvalidQuery);
    assert_eq!(kind(User::query(&part).count().await), ErrorKind::TransactionFinished);
    assert_eq!(kind(part.commit().await.map(|()| 0)), ErrorKind::TransactionFinished);
    assert_eq!(User::query(&engine).no_cache().count().await?, 0);

    // Undone with everything in it.
    let tx = engine.begin().await?;
    let part = tx.savepoint().await?;
    User::insert(&part, user(3, "c")).await?;
    tx.rollback().await?;
    assert_eq!(kind(part.commit().await.map(|()| 0)), ErrorKind::TransactionFinished);
    // A transaction that nobody holds is over, also for its savepoints.
    let tx = engine.begin().await?;
    let part = tx.savepoint().await?;
    User::insert(&part, user(4, "c")).await?;
    drop(tx);
    assert_eq!(kind(part.commit().await.map(|()| 0)), ErrorKind::TransactionFinished);
    assert_eq!(User::query(&engine).no_cache().count().await?, 0);
    Ok(())
}

#[tokio::test]
async fn a_failed_write_is_undone_and_the_rest_goes_on() -> pie::Result<()> {
    if !pie_tests::databases::which().speaks_sql() {
        return Ok(());
    }
    let engine = engine().await;
    User::insert(&engine, user(1, "a")).await?;
    seen(&engine).await;
    engine
        .transaction(|tx: Tx| async move {
            for id in [2, 1, 3] {
                let part = tx.savepoint().await?;
                match User::insert_many(&part, [user(id + 10, "b"), user(id, "b")]).await {
                    Ok(_) => part.commit().await?,
                    Err(error) => {
                        assert!(error.is_unique_violation());
                        part.rollback().await?;
                    }
                }
            }
            Ok(())
        })
        .await?;
    assert_loads!(engine, 1, assert_eq!(seen(&engine).await, [vec![1], vec![2, 3, 12, 13], vec![]]));
    Ok(())
}

#[tokio::test]
async fn a_caller_who_goes_away_while_a_savepoint_is_set_leaves_none() -> pie::Result<()> {
    if !pie_tests::databases::which().speaks_sql() {
        return Ok(());
    }
    let engine = engine().await;
    let tx = engine.begin().await?;
    for polls in 0..6 {
        let mut setting = Box::pin(tx.savepoint());
        for _ in 0..polls {
            if futures_poll(&mut setting).await {
                break;
            }
        }
        drop(setting);
        assert_eq!(User::query(&tx).count().await?, 0, "after {polls} polls");
    }
    User::insert(&tx, user(1, "a")).await?;
    tx.commit().await?;
    assert_eq!(User::query(&engine).count().await?, 1);
    Ok(())
}

/// Polls once, and lets other tasks run; whether it is ready.
async fn futures_poll<F: Future + Unpin>(future: &mut F) -> bool {
    let ready = std::future::poll_fn(|context| {
        std::task::Poll::Ready(std::pin::Pin::new(&mut *future).poll(context).is_ready())
    });
    let ready = ready.await;
    tokio::task::yield_now().await;
    ready
}
