//! Trouble with a database server, and what it does not like: each an error of a kind, without a secret, after a bounded time; and it recovers.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "a test fails by panicking")]

use std::time::Duration;

use pie::prelude::*;
use pie::{Error, ErrorKind, TxOptions, assert_loads, testing};
use pie_tests::databases::{self, Which, concurrent_database, which};
use pie_tests::proxy::Proxy;

#[derive(Debug, Clone, PartialEq, Model)]
#[cached(ttl = "1h")]
struct User {
    #[pie(id, auto)]
    id: i64,
    #[pie(unique)]
    email: String,
    age: i32,
}

fn user(email: &str) -> NewUser {
    NewUser { email: email.into(), age: 1 }
}

/// Whether this run is about a server; SQLite is none.
fn server() -> bool {
    which() != Which::Sqlite
}

/// The URL with another host and port, and perhaps another user.
fn at(url: &str, user: Option<&str>, port: u16) -> String {
    let mut url: url::Url = url.parse().expect("a URL");
    url.set_port(Some(port)).expect("has a port");
    if let Some((name, password)) = user.and_then(|user| user.split_once(':')) {
        url.set_username(name).expect("has a user");
        url.set_password(Some(password)).expect("has a password");
    }
    url.to_string()
}

fn port(url: &str) -> u16 {
    url.parse::<url::Url>().expect("a URL").port().expect("a port")
}

async fn kind_of(builder: pie::EngineBuilder) -> Error {
    builder.acquire_timeout(Duration::from_secs(3)).build().await.expect_err("refused")
}

/// What a URL without a database is: MongoDB has none that goes without saying.
fn server_kind() -> ErrorKind {
    if which() == Which::MongoDb { ErrorKind::InvalidConfig } else { ErrorKind::Connection }
}

#[tokio::test]
async fn who_is_not_let_in_is_told_so_without_the_password() {
    if !server() {
        return;
    }
    let url = concurrent_database().url().await;
    let here = port(&url);
    let nobody = at(&url, Some("nobody:tiger"), here);
    let closed =
        std::net::TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("a port").port();
    let closed = at(&url, Some("root:tiger"), closed);
    let (scheme, example) = match which() {
        Which::MongoDb => ("mongodb", "mongodb://user:password@host:27017/name"),
        Which::Postgres => ("postgres", "postgres://user:password@host:5432/database"),
        _ => ("mysql", "mysql://user:password@host:3306/database"),
    };
    let (refused, unreachable) = match which() {
        Which::MongoDb => ("refused the credentials", "can be reached"),
        _ => ("user name or the password", "cannot be reached"),
    };
    let bad_urls: &[String] = if which() == Which::MongoDb {
        &["readPreference=secondary", "w=0", "tiger=%"].map(|option| format!("{url}?{option}"))
    } else {
        &[]
    };
    for url in bad_urls {
        let error = kind_of(Engine::builder().database(url.as_str())).await;
        assert_eq!(error.kind(), ErrorKind::InvalidConfig, "{error:?}");
        assert!(!format!("{error} {error:?}").contains("tiger"), "{error:?}");
    }
    for (url, kind, says) in [
        (nobody.as_str(), ErrorKind::Connection, refused),
        (&closed, ErrorKind::Connection, unreachable),
        (&format!("{scheme}://root:tiger@127.0.0.1:notaport/x"), ErrorKind::InvalidConfig, example),
        (&format!("{scheme}://root:tiger@127.0.0.1:{here}/no_such_database"), ErrorKind::Connection, ""),
        (&format!("{scheme}://root:tiger@127.0.0.1:{here}"), server_kind(), ""),
    ] {
        let error = kind_of(Engine::builder().database(url)).await;
        assert_eq!(error.kind(), kind, "{error:?}");
        assert!(error.to_string().contains(says), "{error}");
        let mut shown = format!("{error} {error:?}");
        let mut source = std::error::Error::source(&error);
        while let Some(inner) = source {
            shown.push_str(&format!("{inner} {inner:?}"));
            source = inner.source();
        }
        assert!(!shown.contains("tiger"), "{shown}");
    }
}

#[tokio::test]
async fn a_server_that_goes_away_and_comes_back() -> pie::Result<()> {
    if !server() {
        return Ok(());
    }
    let url = concurrent_database().url().await;
    let proxy = Proxy::start(port(&url)).await.expect("starts");
    let engine = Engine::builder()
        .database(at(&url, None, proxy.port()))
        .acquire_timeout(Duration::from_millis(700))
        .config(testing::config())
        .build()
        .await?;
    engine.create_tables::<(User,)>().await?;
    let ann = User::insert(&engine, user("ann")).await?.into_owned();
    for round in 1..=3 {
        User::find_by_id(&engine, ann.id).await?;
        let tx = if databases::transactions() { Some(engine.begin().await?) } else { None };
        if let Some(tx) = &tx {
            User::update_by_id(tx, ann.id).age(round).await?;
        }
        proxy.cut();
        // What is cached is served; nothing else is, and nothing waits for ever.
        assert_eq!(
            User::find_by_id(&engine, ann.id).required().await?.age,
            if round == 1 { 1 } else { 50 + round - 1 }
        );
        let gone = |error: Error| {
            assert!(matches!(error.kind(), ErrorKind::Connection | ErrorKind::PoolTimeout), "{error:?}");
        };
        gone(User::find_by_email(&engine, format!("nobody {round}")).await.expect_err("the server is gone"));
        gone(User::insert(&engine, user("bob")).await.expect_err("the server is gone"));
        if let Some(tx) = tx {
            gone(User::find_by_id(&tx, ann.id).await.expect_err("the server is gone"));
            gone(tx.commit().await.expect_err("the server is gone"));
            gone(engine.begin().await.expect_err("the server is gone"));
        }
        proxy.mend();
        // Without a restart, and whatever the pool still holds.
        pie_tests::until("the database answers again", async || {
            User::update_by_id(&engine, ann.id).age(50 + round).await.is_ok()
        })
        .await;
        assert_eq!(User::find_by_id(&engine, ann.id).required().await?.age, 50 + round);
        assert!(User::find_by_email(&engine, "bob").await?.is_none());
    }
    Ok(())
}

/// Ends every connection of the test's database but one's own, as an administrator would.
async fn end_connections(url: &str) {
    match which() {
        Which::Postgres => {
            let pool = sqlx::PgPool::connect(url).await.expect("connects");
            sqlx::query(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND query LIKE '%pg_sleep%'",
            )
            .execute(&pool)
            .await
            .expect("ends them");
        }
        _ => {
            let pool = sqlx::MySqlPool::connect(url).await.expect("connects");
            let ids: Vec<(u64,)> = sqlx::query_as(
                "SELECT CAST(id AS UNSIGNED) FROM information_schema.processlist WHERE db = DATABASE() AND info LIKE '%SLEEP%' AND id <> CONNECTION_ID()",
            )
            .fetch_all(&pool)
            .await
            .expect("lists them");
            for (id,) in ids {
                let kill = sqlx::AssertSqlSafe(format!("KILL {id}"));
                sqlx::raw_sql(kill).execute(&pool).await.expect("ends it");
            }
        }
    }
}

fn sleep(seconds: u32) -> String {
    match which() {
        Which::Postgres => format!("SELECT 1 FROM pg_sleep({seconds})"),
        _ => format!("SELECT SLEEP({seconds})"),
    }
}

#[tokio::test]
async fn a_connection_that_ends_in_the_middle_of_a_query() -> pie::Result<()> {
    if !server() {
        return Ok(());
    }
    let url = concurrent_database().url().await;
    if !which().speaks_sql() {
        return a_call_is_cut(&url).await;
    }
    let engine = Engine::builder().database(url.as_str()).config(testing::config()).build().await?;
    engine.create_tables::<(User,)>().await?;
    let query = tokio::spawn({
        let engine = engine.clone();
        async move { engine.sql(&sleep(60)).execute().await }
    });
    let mut tries = 0;
    pie_tests::until("the query is ended", async || {
        tries += 1;
        end_connections(&url).await;
        query.is_finished()
    })
    .await;
    let error = query.await.expect("no panic").expect_err("ended");
    assert_eq!(error.kind(), ErrorKind::Connection, "{error:?}");
    User::insert(&engine, user("ann")).await?;
    assert_eq!(User::query(&engine).count().await?, 1);
    Ok(())
}

/// The same where no statement sleeps: its answer is kept back, and then the connection ends.
async fn a_call_is_cut(url: &str) -> pie::Result<()> {
    let proxy = Proxy::start(port(url)).await.expect("starts");
    let mut through: url::Url = at(url, None, proxy.port()).parse().expect("a URL");
    // Else a read is made again by the driver, which is not what this is about.
    through.set_query(Some("retryReads=false"));
    let engine = Engine::builder()
        .database(through.as_str())
        .acquire_timeout(Duration::from_secs(2))
        .config(testing::config())
        .build()
        .await?;
    engine.create_tables::<(User,)>().await?;
    let ann = User::insert(&engine, user("ann")).await?.id;
    let direct = Engine::builder().database(url).build().await?;
    for writes in [false, true] {
        // The connection that is open already, and that the next call takes.
        User::find_by_id(&engine, ann).refresh().await?;
        proxy.trips();
        proxy.hold(true);
        let call = tokio::spawn({
            let engine = engine.clone();
            async move {
                if writes {
                    User::update_by_id(&engine, ann).age(7).await.map(drop)
                } else {
                    User::query(&engine).count().await.map(drop)
                }
            }
        });
        pie_tests::until("it is asked", async || proxy.asked() > 0).await;
        if writes {
            // It was done, and nobody hears of it.
            let done = async || User::find_by_id(&direct, ann).no_cache().await.unwrap().unwrap().age == 7;
            pie_tests::until("it is done", done).await;
        }
        proxy.cut();
        let error = call.await.expect("no panic").expect_err("cut");
        proxy.hold(false);
        assert_eq!(error.kind(), ErrorKind::Connection, "{error:?}");
        proxy.mend();
        let age = if writes { 7 } else { 1 };
        pie_tests::until("the database answers again", async || {
            User::query(&engine).count().no_cache().await.is_ok()
        })
        .await;
        assert_eq!(User::find_by_id(&engine, ann).required().await?.age, age);
    }
    Ok(())
}

#[tokio::test]
async fn a_statement_that_takes_too_long() -> pie::Result<()> {
    // (That MongoDB is told the limit is in `statement_counts.rs`; the server of these tests does not keep it.)
    if !server() || !which().speaks_sql() {
        return Ok(());
    }
    let url = concurrent_database().url().await;
    let engine = Engine::builder()
        .database(url.as_str())
        .statement_timeout(Duration::from_millis(100))
        .build()
        .await?;
    let long = match which() {
        Which::Postgres => sleep(60),
        // Its sleep is not counted as work.
        _ => "SELECT COUNT(*) FROM information_schema.columns a, information_schema.columns b, information_schema.columns c".to_owned(),
    };
    let error = engine.sql(&long).execute().await.expect_err("too long");
    assert_eq!(error.kind(), ErrorKind::Timeout, "{error:?}");
    assert!(error.is_retryable());
    Ok(())
}

#[tokio::test]
async fn a_pool_that_is_used_up() -> pie::Result<()> {
    if !server() {
        return Ok(());
    }
    let url = concurrent_database().url().await;
    let engine = Engine::builder()
        .database(url.as_str())
        .max_connections(2)
        .acquire_timeout(Duration::from_millis(300))
        .build()
        .await?;
    engine.create_tables::<(User,)>().await?;
    if !databases::transactions() {
        return a_pool_whose_connections_wait(&url).await;
    }
    let (one, two) = (engine.begin().await?, engine.begin().await?);
    let error = User::find_by_id(&engine, 1).await.expect_err("no connection is free");
    assert_eq!((error.kind(), error.query()), (ErrorKind::PoolTimeout, Some("find_by_id")), "{error:?}");
    assert!(error.is_retryable());
    drop(one);
    two.rollback().await?;
    assert!(User::find_by_id(&engine, 1).await?.is_none());
    Ok(())
}

/// The same without transactions: two calls wait for their answers.
async fn a_pool_whose_connections_wait(url: &str) -> pie::Result<()> {
    let proxy = Proxy::start(port(url)).await.expect("starts");
    let engine = Engine::builder()
        .database(at(url, None, proxy.port()))
        .max_connections(2)
        .acquire_timeout(Duration::from_millis(300))
        .build()
        .await?;
    proxy.trips();
    proxy.hold(true);
    let waiting = [1, 2].map(|id| {
        let engine = engine.clone();
        tokio::spawn(async move { User::find_by_id(&engine, id).await.map(drop) })
    });
    pie_tests::until("both are asked", async || proxy.asked() >= 2).await;
    let error = User::find_by_id(&engine, 3).await.expect_err("no connection is free");
    assert_eq!((error.kind(), error.query()), (ErrorKind::PoolTimeout, Some("find_by_id")), "{error:?}");
    assert!(error.is_retryable());
    proxy.hold(false);
    for task in waiting {
        task.await.expect("no panic")?;
    }
    assert!(User::find_by_id(&engine, 3).await?.is_none());
    Ok(())
}

#[tokio::test]
async fn columns_of_other_types_are_named() -> pie::Result<()> {
    if !server() || !which().speaks_sql() {
        return Ok(());
    }
    let id = databases::counted_id();
    for (email, age, value, column) in [
        ("VARCHAR(50)", "VARCHAR(50)", "'tiger', 'tiger'", "age"),
        ("VARCHAR(50)", "DOUBLE PRECISION", "'tiger', 1.5", "age"),
        ("DATE", "INTEGER", "'2026-11-22', 1", "email"),
        ("VARCHAR(50)", "BIGINT", "'tiger', 99999999999", "age"),
        ("VARCHAR(50)", "INTEGER", "'tiger', NULL", "age"),
    ] {
        let engine =
            Engine::builder().database(concurrent_database()).config(testing::config()).build().await?;
        engine.sql(&format!("CREATE TABLE users (id {id}, email {email}, age {age})")).execute().await?;
        engine.sql(&format!("INSERT INTO users (email, age) VALUES ({value})")).execute().await?;
        for _ in 0..2 {
            let error = User::find_by_id(&engine, 1).await.expect_err(value);
            assert_eq!((error.column(), error.model()), (Some(column), Some("User")), "{value}: {error:?}");
            let kinds = [ErrorKind::TypeMismatch, ErrorKind::Decode, ErrorKind::NullValue];
            assert!(kinds.contains(&error.kind()), "{value}: {error:?}");
            assert!(!format!("{error} {error:?}").contains("tiger"));
        }
        // What cannot be read can be deleted all the same.
        assert!(User::delete_by_id(&engine, 1).await?);
        assert!(User::find_by_id(&engine, 1).await?.is_none());
    }
    Ok(())
}

#[tokio::test]
async fn a_value_too_long_for_its_index_or_column() -> pie::Result<()> {
    // (An index of MongoDB takes every value since 4.2.)
    if !server() || !which().speaks_sql() {
        return Ok(());
    }
    let engine = Engine::builder().database(concurrent_database()).config(testing::config()).build().await?;
    engine.create_tables::<(User,)>().await?;
    // Not one that can be compressed.
    let mut seed = 1_u64;
    let mut letter = || {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        char::from(b'a' + u8::try_from((seed >> 33) % 26).unwrap())
    };
    let long: String = (0..20_000).map(|_| letter()).collect();
    assert!(User::find_by_email(&engine, "x").await?.is_none());
    let error = User::insert(&engine, user(&long)).await.expect_err("too long");
    assert_eq!(error.kind(), ErrorKind::InvalidValue, "{error:?}");
    assert!(error.to_string().contains("index"), "{error}");
    assert_eq!(error.model(), Some("User"));
    assert_loads!(engine, 0, assert!(User::find_by_email(&engine, "x").await?.is_none()));
    Ok(())
}

#[tokio::test]
async fn a_deadlock_is_undone_and_run_again() -> pie::Result<()> {
    if !server() || !databases::transactions() {
        return Ok(());
    }
    let engine = Engine::builder().database(concurrent_database()).config(testing::config()).build().await?;
    engine.create_tables::<(User,)>().await?;
    let rows = User::insert_many(&engine, [user("ann"), user("bob")]).await?;
    let ids = [rows[0].id, rows[1].id];
    // Each has one row, and then wants the other's.
    let (one, two) = (engine.begin().await?, engine.begin().await?);
    User::update_by_id(&one, ids[0]).age(10).await?;
    User::update_by_id(&two, ids[1]).age(20).await?;
    let other = tokio::spawn(async move {
        let done = User::update_by_id(&one, ids[1]).age(11).await;
        (done.map(drop), one)
    });
    let done = User::update_by_id(&two, ids[0]).age(21).await.map(drop);
    let (others, one) = other.await.expect("no panic");
    let (lost, lost_tx, won_tx) = match (done, others) {
        (Err(error), Ok(())) => (error, two, one),
        (Ok(()), Err(error)) => (error, one, two),
        (a, b) => panic!("one of them has to give way: {a:?} {b:?}"),
    };
    assert_eq!(lost.kind(), ErrorKind::SerializationFailure, "{lost:?}");
    assert!(lost.is_retryable());
    // The database has undone it all: nothing more is done in it, and nothing by itself.
    let error = User::update_by_id(&lost_tx, ids[0]).age(99).await.expect_err("over");
    assert!(
        matches!(error.kind(), ErrorKind::SerializationFailure | ErrorKind::TransactionFailed),
        "{error:?}"
    );
    assert!(lost_tx.commit().await.is_err());
    won_tx.commit().await?;
    let ages = async || -> pie::Result<Vec<i32>> {
        Ok(User::query(&engine).order_by(User::ID.asc()).await?.iter().map(|user| user.age).collect())
    };
    assert!([vec![10, 11], vec![21, 20]].contains(&ages().await?), "{:?}", ages().await?);
    // As a closure it is run again.
    let options = TxOptions::new().retries(20);
    let both = [[0, 1], [1, 0]].map(|order| {
        let engine = engine.clone();
        tokio::spawn(async move {
            for _ in 0..10 {
                let work = |tx: Tx| async move {
                    for at in order {
                        let age = User::find_by_id(&tx, ids[at]).required().await?.age;
                        User::update_by_id(&tx, ids[at]).age(age).await?;
                    }
                    Ok(())
                };
                engine.transaction_with(options, work).await.expect("commits in the end");
            }
        })
    });
    for task in both {
        task.await.expect("no panic");
    }
    Ok(())
}

#[tokio::test]
async fn a_transaction_that_failed_says_so_until_its_savepoint_is_undone() -> pie::Result<()> {
    if which() != Which::Postgres {
        return Ok(());
    }
    let engine = Engine::builder().database(concurrent_database()).config(testing::config()).build().await?;
    engine.create_tables::<(User,)>().await?;
    User::insert(&engine, user("ann")).await?;
    let tx = engine.begin().await?;
    User::insert(&tx, user("bob")).await?;
    let part = tx.savepoint().await?;
    assert!(User::insert(&part, user("ann")).await.expect_err("is there").is_unique_violation());
    for error in [
        User::query(&part).count().await.expect_err("failed"),
        User::insert(&part, user("eve")).await.expect_err("failed"),
    ] {
        assert_eq!(error.kind(), ErrorKind::TransactionFailed, "{error:?}");
        assert!(error.to_string().contains("savepoint"), "{error}");
    }
    part.rollback().await?;
    assert_eq!(User::query(&tx).count().await?, 2);
    assert!(User::insert(&tx, user("ann")).await.expect_err("is there").is_unique_violation());
    // PostgreSQL would answer a commit with "rolled back", as if that was no failure.
    assert_eq!(tx.commit().await.expect_err("failed").kind(), ErrorKind::TransactionFailed);
    assert_eq!(User::query(&engine).count().await?, 1);
    Ok(())
}
