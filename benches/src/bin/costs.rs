//! What is not a hit, and what happens when there is much: misses, stampedes, a million entries, the choice of what stays.
//!
//! `cargo run --release -p pie-benches --bin costs [-- postgres://… redis://…]`; lines whose server is not named are left out.
#![allow(clippy::cast_precision_loss, clippy::cast_possible_wrap, reason = "figures for people")]

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use pie::Memory;
use pie::prelude::*;
use pie_benches::{AT_A_TIME, Pair, Random, TURN_ROUNDS, User, each, line, median, new_user, zipf};
use sqlx::Row as _;

const ROUNDS: usize = 5;

/// A function whose body costs nothing.
#[cached(ttl = "1h", key = "counted:{id}", name = "counted", tags("all"))]
async fn counted(engine: &Engine, id: i64) -> Arc<i64> {
    let _ = engine;
    LOADS.fetch_add(1, Ordering::Relaxed);
    Arc::new(id)
}

/// How often its body ran.
static LOADS: AtomicU64 = AtomicU64::new(0);

async fn engine(bytes: u64) -> pie::Result<Engine> {
    Engine::builder().database("sqlite::memory:").memory(Memory::max_bytes(bytes)).build().await
}

/// A read that no layer answers beside the plain query of sqlx, on the same pool. A macro, because sqlx's traits for any database
/// would take more lines than the measurement.
macro_rules! misses {
    ($bench:literal, $pool:expr, $select:literal) => {{
        let pool = $pool;
        const ROWS: i64 = 2_000;
        let engine =
            Engine::builder().database(pool.clone()).memory(Memory::max_bytes(64 << 20)).build().await?;
        engine.create_tables::<(User,)>().await?;
        User::query(&engine).delete().await?;
        User::insert_many(&engine, (1..=ROWS).map(new_user)).await?;
        let first = User::query(&engine).order_by(User::ID.asc()).first().required().await?.id;
        let mut pair = Pair::default();
        for _ in 0..TURN_ROUNDS {
            engine.cache().clear().await?;
            let (mut pie, mut floor) = (Duration::ZERO, Duration::ZERO);
            for begin in (first..first + ROWS).step_by(AT_A_TIME) {
                let ids = begin..begin + AT_A_TIME as i64;
                let start = Instant::now();
                for id in ids.clone() {
                    assert_eq!(
                        User::find_by_id(&engine, id).required().await?.source(),
                        pie::Source::Database
                    );
                }
                pie += start.elapsed();
                let start = Instant::now();
                for id in ids {
                    let row = sqlx::query($select).bind(id).fetch_one(&pool).await?;
                    let user = User {
                        id: row.try_get(0)?,
                        email: row.try_get(1)?,
                        name: row.try_get(2)?,
                        status: row.try_get(3)?,
                        age: row.try_get(4)?,
                        score: row.try_get(5)?,
                        active: row.try_get(6)?,
                    };
                    assert_eq!(user.id, id);
                }
                floor += start.elapsed();
            }
            pair.round(each(pie, ROWS.unsigned_abs()), each(floor, ROWS.unsigned_abs()));
        }
        pair.print($bench, "");
        User::query(&engine).delete().await?;
        engine.close().await;
        Ok::<(), Box<dyn std::error::Error>>(())
    }};
}

/// A thousand tasks on one cold key, and on a thousand cold keys, with loads of 20 ms.
async fn stampede() -> pie::Result<()> {
    const TASKS: i64 = 1_000;
    const LOAD: Duration = Duration::from_millis(20);
    let engine = engine(64 << 20).await?;
    let (mut one, mut many) = (Vec::new(), Vec::new());
    let (loads, slowest) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    for round in 0..ROUNDS {
        for (keys, times) in [(1, &mut one), (TASKS, &mut many)] {
            loads.store(0, Ordering::Relaxed);
            slowest.store(0, Ordering::Relaxed);
            let start = Instant::now();
            let tasks: Vec<_> = (0..TASKS)
                .map(|task| {
                    let (engine, loads, slowest) = (engine.clone(), Arc::clone(&loads), Arc::clone(&slowest));
                    tokio::spawn(async move {
                        let key = format!("cold:{round}:{keys}:{}", task % keys);
                        let load = async || {
                            let begun = Instant::now();
                            loads.fetch_add(1, Ordering::Relaxed);
                            tokio::time::sleep(LOAD).await;
                            let took = u64::try_from(begun.elapsed().as_nanos()).unwrap_or(0);
                            slowest.fetch_max(took, Ordering::Relaxed);
                            Ok::<_, pie::Error>(task % keys)
                        };
                        engine
                            .cache()
                            .get_or_load(&key, Duration::from_secs(60), load)
                            .await
                            .map(|value| *value)
                    })
                })
                .collect();
            for (task, answer) in (0..TASKS).zip(tasks) {
                assert_eq!(answer.await.ok().and_then(Result::ok), Some(task % keys));
            }
            times.push(each(start.elapsed(), slowest.load(Ordering::Relaxed)));
            assert_eq!(loads.load(Ordering::Relaxed), keys.unsigned_abs());
        }
    }
    line("stampede_one_key", median(one), &[("loads", 1.0)]);
    line("stampede_1000_keys", median(many), &[("loads", 1_000.0)]);
    engine.close().await;
    Ok(())
}

/// A line of the processor's cache.
type Line = [i64; 8];

/// As little as anything that finds values by a key can be: a pointer at the place that is the id, and behind it a line with the id. The lines lie
/// anywhere, as those of a cache do.
fn table(entries: i64) -> Vec<Option<Box<Line>>> {
    let mut table = vec![None; entries as usize + 1];
    let mut random = Random(88_172_645_463_325_252);
    let mut ids: Vec<i64> = (1..=entries).collect();
    while !ids.is_empty() {
        let id = ids.swap_remove(random.below(ids.len() as u64) as usize);
        if let Some(place) = table.get_mut(id as usize) {
            *place = Some(Box::new([id, 0, 0, 0, 0, 0, 0, 0]));
        }
    }
    table
}

/// What is found decides where the next is looked for (there is nothing to add), so that one waits for the other, as a hit does for the one before.
fn look_up(table: &[Option<Box<Line>>], trace: &[i64]) {
    let mut last = 0;
    for id in trace {
        let line = table.get((*id + last) as usize).and_then(Option::as_deref);
        assert_eq!(line.map(|line| line[0]), Some(*id));
        last = line.map_or(0, |line| line[7]);
    }
}

/// Hits and invalidations with a million entries beside a thousand.
async fn scale() -> pie::Result<()> {
    let (few, many) = (1_000_i64, 1_000_000_i64);
    let (small, large) = (engine(2 << 30).await?, engine(2 << 30).await?);
    for (engine, entries) in [(&small, few), (&large, many)] {
        for id in 1..=entries {
            counted(engine, id).await;
        }
    }
    let traces = [zipf(1_000, 0.99, 1_000_000), zipf(1_000_000, 0.99, 1_000_000)];
    let tables = [few, many].map(table);
    let (mut hits, mut memory) = (Pair::default(), [const { Vec::new() }; 2]);
    for _ in 0..ROUNDS {
        let mut times = [Duration::ZERO; 2];
        for ((engine, trace), time) in [&small, &large].into_iter().zip(&traces).zip(&mut times) {
            let (start, before) = (Instant::now(), LOADS.load(Ordering::Relaxed));
            for id in trace {
                assert_eq!(*counted(engine, *id).await, *id);
            }
            *time = start.elapsed();
            assert_eq!(LOADS.load(Ordering::Relaxed), before, "all of them were hits");
        }
        hits.round(each(times[1], 1_000_000), each(times[0], 1_000_000));
        for ((table, trace), times) in tables.iter().zip(&traces).zip(&mut memory) {
            let start = Instant::now();
            look_up(table, trace);
            times.push(each(start.elapsed(), 1_000_000));
        }
    }
    let [bare_1k, bare_1m] = memory.map(median);
    hits.print("hits_1m_over_1k", &format!(", \"bare_1k_ns\": {bare_1k:.1}, \"bare_1m_ns\": {bare_1m:.1}"));

    let mut ends = Pair::default();
    for _ in 0..ROUNDS {
        let mut times = [Duration::ZERO; 2];
        for (engine, time) in [&small, &large].into_iter().zip(&mut times) {
            let start = Instant::now();
            for _ in 0..1_000 {
                engine.cache().delete_by_tags(["all"]).await?;
            }
            *time = start.elapsed();
        }
        ends.round(each(times[1], 1_000), each(times[0], 1_000));
    }
    ends.print("invalidate_1m_over_1k", "");
    small.close().await;
    large.close().await;
    Ok(())
}

/// A function whose values depend on 16 names: its key, its family, the namespace and these tags.
#[cached(
    ttl = "1h",
    key = "tagged:{id}",
    name = "tagged",
    tags("a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l", "m")
)]
async fn tagged(engine: &Engine, id: i64) -> Arc<i64> {
    let _ = engine;
    Arc::new(id)
}

/// The same without a tag: 3 names.
#[cached(ttl = "1h", key = "bare:{id}", name = "bare")]
async fn bare(engine: &Engine, id: i64) -> Arc<i64> {
    let _ = engine;
    Arc::new(id)
}

/// Hits of values that depend on many names beside such that depend on few.
async fn names() -> pie::Result<()> {
    let engine = engine(64 << 20).await?;
    let trace = zipf(1_000, 0.99, 500_000);
    let mut pair = Pair::default();
    for _ in 0..=ROUNDS {
        let start = Instant::now();
        for id in &trace {
            assert_eq!(*tagged(&engine, *id).await, *id);
        }
        let many = start.elapsed();
        let start = Instant::now();
        for id in &trace {
            assert_eq!(*bare(&engine, *id).await, *id);
        }
        pair.round(each(many, trace.len() as u64), each(start.elapsed(), trace.len() as u64));
    }
    pair.print("hits_16_over_3_names", "");
    engine.close().await;
    Ok(())
}

/// `update_by_id` that tells Redis, beside the same without Redis and one command of redis-rs after it.
async fn writes(url: &str) -> Result<(), Box<dyn std::error::Error>> {
    const WRITES: i64 = 1_000;
    let plain = engine(64 << 20).await?;
    let shared = Engine::builder()
        .database("sqlite::memory:")
        .memory(Memory::max_bytes(64 << 20))
        .redis(url)
        .require_redis()
        .build()
        .await?;
    for engine in [&plain, &shared] {
        engine.create_tables::<(User,)>().await?;
        User::insert_many(engine, (1..=100).map(new_user)).await?;
    }
    let mut raw = redis::Client::open(url)?.get_multiplexed_async_connection().await?;
    let mut pair = Pair::default();
    for round in 0..ROUNDS {
        let age = i32::try_from(round).unwrap_or(0);
        let start = Instant::now();
        for at in 0..WRITES {
            User::update_by_id(&shared, at % 100 + 1).age(age).await?;
        }
        let pie = start.elapsed();
        let start = Instant::now();
        for at in 0..WRITES {
            User::update_by_id(&plain, at % 100 + 1).age(age).await?;
            redis::cmd("DEL").arg("pie-bench-nothing").query_async::<()>(&mut raw).await?;
        }
        pair.round(each(pie, WRITES.unsigned_abs()), each(start.elapsed(), WRITES.unsigned_abs()));
    }
    pair.print("write_redis", "");
    shared.cache().clear().await?;
    shared.close().await;
    plain.close().await;
    Ok(())
}

/// The share of hits beside bare mini-moka with the same weights and the same trace, in percentage points.
async fn hit_ratio() -> pie::Result<()> {
    const KEYS: usize = 20_000;
    const READS: usize = 300_000;
    let mut random = Random(88_172_645_463_325_252);
    let mut scanned = zipf(KEYS, 0.99, READS);
    // A third of the reads goes once over keys that never come again.
    let mut next = KEYS as i64;
    for start in (0..READS).step_by(30_000) {
        for place in &mut scanned[start..start + 10_000] {
            next += 1;
            *place = next;
        }
    }
    let uniform: Vec<i64> = (0..READS).map(|_| random.below(KEYS as u64) as i64 + 1).collect();
    let traces = [
        ("zipf 0.8", zipf(KEYS, 0.8, READS)),
        ("zipf 0.99", zipf(KEYS, 0.99, READS)),
        ("zipf 0.99 and scans", scanned),
        ("uniform", uniform),
    ];
    // The weight of one entry.
    let probe = engine(64 << 20).await?;
    counted(&probe, 1).await;
    let weight = probe.cache().stats().size;
    probe.close().await;

    let mut worst = f64::INFINITY;
    for (name, trace) in traces {
        assert!(trace.iter().collect::<HashSet<_>>().len() > KEYS / 2);
        for percent in [1_u64, 10] {
            let bytes = weight * KEYS as u64 * percent / 100;
            let engine = engine(bytes).await?;
            let before = LOADS.load(Ordering::Relaxed);
            for id in &trace {
                counted(&engine, *id).await;
            }
            let loads = LOADS.load(Ordering::Relaxed) - before;
            engine.close().await;
            let floor: mini_moka::sync::Cache<i64, Arc<i64>> = mini_moka::sync::Cache::builder()
                .max_capacity(bytes)
                .weigher(move |_, _| u32::try_from(weight).unwrap_or(u32::MAX))
                .build();
            let mut missed = 0_u64;
            for id in &trace {
                if floor.get(id).is_none() {
                    missed += 1;
                    floor.insert(*id, Arc::new(*id));
                }
            }
            let share = |missed: u64| 100.0 - 100.0 * missed as f64 / trace.len() as f64;
            let (pie, bare) = (share(loads), share(missed));
            worst = worst.min(pie - bare);
            line(
                &format!("hit_ratio {name}, {percent} %"),
                pie / bare,
                &[("pie_percent", pie), ("floor_percent", bare)],
            );
        }
    }
    line("hit_ratio_delta", worst, &[]);
    Ok(())
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(hit_ratio())?;
    runtime.block_on(stampede())?;
    runtime.block_on(scale())?;
    runtime.block_on(async {
        let pool =
            sqlx::sqlite::SqlitePoolOptions::new().max_connections(1).connect("sqlite::memory:").await?;
        misses!(
            "miss_sqlite",
            pool,
            "SELECT id, email, name, status, age, score, active FROM users WHERE id = ?"
        )
    })?;
    runtime.block_on(names())?;
    for url in std::env::args().skip(1) {
        if url.starts_with("redis") {
            runtime.block_on(writes(&url))?;
            continue;
        }
        runtime.block_on(async {
            let pool = sqlx::postgres::PgPoolOptions::new().max_connections(4).connect(&url).await?;
            misses!(
                "miss_postgres",
                pool,
                "SELECT id, email, name, status, age, score, active FROM users WHERE id = $1"
            )
        })?;
    }
    Ok(())
}
