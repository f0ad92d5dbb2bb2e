//! One layer in its place of the chain, and how it is called: whatever it does, it never fails a query.

use std::any::Any;
use std::fmt;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use futures_util::FutureExt;

use super::Chain;
use super::gather::Gathering;
use crate::cache::layer::{BoxFuture, CacheLayer};
use crate::cache::stats::{LayerCounters, LayerStats};
use crate::error::Result;
use crate::layers::Memory;
use crate::query::Source;
use crate::task;

/// One layer, its counters, and whether it is left alone for now.
pub(super) struct Level {
    pub(super) layer: Arc<dyn CacheLayer>,
    /// The same, if it is the memory layer: a hit does not call it through a table.
    pub(super) memory: Option<Arc<Memory>>,
    pub(super) source: Source,
    /// Its number, which each hit is told.
    pub(super) source_number: u16,
    /// Whether other processes read what it stores.
    pub(super) shared: bool,
    pub(super) counters: LayerCounters,
    pub(super) gathering: Gathering,
    /// Until when the layer is left alone, on the steady clock, because it did not answer in time.
    resting_until: AtomicU64,
    strange_said: AtomicBool,
}

impl Level {
    pub(super) fn new(layer: Arc<dyn CacheLayer>, gathers: bool) -> Self {
        let counters = LayerCounters::default();
        let any: Arc<dyn Any + Send + Sync> = Arc::clone(&layer) as _;
        let (memory, source, shared) = (any.downcast().ok(), layer.source(), layer.shared().is_some());
        Self {
            layer,
            memory,
            source,
            source_number: source.number(),
            shared,
            counters,
            gathering: Gathering::new(gathers),
            resting_until: AtomicU64::new(0),
            strange_said: AtomicBool::new(false),
        }
    }

    /// Whether the layer is left alone for now.
    fn rests(&self, now: u64) -> bool {
        self.resting_until.load(Ordering::Relaxed) > now
    }

    fn failed(&self, what: &'static str, how: &dyn fmt::Display) {
        let layer = self.layer.name();
        tracing::debug!(layer, what, error = %how, "a cache layer failed");
        self.counters.errors.add(1);
    }

    fn panicked(&self, what: &'static str) {
        let layer = self.layer.name();
        tracing::error!(layer, what, "a cache layer panicked; it counts as failed");
        self.counters.errors.add(1);
        self.counters.panics.add(1);
    }

    /// The layer gave the entry of another key.
    pub(super) fn strange(&self) {
        self.counters.errors.add(1);
        if !self.strange_said.swap(true, Ordering::Relaxed) {
            let layer = self.layer.name();
            tracing::error!(
                layer,
                "a cache layer gave the entry of another key; it is not served, and this is said once"
            );
        }
    }

    /// Runs a call that does not wait; a panic is counted and gives `None`.
    pub(super) fn at_once<T>(
        &self,
        what: &'static str,
        call: impl FnOnce(&dyn CacheLayer) -> T,
    ) -> Option<T> {
        match std::panic::catch_unwind(AssertUnwindSafe(|| call(&*self.layer))) {
            Ok(value) => Some(value),
            Err(_) => {
                self.panicked(what);
                None
            }
        }
    }

    /// `at_once` is how many hits are counted elsewhere: those without waiting.
    pub(super) fn stats(&self, at_once: u64) -> LayerStats {
        let usage = self.at_once("usage", CacheLayer::usage).unwrap_or_default();
        LayerStats::of(self.layer.name(), self.source, &self.counters, at_once, usage)
    }
}

impl Chain {
    /// Runs a call of a layer. A failure or a panic is counted and gives `None`: it is never the result of a query.
    pub(super) fn guarded<'l, T>(
        level: &'l Level,
        what: &'static str,
        call: impl FnOnce(&'l dyn CacheLayer) -> BoxFuture<'l, Result<T>>,
    ) -> impl Future<Output = Option<T>> + Send {
        let call = level.at_once(what, move |_| call(&*level.layer));
        async move {
            match AssertUnwindSafe(call?).catch_unwind().await {
                Ok(Ok(value)) => return Some(value),
                Ok(Err(error)) => level.failed(what, &error),
                Err(_) => level.panicked(what),
            }
            None
        }
    }

    /// Runs a call of a layer in this process, which is waited for a limited time, and left alone for a second when that was
    /// not enough.
    pub(super) async fn limited<'l, T>(
        &self,
        level: &'l Level,
        what: &'static str,
        call: impl FnOnce(&'l dyn CacheLayer) -> BoxFuture<'l, Result<T>>,
    ) -> Option<T> {
        /// In milliseconds.
        const REST: u64 = 1_000;
        if level.rests(self.clock.steady()) {
            return None;
        }
        let call = Self::guarded(level, what, call);
        let Some(limit) = self.config.layer_timeout else { return call.await };
        let answer = task::timeout(limit, call).await;
        if answer.is_none() {
            let layer = level.layer.name();
            tracing::warn!(
                layer,
                what,
                ?limit,
                "a cache layer did not answer in time; it is left alone for a second"
            );
            level.counters.errors.add(1);
            level.resting_until.store(self.clock.steady().saturating_add(REST), Ordering::Relaxed);
        }
        answer.flatten()
    }
}
