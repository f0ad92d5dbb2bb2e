//! How long a value is served, and what may be served while or instead of loading it: a policy with everything decided.

use std::time::Duration;

use crate::clock::{draw_ttl, millis};
use crate::engine::OnL2Down;

/// The ages that a reader accepts, in milliseconds; what it asks for, however long the entry was meant to live.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// A value is fresh below this age.
    pub(crate) full: u64,
    /// An empty one below this.
    pub(crate) empty: u64,
    /// How much longer it is served while one task loads it anew.
    pub(crate) stale: u64,
    /// How much longer it is served when loading failed or took too long.
    pub(crate) stale_if_error: u64,
    /// The age from which nothing is served, whatever else is said.
    pub(crate) max_age: u64,
    /// How long this reader waits for a shared layer, in milliseconds; what the layer itself waits where that is less.
    pub(crate) patience: u64,
    /// How long what this reader stores lives at most, where that is not what it accepts.
    pub(crate) life: Option<u64>,
}

impl Limits {
    fn of(self, empty: bool) -> u64 {
        if empty { self.empty } else { self.full }
    }

    /// The age below which a value is fresh.
    pub(crate) fn fresh(self, empty: bool) -> u64 {
        self.of(empty).min(self.max_age)
    }

    /// The greatest age of a value that is still of use.
    pub(crate) fn last(self, empty: bool) -> u64 {
        self.of(empty).saturating_add(self.window()).min(self.max_age)
    }

    /// How long a value that this reader stores is of use at most: what its tokens have to outlive.
    pub(crate) fn life(self) -> u64 {
        self.life.unwrap_or_else(|| self.last(false).max(self.last(true)))
    }

    /// How long a value is kept beyond its time to live.
    pub(crate) fn window(self) -> u64 {
        self.stale.max(self.stale_if_error)
    }
}

/// The policy of one read.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rules {
    pub(crate) ttl: Duration,
    pub(crate) jitter: Duration,
    pub(crate) empty_ttl: Duration,
    pub(crate) limits: Limits,
    /// The part of its time to live, in thousandths, after which a value is loaded anew while it is served.
    pub(crate) ahead: Option<u16>,
    /// How long a reader waits for a load when it has a value past its time.
    pub(crate) soft_timeout: Option<Duration>,
    /// How long a reader waits at all.
    pub(crate) timeout: Option<Duration>,
    /// How long the lock of a load across processes lasts, in milliseconds.
    pub(crate) lease: Option<u64>,
    /// Whether the value is to be loaded, whatever the layers have.
    pub(crate) refresh: bool,
    /// Whether layers of this process may not answer.
    pub(crate) skip_memory: bool,
    /// What to do when a layer fails and no other has the value.
    pub(crate) on_l2_down: OnL2Down,
    /// How long after a failed load a value past its time is served without trying again, in milliseconds.
    pub(crate) throttle: u64,
}

impl Rules {
    /// Plain rules: this time to live, drawn with this jitter.
    pub(crate) fn new(ttl: Duration, jitter: Duration, empty_ttl: Duration) -> Self {
        let full = millis(ttl).saturating_add(millis(jitter.min(ttl)));
        Self {
            ttl,
            jitter,
            empty_ttl,
            limits: Limits {
                full: full.saturating_add(1),
                empty: millis(empty_ttl).saturating_add(1),
                stale: 0,
                stale_if_error: 0,
                max_age: u64::MAX,
                patience: u64::MAX,
                life: None,
            },
            ahead: None,
            soft_timeout: None,
            timeout: None,
            lease: None,
            refresh: false,
            skip_memory: false,
            on_l2_down: OnL2Down::Database,
            throttle: 1_000,
        }
    }

    /// The same rules with these times.
    pub(crate) fn with_ttl(&self, ttl: Duration, jitter: Duration, empty_ttl: Duration) -> Self {
        let full = millis(ttl).saturating_add(millis(jitter.min(ttl))).saturating_add(1);
        let empty = millis(empty_ttl).saturating_add(1);
        Self { ttl, jitter, empty_ttl, limits: Limits { full, empty, ..self.limits }, ..*self }
    }

    /// How long a value loaded now is served, in milliseconds; `None` for not at all. Drawn once for each fill.
    pub(crate) fn draw(&self, empty: bool) -> Option<u64> {
        if empty {
            return (!self.empty_ttl.is_zero()).then(|| millis(self.empty_ttl).max(1));
        }
        (!self.ttl.is_zero()).then(|| draw_ttl(self.ttl, self.jitter, &mut fastrand::Rng::new()))
    }

    /// How long whoever took a load on is trusted to be at it, in milliseconds.
    pub(crate) fn hold(&self) -> u64 {
        self.timeout.map_or(10_000, millis).max(1)
    }
}
