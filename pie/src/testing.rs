//! For the tests of programs and plugins that use pie (feature `testing`).
//!
//! - [`check_layer`] runs the conformance suite of layers: one line of a test tells what a plugin does wrong.
//! - [`config`] gives each test a namespace of its own, so that any number of tests share one Redis at the same time, without
//!   emptying it.
//! - [`assert_statements!`](crate::assert_statements) and [`assert_loads!`](crate::assert_loads) count what reached the
//!   database.
//! - [`ManualClock`] stands still until it is moved.
//! - [`FaultyLayer`] fails, hangs, panics or lies on command; [`MapLayer`] is a layer in a map, without any limit.
//!
//! # Examples
//!
//! ```
//! use std::time::Duration;
//!
//! use pie::prelude::*;
//! use pie::testing::{self, ManualClock};
//! use pie::{assert_loads, assert_statements};
//!
//! #[derive(Debug, Clone, Model)]
//! #[cached(ttl = "5m")]
//! struct User {
//!     #[pie(id, auto)]
//!     id: i64,
//!     name: String,
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> pie::Result<()> {
//! let clock = ManualClock::new();
//! let engine = Engine::builder()
//!     .database("sqlite::memory:")
//!     .config(testing::config())
//!     .clock(&clock)
//!     .build()
//!     .await?;
//! engine.create_tables::<(User,)>().await?;
//! let ann = User::insert(&engine, NewUser { name: "Ann".into() }).await?;
//!
//! assert_statements!(engine, 1, User::find_by_id(&engine, ann.id).await?);
//! let again = assert_statements!(engine, 0, User::find_by_id(&engine, ann.id).await?);
//! assert_eq!(again.map(|user| user.name.clone()), Some("Ann".to_owned()));
//! clock.advance(Duration::from_secs(301));
//! assert_loads!(engine, 1, User::find_by_id(&engine, ann.id).await?);
//! # Ok(())
//! # }
//! ```

mod conformance;
mod layers;
mod shared;

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

pub use conformance::{Violations, check_layer};
pub use layers::{Fault, FaultyLayer, MapLayer};

pub use crate::clock::ManualClock;
use crate::engine::CacheConfig;

/// A key prefix that no other test has, in this process or another.
#[must_use]
pub fn namespace() -> String {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    format!("test-{:x}-{:x}-{number}:", std::process::id(), fastrand::u64(..))
}

/// The default settings in a [namespace] of their own, and without jitter, so that a moved clock hits the time to live.
///
/// What a test leaves in Redis is in nobody's way, and goes with its time to live.
#[must_use]
pub fn config() -> CacheConfig {
    CacheConfig {
        key_prefix: namespace(),
        enable_jitter: false,
        ttl_jitter: Duration::ZERO,
        ..CacheConfig::default()
    }
}

/// Runs an expression, which may await, and fails the test unless it sent this many statements to the engine's database; gives
/// what the expression gives. Statements that begin and end transactions do not count. Needs the feature `testing`.
///
/// # Examples
///
/// See [`testing`](crate::testing).
#[macro_export]
macro_rules! assert_statements {
    ($engine:expr, $count:expr, $work:expr $(,)?) => {{
        let (engine, expected): (&$crate::Engine, u64) = (&$engine, $count);
        let before = engine.statements();
        let outcome = $work;
        let sent = engine.statements() - before;
        assert_eq!(sent, expected, "statements that reached the database: {sent} instead of {expected}");
        outcome
    }};
}

/// Runs an expression, which may await, and fails the test unless it loaded values from the database this many times on behalf
/// of the cache; gives what the expression gives. Needs the feature `testing`.
///
/// # Examples
///
/// See [`testing`](crate::testing).
#[macro_export]
macro_rules! assert_loads {
    ($engine:expr, $count:expr, $work:expr $(,)?) => {{
        let (engine, expected): (&$crate::Engine, u64) = (&$engine, $count);
        let before = engine.cache().stats().loads;
        let outcome = $work;
        let loads = engine.cache().stats().loads - before;
        assert_eq!(loads, expected, "loads on behalf of the cache: {loads} instead of {expected}");
        outcome
    }};
}
