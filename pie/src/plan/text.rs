//! The text of keys and stamp names: injective, without allocation for short ones.
//!
//! Arguments are escaped so that no value can end its own segment, forge another key or act as a glob: `:` `%` `*` `?`
//! `[` `]` `\` `,` `@` and controls become `%` and two hex digits. `NULL` is `%-`, which no text can become.

use std::fmt::Write as _;

use smallvec::SmallVec;

use crate::model::Datum;

/// Bytes on the stack for the usual key; longer ones move to the heap.
pub(crate) type Text = SmallVec<[u8; 120]>;

/// Writes `fmt` output into a byte buffer.
struct Sink<'t, const N: usize>(&'t mut SmallVec<[u8; N]>)
where
    [u8; N]: smallvec::Array<Item = u8>;

impl<const N: usize> std::fmt::Write for Sink<'_, N>
where
    [u8; N]: smallvec::Array<Item = u8>,
{
    fn write_str(&mut self, text: &str) -> std::fmt::Result {
        self.0.extend_from_slice(text.as_bytes());
        Ok(())
    }
}

const HEX: &[u8; 16] = b"0123456789ABCDEF";

const fn plain(byte: u8) -> bool {
    !matches!(byte, 0..=0x1f | 0x7f | b':' | b'%' | b'*' | b'?' | b'[' | b']' | b'\\' | b',' | b'@')
}

/// Appends text with everything escaped that has a meaning in keys.
pub(crate) fn push_escaped(out: &mut Text, text: &[u8]) {
    let mut rest = text;
    while let Some(at) = rest.iter().position(|byte| !plain(*byte)) {
        let (clean, tail) = rest.split_at(at);
        out.extend_from_slice(clean);
        let byte = tail[0];
        out.extend_from_slice(&[b'%', HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]]);
        rest = &tail[1..];
    }
    out.extend_from_slice(rest);
}

/// Appends an integer in decimal digits.
pub(crate) fn push_int(out: &mut Text, value: i64) {
    if value < 0 {
        out.push(b'-');
    }
    push_uint(out, value.unsigned_abs());
}

/// Appends an unsigned integer in decimal digits.
pub(crate) fn push_uint(out: &mut Text, mut value: u64) {
    let mut digits = [0_u8; 20];
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = b'0' + u8::try_from(value % 10).unwrap_or(0);
        value /= 10;
        if value == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[at..]);
}

/// Appends a value as one argument of a key.
pub(crate) fn push_datum(out: &mut Text, datum: &Datum<'_>) {
    // Writing into a buffer in memory cannot fail.
    let _: std::fmt::Result = match datum {
        Datum::Null => {
            out.extend_from_slice(b"%-");
            Ok(())
        }
        Datum::Bool(v) => {
            out.extend_from_slice(if *v { b"true" } else { b"false" });
            Ok(())
        }
        Datum::Int(v) => {
            push_int(out, *v);
            Ok(())
        }
        Datum::UInt(v) => {
            push_uint(out, *v);
            Ok(())
        }
        // +0 and -0 are equal to every database, so they share a name.
        Datum::Float(v) => write!(Sink(out), "{}", if *v == 0.0 { 0.0 } else { *v }),
        Datum::Text(v) | Datum::Json(v) => {
            push_escaped(out, v.as_bytes());
            Ok(())
        }
        Datum::Bytes(v) => {
            for byte in v.iter() {
                out.extend_from_slice(&[HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]]);
            }
            Ok(())
        }
        Datum::Uuid(v) => {
            out.extend_from_slice(v.hyphenated().encode_lower(&mut uuid::Uuid::encode_buffer()).as_bytes());
            Ok(())
        }
        Datum::Date(v) => write!(Sink(out), "{v}"),
        Datum::Time(v) => {
            let mut text = Text::new();
            let _: std::fmt::Result = write!(Sink(&mut text), "{v}");
            push_escaped(out, &text);
            Ok(())
        }
        Datum::DateTime(v) => {
            push_int(out, v.and_utc().timestamp_micros());
            Ok(())
        }
        Datum::Timestamp(v) => {
            push_int(out, v.timestamp_micros());
            Ok(())
        }
    };
}

/// Appends several values as one argument: joined by `,`, which none of them contains.
pub(crate) fn push_data<'d, 'v: 'd>(out: &mut Text, data: impl IntoIterator<Item = &'d Datum<'v>>) {
    for (i, datum) in data.into_iter().enumerate() {
        if i > 0 {
            out.push(b',');
        }
        push_datum(out, datum);
    }
}

/// 128 bits of BLAKE3 as 32 hex digits: stands for a canonical form or a long argument.
pub(crate) fn push_hash(out: &mut String, bytes: &[u8]) {
    let hash = blake3::hash(bytes);
    for byte in &hash.as_bytes()[..16] {
        let _: std::fmt::Result = write!(out, "{byte:02x}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn text(datum: &Datum<'_>) -> Vec<u8> {
        let mut out = Text::new();
        push_datum(&mut out, datum);
        out.to_vec()
    }

    #[test]
    fn readable_values_stay_readable() {
        assert_eq!(text(&Datum::Int(42)), b"42");
        assert_eq!(text(&Datum::Int(i64::MIN)), b"-9223372036854775808");
        assert_eq!(text(&Datum::Text("ann@x.org".into())), b"ann%40x.org");
        assert_eq!(text(&Datum::Text("a%:*?[]\\,\n".into())), b"a%25%3A%2A%3F%5B%5D%5C%2C%0A");
        assert_eq!(text(&Datum::Text("\u{1F967}".into())), "\u{1F967}".as_bytes());
        assert_eq!(text(&Datum::Null), b"%-");
        assert_eq!(text(&Datum::Float(-0.0)), text(&Datum::Float(0.0)));
    }

    proptest! {
        #[test]
        fn escaping_is_injective_and_leaves_nothing_special(a in ".*", b in ".*") {
            let (ta, tb) = (text(&Datum::Text(a.as_str().into())), text(&Datum::Text(b.as_str().into())));
            prop_assert_eq!(a == b, ta == tb);
            prop_assert!(!ta.iter().any(|c| b":*?[]\\,@".contains(c)));
        }

        #[test]
        fn several_values_are_injective(a in "[a,%:]{0,4}", b in "[a,%:]{0,4}", c in "[a,%:]{0,4}", d in "[a,%:]{0,4}") {
            let mut left = Text::new();
            push_data(&mut left, &[Datum::Text(a.as_str().into()), Datum::Text(b.as_str().into())]);
            let mut right = Text::new();
            push_data(&mut right, &[Datum::Text(c.as_str().into()), Datum::Text(d.as_str().into())]);
            prop_assert_eq!((a, b) == (c, d), left == right);
        }

        #[test]
        fn integers_print_as_the_standard_library_prints_them(v: i64) {
            prop_assert_eq!(text(&Datum::Int(v)), v.to_string().into_bytes());
        }
    }
}
