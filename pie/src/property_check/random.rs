//! Models made by chance: `Random<7>` is a model whose columns, id, unique constraints and indexes follow from the number 7.

use chrono::{DateTime, NaiveDate};
use fastrand::Rng;
use uuid::Uuid;

use crate::cache::groups::MANUAL;
use crate::error::Result;
use crate::model::fingerprint::mix as mix64;
use crate::model::{
    ColumnDef, Datum, HeapSize, Index, Model, NewRow, Policy, RowId, RowReader, Schema, Value, ValueError,
};

/// How many columns each of them has.
pub(super) const COLUMNS: usize = 7;

/// The names of the columns; some of them need quotes.
const NAMES: [&str; COLUMNS] = ["id", "select", "first name", "größe", "d", "e", "f"];

/// The type of a column's field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Int,
    Text,
    Float,
    Timestamp,
    Uuid,
    Bytes,
    Small,
    Bool,
    MaybeInt,
    MaybeText,
    MaybeFloat,
    MaybeTimestamp,
    MaybeBool,
    Date,
}

pub(super) type Moment = DateTime<chrono::Utc>;

/// Something for each kind, with its type.
macro_rules! by_kind {
    ($kind:expr, $T:ident => $what:expr) => {
        match $kind {
            Kind::Int => {
                type $T = i64;
                $what
            }
            Kind::Text => {
                type $T = String;
                $what
            }
            Kind::Float => {
                type $T = f64;
                $what
            }
            Kind::Timestamp => {
                type $T = $crate::property_check::random::Moment;
                $what
            }
            Kind::Uuid => {
                type $T = uuid::Uuid;
                $what
            }
            Kind::Bytes => {
                type $T = Vec<u8>;
                $what
            }
            Kind::Small => {
                type $T = f32;
                $what
            }
            Kind::Bool => {
                type $T = bool;
                $what
            }
            Kind::MaybeInt => {
                type $T = Option<i64>;
                $what
            }
            Kind::MaybeText => {
                type $T = Option<String>;
                $what
            }
            Kind::MaybeFloat => {
                type $T = Option<f64>;
                $what
            }
            Kind::MaybeTimestamp => {
                type $T = Option<$crate::property_check::random::Moment>;
                $what
            }
            Kind::MaybeBool => {
                type $T = Option<bool>;
                $what
            }
            Kind::Date => {
                type $T = chrono::NaiveDate;
                $what
            }
        }
    };
}
pub(super) use by_kind;

/// A number that follows from two others, while compiling.
const fn drawn(seed: u32, what: u32) -> u32 {
    let mixed = mix64(seed as u64 * 0x9e37_79b9 + 1, what as u64);
    ((mixed ^ (mixed >> 29)) >> 7) as u32
}

impl Kind {
    /// Those that an id can have come first; they have many values.
    const IDS: u32 = 6;
    const ALL: [Self; 14] = [
        Self::Int,
        Self::Text,
        Self::Float,
        Self::Timestamp,
        Self::Uuid,
        Self::Bytes,
        Self::Small,
        Self::Bool,
        Self::MaybeInt,
        Self::MaybeText,
        Self::MaybeFloat,
        Self::MaybeTimestamp,
        Self::MaybeBool,
        Self::Date,
    ];

    const fn of(seed: u32, column: usize) -> Self {
        if column == 0 && has_auto(seed) {
            return Self::Int;
        }
        let among = if column < 2 { Self::IDS } else { Self::ALL.len() as u32 };
        Self::ALL[(drawn(seed, column as u32) % among) as usize]
    }

    /// The column of this kind.
    const fn column(self, name: &'static str, auto: bool) -> ColumnDef {
        by_kind!(self, T => ColumnDef::new(name, auto, <T as Value>::FACTS))
    }

    /// A value of a few, with those that are nearly alike: letter case, trailing blanks, the two zeros, times that differ
    /// below a microsecond, `NULL`.
    pub(super) fn value(self, rng: &mut Rng) -> Datum<'static> {
        let texts = ["", "a", "A", "a ", " a", "ä", odd_text(), "%-"];
        let floats = [0.0, -0.0, 1.5, -1.5, most(), 1e-300];
        let at = rng.usize(..texts.len());
        let int = i64::try_from(rng.usize(..6)).unwrap_or(0) - 1;
        let moment = || {
            let nanos = [0, 300, 1_000, 1_700, 999_999_999][at % 5];
            DateTime::from_timestamp(1_700_000_000 + int, nanos).unwrap_or_default()
        };
        match self {
            Self::MaybeInt | Self::MaybeText | Self::MaybeFloat | Self::MaybeTimestamp | Self::MaybeBool
                if rng.u8(..3) == 0 =>
            {
                Datum::Null
            }
            Self::Int | Self::MaybeInt => int.to_datum().into_owned(),
            Self::Text | Self::MaybeText => texts[at].to_owned().to_datum().into_owned(),
            Self::Float | Self::MaybeFloat => floats[at % 6].to_datum().into_owned(),
            Self::Timestamp | Self::MaybeTimestamp => moment().to_datum().into_owned(),
            Self::Uuid => Uuid::from_u128(at as u128).to_datum().into_owned(),
            Self::Bytes => texts[at].as_bytes().to_vec().to_datum().into_owned(),
            Self::Small => [0.0_f32, -0.0, 0.1, 1e-40, 3.0][at % 5].to_datum().into_owned(),
            Self::Bool | Self::MaybeBool => (at.is_multiple_of(2)).to_datum().into_owned(),
            Self::Date => NaiveDate::from_ymd_opt(2026, 1, 1 + (at % 4) as u32)
                .unwrap_or_default()
                .to_datum()
                .into_owned(),
        }
    }
}

/// A text with a character that few databases like; PostgreSQL has none with `NUL`.
fn odd_text() -> &'static str {
    #[cfg(feature = "postgres")]
    if super::server::current() == Some(super::server::Server::Postgres) {
        return "a\u{1}";
    }
    "a\0"
}

/// The greatest number; infinity is none in MySQL.
fn most() -> f64 {
    #[cfg(feature = "mysql")]
    if matches!(super::server::current(), Some(super::server::Server::MariaDb | super::server::Server::MySql))
    {
        return f64::MAX;
    }
    f64::INFINITY
}

const fn has_auto(seed: u32) -> bool {
    drawn(seed, 100).is_multiple_of(2)
}

/// How many columns the id has: one, or two where the database does not count it up.
const fn id_length(seed: u32) -> usize {
    if has_auto(seed) || drawn(seed, 101).is_multiple_of(2) { 1 } else { 2 }
}

/// The columns of a constraint or an index, and how many of them count: numbers 0 to 1 are unique constraints, 2 to 4 indexes.
const fn index_columns(seed: u32, number: u32) -> ([usize; 3], usize) {
    let start = drawn(seed, 200 + number);
    // Three different ones: steps of 2 meet only after all seven.
    let first = (start % COLUMNS as u32) as usize;
    let columns = [first, (first + 2) % COLUMNS, (first + 4) % COLUMNS];
    (columns, 1 + (drawn(seed, 300 + number) % if number < 2 { 2 } else { 3 }) as usize)
}

/// A row of the model with this number.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Random<const SEED: u32> {
    pub(super) values: Vec<Datum<'static>>,
}

impl<const SEED: u32> Random<SEED> {
    const DEFS: [ColumnDef; COLUMNS] = {
        let mut defs = [Kind::Int.column(NAMES[0], has_auto(SEED)); COLUMNS];
        let mut at = 0;
        while at < COLUMNS {
            defs[at] = Kind::of(SEED, at).column(NAMES[at], at == 0 && has_auto(SEED));
            at += 1;
        }
        defs
    };
    const COLUMN_LISTS: [([usize; 3], usize); 5] = [
        index_columns(SEED, 0),
        index_columns(SEED, 1),
        index_columns(SEED, 2),
        index_columns(SEED, 3),
        index_columns(SEED, 4),
    ];
    const ID_COLUMNS: &'static [usize] = [0, 1].as_slice().split_at(id_length(SEED)).0;
    const fn columns(number: usize) -> &'static [usize] {
        let (columns, length): &'static ([usize; 3], usize) = match number {
            0 => &const { Self::COLUMN_LISTS[0] },
            1 => &const { Self::COLUMN_LISTS[1] },
            2 => &const { Self::COLUMN_LISTS[2] },
            3 => &const { Self::COLUMN_LISTS[3] },
            _ => &const { Self::COLUMN_LISTS[4] },
        };
        columns.as_slice().split_at(*length).0
    }
    const UNIQUES: [Index; 2] = [
        Index::new("u0", "row:u0:", Self::columns(0)).number(1),
        Index::new("u1", "row:u1:", Self::columns(1)).number(2),
    ];
    const INDEXES: [Index; 3] = [
        Index::new("x0", "rows:x0:", Self::columns(2)).number(3),
        Index::new("x1", "rows:x1:", Self::columns(3)).number(4),
        Index::new("x2", "rows:x2:", Self::columns(4)).number(5),
    ];
    const THE_SCHEMA: Schema = Schema::new(
        "Row",
        "row",
        "rows",
        &Self::DEFS,
        Index::new("id", "row:", Self::ID_COLUMNS),
        const { Self::UNIQUES.as_slice() }.split_at((drawn(SEED, 400) % 3) as usize).0,
        const { Self::INDEXES.as_slice() }.split_at((drawn(SEED, 401) % 4) as usize).0,
        Policy::ON,
        SEED as u64,
        || &MANUAL,
    );

    /// The kind of a column.
    pub(super) fn kind(column: usize) -> Kind {
        Kind::of(SEED, column)
    }
}

impl<const SEED: u32> Model for Random<SEED> {
    const SCHEMA: &'static Schema = &Self::THE_SCHEMA;
    type Id = RandomId;
    type New = NewRandom<SEED>;

    fn from_row(mut row: RowReader) -> Result<Self> {
        let value = |at: usize| {
            let datum = row.take(at);
            (Self::SCHEMA.columns[at].canonical)(datum).map_err(row.refused(at))
        };
        Ok(Self { values: (0..COLUMNS).map(value).collect::<Result<_>>()? })
    }

    fn datum(&self, column: usize) -> Result<Datum<'_>, ValueError> {
        Ok(self.values[column].clone())
    }
}

impl<const SEED: u32> HeapSize for Random<SEED> {
    fn heap_size(&self) -> usize {
        0
    }
}

/// The id of a row.
#[derive(Debug, Clone)]
pub(super) struct RandomId(pub(super) Vec<Datum<'static>>);

impl RowId for RandomId {
    fn data(&self) -> Vec<Datum<'_>> {
        self.0.clone()
    }
}

/// The values of a row to insert.
#[derive(Debug, Clone)]
pub(super) struct NewRandom<const SEED: u32>(pub(super) Vec<Datum<'static>>);

impl<const SEED: u32> NewRow for NewRandom<SEED> {
    type Model = Random<SEED>;
    const COLUMNS: &'static [usize] = {
        let all: &'static [usize; COLUMNS] = &[0, 1, 2, 3, 4, 5, 6];
        all.as_slice().split_at(has_auto(SEED) as usize).1
    };

    fn into_values(self) -> Result<Vec<Datum<'static>>, ValueError> {
        Ok(self.0)
    }
}

/// What the harness needs of a model besides that it is one.
pub(super) trait Randomly: Model<Id = RandomId> + Clone + PartialEq {
    fn kind(column: usize) -> Kind;
    fn new(values: Vec<Datum<'static>>) -> Self::New;
    fn values(&self) -> &[Datum<'static>];
}

impl<const SEED: u32> Randomly for Random<SEED> {
    fn kind(column: usize) -> Kind {
        Self::kind(column)
    }

    fn new(values: Vec<Datum<'static>>) -> NewRandom<SEED> {
        NewRandom(values)
    }

    fn values(&self) -> &[Datum<'static>] {
        &self.values
    }
}
