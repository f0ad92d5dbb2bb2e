//! What the integration tests share: real servers, a proxy that counts round trips, and a log of the statements that
//! reached SQLite.

pub mod cluster;
pub mod databases;
pub mod gated;
pub mod history;
pub mod log;
pub mod proxy;
pub mod redis_server;
pub mod stepped;
pub mod strict;

use std::time::{Duration, Instant};

/// Waits until a condition holds; fails the test when it does not within a minute.
///
/// # Panics
/// The condition did not hold in time.
#[allow(clippy::panic, reason = "it fails a test")]
pub async fn until(what: &str, mut condition: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !condition().await {
        if Instant::now() > deadline {
            panic!("waited a minute in vain until {what}");
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// A name that no other test uses.
#[must_use]
pub fn unique(prefix: &str) -> String {
    use std::sync::atomic::{AtomicU64, Ordering};
    static NEXT: AtomicU64 = AtomicU64::new(0);
    format!("{prefix}{}_{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed))
}
