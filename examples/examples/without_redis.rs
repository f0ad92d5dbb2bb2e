//! Redis is away: the engine starts all the same, every query is answered, and `health` says what is wrong.
//!
//! `cargo run --example without_redis`
#![allow(clippy::print_stdout, reason = "it is an example")]

use std::time::Duration;

use pie::prelude::*;
use pie::{CacheConfig, ErrorKind, Memory, OnL2Down, RedisConfig};

#[derive(Debug, Clone, Model)]
#[cached(ttl = "5m", stale_if_error = "1h", on_l2_down = "stale")]
struct User {
    #[pie(id, auto)]
    id: i64,
    name: String,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> pie::Result<()> {
    let engine = Engine::builder()
        .database(examples::database())
        .memory(Memory::default())
        // Nobody listens there. A lookup would wait for 50 ms at most, once.
        .redis(RedisConfig::new("127.0.0.1:1").budget(Duration::from_millis(50)))
        // Meanwhile this many loads reach the database at once.
        .config(CacheConfig { max_loads: Some(8), ..CacheConfig::default() })
        .build()
        .await?;
    engine.create_tables::<(User,)>().await?;
    let ann = User::insert(&engine, NewUser { name: "Ann".into() }).await?;

    for _ in 0..2 {
        let user = User::find_by_id(&engine, ann.id).required().await?;
        println!("{} from {:?}", user.name, user.source());
    }
    User::update_by_id(&engine, ann.id).name("Eve").await?;
    println!("{} after the write", User::find_by_id(&engine, ann.id).required().await?.name);

    // Who would rather have an error than ask the database says so.
    let strict = User::find_by_id(&engine, ann.id + 1).on_l2_down(OnL2Down::Fail).await;
    println!("strict: {}", strict.is_err_and(|error| error.kind() == ErrorKind::Layer));

    // What could not be told to Redis is kept, and sent before anything in it is trusted.
    let health = engine.health();
    println!("well: {}, unsent: {}\n{health}", health.is_ok(), health.unsent());
    engine.close().await;
    Ok(())
}
