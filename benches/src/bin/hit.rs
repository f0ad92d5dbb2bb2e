//! Nothing but hits in memory, for `perf` and for counting instructions: `hit row|list|function COUNT [KEYS]`.
//!
//! Two runs with different counts differ by the cost of hits alone. Nothing else is in this program: how much of a hit the compiler puts where
//! it is called depends on how many calls there are.

use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use pie::prelude::*;
use pie_benches::{User, engine, users, zipf};

#[cached(ttl = "1h", key = "score:{id}")]
async fn score(engine: &Engine, id: i64) -> pie::Result<Arc<u64>> {
    let _ = engine;
    Ok(Arc::new(id.unsigned_abs()))
}

/// A hit is ready at the first poll.
fn ready<T>(future: impl Future<Output = T>) -> Option<T> {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => Some(value),
        Poll::Pending => None,
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args().skip(1);
    let (what, count) = (args.next().unwrap_or_default(), args.next().unwrap_or_default().parse::<usize>()?);
    let keys = args.next().map_or(Ok(10_000), |keys| keys.parse::<usize>())?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let engine = runtime.block_on(async {
        let engine = engine(256 << 20).await?;
        users(&engine, i64::try_from(keys).unwrap_or(0)).await?;
        User::list_by_status(&engine, "rare").await?;
        for id in 1..=i64::try_from(keys).unwrap_or(0) {
            score(&engine, id).await?;
        }
        Ok::<_, pie::Error>(engine)
    })?;
    let trace = zipf(keys, 0.99, 100_000);
    let start = std::time::Instant::now();
    let missed = "this was to be a hit";
    for id in trace.iter().cycle().take(count) {
        match &*what {
            "row" => {
                let user = ready(User::find_by_id(&engine, *id).into_future()).ok_or(missed)??;
                assert_eq!(user.map(|user| user.id), Some(*id));
            }
            "list" => {
                let list = ready(User::list_by_status(&engine, "rare").into_future()).ok_or(missed)??;
                assert_eq!(list.len(), keys / 100);
            }
            "function" => {
                assert_eq!(*ready(score(&engine, *id)).ok_or(missed)??, id.unsigned_abs());
            }
            _ => return Err("say `row`, `list` or `function`, and how many hits".into()),
        }
    }
    eprintln!("{:.1} ns each", pie_benches::each(start.elapsed(), count as u64));
    Ok(())
}
