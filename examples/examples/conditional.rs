//! The cache as the caller wants it: on or off for a query, and for the whole engine while it runs.
//!
//! `cargo run --example conditional`
#![allow(clippy::print_stdout, reason = "it is an example")]

use std::time::Duration;

use pie::prelude::*;
use pie::{Source, assert_statements};

#[derive(Debug, Clone, Model)]
#[cached(ttl = "1m")]
struct User {
    #[pie(id, auto)]
    id: i64,
    #[pie(index)]
    status: String,
}

async fn users_with_conditional_cache(engine: &Engine, use_cache: bool) -> pie::Result<Cached<Vec<User>>> {
    User::list_by_status(engine, "active").cache(Duration::from_secs(300)).cache_if(use_cache).await
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> pie::Result<()> {
    let engine = Engine::builder().database(examples::database()).build().await?;
    engine.create_tables::<(User,)>().await?;
    User::insert(&engine, NewUser { status: "active".into() }).await?;

    for use_cache in [false, true, true, false] {
        let users = users_with_conditional_cache(&engine, use_cache).await?;
        println!("use_cache = {use_cache:<5}: {} from {}", users.len(), users.source());
    }

    // For everything, while the program runs: queries go to the database, and writes still invalidate.
    engine.cache().disable();
    assert_statements!(engine, 1, users_with_conditional_cache(&engine, true).await?);
    User::insert(&engine, NewUser { status: "active".into() }).await?;
    engine.cache().enable();
    let users = users_with_conditional_cache(&engine, true).await?;
    assert_eq!((users.len(), users.source()), (2, Source::Database));
    println!("switched on again: {} from {}", users.len(), users.source());
    Ok(())
}
