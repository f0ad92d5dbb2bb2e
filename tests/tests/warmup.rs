//! Warming up: how many at once, what is told, what is skipped, what fails.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::Arc;
use std::time::Duration;

use pie::database::Sqlite;
use pie::prelude::*;
use pie::{WarmupOutcome, assert_statements};
use pie_tests::gated::{Gate, Gated};

#[derive(Debug, Clone, Model)]
#[cached(ttl = "5m")]
struct User {
    #[pie(id, auto)]
    id: i64,
    #[pie(index)]
    status: String,
}

async fn engine() -> (Engine, Arc<Gate>) {
    let gate = Arc::new(Gate::default());
    let sqlite =
        Sqlite::open("sqlite::memory:", pie::database::DatabaseOptions::default()).await.expect("opens");
    let database = Gated::new(Arc::new(sqlite), &gate);
    let engine = Engine::builder().database(Arc::new(database)).build().await.expect("builds");
    engine.create_tables::<(User,)>().await.expect("creates");
    let users = (0..30).map(|i| NewUser { status: format!("s{}", i % 10) });
    User::insert_many(&engine, users).await.expect("inserts");
    (engine, gate)
}

#[tokio::test]
async fn at_most_so_many_queries_run_at_once() -> pie::Result<()> {
    let (engine, gate) = engine().await;
    gate.delay(Duration::from_millis(5));
    let mut warmup = engine.warmup().concurrency(3);
    for i in 0..10 {
        let engine = &engine;
        warmup = warmup.query(format!("s{i}"), move || User::list_by_status(engine, format!("s{i}")));
    }
    let report = warmup.await;
    assert_eq!((report.loaded(), gate.most()), (10, 3));
    assert_eq!(report.queries.iter().map(|query| &*query.name).collect::<Vec<_>>()[..3], ["s0", "s1", "s2"]);
    Ok(())
}

#[tokio::test]
async fn answers_of_every_shape_are_counted_and_what_is_there_is_skipped() -> pie::Result<()> {
    let (engine, _gate) = engine().await;
    let warmup = || {
        let by_ids = || async { User::find_by_ids(&engine, &[1, 2, 99]).await };
        engine
            .warmup()
            .query("list", || User::list_by_status(&engine, "s1"))
            .query("row", || User::find_by_id(&engine, 5))
            .query("required", || User::find_by_id(&engine, 6).required())
            .query("page", || User::query(&engine).order_by(User::ID.asc()).page(1, 7))
            .query("distinct", || User::query(&engine).distinct(User::STATUS))
            .query("count", || User::query(&engine).count())
            .query("ids", by_ids)
    };
    let report = warmup().await;
    assert_eq!(report.queries.iter().map(|query| query.rows).collect::<Vec<_>>(), [3, 1, 1, 7, 10, 30, 2]);
    assert_eq!((report.loaded(), report.skipped()), (7, 0), "{report}");
    let again = assert_statements!(engine, 0, warmup().await);
    // A count does not tell who answered.
    assert_eq!((again.loaded(), again.skipped()), (1, 6), "{again}");
    Ok(())
}

#[tokio::test]
async fn what_fails_or_panics_is_passed_over() {
    let (engine, gate) = engine().await;
    gate.fail(true);
    let mut progress = Vec::new();
    let report = engine
        .warmup()
        .query("fails", || User::list_by_status(&engine, "s1"))
        .query("panics", || -> pie::Query<'_, User, pie::query::Count> { panic!("while it is made") })
        .query("panics later", || async { panic!("while it runs") as pie::Result<()> })
        .concurrency(1)
        .on_progress(|told| progress.push((told.done, told.total)))
        .await;
    assert_eq!((report.loaded(), report.failed()), (0, 3));
    assert_eq!(progress, [(1, 3), (2, 3), (3, 3)]);
    let WarmupOutcome::Failed(error) = &report.queries[0].outcome else { panic!("{report}") };
    assert_eq!(error.to_string(), "the database says no (model `User`, query `list_by_status`)");
}

#[tokio::test]
async fn while_the_cache_is_off_nothing_is_asked() {
    let (engine, _gate) = engine().await;
    engine.cache().disable();
    let report = assert_statements!(engine, 0, engine.warmup().query("a", || User::query(&engine)).await);
    assert_eq!(report.skipped(), 1);
}

#[tokio::test]
async fn dropping_it_stops_what_is_left() {
    let (engine, gate) = engine().await;
    gate.close();
    let warmup = engine.warmup().concurrency(1);
    let warmup =
        warmup.query("a", || User::query(&engine)).query("b", || User::list_by_status(&engine, "s1"));
    {
        let mut running = std::pin::pin!(warmup.into_future());
        tokio::select! {
            biased;
            _ = &mut running => panic!("the database is held"),
            () = gate.until_begun(1) => {}
        }
    }
    gate.open();
    assert_eq!(gate.begun(), 1, "the second was never begun");
    assert_eq!(User::list_by_status(&engine, "s1").await.expect("answers").len(), 3);
}
