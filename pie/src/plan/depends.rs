//! What a read depends on and what a write of a row changes, as stamp names: section 6 of the design.

use std::borrow::Cow;

use smallvec::SmallVec;

use super::filter::{Comparison, Condition};
use super::text::{Text, push_data};
use crate::model::{ColumnType, Datum, Index, Schema};

/// How long arguments stand in a key as they are, in bytes.
pub(crate) const LONGEST: usize = 200;

/// How many values of an index a read may name before it depends on the whole table instead.
const MAX_INDEX_VALUES: usize = 4;

fn utf8(text: &Text) -> String {
    // Keys are built from UTF-8 parts and ASCII; nothing is ever cut inside a character.
    String::from_utf8(text.to_vec())
        .unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned())
}

/// `k:user:42`, or the hashed form where the arguments are long: the stamp of a row key.
pub(crate) fn key_name(index: &Index, values: &[&Datum<'_>]) -> String {
    let mut args = Text::new();
    push_data(&mut args, values.iter().copied());
    format!("k:{}", logical(index.prefix, &args, false))
}

/// A logical key: the prefix and the arguments, or `%h` and a hash of them where they are long.
///
/// A canonical form (`opaque`) is always hashed. `%h` cannot come from an argument, where `%` is escaped.
pub(crate) fn logical(prefix: &str, args: &[u8], opaque: bool) -> String {
    let mut out = String::with_capacity(prefix.len() + args.len().min(40));
    out.push_str(prefix);
    match std::str::from_utf8(args) {
        Ok(args) if !opaque && args.len() <= LONGEST => out.push_str(args),
        _ => {
            if !opaque {
                out.push_str("%h");
            }
            super::text::push_hash(&mut out, args);
        }
    }
    out
}

/// The same of a text that has both, of which the prefix is so many bytes.
pub(crate) fn logical_of(text: &[u8], prefix: usize, opaque: bool) -> Cow<'_, str> {
    let (prefix, args) = text.split_at(prefix.min(text.len()));
    match std::str::from_utf8(text) {
        Ok(text) if !opaque && args.len() <= LONGEST => Cow::Borrowed(text),
        // The prefix is made of names of tables and columns.
        _ => Cow::Owned(logical(std::str::from_utf8(prefix).unwrap_or_default(), args, opaque)),
    }
}

/// `i:users.status=active`: the stamp of one value of an index.
pub(crate) fn index_name(schema: &Schema, index: &Index, values: &[&Datum<'_>]) -> String {
    let mut args = Text::new();
    push_data(&mut args, values.iter().copied());
    let mut name = format!("i:{}.", schema.table);
    for (i, column) in index.columns.iter().enumerate() {
        if i > 0 {
            name.push('+');
        }
        name.push_str(schema.columns.get(*column).map_or("?", |def| def.name));
    }
    name.push('=');
    name.push_str(&utf8(&if args.len() > 200 {
        let mut hashed = String::from("%h");
        super::text::push_hash(&mut hashed, &args);
        Text::from(hashed.as_bytes())
    } else {
        args
    }));
    name
}

/// The names of everything that is cached of a model: both families, and the table.
pub(crate) fn everything(schema: &Schema) -> [String; 3] {
    [family_name(schema.family), family_name(schema.table), table_name(schema)]
}

/// The names of a row of which only the id is known: its key; and, because its other values are not known, all that is found by
/// unique or indexed columns.
pub(crate) fn names_of_id(schema: &Schema, id: &[Datum<'_>], out: &mut Vec<String>) {
    out.push(key_name(&schema.id, &id.iter().collect::<Vec<_>>()));
    out.push(table_name(schema));
    if !schema.uniques.is_empty() {
        out.push(family_name(schema.family));
    }
    if !schema.indexes.is_empty() {
        out.push(family_name(schema.table));
    }
}

/// `w:users`: the stamp of every write to the table.
pub(crate) fn table_name(schema: &Schema) -> String {
    format!("w:{}", schema.table)
}

/// `f:user`: the stamp of a family of keys.
pub(crate) fn family_name(family: &str) -> String {
    format!("f:{family}")
}

type Pinned<'c> = SmallVec<[(usize, SmallVec<[&'c Datum<'static>; 4]>); 4]>;

/// The columns a condition pins to few values: those of `=`, `IN` and `IS NULL` that hold for every matching row.
fn pinned<'c>(condition: &'c Condition, out: &mut Pinned<'c>) {
    match condition {
        Condition::All(parts) => parts.iter().for_each(|part| pinned(part, out)),
        Condition::Compare(column, Comparison::Eq, value) => {
            out.push((*column, SmallVec::from_iter([value])));
        }
        Condition::In(column, false, values) if values.len() <= MAX_INDEX_VALUES => {
            out.push((*column, values.iter().collect()));
        }
        Condition::Null(column, true) => out.push((*column, SmallVec::from_iter([&Datum::Null]))),
        _ => {}
    }
}

/// Whether two values of the columns of an index are equal to every database exactly when they have the same name. JSON is not: some take 1
/// for 1.0 in it. What is found by such an index depends on the whole table.
fn is_exact(schema: &Schema, index: &Index) -> bool {
    index.columns.iter().all(|at| schema.columns.get(*at).is_none_or(|def| def.ty != ColumnType::Json))
}

/// The stamps of a read over a normal condition, besides those that every entry has: the values of the narrowest index
/// that the condition pins, else the whole table.
pub(crate) fn read_names(schema: &Schema, condition: Option<&Condition>, out: &mut Vec<String>) {
    let mut pins = Pinned::new();
    if let Some(condition) = condition {
        pinned(condition, &mut pins);
    }
    let best = schema
        .indexes
        .iter()
        .filter(|index| is_exact(schema, index))
        .filter_map(|index| {
            let mut tuples: Vec<SmallVec<[&Datum<'static>; 4]>> = vec![SmallVec::new()];
            for column in index.columns {
                let (_, values) = pins.iter().find(|(pin, _)| pin == column)?;
                tuples = tuples
                    .iter()
                    .flat_map(|tuple| {
                        values.iter().map(move |value| {
                            let mut longer = tuple.clone();
                            longer.push(*value);
                            longer
                        })
                    })
                    .collect();
                if tuples.len() > MAX_INDEX_VALUES {
                    return None;
                }
            }
            Some((index, tuples))
        })
        .max_by_key(|(index, _)| index.columns.len());
    match best {
        Some((index, tuples)) => out.extend(tuples.iter().map(|tuple| index_name(schema, index, tuple))),
        None => out.push(table_name(schema)),
    }
}

/// The stamps that a row with these values has: those of its id, its unique values and its indexed values.
///
/// `values` are all columns in the schema's order, in canonical form.
pub(crate) fn row_names(schema: &Schema, values: &[Datum<'_>], out: &mut Vec<String>) {
    let pick = |index: &Index| -> Option<SmallVec<[&Datum<'_>; 4]>> {
        index.columns.iter().map(|column| values.get(*column)).collect()
    };
    for index in std::iter::once(&schema.id).chain(schema.uniques) {
        out.extend(pick(index).map(|picked| key_name(index, &picked)));
    }
    for index in schema.indexes.iter().filter(|index| is_exact(schema, index)) {
        let picked = pick(index)
            .filter(|picked| !(mistake!(ForgetsNull) && picked.iter().any(|datum| datum.is_null())));
        out.extend(picked.map(|picked| index_name(schema, index, &picked)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cache::entry::ValueCodec;
    use crate::cache::stamps::StampName;
    use crate::codec::CodecId;
    use crate::error::{Error, ErrorKind};
    use crate::model::{ColumnDef, Policy};
    use crate::query::shape::{Fetch, ShapeTable};
    use crate::query::spec::{Args, From, Spec};

    static SCHEMA: Schema = Schema::new(
        "User",
        "user",
        "users",
        &[
            ColumnDef::of::<i64>("id", true),
            ColumnDef::of::<String>("status", false),
            ColumnDef::of::<Option<i64>>("org", false),
        ],
        Index::new("id", "user:", &[0]),
        &[],
        &[
            Index::new("status", "users:status:", &[1]),
            Index::new("org_and_status", "users:org+status:", &[2, 1]),
        ],
        Policy::OFF,
        0,
        || &crate::cache::groups::MANUAL,
    );

    fn names(condition: Option<Condition>) -> Vec<String> {
        let mut out = Vec::new();
        read_names(&SCHEMA, condition.map(Condition::normal).as_ref(), &mut out);
        out
    }

    fn eq(column: usize, value: Datum<'static>) -> Condition {
        Condition::Compare(column, Comparison::Eq, value)
    }

    #[test]
    fn a_pinned_index_is_named_by_value_and_the_longest_wins() {
        assert_eq!(names(Some(eq(1, Datum::Text("a:b".into())))), ["i:users.status=a%3Ab"]);
        assert_eq!(
            names(Some(Condition::All(vec![eq(1, Datum::Text("x".into())), eq(2, Datum::Null)]))),
            ["i:users.org+status=%-,x"]
        );
        let list = Condition::In(1, false, vec![Datum::Text("a".into()), Datum::Text("b".into())]);
        assert_eq!(names(Some(list)), ["i:users.status=a", "i:users.status=b"]);
    }

    #[test]
    fn everything_else_depends_on_the_table() {
        let many = Condition::In(1, false, (0..5).map(Datum::Int).collect());
        let either = Condition::Any(vec![eq(1, Datum::Int(1)), eq(0, Datum::Int(1))]);
        let not = Condition::Not(Box::new(eq(1, Datum::Int(1))));
        for condition in [None, Some(many), Some(either), Some(not), Some(eq(0, Datum::Int(1)))] {
            assert_eq!(names(condition), ["w:users"]);
        }
    }

    #[test]
    fn a_row_names_its_id_and_indexed_values() {
        let mut out = Vec::new();
        row_names(&SCHEMA, &[Datum::Int(7), Datum::Text("x".into()), Datum::Null], &mut out);
        assert_eq!(out, ["k:user:7", "i:users.status=x", "i:users.org+status=%-,x"]);
    }

    #[test]
    fn long_arguments_are_hashed_and_cannot_be_written_by_a_short_one() {
        let long = "x".repeat(10_000);
        let key = logical("user:email:", long.as_bytes(), false);
        assert_eq!(key.len(), "user:email:%h".len() + 32);
        assert!(logical("users:find:", b"\x00", true).starts_with("users:find:"));
    }

    static TABLE: ShapeTable = ShapeTable {
        kind: 1,
        word: "find",
        fetch: Fetch::Rows,
        build: |_| Err(Error::new(ErrorKind::InvalidQuery, "nothing is loaded here")),
        codec: ValueCodec { id: CodecId::Rows, encode: |_| None, decode: |_| None, weigh: |_| 0, tags: None },
    };

    #[test]
    fn a_reader_names_its_row_as_its_writer_does() {
        let texts = ["", "a:b", "ä", "x"].map(str::to_owned);
        let lengths = [LONGEST - 1, LONGEST, LONGEST + 1, 10_000];
        let texts = texts.into_iter().chain(lengths.map(|length| "y".repeat(length)));
        for value in texts.map(|text| Datum::Text(text.into())).chain([Datum::Int(-7), Datum::Null]) {
            let written = key_name(&SCHEMA.id, &[&value]);
            let spec = Spec::new(&SCHEMA, From::Row(&SCHEMA.id), Args::One(value));
            for scope in ["pie:", "pie:~s:t:9"] {
                let (name, fingerprint) = spec.own_name(&TABLE, scope);
                assert_eq!(name.as_str(), format!("{scope}~{written}"));
                assert_eq!(fingerprint, spec.key(&TABLE, "").fingerprint);
            }
        }
    }

    #[test]
    fn a_list_has_the_name_of_its_key() {
        let index = &SCHEMA.indexes[0];
        for text in ["active".to_owned(), "z".repeat(LONGEST)] {
            let mut spec = Spec::new(&SCHEMA, From::List(index), Args::One(Datum::Text(text.into())));
            let plain = spec.own_name(&TABLE, "pie:");
            spec.set_limit(10);
            let limited = spec.own_name(&TABLE, "pie:");
            assert_ne!(plain.0, limited.0);
            spec.rest_mut().filter = Some(eq(0, Datum::Int(1)));
            let filtered = spec.own_name(&TABLE, "pie:");
            assert_ne!(limited.0, filtered.0);
            // However it is put together.
            let logical = spec.key(&TABLE, "").logical().into_owned();
            assert_eq!(filtered.0, StampName::of_key("pie:", &logical));
        }
    }
}
