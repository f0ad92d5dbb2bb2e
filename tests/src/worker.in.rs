// What both programs of the history test do, whatever the shape of their `Row`; included by them.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use pie::database::{DatabaseOptions, Sqlite};
use pie::prelude::*;
use pie::{CacheConfig, Memory, Source};
use pie_tests::gated::{Gate, Gated};
use tokio::sync::Mutex;
use tokio::task::JoinSet;

const TASKS: u64 = 8;

fn now() -> u128 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_nanos()
}

/// A small generator, so that a run can be repeated (xorshift).
struct Draw(u64);

impl Draw {
    fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % end
    }
}

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let number = |at: usize| arguments[at].parse::<u64>().expect("a number");
    let (me, workers, keys, operations) = (number(3), number(4), number(5), number(6));
    let redis = pie_tests::history::config(&arguments[0])
        .budget(Duration::from_secs(1))
        .heartbeat(Duration::from_millis(100));
    let config = CacheConfig { key_prefix: arguments[2].clone(), ..CacheConfig::default() };
    let mut options = DatabaseOptions::default();
    options.acquire_timeout = Duration::from_secs(60);
    let inner = Sqlite::open(&format!("sqlite://{}", arguments[1]), options).await.expect("opens");
    let gate = Arc::new(Gate::default());
    // Some loads take longer than a write and its invalidation.
    gate.delay_sometimes(Duration::from_millis(20));
    let engine = Engine::builder()
        .database(Arc::new(Gated::new(Arc::new(inner), &gate)))
        .memory(Memory::default())
        .redis(redis)
        .config(config)
        .build()
        .await
        .expect("builds");
    // Each row has one owner, who writes it one version after the other.
    let owned: Arc<Vec<Mutex<i64>>> = Arc::new((0..keys).map(|_| Mutex::new(0)).collect());
    let (done, hits, ended) =
        (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
    let output = PathBuf::from(&arguments[7]);
    let telling = {
        let (done, hits, ended) = (Arc::clone(&done), Arc::clone(&hits), Arc::clone(&ended));
        let (progress, end) = (output.with_extension("progress"), output.with_file_name("end"));
        tokio::spawn(async move {
            loop {
                let text = format!("{} {}", done.load(Ordering::Relaxed), hits.load(Ordering::Relaxed));
                // At once, so that nobody reads half of it.
                let half = progress.with_extension("half");
                std::fs::write(&half, text).expect("writes");
                std::fs::rename(&half, &progress).expect("renames");
                if end.exists() {
                    ended.store(true, Ordering::Relaxed);
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        })
    };
    let mut tasks = JoinSet::new();
    for task in 0..TASKS {
        let (engine, owned) = (engine.clone(), Arc::clone(&owned));
        let (done, hits, ended) = (Arc::clone(&done), Arc::clone(&hits), Arc::clone(&ended));
        let mut draw = Draw(0x9e37_79b9_7f4a_7c15 ^ (me * 1_000 + task + 1));
        tasks.spawn(async move {
            let mut notes = String::new();
            while done.fetch_add(1, Ordering::Relaxed) < operations || !ended.load(Ordering::Relaxed) {
                // Some rows are hot.
                let key = draw.below(keys).min(draw.below(keys));
                let id = i64::try_from(key).expect("small");
                let kind = draw.below(1_000);
                let start = now();
                if kind < 30 {
                    let key = key - key % workers + me;
                    if key >= keys {
                        continue;
                    }
                    let mut version = owned[usize::try_from(key).expect("small")].lock().await;
                    *version += 1;
                    let id = i64::try_from(key).expect("small");
                    while Row::update_by_id(&engine, id).version(*version).await.is_err() {}
                    let end = now();
                    // Unsent names would have been there before the write returned.
                    let acknowledged = engine.cache().messages().unsent == 0;
                    writeln!(notes, "w {key} {start} {end} {version} {}", u8::from(acknowledged))
                        .expect("in memory");
                    drop(version);
                } else {
                    let query = Row::find_by_id(&engine, id);
                    let (past, row) = match kind {
                        30..60 => (true, query.skip_memory().required().await),
                        60..63 => (true, query.refresh().required().await),
                        _ => (false, query.required().await),
                    };
                    let row = row.expect("reads");
                    let end = now();
                    let from = match row.source() {
                        Source::Memory => 'm',
                        Source::Redis => {
                            hits.fetch_add(1, Ordering::Relaxed);
                            'r'
                        }
                        _ => 'd',
                    };
                    let kind = if past { 'p' } else { 'r' };
                    writeln!(notes, "{kind} {key} {start} {end} {} {from}", row.version).expect("in memory");
                }
                if draw.below(50) == 0 {
                    tokio::time::sleep(Duration::from_micros(draw.below(3_000))).await;
                }
                if draw.below(2_000) == 0 {
                    engine.cache().layers()[0].evict_all().await.expect("empties");
                }
            }
            notes
        });
    }
    let mut notes = String::new();
    while let Some(more) = tasks.join_next().await {
        notes.push_str(&more.expect("runs"));
    }
    telling.abort();
    let messages = engine.cache().messages();
    let stats = engine.cache().stats();
    writeln!(
        notes,
        "s {} {} {} {} {} {} {} {}",
        messages.received,
        messages.max_lag.as_micros(),
        messages.mean_lag.as_micros(),
        messages.detachments,
        messages.gaps,
        stats.hits,
        stats.loads,
        stats.undecodable
    )
    .expect("in memory");
    std::fs::write(&output, notes).expect("writes");
    engine.close().await;
}
