//! Sessions and transactions over a pool of sqlx, the same for each of its drivers.

use std::borrow::Cow;

use futures_util::TryStreamExt;
use sqlx::pool::PoolConnection;
use sqlx::{AssertSqlSafe, Column, Either, Pool, Row as _, SqlSafeStr, SqlStr};

use super::sql::{self, Dialect, Statement};
use super::{Cascade, RawRows, RawStatement, Row, Savepoint, Session, Transaction, Written};
use crate::cache::BoxFuture;
use crate::cache::chain::Single;
use crate::error::{Error, ErrorKind, Result};
use crate::model::{ColumnDef, ColumnType, Datum, Model, RowReader, Schema};
use crate::plan::{Ask, ReadPlan, WritePlan};

/// What a statement did: how many rows it changed, and the id that the database counted up.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Done {
    pub(super) affected: u64,
    #[allow(dead_code, reason = "only MySQL has to be asked for it")]
    pub(super) last_id: u64,
}

/// Who wrote a statement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Source {
    /// pie: each value stands beside its column.
    Plan,
    /// The program.
    Program,
}

/// The types that the columns of an answer have in the model, where it says so: some databases do not tell text from bytes.
#[derive(Debug, Clone, Copy)]
pub(super) enum Types {
    /// Whole rows.
    Rows(&'static Schema),
    /// One column.
    One(ColumnType),
    /// Numbers, and answers to statements of the program's own.
    Unknown,
}

impl Types {
    pub(super) fn at(self, column: usize) -> Option<ColumnType> {
        match self {
            Self::Rows(schema) => schema.columns.get(column).map(|def| def.ty),
            Self::One(ty) => Some(ty),
            Self::Unknown => None,
        }
    }

    fn of(plan: &ReadPlan) -> Self {
        match plan.ask {
            Ask::Rows => Self::Rows(plan.schema),
            Ask::Distinct(at) => plan.schema.columns.get(at).map_or(Self::Unknown, |def| Self::One(def.ty)),
            Ask::Count | Ask::Exists => Self::Unknown,
        }
    }
}

/// A stream of what a raw statement gives.
pub(super) type Stream<'c, D> =
    futures_util::stream::BoxStream<'c, sqlx::Result<Either<Done, <D as sqlx::Database>::Row>>>;

/// A driver of sqlx: what differs is its types, and how it says things.
pub(super) trait Driver: sqlx::Database {
    /// The values of a statement.
    fn arguments(values: sea_query::Values, source: Source) -> Result<Self::Arguments>;

    /// A value of a row as the database has it; the field of the model, which may have this type, brings it into its form.
    ///
    /// # Errors
    /// It cannot be read; the error names its column.
    fn value(row: &Self::Row, at: usize, ty: Option<ColumnType>) -> Result<Datum<'static>>;

    /// The typed error of what sqlx says.
    fn failure(error: sqlx::Error) -> Error;

    /// Runs a statement that gives rows.
    fn fetch<'c>(
        connection: &'c mut Self::Connection,
        text: SqlStr,
        arguments: Self::Arguments,
    ) -> BoxFuture<'c, sqlx::Result<Vec<Self::Row>>>;

    /// Runs a statement that gives one row or none, and does not wait for what comes after it.
    fn fetch_optional<'c>(
        connection: &'c mut Self::Connection,
        text: SqlStr,
        arguments: Self::Arguments,
    ) -> BoxFuture<'c, sqlx::Result<Option<Self::Row>>>;

    /// Runs a statement that gives none.
    fn execute<'c>(
        connection: &'c mut Self::Connection,
        text: SqlStr,
        arguments: Self::Arguments,
    ) -> BoxFuture<'c, sqlx::Result<Done>>;

    /// Runs a statement of which nobody knows what it gives.
    fn both<'c>(
        connection: &'c mut Self::Connection,
        text: SqlStr,
        arguments: Self::Arguments,
    ) -> Stream<'c, Self>;

    /// The error of a write, with the columns that it is about where only the name of their constraint is known.
    fn with_column(error: Error, schema: &'static Schema) -> Error {
        let _ = schema;
        error
    }

    /// Whether this database needs several statements for a write: they are in a transaction.
    fn is_compound(dialect: Dialect, plan: &WritePlan) -> bool {
        let _ = (dialect, plan);
        false
    }

    /// Runs a write of several statements.
    fn compound<'c>(
        connection: &'c mut Self::Connection,
        dialect: Dialect,
        plan: &'c WritePlan,
    ) -> BoxFuture<'c, Result<Written>> {
        let _ = (connection, dialect, plan);
        Box::pin(async { Err(Error::new(ErrorKind::InvalidQuery, "a write of several statements")) })
    }

    /// Whether nothing more can be done in the transaction after this error, and why.
    fn ends_transaction(error: &Error) -> Option<Error> {
        let _ = error;
        None
    }
}

/// The methods of a [`Driver`] that only differ in its name.
macro_rules! statements {
    ($Driver:ty) => {
        fn fetch<'c>(
            connection: &'c mut Self::Connection,
            text: sqlx::SqlStr,
            arguments: Self::Arguments,
        ) -> crate::cache::BoxFuture<'c, sqlx::Result<Vec<Self::Row>>> {
            Box::pin(sqlx::query_with(text, arguments).fetch_all(connection))
        }

        fn fetch_optional<'c>(
            connection: &'c mut Self::Connection,
            text: sqlx::SqlStr,
            arguments: Self::Arguments,
        ) -> crate::cache::BoxFuture<'c, sqlx::Result<Option<Self::Row>>> {
            Box::pin(sqlx::query_with(text, arguments).fetch_optional(connection))
        }

        fn execute<'c>(
            connection: &'c mut Self::Connection,
            text: sqlx::SqlStr,
            arguments: Self::Arguments,
        ) -> crate::cache::BoxFuture<'c, sqlx::Result<crate::database::pooled::Done>> {
            Box::pin(async move {
                sqlx::query_with(text, arguments).execute(connection).await.map(|result| done(&result))
            })
        }

        fn both<'c>(
            connection: &'c mut Self::Connection,
            text: sqlx::SqlStr,
            arguments: Self::Arguments,
        ) -> crate::database::pooled::Stream<'c, Self> {
            use futures_util::TryStreamExt;
            let query = sqlx::query_with(text, arguments);
            #[expect(
                deprecated,
                reason = "the only call that gives both the rows and the number of changed rows"
            )]
            let stream = query.fetch_many(connection);
            Box::pin(stream.map_ok(|item| item.map_left(|result| done(&result))))
        }
    };
}
pub(super) use statements;

/// The error of a value that cannot be read.
pub(super) fn unreadable<D: Driver>(row: &D::Row, at: usize, why: impl Into<Cow<'static, str>>) -> Error {
    let error = Error::new(ErrorKind::Decode, why);
    match row.columns().get(at) {
        Some(column) => error.with_column(column.name().to_owned()),
        None => error,
    }
}

fn row_of<D: Driver>(row: &D::Row, types: Types) -> Result<Row> {
    (0..row.len()).map(|at| D::value(row, at, types.at(at))).collect()
}

/// The model of a row that somebody asked for: by the names of the columns, in any order, with others among them.
pub(super) fn model<D: Driver, M: Model>(row: &D::Row) -> sqlx::Result<M> {
    let value = |def: &ColumnDef| {
        let found = row.columns().iter().position(|column| column.name() == def.name);
        let at = found.ok_or_else(|| sqlx::Error::ColumnNotFound(def.name.to_owned()))?;
        D::value(row, at, Some(def.ty)).map_err(|error| sqlx::Error::Decode(Box::new(error)))
    };
    let values = M::SCHEMA.columns.iter().map(value).collect::<sqlx::Result<_>>()?;
    let read = RowReader::new(M::SCHEMA, values).and_then(M::from_row);
    read.map_err(|error| sqlx::Error::Decode(Box::new(error)))
}

/// Runs a statement and gives its rows.
pub(super) async fn fetch<D: Driver>(
    connection: &mut D::Connection,
    (text, values): Statement,
    types: Types,
) -> Result<Vec<Row>> {
    let rows = D::fetch(connection, text, D::arguments(values, Source::Plan)?).await.map_err(D::failure)?;
    rows.iter().map(|row| row_of::<D>(row, types)).collect()
}

/// Runs a statement that gives no rows.
pub(super) async fn execute<D: Driver>(
    connection: &mut D::Connection,
    (text, values): Statement,
) -> Result<Done> {
    D::execute(connection, text, D::arguments(values, Source::Plan)?).await.map_err(D::failure)
}

async fn change<D: Driver>(
    connection: &mut D::Connection,
    dialect: Dialect,
    plan: &WritePlan,
) -> Result<Written> {
    run::<D>(connection, dialect, plan).await.map_err(|error| D::with_column(error, plan.schema()))
}

async fn run<D: Driver>(
    connection: &mut D::Connection,
    dialect: Dialect,
    plan: &WritePlan,
) -> Result<Written> {
    if D::is_compound(dialect, plan) {
        return D::compound(connection, dialect, plan).await;
    }
    let (statement, gives_rows) = dialect.write(plan)?;
    if gives_rows {
        let rows = fetch::<D>(connection, statement, Types::Rows(plan.schema())).await?;
        return Ok(Written::new(rows.len() as u64, rows));
    }
    Ok(Written::new(execute::<D>(connection, statement).await?.affected, Vec::new()))
}

async fn raw<D: Driver>(
    connection: &mut D::Connection,
    dialect: Dialect,
    statement: &RawStatement,
) -> Result<RawRows> {
    statement.check_is_text()?;
    let values = statement
        .values
        .iter()
        .map(|datum| {
            dialect.bound(datum, None).map_err(|what| {
                Error::new(ErrorKind::InvalidValue, format!("{} cannot hold {what}", dialect.name()))
            })
        })
        .collect::<Result<Vec<_>>>()?;
    let arguments = D::arguments(sea_query::Values(values), Source::Program)?;
    let text = AssertSqlSafe(statement.text.to_string()).into_sql_str();
    let mut stream = D::both(connection, text, arguments);
    let mut out = RawRows::default();
    while let Some(item) = stream.try_next().await.map_err(D::failure)? {
        match item {
            Either::Left(done) => out.affected += done.affected,
            Either::Right(found) => {
                if out.names.is_empty() {
                    out.names = found.columns().iter().map(|column| column.name().to_owned()).collect();
                }
                out.rows.push(row_of::<D>(&found, Types::Unknown)?);
            }
        }
    }
    Ok(out)
}

/// Runs each plan on a connection of its own.
pub(super) struct Pooled<D: Driver> {
    pub(super) pool: Pool<D>,
    pub(super) dialect: Dialect,
}

impl<D: Driver> Pooled<D> {
    async fn acquire(&self) -> Result<PoolConnection<D>> {
        self.pool.acquire().await.map_err(D::failure)
    }
}

/// Runs a read on any connection of a pool.
pub(super) fn read_on<'a, D: Driver>(
    pool: &'a Pool<D>,
    dialect: Dialect,
    plan: &'a ReadPlan,
) -> BoxFuture<'a, Result<Vec<Row>>> {
    Box::pin(async move {
        // As little as can be is done while others may wait for the connection.
        let (text, values) = dialect.read(plan)?;
        let (arguments, types) = (D::arguments(values, Source::Plan)?, Types::of(plan));
        let one = plan.single || matches!(plan.ask, Ask::Count | Ask::Exists);
        let mut connection = pool.acquire().await.map_err(D::failure)?;
        let rows: Single<D::Row> = match one {
            true => D::fetch_optional(&mut *connection, text, arguments)
                .await
                .map(|row| row.into_iter().collect()),
            false => D::fetch(&mut *connection, text, arguments).await.map(Single::from_vec),
        }
        .map_err(D::failure)?;
        drop(connection);
        rows.iter().map(|row| row_of::<D>(row, types)).collect()
    })
}

impl<D: Driver> Session for Pooled<D> {
    fn read<'a>(&'a mut self, plan: &'a ReadPlan) -> BoxFuture<'a, Result<Vec<Row>>> {
        read_on(&self.pool, self.dialect, plan)
    }

    fn write<'a>(&'a mut self, plan: &'a WritePlan) -> BoxFuture<'a, Result<Written>> {
        Box::pin(async move {
            if !D::is_compound(self.dialect, plan) {
                return change::<D>(&mut *self.acquire().await?, self.dialect, plan).await;
            }
            let mut transaction = self.pool.begin().await.map_err(D::failure)?;
            let written = change::<D>(&mut *transaction, self.dialect, plan).await?;
            transaction.commit().await.map_err(D::failure)?;
            Ok(written)
        })
    }

    fn raw<'a>(&'a mut self, statement: &'a RawStatement) -> BoxFuture<'a, Result<RawRows>> {
        Box::pin(async move { raw::<D>(&mut *self.acquire().await?, self.dialect, statement).await })
    }
}

/// A transaction.
pub(super) struct Open<D: Driver> {
    pub(super) inner: sqlx::Transaction<'static, D>,
    pub(super) dialect: Dialect,
    /// Why nothing more can be done, once a statement has failed so.
    pub(super) ended: Option<Error>,
}

impl<D: Driver> Open<D> {
    fn check(&self) -> Result<()> {
        self.ended.clone().map_or(Ok(()), Err)
    }

    /// Remembers an error after which the transaction cannot go on.
    fn noted<T>(&mut self, result: Result<T>) -> Result<T> {
        if let Err(error) = &result {
            self.ended = D::ends_transaction(error);
        }
        result
    }
}

impl<D: Driver> Session for Open<D> {
    fn read<'a>(&'a mut self, plan: &'a ReadPlan) -> BoxFuture<'a, Result<Vec<Row>>> {
        Box::pin(async move {
            self.check()?;
            let statement = self.dialect.read(plan)?;
            let rows = fetch::<D>(&mut *self.inner, statement, Types::of(plan)).await;
            self.noted(rows)
        })
    }

    fn write<'a>(&'a mut self, plan: &'a WritePlan) -> BoxFuture<'a, Result<Written>> {
        Box::pin(async move {
            self.check()?;
            let written = change::<D>(&mut *self.inner, self.dialect, plan).await;
            self.noted(written)
        })
    }

    fn raw<'a>(&'a mut self, statement: &'a RawStatement) -> BoxFuture<'a, Result<RawRows>> {
        Box::pin(async move {
            self.check()?;
            let rows = raw::<D>(&mut *self.inner, self.dialect, statement).await;
            self.noted(rows)
        })
    }
}

impl<D: Driver> Transaction for Open<D> {
    fn savepoint(&mut self, savepoint: Savepoint) -> BoxFuture<'_, Result<()>> {
        Box::pin(async move {
            // Undoing a savepoint also undoes what failed in it, where the database still knows the transaction.
            let mends = matches!(savepoint, Savepoint::Undo(_))
                && self.ended.as_ref().is_some_and(|error| error.kind() == ErrorKind::TransactionFailed);
            if !mends {
                self.check()?;
            }
            for statement in sql::savepoint(savepoint) {
                let done = execute_text::<D>(&mut *self.inner, &statement).await;
                if let Err(error) = done {
                    return self.noted(Err(error));
                }
            }
            if mends {
                self.ended = None;
            }
            Ok(())
        })
    }

    fn commit(self: Box<Self>) -> BoxFuture<'static, Result<()>> {
        Box::pin(async move {
            if let Some(error) = self.ended {
                // A database may say yes to the commit, and have undone everything.
                let _ = self.inner.rollback().await;
                return Err(error);
            }
            self.inner.commit().await.map_err(D::failure)
        })
    }

    fn rollback(self: Box<Self>) -> BoxFuture<'static, Result<()>> {
        Box::pin(async move { self.inner.rollback().await.map_err(D::failure) })
    }
}

/// Opens one connection and closes it again: a pool says only that it took too long, and this why.
#[cfg(any(feature = "postgres", feature = "mysql"))]
pub(super) async fn probe<D: Driver>(
    options: &<D::Connection as sqlx::Connection>::Options,
    timeout: std::time::Duration,
) -> Result<()> {
    use sqlx::{ConnectOptions, Connection};
    match crate::task::timeout(timeout, options.connect()).await {
        Some(Ok(connection)) => {
            let _ = connection.close().await;
            Ok(())
        }
        Some(Err(error)) => Err(D::failure(error)),
        None => Err(Error::new(ErrorKind::Connection, "the database server does not answer")),
    }
}

/// A foreign key: the table it names, its own, and its actions on deletes and on updates in the words of the SQL standard.
pub(super) type ForeignKey = (String, String, String, String);

/// What foreign keys with an action and triggers, each with its table and its name, change by themselves.
pub(super) fn cascades(keys: Vec<ForeignKey>, triggers: Vec<(String, String)>) -> Vec<Cascade> {
    let mut all = Vec::new();
    for (from, to, on_delete, on_update) in keys {
        for (when, action) in [("DELETE", on_delete), ("UPDATE", on_update)] {
            if !matches!(&*action, "NO ACTION" | "RESTRICT") {
                all.push(Cascade::new(from.clone(), Some(to.clone()), format!("ON {when} {action}")));
            }
        }
    }
    all.extend(
        triggers.into_iter().map(|(from, name)| Cascade::new(from, None, format!("trigger `{name}`"))),
    );
    all
}

/// Runs a statement without values.
pub(super) async fn execute_text<D: Driver>(connection: &mut D::Connection, text: &str) -> Result<()> {
    D::execute(connection, AssertSqlSafe(text).into_sql_str(), D::Arguments::default())
        .await
        .map(drop)
        .map_err(D::failure)
}

/// Begins a transaction with this statement.
///
/// In a task of its own: not every driver notices that the beginning of a transaction was dropped half-way, and its connection would go
/// back to the pool in the middle of one.
pub(super) async fn begin<D: Driver>(
    pool: &Pool<D>,
    dialect: Dialect,
    statement: String,
) -> Result<Box<dyn Transaction>> {
    let pool = pool.clone();
    let work = tokio::spawn(async move { pool.begin_with(AssertSqlSafe(statement)).await });
    match work.await {
        Ok(inner) => Ok(Box::new(Open { inner: inner.map_err(D::failure)?, dialect, ended: None })),
        Err(_) => Err(Error::new(ErrorKind::Interrupted, "the runtime shut down")),
    }
}
