//! Values that fit in a column: the neutral [`Datum`] and the trait [`Value`] of the Rust types that become one.

use std::borrow::Cow;
use std::fmt;

use chrono::{DateTime, NaiveDate, NaiveDateTime, NaiveTime, Timelike, Utc};
use uuid::Uuid;

use super::fingerprint::fingerprint;
use super::{ColumnFacts, HeapSize};

/// The kind of column a Rust type is stored in; decides the type in `CREATE TABLE` and in messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ColumnType {
    /// `bool`.
    Bool,
    /// `i8` and `i16`.
    Int16,
    /// `u8`, `u16` and `i32`.
    Int32,
    /// `u32` and `i64`.
    Int64,
    /// `u64`; databases without unsigned integers refuse values above `i64::MAX`.
    UInt64,
    /// `f32`.
    Float32,
    /// `f64`.
    Float64,
    /// `String` and enums.
    Text,
    /// `Vec<u8>`.
    Bytes,
    /// `uuid::Uuid`.
    Uuid,
    /// `chrono::NaiveDate`.
    Date,
    /// `chrono::NaiveTime`, in microseconds.
    Time,
    /// `chrono::NaiveDateTime`, in microseconds.
    DateTime,
    /// `chrono::DateTime<Utc>`, in microseconds.
    Timestamp,
    /// `serde_json::Value` and `#[pie(json)]` fields.
    Json,
    /// `bson::oid::ObjectId`: 12 bytes.
    ObjectId,
}

/// One value on its way to or from a database, in a form that all databases share.
///
/// Times have whole microseconds; finer parts are cut off when a value becomes a `Datum`, so that what is written, what
/// is asked for and what comes back are the same.
#[derive(Clone, PartialEq)]
#[non_exhaustive]
// As of `Few`: a byte of its own tells which it is.
#[repr(u8)]
pub enum Datum<'a> {
    /// `NULL`.
    Null,
    /// A truth value.
    Bool(bool),
    /// Any integer that fits.
    Int(i64),
    /// An unsigned integer above `i64::MAX`; smaller ones are [`Datum::Int`].
    UInt(u64),
    /// A floating point number.
    Float(f64),
    /// Text.
    Text(Cow<'a, str>),
    /// Bytes.
    Bytes(Cow<'a, [u8]>),
    /// A UUID.
    Uuid(Uuid),
    /// A day.
    Date(NaiveDate),
    /// A time of the day.
    Time(NaiveTime),
    /// A day and a time without a zone.
    DateTime(NaiveDateTime),
    /// A moment.
    Timestamp(DateTime<Utc>),
    /// JSON, as text.
    Json(Cow<'a, str>),
}

impl Datum<'_> {
    /// The same value with everything it borrowed copied.
    #[must_use]
    #[inline]
    pub fn into_owned(self) -> Datum<'static> {
        match self {
            Datum::Null => Datum::Null,
            Datum::Bool(v) => Datum::Bool(v),
            Datum::Int(v) => Datum::Int(v),
            Datum::UInt(v) => Datum::UInt(v),
            Datum::Float(v) => Datum::Float(v),
            Datum::Text(v) => Datum::Text(Cow::Owned(v.into_owned())),
            Datum::Bytes(v) => Datum::Bytes(Cow::Owned(v.into_owned())),
            Datum::Uuid(v) => Datum::Uuid(v),
            Datum::Date(v) => Datum::Date(v),
            Datum::Time(v) => Datum::Time(v),
            Datum::DateTime(v) => Datum::DateTime(v),
            Datum::Timestamp(v) => Datum::Timestamp(v),
            Datum::Json(v) => Datum::Json(Cow::Owned(v.into_owned())),
        }
    }

    /// What kind of value this is, in one word, for messages.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Datum::Null => "NULL",
            Datum::Bool(_) => "a boolean",
            Datum::Int(_) | Datum::UInt(_) => "an integer",
            Datum::Float(_) => "a floating point number",
            Datum::Text(_) => "text",
            Datum::Bytes(_) => "bytes",
            Datum::Uuid(_) => "a UUID",
            Datum::Date(_) => "a date",
            Datum::Time(_) => "a time",
            Datum::DateTime(_) => "a date and time",
            Datum::Timestamp(_) => "a timestamp",
            Datum::Json(_) => "JSON",
        }
    }

    /// Whether this is `NULL`.
    #[must_use]
    pub fn is_null(&self) -> bool {
        matches!(self, Datum::Null)
    }
}

/// Prints the kind only: a value of a row never reaches a log through `Debug`.
impl fmt::Debug for Datum<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.kind())
    }
}

/// Why a [`Datum`] did not become a value of the wanted type.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ValueError {
    /// It was `NULL`, and the type has no room for it.
    Null,
    /// It was of another kind: what was wanted, what was found.
    Kind(&'static str, &'static str),
    /// It was of the right kind with a content the type refuses; the text says why, without the content.
    Content(Cow<'static, str>),
}

impl fmt::Display for ValueError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => f.write_str("is NULL, and the field is not an `Option`"),
            Self::Kind(wanted, found) => write!(f, "holds {found}, and the field needs {wanted}"),
            Self::Content(why) => f.write_str(why),
        }
    }
}

impl std::error::Error for ValueError {}

/// A Rust type that fits in one column.
///
/// Implemented for all integers up to 64 bit, floats, `bool`, `String`, `Vec<u8>`, `uuid::Uuid`, `chrono::NaiveDate`,
/// `NaiveTime`, `NaiveDateTime`, `DateTime<Utc>`, `serde_json::Value` and `Option` of each. Derive it for your own enums
/// and newtypes with [`#[derive(Value)]`](derive@crate::Value), which implements [`HeapSize`] as well.
///
/// A value has one form: what [`from_datum`](Self::from_datum) makes of what [`to_datum`](Self::to_datum) gives is the same value, with the
/// same form again. A type that folds letters in only one of the two would be cached under one name and invalidated under another.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be stored in a column",
    label = "not a column type",
    note = "column types are integers up to 64 bit, floats, `bool`, `String`, `Vec<u8>`, `Uuid`, chrono's `NaiveDate`, `NaiveTime`, `NaiveDateTime` and `DateTime<Utc>`, `serde_json::Value`, and `Option` of these",
    note = "for an enum or a newtype of your own write `#[derive(pie::Value)]` on it; for any serde type write `#[pie(json)]` on the field"
)]
pub trait Value: Sized + Clone + Send + Sync + 'static {
    /// The column it is stored in.
    const TYPE: ColumnType;
    /// Whether it has a form for `NULL`.
    const NULLABLE: bool = false;
    /// A hash of the shape of the type: two shapes never read each other's cached values.
    const SHAPE: u64;
    /// Whether it has two forms for `NULL`, and one would be taken for the other.
    #[doc(hidden)]
    const NESTED: bool = false;
    /// What a column of the type has.
    #[doc(hidden)]
    const FACTS: ColumnFacts = ColumnFacts::of::<Self>();

    /// The neutral form, borrowing where it can.
    fn to_datum(&self) -> Datum<'_>;

    /// The same of a value that is not needed any more.
    #[doc(hidden)]
    #[inline]
    fn into_owned_datum(self) -> Datum<'static> {
        self.to_datum().into_owned()
    }

    /// The value of a neutral form.
    ///
    /// # Errors
    /// `NULL` without room for it, another kind, or a content the type refuses.
    fn from_datum(datum: Datum<'static>) -> Result<Self, ValueError>;

    /// How many bytes it holds on the heap, for a type that is not [`HeapSize`]: as many as its neutral form.
    #[doc(hidden)]
    fn heap_bytes(&self) -> usize {
        match self.to_datum() {
            Datum::Text(text) | Datum::Json(text) => text.len(),
            Datum::Bytes(bytes) => bytes.len(),
            _ => 0,
        }
    }
}

pub(crate) fn wrong(wanted: &'static str, found: &Datum<'_>) -> ValueError {
    if found.is_null() { ValueError::Null } else { ValueError::Kind(wanted, found.kind()) }
}

macro_rules! integers {
    ($($ty:ident => $column:ident),* $(,)?) => {$(
        impl Value for $ty {
            const TYPE: ColumnType = ColumnType::$column;
            const SHAPE: u64 = fingerprint(stringify!($ty));

            #[inline]
            fn to_datum(&self) -> Datum<'_> {
                Datum::Int(i64::from(*self))
            }

            #[inline]
            fn into_owned_datum(self) -> Datum<'static> {
                Datum::Int(i64::from(self))
            }

            fn from_datum(datum: Datum<'static>) -> Result<Self, ValueError> {
                match datum {
                    Datum::Int(v) => Self::try_from(v)
                        .map_err(|_| ValueError::Content(concat!("does not fit in `", stringify!($ty), "`").into())),
                    Datum::UInt(_) => Err(ValueError::Content(concat!("does not fit in `", stringify!($ty), "`").into())),
                    other => Err(wrong("an integer", &other)),
                }
            }
        }
    )*};
}

integers!(i8 => Int16, i16 => Int16, i32 => Int32, i64 => Int64, u8 => Int32, u16 => Int32, u32 => Int64);

impl Value for u64 {
    const TYPE: ColumnType = ColumnType::UInt64;
    const SHAPE: u64 = fingerprint("u64");

    fn to_datum(&self) -> Datum<'_> {
        i64::try_from(*self).map_or(Datum::UInt(*self), Datum::Int)
    }

    fn from_datum(datum: Datum<'static>) -> Result<Self, ValueError> {
        match datum {
            Datum::Int(v) => Self::try_from(v)
                .map_err(|_| ValueError::Content("does not fit in `u64`: it is negative".into())),
            Datum::UInt(v) => Ok(v),
            other => Err(wrong("an integer", &other)),
        }
    }
}

impl Value for bool {
    const TYPE: ColumnType = ColumnType::Bool;
    const SHAPE: u64 = fingerprint("bool");

    fn to_datum(&self) -> Datum<'_> {
        Datum::Bool(*self)
    }

    fn from_datum(datum: Datum<'static>) -> Result<Self, ValueError> {
        match datum {
            Datum::Bool(v) => Ok(v),
            Datum::Int(0) => Ok(false),
            Datum::Int(1) => Ok(true),
            Datum::Int(_) => Err(ValueError::Content("holds an integer other than 0 and 1".into())),
            other => Err(wrong("a boolean", &other)),
        }
    }
}

impl Value for f64 {
    const TYPE: ColumnType = ColumnType::Float64;
    const SHAPE: u64 = fingerprint("f64");

    fn to_datum(&self) -> Datum<'_> {
        Datum::Float(*self)
    }

    fn from_datum(datum: Datum<'static>) -> Result<Self, ValueError> {
        match datum {
            Datum::Float(v) => Ok(v),
            // A REAL column gives whole numbers back as integers in some databases.
            #[allow(clippy::cast_precision_loss, reason = "the same rounding as the database's own cast")]
            Datum::Int(v) => Ok(v as f64),
            other => Err(wrong("a floating point number", &other)),
        }
    }
}

impl Value for f32 {
    const TYPE: ColumnType = ColumnType::Float32;
    const SHAPE: u64 = fingerprint("f32");

    fn to_datum(&self) -> Datum<'_> {
        Datum::Float(f64::from(*self))
    }

    fn from_datum(datum: Datum<'static>) -> Result<Self, ValueError> {
        #[allow(clippy::cast_possible_truncation, reason = "an f32 is what the field holds")]
        f64::from_datum(datum).map(|v| v as f32)
    }
}

impl Value for String {
    const TYPE: ColumnType = ColumnType::Text;
    const SHAPE: u64 = fingerprint("String");

    fn to_datum(&self) -> Datum<'_> {
        Datum::Text(Cow::Borrowed(self))
    }

    fn into_owned_datum(self) -> Datum<'static> {
        Datum::Text(Cow::Owned(self))
    }

    fn from_datum(datum: Datum<'static>) -> Result<Self, ValueError> {
        match datum {
            Datum::Text(v) | Datum::Json(v) => Ok(v.into_owned()),
            other => Err(wrong("text", &other)),
        }
    }

    fn heap_bytes(&self) -> usize {
        self.heap_size()
    }
}

impl Value for Vec<u8> {
    const TYPE: ColumnType = ColumnType::Bytes;
    const SHAPE: u64 = fingerprint("Vec<u8>");

    fn to_datum(&self) -> Datum<'_> {
        Datum::Bytes(Cow::Borrowed(self))
    }

    fn from_datum(datum: Datum<'static>) -> Result<Self, ValueError> {
        match datum {
            Datum::Bytes(v) => Ok(v.into_owned()),
            // In an answer to raw SQL, MySQL does not tell bytes from text.
            Datum::Text(v) => Ok(v.into_owned().into_bytes()),
            other => Err(wrong("bytes", &other)),
        }
    }

    fn heap_bytes(&self) -> usize {
        self.heap_size()
    }
}

impl Value for Uuid {
    const TYPE: ColumnType = ColumnType::Uuid;
    const SHAPE: u64 = fingerprint("Uuid");

    fn to_datum(&self) -> Datum<'_> {
        Datum::Uuid(*self)
    }

    fn from_datum(datum: Datum<'static>) -> Result<Self, ValueError> {
        match datum {
            Datum::Uuid(v) => Ok(v),
            Datum::Bytes(v) => Self::from_slice(&v)
                .map_err(|_| ValueError::Content("holds bytes that are not the 16 of a UUID".into())),
            // The bytes themselves, which MySQL does not tell from text: a UUID in letters is longer.
            Datum::Text(v) if v.len() == 16 => {
                Self::from_datum(Datum::Bytes(v.into_owned().into_bytes().into()))
            }
            Datum::Text(v) => {
                Self::parse_str(&v).map_err(|_| ValueError::Content("holds text that is not a UUID".into()))
            }
            other => Err(wrong("a UUID", &other)),
        }
    }
}

/// Cuts a time to whole microseconds, a leap second to the end of the second before it.
fn micros<T: Timelike>(time: T) -> T {
    let nanos = time.nanosecond().min(999_999_999) / 1_000 * 1_000;
    match time.with_nanosecond(nanos) {
        Some(cut) => cut,
        None => time,
    }
}

fn parsed<T>(text: &str, formats: &[&str], parse: fn(&str, &str) -> chrono::ParseResult<T>) -> Option<T> {
    formats.iter().find_map(|format| parse(text, format).ok())
}

fn not_a(what: &str) -> ValueError {
    ValueError::Content(format!("holds text that is not {what}").into())
}

impl Value for NaiveDate {
    const TYPE: ColumnType = ColumnType::Date;
    const SHAPE: u64 = fingerprint("NaiveDate");

    fn to_datum(&self) -> Datum<'_> {
        Datum::Date(*self)
    }

    fn from_datum(datum: Datum<'static>) -> Result<Self, ValueError> {
        match datum {
            Datum::Date(v) => Ok(v),
            Datum::Text(v) => {
                parsed(&v, &["%Y-%m-%d"], Self::parse_from_str).ok_or_else(|| not_a("a date (2026-01-31)"))
            }
            other => Err(wrong("a date", &other)),
        }
    }
}

impl Value for NaiveTime {
    const TYPE: ColumnType = ColumnType::Time;
    const SHAPE: u64 = fingerprint("NaiveTime");

    fn to_datum(&self) -> Datum<'_> {
        Datum::Time(micros(*self))
    }

    fn from_datum(datum: Datum<'static>) -> Result<Self, ValueError> {
        match datum {
            Datum::Time(v) => Ok(micros(v)),
            Datum::Text(v) => parsed(&v, &["%H:%M:%S%.f", "%H:%M"], Self::parse_from_str)
                .map(micros)
                .ok_or_else(|| not_a("a time (23:59:59)")),
            other => Err(wrong("a time", &other)),
        }
    }
}

impl Value for NaiveDateTime {
    const TYPE: ColumnType = ColumnType::DateTime;
    const SHAPE: u64 = fingerprint("NaiveDateTime");

    fn to_datum(&self) -> Datum<'_> {
        Datum::DateTime(micros(*self))
    }

    fn from_datum(datum: Datum<'static>) -> Result<Self, ValueError> {
        match datum {
            Datum::DateTime(v) => Ok(micros(v)),
            Datum::Timestamp(v) => Ok(micros(v.naive_utc())),
            Datum::Text(v) => parsed(
                &v,
                &["%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%d %H:%M:%S%.f", "%Y-%m-%d %H:%M"],
                Self::parse_from_str,
            )
            .map(micros)
            .ok_or_else(|| not_a("a date and time (2026-01-31T23:59:59)")),
            other => Err(wrong("a date and time", &other)),
        }
    }
}

impl Value for DateTime<Utc> {
    const TYPE: ColumnType = ColumnType::Timestamp;
    const SHAPE: u64 = fingerprint("DateTime<Utc>");

    fn to_datum(&self) -> Datum<'_> {
        Datum::Timestamp(micros(*self))
    }

    fn from_datum(datum: Datum<'static>) -> Result<Self, ValueError> {
        match datum {
            Datum::Timestamp(v) => Ok(micros(v)),
            // Without a zone it is UTC.
            Datum::DateTime(v) => Ok(micros(v.and_utc())),
            Datum::Text(v) => match DateTime::parse_from_rfc3339(&v) {
                Ok(time) => Ok(micros(time.with_timezone(&Utc))),
                // The form of SQLite's own CURRENT_TIMESTAMP, which is UTC.
                Err(_) => NaiveDateTime::from_datum(Datum::Text(v))
                    .map(|time| time.and_utc())
                    .map_err(|_| not_a("a timestamp (2026-01-31T23:59:59Z)")),
            },
            other => Err(wrong("a timestamp", &other)),
        }
    }
}

impl<T: Value> Value for Option<T> {
    const TYPE: ColumnType = T::TYPE;
    const NULLABLE: bool = true;
    const NESTED: bool = T::NULLABLE;
    const SHAPE: u64 = T::SHAPE.rotate_left(7) ^ fingerprint("Option");

    fn to_datum(&self) -> Datum<'_> {
        self.as_ref().map_or(Datum::Null, T::to_datum)
    }

    fn from_datum(datum: Datum<'static>) -> Result<Self, ValueError> {
        if datum.is_null() { Ok(None) } else { T::from_datum(datum).map(Some) }
    }

    fn heap_bytes(&self) -> usize {
        self.as_ref().map_or(0, T::heap_bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::super::Json;
    use super::*;

    #[test]
    fn integers_at_their_bounds_come_back_and_do_not_wrap() {
        assert_eq!(i8::from_datum(i8::MIN.to_datum().into_owned()), Ok(i8::MIN));
        assert_eq!(u64::from_datum(u64::MAX.to_datum().into_owned()), Ok(u64::MAX));
        assert!(matches!(i8::from_datum(Datum::Int(128)), Err(ValueError::Content(_))));
        assert!(matches!(u64::from_datum(Datum::Int(-1)), Err(ValueError::Content(_))));
        assert_eq!(i64::from_datum(Datum::Null), Err(ValueError::Null));
    }

    #[test]
    fn times_are_cut_to_microseconds_and_leap_seconds_stay_inside_the_second() {
        let time = NaiveTime::from_hms_nano_opt(23, 59, 59, 123_456_789).expect("valid");
        let Datum::Time(cut) = time.to_datum() else { panic!("a time") };
        assert_eq!(cut.nanosecond(), 123_456_000);
        let leap = NaiveTime::from_hms_nano_opt(23, 59, 59, 1_500_000_000).expect("valid");
        let Datum::Time(cut) = leap.to_datum() else { panic!("a time") };
        assert_eq!(cut.nanosecond(), 999_999_000);
    }

    #[test]
    fn a_json_null_is_a_null() {
        assert!(Json::datum(&None::<i32>).expect("writes").is_null());
        assert_eq!(Json::read(&Datum::Null), Ok(None::<i32>));
        assert!(matches!(Json::<i32>::read(&Datum::Null), Err(ValueError::Content(_))));
    }

    #[test]
    fn debug_never_prints_the_value() {
        assert_eq!(format!("{:?}", Datum::Text("secret".into())), "text");
    }
}
