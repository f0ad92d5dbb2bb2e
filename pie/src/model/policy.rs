//! What `#[cached(...)]` on a struct becomes: constants.

use std::time::Duration;

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
    /// The tags of every value of the model.
    pub tags: &'static [&'static str],
    /// Whether there is a `#[cached]` at all.
    pub declared: bool,
}

impl Policy {
    /// The policy of a model without `#[cached]`: the database answers, unless a query asks for the cache.
    pub const OFF: Self =
        Self { enabled: false, ttl: None, jitter: None, empty_ttl: None, tags: &[], declared: false };
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

    /// The same policy with these tags.
    #[must_use]
    pub const fn tags(mut self, tags: &'static [&'static str]) -> Self {
        self.tags = tags;
        self
    }
}
