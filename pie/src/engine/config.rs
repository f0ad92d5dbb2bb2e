//! The settings of the cache.

use std::time::Duration;

use crate::cache::manager::DEFAULT_LEASE;
use crate::error::{Error, ErrorKind, Result};

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
#[derive(Debug, Clone, PartialEq)]
pub struct CacheConfig {
    /// Whether anything is cached at all; `true` by default. When `false`, every query runs on the database.
    pub enabled: bool,
    /// How long values are served; 5 minutes by default.
    pub default_ttl: Duration,
    /// What stands before every key in a shared layer; `pie:` by default. Programs that share a Redis and not their data
    /// have different prefixes.
    pub key_prefix: String,
    /// Whether `ttl_jitter` applies; `true` by default.
    pub enable_jitter: bool,
    /// How far a time to live is drawn to either side where neither query nor model says so; 30 seconds by default, and
    /// at most half of the time to live it applies to.
    pub ttl_jitter: Duration,
    /// How long "no such row", empty lists and counts of 0 are served; 30 seconds by default. Zero: they are not stored.
    pub empty_cache_ttl: Duration,
    /// How much longer a value is served than its time to live, while one task loads it anew; zero by default.
    pub stale: Duration,
    /// How much longer a value is served when loading it anew fails or takes too long; zero by default.
    pub stale_if_error: Duration,
    /// How long after a failed load a value past its time is served without trying again; 1 second by default.
    pub error_throttle: Duration,
    /// The part of its time to live, from 0 to 1, after which a hit has a value loaded anew in the background; never by
    /// default.
    pub refresh_ahead: Option<f64>,
    /// How long a read waits for a load when there is a value past its time that may be served; for ever by default.
    pub soft_timeout: Option<Duration>,
    /// How long a read waits for layers and load at all; for ever by default.
    pub load_timeout: Option<Duration>,
    /// The age from which no value is served, whatever else is said; none by default.
    pub max_age: Option<Duration>,
    /// Whether one process at a time loads a value, among all that share a layer; `false` by default.
    pub lock: bool,
    /// How long such a lock lasts at most: what a holder that died costs the others. 5 seconds by default.
    pub lock_lease: Duration,
    /// How many loads run at once in this engine; no cap by default. A load beyond it waits for its turn.
    pub max_loads: Option<usize>,
    /// The greatest value that is cached, in bytes; 8 MiB by default. Greater ones are loaded each time, counted, and
    /// warned of once.
    pub max_entry_size: usize,
    /// What memory does while messages of other processes may be missed.
    pub on_detached: OnDetached,
}

/// What the layers of this process do while messages of other processes may be missed: the connection to Redis is lost, or
/// is not there yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
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
        if self.refresh_ahead.is_some_and(|part| !(part > 0.0 && part < 1.0)) {
            return invalid(
                "`refresh_ahead` is a part of the ttl: write a number between 0 and 1, such as 0.8",
            );
        }
        if self.max_loads == Some(0) {
            return invalid("`max_loads` of 0: nothing could ever be loaded; write 1 or more, or `None`");
        }
        if [self.soft_timeout, self.load_timeout, self.max_age].contains(&Some(Duration::ZERO)) {
            return invalid("a timeout or `max_age` of 0: write a duration, or `None`");
        }
        if self.lock_lease.is_zero() {
            return invalid("a `lock_lease` of 0: write how long a load takes at most");
        }
        Ok(())
    }
}
