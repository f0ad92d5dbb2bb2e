//! How to reach Redis.

use std::fmt;
use std::time::Duration;

use redis::{Client, ConnectionAddr, ConnectionInfo, IntoConnectionInfo, RedisConnectionInfo};
use serde::Deserialize;

use super::address::Address;
use super::server::Limits;
use crate::error::{Error, ErrorKind, Result};
use crate::human;

/// How to reach a Redis server, and how long to wait for it.
///
/// `Debug` shows neither the user name nor the password. Read by serde with the names of its methods: `addr`, `username`,
/// `password`, `db`, `pool_size`, the durations `budget`, `connect_timeout` and `heartbeat`, such as `"100ms"`, the sizes
/// `max_value_size` and `compress_from`, such as `"1KiB"`, and the list `authenticate_with`.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use pie::RedisConfig;
///
/// let config = RedisConfig::new("localhost:6379").password("secret").db(1).pool_size(2).budget(Duration::from_millis(50));
/// assert!(!format!("{config:?}").contains("secret"));
/// ```
#[derive(Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RedisConfig {
    #[serde(deserialize_with = "human::secret")]
    addr: String,
    #[serde(deserialize_with = "human::optional_secret")]
    username: Option<String>,
    #[serde(deserialize_with = "human::optional_secret")]
    password: Option<String>,
    db: i64,
    pub(super) pool_size: usize,
    #[serde(deserialize_with = "human::duration")]
    pub(super) budget: Duration,
    #[serde(deserialize_with = "human::duration")]
    pub(super) connect_timeout: Duration,
    #[serde(deserialize_with = "human::duration")]
    pub(super) heartbeat: Duration,
    #[serde(deserialize_with = "human::memory_size")]
    pub(super) max_value_size: usize,
    #[serde(deserialize_with = "human::optional_memory_size")]
    pub(super) compress_from: Option<usize>,
    #[serde(deserialize_with = "human::secrets")]
    pub(super) authenticate_with: Vec<String>,
}

impl Default for RedisConfig {
    /// The server at `localhost:6379`.
    fn default() -> Self {
        Self::new("localhost:6379")
    }
}

impl RedisConfig {
    /// A server at `host:port`, or any URL that `redis://` programs take.
    #[must_use]
    pub fn new(addr: impl Into<String>) -> Self {
        Self {
            addr: addr.into(),
            username: None,
            password: None,
            db: 0,
            pool_size: 1,
            budget: Duration::from_millis(100),
            connect_timeout: Duration::from_secs(1),
            heartbeat: Duration::from_secs(1),
            max_value_size: 8 << 20,
            compress_from: None,
            authenticate_with: Vec::new(),
        }
    }

    /// The user name of an ACL user; needs a password.
    #[must_use]
    pub fn username(mut self, username: impl Into<String>) -> Self {
        self.username = Some(username.into());
        self
    }

    /// The password. An empty one means none.
    #[must_use]
    pub fn password(mut self, password: impl Into<String>) -> Self {
        self.password = Some(password.into()).filter(|password| !password.is_empty());
        self
    }

    /// The number of the database; 0 unless set here or in the URL.
    #[must_use]
    pub fn db(mut self, db: i64) -> Self {
        self.db = db;
        self
    }

    /// How many connections are kept; 1 by default. Each carries many requests at once, so more than one helps only
    /// where a single one is limited by its bandwidth or its core.
    #[must_use]
    pub fn pool_size(mut self, connections: usize) -> Self {
        self.pool_size = connections;
        self
    }

    /// The longest a lookup waits for Redis, connecting included; 100 ms by default. After that the database answers.
    #[must_use]
    pub fn budget(mut self, budget: Duration) -> Self {
        self.budget = budget;
        self
    }

    /// The longest one attempt to connect takes; 1 s by default. Only `require_redis` waits for it.
    #[must_use]
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = timeout;
        self
    }

    /// How often the connection for messages is checked by a heartbeat; 1 s by default. When three in a row do not come
    /// back, messages count as lost, and it connects again.
    #[must_use]
    pub fn heartbeat(mut self, interval: Duration) -> Self {
        self.heartbeat = interval;
        self
    }

    /// The greatest value that is stored in Redis, or read from it, in bytes of its stored form before compression; 8 MiB by
    /// default. Greater ones stay in the memory of this process; what lies under a key of ours and is greater counts as
    /// undecodable, and is overwritten.
    #[must_use]
    pub fn max_value_size(mut self, bytes: usize) -> Self {
        self.max_value_size = bytes;
        self
    }

    /// Compresses values of at least this many bytes with LZ4 (feature `compression`); off by default. 1 KiB is a good start: below
    /// it little is gained. Compressed values are read whatever is set here, so that it can be changed while a program runs in
    /// several versions; but not by a program without the feature.
    #[must_use]
    pub fn compress_from(mut self, bytes: usize) -> Self {
        self.compress_from = Some(bytes);
        self
    }

    /// Authenticates values: what was not written by a program that knows one of these secrets, for that very key, is a miss.
    /// New values are written with the first; give the old one after the new one while it is being replaced. For a Redis that
    /// others write to as well.
    ///
    /// It keeps others from making values up, by a keyed BLAKE3 hash of 128 bits over name and value. It does not hide them, and
    /// it does not keep someone who can write to Redis from bringing an older value back before its time is over, together with
    /// the tokens of then, or from removing anything.
    ///
    /// # Examples
    ///
    /// ```
    /// let config = pie::RedisConfig::new("redis.shared:6379").authenticate_with(["32 random bytes, of november", "32 random bytes, of october"]);
    /// assert!(!format!("{config:?}").contains("november"));
    /// ```
    #[must_use]
    pub fn authenticate_with(mut self, secrets: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.authenticate_with = secrets.into_iter().map(Into::into).collect();
        self
    }

    pub(super) fn limits(&self) -> Limits {
        Limits { connections: self.pool_size, budget: self.budget, connect_timeout: self.connect_timeout }
    }

    pub(super) fn address(&self) -> Result<Address> {
        Ok(Address::Fixed(self.client()?))
    }

    fn info(&self) -> Result<ConnectionInfo> {
        let invalid = |what: &str| Error::new(ErrorKind::InvalidConfig, what.to_owned());
        let info = if self.addr.contains("://") {
            // The reason is left out: it may quote the URL with its password.
            self.addr.as_str().into_connection_info().map_err(|_| {
                invalid(
                    "the Redis URL cannot be used: write `redis://[user:password@]host[:port][/db]`, \
                     with `rediss` for TLS (feature `redis-tls`)",
                )
            })?
        } else {
            let (host, port) = self.addr.rsplit_once(':').unwrap_or((&self.addr, "6379"));
            let port = port.parse().map_err(|_| {
                invalid("the Redis address cannot be used: write `host:port`, or a URL such as `redis://host:6379`")
            })?;
            if host.is_empty() {
                return Err(invalid("the Redis address has no host: write `host:port`"));
            }
            ConnectionAddr::Tcp(host.to_owned(), port)
                .into_connection_info()
                .map_err(|_| invalid("the Redis address cannot be used: write `host:port`"))?
        };
        if !info.addr().is_supported() {
            return Err(invalid("the Redis URL asks for TLS: switch the feature `redis-tls` on"));
        }
        let given = info.redis_settings().clone();
        let mut settings: RedisConnectionInfo = given;
        if let Some(username) = &self.username {
            settings = settings.set_username(username);
        }
        if let Some(password) = &self.password {
            settings = settings.set_password(password);
        }
        if self.db != 0 {
            settings = settings.set_db(self.db);
        }
        Ok(info.set_redis_settings(settings))
    }

    pub(super) fn client(&self) -> Result<Client> {
        #[cfg(feature = "redis-tls")]
        {
            // Another part of the program may have chosen its provider already; then that one is used.
            let _ = rustls::crypto::ring::default_provider().install_default();
        }
        Client::open(self.info()?).map_err(|_| {
            Error::new(
                ErrorKind::InvalidConfig,
                "the Redis settings cannot be used: check address and database",
            )
        })
    }

    fn checked(self) -> Result<Self> {
        let invalid = |what: &'static str| Err(Error::new(ErrorKind::InvalidConfig, what));
        if self.db < 0 {
            return invalid("a Redis database below 0: write its number, 0 for the first");
        }
        if self.pool_size == 0 {
            return invalid("a Redis pool of size 0: write 1 or more");
        }
        if self.budget.is_zero() || self.connect_timeout.is_zero() || self.heartbeat.is_zero() {
            return invalid("a Redis time limit of 0: write a duration such as 100 ms");
        }
        if self.max_value_size == 0 || self.max_value_size > 512 << 20 {
            return invalid(
                "a `max_value_size` of Redis outside of 1 byte to 512 MiB: write a size such as 8 MiB",
            );
        }
        if self.compress_from.is_some() && !cfg!(feature = "compression") {
            return invalid("`compress_from` needs the feature `compression` of pie-orm: switch it on");
        }
        if self.authenticate_with.iter().any(|secret| secret.len() < 16) {
            return invalid("a secret of fewer than 16 bytes is soon guessed: write 32 random ones or more");
        }
        self.info().map(|_| self)
    }
}

impl fmt::Debug for RedisConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The address of a URL with everything between `//` and `@` left out.
        let addr = match (self.addr.split_once("://"), self.addr.rsplit_once('@')) {
            (Some((scheme, _)), Some((_, host))) => format!("{scheme}://{host}"),
            _ => self.addr.clone(),
        };
        f.debug_struct("RedisConfig")
            .field("addr", &addr)
            .field("db", &self.db)
            .field("pool_size", &self.pool_size)
            .field("budget", &self.budget)
            .field("connect_timeout", &self.connect_timeout)
            .field("heartbeat", &self.heartbeat)
            .field("max_value_size", &self.max_value_size)
            .field("compress_from", &self.compress_from)
            .field("authenticated", &!self.authenticate_with.is_empty())
            .finish_non_exhaustive()
    }
}

/// What can tell how to reach Redis: a URL or a [`RedisConfig`].
pub trait IntoRedisConfig {
    /// The settings.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidConfig`] for settings that cannot work.
    fn into_redis_config(self) -> Result<RedisConfig>;
}

impl IntoRedisConfig for RedisConfig {
    fn into_redis_config(self) -> Result<RedisConfig> {
        self.checked()
    }
}

impl IntoRedisConfig for &str {
    fn into_redis_config(self) -> Result<RedisConfig> {
        RedisConfig::new(self).checked()
    }
}

impl IntoRedisConfig for String {
    fn into_redis_config(self) -> Result<RedisConfig> {
        RedisConfig::new(self).checked()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_and_addresses_are_understood() {
        let info = RedisConfig::new("redis://ann:secret@host:7000/3").info().expect("valid");
        assert_eq!(info.redis_settings().db(), 3);
        assert_eq!(info.redis_settings().username(), Some("ann"));
        let info = RedisConfig::new("host:7000").password("secret").db(2).info().expect("valid");
        assert_eq!((info.redis_settings().db(), info.redis_settings().password()), (2, Some("secret")));
        assert!(RedisConfig::new("host").info().is_ok());
    }

    #[test]
    fn what_cannot_work_is_refused_without_the_password() {
        for config in [
            RedisConfig::new("redes://u:secret@host"),
            RedisConfig::new("host:port").password("secret"),
            RedisConfig::new(":6379"),
            RedisConfig::new("host").pool_size(0),
            RedisConfig::new("host").budget(Duration::ZERO),
            RedisConfig::new("host").heartbeat(Duration::ZERO),
        ] {
            let error = config.into_redis_config().expect_err("refused");
            assert_eq!(error.kind(), ErrorKind::InvalidConfig);
            assert!(!format!("{error} {error:?}").contains("secret"));
        }
    }

    #[test]
    fn debug_hides_user_and_password() {
        let text = format!("{:?}", RedisConfig::new("redis://ann:se@cret@host:7000/3").password("other"));
        assert!(text.contains("redis://host:7000/3"), "{text}");
        for secret in ["ann", "se@cret", "cret@", "other"] {
            assert!(!text.contains(secret), "{text}");
        }
    }
}
