//! What the SQL databases say differently: values, comparisons of text, parts of texts, locks.

use sea_query::{Expr, ExprTrait, LikeExpr, NullOrdering, SelectStatement, Value as SeaValue};

use super::{Name, column, qualified};
use crate::error::{Error, ErrorKind, Result};
use crate::model::{ColumnType, Datum, Schema};
use crate::plan::filter::TextMatch;

/// Which SQL is spoken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[allow(dead_code, reason = "each is used by the driver of its feature")]
pub(crate) enum Dialect {
    Sqlite,
    Postgres,
    MariaDb,
    MySql,
}

use Dialect::{MariaDb, MySql, Postgres, Sqlite};

/// Text as it is compared byte by byte, with what it is compared to in the same form.
pub(super) struct Bytewise {
    pub(super) column: Expr,
    pub(super) value: fn(&str) -> SeaValue,
}

fn text_value(text: &str) -> SeaValue {
    SeaValue::String(Some(text.to_owned()))
}

fn bytes_value(text: &str) -> SeaValue {
    SeaValue::Bytes(Some(text.as_bytes().to_vec()))
}

/// The four digits that all the databases have for a year.
fn four_digits(year: i32) -> Result<(), &'static str> {
    if (0..=9999).contains(&year) { Ok(()) } else { Err("a year outside 0 to 9999") }
}

impl Dialect {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Sqlite => "SQLite",
            Postgres => "PostgreSQL",
            MariaDb => "MariaDB",
            MySql => "MySQL",
        }
    }

    /// How many values a statement may bind.
    pub(crate) fn max_values(self) -> usize {
        match self {
            // SQLITE_MAX_VARIABLE_NUMBER since 3.32.
            Sqlite => 32_766,
            // The protocols count them in 16 bits.
            Postgres | MariaDb | MySql => 65_535,
        }
    }

    pub(super) fn is_mysql(self) -> bool {
        matches!(self, MariaDb | MySql)
    }

    /// An expression of this text, with one of the others at each `?`.
    pub(super) fn custom<const N: usize>(self, template: &str, parts: [Expr; N]) -> Expr {
        // A `$` without a number is the next one.
        if self == Postgres {
            Expr::cust_with_exprs(template.replace('?', "$"), parts)
        } else {
            Expr::cust_with_exprs(template.to_owned(), parts)
        }
    }

    /// The value in the form that the database stores it, for a column of this type.
    pub(crate) fn bound(self, datum: &Datum<'_>, ty: Option<ColumnType>) -> Result<SeaValue, &'static str> {
        match (self, datum) {
            (Sqlite, _) => sqlite_value(datum),
            #[cfg(any(feature = "postgres", feature = "mysql"))]
            _ => self.typed_value(datum, ty),
            #[cfg(not(any(feature = "postgres", feature = "mysql")))]
            _ => {
                let _ = ty;
                Err("values of a driver that is not switched on")
            }
        }
    }

    #[cfg(any(feature = "postgres", feature = "mysql"))]
    fn typed_value(self, datum: &Datum<'_>, ty: Option<ColumnType>) -> Result<SeaValue, &'static str> {
        use chrono::Datelike;

        let text = |text: &str| match self {
            Postgres if text.contains('\0') => Err("a NUL character in a text"),
            _ => Ok(text_value(text)),
        };
        Ok(match datum {
            Datum::Null => self.typed_null(ty),
            Datum::Bool(v) => SeaValue::Bool(Some(*v)),
            Datum::Int(v) => SeaValue::BigInt(Some(*v)),
            Datum::UInt(_) if self == Postgres => return Err("an integer above i64::MAX"),
            Datum::UInt(v) => SeaValue::BigUnsigned(Some(*v)),
            Datum::Float(v) if self.is_mysql() && !v.is_finite() => {
                return Err("NaN and infinity");
            }
            Datum::Float(v) => SeaValue::Double(Some(*v)),
            Datum::Text(v) => text(v)?,
            // In a JSON text it is written `\u0000`.
            Datum::Json(v) if self == Postgres && v.contains("\\u0000") => {
                return Err("a NUL character in JSON");
            }
            Datum::Json(v) => text(v)?,
            Datum::Bytes(v) => SeaValue::Bytes(Some(v.clone().into_owned())),
            Datum::Uuid(v) if self.is_mysql() => SeaValue::Bytes(Some(v.as_bytes().to_vec())),
            Datum::Uuid(v) => SeaValue::Uuid(Some(*v)),
            Datum::Date(v) => {
                four_digits(v.year())?;
                SeaValue::ChronoDate(Some(*v))
            }
            Datum::Time(v) => SeaValue::ChronoTime(Some(*v)),
            Datum::DateTime(v) => {
                four_digits(v.year())?;
                SeaValue::ChronoDateTime(Some(*v))
            }
            // MySQL's TIMESTAMP ends in 2038: columns are DATETIME, in UTC.
            Datum::Timestamp(v) if self.is_mysql() => {
                four_digits(v.year())?;
                SeaValue::ChronoDateTime(Some(v.naive_utc()))
            }
            Datum::Timestamp(v) => {
                four_digits(v.year())?;
                SeaValue::ChronoDateTimeUtc(Some(*v))
            }
        })
    }

    /// `NULL` of the type of a column; of no type where there is none (`Char`, which is made for nothing else).
    #[cfg(any(feature = "postgres", feature = "mysql"))]
    fn typed_null(self, ty: Option<ColumnType>) -> SeaValue {
        use ColumnType as Ty;
        match ty {
            None => SeaValue::Char(None),
            Some(Ty::Bool) => SeaValue::Bool(None),
            Some(Ty::Int16 | Ty::Int32 | Ty::Int64 | Ty::UInt64) => SeaValue::BigInt(None),
            Some(Ty::Float32 | Ty::Float64) => SeaValue::Double(None),
            Some(Ty::Text | Ty::Json) => SeaValue::String(None),
            Some(Ty::Bytes | Ty::ObjectId) => SeaValue::Bytes(None),
            Some(Ty::Uuid) if self.is_mysql() => SeaValue::Bytes(None),
            Some(Ty::Uuid) => SeaValue::Uuid(None),
            Some(Ty::Date) => SeaValue::ChronoDate(None),
            Some(Ty::Time) => SeaValue::ChronoTime(None),
            Some(Ty::DateTime) => SeaValue::ChronoDateTime(None),
            Some(Ty::Timestamp) if self.is_mysql() => SeaValue::ChronoDateTime(None),
            Some(Ty::Timestamp) => SeaValue::ChronoDateTimeUtc(None),
        }
    }

    /// The value in the form that the database stores it in a column.
    ///
    /// # Errors
    /// It cannot hold it; the error names the column.
    pub(super) fn checked(self, schema: &'static Schema, at: usize, datum: &Datum<'_>) -> Result<SeaValue> {
        let ty = schema.columns.get(at).map(|def| def.ty);
        self.bound(datum, ty).map_err(|what| {
            let name = schema.columns.get(at).map_or("?", |def| def.name);
            Error::new(ErrorKind::InvalidValue, format!("{} cannot hold {what}", self.name()))
                .with_model(schema.model)
                .with_column(name)
        })
    }

    /// A value of a column, to be bound.
    pub(super) fn value(self, schema: &'static Schema, at: usize, datum: &Datum<'_>) -> Result<Expr> {
        let ty = schema.columns.get(at).map(|def| def.ty);
        let value = Expr::val(self.checked(schema, at, datum)?);
        Ok(if self == Postgres && ty == Some(ColumnType::Json) {
            self.custom("CAST(CAST(? AS text) AS jsonb)", [value])
        } else {
            value
        })
    }

    /// A column of text as it is compared, byte by byte, whatever collation the table was made with; `None` for columns whose
    /// own equality is that already.
    pub(super) fn bytewise(self, schema: &'static Schema, at: usize) -> Result<Option<Bytewise>> {
        let column = qualified(schema, at)?;
        let Some(value) = self.exact(schema, at) else { return Ok(None) };
        let template = match self {
            // An index with the usual collation serves such a comparison as before.
            Sqlite => "? COLLATE BINARY",
            Postgres => "CAST(? AS text) COLLATE \"C\"",
            MariaDb | MySql => "CAST(CONVERT(? USING utf8mb4) AS BINARY)",
        };
        Ok(Some(Bytewise { column: self.custom(template, [column]), value }))
    }

    /// What a text is bound as where a column is compared byte by byte; `None` for columns that are not.
    pub(super) fn exact(self, schema: &'static Schema, at: usize) -> Option<fn(&str) -> SeaValue> {
        match (self, schema.columns.get(at)?.ty) {
            (Sqlite | Postgres, ColumnType::Text) => Some(text_value),
            (MariaDb | MySql, ColumnType::Text | ColumnType::Json) => Some(bytes_value),
            _ => None,
        }
    }

    /// Whether an index of a column with a collation of its own serves the plain comparison only: then both are said.
    pub(super) fn says_both(self) -> bool {
        self != Sqlite
    }

    /// Whether a text is the beginning, the end or a part of a column, or fits a pattern.
    pub(super) fn text_match(
        self,
        schema: &'static Schema,
        at: usize,
        kind: TextMatch,
        text: &str,
    ) -> Result<Expr> {
        let column = qualified(schema, at)?;
        match kind {
            TextMatch::Like => return Ok(column.like(LikeExpr::new(text).escape('\\'))),
            TextMatch::Regex => {
                let template = match self {
                    Sqlite => "? REGEXP ?",
                    Postgres => "? ~ ?",
                    MariaDb | MySql => "? REGEXP BINARY ?",
                };
                return Ok(self.custom(template, [column, Expr::val(text)]));
            }
            TextMatch::StartsWith | TextMatch::EndsWith | TextMatch::Contains => {}
        }
        if text.is_empty() {
            return Ok(column.is_not_null());
        }
        if self == Postgres && text.contains('\0') {
            // No text of the database has one.
            return Ok(self.custom("(? IS NOT NULL AND 1 = 0)", [column]));
        }
        // As bytes: no character is a pattern, none ends the text, and a character begins where its first byte does.
        let length = i64::try_from(text.len()).unwrap_or(i64::MAX);
        let Some(Bytewise { column: bytes, value }) = self.bytewise(schema, at)? else {
            return Err(Error::new(ErrorKind::InvalidQuery, "a part of a text in a column that is none")
                .with_model(schema.model));
        };
        let part = || match self {
            Sqlite => Expr::val(bytes_value(text)),
            _ => Expr::val(value(text)),
        };
        let characters = i64::try_from(text.chars().count()).unwrap_or(i64::MAX);
        let number = |number: i64| Expr::val(number);
        Ok(match (self, kind) {
            (Sqlite, TextMatch::StartsWith) => self.custom(
                "(? >= ? AND substr(CAST(? AS BLOB), 1, ?) = ?)",
                [bytes, Expr::val(text), column, number(length), part()],
            ),
            // The length first: `substr` and `instr` of empty bytes are NULL, which would be neither a match nor none.
            (Sqlite, TextMatch::EndsWith) => self.custom(
                "(length(CAST(? AS BLOB)) >= ? AND substr(CAST(? AS BLOB), ?) = ?)",
                [column.clone(), number(length), column, number(-length), part()],
            ),
            (Sqlite, _) => self.custom(
                "(length(CAST(? AS BLOB)) >= ? AND instr(CAST(? AS BLOB), ?) > 0)",
                [column.clone(), number(length), column, part()],
            ),
            (Postgres, TextMatch::StartsWith) => {
                self.custom("(? >= ? AND starts_with(?, ?))", [bytes.clone(), part(), bytes, part()])
            }
            (Postgres, TextMatch::EndsWith) => {
                self.custom("right(?, CAST(? AS integer)) = ?", [bytes, number(characters), part()])
            }
            (Postgres, _) => self.custom("strpos(?, ?) > 0", [bytes, part()]),
            (_, TextMatch::StartsWith) => self.custom("LEFT(?, ?) = ?", [bytes, number(length), part()]),
            (_, TextMatch::EndsWith) => self.custom("RIGHT(?, ?) = ?", [bytes, number(length), part()]),
            (_, _) => self.custom("INSTR(?, ?) > 0", [bytes, part()]),
        })
    }

    /// Sorts by a column, `NULL` before every value, as SQLite and MySQL have it.
    pub(super) fn order_by(
        self,
        select: &mut SelectStatement,
        schema: &'static Schema,
        at: usize,
        direction: sea_query::Order,
    ) -> Result<()> {
        let name = (Name(schema.table), column(schema, at)?);
        if self == Postgres && schema.columns.get(at).is_some_and(|def| def.nullable) {
            let nulls = match direction {
                sea_query::Order::Desc => NullOrdering::Last,
                _ => NullOrdering::First,
            };
            select.order_by_with_nulls(name, direction, nulls);
        } else {
            select.order_by(name, direction);
        }
        Ok(())
    }
}

/// The value in the form SQLite stores it.
fn sqlite_value(datum: &Datum<'_>) -> Result<SeaValue, &'static str> {
    const TIME: &str = "%H:%M:%S%.6f";
    const DATE_TIME: &str = "%Y-%m-%dT%H:%M:%S%.6f";
    Ok(match datum {
        Datum::Null => SeaValue::String(None),
        Datum::Bool(v) => SeaValue::BigInt(Some(i64::from(*v))),
        Datum::Int(v) => SeaValue::BigInt(Some(*v)),
        Datum::UInt(_) => return Err("an integer above i64::MAX"),
        Datum::Float(v) if v.is_nan() => return Err("NaN, which SQLite would store as NULL"),
        Datum::Float(v) => SeaValue::Double(Some(*v)),
        Datum::Text(v) | Datum::Json(v) => text_value(v),
        Datum::Bytes(v) => SeaValue::Bytes(Some(v.clone().into_owned())),
        Datum::Uuid(v) => SeaValue::Bytes(Some(v.as_bytes().to_vec())),
        Datum::Date(v) => {
            four_digits(chrono::Datelike::year(v))?;
            text_value(&v.format("%Y-%m-%d").to_string())
        }
        Datum::Time(v) => text_value(&v.format(TIME).to_string()),
        // Of one length, so that text order is time order and equal times are equal text.
        Datum::DateTime(v) => {
            four_digits(chrono::Datelike::year(v))?;
            text_value(&v.format(DATE_TIME).to_string())
        }
        Datum::Timestamp(v) => {
            four_digits(chrono::Datelike::year(v))?;
            text_value(&format!("{}+00:00", v.format(DATE_TIME)))
        }
    })
}
