//! The spine: a hit in memory against bare mini-moka, with its allocations counted.

use std::sync::Arc;
use std::time::{Duration, Instant};

use pie::prelude::*;
use pie_benches::{Pair, User, each, engine, users, zipf};

const KEYS: i64 = 10_000;
const ROUNDS: usize = 7;
/// How many passes over the trace a round has: the first of them finds the other's values in the processor's cache.
const PASSES: u32 = 4;

/// A function whose hits are counted for `l1_fn_1t`.
#[cached(ttl = "1h", key = "score:{id}", tags("scores"))]
async fn score(engine: &Engine, id: i64) -> pie::Result<Arc<u64>> {
    let _ = engine;
    Ok(Arc::new(id.unsigned_abs()))
}

type Floor = mini_moka::sync::Cache<String, Arc<User>>;

async fn in_memory() -> pie::Result<(Engine, Floor, Vec<String>)> {
    let engine = engine(256 << 20).await?;
    users(&engine, KEYS).await?;
    let floor = mini_moka::sync::Cache::builder()
        .max_capacity(1_000_000)
        .time_to_live(Duration::from_secs(3_600))
        .build();
    let mut ready = Vec::new();
    for id in 1..=KEYS {
        let user = User::find_by_id(&engine, id).required().await?;
        ready.push(format!("user:{id}"));
        floor.insert(format!("user:{id}"), user.into_arc());
    }
    Ok((engine, floor, ready))
}

/// mini-moka looks a `String` key up by a `String` only: it has to be ready.
fn ready_at(ready: &[String], id: i64) -> &String {
    &ready[usize::try_from(id - 1).unwrap_or(0)]
}

/// The mean time of a pass.
async fn pie_pass(engine: &Engine, trace: &[i64]) -> pie::Result<Duration> {
    let start = Instant::now();
    for _ in 0..PASSES {
        let mut sum = 0;
        for id in trace {
            sum += User::find_by_id(engine, *id).required().await?.id;
        }
        assert_eq!(sum, trace.iter().sum::<i64>());
    }
    Ok(start.elapsed() / PASSES)
}

fn floor_pass(floor: &Floor, ready: &[String], trace: &[i64]) -> Duration {
    let start = Instant::now();
    for _ in 0..PASSES {
        let mut sum = 0;
        for id in trace {
            sum += floor.get(ready_at(ready, *id)).map_or(0, |user| user.id);
        }
        assert_eq!(sum, trace.iter().sum::<i64>());
    }
    start.elapsed() / PASSES
}

fn slowest(threads: impl Iterator<Item = Duration>) -> Duration {
    threads.max().unwrap_or_default()
}

fn on_threads(count: usize, work: impl Fn() -> Duration + Sync) -> Duration {
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..count).map(|_| scope.spawn(&work)).collect();
        slowest(threads.into_iter().map(|thread| thread.join().unwrap_or_default()))
    })
}

fn block<T>(work: impl Future<Output = T>) -> Option<T> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .ok()
        .map(|runtime| runtime.block_on(work))
}

async fn hits_in_memory() -> pie::Result<()> {
    let (engine, floor, ready) = in_memory().await?;
    let trace = zipf(10_000, 0.99, 500_000);
    let count = trace.len() as u64;
    pie_pass(&engine, &trace).await?;
    floor_pass(&floor, &ready, &trace);

    let mut one = Pair::default();
    for _ in 0..ROUNDS {
        let pie = pie_pass(&engine, &trace).await?;
        one.round(each(pie, count), each(floor_pass(&floor, &ready, &trace), count));
    }
    let allocations = allocation_counter::measure(|| {
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        for id in &trace[..10_000] {
            let mut future = User::find_by_id(&engine, *id).into_future();
            assert!(std::pin::Pin::new(&mut future).poll(&mut context).is_ready());
        }
    });
    let per_hit = allocations.count_total / 10_000;
    one.print("l1_hit_1t", &format!(", \"allocs\": {per_hit}"));

    let mut two = Pair::default();
    for _ in 0..ROUNDS {
        let pie = on_threads(2, || block(pie_pass(&engine, &trace)).and_then(Result::ok).unwrap_or_default());
        let floor = on_threads(2, || floor_pass(&floor, &ready, &trace));
        two.round(each(pie, count), each(floor, count));
    }
    two.print("l1_hit_2t", "");

    let list = User::list_by_status(&engine, "rare").await?.into_arc();
    let lists: mini_moka::sync::Cache<String, Arc<Vec<User>>> =
        mini_moka::sync::Cache::builder().time_to_live(Duration::from_secs(3_600)).build();
    let key = "users:status:rare".to_owned();
    lists.insert(key.clone(), list);
    let mut pair = Pair::default();
    for _ in 0..ROUNDS {
        let start = Instant::now();
        for _ in 0..200_000 {
            assert_eq!(User::list_by_status(&engine, "rare").await?.len(), 100);
        }
        let pie = start.elapsed();
        let start = Instant::now();
        for _ in 0..200_000 {
            assert_eq!(lists.get(&key).map_or(0, |rows| rows.len()), 100);
        }
        pair.round(each(pie, 200_000), each(start.elapsed(), 200_000));
    }
    pair.print("l1_list_1t", "");

    let scores: mini_moka::sync::Cache<String, Arc<u64>> =
        mini_moka::sync::Cache::builder().time_to_live(Duration::from_secs(3_600)).build();
    for id in 1..=KEYS {
        scores.insert(ready_at(&ready, id).clone(), score(&engine, id).await?);
    }
    let mut pair = Pair::default();
    for _ in 0..ROUNDS {
        let start = Instant::now();
        for id in (0..PASSES).flat_map(|_| &trace) {
            assert_eq!(*score(&engine, *id).await?, id.unsigned_abs());
        }
        let pie = start.elapsed();
        let start = Instant::now();
        for id in (0..PASSES).flat_map(|_| &trace) {
            assert_eq!(scores.get(ready_at(&ready, *id)).as_deref(), Some(&id.unsigned_abs()));
        }
        let count = count * u64::from(PASSES);
        pair.round(each(pie, count), each(start.elapsed(), count));
    }
    let allocations = allocation_counter::measure(|| {
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        for id in &trace[..10_000] {
            assert!(std::pin::pin!(score(&engine, *id)).poll(&mut context).is_ready());
        }
    });
    pair.print("l1_fn_1t", &format!(", \"allocs\": {}", allocations.count_total / 10_000));
    engine.close().await;
    Ok(())
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    Ok(runtime.block_on(hits_in_memory())?)
}
