//! The settings of the cache.

use std::time::Duration;

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
#[derive(Debug, Clone, PartialEq, Eq)]
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
        Ok(())
    }
}
