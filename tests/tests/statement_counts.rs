//! How many statements each write is, on each database: counted as sqlx reports them, without those that begin and end transactions; and
//! that what is logged of them has no values.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "a test fails by panicking")]

use pie::prelude::*;
use pie::testing;
use pie_tests::databases::{Which, concurrent_database, which};
use pie_tests::log::Log;

#[derive(Debug, Clone, PartialEq, Model)]
#[cached(ttl = "1h")]
struct User {
    #[pie(id, auto)]
    id: i64,
    #[pie(unique)]
    email: String,
    #[pie(index)]
    status: String,
    age: i32,
}

fn user(email: &str) -> NewUser {
    NewUser { email: email.into(), status: "tiger".into(), age: 1 }
}

#[tokio::test]
async fn a_write_is_as_many_statements_as_the_docs_say() -> pie::Result<()> {
    let log = Log::start().await;
    let engine = Engine::builder()
        .database(concurrent_database())
        .slow_statement(std::time::Duration::ZERO)
        .config(testing::config())
        .build()
        .await?;
    engine.create_tables::<(User,)>().await?;
    log.clear();
    let mut said = Vec::new();
    // For SQLite and PostgreSQL, MariaDB, MySQL.
    macro_rules! is {
        ($name:literal, $numbers:expr, $write:expr) => {{
            let _ = $write.await?;
            let statements = log.statements();
            let numbers: [usize; 3] = $numbers;
            let wanted = match which() {
                Which::Sqlite | Which::Postgres => numbers[0],
                Which::MariaDb => numbers[1],
                Which::MySql => numbers[2],
            };
            assert_eq!(statements.len(), wanted, "{}: {statements:#?}", $name);
            said.extend(statements);
        }};
    }
    is!("insert", [1, 1, 2], User::insert(&engine, user("ann")));
    is!("insert_many", [1, 1, 4], User::insert_many(&engine, [user("bob"), user("eve")]));
    is!("update_by_id of a plain column", [1, 3, 3], User::update_by_id(&engine, 1).age(2));
    is!("update_by_id of an indexed column", [2, 3, 3], User::update_by_id(&engine, 1).status("tiger cub"));
    is!("upsert that inserts", [2, 2, 3], User::upsert_by_email(&engine, user("joe")));
    is!("upsert that updates", [2, 3, 3], User::upsert_by_email(&engine, user("joe")));
    is!("update by filter", [2, 3, 3], {
        User::query(&engine).filter(User::STATUS.eq("tiger")).update().set(User::AGE, 3)
    });
    is!("delete by filter", [2, 2, 2], User::query(&engine).filter(User::EMAIL.eq("eve")).delete());
    is!("delete_by_id", [1, 1, 2], User::delete_by_id(&engine, 1));
    is!("update of nothing", [1, 1, 1], User::update_by_id(&engine, 99).age(1));
    is!("find_by_id", [1, 1, 1], User::find_by_id(&engine, 2));
    is!("find_by_id, cached", [0, 0, 0], User::find_by_id(&engine, 2));
    assert!(said.iter().all(|statement| !statement.contains("tiger")), "values are not logged: {said:#?}");
    let slow = log.events().into_iter().filter(|line| line.starts_with("WARN slow statement")).count();
    assert!(slow > 10, "every statement takes longer than nothing: {slow}");
    Ok(())
}
