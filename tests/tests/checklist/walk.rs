//! Rows 52 to 61: the chain, reading, writing, deleting.

use pie::testing::{Fault, FaultyLayer, MapLayer};
use pie::{Memory, Source, assert_statements};

use super::*;

async fn three() -> (Engine, ManualClock) {
    let clock = ManualClock::new();
    let layers = builder().layer(MyCache::default()).layer(MapLayer::new()).memory(Memory::default());
    (filled(layers.clock(&clock)).await, clock)
}

fn asked(engine: &Engine) -> Vec<u64> {
    engine.cache().layers().iter().map(|layer| layer.stats().total).collect()
}

#[tokio::test]
async fn row_52_layers_are_asked_one_after_the_other() -> pie::Result<()> {
    let (engine, _clock) = three().await;
    User::find_by_id(&engine, 1).await?;
    assert_eq!(asked(&engine), [1, 1, 1], "nobody has it");
    User::find_by_id(&engine, 1).await?;
    assert_eq!(asked(&engine), [2, 1, 1], "the first has it");
    engine.cache().layers()[0].evict_all().await?;
    User::find_by_id(&engine, 1).await?;
    assert_eq!(asked(&engine), [3, 2, 1], "the second has it, and the third is not asked");
    Ok(())
}

#[tokio::test]
async fn row_53_every_layer_above_a_hit_is_filled_for_the_remaining_time() -> pie::Result<()> {
    let (engine, clock) = three().await;
    let layers = engine.cache().layers();
    User::find_by_id(&engine, 1).cache(MINUTE).await?;
    clock.advance(40 * SECOND);
    layers[0].evict_all().await?;
    layers[1].evict_all().await?;
    assert_eq!(User::find_by_id(&engine, 1).cache(MINUTE).required().await?.source(), Source::Memory);
    assert_eq!(layers[0].stats().keys, Some(1));
    assert_eq!(layers[1].stats().keys, Some(1));
    clock.advance(19 * SECOND);
    assert_statements!(engine, 0, User::find_by_id(&engine, 1).cache(MINUTE).await?);
    clock.advance(SECOND);
    assert_statements!(engine, 1, User::find_by_id(&engine, 1).cache(MINUTE).await?);
    Ok(())
}

#[tokio::test]
async fn row_54_the_first_value_found_is_the_answer() -> pie::Result<()> {
    let (engine, _clock) = three().await;
    User::find_by_id(&engine, 1).await?;
    assert_eq!(User::find_by_id(&engine, 1).required().await?.source(), Source::Layer("mine"));
    engine.cache().layers()[0].evict_all().await?;
    assert_eq!(User::find_by_id(&engine, 1).required().await?.source(), Source::Layer("map"));
    Ok(())
}

#[tokio::test]
async fn row_55_a_miss_in_both_then_a_hit_and_a_hit_below() -> pie::Result<()> {
    let Some((engine, _clock)) = redis_engine().await else { return Ok(()) };
    let ask = || User::query(&engine).cache(5 * MINUTE);
    assert_eq!(ask().await?.source(), Source::Database);
    engine.cache().flush().await;
    assert_eq!(ask().await?.source(), Source::Memory);
    engine.cache().layers()[0].evict_all().await?;
    assert_eq!(ask().await?.source(), Source::Redis);
    assert_eq!(ask().await?.source(), Source::Memory);
    Ok(())
}

#[tokio::test]
async fn row_56_a_payload_is_set_in_every_layer() -> pie::Result<()> {
    let Some((engine, _clock)) = redis_engine().await else { return Ok(()) };
    let users = User::query(&engine).no_cache().await?.into_owned();
    engine.cache().set("users:active", &users, 5 * MINUTE).await?;
    for wanted in [Source::Memory, Source::Redis] {
        let found = engine.cache().get::<Vec<User>>("users:active").required().await?;
        assert_eq!((found.source(), &*found), (wanted, &users));
        engine.cache().layers()[0].evict_all().await?;
    }
    Ok(())
}

#[tokio::test]
async fn row_57_delete_hits_all_layers() -> pie::Result<()> {
    let Some((engine, _clock)) = redis_engine().await else { return Ok(()) };
    let cache = engine.cache();
    for way in 0..3 {
        cache.set("users:active", &1, MINUTE).tags(["t"]).await?;
        match way {
            0 => cache.delete("users:active").await?,
            1 => cache.delete_by_pattern("users:*").await?,
            _ => cache.delete_by_tags(["t"]).await?,
        }
        assert!(cache.get::<u32>("users:active").await?.is_none(), "memory");
        cache.layers()[0].evict_all().await?;
        assert!(cache.get::<u32>("users:active").await?.is_none(), "Redis");
    }
    Ok(())
}

#[tokio::test]
async fn row_58_delete_a_key() -> pie::Result<()> {
    let (engine, _clock) = memory_engine().await;
    engine.cache().set("users:active", &1, MINUTE).await?;
    engine.cache().delete("users:active").await?;
    assert!(!engine.cache().exists("users:active").await?);
    Ok(())
}

#[tokio::test]
async fn row_59_delete_a_pattern() -> pie::Result<()> {
    let (engine, _clock) = memory_engine().await;
    engine.cache().set_many([("users:active", 1), ("users:away", 2), ("user:1", 3)], MINUTE).await?;
    User::list_by_status(&engine, "active").await?;
    engine.cache().delete_by_pattern("users:*").await?;
    assert!(!engine.cache().exists("users:active").await?);
    assert!(!engine.cache().exists("users:away").await?);
    assert!(engine.cache().exists("user:1").await?);
    assert_statements!(engine, 1, User::list_by_status(&engine, "active").await?);
    Ok(())
}

#[tokio::test]
async fn row_60_several_tags_are_a_union() -> pie::Result<()> {
    let (engine, _clock) = memory_engine().await;
    for (key, tag) in [("a", "users"), ("b", "active"), ("c", "other")] {
        engine.cache().set(key, &1, MINUTE).tags([tag]).await?;
    }
    engine.cache().delete_by_tags(["users", "active"]).await?;
    let left = engine.cache().get_many::<u32, _>(&["a", "b", "c"]).await?;
    assert_eq!(left.iter().map(Option::is_some).collect::<Vec<_>>(), [false, false, true]);
    Ok(())
}

#[tokio::test]
async fn row_61_one_layer_fails_and_the_others_are_done() -> pie::Result<()> {
    let faulty = FaultyLayer::new();
    let engine = filled(builder().layer(faulty.clone()).memory(Memory::default())).await;
    faulty.set_fault(Fault::Fail);
    engine.cache().set("k", &1, MINUTE).await?;
    assert_eq!(engine.cache().get::<u32>("k").await?.map(|value| value.source()), Some(Source::Memory));
    engine.cache().delete("k").await?;
    engine.cache().clear().await?;
    assert!(engine.cache().get::<u32>("k").await?.is_none());
    let stats = engine.cache().layers()[0].stats();
    assert!(stats.errors >= 4, "each failure is counted, not {}", stats.errors);
    faulty.set_fault(Fault::None);
    assert!(engine.cache().get::<u32>("k").await?.is_none(), "nothing comes back with the layer");
    Ok(())
}
