//! Rows 62 to 65: what was counted.

use pie::cache::CacheStats;
use pie::{Memory, MemoryConfig};

use super::*;

async fn asked() -> Engine {
    let (engine, _clock) = memory_engine().await;
    for id in [1, 1, 1, 2] {
        User::find_by_id(&engine, id).await.expect("answers");
    }
    engine
}

#[tokio::test]
async fn row_62_aggregated_statistics() -> pie::Result<()> {
    let engine = asked().await;
    let stats: CacheStats = engine.cache().stats();
    assert_eq!((stats.total, stats.hits, stats.misses, stats.hit_rate), (4, 2, 2, 50.0));
    assert_eq!((stats.keys, stats.evicted_keys), (2, 0));
    assert!(stats.size > 0, "in bytes");

    // `EvictedKeys`, although mini-moka has no listener: a small memory, many values, some replaced, some deleted.
    let memory = Memory::new(MemoryConfig { max_bytes: 200_000, ..MemoryConfig::default() })?;
    let engine = filled(builder().memory(memory)).await;
    let cache = engine.cache();
    for round in 0..3 {
        let values = (0..2_000).map(|i| (format!("k{i}"), i + round));
        cache.set_many(values, MINUTE).await?;
    }
    let stats = cache.stats();
    assert!(stats.size <= 200_000, "{} bytes", stats.size);
    assert!(stats.evicted_keys >= 2_000 - stats.keys, "{} evicted, {} left", stats.evicted_keys, stats.keys);
    cache.layers()[0].evict_all().await?;
    let after = cache.stats();
    assert_eq!(
        (after.keys, after.evicted_keys),
        (0, stats.evicted_keys),
        "what is emptied by hand is not evicted"
    );
    Ok(())
}

#[tokio::test]
async fn row_63_every_field_is_printed() {
    let engine = asked().await;
    let stats = engine.cache().stats();
    let text = stats.to_string();
    let mut lines = text.lines();
    assert_eq!(lines.next(), Some("Cache Statistics:"));
    let size = format!("  Size: {} bytes", stats.size);
    for wanted in [
        "  Total Requests: 4",
        "  Hits: 2",
        "  Misses: 2",
        "  Hit Rate: 50.00%",
        "  Keys: 2",
        &size,
        "  Evicted Keys: 0",
    ] {
        assert_eq!(lines.next(), Some(wanted));
    }
    let report = engine.cache().report().to_string();
    for wanted in ["Cache Statistics:", "memory", "User", "model", "load p99", "other processes"] {
        assert!(report.contains(wanted), "{report}");
    }
}

#[tokio::test]
async fn row_64_statistics_of_each_layer() -> pie::Result<()> {
    let engine = filled(builder().layer(MyCache::default()).memory(Memory::default())).await;
    for _ in 0..4 {
        User::find_by_id(&engine, 1).await?;
    }
    let printed: Vec<String> = engine
        .cache()
        .layers()
        .iter()
        .enumerate()
        .map(|(i, layer)| format!("Cache Layer {}: Hit Rate {:.2}%", i + 1, layer.stats().hit_rate))
        .collect();
    assert_eq!(printed, ["Cache Layer 1: Hit Rate 75.00%", "Cache Layer 2: Hit Rate 0.00%"]);
    Ok(())
}

#[tokio::test]
async fn row_65_a_look_up_counts_once() -> pie::Result<()> {
    let engine = filled(builder().layer(MyCache::default()).memory(Memory::default())).await;
    User::find_by_id(&engine, 1).await?;
    engine.cache().layers()[0].evict_all().await?;
    User::find_by_id(&engine, 1).await?;
    User::find_by_ids(&engine, &[1, 2]).await?;
    let stats = engine.cache().stats();
    assert_eq!((stats.total, stats.hits, stats.misses), (4, 2, 2), "whichever layer answered");
    let layers: Vec<_> =
        engine.cache().layers().iter().map(|layer| (layer.stats().hits, layer.stats().misses)).collect();
    assert_eq!(layers, [(1, 3), (1, 2)], "layers count what they were asked");
    Ok(())
}
