//! MySQL and MariaDB through sqlx.

use std::str::FromStr;
use std::time::Duration;

use sqlx::mysql::{
    MySqlArguments, MySqlConnectOptions, MySqlConnection, MySqlDatabaseError, MySqlPoolOptions,
    MySqlQueryResult, MySqlRow,
};
use sqlx::{Arguments, AssertSqlSafe, ConnectOptions, MySqlPool, Row as _, TypeInfo, ValueRef};

use super::options::read_uncommitted;
use super::pooled::{self, Done, Driver, Pooled, Source, Types, execute, fetch, statements, unreadable};
use super::refusal::{self, Refusal, bad_url};
use super::sql::Dialect;
use super::{Cascade, Database, DatabaseOptions, Returns, Row, Session, Transaction, TxOptions, Written};
use crate::cache::BoxFuture;
use crate::error::{Error, ErrorKind, Result};
use crate::model::{ColumnType, Datum, Index, Schema};
use crate::plan::{ReadPlan, WritePlan};

/// A MySQL or MariaDB database.
///
/// Text is compared byte by byte, also in columns whose collation takes other texts for equal; tables that pie creates have a binary
/// collation, and 255 characters for text that is in a key or an index.
#[derive(Debug, Clone)]
pub struct MySql {
    pool: MySqlPool,
    /// What the server is.
    server: Dialect,
    /// What is said to it.
    dialect: Dialect,
}

impl MySql {
    /// A database on a pool you own. Its settings are yours; `sql_mode` should be strict, or the server cuts what does not fit.
    ///
    /// # Errors
    /// The server cannot be asked which one it is.
    pub async fn from_pool(pool: MySqlPool) -> Result<Self> {
        let version: String =
            sqlx::query_scalar("SELECT VERSION()").fetch_one(&pool).await.map_err(failure)?;
        let server = if version.contains("MariaDB") { Dialect::MariaDb } else { Dialect::MySql };
        Ok(Self { pool, server, dialect: server })
    }

    /// The pool, for statements of your own. What they write, pie does not know.
    #[must_use]
    pub fn pool(&self) -> &MySqlPool {
        &self.pool
    }

    /// Uses nothing that MySQL does not have, also on a MariaDB server: rows are read back where MariaDB would return them.
    #[must_use]
    pub fn without_returning(mut self) -> Self {
        self.dialect = Dialect::MySql;
        self
    }

    /// Opens the database of a URL: `mysql://user:password@host:3306/database`, with sqlx's parameters (`?ssl-mode=REQUIRED`).
    ///
    /// # Errors
    /// [`ErrorKind::InvalidConfig`] for a URL that is not understood, [`ErrorKind::Connection`] for a server that cannot be
    /// reached, or that refuses the user.
    pub async fn open(url: &str, options: DatabaseOptions) -> Result<Self> {
        let bad = |_| bad_url("MySQL", "mysql://user:password@host:3306/database");
        let connect = MySqlConnectOptions::from_str(url)
            .map_err(bad)?
            .statement_cache_capacity(256)
            .log_slow_statements(log::LevelFilter::Warn, options.slow_statement);
        // What does not fit is refused and not cut; waits for locks are as long as those for connections (whole seconds).
        let lock = options.acquire_timeout.as_millis().div_ceil(1_000).clamp(1, 1_000_000);
        let limit = options.statement_timeout.map(|limit| limit.as_millis().max(1));
        let settings = move |mariadb: bool| {
            let mut text = format!(
                "SET sql_mode = CONCAT(@@sql_mode, ',STRICT_TRANS_TABLES'), innodb_lock_wait_timeout = {lock}"
            );
            match limit {
                Some(millis) if mariadb => {
                    text.push_str(&format!(
                        ", max_statement_time = {}.{:03}",
                        millis / 1_000,
                        millis % 1_000
                    ));
                }
                Some(millis) => text.push_str(&format!(", max_execution_time = {millis}")),
                None => {}
            }
            text
        };
        let timeout = options.acquire_timeout.max(Duration::from_millis(1));
        pooled::probe::<sqlx::MySql>(&connect, timeout).await?;
        let pool = MySqlPoolOptions::new()
            .max_connections(options.max_connections.max(1))
            .min_connections(options.min_connections)
            .idle_timeout(options.idle_timeout)
            .max_lifetime(options.max_lifetime)
            .acquire_timeout(timeout)
            .after_connect(move |connection, _| {
                Box::pin(async move {
                    let version: String =
                        sqlx::query_scalar("SELECT VERSION()").fetch_one(&mut *connection).await?;
                    let settings = settings(version.contains("MariaDB"));
                    sqlx::query(AssertSqlSafe(settings)).execute(connection).await?;
                    Ok(())
                })
            })
            .connect_with(connect)
            .await
            .map_err(failure)?;
        Self::from_pool(pool).await
    }
}

fn failure(error: sqlx::Error) -> Error {
    match error {
        sqlx::Error::Database(inner) => match inner.try_downcast::<MySqlDatabaseError>() {
            Ok(inner) => refused(&inner),
            Err(_) => Error::new(ErrorKind::Database, "the database refused the statement"),
        },
        other => refusal::failure(other),
    }
}

/// What stands between two apostrophes of a message, the `at`th from 0; only names are ever taken so.
fn quoted(message: &str, at: usize) -> Option<&str> {
    message.split('\'').nth(at * 2 + 1)
}

/// The error of a refusal, by its number. Messages of MySQL quote values: of them only names are taken.
fn refused(error: &MySqlDatabaseError) -> Error {
    use ErrorKind as Kind;
    let message = error.message();
    let number = error.number();
    let (kind, text): (Kind, &'static str) = match number {
        1062 | 1586 => (Kind::UniqueViolation, "a row with this value exists already"),
        1216 | 1217 | 1451 | 1452 => (Kind::ForeignKeyViolation, "a foreign key refused the write"),
        3819 | 4025 => (Kind::CheckViolation, "a check constraint refused the write"),
        1048 | 1364 => (Kind::NullValue, "a NULL in a column that has no room for it"),
        1213 => (Kind::SerializationFailure, "a deadlock with another transaction: begin this one again"),
        1020 => {
            (Kind::SerializationFailure, "another transaction changed what this one had read: begin it again")
        }
        1205 => (Kind::Busy, "a row is locked by another transaction"),
        1146 => (Kind::MissingTable, "there is no such table in the database"),
        1054 => (Kind::MissingColumn, "a column does not exist"),
        1265 | 1292 | 1366 => (Kind::InvalidValue, "a value that the column cannot hold"),
        1406 => (Kind::InvalidValue, "a value longer than its column (255 characters in a key or an index)"),
        1264 | 1690 => (Kind::InvalidValue, "a number outside of what its column holds"),
        1071 => (
            Kind::InvalidValue,
            "an index longer than the server takes (3,072 bytes): leave long columns out of it",
        ),
        1153 => (Kind::InvalidValue, "a value longer than `max_allowed_packet` of the server"),
        1139 => (Kind::InvalidQuery, "a regular expression that the server does not understand"),
        1317 | 1969 | 3024 => {
            (Kind::Timeout, "the statement took longer than `statement_timeout`, or was cancelled")
        }
        1044 | 1045 | 1698 => (Kind::Connection, "the database server refused the user name or the password"),
        1049 => (Kind::Connection, "the database server has no database of this name"),
        1040 | 1203 => (Kind::Connection, "the database server has no room for another connection"),
        1053 | 1077 | 1079 | 1080 | 1927 => (Kind::Connection, "the database server ended the connection"),
        1290 | 1792 | 1836 => (Kind::Database, "the database, or the transaction, is read-only"),
        1142 | 1143 => (Kind::Database, "the user of the database has no right to do this"),
        _ => (Kind::Database, "the database refused the statement"),
    };
    let (mut column, mut constraint) = (None, None);
    match kind {
        // `Duplicate entry 'ann@x.org' for key 'users_email_unique'`: the value may hold apostrophes, the name is the last.
        Kind::UniqueViolation => {
            constraint =
                message.rsplit('\'').nth(1).map(|name| name.rsplit('.').next().unwrap_or(name).to_owned());
        }
        // `Column 'name' cannot be null`, `Unknown column 'users.nickname' in 'field list'`.
        Kind::NullValue | Kind::MissingColumn => {
            column = quoted(message, 0).map(|name| name.rsplit('.').next().unwrap_or(name).to_owned());
        }
        // `Data too long for column 'name' at row 1`: after the word, for what stands before it may be a value.
        Kind::InvalidValue => {
            column = message
                .rsplit_once("for column ")
                .and_then(|(_, rest)| {
                    rest.split(['\'', '`'])
                        .filter(|part| !part.is_empty() && *part != ".")
                        .find(|part| !part.contains(" at row"))
                })
                .filter(|_| number == 1406 || number == 1264)
                .map(str::to_owned);
        }
        _ => {}
    }
    let out = match (kind, quoted(message, 0)) {
        (Kind::MissingTable, Some(table)) => {
            let table = table.rsplit('.').next().unwrap_or(table);
            Error::new(kind, format!("there is no table `{table}` in the database"))
        }
        _ => Error::new(kind, text),
    };
    let out = out.with_source(Refusal { code: number.to_string(), constraint });
    match column {
        Some(column) => out.with_column(column),
        None => out,
    }
}

fn done(result: &MySqlQueryResult) -> Done {
    Done { affected: result.rows_affected(), last_id: result.last_insert_id() }
}

fn decode(
    row: &MySqlRow,
    at: usize,
    ty: Option<ColumnType>,
) -> std::result::Result<Datum<'static>, sqlx::Error> {
    let raw = row.try_get_raw(at)?;
    if raw.is_null() {
        return Ok(Datum::Null);
    }
    macro_rules! get {
        ($T:ty) => {
            row.try_get_unchecked::<$T, _>(at)
        };
    }
    let unsigned = |value: u64| i64::try_from(value).map_or(Datum::UInt(value), Datum::Int);
    let info = raw.type_info().into_owned();
    Ok(match info.name() {
        "BOOLEAN" | "TINYINT" | "SMALLINT" | "INT" | "MEDIUMINT" | "BIGINT" => Datum::Int(get!(i64)?),
        "TINYINT UNSIGNED" | "SMALLINT UNSIGNED" | "INT UNSIGNED" | "MEDIUMINT UNSIGNED"
        | "BIGINT UNSIGNED" | "BIT" | "YEAR" => unsigned(get!(u64)?),
        "FLOAT" => Datum::Float(get!(f32)?.into()),
        "DOUBLE" => Datum::Float(get!(f64)?),
        "DATE" => Datum::Date(get!(chrono::NaiveDate)?),
        "TIME" => Datum::Time(get!(chrono::NaiveTime)?),
        "DATETIME" => Datum::DateTime(get!(chrono::NaiveDateTime)?),
        "TIMESTAMP" => Datum::Timestamp(get!(chrono::DateTime<chrono::Utc>)?),
        "DECIMAL" => {
            let text = get!(String)?;
            text.parse().map_or_else(|_| Datum::Text(text.clone().into()), Datum::Int)
        }
        // Text in a binary collation looks like bytes, so the field says what it is; elsewhere text is what can be text.
        _ => {
            let bytes = get!(Vec<u8>)?;
            match ty {
                Some(ColumnType::Bytes | ColumnType::Uuid | ColumnType::ObjectId) => {
                    Datum::Bytes(bytes.into())
                }
                Some(_) => Datum::Text(
                    String::from_utf8(bytes).map_err(|error| sqlx::Error::Decode(Box::new(error)))?.into(),
                ),
                None => match String::from_utf8(bytes) {
                    Ok(text) => Datum::Text(text.into()),
                    Err(error) => Datum::Bytes(error.into_bytes().into()),
                },
            }
        }
    })
}

impl Driver for sqlx::MySql {
    fn arguments(values: sea_query::Values, _: Source) -> Result<MySqlArguments> {
        let mut out = MySqlArguments::default();
        for value in values.0 {
            use sea_query::Value;
            let added = match value {
                Value::Bool(v) => out.add(v),
                Value::BigInt(v) => out.add(v),
                Value::BigUnsigned(v) => out.add(v),
                Value::Double(v) => out.add(v),
                Value::String(v) => out.add(v),
                Value::Bytes(v) => out.add(v),
                Value::ChronoDate(v) => out.add(v),
                Value::ChronoTime(v) => out.add(v),
                Value::ChronoDateTime(v) => out.add(v),
                Value::Char(None) => out.add(None::<String>),
                _ => {
                    return Err(Error::new(
                        ErrorKind::InvalidValue,
                        "a value of a kind that is never made for MySQL",
                    ));
                }
            };
            added.map_err(|_| Error::new(ErrorKind::InvalidValue, "a value that MySQL cannot take"))?;
        }
        Ok(out)
    }

    fn value(row: &MySqlRow, at: usize, ty: Option<ColumnType>) -> Result<Datum<'static>> {
        decode(row, at, ty).map_err(|_| {
            unreadable::<Self>(row, at, "holds a value that cannot be read, or text that is not UTF-8")
        })
    }

    fn failure(error: sqlx::Error) -> Error {
        failure(error)
    }

    fn with_column(error: Error, schema: &'static Schema) -> Error {
        if error.kind() != ErrorKind::UniqueViolation || error.column().is_some() {
            return error;
        }
        let Some(name) = refusal::of(&error).and_then(|refusal| refusal.constraint.clone()) else {
            return error;
        };
        // As pie names them; or as the server does where it was given no name.
        let ours = |index: &&Index| name == format!("{}_{}_unique", schema.table, index.name);
        let columns = if name == "PRIMARY" {
            schema.id.columns
        } else if let Some(index) = schema.uniques.iter().find(ours) {
            index.columns
        } else {
            return if schema.position(&name).is_some() { error.with_column(name) } else { error };
        };
        let names = columns.iter().filter_map(|at| schema.columns.get(*at)).map(|def| def.name);
        error.with_column(names.collect::<Vec<_>>().join(", "))
    }

    fn is_compound(dialect: Dialect, plan: &WritePlan) -> bool {
        match plan {
            WritePlan::Upsert { .. } => true,
            WritePlan::Insert { .. } => !dialect.returns().insert,
            WritePlan::Update { .. } | WritePlan::Delete { .. } => false,
        }
    }

    fn compound<'c>(
        connection: &'c mut MySqlConnection,
        dialect: Dialect,
        plan: &'c WritePlan,
    ) -> BoxFuture<'c, Result<Written>> {
        match plan {
            WritePlan::Insert { schema, columns, rows } => {
                Box::pin(insert(connection, dialect, schema, columns, rows))
            }
            plan => Box::pin(upsert(connection, dialect, plan)),
        }
    }

    fn ends_transaction(error: &Error) -> Option<Error> {
        // After a deadlock the server has rolled back everything, and would commit each statement that follows by itself.
        (error.kind() == ErrorKind::SerializationFailure).then(|| error.clone())
    }

    statements!(Self);
}

/// Inserts rows one by one, and reads each back: a server that does not return them tells only the id that it counted up. All of them
/// or none, as one statement would.
async fn insert(
    connection: &mut MySqlConnection,
    dialect: Dialect,
    schema: &'static Schema,
    columns: &'static [usize],
    rows: &[Row],
) -> Result<Written> {
    let parts = rows.len() > 1;
    if parts {
        pooled::execute_text::<sqlx::MySql>(connection, "SAVEPOINT pie_rows").await?;
    }
    let mut all = Written::default();
    for row in rows {
        match insert_one(connection, dialect, schema, columns, row).await {
            Ok(written) => {
                all.affected += written.affected;
                all.rows.extend(written.rows);
            }
            Err(error) => {
                // A deadlock has undone the savepoint as well.
                if parts && error.kind() != ErrorKind::SerializationFailure {
                    pooled::execute_text::<sqlx::MySql>(connection, "ROLLBACK TO SAVEPOINT pie_rows").await?;
                }
                return Err(error);
            }
        }
    }
    if parts {
        pooled::execute_text::<sqlx::MySql>(connection, "RELEASE SAVEPOINT pie_rows").await?;
    }
    Ok(all)
}

async fn insert_one(
    connection: &mut MySqlConnection,
    dialect: Dialect,
    schema: &'static Schema,
    columns: &'static [usize],
    row: &Row,
) -> Result<Written> {
    let plan = WritePlan::Insert { schema, columns, rows: vec![row.clone()] };
    let done = execute::<sqlx::MySql>(connection, dialect.write(&plan)?.0).await?;
    let id = schema.id.columns.iter().map(|at| {
        let given = columns.iter().position(|column| column == at).and_then(|place| row.get(place));
        let counted = || i64::try_from(done.last_id).map_or(Datum::UInt(done.last_id), Datum::Int);
        (*at, given.cloned().unwrap_or_else(counted))
    });
    let read = dialect.read_back(schema, id)?;
    let rows = fetch::<sqlx::MySql>(connection, read, Types::Rows(schema)).await?;
    Ok(Written::new(done.affected, rows))
}

/// `ON DUPLICATE KEY UPDATE` would also change a row that another unique key has in common with the new one: what is in the way is found
/// out by trying.
async fn upsert(connection: &mut MySqlConnection, dialect: Dialect, plan: &WritePlan) -> Result<Written> {
    let WritePlan::Upsert { schema, columns, row, on, update } = plan else {
        return Err(Error::new(ErrorKind::InvalidQuery, "another write than an upsert"));
    };
    let given = |at: &usize| {
        let place = columns.iter().position(|column| column == at);
        (*at, place.and_then(|place| row.get(place)).cloned().unwrap_or(Datum::Null))
    };
    let key: Row = on.columns.iter().map(|at| given(at).1).collect();
    // `NULL` is in conflict with nothing.
    if *update && !key.iter().any(Datum::is_null) {
        let set: Vec<usize> = columns.iter().copied().filter(|at| !on.columns.contains(at)).collect();
        let set = if set.is_empty() { on.columns.to_vec() } else { set };
        let update = dialect.update_key(schema, on.columns.iter().map(given), set.iter().map(given))?;
        let done = execute::<sqlx::MySql>(connection, update).await?;
        if done.affected > 0 {
            let read = dialect.read_back(schema, on.columns.iter().map(given))?;
            let rows = fetch::<sqlx::MySql>(connection, read, Types::Rows(schema)).await?;
            return Ok(Written::new(done.affected, rows));
        }
    }
    let rows = [row.clone()];
    let inserted = if dialect.returns().insert {
        let plan = WritePlan::Insert { schema, columns, rows: rows.to_vec() };
        match fetch::<sqlx::MySql>(connection, dialect.write(&plan)?.0, Types::Rows(schema)).await {
            Ok(rows) => Ok(Written::new(rows.len() as u64, rows)),
            Err(error) => Err(error),
        }
    } else {
        insert(connection, dialect, schema, columns, &rows).await
    };
    match inserted {
        Err(error) if error.is_unique_violation() && !update => Ok(Written::default()),
        other => other,
    }
}

impl Database for MySql {
    fn name(&self) -> &'static str {
        self.server.name()
    }

    fn session(&self) -> Box<dyn Session> {
        Box::new(Pooled { pool: self.pool.clone(), dialect: self.dialect })
    }

    fn read<'a>(&'a self, plan: &'a ReadPlan) -> BoxFuture<'a, Result<Vec<Row>>> {
        pooled::read_on(&self.pool, self.dialect, plan)
    }

    fn begin(&self, options: TxOptions) -> BoxFuture<'_, Result<Box<dyn Transaction>>> {
        let level = match options.isolation {
            Some(level) => format!("SET TRANSACTION ISOLATION LEVEL {level}; "),
            None => String::new(),
        };
        let access = if options.read_only { " READ ONLY" } else { " READ WRITE" };
        Box::pin(pooled::begin(&self.pool, self.dialect, format!("{level}START TRANSACTION{access}")))
    }

    fn check(&self) -> BoxFuture<'_, Result<()>> {
        Box::pin(async move {
            // MariaDB has had the newer name since 11.1.
            let name = match self.server {
                Dialect::MariaDb => "@@session.tx_isolation",
                _ => "@@session.transaction_isolation",
            };
            let ask = |name: &str| {
                let text = format!("SELECT CAST({name} AS CHAR)");
                async move { sqlx::query_scalar::<_, String>(AssertSqlSafe(text)).fetch_one(&self.pool).await }
            };
            let level = match ask(name).await {
                Ok(level) => level,
                Err(_) => {
                    ask("@@session.tx_isolation").await.map_err(|error| failure(error).with_query("build"))?
                }
            };
            if level.eq_ignore_ascii_case("READ-UNCOMMITTED") { Err(read_uncommitted()) } else { Ok(()) }
        })
    }

    fn check_model(&self, schema: &'static Schema) -> Result<()> {
        self.server.check_model(schema)
    }

    fn create_table(&self, schema: &'static Schema) -> BoxFuture<'_, Result<()>> {
        Box::pin(async move {
            for statement in self.server.create(schema) {
                sqlx::query(AssertSqlSafe(statement))
                    .execute(&self.pool)
                    .await
                    .map_err(|error| failure(error).with_model(schema.model).with_query("create_tables"))?;
            }
            Ok(())
        })
    }

    fn cascades(&self) -> BoxFuture<'_, Result<Vec<Cascade>>> {
        const KEYS: &str = "SELECT CAST(REFERENCED_TABLE_NAME AS CHAR), CAST(TABLE_NAME AS CHAR), CAST(DELETE_RULE AS CHAR), \
             CAST(UPDATE_RULE AS CHAR) FROM information_schema.REFERENTIAL_CONSTRAINTS \
             WHERE CONSTRAINT_SCHEMA = DATABASE() ORDER BY 1, 2";
        const TRIGGERS: &str = "SELECT CAST(EVENT_OBJECT_TABLE AS CHAR), CAST(TRIGGER_NAME AS CHAR) FROM information_schema.TRIGGERS \
             WHERE TRIGGER_SCHEMA = DATABASE() ORDER BY 1, 2";
        Box::pin(async move {
            let failed = |error| failure(error).with_query("cascades");
            let keys: Vec<pooled::ForeignKey> =
                sqlx::query_as(KEYS).fetch_all(&self.pool).await.map_err(failed)?;
            let triggers: Vec<(String, String)> =
                sqlx::query_as(TRIGGERS).fetch_all(&self.pool).await.map_err(failed)?;
            Ok(pooled::cascades(keys, triggers))
        })
    }

    fn returns(&self) -> Returns {
        self.dialect.returns()
    }

    fn max_values(&self) -> usize {
        self.dialect.max_values()
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        Box::pin(self.pool.close())
    }
}
