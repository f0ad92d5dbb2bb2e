//! Transactions of MongoDB, on a server that says it is a replica set: what is sent, what is undone, and what errors mean. The server of these tests
//! keeps transactions not apart from one another; so there is one client at a time here, and nothing about isolation.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "a test fails by panicking")]

use std::env;

use pie::bson::{Document, doc};
use pie::prelude::*;
use pie::{ErrorKind, TxOptions, assert_loads, assert_statements, testing};

#[derive(Debug, Clone, PartialEq, Model)]
#[cached(ttl = "1h")]
struct User {
    #[pie(id, auto)]
    id: i64,
    #[pie(unique)]
    email: String,
    #[pie(index)]
    status: String,
}

fn user(email: &str, status: &str) -> NewUser {
    NewUser { email: email.into(), status: status.into() }
}

/// The server, and an engine on an empty database of it; `None` where there is none, which is told.
async fn set_up() -> Option<(mongodb::Client, Engine)> {
    let Ok(url) = env::var("PIE_TEST_MONGODB_SET_URL") else {
        let why = "PIE_TEST_MONGODB_SET_URL is not set: scripts/test starts the server and sets it";
        // Beside a real MongoDB there is none.
        let beside = env::var("PIE_TEST_MONGODB_URL").is_ok();
        assert!(beside || env::var("CI").as_deref() != Ok("true"), "{why}");
        eprintln!("NOT RUN: {why}");
        return None;
    };
    let mut url: url::Url = url.parse().expect("a URL");
    let client = mongodb::Client::with_uri_str(url.as_str()).await.expect("connects");
    url.set_path(&pie_tests::unique("set"));
    let builder = Engine::builder().database(url.as_str()).config(testing::config());
    let engine = builder.build().await.expect("builds");
    engine.create_tables::<(User,)>().await.expect("creates");
    let users = [("ann", "old"), ("bob", "old"), ("eve", "new")].map(|(email, status)| user(email, status));
    User::insert_many(&engine, users).await.expect("inserts");
    Some((client, engine))
}

/// Makes the next commands of this name fail, as MongoDB does for tests.
async fn fail(client: &mongodb::Client, command: &str, times: i32, mut how: Document) {
    how.insert("failCommands", [command]);
    let point = doc! { "configureFailPoint": "failCommand", "mode": { "times": times }, "data": how };
    client.database("admin").run_command(point).await.expect("is configured");
}

async fn seen(engine: &Engine) -> (Vec<String>, u64, Option<String>) {
    let old = User::list_by_status(engine, "old").order_by(User::ID.asc()).await.expect("reads");
    let new = User::list_by_status(engine, "new").count().await.expect("counts");
    let ann = User::find_by_email(engine, "ann").await.expect("reads").map(|user| user.status.clone());
    (old.iter().map(|user| user.email.clone()).collect(), new, ann)
}

fn before() -> (Vec<String>, u64, Option<String>) {
    (vec!["ann".into(), "bob".into()], 1, Some("old".into()))
}

/// One test: the faults that it asks the server for are those of all its clients.
#[tokio::test]
async fn transactions_of_a_replica_set() -> pie::Result<()> {
    let Some((client, engine)) = set_up().await else { return Ok(()) };
    assert!(engine.has_transactions());
    commits_and_what_is_undone(&engine).await?;
    writes_of_several_rows_are_told_apart(&engine).await?;
    errors(&client, &engine).await
}

async fn commits_and_what_is_undone(engine: &Engine) -> pie::Result<()> {
    assert_eq!(seen(engine).await, before());
    let tx = engine.begin().await?;
    User::update_by_id(&tx, 1).status("new").await?;
    User::insert(&tx, user("joe", "old")).await?;
    assert_eq!(User::query(&tx).filter(User::STATUS.eq("old")).delete().await?, 2);
    User::upsert_by_email(&tx, user("eve", "old")).await?;
    // Its own reads see it, and the cache does not.
    assert_eq!(User::list_by_status(&tx, "old").await?.len(), 1);
    assert_eq!(User::query(&tx).count().await?, 2);
    assert!(User::query(&tx).filter(User::EMAIL.eq("ann")).exists().await?);
    assert_eq!(*User::query(&tx).distinct(User::STATUS).await?, ["new", "old"]);
    let told: Vec<User> = tx.command(doc! { "find": "users", "sort": { "_id": 1 } }).all().await?;
    assert_eq!(told.iter().map(|user| &*user.email).collect::<Vec<_>>(), ["ann", "eve"]);
    assert_loads!(engine, 0, assert_eq!(seen(engine).await, before()));
    tx.rollback().await?;
    assert_loads!(engine, 0, assert_eq!(seen(engine).await, before()));
    assert_eq!(User::query(engine).no_cache().count().await?, 3, "it is undone");

    let work = |tx: Tx| async move {
        User::update_by_id(&tx, 1).status("new").await?;
        User::delete_by_id(&tx, 2).await?;
        let joe = User::insert(&tx, user("joe", "old")).await?;
        tx.command(doc! { "update": "users", "updates": [{ "q": { "_id": joe.id }, "u": { "$set": { "status": "x" } } }] })
            .touches::<(User,)>()
            .execute()
            .await
    };
    assert_eq!(engine.transaction(work).await?, 1);
    assert_eq!(seen(engine).await, (vec![], 2, Some("new".into())));
    assert_eq!(User::list_by_status(engine, "x").await?.len(), 1);
    // Back to where it began.
    User::query(engine).filter(User::EMAIL.eq("joe")).delete().await?;
    User::update_by_id(engine, 1).status("old").await?;
    User::upsert_by_email(engine, user("bob", "old")).await?;
    assert_eq!(seen(engine).await, before());
    Ok(())
}

/// In a transaction of their own: what they touch is known, and they are done or not done.
async fn writes_of_several_rows_are_told_apart(engine: &Engine) -> pie::Result<()> {
    let outside = async || User::list_by_status(engine, "elsewhere").await.map(drop);
    outside().await?;
    seen(engine).await;
    assert_statements!(engine, 2, {
        let update = User::query(engine).filter(User::STATUS.eq("old")).update();
        assert_eq!(update.set(User::STATUS, "new").await?, 2);
    });
    assert_eq!(seen(engine).await, (vec![], 3, Some("new".into())));
    assert_loads!(engine, 0, outside().await?);
    let error = User::insert_many(engine, [user("joe", "old"), user("ann", "old")]).await.expect_err("twice");
    assert_eq!((error.kind(), error.column()), (ErrorKind::UniqueViolation, Some("email")));
    assert!(!error.to_string().contains("inserted"), "all or none: {error}");
    assert_loads!(engine, 0, assert_eq!(seen(engine).await, (vec![], 3, Some("new".into()))));
    assert_eq!(User::query(engine).no_cache().count().await?, 3);
    let update = User::query(engine).filter(User::EMAIL.in_(["ann", "bob"])).update();
    assert_eq!(update.set(User::STATUS, "old").await?, 2);
    assert_eq!(seen(engine).await, before());
    assert_loads!(engine, 0, outside().await?);
    Ok(())
}

async fn errors(client: &mongodb::Client, engine: &Engine) -> pie::Result<()> {
    let secret = |error: &pie::Error| assert!(!format!("{error} {error:?}").contains("tiger"), "{error:?}");
    // In conflict with another one: run again, as often as is asked for.
    let transient = || doc! { "errorCode": 112, "errorLabels": ["TransientTransactionError"] };
    let to_new = |tx: Tx| async move { User::update_by_id(&tx, 1).status("new").await.map(drop) };
    fail(client, "findAndModify", 2, transient()).await;
    engine.transaction_with(TxOptions::new().retries(2), to_new).await?;
    assert_eq!(seen(engine).await, (vec!["bob".into()], 2, Some("new".into())));
    User::update_by_id(engine, 1).status("old").await?;
    fail(client, "findAndModify", 1, transient()).await;
    let error = engine.transaction_with(TxOptions::new().retries(0), to_new).await.expect_err("in conflict");
    assert_eq!(error.kind(), ErrorKind::SerializationFailure);
    assert!(error.is_retryable());
    secret(&error);
    fail(client, "commitTransaction", 1, transient()).await;
    engine.transaction(to_new).await?;
    assert_eq!(seen(engine).await.2.as_deref(), Some("new"));
    User::update_by_id(engine, 1).status("old").await?;

    // After an error the server has undone everything, and nothing more is done.
    assert_eq!(seen(engine).await, before());
    let tx = engine.begin().await?;
    User::update_by_id(&tx, 3).status("old").await?.expect("is there");
    assert!(User::insert(&tx, user("ann", "x")).await.expect_err("is there").is_unique_violation());
    let error = User::update_by_id(&tx, 3).status("x").await.expect_err("over");
    assert_eq!(error.kind(), ErrorKind::TransactionFailed, "{error:?}");
    assert_eq!(tx.commit().await.expect_err("over").kind(), ErrorKind::TransactionFailed);
    assert_loads!(engine, 0, assert_eq!(seen(engine).await, before()));
    // What was never sent has done nothing.
    let tx = engine.begin().await?;
    let error = User::query(&tx).filter(User::EMAIL.matches_regex("\0")).await.expect_err("no pattern");
    assert_eq!(error.kind(), ErrorKind::InvalidQuery);
    User::update_by_id(&tx, 3).status("old").await?.expect("is there");
    tx.commit().await?;
    assert_eq!(seen(engine).await, (["ann", "eve", "bob"].map(str::to_owned).into(), 0, Some("old".into())));
    User::update_by_id(engine, 3).status("new").await?;

    // Nobody knows whether it was committed: what it touched goes, as if it was.
    for how in [
        doc! { "closeConnection": true },
        doc! { "errorCode": 91, "errorLabels": ["UnknownTransactionCommitResult"] },
    ] {
        assert_eq!(seen(engine).await, before());
        let tx = engine.begin().await?;
        User::update_by_id(&tx, 1).status("old").await?;
        // The driver asks once more by itself.
        fail(client, "commitTransaction", 2, how).await;
        let error = tx.commit().await.expect_err("nobody knows");
        assert_eq!(error.kind(), ErrorKind::Connection, "{error:?}");
        secret(&error);
        let loads = engine.cache().stats().loads;
        assert_eq!(seen(engine).await, before());
        assert!(engine.cache().stats().loads > loads, "what it touched was ended");
    }

    // Done, and not confirmed: the same.
    let unconfirmed =
        || doc! { "writeConcernError": { "code": 64, "codeName": "WriteConcernTimeout", "errmsg": "tiger" } };
    fail(client, "findAndModify", 1, unconfirmed()).await;
    let error = User::update_by_id(engine, 1).status("x").await.expect_err("not confirmed");
    assert_eq!(error.kind(), ErrorKind::Connection, "{error:?}");
    secret(&error);
    assert_eq!(seen(engine).await, (vec!["bob".into()], 1, Some("x".into())));
    User::update_by_id(engine, 1).status("old").await?;
    assert_eq!(User::list_by_status(engine, "y").await?.len(), 0);
    fail(client, "insert", 1, unconfirmed()).await;
    let error = User::insert(engine, user("joe", "y")).await.expect_err("not confirmed");
    assert_eq!(error.kind(), ErrorKind::Connection, "{error:?}");
    assert_eq!(User::list_by_status(engine, "y").await?.len(), 1);
    assert!(User::query(engine).filter(User::EMAIL.eq("joe")).delete().await? == 1);
    assert_eq!(seen(engine).await, before());

    // The kinds of other errors.
    for (code, kind) in [
        (50, ErrorKind::Timeout),
        (13, ErrorKind::Connection),
        (121, ErrorKind::CheckViolation),
        (112, ErrorKind::SerializationFailure),
        (10_334, ErrorKind::InvalidValue),
        (59, ErrorKind::Unsupported),
        (11_600, ErrorKind::Connection),
        (4_711, ErrorKind::Database),
    ] {
        // The driver tries some of them again.
        fail(client, "findAndModify", 2, doc! { "errorCode": code }).await;
        let error = User::update_by_id(engine, 1).status("old").await.expect_err("refused");
        assert_eq!(error.kind(), kind, "{code}: {error:?}");
        assert_eq!((error.model(), error.query()), (Some("User"), Some("update_by_id")));
        secret(&error);
        fail(client, "findAndModify", 0, doc! {}).await;
    }
    // The driver tries a write again that a primary did not take; pie does not see it.
    let again = doc! { "errorCode": 10_107, "errorLabels": ["RetryableWriteError"] };
    fail(client, "findAndModify", 1, again).await;
    pie_tests::until("the primary is found again", async || {
        User::update_by_id(engine, 1).status("old").await.is_ok()
    })
    .await;
    assert_eq!(seen(engine).await, before());
    Ok(())
}
