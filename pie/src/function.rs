//! Cached functions: what `#[cached]` and `#[invalidates]` on functions call. The same chain, flights and fence as for models.

mod call;
mod key;
mod shape;

use std::sync::{PoisonError, RwLock};

pub use call::{Call, Function, Invalidation, Via};
pub use key::{CacheKey, KeyWriter, Template};
pub use shape::{AloneFallback, OuterFallback, WrapFallback, probe, shape};

use crate::engine::Engine;

static GLOBAL: RwLock<Option<Engine>> = RwLock::new(None);

/// Makes an engine the one that functions with `via = global` use, in place of the one before. Until one is installed, such
/// functions run without a cache.
///
/// # Examples
///
/// ```
/// # use pie::prelude::*;
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> pie::Result<()> {
/// let engine = Engine::builder().database("sqlite::memory:").build().await?;
/// pie::install(engine);
/// # Ok(())
/// # }
/// ```
pub fn install(engine: Engine) {
    *GLOBAL.write().unwrap_or_else(PoisonError::into_inner) = Some(engine);
}

/// The engine that was installed.
#[doc(hidden)]
#[must_use]
pub fn installed() -> Option<Engine> {
    let engine = GLOBAL.read().unwrap_or_else(PoisonError::into_inner).clone();
    if engine.is_none() {
        use std::sync::atomic::{AtomicBool, Ordering};
        static SAID: AtomicBool = AtomicBool::new(false);
        if !SAID.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                "a function with `via = global` runs without a cache: call `pie::install(engine)` first; this is said once"
            );
        }
    }
    engine
}
