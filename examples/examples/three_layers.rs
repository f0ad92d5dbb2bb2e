//! A chain of three: a layer of one's own first, memory, then Redis.
//!
//! ```text
//! cargo run --example three_layers                                   # two layers, without Redis
//! cargo run --example three_layers -- --redis redis://localhost:6379
//! ```
#![allow(clippy::print_stdout, reason = "it is an example")]

use pie::prelude::*;
use pie::testing::MapLayer;
use pie::{CacheConfig, Memory};

#[derive(Debug, Clone, Model)]
#[cached(ttl = "5m")]
struct User {
    #[pie(id, auto)]
    id: i64,
    name: String,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> pie::Result<()> {
    let redis = std::env::args().skip_while(|argument| argument != "--redis").nth(1);
    // Asked in this order: hot, warm, and what survives a restart and is shared with others.
    let mut builder = Engine::builder()
        .database(examples::database())
        .layer(MapLayer::new())
        .memory(Memory::max_bytes(50 << 20))
        .config(CacheConfig { key_prefix: "three-layers-example:".into(), ..CacheConfig::default() });
    if let Some(url) = &redis {
        builder = builder.redis(url.as_str()).require_redis();
    }
    let engine = builder.build().await?;
    engine.create_tables::<(User,)>().await?;
    // The database is new each time, and what Redis has may be of an older one.
    engine.cache().clear().await?;
    let ann = User::insert(&engine, NewUser { name: "Ann".into() }).await?;

    let layers = engine.cache().layers();
    println!("first:  {}", User::find_by_id(&engine, ann.id).required().await?.source());
    engine.cache().flush().await;
    for upper in 0..layers.len() {
        println!("again:  {}", User::find_by_id(&engine, ann.id).required().await?.source());
        // Empties the layers from the top down to this one: the next one answers, and fills them again.
        if upper + 1 < layers.len() {
            for layer in &layers[..=upper] {
                layer.evict_all().await?;
            }
        }
    }
    for layer in &layers {
        println!("{}", layer.stats());
    }
    engine.close().await;
    Ok(())
}
