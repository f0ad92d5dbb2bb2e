//! SQLite through sqlx, bundled: a file, or a database in memory.
//!
//! Values are bound one by one from sea-query's list. (sea-query-sqlx would do it, and would also switch on extension
//! loading in SQLite and panic on a `u64` above `i64::MAX`.)

use std::str::FromStr;
use std::time::Duration;

use sqlx::sqlite::{
    SqliteArguments, SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteQueryResult,
    SqliteRow, SqliteSynchronous,
};
use sqlx::{Arguments, AssertSqlSafe, ConnectOptions, Row as _, SqlitePool, TypeInfo, ValueRef};

use super::options::read_uncommitted;
use super::pooled::{self, Done, Driver, Pooled, Source, statements, unreadable};
use super::sql::Dialect;
use super::{Cascade, Database, DatabaseOptions, Row, Session, Transaction, TxOptions};
use crate::cache::BoxFuture;
use crate::error::{Error, ErrorKind, Result};
use crate::model::{ColumnType, Datum, Schema};
use crate::plan::ReadPlan;

/// A SQLite database.
///
/// Opened from a URL, a file is created when it is missing (`?mode=rw` forbids that), has a write-ahead log, enforces
/// foreign keys and waits for other writers. A database in memory has a single connection that all queries share: while a
/// transaction is open, other queries wait for it, and fail with [`ErrorKind::PoolTimeout`] when it lasts too long.
#[derive(Debug, Clone)]
pub struct Sqlite {
    pool: SqlitePool,
}

impl Sqlite {
    /// A database on a pool you own. Its settings are yours; pie begins its transactions with `BEGIN IMMEDIATE`.
    #[must_use]
    pub fn from_pool(pool: SqlitePool) -> Self {
        Self { pool }
    }

    /// The pool, for statements of your own. What they write, pie does not know.
    #[must_use]
    pub fn pool(&self) -> &SqlitePool {
        &self.pool
    }

    /// Opens the database of a URL: `sqlite://path/to/file.db`, or `sqlite::memory:`.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidConfig`] for a URL that is not understood, [`ErrorKind::Connection`] for a file that cannot be
    /// opened.
    pub async fn open(url: &str, options: DatabaseOptions) -> Result<Self> {
        let memory = matches!(url, "sqlite::memory:" | "sqlite://:memory:" | "sqlite:");
        let parsed =
            SqliteConnectOptions::from_str(if memory { "sqlite::memory:" } else { url }).map_err(|_| {
                Error::new(
                    ErrorKind::InvalidConfig,
                    "the SQLite URL cannot be used: write `sqlite://path/to/file.db` or `sqlite::memory:`",
                )
            })?;
        let memory = memory || url.contains("mode=memory");
        let mut connect = parsed
            .foreign_keys(true)
            .busy_timeout(options.acquire_timeout)
            .statement_cache_capacity(256)
            .log_slow_statements(log::LevelFilter::Warn, options.slow_statement)
            .optimize_on_close(false, None);
        #[cfg(feature = "regex")]
        {
            connect = connect.with_regexp();
        }
        if !memory {
            if !url.contains("mode=") {
                connect = connect.create_if_missing(true);
            }
            if !url.contains("mode=ro") && !url.contains("immutable=") {
                connect = connect.journal_mode(SqliteJournalMode::Wal).synchronous(SqliteSynchronous::Normal);
            }
        }
        let mut pool =
            SqlitePoolOptions::new().acquire_timeout(options.acquire_timeout.max(Duration::from_millis(1)));
        pool = if memory {
            // The database lives as long as its connection: one, for ever.
            pool.max_connections(1).min_connections(1).idle_timeout(None).max_lifetime(None)
        } else {
            pool.max_connections(options.max_connections.max(1))
                .min_connections(options.min_connections)
                .idle_timeout(options.idle_timeout)
                .max_lifetime(options.max_lifetime)
        };
        let pool = pool.connect_with(connect).await.map_err(|error| match failure(error) {
            error if error.kind() == ErrorKind::PoolTimeout => error,
            error => {
                Error::new(ErrorKind::Connection, "the SQLite database cannot be opened").with_source(error)
            }
        })?;
        Ok(Self { pool })
    }
}

/// The typed error of what sqlx says.
fn failure(error: sqlx::Error) -> Error {
    let (kind, message): (ErrorKind, &'static str) = match &error {
        sqlx::Error::Database(inner) => {
            let (message, code) =
                (inner.message().to_owned(), inner.code().and_then(|code| code.parse().ok()));
            return refused(&message, code.unwrap_or(0)).with_source(error);
        }
        sqlx::Error::PoolTimedOut => (
            ErrorKind::PoolTimeout,
            "no connection became free in time; a task that has a transaction open must use it for its reads as well",
        ),
        sqlx::Error::PoolClosed => (ErrorKind::Closed, "the engine was closed"),
        sqlx::Error::WorkerCrashed => (ErrorKind::Connection, "the connection's thread ended"),
        sqlx::Error::Io(_) => (ErrorKind::Connection, "the database file cannot be read or written"),
        sqlx::Error::Configuration(_) => (ErrorKind::InvalidConfig, "the database settings cannot be used"),
        _ => (ErrorKind::Database, "the database call failed"),
    };
    Error::new(kind, message).with_source(error)
}

fn after<'m>(message: &'m str, before: &str) -> Option<&'m str> {
    message.find(before).map(|at| message[at + before.len()..].trim())
}

/// The error of a refusal by SQLite, by its extended result code and, where the code says too little, by its message.
/// Messages of SQLite name tables and columns, never values.
fn refused(message: &str, code: i32) -> Error {
    // `UNIQUE constraint failed: users.org_id, users.slug`
    let columns = |message: &str| -> String {
        let listed = after(message, "failed:").unwrap_or_default();
        listed.split(", ").map(|part| part.rsplit('.').next().unwrap_or(part)).collect::<Vec<_>>().join(", ")
    };
    match code {
        2067 | 1555 | 2579 => Error::new(ErrorKind::UniqueViolation, "a row with this value exists already")
            .with_column(columns(message)),
        787 | 1811 => Error::new(ErrorKind::ForeignKeyViolation, "a foreign key refused the write"),
        275 => Error::new(ErrorKind::CheckViolation, "a check constraint refused the write"),
        1299 => Error::new(ErrorKind::NullValue, "a NULL in a column that has no room for it")
            .with_column(columns(message)),
        // SQLITE_BUSY_SNAPSHOT.
        517 => Error::new(
            ErrorKind::SerializationFailure,
            "another transaction changed what this one had read: begin it again",
        ),
        code if matches!(code & 0xff, 5 | 6) => {
            Error::new(ErrorKind::Busy, "the database is locked by another writer")
        }
        code if code & 0xff == 14 => Error::new(ErrorKind::Connection, "the database file cannot be opened"),
        code if code & 0xff == 26 => Error::new(ErrorKind::Connection, "the file is not a SQLite database"),
        code if code & 0xff == 8 => Error::new(ErrorKind::Database, "the database is read-only"),
        code if code & 0xff == 18 => {
            Error::new(ErrorKind::InvalidValue, "a value or statement longer than SQLite takes")
        }
        _ => {
            if message.contains("no such function: REGEXP") {
                Error::new(
                    ErrorKind::InvalidQuery,
                    "SQLite has no regular expressions by itself: switch pie's feature `regex` on, and let pie open the database",
                )
            } else if let Some(table) = after(message, "no such table:") {
                Error::new(ErrorKind::MissingTable, format!("there is no table `{table}` in the database"))
            } else if let Some(column) = after(message, "no such column:") {
                let column = column.rsplit('.').next().unwrap_or(column);
                Error::new(ErrorKind::MissingColumn, "a column does not exist").with_column(column.to_owned())
            } else if let Some(column) = after(message, "has no column named") {
                Error::new(ErrorKind::MissingColumn, "a column does not exist").with_column(column.to_owned())
            } else if message.contains("too many SQL variables") {
                Error::new(ErrorKind::InvalidQuery, "a query with more values than SQLite takes (32,766)")
            } else {
                Error::new(ErrorKind::Database, "the database refused the statement")
            }
        }
    }
}

fn done(result: &SqliteQueryResult) -> Done {
    Done { affected: result.rows_affected(), last_id: 0 }
}

impl Driver for sqlx::Sqlite {
    fn arguments(values: sea_query::Values, _: Source) -> Result<SqliteArguments> {
        let mut out = SqliteArguments::default();
        for value in values.0 {
            use sea_query::Value;
            let added = match value {
                Value::BigInt(v) => out.add(v),
                Value::BigUnsigned(v) => out.add(v.map(|v| i64::try_from(v).unwrap_or(i64::MAX))),
                Value::Double(v) => out.add(v),
                Value::String(v) => out.add(v),
                Value::Bytes(v) => out.add(v),
                Value::Bool(v) => out.add(v),
                _ => {
                    return Err(Error::new(
                        ErrorKind::InvalidValue,
                        "a value of a kind that is never made for SQLite",
                    ));
                }
            };
            added.map_err(|_| Error::new(ErrorKind::InvalidValue, "a value that SQLite cannot take"))?;
        }
        Ok(out)
    }

    fn value(row: &SqliteRow, at: usize, _: Option<ColumnType>) -> Result<Datum<'static>> {
        let raw = row.try_get_raw(at).map_err(failure)?;
        if raw.is_null() {
            return Ok(Datum::Null);
        }
        let value = match raw.type_info().name() {
            "INTEGER" => row.try_get_unchecked::<i64, _>(at).map(Datum::Int),
            "REAL" => row.try_get_unchecked::<f64, _>(at).map(Datum::Float),
            "TEXT" => row.try_get_unchecked::<String, _>(at).map(|text| Datum::Text(text.into())),
            _ => row.try_get_unchecked::<Vec<u8>, _>(at).map(|bytes| Datum::Bytes(bytes.into())),
        };
        value.map_err(|error| unreadable::<Self>(row, at, "holds text that is not UTF-8").with_source(error))
    }

    fn failure(error: sqlx::Error) -> Error {
        failure(error)
    }

    statements!(Self);
}

impl Database for Sqlite {
    fn name(&self) -> &'static str {
        "SQLite"
    }

    fn session(&self) -> Box<dyn Session> {
        Box::new(Pooled { pool: self.pool.clone(), dialect: Dialect::Sqlite })
    }

    fn read<'a>(&'a self, plan: &'a ReadPlan) -> BoxFuture<'a, Result<Vec<Row>>> {
        pooled::read_on(&self.pool, Dialect::Sqlite, plan)
    }

    fn begin(&self, options: TxOptions) -> BoxFuture<'_, Result<Box<dyn Transaction>>> {
        // Takes the write lock at once: what is read from here on cannot be changed by anybody else. A transaction that only reads
        // sees one state of the database from its first statement on, and keeps no writer waiting. Both are serializable.
        let begin = if options.read_only { "BEGIN DEFERRED" } else { "BEGIN IMMEDIATE" };
        Box::pin(pooled::begin(&self.pool, Dialect::Sqlite, begin.to_owned()))
    }

    fn check(&self) -> BoxFuture<'_, Result<()>> {
        Box::pin(async move {
            // Means something only where connections share a cache; then they read what others have not committed.
            let uncommitted: i64 = sqlx::query_scalar("PRAGMA read_uncommitted")
                .fetch_one(&self.pool)
                .await
                .map_err(|error| failure(error).with_query("build"))?;
            if uncommitted == 0 { Ok(()) } else { Err(read_uncommitted()) }
        })
    }

    fn check_model(&self, schema: &'static Schema) -> Result<()> {
        Dialect::Sqlite.check_model(schema)
    }

    fn create_table(&self, schema: &'static Schema) -> BoxFuture<'_, Result<()>> {
        Box::pin(async move {
            for statement in Dialect::Sqlite.create(schema) {
                sqlx::query(AssertSqlSafe(statement))
                    .execute(&self.pool)
                    .await
                    .map_err(|error| failure(error).with_model(schema.model).with_query("create_tables"))?;
            }
            Ok(())
        })
    }

    fn cascades(&self) -> BoxFuture<'_, Result<Vec<Cascade>>> {
        // Names of tables have no letter case in SQLite; that of the table itself counts.
        const KEYS: &str = "SELECT COALESCE(t.name, f.\"table\"), m.name, f.on_delete, f.on_update FROM sqlite_master m \
             JOIN pragma_foreign_key_list(m.name) f \
             LEFT JOIN sqlite_master t ON t.type = 'table' AND t.name = f.\"table\" COLLATE NOCASE \
             WHERE m.type = 'table' ORDER BY 1, 2";
        const TRIGGERS: &str = "SELECT COALESCE(t.name, m.tbl_name), m.name FROM sqlite_master m \
             LEFT JOIN sqlite_master t ON t.type = 'table' AND t.name = m.tbl_name COLLATE NOCASE \
             WHERE m.type = 'trigger' ORDER BY 1, 2";
        Box::pin(async move {
            let failed = |error| failure(error).with_query("cascades");
            let keys: Vec<pooled::ForeignKey> =
                sqlx::query_as(KEYS).fetch_all(&self.pool).await.map_err(failed)?;
            let triggers: Vec<(String, String)> =
                sqlx::query_as(TRIGGERS).fetch_all(&self.pool).await.map_err(failed)?;
            Ok(pooled::cascades(keys, triggers))
        })
    }

    fn max_values(&self) -> usize {
        Dialect::Sqlite.max_values()
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        Box::pin(self.pool.close())
    }
}
