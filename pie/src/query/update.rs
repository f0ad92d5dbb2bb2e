//! Updates, by id and by filter.

use std::fmt;
use std::future::IntoFuture;
use std::marker::PhantomData;

use super::Target;
use super::cached::Cached;
use super::insert::written;
use super::spec::{Args, Spec};
use crate::cache::BoxFuture;
use crate::engine::read::id_condition;
use crate::engine::write::write;
use crate::error::{Error, ErrorKind, Result};
use crate::model::{Arg, Column, Datum, Model, Value, ValueError};
use crate::plan::WritePlan;

type Set = Vec<(usize, Datum<'static>)>;

/// Adds an assignment; a second one to the same column replaces the first.
fn assign(set: &mut Set, column: usize, value: Datum<'static>) {
    match set.iter_mut().find(|(at, _)| *at == column) {
        Some((_, old)) => *old = value,
        None => set.push((column, value)),
    }
}

fn nothing_set(query: &'static str, model: &'static str) -> Error {
    Error::new(
        ErrorKind::InvalidQuery,
        "an update that sets nothing: name a column, such as `.status(\"away\")`",
    )
    .with_model(model)
    .with_query(query)
}

/// Changes one row, found by its id: `Option<Cached<M>>`, as the database has it now, or `None` if there is no such row.
///
/// One statement where neither the id nor a unique or indexed column is set, else two in a transaction.
#[must_use = "a write does nothing until it is awaited"]
pub struct UpdateOne<'a, M> {
    on: Target<'a>,
    id: Args<'a>,
    set: Set,
    refused: Option<(usize, ValueError)>,
    model: PhantomData<fn() -> M>,
}

impl<M: Model> fmt::Debug for UpdateOne<'_, M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UpdateOne").field("model", &M::SCHEMA.model).finish_non_exhaustive()
    }
}

impl<'a, M: Model> UpdateOne<'a, M> {
    pub(crate) fn new(on: Target<'a>, id: Args<'a>) -> Self {
        Self { on, id, set: Set::new(), refused: None, model: PhantomData }
    }

    pub(crate) fn set(mut self, column: usize, value: Datum<'_>) -> Self {
        assign(&mut self.set, column, value.into_owned());
        self
    }

    pub(crate) fn try_set(mut self, column: usize, value: Result<Datum<'static>, ValueError>) -> Self {
        match value {
            Ok(value) => assign(&mut self.set, column, value),
            Err(error) => self.refused = Some((column, error)),
        }
        self
    }
}

impl<'a, M: Model> IntoFuture for UpdateOne<'a, M> {
    type Output = Result<Option<Cached<M>>>;
    type IntoFuture = BoxFuture<'a, Self::Output>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async move {
            let schema = M::SCHEMA;
            if let Some((column, error)) = self.refused {
                return Err(schema.error(column, error).with_query("update_by_id"));
            }
            if self.set.is_empty() {
                return Err(nothing_set("update_by_id", schema.model));
            }
            let filter = Some(id_condition(schema.id.columns, std::slice::from_ref(&self.id)));
            let plan = WritePlan::Update { schema, filter, set: self.set, returning: true };
            let done = write(self.on, plan, "update_by_id").await?;
            done.rows.into_iter().next().map(written).transpose()
        })
    }
}

/// Changes all rows of a filter: `u64`, how many there were.
///
/// The rows are read under lock first, because their old values are invalidated; with more than 1,000 rows everything
/// cached of the model is.
///
/// # Examples
///
/// ```
/// # use pie::prelude::*;
/// # #[derive(Debug, Clone, Model)]
/// # struct User { #[pie(id, auto)] id: i64, status: String, age: i32 }
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> pie::Result<()> {
/// # let engine = Engine::builder().database("sqlite::memory:").build().await?;
/// # engine.create_tables::<(User,)>().await?;
/// let changed = User::query(&engine).filter(User::AGE.ge(100)).update().set(User::STATUS, "wise").await?;
/// # assert_eq!(changed, 0);
/// # Ok(())
/// # }
/// ```
#[must_use = "a write does nothing until it is awaited"]
pub struct Update<'a, M> {
    on: Target<'a>,
    spec: Spec<'a>,
    set: Set,
    model: PhantomData<fn() -> M>,
}

impl<M: Model> fmt::Debug for Update<'_, M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Update").field("model", &M::SCHEMA.model).finish_non_exhaustive()
    }
}

impl<'a, M: Model> Update<'a, M> {
    pub(super) fn new(on: Target<'a>, spec: Spec<'a>) -> Self {
        Self { on, spec, set: Set::new(), model: PhantomData }
    }

    /// Sets a column of every row; a second value for the same column replaces the first.
    pub fn set<'v, T: Value>(mut self, column: Column<M, T>, value: impl Arg<'v, T>) -> Self {
        assign(&mut self.set, column.index(), value.into_datum().into_owned());
        self
    }
}

/// A write takes a filter and nothing else of a query.
pub(super) fn check_bare(spec: &Spec<'_>, query: &'static str) -> Result<()> {
    if !spec.has_window() {
        return Ok(());
    }
    Err(Error::new(
        ErrorKind::InvalidQuery,
        "updates and deletes take a filter only: leave order, limit and offset away",
    )
    .with_model(spec.schema.model)
    .with_query(query))
}

impl<'a, M: Model> IntoFuture for Update<'a, M> {
    type Output = Result<u64>;
    type IntoFuture = BoxFuture<'a, Self::Output>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async move {
            check_bare(&self.spec, "update")?;
            if self.set.is_empty() {
                return Err(nothing_set("update", M::SCHEMA.model));
            }
            let filter = self.spec.condition();
            let plan = WritePlan::Update { schema: M::SCHEMA, filter, set: self.set, returning: true };
            Ok(write(self.on, plan, "update").await?.affected)
        })
    }
}
