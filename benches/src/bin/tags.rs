//! What it costs to end everything under a tag: a million entries against a thousand.
//!
//! `cargo run --release -p pie-benches --bin tags -- redis://host:port [entries]`
#![allow(clippy::print_stdout, reason = "it is what a benchmark does")]

use std::time::{Duration, Instant};

use pie::prelude::*;
use pie::{ErrorKind, Memory, RedisConfig};
use pie_benches::{Pair, each};

const ROUNDS: usize = 5;
const FEW: u64 = 1_000;
const TAGS: u64 = 8;
const TTL: Duration = Duration::from_secs(3_600);

fn tags(name: &str) -> Vec<String> {
    (0..TAGS).map(|i| format!("{name}:{i}")).collect()
}

async fn fill(engine: &Engine, name: &str, entries: u64) -> pie::Result<()> {
    for from in (0..entries).step_by(1_000) {
        let values = (from..(from + 1_000).min(entries)).map(|i| (format!("{name}:{i}"), i));
        engine.cache().set_many(values, TTL).tags(tags(name)).await?;
    }
    Ok(())
}

/// The mean time of ending one tag.
async fn end(engine: &Engine, name: &str) -> pie::Result<Duration> {
    let start = Instant::now();
    for tag in tags(name) {
        engine.cache().delete_by_tags([tag]).await?;
    }
    Ok(start.elapsed())
}

/// How many of a sample are still served, from memory and from Redis.
async fn served(engine: &Engine, name: &str, entries: u64) -> pie::Result<usize> {
    let step = usize::try_from((entries / 10_000).max(1)).unwrap_or(1);
    let keys: Vec<String> = (0..entries).step_by(step).map(|i| format!("{name}:{i}")).collect();
    Ok(engine.cache().get_many::<u64, _>(&keys).await?.iter().flatten().count())
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> pie::Result<()> {
    let Some(url) = std::env::args().nth(1) else {
        return Err(pie::Error::new(ErrorKind::InvalidConfig, "write `tags redis://host:port`"));
    };
    let many: u64 = std::env::args().nth(2).and_then(|text| text.parse().ok()).unwrap_or(1_000_000);
    let redis =
        RedisConfig::new(url).budget(Duration::from_secs(30)).connect_timeout(Duration::from_secs(30));
    let engine = Engine::builder()
        .database("sqlite::memory:")
        .memory(Memory::max_bytes(2 << 30))
        .redis(redis)
        .require_redis()
        .build()
        .await?;
    let mut pair = Pair::default();
    let (mut before, mut after) = (0, 0);
    for round in 0..ROUNDS {
        fill(&engine, "few", FEW).await?;
        fill(&engine, "many", many).await?;
        before += served(&engine, "many", many).await?;
        // The first to be measured would pay for the wake-up of an idle connection.
        engine.cache().delete_by_tags(["none"]).await?;
        let (few, big) = if round % 2 == 0 {
            let few = end(&engine, "few").await?;
            (few, end(&engine, "many").await?)
        } else {
            let big = end(&engine, "many").await?;
            (end(&engine, "few").await?, big)
        };
        pair.round(each(big, TAGS), each(few, TAGS));
        after += served(&engine, "many", many).await? + served(&engine, "few", FEW).await?;
    }
    pair.print(
        "delete_by_tags_1000000_to_1000",
        &format!(", \"entries\": {many}, \"served_before\": {before}, \"served_after\": {after}"),
    );
    engine.cache().clear().await
}
