//! How many statements each write is, on each database: counted as sqlx reports them, without those that begin and end transactions, and on
//! MongoDB as its driver does; and that what is logged of them has no values.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::{Arc, Mutex};
use std::time::Duration;

use mongodb::event::EventHandler;
use mongodb::event::command::CommandEvent;
use mongodb::options::ClientOptions;
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
    if !which().speaks_sql() {
        return commands().await;
    }
    let log = Log::start().await;
    let engine = Engine::builder()
        .database(concurrent_database())
        // A second one would be set up with statements of its own.
        .max_connections(1)
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
                Which::MongoDb => unreachable!("it has commands"),
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

/// The commands that reach MongoDB, by their names.
async fn commands() -> pie::Result<()> {
    let log = Log::start().await;
    let sent = Arc::new(Mutex::new(Vec::new()));
    let mut options = ClientOptions::parse(concurrent_database().url().await).await.expect("a URL");
    let seen = Arc::clone(&sent);
    let handler = move |event| {
        if let CommandEvent::Started(event) = event {
            let limit = event
                .command
                .get("maxTimeMS")
                .and_then(|limit| limit.as_i64().or(limit.as_i32().map(i64::from)));
            let limited = limit == Some(60_000);
            seen.lock().unwrap().push((event.command_name, limited));
        }
    };
    options.command_event_handler = Some(EventHandler::callback(handler));
    let name = options.default_database.clone().expect("is named");
    let client = mongodb::Client::with_options(options).expect("connects");
    let engine = Engine::builder()
        .database(client.database(&name))
        .slow_statement(Duration::ZERO)
        .statement_timeout(Duration::from_secs(60))
        .config(testing::config())
        .build()
        .await?;
    engine.create_tables::<(User,)>().await?;
    let take = || std::mem::take(&mut *sent.lock().unwrap());
    take();
    log.clear();
    macro_rules! is {
        ($name:literal, $commands:expr, $write:expr) => {{
            let _ = $write.await?;
            let commands = take();
            let names: Vec<&str> = commands.iter().map(|(name, _)| name.as_str()).collect();
            assert_eq!(names, $commands as [&str; _], "{}", $name);
            for (name, limited) in &commands {
                // Those that may take long; an insert and the counter of ids do not.
                let short = matches!(name.as_str(), "insert" | "update" | "delete");
                assert!(*limited || short || $name.contains("insert"), "{}: {name} has no limit", $name);
            }
        }};
    }
    is!("insert", ["findAndModify", "insert"], User::insert(&engine, user("ann")));
    is!("insert_many", ["findAndModify", "insert"], User::insert_many(&engine, [user("bob"), user("eve")]));
    is!("update_by_id of a plain column", ["findAndModify"], User::update_by_id(&engine, 1).age(2));
    is!(
        "update_by_id of an indexed column",
        ["findAndModify"],
        User::update_by_id(&engine, 1).status("tiger cub")
    );
    is!(
        "upsert that inserts",
        ["findAndModify", "findAndModify", "insert"],
        User::upsert_by_email(&engine, user("joe"))
    );
    is!("upsert that updates", ["findAndModify"], User::upsert_by_email(&engine, user("joe")));
    is!("update by filter", ["update"], {
        User::query(&engine).filter(User::STATUS.eq("tiger")).update().set(User::AGE, 3)
    });
    is!("delete by filter", ["delete"], User::query(&engine).filter(User::EMAIL.eq("eve")).delete());
    is!("delete_by_id", ["findAndModify"], User::delete_by_id(&engine, 1));
    is!("update of nothing", ["findAndModify"], User::update_by_id(&engine, 99).age(1));
    is!("find_by_id", ["find"], User::find_by_id(&engine, 2));
    is!("find_by_id, cached", [], User::find_by_id(&engine, 2));
    is!("count", ["aggregate"], User::query(&engine).count());
    is!("exists", ["find"], User::query(&engine).filter(User::AGE.gt(90)).exists());
    is!("distinct", ["aggregate"], User::query(&engine).distinct(User::STATUS));
    let events = log.events();
    assert!(events.iter().all(|line| !line.contains("tiger")), "values are not logged: {events:#?}");
    let slow = events.iter().filter(|line| line.starts_with("WARN") && line.contains("slow call")).count();
    assert!(slow > 10, "every call takes longer than nothing: {events:#?}");
    Ok(())
}
