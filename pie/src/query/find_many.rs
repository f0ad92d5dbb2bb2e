//! Many rows by their ids, with one load for all that is missing.

use std::fmt;
use std::future::IntoFuture;
use std::marker::PhantomData;

use super::Target;
use super::cached::Cached;
use super::options::cache_options;
use super::policy::Options;
use super::shape::{First, Shape, single_row};
use super::spec::Args;
use crate::cache::BoxFuture;
use crate::engine::read::read_many;
use crate::error::Result;
use crate::model::Model;

/// Rows by their ids: `Vec<Option<Cached<M>>>`, in the order of the ids.
///
/// Each row is looked up under the same key as by `find_by_id`. What no layer has comes from the database with one
/// statement. No ids: no statement, an empty list.
///
/// # Errors
/// Awaiting it fails when the database does.
#[must_use = "a query does nothing until it is awaited"]
pub struct FindMany<'a, M> {
    on: Target<'a>,
    ids: Vec<Args<'a>>,
    options: Options,
    model: PhantomData<fn() -> M>,
}

impl<M: Model> fmt::Debug for FindMany<'_, M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FindMany")
            .field("model", &M::SCHEMA.model)
            .field("ids", &self.ids.len())
            .finish_non_exhaustive()
    }
}

impl<'a, M: Model> FindMany<'a, M> {
    pub(crate) fn new(on: Target<'a>, ids: Vec<Args<'a>>) -> Self {
        Self { on, ids, options: Options::default(), model: PhantomData }
    }

    fn options_mut(&mut self) -> &mut Options {
        &mut self.options
    }

    cache_options!();
}

impl<'a, M: Model> IntoFuture for FindMany<'a, M> {
    type Output = Result<Vec<Option<Cached<M>>>>;
    type IntoFuture = BoxFuture<'a, Self::Output>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async move {
            if self.ids.is_empty() {
                return Ok(Vec::new());
            }
            let answers = read_many(self.on, M::SCHEMA, self.ids, self.options, single_row::<M>()).await;
            answers
                .and_then(|answers| answers.into_iter().map(<First as Shape<M>>::finish).collect())
                .map_err(|error| error.with_model(M::SCHEMA.model).with_query("find_by_ids"))
        })
    }
}
