//! Deletes, by id and by filter.

use std::fmt;
use std::future::IntoFuture;
use std::marker::PhantomData;

use super::Target;
use super::spec::{Args, Spec};
use super::update::check_bare;
use crate::cache::BoxFuture;
use crate::engine::read::id_condition;
use crate::engine::write::write;
use crate::error::Result;
use crate::model::Model;
use crate::plan::WritePlan;

/// Deletes one row, found by its id: `bool`, whether there was one. One statement.
#[must_use = "a write does nothing until it is awaited"]
pub struct DeleteOne<'a, M> {
    on: Target<'a>,
    id: Args<'a>,
    model: PhantomData<fn() -> M>,
}

impl<M: Model> fmt::Debug for DeleteOne<'_, M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DeleteOne").field("model", &M::SCHEMA.model).finish_non_exhaustive()
    }
}

impl<'a, M: Model> DeleteOne<'a, M> {
    pub(crate) fn new(on: Target<'a>, id: Args<'a>) -> Self {
        Self { on, id, model: PhantomData }
    }
}

impl<'a, M: Model> IntoFuture for DeleteOne<'a, M> {
    type Output = Result<bool>;
    type IntoFuture = BoxFuture<'a, Self::Output>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async move {
            let schema = M::SCHEMA;
            let filter = Some(id_condition(schema.id.columns, std::slice::from_ref(&self.id)));
            let plan = WritePlan::Delete { schema, filter, returning: true };
            Ok(write(self.on, plan, "delete_by_id").await?.affected > 0)
        })
    }
}

/// Deletes all rows of a filter: `u64`, how many there were.
///
/// The rows are read under lock first, because their values are invalidated; with more than 1,000 rows everything cached
/// of the model is.
#[must_use = "a write does nothing until it is awaited"]
pub struct Delete<'a, M> {
    on: Target<'a>,
    spec: Spec<'a>,
    model: PhantomData<fn() -> M>,
}

impl<M: Model> fmt::Debug for Delete<'_, M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Delete").field("model", &M::SCHEMA.model).finish_non_exhaustive()
    }
}

impl<'a, M: Model> Delete<'a, M> {
    pub(super) fn new(on: Target<'a>, spec: Spec<'a>) -> Self {
        Self { on, spec, model: PhantomData }
    }
}

impl<'a, M: Model> IntoFuture for Delete<'a, M> {
    type Output = Result<u64>;
    type IntoFuture = BoxFuture<'a, Self::Output>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async move {
            check_bare(&self.spec, "delete")?;
            let filter = self.spec.condition();
            let plan = WritePlan::Delete { schema: M::SCHEMA, filter, returning: true };
            Ok(write(self.on, plan, "delete").await?.affected)
        })
    }
}
