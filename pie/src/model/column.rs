//! Columns as typed constants, and the arguments they take.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

use super::value::{Datum, Value};
use crate::model::Model;
use crate::plan::filter::{Comparison, Condition, Filter, TextMatch};
use crate::plan::{Direction, OrderBy};

/// One column of a model: `User::EMAIL` is a `Column<User, String>`.
///
/// Its methods make [filters](Filter) and [orders](OrderBy). A filter of one model does not fit a query of another, and a
/// value of another type does not fit the column: both are compile errors.
///
/// Comparisons are SQL's: a row whose column is `NULL` fulfils none of them, not even [`ne`](Self::ne) and
/// [`not_in`](Self::not_in). `eq(None)` and `ne(None)` on an `Option` column mean `IS NULL` and `IS NOT NULL`. Text is
/// compared byte by byte.
///
/// # Examples
///
/// ```
/// # use pie::prelude::*;
/// #[derive(Debug, Clone, Model)]
/// struct User {
///     #[pie(id, auto)]
///     id: i64,
///     name: String,
///     age: Option<i32>,
/// }
///
/// let grown_up = User::AGE.ge(18).and(User::NAME.starts_with("A"));
/// let unknown = User::AGE.eq(None);
/// # let _ = grown_up.or(unknown);
/// ```
pub struct Column<M, T> {
    index: usize,
    name: &'static str,
    types: PhantomData<fn() -> (M, T)>,
}

impl<M, T> Clone for Column<M, T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<M, T> Copy for Column<M, T> {}

impl<M, T> fmt::Debug for Column<M, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Column").field(&self.name).finish()
    }
}

/// A value that can stand where a column of type `T` is asked for: the type itself, a reference to it, `&str` for
/// `String`, `&[u8]` for `Vec<u8>`, and each of them for an `Option` of the type.
#[diagnostic::on_unimplemented(
    message = "a column of type `{T}` cannot be compared with or set to `{Self}`",
    label = "expected `{T}`"
)]
pub trait Arg<'a, T> {
    /// The neutral form of the value.
    fn into_datum(self) -> Datum<'a>;
}

impl<'a, T: Value> Arg<'a, T> for T {
    #[inline]
    fn into_datum(self) -> Datum<'a> {
        self.into_owned_datum()
    }
}

impl<'a, T: Value> Arg<'a, T> for &'a T {
    #[inline]
    fn into_datum(self) -> Datum<'a> {
        self.to_datum()
    }
}

impl<'a> Arg<'a, String> for &'a str {
    #[inline]
    fn into_datum(self) -> Datum<'a> {
        Datum::Text(Cow::Borrowed(self))
    }
}

impl<'a> Arg<'a, Vec<u8>> for &'a [u8] {
    #[inline]
    fn into_datum(self) -> Datum<'a> {
        Datum::Bytes(Cow::Borrowed(self))
    }
}

impl<'a, T: Value> Arg<'a, Option<T>> for T {
    #[inline]
    fn into_datum(self) -> Datum<'a> {
        self.into_owned_datum()
    }
}

impl<'a, T: Value> Arg<'a, Option<T>> for &'a T {
    #[inline]
    fn into_datum(self) -> Datum<'a> {
        self.to_datum()
    }
}

impl<'a> Arg<'a, Option<String>> for &'a str {
    #[inline]
    fn into_datum(self) -> Datum<'a> {
        Datum::Text(Cow::Borrowed(self))
    }
}

impl<'a> Arg<'a, Option<Vec<u8>>> for &'a [u8] {
    #[inline]
    fn into_datum(self) -> Datum<'a> {
        Datum::Bytes(Cow::Borrowed(self))
    }
}

/// Types with text in them, nullable or not: what `like`, `starts_with`, `ends_with` and `contains` work on.
#[diagnostic::on_unimplemented(
    message = "a column of type `{Self}` has no text to match",
    label = "`like`, `starts_with`, `ends_with` and `contains` need a `String` column"
)]
pub trait TextColumn {}
impl TextColumn for String {}
impl TextColumn for Option<String> {}

impl<M, T> Column<M, T> {
    /// The column at this place of the model; made by the derive. Without bounds, so that a type that is no column type is
    /// reported where it is stored, and not here as well.
    #[doc(hidden)]
    #[must_use]
    pub const fn new(index: usize, name: &'static str) -> Self {
        Self { index, name, types: PhantomData }
    }
}

impl<M: Model, T: Value> Column<M, T> {
    /// The name of the column in the database.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        self.name
    }

    pub(crate) const fn index(&self) -> usize {
        self.index
    }

    fn compare(self, comparison: Comparison, value: Datum<'_>) -> Filter<M> {
        Filter::from(Condition::Compare(self.index, comparison, value.into_owned()))
    }

    /// Rows where the column equals the value.
    pub fn eq<'v>(self, value: impl Arg<'v, T>) -> Filter<M> {
        self.compare(Comparison::Eq, value.into_datum())
    }

    /// Rows where the column has another value, and is not `NULL`.
    pub fn ne<'v>(self, value: impl Arg<'v, T>) -> Filter<M> {
        self.compare(Comparison::Ne, value.into_datum())
    }

    /// Rows where the column is greater than the value.
    pub fn gt<'v>(self, value: impl Arg<'v, T>) -> Filter<M> {
        self.compare(Comparison::Gt, value.into_datum())
    }

    /// Rows where the column is greater than or equal to the value.
    pub fn ge<'v>(self, value: impl Arg<'v, T>) -> Filter<M> {
        self.compare(Comparison::Ge, value.into_datum())
    }

    /// Rows where the column is less than the value.
    pub fn lt<'v>(self, value: impl Arg<'v, T>) -> Filter<M> {
        self.compare(Comparison::Lt, value.into_datum())
    }

    /// Rows where the column is less than or equal to the value.
    pub fn le<'v>(self, value: impl Arg<'v, T>) -> Filter<M> {
        self.compare(Comparison::Le, value.into_datum())
    }

    /// Rows where the column lies between the two values, both included.
    pub fn between<'v>(self, low: impl Arg<'v, T>, high: impl Arg<'v, T>) -> Filter<M> {
        self.ge(low).and(self.le(high))
    }

    /// Rows where the column has one of the values; an empty list matches no row.
    pub fn in_<'v, A: Arg<'v, T>>(self, values: impl IntoIterator<Item = A>) -> Filter<M> {
        let values = values.into_iter().map(|value| value.into_datum().into_owned()).collect();
        Filter::from(Condition::In(self.index, false, values))
    }

    /// Rows where the column has none of the values, and is not `NULL`; an empty list matches every row.
    pub fn not_in<'v, A: Arg<'v, T>>(self, values: impl IntoIterator<Item = A>) -> Filter<M> {
        let values = values.into_iter().map(|value| value.into_datum().into_owned()).collect();
        Filter::from(Condition::In(self.index, true, values))
    }

    /// Rows where the column is `NULL`.
    pub fn is_null(self) -> Filter<M> {
        Filter::from(Condition::Null(self.index, true))
    }

    /// Rows where the column is not `NULL`.
    pub fn not_null(self) -> Filter<M> {
        Filter::from(Condition::Null(self.index, false))
    }

    /// Smallest first.
    #[must_use]
    pub fn asc(self) -> OrderBy<M> {
        OrderBy::new(self.index, Direction::Ascending)
    }

    /// Greatest first.
    #[must_use]
    pub fn desc(self) -> OrderBy<M> {
        OrderBy::new(self.index, Direction::Descending)
    }
}

impl<M: Model, T: Value> Column<M, T> {
    fn text(self, kind: TextMatch, text: &str) -> Filter<M> {
        Filter::from(Condition::Text(self.index, kind, text.into()))
    }

    /// Rows where the column matches an SQL pattern: `%` for any text, `_` for one character, `\` before a literal one.
    ///
    /// Upper and lower case follow the database: SQLite takes ASCII letters for equal in both, PostgreSQL does not.
    pub fn like(self, pattern: &str) -> Filter<M>
    where
        T: TextColumn,
    {
        self.text(TextMatch::Like, pattern)
    }

    /// Rows where the text matches a regular expression, in the syntax of the database: on SQLite that of the `regex` crate,
    /// with the feature `regex` and a database that pie opens itself.
    ///
    /// Awaiting the query fails with [`ErrorKind::InvalidQuery`](crate::ErrorKind::InvalidQuery) where the database has no
    /// regular expressions, and with [`ErrorKind::Database`](crate::ErrorKind::Database) for one it cannot read.
    pub fn matches_regex(self, pattern: &str) -> Filter<M>
    where
        T: TextColumn,
    {
        self.text(TextMatch::Regex, pattern)
    }

    /// Rows where the text begins with this one, byte by byte; no character of it is a pattern.
    pub fn starts_with(self, text: &str) -> Filter<M>
    where
        T: TextColumn,
    {
        self.text(TextMatch::StartsWith, text)
    }

    /// Rows where the text ends with this one, byte by byte; no character of it is a pattern.
    pub fn ends_with(self, text: &str) -> Filter<M>
    where
        T: TextColumn,
    {
        self.text(TextMatch::EndsWith, text)
    }

    /// Rows where the text contains this one, byte by byte; no character of it is a pattern.
    pub fn contains(self, text: &str) -> Filter<M>
    where
        T: TextColumn,
    {
        self.text(TextMatch::Contains, text)
    }
}
