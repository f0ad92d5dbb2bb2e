//! The settings of the cache.

use std::time::Duration;

use serde::Deserialize;

use crate::cache::manager::{DEFAULT_LEASE, LONGEST_TTL};
use crate::error::{Error, ErrorKind, Result};
use crate::human;

/// The settings of the cache of one engine; models and queries may say otherwise.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use pie::CacheConfig;
///
/// let config = CacheConfig { default_ttl: Duration::from_secs(60), key_prefix: "shop:".into(), ..CacheConfig::default() };
/// ```
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CacheConfig {
    /// Whether anything is cached at all; `true` by default. When `false`, every query runs on the database.
    pub enabled: bool,
    /// How long values are served; 5 minutes by default.
    #[serde(deserialize_with = "human::duration")]
    pub default_ttl: Duration,
    /// What stands before every key in a shared layer; `pie:` by default. Programs that share a Redis and not their data
    /// have different prefixes.
    pub key_prefix: String,
    /// Whether `ttl_jitter` applies; `true` by default.
    pub enable_jitter: bool,
    /// How far a time to live is drawn to either side where neither query nor model says so; 30 seconds by default. Less
    /// than `default_ttl`; where a query or model has a shorter ttl, at most half of that.
    #[serde(deserialize_with = "human::duration")]
    pub ttl_jitter: Duration,
    /// How long "no such row", empty lists and counts of 0 are served; 30 seconds by default. Zero: they are not stored.
    #[serde(deserialize_with = "human::duration")]
    pub empty_cache_ttl: Duration,
    /// How much longer a value is served than its time to live, while one task loads it anew; zero by default.
    #[serde(deserialize_with = "human::duration")]
    pub stale: Duration,
    /// How much longer a value is served when loading it anew fails or takes too long; zero by default.
    #[serde(deserialize_with = "human::duration")]
    pub stale_if_error: Duration,
    /// How long after a failed load a value past its time is served without trying again; 1 second by default.
    #[serde(deserialize_with = "human::duration")]
    pub error_throttle: Duration,
    /// The part of its time to live, from 0 to 1, after which a hit has a value loaded anew in the background; never by
    /// default.
    pub refresh_ahead: Option<f64>,
    /// How long a read waits for a load when there is a value past its time that may be served; for ever by default.
    #[serde(deserialize_with = "human::optional_duration")]
    pub soft_timeout: Option<Duration>,
    /// How long a read waits for layers and load at all; for ever by default.
    #[serde(deserialize_with = "human::optional_duration")]
    pub load_timeout: Option<Duration>,
    /// The age from which no value is served, whatever else is said; none by default.
    #[serde(deserialize_with = "human::optional_duration")]
    pub max_age: Option<Duration>,
    /// Whether one process at a time loads a value, among all that share a layer; `false` by default.
    pub lock: bool,
    /// How long such a lock lasts at most: what a holder that died costs the others. 5 seconds by default.
    #[serde(deserialize_with = "human::duration")]
    pub lock_lease: Duration,
    /// How many loads run at once in this engine; no cap by default. A load beyond it waits for its turn.
    pub max_loads: Option<usize>,
    /// The greatest value that is cached, in bytes; 8 MiB by default. Greater ones are loaded each time, counted, and
    /// warned of once.
    #[serde(deserialize_with = "human::memory_size")]
    pub max_entry_size: usize,
    /// What memory does while messages of other processes may be missed.
    pub on_detached: OnDetached,
    /// How long a read waits for shared layers, such as Redis; by default as long as the layer itself waits: 100 ms for Redis,
    /// see [`RedisConfig::budget`](crate::RedisConfig::budget).
    #[serde(deserialize_with = "human::optional_duration")]
    pub l2_budget: Option<Duration>,
    /// What a read does when a layer fails and no other has the value.
    pub on_l2_down: OnL2Down,
    /// How long a layer of this process is waited for; 1 second by default. Shared layers have budgets of their own.
    #[serde(deserialize_with = "human::duration")]
    pub layer_timeout: Duration,
}

/// What a read does when a cache layer fails, and no other has the value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum OnL2Down {
    /// It asks the database, as if the layer did not have the value.
    #[default]
    Database,
    /// It serves a value past its time whose versions in this process still match, for `stale_if_error` at most, which has to be
    /// set; without such a value it asks the database.
    Stale,
    /// It fails with [`ErrorKind::Layer`], so that a database which lives on its cache is not asked for everything. A value
    /// past its time that `stale_if_error` allows is served instead.
    Fail,
}

/// What the layers of this process do while messages of other processes may be missed: the connection to Redis is lost, or
/// is not there yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnDetached {
    /// They answer, within the time to live of each value: what other processes write is seen when it is over. What this
    /// process writes is seen at once, as always.
    #[default]
    Serve,
    /// They do not answer: reads go to Redis if it answers, else to the database.
    Bypass,
}

impl Default for CacheConfig {
    fn default() -> Self {
        Self {
            enabled: true,
            default_ttl: Duration::from_secs(300),
            key_prefix: "pie:".to_owned(),
            enable_jitter: true,
            ttl_jitter: Duration::from_secs(30),
            empty_cache_ttl: Duration::from_secs(30),
            stale: Duration::ZERO,
            stale_if_error: Duration::ZERO,
            error_throttle: Duration::from_secs(1),
            refresh_ahead: None,
            soft_timeout: None,
            load_timeout: None,
            max_age: None,
            lock: false,
            lock_lease: Duration::from_millis(DEFAULT_LEASE),
            max_loads: None,
            max_entry_size: 8 << 20,
            on_detached: OnDetached::Serve,
            l2_budget: None,
            on_l2_down: OnL2Down::Database,
            layer_timeout: Duration::from_secs(1),
        }
    }
}

impl CacheConfig {
    pub(crate) fn check(&self) -> Result<()> {
        let invalid = |what: &'static str| Err(Error::new(ErrorKind::InvalidConfig, what));
        if self.key_prefix.chars().any(|c| "~*?[]\\@%".contains(c) || c.is_control()) {
            return invalid(
                "a key prefix with one of `~ * ? [ ] \\ @ %` or a control: write a word such as `shop:`",
            );
        }
        if self.default_ttl.is_zero() {
            return invalid("a default ttl of 0: write a duration, or `enabled: false` for no cache");
        }
        let durations = [
            ("default_ttl", self.default_ttl),
            ("ttl_jitter", self.ttl_jitter),
            ("empty_cache_ttl", self.empty_cache_ttl),
            ("stale", self.stale),
            ("stale_if_error", self.stale_if_error),
            ("error_throttle", self.error_throttle),
            ("lock_lease", self.lock_lease),
            ("layer_timeout", self.layer_timeout),
        ];
        if let Some((name, _)) = durations.iter().find(|(_, duration)| *duration > LONGEST_TTL) {
            let message =
                format!("a `{name}` of more than 100 years: write a shorter duration, such as 5 minutes");
            return Err(Error::new(ErrorKind::InvalidConfig, message));
        }
        if self.enable_jitter && self.ttl_jitter >= self.default_ttl {
            let (jitter, ttl) = (self.ttl_jitter, self.default_ttl);
            let message = format!(
                "a `ttl_jitter` of {jitter:?} with a `default_ttl` of {ttl:?}: values could end at once; write a jitter \
                 below the ttl, such as {:?}, or `enable_jitter: false`",
                ttl / 10
            );
            return Err(Error::new(ErrorKind::InvalidConfig, message));
        }
        if self.max_entry_size == 0 {
            return invalid(
                "a `max_entry_size` of 0: nothing could be cached; write a size such as 8 MiB, or `enabled: false`",
            );
        }
        if self.layer_timeout.is_zero() {
            return invalid("a `layer_timeout` of 0: no layer could answer; write a duration such as 1 s");
        }
        if self.refresh_ahead.is_some_and(|part| !(part > 0.0 && part < 1.0)) {
            return invalid(
                "`refresh_ahead` is a part of the ttl: write a number between 0 and 1, such as 0.8",
            );
        }
        if self.max_loads == Some(0) {
            return invalid("`max_loads` of 0: nothing could ever be loaded; write 1 or more, or `None`");
        }
        if self.on_l2_down == OnL2Down::Stale && self.stale_if_error.is_zero() {
            return invalid(
                "`on_l2_down = \"stale\"` without `stale_if_error`: say how long past its time a value may be served, such as 1 h",
            );
        }
        if [self.soft_timeout, self.load_timeout, self.max_age, self.l2_budget]
            .contains(&Some(Duration::ZERO))
        {
            return invalid("a timeout, `l2_budget` or `max_age` of 0: write a duration, or `None`");
        }
        if self.lock_lease.is_zero() {
            return invalid("a `lock_lease` of 0: write how long a load takes at most");
        }
        Ok(())
    }
}
