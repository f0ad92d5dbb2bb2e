//! The settings of an engine as data: from a file, from the environment, from whatever serde reads.

mod env;

use std::fmt;
use std::path::Path;
use std::time::Duration;

use serde::Deserialize;

use super::CacheConfig;
use crate::database::DatabaseOptions;
use crate::error::{Error, ErrorKind, Result};
use crate::human;
use crate::layers::MemoryConfig;
#[cfg(feature = "redis")]
use crate::layers::RedisConfig;

/// The settings of an engine as data; [`EngineBuilder::settings`](crate::EngineBuilder::settings) takes them.
///
/// Each section may be left out, and each setting has a default. Unknown settings are refused, by name. Durations are
/// written with their unit (`"30s"`, `"5m"`, `"1h 30m"`), sizes as `"64MiB"`, `"10MB"` or a plain number of bytes.
/// `Debug` shows neither passwords nor the URL of the database.
///
/// A memory layer is made where there is a `memory` section, a Redis layer where there is a `redis` section, in this order;
/// without both there is the default memory layer.
///
/// # Examples
///
/// ```
/// use pie::prelude::*;
/// use pie::Settings;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> pie::Result<()> {
/// let settings = Settings::from_json(
///     r#"{
///         "database": { "url": "sqlite::memory:" },
///         "cache": { "default_ttl": "5m", "ttl_jitter": "30s", "key_prefix": "shop:" },
///         "memory": { "max_bytes": "64MiB" }
///     }"#,
/// )?;
/// let engine = Engine::builder().settings(settings).build().await?;
/// # assert_eq!(engine.cache().layers().len(), 1);
/// # Ok(())
/// # }
/// ```
///
/// As TOML (feature `toml`, or any crate that reads TOML into serde types):
///
/// ```toml
/// [database]
/// url = "sqlite://app.db"
///
/// [cache]
/// default_ttl = "5m"
/// key_prefix = "shop:"
///
/// [memory]
/// max_bytes = "64MiB"
///
/// [redis]
/// addr = "localhost:6379"
/// pool_size = 2
/// ```
///
/// From the environment, with a word of the program in front: `SHOP_DATABASE_URL`, `SHOP_CACHE_DEFAULT_TTL`,
/// `SHOP_MEMORY_MAX_BYTES`, `SHOP_REDIS_ADDR` and so on; see [`from_env`](Self::from_env).
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct Settings {
    /// The database; left out where the program gives one itself.
    pub database: Option<DatabaseSettings>,
    /// The cache.
    pub cache: Option<CacheConfig>,
    /// The memory layer.
    pub memory: Option<MemoryConfig>,
    /// The Redis layer.
    #[cfg(feature = "redis")]
    pub redis: Option<RedisConfig>,
}

/// How the database is reached.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct DatabaseSettings {
    /// The URL: `sqlite://app.db`, `sqlite::memory:`, `postgres://…`, `mysql://…`.
    #[serde(deserialize_with = "human::secret")]
    pub url: String,
    /// How many connections at most; 10 by default.
    #[serde(default = "connections")]
    pub max_connections: u32,
    /// How many connections are kept open, also when nothing asks; none by default.
    #[serde(default)]
    pub min_connections: u32,
    /// How long a query waits for a free connection or another writer's lock; 5 seconds by default.
    #[serde(default = "acquire", deserialize_with = "human::duration")]
    pub acquire_timeout: Duration,
    /// After how long an unused connection is closed; 10 minutes by default.
    #[serde(default, deserialize_with = "human::optional_duration")]
    pub idle_timeout: Option<Duration>,
    /// After how long a connection is replaced; 30 minutes by default.
    #[serde(default, deserialize_with = "human::optional_duration")]
    pub max_lifetime: Option<Duration>,
    /// How long the server works on one statement; its own limit by default.
    #[serde(default, deserialize_with = "human::optional_duration")]
    pub statement_timeout: Option<Duration>,
    /// From when on a statement is logged as slow; 1 second by default.
    #[serde(default, deserialize_with = "human::optional_duration")]
    pub slow_statement: Option<Duration>,
}

fn connections() -> u32 {
    DatabaseOptions::default().max_connections
}

fn acquire() -> Duration {
    DatabaseOptions::default().acquire_timeout
}

impl DatabaseSettings {
    pub(crate) fn options(&self) -> DatabaseOptions {
        let default = DatabaseOptions::default();
        DatabaseOptions {
            max_connections: self.max_connections,
            min_connections: self.min_connections,
            acquire_timeout: self.acquire_timeout,
            idle_timeout: self.idle_timeout.or(default.idle_timeout),
            max_lifetime: self.max_lifetime.or(default.max_lifetime),
            statement_timeout: self.statement_timeout,
            slow_statement: self.slow_statement.unwrap_or(default.slow_statement),
        }
    }
}

impl fmt::Debug for DatabaseSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = self.url.split_once(':').map_or("?", |(scheme, _)| scheme);
        f.debug_struct("DatabaseSettings")
            .field("url", &format_args!("{scheme}:…"))
            .field("max_connections", &self.max_connections)
            .field("min_connections", &self.min_connections)
            .field("acquire_timeout", &self.acquire_timeout)
            .field("idle_timeout", &self.idle_timeout)
            .field("max_lifetime", &self.max_lifetime)
            .field("statement_timeout", &self.statement_timeout)
            .field("slow_statement", &self.slow_statement)
            .finish()
    }
}

fn invalid(message: String) -> Error {
    Error::new(ErrorKind::InvalidConfig, message)
}

impl Settings {
    /// Settings from JSON.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidConfig`] with the line and what was wrong there; never with a password.
    pub fn from_json(text: &str) -> Result<Self> {
        serde_json::from_str(text).map_err(|error| invalid(format!("the settings cannot be used: {error}")))
    }

    /// Settings from TOML.
    ///
    /// # Errors
    /// As [`from_json`](Self::from_json).
    #[cfg(feature = "toml")]
    pub fn from_toml(text: &str) -> Result<Self> {
        toml::from_str(text).map_err(|error| {
            // The error's own text shows the line itself, which may hold a password.
            let line = error.span().map(|span| text[..span.start.min(text.len())].lines().count().max(1));
            let place = line.map_or_else(String::new, |line| format!(" (line {line})"));
            invalid(format!("the settings cannot be used: {}{place}", error.message()))
        })
    }

    /// Settings from a file, by its ending: `.json`, or `.toml` with the feature `toml`.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidConfig`] when the file cannot be read, has another ending, or holds what cannot be used.
    pub fn from_file(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let shown = path.display();
        let read: fn(&str) -> Result<Self> = match path.extension().and_then(|ending| ending.to_str()) {
            Some("json") => Self::from_json,
            #[cfg(feature = "toml")]
            Some("toml") => Self::from_toml,
            #[cfg(not(feature = "toml"))]
            Some("toml") => {
                return Err(invalid(format!(
                    "`{shown}` is TOML: switch pie's feature `toml` on, or write JSON"
                )));
            }
            _ => return Err(invalid(format!("`{shown}` is neither `.json` nor `.toml`: rename it"))),
        };
        let text = std::fs::read_to_string(path)
            .map_err(|error| invalid(format!("`{shown}` cannot be read")).with_source(error))?;
        read(&text).map_err(|error| invalid(format!("`{shown}`: {error}")))
    }

    /// Settings from the environment: variables named `<prefix>_<SECTION>_<SETTING>` in capitals, for example
    /// `SHOP_CACHE_DEFAULT_TTL=5m` for the prefix `SHOP`. The sections are `DATABASE`, `CACHE`, `MEMORY` and `REDIS`.
    ///
    /// Every variable that begins with the prefix has to be a setting, so choose a word of your own.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidConfig`] with the name of the variable and what to write; never with a password.
    pub fn from_env(prefix: &str) -> Result<Self> {
        let ours = |name: &std::ffi::OsString| {
            name.to_str()
                .is_some_and(|name| name.strip_prefix(prefix).is_some_and(|rest| rest.starts_with('_')))
        };
        let mut variables = Vec::new();
        for (name, value) in std::env::vars_os().filter(|(name, _)| ours(name)) {
            let name = name.to_string_lossy().into_owned();
            match value.into_string() {
                Ok(value) => variables.push((name, value)),
                Err(_) => return Err(invalid(format!("the value of `{name}` is not UTF-8"))),
            }
        }
        Self::from_vars(prefix, variables)
    }

    /// Settings from variables as [`from_env`](Self::from_env) reads them, given by the caller. Those with another prefix
    /// are passed over.
    ///
    /// # Errors
    /// As [`from_env`](Self::from_env).
    ///
    /// # Examples
    ///
    /// ```
    /// use pie::Settings;
    ///
    /// let variables = [("SHOP_CACHE_DEFAULT_TTL", "10m"), ("SHOP_MEMORY_MAX_BYTES", "16MiB"), ("HOME", "/root")];
    /// let settings = Settings::from_vars("SHOP", variables)?;
    /// assert_eq!(settings.memory.map(|memory| memory.max_bytes), Some(16 << 20));
    ///
    /// let error = Settings::from_vars("SHOP", [("SHOP_CACHE_DEFAULT_TTL", "10")]).unwrap_err();
    /// assert!(error.to_string().contains("SHOP_CACHE_DEFAULT_TTL"));
    /// # Ok::<(), pie::Error>(())
    /// ```
    pub fn from_vars<N, V>(prefix: &str, variables: impl IntoIterator<Item = (N, V)>) -> Result<Self>
    where
        N: Into<String>,
        V: Into<String>,
    {
        env::read(prefix, variables.into_iter().map(|(name, value)| (name.into(), value.into())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_setting_is_read_from_json() {
        let settings = Settings::from_json(
            r#"{
                "database": { "url": "sqlite::memory:", "max_connections": 3, "acquire_timeout": "1s", "statement_timeout": "3s", "idle_timeout": "1m" },
                "cache": {
                    "enabled": false, "default_ttl": "1h 30m", "key_prefix": "shop:", "enable_jitter": true,
                    "ttl_jitter": "2m", "empty_cache_ttl": "0s", "stale": "10s", "stale_if_error": "1m",
                    "error_throttle": "500ms", "refresh_ahead": 0.8, "soft_timeout": "50ms", "load_timeout": "2s",
                    "max_age": "1d", "lock": true, "lock_lease": "3s", "max_loads": 7, "max_entry_size": "1MiB",
                    "on_detached": "bypass", "on_l2_down": "fail", "layer_timeout": "250ms"
                },
                "memory": { "max_bytes": "64MiB", "initial_capacity": 1000 }
            }"#,
        )
        .expect("valid");
        let cache = settings.cache.expect("given");
        assert_eq!(cache.default_ttl, Duration::from_secs(5_400));
        assert_eq!((cache.max_age, cache.max_loads), (Some(Duration::from_secs(86_400)), Some(7)));
        assert_eq!((cache.max_entry_size, cache.refresh_ahead), (1 << 20, Some(0.8)));
        assert_eq!(cache.on_l2_down, super::super::OnL2Down::Fail);
        assert_eq!(settings.memory.expect("given").max_bytes, 64 << 20);
        let options = settings.database.expect("given").options();
        let second = Duration::from_secs;
        assert_eq!((options.max_connections, options.acquire_timeout), (3, second(1)));
        assert_eq!((options.statement_timeout, options.idle_timeout), (Some(second(3)), Some(second(60))));
        assert_eq!((options.max_lifetime, options.slow_statement), (Some(second(1_800)), second(1)));
    }

    #[cfg(feature = "toml")]
    #[test]
    fn what_is_wrong_in_toml_is_said_with_its_line_and_without_the_line() {
        let error =
            Settings::from_toml("[database]\nurl = \"sqlite://u:secret@x\"\n[cache]\ndefault_tl = \"5m\"\n")
                .expect_err("unknown");
        let text = error.to_string();
        assert!(text.contains("`default_tl`") && text.contains("`default_ttl`"), "{text}");
        let error = Settings::from_toml("[redis]\npassword = 4711\n").expect_err("no text").to_string();
        assert!(error.contains("line 2") && !error.contains("4711"), "{error}");
    }

    #[test]
    fn files_are_read_by_their_ending() {
        let error = Settings::from_file("settings.yaml").expect_err("unknown").to_string();
        assert!(error.contains("settings.yaml") && error.contains(".json"), "{error}");
        let error = Settings::from_file("no-such-file.json").expect_err("missing");
        assert_eq!(error.kind(), ErrorKind::InvalidConfig);
    }
}
