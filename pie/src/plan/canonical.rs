//! The canonical form of a filter: bytes that are equal exactly when two filters are the same up to order.

use super::filter::Condition;
use super::text::{Text, push_uint};
use super::{Direction, Order};
use crate::codec::put_datum;
use crate::model::Datum;

fn datum_bytes(datum: &Datum<'_>) -> Vec<u8> {
    let mut out = Vec::new();
    put_datum(&mut out, datum);
    out
}

fn put_part(out: &mut Vec<u8>, part: &[u8]) {
    out.extend_from_slice(&u32::try_from(part.len()).unwrap_or(u32::MAX).to_le_bytes());
    out.extend_from_slice(part);
}

fn put_set(out: &mut Vec<u8>, mut parts: Vec<Vec<u8>>) {
    parts.sort_unstable();
    parts.dedup();
    out.extend_from_slice(&u32::try_from(parts.len()).unwrap_or(u32::MAX).to_le_bytes());
    for part in &parts {
        put_part(out, part);
    }
}

fn put_column(out: &mut Vec<u8>, column: usize) {
    out.extend_from_slice(&u16::try_from(column).unwrap_or(u16::MAX).to_le_bytes());
}

/// Appends the canonical form of a normal condition.
pub(crate) fn put_condition(out: &mut Vec<u8>, condition: &Condition) {
    match condition {
        Condition::All(parts) | Condition::Any(parts) => {
            out.push(if matches!(condition, Condition::All(_)) { b'&' } else { b'|' });
            put_set(
                out,
                parts
                    .iter()
                    .map(|part| {
                        let mut bytes = Vec::new();
                        put_condition(&mut bytes, part);
                        bytes
                    })
                    .collect(),
            );
        }
        Condition::Not(inner) => {
            out.push(b'!');
            put_condition(out, inner);
        }
        Condition::Compare(column, comparison, value) => {
            out.push(b'=');
            put_column(out, *column);
            out.push(*comparison as u8);
            put_part(out, &datum_bytes(value));
        }
        Condition::In(column, negated, values) => {
            out.push(b'[');
            put_column(out, *column);
            out.push(u8::from(*negated));
            put_set(out, values.iter().map(datum_bytes).collect());
        }
        Condition::Null(column, is) => {
            out.push(b'0');
            put_column(out, *column);
            out.push(u8::from(*is));
        }
        Condition::Text(column, kind, text) => {
            out.push(b'~');
            put_column(out, *column);
            out.push(*kind as u8);
            put_part(out, text.as_bytes());
        }
    }
}

/// Appends order, limit and offset as people read them: `order=-age,+id;limit=20;offset=40`, or `all` when there are none.
pub(crate) fn push_window(
    out: &mut Text,
    order: &[Order],
    limit: Option<u64>,
    offset: Option<u64>,
    name: impl Fn(usize) -> &'static str,
) {
    let start = out.len();
    for (i, order) in order.iter().enumerate() {
        out.extend_from_slice(if i == 0 { b"order=" } else { b"," });
        out.push(if order.direction == Direction::Descending { b'-' } else { b'+' });
        super::text::push_escaped(out, name(order.column).as_bytes());
    }
    for (word, value) in [(b"limit=" as &[u8], limit), (b"offset=", offset)] {
        if let Some(value) = value {
            if out.len() > start {
                out.push(b';');
            }
            out.extend_from_slice(word);
            push_uint(out, value);
        }
    }
    if out.len() == start {
        out.extend_from_slice(b"all");
    }
}

#[cfg(test)]
mod tests {
    use super::super::filter::Comparison;
    use super::*;

    fn form(condition: Condition) -> Vec<u8> {
        let mut out = Vec::new();
        put_condition(&mut out, &condition.normal());
        out
    }

    fn eq(column: usize, value: i64) -> Condition {
        Condition::Compare(column, Comparison::Eq, Datum::Int(value))
    }

    #[test]
    fn order_nesting_and_repetition_do_not_matter() {
        let a = Condition::All(vec![eq(0, 1), Condition::All(vec![eq(1, 2), eq(0, 1)])]);
        let b = Condition::All(vec![eq(1, 2), eq(0, 1)]);
        assert_eq!(form(a), form(b));
        let list = |values: &[i64]| Condition::In(0, false, values.iter().map(|v| Datum::Int(*v)).collect());
        assert_eq!(form(list(&[3, 1, 2, 1])), form(list(&[1, 2, 3])));
        assert_eq!(form(list(&[7])), form(eq(0, 7)));
    }

    #[test]
    fn what_differs_stays_different() {
        let forms = [
            form(eq(0, 1)),
            form(eq(1, 1)),
            form(eq(0, 2)),
            form(Condition::Not(Box::new(eq(0, 1)))),
            form(Condition::All(vec![eq(0, 1), eq(1, 1)])),
            form(Condition::Any(vec![eq(0, 1), eq(1, 1)])),
            form(Condition::Compare(0, Comparison::Eq, Datum::Text("1".into()))),
            form(Condition::Null(0, true)),
            form(Condition::All(vec![])),
            form(Condition::Any(vec![])),
        ];
        for (i, a) in forms.iter().enumerate() {
            for b in &forms[i + 1..] {
                assert_ne!(a, b);
            }
        }
    }
}
