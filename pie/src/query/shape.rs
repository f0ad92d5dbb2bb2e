//! Shapes of answers: what a query gives, how it is built from rows, stored and read back.

use std::any::Any;
use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;

use super::cached::Cached;
use super::told::Told;
use crate::cache::chain::Seen;
use crate::cache::entry::{AnyValue, Payload, ValueCodec};
use crate::codec::{CodecId, Decoder, Encoder};
use crate::database::Row;
use crate::error::{Error, ErrorKind, Result};
use crate::layers::memory::Sight;
use crate::model::{Datum, Model, RowReader, Value, row_values};

/// What the database is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fetch {
    Rows,
    Count,
    Exists,
    Page,
    Distinct,
}

impl Fetch {
    /// Whether order, limit and offset change the answer.
    pub(crate) fn windowed(self) -> bool {
        matches!(self, Self::Rows | Self::Page | Self::Distinct)
    }
}

/// What the database gave.
#[derive(Debug)]
pub(crate) struct Loaded {
    pub(crate) rows: Vec<Row>,
    /// For a page: how many rows there are in all.
    pub(crate) total: u64,
    /// For a page: which one, and of what size.
    pub(crate) page: (u64, u64),
}

/// Everything the read path needs to know of a shape, without knowing the model's type.
#[doc(hidden)]
pub struct ShapeTable {
    pub(crate) kind: u8,
    pub(crate) word: &'static str,
    pub(crate) fetch: Fetch,
    pub(crate) build: fn(Loaded) -> Result<Payload>,
    pub(crate) codec: ValueCodec,
}

impl fmt::Debug for ShapeTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ShapeTable").field("word", &self.word).finish_non_exhaustive()
    }
}

/// An answer of the read path, not yet in its shape.
#[doc(hidden)]
pub struct Answer {
    pub(crate) value: Share,
    pub(crate) empty: bool,
    pub(crate) told: Told,
}

impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Answer").field("source", &self.told.source()).finish_non_exhaustive()
    }
}

/// A value of an answer.
pub(crate) enum Share {
    /// A share of it.
    Own(AnyValue),
    /// In memory, where it is.
    Lent(Sight),
}

impl Answer {
    /// What memory has, left where it is.
    #[inline(always)]
    pub(crate) fn lent(sight: Sight, told: Told) -> Self {
        let empty = sight.entry().is_empty();
        Self { value: Share::Lent(sight), empty, told }
    }

    /// What memory has, as a share of its own: for many answers at once, more than a thread can borrow without counting.
    pub(crate) fn owned(seen: Seen) -> Self {
        let Seen { sight, told, .. } = seen;
        let (value, empty) = (Arc::clone(sight.entry().value()), sight.entry().is_empty());
        Self { value: Share::Own(value), empty, told }
    }

    #[inline(always)]
    fn cached<T: Send + Sync + 'static>(self) -> Result<Cached<T>> {
        let told = self.told;
        let cached = match self.value {
            Share::Own(value) => value.downcast::<T>().ok().map(|value| Cached::told(value, told)),
            Share::Lent(sight) => Cached::lent(sight, told),
        };
        cached.ok_or_else(mixed_up)
    }

    #[inline(always)]
    fn optional<T: Send + Sync + 'static>(self) -> Result<Option<Cached<T>>> {
        if self.empty { Ok(None) } else { self.cached().map(Some) }
    }

    fn number(self) -> Result<u64> {
        let value = match &self.value {
            Share::Own(value) => value,
            Share::Lent(sight) => sight.entry().value(),
        };
        value.downcast_ref::<u64>().copied().ok_or_else(mixed_up)
    }
}

/// The key holds the fingerprint of the shape: this takes two models that agree in name, table and all columns.
fn mixed_up() -> Error {
    Error::new(
        ErrorKind::Decode,
        "a cached value of another type under the same key: two models share one name and shape",
    )
}

mod sealed {
    pub trait Sealed {}
}

/// What a [`Query`](super::Query) gives: see the marker types [`Rows`], [`First`], [`One`], [`Required`], [`Count`],
/// [`Exists`] and [`Paged`].
pub trait Shape<M: Model>: sealed::Sealed + 'static {
    /// What awaiting the query gives.
    type Output;
    #[doc(hidden)]
    const TABLE: &'static ShapeTable;
    #[doc(hidden)]
    fn finish(answer: Answer) -> Result<Self::Output>;
}

macro_rules! markers {
    ($($(#[$doc:meta])* $name:ident),* $(,)?) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, Copy)]
        pub enum $name {}
        impl sealed::Sealed for $name {}
    )*};
}

markers! {
    /// All rows: [`Cached<Vec<M>>`](Cached).
    Rows,
    /// The first row or none: `Option<Cached<M>>`.
    First,
    /// The only row or none: `Option<Cached<M>>`; more than one is an error.
    One,
    /// How many rows there are: `u64`.
    Count,
    /// Whether there is any row: `bool`.
    Exists,
    /// One page of the rows, and how many there are in all: [`Cached<Page<M>>`](Page).
    Paged,
}

/// The row itself: `Cached<M>`; none is [`ErrorKind::NotFound`].
#[derive(Debug, Clone, Copy)]
pub struct Required<S>(PhantomData<fn() -> S>);
impl<S> sealed::Sealed for Required<S> {}

/// The values that a column has: [`Cached<Vec<T>>`](Cached).
#[derive(Debug, Clone, Copy)]
pub struct Distinct<T>(PhantomData<fn() -> T>);
impl<T> sealed::Sealed for Distinct<T> {}

/// "No such row", as a value.
struct Absent;

/// One page of a query.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Page<M> {
    /// The rows of this page.
    pub rows: Vec<M>,
    /// How many rows there are on all pages together.
    pub total: u64,
    /// The number of this page; the first is 1.
    pub number: u64,
    /// How many rows a page has at most.
    pub size: u64,
}

impl<M> Page<M> {
    /// How many pages there are.
    #[must_use]
    pub fn pages(&self) -> u64 {
        self.total.div_ceil(self.size.max(1))
    }
}

fn models<M: Model>(rows: Vec<Row>) -> Result<Vec<M>> {
    rows.into_iter().map(|row| RowReader::new(M::SCHEMA, row).and_then(M::from_row)).collect()
}

fn put_row<M: Model>(out: &mut Encoder, row: &M) -> Option<()> {
    out.row(&row_values(row).ok()?);
    Some(())
}

fn take_row<M: Model>(input: &mut Decoder<'_>) -> Option<M> {
    let values = input.cells()?;
    RowReader::of(M::SCHEMA, values).and_then(M::from_row).ok()
}

fn put_rows<M: Model>(out: &mut Encoder, rows: &[M]) -> Option<()> {
    out.uint(rows.len() as u64);
    rows.iter().try_for_each(|row| put_row(out, row))
}

fn take_rows<M: Model>(input: &mut Decoder<'_>) -> Option<Vec<M>> {
    let count = usize::try_from(input.uint()?).ok()?;
    // A row takes a byte at least: a forged count cannot make this allocate much.
    let mut rows = Vec::with_capacity(count.min(input.rest().len()));
    for _ in 0..count {
        rows.push(take_row(input)?);
    }
    Some(rows)
}

fn weigh_row<M: Model>(row: &M) -> usize {
    size_of::<M>() + row.heap_size()
}

fn weigh_rows<M: Model>(rows: &[M]) -> usize {
    size_of::<Vec<M>>() + rows.iter().map(weigh_row).sum::<usize>()
}

type Dynamic = dyn Any + Send + Sync;

fn absent() -> Payload {
    Payload { value: Arc::new(Absent), empty: true }
}

fn of_row<M: Model>(row: Option<M>) -> Payload {
    row.map_or_else(absent, |row| Payload { value: Arc::new(row), empty: false })
}

const fn row_codec<M: Model>() -> ValueCodec {
    ValueCodec {
        id: CodecId::Rows,
        encode: |value: &Dynamic| {
            let mut out = Encoder::new();
            if let Some(row) = value.downcast_ref::<M>() {
                out.uint(1);
                put_row(&mut out, row)?;
            } else {
                out.uint(0);
            }
            Some(out.into_bytes())
        },
        decode: |bytes| {
            let mut input = Decoder::new(bytes);
            let row = match input.uint()? {
                0 => None,
                _ => Some(take_row::<M>(&mut input)?),
            };
            input.rest().is_empty().then(|| of_row(row))
        },
        weigh: |value: &Dynamic| value.downcast_ref::<M>().map_or(0, weigh_row),
        tags: None,
    }
}

/// The codec of single rows, which finders and `find_by_ids` share.
pub(crate) fn single_row<M: Model>() -> &'static ShapeTable {
    <First as Shape<M>>::TABLE
}

impl<M: Model> Shape<M> for First {
    type Output = Option<Cached<M>>;
    const TABLE: &'static ShapeTable = &ShapeTable {
        kind: 1,
        word: "first",
        fetch: Fetch::Rows,
        build: |loaded| Ok(of_row(models::<M>(loaded.rows)?.into_iter().next())),
        codec: row_codec::<M>(),
    };

    #[inline(always)]
    fn finish(answer: Answer) -> Result<Self::Output> {
        answer.optional()
    }
}

impl<M: Model> Shape<M> for One {
    type Output = Option<Cached<M>>;
    const TABLE: &'static ShapeTable = &ShapeTable {
        kind: 2,
        word: "one",
        fetch: Fetch::Rows,
        build: |loaded| {
            if loaded.rows.len() > 1 {
                return Err(Error::new(
                    ErrorKind::TooManyRows,
                    "more than one row matches: use `first()` where that is meant",
                ));
            }
            Ok(of_row(models::<M>(loaded.rows)?.into_iter().next()))
        },
        codec: row_codec::<M>(),
    };

    #[inline(always)]
    fn finish(answer: Answer) -> Result<Self::Output> {
        answer.optional()
    }
}

impl<M: Model, S: Shape<M, Output = Option<Cached<M>>>> Shape<M> for Required<S> {
    type Output = Cached<M>;
    const TABLE: &'static ShapeTable = S::TABLE;

    #[inline(always)]
    fn finish(answer: Answer) -> Result<Self::Output> {
        S::finish(answer)?.ok_or_else(|| Error::new(ErrorKind::NotFound, "there is no such row"))
    }
}

/// The kind of lists of rows.
pub(crate) const ROWS: u8 = 3;

impl<M: Model> Shape<M> for Rows {
    type Output = Cached<Vec<M>>;
    const TABLE: &'static ShapeTable = &ShapeTable {
        kind: ROWS,
        word: "find",
        fetch: Fetch::Rows,
        build: |loaded| {
            let rows = models::<M>(loaded.rows)?;
            Ok(Payload { empty: rows.is_empty(), value: Arc::new(rows) })
        },
        codec: ValueCodec {
            id: CodecId::Rows,
            encode: |value| {
                let mut out = Encoder::new();
                put_rows(&mut out, value.downcast_ref::<Vec<M>>()?)?;
                Some(out.into_bytes())
            },
            decode: |bytes| {
                let mut input = Decoder::new(bytes);
                let rows = take_rows::<M>(&mut input)?;
                input.rest().is_empty().then(|| Payload { empty: rows.is_empty(), value: Arc::new(rows) })
            },
            weigh: |value| value.downcast_ref::<Vec<M>>().map_or(0, |rows| weigh_rows(rows)),
            tags: None,
        },
    };

    #[inline(always)]
    fn finish(answer: Answer) -> Result<Self::Output> {
        answer.cached()
    }
}

const NUMBER: ValueCodec = ValueCodec {
    id: CodecId::Rows,
    encode: |value| {
        let mut out = Encoder::new();
        out.uint(*value.downcast_ref::<u64>()?);
        Some(out.into_bytes())
    },
    decode: |bytes| {
        let mut input = Decoder::new(bytes);
        let number = input.uint()?;
        input.rest().is_empty().then(|| of_number(number))
    },
    weigh: |_| size_of::<u64>(),
    tags: None,
};

fn of_number(number: u64) -> Payload {
    Payload { value: Arc::new(number), empty: number == 0 }
}

/// The one integer of a count.
pub(crate) fn number(rows: &[Row]) -> Result<u64> {
    match rows.first().map(Vec::as_slice) {
        Some([Datum::Int(count)]) => Ok(count.cast_unsigned()),
        Some([Datum::Bool(any)]) => Ok(u64::from(*any)),
        _ => Err(Error::new(ErrorKind::Decode, "the database gave no number for a count")),
    }
}

impl<M: Model> Shape<M> for Count {
    type Output = u64;
    const TABLE: &'static ShapeTable = &ShapeTable {
        kind: 4,
        word: "count",
        fetch: Fetch::Count,
        build: |loaded| number(&loaded.rows).map(of_number),
        codec: NUMBER,
    };

    #[inline(always)]
    fn finish(answer: Answer) -> Result<Self::Output> {
        answer.number()
    }
}

impl<M: Model> Shape<M> for Exists {
    type Output = bool;
    const TABLE: &'static ShapeTable = &ShapeTable {
        kind: 5,
        word: "exists",
        fetch: Fetch::Exists,
        build: |loaded| number(&loaded.rows).map(of_number),
        codec: NUMBER,
    };

    #[inline(always)]
    fn finish(answer: Answer) -> Result<Self::Output> {
        answer.number().map(|number| number != 0)
    }
}

fn of_values<T: Send + Sync + 'static>(values: Vec<T>) -> Payload {
    Payload { empty: values.is_empty(), value: Arc::new(values) }
}

impl<M: Model, T: Value + Send + Sync + 'static> Shape<M> for Distinct<T> {
    type Output = Cached<Vec<T>>;
    const TABLE: &'static ShapeTable = &ShapeTable {
        kind: 7,
        word: "distinct",
        fetch: Fetch::Distinct,
        build: |loaded| {
            let values = loaded.rows.into_iter().filter_map(|row| row.into_iter().next()).map(T::from_datum);
            let values = values.collect::<std::result::Result<Vec<T>, _>>().map_err(|error| {
                let table = M::SCHEMA.table;
                Error::new(ErrorKind::Decode, format!("a column of table `{table}` {error}"))
                    .with_source(error)
            })?;
            Ok(of_values(values))
        },
        codec: ValueCodec {
            id: CodecId::Rows,
            encode: |value| {
                let values = value.downcast_ref::<Vec<T>>()?;
                let mut out = Encoder::new();
                out.row(&values.iter().map(Value::to_datum).collect::<Vec<_>>());
                Some(out.into_bytes())
            },
            decode: |bytes| {
                let mut input = Decoder::new(bytes);
                let values = input.row()?;
                let values =
                    values.into_iter().map(T::from_datum).collect::<std::result::Result<Vec<T>, _>>();
                input.rest().is_empty().then(|| values.ok().map(of_values)).flatten()
            },
            weigh: |value| {
                value.downcast_ref::<Vec<T>>().map_or(0, |values| {
                    let heap: usize = values.iter().map(Value::heap_bytes).sum();
                    size_of::<Vec<T>>() + values.len() * size_of::<T>() + heap
                })
            },
            tags: None,
        },
    };

    #[inline(always)]
    fn finish(answer: Answer) -> Result<Self::Output> {
        answer.cached()
    }
}

fn of_page<M: Model>(page: Page<M>) -> Payload {
    Payload { empty: page.rows.is_empty(), value: Arc::new(page) }
}

impl<M: Model> Shape<M> for Paged {
    type Output = Cached<Page<M>>;
    const TABLE: &'static ShapeTable = &ShapeTable {
        kind: 6,
        word: "page",
        fetch: Fetch::Page,
        build: |loaded| {
            let (number, size) = loaded.page;
            Ok(of_page(Page { rows: models::<M>(loaded.rows)?, total: loaded.total, number, size }))
        },
        codec: ValueCodec {
            id: CodecId::Rows,
            encode: |value| {
                let page = value.downcast_ref::<Page<M>>()?;
                let mut out = Encoder::new();
                [page.total, page.number, page.size].into_iter().for_each(|number| out.uint(number));
                put_rows(&mut out, &page.rows)?;
                Some(out.into_bytes())
            },
            decode: |bytes| {
                let mut input = Decoder::new(bytes);
                let (total, number, size) = (input.uint()?, input.uint()?, input.uint()?);
                let rows = take_rows::<M>(&mut input)?;
                input.rest().is_empty().then(|| of_page(Page { rows, total, number, size }))
            },
            weigh: |value| {
                value
                    .downcast_ref::<Page<M>>()
                    .map_or(0, |page| size_of::<Page<M>>() + weigh_rows(&page.rows))
            },
            tags: None,
        },
    };

    #[inline(always)]
    fn finish(answer: Answer) -> Result<Self::Output> {
        answer.cached()
    }
}
