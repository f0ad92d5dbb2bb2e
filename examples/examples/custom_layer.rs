//! A cache layer of one's own, in under 40 lines: a `HashMap` and a lock.
//!
//! `cargo run --example custom_layer`
//!
//! Tags, patterns, times to live, jitter, single flight and backfill come from the chain: the layer only stores.
#![allow(clippy::print_stdout, reason = "it is an example")]

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use pie::cache::{BoxFuture, CacheLayer, Entry, Key, LayerUsage};
use pie::prelude::*;
use pie::{Source, testing};

// MyCache begins
#[derive(Debug, Default)]
struct MyCache(Mutex<HashMap<String, Entry>>);

impl MyCache {
    fn map(&self) -> MutexGuard<'_, HashMap<String, Entry>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl CacheLayer for MyCache {
    fn name(&self) -> &'static str {
        "mine"
    }
    fn get<'a>(&'a self, key: &'a Key) -> BoxFuture<'a, pie::Result<Option<Entry>>> {
        Box::pin(async { Ok(self.map().get(key.as_str()).cloned()) })
    }
    fn set<'a>(&'a self, key: &'a Key, entry: &'a Entry) -> BoxFuture<'a, pie::Result<()>> {
        self.map().insert(key.as_str().to_owned(), entry.clone());
        Box::pin(async { Ok(()) })
    }
    fn delete<'a>(&'a self, key: &'a Key) -> BoxFuture<'a, pie::Result<()>> {
        self.map().remove(key.as_str());
        Box::pin(async { Ok(()) })
    }
    fn clear(&self) -> BoxFuture<'_, pie::Result<()>> {
        self.map().clear();
        Box::pin(async { Ok(()) })
    }
    fn expire(&self, now: u64) {
        self.map().retain(|_, entry| entry.keep_until() > now);
    }
    fn usage(&self) -> LayerUsage {
        let map = self.map();
        LayerUsage::new(map.len() as u64, map.values().map(|entry| u64::from(entry.weight())).sum())
    }
}
// MyCache ends

#[derive(Debug, Clone, Model)]
#[cached(ttl = "5m", tags("users"))]
struct User {
    #[pie(id, auto)]
    id: i64,
    name: String,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> pie::Result<()> {
    // In a test of one's own this is one line; it names every rule that is broken.
    match testing::check_layer(MyCache::default).await {
        Ok(()) => println!("MyCache conforms"),
        Err(violations) => println!("{violations}"),
    }

    let engine = Engine::builder().database(examples::database()).layer(MyCache::default()).build().await?;
    engine.create_tables::<(User,)>().await?;
    let ann = User::insert(&engine, NewUser { name: "Ann".into() }).await?;
    User::find_by_id(&engine, ann.id).await?;
    let user = User::find_by_id(&engine, ann.id).required().await?;
    assert_eq!(user.source(), Source::Layer("mine"));
    engine.cache().delete_by_tags(["users"]).await?;
    assert_eq!(User::find_by_id(&engine, ann.id).required().await?.source(), Source::Database);
    println!("{}", engine.cache().layers()[0].stats());
    Ok(())
}
