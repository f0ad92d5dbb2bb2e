//! Rows 1 to 8: several caches behind one another.

use pie::Source;
use pie::testing::MapLayer;

use super::*;

#[tokio::test]
async fn row_01_plugins_are_chained() -> pie::Result<()> {
    let engine =
        filled(builder().layer(MyCache::default()).layer(MapLayer::new()).memory(pie::Memory::default()))
            .await;
    assert_eq!(sources(&engine), ["mine", "map", "memory"]);
    User::find_by_id(&engine, 1).await?;
    assert_eq!(User::find_by_id(&engine, 1).required().await?.source(), Source::Layer("mine"));
    Ok(())
}

#[tokio::test]
async fn row_02_memory_is_the_default_layer() -> pie::Result<()> {
    let engine = filled(builder()).await;
    assert_eq!(sources(&engine), ["memory"]);
    User::find_by_id(&engine, 1).await?;
    assert_eq!(User::find_by_id(&engine, 1).required().await?.source(), Source::Memory);
    Ok(())
}

#[tokio::test]
async fn row_03_redis_is_included() -> pie::Result<()> {
    let Some(addr) = redis_addr() else { return Ok(()) };
    let engine = filled(builder().redis(format!("redis://{addr}")).require_redis()).await;
    assert_eq!(sources(&engine), ["redis"]);
    Ok(())
}

#[tokio::test]
async fn row_04_users_write_plugins() -> pie::Result<()> {
    let mine = MyCache::default();
    let engine = filled(builder().layer(mine.clone())).await;
    User::find_by_id(&engine, 1).await?;
    assert_eq!(mine.map().len(), 1);
    assert_eq!(User::find_by_id(&engine, 1).required().await?.source(), Source::Layer("mine"));
    Ok(())
}

#[tokio::test]
async fn row_05_several_instances_in_one_chain() -> pie::Result<()> {
    let (mine, map) = (MyCache::default(), MapLayer::new());
    let engine = filled(builder().layer(mine.clone()).layer(map).memory(pie::Memory::default())).await;
    User::find_by_id(&engine, 1).await?;
    let keys: Vec<_> = engine.cache().layers().iter().map(|layer| layer.stats().keys).collect();
    assert_eq!(keys, [Some(1), Some(1), Some(1)], "each of them has the value");
    Ok(())
}

#[tokio::test]
async fn row_06_memory_and_redis_are_combined() -> pie::Result<()> {
    let Some((engine, _clock)) = redis_engine().await else { return Ok(()) };
    User::find_by_id(&engine, 1).await?;
    engine.cache().flush().await;
    assert_eq!(User::find_by_id(&engine, 1).required().await?.source(), Source::Memory);
    engine.cache().layers()[0].evict_all().await?;
    assert_eq!(User::find_by_id(&engine, 1).required().await?.source(), Source::Redis);
    Ok(())
}

#[tokio::test]
async fn row_07_hits_below_are_written_above() -> pie::Result<()> {
    let Some((engine, _clock)) = redis_engine().await else { return Ok(()) };
    User::find_by_id(&engine, 1).await?;
    engine.cache().flush().await;
    engine.cache().layers()[0].evict_all().await?;
    User::find_by_id(&engine, 1).await?;
    assert_eq!(User::find_by_id(&engine, 1).required().await?.source(), Source::Memory);
    Ok(())
}

#[tokio::test]
async fn row_08_every_layer_is_monitored() -> pie::Result<()> {
    let Some((engine, _clock)) = redis_engine().await else { return Ok(()) };
    for _ in 0..3 {
        User::find_by_id(&engine, 1).await?;
    }
    engine.cache().flush().await;
    let asked: Vec<_> =
        engine.cache().layers().iter().map(|layer| (layer.stats().hits, layer.stats().misses)).collect();
    assert_eq!(asked, [(2, 1), (0, 1)]);
    assert_eq!(engine.cache().report().layers.len(), 2);
    Ok(())
}
