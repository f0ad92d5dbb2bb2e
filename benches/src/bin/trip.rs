//! Nothing but reads that memory has no answer to, for `perf` and for counting instructions: `trip one|redis|many COUNT URL`, which Redis
//! answers; `trip miss COUNT`, which SQLite does, and `trip plain COUNT`, the plain queries of sqlx.
//!
//! Two runs with different counts differ by the cost of these reads alone.

use pie::prelude::*;
use pie_benches::{User, new_user, users};

/// Reads that Redis answers: one after the other, of 64 tasks, or of many rows.
async fn in_redis(url: String, count: usize, what: &str) -> pie::Result<()> {
    // Under valgrind a call takes longer than the usual budget, and one that was late is answered by the database.
    let redis = pie::RedisConfig::new(&*url).budget(std::time::Duration::from_secs(10));
    let engine = Engine::builder().database("sqlite::memory:").redis(redis).require_redis().build().await?;
    engine.create_tables::<(User,)>().await?;
    users(&engine, 2_000).await?;
    engine.cache().flush().await;
    let start = std::time::Instant::now();
    if what == "one" {
        for id in (1..=2_000).cycle().take(count) {
            assert_eq!(User::find_by_id(&engine, id).required().await?.id, id);
        }
    }
    if what == "many" {
        let ids: Vec<i64> = (1..=100).collect();
        for _ in 0..count {
            assert_eq!(User::find_by_ids(&engine, &ids).await?.iter().flatten().count(), 100);
        }
    }
    let tasks: Vec<_> = (0..if what == "redis" { 64 } else { 0 })
        .map(|task: i64| {
            let engine = engine.clone();
            tokio::spawn(async move {
                for i in 0..i64::try_from(count / 64).unwrap_or(0) {
                    let id = (task * 31 + i) % 2_000 + 1;
                    let user = User::find_by_id(&engine, id).required().await;
                    assert_eq!(user.map(|user| user.id).ok(), Some(id));
                }
            })
        })
        .collect();
    for task in tasks {
        let _ = task.await;
    }
    eprintln!("{:.1} ns each", pie_benches::each(start.elapsed(), count as u64));
    engine.cache().clear().await?;
    engine.close().await;
    Ok(())
}

/// A row as sqlx gives it.
type Row = (i64, String, String, String, i32, f64, bool);

/// Rows that no layer has, of SQLite; or the same rows by sqlx alone.
async fn of_sqlite(count: usize, plain: bool) -> Result<(), Box<dyn std::error::Error>> {
    const ROWS: i64 = 2_000;
    let pool = sqlx::sqlite::SqlitePoolOptions::new().max_connections(1).connect("sqlite::memory:").await?;
    let engine = Engine::builder().database(pool.clone()).build().await?;
    engine.create_tables::<(User,)>().await?;
    User::insert_many(&engine, (1..=ROWS).map(new_user)).await?;
    let start = std::time::Instant::now();
    for (at, id) in (1..=ROWS).cycle().take(count).enumerate() {
        if plain {
            let select = "SELECT id, email, name, status, age, score, active FROM users WHERE id = ?";
            let row: Row = sqlx::query_as(select).bind(id).fetch_one(&pool).await?;
            assert_eq!(row.0, id);
            continue;
        }
        if at % 2_000 == 0 {
            engine.cache().clear().await?;
        }
        assert_eq!(User::find_by_id(&engine, id).required().await?.source(), pie::Source::Database);
    }
    eprintln!("{:.1} ns each", pie_benches::each(start.elapsed(), count as u64));
    engine.close().await;
    Ok(())
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args().skip(1);
    let (what, count) = (args.next().unwrap_or_default(), args.next().unwrap_or_default().parse::<usize>()?);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    match &*what {
        "one" | "redis" | "many" => {
            Ok(runtime.block_on(in_redis(args.next().unwrap_or_default(), count, &what))?)
        }
        "miss" | "plain" => runtime.block_on(of_sqlite(count, what == "plain")),
        _ => Err("say `one`, `redis` or `many`, how many reads and where Redis is; or `miss` or `plain`, and how many".into()),
    }
}
