//! Hits among few entries and among a million: what the memory of the machine makes of everybody's.

use std::sync::Arc;

use pie::prelude::*;

use crate::contestants::{Contestant, Failure, TTL, from_each};

#[cached::macros::cached(ttl_secs = 3600)]
fn cached_number(id: i64) -> Arc<i64> {
    Arc::new(id)
}

#[cached::macros::concurrent_cached(ttl_secs = 3600)]
async fn concurrent_number(id: i64) -> Arc<i64> {
    Arc::new(id)
}

#[pie::cached(ttl = "1h", key = "number:{id}", tags("all"))]
async fn pie_number(engine: &Engine, id: i64) -> Arc<i64> {
    let _ = engine;
    Arc::new(id)
}

/// Everybody with this many numbers by their ids, nothing of a key on the heap. The caches of `cached` are the process's: few
/// come before many.
pub fn numbers(keys: i64) -> Result<Vec<Contestant>, Failure> {
    let room = u64::try_from(keys)? * 2;
    let mini: mini_moka::sync::Cache<i64, Arc<i64>> =
        mini_moka::sync::Cache::builder().max_capacity(room).time_to_live(TTL).build();
    let moka: moka::sync::Cache<i64, Arc<i64>> =
        moka::sync::Cache::builder().max_capacity(room).time_to_live(TTL).build();
    let quick = quick_cache::sync::Cache::<i64, Arc<i64>>::new(usize::try_from(room)?);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let engine = runtime.block_on(async {
        let memory = pie::Memory::max_bytes(2 << 30);
        let engine = Engine::builder().database("sqlite::memory:").memory(memory).build().await?;
        for id in 1..=keys {
            mini.insert(id, Arc::new(id));
            moka.insert(id, Arc::new(id));
            quick.insert(id, Arc::new(id));
            cached_number(id);
            concurrent_number(id).await;
            pie_number(&engine, id).await;
        }
        Ok::<_, pie::Error>(engine)
    })?;
    Ok(vec![
        from_each("mini-moka", "i64", async move |id| mini.get(&id).map_or(0, |number| *number)),
        from_each("pie #[cached], Arc", "built", async move |id| *pie_number(&engine, id).await),
        from_each("moka", "i64", async move |id| moka.get(&id).map_or(0, |number| *number)),
        from_each("quick_cache", "i64", async move |id| quick.get(&id).map_or(0, |number| *number)),
        from_each("cached #[cached], Arc", "i64", async |id| *cached_number(id)),
        from_each("cached #[concurrent_cached], Arc", "i64", async |id| *concurrent_number(id).await),
    ])
}
