//! How to reach Redis.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use redis::{Client, ConnectionAddr, IntoConnectionInfo, RedisConnectionInfo};
use serde::Deserialize;

use super::address::{Address, Dialer, Sentinels};
use super::cluster::Cluster;
use super::server::{Limits, Server};
use super::servers::Servers;
use crate::error::{Error, ErrorKind, Result};
use crate::human;

/// How to reach Redis, and how long to wait for it: one server, a Unix socket, the master that sentinels know, or a cluster.
///
/// | shape | written as |
/// |---|---|
/// | one server | `RedisConfig::new("host:6379")`, or a URL `redis://user:password@host:6379/0` |
/// | TLS | `rediss://host:6379`, or `.tls(true)`; `.tls_ca(..)` and `.tls_client(..)` for certificates of your own |
/// | a Unix socket | `unix:///run/redis.sock?db=0` |
/// | Sentinel | [`RedisConfig::sentinel`] |
/// | Cluster | [`RedisConfig::cluster`] |
///
/// `Debug` shows neither the user name nor the password. Read by serde with the names of its methods: `addr`, `username`,
/// `password`, `db`, `pool_size`, the durations `budget`, `connect_timeout` and `heartbeat`, such as `"100ms"`, the sizes
/// `max_value_size` and `compress_from`, such as `"1KiB"`, and the lists `authenticate_with`, `sentinels` and `cluster`.
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
    /// What the sentinels call the master; where it is, is asked of them.
    master: Option<String>,
    /// `host:port` of each.
    sentinels: Vec<String>,
    /// `host:port` of some of the servers.
    cluster: Vec<String>,
    #[serde(deserialize_with = "human::optional_secret")]
    sentinel_username: Option<String>,
    #[serde(deserialize_with = "human::optional_secret")]
    sentinel_password: Option<String>,
    tls: bool,
    #[serde(deserialize_with = "human::optional_secret")]
    tls_ca: Option<String>,
    #[serde(deserialize_with = "human::optional_secret")]
    tls_cert: Option<String>,
    #[serde(deserialize_with = "human::optional_secret")]
    tls_key: Option<String>,
    resp3: bool,
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
            master: None,
            sentinels: Vec::new(),
            cluster: Vec::new(),
            sentinel_username: None,
            sentinel_password: None,
            tls: false,
            tls_ca: None,
            tls_cert: None,
            tls_key: None,
            resp3: false,
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

    /// The master of this name, found by asking sentinels at these addresses (`host:port`), and found anew after a failover. User,
    /// password, database and TLS are those of the servers; sentinels have a user and a password of their own.
    ///
    /// A replica that becomes the master may not know of the last writes of the one before it. That it is another server is seen
    /// by its `run_id`, and everything in it ends before anything is read from it; see the
    /// [operations guide](https://github.com/pie-orm/pie/blob/main/docs/operations.md#failover).
    ///
    /// # Examples
    ///
    /// ```
    /// use pie::RedisConfig;
    ///
    /// let config = RedisConfig::sentinel("mymaster", ["10.0.0.1:26379", "10.0.0.2:26379", "10.0.0.3:26379"])
    ///     .password("of the servers")
    ///     .sentinel_password("of the sentinels");
    /// # let _ = config;
    /// ```
    #[must_use]
    pub fn sentinel(
        master: impl Into<String>,
        sentinels: impl IntoIterator<Item = impl Into<String>>,
    ) -> Self {
        Self {
            master: Some(master.into()),
            sentinels: sentinels.into_iter().map(Into::into).collect(),
            ..Self::default()
        }
    }

    /// The cluster that servers at some of these addresses (`host:port`) belong to; the others are found by asking them.
    ///
    /// A value and the token of its key lie on one shard. The two tokens that everything depends on, of the namespace and of the
    /// family, have 32 copies each, spread over the slots, so that no shard is asked for all: an entry depends on the copy beside
    /// it, and an invalidation is acknowledged when all copies are gone; the guarantees are those of a single server. A lookup is
    /// one network wait, to all shards that it needs at once.
    ///
    /// # Examples
    ///
    /// ```
    /// let config = pie::RedisConfig::cluster(["10.0.0.1:6379", "10.0.0.2:6379", "10.0.0.3:6379"]);
    /// # let _ = config;
    /// ```
    #[must_use]
    pub fn cluster(servers: impl IntoIterator<Item = impl Into<String>>) -> Self {
        Self { cluster: servers.into_iter().map(Into::into).collect(), ..Self::default() }
    }

    /// The user name for the sentinels.
    #[must_use]
    pub fn sentinel_username(mut self, username: impl Into<String>) -> Self {
        self.sentinel_username = Some(username.into());
        self
    }

    /// The password for the sentinels.
    #[must_use]
    pub fn sentinel_password(mut self, password: impl Into<String>) -> Self {
        self.sentinel_password = Some(password.into()).filter(|password| !password.is_empty());
        self
    }

    /// Whether connections to `host:port` addresses use TLS (feature `redis-tls`); a URL says it by `rediss`.
    #[must_use]
    pub fn tls(mut self, tls: bool) -> Self {
        self.tls = tls;
        self
    }

    /// The certificates that servers are checked by, instead of the system's: PEM, or the path of a PEM file.
    #[must_use]
    pub fn tls_ca(mut self, ca: impl Into<String>) -> Self {
        self.tls_ca = Some(ca.into());
        self
    }

    /// The certificate and the key that this program shows: PEM, or the paths of PEM files.
    #[must_use]
    pub fn tls_client(mut self, cert: impl Into<String>, key: impl Into<String>) -> Self {
        self.tls_cert = Some(cert.into());
        self.tls_key = Some(key.into());
        self
    }

    /// Whether to speak RESP3; RESP2 by default, or what the URL says by `?protocol=resp3`. There is no difference for pie.
    #[must_use]
    pub fn resp3(mut self, resp3: bool) -> Self {
        self.resp3 = resp3;
        self
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

    /// Where to connect to; does not yet.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidConfig`] for settings that cannot work.
    pub(super) fn servers(&self) -> Result<Servers> {
        let (addr, settings) = self.info()?;
        let dialer = Dialer {
            settings,
            tls: self.tls || matches!(addr, ConnectionAddr::TcpTls { .. }),
            #[cfg(feature = "redis-tls")]
            certificates: self.certificates()?,
        };
        if !self.cluster.is_empty() {
            let seed = |address: &String| {
                let (host, port) = host_and_port(address, 6_379)?;
                dialer.at(&host, port)
            };
            let seeds = self.cluster.iter().map(seed).collect::<Result<Vec<Client>>>()?;
            return Ok(Servers::Cluster(Cluster::new(seeds, dialer, self.limits())));
        }
        let Some(master) = &self.master else {
            return Ok(Servers::One(Server::new(Address::Fixed(Box::new(dialer.to(addr)?)), self.limits())));
        };
        let mut settings = RedisConnectionInfo::default();
        if let Some(username) = &self.sentinel_username {
            settings = settings.set_username(username);
        }
        if let Some(password) = &self.sentinel_password {
            settings = settings.set_password(password);
        }
        let ask = Dialer { settings, ..dialer.clone() };
        let clients: Result<Vec<Client>> = self
            .sentinels
            .iter()
            .map(|sentinel| {
                let (host, port) = host_and_port(sentinel, 26_379)?;
                ask.at(&host, port)
            })
            .collect();
        let address = Address::Master(Arc::new(Sentinels::new(clients?, master.clone(), dialer)));
        Ok(Servers::One(Server::new(address, self.limits())))
    }

    #[cfg(feature = "redis-tls")]
    fn certificates(&self) -> Result<Option<redis::TlsCertificates>> {
        let read = |what: &Option<String>| what.as_deref().map(pem).transpose();
        let (root_cert, cert, key) = (read(&self.tls_ca)?, read(&self.tls_cert)?, read(&self.tls_key)?);
        let client_tls = match (cert, key) {
            (Some(client_cert), Some(client_key)) => Some(redis::ClientTlsConfig { client_cert, client_key }),
            (None, None) => None,
            _ => {
                return Err(invalid(
                    "a certificate for Redis without its key, or a key without its certificate: give both",
                ));
            }
        };
        Ok((root_cert.is_some() || client_tls.is_some())
            .then_some(redis::TlsCertificates { client_tls, root_cert }))
    }

    /// The address, and what is said to whoever is there.
    fn info(&self) -> Result<(ConnectionAddr, RedisConnectionInfo)> {
        let (addr, mut settings) = if self.addr.contains("://") {
            // The reason is left out: it may quote the URL with its password.
            let info = self.addr.as_str().into_connection_info().map_err(|_| {
                invalid(
                    "the Redis URL cannot be used: write `redis://[user:password@]host[:port][/db]`, with `rediss` for TLS (feature \
                     `redis-tls`), or `unix:///path?db=0` for a socket",
                )
            })?;
            (info.addr().clone(), info.redis_settings().clone())
        } else {
            let (host, port) = host_and_port(&self.addr, 6_379)?;
            let addr = match self.tls {
                false => ConnectionAddr::Tcp(host, port),
                true => ConnectionAddr::TcpTls { host, port, insecure: false, tls_params: None },
            };
            (addr, RedisConnectionInfo::default())
        };
        if !addr.is_supported() {
            return Err(invalid("the Redis address asks for TLS: switch the feature `redis-tls` on"));
        }
        if let Some(username) = &self.username {
            settings = settings.set_username(username);
        }
        if let Some(password) = &self.password {
            settings = settings.set_password(password);
        }
        if self.db != 0 {
            settings = settings.set_db(self.db);
        }
        if self.resp3 {
            settings = settings.set_protocol(redis::ProtocolVersion::RESP3);
        }
        Ok((addr, settings))
    }

    fn checked(self) -> Result<Self> {
        let invalid = |what: &'static str| Err(invalid(what));
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
            return invalid(
                "an `authenticate_with` of fewer than 16 bytes is soon guessed: write 32 random ones or more",
            );
        }
        if self.master.is_some() && self.sentinels.is_empty() {
            return invalid(
                "a Redis master by its name without `sentinels`: write their addresses, as `host:port`",
            );
        }
        if self.master.is_none() && !self.sentinels.is_empty() {
            return invalid("Redis sentinels without the name of the `master` that they watch: write it");
        }
        let certificates = self.tls_ca.is_some() || self.tls_cert.is_some() || self.tls_key.is_some();
        if certificates && !cfg!(feature = "redis-tls") {
            return invalid("certificates for Redis: switch the feature `redis-tls` on");
        }
        if certificates
            && !self.tls
            && !self.addr.starts_with("rediss:")
            && !self.addr.starts_with("valkeys:")
        {
            return invalid(
                "certificates for a Redis without TLS: write `tls = true`, or `rediss://` in the URL",
            );
        }
        if !self.cluster.is_empty() && (self.master.is_some() || self.db != 0) {
            return invalid(
                "a Redis cluster has one database, 0, and no sentinels: leave `db`, `master` and `sentinels` away",
            );
        }
        self.servers().map(|_| self)
    }
}

fn invalid(what: &str) -> Error {
    Error::new(ErrorKind::InvalidConfig, what.to_owned())
}

/// The parts of `host:port`, `host`, `[v6]:port`.
fn host_and_port(address: &str, port: u16) -> Result<(String, u16)> {
    let (host, port) = match address.rsplit_once(':') {
        // An address of IPv6 without a port.
        Some((host, _)) if host.contains(':') && !host.starts_with('[') => (address, Ok(port)),
        Some((host, port)) => (host, port.parse()),
        None => (address, Ok(port)),
    };
    let port = port.map_err(|_| {
        invalid("the Redis address cannot be used: write `host:port`, or a URL such as `redis://host:6379`")
    })?;
    let host = host.trim_start_matches('[').trim_end_matches(']');
    if host.is_empty() {
        return Err(invalid("the Redis address has no host: write `host:port`"));
    }
    Ok((host.to_owned(), port))
}

/// PEM, given as it is or as the path of a file.
#[cfg(feature = "redis-tls")]
fn pem(text: &str) -> Result<Vec<u8>> {
    if text.trim_start().starts_with("-----BEGIN") {
        return Ok(text.as_bytes().to_vec());
    }
    std::fs::read(text).map_err(|error| {
        // The path is no secret, unless it is a key with another beginning.
        invalid(&format!(
            "a certificate or key for Redis is neither PEM nor a file that can be read: {}",
            error.kind()
        ))
    })
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
            .field("master", &self.master)
            .field("sentinels", &self.sentinels)
            .field("cluster", &self.cluster)
            .field("tls", &self.tls)
            .field("resp3", &self.resp3)
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
        let (_, settings) = RedisConfig::new("redis://ann:secret@host:7000/3").info().expect("valid");
        assert_eq!((settings.db(), settings.username()), (3, Some("ann")));
        let (_, settings) = RedisConfig::new("host:7000").password("secret").db(2).info().expect("valid");
        assert_eq!((settings.db(), settings.password()), (2, Some("secret")));
        for (address, wanted) in [
            ("host", ("host", 6379)),
            ("10.0.0.1:7000", ("10.0.0.1", 7000)),
            ("[::1]:7000", ("::1", 7000)),
            ("fe80::1", ("fe80::1", 6379)),
        ] {
            let (addr, _) = RedisConfig::new(address).info().expect("valid");
            assert_eq!(addr, ConnectionAddr::Tcp(wanted.0.to_owned(), wanted.1), "{address}");
        }
        let (addr, settings) = RedisConfig::new("unix:///run/redis.sock?db=2").info().expect("valid");
        assert_eq!((addr.to_string().as_str(), settings.db()), ("/run/redis.sock", 2));
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
            RedisConfig::new("host").max_value_size(0),
            RedisConfig::new("host").authenticate_with(["a short secret"]),
            RedisConfig::new("host").tls_ca("-----BEGIN secret-----"),
            RedisConfig::new("host").tls(true).tls_client("-----BEGIN secret-----", "no such file, secret"),
            RedisConfig::sentinel("mymaster", [""; 0]).password("secret"),
            RedisConfig::sentinel("mymaster", ["host:port"]).sentinel_password("secret"),
            RedisConfig { sentinels: vec!["host".into()], ..RedisConfig::default() },
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
