//! Where a server is, and how a connection to it is made.

use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use redis::{
    AsyncConnectionConfig, Client, ConnectionAddr, ConnectionInfo, IntoConnectionInfo, RedisConnectionInfo,
};

use super::cluster::Cluster;
use super::wire::failed;
use crate::error::{Error, ErrorKind, Result};

/// How long one sentinel is waited for: another may know as well.
const SENTINEL_PATIENCE: Duration = Duration::from_millis(300);

/// How connections are made, wherever they lead to.
#[derive(Clone)]
pub(super) struct Dialer {
    pub(super) settings: RedisConnectionInfo,
    pub(super) tls: bool,
    #[cfg(feature = "redis-tls")]
    pub(super) certificates: Option<redis::TlsCertificates>,
}

impl Dialer {
    /// A client of a server at a host.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidConfig`] for certificates or an address that cannot be used.
    pub(super) fn at(&self, host: &str, port: u16) -> Result<Client> {
        let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        self.to(match self.tls {
            false => ConnectionAddr::Tcp(host, port),
            true => ConnectionAddr::TcpTls { host, port, insecure: false, tls_params: None },
        })
    }

    /// A client of a server at an address.
    ///
    /// # Errors
    /// As [`at`](Self::at).
    pub(super) fn to(&self, addr: ConnectionAddr) -> Result<Client> {
        let invalid = |what: &'static str| Error::new(ErrorKind::InvalidConfig, what);
        if !addr.is_supported() {
            return Err(invalid("the Redis address asks for TLS: switch the feature `redis-tls` on"));
        }
        let unusable = |_| invalid("the Redis settings cannot be used: check address and database");
        let info: ConnectionInfo = addr.into_connection_info().map_err(unusable)?;
        let info = info.set_redis_settings(self.settings.clone());
        #[cfg(feature = "redis-tls")]
        {
            // Another part of the program may have chosen its provider already; then that one is used.
            let _ = rustls::crypto::ring::default_provider().install_default();
            if let (Some(certificates), ConnectionAddr::TcpTls { .. }) = (&self.certificates, info.addr()) {
                return Client::build_with_tls(info, certificates.clone()).map_err(|_| {
                    invalid("the certificates for Redis cannot be used: write PEM, or the path of a PEM file")
                });
            }
        }
        Client::open(info).map_err(unusable)
    }
}

/// Servers that know where the master is.
pub(super) struct Sentinels {
    pub(super) clients: Vec<Client>,
    pub(super) master: String,
    pub(super) dialer: Dialer,
    next: AtomicUsize,
}

impl Sentinels {
    pub(super) fn new(clients: Vec<Client>, master: String, dialer: Dialer) -> Self {
        Self { clients, master, dialer, next: AtomicUsize::new(0) }
    }

    /// Asks one sentinel after the other, beginning with the one that knew last.
    async fn find(&self) -> Result<Client> {
        let mut why = Error::new(ErrorKind::Layer, "no sentinel is known");
        let first = self.next.load(Ordering::Relaxed);
        for at in (first..first + self.clients.len()).map(|at| at % self.clients.len()) {
            match tokio::time::timeout(SENTINEL_PATIENCE, self.ask(&self.clients[at])).await {
                Ok(Ok(client)) => {
                    self.next.store(at, Ordering::Relaxed);
                    return Ok(client);
                }
                Ok(Err(error)) => why = error,
                Err(_) => why = Error::new(ErrorKind::Layer, "a sentinel did not answer in time"),
            }
        }
        Err(why)
    }

    async fn ask(&self, sentinel: &Client) -> Result<Client> {
        let config = AsyncConnectionConfig::new().set_connection_timeout(Some(SENTINEL_PATIENCE));
        let connection = sentinel.get_multiplexed_async_connection_with_config(&config).await;
        let mut connection = connection.map_err(|error| failed(&error))?;
        let mut ask = redis::cmd("SENTINEL");
        ask.arg("get-master-addr-by-name").arg(&self.master);
        let found: Option<(String, u16)> =
            ask.query_async(&mut connection).await.map_err(|error| failed(&error))?;
        match found {
            Some((host, port)) => self.dialer.at(&host, port),
            None => Err(Error::new(
                ErrorKind::Layer,
                "the sentinels know no master of that name: check the name given to `RedisConfig::sentinel`",
            )),
        }
    }
}

/// Where a server is; shown without user and password.
#[derive(Clone)]
pub(super) enum Address {
    /// One server, wherever its name leads.
    Fixed(Box<Client>),
    /// The master of the moment.
    Master(Arc<Sentinels>),
    /// One of a cluster.
    Any(Weak<Cluster>),
}

impl Address {
    /// How to connect to the one server that it always is.
    pub(super) fn fixed(&self) -> Option<Client> {
        match self {
            Self::Fixed(client) => Some((**client).clone()),
            Self::Master(_) | Self::Any(_) => None,
        }
    }

    /// How to connect to whoever is there now.
    ///
    /// # Errors
    /// Nobody who would know could be asked.
    pub(super) async fn client(&self) -> Result<Client> {
        match self {
            Self::Fixed(client) => Ok((**client).clone()),
            Self::Master(sentinels) => sentinels.find().await,
            Self::Any(cluster) => match cluster.upgrade() {
                Some(cluster) => cluster.any().await,
                None => Err(Error::new(ErrorKind::Layer, "the engine is gone")),
            },
        }
    }

    /// Whether whoever is there has to be a master: one that was until a moment ago may still answer.
    pub(super) fn insists_on_master(&self) -> bool {
        matches!(self, Self::Master(_))
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fixed(client) => write!(f, "{}", client.get_connection_info().addr()),
            Self::Master(sentinels) => write!(f, "{} (by sentinels)", sentinels.master),
            Self::Any(_) => f.write_str("one of a cluster"),
        }
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}
