//! What other processes tell: names and patterns they invalidated, and whether they can still be heard.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use super::chain::Chain;
use super::stamps::StampName;

/// Where a [`SharedLayer`](super::SharedLayer) puts what it hears from other processes. Cloning is a reference count.
///
/// It holds nothing alive: after the engine is gone, everything here does nothing.
#[derive(Clone)]
pub struct Inbox {
    chain: Weak<Chain>,
    /// Whether this layer's messages arrive.
    attached: Arc<AtomicBool>,
}

impl fmt::Debug for Inbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inbox").field("attached", &self.attached).finish_non_exhaustive()
    }
}

impl Inbox {
    pub(crate) fn new(chain: &Arc<Chain>) -> Self {
        Self { chain: Arc::downgrade(chain), attached: Arc::new(AtomicBool::new(false)) }
    }

    fn with(&self, act: impl FnOnce(&Chain)) {
        if let Some(chain) = self.chain.upgrade() {
            act(&chain);
        }
    }

    /// Another process invalidated these names.
    pub fn invalidated(&self, names: &[StampName]) {
        self.with(|chain| {
            chain.messages.received.add(1);
            chain.stamps.bump(names);
        });
    }

    /// Another process invalidated the keys of a scope that match a pattern.
    pub fn pattern(&self, scope: &str, pattern: &str) {
        self.with(|chain| {
            chain.messages.received.add(1);
            chain.sweep(scope, pattern);
        });
    }

    /// Messages arrive from now on. What was missed before is unknown, so everything in this process ends.
    pub fn attached(&self) {
        self.with(|chain| {
            if !mistake!(NoReconnectBump) {
                chain.stamps.bump_epoch();
            }
            if !self.attached.swap(true, Ordering::AcqRel) {
                chain.attach();
            }
        });
    }

    /// Messages may be missed from now on: the connection is lost, or an echo did not come back.
    pub fn detached(&self) {
        self.with(|chain| {
            if self.attached.swap(false, Ordering::AcqRel) {
                chain.messages.detachments.add(1);
                chain.detach();
            }
        });
    }

    /// A message was missed, although the connection stands: everything in this process ends.
    pub fn gap(&self) {
        self.with(|chain| {
            chain.messages.gaps.add(1);
            chain.stamps.bump_epoch();
        });
    }

    /// What this process has may come from a server that was no master any more: everything in it ends.
    #[cfg(feature = "redis")]
    pub(crate) fn end(&self) {
        self.with(|chain| chain.stamps.bump_epoch());
    }

    /// A message took this long from its sender to here.
    pub fn lag(&self, lag: Duration) {
        self.with(|chain| {
            let micros = u64::try_from(lag.as_micros()).unwrap_or(u64::MAX);
            chain.messages.lag_last.set(micros);
            chain.messages.lag_max.raise(micros);
            chain.messages.lag_sum.add(micros);
            chain.messages.lags.add(1);
        });
    }

    /// The time of day in milliseconds since 1970, as the engine's clock tells it; 0 when the engine is gone.
    #[must_use]
    pub fn wall(&self) -> u64 {
        self.chain.upgrade().map_or(0, |chain| chain.clock.wall())
    }

    /// Whether messages arrive, as far as is known.
    #[must_use]
    pub fn is_attached(&self) -> bool {
        self.attached.load(Ordering::Acquire)
    }

    /// Whether the engine is still there.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.chain.strong_count() > 0
    }
}
