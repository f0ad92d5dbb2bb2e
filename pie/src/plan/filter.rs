//! Filters: the typed [`Filter`] people write, and the [`Condition`] it is made of.

use std::fmt;
use std::marker::PhantomData;

use crate::model::{Datum, Model};

/// How a column and a value are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Comparison {
    /// Equal.
    Eq,
    /// Not equal.
    Ne,
    /// Greater.
    Gt,
    /// Greater or equal.
    Ge,
    /// Less.
    Lt,
    /// Less or equal.
    Le,
}

/// How a text is matched.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum TextMatch {
    /// An SQL pattern, with `\` as the escape character.
    Like,
    /// The text begins with it.
    StartsWith,
    /// The text ends with it.
    EndsWith,
    /// The text contains it.
    Contains,
    /// The text matches it as a regular expression of the database.
    Regex,
}

/// A condition on the rows of one table, by the places of its columns. Its logic is SQL's, with three values.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Condition {
    /// All of them; true when empty.
    All(Vec<Condition>),
    /// Any of them; false when empty.
    Any(Vec<Condition>),
    /// The opposite.
    Not(Box<Condition>),
    /// A column compared with a value that is not `NULL`; after [`normal`](Self::normal), and except for the four orders.
    Compare(usize, Comparison, Datum<'static>),
    /// A column in a list, or (`true`) not in it.
    In(usize, bool, Vec<Datum<'static>>),
    /// A column that is `NULL`, or (`false`) is not.
    Null(usize, bool),
    /// A text that matches.
    Text(usize, TextMatch, Box<str>),
}

impl Condition {
    /// The same condition with one form for each meaning: nested `All` and `Any` are one, `= NULL` is `IS NULL`, `NULL`
    /// is outside of lists.
    #[must_use]
    pub fn normal(self) -> Self {
        match self {
            Self::All(parts) => Self::group(parts, true),
            Self::Any(parts) => Self::group(parts, false),
            Self::Not(inner) => Self::Not(Box::new(inner.normal())),
            Self::Compare(column, Comparison::Eq, Datum::Null) => Self::Null(column, true),
            Self::Compare(column, Comparison::Ne, Datum::Null) => Self::Null(column, false),
            Self::In(column, negated, mut values) => {
                let before = values.len();
                values.retain(|value| !value.is_null());
                let null = values.len() < before;
                let list = match values.pop() {
                    // A list of one is a comparison, so that both share one cache key.
                    Some(value) if values.is_empty() => {
                        Self::Compare(column, if negated { Comparison::Ne } else { Comparison::Eq }, value)
                    }
                    last => {
                        values.extend(last);
                        Self::In(column, negated, values)
                    }
                };
                match (null, negated) {
                    (false, _) => list,
                    (true, false) => Self::Any(vec![list, Self::Null(column, true)]),
                    (true, true) => Self::All(vec![list, Self::Null(column, false)]),
                }
            }
            other @ (Self::Compare(..) | Self::Null(..) | Self::Text(..)) => other,
        }
    }

    fn group(parts: Vec<Self>, all: bool) -> Self {
        let mut flat = Vec::with_capacity(parts.len());
        for part in parts.into_iter().map(Self::normal) {
            match (part, all) {
                (Self::All(inner), true) | (Self::Any(inner), false) => flat.extend(inner),
                (part, _) => flat.push(part),
            }
        }
        match (flat.len(), all) {
            (1, _) => flat.swap_remove(0),
            (_, true) => Self::All(flat),
            (_, false) => Self::Any(flat),
        }
    }

    /// How deep it nests: 1 for a single comparison.
    #[must_use]
    pub fn depth(&self) -> usize {
        match self {
            Self::All(parts) | Self::Any(parts) => {
                parts.iter().map(Self::depth).max().unwrap_or(0).saturating_add(1)
            }
            Self::Not(inner) => inner.depth().saturating_add(1),
            Self::Compare(..) | Self::In(..) | Self::Null(..) | Self::Text(..) => 1,
        }
    }
}

/// A condition on the rows of model `M`, made by its [columns](crate::Column) and put together with `and`, `or`, `not`.
///
/// # Examples
///
/// ```
/// # use pie::prelude::*;
/// # #[derive(Debug, Clone, Model)]
/// # struct User { #[pie(id, auto)] id: i64, status: String, age: i32 }
/// let filter = User::STATUS.eq("active").and(User::AGE.ge(18).or(User::AGE.lt(3))).not();
/// # let _ = filter;
/// ```
#[must_use = "a filter does nothing until a query takes it"]
pub struct Filter<M> {
    pub(crate) condition: Condition,
    model: PhantomData<fn() -> M>,
}

impl<M> Clone for Filter<M> {
    fn clone(&self) -> Self {
        Self { condition: self.condition.clone(), model: PhantomData }
    }
}

impl<M> fmt::Debug for Filter<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.condition.fmt(f)
    }
}

impl<M> From<Condition> for Filter<M> {
    fn from(condition: Condition) -> Self {
        Self { condition, model: PhantomData }
    }
}

impl<M: Model> Filter<M> {
    /// Rows that fulfil both.
    pub fn and(self, other: Self) -> Self {
        // Grows one group, so that a long chain does not nest.
        match self.condition {
            Condition::All(mut parts) => {
                parts.push(other.condition);
                Condition::All(parts).into()
            }
            first => Condition::All(vec![first, other.condition]).into(),
        }
    }

    /// Rows that fulfil one or both.
    pub fn or(self, other: Self) -> Self {
        match self.condition {
            Condition::Any(mut parts) => {
                parts.push(other.condition);
                Condition::Any(parts).into()
            }
            first => Condition::Any(vec![first, other.condition]).into(),
        }
    }

    /// Rows that do not fulfil it. A row for which a comparison met a `NULL` fulfils neither it nor its opposite.
    #[allow(clippy::should_implement_trait, reason = "reads as `and` and `or` do; `!filter` works as well")]
    pub fn not(self) -> Self {
        Condition::Not(Box::new(self.condition)).into()
    }

    /// Rows that fulfil all of them; every row when there are none.
    pub fn all(filters: impl IntoIterator<Item = Self>) -> Self {
        Condition::All(filters.into_iter().map(|filter| filter.condition).collect()).into()
    }

    /// Rows that fulfil any of them; no row when there are none.
    pub fn any(filters: impl IntoIterator<Item = Self>) -> Self {
        Condition::Any(filters.into_iter().map(|filter| filter.condition).collect()).into()
    }
}

impl<M: Model> std::ops::Not for Filter<M> {
    type Output = Self;

    fn not(self) -> Self {
        Filter::not(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn eq(column: usize, value: i64) -> Condition {
        Condition::Compare(column, Comparison::Eq, Datum::Int(value))
    }

    #[test]
    fn nested_groups_become_one_and_single_ones_vanish() {
        let nested = Condition::All(vec![
            Condition::All(vec![eq(0, 1), Condition::All(vec![eq(1, 2)])]),
            Condition::Any(vec![eq(2, 3)]),
        ]);
        assert_eq!(nested.normal(), Condition::All(vec![eq(0, 1), eq(1, 2), eq(2, 3)]));
    }

    #[test]
    fn null_leaves_comparisons_and_lists() {
        assert_eq!(Condition::Compare(0, Comparison::Eq, Datum::Null).normal(), Condition::Null(0, true));
        assert_eq!(
            Condition::In(0, true, vec![Datum::Null, Datum::Int(1), Datum::Int(2)]).normal(),
            Condition::All(vec![
                Condition::In(0, true, vec![Datum::Int(1), Datum::Int(2)]),
                Condition::Null(0, false)
            ])
        );
        assert_eq!(Condition::In(0, false, vec![Datum::Int(1)]).normal(), eq(0, 1));
    }
}
