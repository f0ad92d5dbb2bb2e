//! How writes and transactions end: with retries, unknown outcomes, refusals, callers who went away, and handles that are mixed up.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "a test fails by panicking")]

use std::future::{Future, IntoFuture};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use pie::bson::{Document, doc};
use pie::database::DatabaseOptions;
use pie::prelude::*;
use pie::{Error, ErrorKind, Isolation, TxOptions, assert_loads, assert_statements, testing};
use pie_tests::databases::{Which, concurrent_database, which};
use pie_tests::stepped::{Step, Stepped};

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

fn user(id: i64, status: &str) -> NewUser {
    NewUser { id, email: format!("{id}@x.org"), status: status.into() }
}

/// What the tests do in transactions is said in SQL, and in savepoints.
fn speaks_sql() -> bool {
    which().speaks_sql()
}

async fn set_up(builder: pie::EngineBuilder) -> Engine {
    let engine = builder.config(testing::config()).build().await.expect("builds");
    engine.create_tables::<(User,)>().await.expect("creates");
    for id in 1..=3 {
        User::insert(&engine, user(id, "old")).await.expect("inserts");
    }
    engine
}

/// An engine whose next steps of this kind, this many, fail with this error.
struct Failing {
    engine: Engine,
    left: Arc<AtomicU64>,
}

impl Failing {
    async fn new(step: Step, kind: ErrorKind) -> Self {
        let left = Arc::new(AtomicU64::new(0));
        let counter = Arc::clone(&left);
        let inner = concurrent_database().open(DatabaseOptions::default()).await;
        let database = Stepped::new(inner, move |at| {
            let less = |left: u64| left.checked_sub(1);
            let fails = at == step && counter.fetch_update(Ordering::SeqCst, Ordering::SeqCst, less).is_ok();
            Box::pin(async move { if fails { Err(Error::new(kind, "on purpose")) } else { Ok(()) } })
        });
        Self { engine: set_up(Engine::builder().database(Arc::new(database))).await, left }
    }

    fn fail(&self, times: u64) {
        self.left.store(times, Ordering::SeqCst);
    }
}

/// The status of row 1 and the ids of each list, from the cache where it has them.
async fn seen(engine: &Engine) -> (String, usize, usize) {
    let row = User::find_by_id(engine, 1).required().await.expect("reads");
    let old = User::list_by_status(engine, "old").await.expect("reads").len();
    let new = User::list_by_status(engine, "new").count().await.expect("counts");
    (row.status.clone(), old, usize::try_from(new).unwrap())
}

fn before() -> (String, usize, usize) {
    ("old".into(), 3, 0)
}

fn after() -> (String, usize, usize) {
    ("new".into(), 2, 1)
}

#[tokio::test]
async fn a_serialization_failure_runs_the_closure_again() -> pie::Result<()> {
    if !speaks_sql() {
        return Ok(());
    }
    for step in [Step::Begun, Step::Write, Step::Commit] {
        let failing = Failing::new(step, ErrorKind::SerializationFailure).await;
        let (engine, runs) = (&failing.engine, AtomicU64::new(0));
        let work = |tx: Tx| {
            let runs = &runs;
            async move {
                runs.fetch_add(1, Ordering::SeqCst);
                User::update_by_id(&tx, 1).status("new").await?;
                Ok(())
            }
        };
        assert_eq!(seen(engine).await, before());
        failing.fail(4);
        let error = engine.transaction(work).await.expect_err("three retries are not enough");
        assert_eq!(error.kind(), ErrorKind::SerializationFailure);
        assert!(error.is_retryable());
        assert_eq!(failing.left.load(Ordering::SeqCst), 0, "{step:?}");
        assert_loads!(
            engine,
            0,
            assert_eq!(seen(engine).await, before(), "nothing was done, and nothing ended")
        );

        runs.store(0, Ordering::SeqCst);
        failing.fail(2);
        engine.transaction(work).await?;
        // A transaction that did not begin did not run either.
        assert_eq!(runs.load(Ordering::SeqCst), if step == Step::Begun { 1 } else { 3 });
        assert_loads!(engine, 3, assert_eq!(seen(engine).await, after()));

        failing.fail(1);
        let error = engine.transaction_with(TxOptions::new().retries(0), work).await.expect_err("no retry");
        assert_eq!(error.kind(), ErrorKind::SerializationFailure);
    }
    Ok(())
}

#[tokio::test]
async fn other_errors_are_not_tried_again() {
    if !speaks_sql() {
        return;
    }
    let failing = Failing::new(Step::Commit, ErrorKind::Connection).await;
    let runs = AtomicU64::new(0);
    failing.fail(1);
    let work = |_: Tx| {
        let runs = &runs;
        async move {
            runs.fetch_add(1, Ordering::SeqCst);
            Ok(())
        }
    };
    let error = failing.engine.transaction(work).await.expect_err("the connection was lost");
    assert_eq!((error.kind(), runs.load(Ordering::SeqCst)), (ErrorKind::Connection, 1));
}

#[tokio::test]
async fn a_commit_whose_outcome_nobody_knows_invalidates_as_one() -> pie::Result<()> {
    if !speaks_sql() {
        return Ok(());
    }
    // It was done, and the answer was lost; or it was never done.
    for (step, then) in [(Step::Committed, after()), (Step::Commit, before())] {
        let failing = Failing::new(step, ErrorKind::Connection).await;
        let engine = &failing.engine;
        assert_eq!(seen(engine).await, before());
        let tx = engine.begin().await?;
        User::update_by_id(&tx, 1).status("new").await?;
        failing.fail(1);
        assert_eq!(tx.commit().await.expect_err("lost").kind(), ErrorKind::Connection);
        assert_loads!(engine, 3, assert_eq!(seen(engine).await, then, "{step:?}"));

        // The same of a write by itself, which is a transaction of its own.
        failing.fail(1);
        let write = User::update_by_id(engine, 2).status("new").await;
        assert_eq!(write.expect_err("lost").kind(), ErrorKind::Connection);
        let same = User::list_by_status(engine, "new").order_by(User::ID.asc());
        let truth = User::list_by_status(engine, "new").order_by(User::ID.asc()).no_cache().await?;
        assert_loads!(engine, 1, assert_eq!(same.await?, truth));
    }
    Ok(())
}

#[tokio::test]
async fn a_statement_whose_outcome_nobody_knows_ends_everything_of_the_model() -> pie::Result<()> {
    if which() == Which::MySql {
        // There a delete is a transaction of its own, which is rolled back.
        return Ok(());
    }
    let failing = Failing::new(Step::Written, ErrorKind::Connection).await;
    let engine = &failing.engine;
    for _ in 0..2 {
        seen(engine).await;
        User::find_by_email(engine, "2@x.org").await?;
        failing.fail(1);
        // One statement: it was done, and nobody said so.
        assert_eq!(User::delete_by_id(engine, 2).await.expect_err("lost").kind(), ErrorKind::Connection);
        assert!(User::find_by_email(engine, "2@x.org").await?.is_none());
        assert_loads!(engine, 3, seen(engine).await);
    }
    Ok(())
}

#[tokio::test]
async fn what_was_surely_refused_ends_nothing() -> pie::Result<()> {
    if !speaks_sql() {
        return Ok(());
    }
    for kind in [ErrorKind::ForeignKeyViolation, ErrorKind::Busy, ErrorKind::SerializationFailure] {
        let failing = Failing::new(Step::Commit, kind).await;
        let engine = &failing.engine;
        seen(engine).await;
        let tx = engine.begin().await?;
        User::update_by_id(&tx, 1).status("new").await?;
        failing.fail(1);
        assert_eq!(tx.commit().await.expect_err("refused").kind(), kind);
        failing.fail(1);
        assert_eq!(User::update_by_id(engine, 1).status("new").await.expect_err("refused").kind(), kind);
        assert_loads!(engine, 0, assert_eq!(seen(engine).await, before()));
    }
    // A constraint that refuses a statement of a transaction leaves the rest of it as it was.
    let engine = set_up(Engine::builder().database(concurrent_database())).await;
    seen(&engine).await;
    User::find_by_id(&engine, 3).await?;
    let tx = engine.begin().await?;
    if which() == Which::Postgres {
        // There it takes a savepoint to go on.
        let part = tx.savepoint().await?;
        assert!(User::insert(&part, user(1, "new")).await.expect_err("there is a 1").is_unique_violation());
        part.rollback().await?;
    } else {
        assert!(User::insert(&tx, user(1, "new")).await.expect_err("there is a 1").is_unique_violation());
    }
    User::update_by_id(&tx, 1).status("new").await?;
    tx.commit().await?;
    assert_loads!(engine, 0, User::find_by_id(&engine, 3).await?);
    assert_loads!(engine, 3, assert_eq!(seen(&engine).await, after()));
    Ok(())
}

#[tokio::test]
async fn a_constraint_that_is_looked_at_when_it_commits() -> pie::Result<()> {
    if !speaks_sql() {
        return Ok(());
    }
    if matches!(which(), Which::MariaDb | Which::MySql) {
        // They look at all of them at once.
        return Ok(());
    }
    let engine = set_up(Engine::builder().database(concurrent_database())).await;
    let orders = "CREATE TABLE orders (user_id BIGINT REFERENCES users (id) DEFERRABLE INITIALLY DEFERRED)";
    engine.sql(orders).execute().await?;
    engine.sql("INSERT INTO orders VALUES (1)").execute().await?;
    seen(&engine).await;
    let tx = engine.begin().await?;
    assert!(User::delete_by_id(&tx, 1).await?);
    assert_eq!(tx.commit().await.expect_err("refused").kind(), ErrorKind::ForeignKeyViolation);
    assert_loads!(engine, 0, assert_eq!(seen(&engine).await, before()));
    User::update_by_id(&engine, 1).status("new").await?;
    assert_eq!(seen(&engine).await, after(), "the connection is free again");
    Ok(())
}

#[tokio::test]
async fn a_transaction_that_only_reads() -> pie::Result<()> {
    if !speaks_sql() {
        return Ok(());
    }
    let engine = set_up(Engine::builder().database(concurrent_database())).await;
    let report = engine.begin_with(TxOptions::new().read_only().isolation(Isolation::RepeatableRead)).await?;
    assert_eq!(User::query(&report).count().await?, 3);
    // It keeps no writer waiting, and sees what it saw.
    User::delete_by_id(&engine, 3).await?;
    assert_eq!(User::query(&report).count().await?, 3);
    assert_eq!(User::query(&engine).count().await?, 2);
    let refused = |error: Error| {
        assert_eq!(error.kind(), ErrorKind::InvalidQuery);
        assert!(error.to_string().contains("read_only"), "{error}");
    };
    assert_statements!(engine, 0, {
        refused(User::insert(&report, user(9, "new")).await.expect_err("refused"));
        refused(User::update_by_id(&report, 1).status("x").await.expect_err("refused"));
        refused(User::query(&report).delete().await.expect_err("refused"));
        refused(report.sql("DELETE FROM users").execute().await.expect_err("refused"));
        refused(report.sql("SELECT 1").touches::<(User,)>().execute().await.expect_err("refused"));
    });
    let part = report.savepoint().await?;
    refused(User::delete_by_id(&part, 1).await.expect_err("refused"));
    part.commit().await?;
    let one: Option<(i64,)> = report.sql("SELECT COUNT(*) FROM users").one().await?;
    assert_eq!(one, Some((3,)));
    report.commit().await?;
    Ok(())
}

#[tokio::test]
async fn read_uncommitted_is_refused_everywhere() -> pie::Result<()> {
    if !speaks_sql() {
        return Ok(());
    }
    let engine = set_up(Engine::builder().database(concurrent_database())).await;
    let error = engine.sql("PRAGMA read_uncommitted = 1").execute().await.expect_err("refused");
    assert_eq!(error.kind(), ErrorKind::InvalidConfig);
    let tx = engine.begin().await?;
    let error =
        tx.sql("SET TRANSACTION ISOLATION LEVEL READ UNCOMMITTED").execute().await.expect_err("refused");
    assert!(error.to_string().contains("read committed"), "{error}");
    // The transaction can be used all the same.
    assert_eq!(User::query(&tx).count().await?, 3);
    tx.rollback().await?;
    assert!("read uncommitted".parse::<Isolation>().is_err());
    assert_eq!("Serializable".parse::<Isolation>()?, Isolation::Serializable);

    let options: sqlx::sqlite::SqliteConnectOptions = "sqlite::memory:".parse().expect("parses");
    let options = options.shared_cache(true).pragma("read_uncommitted", "1");
    let pool = sqlx::SqlitePool::connect_with(options).await.expect("connects");
    let error = Engine::builder().database(pool).build().await.expect_err("refused");
    assert_eq!(error.kind(), ErrorKind::InvalidConfig);
    assert!(error.to_string().contains("READ UNCOMMITTED"), "{error}");
    Ok(())
}

#[tokio::test]
async fn the_engine_by_mistake_in_a_transaction_waits_and_gives_up() -> pie::Result<()> {
    if !speaks_sql() {
        return Ok(());
    }
    let builder =
        Engine::builder().database(concurrent_database()).acquire_timeout(Duration::from_millis(200));
    let engine = set_up(builder).await;
    let write = |tx: Tx| {
        let engine = &engine;
        async move {
            User::update_by_id(&tx, 1).status("new").await?;
            // A read does not wait, and does not see it either.
            assert_eq!(User::find_by_id(engine, 1).required().await?.status, "old");
            // SQLite has one lock for all rows, the others have one for each.
            let id = if which() == Which::Sqlite { 2 } else { 1 };
            User::update_by_id(engine, id).status("new").await.map(drop)
        }
    };
    let error = engine.transaction(write).await.expect_err("waits for itself");
    assert_eq!((error.kind(), error.query()), (ErrorKind::Busy, Some("update_by_id")));
    assert_eq!(seen(&engine).await, before(), "rolled back");
    User::update_by_id(&engine, 1).status("new").await?;
    assert_eq!(seen(&engine).await, after(), "and nothing is locked");
    Ok(())
}

/// Polls a future so many times, then drops it; whether it ended before.
async fn dropped_after<F: Future>(polls: usize, work: F) -> bool {
    let mut work = pin!(work);
    for _ in 0..polls {
        let done =
            std::future::poll_fn(|context| std::task::Poll::Ready(work.as_mut().poll(context).is_ready()))
                .await;
        if done {
            return true;
        }
        // Whatever it waits for has time to happen.
        tokio::time::sleep(Duration::from_micros(300)).await;
    }
    false
}

/// Every cached answer is the uncached one, once what was left running has ended.
async fn agree(engine: &Engine, what: &str) {
    engine.cache().flush().await;
    macro_rules! same {
        ($query:expr) => {
            assert_eq!($query.await.expect("reads"), $query.no_cache().await.expect("reads"), "{what}")
        };
    }
    for id in 0..8 {
        same!(User::find_by_id(engine, id));
        same!(User::find_by_email(engine, format!("{id}@x.org")));
    }
    for status in ["old", "new", "x"] {
        same!(User::list_by_status(engine, status).order_by(User::ID.asc()));
        same!(User::list_by_status(engine, status).count());
    }
    same!(User::query(engine).order_by(User::ID.asc()));
}

/// Runs a write again and again, each time dropping it one poll later, until it ends by itself.
async fn dropped_everywhere<F: Future>(what: &str, mut write: impl FnMut(Engine) -> F) {
    let engine = set_up(Engine::builder().database(concurrent_database())).await;
    for polls in 1..200 {
        for id in 1..=3 {
            User::upsert_by_id(&engine, user(id, "old")).await.expect("writes");
        }
        User::query(&engine).filter(User::ID.gt(3)).delete().await.expect("deletes");
        agree(&engine, what).await;
        let ended = dropped_after(polls, write(engine.clone())).await;
        agree(&engine, &format!("{what}, dropped after {polls} polls")).await;
        if ended {
            assert!(polls > 1, "{what} has nothing to wait for");
            return;
        }
    }
    panic!("{what} never ended");
}

#[tokio::test]
async fn a_write_can_be_dropped_at_each_await() {
    macro_rules! write {
        ($name:literal, $engine:ident => $work:expr) => {
            dropped_everywhere($name, |$engine| async move {
                let _ = $work.await.expect("writes");
            })
            .await;
        };
    }
    write!("insert", engine => User::insert(&engine, user(5, "new")));
    write!("insert_many", engine => User::insert_many(&engine, [user(5, "new"), user(6, "old")]));
    write!("upsert", engine => User::upsert_by_id(&engine, user(1, "new")));
    write!("update", engine => User::update_by_id(&engine, 1).status("new").into_future());
    write!("update by filter", engine => User::query(&engine).filter(User::ID.gt(1)).update().set(User::STATUS, "new"));
    write!("delete", engine => User::delete_by_id(&engine, 1));
    write!("delete by filter", engine => User::query(&engine).filter(User::ID.gt(1)).delete());
    if !speaks_sql() {
        let every = |q: Document| doc! { "update": "users", "updates": [{ "q": q, "u": { "$set": { "status": "new" } }, "multi": true }] };
        write!("command", engine => engine.command(every(doc! {})).touches::<(User,)>().execute());
        write!("command of unknown effect", engine => engine.command(every(doc! { "_id": 2 })).execute());
        return;
    }
    write!("sql", engine => engine.sql("UPDATE users SET status = 'new'").touches::<(User,)>().execute());
    write!("sql of unknown effect", engine => engine.sql("DELETE FROM users WHERE id = 2").execute());
}

#[tokio::test]
async fn a_transaction_can_be_dropped_at_each_await() {
    if !speaks_sql() {
        return;
    }
    dropped_everywhere("transaction", |engine| async move {
        let work = |tx: Tx| async move {
            User::update_by_id(&tx, 1).status("new").await?;
            let part = tx.savepoint().await?;
            User::delete_by_id(&part, 2).await?;
            part.rollback().await?;
            let part = tx.savepoint().await?;
            User::insert(&part, user(5, "x")).await?;
            part.commit().await?;
            Ok(())
        };
        engine.transaction(work).await.expect("commits");
    })
    .await;
    dropped_everywhere("rollback", |engine| async move {
        let tx = engine.begin().await.expect("begins");
        User::query(&tx).delete().await.expect("deletes");
        tx.rollback().await.expect("rolls back");
    })
    .await;
}

/// Runs two writes of a row, the first held when it is permanent and not yet invalidated; the second must not have returned while a read
/// still finds the row as it was before the first.
async fn in_order<A, B>(
    what: &str,
    held_at: Step,
    first: impl FnOnce(Engine) -> A,
    second: impl FnOnce(Engine) -> B,
) where
    A: Future<Output = ()> + Send + 'static,
    B: Future<Output = ()> + Send + 'static,
{
    let (holding, passed) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let (go, gone) = tokio::sync::watch::channel(false);
    let (holds, passes) = (Arc::clone(&holding), Arc::clone(&passed));
    let inner = concurrent_database().open(DatabaseOptions::default()).await;
    let database = Stepped::new(inner, move |at| {
        let first = at == held_at && holds.compare_exchange(1, 2, Ordering::SeqCst, Ordering::SeqCst).is_ok();
        let passes = (matches!(at, Step::Written | Step::Committed)).then(|| Arc::clone(&passes));
        let mut gone = gone.clone();
        Box::pin(async move {
            if first {
                gone.wait_for(|gone| *gone).await.expect("is told");
            }
            passes.map(|passes| passes.fetch_add(1, Ordering::SeqCst));
            Ok(())
        })
    });
    let engine = set_up(Engine::builder().database(Arc::new(database))).await;
    let old = || User::find_by_email(&engine, "1@x.org");
    assert!(old().await.expect("reads").is_some());
    holding.store(1, Ordering::SeqCst);
    let first = tokio::spawn(first(engine.clone()));
    pie_tests::until("the first write is held", async || holding.load(Ordering::SeqCst) == 2).await;
    let before = passed.load(Ordering::SeqCst);
    let second = tokio::spawn(second(engine.clone()));
    pie_tests::until("the second write is permanent", async || {
        passed.load(Ordering::SeqCst) > before
            && User::find_by_id(&engine, 1).no_cache().await.unwrap().unwrap().email == "c"
    })
    .await;
    // What the second has left to do is this thread's, if it does not wait.
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    if second.is_finished() {
        assert!(old().await.expect("reads").is_none(), "{what}: older than a write that has returned");
    }
    assert!(!second.is_finished(), "{what}: nobody waited for the first");
    go.send(true).expect("is heard");
    second.await.expect("writes");
    assert!(old().await.expect("reads").is_none(), "{what}");
    first.await.expect("writes");
}

#[tokio::test]
async fn writes_of_one_row_return_in_the_order_of_their_commits() {
    macro_rules! work {
        ($engine:ident => $work:expr) => {
            |$engine: Engine| async move {
                let _ = $work.await.expect("writes");
            }
        };
    }
    macro_rules! to_c {
        () => {
            work!(engine => User::update_by_id(&engine, 1).email("c").into_future())
        };
    }
    if !speaks_sql() {
        // One call, which is permanent when it is done.
        let held = Step::Written;
        macro_rules! to_b {
            () => {
                work!(engine => User::update_by_id(&engine, 1).email("b").into_future())
            };
        }
        in_order("update", held, to_b!(), to_c!()).await;
        let upsert =
            work!(engine => User::upsert_by_id(&engine, NewUser { email: "b".into(), ..user(1, "new") }));
        in_order("upsert", held, upsert, to_c!()).await;
        let delete = work!(engine => User::delete_by_id(&engine, 1));
        let again = work!(engine => User::insert(&engine, NewUser { email: "c".into(), ..user(1, "new") }));
        in_order("delete", held, delete, again).await;
        let several =
            work!(engine => User::query(&engine).filter(User::ID.le(1)).update().set(User::EMAIL, "b"));
        in_order("by filter", held, several, to_c!()).await;
        let command =
            doc! { "update": "users", "updates": [{ "q": { "_id": 1 }, "u": { "$set": { "email": "c" } } }] };
        let command = work!(engine => engine.command(command).touches::<(User,)>().execute());
        in_order("command", held, to_b!(), command).await;
        return;
    }
    in_order(
        "update",
        Step::Committed,
        work!(engine => User::update_by_id(&engine, 1).email("b").into_future()),
        to_c!(),
    )
    .await;
    in_order(
        "by filter",
        Step::Committed,
        work!(engine => User::query(&engine).filter(User::ID.eq(1)).update().set(User::EMAIL, "b")),
        work!(engine => engine.transaction(|tx: Tx| async move { User::update_by_id(&tx, 1).email("c").await.map(drop) })),
    )
    .await;
    in_order(
        "transaction",
        Step::Committed,
        work!(engine => engine.transaction(|tx: Tx| async move { User::update_by_id(&tx, 1).email("b").await.map(drop) })),
        work!(engine => engine.sql("UPDATE users SET email = 'c' WHERE id = 1").touches::<(User,)>().execute()),
    )
    .await;
    in_order(
        "delete, and a statement of rows that nobody knows",
        if which() == Which::MySql { Step::Committed } else { Step::Written },
        work!(engine => User::delete_by_id(&engine, 1)),
        work!(engine => engine.sql("INSERT INTO users (id, email, status) VALUES (1, 'c', 'new')").touches::<(User,)>().execute()),
    )
    .await;
    in_order(
        "delete",
        if which() == Which::MySql { Step::Committed } else { Step::Written },
        work!(engine => User::delete_by_id(&engine, 1)),
        work!(engine => User::insert(&engine, NewUser { email: "c".into(), ..user(1, "new") })),
    )
    .await;
}
