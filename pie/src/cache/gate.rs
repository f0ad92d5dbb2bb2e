//! A cap on how many loads run at once, so that a cold or lost cache cannot sink the database.

use std::future::Future;
use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

tokio::task_local! {
    /// Set while a loader runs that has a permit of the engine.
    static WITHIN: ();
}

/// At most this many at once; no cap without a number. Cloning shares the cap.
#[derive(Debug, Clone, Default)]
pub(crate) struct Gate(Option<Arc<Semaphore>>);

/// The right to load until dropped.
#[derive(Debug)]
pub(crate) struct Permit(#[allow(dead_code, reason = "held, not read")] Option<OwnedSemaphorePermit>);

impl Gate {
    pub(crate) fn new(loads: Option<usize>) -> Self {
        Self(loads.map(|loads| Arc::new(Semaphore::new(loads.clamp(1, Semaphore::MAX_PERMITS)))))
    }

    /// Whether there is a cap.
    pub(crate) fn is_capped(&self) -> bool {
        self.0.is_some()
    }

    /// Runs a load when it is its turn. Loads within it, on the same task, count as part of it: they would wait for ever for
    /// the permit that it has.
    pub(crate) async fn run<T>(&self, load: impl Future<Output = T>) -> T {
        if self.0.is_none() || WITHIN.try_with(|()| ()).is_ok() {
            return load.await;
        }
        let _permit = self.enter().await;
        WITHIN.scope((), load).await
    }

    /// Waits for its turn. Safe to drop at any point.
    pub(crate) async fn enter(&self) -> Permit {
        Permit(match &self.0 {
            // Never closed, so this cannot fail.
            Some(gate) => Arc::clone(gate).acquire_owned().await.ok(),
            None => None,
        })
    }
}
