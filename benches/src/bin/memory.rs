//! Memory: the live heap of an entry beside bare mini-moka's, and how well the byte budget is kept under churn.
//!
//! `cargo run --release -p pie-benches --bin memory`; figures are bytes of live heap as the allocator counts them.
#![allow(clippy::cast_precision_loss, reason = "figures for people")]

use std::alloc::System;
use std::sync::Arc;
use std::time::Duration;

use pie::prelude::*;
use pie::{CacheConfig, Memory};
use pie_benches::{Random, line};
use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};

#[global_allocator]
static HEAP: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// Live bytes.
fn live() -> f64 {
    let stats = HEAP.stats();
    // What a reallocation adds or takes is in the first two already.
    stats.bytes_allocated as f64 - stats.bytes_deallocated as f64
}

const ENTRIES: u64 = 100_000;

/// A key of 27 bytes.
#[cached(ttl = "1h", key = "measured-entry-{id}", name = "measured", companions = false)]
async fn measured(engine: &Engine, id: u64) -> Arc<u64> {
    let _ = engine;
    Arc::new(id)
}

async fn per_entry() -> pie::Result<()> {
    let engine =
        Engine::builder().memory(Memory::max_bytes(256 << 20)).database("sqlite::memory:").build().await?;
    measured(&engine, 0).await;
    let before = live();
    for id in 1..=ENTRIES {
        measured(&engine, 1_000_000_000_000 + id).await;
    }
    let stats = engine.cache().stats();
    let pie = (live() - before) / ENTRIES as f64;
    assert!(stats.keys > ENTRIES, "{} entries of {ENTRIES} are there", stats.keys);
    let estimated = stats.size as f64 / stats.keys as f64;
    engine.close().await;

    let before = live();
    let floor: mini_moka::sync::Cache<String, Arc<u64>> =
        mini_moka::sync::Cache::builder().time_to_live(Duration::from_secs(3_600)).build();
    for id in 1..=ENTRIES {
        floor.insert(format!("measured-entry-{}", 1_000_000_000_000 + id), Arc::new(id));
    }
    let bare = (live() - before) / ENTRIES as f64;
    assert_eq!(floor.get(&"measured-entry-1000000000001".to_owned()).as_deref(), Some(&1));
    line(
        "mem_per_entry",
        pie / bare,
        &[("pie_bytes", pie), ("floor_bytes", bare), ("estimated_bytes", estimated)],
    );
    Ok(())
}

/// A model with a text of any length.
#[derive(Debug, Clone, Model)]
#[cached(ttl = "1h")]
struct Page {
    #[pie(id, auto)]
    id: i64,
    text: String,
}

/// Reads rows of 100 bytes to 1 MB in random order, far more than the budget holds, and gives the most live bytes that were seen
/// beside the budget.
async fn budget() -> pie::Result<()> {
    const BUDGET: u64 = 64 << 20;
    const ROWS: i64 = 2_000;
    let engine = Engine::builder()
        .database("sqlite::memory:")
        .memory(Memory::max_bytes(BUDGET))
        .config(CacheConfig { max_entry_size: 2 << 20, ..CacheConfig::default() })
        .build()
        .await?;
    engine.create_tables::<(Page,)>().await?;
    let mut random = Random(88_172_645_463_325_252);
    for _ in 0..ROWS {
        // Ten sizes for each decade: most are small, most bytes are in large ones.
        let size = 100.0 * 10_f64.powf(random.below(401) as f64 / 100.0);
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "100 to a million")]
        Page::insert(&engine, NewPage { text: "x".repeat(size as usize) }).await?;
    }
    let (before, mut most, mut kept) = (live(), 0_f64, Vec::new());
    for round in 0..40_000_u32 {
        let id = i64::try_from(random.below(ROWS.unsigned_abs())).unwrap_or(0) + 1;
        let page = Page::find_by_id(&engine, id).required().await?;
        drop(page);
        if round > 5_000 {
            let held = live() - before;
            most = most.max(held);
            kept.push(held);
        }
    }
    let stats = engine.cache().stats();
    let mean = kept.iter().sum::<f64>() / kept.len() as f64;
    let more = [
        ("budget_bytes", BUDGET as f64),
        ("most_bytes", most),
        ("mean_bytes", mean),
        ("said_bytes", stats.size as f64),
    ];
    line("budget_most", most / BUDGET as f64, &more);
    engine.close().await;
    Ok(())
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(per_entry())?;
    runtime.block_on(budget())?;
    Ok(())
}
