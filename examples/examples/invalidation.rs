//! Invalidation by hand: a key, families of keys, tags. Writes through pie need none of it.
//!
//! `cargo run --example invalidation`
#![allow(clippy::print_stdout, reason = "it is an example")]

use std::time::Duration;

use pie::prelude::*;
use pie::{Source, assert_statements};

#[derive(Debug, Clone, Model)]
#[cached(ttl = "5m", tags("users"))]
struct User {
    /// As hexadecimal text, like an ObjectId.
    #[pie(id)]
    id: String,
    #[pie(index)]
    status: String,
}

async fn invalidate_user_cache(engine: &Engine, id: &str) -> pie::Result<()> {
    let cache = engine.cache();
    cache.delete(&format!("user:{id}")).await?; // the row
    cache.delete_by_pattern("users:*").await?; // lists and counts of the table
    cache.delete_by_pattern("active_users:*").await // a list with a name of its own
}

async fn invalidate_all_user_cache(engine: &Engine) -> pie::Result<()> {
    engine.cache().delete_by_tags(["users", "user_stats"]).await
}

async fn read_all(engine: &Engine, id: &str) -> pie::Result<[Source; 3]> {
    let row = User::find_by_id(engine, id).required().await?;
    let list = User::list_by_status(engine, "active").await?;
    let named = User::query(engine).filter(User::STATUS.eq("active")).named("active_users").await?;
    Ok([row.source(), list.source(), named.source()])
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> pie::Result<()> {
    let engine = Engine::builder().database(examples::database()).build().await?;
    engine.create_tables::<(User,)>().await?;
    let (id, other) = ("507f1f77bcf86cd799439011", "507f191e810c19729de860ea");
    for id in [id, other] {
        User::insert(&engine, NewUser { id: id.into(), status: "active".into() }).await?;
    }
    let in_memory = [Source::Memory; 3];

    read_all(&engine, id).await?;
    User::find_by_id(&engine, other).await?;
    assert_eq!(read_all(&engine, id).await?, in_memory);
    invalidate_user_cache(&engine, id).await?;
    assert_eq!(read_all(&engine, id).await?, [Source::Database; 3]);
    assert_statements!(engine, 0, User::find_by_id(&engine, other).await?);
    println!("a key and two families are gone, the other user's row is still there");

    invalidate_all_user_cache(&engine).await?;
    assert_eq!(read_all(&engine, id).await?, [Source::Database; 3]);
    println!("everything with the tag `users` is gone");

    let cache = engine.cache();
    cache.set("users:export", &["Ann", "Bob"], Duration::from_secs(300)).await?;
    cache.delete_by_pattern("users:*").await?;
    assert!(!cache.exists("users:export").await?);
    println!("values set by hand share families with the lists of the table");
    Ok(())
}
