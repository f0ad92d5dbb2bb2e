//! Values as BSON, and documents as rows.
//!
//! `NULL` is a field that is not there: so it is to unique indexes, which would take one `null` for equal to the other.

use std::borrow::Cow;
use std::fmt::Write as _;

use ::mongodb::bson::spec::BinarySubtype;
use ::mongodb::bson::{Binary, Bson, DateTime as BsonDateTime, Document, oid::ObjectId};
use chrono::{DateTime, Datelike, NaiveTime, Timelike, Utc};

use crate::database::Row;
use crate::error::{Error, ErrorKind, Result};
use crate::model::fingerprint::fingerprint;
use crate::model::value::wrong;
use crate::model::{ColumnType, Datum, HeapSize, Schema, Value, ValueError};

/// An id that a program or MongoDB makes, as the 12 bytes it is.
///
/// In SQL databases it is stored as bytes. `#[pie(id, auto)]` on one asks for a database that makes them, which MongoDB is.
impl HeapSize for ObjectId {
    fn heap_size(&self) -> usize {
        0
    }
}

impl Value for ObjectId {
    const TYPE: ColumnType = ColumnType::ObjectId;
    const SHAPE: u64 = fingerprint("bson::oid::ObjectId");

    fn to_datum(&self) -> Datum<'_> {
        Datum::Bytes(Cow::Owned(self.bytes().to_vec()))
    }

    fn from_datum(datum: Datum<'static>) -> Result<Self, ValueError> {
        match datum {
            Datum::Bytes(bytes) => <[u8; 12]>::try_from(&*bytes)
                .map(Self::from_bytes)
                .map_err(|_| ValueError::Content("holds bytes that are no ObjectId: it has 12".into())),
            other => Err(wrong("an ObjectId", &other)),
        }
    }
}

/// The name of the id in every document.
pub(super) const ID: &str = "_id";

/// Where a column is in a document: the id is `_id`, and one of several columns is a document of them.
pub(super) fn path(schema: &'static Schema, at: usize) -> Result<Cow<'static, str>> {
    let Some(def) = schema.columns.get(at) else {
        return Err(Error::new(ErrorKind::InvalidQuery, "a column of another model").with_model(schema.model));
    };
    Ok(match schema.id.columns {
        [id] if *id == at => Cow::Borrowed(ID),
        ids if ids.contains(&at) => Cow::Owned(format!("{ID}.{}", def.name)),
        _ => Cow::Borrowed(def.name),
    })
}

/// A value of a column as it is stored.
///
/// # Errors
/// [`ErrorKind::InvalidValue`], naming the column.
pub(super) fn stored(schema: &'static Schema, at: usize, datum: &Datum<'_>) -> Result<Bson> {
    let ty = schema.columns.get(at).map(|def| def.ty);
    bson(datum, ty).map_err(|what| {
        let name = schema.columns.get(at).map_or("?", |def| def.name);
        Error::new(ErrorKind::InvalidValue, format!("MongoDB cannot hold {what}"))
            .with_model(schema.model)
            .with_column(name)
    })
}

/// A value for a column of this type. What is finer than a millisecond is cut.
fn bson(datum: &Datum<'_>, ty: Option<ColumnType>) -> Result<Bson, &'static str> {
    Ok(match datum {
        Datum::Null => Bson::Null,
        Datum::Bool(v) => Bson::Boolean(*v),
        Datum::Int(v) => Bson::Int64(*v),
        Datum::UInt(_) => return Err("an integer above i64::MAX"),
        Datum::Float(v) => Bson::Double(*v),
        Datum::Text(v) => Bson::String(v.to_string()),
        Datum::Bytes(v) => match <[u8; 12]>::try_from(&**v) {
            Ok(id) if ty == Some(ColumnType::ObjectId) => Bson::ObjectId(ObjectId::from_bytes(id)),
            _ => Bson::Binary(Binary { subtype: BinarySubtype::Generic, bytes: v.to_vec() }),
        },
        Datum::Uuid(v) => Bson::Binary(Binary { subtype: BinarySubtype::Uuid, bytes: v.as_bytes().to_vec() }),
        Datum::Date(v) => {
            four_digits(v.year())?;
            Bson::String(v.to_string())
        }
        Datum::Time(v) => Bson::String(time_text(*v)),
        Datum::DateTime(v) => moment(v.and_utc())?,
        Datum::Timestamp(v) => moment(*v)?,
        Datum::Json(text) => {
            let value: serde_json::Value = serde_json::from_str(text).map_err(|_| "text that is no JSON")?;
            json(value)?
        }
    })
}

/// The years that all databases have.
fn four_digits(year: i32) -> Result<(), &'static str> {
    if (0..=9999).contains(&year) { Ok(()) } else { Err("a year outside 0 to 9999") }
}

fn moment(time: DateTime<Utc>) -> Result<Bson, &'static str> {
    four_digits(time.year())?;
    Ok(Bson::DateTime(BsonDateTime::from_millis(time.timestamp_millis())))
}

/// Six digits always, so that the order of the texts is that of the times.
fn time_text(time: NaiveTime) -> String {
    let (hour, minute, second) = (time.hour(), time.minute(), time.second());
    format!("{hour:02}:{minute:02}:{second:02}.{:06}", (time.nanosecond() / 1_000).min(999_999))
}

/// The part of a moment that BSON has no room for.
pub(super) fn is_finer(datum: &Datum<'_>) -> bool {
    let nanos = match datum {
        Datum::DateTime(v) => v.nanosecond(),
        Datum::Timestamp(v) => v.nanosecond(),
        _ => return false,
    };
    !nanos.is_multiple_of(1_000_000)
}

fn json(value: serde_json::Value) -> Result<Bson, &'static str> {
    use serde_json::Value as Json;
    Ok(match value {
        Json::Null => Bson::Null,
        Json::Bool(v) => Bson::Boolean(v),
        Json::Number(v) => match (v.as_i64(), v.as_f64()) {
            (Some(v), _) => Bson::Int64(v),
            (None, _) if v.is_u64() => return Err("an integer above i64::MAX in JSON"),
            (None, Some(v)) => Bson::Double(v),
            (None, None) => return Err("a number of this size in JSON"),
        },
        Json::String(v) => Bson::String(v),
        Json::Array(v) => Bson::Array(v.into_iter().map(json).collect::<Result<_, _>>()?),
        Json::Object(v) => {
            let mut out = Document::new();
            for (key, value) in v {
                if key.contains('\0') {
                    return Err("a NUL character in a key of JSON");
                }
                out.insert(key, json(value)?);
            }
            Bson::Document(out)
        }
    })
}

/// The JSON text of a value in a document; of other programs' types what JSON has for them.
fn put_json(out: &mut String, value: &Bson) -> Result<(), &'static str> {
    let text = |out: &mut String, text: &str| {
        out.push_str(&serde_json::Value::from(text).to_string());
        Ok(())
    };
    match value {
        Bson::Null | Bson::Undefined => out.push_str("null"),
        Bson::Boolean(v) => out.push_str(if *v { "true" } else { "false" }),
        Bson::Int32(v) => {
            let _ = write!(out, "{v}");
        }
        Bson::Int64(v) => {
            let _ = write!(out, "{v}");
        }
        Bson::Double(v) => match serde_json::Number::from_f64(*v) {
            Some(v) => {
                let _ = write!(out, "{v}");
            }
            None => return Err("holds a number that JSON does not have"),
        },
        Bson::String(v) | Bson::Symbol(v) => return text(out, v),
        Bson::ObjectId(v) => return text(out, &v.to_hex()),
        Bson::DateTime(v) => {
            return text(out, &v.try_to_rfc3339_string().map_err(|_| "holds a time out of range")?);
        }
        Bson::Decimal128(v) => return text(out, &v.to_string()),
        Bson::Binary(v) if v.subtype == BinarySubtype::Uuid => {
            let id = uuid::Uuid::from_slice(&v.bytes).map_err(|_| "holds a UUID of another length")?;
            return text(out, &id.to_string());
        }
        Bson::Array(v) => {
            out.push('[');
            for (at, value) in v.iter().enumerate() {
                if at > 0 {
                    out.push(',');
                }
                put_json(out, value)?;
            }
            out.push(']');
        }
        Bson::Document(v) => {
            out.push('{');
            for (at, (key, value)) in v.iter().enumerate() {
                if at > 0 {
                    out.push(',');
                }
                text(out, key)?;
                out.push(':');
                put_json(out, value)?;
            }
            out.push('}');
        }
        _ => return Err("holds something in a document that JSON does not have"),
    }
    Ok(())
}

fn json_datum(value: &Bson) -> Result<Datum<'static>, &'static str> {
    let mut out = String::new();
    put_json(&mut out, value)?;
    Ok(Datum::Json(out.into()))
}

/// A value of a document, as near to a column of this type as it is; the field of the model, which may have this type, does the rest.
pub(super) fn datum(value: Bson, ty: Option<ColumnType>) -> Result<Datum<'static>, &'static str> {
    use ColumnType as Ty;
    // What a whole number becomes in programs that have no others.
    const EXACT: f64 = 9_007_199_254_740_992.0;
    let whole = matches!(ty, Some(Ty::Int16 | Ty::Int32 | Ty::Int64 | Ty::UInt64));
    Ok(match value {
        Bson::Null | Bson::Undefined => Datum::Null,
        value if ty == Some(Ty::Json) => json_datum(&value)?,
        Bson::Boolean(v) => Datum::Bool(v),
        Bson::Int32(v) => Datum::Int(v.into()),
        Bson::Int64(v) => Datum::Int(v),
        #[allow(clippy::cast_possible_truncation, reason = "a whole number below 2^53")]
        Bson::Double(v) if whole && v.fract() == 0.0 && v.abs() <= EXACT => Datum::Int(v as i64),
        Bson::Double(v) => Datum::Float(v),
        Bson::String(v) | Bson::Symbol(v) => Datum::Text(v.into()),
        Bson::ObjectId(v) => Datum::Bytes(v.bytes().to_vec().into()),
        Bson::Binary(v) if v.subtype == BinarySubtype::Uuid && ty != Some(Ty::Bytes) => {
            Datum::Uuid(uuid::Uuid::from_slice(&v.bytes).map_err(|_| "holds a UUID of another length")?)
        }
        Bson::Binary(v) => Datum::Bytes(v.bytes.into()),
        Bson::DateTime(v) => {
            let time = DateTime::from_timestamp_millis(v.timestamp_millis());
            let time = time.ok_or("holds a time out of range")?;
            match ty {
                Some(Ty::DateTime) => Datum::DateTime(time.naive_utc()),
                // As many programs write a day.
                Some(Ty::Date) if time.time() == NaiveTime::MIN => Datum::Date(time.date_naive()),
                _ => Datum::Timestamp(time),
            }
        }
        value @ (Bson::Document(_) | Bson::Array(_)) if ty.is_none() => json_datum(&value)?,
        Bson::Document(_) => return Err("holds a document, and the field is no `#[pie(json)]`"),
        Bson::Array(_) => return Err("holds an array, and the field is no `#[pie(json)]`"),
        Bson::Decimal128(v) if ty.is_none() => Datum::Text(v.to_string().into()),
        _ => return Err("holds something of a type of BSON that pie does not read"),
    })
}

/// The row of a document that was written, in which what cannot be read is something that its field refuses: then nobody knows its names.
pub(super) fn written_row(schema: &'static Schema, document: Document) -> Row {
    columns(schema, document)
        .map(|(_, ty, value)| match datum(value.clone(), Some(ty)) {
            Ok(datum) => datum,
            Err(_) if matches!(ty, ColumnType::Text | ColumnType::Json) => Datum::Bytes(Cow::Borrowed(&[])),
            Err(_) => json_datum(&value).unwrap_or(Datum::Json(Cow::Borrowed("null"))),
        })
        .collect()
}

/// The row of a document: what is not there is `NULL`, and what is there beside the columns is left alone.
pub(super) fn row(schema: &'static Schema, document: Document) -> Result<Row> {
    columns(schema, document)
        .map(|(at, ty, value)| {
            datum(value, Some(ty)).map_err(|why| schema.error(at, ValueError::Content(why.into())))
        })
        .collect()
}

/// The columns of a document, with their types.
fn columns(
    schema: &'static Schema,
    mut document: Document,
) -> impl Iterator<Item = (usize, ColumnType, Bson)> {
    let mut ids = match document.remove(ID) {
        Some(Bson::Document(ids)) if schema.id.columns.len() > 1 => ids,
        Some(id) => Document::from_iter([(ID.to_owned(), id)]),
        None => Document::new(),
    };
    let one = schema.id.columns.len() == 1;
    schema.columns.iter().enumerate().map(move |(at, def)| {
        let found = if schema.id.columns.contains(&at) {
            ids.remove(if one { ID } else { def.name })
        } else {
            document.remove(def.name)
        };
        (at, def.ty, found.unwrap_or(Bson::Null))
    })
}

/// The document of a row of which these columns are given.
pub(super) fn document(schema: &'static Schema, columns: &[usize], row: &[Datum<'_>]) -> Result<Document> {
    if columns.len() != row.len() {
        return Err(Error::new(ErrorKind::InvalidQuery, "a row with another number of values than columns")
            .with_model(schema.model));
    }
    let (mut ids, mut out) = (Document::new(), Document::new());
    for (at, datum) in columns.iter().zip(row) {
        let value = stored(schema, *at, datum)?;
        if schema.id.columns.contains(at) {
            let name = schema.columns.get(*at).map_or(ID, |def| def.name);
            ids.insert(name, value);
        } else if !datum.is_null() {
            out.insert(path(schema, *at)?, value);
        }
    }
    Ok(with_id(id(schema, ids), out))
}

fn with_id(id: Option<Bson>, rest: Document) -> Document {
    let mut out = Document::new();
    if let Some(id) = id {
        out.insert(ID, id);
    }
    out.extend(rest);
    out
}

/// The `_id` of the values of its columns; `None` while there are none.
fn id(schema: &'static Schema, mut values: Document) -> Option<Bson> {
    let names = schema.id.columns.iter().filter_map(|at| schema.columns.get(*at)).map(|def| def.name);
    if schema.id.columns.len() == 1 {
        return names.into_iter().find_map(|name| values.remove(name));
    }
    // Documents are equal in the order of their fields alone.
    let ordered: Document =
        names.filter_map(|name| values.remove(name).map(|value| (name.to_owned(), value))).collect();
    (!ordered.is_empty()).then_some(Bson::Document(ordered))
}

/// The `_id` of a row by the values of all its columns, in the order of the schema's id.
pub(super) fn whole_id(schema: &'static Schema, values: &[&Datum<'static>]) -> Result<Bson> {
    let mut ids = Document::new();
    for (at, datum) in schema.id.columns.iter().zip(values) {
        let name = schema.columns.get(*at).map_or(ID, |def| def.name);
        ids.insert(name, stored(schema, *at, datum)?);
    }
    Ok(id(schema, ids).unwrap_or(Bson::Null))
}
