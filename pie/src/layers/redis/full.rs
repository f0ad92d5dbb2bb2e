//! A server without room: what is stored is still read, nothing new is stored, and now and then it is tried again.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::Instant;

/// How long nothing is stored in a server that said it is full.
const PAUSE: Duration = Duration::from_secs(1);

/// A time in the future until which something is done differently; free to ask.
#[derive(Debug)]
pub(super) struct Until {
    begun: Instant,
    /// In milliseconds since `begun`; 0 for never.
    until: AtomicU64,
}

impl Until {
    pub(super) fn new() -> Self {
        Self { begun: Instant::now(), until: AtomicU64::new(0) }
    }

    fn now(&self) -> u64 {
        crate::clock::millis(self.begun.elapsed())
    }

    /// Whether that time has not come.
    pub(super) fn is_on(&self) -> bool {
        // Nearly always 0: then the clock is not asked.
        match self.until.load(Ordering::Relaxed) {
            0 => false,
            until => self.now() < until,
        }
    }

    pub(super) fn set(&self, pause: Duration) {
        self.until.store(self.now().saturating_add(crate::clock::millis(pause)).max(1), Ordering::Relaxed);
    }
}

/// Whether the server takes new values.
#[derive(Debug)]
pub(super) struct Full {
    until: Until,
    said: AtomicBool,
}

impl Full {
    pub(super) fn new() -> Self {
        Self { until: Until::new(), said: AtomicBool::new(false) }
    }

    /// Whether nothing is to be stored for now.
    pub(super) fn is_on(&self) -> bool {
        self.until.is_on()
    }

    /// Whether the last that is known is that the server is full.
    pub(super) fn is_known(&self) -> bool {
        self.said.load(Ordering::Relaxed)
    }

    /// The server said that it is full.
    pub(super) fn refused(&self) {
        self.until.set(PAUSE.mul_f64(0.5 + fastrand::f64() / 2.0));
        if !self.said.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                "Redis is full and evicts nothing (OOM): what it has is still read, nothing new is stored in it until it has room"
            );
        }
    }

    /// The server took something.
    pub(super) fn taken(&self) {
        if self.said.load(Ordering::Relaxed) && self.said.swap(false, Ordering::Relaxed) {
            tracing::info!("Redis takes values again");
        }
    }
}
