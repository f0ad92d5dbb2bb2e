//! What generated code names, and nothing else does. Not part of the public interface: it changes without notice.

pub use std::any::type_name;
pub use std::borrow::{Borrow, ToOwned};
pub use std::boxed::Box;
pub use std::clone::Clone;
pub use std::convert::From;
pub use std::default::Default;
pub use std::fmt;
pub use std::future::IntoFuture;
pub use std::iter::{IntoIterator, Iterator};
pub use std::option::Option::{self, Some};
pub use std::primitive::{bool, str, u64, usize};
pub use std::result::Result::{self, Err, Ok};
pub use std::string::String;
pub use std::vec::Vec;
pub use std::{assert, concat, module_path};

#[cfg(any(feature = "sqlite", feature = "postgres", feature = "mysql"))]
pub use sqlx;

pub use crate::cache::BoxFuture;
pub use crate::cache::groups::GroupId;
pub use crate::database::from_row;
pub use crate::error::Error;
pub use crate::function::{
    CacheKey, CacheValue, Call, CallError, CopiedValue, Detached, DetachedArgument, Function, Invalidation,
    KeyWriter, TimedOut, Via, end_key, installed, logical_key, probe,
};

/// What a question about a type falls back to, without names: brought in with `*` where one is asked.
pub mod questions {
    pub use crate::function::{
        AloneFallback as _, Answering as _, Inside as _, KindsFallback as _, OuterFallback as _,
        WrapFallback as _,
    };
    pub use crate::model::heap::Estimated as _;
}
pub use crate::engine::OnL2Down;
pub use crate::model::fingerprint::{fingerprint, row_fingerprint};
pub use crate::model::heap::{HeapOf, HeapSize};
pub use crate::model::{
    Arg, Column, ColumnDef, ColumnType, Datum, Index, Json, JsonField, Model, NewRow, Policy, RowReader,
    Schema, Skipped, Value, ValueError,
};
pub use crate::query::explain::explain_model;
pub use crate::query::{
    Cached, DeleteOne, FindMany, First, Handle, Insert, InsertMany, ModelExplanation, Query, Rows, UpdateOne,
    Upsert,
};

use crate::plan::depends;
use crate::plan::text::{Text, push_data};
use crate::query::spec::From as Place;

/// The future of a write.
pub type WriteFuture<'a, T> = crate::cache::BoxFuture<'a, crate::error::Result<T>>;

/// The arguments of a finder, on the stack.
pub type Args<'a> = crate::plan::Few<Datum<'a>>;

/// One argument.
#[must_use]
#[inline]
pub fn arg<'a, T>(value: impl Arg<'a, T>) -> Datum<'a> {
    value.into_datum()
}

/// Several arguments.
#[must_use]
#[inline]
pub fn args<'a, const N: usize>(values: [Datum<'a>; N]) -> Args<'a> {
    values.into()
}

/// The row with these values in the columns of the id or of a unique constraint.
#[inline]
pub fn find<'a, M: Model>(on: &'a impl Handle, index: &'static Index, args: Args<'a>) -> Query<'a, M, First> {
    Query::new(on.target(), Place::Row(index), args)
}

/// The rows with these values in the columns of an index.
#[inline]
pub fn list<'a, M: Model>(on: &'a impl Handle, index: &'static Index, args: Args<'a>) -> Query<'a, M, Rows> {
    Query::new(on.target(), Place::List(index), args)
}

/// Any rows.
#[inline]
pub fn query<M: Model>(on: &impl Handle) -> Query<'_, M, Rows> {
    Query::new(on.target(), Place::Any, Args::None)
}

/// The rows of these ids.
pub fn find_many<'a, M: Model>(on: &'a impl Handle, ids: impl Iterator<Item = Args<'a>>) -> FindMany<'a, M> {
    FindMany::new(on.target(), ids.collect())
}

/// Inserts a row.
pub fn insert<M: Model>(on: &impl Handle, row: M::New) -> Insert<'_, M> {
    Insert::new(on.target(), row)
}

/// Inserts several rows.
pub fn insert_many<'a, M: Model>(
    on: &'a impl Handle,
    rows: impl IntoIterator<Item = M::New>,
) -> InsertMany<'a, M> {
    InsertMany::new(on.target(), rows.into_iter().collect())
}

/// Inserts a row, or updates the one with the same values in the columns of a unique constraint.
pub fn upsert<'a, M: Model>(on: &'a impl Handle, index: &'static Index, row: M::New) -> Upsert<'a, M> {
    Upsert::new(on.target(), index, row)
}

/// Changes the row of an id.
pub fn update<'a, M: Model>(on: &'a impl Handle, id: Args<'a>) -> UpdateOne<'a, M> {
    UpdateOne::new(on.target(), id)
}

/// Sets a column.
pub fn set<'a, 'v, M: Model, T>(
    update: UpdateOne<'a, M>,
    column: usize,
    value: impl Arg<'v, T>,
) -> UpdateOne<'a, M> {
    update.set(column, value.into_datum())
}

/// Sets a `#[pie(json)]` column.
pub fn set_json<'a, M: Model>(
    update: UpdateOne<'a, M>,
    column: usize,
    value: Result<Datum<'static>, ValueError>,
) -> UpdateOne<'a, M> {
    update.try_set(column, value)
}

/// Deletes the row of an id.
pub fn delete<'a, M: Model>(on: &'a impl Handle, id: Args<'a>) -> DeleteOne<'a, M> {
    DeleteOne::new(on.target(), id)
}

/// The logical key of a row.
#[must_use]
pub fn key(index: &Index, args: &Args<'_>) -> String {
    let mut text = Text::new();
    push_data(&mut text, args);
    depends::logical(index.prefix, &text, false)
}

/// An enum as the text of a variant.
#[must_use]
pub fn text(text: &'static str) -> Datum<'static> {
    Datum::Text(text.into())
}

/// The variant of a text.
///
/// # Errors
/// No variant has this text, or it is no text.
pub fn variant<T: Clone>(datum: Datum<'static>, variants: &[(&'static str, T)]) -> Result<T, ValueError> {
    let text = <String as Value>::from_datum(datum)?;
    match variants.iter().find(|(name, _)| *name == text) {
        Some((_, variant)) => Ok(variant.clone()),
        None => Err(ValueError::Content("holds text that is no variant of the field's enum".into())),
    }
}
