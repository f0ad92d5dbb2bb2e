//! Writers in transactions with savepoints, and readers, all at once: no read is older than a write that had returned before it began, and
//! when all is still, every cached answer is the uncached one. Once for each isolation level; SQLite runs all of them as serializable.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use pie::prelude::*;
use pie::{ErrorKind, Isolation, TxOptions, testing};
use pie_tests::databases::{self, for_update, sql, which};
use tokio::task::JoinSet;

const ROWS: usize = 12;
const GROUPS: i64 = 4;

#[derive(Debug, Clone, PartialEq, Model)]
#[cached(ttl = "1h")]
#[pie(table = "versions")]
struct Row {
    #[pie(id)]
    id: i64,
    #[pie(unique)]
    name: String,
    #[pie(index)]
    group: i64,
    /// Counted up by every write.
    version: i64,
}

fn name(id: i64, version: i64) -> String {
    format!("{id} {}", version % 3)
}

/// The version of each row that a write had brought about when it returned.
#[derive(Default)]
struct Floor([AtomicI64; ROWS]);

impl Floor {
    fn now(&self) -> Vec<i64> {
        self.0.iter().map(|version| version.load(Ordering::SeqCst)).collect()
    }

    fn raise(&self, id: i64, version: i64) {
        self.0[usize::try_from(id).unwrap()].fetch_max(version, Ordering::SeqCst);
    }
}

/// Writes a few rows in a transaction, some of them in savepoints that are undone.
async fn write(engine: &Engine, options: TxOptions, floor: &Floor, seed: u64) -> pie::Result<()> {
    let random = |what: u64, below: u64| {
        let mixed = (seed ^ what.wrapping_mul(0x9e37_79b9_7f4a_7c15)).wrapping_mul(0xff51_afd7_ed55_8ccd);
        (mixed >> 33) % below
    };
    let tx = engine.begin_with(options).await?;
    let mut written = Vec::new();
    for part in 0..1 + random(1, 3) {
        let id = i64::try_from(random(10 + part, ROWS as u64)).unwrap();
        let how = random(20 + part, 5);
        let savepoint = if how < 3 { None } else { Some(tx.savepoint().await?) };
        let on = savepoint.as_ref().unwrap_or(&tx);
        // In a savepoint that is undone below, reads of the transaction must not see it either. Under lock, so that no write is lost.
        let ask = sql(&format!("SELECT version FROM versions WHERE id = ?{}", for_update()));
        let Some((version,)) = on.sql(&ask).bind(id).one::<(i64,)>().await? else {
            // Under READ COMMITTED a row that another transaction just put in the place of this one is not found.
            return Ok(());
        };
        let version = version + 1;
        let group = i64::try_from(random(30 + part, 4)).unwrap();
        let name = name(id, version);
        match random(40 + part, 3) {
            0 => {
                let changed = Row::query(on).filter(Row::ID.eq(id)).update();
                let changed = changed.set(Row::VERSION, version).set(Row::GROUP, group).set(Row::NAME, name);
                assert_eq!(changed.await?, 1);
            }
            1 => {
                Row::upsert_by_id(on, NewRow { id, name, group, version }).await?;
            }
            _ => {
                assert!(Row::delete_by_id(on, id).await?);
                Row::insert(on, NewRow { id, name, group, version }).await?;
            }
        }
        match (savepoint, how) {
            (None, _) => written.push((id, version)),
            (Some(savepoint), 3) => {
                savepoint.commit().await?;
                written.push((id, version));
            }
            (Some(savepoint), _) if random(50 + part, 2) == 0 => savepoint.rollback().await?,
            (Some(savepoint), _) => drop(savepoint),
        }
    }
    match random(2, 6) {
        0 => tx.rollback().await?,
        1 => drop(tx),
        _ => {
            tx.commit().await?;
            written.into_iter().for_each(|(id, version)| floor.raise(id, version));
        }
    }
    Ok(())
}

/// Writes a row where there are no transactions: a version is taken if it is still the one that was read. Now and then all rows at once.
async fn write_alone(engine: &Engine, floor: &Floor, seed: u64) -> pie::Result<()> {
    let id = i64::try_from(seed / 3 % ROWS as u64).unwrap();
    let group = i64::try_from(seed / 5 % 4).unwrap();
    let version = Row::find_by_id(engine, id).no_cache().required().await?.version;
    if seed.is_multiple_of(11) {
        Row::query(engine)
            .filter(Row::GROUP.eq(group))
            .update()
            .set(Row::GROUP, (group + 1) % GROUPS)
            .await?;
    }
    let next = version + 1;
    let unchanged = Row::query(engine).filter(Row::ID.eq(id)).filter(Row::VERSION.eq(version)).update();
    let changed = unchanged.set(Row::VERSION, next).set(Row::GROUP, group).set(Row::NAME, name(id, next));
    if changed.await? == 1 {
        floor.raise(id, next);
    }
    Ok(())
}

/// Reads something, and compares what it says with what had been written before.
async fn read(engine: &Engine, floor: &Floor, seed: u64) -> pie::Result<()> {
    let before = floor.now();
    let id = i64::try_from(seed % ROWS as u64).unwrap();
    let newest = |row: &Row| {
        let least = before[usize::try_from(row.id).unwrap()];
        assert!(
            row.version >= least,
            "row {} is {} and was {least} before the read of kind {} began",
            row.id,
            row.version,
            seed % 5
        );
    };
    match seed % 5 {
        0 => newest(&*Row::find_by_id(engine, id).required().await?),
        1 => {
            for row in Row::find_by_ids(engine, &[0, id, 3]).await? {
                newest(&row.expect("no row is ever missing to a committed read"));
            }
        }
        2 => {
            let least = before[usize::try_from(id).unwrap()];
            for version in least..least + 3 {
                // Of these names one is the row's, or was while it was written.
                if let Some(row) = Row::find_by_name(engine, name(id, version)).await? {
                    newest(&row);
                }
            }
        }
        3 => {
            let group = i64::try_from(seed / 7 % 4).unwrap();
            Row::list_by_group(engine, group).await?.iter().for_each(newest);
        }
        _ => {
            let all = Row::query(engine).order_by(Row::ID.asc()).await?;
            assert_eq!(all.len(), ROWS, "a state that never was");
            all.iter().for_each(newest);
        }
    }
    Ok(())
}

async fn history(isolation: Option<Isolation>) {
    if isolation.is_some() && !which().speaks_sql() {
        return;
    }
    let builder = Engine::builder().database(databases::concurrent_database());
    let engine = builder.config(testing::config()).build().await.expect("builds");
    engine.create_tables::<(Row,)>().await.expect("creates");
    for id in 0..i64::try_from(ROWS).unwrap() {
        let new = NewRow { id, name: name(id, 0), group: id % GROUPS, version: 0 };
        Row::insert(&engine, new).await.expect("inserts");
    }
    let options = isolation.map_or_else(TxOptions::new, |level| TxOptions::new().isolation(level));
    let (floor, writing) = (Arc::new(Floor::default()), Arc::new(AtomicU64::new(4)));
    let mut tasks = JoinSet::new();
    for writer in 0..4_u64 {
        let (engine, floor, writing) = (engine.clone(), Arc::clone(&floor), Arc::clone(&writing));
        tasks.spawn(async move {
            for turn in 0..150 {
                let seed = writer * 1_000 + turn;
                let done = if databases::transactions() && which().speaks_sql() {
                    write(&engine, options, &floor, seed).await
                } else {
                    write_alone(&engine, &floor, seed).await
                };
                match done {
                    // Another one has the row's name for a moment, or waits for what this one has; what it did is undone.
                    Err(error)
                        if !matches!(
                            error.kind(),
                            ErrorKind::UniqueViolation | ErrorKind::SerializationFailure
                        ) =>
                    {
                        panic!("{error:?}")
                    }
                    _ => {}
                }
            }
            writing.fetch_sub(1, Ordering::SeqCst);
        });
    }
    for reader in 0..4_u64 {
        let (engine, floor, writing) = (engine.clone(), Arc::clone(&floor), Arc::clone(&writing));
        tasks.spawn(async move {
            let mut seed = reader;
            while writing.load(Ordering::SeqCst) > 0 {
                seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                read(&engine, &floor, seed >> 33).await.expect("reads");
                tokio::task::yield_now().await;
            }
        });
    }
    while let Some(done) = tasks.join_next().await {
        done.expect("no task fails");
    }
    macro_rules! same {
        ($query:expr) => {
            assert_eq!($query.await.expect("reads"), $query.no_cache().await.expect("reads"))
        };
    }
    for id in 0..i64::try_from(ROWS).unwrap() {
        same!(Row::find_by_id(&engine, id));
        for version in 0..3 {
            same!(Row::find_by_name(&engine, name(id, version)));
        }
    }
    for group in 0..GROUPS {
        same!(Row::list_by_group(&engine, group).order_by(Row::ID.asc()));
        same!(Row::list_by_group(&engine, group).count());
    }
    same!(Row::query(&engine).order_by(Row::ID.asc()));
    let stats = engine.cache().stats();
    let written: i64 = floor.now().iter().sum();
    assert!(stats.hits > 0 && written > 100, "{stats} {written}");
    engine.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn with_the_level_of_the_database() {
    history(None).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn read_committed() {
    history(Some(Isolation::ReadCommitted)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn repeatable_read() {
    history(Some(Isolation::RepeatableRead)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn serializable() {
    history(Some(Isolation::Serializable)).await;
}
