//! A read or a write as data: what the engine runs, what a cache key is made from, what an entry depends on.
//!
//! Nothing here does I/O. A [`ReadPlan`] has a canonical form (`a AND b` is `b AND a`), so that two ways to write one
//! query share one cache entry; `depends` tells which writes would change its answer.

pub(crate) mod canonical;
pub(crate) mod depends;
pub(crate) mod few;
pub mod filter;
pub(crate) mod text;

use std::fmt;
use std::marker::PhantomData;

pub use few::Few;

use crate::model::{Datum, Index, Model, Schema};
use filter::{Comparison, Condition};

/// Smallest or greatest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// Smallest first.
    Ascending,
    /// Greatest first.
    Descending,
}

/// A column and a direction to sort a query of `M` by: `User::ID.desc()`.
pub struct OrderBy<M> {
    pub(crate) order: Order,
    model: PhantomData<fn() -> M>,
}

impl<M: Model> OrderBy<M> {
    pub(crate) fn new(column: usize, direction: Direction) -> Self {
        Self { order: Order { column, direction }, model: PhantomData }
    }
}

impl<M> Clone for OrderBy<M> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<M> Copy for OrderBy<M> {}

impl<M> fmt::Debug for OrderBy<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.order.fmt(f)
    }
}

/// A column, by its place in the schema, and a direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Order {
    /// The place of the column.
    pub column: usize,
    /// The direction.
    pub direction: Direction,
}

/// What a read asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Ask {
    /// The rows, with all columns of the schema in their order.
    Rows,
    /// One row of one integer: how many rows there are.
    Count,
    /// One row of one integer: 1 if there is any row, else 0.
    Exists,
    /// The values that the column at this place has, each once and in their order, one in each row.
    Distinct(usize),
}

/// A read of one table.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ReadPlan {
    /// The table and its columns.
    pub schema: &'static Schema,
    /// What is asked for.
    pub ask: Ask,
    /// Which rows; `None` for all.
    pub filter: Option<Condition>,
    /// In which order, for [`Ask::Rows`].
    pub order: Few<Order>,
    /// How many rows at most, for [`Ask::Rows`].
    pub limit: Option<u64>,
    /// How many rows to leave out first, for [`Ask::Rows`].
    pub offset: Option<u64>,
    /// Whether the rows are locked until the transaction ends (`SELECT … FOR UPDATE`), as they are before a write changes them. SQLite
    /// locks the whole database when the transaction begins.
    pub for_update: bool,
    /// Whether there is one row at most, because it is found by an id or a unique constraint: nobody need wait for the end of the rows.
    pub single: bool,
}

impl ReadPlan {
    pub(crate) fn rows(schema: &'static Schema, filter: Option<Condition>) -> Self {
        let (order, limit, offset) = (Few::None, None, None);
        Self { schema, ask: Ask::Rows, filter, order, limit, offset, for_update: false, single: false }
    }
}

/// A write of one table. Where `returning` is set, the written rows come back with all columns in the schema's order.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum WritePlan {
    /// Insert rows.
    Insert {
        /// The table.
        schema: &'static Schema,
        /// The places of the columns that are given.
        columns: &'static [usize],
        /// Their values, row by row.
        rows: Vec<Vec<Datum<'static>>>,
    },
    /// Insert a row, or update the one with the same values in the columns of a unique constraint. The row comes back.
    Upsert {
        /// The table.
        schema: &'static Schema,
        /// The places of the columns that are given.
        columns: &'static [usize],
        /// Their values.
        row: Vec<Datum<'static>>,
        /// The unique constraint.
        on: &'static Index,
        /// Whether a row that is there already is updated; else it is left as it is, and no row comes back.
        update: bool,
    },
    /// Set columns of some rows.
    Update {
        /// The table.
        schema: &'static Schema,
        /// Which rows; `None` for all.
        filter: Option<Condition>,
        /// The places of the columns and their new values.
        set: Vec<(usize, Datum<'static>)>,
        /// Whether the rows come back as they are now.
        returning: bool,
    },
    /// Delete some rows.
    Delete {
        /// The table.
        schema: &'static Schema,
        /// Which rows; `None` for all.
        filter: Option<Condition>,
        /// Whether the rows come back as they were.
        returning: bool,
    },
}

impl WritePlan {
    /// The table that is written.
    #[must_use]
    pub fn schema(&self) -> &'static Schema {
        match self {
            Self::Insert { schema, .. }
            | Self::Upsert { schema, .. }
            | Self::Update { schema, .. }
            | Self::Delete { schema, .. } => schema,
        }
    }
    /// The id of the one row that an update or a delete can change, column by column; `None` where it may be any number of them, and for an
    /// insert or an upsert.
    #[must_use]
    pub fn id_of_one_row(&self) -> Option<Vec<&Datum<'static>>> {
        let (Self::Update { schema, filter: Some(filter), .. }
        | Self::Delete { schema, filter: Some(filter), .. }) = self
        else {
            return None;
        };
        let parts = match filter {
            Condition::All(parts) => &parts[..],
            one => std::slice::from_ref(one),
        };
        let value = |wanted: &usize| {
            parts.iter().find_map(|part| match part {
                Condition::Compare(column, Comparison::Eq, value) if column == wanted => Some(value),
                _ => None,
            })
        };
        schema.id.columns.iter().map(value).collect()
    }
}
