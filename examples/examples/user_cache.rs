//! One user by id: read through the cache, change, read again.
//!
//! `cargo run --example user_cache`
#![allow(clippy::print_stdout, reason = "it is an example")]

use std::time::Duration;

use pie::prelude::*;

#[derive(Debug, Clone, Model)]
#[cached(ttl = "10m", tags("users"))]
struct User {
    #[pie(id, auto)]
    id: i64,
    name: String,
    #[pie(index)]
    status: String,
}

async fn get_user_with_cache(engine: &Engine, id: i64) -> pie::Result<Option<Cached<User>>> {
    User::find_by_id(engine, id).cache(Duration::from_secs(600)).await
}

async fn update_user_with_cache(engine: &Engine, id: i64, status: &str) -> pie::Result<()> {
    // The write itself drops what it touched. By hand, for the whole family of keys, it would be the second line.
    User::update_by_id(engine, id).status(status).await?;
    engine.cache().delete_by_pattern("user:*").await
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> pie::Result<()> {
    let engine = Engine::builder().database(examples::database()).build().await?;
    engine.create_tables::<(User,)>().await?;
    let ann = User::insert(&engine, NewUser { name: "Ann".into(), status: "active".into() }).await?;

    for _ in 0..2 {
        if let Some(user) = get_user_with_cache(&engine, ann.id).await? {
            println!("{} is {}, from {}", user.name, user.status, user.source());
        }
    }
    update_user_with_cache(&engine, ann.id, "away").await?;
    let user = get_user_with_cache(&engine, ann.id).await?;
    assert_eq!(user.as_ref().map(|user| user.status.as_str()), Some("away"));
    println!("after the update: {user:?}");
    assert!(
        get_user_with_cache(&engine, 999).await?.is_none(),
        "a missing user is cached as missing, for a shorter time"
    );
    Ok(())
}
