//! Filling the cache before the first visitor comes: named queries, some at a time, with progress and a report.
//!
//! `cargo run --example warmup`
#![allow(clippy::print_stdout, reason = "it is an example")]

use std::time::Duration;

use pie::prelude::*;

#[derive(Debug, Clone, Model)]
struct User {
    #[pie(id, auto)]
    id: i64,
    #[pie(index)]
    status: String,
    role: String,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> pie::Result<()> {
    let engine = Engine::builder().database(examples::database()).build().await?;
    engine.create_tables::<(User,)>().await?;
    let users = (0..100).map(|i| NewUser {
        status: if i % 3 == 0 { "away".into() } else { "active".into() },
        role: if i % 10 == 0 { "admin".into() } else { "user".into() },
    });
    User::insert_many(&engine, users).await?;

    let hour = Duration::from_secs(3600);
    let warmup = || {
        engine
            .warmup()
            .query("active_users", || User::query(&engine).filter(User::STATUS.eq("active")).cache(hour))
            .query("admin_users", || User::query(&engine).filter(User::ROLE.eq("admin")).cache(hour))
            // Pages are counted from 1: a mistake, which the report names.
            .query("first_page", || User::query(&engine).cache(hour).page(0, 10))
            .concurrency(2)
            .on_progress(|progress| println!("{progress}"))
    };
    let report = warmup().await;
    assert_eq!((report.loaded(), report.failed(), report.skipped()), (2, 1, 0));
    let again = warmup().await;
    assert_eq!((again.loaded(), again.failed(), again.skipped()), (0, 1, 2));
    println!("\nthe second time: {again}");
    Ok(())
}
