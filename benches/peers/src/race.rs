//! The stale fill: a load reads the old value, the value changes and is invalidated, the load ends. Who serves the old one after?

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;

type Failure = Box<dyn std::error::Error>;

const TTL: Duration = Duration::from_secs(60);
const OLD: i64 = 1;
const NEW: i64 = 2;

/// Whether the old value was served after the invalidation, for each contestant.
pub fn run() -> Result<Vec<(&'static str, bool)>, Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    Ok(runtime.block_on(async {
        vec![
            ("pie get_or_load", pie().await),
            ("moka get_with", moka().await),
            ("quick_cache get_or_insert_async", quick().await),
            ("mini-moka get, then insert", mini().await),
        ]
    }))
}

/// A load that has read the old value, and when it may end.
fn slow() -> (oneshot::Receiver<()>, oneshot::Sender<()>, impl Future<Output = i64> + Send + 'static) {
    let (begun, has_begun) = oneshot::channel();
    let (end, may_end) = oneshot::channel();
    let load = async move {
        let _ = begun.send(());
        let _ = may_end.await;
        OLD
    };
    (has_begun, end, load)
}

async fn pie() -> bool {
    let Ok(engine) = pie::Engine::builder().database("sqlite::memory:").build().await else { return true };
    let (begun, end, load) = slow();
    let reader = {
        let engine = engine.clone();
        tokio::spawn(async move {
            let mut load = Some(load);
            let load = || {
                let load = load.take().expect("it is run once");
                async { Ok::<_, pie::Error>(load.await) }
            };
            engine.cache().get_or_load("raced", TTL, load).await.map(|value| *value)
        })
    };
    let _ = begun.await;
    let _ = engine.cache().delete("raced").await;
    let _ = end.send(());
    let _ = reader.await;
    let load = async || Ok::<_, pie::Error>(NEW);
    engine.cache().get_or_load("raced", TTL, load).await.is_ok_and(|value| *value == OLD)
}

async fn moka() -> bool {
    let cache: moka::sync::Cache<i64, i64> = moka::sync::Cache::builder().time_to_live(TTL).build();
    let (begun, end, load) = slow();
    let reader = {
        let (cache, runtime) = (cache.clone(), tokio::runtime::Handle::current());
        tokio::task::spawn_blocking(move || cache.get_with(1, || runtime.block_on(load)))
    };
    let _ = begun.await;
    cache.invalidate(&1);
    let _ = end.send(());
    let _ = reader.await;
    cache.get_with(1, || NEW) == OLD
}

async fn quick() -> bool {
    let cache = Arc::new(quick_cache::sync::Cache::<i64, i64>::new(10));
    let (begun, end, load) = slow();
    let reader = {
        let cache = Arc::clone(&cache);
        tokio::spawn(async move { cache.get_or_insert_async(&1, async { Ok::<_, ()>(load.await) }).await })
    };
    let _ = begun.await;
    cache.remove(&1);
    let _ = end.send(());
    let _ = reader.await;
    cache.get_or_insert_async(&1, async { Ok::<_, ()>(NEW) }).await == Ok(OLD)
}

async fn mini() -> bool {
    let cache: mini_moka::sync::Cache<i64, i64> = mini_moka::sync::Cache::builder().time_to_live(TTL).build();
    let (begun, end, load) = slow();
    let reader = {
        let cache = cache.clone();
        tokio::spawn(async move {
            let value = load.await;
            cache.insert(1, value);
        })
    };
    let _ = begun.await;
    cache.invalidate(&1);
    let _ = end.send(());
    let _ = reader.await;
    cache.get(&1) == Some(OLD)
}
