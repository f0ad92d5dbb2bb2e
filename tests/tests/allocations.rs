//! The hot path: a hit in memory allocates nothing, and needs no second poll.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "a test fails by panicking")]

use std::pin::Pin;
use std::task::{Context, Waker};

use pie::prelude::*;

#[derive(Debug, Clone, Model)]
#[cached(ttl = "5m", tags("users"))]
struct User {
    #[pie(id, auto)]
    id: i64,
    #[pie(unique)]
    email: String,
    #[pie(index)]
    status: String,
}

fn allocations<F: Future + Unpin>(make: impl Fn() -> F) -> u64 {
    let mut context = Context::from_waker(Waker::noop());
    let measured = allocation_counter::measure(|| {
        for _ in 0..1_000 {
            let mut future = make();
            assert!(Pin::new(&mut future).poll(&mut context).is_ready(), "a hit is there at the first poll");
        }
    });
    // mini-moka's own housekeeping now and then; none of it is one for each hit.
    measured.count_total / 1_000
}

#[tokio::test]
async fn a_hit_in_memory_allocates_nothing() -> pie::Result<()> {
    let engine = Engine::builder().database("sqlite::memory:").build().await?;
    engine.create_tables::<(User,)>().await?;
    User::insert(&engine, NewUser { email: "ann@example.org".into(), status: "active".into() }).await?;
    let tenant = engine.scoped("tenant:7");
    for engine in [&engine, &tenant] {
        User::find_by_id(engine, 1).await?;
        User::find_by_email(engine, "ann@example.org").await?;
        User::list_by_status(engine, "active").order_by(User::ID.desc()).limit(20).await?;
        User::find_by_id(engine, 99).await?;
        assert_eq!(allocations(|| User::find_by_id(engine, 1).into_future()), 0);
        assert_eq!(allocations(|| User::find_by_email(engine, "ann@example.org").into_future()), 0);
        let list =
            || User::list_by_status(engine, "active").order_by(User::ID.desc()).limit(20).into_future();
        assert_eq!(allocations(list), 0);
        assert_eq!(allocations(|| User::find_by_id(engine, 99).into_future()), 0, "no such row");
    }
    Ok(())
}

#[cached(ttl = "1m", tags("numbers"), depends(User))]
async fn numbers(engine: &Engine, name: &str, many: u64) -> pie::Result<std::sync::Arc<Vec<u64>>> {
    let _ = (engine, name);
    Ok(std::sync::Arc::new((0..many).collect()))
}

#[cached(ttl = "1m", key = "handle:{name}")]
async fn handle(engine: &Engine, name: &str) -> Option<Cached<u64>> {
    let _ = engine;
    (!name.is_empty()).then(|| Cached::from(7))
}

#[tokio::test]
async fn a_hit_of_a_function_allocates_nothing() -> pie::Result<()> {
    let engine = Engine::builder().database("sqlite::memory:").build().await?;
    numbers(&engine, "a", 100).await?;
    handle(&engine, "a").await;
    handle(&engine, "").await;
    let mut context = Context::from_waker(Waker::noop());
    let measured = allocation_counter::measure(|| {
        for _ in 0..1_000 {
            assert!(std::pin::pin!(numbers(&engine, "a", 100)).poll(&mut context).is_ready());
            assert!(std::pin::pin!(handle(&engine, "a")).poll(&mut context).is_ready());
            assert!(std::pin::pin!(handle(&engine, "")).poll(&mut context).is_ready());
        }
    });
    assert_eq!(measured.count_total / 1_000, 0);
    Ok(())
}
