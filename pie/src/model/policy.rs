//! What `#[cached(...)]` on a struct becomes: constants.

use std::time::Duration;

use crate::engine::OnL2Down;

/// How the rows of a model are cached; `None` means the engine's setting.
///
/// Written by `#[cached(ttl = "5m", jitter = "2m", empty_ttl = "30s", tags("users"))]`. A setting of the query wins over
/// the model's, the model's over the engine's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Policy {
    /// Whether queries use the cache when they say nothing themselves. `false` for a model without `#[cached]`.
    pub enabled: bool,
    /// How long a value is served.
    pub ttl: Option<Duration>,
    /// How far the time to live of each value is drawn to either side.
    pub jitter: Option<Duration>,
    /// How long "no such row" and empty lists are served.
    pub empty_ttl: Option<Duration>,
    /// How much longer a value is served while one task loads it anew.
    pub stale: Option<Duration>,
    /// How much longer a value is served when loading it anew fails or takes too long.
    pub stale_if_error: Option<Duration>,
    /// The part of its time to live, in thousandths, after which a value is loaded anew while it is served.
    pub refresh_ahead: Option<u16>,
    /// How long a read waits for a load when it has a value past its time.
    pub soft_timeout: Option<Duration>,
    /// How long a read waits for a load.
    pub timeout: Option<Duration>,
    /// The age from which no value is served, whatever else is said.
    pub max_age: Option<Duration>,
    /// How long a read waits for shared layers.
    pub l2_budget: Option<Duration>,
    /// What a read does when a shared layer fails, and no other has the value.
    pub on_l2_down: Option<OnL2Down>,
    /// Whether one process at a time loads a value, among all that share a layer.
    pub lock: Option<bool>,
    /// How many loads of the model run at once in this process.
    pub max_loads: Option<u32>,
    /// The tags of every value of the model.
    pub tags: &'static [&'static str],
    /// Whether any setting is there besides the times to live and the tags.
    pub more: bool,
    /// Whether there is a `#[cached]` at all.
    pub declared: bool,
}

impl Policy {
    /// The policy of a model without `#[cached]`: the database answers, unless a query asks for the cache.
    pub const OFF: Self = Self {
        enabled: false,
        ttl: None,
        jitter: None,
        empty_ttl: None,
        stale: None,
        stale_if_error: None,
        refresh_ahead: None,
        soft_timeout: None,
        timeout: None,
        max_age: None,
        l2_budget: None,
        on_l2_down: None,
        lock: None,
        max_loads: None,
        tags: &[],
        more: false,
        declared: false,
    };
    /// The policy of a bare `#[cached]`: everything as the engine says.
    pub const ON: Self = Self { enabled: true, declared: true, ..Self::OFF };

    /// The same policy, on or off.
    #[must_use]
    pub const fn enabled(mut self, enabled: bool) -> Self {
        self.enabled = enabled;
        self
    }

    /// The same policy with this time to live, in milliseconds.
    #[must_use]
    pub const fn ttl_ms(mut self, ms: u64) -> Self {
        self.ttl = Some(Duration::from_millis(ms));
        self
    }

    /// The same policy with this jitter, in milliseconds.
    #[must_use]
    pub const fn jitter_ms(mut self, ms: u64) -> Self {
        self.jitter = Some(Duration::from_millis(ms));
        self
    }

    /// The same policy with this time to live of empty results, in milliseconds.
    #[must_use]
    pub const fn empty_ttl_ms(mut self, ms: u64) -> Self {
        self.empty_ttl = Some(Duration::from_millis(ms));
        self
    }

    /// The same policy with this window of `stale`, in milliseconds.
    #[must_use]
    pub const fn stale_ms(mut self, ms: u64) -> Self {
        self.more = true;
        self.stale = Some(Duration::from_millis(ms));
        self
    }

    /// The same policy with this window of `stale_if_error`, in milliseconds.
    #[must_use]
    pub const fn stale_if_error_ms(mut self, ms: u64) -> Self {
        self.more = true;
        self.stale_if_error = Some(Duration::from_millis(ms));
        self
    }

    /// The same policy with this `refresh_ahead`, in thousandths of the time to live.
    #[must_use]
    pub const fn refresh_ahead_permille(mut self, permille: u16) -> Self {
        self.more = true;
        self.refresh_ahead = Some(permille);
        self
    }

    /// The same policy with this soft timeout, in milliseconds.
    #[must_use]
    pub const fn soft_timeout_ms(mut self, ms: u64) -> Self {
        self.more = true;
        self.soft_timeout = Some(Duration::from_millis(ms));
        self
    }

    /// The same policy with this timeout, in milliseconds.
    #[must_use]
    pub const fn timeout_ms(mut self, ms: u64) -> Self {
        self.more = true;
        self.timeout = Some(Duration::from_millis(ms));
        self
    }

    /// The same policy with this greatest age, in milliseconds.
    #[must_use]
    pub const fn max_age_ms(mut self, ms: u64) -> Self {
        self.more = true;
        self.max_age = Some(Duration::from_millis(ms));
        self
    }

    /// The same policy with this budget for shared layers, in milliseconds.
    #[must_use]
    pub const fn l2_budget_ms(mut self, ms: u64) -> Self {
        self.more = true;
        self.l2_budget = Some(Duration::from_millis(ms));
        self
    }

    /// The same policy with this to do when a shared layer fails.
    #[must_use]
    pub const fn on_l2_down(mut self, what: OnL2Down) -> Self {
        self.more = true;
        self.on_l2_down = Some(what);
        self
    }

    /// The same policy, with or without the lock across processes.
    #[must_use]
    pub const fn lock(mut self, lock: bool) -> Self {
        self.more = true;
        self.lock = Some(lock);
        self
    }

    /// The same policy with this cap on loads.
    #[must_use]
    pub const fn max_loads(mut self, loads: u32) -> Self {
        self.max_loads = Some(loads);
        self
    }

    /// The same policy with these tags.
    #[must_use]
    pub const fn tags(mut self, tags: &'static [&'static str]) -> Self {
        self.tags = tags;
        self
    }
}
