//! Setting an engine up.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::{CacheConfig, Engine, OnDetached};
use crate::cache::CacheLayer;
use crate::cache::chain::{Chain, ChainConfig};
use crate::clock::{Clock, ManualClock};
use crate::database::{DatabaseOptions, IntoDatabase, Opener};
use crate::error::{Error, ErrorKind, Result};
use crate::layers::Memory;
#[cfg(feature = "redis")]
use crate::layers::redis::{IntoRedisConfig, RedisLayer};

/// Sets an [`Engine`] up. Layers are asked in the order they are added; without any there is a memory layer of 64 MiB.
///
/// # Examples
///
/// ```
/// # use pie::prelude::*;
/// # use pie::Memory;
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> pie::Result<()> {
/// let engine = Engine::builder()
///     .database("sqlite::memory:")
///     .memory(Memory::max_bytes(16 << 20))
///     .build()
///     .await?;
/// # Ok(())
/// # }
/// ```
#[must_use = "an engine is made by `build().await`"]
#[derive(Default)]
pub struct EngineBuilder {
    database: Option<Opener>,
    options: DatabaseOptions,
    layers: Vec<Arc<dyn CacheLayer>>,
    config: CacheConfig,
    clock: Clock,
    require_shared: bool,
    /// The first mistake; builder methods do not fail, `build` does.
    mistake: Option<Error>,
}

impl fmt::Debug for EngineBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EngineBuilder")
            .field("layers", &self.layers)
            .field("config", &self.config)
            .finish_non_exhaustive()
    }
}

impl EngineBuilder {
    /// The database: a URL (`sqlite://file.db`, `sqlite::memory:`), a pool of sqlx that you own, or an `Arc` of a
    /// [`Database`](crate::database::Database) of your own.
    pub fn database(mut self, database: impl IntoDatabase) -> Self {
        self.database = Some(database.into_opener());
        self
    }

    /// How many connections a database opened from a URL has at most; 10 by default. In-memory SQLite always has one.
    pub fn max_connections(mut self, connections: u32) -> Self {
        self.options.max_connections = connections;
        self
    }

    /// How long a query waits for a free connection, or for another writer's lock; 5 seconds by default.
    pub fn acquire_timeout(mut self, timeout: Duration) -> Self {
        self.options.acquire_timeout = timeout;
        self
    }

    /// Adds a memory layer.
    pub fn memory(self, memory: Memory) -> Self {
        self.layer(memory)
    }

    /// Adds a Redis layer: a URL (`redis://user:password@host:6379/0`, `rediss://` with feature `redis-tls`) or a
    /// [`RedisConfig`](crate::RedisConfig).
    ///
    /// The engine starts also when Redis is not there; it connects when Redis comes.
    #[cfg(feature = "redis")]
    pub fn redis(mut self, config: impl IntoRedisConfig) -> Self {
        match RedisLayer::new(config) {
            Ok(layer) => self.layer(layer),
            Err(error) => {
                self.mistake.get_or_insert(error);
                self
            }
        }
    }

    /// Makes it an error of `build` when a shared layer cannot be reached then; waits until messages of other processes
    /// arrive.
    #[cfg(feature = "redis")]
    pub fn require_redis(mut self) -> Self {
        self.require_shared = true;
        self
    }

    /// Adds a layer of your own.
    pub fn layer(mut self, layer: impl CacheLayer) -> Self {
        self.layers.push(Arc::new(layer));
        self
    }

    /// The settings of the cache.
    pub fn config(mut self, config: CacheConfig) -> Self {
        self.config = config;
        self
    }

    /// Takes the time from a clock that is moved by hand: for tests.
    pub fn clock(mut self, clock: &ManualClock) -> Self {
        self.clock = Clock::from(clock);
        self
    }

    /// Opens the database and makes the engine.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidConfig`] for settings that cannot work, [`ErrorKind::Connection`] for a database that cannot be
    /// opened, or a Redis that cannot be reached after `require_redis()`.
    pub async fn build(mut self) -> Result<Engine> {
        if let Some(mistake) = self.mistake {
            return Err(mistake);
        }
        self.config.check()?;
        let Some(open) = self.database else {
            return Err(Error::new(
                ErrorKind::InvalidConfig,
                "no database: write `.database(\"sqlite://file.db\")` before `.build()`",
            ));
        };
        if self.layers.is_empty() {
            self.layers.push(Arc::new(Memory::default()));
        }
        let mut names: Vec<&str> = self.layers.iter().map(|layer| layer.name()).collect();
        names.sort_unstable();
        if let Some(pair) = names.windows(2).find(|pair| pair[0] == pair[1]) {
            return Err(Error::new(
                ErrorKind::InvalidConfig,
                format!("two layers named `{}`: statistics could not tell them apart", pair[0]),
            ));
        }
        let chain_config = ChainConfig {
            max_entry: self.config.max_entry_size,
            bypass_detached: self.config.on_detached == OnDetached::Bypass,
            ..ChainConfig::default()
        };
        let layers: Vec<Arc<dyn CacheLayer>> = self.layers;
        layers
            .iter()
            .filter_map(|layer| layer.shared())
            .for_each(|layer| layer.prefix(&self.config.key_prefix));
        let chain = Chain::new(layers, self.clock, chain_config);
        if self.require_shared {
            chain.connect().await?;
        } else {
            // Begins to connect, and says so in the log if that fails; nobody waits for it.
            let (chain, running) = (Arc::clone(&chain), chain.tasks.start());
            tokio::spawn(async move {
                let _ = chain.connect().await;
                drop(running);
            });
        }
        let database = open(self.options).await?;
        Ok(Engine::new(database, chain, self.config))
    }
}
