//! Settings in a table: read by name through the cache, written by an upsert.
//!
//! `cargo run --example config_cache`
#![allow(clippy::print_stdout, reason = "it is an example")]

use pie::prelude::*;

#[derive(Debug, Clone, Model)]
#[pie(table = "configs")]
struct Config {
    #[pie(id, auto)]
    id: i64,
    #[pie(unique)]
    key: String,
    value: String,
}

async fn cached_config(engine: &Engine, key: &str) -> pie::Result<String> {
    let config = Config::find_by_key(engine, key).required().tags(["config"]).await?;
    Ok(config.value.clone())
}

async fn set_config_with_cache(engine: &Engine, key: &str, value: &str) -> pie::Result<()> {
    let row = NewConfig { key: key.to_owned(), value: value.to_owned() };
    Config::upsert_by_key(engine, row).await?;
    engine.cache().delete_by_tags(["config"]).await
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> pie::Result<()> {
    let engine = Engine::builder().database(examples::database()).build().await?;
    engine.create_tables::<(Config,)>().await?;

    assert!(cached_config(&engine, "theme").await.is_err_and(|error| error.is_not_found()));
    set_config_with_cache(&engine, "theme", "dark").await?;
    assert_eq!(cached_config(&engine, "theme").await?, "dark");
    set_config_with_cache(&engine, "theme", "light").await?;
    assert_eq!(cached_config(&engine, "theme").await?, "light");
    assert_eq!(Config::query(&engine).count().await?, 1);
    println!("theme: {}", pie::assert_statements!(engine, 0, cached_config(&engine, "theme").await?));
    Ok(())
}
