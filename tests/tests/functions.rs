//! Cached functions on real SQLite and Redis: every shape of return, keys, handles, fences, errors, cancellation.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "a test fails by panicking")]
#![allow(unreachable_pub, reason = "what is public has companions")]

#[path = "functions/calls.rs"]
mod calls;
#[path = "functions/fence.rs"]
mod fence;
#[path = "functions/handles.rs"]
mod handles;
#[path = "functions/layers.rs"]
mod layers;
#[path = "functions/program.rs"]
mod program;
#[path = "functions/staleness.rs"]
mod staleness;
#[path = "functions/traits.rs"]
mod traits;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use pie::prelude::*;
use pie::testing::{self, ManualClock};
use pie::{CacheKey, Source};
use serde::{Deserialize, Serialize};
use tokio::sync::Semaphore;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Profile {
    id: i64,
    name: String,
}

#[derive(Debug, Clone, Model)]
#[cached(ttl = "5m")]
struct User {
    #[pie(id, auto)]
    id: i64,
    name: String,
}

/// An error of the program's own, which cannot be copied.
#[derive(Debug, PartialEq)]
struct AppError(String);

/// One that can.
#[derive(Debug, Clone, PartialEq)]
struct SharedError(u64);

impl From<pie::Error> for SharedError {
    fn from(_: pie::Error) -> Self {
        Self(999)
    }
}

type AppResult<T> = Result<T, AppError>;

struct Users {
    engine: Engine,
    loads: AtomicU64,
    gate: Semaphore,
    clock: ManualClock,
}

impl Users {
    async fn new() -> Self {
        let clock = ManualClock::new();
        let builder = Engine::builder().database("sqlite::memory:").config(testing::config()).clock(&clock);
        let engine = builder.build().await.expect("builds");
        engine.create_tables::<(User,)>().await.expect("creates");
        Self { engine, loads: AtomicU64::new(0), gate: Semaphore::new(1_000_000), clock }
    }

    fn loaded(&self) -> u64 {
        self.loads.fetch_add(1, Ordering::SeqCst) + 1
    }

    /// Loads since the last call.
    fn loads(&self) -> u64 {
        self.loads.swap(0, Ordering::SeqCst)
    }

    /// A profile.
    #[cached(ttl = "1m", key = "profile:{id}", tags("profiles", "profile:{id}"), depends(User), via = self.engine)]
    pub async fn profile(&self, id: i64) -> Result<Option<Profile>, AppError> {
        self.loaded();
        let _turn = self.gate.acquire().await;
        match id {
            0 => Err(AppError("no id".into())),
            99 => Ok(None),
            _ => Ok(Some(Profile { id, name: format!("user {id}") })),
        }
    }

    #[invalidates(keys("profile:{id}"), via = self.engine)]
    pub async fn rename(&self, id: i64, name: &str) -> Result<(), AppError> {
        if name.is_empty() { Err(AppError(format!("no name for {id}"))) } else { Ok(()) }
    }

    #[cached(ttl = "1m", via = self.engine)]
    async fn plain(&self) -> u64 {
        self.loaded()
    }

    #[cached(ttl = "1m", via = self.engine)]
    async fn option(&self, some: bool) -> Option<u64> {
        self.loaded();
        some.then_some(7)
    }

    #[cached(ttl = "1m", empty_ttl = "10s", via = self.engine)]
    async fn list(&self, many: u64) -> Vec<u64> {
        self.loaded();
        (0..many).collect()
    }

    #[cached(ttl = "1m", via = self.engine)]
    async fn alias(&self, ok: bool) -> AppResult<Vec<u64>> {
        self.loaded();
        if ok { Ok(vec![1]) } else { Err(AppError("no".into())) }
    }

    #[cached(ttl = "1m", via = self.engine)]
    async fn arc(&self) -> Arc<Vec<u64>> {
        self.loaded();
        Arc::new(vec![1, 2, 3])
    }

    #[cached(ttl = "1m", via = self.engine)]
    async fn handle(&self) -> pie::Result<Cached<Profile>> {
        self.loaded();
        Ok(Cached::from(Profile { id: 1, name: "Ann".into() }))
    }

    #[cached(ttl = "1m", via = self.engine)]
    async fn maybe(&self, some: bool) -> Result<Option<Arc<Profile>>, AppError> {
        self.loaded();
        Ok(some.then(|| Arc::new(Profile { id: 1, name: "Ann".into() })))
    }

    #[cached(ttl = "1m", via = self.engine)]
    async fn maybe_handle(&self, some: bool) -> Option<Cached<u64>> {
        self.loaded();
        some.then(|| Cached::from(5))
    }

    #[cached(ttl = "1m", skip(trace), if = id > 0, via = self.engine)]
    async fn conditional(&self, id: i64, trace: &str) -> u64 {
        let _ = trace;
        self.loaded()
    }

    #[cached(ttl = "1m", timeout = "20ms", via = self.engine)]
    async fn slow(&self, shared: bool) -> Result<u64, SharedError> {
        self.loaded();
        let _turn = self.gate.acquire().await;
        if shared { Ok(1) } else { Err(SharedError(4)) }
    }

    #[cached(ttl = "1m", via = self.engine)]
    async fn failing(&self, clone: bool) -> Result<u64, SharedError> {
        let number = self.loaded();
        let _turn = self.gate.acquire().await;
        if clone { Err(SharedError(number)) } else { Ok(number) }
    }
}
