//! Cached functions: what `#[cached]` and `#[invalidates]` on functions call. The same chain, flights and fence as for models.

mod bounds;
mod call;
mod key;
mod shape;
mod stored;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use arc_swap::{ArcSwapOption, Guard};

pub use bounds::{CacheValue, CallError, CopiedValue, DetachedArgument, TimedOut};
pub use call::{Call, Detached, Function, Invalidation, Via, end_key};
pub use key::{CacheKey, KeyWriter, logical_key};
pub use shape::{AloneFallback, Answering, Inside, KindsFallback, OuterFallback, WrapFallback, probe};

use crate::engine::Engine;

/// Read by every call of a function with `via = global`, without a lock and without counting a reference.
static GLOBAL: ArcSwapOption<Engine> = ArcSwapOption::const_empty();

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
    GLOBAL.store(Some(Arc::new(engine)));
}

/// The engine that was installed, as long as one call needs it.
#[doc(hidden)]
pub struct Installed(Guard<Option<Arc<Engine>>>);

impl Installed {
    /// As a handle: through the engine, if one was installed.
    #[must_use]
    pub fn via(&self) -> Via<'_> {
        Via::installed(self.engine())
    }

    pub(crate) fn engine(&self) -> Option<&Engine> {
        self.0.as_deref()
    }
}

impl fmt::Debug for Installed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Installed").field(&self.engine()).finish()
    }
}

/// The engine that was installed.
#[doc(hidden)]
#[must_use]
pub fn installed() -> Installed {
    let installed = Installed(GLOBAL.load());
    if installed.engine().is_none() {
        static SAID: AtomicBool = AtomicBool::new(false);
        if !SAID.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                "a function with `via = global` runs without a cache: call `pie::install(engine)` first; this is said once"
            );
        }
    }
    installed
}
