//! Setting an engine up.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::{CacheConfig, Engine, OnDetached, Settings, Tables};
use crate::cache::CacheLayer;
use crate::cache::chain::{Chain, ChainConfig};
use crate::clock::{Clock, ManualClock};
use crate::database::{DatabaseOptions, IntoDatabase, Opener};
use crate::error::{Error, ErrorKind, Result};
use crate::layers::Memory;
#[cfg(feature = "redis")]
use crate::layers::redis::{IntoRedisConfig, RedisLayer};
use crate::model::Schema;

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
    models: Vec<&'static Schema>,
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
    /// The database: a URL (`sqlite://file.db`, `sqlite::memory:`, `postgres://…`, `mysql://…`, each with its feature), a pool of sqlx that
    /// you own, or an `Arc` of a [`Database`](crate::database::Database) of your own.
    pub fn database(mut self, database: impl IntoDatabase) -> Self {
        self.database = Some(database.into_opener());
        self
    }

    /// The models of the program: `build` asks the database what it changes by itself when they are written, by foreign keys with an
    /// action and by triggers, and logs a warning for each that no `#[pie(touches(..))]` names
    /// ([`Engine::undeclared_cascades`]).
    ///
    /// # Examples
    ///
    /// ```
    /// # use pie::prelude::*;
    /// # #[derive(Debug, Clone, Model)]
    /// # struct User { #[pie(id)] id: i64 }
    /// # #[derive(Debug, Clone, Model)]
    /// # struct Order { #[pie(id)] id: i64 }
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> pie::Result<()> {
    /// let engine = Engine::builder().database("sqlite::memory:").models::<(User, Order)>().build().await?;
    /// # engine.close().await;
    /// # Ok(())
    /// # }
    /// ```
    pub fn models<T: Tables>(mut self) -> Self {
        self.models.extend(T::schemas());
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

    /// How many connections a database opened from a URL keeps open, also when nothing asks; none by default.
    pub fn min_connections(mut self, connections: u32) -> Self {
        self.options.min_connections = connections;
        self
    }

    /// After how long an unused connection is closed; 10 minutes by default, `None` for never.
    pub fn idle_timeout(mut self, timeout: impl Into<Option<Duration>>) -> Self {
        self.options.idle_timeout = timeout.into();
        self
    }

    /// After how long a connection is replaced by a new one; 30 minutes by default, `None` for never.
    pub fn max_lifetime(mut self, lifetime: impl Into<Option<Duration>>) -> Self {
        self.options.max_lifetime = lifetime.into();
        self
    }

    /// How long the server works on one statement before it gives up with [`ErrorKind::Timeout`](crate::ErrorKind::Timeout); the server's own
    /// limit by default. SQLite has none; MySQL limits only reads.
    pub fn statement_timeout(mut self, timeout: Duration) -> Self {
        self.options.statement_timeout = Some(timeout);
        self
    }

    /// Statements that take longer are logged as a warning, with their text and without values; 1 second by default. All are logged at debug
    /// level (target `sqlx::query`).
    pub fn slow_statement(mut self, limit: Duration) -> Self {
        self.options.slow_statement = limit;
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

    /// Settings from a file or the environment: the database, unless one is given in the program; the settings of the cache;
    /// a memory layer and a Redis layer where there are sections for them, below the layers that were added before.
    pub fn settings(mut self, settings: Settings) -> Self {
        let Settings { database, cache, memory, .. } = settings;
        if let Some(database) = database {
            self.options = database.options();
            if self.database.is_none() {
                self = self.database(database.url);
            }
        }
        if let Some(cache) = cache {
            self.config = cache;
        }
        if let Some(memory) = memory {
            match Memory::new(memory) {
                Ok(memory) => self = self.memory(memory),
                Err(error) => drop(self.mistake.get_or_insert(error)),
            }
        }
        #[cfg(feature = "redis")]
        if let Some(redis) = settings.redis {
            self = self.redis(redis);
        }
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
    /// [`ErrorKind::InvalidConfig`] for settings that cannot work and for a database whose connections are set to `READ UNCOMMITTED`, [`ErrorKind::Connection`] for a database that cannot be
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
        for (at, layer) in self.layers.iter().enumerate() {
            check_layer(&**layer, self.layers[..at].iter())?;
        }
        let chain_config = ChainConfig {
            max_entry: self.config.max_entry_size,
            bypass_detached: self.config.on_detached == OnDetached::Bypass,
            layer_timeout: Some(self.config.layer_timeout),
            ..ChainConfig::default()
        };
        let shared: Vec<Arc<dyn CacheLayer>> =
            self.layers.iter().filter(|layer| layer.shared().is_some()).cloned().collect();
        shared
            .iter()
            .filter_map(|layer| layer.shared())
            .for_each(|layer| layer.prefix(&self.config.key_prefix));
        let chain = Chain::new(self.layers, self.clock, chain_config);
        chain.enable(self.config.enabled);
        if self.require_shared {
            connect(&shared).await?;
        } else {
            connect_later(&chain, shared);
        }
        let database = open(self.options).await?;
        database.check().await?;
        let engine = Engine::new(database, chain, self.config);
        for schema in &self.models {
            engine.database().check_model(schema)?;
        }
        if !self.models.is_empty() {
            engine.warn_of_cascades(&self.models).await;
        }
        Ok(engine)
    }
}

/// What of a layer cannot work beside those that are there.
fn check_layer<'l>(
    layer: &dyn CacheLayer,
    others: impl Iterator<Item = &'l Arc<dyn CacheLayer>>,
) -> Result<()> {
    layer.check()?;
    let name = layer.name();
    if others.into_iter().any(|other| other.name() == name) {
        return Err(Error::new(
            ErrorKind::InvalidConfig,
            format!("two layers named `{name}`: statistics could not tell them apart; give one another name"),
        ));
    }
    Ok(())
}

async fn connect(layers: &[Arc<dyn CacheLayer>]) -> Result<()> {
    for shared in layers.iter().filter_map(|layer| layer.shared()) {
        shared.connect().await?;
    }
    Ok(())
}

/// Begins to connect, and says so in the log if that fails; nobody waits for it.
fn connect_later(chain: &Arc<Chain>, layers: Vec<Arc<dyn CacheLayer>>) {
    let running = chain.tasks.start();
    tokio::spawn(async move {
        let _ = connect(&layers).await;
        drop(running);
    });
}

impl Engine {
    /// Adds a layer below those that are there, to an engine that was not used yet: before its first query and its first
    /// call of [`Cache`](crate::cache::Cache) that reads or writes. Begins to connect a shared layer.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidConfig`] when the engine was used already, when there is a layer of this name, or when the layer's
    /// settings cannot work.
    ///
    /// # Examples
    ///
    /// ```
    /// # use pie::prelude::*;
    /// # #[cfg(not(feature = "testing"))]
    /// # fn main() {}
    /// # #[cfg(feature = "testing")]
    /// use pie::testing::MapLayer;
    ///
    /// # #[cfg(feature = "testing")]
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> pie::Result<()> {
    /// let engine = Engine::builder().database("sqlite::memory:").build().await?;
    /// engine.add_layer(MapLayer::new())?;
    /// assert_eq!(engine.cache().layers().len(), 2);
    /// # Ok(())
    /// # }
    /// ```
    pub fn add_layer(&self, layer: impl CacheLayer) -> Result<()> {
        let layer: Arc<dyn CacheLayer> = Arc::new(layer);
        check_layer(&*layer, self.chain().layers().iter())?;
        if let Some(shared) = layer.shared() {
            shared.prefix(&self.config().key_prefix);
        }
        self.chain().add(Arc::clone(&layer)).map_err(|_| {
            Error::new(
                ErrorKind::InvalidConfig,
                "a layer was added to an engine that was used already: add it before the first query, or in the builder",
            )
        })?;
        if layer.shared().is_some() {
            connect_later(self.chain(), vec![layer]);
        }
        Ok(())
    }
}
