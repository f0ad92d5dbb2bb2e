//! The handle that ties database, cache and models together: one read path, one write path.

mod builder;
mod cascades;
mod config;
pub(crate) mod read;
pub(crate) mod settings;
mod tables;
mod transaction;
pub(crate) mod tx;
mod warmup;
pub(crate) mod write;

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

pub use builder::EngineBuilder;
pub use cascades::UndeclaredCascade;
pub use config::{CacheConfig, OnDetached, OnL2Down};
pub use settings::{DatabaseSettings, Settings};
pub use tables::Tables;
pub use tx::Tx;
pub use warmup::{Warm, WarmedQuery, Warmup, WarmupOutcome, WarmupProgress, WarmupReport};

use crate::cache::BoxFuture;
use crate::cache::GroupStats;
use crate::cache::chain::Chain;
use crate::cache::gate::Gate;
use crate::cache::manager::Cache;
use crate::cache::rules::Rules;
use crate::cache::stamps::StampName;
use crate::clock::millis;
use crate::database::Database;
use crate::database::counted::Counted;
use crate::error::{Error, ErrorKind, Result};
use crate::model::{Model, Policy, RowId as _, Schema};
use crate::plan::depends;
use crate::plan::text::{Text, push_escaped};
use crate::query::policy::{Effective, Options, defaults};
use crate::query::raw::Sql;

/// A database with a cache in front of it. Cloning is a reference count; clones share everything.
///
/// Every query of a model takes `&Engine` (or a [`Tx`]). Use it from as many tasks as you like.
///
/// # Guarantees
///
/// Per engine and its clones: after a write through pie returned, every read that starts later sees it, whatever was in
/// flight. A failing cache layer never fails a query; a failing database always does. Dropping any future of this crate
/// at any point is safe: a write that was sent goes on with its invalidation.
///
/// # Examples
///
/// ```
/// use pie::prelude::*;
///
/// #[derive(Debug, Clone, Model)]
/// #[cached(ttl = "5m", jitter = "30s", empty_ttl = "30s", tags("users"))]
/// struct User {
///     #[pie(id, auto)]
///     id: i64,
///     #[pie(unique)]
///     email: String,
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> pie::Result<()> {
/// let engine = Engine::builder().database("sqlite::memory:").build().await?;
/// engine.create_tables::<(User,)>().await?;
///
/// let ann = User::insert(&engine, NewUser { email: "ann@x.org".into() }).await?;
/// let same = User::find_by_email(&engine, "ann@x.org").required().await?;
/// assert_eq!(same.id, ann.id);
/// engine.close().await;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Engine {
    core: Arc<Core>,
    /// The key prefix and the scope: what stands before every logical key of this handle.
    scope: Arc<str>,
}

struct Core {
    database: Counted,
    chain: Arc<Chain>,
    config: CacheConfig,
    /// What the settings say of a read, worked out once.
    defaults: Rules,
    closed: AtomicBool,
    /// The cap on all loads, and those of models with one of their own, by the model's name.
    gate: Gate,
    gates: Mutex<HashMap<&'static str, Gate>>,
}

impl fmt::Debug for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Engine")
            .field("database", &self.core.database.name())
            .field("layers", &self.core.chain)
            .finish_non_exhaustive()
    }
}

impl Engine {
    /// Begins to set an engine up.
    pub fn builder() -> EngineBuilder {
        EngineBuilder::default()
    }

    pub(crate) fn new(database: Arc<dyn Database>, chain: Arc<Chain>, config: CacheConfig) -> Self {
        let database = Counted::new(database);
        let scope = Arc::from(config.key_prefix.as_str());
        let gate = Gate::new(config.max_loads);
        let closed = AtomicBool::new(false);
        let defaults = defaults(&config);
        let core = Core { database, chain, config, defaults, closed, gate, gates: Mutex::default() };
        Self { core: Arc::new(core), scope }
    }

    /// A handle whose scope is part of every key and every stamp: what is cached and invalidated through it, and what is
    /// through another scope, never meet.
    ///
    /// For data that is different for each tenant although the queries are the same, for example with a database that
    /// filters by tenant itself. A scope within a scope is a third one. A write through one scope does not invalidate what
    /// other scopes cached of the same rows.
    ///
    /// # Examples
    ///
    /// ```
    /// # use pie::prelude::*;
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> pie::Result<()> {
    /// # let engine = Engine::builder().database("sqlite::memory:").build().await?;
    /// let tenant = engine.scoped("tenant:7");
    /// tenant.cache().clear().await?; // of tenant 7 only
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn scoped(&self, scope: &str) -> Self {
        let mut escaped = Text::new();
        push_escaped(&mut escaped, scope.as_bytes());
        let escaped = String::from_utf8_lossy(&escaped).replace('~', "%7E");
        let scope = [&*self.scope, "~s:", &escaped, ":"].concat();
        Self { core: Arc::clone(&self.core), scope: scope.into() }
    }

    /// The cache: statistics, layers, and invalidation by hand.
    #[must_use]
    pub fn cache(&self) -> Cache {
        let scoped = !self.inner_scope().is_empty();
        let place = (Arc::clone(&self.scope), self.namespaces(), scoped);
        let config = &self.core.config;
        let defaults = (self.core.defaults, millis(config.lock_lease).max(1));
        Cache::new(Arc::clone(&self.core.chain), place, defaults, self.core.gate.clone())
    }

    /// Runs a load of this model when it is its turn.
    pub(crate) async fn in_turn<T>(&self, schema: &'static Schema, load: impl Future<Output = T>) -> T {
        self.in_turn_of(schema.model, schema.policy.max_loads, load).await
    }

    /// Whether a load may have to wait for its turn.
    pub(crate) fn takes_turns(&self, schema: &'static Schema) -> bool {
        schema.policy.max_loads.is_some() || self.core.gate.is_capped()
    }

    /// Runs a load of the model or function of this name, of which so many may run at once.
    pub(crate) async fn in_turn_of<T>(
        &self,
        name: &'static str,
        max_loads: Option<u32>,
        load: impl Future<Output = T>,
    ) -> T {
        let of_model = match max_loads {
            None => Gate::default(),
            Some(loads) => {
                let mut gates = self.core.gates.lock().unwrap_or_else(PoisonError::into_inner);
                gates.entry(name).or_insert_with(|| Gate::new(usize::try_from(loads).ok())).clone()
            }
        };
        // The model's first: who waits for it keeps no other model waiting.
        let _permit = of_model.enter().await;
        self.core.gate.run(load).await
    }

    /// Creates the tables of models, with their constraints and indexes, where they do not exist: for development and
    /// tests. An existing table is left as it is; migrations are not pie's.
    ///
    /// # Errors
    /// The database refused.
    ///
    /// # Examples
    ///
    /// ```
    /// # use pie::prelude::*;
    /// # #[derive(Debug, Clone, Model)]
    /// # struct User { #[pie(id, auto)] id: i64 }
    /// # #[derive(Debug, Clone, Model)]
    /// # struct Order { #[pie(id, auto)] id: i64, #[pie(index)] user_id: i64 }
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> pie::Result<()> {
    /// # let engine = Engine::builder().database("sqlite::memory:").build().await?;
    /// engine.create_tables::<(User, Order)>().await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn create_tables<T: Tables>(&self) -> BoxFuture<'_, Result<()>> {
        let schemas = T::schemas();
        Box::pin(async move {
            self.check_open()?;
            for schema in &schemas {
                self.core.database.check_model(schema)?;
                self.core.database.create_table(schema).await?;
            }
            self.warn_of_cascades(&schemas).await;
            Ok(())
        })
    }

    /// Whether the database has transactions: all do but a MongoDB server that stands alone, where [`begin`](Self::begin) is an error of
    /// the kind [`Unsupported`](crate::ErrorKind::Unsupported).
    #[must_use]
    pub fn has_transactions(&self) -> bool {
        self.core.database.transactions()
    }

    /// A statement in the database's own language. Values are bound, never spliced into the text.
    ///
    /// Its rows become a model (columns found by name) or a tuple (by place). It is not cached. A statement that may write
    /// makes everything invalid, because pie cannot know what it touched.
    ///
    /// # Examples
    ///
    /// ```
    /// # use pie::prelude::*;
    /// # #[derive(Debug, Clone, Model)]
    /// # struct User { #[pie(id, auto)] id: i64, name: String, age: i32 }
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> pie::Result<()> {
    /// # let engine = Engine::builder().database("sqlite::memory:").build().await?;
    /// # engine.create_tables::<(User,)>().await?;
    /// let ages: Vec<(i32, i64)> =
    ///     engine.sql("SELECT age, COUNT(*) FROM users WHERE age > ? GROUP BY age").bind(18).all().await?;
    /// let users: Vec<User> = engine.sql("SELECT * FROM users WHERE name LIKE ?").bind("A%").all().await?;
    /// let changed = engine.sql("UPDATE users SET age = age + 1").execute().await?;
    /// # assert!(ages.is_empty() && users.is_empty() && changed == 0);
    /// # Ok(())
    /// # }
    /// ```
    pub fn sql<'a>(&'a self, text: &str) -> Sql<'a> {
        Sql::new(crate::query::Target::Engine(self), text)
    }

    /// A command in MongoDB's own language: a filter or an aggregation of your own, or anything else that the server knows.
    ///
    /// The rows are the documents that it answers with (of `findAndModify` the one, of `distinct` the values). They become a model, as its queries
    /// would read it, or a tuple, by the place of the fields. Nothing is cached; a command that may write makes everything invalid, unless
    /// it says what it [touches](crate::query::raw::Sql::touches). A `#[cached]` function around it keeps what it read.
    ///
    /// # Examples
    ///
    /// ```no_run
    /// # use pie::prelude::*;
    /// use pie::bson::doc;
    ///
    /// # #[derive(Debug, Clone, Model)]
    /// # struct User { #[pie(id, auto)] id: i64, name: String, age: i32 }
    /// # async fn example(engine: &Engine) -> pie::Result<()> {
    /// let find = doc! { "find": "users", "filter": { "name": { "$regex": "^A" } } };
    /// let users: Vec<User> = engine.command(find).all().await?;
    ///
    /// let stages = [doc! { "$group": { "_id": "$age", "users": { "$sum": 1 } } }, doc! { "$sort": { "_id": 1 } }];
    /// let ages: Vec<(i32, i64)> = engine.command(doc! { "aggregate": "users", "pipeline": stages }).all().await?;
    ///
    /// let older = doc! { "update": "users", "updates": [{ "q": {}, "u": { "$inc": { "age": 1 } }, "multi": true }] };
    /// let changed = engine.command(older).touches::<(User,)>().execute().await?;
    /// # let _ = (users, ages, changed);
    /// # Ok(())
    /// # }
    /// ```
    #[cfg(feature = "mongodb")]
    pub fn command(&self, command: impl Into<crate::database::Command>) -> Sql<'_> {
        Sql::command(crate::query::Target::Engine(self), command.into())
    }

    /// Ends what is cached of these rows, after a write that did not go through pie: another program's, a migration's.
    ///
    /// Only the ids are known, and not what the rows held before. So beside the rows themselves and all lists and counts that depend on the
    /// whole table, every single row of the model goes where it has unique columns, and every list on an index where it has indexes; and
    /// everything of the models that it [touches](derive@crate::Model#touches).
    /// When it returned, no read that starts later is answered with what was cached before, whatever was in flight.
    ///
    /// # Errors
    /// [`ErrorKind::Disabled`] when the cache is switched off, after it was done. Never because of a layer.
    ///
    /// # Examples
    ///
    /// ```
    /// # use pie::prelude::*;
    /// # #[derive(Debug, Clone, Model)]
    /// # #[cached]
    /// # struct User { #[pie(id, auto)] id: i64, name: String }
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> pie::Result<()> {
    /// # let engine = Engine::builder().database("sqlite::memory:").build().await?;
    /// # engine.create_tables::<(User,)>().await?;
    /// User::find_by_ids(&engine, &[1, 2]).await?;
    /// engine.invalidate::<User>([2]).await?;
    /// User::find_by_id(&engine, 1).await?; // still cached
    /// User::find_by_id(&engine, 2).await?; // loaded anew
    /// # assert_eq!(engine.statements(), 2);
    /// # Ok(())
    /// # }
    /// ```
    pub fn invalidate<M: Model>(&self, ids: impl IntoIterator<Item = M::Id>) -> BoxFuture<'_, Result<()>> {
        let mut names = Vec::new();
        for id in ids {
            depends::names_of_id(M::SCHEMA, &id.data(), &mut names);
        }
        names.sort_unstable();
        names.dedup();
        self.end(M::SCHEMA, names)
    }

    /// Ends everything that is cached of a model, and of the models that it [touches](derive@crate::Model#touches), after writes that did
    /// not go through pie.
    ///
    /// # Errors
    /// As [`invalidate`](Self::invalidate).
    ///
    /// # Examples
    ///
    /// ```
    /// # use pie::prelude::*;
    /// # #[derive(Debug, Clone, Model)]
    /// # #[cached]
    /// # struct User { #[pie(id, auto)] id: i64, name: String }
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> pie::Result<()> {
    /// # let engine = Engine::builder().database("sqlite::memory:").build().await?;
    /// # engine.create_tables::<(User,)>().await?;
    /// User::query(&engine).count().await?;
    /// engine.invalidate_all::<User>().await?;
    /// User::query(&engine).count().await?; // counted anew
    /// # assert_eq!(engine.statements(), 2);
    /// # Ok(())
    /// # }
    /// ```
    pub fn invalidate_all<M: Model>(&self) -> BoxFuture<'_, Result<()>> {
        self.end(M::SCHEMA, depends::everything(M::SCHEMA).to_vec())
    }

    /// Ends these names of a model; unless there are none, also what its writes change in other models.
    fn end(&self, schema: &'static Schema, mut names: Vec<String>) -> BoxFuture<'_, Result<()>> {
        if !names.is_empty() {
            names.extend(schema.touches().iter().flat_map(|touched| depends::everything(touched)));
        }
        Box::pin(async move { self.cache().invalidate(self.stamps(&names)).await })
    }

    /// Waits for running writes and for values on their way to shared layers, then closes all connections. Later queries
    /// fail with [`ErrorKind::Closed`]; closing twice is no error.
    pub async fn close(&self) {
        self.core.closed.store(true, Ordering::Release);
        self.core.chain.flush().await;
        self.core.chain.close();
        self.core.database.close().await;
    }

    /// How the layers of the cache are doing: breakers, what is unsent, whether messages arrive. Asks nobody, and does not wait.
    ///
    /// # Examples
    ///
    /// See [`Health`](crate::cache::Health).
    #[must_use]
    pub fn health(&self) -> crate::cache::Health {
        self.core.chain.health()
    }

    /// How many statements were sent to the database since the engine was built, by this handle and its clones and scopes.
    /// Those that begin and end transactions and savepoints do not count, nor do those that create tables or ask for cascades.
    #[must_use]
    pub fn statements(&self) -> u64 {
        self.core.database.statements()
    }

    pub(crate) fn check_open(&self) -> Result<()> {
        if self.core.closed.load(Ordering::Acquire) {
            return Err(Error::new(ErrorKind::Closed, "the engine was closed"));
        }
        Ok(())
    }

    pub(crate) fn chain(&self) -> &Arc<Chain> {
        &self.core.chain
    }

    pub(crate) fn config(&self) -> &CacheConfig {
        &self.core.config
    }

    pub(crate) fn database(&self) -> &dyn Database {
        &self.core.database
    }

    /// The policy of a query.
    pub(crate) fn policy(&self, options: &Options, schema: &Schema) -> Effective {
        self.policy_of(options, &schema.policy)
    }

    /// The policy of a call whose own settings are these.
    pub(crate) fn policy_of(&self, options: &Options, policy: &Policy) -> Effective {
        let mut said = self.policy_said(options, policy);
        said.enabled = said.enabled && self.core.chain.is_enabled();
        said
    }

    /// The same, whether the cache is switched on or not.
    pub(crate) fn policy_said(&self, options: &Options, policy: &Policy) -> Effective {
        Effective::of(options, policy, &self.core.config, &self.core.defaults)
    }

    pub(crate) fn scope(&self) -> &str {
        &self.scope
    }

    /// The scope without the key prefix: what tells handles of one engine apart.
    #[inline]
    pub(crate) fn inner_scope(&self) -> &str {
        // The scope begins with the prefix.
        self.scope.get(self.core.config.key_prefix.len()..).unwrap_or_default()
    }

    /// Stamp names within this handle's scope.
    pub(crate) fn stamps<'n>(&self, names: impl IntoIterator<Item = &'n String>) -> Vec<StampName> {
        names.into_iter().map(|name| StampName::new(&self.scope, name)).collect()
    }

    /// The names every entry depends on: the namespace, and those of the scopes it is in, the innermost last.
    pub(crate) fn namespaces(&self) -> Vec<StampName> {
        let ends = self.scope.match_indices("~s:").map(|(at, _)| at).skip(1).chain([self.scope.len()]);
        let mut names = vec![StampName::new(&self.core.config.key_prefix, "n")];
        if !self.inner_scope().is_empty() {
            names.extend(ends.map(|end| StampName::new(&self.scope[..end], "n")));
        }
        names
    }
}

impl Cache {
    /// What the cache did for one model since the engine was built.
    ///
    /// # Examples
    ///
    /// ```
    /// # use pie::prelude::*;
    /// # #[derive(Debug, Clone, Model)]
    /// # #[cached(ttl = "5m")]
    /// # struct User { #[pie(id, auto)] id: i64, name: String }
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> pie::Result<()> {
    /// # let engine = Engine::builder().database("sqlite::memory:").build().await?;
    /// # engine.create_tables::<(User,)>().await?;
    /// User::find_by_id(&engine, 1).await?;
    /// User::find_by_id(&engine, 1).await?;
    /// let stats = engine.cache().stats_of::<User>();
    /// assert_eq!((stats.hits, stats.misses, stats.loads), (1, 1, 1));
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn stats_of<M: Model>(&self) -> GroupStats {
        self.group_stats((M::SCHEMA.group)())
    }
}
