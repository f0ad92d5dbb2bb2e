//! What a model is: columns, ids, indexes, policy and fingerprint, as constant data.
//!
//! `#[derive(Model)]` writes one [`Schema`] constant for each struct; everything else in the crate reads it. Nothing in
//! this room does I/O or knows of a cache.

pub mod column;
pub mod fingerprint;
pub mod heap;
pub mod json;
pub mod policy;
pub mod value;

use std::fmt;

use smallvec::SmallVec;

pub use column::{Arg, Column, TextColumn};
pub use heap::HeapSize;
pub use json::{Json, JsonField};
pub use policy::Policy;
pub use value::{ColumnType, Datum, Value, ValueError};

use crate::cache::groups::GroupId;
use crate::error::{Error, ErrorKind, Result};

/// One column of a [`Schema`].
#[derive(Clone, Copy)]
#[non_exhaustive]
pub struct ColumnDef {
    /// The name in the database.
    pub name: &'static str,
    /// The kind of column.
    pub ty: ColumnType,
    /// Whether it may be `NULL`.
    pub nullable: bool,
    /// Whether the database fills it in on insert.
    pub auto: bool,
    /// Brings what a database gave into the form a value of the field has: `1` into `true`, text into a time.
    pub canonical: fn(Datum<'static>) -> Result<Datum<'static>, ValueError>,
}

impl ColumnDef {
    /// The column of a field of which this is known; made by the derive.
    #[doc(hidden)]
    #[must_use]
    pub const fn new(name: &'static str, auto: bool, facts: ColumnFacts) -> Self {
        let ColumnFacts { ty, nullable, canonical } = facts;
        Self { name, ty, nullable, auto, canonical }
    }

    /// The column of a field of type `T`.
    #[cfg(test)]
    pub(crate) const fn of<T: Value>(name: &'static str, auto: bool) -> Self {
        Self::new(name, auto, T::FACTS)
    }
}

/// What a column takes from the type of its field.
#[doc(hidden)]
#[derive(Clone, Copy)]
#[allow(missing_debug_implementations, reason = "on its way from a type into a `ColumnDef`")]
pub struct ColumnFacts {
    ty: ColumnType,
    nullable: bool,
    canonical: fn(Datum<'static>) -> Result<Datum<'static>, ValueError>,
}

impl ColumnFacts {
    pub(crate) const fn of<T: Value>() -> Self {
        Self { ty: T::TYPE, nullable: T::NULLABLE, canonical: canonical::<T> }
    }

    /// Whether a database can count the column up, or make its ids.
    #[must_use]
    pub const fn counts(self) -> bool {
        use ColumnType::{Int16, Int32, Int64, ObjectId, UInt64};
        matches!(self.ty, Int16 | Int32 | Int64 | UInt64 | ObjectId) && !self.nullable
    }
}

fn canonical<T: Value>(datum: Datum<'static>) -> Result<Datum<'static>, ValueError> {
    T::from_datum(datum).map(|value| value.to_datum().into_owned())
}

impl fmt::Debug for ColumnDef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ColumnDef")
            .field("name", &self.name)
            .field("ty", &self.ty)
            .field("nullable", &self.nullable)
            .field("auto", &self.auto)
            .finish_non_exhaustive()
    }
}

/// A unique constraint, an index or the id of a [`Schema`]: the columns in it, by place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Index {
    /// The name in finders: the fields joined with `_and_`.
    pub name: &'static str,
    /// The cache-key prefix of finders over it, up to the first argument: `user:email:`.
    pub prefix: &'static str,
    /// The places of its columns.
    pub columns: &'static [usize],
    /// Which of the model it is: the id is 0, then the unique constraints, then the indexes.
    pub(crate) number: u16,
}

impl Index {
    /// An index over these columns; made by the derive.
    #[doc(hidden)]
    #[must_use]
    pub const fn new(name: &'static str, prefix: &'static str, columns: &'static [usize]) -> Self {
        Self { name, prefix, columns, number: 0 }
    }

    /// The same index as the one of this number of its model: the id is 0, then the unique constraints, then the indexes.
    #[doc(hidden)]
    #[must_use]
    pub const fn number(mut self, number: u16) -> Self {
        self.number = number;
        self
    }
}

/// Everything known of a model at compile time.
#[derive(Debug)]
#[non_exhaustive]
pub struct Schema {
    /// The struct's name.
    pub model: &'static str,
    /// The struct's name in snake_case: the family of its row keys (`user:42`).
    pub family: &'static str,
    /// The table: also the family of its list keys (`users:status:active:all`).
    pub table: &'static str,
    /// The columns, in the order of the fields.
    pub columns: &'static [ColumnDef],
    /// The id.
    pub id: Index,
    /// The unique constraints other than the id.
    pub uniques: &'static [Index],
    /// The indexes.
    pub indexes: &'static [Index],
    /// The policy of `#[cached]`.
    pub policy: Policy,
    /// A hash of the names and types of the columns.
    pub fingerprint: u64,
    /// Whether writes through pie leave the cache alone: `#[pie(invalidate = "manual")]`.
    pub manual: bool,
    /// The other models that a write of this one changes, by cascades and triggers: `#[pie(touches(Order))]`.
    pub(crate) touches: fn() -> &'static [&'static Schema],
    /// Who the values of the model are counted for.
    pub(crate) group: fn() -> &'static GroupId,
}

impl Schema {
    /// The schema of a struct; made by the derive.
    #[doc(hidden)]
    #[must_use]
    #[allow(clippy::too_many_arguments, reason = "called by generated code only, once for each model")]
    pub const fn new(
        model: &'static str,
        family: &'static str,
        table: &'static str,
        columns: &'static [ColumnDef],
        id: Index,
        uniques: &'static [Index],
        indexes: &'static [Index],
        policy: Policy,
        fingerprint: u64,
        group: fn() -> &'static GroupId,
    ) -> Self {
        let (manual, touches): (_, fn() -> &'static [&'static Self]) = (false, || &[]);
        Self {
            model,
            family,
            table,
            columns,
            id,
            uniques,
            indexes,
            policy,
            fingerprint,
            manual,
            touches,
            group,
        }
    }

    /// The same schema, whose writes leave the cache alone.
    #[doc(hidden)]
    #[must_use]
    pub const fn manual(mut self) -> Self {
        self.manual = true;
        self
    }

    /// The same schema, whose writes change these as well. A function, because two models may touch each other.
    #[doc(hidden)]
    #[must_use]
    pub const fn touching(mut self, touches: fn() -> &'static [&'static Self]) -> Self {
        self.touches = touches;
        self
    }

    /// The other models that a write of this one changes: `#[pie(touches(Order))]`.
    #[must_use]
    pub fn touches(&self) -> &'static [&'static Self] {
        (self.touches)()
    }

    /// The place of the column with this name in the database.
    #[must_use]
    pub fn position(&self, column: &str) -> Option<usize> {
        self.columns.iter().position(|def| def.name == column)
    }

    pub(crate) fn error(&self, column: usize, error: ValueError) -> Error {
        let kind = match error {
            ValueError::Null => ErrorKind::NullValue,
            ValueError::Kind(..) => ErrorKind::TypeMismatch,
            ValueError::Content(_) => ErrorKind::Decode,
        };
        let name = self.columns.get(column).map_or("?", |def| def.name);
        Error::new(kind, format!("a column of table `{}` {error}", self.table))
            .with_source(error)
            .with_model(self.model)
            .with_column(name)
    }
}

/// One row on its way from a database or a cache into a model.
#[derive(Debug)]
pub struct RowReader {
    schema: &'static Schema,
    values: Cells,
}

/// The values of a row, on the stack where they are few.
pub(crate) type Cells = SmallVec<[Datum<'static>; 8]>;

impl RowReader {
    /// A reader over the values of a row, in the order of the schema's columns.
    ///
    /// # Errors
    /// [`ErrorKind::MissingColumn`] when there are fewer or more values than columns.
    pub fn new(schema: &'static Schema, values: Vec<Datum<'static>>) -> Result<Self> {
        Self::of(schema, Cells::from_vec(values))
    }

    /// As [`new`](Self::new), of values on the stack.
    pub(crate) fn of(schema: &'static Schema, values: Cells) -> Result<Self> {
        if values.len() != schema.columns.len() {
            let (have, want) = (values.len(), schema.columns.len());
            return Err(Error::new(
                ErrorKind::MissingColumn,
                format!("a row of {have} columns instead of {want}"),
            )
            .with_model(schema.model));
        }
        Ok(Self { schema, values })
    }

    /// Takes the value of a column, by its place; each is there once, and `NULL` after that.
    #[must_use]
    pub fn take(&mut self, column: usize) -> Datum<'static> {
        self.values.get_mut(column).map_or(Datum::Null, |slot| std::mem::replace(slot, Datum::Null))
    }

    /// The error of a column whose value the type of its field refuses.
    pub fn refused(&self, column: usize) -> impl FnOnce(ValueError) -> Error + use<> {
        let schema = self.schema;
        move |error| schema.error(column, error)
    }
}

/// A struct whose values are rows of a table. Write `#[derive(Model)]`; there is no other reason to implement it.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a model",
    label = "not a model",
    note = "write `#[derive(pie::Model)]` on the struct"
)]
pub trait Model: HeapSize + Sized + Send + Sync + 'static {
    /// Everything known of the model at compile time.
    const SCHEMA: &'static Schema;

    /// The type of the id: of the field, or of several fields a tuple.
    type Id: RowId;

    /// A row without what the database fills in: the generated `New…` type.
    type New: NewRow<Model = Self>;

    /// The model of a row.
    ///
    /// # Errors
    /// A column holds something its field refuses.
    fn from_row(row: RowReader) -> Result<Self>;

    /// The value of the column at this place.
    ///
    /// # Errors
    /// A `#[pie(json)]` field that cannot be written as JSON.
    fn datum(&self, column: usize) -> Result<Datum<'_>, ValueError>;
}

/// A type that a `#[pie(skip)]` field can have: it is read as its default.
///
/// Nobody implements it by hand: every type with a `Default` has it.
#[diagnostic::on_unimplemented(
    message = "`{Self}` has no default, as which a skipped field is read",
    label = "not `Default`",
    note = "write `#[derive(Default)]` or `impl Default` for it, or remove `#[pie(skip)]`"
)]
pub trait Skipped {
    #[doc(hidden)]
    #[allow(missing_docs)]
    fn skipped() -> Self;
}
#[diagnostic::do_not_recommend]
impl<T: Default> Skipped for T {
    fn skipped() -> T {
        T::default()
    }
}

/// The id of a row: a [`Value`], or a tuple of up to 4 of them.
pub trait RowId {
    /// The values, in the order of the schema's id.
    #[doc(hidden)]
    fn data(&self) -> Vec<Datum<'_>>;
}

#[diagnostic::do_not_recommend]
impl<T: Value> RowId for T {
    fn data(&self) -> Vec<Datum<'_>> {
        vec![self.to_datum()]
    }
}

macro_rules! row_ids {
    ($($name:ident $at:tt),+) => {
        impl<$($name: Value),+> RowId for ($($name,)+) {
            fn data(&self) -> Vec<Datum<'_>> {
                vec![$(self.$at.to_datum()),+]
            }
        }
    };
}
row_ids!(A 0, B 1);
row_ids!(A 0, B 1, C 2);
row_ids!(A 0, B 1, C 2, D 3);

/// The values of a row to insert: what the generated `New…` types are.
pub trait NewRow: Send + 'static {
    /// The model it becomes.
    type Model: Model;
    /// The places of the columns it gives.
    const COLUMNS: &'static [usize];

    /// The values, in the order of [`COLUMNS`](Self::COLUMNS).
    ///
    /// # Errors
    /// A `#[pie(json)]` field that cannot be written as JSON.
    fn into_values(self) -> Result<Vec<Datum<'static>>, ValueError>;
}

/// All values of a row, owned.
pub(crate) fn row_values<M: Model>(row: &M) -> Result<Vec<Datum<'_>>> {
    (0..M::SCHEMA.columns.len())
        .map(|column| row.datum(column).map_err(|error| M::SCHEMA.error(column, error)))
        .collect()
}
