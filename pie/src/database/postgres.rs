//! PostgreSQL through sqlx.

use std::str::FromStr;
use std::time::Duration;

use sqlx::encode::IsNull;
use sqlx::postgres::types::Oid;
use sqlx::postgres::{
    PgArgumentBuffer, PgArguments, PgConnectOptions, PgDatabaseError, PgPoolOptions, PgQueryResult, PgRow,
    PgTypeInfo, PgTypeKind,
};
use sqlx::{Arguments, AssertSqlSafe, ConnectOptions, PgPool, Row as _, TypeInfo, ValueRef};

use super::pooled::{self, Done, Driver, Pooled, Source, statements, unreadable};
use super::refusal::{self, Refusal, bad_url};
use super::sql::Dialect;
use super::{Cascade, Database, DatabaseOptions, Row, Session, Transaction, TxOptions};
use crate::cache::BoxFuture;
use crate::error::{Error, ErrorKind, Result};
use crate::model::{ColumnType, Datum, Schema};
use crate::plan::ReadPlan;

/// A PostgreSQL database.
///
/// Text is compared byte by byte, also in columns whose collation takes other texts for equal; tables that pie creates have the collation
/// `C`. After a statement of a transaction failed, PostgreSQL takes no other in it: pie says so
/// ([`ErrorKind::TransactionFailed`]), also at the commit, which PostgreSQL itself would answer with a silent rollback. A savepoint that is
/// undone mends it.
#[derive(Debug, Clone)]
pub struct Postgres {
    pool: PgPool,
}

impl Postgres {
    /// A database on a pool you own. Its settings are yours.
    #[must_use]
    pub fn from_pool(pool: PgPool) -> Self {
        Self { pool }
    }

    /// The pool, for statements of your own. What they write, pie does not know.
    #[must_use]
    pub fn pool(&self) -> &PgPool {
        &self.pool
    }

    /// Opens the database of a URL: `postgres://user:password@host:5432/database`, with sqlx's parameters (`?sslmode=require`).
    ///
    /// # Errors
    /// [`ErrorKind::InvalidConfig`] for a URL that is not understood, [`ErrorKind::Connection`] for a server that cannot be
    /// reached, or that refuses the user.
    pub async fn open(url: &str, options: DatabaseOptions) -> Result<Self> {
        let bad = |_| bad_url("PostgreSQL", "postgres://user:password@host:5432/database");
        let lock = options.acquire_timeout.as_millis().max(1).to_string();
        let mut settings = vec![("lock_timeout", lock)];
        if let Some(limit) = options.statement_timeout {
            settings.push(("statement_timeout", limit.as_millis().max(1).to_string()));
        }
        let connect = PgConnectOptions::from_str(url)
            .map_err(bad)?
            .application_name("pie")
            .statement_cache_capacity(256)
            .options(settings)
            .log_slow_statements(log::LevelFilter::Warn, options.slow_statement);
        let timeout = options.acquire_timeout.max(Duration::from_millis(1));
        pooled::probe::<sqlx::Postgres>(&connect, timeout).await?;
        let pool = PgPoolOptions::new()
            .max_connections(options.max_connections.max(1))
            .min_connections(options.min_connections)
            .idle_timeout(options.idle_timeout)
            .max_lifetime(options.max_lifetime)
            .acquire_timeout(timeout)
            .connect_with(connect)
            .await
            .map_err(failure)?;
        Ok(Self { pool })
    }
}

fn failure(error: sqlx::Error) -> Error {
    match error {
        sqlx::Error::Database(inner) => match inner.try_downcast::<PgDatabaseError>() {
            Ok(inner) => refused(&inner),
            Err(_) => Error::new(ErrorKind::Database, "the database refused the statement"),
        },
        other => refusal::failure(other),
    }
}

/// The error of a refusal, by its `SQLSTATE`. Messages and details of PostgreSQL may quote values: of them only names are taken.
fn refused(error: &PgDatabaseError) -> Error {
    use ErrorKind as Kind;
    let code = error.code();
    let (kind, message): (Kind, &'static str) = match code {
        "23505" => (Kind::UniqueViolation, "a row with this value exists already"),
        "23503" => (Kind::ForeignKeyViolation, "a foreign key refused the write"),
        "23514" => (Kind::CheckViolation, "a check constraint refused the write"),
        "23502" => (Kind::NullValue, "a NULL in a column that has no room for it"),
        "40001" => {
            (Kind::SerializationFailure, "another transaction changed what this one had read: begin it again")
        }
        "40P01" => (Kind::SerializationFailure, "a deadlock with another transaction: begin this one again"),
        "42P01" => (Kind::MissingTable, "there is no such table in the database"),
        "42703" => (Kind::MissingColumn, "a column does not exist"),
        "42804" | "42883" | "42846" => {
            (Kind::TypeMismatch, "a column has another type than the field of the model")
        }
        "55P03" => (Kind::Busy, "a row or table is locked by another transaction"),
        "57014" => (Kind::Timeout, "the statement took longer than `statement_timeout`, or was cancelled"),
        "25P02" => (
            Kind::TransactionFailed,
            "a statement of the transaction failed before: roll it back, or the savepoint that it was in",
        ),
        "22001" => (Kind::InvalidValue, "a value longer than its column"),
        "22003" => (Kind::InvalidValue, "a number outside of what its column holds"),
        "22008" => (Kind::InvalidValue, "a time outside of what its column holds"),
        "54000" => (
            Kind::InvalidValue,
            "a value of an index longer than PostgreSQL takes (about 2,700 bytes): leave its column out of the index",
        ),
        "22P02" | "22P03" | "22021" | "22P05" => (Kind::InvalidValue, "a value that the column cannot hold"),
        "25006" => (Kind::Database, "the database, or the transaction, is read-only"),
        "28P01" | "28000" => (Kind::Connection, "the database server refused the user name or the password"),
        "3D000" => (Kind::Connection, "the database server has no database of this name"),
        "53300" => (Kind::Connection, "the database server has no room for another connection"),
        "42501" => (Kind::Database, "the user of the database has no right to do this"),
        "2201B" => (Kind::InvalidQuery, "a regular expression that PostgreSQL does not understand"),
        // Shutting down, crashed, starting up, and all trouble with connections.
        code if code.starts_with("08") || code.starts_with("57P") => {
            (Kind::Connection, "the database server ended the connection")
        }
        _ => (Kind::Database, "the database refused the statement"),
    };
    let constraint = error.constraint().map(str::to_owned);
    let column = match (kind, error.column()) {
        (_, Some(column)) => Some(column.to_owned()),
        // `Key (email, status)=(…) already exists.`: of this text the names, and never what follows them.
        (Kind::UniqueViolation | Kind::ForeignKeyViolation, None) => {
            let listed = |detail: &str| {
                let (names, _) = detail.strip_prefix("Key (")?.split_once(")=(")?;
                Some(names.replace('"', ""))
            };
            error.detail().and_then(listed)
        }
        // `column "nickname" does not exist`, or `column users.nickname does not exist`.
        (Kind::MissingColumn, None) => {
            let name = error.message().split_whitespace().nth(1).unwrap_or_default();
            Some(name.rsplit('.').next().unwrap_or(name).trim_matches('"').to_owned())
        }
        _ => None,
    };
    let table = (kind == Kind::MissingTable).then(|| {
        error.message().split('"').nth(1).map(|table| format!("there is no table `{table}` in the database"))
    });
    let out = match table.flatten() {
        Some(text) => Error::new(kind, text),
        None => Error::new(kind, message),
    };
    let out = out.with_source(Refusal { code: code.to_owned(), constraint });
    match column {
        Some(column) => out.with_column(column),
        None => out,
    }
}

/// A `NULL` whose type the server finds out.
struct AnyNull;

impl sqlx::Type<sqlx::Postgres> for AnyNull {
    fn type_info() -> PgTypeInfo {
        PgTypeInfo::with_oid(Oid(0))
    }
}

impl sqlx::Encode<'_, sqlx::Postgres> for AnyNull {
    fn encode_by_ref(
        &self,
        _: &mut PgArgumentBuffer,
    ) -> std::result::Result<IsNull, sqlx::error::BoxDynError> {
        Ok(IsNull::Yes)
    }
}

/// Text whose type the server finds out: that of the column beside it, which may be an enum.
struct AnyText(String);

impl sqlx::Type<sqlx::Postgres> for AnyText {
    fn type_info() -> PgTypeInfo {
        PgTypeInfo::with_oid(Oid(0))
    }
}

impl sqlx::Encode<'_, sqlx::Postgres> for AnyText {
    fn encode_by_ref(
        &self,
        buffer: &mut PgArgumentBuffer,
    ) -> std::result::Result<IsNull, sqlx::error::BoxDynError> {
        <String as sqlx::Encode<'_, sqlx::Postgres>>::encode_by_ref(&self.0, buffer)
    }
}

fn done(result: &PgQueryResult) -> Done {
    Done { affected: result.rows_affected(), last_id: 0 }
}

/// A value that is not `NULL`; `None` for a type that is not known.
fn decode(row: &PgRow, at: usize, info: &PgTypeInfo) -> Option<sqlx::Result<Datum<'static>>> {
    macro_rules! get {
        ($T:ty, $make:expr) => {
            row.try_get_unchecked::<$T, _>(at).map($make)
        };
    }
    let text = |text: String| Datum::Text(text.into());
    Some(match info.name() {
        "BOOL" => get!(bool, Datum::Bool),
        "INT2" => get!(i16, |v| Datum::Int(v.into())),
        "INT4" => get!(i32, |v| Datum::Int(v.into())),
        "INT8" => get!(i64, Datum::Int),
        "OID" => get!(Oid, |v| Datum::Int(v.0.into())),
        "FLOAT4" => get!(f32, |v| Datum::Float(v.into())),
        "FLOAT8" => get!(f64, Datum::Float),
        "TEXT" | "VARCHAR" | "NAME" | "UNKNOWN" | "citext" => get!(String, text),
        // The blanks behind it are none of the value: comparisons do not see them either.
        "CHAR" => get!(String, |v| text(v.trim_end_matches(' ').to_owned())),
        "BYTEA" => get!(Vec<u8>, |v| Datum::Bytes(v.into())),
        "UUID" => get!(uuid::Uuid, Datum::Uuid),
        "DATE" => get!(chrono::NaiveDate, Datum::Date),
        "TIME" => get!(chrono::NaiveTime, Datum::Time),
        "TIMESTAMP" => get!(chrono::NaiveDateTime, Datum::DateTime),
        "TIMESTAMPTZ" => get!(chrono::DateTime<chrono::Utc>, Datum::Timestamp),
        "JSON" => get!(String, |v| Datum::Json(v.into())),
        // A version, which is 1, and the text.
        "JSONB" => get!(Vec<u8>, |v| {
            let text = v.strip_prefix(&[1]).unwrap_or(&v);
            Datum::Json(String::from_utf8_lossy(text).into_owned().into())
        }),
        "VOID" => Ok(Datum::Null),
        _ => match info.kind() {
            PgTypeKind::Enum(_) => get!(String, text),
            PgTypeKind::Domain(inner) => return decode(row, at, inner),
            _ => return None,
        },
    })
}

impl Driver for sqlx::Postgres {
    fn arguments(values: sea_query::Values, source: Source) -> Result<PgArguments> {
        let mut out = PgArguments::default();
        for value in values.0 {
            use sea_query::Value;
            let added = match value {
                Value::Bool(v) => out.add(v),
                Value::BigInt(v) => out.add(v),
                // Limits and offsets.
                Value::BigUnsigned(v) => out.add(v.map(|v| i64::try_from(v).unwrap_or(i64::MAX))),
                Value::Double(v) => out.add(v),
                Value::String(Some(v)) if source == Source::Plan => out.add(AnyText(v)),
                Value::String(None) if source == Source::Plan => out.add(AnyNull),
                Value::String(v) => out.add(v),
                Value::Bytes(v) => out.add(v),
                Value::Uuid(v) => out.add(v),
                Value::ChronoDate(v) => out.add(v),
                Value::ChronoTime(v) => out.add(v),
                Value::ChronoDateTime(v) => out.add(v),
                Value::ChronoDateTimeUtc(v) => out.add(v),
                Value::Char(None) => out.add(AnyNull),
                _ => {
                    return Err(Error::new(
                        ErrorKind::InvalidValue,
                        "a value of a kind that is never made for PostgreSQL",
                    ));
                }
            };
            added.map_err(|_| Error::new(ErrorKind::InvalidValue, "a value that PostgreSQL cannot take"))?;
        }
        Ok(out)
    }

    fn value(row: &PgRow, at: usize, _: Option<ColumnType>) -> Result<Datum<'static>> {
        let raw = row.try_get_raw(at).map_err(failure)?;
        if raw.is_null() {
            return Ok(Datum::Null);
        }
        match decode(row, at, &raw.type_info()) {
            Some(Ok(datum)) => Ok(datum),
            Some(Err(_)) => Err(unreadable::<Self>(row, at, "holds a value that cannot be read")),
            None => {
                let kind = raw.type_info().name().to_owned();
                let why = format!("has the type {kind}, which pie does not read: cast it in the statement");
                Err(unreadable::<Self>(row, at, why))
            }
        }
    }

    fn failure(error: sqlx::Error) -> Error {
        failure(error)
    }

    fn ends_transaction(error: &Error) -> Option<Error> {
        refusal::of(error)?;
        Some(Error::new(
            ErrorKind::TransactionFailed,
            "a statement of the transaction failed before: roll it back, or the savepoint that it was in",
        ))
    }

    statements!(Self);
}

impl Database for Postgres {
    fn name(&self) -> &'static str {
        "PostgreSQL"
    }

    fn session(&self) -> Box<dyn Session> {
        Box::new(Pooled { pool: self.pool.clone(), dialect: Dialect::Postgres })
    }

    fn read<'a>(&'a self, plan: &'a ReadPlan) -> BoxFuture<'a, Result<Vec<Row>>> {
        pooled::read_on(&self.pool, Dialect::Postgres, plan)
    }

    fn begin(&self, options: TxOptions) -> BoxFuture<'_, Result<Box<dyn Transaction>>> {
        let level = options.isolation.map_or_else(String::new, |level| format!(" ISOLATION LEVEL {level}"));
        let access = if options.read_only { " READ ONLY" } else { " READ WRITE" };
        Box::pin(pooled::begin(&self.pool, Dialect::Postgres, format!("BEGIN{level}{access}")))
    }

    fn check_model(&self, schema: &'static Schema) -> Result<()> {
        Dialect::Postgres.check_model(schema)
    }

    fn create_table(&self, schema: &'static Schema) -> BoxFuture<'_, Result<()>> {
        Box::pin(async move {
            for statement in Dialect::Postgres.create(schema) {
                sqlx::query(AssertSqlSafe(statement))
                    .execute(&self.pool)
                    .await
                    .map_err(|error| failure(error).with_model(schema.model).with_query("create_tables"))?;
            }
            Ok(())
        })
    }

    fn cascades(&self) -> BoxFuture<'_, Result<Vec<Cascade>>> {
        // Of the tables that an unqualified name finds.
        const KEYS: &str = "SELECT p.relname::text, c.relname::text, d.word, u.word \
             FROM pg_constraint k JOIN pg_class p ON p.oid = k.confrelid JOIN pg_class c ON c.oid = k.conrelid \
             JOIN (VALUES ('a', 'NO ACTION'), ('r', 'RESTRICT'), ('c', 'CASCADE'), ('n', 'SET NULL'), ('d', 'SET DEFAULT')) d (letter, word) \
             ON d.letter = k.confdeltype::text \
             JOIN (VALUES ('a', 'NO ACTION'), ('r', 'RESTRICT'), ('c', 'CASCADE'), ('n', 'SET NULL'), ('d', 'SET DEFAULT')) u (letter, word) \
             ON u.letter = k.confupdtype::text \
             WHERE k.contype = 'f' AND pg_table_is_visible(p.oid) ORDER BY 1, 2";
        const TRIGGERS: &str = "SELECT c.relname::text, t.tgname::text FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid \
             WHERE NOT t.tgisinternal AND pg_table_is_visible(c.oid) ORDER BY 1, 2";
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
        Dialect::Postgres.max_values()
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        Box::pin(self.pool.close())
    }
}
