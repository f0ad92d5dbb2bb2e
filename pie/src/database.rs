//! The source of truth: what a database has to do for pie.
//!
//! A database runs [plans](crate::plan) and raw statements; it knows nothing of caches. SQLite, PostgreSQL, MySQL and MongoDB ship; the trait
//! has room for others.

pub(crate) mod counted;
#[doc(hidden)]
pub mod from_row;
#[cfg(feature = "mongodb")]
pub(crate) mod mongo;
#[cfg(feature = "mysql")]
pub(crate) mod mysql;
pub(crate) mod options;
#[cfg(any(feature = "sqlite", feature = "postgres", feature = "mysql"))]
pub(crate) mod pooled;
#[cfg(feature = "postgres")]
pub(crate) mod postgres;
#[cfg(any(feature = "postgres", feature = "mysql", feature = "mongodb"))]
pub(crate) mod refusal;
#[cfg(any(feature = "sqlite", feature = "postgres", feature = "mysql"))]
pub(crate) mod sql;
#[cfg(feature = "sqlite")]
pub(crate) mod sqlite;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

#[cfg(feature = "mongodb")]
pub use mongo::MongoDb;
#[cfg(feature = "mongodb")]
pub use mongo::command::Command;
#[cfg(feature = "mysql")]
pub use mysql::MySql;
pub use options::{Isolation, TxOptions};
#[cfg(feature = "postgres")]
pub use postgres::Postgres;
#[cfg(feature = "sqlite")]
pub use sqlite::Sqlite;

use crate::cache::BoxFuture;
use crate::error::{Error, ErrorKind, Result};
use crate::model::{Datum, Schema};
use crate::plan::{ReadPlan, WritePlan};

/// Values of one row, in the order that was asked for.
pub type Row = Vec<Datum<'static>>;

/// What a write did.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct Written {
    /// How many rows were inserted, changed or deleted.
    pub affected: u64,
    /// The rows, if they were asked for.
    pub rows: Vec<Row>,
    /// The same rows as they were before, from a database that [gives](Returns::old) them.
    pub old: Vec<Row>,
}

impl Written {
    /// This many rows, and these.
    #[must_use]
    pub fn new(affected: u64, rows: Vec<Row>) -> Self {
        Self { affected, rows, old: Vec::new() }
    }

    /// The same, with the rows as they were before.
    #[must_use]
    pub fn with_old(mut self, old: Vec<Row>) -> Self {
        self.old = old;
        self
    }
}

/// Which writes give their rows back by themselves. Where one does not, the write path reads them, in a transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(clippy::exhaustive_structs, reason = "there are three kinds of writes that change rows")]
pub struct Returns {
    /// Inserted rows.
    pub insert: bool,
    /// Changed rows, as they are now.
    pub update: bool,
    /// Deleted rows, as they were.
    pub delete: bool,
    /// The row of an upsert, and of an update or a delete of [one row](WritePlan::id_of_one_row), as it was before, together with what the
    /// others say. Elsewhere the write path reads old values first, in a transaction.
    pub old: bool,
}

impl Returns {
    /// Everything as it is after the write.
    pub const ALL: Self = Self { insert: true, update: true, delete: true, old: false };
}

/// A statement in the database's own language, with values that are bound and never spliced.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct RawStatement {
    /// The text, with the database's own placeholders.
    pub text: Arc<str>,
    /// The values of the placeholders.
    pub values: Vec<Datum<'static>>,
    /// A command of MongoDB's, which is no text; `text` is its name then.
    #[cfg(feature = "mongodb")]
    pub command: Option<Command>,
}

impl RawStatement {
    /// This text with these values.
    #[must_use]
    pub fn new(text: Arc<str>, values: Vec<Datum<'static>>) -> Self {
        Self {
            text,
            values,
            #[cfg(feature = "mongodb")]
            command: None,
        }
    }

    /// This command of MongoDB's.
    #[cfg(feature = "mongodb")]
    #[must_use]
    pub fn command(command: Command) -> Self {
        Self { text: command.name().into(), values: Vec::new(), command: Some(command) }
    }

    /// Refuses what is no text, for a database that speaks SQL.
    #[cfg(any(feature = "sqlite", feature = "postgres", feature = "mysql"))]
    pub(crate) fn check_is_text(&self) -> Result<()> {
        #[cfg(feature = "mongodb")]
        if self.command.is_some() {
            return Err(Error::new(
                ErrorKind::Unsupported,
                "this database takes SQL and no commands of MongoDB's: use `sql`",
            ));
        }
        Ok(())
    }
}

/// Rows of a raw statement, with the names of their columns.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct RawRows {
    /// The names.
    pub names: Vec<String>,
    /// The rows.
    pub rows: Vec<Row>,
    /// How many rows were changed.
    pub affected: u64,
    /// Whether they are documents: what none of them has is `NULL`, and the id is called `_id`.
    pub documents: bool,
}

impl RawRows {
    /// These rows under these names; `affected` rows were changed.
    #[must_use]
    pub fn new(names: Vec<String>, rows: Vec<Row>, affected: u64) -> Self {
        Self { names, rows, affected, documents: false }
    }
}

/// Something that a database does by itself when rows of a table are written.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Cascade {
    /// The table that is written to.
    pub from: String,
    /// The table that changes by itself; `None` for a trigger, of which nobody knows.
    pub to: Option<String>,
    /// What does it: `ON DELETE CASCADE`, or the name of a trigger.
    pub by: String,
}

impl Cascade {
    /// Rows of `to` change with rows of `from`.
    #[must_use]
    pub fn new(from: impl Into<String>, to: Option<String>, by: impl Into<String>) -> Self {
        Self { from: from.into(), to, by: by.into() }
    }
}

/// Runs plans: on a connection of the pool, or in a transaction.
///
/// Equality of values is bytewise: `=` and `IN` of a plan hold for texts of the same bytes alone, whatever collation the table was made
/// with. What is invalidated is found by these values.
pub trait Session: Send {
    /// Runs a read; the rows have the columns that the plan [asks](crate::plan::Ask) for.
    ///
    /// # Errors
    /// The database refused, or could not be reached.
    fn read<'a>(&'a mut self, plan: &'a ReadPlan) -> BoxFuture<'a, Result<Vec<Row>>>;

    /// Runs a write.
    ///
    /// # Errors
    /// The database refused, or could not be reached.
    fn write<'a>(&'a mut self, plan: &'a WritePlan) -> BoxFuture<'a, Result<Written>>;

    /// Runs a raw statement.
    ///
    /// # Errors
    /// The database refused, or could not be reached.
    fn raw<'a>(&'a mut self, statement: &'a RawStatement) -> BoxFuture<'a, Result<RawRows>>;
}

/// What happens to a savepoint: a part of a transaction that can be undone by itself. Savepoints nest; the number is how deep it is, from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Savepoint {
    /// It begins.
    Set(u32),
    /// It ends, and what was done since stays a part of the transaction.
    Release(u32),
    /// It ends, and what was done since is undone.
    Undo(u32),
}

/// A transaction: dropped without [`commit`](Self::commit), it is rolled back.
pub trait Transaction: Session {
    /// Begins or ends a savepoint.
    ///
    /// # Errors
    /// The database refused, or has no savepoints.
    fn savepoint(&mut self, savepoint: Savepoint) -> BoxFuture<'_, Result<()>> {
        let _ = savepoint;
        Box::pin(async { Err(Error::new(ErrorKind::Unsupported, "this database has no savepoints")) })
    }

    /// Makes the changes permanent.
    ///
    /// # Errors
    /// The database refused, or its answer was lost: then nobody knows whether the changes are permanent.
    fn commit(self: Box<Self>) -> BoxFuture<'static, Result<()>>;

    /// Undoes the changes.
    ///
    /// # Errors
    /// The database could not be reached; it undoes them by itself.
    fn rollback(self: Box<Self>) -> BoxFuture<'static, Result<()>>;
}

/// A database.
pub trait Database: fmt::Debug + Send + Sync + 'static {
    /// The name in messages: `SQLite`.
    fn name(&self) -> &'static str;

    /// Something that runs plans, each for itself. Does not wait; connections are taken when a plan runs.
    fn session(&self) -> Box<dyn Session>;

    /// Runs a read by itself, as a [session](Self::session) does that is made for it.
    ///
    /// # Errors
    /// The database refused, or could not be reached.
    fn read<'a>(&'a self, plan: &'a ReadPlan) -> BoxFuture<'a, Result<Vec<Row>>> {
        let mut session = self.session();
        Box::pin(async move { session.read(plan).await })
    }

    /// Begins a transaction that sees every commit before it, kept apart from others as much as is asked for, or more. Unless it
    /// is read-only, rows that were read by a plan [for update](ReadPlan::for_update) stay as they were read until it ends: the write path
    /// reads old values so.
    ///
    /// # Errors
    /// No connection was free in time, or the database is busy or not reachable.
    fn begin(&self, options: TxOptions) -> BoxFuture<'_, Result<Box<dyn Transaction>>>;

    /// Whether it has transactions. Where it has none, a write is one call: of several rows it may have done a part when it fails, and what it
    /// touched is not known, so that both families of the model are invalidated.
    fn transactions(&self) -> bool {
        true
    }

    /// Whether one call that writes several rows does all of it or nothing. Where it may do a part, it is made in a transaction, if there are
    /// any.
    fn is_atomic(&self) -> bool {
        true
    }

    /// Looks whether the database can be cached, when the engine is built: its connections must not be set to `READ UNCOMMITTED`.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidConfig`] when it cannot, and what a database that cannot be reached says.
    fn check(&self) -> BoxFuture<'_, Result<()>> {
        Box::pin(async { Ok(()) })
    }

    /// Looks whether rows of a model fit in.
    ///
    /// # Errors
    /// [`ErrorKind::Unsupported`] for what the database does not have.
    fn check_model(&self, schema: &'static Schema) -> Result<()> {
        let _ = schema;
        Ok(())
    }

    /// Creates a table with its constraints and indexes unless it exists.
    ///
    /// # Errors
    /// The database refused.
    fn create_table(&self, schema: &'static Schema) -> BoxFuture<'_, Result<()>>;

    /// What the database changes by itself when rows are written: by foreign keys with an action, and by triggers. Asked at start
    /// only; a database that cannot tell says that there is nothing.
    ///
    /// # Errors
    /// The database refused.
    fn cascades(&self) -> BoxFuture<'_, Result<Vec<Cascade>>> {
        Box::pin(async { Ok(Vec::new()) })
    }

    /// Which writes give their rows back in the one statement that they are. An insert and an upsert give them back in any case;
    /// where this says no, in a transaction only, which is begun for them.
    fn returns(&self) -> Returns {
        Returns::ALL
    }

    /// How many values one statement may bind.
    fn max_values(&self) -> usize;

    /// Waits for running statements and closes all connections.
    fn close(&self) -> BoxFuture<'_, ()>;
}

/// How a database is opened.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct DatabaseOptions {
    /// How many connections at most.
    pub max_connections: u32,
    /// How many connections are kept open, also when nothing asks.
    pub min_connections: u32,
    /// How long to wait for a free connection, and for a lock of another writer.
    pub acquire_timeout: Duration,
    /// After how long an unused connection is closed; `None` for never.
    pub idle_timeout: Option<Duration>,
    /// After how long a connection is replaced; `None` for never.
    pub max_lifetime: Option<Duration>,
    /// How long one statement may take, on servers; `None` for the server's own limit. SQLite has none.
    pub statement_timeout: Option<Duration>,
    /// Statements that take longer are logged as a warning, with their text and without values; all others at debug level.
    pub slow_statement: Duration,
}

impl Default for DatabaseOptions {
    /// 10 connections, none kept open; 5 seconds for a connection or a lock; an unused connection is closed after 10 minutes, each one replaced
    /// after 30; the server's own limit for statements; slow ones take longer than a second.
    fn default() -> Self {
        Self {
            max_connections: 10,
            min_connections: 0,
            acquire_timeout: Duration::from_secs(5),
            idle_timeout: Some(Duration::from_secs(10 * 60)),
            max_lifetime: Some(Duration::from_secs(30 * 60)),
            statement_timeout: None,
            slow_statement: Duration::from_secs(1),
        }
    }
}

/// Opens a database when the engine is built.
pub type Opener = Box<dyn FnOnce(DatabaseOptions) -> BoxFuture<'static, Result<Arc<dyn Database>>> + Send>;

/// What `Engine::builder().database(..)` takes: a URL, a pool of sqlx, or a [`Database`] of your own.
pub trait IntoDatabase {
    /// What opens the database; it fails for a URL that is not understood or a database that cannot be opened.
    fn into_opener(self) -> Opener;
}

fn scheme_error(url: &str) -> Error {
    let scheme = url.split_once(':').map_or("", |(scheme, _)| scheme);
    let known = scheme.len() <= 20
        && scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte));
    // What stands before the colon is shown only if it looks like a scheme: it could be anything.
    let shown = if known && !scheme.is_empty() { scheme } else { "(none)" };
    Error::new(
        ErrorKind::InvalidConfig,
        format!(
            "unknown database scheme `{shown}`: write `sqlite://file.db`, `sqlite::memory:`, `postgres://…`, `mysql://…` or \
             `mongodb://…`, and switch the feature of that name on"
        ),
    )
}

impl IntoDatabase for String {
    fn into_opener(self) -> Opener {
        Box::new(move |options| {
            Box::pin(async move {
                #[cfg(feature = "sqlite")]
                if self.starts_with("sqlite:") {
                    return Ok(Arc::new(Sqlite::open(&self, options).await?) as Arc<dyn Database>);
                }
                #[cfg(feature = "postgres")]
                if self.starts_with("postgres:") || self.starts_with("postgresql:") {
                    return Ok(Arc::new(Postgres::open(&self, options).await?) as Arc<dyn Database>);
                }
                #[cfg(feature = "mysql")]
                if self.starts_with("mysql:") || self.starts_with("mariadb:") {
                    return Ok(Arc::new(MySql::open(&self, options).await?) as Arc<dyn Database>);
                }
                #[cfg(feature = "mongodb")]
                if self.starts_with("mongodb:") || self.starts_with("mongodb+srv:") {
                    return Ok(Arc::new(MongoDb::open(&self, options).await?) as Arc<dyn Database>);
                }
                let _ = options;
                Err(scheme_error(&self))
            })
        })
    }
}

impl IntoDatabase for &str {
    fn into_opener(self) -> Opener {
        self.to_owned().into_opener()
    }
}

impl<D: Database> IntoDatabase for Arc<D> {
    fn into_opener(self) -> Opener {
        Box::new(move |_| Box::pin(async move { Ok(self as Arc<dyn Database>) }))
    }
}

#[cfg(feature = "postgres")]
impl IntoDatabase for sqlx::PgPool {
    fn into_opener(self) -> Opener {
        Arc::new(Postgres::from_pool(self)).into_opener()
    }
}

#[cfg(feature = "mysql")]
impl IntoDatabase for sqlx::MySqlPool {
    fn into_opener(self) -> Opener {
        Box::new(move |_| {
            Box::pin(async move { Ok(Arc::new(MySql::from_pool(self).await?) as Arc<dyn Database>) })
        })
    }
}

#[cfg(feature = "mongodb")]
impl IntoDatabase for ::mongodb::Database {
    fn into_opener(self) -> Opener {
        Box::new(move |options| {
            Box::pin(async move {
                Ok(Arc::new(MongoDb::from_database(self, options).await?) as Arc<dyn Database>)
            })
        })
    }
}

#[cfg(feature = "sqlite")]
impl IntoDatabase for sqlx::SqlitePool {
    fn into_opener(self) -> Opener {
        Arc::new(Sqlite::from_pool(self)).into_opener()
    }
}
