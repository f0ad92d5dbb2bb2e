//! Inserts and upserts.

use std::fmt;
use std::future::IntoFuture;
use std::sync::Arc;

use super::Target;
use super::cached::Cached;
use crate::cache::BoxFuture;
use crate::database::Row;
use crate::engine::write::write;
use crate::error::{Error, ErrorKind, Result};
use crate::model::{Datum, Index, Model, NewRow, RowReader, Schema};
use crate::plan::WritePlan;

/// The row as the database has it now.
pub(super) fn written<M: Model>(row: Row) -> Result<Cached<M>> {
    let row = RowReader::new(M::SCHEMA, row).and_then(M::from_row)?;
    Ok(Cached::loaded(Arc::new(row)))
}

fn values<N: NewRow>(row: N) -> Result<Vec<Datum<'static>>> {
    row.into_values().map_err(|error| {
        let schema: &Schema = N::Model::SCHEMA;
        Error::new(ErrorKind::InvalidValue, format!("a column of table `{}` {error}", schema.table))
            .with_model(schema.model)
    })
}

fn no_row() -> Error {
    Error::new(ErrorKind::Database, "the database gave no row back for an insert")
}

macro_rules! debug_as {
    ($name:ident) => {
        impl<M: Model> fmt::Debug for $name<'_, M> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_struct(stringify!($name)).field("model", &M::SCHEMA.model).finish_non_exhaustive()
            }
        }
    };
}

/// Inserts one row: `Cached<M>`, with what the database filled in.
///
/// One statement. Invalidates "no such row" of its id and unique values, and every list its values belong to.
///
/// # Errors
/// Awaiting it fails with [`ErrorKind::UniqueViolation`] and its kin, or when the database does.
#[must_use = "a write does nothing until it is awaited"]
pub struct Insert<'a, M: Model> {
    on: Target<'a>,
    row: M::New,
}
debug_as!(Insert);

impl<'a, M: Model> Insert<'a, M> {
    pub(crate) fn new(on: Target<'a>, row: M::New) -> Self {
        Self { on, row }
    }
}

impl<'a, M: Model> IntoFuture for Insert<'a, M> {
    type Output = Result<Cached<M>>;
    type IntoFuture = BoxFuture<'a, Self::Output>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async move {
            let rows = vec![values(self.row)?];
            let plan = WritePlan::Insert { schema: M::SCHEMA, columns: <M::New as NewRow>::COLUMNS, rows };
            let done = write(self.on, plan, "insert").await?;
            written(done.rows.into_iter().next().ok_or_else(no_row)?)
        })
    }
}

/// Inserts several rows, all or none: `Vec<Cached<M>>`, in their order. No rows: no statement.
///
/// # Errors
/// Awaiting it fails with [`ErrorKind::UniqueViolation`] and its kin, or when the database does.
#[must_use = "a write does nothing until it is awaited"]
pub struct InsertMany<'a, M: Model> {
    on: Target<'a>,
    rows: Vec<M::New>,
}
debug_as!(InsertMany);

impl<'a, M: Model> InsertMany<'a, M> {
    pub(crate) fn new(on: Target<'a>, rows: Vec<M::New>) -> Self {
        Self { on, rows }
    }
}

impl<'a, M: Model> IntoFuture for InsertMany<'a, M> {
    type Output = Result<Vec<Cached<M>>>;
    type IntoFuture = BoxFuture<'a, Self::Output>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async move {
            let rows: Vec<Row> = self.rows.into_iter().map(values).collect::<Result<_>>()?;
            if rows.is_empty() {
                return Ok(Vec::new());
            }
            let plan = WritePlan::Insert { schema: M::SCHEMA, columns: <M::New as NewRow>::COLUMNS, rows };
            write(self.on, plan, "insert_many").await?.rows.into_iter().map(written).collect()
        })
    }
}

/// Inserts a row, or updates the one with the same unique values: `Cached<M>`, as the database has it now.
///
/// Two statements in a transaction: the old row is read under lock, because its values are invalidated as well. Where the unique
/// constraint takes values for equal that differ in their bytes (a collation without letter case), three, and everything cached of the
/// model is invalidated when such a row is updated.
///
/// # Errors
/// Awaiting it fails with [`ErrorKind::UniqueViolation`] when another unique constraint refuses the row, or when the
/// database does.
#[must_use = "a write does nothing until it is awaited"]
pub struct Upsert<'a, M: Model> {
    on: Target<'a>,
    row: M::New,
    index: &'static Index,
}
debug_as!(Upsert);

impl<'a, M: Model> Upsert<'a, M> {
    pub(crate) fn new(on: Target<'a>, index: &'static Index, row: M::New) -> Self {
        Self { on, row, index }
    }
}

impl<'a, M: Model> IntoFuture for Upsert<'a, M> {
    type Output = Result<Cached<M>>;
    type IntoFuture = BoxFuture<'a, Self::Output>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async move {
            let plan = WritePlan::Upsert {
                schema: M::SCHEMA,
                columns: <M::New as NewRow>::COLUMNS,
                row: values(self.row)?,
                on: self.index,
                update: true,
            };
            let done = write(self.on, plan, "upsert").await?;
            written(done.rows.into_iter().next().ok_or_else(no_row)?)
        })
    }
}
