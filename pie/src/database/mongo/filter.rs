//! Conditions as filters of documents.
//!
//! The logic of conditions has three values and that of MongoDB has two: `{age: {$ne: 3}}` holds where there is no age. So a condition is
//! said in one of two ways, where it is surely true and where it is surely false; a `NOT` asks for the other one, and stands in no filter.

use std::fmt::Write as _;

use ::mongodb::bson::{Bson, Document, Regex, doc};

use super::value::{ID, is_finer, path, stored, whole_id};
use crate::error::{Error, ErrorKind, Result};
use crate::model::{ColumnType, Datum, Schema};
use crate::plan::filter::{Comparison, Condition, TextMatch};

/// How deep a condition may nest: MongoDB takes a hundred levels.
const MAX_DEPTH: usize = 50;

/// The filter of these rows.
pub(super) fn filter(schema: &'static Schema, condition: Option<&Condition>) -> Result<Document> {
    let Some(condition) = condition else { return Ok(Document::new()) };
    if condition.depth() > MAX_DEPTH {
        let what = format!(
            "a filter nested more than {MAX_DEPTH} levels deep: use `Filter::any` and `Filter::all` over lists"
        );
        return Err(Error::new(ErrorKind::InvalidQuery, what).with_model(schema.model));
    }
    surely(schema, condition, true)
}

fn always() -> Document {
    Document::new()
}

fn never() -> Document {
    doc! { ID: { "$in": [] } }
}

/// Documents that all, or any, of these filters hold for.
fn group(parts: Vec<Document>, all: bool) -> Document {
    match <[Document; 1]>::try_from(parts) {
        Ok([one]) => one,
        Err(parts) if parts.is_empty() => {
            if all {
                always()
            } else {
                never()
            }
        }
        Err(parts) => doc! { if all { "$and" } else { "$or" }: parts },
    }
}

/// Documents for which the condition is surely true, or surely false.
fn surely(schema: &'static Schema, condition: &Condition, is: bool) -> Result<Document> {
    Ok(match condition {
        Condition::All(parts) | Condition::Any(parts) => {
            let all = matches!(condition, Condition::All(_));
            let mut rest = Vec::with_capacity(parts.len());
            let whole = if all && is { by_id(schema, parts)? } else { None };
            for part in parts {
                if !(whole.is_some() && is_id_part(schema, part)) {
                    rest.push(surely(schema, part, is)?);
                }
            }
            rest.extend(whole);
            group(rest, all == is)
        }
        Condition::Not(inner) => surely(schema, inner, !is)?,
        Condition::Compare(at, comparison, datum) => compare(schema, *at, *comparison, datum, is)?,
        Condition::In(_, negated, values) if values.is_empty() => {
            if *negated == is {
                always()
            } else {
                never()
            }
        }
        Condition::In(at, negated, values) => one_of(schema, *at, values, *negated != is)?,
        Condition::Null(at, null) => null_test(schema, *at, *null == is)?,
        // As all databases have it: a text that is there contains nothing, and one that is not does not.
        Condition::Text(at, TextMatch::StartsWith | TextMatch::EndsWith | TextMatch::Contains, text)
            if text.is_empty() =>
        {
            null_test(schema, *at, !is)?
        }
        Condition::Text(at, kind, text) => {
            let path = path(schema, *at)?;
            let regex = Bson::RegularExpression(pattern(schema, *kind, text)?);
            if is {
                doc! { path: regex }
            } else {
                doc! { path: { "$not": regex, "$ne": Bson::Null } }
            }
        }
    })
}

fn is_id_part(schema: &'static Schema, part: &Condition) -> bool {
    matches!(part, Condition::Compare(at, Comparison::Eq, _) if schema.id.columns.contains(at))
}

/// An id of several columns that is given whole: only as a whole it is found by the index of `_id`.
fn by_id(schema: &'static Schema, parts: &[Condition]) -> Result<Option<Document>> {
    if schema.id.columns.len() < 2 {
        return Ok(None);
    }
    let value = |wanted: &usize| {
        let mut found = parts.iter().filter_map(|part| match part {
            Condition::Compare(at, Comparison::Eq, value) if at == wanted => Some(value),
            _ => None,
        });
        // Two values for one column: as they stand.
        found.next().filter(|_| found.next().is_none())
    };
    let values: Option<Vec<&Datum<'static>>> = schema.id.columns.iter().map(value).collect();
    let Some(values) = values.filter(|values| !values.iter().any(|value| is_finer(value))) else {
        return Ok(None);
    };
    Ok(Some(doc! { ID: { "$eq": whole_id(schema, &values)? } }))
}

fn column_type(schema: &'static Schema, at: usize) -> Option<ColumnType> {
    schema.columns.get(at).map(|def| def.ty)
}

fn compare(
    schema: &'static Schema,
    at: usize,
    comparison: Comparison,
    datum: &Datum<'static>,
    is: bool,
) -> Result<Document> {
    use Comparison::{Eq, Ge, Gt, Le, Lt, Ne};
    if let (Eq | Ne, one) = (comparison, std::slice::from_ref(datum)) {
        return one_of(schema, at, one, (comparison == Eq) == is);
    }
    if datum.is_null() {
        // Nobody knows, of any document.
        return Ok(never());
    }
    let ty = column_type(schema, at);
    if ty == Some(ColumnType::Json) {
        let what = "MongoDB orders documents by the types in them: compare a JSON column for equality only";
        return Err(Error::new(ErrorKind::Unsupported, what).with_model(schema.model));
    }
    let (path, value) = (path(schema, at)?, stored(schema, at, datum)?);
    // What is stored has whole milliseconds: it is never equal to a finer time, and above it what is above the millisecond it is in.
    let operator = match (comparison, is_finer(datum)) {
        (Gt, _) | (Ge, true) => "$gt",
        (Ge, false) => "$gte",
        (Le, _) | (Lt, true) => "$lte",
        _ => "$lt",
    };
    if is {
        return Ok(doc! { path: { operator: value } });
    }
    if matches!(ty, Some(ColumnType::Float32 | ColumnType::Float64)) {
        // NaN is neither below a number nor above it.
        return Ok(doc! { path: { "$not": { operator: value }, "$ne": Bson::Null } });
    }
    let opposite = match operator {
        "$gt" => "$lte",
        "$gte" => "$lt",
        "$lte" => "$gt",
        _ => "$gte",
    };
    Ok(doc! { path: { opposite: value } })
}

/// Documents whose column is one of the values; or (`false`) is there and is none of them.
fn one_of(schema: &'static Schema, at: usize, values: &[Datum<'static>], is: bool) -> Result<Document> {
    let path = path(schema, at)?;
    let mut stored_values = Vec::with_capacity(values.len());
    for datum in values.iter().filter(|datum| !is_finer(datum)) {
        stored_values.push(stored(schema, at, datum)?);
    }
    if column_type(schema, at) == Some(ColumnType::Json) {
        let mut parts: Vec<Document> =
            stored_values.into_iter().map(|value| json_equal(&path, value, is)).collect();
        return Ok(if is {
            group(parts, false)
        } else {
            parts.push(null_test(schema, at, false)?);
            group(parts, true)
        });
    }
    if is {
        return Ok(match <[Bson; 1]>::try_from(stored_values) {
            Ok([one]) => doc! { path: { "$eq": one } },
            Err(all) if all.is_empty() => never(),
            Err(all) => doc! { path: { "$in": all } },
        });
    }
    stored_values.push(Bson::Null);
    Ok(doc! { path: { "$nin": stored_values } })
}

fn null_test(schema: &'static Schema, at: usize, is: bool) -> Result<Document> {
    let path = path(schema, at)?;
    let operator = if is { "$eq" } else { "$ne" };
    if column_type(schema, at) == Some(ColumnType::Json) {
        // Outside of `$expr` an array equals what one of its elements does.
        let value = doc! { "$ifNull": [format!("${path}"), Bson::Null] };
        return Ok(doc! { "$expr": { operator: [value, Bson::Null] } });
    }
    Ok(doc! { path: { operator: Bson::Null } })
}

/// Documents whose column equals this one, or (`false`) does not, as MongoDB has it: field for field in their order, and 1 equals 1.0.
///
/// In `$expr`, where an array does not equal what its elements equal.
fn json_equal(path: &str, value: Bson, is: bool) -> Document {
    let operator = if is { "$eq" } else { "$ne" };
    doc! { "$expr": { operator: [format!("${path}"), { "$literal": value }] } }
}

/// A regular expression for one of the ways to match a text; of Perl, which MongoDB takes.
fn pattern(schema: &'static Schema, kind: TextMatch, text: &str) -> Result<Regex> {
    let mut out = String::new();
    match kind {
        TextMatch::Regex => {
            return regex(schema, text.to_owned(), "");
        }
        TextMatch::Contains => put_literal(&mut out, text),
        TextMatch::StartsWith => {
            out.push('^');
            put_literal(&mut out, text);
        }
        TextMatch::EndsWith => {
            put_literal(&mut out, text);
            out.push_str("\\z");
        }
        TextMatch::Like => {
            out.push('^');
            let mut rest = text.chars();
            while let Some(next) = rest.next() {
                match next {
                    '%' => out.push_str(".*"),
                    '_' => out.push('.'),
                    '\\' => put_char(&mut out, rest.next().unwrap_or('\\')),
                    other => put_char(&mut out, other),
                }
            }
            out.push_str("\\z");
        }
    }
    // A dot is any character, also the end of a line.
    regex(schema, out, "s")
}

fn regex(schema: &'static Schema, pattern: String, options: &str) -> Result<Regex> {
    match (pattern.try_into(), options.try_into()) {
        (Ok(pattern), Ok(options)) => Ok(Regex { pattern, options }),
        _ => {
            let what = "a NUL character in a regular expression: write `\\x00`";
            Err(Error::new(ErrorKind::InvalidQuery, what).with_model(schema.model))
        }
    }
}

fn put_literal(out: &mut String, text: &str) {
    text.chars().for_each(|char| put_char(out, char));
}

fn put_char(out: &mut String, char: char) {
    match char {
        '\0' => out.push_str("\\x00"),
        char if char.is_ascii() && !char.is_ascii_alphanumeric() && !char.is_ascii_control() => {
            out.push('\\');
            out.push(char);
        }
        char if char.is_ascii_control() => {
            let _ = write!(out, "\\x{:02x}", u32::from(char));
        }
        char => out.push(char),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_are_literal_but_for_their_wildcards() {
        let of = |kind, text| pattern(&SCHEMA, kind, text).expect("a pattern").pattern.as_str().to_owned();
        assert_eq!(of(TextMatch::Like, "a%b_c\\%."), "^a.*b.c\\%\\.\\z");
        assert_eq!(of(TextMatch::StartsWith, "a.*"), "^a\\.\\*");
        assert_eq!(of(TextMatch::EndsWith, "é\n"), "é\\x0a\\z");
        assert_eq!(of(TextMatch::Contains, "\0"), "\\x00");
        assert!(pattern(&SCHEMA, TextMatch::Regex, "\0").is_err());
    }

    static SCHEMA: Schema = Schema::new(
        "User",
        "user",
        "users",
        &[
            crate::model::ColumnDef::of::<i64>("id", true),
            crate::model::ColumnDef::of::<Option<i64>>("age", false),
            crate::model::ColumnDef::of::<Option<String>>("name", false),
        ],
        crate::model::Index::new("id", "user:", &[0]),
        &[],
        &[],
        crate::model::Policy::OFF,
        0,
        || unreachable!("nothing is counted"),
    );

    #[test]
    fn a_not_asks_where_the_rest_is_surely_false_and_a_missing_field_is_neither() {
        let age = |comparison, value| Condition::Compare(1, comparison, Datum::Int(value));
        let not = |condition| Condition::Not(Box::new(condition));
        let said = |condition| filter(&SCHEMA, Some(&condition)).expect("a filter");
        assert_eq!(said(age(Comparison::Eq, 3)), doc! { "age": { "$eq": 3_i64 } });
        assert_eq!(said(age(Comparison::Ne, 3)), doc! { "age": { "$nin": [3_i64, Bson::Null] } });
        assert_eq!(said(not(age(Comparison::Ne, 3))), doc! { "age": { "$eq": 3_i64 } });
        assert_eq!(said(not(age(Comparison::Gt, 3))), doc! { "age": { "$lte": 3_i64 } });
        let both = Condition::All(vec![age(Comparison::Gt, 3), Condition::Null(2, true)]);
        assert_eq!(
            said(not(both)),
            doc! { "$or": [{ "age": { "$lte": 3_i64 } }, { "name": { "$ne": Bson::Null } }] }
        );
        assert_eq!(said(Condition::Any(Vec::new())), never());
        assert_eq!(said(not(Condition::Any(Vec::new()))), always());
    }
}
