//! Transactions: what they read, what they invalidate and when, and what happens when they or their callers go away.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "a test fails by panicking")]

use std::time::Duration;

use pie::prelude::*;
use pie::{ErrorKind, Source};
use pie::{Isolation, TxOptions};
use pie_tests::databases::{self, Which, concurrent_database, database, sql, which};

#[derive(Debug, Clone, PartialEq, Model)]
#[cached(ttl = "5m")]
struct User {
    #[pie(id, auto)]
    id: i64,
    #[pie(unique)]
    email: String,
    #[pie(index)]
    status: String,
}

fn user(email: &str) -> NewUser {
    NewUser { email: email.into(), status: "x".into() }
}

async fn engine() -> Engine {
    let engine = Engine::builder().database(concurrent_database()).build().await.expect("builds");
    engine.create_tables::<(User,)>().await.expect("creates");
    engine
}

#[tokio::test]
async fn reads_inside_see_its_writes_and_leave_the_cache_alone() -> pie::Result<()> {
    if !databases::transactions() {
        return Ok(());
    }
    let engine = engine().await;
    let ann = User::insert(&engine, user("ann")).await?;
    User::find_by_id(&engine, ann.id).await?;
    let tx = engine.begin().await?;
    User::update_by_id(&tx, ann.id).email("new").await?;
    let inside = User::find_by_id(&tx, ann.id).required().await?;
    assert_eq!((inside.source(), inside.email.as_str()), (Source::Database, "new"));
    assert_eq!(User::find_by_ids(&tx, &[ann.id, 9]).await?.len(), 2);
    assert_eq!(User::list_by_status(&tx, "x").await?[0].email, "new");
    let outside = User::find_by_id(&engine, ann.id).required().await?;
    assert_eq!((outside.source(), outside.email.as_str()), (Source::Memory, "ann"), "not committed yet");
    tx.commit().await?;
    assert_eq!(User::find_by_id(&engine, ann.id).required().await?.email, "new");
    assert!(User::find_by_email(&engine, "ann").await?.is_none());
    Ok(())
}

#[tokio::test]
async fn rolling_back_and_dropping_change_and_invalidate_nothing() -> pie::Result<()> {
    if !databases::transactions() {
        return Ok(());
    }
    let engine = engine().await;
    let ann = User::insert(&engine, user("ann")).await?;
    User::find_by_id(&engine, ann.id).await?;
    for drops in [false, true] {
        let tx = engine.begin().await?;
        User::update_by_id(&tx, ann.id).email("new").await?;
        if drops {
            drop(tx)
        } else {
            tx.rollback().await?
        }
        let row = User::find_by_id(&engine, ann.id).required().await?;
        assert_eq!((row.source(), row.email.as_str()), (Source::Memory, "ann"));
        assert_eq!(User::find_by_id(&engine, ann.id).no_cache().required().await?.email, "ann");
    }
    Ok(())
}

#[tokio::test]
async fn the_closure_commits_on_ok_and_rolls_back_on_err() -> pie::Result<()> {
    if !databases::transactions() {
        return Ok(());
    }
    let engine = engine().await;
    let id = engine
        .transaction(|tx: Tx| async move {
            let ann = User::insert(&tx, user("ann")).await?;
            User::insert_many(&tx, [user("bob"), user("eve")]).await?;
            tx.sql(&sql("UPDATE users SET status = ?")).bind("y").execute().await?;
            Ok(ann.id)
        })
        .await?;
    assert_eq!(User::find_by_id(&engine, id).required().await?.status, "y");
    let error = engine
        .transaction(|tx: Tx| async move {
            User::delete_by_id(&tx, id).await?;
            User::insert(&tx, user("bob")).await.map(|_| ())
        })
        .await
        .expect_err("bob exists");
    assert!(error.is_unique_violation());
    assert!(User::find_by_id(&engine, id).no_cache().await?.is_some(), "the delete was undone");
    Ok(())
}

#[tokio::test]
async fn a_handle_that_outlives_its_transaction_says_so() -> pie::Result<()> {
    if !databases::transactions() {
        return Ok(());
    }
    let engine = engine().await;
    let kept = engine.transaction(|tx: Tx| async move { Ok(tx) }).await?;
    assert_eq!(User::find_by_id(&kept, 1).await.expect_err("over").kind(), ErrorKind::TransactionFinished);
    assert_eq!(
        User::insert(&kept, user("a")).await.expect_err("over").kind(),
        ErrorKind::TransactionFinished
    );
    assert_eq!(kept.commit().await.expect_err("over").kind(), ErrorKind::TransactionFinished);
    Ok(())
}

#[tokio::test]
async fn a_read_that_waits_for_a_transaction_of_its_own_task_ends() -> pie::Result<()> {
    if !databases::transactions() {
        return Ok(());
    }
    if which() != Which::Sqlite {
        // The others have more than one connection.
        return Ok(());
    }
    let engine =
        Engine::builder().database(database()).acquire_timeout(Duration::from_millis(500)).build().await?;
    engine.create_tables::<(User,)>().await?;
    let error = engine
        .transaction(|tx: Tx| {
            let engine = &engine;
            async move {
                User::insert(&tx, user("ann")).await?;
                // By mistake on the engine instead of the transaction: the only connection is the transaction's.
                User::find_by_id(engine, 1).await.map(|_| ())
            }
        })
        .await
        .expect_err("cannot be answered");
    assert_eq!((error.kind(), error.query()), (ErrorKind::PoolTimeout, Some("find_by_id")));
    assert!(error.is_retryable());
    assert!(User::find_by_id(&engine, 1).await?.is_none(), "rolled back, and the connection is free again");
    Ok(())
}

#[tokio::test]
async fn a_caller_who_goes_away_leaves_nothing_stale() -> pie::Result<()> {
    if !databases::transactions() {
        return Ok(());
    }
    let engine = engine().await;
    let ann = User::insert(&engine, user("ann0")).await?;
    for polls in 0..40 {
        User::find_by_id(&engine, ann.id).await?;
        User::list_by_status(&engine, "x").await?;
        let email = format!("ann{}", polls + 1);
        {
            let mut write = Box::pin(User::update_by_id(&engine, ann.id).email(email.as_str()).into_future());
            for _ in 0..polls {
                if futures_poll(&mut write).await {
                    break;
                }
            }
        }
        // Waits for the write that may still be running, then everybody agrees.
        engine.cache().flush().await;
        let truth = User::find_by_id(&engine, ann.id).no_cache().required().await?;
        assert_eq!(User::find_by_id(&engine, ann.id).required().await?, truth, "after {polls} polls");
        assert_eq!(User::list_by_status(&engine, "x").await?[0], *truth);
    }
    Ok(())
}

/// Polls once; whether it is done.
async fn futures_poll<F: Future + Unpin>(future: &mut F) -> bool {
    let done = std::future::poll_fn(|context| {
        std::task::Poll::Ready(std::pin::Pin::new(&mut *future).poll(context).is_ready())
    })
    .await;
    tokio::task::yield_now().await;
    done
}

#[tokio::test]
async fn writers_queue_and_none_is_lost() -> pie::Result<()> {
    if !databases::transactions() {
        return Ok(());
    }
    let engine = engine().await;
    let tasks: Vec<_> = (0..40)
        .map(|i| {
            let engine = engine.clone();
            tokio::spawn(async move {
                // Serializable, which SQLite is anyway: elsewhere they do not queue, and run again when they meet.
                let options = TxOptions::new().isolation(Isolation::Serializable).retries(1_000);
                engine
                    .transaction_with(options, |tx: Tx| async move {
                        let count = User::query(&tx).count().await?;
                        User::insert(&tx, user(&format!("u{i}"))).await?;
                        Ok(count)
                    })
                    .await
            })
        })
        .collect();
    let mut counts = Vec::new();
    for task in tasks {
        counts.push(task.await.expect("runs")?);
    }
    counts.sort_unstable();
    assert_eq!(counts, (0..40).collect::<Vec<u64>>(), "each saw all before it");
    assert_eq!(User::query(&engine).count().await?, 40);
    Ok(())
}
