//! Counts, cached: all users for half an hour, the active ones under tags.
//!
//! `cargo run --example user_stats`
#![allow(clippy::print_stdout, reason = "it is an example")]

use std::time::Duration;

use pie::prelude::*;

#[derive(Debug, Clone, Model)]
struct User {
    #[pie(id, auto)]
    id: i64,
    #[pie(index)]
    status: String,
}

#[derive(Debug, PartialEq)]
struct UserStats {
    total_count: u64,
    active_count: u64,
}

async fn cached_user_stats(engine: &Engine) -> pie::Result<UserStats> {
    Ok(UserStats {
        total_count: User::query(engine).cache(Duration::from_secs(30 * 60)).count().await?,
        active_count: User::query(engine)
            .filter(User::STATUS.eq("active"))
            .tags(["users", "stats"])
            .count()
            .await?,
    })
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> pie::Result<()> {
    let engine = Engine::builder().database(examples::database()).build().await?;
    engine.create_tables::<(User,)>().await?;
    let users = ["active", "active", "away"].map(|status| NewUser { status: status.into() });
    User::insert_many(&engine, users).await?;

    let stats = cached_user_stats(&engine).await?;
    assert_eq!(stats, UserStats { total_count: 3, active_count: 2 });
    assert_eq!(pie::assert_statements!(engine, 0, cached_user_stats(&engine).await?), stats);
    println!("{stats:?}, the second time without a statement");

    User::insert(&engine, NewUser { status: "active".into() }).await?;
    println!("{:?}, after an insert", cached_user_stats(&engine).await?);
    engine.cache().delete_by_tags(["stats"]).await?;
    pie::assert_statements!(engine, 1, cached_user_stats(&engine).await?);
    println!("the tag dropped the count that has it, and not the other");
    Ok(())
}
